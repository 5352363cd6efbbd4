"""What follows from a new definition: series to back-fill, everybody to look at, then it is live.

A shard keeps a series from the offset at which it learnt of it; what lies before is read from the
log once more, in turns with what comes. Predicates whose series are whole are then asked of every
profile that has a leaf in the shard, and are live there when the last one was asked.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from services.kernel.fold.events import EventView
from services.kernel.fold.leaf import LeafState, fold_accumulators
from services.kernel.fold.predicate_index import PredicateIndex
from services.kernel.ids import LeafId, WorkspaceId
from services.kernel.rules.evaluate import compile_predicate
from services.kernel.rules.model import Predicate
from services.profile.domain.facts import Notice
from services.profile.domain.model import NOTHING_ASKED, Catalogues


class Stage(IntEnum):
    """How far a predicate or series is in one shard."""

    WAITING = 0
    AT_WORK = 1
    #: The predicate is live, the series whole.
    DONE = 2


class Key(NamedTuple):
    """A predicate or series of a workspace."""

    workspace_id: WorkspaceId
    id: int


class Series(NamedTuple):
    """A series that is not whole yet."""

    key: Key
    #: Facts from this offset on are folded as they come.
    live_from: int
    stage: Stage


class Asked(NamedTuple):
    """A predicate that is not live yet."""

    key: Key
    stage: Stage


@dataclass(frozen=True, slots=True)
class News:
    """What definitions ask for that was not asked for before."""

    predicates: frozenset[Key]
    series: frozenset[Key]


class Fill(NamedTuple):
    """Read the past of these series."""

    series: tuple[Series, ...]
    is_new: bool

    @property
    def until(self) -> int:
        """The offset to stop before."""
        return max(series.live_from for series in self.series)


class Sweep(NamedTuple):
    """Ask everybody these predicates."""

    predicates: frozenset[Key]
    is_new: bool

    def of(self, workspace_id: WorkspaceId) -> frozenset[int]:
        """The predicates of one workspace."""
        return frozenset(key.id for key in self.predicates if key.workspace_id == workspace_id)


def grown(catalogues: Catalogues, notices: Iterable[tuple[WorkspaceId, Notice]]) -> Catalogues:
    """The catalogues with what definitions ask for. What was asked for once is asked for ever:
    so the catalogue is a function of the set of definitions, whatever replaced what."""
    asked: dict[WorkspaceId, list[Predicate]] = defaultdict(list)
    for workspace_id, notice in notices:
        asked[workspace_id].extend(notice.asks or ())
    made = {w: _with(catalogues.get(w, NOTHING_ASKED), more) for w, more in asked.items()}
    return {**catalogues, **made}


def news(before: Catalogues, after: Catalogues) -> News:
    """What is asked for after that was not before."""
    predicates: set[Key] = set()
    series: set[Key] = set()
    for workspace_id, catalogue in after.items():
        known = before.get(workspace_id, NOTHING_ASKED)
        predicates |= {Key(workspace_id, i) for i in catalogue.predicates.keys() - known.predicates}
        series |= {Key(workspace_id, i) for i in catalogue.accumulator_ids - known.accumulator_ids}
    return News(frozenset(predicates), frozenset(series))


def next_task(
    predicates: Collection[Asked], series: Collection[Series], catalogues: Catalogues
) -> Fill | Sweep | None:
    """What to work on now: what is at work; else who can be asked; else what can be filled."""
    sweeping = [p.key for p in predicates if p.stage is Stage.AT_WORK]
    if sweeping:
        return Sweep(frozenset(sweeping), is_new=False)
    missing = {s.key for s in series}
    ready = [p.key for p in predicates if _series_of(p.key, catalogues) not in missing]
    if ready:
        return Sweep(frozenset(ready), is_new=True)
    filling = tuple(s for s in series if s.stage is Stage.AT_WORK)
    if filling:
        return Fill(filling, is_new=False)
    return Fill(tuple(series), is_new=True) if series else None


def _series_of(key: Key, catalogues: Catalogues) -> Key | None:
    series_id = catalogues[key.workspace_id].predicates[key.id].accumulator_id
    return None if series_id is None else Key(key.workspace_id, series_id)


class Past(NamedTuple):
    """One event of the log, read once more."""

    offset: int
    workspace_id: WorkspaceId
    leaf_id: LeafId
    event: EventView


class Filler:
    """Folds the past into series, each up to the offset from which it was kept anyway."""

    def __init__(self, fill: Fill, catalogues: Catalogues) -> None:
        by_offset: dict[int, set[Key]] = defaultdict(set)
        for series in fill.series:
            by_offset[series.live_from].add(series.key)
        self._parts = tuple((at, _catalogues(keys, catalogues)) for at, keys in by_offset.items())

    def fold(self, past: Iterable[Past]) -> dict[LeafId, tuple[WorkspaceId, LeafState]]:
        """What the events add to each leaf; only series, for all else is there already."""
        added: dict[LeafId, tuple[WorkspaceId, LeafState]] = {}
        for offset, workspace_id, leaf_id, event in past:
            for live_from, catalogues in self._parts:
                catalogue = catalogues.get(workspace_id)
                if offset >= live_from or catalogue is None:
                    continue
                state = added[leaf_id][1] if leaf_id in added else LeafState()
                if fold_accumulators(state, event, catalogue):
                    added[leaf_id] = (workspace_id, state)
        return added


def _catalogues(keys: Iterable[Key], known: Catalogues) -> Mapping[WorkspaceId, PredicateIndex]:
    """Catalogues that keep these series and no others."""
    wanted: dict[WorkspaceId, set[int]] = defaultdict(set)
    for key in keys:
        wanted[key.workspace_id].add(key.id)
    return {w: PredicateIndex(_feeding(known[w], ids)) for w, ids in wanted.items()}


def _feeding(catalogue: PredicateIndex, series_ids: Collection[int]) -> list[Predicate]:
    return [p.predicate for p in catalogue.predicates.values() if p.accumulator_id in series_ids]


def _with(catalogue: PredicateIndex, more: Iterable[Predicate]) -> PredicateIndex:
    known = [p.predicate for p in catalogue.predicates.values()]
    fresh = {p: None for p in more if compile_predicate(p).id not in catalogue.predicates}
    return PredicateIndex([*known, *fresh]) if fresh else catalogue
