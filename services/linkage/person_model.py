"""Defines the model of persons: names, birth dates, phones, mailboxes and addresses."""

from __future__ import annotations

from services.linkage.classify import MatchRules
from services.linkage.model import Comparison, Level, LinkageModel, equal_columns

#: A number last seen with one profile, and first with another this much later, may be recycled.
RECYCLED_AFTER_DAYS = 120

#: Compares the lengths first, as that is cheap.
_ONE_EDIT = "abs(length({0}_l) - length({0}_r)) <= 1 and damerau_levenshtein({0}_l, {0}_r) <= 1"
_ONE_IS_LATIN = "(han_l is null or han_r is null)"


def _missing(column: str) -> Level:
    return Level("not known", f"{column}_l is null or {column}_r is null", missing=True)


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
            f"{_ONE_IS_LATIN} and damerau_levenshtein(sound_l, sound_r) <= 2"
            " and jaro_winkler_similarity(sound_l, sound_r) >= 0.9",
        ),
        Level(
            "one character differs",
            "han_l is not null and han_r is not null and length(han_l) > 2"
            " and damerau_levenshtein(han_l, han_r) = 1",
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
            f"({_ONE_EDIT.format('born')}) or (left(born_l, 4) = left(born_r, 4)"
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
        Level("a digit differs", _ONE_EDIT.format("phone")),
        Level("same last seven digits", "phone_tail_l = phone_tail_r"),
        Level("same last four digits", "right(phone_l, 4) = right(phone_r, 4)"),
    ),
)
MAIL = Comparison(
    "mail",
    (
        _missing("email"),
        Level("same", "email_l = email_r", "email"),
        Level("a letter differs", _ONE_EDIT.format("email")),
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
        Level("nearly the same", _ONE_EDIT.format("address")),
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

#: The names belong to two persons, or to twins, whose names differ in one character.
PERSON_RULES = MatchRules(
    against={"name": frozenset({NAME.otherwise, "same surname", "same given name"})},
    twins={"name": frozenset({"one character differs"}), "birth_date": frozenset({"same"})},
)
