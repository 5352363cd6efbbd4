"""Renders texts in Liquid: strict about what is missing, bounded, and the same at every time."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any

from liquid import BoundTemplate, Environment, FalsyStrictUndefined
from liquid.exceptions import LiquidError, ResourceLimitError, UndefinedError
from liquid.filter import with_context

from services.kernel.calendar import zone_info

#: Parsing takes time in the square of the number of opening braces.
MAX_BRACES, MAX_EXPRESSION = 4_000, 2_000
_RANGE = re.compile(r"\([^()]{0,200}\.\.")
_LONG_EXPRESSION = re.compile(r"\{[{%][^{}]{2000}")
MAX_LOOPS, MAX_OUTPUT, MAX_NAMESPACE = 1_000, 256 * 1024, 64 * 1024
#: The variable that has the zone of dates while a text is rendered.
_ZONE = "__zone"
_DIRECTIVE = re.compile(r"%(-?)([A-Za-z%])")
#: The parts of a date that can be written, by the letter of strftime.
_DATE_PARTS = frozenset("YmdHMSyjeBbAaIp")
_SYMBOLS = {"CNY": "¥", "USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥", "HKD": "HK$", "TWD": "NT$"}
_WITHOUT_CENTS = frozenset({"JPY", "KRW", "TWD"})


class BadTemplate(Exception):
    """A text is no template, or cannot be rendered; the message has no value of a person."""


class MissingValue(Exception):
    """A variable has no value, and the template has no default for it; the message names it."""


class _Strict(Environment):
    loop_iteration_limit = MAX_LOOPS
    output_stream_limit = MAX_OUTPUT
    local_namespace_limit = MAX_NAMESPACE
    context_depth_limit = 20
    block_nesting_limit = 20


def _environment(*, autoescape: bool) -> Environment:
    environment = _Strict(undefined=FalsyStrictUndefined, autoescape=autoescape)
    # Files are not read, and values of people are always escaped.
    for tag in ("include", "render"):
        del environment.tags[tag]
    for filter_ in ("safe", "url_decode", "base64_decode", "base64_url_safe_decode"):
        del environment.filters[filter_]
    environment.filters |= {"date": _date, "money": _money, "mask": _mask, "replace": _replace}
    return environment


@lru_cache(maxsize=4_096)
def _parsed(source: str, html: bool) -> BoundTemplate:
    _check_size(source)
    try:
        return _ENVIRONMENTS[html].from_string(source)
    except (LiquidError, RecursionError) as error:
        raise BadTemplate(_reason(error)) from None


def _check_size(source: str) -> None:
    """Refuse what the library would parse or render for seconds. Raises BadTemplate."""
    if source.count("{") > MAX_BRACES:
        raise BadTemplate(f"it has more than {MAX_BRACES} opening braces")
    if _RANGE.search(source):
        raise BadTemplate("it has a range such as (1..9): write the values, or loop over a list")
    if _LONG_EXPRESSION.search(source):
        raise BadTemplate(f"it has an expression of more than {MAX_EXPRESSION} characters")


def check(source: str) -> None:
    """Check that a text is a template. Raises BadTemplate."""
    filters = _parsed(source, False).analyze().filters
    if unknown := sorted(set(filters) - FILTERS):
        raise BadTemplate(f"there is no filter {unknown[0]!r}")


@lru_cache(maxsize=4_096)
def variables_of(source: str) -> frozenset[str]:
    """Return the first names of the variables that a template reads. Raises BadTemplate."""
    return frozenset(_parsed(source, False).analyze().globals)


def members_of(source: str, name: str) -> set[str]:
    """Return the first members of a variable that a template reads. Raises BadTemplate."""
    found = _parsed(source, False).analyze().globals.get(name, ())
    return {str(path[1]) for each in found if len(path := each.segments) > 1}


def render(source: str, variables: Mapping[str, Any], zone: str, *, html: bool = False) -> str:
    """Render a template with dates in a zone; in HTML all values are escaped.

    Raises MissingValue, BadTemplate.
    """
    try:
        return _parsed(source, html).render({**variables, _ZONE: zone})
    except UndefinedError as error:
        raise MissingValue(_name_of(error, source)) from None
    except (LiquidError, RecursionError) as error:
        raise BadTemplate(_reason(error)) from None
    except (TypeError, ValueError, ArithmeticError, AttributeError, KeyError) as error:
        # A filter was given a value of another type; the text of the error may quote it.
        raise BadTemplate(f"a filter fails with {type(error).__name__}") from None


def _name_of(error: UndefinedError, source: str) -> str:
    """Return the name of the variable without a value, if it is in the template as it stands.

    A name that was computed, as in `person[key]`, may contain the value of a person.
    """
    name = str(error.args[0]).removesuffix(" is undefined").strip("'")
    return name if all(part in source for part in name.split(".")) else "a variable"


def _reason(error: Exception) -> str:
    if isinstance(error, ResourceLimitError):
        return "it is too large, or loops too often"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return str(error).splitlines()[0][:200]


def _replace(value: Any, old: Any, new: Any = "") -> str:
    """Replace each occurrence; what becomes too large is refused before it is made."""
    text, old, new = str(value), str(old), str(new)
    count = text.count(old) if old else len(text) + 1
    if len(text) + count * len(new) > MAX_OUTPUT:
        raise BadTemplate("the filter replace makes a text that is too large")
    return text.replace(old, new)


@with_context
def _date(value: Any, form: Any = "%Y-%m-%d", *, context: Any, zone: str = "") -> str:
    """Return a date as `form` says: of an RFC 3339 text, a date, or Unix seconds."""
    instant = _instant(value, zone or str(context.resolve(_ZONE, default="UTC")))

    def part(match: re.Match[str]) -> str:
        if match[2] == "%":
            return "%"
        if match[2] not in _DATE_PARTS:
            raise BadTemplate(f"the filter date has no %{match[2]}")
        written = f"{instant.day:2d}" if match[2] == "e" else instant.strftime(f"%{match[2]}")
        return written.lstrip("0 ") or "0" if match[1] else written

    return _DIRECTIVE.sub(part, str(form))


def _instant(value: Any, zone: str) -> datetime:
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, zone_info(zone))
        text = str(value)
        if len(text) == 10:
            day = date.fromisoformat(text)
            return datetime(day.year, day.month, day.day)
        instant = datetime.fromisoformat(text)
        return instant.astimezone(zone_info(zone)) if instant.tzinfo else instant
    except (ValueError, OverflowError, OSError):
        raise BadTemplate("the filter date gets a value that is no date") from None


def _money(value: Any, currency: str = "CNY") -> str:
    """Return an amount with the sign of its currency: `¥1,234.50`."""
    try:
        amount = Decimal(str(value))
        digits = 0 if currency in _WITHOUT_CENTS else 2
        written = f"{abs(amount):,.{digits}f}"
    except (InvalidOperation, ValueError, OverflowError):
        raise BadTemplate("the filter money gets a value that is no number") from None
    symbol = _SYMBOLS.get(currency, f"{currency} ")
    return f"-{symbol}{written}" if amount < 0 else f"{symbol}{written}"


def _mask(value: Any) -> str:
    """Return a value that its owner recognises and others cannot use: `138****1234`, `李*`."""
    text = str(value)
    name, at, domain = text.partition("@")
    if at:
        return f"{name[:1]}***@{domain}"
    if len(text) >= 8:
        return f"{text[:3]}****{text[-4:]}"
    return text[:1] + "*" * (len(text) - 1)


_ENVIRONMENTS = {html: _environment(autoescape=html) for html in (False, True)}
#: The names of the filters that a template may use.
FILTERS = frozenset(_ENVIRONMENTS[False].filters)
