"""Defines the trust classes and party classes of sources."""

from __future__ import annotations

from enum import IntEnum


class SourceTrust(IntEnum):
    """How far the statements of a source are believed; the higher number takes precedence.

    The numbers are those of onefold.type.v1.SourceTrust.
    """

    #: Everybody can read the key: it is in a web page, an app or a mini-program.
    PUBLIC = 1
    #: The key is on a server of the company.
    SERVER = 2
    #: The source is the company's record of its customers.
    SYSTEM_OF_RECORD = 3


class Party(IntEnum):
    """Where the data of a source comes from; the lower number takes precedence.

    The numbers are those of onefold.type.v1.Party.
    """

    #: The company collected it itself.
    FIRST = 1
    #: A partner collected it from its own customers and shares it.
    SECOND = 2
    #: A data provider sells or supplies it.
    THIRD = 3
