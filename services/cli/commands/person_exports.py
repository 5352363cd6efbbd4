"""`./onefold export person`: everything that is known about a person, as a file to hand out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
from google.protobuf.message import Message
from onefold.activation.v1.activation_service_pb2 import (
    ListDeliveriesRequest,
    ListDestinationsRequest,
)
from onefold.activation.v1.desk_service_pb2 import GetTicketRequest, ListTicketsRequest
from onefold.activation.v1.journey_service_pb2 import GetContactPolicyRequest, ListRunsRequest
from onefold.audit.v1.audit_service_pb2 import ListAuditEntriesRequest
from onefold.identity.v1.identity_service_pb2 import ListIdentifiersRequest
from onefold.ingest.v1.admin_service_pb2 import ListSourcesRequest
from onefold.profile.v1.profile_service_pb2 import (
    ExplainMembershipRequest,
    GetProfileRequest,
    ListTimelineRequest,
)
from onefold.segment.v1.segment_service_pb2 import ListMembershipsRequest
from typer import Argument, Option

from services import SERVICES
from services.chassis.codec.plain_json import write_plain
from services.cli import output
from services.cli.context import DataDir, run_with_client
from services.cli.files.new_files import private_files, replaced
from services.client.api import Unary, pages
from services.client.client import Client
from services.client.text import profile_selector

#: Entries in one response.
_PAGE = 500


def person(
    data: DataDir,
    of: Annotated[str, Argument(metavar="PERSON", help="NAMESPACE:VALUE, or a profile id.")],
    file: Annotated[Path, Argument(help="A .json file; one of this name is replaced.")],
    reason: Annotated[
        str, Option(help="Show sensitive values, for this reason, which the audit keeps.")
    ] = "",
) -> None:
    """Export everything that is known about a person: data, sources, purposes, receivers."""
    with output.exit_on_error(), private_files():
        known = run_with_client(data, lambda client: known_about(client, of), unmask_reason=reason)
        with replaced(file) as opened:
            opened.write(msgspec.json.format(msgspec.json.encode(known), indent=2).decode())
    counts = ", ".join(f"{len(known[name]):,} {name}" for name in ("identifiers", "timeline"))
    output.out.print(f"{counts} and all else are exported to {file}.", soft_wrap=True)


async def known_about(client: Client, person: str) -> dict[str, Any]:
    """Return everything that the services know about a person, as plain JSON.

    `person`: NAMESPACE:VALUE, or a profile id. Raises OnefoldError.
    """
    by = profile_selector(person)
    profile = (await client.profile.GetProfile(GetProfileRequest(**by))).profile
    id_ = profile.profile_id
    identifiers = await client.identity.ListIdentifiers(ListIdentifiersRequest(profile_id=id_))
    memberships = await client.segment.ListMemberships(ListMembershipsRequest(profile_id=id_))
    of: dict[str, Any] = {"profile_id": id_, "page_size": _PAGE}
    timeline = await _every("entries", client.profile.ListTimeline, ListTimelineRequest(**of))
    deliveries = await _every(
        "deliveries", client.activation.ListDeliveries, ListDeliveriesRequest(**of)
    )
    runs = await _every("runs", client.journeys.ListRuns, ListRunsRequest(**of))
    reads = await _reads(client, of)
    policy = (await client.journeys.GetContactPolicy(GetContactPolicyRequest())).policy
    return {
        "profile": write_plain(profile),
        "identifiers": _plain(identifiers.identifiers),
        "segments": [
            {"segment_id": segment_id, **await _explained(client, id_, segment_id)}
            for segment_id in memberships.segment_ids
        ],
        "membership_history": _plain(memberships.history),
        "stays": _plain(memberships.stays),
        "timeline": _plain(timeline),
        "sources": await _sources(client, profile.traits, timeline),
        "purposes": {name: write_plain(each) for name, each in policy.purposes.items()},
        "deliveries": _plain(deliveries),
        "receivers": await _receivers(client, {each.destination_id for each in deliveries}),
        "journey_runs": _plain(runs),
        "tickets": await _tickets(client, of),
        "reads": reads,
    }


async def _every(name: str, method: Unary[Any, Any], request: Any) -> list[Any]:
    """Return the entries of all pages of a list. `name`: of the field that has them."""
    return [entry async for page in pages(method, request) for entry in getattr(page, name)]


def _plain(messages: Iterable[Message]) -> list[dict[str, Any]]:
    return [write_plain(message) for message in messages]


async def _explained(client: Client, profile_id: str, segment_id: str) -> dict[str, Any]:
    """Return why a person is in a segment."""
    request = ExplainMembershipRequest(profile_id=profile_id, segment_id=segment_id)
    return write_plain(await client.profile.ExplainMembership(request))


async def _sources(
    client: Client, traits: Iterable[Any], timeline: Iterable[Any]
) -> list[dict[str, Any]]:
    """Return the sources from which the traits and the events of a person come."""
    named = {each.source_id for each in (*traits, *timeline)}
    listed = await client.admin.ListSources(ListSourcesRequest())
    return _plain(each for each in listed.sources if each.source.source_id in named)


async def _receivers(client: Client, named: set[str]) -> list[dict[str, Any]]:
    """Return the destinations of deliveries; one that is no longer defined is left out."""
    listed = await client.activation.ListDestinations(ListDestinationsRequest())
    return _plain(each for each in listed.destinations if each.destination.destination_id in named)


async def _tickets(client: Client, of: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the tickets about a person with what happened to each."""
    listed = await _every("tickets", client.desk.ListTickets, ListTicketsRequest(**of))
    wanted = [GetTicketRequest(ticket_id=each.ticket_id) for each in listed]
    return _plain([await client.desk.GetTicket(each) for each in wanted])


async def _reads(client: Client, of: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return which key read data about a person and when, of all services, the oldest first."""
    found: list[Any] = []
    for service in SERVICES:
        request = ListAuditEntriesRequest(**of, reads_only=True)
        found += await _every("entries", client.audit(service).ListAuditEntries, request)
    found.sort(key=lambda entry: entry.at_us)
    # An entry may name other persons, too.
    return [{**write_plain(each), "profile_ids": [of["profile_id"]]} for each in found]
