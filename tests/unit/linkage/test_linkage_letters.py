"""Texts are compared by letters, whatever number of bytes a letter has."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from random import Random

import duckdb
import pyarrow
import pytest

from services.linkage.letters import MAX_LETTERS, edits, similarity
from services.linkage.model import Comparison
from services.linkage.person_model import ADDRESS, MAIL, NAME

PAIRS = 4_000
HAN = [chr(code) for code in range(0x4E00, 0x9000)]
#: Letters of one to four bytes.
WIDE = [*HAN[:500], *map(chr, range(0x430, 0x450)), *"éßøąçñ", *map(chr, range(0x20000, 0x20100))]
TextPair = tuple[str, str]


def evaluate(expressions: Sequence[str], columns: dict[str, list[str | None]]) -> list[tuple]:
    table = pyarrow.table(columns)
    with duckdb.connect() as connection:
        connection.register("pair", table)
        return connection.execute(f"select {', '.join(expressions)} from pair").fetchall()


def compared(pairs: Sequence[TextPair]) -> list[tuple]:
    left, right = map(list, zip(*pairs, strict=True))
    return evaluate([edits("text"), similarity("text")], {"text_l": left, "text_r": right})


def changed(random: Random, text: str, alphabet: Sequence[str]) -> str:
    """Return a text with up to three edits."""
    letters = list(text)
    for _ in range(random.randrange(4)):
        at = random.randrange(len(letters))
        match random.randrange(4):
            case 0:
                letters[at] = random.choice(alphabet)
            case 1:
                letters.insert(at, random.choice(alphabet))
            case 2 if len(letters) > 1:
                del letters[at]
            case 3 if at:
                letters[at - 1 : at + 1] = reversed(letters[at - 1 : at + 1])
    return "".join(letters)


def ascii_pairs(random: Random, longest: int) -> Iterator[TextPair]:
    for _ in range(PAIRS):
        text = "".join(random.choices("abcdefghij", k=random.randint(1, longest)))
        yield text, changed(random, text, "abcdefghij")


@pytest.mark.parametrize("longest", [6, 40, 2 * MAX_LETTERS])
def test_wide_letters_are_as_far_apart_as_latin_ones(longest: int) -> None:
    random = Random(longest)
    plain = list(ascii_pairs(random, longest))
    wide = []
    for pair in plain:
        renamed = str.maketrans("abcdefghij", "".join(random.sample(WIDE, 10)))
        wide.append(tuple(text.translate(renamed) for text in pair))
    assert compared(wide) == compared(plain)


def one_character_differs(random: Random, length: int) -> TextPair:
    """Return two names with different characters at one place."""
    name, other = random.sample(HAN, length), random.choice(HAN)
    at = random.randrange(length)
    while other == name[at]:
        other = random.choice(HAN)
    return "".join(name), "".join([*name[:at], other, *name[at + 1 :]])


def one_character_is_missing(random: Random, length: int) -> TextPair:
    name = random.sample(HAN, length)
    at = random.randrange(length)
    return "".join(name), "".join([*name[:at], *name[at + 1 :]])


def neighbours_are_swapped(random: Random, length: int) -> TextPair:
    name = random.sample(HAN, length)
    at = random.randrange(length - 1)
    return "".join(name), "".join([*name[:at], name[at + 1], name[at], *name[at + 2 :]])


def outcomes(comparison: Comparison, column: str, pairs: Sequence[TextPair]) -> set[str]:
    """Return the outcomes of pairs of which only one column is known."""
    names = {*["han", "sound", "toned", "surname", "given", "formal"]}
    names |= {"email", "mailbox", "address", "house", "city"}
    # A comparison without its first column counts as not known.
    known = {"sound": ("same", "other")} if column == "han" else {}
    columns: dict[str, list[str | None]] = {}
    for name in names:
        for side, suffix in enumerate("lr"):
            value = known.get(name, (None, None))[side]
            columns[f"{name}_{suffix}"] = [value] * len(pairs)
    for side, suffix in enumerate("lr"):
        columns[f"{column}_{suffix}"] = [pair[side] for pair in pairs]
    whens = " ".join(f"when {each.condition} then '{each.outcome}'" for each in comparison.levels)
    rows = evaluate([f"case {whens} else '{comparison.otherwise}' end"], columns)
    return {outcome for (outcome,) in rows}


@pytest.mark.parametrize("length", [3, 4])
@pytest.mark.parametrize("pair_of", [one_character_differs, neighbours_are_swapped])
def test_names_of_which_one_character_differs_have_that_outcome(
    pair_of: Callable[[Random, int], TextPair], length: int
) -> None:
    random = Random(length)
    pairs = [pair_of(random, length) for _ in range(PAIRS)]
    assert outcomes(NAME, "han", pairs) == {"one character differs"}


def test_names_of_two_characters_never_differ_in_one_alone() -> None:
    random = Random(2)
    pairs = [one_character_differs(random, 2) for _ in range(PAIRS)]
    shorter = [one_character_is_missing(random, 3) for _ in range(PAIRS)]
    for tried in (pairs, shorter, [(b, a) for a, b in shorter]):
        assert outcomes(NAME, "han", tried) == {NAME.otherwise}


@pytest.mark.parametrize(
    ("comparison", "column", "outcome"),
    [(ADDRESS, "address", "nearly the same"), (MAIL, "email", "a letter differs")],
)
def test_one_wide_letter_of_an_address_or_a_mailbox_is_one_difference(
    comparison: Comparison, column: str, outcome: str
) -> None:
    random = Random(column)
    edit = (one_character_differs, one_character_is_missing, neighbours_are_swapped)
    pairs = [random.choice(edit)(random, random.randint(2, 60)) for _ in range(PAIRS)]
    assert outcomes(comparison, column, pairs) == {outcome}
