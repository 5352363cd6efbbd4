"""Standardises numbers as people write them."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Final

from services.kernel.cleaning.text import has_other_digits, plain_text
from services.kernel.rules.values import Json, number

#: Longer texts are no numbers.
MAX_LENGTH: Final = 400
_CURRENCY: Final = r"(?:RMB|CNY|USD|EUR|HKD|US\$|HK\$|人民币|[¥$€£])"
_UNIT: Final = r"(?:元|块|圆|人民币|美元|欧元|港元|港币|RMB|CNY|USD|EUR|HKD)"
_DIGITS: Final = (
    r"(?P<digits>(?:0|[1-9][0-9]*|[1-9][0-9]{0,2}(?:,[0-9]{3})+)(?:\.[0-9]+)?|\.[0-9]+)"
)
_PLAIN: Final = re.compile(
    rf"(?P<sign>[-+]?) ?{_DIGITS}(?P<exponent>E[-+]?[0-9]{{1,3}})?(?P<percent> ?%)?", re.IGNORECASE
)
_AMOUNT: Final = re.compile(
    rf"(?:(?P<sign>[-+]) ?)?(?:{_CURRENCY} ?)?(?:(?P<inner>[-+]) ?)?{_DIGITS}"
    rf"(?: ?(?P<factor>万亿|[万萬亿億]))?(?: ?{_UNIT})?",
    re.IGNORECASE,
)
_FACTORS: Final = {
    **dict.fromkeys(("万", "萬"), 10_000),
    **dict.fromkeys(("亿", "億"), 100_000_000),
    "万亿": 1_000_000_000_000,
}


def clean_number(value: Json) -> int | float | None:
    """Return the number that a value is, or None if it is none, or an ambiguous one.

    Texts may have full-width digits, a comma before each three digits, a sign of a currency, 万 or
    亿, or a percent sign, which divides by 100: `１，２３４．５`, `¥1,200`, `3.5万元`, `12.5%`.
    None: other groups (`1,23`, `1.234,5`, `1 234`), leading zeros (`007` is a code), a range, an
    approximation, numbers in words, booleans.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    if isinstance(value, str):
        is_number = len(value) <= MAX_LENGTH and not has_other_digits(value)
        return _read(plain_text(value)) if is_number else None
    return _finite(value)


def _read(text: str) -> int | float | None:
    if plain := _PLAIN.fullmatch(text):
        exact = _decimal(plain) * (Decimal("0.01") if plain["percent"] else 1)
        return _nearest(-exact if plain["sign"] == "-" else exact)
    amount = _AMOUNT.fullmatch(text)
    if amount is None or (amount["sign"] and amount["inner"]):
        return None
    exact = _decimal(amount) * _FACTORS.get(amount["factor"] or "", 1)
    return _nearest(-exact if "-" in (amount["sign"], amount["inner"]) else exact)


def _decimal(found: re.Match[str]) -> Decimal:
    exponent = found.groupdict().get("exponent") or ""
    return Decimal(found["digits"].replace(",", "") + exponent)


def _nearest(exact: Decimal) -> int | float | None:
    """Return a whole number as it is and another one as a double; None beyond their range."""
    if exact == exact.to_integral_value():
        return _finite(int(exact))
    nearest = float(exact)
    return None if nearest == 0 else _finite(nearest)


def _finite(value: int | float) -> int | float | None:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    canonical = number(value)
    return canonical if math.isfinite(canonical) else None
