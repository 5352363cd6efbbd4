"""`onefold profile` and `onefold segments`: one person, and the segments of the workspace."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from onefold.identity.v1.identity_service_pb2 import ListIdentifiersRequest
from onefold.profile.v1.profile_service_pb2 import GetProfileRequest, ListTimelineRequest, Profile
from onefold.segment.v1.segment_service_pb2 import ListMembershipsRequest, ListSegmentsRequest
from rich.tree import Tree

from services.chassis.codec.rules import rule_from_proto
from services.cli import output
from services.cli.context import DataDir, run_with_client
from services.cli.output import format_json, format_time
from services.client.client import Client
from services.client.text_forms import parse_identifier
from services.kernel.rules.text import to_text

#: The most timeline entries that are shown.
_SHOWN = 20


def profile(
    data: DataDir,
    of: Annotated[str, typer.Argument(metavar="PROFILE", help="NAMESPACE:VALUE, or a profile id.")],
) -> None:
    """Show one person: identifiers, traits, tags, segments, and the latest events."""
    run_with_client(data, lambda client: _show_profile(client, of))


def segments(data: DataDir) -> None:
    """List the segments and their sizes."""
    run_with_client(data, _show_segments)


async def _show_profile(client: Client, of: str) -> None:
    by: dict[str, Any] = {"identifier": parse_identifier(of)} if ":" in of else {"profile_id": of}
    found = (await client.profile.GetProfile(GetProfileRequest(**by))).profile
    tree = Tree(f"profile {found.profile_id}")
    await _add_identifiers(client, tree, found.profile_id)
    traits = tree.add("traits")
    for trait in found.traits:
        since = format_time(trait.occurred_at_us)
        traits.add(f"{trait.name} = {format_json(trait.value)} (since {since})")
    tree.add(f"tags: {', '.join(found.tags) or 'none'}")
    if found.accounts:
        names = (", ".join(name.account_ids) or name.profile_id for name in found.accounts)
        tree.add(f"accounts: {'; '.join(names)}")
    await _add_memberships(client, tree, found.profile_id)
    await _add_timeline(client, tree, found)
    output.out.print(tree)


async def _add_identifiers(client: Client, tree: Tree, profile_id: str) -> None:
    request = ListIdentifiersRequest(profile_id=profile_id)
    branch = tree.add("identifiers")
    for each in (await client.identity.ListIdentifiers(request)).identifiers:
        first_seen = format_time(each.first_seen_us)
        branch.add(
            f"{each.identifier.namespace}: {each.identifier.value} (first seen {first_seen})"
        )


async def _add_memberships(client: Client, tree: Tree, profile_id: str) -> None:
    request = ListMembershipsRequest(profile_id=profile_id)
    response = await client.segment.ListMemberships(request)
    branch = tree.add(f"segments: {', '.join(response.segment_ids) or 'none'}")
    for change in response.history:
        verb = "entered" if change.entered else "left"
        branch.add(f"{format_time(change.changed_at_us)} {verb} {change.segment_id}")


async def _add_timeline(client: Client, tree: Tree, found: Profile) -> None:
    request = ListTimelineRequest(profile_id=found.profile_id, page_size=_SHOWN)
    entries = (await client.profile.ListTimeline(request)).entries
    branch = tree.add(f"{found.event_count:,} events, newest first")
    for entry in entries:
        time, name = format_time(entry.occurred_at_us), entry.name or entry.type
        document = format_json(entry.properties or entry.traits)
        branch.add(f"{time} {entry.channel} {name} {document}".rstrip())


async def _show_segments(client: Client) -> None:
    response = await client.segment.ListSegments(ListSegmentsRequest())
    rows = [
        (
            each.segment.segment_id,
            each.segment.title,
            each.size,
            "live" if each.live else "backfilling",
            to_text(rule_from_proto(each.segment.rule)),
        )
        for each in response.segments
    ]
    output.print_table("", ("segment", "title", "members", "", "rule"), rows)
