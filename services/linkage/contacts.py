"""Birth dates, phones, mail and addresses in a form in which they can be compared. Pure."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import date

from services.kernel.identifiers import normalize
from services.linkage.names import simplified

#: What forms fill in where nobody has said anything.
_DEFAULT_DATES = frozenset({"1900-01-01", "1970-01-01", "1980-01-01", "2000-01-01", "1899-12-30"})
#: Mailboxes of offices and of nobody.
_NO_PERSON = frozenset(
    {
        *("info", "admin", "sales", "service", "support", "contact", "office", "hello", "mail"),
        *("test", "webmaster", "noreply", "hr"),
    }
)
_DATE = re.compile(r"(\d{4})\D?(\d{1,2})\D?(\d{1,2})")
_HOUSE_CN = re.compile(r"([^省市区县镇]{2,8}?(?:路|街|道|巷|弄|胡同))(\d+)")
_CITY_CN = re.compile(r"^(?:[^省市]{2,7}?(?:省|自治区))?([^省市]{2,7}?)市")
_DISTRICT_CN = re.compile(r"市([^市区县]{1,6}[区县])")
_HOUSE_WEST = re.compile(r"(\d+[a-z]?)\s+([^\d,]{4,})")
_HAN = re.compile(r"[\u3400-\u9fff]")
_SHORTENED = {"st": "street", "rd": "road", "ave": "avenue", "ln": "lane", "dr": "drive"}


@dataclass(frozen=True, slots=True)
class Place:
    """An address, taken apart. Empty where it does not tell."""

    whole: str
    #: Road and number.
    house: str
    city: str


NOWHERE = Place("", "", "")


def birth_date(text: str) -> str:
    """ISO 8601; empty where it is no date, or the one that forms fill in."""
    found = _DATE.match(text.strip())
    if not found:
        return ""
    try:
        told = date(*map(int, found.groups())).isoformat()
    except ValueError:
        return ""
    return "" if told in _DEFAULT_DATES or told < "1900" else told


def phone_number(text: str, region: str) -> str:
    """Digits with the country code; empty where they are too few, or nearly all alike.

    A number that does not exist keeps its digits: it may be one with a typing error.
    """
    shaped = normalize("phone", text, region)
    digits = re.sub(r"\D", "", shaped.value if shaped else text)
    if len(digits) == 11 and digits.startswith("1") and region == "CN":
        digits = f"86{digits}"
    return digits if len(digits) >= 7 and len(set(digits)) > 2 else ""


def mailbox(text: str) -> tuple[str, str]:
    """The whole address and what is before the @; empty where it names no person."""
    local, at, domain = unicodedata.normalize("NFKC", text).strip().casefold().partition("@")
    if not at or not domain or not local or local in _NO_PERSON:
        return "", ""
    return f"{local}@{domain}", local.partition("+")[0]


def place_of(text: str, city: str = "") -> Place:
    """An address in Chinese or in Latin letters; `city` where it is told by itself."""
    shaped = simplified(unicodedata.normalize("NFKC", text)).casefold().strip()
    if not shaped:
        return NOWHERE
    return _chinese(shaped, city) if _HAN.search(shaped) else _western(shaped, city)


def _chinese(text: str, city: str) -> Place:
    whole = re.sub(r"[\s,，。.;-]", "", text)
    house, town = _HOUSE_CN.search(whole), _CITY_CN.search(whole)
    district = _DISTRICT_CN.search(whole)
    where = (town[1] if town else city) + (district[1] if district else "")
    return Place(whole, "".join(house.groups()) if house else "", where)


def _western(text: str, city: str) -> Place:
    words = [_SHORTENED.get(w, w) for w in re.findall(r"\w+", text)]
    house = _HOUSE_WEST.search(" ".join(words) if "," not in text else text)
    last = text.rpartition(",")[2].strip() if "," in text else ""
    return Place(" ".join(words), f"{house[1]} {house[2].strip()}" if house else "", city or last)
