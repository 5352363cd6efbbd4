"""Scores pairs of records with a linkage model, by Splink on DuckDB.

The same records and model give the same scores, bit by bit: samples are drawn by a hash of the
records' ids, training runs on one thread, and the records are sorted first.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from services.kernel.errors import OnefoldError
from services.linkage.model import Comparison, LinkageModel

#: The digits of a parameter that are part of the version of a model.
_DIGITS = 9


class ComparisonWeight(NamedTuple):
    """The weight of one comparison of a pair."""

    comparison: str
    #: The outcome of the comparison; never a value.
    outcome: str
    #: Base-2 logarithm of the Bayes factor.
    log2_bayes_factor: float


@dataclass(frozen=True, slots=True)
class ScoredPair:
    """Two records that may be one person; `a` is the smaller id."""

    a: str
    b: str
    probability: float
    weights: tuple[ComparisonWeight, ...]


@dataclass(frozen=True, slots=True)
class LinkageResult:
    """The scored pairs of one run."""

    #: By falling probability, then by id.
    pairs: tuple[ScoredPair, ...]
    #: `<name>-<hash>` of the settings and the trained parameters.
    model_version: str


def link(model: LinkageModel, records: Iterable[NamedTuple], *, at_least: float) -> LinkageResult:
    """Train on the records and return the pairs with a probability of `at_least` or more.

    Fewer than two records, or records that agree in nothing, give no pairs. Raises
    OnefoldError if Splink is not installed.
    """
    rows = sorted(records)
    if len(rows) < 2:
        return LinkageResult((), f"{model.name}-untrained")
    _splink()  # the error if it is missing; DuckDB comes with it
    import duckdb

    return Linkage(model, duckdb.connect(), [_arrow_table(rows)]).run(at_least)


class SplinkLinkage:
    """A linkage model over tables that an engine of Splink can read."""

    def __init__(
        self, model: LinkageModel, api: Any, tables: Sequence[Any], settings: Mapping[str, Any]
    ) -> None:
        """`settings` of Splink are those of the model, in the SQL of the engine."""
        self._model = model
        self._linker = _splink().Linker(
            [api.register(table, dataset_display_name=f"t{i}") for i, table in enumerate(tables)],
            settings,
            log_level=None,
            validate_settings=False,
        )

    def run(self, at_least: float) -> LinkageResult:
        """Train on the records and score their pairs."""
        with self._training():
            self._train()
        pairs = sorted(self._pairs(at_least), key=lambda p: (-p.probability, p.a, p.b))
        return LinkageResult(tuple(pairs), self._version())

    def _training(self) -> AbstractContextManager[None]:
        """Return a scope in which the engine gives the same sums each time."""
        raise NotImplementedError

    def _rows(self, query: str) -> Iterator[Sequence[Any]]:
        """Run a query on the engine."""
        raise NotImplementedError

    def _version(self) -> str:
        parameters = _rounded(self._linker.misc.save_model_to_json())
        text = json.dumps(parameters, sort_keys=True, ensure_ascii=False).encode()
        return f"{self._model.name}-{hashlib.blake2b(text, digest_size=6).hexdigest()}"

    def _train(self) -> None:
        training, model = self._linker.training, self._model
        training.estimate_probability_two_random_records_match(
            list(model.deterministic), recall=model.deterministic_recall
        )
        training.estimate_u_using_random_sampling(
            max_pairs=model.random_pairs, seed=model.seed, num_chunks=1, min_count_per_level=None
        )
        for columns in model.training:
            training.estimate_parameters_using_expectation_maximisation(
                _splink().block_on(*columns), estimate_without_term_frequencies=True
            )

    def _pairs(self, at_least: float) -> Iterator[ScoredPair]:
        found = self._linker.inference.predict(threshold_match_probability=at_least)
        record_id, comparisons = self._model.record_id, self._model.comparisons
        columns = [f"{record_id}_l", f"{record_id}_r", "match_probability"]
        columns += [f"gamma_{c.name}" for c in comparisons] + [_weight(c) for c in comparisons]
        rows = self._rows(f"select {', '.join(columns)} from {found.physical_name}")
        count, named = len(comparisons), [(c.name, _outcomes(c)) for c in comparisons]
        for left, right, probability, *values in rows:
            levels, factors = values[:count], values[count:]
            weights = (
                ComparisonWeight(name, outcomes[level], factor)
                for (name, outcomes), level, factor in zip(named, levels, factors, strict=True)
            )
            yield ScoredPair(min(left, right), max(left, right), probability, tuple(weights))


class Linkage(SplinkLinkage):
    """A linkage model over tables that DuckDB can read."""

    def __init__(self, model: LinkageModel, connection: Any, tables: Sequence[Any]) -> None:
        self._connection = connection
        # The command reports the progress, not the engine.
        connection.execute("set enable_progress_bar = false")
        super().__init__(model, _splink().DuckDBAPI(connection), tables, model.as_settings())

    @contextmanager
    def _training(self) -> Iterator[None]:
        threads = self._connection.execute("select current_setting('threads')").fetchone()[0]
        self._connection.execute("set threads = 1")
        try:
            yield
        finally:
            self._connection.execute(f"set threads = {threads}")

    def _rows(self, query: str) -> Iterator[Sequence[Any]]:
        cursor = self._connection.execute(query)
        while rows := cursor.fetchmany(10_000):
            yield from rows


def _weight(comparison: Comparison) -> str:
    """Return the SQL expression of the weight of a comparison."""
    adjusted = any(level.frequency_of for level in comparison.levels)
    return f"mw_{comparison.name}" + (f" + mw_tf_adj_{comparison.name}" if adjusted else "")


def _outcomes(comparison: Comparison) -> dict[int, str]:
    """Return the outcomes by Splink's number of the level: -1 = missing, 0 = the last level."""
    levels = [level for level in comparison.levels if not level.missing]
    by_level = {len(levels) - i: level.outcome for i, level in enumerate(levels)}
    return {-1: "not known", 0: comparison.otherwise, **by_level}


def _splink() -> Any:
    try:
        import splink
    except ImportError as error:
        raise OnefoldError("matching needs Splink; install the extra `linkage`") from error
    logging.getLogger("splink").setLevel(logging.ERROR)
    return splink


def _arrow_table(rows: Sequence[NamedTuple]) -> Any:
    import pyarrow

    columns = [pyarrow.array(column) for column in zip(*rows, strict=True)]
    # A column without values has no type of its own.
    typed = [c.cast(pyarrow.string()) if c.type == pyarrow.null() else c for c in columns]
    return pyarrow.table(typed, names=list(rows[0]._fields))


def _rounded(json: Any) -> Any:
    if isinstance(json, float):
        return float(f"{json:.{_DIGITS}g}")
    if isinstance(json, Mapping):
        return {key: _rounded(value) for key, value in json.items()}
    return [_rounded(value) for value in json] if isinstance(json, list) else json
