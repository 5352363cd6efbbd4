"""Standardises the names of Chinese places to the full names of GB/T 2260."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from services.kernel.cleaning.place_table import (
    MAX_LENGTH,
    Division,
    DivisionLevel,
    Spelling,
    chinese_name,
    latin_key,
    place_table,
)

_SEPARATORS: Final = re.compile(r"[\W_]+")
_COUNTRY: Final = re.compile(r"(?:中华人民共和国|中国)(?=.)")
#: The name of the city codes of municipalities; it adds nothing.
_CITY_DISTRICTS: Final = "市辖区"
#: What follows the name of a place in the name of a street.
_STREETS: Final = (
    *("路", "街", "道", "巷", "弄", "大街", "大道", "胡同"),
    *("东路", "西路", "南路", "北路", "中路"),
)
_LATIN: Final = re.compile(r"[A-Za-z\u00c0-\u024f\u0300-\u036f\s\W]+")
_LATIN_WORDS: Final = re.compile(r"[^\W\d_]+(?:['\u2019`][^\W\d_]+)*")
#: Words beside the name in Latin script that do not matter.
_BESIDE: Final = frozenset(
    {
        *("china", "cn", "chn", "prc", "pr", "p", "r", "c", "peoples", "republic", "of", "the"),
        *("municipality", "region", "autonomous", "special", "administrative", "sar"),
        *("zhuang", "hui", "uygur", "uyghur"),
    }
)
#: Words after the name in Latin script that decide its level.
_LEVELS: Final = {
    **dict.fromkeys(("province", "sheng"), DivisionLevel.PROVINCE),
    **dict.fromkeys(("city", "shi", "prefecture", "league"), DivisionLevel.CITY),
}
#: A name in Latin script has at most as many words, one for each syllable.
_MOST_WORDS: Final = 6


@dataclass(frozen=True, slots=True)
class Place:
    """A place in China by the full names of its divisions; those below it are empty.

    The city of a municipality (北京市, 上海市, 天津市, 重庆市), of Hong Kong and of Macao has the
    name of its province. A county that belongs directly to a province, such as 仙桃市, is a city.
    """

    province: str
    city: str = ""
    county: str = ""

    @property
    def text(self) -> str:
        """The standard name: that of the province or the city; for a county, after its city's."""
        return self.city + self.county or self.province


def standard_place(text: str) -> Place | None:
    """Return the place that a text names, or None if it names none, or several.

    The text names a place from the highest division downwards, in full or short names, with or
    without separators: ` 北京 `, `北 京`, `江苏 南京`, `上海市浦东新区`. In Latin letters
    both orders are read: `Jiangsu`, `Nanjing, Jiangsu`. Traditional characters and codes such as
    `320100` are read.

    * A name of divisions of several levels means the highest one: `吉林` is the province, `朝阳` is
      the city in 辽宁.
    * A name of several divisions of one level needs the division above them: `朝阳区` alone is no
      place, `北京朝阳区` is one. With only the province to decide it, the province is the place.
    * What follows is ignored if a full name or a separator is before it, or two short names, as in
      `南京市中山路1号` and `江苏南京中山路1号`; `南京路` is no place.
    """
    return None if len(text) > MAX_LENGTH else _standard_place(text)


@lru_cache(maxsize=16_384)
def _standard_place(text: str) -> Place | None:
    text = chinese_name(text)
    if _LATIN.fullmatch(text):
        found = _latin_division(text)
    elif text.isascii() and text.isdigit():
        found = place_table().by_code.get(text)
    else:
        found = _division(_COUNTRY.sub("", _without_separators(text), count=1), None)
    return None if found is None else _place(found)


def _place(division: Division) -> Place:
    by_code = place_table().by_code
    province = by_code[division.code[:2] + "0000"]
    if division.level is DivisionLevel.CITY:
        return Place(province.name, division.name)
    county = division.name if division.level is DivisionLevel.COUNTY else ""
    city = by_code.get(division.code[:4] + "00") if county else None
    if city is not None and city.level is DivisionLevel.CITY:
        return Place(province.name, city.name, county)
    return Place(province.name, province.name if _is_city(province) else "", county)


