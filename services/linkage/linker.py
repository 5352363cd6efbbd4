"""Runs a model of linkage by Splink on DuckDB: records in, scored pairs with their weights out.

The same records and model give the same scores, bit by bit: samples are drawn by a hash of the
records' ids, training runs on one thread, records are put in order before.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from services.kernel.errors import OnefoldError
from services.linkage.model import Comparison, LinkageModel

#: Digits of a parameter that count for the version of a model.
_DIGITS = 9


class LinkageMissing(OnefoldError):
    """What matching stands on is not installed."""


class Weight(NamedTuple):
    """What one comparison counts for one pair."""

    comparison: str
    #: How it came out; never a value.
    outcome: str
    #: Base-2 logarithm of the Bayes factor.
    log2_bayes_factor: float


@dataclass(frozen=True, slots=True)
class Scored:
    """A pair of records that may be one person; `a` is the smaller id."""

    a: str
    b: str
    probability: float
    weights: tuple[Weight, ...]

    def outcome(self, comparison: str) -> str:
        """How a comparison came out."""
        return next(w.outcome for w in self.weights if w.comparison == comparison)


@dataclass(frozen=True, slots=True)
class Linked:
    """What a run found."""

    #: The likeliest first, then by id.
    pairs: tuple[Scored, ...]
    #: `<name>-<hash>` of the settings and the trained parameters.
    model_version: str


def link(
    model: LinkageModel, tables: Sequence[Iterable[NamedTuple]], *, at_least: float = 0.2
) -> Linked:
    """Train on the records and score the pairs: those that are at least so probable.

    Fewer than two records, or none that agree in anything, are no pairs. Raises LinkageMissing.
    """
    rows = [sorted(table) for table in tables]
    if sum(map(len, rows)) < 2:
        return Linked((), f"{model.name}-untrained")
    return Linkage.over(model, [_table(table) for table in rows]).run(at_least)


class Linkage:
    """A model over tables that DuckDB can read."""

    def __init__(self, model: LinkageModel, connection: Any, tables: Sequence[Any]) -> None:
        splink = _splink()
        self._model = model
        self._connection = connection
        api = splink.DuckDBAPI(connection)
        self._linker = splink.Linker(
            [api.register(table, dataset_display_name=f"t{at}") for at, table in enumerate(tables)],
            model.as_settings(),
            log_level=None,
            validate_settings=False,
        )

    @classmethod
    def over(cls, model: LinkageModel, tables: Sequence[Any]) -> Linkage:
        """A model over tables of Arrow, in a database of its own in memory."""
        _splink()
        import duckdb

        return cls(model, duckdb.connect(), tables)

    def run(self, at_least: float) -> Linked:
        """Train and score."""
        threads = self._connection.execute("select current_setting('threads')").fetchone()[0]
        # What a person is to see of the progress is said by the command, and not by an engine.
        self._connection.execute("set enable_progress_bar = false")
        self._connection.execute("set threads = 1")
        try:
            self._train()
        finally:
            self._connection.execute(f"set threads = {threads}")
        pairs = sorted(self._pairs(at_least), key=lambda p: (-p.probability, p.a, p.b))
        return Linked(tuple(pairs), self.version())

    def version(self) -> str:
        """Names the settings together with what was learnt."""
        told = _rounded(self._linker.misc.save_model_to_json())
        shaped = json.dumps(told, sort_keys=True, ensure_ascii=False).encode()
        return f"{self._model.name}-{hashlib.blake2b(shaped, digest_size=6).hexdigest()}"

    def _train(self) -> None:
        training, model = self._linker.training, self._model
        training.estimate_probability_two_random_records_match(
            list(model.certain), recall=model.certain_recall
        )
        training.estimate_u_using_random_sampling(
            max_pairs=model.random_pairs, seed=model.seed, num_chunks=1, min_count_per_level=None
        )
        for columns in model.training:
            training.estimate_parameters_using_expectation_maximisation(
                _splink().block_on(*columns), estimate_without_term_frequencies=True
            )

    def _pairs(self, at_least: float) -> Iterator[Scored]:
        found = self._linker.inference.predict(threshold_match_probability=at_least)
        record_id, comparisons = self._model.record_id, self._model.comparisons
        columns = [f"{record_id}_l", f"{record_id}_r", "match_probability"]
        columns += [f"gamma_{c.name}" for c in comparisons]
        columns += [_weight(c) for c in comparisons]
        query = f"select {', '.join(columns)} from {found.physical_name}"
        cursor = self._connection.execute(query)
        outcomes = [_outcomes(c) for c in comparisons]
        names = [c.name for c in comparisons]
        count = len(names)
        while rows := cursor.fetchmany(10_000):
            for left, right, probability, *told in rows:
                a, b = sorted((left, right))
                labels = (known[at] for known, at in zip(outcomes, told, strict=False))
                weights = map(Weight, names, labels, told[count:])
                yield Scored(a, b, probability, tuple(weights))


def _weight(comparison: Comparison) -> str:
    """The column of what a comparison counts for."""
    adjusted = any(level.frequency_of for level in comparison.levels)
    return f"mw_{comparison.name}" + (f" + mw_tf_adj_{comparison.name}" if adjusted else "")


def _outcomes(comparison: Comparison) -> dict[int, str]:
    """The outcomes by the number that Splink gives them: the last is 0, what is missing -1."""
    told = [level for level in comparison.levels if not level.missing]
    found = {len(told) - at: level.outcome for at, level in enumerate(told)}
    return {-1: "not known", 0: comparison.otherwise, **found}


def _splink() -> Any:
    try:
        import splink
    except ImportError as error:
        raise LinkageMissing(
            "matching needs Splink: install what `linkage` names in pyproject.toml"
        ) from error
    logging.getLogger("splink").setLevel(logging.ERROR)
    return splink


def _table(rows: Sequence[NamedTuple]) -> Any:
    """The rows as a table of Arrow."""
    import pyarrow

    names = rows[0]._fields
    columns = [pyarrow.array(column) for column in zip(*rows, strict=True)]
    shaped = [c.cast(pyarrow.string()) if c.type == pyarrow.null() else c for c in columns]
    return pyarrow.table(shaped, names=list(names))


def _rounded(told: Any) -> Any:
    if isinstance(told, float):
        return float(f"{told:.{_DIGITS}g}")
    if isinstance(told, Mapping):
        return {key: _rounded(value) for key, value in told.items()}
    return [_rounded(value) for value in told] if isinstance(told, list) else told
