"""Normalises birth dates, phones, mailboxes and addresses for comparison. Pure."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import date

from services.kernel.identifiers.normalize import normalize
from services.linkage.names import HAN, to_simplified

#: Dates that forms fill in by default.
_DEFAULT_DATES = frozenset({"1900-01-01", "1970-01-01", "1980-01-01", "2000-01-01", "1899-12-30"})
#: Mailboxes that belong to no person.
_IMPERSONAL = frozenset(
    {
        *("info", "admin", "sales", "service", "support", "contact", "office", "hello", "mail"),
        *("test", "webmaster", "noreply", "hr"),
    }
)
_DATE = re.compile(r"(\d{4})\D?(\d{1,2})\D?(\d{1,2})")
_HOUSE_CN = re.compile(r"([^省市区县镇]{2,8}?(?:[路街道巷弄]|胡同))(\d+)")
_CITY_CN = re.compile(r"^(?:[^省市]{2,7}?(?:省|自治区))?([^省市]{2,7}?)市")
_DISTRICT_CN = re.compile(r"市([^市区县]{1,6}[区县])")
_HOUSE_WEST = re.compile(r"(?<!\d)(\d+[a-z]?)\s+([^\d,]{4,})")
_SHORTENED = {"st": "street", "rd": "road", "ave": "avenue", "ln": "lane", "dr": "drive"}


@dataclass(frozen=True, slots=True)
class PostalAddress:
    """A parsed address; a part is empty if the text does not have it."""

    whole: str = ""
    #: Street and number.
    house: str = ""
    city: str = ""


def parse_birth_date(text: str) -> str:
    """Return ISO 8601; empty if the text is no date or a default of forms."""
    match = _DATE.match(text.strip())
    if not match:
        return ""
    try:
        parsed = date(*map(int, match.groups())).isoformat()
    except ValueError:
        return ""
    return "" if parsed in _DEFAULT_DATES or parsed < "1900" else parsed


def normalize_phone(text: str, region: str) -> str:
    """Return digits with the country code; empty if they are too few or nearly all equal.

    The digits of an invalid number are returned too: it may have a typing error.
    """
    phone = normalize("phone", text, region)
    digits = re.sub(r"\D", "", phone.value if phone else text)
    if len(digits) == 11 and digits.startswith("1") and region == "CN":
        digits = f"86{digits}"
    return digits if len(digits) >= 7 and len(set(digits)) > 2 else ""


def parse_mailbox(text: str) -> tuple[str, str]:
    """Return the whole address and the part before the @; empty if it belongs to no person."""
    local, _, domain = unicodedata.normalize("NFKC", text).strip().casefold().partition("@")
    if not domain or not local or local in _IMPERSONAL:
        return "", ""
    return f"{local}@{domain}", local.partition("+")[0]


def parse_address(text: str, city: str = "") -> PostalAddress:
    """Parse an address in Chinese or Latin letters; `city` is a separately known city."""
    folded = to_simplified(text).casefold().strip()
    if not folded:
        return PostalAddress()
    return _chinese(folded, city) if HAN.search(folded) else _western(folded, city)


def _chinese(text: str, city: str) -> PostalAddress:
    whole = re.sub(r"[\s,，。.;-]", "", text)
    house, town = _HOUSE_CN.search(whole), _CITY_CN.search(whole)
    district = _DISTRICT_CN.search(whole)
    area = (town[1] if town else city) + (district[1] if district else "")
    return PostalAddress(whole, "".join(house.groups()) if house else "", area)


def _western(text: str, city: str) -> PostalAddress:
    words = [_SHORTENED.get(w, w) for w in re.findall(r"\w+", text)]
    house = _HOUSE_WEST.search(" ".join(words) if "," not in text else text)
    last = text.rpartition(",")[2].strip() if "," in text else ""
    street = f"{house[1]} {house[2].strip()}" if house else ""
    return PostalAddress(" ".join(words), street, city or last)
