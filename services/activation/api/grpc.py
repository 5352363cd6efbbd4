"""Serves ActivationService over gRPC: translates requests, calls, and translates results."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from onefold.activation.v1 import activation_service_pb2 as pb
from onefold.activation.v1 import activation_service_pb2_grpc as pb_grpc

from services.activation.codec.bus import delivery_to_proto
from services.activation.codec.definitions import destination_from_request, destination_to_response
from services.activation.codec.recipients import ids_of
from services.activation.codec.templates import (
    json_object,
    rendered_locales,
    template_from_proto,
    template_to_proto,
)
from services.activation.commands.destinations import DestinationCommands
from services.activation.commands.mirrors import reconcile_mirror, show_mirror
from services.activation.commands.receipts import ReceiptCommands
from services.activation.commands.retries import RetryCommands
from services.activation.commands.templates import TemplateCommands
from services.activation.delivery.render import ProfileReader
from services.activation.domain.templates import check_template
from services.activation.domain.validation import check_destination_id
from services.activation.store import effects as store
from services.activation.store.destinations import load_destinations
from services.activation.store.templates import load_template, load_templates
from services.chassis.access.principal import workspace_id
from services.chassis.access.rights import allowed_roles
from services.chassis.codec.fields import PageToken, at_least_of, page_size_of, token_to_proto
from services.chassis.definitions import etag_of
from services.chassis.postgres.database import Database, acquire, transaction
from services.chassis.projection.runner import ProjectionRunner
from services.chassis.rpc.server import Allowed
from services.kernel.errors import NotFound
from services.kernel.ids import parse_id

#: The roles that may call each method.
ALLOWED: Allowed = allowed_roles(pb.DESCRIPTOR.services_by_name["ActivationService"])
#: (changed_at_us, effect_id) of the last delivery of a page.
_PAGE_TOKEN = PageToken("q16s")


@dataclass(eq=False)
class ActivationRpc(pb_grpc.ActivationServiceServicer):
    """onefold.activation.v1.ActivationService."""

    destinations: DestinationCommands
    templates: TemplateCommands
    retries: RetryCommands
    receipts: ReceiptCommands
    profiles: ProfileReader
    database: Database
    runner: ProjectionRunner

    async def DefineDestination(
        self, request: pb.DefineDestinationRequest, context: Any
    ) -> pb.DefineDestinationResponse:
        desired = destination_from_request(workspace_id(), request.destination)
        defined = await self.destinations.define(
            desired,
            etag=request.etag,
            dry_run=request.dry_run,
            assumed=[template_from_proto(workspace_id(), t) for t in request.assumed_templates],
        )
        return pb.DefineDestinationResponse(
            destination=destination_to_response(defined.definition),
            changed=defined.changed,
            token=token_to_proto(defined.token),
            etag=defined.etag,
        )

    async def ListDestinations(
        self, request: pb.ListDestinationsRequest, context: Any
    ) -> pb.ListDestinationsResponse:
        async with acquire(self.database.api_pool) as conn:
            destinations = await load_destinations(conn, workspace_id())
        return pb.ListDestinationsResponse(
            destinations=[
                pb.DestinationSummary(
                    destination=destination_to_response(each),
                    etag=etag_of(each.version),
                    receipts_path=self.receipts.path_of(each),
                )
                for each in destinations
            ]
        )

    async def DefineTemplate(
        self, request: pb.DefineTemplateRequest, context: Any
    ) -> pb.DefineTemplateResponse:
        desired = template_from_proto(workspace_id(), request.template)
        defined = await self.templates.define(desired, etag=request.etag, dry_run=request.dry_run)
        return pb.DefineTemplateResponse(
            template=template_to_proto(defined.definition),
            changed=defined.changed,
            token=token_to_proto(defined.token),
            etag=defined.etag,
        )

    async def ListTemplates(
        self, request: pb.ListTemplatesRequest, context: Any
    ) -> pb.ListTemplatesResponse:
        async with acquire(self.database.api_pool) as conn:
            templates = await load_templates(conn, workspace_id())
        return pb.ListTemplatesResponse(
            templates=[
                pb.TemplateSummary(template=template_to_proto(each), etag=etag_of(each.version))
                for each in templates
            ]
        )

    async def PreviewTemplate(
        self, request: pb.PreviewTemplateRequest, context: Any
    ) -> pb.PreviewTemplateResponse:
        template = template_from_proto(workspace_id(), request.template)
        if request.template_id:
            async with acquire(self.database.api_pool) as conn:
                found = await load_template(conn, workspace_id(), request.template_id)
            if found is None:
                raise NotFound("no template has this id; list them")
            template = found
        check_template(template)
        raw = request.variables or template.sample
        rendered = rendered_locales(template, json_object(raw, "variables"))
        return pb.PreviewTemplateResponse(rendered=rendered)

    async def ListDeliveries(
        self, request: pb.ListDeliveriesRequest, context: Any
    ) -> pb.ListDeliveriesResponse:
        size = page_size_of(request)
        before = _PAGE_TOKEN.decode(request.page_token) or store.NEWEST
        if request.before_us:
            before = min(before, (request.before_us, b""))
        if request.destination_id:
            check_destination_id(request.destination_id)
        filters = store.EffectFilters(
            request.since_us,
            request.destination_id,
            request.state,
            await self._ids_of(request.profile_id),
            request.segment_id,
            request.journey_id,
        )
        async with transaction(self.database.api_pool) as conn:
            rows = await store.list_effects(conn, workspace_id(), size, filters, before)
        next_page_token = ""
        if len(rows) == size:
            next_page_token = _PAGE_TOKEN.encode(rows[-1]["changed_at_us"], rows[-1]["effect_id"])
        return pb.ListDeliveriesResponse(
            deliveries=map(delivery_to_proto, rows), next_page_token=next_page_token
        )

    async def _ids_of(self, profile_id: str) -> Collection[bytes]:
        """Return the ids of the person of a profile, under which effects may be; () if it is empty.

        An effect has the id of then, and another profile may have been merged since.
        """
        if not profile_id:
            return ()
        own = parse_id(profile_id, "profile_id")
        found = await self.profiles.read(workspace_id(), [own], None)
        return sorted(ids_of(found[own])) if own in found else (own,)

    async def CountDeliveries(
        self, request: pb.CountDeliveriesRequest, context: Any
    ) -> pb.CountDeliveriesResponse:
        await self.runner.catch_up(at_least_of(request))
        async with acquire(self.database.api_pool) as conn:
            rows = await conn.fetch(store.Q.count_effects, workspace_id())
        counts = [
            pb.DeliveryCount(
                destination_id=row["destination_id"], state=row["state"], count=row["count"]
            )
            for row in rows
        ]
        return pb.CountDeliveriesResponse(counts=counts)

    async def RetryDelivery(
        self, request: pb.RetryDeliveryRequest, context: Any
    ) -> pb.RetryDeliveryResponse:
        effect_id = parse_id(request.effect_id, "effect_id")
        row = await self.retries.retry(workspace_id(), effect_id)
        return pb.RetryDeliveryResponse(delivery=delivery_to_proto(row))

    async def GetMirror(self, request: pb.GetMirrorRequest, context: Any) -> pb.GetMirrorResponse:
        row = await show_mirror(self.database, workspace_id(), request.destination_id)
        return pb.GetMirrorResponse(mirror=pb.Mirror(**row))

    async def ReconcileMirror(
        self, request: pb.ReconcileMirrorRequest, context: Any
    ) -> pb.ReconcileMirrorResponse:
        row = await reconcile_mirror(self.database, workspace_id(), request.destination_id)
        return pb.ReconcileMirrorResponse(mirror=pb.Mirror(**row))
