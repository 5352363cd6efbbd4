"""Requests the erasure of a person: of a whole profile."""

from __future__ import annotations

import secrets
from typing import NamedTuple

from services.chassis.codec.fields import token_from_proto
from services.chassis.rpc.clients import LogClient
from services.identity.codec.erasure import request_fact
from services.identity.codec.requests import Caller
from services.identity.domain.rows import ResolvedProfile
from services.identity.projection.reader import StateReader
from services.identity.store import erasure, profiles
from services.kernel.errors import InvalidField, NotFound, TooLarge
from services.kernel.identifiers.model import is_account_namespace
from services.kernel.ids import ProfileId
from services.kernel.tokens import Token

#: The most identifiers of a person, and the most of others that were named with one of them.
MAX_IDENTIFIERS, MAX_RELATED = 2_000, 20_000


class RequestedErasure(NamedTuple):
    """A request, or what it would be."""

    #: Empty after a dry run.
    request_id: bytes
    profile: ResolvedProfile
    #: The number of identifiers of others that were named with one of the person.
    related: int
    token: Token


class ErasureRequests:
    """Requests erasures. A call waits until the state includes the head of the log."""

    def __init__(self, reader: StateReader, log: LogClient) -> None:
        self._reader = reader
        self._log = log

    async def request(
        self, caller: Caller, id_: ProfileId, legal_ground: str, *, block: bool, dry_run: bool
    ) -> RequestedErasure:
        """Request the erasure of the profile that an identifier or a former profile id leads to.

        Raises NotFound, InvalidField where it is an account, TooLarge, TokenNotReached.
        """
        reached = await self._reader.runner.reach(await self._log.head())
        workspace_id = caller.workspace_id
        async with self._reader.snapshot() as conn:
            profile = await profiles.load_profile(conn, workspace_id, id_)
            if profile is None:
                raise NotFound("no person of the workspace has this identifier", field="person")
            if any(is_account_namespace(i.identifier.namespace) for i in profile.identifiers):
                raise InvalidField("this is an account; name a person", field="person")
            ids = await erasure.identifiers_of(conn, workspace_id, profile.profile_id)
            related = await erasure.load_related(conn, workspace_id, ids)
        if len(ids) > MAX_IDENTIFIERS or len(related) > MAX_RELATED:
            raise TooLarge(
                f"a person with more than {MAX_IDENTIFIERS} identifiers, or {MAX_RELATED} that they"
                " share with others, is erased in parts: separate some identifiers first",
                limit=str(MAX_IDENTIFIERS),
            )
        if dry_run:
            return RequestedErasure(b"", profile, len(related), reached)
        request_id = secrets.token_bytes(16)
        fact = request_fact(
            caller,
            request_id,
            ids,
            related,
            legal_ground=legal_ground,
            block=block,
            known_to=reached,
        )
        token = token_from_proto((await self._log.append([fact])).token)
        return RequestedErasure(request_id, profile, len(related), token)
