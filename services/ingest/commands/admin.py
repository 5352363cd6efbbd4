"""Defining workspaces, sources and keys: each definition is a fact of the log.

A definition is appended, and then folded from the log into the tables that are asked; so what is
answered is what every other service will come to know.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from services.ingest.domain.definitions import (
    KEY_DEFINED,
    SOURCE_DEFINED,
    WORKSPACE_DEFINED,
    Definition,
    KeyDefinition,
    SourceDefinition,
    WorkspaceDefinition,
    check_id,
    check_region,
    check_same_region,
    check_source,
    check_title,
    next_source,
)
from services.ingest.domain.facts import NewFact
from services.ingest.ports import Clock, Definitions, Log
from services.kernel.errors import Conflict, InvalidField, NotFound
from services.kernel.ids import definition_fact_id
from services.kernel.tokens import Token

#: How often a definition is tried where others define the same at the same moment.
_TRIES = 5

#: Serialises the message of a definition.
Write = Callable[[Definition], bytes]


@dataclass(frozen=True, slots=True)
class DefinedSource:
    """A source as it stands."""

    source: SourceDefinition
    changed: bool
    token: Token


class Administration:
    """The use cases of AdminService."""

    def __init__(
        self,
        log: Log,
        definitions: Definitions,
        clock: Clock,
        write: Write,
        learnt: Callable[[], None],
    ) -> None:
        """`learnt` is called when keys may have changed."""
        self._log = log
        self._definitions = definitions
        self._clock = clock
        self._write = write
        self._learnt = learnt

    async def define_source(
        self, wanted: SourceDefinition, actor: str, *, dry_run: bool = False
    ) -> DefinedSource:
        """Bring a source to stand as wanted. Raises InvalidField, EtagMismatch."""
        check_source(wanted)
        for _ in range(_TRIES):
            await self.catch_up()
            current = await self._definitions.source(wanted.workspace_id, wanted.source_id)
            changed = next_source(current, wanted)
            if changed is None or dry_run:
                # What stands is in the log, so its end includes it.
                token = (await self._log.heads()).token
                return DefinedSource(changed or current or wanted, changed is not None, token)
            try:
                return DefinedSource(changed, True, await self._say(actor, changed))
            except Conflict:
                continue
        raise Conflict("others define this source at the same time; try again")

    async def sources(self, workspace_id: str) -> list[SourceDefinition]:
        """The sources of a workspace, by id."""
        await self.catch_up()
        return await self._definitions.sources(workspace_id)

    async def issue_key(self, key: KeyDefinition, actor: str) -> Token:
        """Make a key known. Raises InvalidField, NotFound where its source is not defined."""
        check_title("title", key.title)
        await self.catch_up()
        if key.source_id and not await self._definitions.source(key.workspace_id, key.source_id):
            raise NotFound("there is no such source; define it first", field="source_id")
        return await self._say(actor, key)

    async def disable_key(self, workspace_id: str, key_id: str, actor: str) -> Token:
        """Let a key open nothing any more. Raises NotFound, InvalidField for one's own key."""
        if key_id == actor:
            raise InvalidField("a key cannot disable itself: use another one", field="key_id")
        await self.catch_up()
        key = await self._definitions.key(workspace_id, key_id)
        if key is None:
            raise NotFound("there is no such key", field="key_id")
        return await self._say(actor, key._replace(version=2, disabled=True))

    async def keys(self, workspace_id: str) -> list[KeyDefinition]:
        """The keys of a workspace, by id."""
        await self.catch_up()
        return await self._definitions.keys(workspace_id)

    async def create_workspace(
        self, workspace: WorkspaceDefinition, admin: KeyDefinition, actor: str
    ) -> Token | None:
        """Make a workspace with its first key, at once; None where it was there already.

        Raises InvalidField, also where it is there with another default region.
        """
        check_id("workspace_id", workspace.workspace_id)
        check_title("title", workspace.title)
        check_region("default_region", workspace.default_region)
        await self.catch_up()
        if await self._is_known(workspace):
            return None
        try:
            return await self._say(actor, workspace, admin)
        except Conflict:  # somebody made it in between
            await self.catch_up()
            await self._is_known(workspace)
            return None

    async def ensure(self, *definitions: Definition) -> None:
        """Say what a first start needs; what is said already is not said again.

        Raises InvalidField where a workspace is there with another default region.
        """
        await self.catch_up()
        for definition in definitions:
            if not await self._is_known(definition):
                await self._say("ingest", definition)

    async def catch_up(self) -> None:
        """Fold what the log tells of definitions, by whomever it was told."""
        if await self._definitions.catch_up():
            self._learnt()

    async def _is_known(self, definition: Definition) -> bool:
        match definition:
            case WorkspaceDefinition():
                made = await self._definitions.workspace(definition.workspace_id)
                if made is not None:
                    check_same_region(made, definition)
                return made is not None
            case SourceDefinition():
                known = await self._definitions.source(
                    definition.workspace_id, definition.source_id
                )
                return known is not None
            case KeyDefinition():
                key = await self._definitions.key(definition.workspace_id, definition.key_id)
                return key is not None

    async def _say(self, actor: str, *definitions: Definition) -> Token:
        now_us = self._clock.now_us()
        facts = [self._fact(actor, definition, now_us) for definition in definitions]
        appended = await self._log.append(facts, whole=True)
        await self.catch_up()
        return appended.token

    def _fact(self, actor: str, definition: Definition, now_us: int) -> NewFact:
        kind, name, version = _told_as(definition)
        workspace_id = definition.workspace_id
        fact_id = definition_fact_id(workspace_id, kind, name, version)
        payload = self._write(definition)
        return NewFact(workspace_id, fact_id, kind, None, now_us, "", actor, payload)


def _told_as(definition: Definition) -> tuple[str, str, int]:
    """The kind of the fact, the name of the thing defined, and its version."""
    match definition:
        case WorkspaceDefinition():
            return WORKSPACE_DEFINED, definition.workspace_id, 1
        case SourceDefinition():
            return SOURCE_DEFINED, definition.source_id, definition.version
        case KeyDefinition():
            return KEY_DEFINED, definition.key_id, definition.version
