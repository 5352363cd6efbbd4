"""Reads times in the format and the zone that a mapping names; none is in UTC by chance."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from services.cli.files.numbers import to_ascii
from services.kernel.errors import InvalidField
from services.kernel.time import to_us

EPOCHS = {"epoch_s": 1_000_000, "epoch_ms": 1_000, "epoch_us": 1}
_OFFSET = re.compile(r"([+-])([0-9]{2}):?([0-9]{2})")
_DIGITS = re.compile(r"-?[0-9]{1,20}(?:\.[0-9]{1,20})?")
#: Date and time of day of the default format; its zone may be missing.
_RFC3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]{1,9})?)?"
    r" ?(?:[Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)?"
)
#: Unix microseconds of the years 1 to 9999.
_FIRST_US, _LAST_US = -62_135_596_800_000_000, 253_402_300_800_000_000
NO_ZONE = (
    "the time has no zone: write one into the mapping, such as `zone: Asia/Shanghai` or "
    '`zone: "+08:00"`'
)

#: Returns Unix microseconds; raises ValueError with the problem.
TimeReader = Callable[[Any], int]


def time_reader(path: str, form: Mapping[str, Any], default_zone: tzinfo | None) -> TimeReader:
    """Return what reads the times of a cell. Raises InvalidField, which names the path."""
    time_format = form.get("format")
    if time_format is not None and (not isinstance(time_format, str) or not time_format):
        raise InvalidField("write a format, such as epoch_ms", field=f"{path}.format")
    own_zone = read_zone(f"{path}.zone", form["zone"]) if "zone" in form else None
    if time_format in EPOCHS:
        if own_zone:
            raise InvalidField("a time since 1970 has no zone: remove it", field=f"{path}.zone")
        return lambda value: _from_epoch(value, str(time_format))
    zone = own_zone or default_zone
    if time_format is None:
        return lambda value: _from_text(value, None, zone)
    _check_format(path, time_format)
    if "%z" in time_format and own_zone:
        raise InvalidField(
            "the format reads the zone of each time: remove it", field=f"{path}.zone"
        )
    if "%z" not in time_format and zone is None:
        raise InvalidField(NO_ZONE, field=f"{path}.zone")
    return lambda value: _from_text(value, time_format, zone)


def read_zone(path: str, name: object) -> tzinfo:
    """Return a time zone, such as `Asia/Shanghai`, `+08:00` or `UTC`. Raises InvalidField."""
    text = str(name)
    try:
        if found := _OFFSET.fullmatch(text):
            span = timedelta(hours=int(found[2]), minutes=int(found[3]))
            if span < timedelta(hours=24) and int(found[3]) < 60:
                return timezone(span if found[1] == "+" else -span)
        elif text in ("UTC", "Z"):
            return UTC
        else:
            return ZoneInfo(text)
    except (KeyError, ValueError, OSError):
        pass
    raise InvalidField(
        "this machine does not know the time zone; write one such as +08:00", field=path
    )


def _check_format(path: str, time_format: str) -> None:
    """Raise InvalidField where no text can have a format."""
    try:
        datetime.strptime("", time_format)
    except ValueError as error:
        if "does not match" in str(error):
            return
    except Exception:  # noqa: S110 - the library raises what its own parts raise
        pass
    raise InvalidField(
        "this is no format of strptime; write one such as %Y-%m-%d %H:%M:%S", field=f"{path}.format"
    )


def _from_epoch(value: Any, unit: str) -> int:
    text = to_ascii(repr(value) if isinstance(value, float) else str(value))
    if isinstance(value, bool) or not _DIGITS.fullmatch(text):
        raise ValueError(f"the time cannot be read as {unit}")
    us = int(Decimal(text) * EPOCHS[unit])
    if not _FIRST_US <= us < _LAST_US:
        raise ValueError(f"the time cannot be read as {unit}: the number is too large for it")
    return us


def _from_text(value: Any, time_format: str | None, zone: tzinfo | None) -> int:
    expected = time_format or "RFC 3339, such as 2026-11-21T20:17:09+08:00"
    text = to_ascii(str(value))
    try:
        if time_format:
            instant = datetime.strptime(text, time_format)
        elif _RFC3339.fullmatch(text):
            instant = datetime.fromisoformat(text.replace(" +", "+").replace(" Z", "Z"))
        else:
            raise ValueError("another form")
    except (ValueError, OverflowError):
        raise ValueError(f"the time cannot be read as {expected}") from None
    return _to_us(instant, zone)


def _to_us(instant: datetime, zone: tzinfo | None) -> int:
    try:
        if instant.tzinfo is not None:
            return to_us(instant)
        if zone is None:
            raise ValueError(NO_ZONE)
        local = instant.replace(tzinfo=zone)
        if local.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != instant:
            raise ValueError("the time does not exist: clocks were put forward over it")
        return to_us(local)
    except OverflowError:
        raise ValueError("the time is out of the range of years") from None
