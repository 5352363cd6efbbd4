"""Writes entries of mirrors: copies of memberships that other systems keep."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from services.activation.channels.change import ChangedProfile
from services.activation.channels.http import HttpAnswer, HttpCaller, OutboundRequest
from services.activation.channels.provider import (
    OwnToken,
    ProviderCall,
    ProviderSession,
    TokenSource,
)
from services.activation.domain.model import Destination
from services.activation.domain.sealing import SecretKeys
from services.activation.domain.transitions import AttemptResult, AttemptStatus


@dataclass(frozen=True, slots=True)
class MirrorWrite:
    """What one entry of a mirror has to be. Its text has nothing personal."""

    #: What the receiver finds the entry by.
    key: str = field(repr=False)
    #: A JSON object (UTF-8) with the fields of a member; None = it is no member.
    value: bytes | None = field(repr=False)
    #: Grows with each change of the entry.
    version: int


class MirrorSender(Protocol):
    """Makes the entries of one kind of mirror equal to what they have to be."""

    #: How many entries are written together, at most.
    limit: int

    def entries(self, destination: Destination, profile: ChangedProfile) -> dict[str, bytes]:
        """Return the entries that a member has: the value of each, by its key; {} = it has none."""

    async def write(
        self, destination: Destination, writes: Sequence[MirrorWrite]
    ) -> list[AttemptResult]:
        """Write entries with differing keys; return the result of each, in order.

        To write an entry twice changes nothing. Errors of the receiver are not raised.
        """


@dataclass(frozen=True, slots=True)
class MirrorProvider:
    """One kind of mirror that is written over HTTP."""

    #: Returns the entries of a member by the settings of the channel.
    entries: Callable[[Any, ChangedProfile], dict[str, bytes]]
    request: Callable[[ProviderCall, Sequence[MirrorWrite]], OutboundRequest]
    #: Returns the result of each entry of a request.
    judge: Callable[[HttpAnswer, Sequence[MirrorWrite]], list[AttemptResult]]
    limit: int
    token: TokenSource | OwnToken | None = None
    #: Whether a request either adds members or removes them.
    is_separate: bool = False


class ProviderMirror(MirrorSender):
    """Writes the entries of mirrors through their provider."""

    def __init__(self, provider: MirrorProvider, http: HttpCaller, keys: SecretKeys) -> None:
        self._provider = provider
        self._session = ProviderSession(provider.token, http, keys)
        self.limit = provider.limit

    def entries(self, destination: Destination, profile: ChangedProfile) -> dict[str, bytes]:
        return self._provider.entries(destination.channel, profile)

    async def write(
        self, destination: Destination, writes: Sequence[MirrorWrite]
    ) -> list[AttemptResult]:
        results: dict[str, AttemptResult] = {}
        for together in self._requests(writes):
            results |= await write_by_halves(
                lambda some: self._write_together(destination, some), together
            )
        return [results[each.key] for each in writes]

    def _requests(self, writes: Sequence[MirrorWrite]) -> Iterator[Sequence[MirrorWrite]]:
        if not self._provider.is_separate:
            yield writes
            return
        for group in (
            [each for each in writes if each.value is None],
            [each for each in writes if each.value is not None],
        ):
            if group:
                yield group

    async def _write_together(
        self, destination: Destination, writes: Sequence[MirrorWrite]
    ) -> list[AttemptResult]:
        answer = await self._session.exchange(
            destination, b"", "", lambda call: self._provider.request(call, writes)
        )
        if isinstance(answer, AttemptResult):
            return [answer] * len(writes)
        return self._provider.judge(answer, writes)


async def write_by_halves(
    write: Callable[[Sequence[MirrorWrite]], Awaitable[list[AttemptResult]]],
    writes: Sequence[MirrorWrite],
) -> dict[str, AttemptResult]:
    """Return the result of each write by its key.

    Where the receiver refuses all because of some, they are written by halves, so that those alone
    are refused.
    """
    results = await write(writes)
    if len(writes) > 1 and all(r.status is AttemptStatus.REJECTED for r in results):
        middle = len(writes) // 2
        first = await write_by_halves(write, writes[:middle])
        return first | await write_by_halves(write, writes[middle:])
    return {each.key: result for each, result in zip(writes, results, strict=True)}
