"""Checks the names, numbers and spans that rules are made of."""

from __future__ import annotations

from services.kernel.errors import RuleError

MAX_NAME = 512
MAX_SPAN_US = 2**62


def check_name(what: str, name: str) -> None:
    """Check the name of an event, a property, a trait. Raises RuleError below `what`."""
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME:
        remedy = f"write a text of 1 to {MAX_NAME} characters"
        raise RuleError("the name is missing or no text", remedy).under(what)
    if any("\ud800" <= letter <= "\udfff" for letter in name):
        raise RuleError("the name is not valid Unicode", "remove lone surrogates").under(what)


def check_span(what: str, span_us: int) -> None:
    """Check a span of time, at least one microsecond. Raises RuleError below `what`."""
    if type(span_us) is not int or not 0 < span_us <= MAX_SPAN_US:
        raise RuleError("this is no span of time", "write one such as 7d").under(what)


def check_whole(what: str, number: int, least: int, most: int) -> None:
    """Check a whole number within bounds. Raises RuleError below `what`."""
    if type(number) is not int or not least <= number <= most:
        raise RuleError("the number is out of bounds", f"write {least} to {most}").under(what)
