"""Defines workspaces, sources, keys and field classes, and checks the values that they may have."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import NamedTuple, TypeAlias

from services.ingest.domain.events import NO_LIMITS, SourceLimits
from services.kernel.errors import InvalidField
from services.kernel.identifiers.model import validation_error
from services.kernel.identifiers.phones import DEFAULT_REGION, is_region
from services.kernel.masking import FieldClass
from services.kernel.time import DAY_US
from services.kernel.trust import Party, SourceTrust

MAX_TITLE = 200
#: The most entries of the lists of a source, and the most characters of an entry.
MAX_NAMESPACES, MAX_NAMES, MAX_NAME = 100, 1_000, 512
MAX_AGE_DAYS = 36_500
#: Browsers and apps send what they queued while they were offline; older events are forged, or
#: their device has a wrong clock.
PUBLIC_MAX_AGE_DAYS = 30
_TRUSTS = frozenset(map(int, SourceTrust))
_PARTIES = frozenset(map(int, Party))
_CLASSES = frozenset(map(int, FieldClass))
#: Ids are parts of NATS subjects and of URLs.
_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
#: The source of the events that the system itself records, such as an unsubscription.
SYSTEM_SOURCE_ID = "onefold"


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
    #: A number of SourceTrust; 0 = PUBLIC.
    trust: int = SourceTrust.PUBLIC
    #: What its events may contain, sorted; empty = anything.
    allowed_namespaces: tuple[str, ...] = ()
    allowed_event_names: tuple[str, ...] = ()
    allowed_traits: tuple[str, ...] = ()
    #: 0 = the default of the trust.
    max_age_days: int = 0
    #: A number of Party; 0 = FIRST.
    party: int = Party.FIRST

    @property
    def key(self) -> str:
        return self.source_id

    @property
    def max_age_us(self) -> int:
        """Return how long before its arrival an event may have occurred; 0 = any time."""
        return DAY_US * (self.max_age_days or (PUBLIC_MAX_AGE_DAYS if self.is_public else 0))

    @property
    def is_public(self) -> bool:
        return self.trust <= SourceTrust.PUBLIC

    @property
    def limits(self) -> SourceLimits | None:
        """Return what its events may contain; None where that is anything.

        A public source says something about accounts only where that is allowed expressly.
        """
        limits = SourceLimits(
            namespaces=frozenset(self.allowed_namespaces),
            event_names=frozenset(self.allowed_event_names),
            traits=frozenset(self.allowed_traits),
            accounts=not self.is_public,
        )
        return None if limits == NO_LIMITS else limits

    def at_version(self, version: int) -> SourceDefinition:
        return self._replace(version=version)

    def normalized(self) -> SourceDefinition:
        """Return the definition with its trust and party stated, and its lists sorted, without
        repetitions."""
        return self._replace(
            trust=self.trust or SourceTrust.PUBLIC,
            party=self.party or Party.FIRST,
            allowed_namespaces=_sorted(self.allowed_namespaces),
            allowed_event_names=_sorted(self.allowed_event_names),
            allowed_traits=_sorted(self.allowed_traits),
        )


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


class FieldClassesDefinition(NamedTuple):
    """Which fields of a workspace are personal or sensitive; sorted pairs of a name and a number of
    FieldClass."""

    workspace_id: str
    identifiers: tuple[tuple[str, int], ...] = ()
    names: tuple[tuple[str, int], ...] = ()
    #: Counts from 1; 0 = not defined yet.
    version: int = 0

    @property
    def key(self) -> str:
        return self.workspace_id

    def at_version(self, version: int) -> FieldClassesDefinition:
        return self._replace(version=version)


AccessDefinition: TypeAlias = (
    WorkspaceDefinition | SourceDefinition | KeyDefinition | FieldClassesDefinition
)


def is_id(text: str) -> bool:
    """Return whether a text can be the id of a workspace or a source."""
    return _ID.fullmatch(text) is not None


def check_id(field: str, id_: str) -> None:
    """Raise InvalidField where a text cannot be an id."""
    if not is_id(id_):
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
    if source.trust not in _TRUSTS:
        raise InvalidField(
            "choose how far the source is believed: SOURCE_TRUST_PUBLIC, SOURCE_TRUST_SERVER or"
            " SOURCE_TRUST_SYSTEM_OF_RECORD",
            field="source.trust",
        )
    if source.party not in _PARTIES:
        raise InvalidField(
            "choose where the data of the source comes from: PARTY_FIRST, PARTY_SECOND or"
            " PARTY_THIRD",
            field="source.party",
        )
    _check_names("source.allowed_event_names", source.allowed_event_names, MAX_NAMES)
    _check_names("source.allowed_traits", source.allowed_traits, MAX_NAMES)
    _check_names("source.allowed_namespaces", source.allowed_namespaces, MAX_NAMESPACES)
    for namespace in source.allowed_namespaces:
        error = validation_error(namespace, "")
        if error is not None:
            raise InvalidField(error, field="source.allowed_namespaces")
    if source.max_age_days > MAX_AGE_DAYS:
        raise InvalidField(
            f"the greatest age of an event is at most {MAX_AGE_DAYS} days",
            field="source.max_age_days",
        )


def check_field_classes(classes: FieldClassesDefinition) -> None:
    """Raise InvalidField where a name or a class cannot be defined."""
    namespaces, names = dict(classes.identifiers), dict(classes.names)
    _check_names("classes.names", names, MAX_NAMES)
    _check_names("classes.identifiers", namespaces, MAX_NAMESPACES)
    for namespace in namespaces:
        error = validation_error(namespace, "")
        if error is not None:
            raise InvalidField(error, field="classes.identifiers")
    for field, classes_of in (("identifiers", namespaces), ("names", names)):
        if not _CLASSES.issuperset(classes_of.values()):
            raise InvalidField(
                "choose for each name FIELD_CLASS_NONE, FIELD_CLASS_PERSONAL or"
                " FIELD_CLASS_SENSITIVE; leave a name out to give it the class that it has in"
                " every workspace",
                field=f"classes.{field}",
            )


def _check_names(field: str, names: Collection[str], limit: int) -> None:
    if len(names) > limit:
        raise InvalidField(f"there are at most {limit} of them", field=field)
    if any(not 0 < len(name) <= MAX_NAME or "\0" in name for name in names):
        raise InvalidField(f"each has 1 to {MAX_NAME} characters and no NUL", field=field)


def _sorted(names: Collection[str]) -> tuple[str, ...]:
    return tuple(sorted(set(names)))


def newest(definitions: Iterable[AccessDefinition]) -> list[AccessDefinition]:
    """Return the highest version of each thing that is defined, in a fixed order."""
    by_name: dict[tuple[str, str, str], AccessDefinition] = {}
    for definition in sorted(definitions, key=lambda definition: definition.version):
        name = (type(definition).__name__, definition.workspace_id, definition.key)
        by_name[name] = definition
    return [by_name[name] for name in sorted(by_name)]
