"""Serves IngestService over gRPC: events, the quarantine, and what was sent again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from onefold.ingest.v1 import ingest_service_pb2 as pb
from onefold.ingest.v1.ingest_service_pb2_grpc import IngestServiceServicer

from services.chassis.access.principal import principal, workspace_id
from services.chassis.access.rights import allowed_roles
from services.chassis.codec.fields import page_size_of, token_from_proto, token_to_proto
from services.chassis.rpc.guard import address_of
from services.chassis.rpc.server import Allowed
from services.ingest.api.producers import producer_of
from services.ingest.codec.events import EventsRequest, event_of_message, events_of_request
from services.ingest.codec.repairs import from_quarantine
from services.ingest.codec.results import (
    DUPLICATES_PAGE,
    QUARANTINE_PAGE,
    duplicates_to_proto,
    page_to_proto,
    result_to_proto,
)
from services.ingest.commands.intake import EventIntake, check_batch_size
from services.ingest.domain.events import Producer
from services.ingest.domain.producer_limits import Sent
from services.ingest.log.event_feed import EventFeed
from services.ingest.store.duplicates import DuplicateStore
from services.ingest.store.quarantine import QuarantineStore
from services.kernel.ids import parse_id, to_hex

ALLOWED: Allowed = allowed_roles(pb.DESCRIPTOR.services_by_name["IngestService"])

#: The metadata by which an importer marks events that come from a file.
ENDPOINT_KEY = "onefold-endpoint"


class IngestRpc(IngestServiceServicer):
    """Implements IngestService."""

    def __init__(
        self,
        intake: EventIntake,
        quarantine: QuarantineStore,
        duplicates: DuplicateStore,
        feed: EventFeed,
    ) -> None:
        self._intake = intake
        self._quarantine = quarantine
        self._duplicates = duplicates
        self._feed = feed

    async def IngestEvents(
        self, request: pb.IngestEventsRequest, context: Any
    ) -> pb.IngestEventsResponse:
        return await self._ingest(request, producer_of(principal(), _endpoint(context)), context)

    async def StreamEvents(
        self, request_iterator: AsyncIterator[pb.StreamEventsRequest], context: Any
    ) -> AsyncIterator[pb.StreamEventsResponse]:
        producer = producer_of(principal(), _endpoint(context))
        async for request in request_iterator:
            result = await self._ingest(request, producer, context)
            yield pb.StreamEventsResponse(result=result)

    async def _ingest(
        self, request: EventsRequest, producer: Producer, context: Any
    ) -> pb.IngestEventsResponse:
        check_batch_size(len(request.events))
        events, size = events_of_request(request)
        sent = Sent(size, address_of(context.peer()))
        return result_to_proto(await self._intake.ingest(producer, events, sent))

    async def WatchEvents(
        self, request: pb.WatchEventsRequest, context: Any
    ) -> AsyncIterator[pb.WatchEventsResponse]:
        after = token_from_proto(request.after) if request.HasField("after") else None
        feed = self._feed.watch(workspace_id(), request.source_ids, request.names, after)
        async with aclosing(feed) as pages:
            async for page in pages:
                events = [
                    pb.WatchedEvent(
                        fact_id=to_hex(row.fact_id),
                        source_id=row.source_id,
                        occurred_at_us=row.occurred_at_us,
                        recorded_at_us=row.recorded_at_us,
                        event=event,
                    )
                    for row, event in page.events
                ]
                yield pb.WatchEventsResponse(
                    events=events, has_skipped=page.has_skipped, token=token_to_proto(page.token)
                )

    async def ListQuarantined(
        self, request: pb.ListQuarantinedRequest, context: Any
    ) -> pb.ListQuarantinedResponse:
        size = page_size_of(request)
        after = QUARANTINE_PAGE.decode(request.page_token)
        entries = await self._quarantine.page(
            workspace_id(), after, size + 1, released=request.include_released
        )
        return page_to_proto(entries, size)

    async def ListDuplicates(
        self, request: pb.ListDuplicatesRequest, context: Any
    ) -> pb.ListDuplicatesResponse:
        workspace, size = workspace_id(), page_size_of(request)
        after = DUPLICATES_PAGE.decode(request.page_token)
        messages = await self._duplicates.page(workspace, request.source_id, after, size + 1)
        totals = () if after else await self._duplicates.totals(workspace)
        return duplicates_to_proto(messages, size, totals)

    async def ReleaseQuarantined(
        self, request: pb.ReleaseQuarantinedRequest, context: Any
    ) -> pb.ReleaseQuarantinedResponse:
        quarantine_id = parse_id(request.quarantine_id, "quarantine_id")
        entry = await self._quarantine.get(workspace_id(), quarantine_id)
        event = (
            event_of_message(request.event) if request.HasField("event") else from_quarantine(entry)
        )
        # The source and the endpoint are those of the event, the actor is the caller.
        producer = producer_of(principal(), entry.endpoint)._replace(source_id=entry.source_id)
        result = await self._intake.release(entry, event, producer)
        return pb.ReleaseQuarantinedResponse(result=result_to_proto(result))


def _endpoint(context: Any) -> str:
    metadata = dict(context.invocation_metadata() or ())
    return "file" if metadata.get(ENDPOINT_KEY) == "file" else "grpc"
