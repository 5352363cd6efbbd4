"""Normalises ids of devices: hexadecimal digits in many notations.

Apple defines `idfa` and `idfv`, Android `gaid` and `android_id`, phone makers in China `oaid`; the
`imei` belongs to the radio, and `device_id` is whatever an app generates.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from services.kernel.identifiers.model import is_placeholder
from services.kernel.identifiers.tidy import without_decimals

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_HEX = re.compile(r"\{?([0-9a-f]+(?:[:-][0-9a-f]+)*)\}?", re.IGNORECASE)
_ANDROID_ID = re.compile(r"[0-9a-f]{13,16}")
_HEX_SEPARATORS = str.maketrans("", "", "-:")
_IMEI_SEPARATORS = str.maketrans("", "", " -./")
#: The sum of the digits of a doubled digit, for Luhn's check.
_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)

#: Ids that many devices share, from faulty releases, emulators and examples.
_SHARED = frozenset(
    {
        "9774d56d682e549c",  # every device with a faulty Android 2.2
        "004999010640000",
        "012345678912345",
        "123456789012347",
        "01234567-89ab-cdef-0123-456789abcdef",
        "12345678-1234-1234-1234-123456789012",
        "12345678-1234-1234-1234-123456789abc",
    }
)


def _uuid(value: str, region: str) -> str | None:
    digits = _digits(value)
    return _unique_id(digits) if digits is not None and len(digits) == 32 else None


def _free(value: str, region: str) -> str | None:
    digits = _digits(value)
    if digits is not None and len(digits) >= 12:
        return _unique_id(digits)
    return None if is_placeholder(value) else value


def _android_id(value: str, region: str) -> str | None:
    # Written as a number, it has lost its leading zeros.
    lowered = value.lower()
    return _unique_id(lowered.zfill(16)) if _ANDROID_ID.fullmatch(lowered) else None


def _imei(value: str, region: str) -> str | None:
    digits = (without_decimals(value) or "").translate(_IMEI_SEPARATORS)
    if len(digits) != 15 or not (digits.isascii() and digits.isdigit()):
        return None
    return _unique_id(digits) if _passes_luhn_check(digits) else None


def _digits(value: str) -> str | None:
    """Return the hexadecimal digits of a value; None if it has other characters."""
    if _UUID.fullmatch(value):
        return value.replace("-", "")
    found = _HEX.fullmatch(value)
    return found[1].translate(_HEX_SEPARATORS).lower() if found else None


def _unique_id(digits: str) -> str | None:
    """Return the usual notation of an id; None if many devices share it.

    No real id consists of fewer than three different digits.
    """
    formatted = _formatted(digits)
    return None if len(set(digits)) < 3 or formatted in _SHARED else formatted


def _formatted(digits: str) -> str:
    if len(digits) != 32:
        return digits
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _passes_luhn_check(digits: str) -> bool:
    single, doubled = digits[::2], digits[1::2]
    return not (sum(map(int, single)) + sum(_DOUBLED[int(d)] for d in doubled)) % 10


#: The normaliser of each namespace of devices.
DEVICES: dict[str, Callable[[str, str], str | None]] = {
    "idfa": _uuid,
    "idfv": _uuid,
    "gaid": _uuid,
    "oaid": _free,
    "android_id": _android_id,
    "imei": _imei,
    "device_id": _free,
}
