"""Builds SQL that compares texts letter by letter.

The functions of DuckDB compare bytes, of which a Chinese character has three: two names that differ
in one character would be up to three edits apart. So the letters of both texts are replaced by one
byte each, the same letter by the same byte, which changes no distance.
"""

from __future__ import annotations

#: Without characters that have a meaning in texts of SQL, or in templates.
_BYTES = "".join(c for c in map(chr, range(33, 127)) if c not in "'\"\\`{}%$")
#: The most different letters that two texts may have between them; further ones are passed over.
MAX_LETTERS = len(_BYTES)


def edits(column: str) -> str:
    """Return the number of edits between the texts of a column in two records.

    An edit inserts, deletes or replaces a letter, or swaps two neighbours.
    """
    return _by_letters("damerau_levenshtein", column)


def similarity(column: str) -> str:
    """Return the Jaro-Winkler similarity of the texts of a column in two records, 0 to 1."""
    return _by_letters("jaro_winkler_similarity", column)


def _by_letters(function: str, column: str) -> str:
    left, right = f"{column}_l", f"{column}_r"
    both = f"{left} || {right}"

    def of_bytes(letters: str) -> str:
        texts = (f"translate({text}, {letters}, '{_BYTES}')" for text in (left, right))
        return f"{function}({', '.join(texts)})"

    # Letters of one byte need no replacement, and in most texts repeated letters may stay.
    return (
        f"case when strlen({both}) = length({both}) then {function}({left}, {right})"
        f" when length({both}) <= {MAX_LETTERS} then {of_bytes(both)}"
        f" else {of_bytes(_different_letters(both))} end"
    )


def _different_letters(text: str) -> str:
    return f"array_to_string(list_distinct(string_split({text}, '')), '')"
