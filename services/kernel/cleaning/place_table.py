"""Loads the table of Chinese places and the spellings of their names.

`places.csv` has the divisions of GB/T 2260 down to counties: code, full name, and names in Latin
letters of provinces and cities. It also has Hong Kong's districts, Taiwan's cities and counties,
and divisions that were merged, because data has their names. `traditional.txt` has pairs of a
traditional character and the simplified one that names are written with.

A change of these files is another version of the cleaners in `services.kernel.cleaning.cleaners`.
"""

from __future__ import annotations

import csv
import re
import unicodedata
from enum import IntEnum
from functools import lru_cache
from importlib.resources import files
from typing import Final, NamedTuple

#: Longer texts are no names of places.
MAX_LENGTH: Final = 200
#: A name of which each character stands alone, such as `北 京`.
_SPACED_NAME: Final = re.compile(r"[\u4e00-\u9fff](?:\s+[\u4e00-\u9fff])+")
#: What the codes of counties directly below a province have in the place of the city.
_DIRECT: Final = "90"
_SUFFIXES: Final = (
    *("特别行政区", "自治区", "自治州", "自治县", "自治旗"),
    *("林区", "特区", "地区", "新区", "省", "市", "盟", "区", "县", "旗"),
)
#: The peoples in the names of autonomous divisions, which short names leave out.
_PEOPLES: Final = re.compile(
    "(?:(?:各|[蒙回藏苗彝壮满侗瑶白傣黎佤畲水土羌怒]|维吾尔|布依|朝鲜|土家|哈尼|哈萨克|傈僳|拉祜"
    "|东乡|纳西|景颇|柯尔克孜|达斡尔|仫佬|布朗|撒拉|毛南|仡佬|锡伯|阿昌|普米|塔吉克|鄂温克|德昂"
    "|保安|裕固|独龙|珞巴|门巴|蒙古)族|维吾尔|哈萨克|柯尔克孜|蒙古|锡伯|塔吉克){1,8}$"
)
#: What an autonomous division is called for short, as in `凉山州` and `北川县`.
_PLAIN_SUFFIXES: Final = {
    "自治区": ("自治区",),
    "自治州": ("州", "自治州"),
    "自治县": ("县", "自治县"),
    "自治旗": ("旗",),
    "特别行政区": ("特区",),
}
_NICKNAMES: Final = {
    "内蒙": "150000",
    "新疆维吾尔": "650000",
    "呼市": "150100",
    "前郭": "220721",
    "鄂温克": "150724",
    "鄂温克旗": "150724",
    "台湾地区": "710000",
}


class DivisionLevel(IntEnum):
    """How high a division is; the lower number is the higher division."""

    PROVINCE = 1
    CITY = 2
    COUNTY = 3


class Division(NamedTuple):
    """A province, a city (of the prefecture level, or directly below a province), or a county."""

    code: str
    name: str
    level: DivisionLevel

    def contains(self, other: Division) -> bool:
        """Return whether another division is below this one."""
        digits = 2 if self.level is DivisionLevel.PROVINCE else 4
        return self.level < other.level and self.code[:digits] == other.code[:digits]


class Spelling(NamedTuple):
    """A division that a text may mean."""

    division: Division
    #: Whether the text says what it is, as `南京市` does and `南京` does not.
    is_full: bool


class PlaceTable(NamedTuple):
    """The divisions and their spellings."""

    by_code: dict[str, Division]
    by_name: dict[str, tuple[Spelling, ...]]
    by_latin: dict[str, tuple[Division, ...]]
    longest_name: int


@lru_cache(maxsize=1)
def place_table() -> PlaceTable:
    """Return the table; it is read once."""
    by_code: dict[str, Division] = {}
    by_name: dict[str, dict[Division, bool]] = {}
    by_latin: dict[str, list[Division]] = {}
    for code, name, latin in csv.reader(_lines("places.csv")[1:]):
        division = by_code[code] = Division(code, name, _level(code))
        for spelling, is_full in _spellings(name).items():
            by_name.setdefault(spelling, {})[division] = is_full
        for spelling in filter(None, latin.split("|")):
            by_latin.setdefault(latin_key(spelling), []).append(division)
    for name, code in _NICKNAMES.items():
        by_name.setdefault(name, {})[by_code[code]] = False
    return PlaceTable(
        by_code,
        {name: tuple(map(Spelling, found, found.values())) for name, found in by_name.items()},
        {name: tuple(found) for name, found in by_latin.items()},
        max(map(len, by_name)),
    )


@lru_cache(maxsize=1)
def simplified_characters() -> dict[int, str]:
    """Return the translation of traditional characters to those of the names."""
    pairs = " ".join(_lines("traditional.txt")).split()
    return {ord(pair[0]): pair[1] for pair in pairs}


def chinese_name(text: str) -> str:
    """Return a text as names are written: one width, simplified characters, no blanks around.

    The blanks between single characters are removed too.
    """
    text = unicodedata.normalize("NFKC", text).strip().translate(simplified_characters())
    return "".join(text.split()) if _SPACED_NAME.fullmatch(text) else text


def latin_key(text: str) -> str:
    """Return the letters of a name in Latin script: lower case, without accents and marks."""
    letters = unicodedata.normalize("NFKD", text).casefold()
    return "".join(letter for letter in letters if "a" <= letter <= "z")


def _lines(name: str) -> list[str]:
    text = files("services.kernel.cleaning").joinpath(name).read_text(encoding="utf-8")
    return text.splitlines()


def _level(code: str) -> DivisionLevel:
    if code.endswith("0000"):
        return DivisionLevel.PROVINCE
    return (
        DivisionLevel.CITY if code.endswith("00") or code[2:4] == _DIRECT else DivisionLevel.COUNTY
    )


def _spellings(name: str) -> dict[str, bool]:
    """Return the spellings of a full name, each with whether it says what it is."""
    found: dict[str, bool] = {}
    for suffix in _SUFFIXES:
        base = name.removesuffix(suffix)
        if base != name and len(base) >= 2:
            short = _PEOPLES.sub("", base) if suffix in _PLAIN_SUFFIXES else base
            short = short if len(short) >= 2 else base
            found[short] = False
            found |= {short + plain: True for plain in _PLAIN_SUFFIXES.get(suffix, ())}
            break
    return found | {name: True}
