"""A model of linkage as a value: what is compared, how it may come out, and what to train it by.

Conditions are SQL over the columns of two records, `name_l` and `name_r`. The first level whose
condition holds counts; what none holds for is the last level.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Level:
    """One outcome of a comparison."""

    outcome: str
    condition: str
    #: A column whose frequent values count less.
    frequency_of: str = ""
    #: Whether it tells nothing, as something is missing; one level of a comparison at most.
    missing: bool = False


@dataclass(frozen=True, slots=True)
class Comparison:
    """One thing that is compared."""

    name: str
    levels: tuple[Level, ...]
    #: What it is called when none of the levels holds.
    otherwise: str = "different"


@dataclass(frozen=True, slots=True)
class LinkageModel:
    """All that a run of linkage is told beside the records."""

    name: str
    comparisons: tuple[Comparison, ...]
    #: Pairs that agree by one of these are compared, and no others.
    blocking: tuple[str, ...]
    #: For each session of training, the columns that agree: pairs of which some match.
    training: tuple[tuple[str, ...], ...]
    #: Pairs that agree by one of these are nearly always one person …
    certain: tuple[str, ...]
    #: … and are about this part of all who are.
    certain_recall: float
    record_id: str = "record_id"
    #: Whether records of two tables are linked, each to one of the other at most.
    two_tables: bool = False
    #: How many pairs at random the frequencies of coincidence are counted on.
    random_pairs: int = 300_000
    seed: int = 20_26

    def as_settings(self) -> dict[str, Any]:
        """The settings as Splink takes them."""
        return {
            "link_type": "link_only" if self.two_tables else "dedupe_only",
            "unique_id_column_name": self.record_id,
            "comparisons": [_comparison(c) for c in self.comparisons],
            "blocking_rules_to_generate_predictions": list(self.blocking),
            "retain_matching_columns": True,
            "retain_intermediate_calculation_columns": True,
            "em_convergence": 0.001,
            "linker_uid": "onefold",
        }


def same(*columns: str) -> str:
    """The condition that all these columns agree."""
    return " and ".join(f"l.{column} = r.{column}" for column in columns)


def _comparison(comparison: Comparison) -> dict[str, Any]:
    last = {"sql_condition": "ELSE", "label_for_charts": comparison.otherwise}
    return {
        "output_column_name": comparison.name,
        "comparison_levels": [*map(_level, comparison.levels), last],
    }


def _level(level: Level) -> dict[str, Any]:
    told: dict[str, Any] = {"sql_condition": level.condition, "label_for_charts": level.outcome}
    if level.missing:
        told["is_null_level"] = True
    if level.frequency_of:
        told["tf_adjustment_column"] = level.frequency_of
        told["disable_tf_exact_match_detection"] = True
        told["tf_minimum_u_value"] = 0.00001
    return told
