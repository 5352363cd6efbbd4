"""Defines workspaces, sources and keys: each definition is a fact of the log."""

from __future__ import annotations

from collections.abc import Iterable

from services.chassis.access.keys import IssuedKey
from services.chassis.access.principal import Role
from services.chassis.definitions import Defined, DefinitionAppended, DefinitionFact, define
from services.ingest.codec.definitions import encode_definition
from services.ingest.domain.definitions import (
    AccessDefinition,
    KeyDefinition,
    SourceDefinition,
    WorkspaceDefinition,
    check_id,
    check_region,
    check_same_region,
    check_source,
    check_title,
)
from services.ingest.domain.facts import NewFact
from services.ingest.log import EventLog
from services.ingest.projection.definitions import DefinitionProjection
from services.ingest.store.definitions import DefinitionStore
from services.kernel.errors import Conflict, InvalidField, NotFound
from services.kernel.tokens import Token

_ACTOR = "ingest"


def first_admin_key(workspace_id: str, key: IssuedKey) -> KeyDefinition:
    """Return the definition of the key with which a workspace begins."""
    return KeyDefinition(
        workspace_id, key.key_id, key.key_hash, Role.ADMIN, title="the first admin key"
    )


class Administration:
    """The commands and queries of AdminService; also the `DefinitionLog` of its definitions.

    All methods raise StoreUnavailable.
    """

    def __init__(
        self, log: EventLog, projection: DefinitionProjection, store: DefinitionStore
    ) -> None:
        self._log = log
        self._projection = projection
        self._store = store

    async def define_source(
        self, desired: SourceDefinition, actor: str, *, etag: str = "", dry_run: bool = False
    ) -> Defined[SourceDefinition]:
        """Create or change a source. Raises InvalidField, Conflict."""
        check_source(desired)

        async def load(_: Token) -> SourceDefinition | None:
            await self._projection.refresh()
            return await self._store.source(desired.workspace_id, desired.source_id)

        return await define(
            lambda _: desired,
            log=self,
            load=load,
            to_fact=lambda source: encode_definition(source, actor),
            etag=etag,
            dry_run=dry_run,
        )

    async def sources(self, workspace_id: str) -> list[SourceDefinition]:
        """Return the sources of a workspace, by id."""
        await self._projection.refresh()
        return await self._store.sources(workspace_id)

    async def issue_key(self, key: KeyDefinition, actor: str) -> Token:
        """Define a new key. Raises InvalidField, and NotFound where its source is not defined."""
        check_title("title", key.title)
        await self._projection.refresh()
        if key.source_id and not await self._store.source(key.workspace_id, key.source_id):
            raise NotFound("the workspace has no such source; define it first", field="source_id")
        return await self._append(actor, key)

    async def disable_key(self, workspace_id: str, key_id: str, actor: str) -> Token:
        """Disable a key. Raises NotFound, and InvalidField for the caller's own key."""
        if key_id == actor:
            raise InvalidField("a key cannot disable itself: use another one", field="key_id")

        async def load(_: Token) -> KeyDefinition | None:
            await self._projection.refresh()
            return await self._store.key(workspace_id, key_id)

        def disabled(key: KeyDefinition | None) -> KeyDefinition:
            if key is None:
                raise NotFound("the workspace has no such key; list the keys", field="key_id")
            return key._replace(disabled=True)

        defined = await define(
            disabled, log=self, load=load, to_fact=lambda key: encode_definition(key, actor)
        )
        return defined.token

    async def keys(self, workspace_id: str) -> list[KeyDefinition]:
        """Return the keys of a workspace, by id."""
        await self._projection.refresh()
        return await self._store.keys(workspace_id)

    async def create_workspace(
        self, workspace: WorkspaceDefinition, admin: KeyDefinition, actor: str
    ) -> Token | None:
        """Define a workspace and its first key, both or none; None where it exists already.

        Raises InvalidField, also where it exists with another default region.
        """
        check_id("workspace_id", workspace.workspace_id)
        check_title("title", workspace.title)
        check_region("default_region", workspace.default_region)
        await self._projection.refresh()
        if await self._is_defined(workspace):
            return None
        try:
            return await self._append(actor, workspace, admin)
        except Conflict:  # another call has created it since
            await self._projection.refresh()
            await self._is_defined(workspace)
            return None

    async def ensure_defined(self, definition: WorkspaceDefinition | KeyDefinition) -> None:
        """Define a workspace or a key that is not defined yet.

        Raises InvalidField where a workspace exists with another default region.
        """
        await self._projection.refresh()
        if not await self._is_defined(definition):
            await self._append(_ACTOR, definition)

    async def _is_defined(self, definition: WorkspaceDefinition | KeyDefinition) -> bool:
        if isinstance(definition, KeyDefinition):
            key = await self._store.key(definition.workspace_id, definition.key_id)
            return key is not None
        existing = await self._store.workspace(definition.workspace_id)
        if existing is not None:
            check_same_region(existing, definition)
        return existing is not None

    async def head(self) -> Token:
        return (await self._log.heads()).token

    async def append_definition(self, fact: DefinitionFact) -> DefinitionAppended:
        return await self._append_facts([fact])

    async def _append(self, actor: str, *definitions: AccessDefinition) -> Token:
        facts = [encode_definition(definition, actor) for definition in definitions]
        return (await self._append_facts(facts)).token

    async def _append_facts(self, definitions: Iterable[DefinitionFact]) -> DefinitionAppended:
        """Append all or none, and fold them. Raises Conflict."""
        now_us = self._log.clock.now_us()
        facts = [
            NewFact(
                workspace_id=definition.workspace_id,
                fact_id=definition.fact_id,
                kind=definition.kind,
                leaf_id=None,
                occurred_at_us=now_us,
                source_id="",
                actor=definition.actor,
                payload=definition.payload,
                content_tag=self._log.index_key.content_tag(
                    definition.workspace_id, definition.payload
                ),
            )
            for definition in definitions
        ]
        appended = await self._log.append(facts, atomic=True)
        await self._projection.refresh()
        return DefinitionAppended(appended.appended > 0, appended.token)
