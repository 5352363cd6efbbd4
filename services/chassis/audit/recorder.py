"""Decides which calls of a method are entries of the audit, and makes the entries."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions
from onefold.type.v1.options_pb2 import Right, personal_data, rights

from services.chassis.access.personal_data import Disclosure
from services.chassis.access.principal import Principal
from services.chassis.access.rights import rpc_of
from services.chassis.audit.log import AuditLog, now_us
from services.kernel.audit_chain import AuditEntry
from services.kernel.errors import OnefoldError
from services.kernel.masking import Lens

T = TypeVar("T")

_ACTS = frozenset({Right.RIGHT_OPERATE, Right.RIGHT_ADMINISTER})
#: The outcome of a call that did not fail.
OK = "OK"
#: The outcome of an act whose caller left before it got the response.
CANCELLED = "CANCELLED"
#: The most characters of a target.
_MAX_TARGET = 200
#: The most characters of the name of a field.
_MAX_NAME = 512


class AuditedCall(NamedTuple):
    """A call as far as its entry needs it."""

    caller: Principal
    request: Any
    lens: Lens
    #: Why the caller unmasks; empty = it does not.
    reason: str


class MethodAudit:
    """The audit of one method. Calls of the other services are no entries."""

    def __init__(self, method: str, audit: AuditLog | None) -> None:
        """`method`: its path, `/package.Service/Rpc`. `audit`: None = nothing is audited."""
        self._method = method
        self._audit = audit
        rpc = rpc_of(method)
        options: Any = rpc.GetOptions()
        is_read = options.idempotency_level == MethodOptions.NO_SIDE_EFFECTS
        #: Whether every call is an act that is recorded, also one that fails.
        self.is_act = not is_read and not _ACTS.isdisjoint(options.Extensions[rights])
        self._ids = tuple(_id_paths(rpc.input_type))

    async def watch(self, call: AuditedCall, responding: Awaitable[T]) -> T:
        """Return the response to a call; record an act that fails, or whose caller leaves: it may
        be done all the same."""
        try:
            return await responding
        except asyncio.CancelledError:
            with suppress(Exception):  # the caller is gone, and the entry is written later
                await self._record_failure(call, CANCELLED)
            raise
        except Exception as error:
            reason = error.reason if isinstance(error, OnefoldError) else OnefoldError.reason
            await self._record_failure(call, reason)
            raise

    async def _record_failure(self, call: AuditedCall, outcome: str) -> None:
        if self._is_done(call):
            await self.record(call, Disclosure(), outcome)

    async def record(self, call: AuditedCall, disclosure: Disclosure, outcome: str = OK) -> None:
        """Record a call, if it was an act or disclosed personal data.

        Raises StoreUnavailable where the entry has to be stored before the response and cannot be.
        """
        caller, count = call.caller, disclosure.count
        is_done = self._is_done(call)
        if self._audit is None or caller.internal or not (is_done or count):
            return
        # What a call that failed names is any text of its caller, which may not be stored for ever.
        named = _profiles_in(call.request) if outcome == OK else []
        profiles = dict.fromkeys([*disclosure.profile_ids, *named])
        entry = AuditEntry(
            at_us=now_us(),
            key_id=caller.key_id,
            role=int(caller.role),
            method=self._method,
            outcome=outcome,
            target=self._target(call.request) if outcome == OK else "",
            profile_ids=b"".join(map(bytes.fromhex, profiles)),
            names=tuple(sorted({_storable(name) for name in disclosure.names})),
            value_count=count,
            visible=int(call.lens.visible) if count else 0,
            reason=call.reason if count else "",
        )
        durably = is_done or bool(call.reason)
        await self._audit.add(caller.workspace_id, entry, durably=durably, is_act=is_done)

    def _is_done(self, call: AuditedCall) -> bool:
        """Return whether a call does something; a dry run does nothing."""
        return self.is_act and not getattr(call.request, "dry_run", False)

    def _target(self, request: Any) -> str:
        """Return the ids that a request names, such as `source_id:web`; no identifier is among
        them."""
        found = []
        for path in self._ids:
            value = request
            for name in path:
                value = getattr(value, name, None)
            if isinstance(value, str) and value:
                found.append(f"{path[-1]}:{value}")
        return _storable(" ".join(found)[:_MAX_TARGET])


def _storable(text: str) -> str:
    """Return a text as PostgreSQL stores it, without NUL, and not too long."""
    return text.replace("\0", "")[:_MAX_NAME]


def _profiles_in(request: Any) -> list[str]:
    """Return the profile that a request names, where it names one by a whole id."""
    value = getattr(request, "profile_id", "")
    is_id = isinstance(value, str) and len(value) == 32
    try:
        return [bytes.fromhex(value).hex()] if is_id else []
    except ValueError:
        return []


def _id_paths(description: Descriptor) -> list[tuple[str, ...]]:
    """Return where a request, or a message in it, has texts that are ids of definitions."""
    found: list[tuple[str, ...]] = []
    for field in description.fields:
        if _is_id(field):
            found.append((field.name,))
        elif field.message_type is not None and not field.is_repeated:
            inner = [each for each in field.message_type.fields if _is_id(each)]
            found += [(field.name, each.name) for each in inner]
    return found


def _is_id(field: FieldDescriptor) -> bool:
    is_text = field.type == FieldDescriptor.TYPE_STRING and not field.is_repeated
    options: Any = field.GetOptions()
    return is_text and field.name.endswith("_id") and not options.Extensions[personal_data]
