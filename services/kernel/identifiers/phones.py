"""Telephone numbers: E.164, by the numbering plans of `phonenumberslite`.

A form never changes under a state that was built with it, so the library is pinned to one release,
and another release is another version of the forms. It takes a while to import, and most processes
read no number at first: it is imported when the first one is read.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import Any

#: Where a workspace says nothing.
DEFAULT_REGION = "CN"

# What people write around the digits, an extension at the end. Anything else is no number, though
# the library would find one inside: a form is not a search.
_WRITTEN = re.compile(
    r"(?:tel:)?(?P<number>[ ()./-]*\+?[\d ()./-]+?)"
    r"(?:[ ,;]*(?:extension|ext|x|#|转|分机)[ .:=]*(?P<extension>[0-9]{1,7}))?",
    re.IGNORECASE,
)
_DASHES = str.maketrans(dict.fromkeys("‐‑‒–—―−", "-"))
_SIGNS = str.maketrans("", "", " ()./-")
#: Numbers that people type where they must type one: this is China Mobile's own.
_PLACEHOLDERS = frozenset({"+8613800138000"})


def is_region(text: str) -> bool:
    """Whether numbers can be read as dialled there: two capital letters of ISO 3166."""
    from phonenumbers import SUPPORTED_REGIONS

    return text in SUPPORTED_REGIONS


@lru_cache(maxsize=1 << 14)
def phone(value: str, region: str) -> str | None:
    """`+` and digits, `;ext=` and an extension where there is one; None where it is no number."""
    value = value.translate(_DASHES)
    # Most numbers of China are of mobile phones; it spares them the library, which takes ten times
    # as long.
    if region == "CN" and (plain := _mobile_of_china().fullmatch(value.translate(_SIGNS))):
        shaped: str | None = f"+86{plain[1]}"
    else:
        shaped = _read(value, region)
    return None if shaped in _PLACEHOLDERS else shaped


def _read(value: str, region: str) -> str | None:
    written = _WRITTEN.fullmatch(value)
    if written is None:
        return None
    number = _e164(written["number"], region)
    extension = written["extension"]
    return f"{number};ext={extension}" if number and extension else number


def _e164(text: str, region: str) -> str | None:
    import phonenumbers

    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


@cache
def _mobile_of_china() -> re.Pattern[str]:
    from phonenumbers import PhoneMetadata

    plan: Any = PhoneMetadata.metadata_for_region("CN")
    return re.compile(rf"(?:\+?86)?({plan.mobile.national_number_pattern})", re.ASCII)
