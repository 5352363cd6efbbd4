"""Workspaces, sources and keys: what is defined, and what a wish to define comes to."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from services.kernel.errors import InvalidField
from services.kernel.identifiers import DEFAULT_REGION, is_region

#: The full names of the facts, as of onefold.ingest.v1.
WORKSPACE_DEFINED = "onefold.ingest.v1.WorkspaceDefined"
SOURCE_DEFINED = "onefold.ingest.v1.SourceDefined"
KEY_DEFINED = "onefold.ingest.v1.KeyDefined"
KINDS = (WORKSPACE_DEFINED, SOURCE_DEFINED, KEY_DEFINED)

MAX_TITLE = 200
#: Ids stand in subjects of the bus and in addresses.
_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


class WorkspaceDefinition(NamedTuple):
    """A tenant."""

    workspace_id: str
    title: str = ""
    #: Where telephone numbers without a country code are dialled; empty = DEFAULT_REGION.
    default_region: str = ""


class SourceDefinition(NamedTuple):
    """One way in."""

    workspace_id: str
    source_id: str
    title: str = ""
    #: The channel of events that name none.
    channel: str = ""
    #: Counts up from 1; 0 = not given yet.
    version: int = 0
    disabled: bool = False


class KeyDefinition(NamedTuple):
    """A key, without its secret."""

    workspace_id: str
    key_id: str
    #: SHA-256 of the key.
    key_hash: bytes
    #: A number of onefold.ingest.v1.Role.
    role: int
    source_id: str = ""
    title: str = ""
    #: 1 = issued, 2 = disabled.
    version: int = 1
    disabled: bool = False


Definition = WorkspaceDefinition | SourceDefinition | KeyDefinition


def check_id(field: str, id_: str) -> None:
    """Raises InvalidField where a text cannot be an id."""
    if not _ID.fullmatch(id_):
        raise InvalidField(
            "an id has 1 to 63 characters of a-z, 0-9, '-' and '_', and starts with no sign",
            field=field,
        )


def check_title(field: str, title: str) -> None:
    """Raises InvalidField where a text for people is too long or holds NUL."""
    if len(title) > MAX_TITLE or "\0" in title:
        raise InvalidField(f"it has at most {MAX_TITLE} characters and no NUL", field=field)


def check_region(field: str, region: str) -> None:
    """Raises InvalidField where numbers cannot be read as dialled there; empty is allowed."""
    if region and not is_region(region):
        raise InvalidField(
            "a region has two capital letters of ISO 3166, such as CN or US", field=field
        )


def check_same_region(known: WorkspaceDefinition, wanted: WorkspaceDefinition) -> None:
    """Raises InvalidField where a workspace would get another region than it has."""
    region = known.default_region or DEFAULT_REGION
    if wanted.default_region not in ("", region):
        raise InvalidField(
            f"the workspace {known.workspace_id} has the default region {region} for ever, as the "
            "leaves of its log rest on it: leave it, or make another workspace",
            field="default_region",
        )


def check_source(source: SourceDefinition) -> None:
    """Raises InvalidField where a source cannot be defined so."""
    check_id("source.source_id", source.source_id)
    check_title("source.title", source.title)
    check_title("source.channel", source.channel)


def next_source(
    current: SourceDefinition | None, wanted: SourceDefinition
) -> SourceDefinition | None:
    """The version to define; None where the source stands as wanted."""
    if current is None:
        return wanted._replace(version=1)
    if wanted._replace(version=current.version) == current:
        return None
    return wanted._replace(version=current.version + 1)


def newest(definitions: Iterable[Definition]) -> list[Definition]:
    """The one that holds of each thing defined, in a fixed order."""
    held: dict[tuple[str, ...], Definition] = {}
    for definition in definitions:
        name = _name(definition)
        if name not in held or _version(held[name]) < _version(definition):
            held[name] = definition
    return [held[name] for name in sorted(held)]


def _name(definition: Definition) -> tuple[str, ...]:
    match definition:
        case WorkspaceDefinition():
            return "workspace", definition.workspace_id
        case SourceDefinition():
            return "source", definition.workspace_id, definition.source_id
        case KeyDefinition():
            return "key", definition.workspace_id, definition.key_id


def _version(definition: Definition) -> int:
    return 1 if isinstance(definition, WorkspaceDefinition) else definition.version
