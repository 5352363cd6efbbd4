"""Checks the names, numbers and spans that rules are made of."""

from __future__ import annotations

from typing import Final

from services.kernel.calendar import check_zone
from services.kernel.errors import RuleError

MAX_NAME = 512
MAX_SPAN_US = 2**62
#: Reserved names of traits: how the person came first and last, as objects with the members
#: `source`, `medium`, `name`, `term`, `content`, `click_id` and `click_id_type`; and the last score
#: of each model, as `score.MODEL`. A stated trait with such a name is not read.
FIRST_TOUCH: Final = "first_touch"
LAST_TOUCH: Final = "last_touch"
SCORE: Final = "score"
_TOUCHES: Final = (FIRST_TOUCH, LAST_TOUCH)
_RESERVED_STARTS: Final = (FIRST_TOUCH, LAST_TOUCH, f"{SCORE}.")


def is_reserved_trait(name: str) -> bool:
    """Return whether a name of a trait means a touch or a score. `score` alone does not."""
    if not name.startswith(_RESERVED_STARTS):
        return False
    head = name.partition(".")[0]
    return head == SCORE or head in _TOUCHES


def check_name(what: str, name: str) -> None:
    """Check the name of an event, a property, a trait. Raises RuleError below `what`."""
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME:
        remedy = f"write a text of 1 to {MAX_NAME} characters"
        raise RuleError("the name is missing or no text", remedy).under(what)
    if any("\ud800" <= letter <= "\udfff" for letter in name):
        raise RuleError("the name is not valid Unicode", "remove lone surrogates").under(what)


def check_zone_name(what: str, zone: str) -> None:
    """Check the IANA name of a time zone. Raises RuleError below `what`."""
    try:
        check_zone(zone)
    except ValueError:
        remedy = "write an IANA name such as Asia/Shanghai"
        raise RuleError("the time zone is not known", remedy).under(what) from None


def check_span(what: str, span_us: int) -> None:
    """Check a span of time, at least one microsecond. Raises RuleError below `what`."""
    if type(span_us) is not int or not 0 < span_us <= MAX_SPAN_US:
        raise RuleError("this is no span of time", "write one such as 7d").under(what)


def check_whole(what: str, number: int, least: int, most: int) -> None:
    """Check a whole number within bounds. Raises RuleError below `what`."""
    if type(number) is not int or not least <= number <= most:
        raise RuleError("the number is out of bounds", f"write {least} to {most}").under(what)
