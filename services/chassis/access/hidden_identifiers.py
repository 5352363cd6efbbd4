"""Refuses reads that name several persons by identifiers which their caller sees masked.

An agent who has the number of a customer finds the customer by it. A mask leaves four digits of a
number open, though, and a caller who tries all of them would have the right ones after ten calls of
a thousand identifiers: so a call names few.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from google.protobuf.descriptor import Descriptor
from onefold.type.v1.identifier_pb2 import Identifier
from onefold.type.v1.options_pb2 import Right, rights

from services.chassis.access.rights import rpc_of
from services.kernel.errors import NotAllowed
from services.kernel.masking import Lens

#: Identifiers in one call that its caller sees masked: those of one person, or of the two of a
#: match.
MAX_HIDDEN = 2


class _FieldOfPath(NamedTuple):
    """A field of a message that is, or leads to, an identifier."""

    name: str
    is_repeated: bool


_Path = tuple[_FieldOfPath, ...]


class NamedPersons:
    """The identifiers by which the requests of a method that reads name persons."""

    def __init__(self, paths: tuple[_Path, ...]) -> None:
        self._paths = paths

    @classmethod
    def of(cls, method: str) -> NamedPersons:
        """Return those of a method, `/package.Service/Rpc`. Raises KeyError for an unknown one."""
        found = rpc_of(method)
        options: Any = found.GetOptions()
        reads = Right.RIGHT_READ in options.Extensions[rights]
        return cls(tuple(_paths(found.input_type, ())) if reads else ())

    @property
    def is_empty(self) -> bool:
        """Return whether the method reads nothing by an identifier."""
        return not self._paths

    def check(self, request: Any, lens: Lens) -> None:
        """Raise NotAllowed where a request has many identifiers that its caller sees masked."""
        named = (each for path in self._paths for each in _at(request, path))
        hidden = [each for each in named if not lens.may_look_up(each.namespace, each.value)]
        if len(hidden) > MAX_HIDDEN:
            raise NotAllowed(
                f"keys of this role see identifiers of {hidden[0].namespace!r} masked, so a call"
                f" has at most {MAX_HIDDEN} of them: name profile ids, use a key that may unmask,"
                " or ask an administrator to class the namespace as not personal"
            )


def _paths(description: Descriptor, seen: tuple[str, ...]) -> Iterator[_Path]:
    """Yield the paths from a message to identifiers; a message within itself is left out."""
    if description.full_name in seen:
        return
    for each in description.fields:
        if each.message_type is None or each.message_type.GetOptions().map_entry:
            continue
        step = _FieldOfPath(each.name, each.is_repeated)
        if each.message_type.full_name == Identifier.DESCRIPTOR.full_name:
            yield (step,)
        else:
            for rest in _paths(each.message_type, (*seen, description.full_name)):
                yield (step, *rest)


def _at(message: Any, path: _Path) -> Iterator[Identifier]:
    if not path:
        yield message
        return
    (name, is_repeated), rest = path[0], path[1:]
    if is_repeated:
        for each in getattr(message, name):
            yield from _at(each, rest)
    elif message.HasField(name):
        yield from _at(getattr(message, name), rest)
