"""Defines the model of persons: names, birth dates, phones, mailboxes and addresses."""

from __future__ import annotations

from services.linkage.classify import MatchRules
from services.linkage.letters import edits, similarity
from services.linkage.model import Comparison, Level, LinkageModel, equal_columns

#: A number last seen with one profile, and first with another this much later, may be recycled.
RECYCLED_AFTER_DAYS = 120

_ONE_IS_LATIN = "(han_l is null or han_r is null)"


def _missing(column: str) -> Level:
    return Level("not known", f"{column}_l is null or {column}_r is null", missing=True)


def _one_edit(column: str) -> str:
    """Return the condition that two texts differ in one letter at most."""
    # The lengths are compared first, as that is cheap.
    near = f"abs(length({column}_l) - length({column}_r)) <= 1"
    return f"({near} and {edits(column)} <= 1)"


NAME = Comparison(
    "name",
    (
        _missing("sound"),
        Level("same characters", "han_l = han_r", "han"),
        Level("same name in Latin letters", f"sound_l = sound_r and {_ONE_IS_LATIN}", "sound"),
        Level("same sound and tones, other characters", "toned_l = toned_r"),
        Level("same sound, other characters", "sound_l = sound_r"),
        Level(
            "short form of the same name",
            "surname_l = surname_r and (formal_l = formal_r or (han_l is null and han_r is null"
            " and (length(given_l) = 1 or length(given_r) = 1)"
            " and left(given_l, 1) = left(given_r, 1)))",
        ),
        Level(
            "a letter or two differ",
            f"{_ONE_IS_LATIN} and {edits('sound')} <= 2 and {similarity('sound')} >= 0.9",
        ),
        Level(
            "one character differs",
            # Of two characters the other one is too little to tell a person by.
            f"length(han_l) > 2 and length(han_r) > 2 and {_one_edit('han')}",
        ),
        Level("same surname", "surname_l = surname_r", "surname"),
        Level("same given name", "given_l = given_r", "given"),
    ),
)
BORN = Comparison(
    "birth_date",
    (
        _missing("born"),
        Level("same", "born_l = born_r"),
        Level(
            "a digit differs, or day and month changed over",
            f"{_one_edit('born')} or (left(born_l, 4) = left(born_r, 4)"
            " and substr(born_l, 6, 2) = substr(born_r, 9, 2)"
            " and substr(born_l, 9, 2) = substr(born_r, 6, 2))",
        ),
        Level("same month", "left(born_l, 7) = left(born_r, 7)"),
        Level("same day, another year", "right(born_l, 5) = right(born_r, 5)"),
    ),
)
PHONE = Comparison(
    "phone",
    (
        _missing("phone"),
        Level(
            "same, at other times",
            "phone_l = phone_r and "
            f"greatest(first_day_l - last_day_r, first_day_r - last_day_l) > {RECYCLED_AFTER_DAYS}",
            "phone",
        ),
        Level("same", "phone_l = phone_r", "phone"),
        Level("a digit differs", _one_edit("phone")),
        Level("same last seven digits", "phone_tail_l = phone_tail_r"),
        Level("same last four digits", "right(phone_l, 4) = right(phone_r, 4)"),
    ),
)
MAIL = Comparison(
    "mail",
    (
        _missing("email"),
        Level("same", "email_l = email_r", "email"),
        Level("a letter differs", _one_edit("email")),
        # Similar mailboxes are no level: most derive from the name, which has its own comparison.
        Level("same mailbox elsewhere", "mailbox_l = mailbox_r", "mailbox"),
    ),
)
ADDRESS = Comparison(
    "address",
    (
        _missing("address"),
        Level("same", "address_l = address_r", "address"),
        Level("same house", "house_l = house_r and city_l = city_r"),
        Level("nearly the same", _one_edit("address")),
        Level("same city", "city_l = city_r"),
    ),
)

PERSON_MODEL = LinkageModel(
    name="people",
    comparisons=(NAME, BORN, PHONE, MAIL, ADDRESS),
    blocking=(
        *map(equal_columns, ("sound", "phone", "email", "mailbox", "born", "phone_tail")),
        equal_columns("house", "city"),
        "l.surname = r.surname and left(l.born, 7) = left(r.born, 7)",
    ),
    training=(("sound",), ("email",), ("born", "house")),
    deterministic=(
        equal_columns("email"),
        equal_columns("sound", "born"),
        equal_columns("sound", "phone"),
    ),
    deterministic_recall=0.7,
    random_pairs=600_000,
)

#: The names belong to two persons. Brothers and sisters often have a character in common, and a
#: typing error has mostly the same sound.
PERSON_RULES = MatchRules(
    against={
        "name": frozenset(
            {NAME.otherwise, "same surname", "same given name", "one character differs"}
        )
    }
)
