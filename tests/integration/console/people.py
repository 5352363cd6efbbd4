"""The people of the console's tests, and what sends their events."""

from __future__ import annotations

from base64 import b64encode
from itertools import count

from integration.console.running_console import Console
from integration.whole.whole_system import identifier
from onefold.activation.v1 import activation_facts_pb2 as activation_facts
from onefold.activation.v1.activation_service_pb2 import DefineDestinationRequest
from onefold.ingest.v1.ingest_service_pb2 import IngestEventsRequest
from onefold.segment.v1.segment_facts_pb2 import SegmentDefined
from onefold.segment.v1.segment_service_pb2 import DefineSegmentRequest
from onefold.type.v1 import event_pb2

from services.chassis.codec.rules import rule_to_proto
from services.kernel.rules.forms.json_form import parse_rule
from services.kernel.time import DAY_US

NAME = "李雷 <img src=x onerror=alert(1)>"
BOUGHT = {"count": {"event": "bought", "at_least": 1}}
SECRET = "whsec_" + b64encode(bytes(24)).decode()
_numbers = count()


def event(kind: str, *names: str, at_us: int = 0, **fields: bytes) -> event_pb2.Event:
    """Return an event: an `identify`, or a track event of this name."""
    is_identify = kind == "identify"
    return event_pb2.Event(
        type=event_pb2.EVENT_TYPE_IDENTIFY if is_identify else event_pb2.EVENT_TYPE_TRACK,
        name="" if is_identify else kind,
        message_id=f"b{next(_numbers)}",
        identifiers=map(identifier, names),
        occurred_at_us=at_us,
        **fields,
    )


async def send(console: Console, *events: event_pb2.Event) -> int:
    """Send events; return how many are refused."""
    request = IngestEventsRequest(events=events)
    answer = await console.system.source.ingest.IngestEvents(request)
    await console.system.drain()
    return len(answer.rejections)


async def begin(console: Console, hook_url: str) -> None:
    """Define a segment and a destination, and send the events of one buyer and two people."""
    segment = SegmentDefined(
        segment_id="buyers", title="买家", rule=rule_to_proto(parse_rule(BOUGHT))
    )
    await console.system.admin.segment.DefineSegment(DefineSegmentRequest(segment=segment))
    await console.system.drain()
    destination = activation_facts.DestinationDefined(
        destination_id="hook",
        webhook=activation_facts.Webhook(url=hook_url, secret=SECRET),
        segment_ids=["buyers"],
        triggers=[activation_facts.TRIGGER_ENTERED],
    )
    request = DefineDestinationRequest(destination=destination)
    await console.system.admin.activation.DefineDestination(request)
    await console.system.drain()
    day_ago = await console.system.now_us() - 2 * DAY_US
    traits = f'{{"name": "{NAME}", "city": "北京"}}'.encode()
    await send(
        console,
        event("identify", "user_id:u1", "email:li@example.cn", traits=traits, at_us=day_ago),
        event("bought", "user_id:u1", properties='{"product": "A产品"}'.encode()),
        event("identify", "user_id:u2", traits='{"name": "韩梅梅"}'.encode()),
        event("seen", "anonymous_id:shared"),
    )
