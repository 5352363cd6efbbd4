"""Defines workspaces, sources and keys, and checks the values that they may have."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple, TypeAlias

from services.kernel.errors import InvalidField
from services.kernel.identifiers.phones import DEFAULT_REGION, is_region

MAX_TITLE = 200
#: Ids are parts of NATS subjects and of URLs.
_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


class WorkspaceDefinition(NamedTuple):
    """A tenant. It has one version, as it never changes."""

    workspace_id: str
    title: str = ""
    #: The region in which phone numbers without a country code are dialled; empty = DEFAULT_REGION.
    default_region: str = ""

    @property
    def key(self) -> str:
        return self.workspace_id

    @property
    def version(self) -> int:
        return 1


class SourceDefinition(NamedTuple):
    """A source of events."""

    workspace_id: str
    source_id: str
    title: str = ""
    #: The channel of events that name none.
    channel: str = ""
    #: Counts from 1; 0 = not defined yet.
    version: int = 0
    disabled: bool = False

    @property
    def key(self) -> str:
        return self.source_id

    def at_version(self, version: int) -> SourceDefinition:
        return self._replace(version=version)


class KeyDefinition(NamedTuple):
    """An API key, without its secret."""

    workspace_id: str
    key_id: str
    #: SHA-256 of the key.
    key_hash: bytes
    #: A number of onefold.ingest.v1.Role.
    role: int
    source_id: str = ""
    title: str = ""
    #: Counts from 1, which issues the key.
    version: int = 1
    disabled: bool = False
    created_at_us: int = 0
    #: 0 = never.
    expires_at_us: int = 0
    #: Origins of web pages, as services.kernel.restrictions reads them; empty = any.
    allowed_origins: tuple[str, ...] = ()
    #: Addresses and networks of callers; empty = any.
    allowed_addresses: tuple[str, ...] = ()
    #: Whether the settings of ingest name the key as its first admin key.
    bootstrap: bool = False

    @property
    def key(self) -> str:
        return self.key_id

    def at_version(self, version: int) -> KeyDefinition:
        return self._replace(version=version)


AccessDefinition: TypeAlias = WorkspaceDefinition | SourceDefinition | KeyDefinition


def check_id(field: str, id_: str) -> None:
    """Raise InvalidField where a text cannot be an id."""
    if not _ID.fullmatch(id_):
        raise InvalidField(
            "an id has 1 to 63 characters of a-z, 0-9, '-' and '_', and begins with a letter or "
            "digit",
            field=field,
        )


def check_title(field: str, title: str) -> None:
    """Raise InvalidField where a title is too long or holds NUL."""
    if len(title) > MAX_TITLE or "\0" in title:
        raise InvalidField(f"it has at most {MAX_TITLE} characters and no NUL", field=field)


def check_region(field: str, region: str) -> None:
    """Raise InvalidField where the phone numbers of a region are not known; empty is allowed."""
    if region and not is_region(region):
        raise InvalidField(
            "a region is two capital letters of ISO 3166, such as CN or US", field=field
        )


def check_same_region(existing: WorkspaceDefinition, desired: WorkspaceDefinition) -> None:
    """Raise InvalidField where a workspace would change its region."""
    region = existing.default_region or DEFAULT_REGION
    if desired.default_region not in ("", region):
        raise InvalidField(
            f"the workspace {existing.workspace_id} has the default region {region}, and the leaves"
            " of its log depend on it: leave the region out, or create another workspace",
            field="default_region",
        )


def check_source(source: SourceDefinition) -> None:
    """Raise InvalidField where a source has an invalid field."""
    check_id("source.source_id", source.source_id)
    check_title("source.title", source.title)
    check_title("source.channel", source.channel)


def newest(definitions: Iterable[AccessDefinition]) -> list[AccessDefinition]:
    """Return the highest version of each thing that is defined, in a fixed order."""
    by_name: dict[tuple[str, str, str], AccessDefinition] = {}
    for definition in sorted(definitions, key=lambda definition: definition.version):
        name = (type(definition).__name__, definition.workspace_id, definition.key)
        by_name[name] = definition
    return [by_name[name] for name in sorted(by_name)]
