"""Defines the settings of the console."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field, SecretStr

from services.chassis.runtime.settings import Port, ProcessSettings

_KEY = re.compile(r"[0-9a-f]{64}")


def _valid_key(text: SecretStr) -> SecretStr:
    if not _KEY.fullmatch(text.get_secret_value()):
        raise ValueError("write 64 hexadecimal digits")
    return text


class ConsoleSettings(ProcessSettings):
    """The settings of the console. It has no key of the services, and no database."""

    service: ClassVar[str] = "console"

    #: The port of the HTTP endpoint; 0 = any free port.
    http_port: Port = 0
    #: The key that seals the cookies of sessions, 64 hexadecimal digits. Several consoles need the
    #: same one; without it one is made at each start, and ends the sessions of before.
    session_key: Annotated[SecretStr, AfterValidator(_valid_key)] | None = None
    #: How long a session lasts at most, seconds.
    session_s: Annotated[int, Field(ge=60)] = 43_200
    #: The largest message of a call, bytes.
    max_message_bytes: Annotated[int, Field(ge=1024)] = 4 * 1024 * 1024
    #: The timeout of a call with one response whose caller names none, seconds.
    call_timeout_s: Annotated[float, Field(gt=0)] = 60.0
