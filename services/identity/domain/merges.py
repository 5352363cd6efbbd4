"""Groups assignments into the merges and splits that they amount to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from services.identity.domain.rows import IdentifierAssignment
from services.kernel.identifiers.model import Identifier
from services.kernel.ids import NO_ID, ProfileId, WorkspaceId
from services.kernel.tokens import Token


class ProfileMove(NamedTuple):
    """Identifiers that moved from one profile to another."""

    before: ProfileId
    after: ProfileId
    #: Those whose namespace and value are known.
    identifiers: Sequence[Identifier]


class Merges(NamedTuple):
    """The moves in one published message, or none where others followed without moves."""

    #: The state of the log from which to continue.
    token: Token
    moves: Sequence[ProfileMove]


def moves_of(
    workspace_id: WorkspaceId, assignments: Iterable[IdentifierAssignment]
) -> list[ProfileMove]:
    """Return the moves between profiles of a workspace."""
    moved: dict[tuple[ProfileId, ProfileId], list[Identifier]] = {}
    for one in assignments:
        if one.before is None or one.identifier.workspace_id != workspace_id:
            continue
        if one.profile_id == NO_ID:  # the identifier is gone, as its person was erased
            continue
        identifiers = moved.setdefault((one.before, one.profile_id), [])
        if one.identifier.identifier is not None:
            identifiers.append(one.identifier.identifier)
    return [ProfileMove(before, after, some) for (before, after), some in moved.items()]
