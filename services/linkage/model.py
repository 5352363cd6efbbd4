"""Describes a linkage model: its comparisons, their outcomes, and how it is trained.

Conditions are SQL over the columns of two records, `name_l` and `name_r`. The outcome is the first
level whose condition is true, or the last level if none is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Level:
    """One outcome of a comparison."""

    outcome: str
    condition: str
    #: A column whose frequent values have less weight.
    frequency_of: str = ""
    #: Whether a value is missing, so the weight is 0; at most one level of a comparison.
    missing: bool = False


@dataclass(frozen=True, slots=True)
class Comparison:
    """One comparison of two records."""

    name: str
    levels: tuple[Level, ...]
    #: The outcome if no level is true.
    otherwise: str = "different"


@dataclass(frozen=True, slots=True)
class LinkageModel:
    """Everything that a linkage run needs beside the records."""

    name: str
    comparisons: tuple[Comparison, ...]
    #: Only pairs for which one of these is true are compared.
    blocking: tuple[str, ...]
    #: For each training session, the columns that agree in its pairs, of which some match.
    training: tuple[tuple[str, ...], ...]
    #: Pairs for which one of these is true are nearly always one person.
    deterministic: tuple[str, ...]
    #: The share of all true matches for which one of them is true.
    deterministic_recall: float
    record_id: str = "record_id"
    #: Whether records of two tables are linked, each to at most one of the other table.
    two_tables: bool = False
    #: The number of random pairs on which chance agreement is measured.
    random_pairs: int = 300_000
    seed: int = 20_26

    def as_settings(self) -> dict[str, Any]:
        """Return the settings of Splink."""
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


def equal_columns(*columns: str) -> str:
    """Return the condition that all these columns agree."""
    return " and ".join(f"l.{column} = r.{column}" for column in columns)


def _comparison(comparison: Comparison) -> dict[str, Any]:
    last = {"sql_condition": "ELSE", "label_for_charts": comparison.otherwise}
    return {
        "output_column_name": comparison.name,
        "comparison_levels": [*map(_level, comparison.levels), last],
    }


def _level(level: Level) -> dict[str, Any]:
    settings: dict[str, Any] = {"sql_condition": level.condition, "label_for_charts": level.outcome}
    if level.missing:
        settings["is_null_level"] = True
    if level.frequency_of:
        settings["tf_adjustment_column"] = level.frequency_of
        settings["disable_tf_exact_match_detection"] = True
        settings["tf_minimum_u_value"] = 0.00001
    return settings