def _is_city(province: Division) -> bool:
    """Return whether a province is a city too."""
    return province.name.endswith(("市", "特别行政区"))


def _division(text: str, above: Division | None) -> Division | None:
    """Return the lowest division that a text names below another one, else the one above."""
    text = _without_separators(text)
    for length in range(min(len(text), place_table().longest_name), 1, -1):
        spelling = _highest(place_table().by_name.get(text[:length], ()), above)
        if spelling is None:
            continue
        found, rest = spelling.division, text[length:]
        lower = _division(_after_name(rest, found), found)
        if lower is not found or spelling.is_full or _ends_name(rest, above):
            return lower
    return above


def _ends_name(rest: str, above: Division | None) -> bool:
    """Return whether a short name may end before `rest`: `南京路` is the name of a street."""
    if not rest or _SEPARATORS.match(rest):
        return True
    return above is not None and not rest.startswith(_STREETS)


def _highest(spellings: tuple[Spelling, ...], above: Division | None) -> Spelling | None:
    """Return the highest of the divisions below `above`; None if there is none, or several."""
    below = [s for s in spellings if above is None or above.contains(s.division)]
    level = min((s.division.level for s in below), default=None)
    highest = [s for s in below if s.division.level is level]
    return highest[0] if len(highest) == 1 else None


def _after_name(rest: str, division: Division) -> str:
    """Return a text without the repeated name of a municipality, or of its districts, in front."""
    rest = _without_separators(rest)
    if division.level is DivisionLevel.PROVINCE and _is_city(division):
        for length in range(len(division.name), 1, -1):
            spellings = place_table().by_name.get(rest[:length], ())
            if any(spelling.division == division for spelling in spellings):
                rest = rest[length:]
                break
    return rest.removeprefix(_CITY_DISTRICTS)


def _without_separators(text: str) -> str:
    found = _SEPARATORS.match(text)
    return text[found.end() :] if found else text


def _latin_division(text: str) -> Division | None:
    words = list(map(latin_key, _LATIN_WORDS.findall(text)))
    names = _latin_names([word for word in words if word not in _BESIDE])
    if not names:
        return None
    return _lowest(names) or _lowest(names[::-1])


def _latin_names(words: list[str]) -> list[tuple[Spelling, ...]]:
    """Return the spellings of the names that words are; empty if a word belongs to none."""
    names: list[tuple[Spelling, ...]] = []
    start = 0
    while start < len(words):
        level = _LEVELS.get(words[start])
        if level is not None and names:
            names[-1] = tuple(s for s in names[-1] if _is_of(s.division, level))
            start += 1
            continue
        for end in range(min(len(words), start + _MOST_WORDS), start, -1):
            found = _latin_spellings("".join(words[start:end]))
            if found:
                names.append(found)
                start = end
                break
        else:
            return []
    return names


def _latin_spellings(key: str) -> tuple[Spelling, ...]:
    """Return what a name means, which may be joined with the word for its level."""
    by_latin = place_table().by_latin
    if key in by_latin:
        return tuple(Spelling(division, True) for division in by_latin[key])
    for word, level in _LEVELS.items():
        divisions = by_latin.get(key.removesuffix(word), ())
        if divisions:
            return tuple(Spelling(d, True) for d in divisions if _is_of(d, level))
    return ()


def _is_of(division: Division, level: DivisionLevel) -> bool:
    """Return whether a division has a level; a municipality has both."""
    return division.level is level or (
        division.level is DivisionLevel.PROVINCE and _is_city(division)
    )


def _lowest(names: list[tuple[Spelling, ...]]) -> Division | None:
    """Return the last of divisions that are each below the one before; None if they are not."""
    above: Division | None = None
    for spellings in names:
        if above is not None and _is_city(above) and any(s.division == above for s in spellings):
            continue
        spelling = _highest(spellings, above)
        if spelling is None:
            return None
        above = spelling.division
    return above
