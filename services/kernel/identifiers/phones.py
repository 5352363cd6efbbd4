"""Normalises phone numbers to E.164, by the numbering plans of `phonenumberslite`.

A form must not change under a state that was built with it. So the library is pinned to one
release, and another release is another normalisation version. Its import is slow and most processes
read no number at first, so it is imported with the first number.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import Any

from services.kernel.identifiers.tidy import without_decimals

#: The region of a workspace that names none.
DEFAULT_REGION = "CN"

# Characters written around the digits, with an extension at the end. Anything else is no number,
# although the library would find one inside: normalising is not searching. The leading signs are
# atomic and the number ends in no space, so that no two repeats can share a run of characters: the
# time to refuse a text grows with its length, not with the cube of it.
_WRITTEN = re.compile(
    r"(?:tel:)?(?P<number>(?>[ ()./-]*)\+?[\d ()./-]*?[\d()./-])"
    r"(?:[ ,;]*(?:extension|ext|x|#|转|分机)[ .:=]*(?P<extension>[0-9]{1,7}))?",
    re.IGNORECASE,
)
#: The longest number with its signs, in characters: the library reads no longer one.
_MAX_WRITTEN = 250
#: The most digits of a number with its prefixes. The library's own expressions search a number for
#: signs from each of its characters, so it gets a short one without signs.
_MAX_DIGITS = 40
_DASHES = str.maketrans(dict.fromkeys("‐‑‒–—―−", "-"))
_SIGNS = str.maketrans("", "", " ()./-")
#: Numbers entered only because a form requires one: this is China Mobile's own.
_PLACEHOLDERS = frozenset({"+8613800138000"})


def is_region(text: str) -> bool:
    """Return whether a text is a region with a numbering plan: two capital letters of ISO 3166."""
    from phonenumbers import SUPPORTED_REGIONS

    return text in SUPPORTED_REGIONS


@lru_cache(maxsize=1 << 14)
def phone(value: str, region: str) -> str | None:
    """Return `+` and digits, with `;ext=` and an extension if there is one; None = no number."""
    value = value.translate(_DASHES)
    # Most numbers of China are mobile numbers; this avoids the library, which takes ten times as
    # long. A point may begin decimals.
    number = _mobile_in_china(value) if region == "CN" and "." not in value else None
    number = number or _parse(value, region)
    return None if number in _PLACEHOLDERS else number


def _mobile_in_china(value: str) -> str | None:
    plain = _chinese_mobile().fullmatch(value.translate(_SIGNS))
    return f"+86{plain[1]}" if plain else None


def _parse(value: str, region: str) -> str | None:
    written = _WRITTEN.fullmatch(value)
    if written is None:
        return None
    number = _e164(written["number"], region)
    extension = written["extension"]
    return f"{number};ext={extension}" if number and extension else number


def _e164(text: str, region: str) -> str | None:
    import phonenumbers

    if len(text) > _MAX_WRITTEN:
        return None
    digits = (without_decimals(text) or "").translate(_SIGNS)
    if len(digits) > _MAX_DIGITS:
        return None
    try:
        number = phonenumbers.parse(digits, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


@cache
def _chinese_mobile() -> re.Pattern[str]:
    from phonenumbers import PhoneMetadata

    plan: Any = PhoneMetadata.metadata_for_region("CN")
    return re.compile(rf"(?:\+?86)?({plan.mobile.national_number_pattern})", re.ASCII)
