"""Reads and writes parts of a form by a description of them, so that both directions agree."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from decimal import Decimal
from enum import Enum
from typing import Any, Final, Protocol

from services.kernel.errors import RuleError
from services.kernel.journeys.model import MILLION
from services.kernel.local_time import EVERY_DAY, WEEKDAYS, format_clock, parse_clock
from services.kernel.rules.defaults import Defaults
from services.kernel.rules.forms.json_body import Body, listed, make, span_of, word_of
from services.kernel.rules.names import check_name
from services.kernel.rules.values import Json
from services.kernel.time import format_span

NO_WORDS: Final[Mapping[str, Enum]] = {}
_SHARE = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,4})?)%")
_PACE = re.compile(r"([1-9][0-9]{0,8})/h")


@dataclass(slots=True)
class FormContext:
    """What the parts of one form share while it is read or written."""

    defaults: Defaults
    #: How many steps of each kind there are so far.
    steps: dict[str, int] = field(default_factory=dict)


class FormKind(Protocol):
    """How one part of a form is read and written."""

    def read(self, form: Json, path: str, context: FormContext) -> Any:
        """Return the value of a form. Raises RuleError with its path."""

    def write(self, value: Any, context: FormContext) -> Json:
        """Return the form that `read` reads as this value."""


@dataclass(frozen=True, slots=True)
class ScalarKind:
    """A value that is one text, number or list."""

    parse: Callable[[Json, str], Any]
    dump: Callable[[Any], Json] = lambda value: value

    def read(self, form: Json, path: str, context: FormContext) -> Any:
        return self.parse(form, path)

    def write(self, value: Any, context: FormContext) -> Json:
        return self.dump(value)


def word(enum: type[Enum], also: Mapping[str, Enum] = NO_WORDS) -> ScalarKind:
    """Return the kind of the words of an enum: its values. `also`: other words that are read."""
    words = {**{member.value: member for member in enum}, **also}
    return ScalarKind(lambda form, path: word_of(form, words, path), lambda member: member.value)


def whole(least: int, most: int) -> ScalarKind:
    """Return the kind of a whole number within bounds."""

    def parse(form: Json, path: str) -> int:
        if type(form) is not int or not least <= form <= most:
            raise RuleError("this is no such number", f"write {least} to {most}", field=path)
        return form

    return ScalarKind(parse)


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list; the value is a tuple."""

    kind: FormKind

    def read(self, form: Json, path: str, context: FormContext) -> tuple[Any, ...]:
        if not isinstance(form, list | tuple):
            raise RuleError("this is no list", "write the entries in brackets", field=path)
        return tuple(self.kind.read(part, f"{path}[{i}]", context) for i, part in enumerate(form))

    def write(self, value: tuple[Any, ...], context: FormContext) -> Json:
        return [self.kind.write(part, context) for part in value]


