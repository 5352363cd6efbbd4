"""Defines workspaces, sources and keys: each definition is a fact of the log."""

from __future__ import annotations

from collections.abc import Iterable

from services.chassis.access.keys import IssuedKey
from services.chassis.access.principal import Role
from services.chassis.definitions import Defined, DefinitionAppended, DefinitionFact, define
from services.ingest.codec.definitions import encode_definition
from services.ingest.domain.definitions import (
    AccessDefinition,
    FieldClassesDefinition,
    KeyDefinition,
    SourceDefinition,
    WorkspaceDefinition,
    check_field_classes,
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
from services.kernel.errors import Conflict
from services.kernel.tokens import Token

_ACTOR = "ingest"


def first_admin_key(workspace_id: str, key: IssuedKey, created_at_us: int) -> KeyDefinition:
    """Return the definition of the key with which a workspace begins."""
    return KeyDefinition(
        workspace_id,
        key.key_id,
        key.key_hash,
        Role.ADMIN,
        title="the first admin key",
        created_at_us=created_at_us,
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
        desired = desired.normalized()
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

    async def define_field_classes(
        self, desired: FieldClassesDefinition, actor: str, *, etag: str = "", dry_run: bool = False
    ) -> Defined[FieldClassesDefinition]:
        """Define which fields of a workspace are personal. Raises InvalidField, Conflict."""
        check_field_classes(desired)

        async def load(_: Token) -> FieldClassesDefinition | None:
            return await self.field_classes(desired.workspace_id)

        return await define(
            lambda _: desired,
            log=self,
            load=load,
            to_fact=lambda classes: encode_definition(classes, actor),
            etag=etag,
            dry_run=dry_run,
        )

    async def field_classes(self, workspace_id: str) -> FieldClassesDefinition | None:
        """Return the classes of a workspace; None = it has defined none."""
        await self._projection.refresh()
        return await self._store.field_classes(workspace_id)

    async def sources(self, workspace_id: str) -> list[SourceDefinition]:
        """Return the sources of a workspace, by id."""
        await self._projection.refresh()
        return await self._store.sources(workspace_id)

    async def create_workspace(
        self, workspace: WorkspaceDefinition, admin: KeyDefinition, actor: str
    ) -> Token | None:
        """Define a workspace and its first key, both or none; None where it exists already.

        Raises InvalidField, also where it exists with another default region.
        """
        check_id("workspace_id", workspace.workspace_id)
        check_title("title", workspace.title)
        check_region("default_region", workspace.default_region)
        await self.refresh()
        if await self._is_defined(workspace):
            return None
        try:
            return await self.append(actor, workspace, admin)
        except Conflict:  # another call has created it since
            await self._projection.refresh()
            await self._is_defined(workspace)
            return None

    async def ensure_workspace(self, workspace: WorkspaceDefinition) -> None:
        """Define a workspace that is not defined yet.

        Raises InvalidField where it exists with another default region.
        """
        await self.refresh()
        if not await self._is_defined(workspace):
            await self.append(_ACTOR, workspace)

    async def _is_defined(self, workspace: WorkspaceDefinition) -> bool:
        existing = await self._store.workspace(workspace.workspace_id)
        if existing is not None:
            check_same_region(existing, workspace)
        return existing is not None

    async def refresh(self) -> None:
        """Fold the definitions up to the end of the log."""
        await self._projection.refresh()

    async def head(self) -> Token:
        return (await self._log.heads()).token

    async def append_definition(self, fact: DefinitionFact) -> DefinitionAppended:
        return await self._append_facts([fact])

    async def append(self, actor: str, *definitions: AccessDefinition) -> Token:
        """Append all definitions or none, and fold them. Raises Conflict."""
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
