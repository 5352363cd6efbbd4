"""Every text in a response is marked as personal data, or reviewed as having none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from contract.protos.descriptors import option, rpcs
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message_factory import GetMessageClass
from onefold.type.v1 import options_pb2

from services.chassis.access.personal_data import PersonalFields
from services.chassis.access.principal import Role
from services.chassis.access.rights import RIGHTS, VISIBLE, roles_of
from services.kernel.masking import FieldClass, Lens

REVIEWED = Path(__file__).with_name("fields_without_personal_data.txt")
_TEXTS = (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES)
#: The roles of keys.
CLIENTS = frozenset({Role.READER, Role.SERVICE, Role.ADMIN})
#: What no response to a masked caller may have. The second one is an identity card.
PLANTED, CARD = "planted-value", "11010519491231002X"
_MARKS = options_pb2.PersonalData


def disclosing() -> list[MethodDescriptor]:
    """Return the rpcs that keys may call."""
    return [rpc for rpc in rpcs() if roles_of(rpc) & CLIENTS]


def _messages(message: Descriptor, seen: set[str]) -> Iterator[Descriptor]:
    if message.full_name in seen:
        return
    seen.add(message.full_name)
    yield message
    for field in message.fields:
        if field.message_type is not None:
            yield from _messages(field.message_type, seen)


def unmarked() -> Mapping[str, set[str]]:
    """Return the texts of responses without a mark, by message; ids and secrets are left out."""
    found: dict[str, set[str]] = {}
    seen: set[str] = set()
    for rpc in disclosing():
        for message in _messages(rpc.output_type, seen):
            for field in message.fields:
                is_id = option(field, options_pb2.pattern) or option(field, options_pb2.secret)
                is_marked = option(field, options_pb2.personal_data)
                if field.type in _TEXTS and not is_id and not is_marked:
                    found.setdefault(message.full_name, set()).add(field.name)
    return found


def test_text_of_a_response_is_marked_or_reviewed() -> None:
    lines = REVIEWED.read_text("utf-8").splitlines()
    reviewed = dict(line.split(": ") for line in lines if not line.startswith("#"))
    actual = {name: " ".join(sorted(fields)) for name, fields in unmarked().items()}
    assert actual == reviewed


def planted(description: Descriptor, depth: int = 0) -> Any:
    """Return a message with a planted value in each marked field, however deep."""
    message = GetMessageClass(description)()
    for field in description.fields:
        if mark := option(field, options_pb2.personal_data):
            value = _value(mark, is_bytes=field.type == FieldDescriptor.TYPE_BYTES)
            if field.is_repeated:
                getattr(message, field.name).append(value)
            else:
                setattr(message, field.name, value)
        elif field.message_type is not None and depth < 7 and not _is_map(field):
            part = planted(field.message_type, depth + 1)
            if field.is_repeated:
                getattr(message, field.name).append(part)
            elif field.containing_oneof is None or not message.WhichOneof(
                field.containing_oneof.name
            ):
                getattr(message, field.name).CopyFrom(part)
    return message


def _is_map(field: FieldDescriptor) -> bool:
    return bool(field.message_type.GetOptions().map_entry)


def _value(mark: int, *, is_bytes: bool) -> str | bytes:
    text = {
        _MARKS.PERSONAL_DATA_VALUE: f'"{PLANTED}"',
        _MARKS.PERSONAL_DATA_DOCUMENT: f'{{"x": ["{PLANTED}"], "id_card": {{"y": "{CARD}"}}}}',
        _MARKS.PERSONAL_DATA_RULE_TEXT: f'x = "{PLANTED}"',
    }.get(mark, PLANTED)
    return text.encode() if is_bytes else text


@pytest.mark.parametrize("rpc", disclosing(), ids=lambda rpc: rpc.full_name)
def test_response_shows_planted_values_only_to_roles_that_see_them(rpc: MethodDescriptor) -> None:
    fields = PersonalFields(rpc.input_type, rpc.output_type)
    for role in sorted(roles_of(rpc) & CLIENTS):
        response = planted(rpc.output_type)
        before = response.SerializeToString()
        fields.mask(response, Lens(VISIBLE[role]))
        after = response.SerializeToString()
        sees = VISIBLE[role] is not FieldClass.NONE
        assert (PLANTED.encode() in after) == (sees and PLANTED.encode() in before), role
        assert CARD.encode() not in after
        response.ParseFromString(before)
        fields.mask(response, Lens(FieldClass.SENSITIVE))
        assert response.SerializeToString() == before


def test_methods_that_disclose_personal_data_are_known_by_their_fields() -> None:
    names = {
        rpc.name
        for rpc in disclosing()
        if PersonalFields(rpc.input_type, rpc.output_type).is_disclosed
    }
    assert {
        *("GetProfile", "BatchGetProfiles", "ListProfiles", "SearchProfiles", "ListTimeline"),
        *("ListIdentifiers", "GetGraph", "ExplainMatch", "ExplainRule", "ExplainMembership"),
        *("ListQuarantined", "WatchEvents", "WatchProfiles", "GetTicket", "GetRun"),
    } <= names
    assert not {"CountDeliveries", "ListMembers", "ListKeys", "GetCaller"} & names


def test_only_back_ends_and_administrators_see_personal_data() -> None:
    sees = options_pb2.Right.RIGHT_SEE_PERSONAL
    unmasks = options_pb2.Right.RIGHT_UNMASK
    for right in (sees, unmasks):
        assert {role for role, given in RIGHTS.items() if right in given} == {
            Role.SERVICE,
            Role.ADMIN,
        }
