"""Lets asyncpg encode arrays in half the time."""

from __future__ import annotations

from collections import deque

from asyncpg.protocol import protocol
from google.protobuf.field_mask_pb2 import FieldMask

#: The types of values that statements may get as arrays.
ARRAY_TYPES: tuple[type, ...] = (
    *(list, tuple, set, frozenset, deque, range),
    *(type({}.keys()), type({}.values()), type({}.items())),
    # A repeated field of a message.
    type(FieldMask().paths),
)


def use_plain_array_types() -> None:
    """Make asyncpg recognise arrays by ARRAY_TYPES.

    It asks of every element whether it is an array as well. With an abstract class, as it comes,
    that takes as long as all the rest of the encoding: 0.13 of 0.26 us an element.
    """
    # Assigning a name that asyncpg no longer reads would be without effect; a test notices that.
    protocol.IterableABC = ARRAY_TYPES  # type: ignore[attr-defined]  # no part of its interface
