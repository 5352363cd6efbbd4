"""What devices call themselves: hexadecimal digits in many dresses.

`idfa` and `idfv` are of Apple, `gaid` and `android_id` of Android, `oaid` of the makers of phones
in China, `imei` of the radio; `device_id` is whatever an app makes up.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from services.kernel.identifiers.placeholders import is_placeholder

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_HEX = re.compile(r"\{?([0-9a-f]+(?:[:-][0-9a-f]+)*)\}?", re.IGNORECASE)
_ANDROID_ID = re.compile(r"[0-9a-f]{13,16}")
_HEX_DRESS = str.maketrans("", "", "-:")
_IMEI_DRESS = str.maketrans("", "", " -./")
#: A digit doubled, and its digits added: of Luhn's check.
_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)

#: Ids that many devices have: of faulty releases, emulators and examples.
_OF_MANY = frozenset(
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
    return _of_one(digits) if digits is not None and len(digits) == 32 else None


def _free(value: str, region: str) -> str | None:
    digits = _digits(value)
    if digits is not None and len(digits) >= 12:
        return _of_one(digits)
    return None if is_placeholder(value) else value


def _android_id(value: str, region: str) -> str | None:
    # Written as a number it loses its leading zeros.
    lowered = value.lower()
    return _of_one(lowered.zfill(16)) if _ANDROID_ID.fullmatch(lowered) else None


def _imei(value: str, region: str) -> str | None:
    digits = value.translate(_IMEI_DRESS)
    if len(digits) != 15 or not (digits.isascii() and digits.isdigit()):
        return None
    return _of_one(digits) if _checks(digits) else None


def _digits(value: str) -> str | None:
    """The hexadecimal digits, if it is made of nothing else."""
    if _UUID.fullmatch(value):
        return value.replace("-", "")
    found = _HEX.fullmatch(value)
    return found[1].translate(_HEX_DRESS).lower() if found else None


def _of_one(digits: str) -> str | None:
    """In its usual dress; None where many devices have it. No real id has two digits only."""
    dressed = _dressed(digits)
    return None if len(set(digits)) < 3 or dressed in _OF_MANY else dressed


def _dressed(digits: str) -> str:
    if len(digits) != 32:
        return digits
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _checks(digits: str) -> bool:
    kept, doubled = digits[::2], digits[1::2]
    return not (sum(map(int, kept)) + sum(_DOUBLED[int(d)] for d in doubled)) % 10


#: The form of each namespace of a device.
DEVICES: dict[str, Callable[[str, str], str | None]] = {
    "idfa": _uuid,
    "idfv": _uuid,
    "gaid": _uuid,
    "oaid": _free,
    "android_id": _android_id,
    "imei": _imei,
    "device_id": _free,
}
