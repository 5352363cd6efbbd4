"""Defines the life of a key: what restricts it, when it expires, and what replaces it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from enum import IntEnum

from services.ingest.domain.definitions import KeyDefinition, check_title
from services.kernel.errors import InvalidField
from services.kernel.restrictions import parse_network, parse_origin
from services.kernel.time import DAY_US

MAX_LIFETIME_US = 3_653 * DAY_US
MAX_OVERLAP_US = 90 * DAY_US
#: The most origins, and the most addresses, of a key.
MAX_RESTRICTIONS = 50


class KeyState(IntEnum):
    """Whether calls with a key are accepted; numbers of onefold.ingest.v1.KeyState."""

    ACTIVE = 1
    EXPIRED = 2
    DISABLED = 3
    SOURCE_DISABLED = 4


def state_of(key: KeyDefinition, now_us: int, *, source_disabled: bool = False) -> KeyState:
    """Return whether calls with a key are accepted at an instant."""
    if key.disabled:
        return KeyState.DISABLED
    if key.expires_at_us and key.expires_at_us <= now_us:
        return KeyState.EXPIRED
    return KeyState.SOURCE_DISABLED if source_disabled else KeyState.ACTIVE


def check_key(key: KeyDefinition) -> None:
    """Raise InvalidField where a key has an invalid field."""
    check_title("title", key.title)
    if key.allowed_origins and not key.source_id:
        raise InvalidField(
            "only the key of a source can be restricted to origins: web pages send events, and"
            " nothing else",
            field="allowed_origins",
        )
    _check_each("allowed_origins", key.allowed_origins, parse_origin)
    _check_each("allowed_addresses", key.allowed_addresses, parse_network)


def _check_each(field: str, texts: Sequence[str], parse: Callable[[str], object]) -> None:
    if len(texts) > MAX_RESTRICTIONS:
        raise InvalidField(f"a key has at most {MAX_RESTRICTIONS} of them", field=field)
    for index, text in enumerate(texts):
        try:
            parse(text)
        except ValueError as error:
            raise InvalidField(str(error), field=f"{field}[{index}]") from None


def check_lifetime(lifetime_us: int) -> None:
    """Raise InvalidField where a key cannot have a lifetime; 0 = it never expires."""
    if not 0 <= lifetime_us <= MAX_LIFETIME_US:
        raise InvalidField("a key expires within ten years, or never", field="lifetime_us")


def expiry(now_us: int, lifetime_us: int) -> int:
    """Return when a key expires that is issued now; 0 = never."""
    return now_us + lifetime_us if lifetime_us else 0


def successor(
    replaced: KeyDefinition, key_id: str, key_hash: bytes, now_us: int, lifetime_us: int
) -> KeyDefinition:
    """Return the key that replaces an active one; lifetime 0 = the lifetime of the replaced one.

    Raises InvalidField where the key is not active, or is the admin key of the settings.
    """
    if replaced.bootstrap:
        raise InvalidField(
            "this is the admin key of the settings: set ONEFOLD_INGEST_ADMIN_KEY to another one (or"
            " delete the file admin.key) and start ingest again",
            field="key_id",
        )
    if state_of(replaced, now_us) is not KeyState.ACTIVE:
        raise InvalidField(
            "the key is disabled or has expired, so nothing is left to replace: issue a new key",
            field="key_id",
        )
    if not lifetime_us and replaced.expires_at_us:
        lifetime_us = replaced.expires_at_us - replaced.created_at_us
    return replaced._replace(
        key_id=key_id,
        key_hash=key_hash,
        version=1,
        created_at_us=now_us,
        expires_at_us=expiry(now_us, lifetime_us),
    )


def check_overlap(overlap_us: int) -> None:
    """Raise InvalidField where a replaced key cannot stay valid for so long."""
    if not 0 <= overlap_us <= MAX_OVERLAP_US:
        raise InvalidField("the overlap is between 0 and 90 days", field="overlap_us")


def expiring(key: KeyDefinition, at_us: int) -> KeyDefinition:
    """Return the next version of a key, which expires at an instant, or earlier as before."""
    earlier = min(key.expires_at_us or at_us, at_us)
    return key._replace(version=key.version + 1, expires_at_us=earlier)


def bootstrap_changes(
    current: KeyDefinition, keys: Iterable[KeyDefinition], overlap_us: int
) -> list[KeyDefinition]:
    """Return the definitions by which the settings' key becomes the only one of its kind.

    `current` is the definition that the key would have if it were new, and is created now. The
    keys that the settings named before expire after the overlap. A key that has been replaced,
    disabled or has expired stays so: a replica that still has the previous settings neither
    extends its key nor ends the new one.
    """
    now_us = current.created_at_us
    by_id = {key.key_id: key for key in keys}
    known = by_id.pop(current.key_id, None)
    if known is not None and known.bootstrap:
        return []
    if known is not None and (known.disabled or known.expires_at_us):
        return []
    replaced = [
        expiring(key, now_us + overlap_us)
        for key in by_id.values()
        if key.bootstrap and not key.expires_at_us and not key.disabled
    ]
    if known is None:
        return [current, *replaced]
    return [known._replace(version=known.version + 1, bootstrap=True), *replaced]
