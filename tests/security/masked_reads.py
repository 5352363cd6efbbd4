"""Calls every rpc that a reader may call about one person whose data are planted everywhere."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import grpc
from contract.protos.descriptors import rpcs
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.json_format import MessageToJson
from google.protobuf.message_factory import GetMessageClass
from integration.whole.whole_system import WholeSystem, identifier
from onefold.ingest.v1.ingest_service_pb2 import IngestEventsRequest
from onefold.segment.v1.segment_facts_pb2 import SegmentDefined
from onefold.segment.v1.segment_service_pb2 import DefineSegmentRequest
from onefold.type.v1 import event_pb2

from services.chassis.access.principal import Role
from services.chassis.access.rights import roles_of
from services.chassis.codec.rules import rule_to_proto
from services.kernel.rules.forms.json_form import parse_rule

PHONE, EMAIL, USER = "+8613912340987", "plantedperson@plantedhost.example", "planted-user-7"
CARD = "11010519491231002X"
#: What no response to a masked caller may have, in any encoding of the transport.
PLANTED = ("plantedperson", "planted-user", "planted text", "391234", CARD)
SEGMENT = "planted-segment"
#: How long a stream may take to its first message, seconds.
_STREAM_S = 1.0


async def plant(system: WholeSystem) -> str:
    """Send the events of a person with planted data; return its profile id."""
    ids = [identifier(each) for each in (f"user_id:{USER}", f"email:{EMAIL}", f"phone:{PHONE}")]
    document = {"note": "planted text", "deep": [{"x": {"who": "planted text"}}], "id_card": CARD}
    fields = {"properties": document, "context": {"ip": "planted text", "page": document}}
    encoded = {key: json.dumps(value).encode() for key, value in fields.items()}
    traits = {"name": "planted text", "phone": PHONE, "id_card": CARD, "home": document}
    kind = event_pb2
    events = [
        event_pb2.Event(type=kind.EVENT_TYPE_TRACK, name="bought", identifiers=ids, **encoded),
        event_pb2.Event(
            type=kind.EVENT_TYPE_IDENTIFY, identifiers=ids, traits=json.dumps(traits).encode()
        ),
        event_pb2.Event(
            type=kind.EVENT_TYPE_GROUP,
            identifiers=ids[:1],
            group_id="planted-account",
            traits=json.dumps({"owner": "planted text"}).encode(),
        ),
        event_pb2.Event(type=kind.EVENT_TYPE_TRACK, name="bought", **encoded),
    ]
    response = await system.source.ingest.IngestEvents(IngestEventsRequest(events=events))
    assert len(response.rejections) == 1
    rule = rule_to_proto(parse_rule({"trait": {"name": "name", "eq": "planted text"}}))
    segment = SegmentDefined(segment_id=SEGMENT, title="t", rule=rule)
    await system.admin.segment.DefineSegment(DefineSegmentRequest(segment=segment))
    await system.drain()
    [profile_id] = await system.profiles(f"user_id:{USER}")
    return profile_id


def readable() -> list[MethodDescriptor]:
    """Return the rpcs that a reader may call."""
    return [rpc for rpc in rpcs() if Role.READER in roles_of(rpc)]


def filled(description: Descriptor, values: Mapping[str, Any], depth: int = 0) -> Any:
    """Return a request about the person: fields of known names have a value, others are empty."""
    message = GetMessageClass(description)()
    for field in description.fields:
        is_taken = field.containing_oneof and message.WhichOneof(field.containing_oneof.name)
        value = values.get(field.name)
        if is_taken or (value is None and not _goes_deeper(field, depth)):
            continue
        if value is None:
            part = filled(field.message_type, values, depth + 1)
            if part.ByteSize():
                getattr(message, field.name).CopyFrom(part)
        elif field.message_type is not None and not hasattr(value, "DESCRIPTOR"):
            continue
        elif field.is_repeated:
            getattr(message, field.name).append(value)
        elif field.message_type is not None:
            if value.DESCRIPTOR is field.message_type:
                getattr(message, field.name).CopyFrom(value)
        else:
            with suppress(TypeError):
                setattr(message, field.name, value)
    return message


def _goes_deeper(field: FieldDescriptor, depth: int) -> bool:
    return field.message_type is not None and depth < 2 and not field.is_repeated


async def sweep(system: WholeSystem, key: str, profile_id: str) -> dict[str, str]:
    """Return by rpc what a key gets: the response as JSON, or the text of the error."""
    values = {
        "profile_id": profile_id,
        "profile_ids": profile_id,
        "identifier": identifier(f"phone:{PHONE}"),
        "identifiers": identifier(f"user_id:{USER}"),
        "a": identifier(f"user_id:{USER}"),
        "b": identifier(f"email:{EMAIL}"),
        "segment_id": SEGMENT,
        "segment_ids": SEGMENT,
        "text": USER,
        "page_size": 50,
    }
    found: dict[str, str] = {}

    async def call(rpc: MethodDescriptor, service: str) -> None:
        path = f"/{rpc.containing_service.full_name}/{rpc.name}"
        request = filled(rpc.input_type, values).SerializeToString()
        async with grpc.aio.insecure_channel(system.admin.endpoints.grpc[service]) as channel:
            metadata = (("authorization", f"Bearer {key}"),)
            started = channel.unary_stream(path)(request, metadata=metadata, timeout=20)
            try:
                wait_s = _STREAM_S if rpc.server_streaming else None
                async with asyncio.timeout(wait_s):
                    async for encoded in started:
                        message = GetMessageClass(rpc.output_type).FromString(encoded)
                        found[rpc.name] = MessageToJson(message) + repr(encoded)
                        break
            except TimeoutError:
                pass
            except grpc.aio.AioRpcError as error:
                found[rpc.name] = f"{error.details()} {error.trailing_metadata()}"

    packages = {rpc: rpc.containing_service.full_name.split(".")[1] for rpc in readable()}
    async with asyncio.TaskGroup() as tasks:
        for rpc, package in packages.items():
            services = {"log": "ingest", "projection": "profile", "audit": "profile"}
            tasks.create_task(call(rpc, services.get(package, package)))
    return found


def leaks(found: Mapping[str, str]) -> set[str]:
    """Return the rpcs whose response has a planted value."""
    return {name for name, text in found.items() if any(each in text for each in PLANTED)}
