"""No caller tries many numbers that a mask may stand for in one call."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from contract.protos.descriptors import rpcs
from google.protobuf.descriptor import Descriptor, MethodDescriptor
from google.protobuf.message_factory import GetMessageClass
from onefold.identity.v1.identity_service_pb2 import LookupProfilesRequest
from onefold.type.v1.identifier_pb2 import Identifier

from services.chassis.access.hidden_identifiers import MAX_HIDDEN, NamedPersons
from services.chassis.access.principal import Principal, Role
from services.chassis.access.rights import lens_of, roles_of
from services.kernel.errors import NotAllowed
from services.kernel.ids import WorkspaceId
from services.kernel.masking import DEFAULT_CLASSES, FieldClass, FieldClasses, Lens

_IDENTIFIER = Identifier.DESCRIPTOR.full_name
HIDDEN = (
    *(("phone", "+8613812345678"), ("email", "li@example.cn"), ("id_card", "11010519491231002X")),
    *(("user_id", "10001"), ("phone_sha256", "0f" * 32), ("anonymous_id", "11010519491231002X")),
)


def lens(role: Role, classes: FieldClasses = DEFAULT_CLASSES) -> Lens:
    return lens_of(Principal(WorkspaceId("shop"), role, "key_1", field_classes=classes))


def _reaches_identifier(message: Descriptor, seen: frozenset[str] = frozenset()) -> bool:
    below = [each.message_type for each in message.fields if each.message_type is not None]
    names = {each.full_name for each in below}
    return _IDENTIFIER in names or any(
        _reaches_identifier(each, seen | names) for each in below if each.full_name not in seen
    )


def reading_by_identifier() -> list[MethodDescriptor]:
    """Return the rpcs that a reader may call and whose requests have identifiers somewhere."""
    return [
        rpc
        for rpc in rpcs()
        if Role.READER in roles_of(rpc) and _reaches_identifier(rpc.input_type)
    ]


def _requests(
    description: Descriptor, value: Identifier, depth: int = 0, *, times: int = 1
) -> Iterator[Any]:
    """Yield requests with an identifier in each place that has one, however deep.

    `times`: how often it is there; places that have fewer are left out.
    """
    for field in description.fields:
        if field.message_type is None or depth > 5:
            continue
        is_identifier = field.message_type.full_name == _IDENTIFIER
        each = times if is_identifier or not field.is_repeated else 1
        if is_identifier:
            parts = iter([value])
        else:
            parts = _requests(field.message_type, value, depth + 1, times=each)
        for part in parts:
            message = GetMessageClass(description)()
            if field.is_repeated:
                getattr(message, field.name).extend([part] * times)
            elif is_identifier and times > 1:
                continue
            else:
                getattr(message, field.name).CopyFrom(part)
            yield message


@pytest.mark.parametrize("rpc", reading_by_identifier(), ids=lambda rpc: rpc.name)
def test_reader_names_few_persons_by_identifiers_that_are_masked(rpc: MethodDescriptor) -> None:
    persons = NamedPersons.of(f"/{rpc.containing_service.full_name}/{rpc.name}")
    assert not persons.is_empty
    for namespace, value in HIDDEN:
        one = Identifier(namespace=namespace, value=value)
        for request in _requests(rpc.input_type, one):
            persons.check(request, lens(Role.READER))
        for request in _requests(rpc.input_type, one, times=MAX_HIDDEN + 1):
            with pytest.raises(NotAllowed, match="profile ids"):
                persons.check(request, lens(Role.READER))
            # Those who may see it may read by it.
            persons.check(request, lens(Role.SERVICE))


@pytest.mark.parametrize("rpc", reading_by_identifier(), ids=lambda rpc: rpc.name)
def test_reader_reads_by_an_identifier_that_it_sees(rpc: MethodDescriptor) -> None:
    persons = NamedPersons.of(f"/{rpc.containing_service.full_name}/{rpc.name}")
    for request in _requests(rpc.input_type, Identifier(namespace="anonymous_id", value="a-1")):
        persons.check(request, lens(Role.READER))
    classes = FieldClasses.of({"user_id": FieldClass.NONE}, {})
    for request in _requests(rpc.input_type, Identifier(namespace="user_id", value="10001")):
        persons.check(request, lens(Role.READER, classes))


def test_methods_that_read_by_identifiers_are_known_by_their_fields() -> None:
    assert {
        *("LookupProfiles", "ExplainMatch", "GetProfile", "ListTimeline", "ExplainRule"),
        *("ExplainMembership", "ListMemberships", "Decide", "Recommend"),
    } <= {rpc.name for rpc in reading_by_identifier()}


def test_sender_of_events_may_name_anyone() -> None:
    persons = NamedPersons.of("/onefold.ingest.v1.IngestService/IngestEvents")
    assert persons.is_empty


def test_lookup_of_many_masked_identifiers_is_refused() -> None:
    persons = NamedPersons.of("/onefold.identity.v1.IdentityService/LookupProfiles")
    numbers = [Identifier(namespace="phone", value=f"+861381234567{n}") for n in range(3)]
    persons.check(LookupProfilesRequest(identifiers=numbers[:MAX_HIDDEN]), lens(Role.READER))
    with pytest.raises(NotAllowed):
        persons.check(LookupProfilesRequest(identifiers=numbers), lens(Role.READER))
