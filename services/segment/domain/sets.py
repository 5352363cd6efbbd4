"""Computes sets of profiles from the members of segments: and, or, not, and overlaps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import and_
from typing import NamedTuple, TypeAlias

from pyroaring import BitMap

from services.kernel.errors import InvalidField
from services.kernel.ids import WorkspaceId
from services.kernel.tokens import Token

#: Expressions inside of each other, and segments in one expression.
MAX_DEPTH, MAX_SEGMENTS = 32, 100
#: Segments whose overlaps are computed at once.
MAX_OVERLAPPING = 50
#: How the ids of the members of snapshots begin.
SNAPSHOT_PREFIX = "snapshot:"
MAX_NAME, MAX_TITLE = 128, 200


@dataclass(frozen=True, slots=True)
class InSegment:
    """The members of a segment, a value of a tag, a stage or a snapshot."""

    segment_id: str


@dataclass(frozen=True, slots=True)
class InAll:
    """The profiles in all of some sets."""

    sets: tuple[SetExpression, ...]


@dataclass(frozen=True, slots=True)
class InAny:
    """The profiles in any of some sets."""

    sets: tuple[SetExpression, ...]


@dataclass(frozen=True, slots=True)
class NotIn:
    """The profiles that are not in a set."""

    set: SetExpression


SetExpression: TypeAlias = InSegment | InAll | InAny | NotIn


@dataclass(frozen=True, slots=True)
class MemberSnapshot:
    """The members of a set in one state of the log."""

    workspace_id: WorkspaceId
    name: str
    version: int
    title: str
    expression: SetExpression
    token: Token
    removed: bool = False

    @property
    def segment_id(self) -> str:
        """The id of the members."""
        return SNAPSHOT_PREFIX + self.name

    def check_readable(self, shards: int) -> None:
        """Raise InvalidField where it is of a log with another number of shards.

        Its facts may have been copied to this log. A state of the other one is none of this log.
        """
        if len(self.token.offsets) != shards:
            raise InvalidField(
                f"the snapshot was taken in a log with {len(self.token.offsets)} shards, and this"
                f" one has {shards}: remove the snapshot, and take it again",
                field="expression",
            )

    def at_version(self, version: int) -> MemberSnapshot:
        """Return the same snapshot with another version."""
        return replace(self, version=version)


class _Part(NamedTuple):
    """A set, or with `is_complement` the profiles that are not in it."""

    members: BitMap
    is_complement: bool


def segments_in(expression: SetExpression) -> Iterator[str]:
    """Yield the ids in an expression in the order in which they are written."""
    match expression:
        case InSegment():
            yield expression.segment_id
        case NotIn():
            yield from segments_in(expression.set)
        case _:
            for part in expression.sets:
                yield from segments_in(part)


def needs_everyone(expression: SetExpression) -> bool:
    """Return whether an expression is a negation, so that it depends on which profiles exist."""
    match expression:
        case InSegment():
            return False
        case NotIn():
            return not needs_everyone(expression.set)
        case InAll():
            return all(map(needs_everyone, expression.sets))
        case _:
            return any(map(needs_everyone, expression.sets))


def compute(
    expression: SetExpression,
    members: Mapping[str, BitMap],
    everyone: Callable[[], BitMap] = BitMap,
) -> BitMap:
    """Return the set of an expression; `members` of each id in it; may be one of `members`.

    `everyone` is called only where `needs_everyone`.
    """
    part = _compute(expression, members)
    return everyone() - part.members if part.is_complement else part.members


def _compute(expression: SetExpression, members: Mapping[str, BitMap]) -> _Part:
    match expression:
        case InSegment():
            return _Part(members[expression.segment_id], False)
        case NotIn():
            part = _compute(expression.set, members)
            return part._replace(is_complement=not part.is_complement)
        case InAll():
            return _all_of([_compute(part, members) for part in expression.sets])
        case _:
            # Any of some sets is what is not in all of their complements.
            parts = [_compute(part, members) for part in expression.sets]
            inverse = [part._replace(is_complement=not part.is_complement) for part in parts]
            found = _all_of(inverse)
            return found._replace(is_complement=not found.is_complement)


def _all_of(parts: Sequence[_Part]) -> _Part:
    inside = sorted((p.members for p in parts if not p.is_complement), key=len)
    outside = [p.members for p in parts if p.is_complement]
    if not inside:
        return _Part(BitMap.union(*outside), True)
    # Four times as fast as BitMap.intersection, which copies the first one whole.
    found = reduce(and_, inside)
    if outside:
        found = found - (outside[0] if len(outside) == 1 else BitMap.union(*outside))
    return _Part(found, False)


def overlap_row(row: BitMap, others: Sequence[BitMap]) -> list[int]:
    """Return the number of profiles that a set has in common with each of others."""
    return [row.intersection_cardinality(other) for other in others]


def follow_merges(members: BitMap, merged_into: Mapping[int, int | None]) -> BitMap:
    """Return the profiles that members are now; None = a profile that is gone."""
    current = BitMap(members)
    for number in members & BitMap(merged_into.keys()):
        current.discard(number)
        target: int | None = number
        for _ in range(len(merged_into)):
            if target is None or target not in merged_into:
                break
            target = merged_into[target]
        if target is not None and target not in merged_into:
            current.add(target)
    return current


def check_snapshot(snapshot: MemberSnapshot) -> None:
    """Check that a snapshot can be taken. Raises InvalidField."""
    if not 0 < len(snapshot.name) <= MAX_NAME or not snapshot.name.isprintable():
        raise InvalidField(f"a name has 1 to {MAX_NAME} printable characters", field="name")
    if len(snapshot.title) > MAX_TITLE or "\0" in snapshot.title:
        raise InvalidField(f"a title has at most {MAX_TITLE} characters and no NUL", field="title")
    if any(one.startswith(SNAPSHOT_PREFIX) for one in segments_in(snapshot.expression)):
        raise InvalidField(
            "a snapshot is not taken of snapshots: write their expressions", field="expression"
        )
    if needs_everyone(snapshot.expression):
        raise InvalidField(
            "which profiles existed then is not stored, so a snapshot is not only a negation:"
            " add a set that is not negated with `all`",
            field="expression",
        )