@dataclass(frozen=True, slots=True)
class MapOf:
    """A mapping of names to values of one kind."""

    kind: FormKind

    def read(self, form: Json, path: str, context: FormContext) -> dict[str, Any]:
        body = Body(form, path)
        return {
            body_key(body, key): self.kind.read(value, body.at(key), context)
            for key, value in body.form.items()
        }

    def write(self, value: Mapping[str, Any], context: FormContext) -> Json:
        return {key: self.kind.write(part, context) for key, part in value.items()}


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a record, and the attribute that it sets."""

    key: str
    attribute: str
    kind: FormKind


@dataclass(frozen=True, slots=True)
class Record:
    """A mapping with known keys; the value is a dataclass, whose defaults need no key.

    `inline`: an attribute whose form stands among the keys of the record, if there is one.
    """

    make: type
    keys: Sequence[Key]
    inline: tuple[str, Variants] | None = None

    @property
    def words(self) -> tuple[str, ...]:
        """All keys that the mapping may have."""
        own = tuple(key.key for key in self.keys)
        return own if self.inline is None else (*self.inline[1].words, *own)

    def read(self, form: Json, path: str, context: FormContext, **more: Any) -> Any:
        body = Body(form, path)
        body.check_keys(self.words)
        values = dict(more)
        if self.inline is not None:
            attribute, variants = self.inline
            own = {key: body.form[key] for key in variants.words if key in body}
            values[attribute] = variants.read(own, path, context)
        optional = _optional(self.make)
        for key in self.keys:
            if key.key in body or key.attribute not in optional:
                at = body.at(key.key)
                values[key.attribute] = key.kind.read(body.get(key.key), at, context)
        return make(path, "", lambda: self.make(**values))

    def write(self, value: Any, context: FormContext) -> Json:
        form: dict[str, Json] = {}
        if self.inline is not None:
            attribute, variants = self.inline
            form |= variants.write(getattr(value, attribute), context)
        optional = _optional(self.make)
        for key in self.keys:
            part = getattr(value, key.attribute)
            if key.attribute not in optional or part != optional[key.attribute]:
                form[key.key] = key.kind.write(part, context)
        return form


@dataclass(frozen=True, slots=True)
class Variants:
    """A mapping whose first key says which of several classes the value has.

    `by`: the class and the kind of each key's value. A kind that is a `Record` with that key is
    read from the whole mapping.
    """

    by: Mapping[str, tuple[type, FormKind]]

    @property
    def words(self) -> tuple[str, ...]:
        """All keys that the mapping may have."""
        return tuple(dict.fromkeys((*self.by, *(w for k in self.by for w in self._whole(k)))))

    def _whole(self, key: str) -> tuple[str, ...]:
        kind = self.by[key][1]
        return kind.words if isinstance(kind, Record) and key in kind.words else ()

    def read(self, form: Json, path: str, context: FormContext) -> Any:
        body = Body(form, path)
        body.check_keys(self.words)
        key = body.only(self.by, "there are several things in one place")
        if key is None:
            raise RuleError("nothing is named", f"write one of {listed(self.by)}", field=path)
        if self._whole(key):
            return self.by[key][1].read(form, path, context)
        return self.by[key][1].read(body.get(key), body.at(key), context)

    def write(self, value: Any, context: FormContext) -> Any:
        key = next(key for key, (made, _) in self.by.items() if type(value) is made)
        form = self.by[key][1].write(value, context)
        return form if self._whole(key) else {key: form}


def body_key(body: Body, key: str) -> str:
    """Return a key that is a name of something. Raises RuleError."""
    make(body.path, "", lambda: check_name("key", key))
    return key


def _optional(made: type) -> dict[str, Any]:
    """Return the attributes of a dataclass that have a default, with it."""
    defaults: dict[str, Any] = {}
    for each in fields(made):
        if each.default is not MISSING:
            defaults[each.name] = each.default
        elif each.default_factory is not MISSING:
            defaults[each.name] = each.default_factory()
    return defaults


def _name(form: Json, path: str) -> str:
    if not isinstance(form, str):
        raise RuleError("this is no text", "put it into quotes", field=path)
    make("", "", lambda: check_name(path, form))
    return form


def _names(form: Json, path: str) -> tuple[str, ...]:
    parts = form if isinstance(form, list | tuple) else (form,)
    if not parts:
        raise RuleError("the list is empty", "write one name or more", field=path)
    return tuple(_name(part, f"{path}[{i}]") for i, part in enumerate(parts))


def _flag(form: Json, path: str) -> bool:
    if not isinstance(form, bool):
        raise RuleError("this is neither true nor false", "write true or false", field=path)
    return form


def _clock(form: Json, path: str) -> int:
    try:
        return parse_clock(form) if isinstance(form, str) else parse_clock("")
    except ValueError:
        remedy = 'write one in quotes such as "09:30"'
        raise RuleError("this is no time of the day", remedy, field=path) from None


def _share(form: Json, path: str) -> int:
    match = _SHARE.fullmatch(form) if isinstance(form, str) else None
    ppm = int(Decimal(match[1]) * 10_000) if match else -1
    if not 0 <= ppm <= MILLION:
        raise RuleError("this is no share", "write one such as 10% or 0.5%", field=path)
    return ppm


def _share_form(ppm: int) -> str:
    return f"{(Decimal(ppm) / 10_000).normalize():f}%"


def _pace(form: Json, path: str) -> int:
    match = _PACE.fullmatch(form) if isinstance(form, str) else None
    if match is None:
        raise RuleError("this is no pace", "write one an hour such as 20000/h", field=path)
    return int(match[1])


def _days(form: Json, path: str) -> frozenset[int]:
    words = {name: i for i, name in enumerate(WEEKDAYS)}
    if not isinstance(form, list | tuple) or not form:
        raise RuleError("this is no list of days", f"write some of {listed(words)}", field=path)
    return frozenset(word_of(day, words, f"{path}[{i}]") for i, day in enumerate(form))


NAME: Final = ScalarKind(_name)
NAMES: Final = ScalarKind(_names, list)
FLAG: Final = ScalarKind(_flag)
SPAN: Final = ScalarKind(span_of, format_span)
CLOCK: Final = ScalarKind(_clock, format_clock)
SHARE: Final = ScalarKind(_share, _share_form)
PACE: Final = ScalarKind(_pace, lambda pace: f"{pace}/h")
DAYS: Final = ScalarKind(_days, lambda days: [WEEKDAYS[day] for day in sorted(days & EVERY_DAY)])
