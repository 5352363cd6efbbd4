"""Scans the text form of rules: words, names, literals, spans and calendar periods."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Hashable, Iterable
from functools import lru_cache
from typing import TypeVar

from services.kernel.errors import RuleError
from services.kernel.rules import periods
from services.kernel.rules.forms.text_words import (
    CHINESE,
    ENGLISH,
    NAME,
    PERIODS,
    SPELLINGS,
    UNITS,
    Word,
    is_reserved,
)
from services.kernel.rules.periods import Periods, parse_periods
from services.kernel.rules.values import Scalar

_Key = TypeVar("_Key", bound=Hashable)
_Part = TypeVar("_Part")

#: Alternatives that an error lists; more are expected only where a rule begins.
_MOST_EXPECTED = 20
_A_RULE = (
    "write a rule, such as `count of viewed in the last 7 days ≥ 1`, `最近7天内 viewed 次数 ≥ 1`,"
    " `in segment vip`, or the name of a trait and its comparison"
)
_SPACE = re.compile(r"\s*")
_HAN = re.compile("[\u4e00-\u9fff]")
_STRING = re.compile(r'"(?:[^"\\\n]|\\.)*"')
_CURLY = re.compile("“([^”]*)”")
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?(?![0-9.])")
_COUNT = "([1-9][0-9]{0,3})"
_UNITS = {word: us for code, us, *words in UNITS for word in (code, *words, f"{words[0]}s")}
_UNIT = "|".join(sorted(_UNITS, key=len, reverse=True))
_SPAN = re.compile(rf"(?<![0-9])([0-9]{{1,19}}+)\s*+({_UNIT})(?!\w)")
_SPAN_INSIDE = re.compile(rf"(?<![0-9])([0-9]{{1,19}}+)\s*+({_UNIT})内(?!\w)")
_IN_THE_LAST = re.compile(r"in\s+the\s+last(?!\w)")
_LAST_CHINESE = re.compile(rf"最近\s*([0-9]{{1,19}})\s*({_UNIT})内(?!\w)")
_PERIODS_ENGLISH = re.compile(rf"(?:{periods.PATTERN})(?!\w| to date)")
_NAMED_PERIODS = {
    word: Periods(unit, back, back)
    for unit, words in PERIODS.items()
    for back, word in enumerate(words[:2])
}
_COUNTED = {words[2]: unit for unit, words in PERIODS.items()}
_COUNTED_WORD = "|".join(_COUNTED)
_BEFORE_CHINESE = re.compile(rf"前{_COUNT}(?:至前{_COUNT})?个({_COUNTED_WORD})(至今)?(?!\w)")
_AGO_CHINESE = re.compile(rf"{_COUNT}个({_COUNTED_WORD})前(?!\w)")
_PERIODS_CHINESE = (_BEFORE_CHINESE, _AGO_CHINESE)


class Scanner:
    """Reads a text from left to right, and remembers what it expected at the furthest place."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self._furthest = 0
        self._expected: dict[str, None] = {}
        self._skip()

    def error(self) -> RuleError:
        """Return the error of the furthest place that was reached."""
        expected = list(self._expected)
        remedy = f"write {' or '.join(expected)}" if len(expected) <= _MOST_EXPECTED else _A_RULE
        found = "the end" if self._furthest >= len(self.text) else "this"
        return RuleError(f"{self.place(self._furthest)}: {found} is not expected", remedy)

    def place(self, at: int) -> str:
        """Return the place of a character, counted from 1, in words."""
        return f"at character {at + 1}"

    def expect(self, part: _Part | None) -> _Part:
        """Return a part. Raises RuleError if it is None."""
        if part is None:
            raise self.error()
        return part

    def end(self) -> None:
        """Check that the text ends here. Raises RuleError."""
        if self.at < len(self.text):
            self._fail("the end")
            raise self.error()

    def word(self, key: Hashable) -> bool:
        """Read the words of a key in any language; False if they do not follow."""
        return self.one_of((key,)) is not None

    def one_of(self, keys: Iterable[_Key], *vocabularies: int, shown: str = "") -> _Key | None:
        """Read the longest words of some keys; None if none follows.

        `vocabularies` are 0 for English and 1 for Chinese; without one, both count. `shown` is what
        an error expects instead of all the words.
        """
        longest: tuple[int, _Key] | None = None
        wanted = tuple(keys)
        for key in wanted:
            for pattern in _patterns(key, vocabularies or (0, 1)):
                match = pattern.match(self.text, self.at)
                if match and (longest is None or match.end() > longest[0]):
                    longest = match.end(), key
        if longest is None:
            for expected in [shown] if shown else [self._shown(k, vocabularies) for k in wanted]:
                self._fail(expected)
            return None
        self._advance(longest[0])
        return longest[1]

    def mark(self, marks: str) -> bool:
        """Read one of some marks, such as brackets; False if none follows."""
        if self.at < len(self.text) and self.text[self.at] in marks:
            self._advance(self.at + 1)
            return True
        self._fail(f"`{marks[0]}`")
        return False

    def bracketed(self, read: Callable[[], _Part]) -> _Part:
        """Read a part in round brackets. Raises RuleError."""
        self._need(self.mark("(（"))
        part = read()
        self._need(self.mark(")）"))
        return part

    def name(self, what: str) -> str | None:
        """Read a name, plain or in quotes; None if none follows."""
        quoted = self._string()
        if quoted is not None:
            return quoted
        match = NAME.match(self.text, self.at)
        if match is None or is_reserved(match[0]):
            self._fail(f"{what} (words of the language in quotes)" if match else what)
            return None
        self._advance(match.end())
        return match[0]

    def literal(self) -> Scalar | None:
        """Read a text in quotes, a number, true or false; None if none follows."""
        text = self._string()
        if text is not None:
            return text
        truth = self.one_of((Word.TRUE, Word.FALSE))
        if truth is not None:
            return truth is Word.TRUE
        match = self._match(_NUMBER, "a number", 'a text such as "a"')
        return None if match is None else _number(match[0])

    def span(self) -> int | None:
        """Read a span such as `7 days`; microseconds, None if none follows."""
        return _span(self._match(_SPAN, "a span such as 7 days"))

    def span_inside(self) -> int | None:
        """Read a span such as `7天内`; microseconds, None if none follows."""
        return _span(self._match(_SPAN_INSIDE, "`7天内`"))

    def last_span(self) -> int | None:
        """Read `in the last 7 days` in any language; microseconds, None if it does not follow."""
        if self._match(_IN_THE_LAST, "`in the last 7 days`"):
            return self.expect(self.span())
        return _span(self._match(_LAST_CHINESE, "`最近7天内`"))

    def periods(self) -> Periods | None:
        """Read English words of calendar periods; None if none follow."""
        match = self._match(_PERIODS_ENGLISH, "periods such as this month")
        return None if match is None else parse_periods(match[0])

    def chinese_periods(self) -> Periods | None:
        """Read Chinese words of calendar periods; None if none follow."""
        word = NAME.match(self.text, self.at)
        if word and word[0] in _NAMED_PERIODS:
            self._advance(word.end())
            return _NAMED_PERIODS[word[0]]
        match = self._match(_PERIODS_CHINESE[0])
        if match is not None:
            newest = match[2] or (0 if match[4] else 1)
            return Periods(_COUNTED[match[3]], int(match[1]), int(newest))
        match = self._match(_PERIODS_CHINESE[1])
        if match is not None:
            return Periods(_COUNTED[match[2]], int(match[1]), int(match[1]))
        return None

    def pattern(self, pattern: re.Pattern[str], shown: str) -> str | None:
        """Read the first group of a pattern; None if it does not follow."""
        match = self._match(pattern, shown)
        return None if match is None else match[1]

    def _need(self, found: bool) -> None:
        if not found:
            raise self.error()

    def _string(self) -> str | None:
        match = _STRING.match(self.text, self.at)
        if match is not None:
            try:
                text = json.loads(match[0])
            except ValueError:
                return None
            self._advance(match.end())
            return str(text)
        match = _CURLY.match(self.text, self.at)
        if match is not None:
            self._advance(match.end())
            return match[1]
        return None

    def _match(self, pattern: re.Pattern[str], *shown: str) -> re.Match[str] | None:
        match = pattern.match(self.text, self.at)
        if match is not None:
            self._advance(match.end())
            return match
        for what in shown:
            self._fail(what)
        return None

    def _advance(self, at: int) -> None:
        self.at = at
        self._skip()

    def _skip(self) -> None:
        match = _SPACE.match(self.text, self.at)
        self.at = match.end() if match else self.at

    def _fail(self, expected: str) -> None:
        if self.at > self._furthest:
            self._furthest, self._expected = self.at, {}
        if self.at == self._furthest:
            self._expected[expected] = None

    def _shown(self, key: Hashable, vocabularies: tuple[int, ...]) -> str:
        is_chinese = vocabularies == (1,) or (0 not in vocabularies and _is_chinese(self.text))
        words = CHINESE if is_chinese and key in CHINESE else ENGLISH
        return f"`{words.get(key) or CHINESE[key]}`"


@lru_cache(maxsize=512)
def _patterns(key: Hashable, vocabularies: tuple[int, ...]) -> list[re.Pattern[str]]:
    phrases = [w[key] for i, w in enumerate((ENGLISH, CHINESE)) if i in vocabularies and key in w]
    if phrases:
        phrases += SPELLINGS.get(key, ())
    return [_phrase(phrase) for phrase in dict.fromkeys(phrases)]


def _phrase(phrase: str) -> re.Pattern[str]:
    pattern = r"\s+".join(map(re.escape, phrase.split()))
    return re.compile(pattern + (r"(?![\w.$/-])" if phrase[-1].isalnum() else ""))


def _span(match: re.Match[str] | None) -> int | None:
    return None if match is None else int(match[1]) * _UNITS[match[2]]


def _number(text: str) -> int | float:
    if text.lstrip("-").isdigit():
        return int(text) if len(text) < 400 else float(text)
    return float(text)


@lru_cache(maxsize=8)
def _is_chinese(text: str) -> bool:
    return _HAN.search(_STRING.sub("", text)) is not None
