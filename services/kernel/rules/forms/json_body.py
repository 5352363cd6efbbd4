"""Reads the keys of one mapping of a rule's form; every error has the path of its place."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from difflib import get_close_matches
from functools import partial
from typing import Any, TypeVar

from services.kernel.errors import RuleError, join_path
from services.kernel.rules.forms.words import SYNONYMS
from services.kernel.rules.names import check_name, check_span
from services.kernel.rules.values import Json
from services.kernel.time import parse_span

Form = dict[str, Any]
_Part = TypeVar("_Part")


class Body:
    """A mapping with text keys at a path of a rule's form."""

    def __init__(self, form: Json, path: str) -> None:
        if not isinstance(form, Mapping):
            raise RuleError("this is no mapping", "write `key: value`", field=path)
        for key in form:
            if not isinstance(key, str):
                raise RuleError("a key is no text", "put it into quotes", field=path)
        self.form: Form = dict(form)
        self.path = path

    def __contains__(self, key: str) -> bool:
        return key in self.form

    def at(self, key: str) -> str:
        """Return the path of a key."""
        return join_path(self.path, key)

    def check_keys(self, valid: Iterable[str]) -> None:
        """Check that all keys are valid. Raises RuleError with the nearest valid one."""
        words = tuple(valid)
        for key in self.form:
            if key not in words:
                raise unknown_word(key, words, self.path)

    def get(self, key: str) -> Json:
        """Return a required value. Raises RuleError."""
        if key not in self.form:
            raise RuleError(f"`{key}` is missing", f"write `{key}: ...`", field=self.path)
        return self.form[key]

    def text(self, key: str) -> str:
        """Return a required text. Raises RuleError."""
        value = self.get(key)
        if not isinstance(value, str):
            raise RuleError("this is no text", "put it into quotes", field=self.at(key))
        return value

    def name(self, key: str) -> str:
        """Return a required name. Raises RuleError."""
        text = self.text(key)
        make(self.path, "", lambda: check_name(key, text))
        return text

    def optional_name(self, key: str) -> str:
        """Return a name; empty if the key is absent. Raises RuleError."""
        return self.name(key) if key in self.form else ""

    def names(self, key: str) -> tuple[str, ...]:
        """Return the names of a list, or of one name; none without the key. Raises RuleError."""
        listed_names = self.form.get(key, ())
        if isinstance(listed_names, str):
            listed_names = (listed_names,)
        if not isinstance(listed_names, list | tuple) or (key in self and not listed_names):
            remedy = f"write some names in brackets, such as `{key}: [a, b]`"
            raise RuleError("this is no list of names", remedy, field=self.at(key))
        for index, name in enumerate(listed_names):
            make(self.path, "", partial(check_name, f"{key}[{index}]", name))
        return tuple(listed_names)

    def word(self, key: str, words: Mapping[str, _Part]) -> _Part:
        """Return what one of some words stands for. Raises RuleError."""
        return word_of(self.get(key), words, self.at(key))

    def span(self, key: str) -> int:
        """Return a required span in microseconds. Raises RuleError."""
        return span_of(self.get(key), self.at(key))

    def only(self, words: Collection[str], problem: str) -> str | None:
        """Return the one key among some words, None without one. Raises RuleError for several."""
        found = [key for key in self.form if key in words]
        if len(found) > 1:
            raise RuleError(problem, f"write exactly one of {listed(words)}", field=self.path)
        return found[0] if found else None


def span_of(value: Json, path: str) -> int:
    """Return the microseconds of a span such as `7d`. Raises RuleError."""
    try:
        span_us = parse_span(value) if isinstance(value, str) else 0
        check_span("", span_us)
    except (ValueError, RuleError):
        remedy = "write one such as 30s, 15m, 2h, 7d or 4w"
        raise RuleError("this is no span of time", remedy, field=path) from None
    return span_us


def word_of(value: Json, words: Mapping[str, _Part], path: str) -> _Part:
    """Return what one of some words stands for. Raises RuleError with the nearest word."""
    if isinstance(value, str) and value in words:
        return words[value]
    remedy = _nearest(value, tuple(words)) if isinstance(value, str) else ""
    remedy = remedy or f"write one of {listed(words)}"
    raise RuleError("this word is not known here", remedy, field=path)


def unknown_word(key: str, valid: tuple[str, ...], path: str) -> RuleError:
    """Return the error of a key that is not valid, with the nearest valid one."""
    remedy = _nearest(key, valid) or f"write one of {listed(valid)}"
    return RuleError("this key is not known", remedy, field=join_path(path, key))


def make(path: str, word: str, build: Callable[[], _Part]) -> _Part:
    """Call `build`; its errors get the path `path`, and `word` below it if they have none."""
    try:
        return build()
    except RuleError as error:
        raise (error if error.field else error.under(word)).under(path) from None


def listed(words: Iterable[str]) -> str:
    """Return words with commas between them."""
    return ", ".join(words)


def _nearest(word: str, valid: tuple[str, ...]) -> str:
    synonym = SYNONYMS.get(word)
    likely = [synonym] if synonym in valid else get_close_matches(word, valid, 1)
    return f"write `{likely[0]}`" if likely else ""
