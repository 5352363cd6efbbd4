"""`onefold profile` and `onefold segments`: one person, and who belongs where."""

from __future__ import annotations

from typing import Any

from onefold.identity.v1.identity_service_pb2 import ListIdentifiersRequest
from onefold.profile.v1.profile_service_pb2 import GetProfileRequest, ListTimelineRequest
from onefold.segment.v1.segment_service_pb2 import ListMembershipsRequest, ListSegmentsRequest
from onefold.type.v1.identifier_pb2 import Identifier
from rich.tree import Tree

from services.chassis.codec.rules import rule_from_proto
from services.cli import output as show
from services.cli.client import Client
from services.kernel.rules.text import to_text
from services.kernel.time import to_rfc3339


async def show_person(client: Client, who: str) -> None:
    """Print one person as a tree. `who` is NAMESPACE:VALUE or a profile id."""
    answer = await client.call(client.profile.GetProfile, GetProfileRequest(**_by(who)))
    profile = answer.profile
    tree = Tree(profile.profile_id)
    await _add_identifiers(client, tree, profile.profile_id)
    traits = tree.add("traits")
    for trait in profile.traits:
        since = to_rfc3339(trait.occurred_at_us)[:19]
        traits.add(f"{trait.name} = {show.readable(trait.value)} (said at {since})")
    tree.add(f"tags: {', '.join(profile.tags) or 'none'}")
    if profile.accounts:
        names = (", ".join(name.account_ids) or name.profile_id for name in profile.accounts)
        tree.add(f"accounts: {'; '.join(names)}")
    await _add_memberships(client, tree, profile.profile_id)
    await _add_timeline(client, tree, profile)
    show.out.print(tree)


async def _add_identifiers(client: Client, tree: Tree, profile_id: str) -> None:
    request = ListIdentifiersRequest(profile_id=profile_id)
    branch = tree.add("known as")
    for known in (await client.call(client.identity.ListIdentifiers, request)).identifiers:
        since = to_rfc3339(known.first_seen_us)[:19]
        branch.add(f"{known.identifier.namespace}: {known.identifier.value} (since {since})")


async def _add_memberships(client: Client, tree: Tree, profile_id: str) -> None:
    request = ListMembershipsRequest(profile_id=profile_id)
    answer = await client.call(client.segment.ListMemberships, request)
    branch = tree.add(f"segments: {', '.join(answer.segment_ids) or 'none'}")
    for change in answer.history:
        word = "entered" if change.entered else "left"
        branch.add(f"{word} {change.segment_id} at {to_rfc3339(change.at_us)[:19]}")


async def _add_timeline(client: Client, tree: Tree, profile: Any) -> None:
    request = ListTimelineRequest(profile_id=profile.profile_id, page_size=20)
    branch = tree.add(f"{profile.event_count} events, the latest first")
    for entry in (await client.call(client.profile.ListTimeline, request)).entries:
        when = to_rfc3339(entry.occurred_at_us)[:19]
        branch.add(
            f"{when} {entry.channel} {entry.name or entry.type} {show.readable(entry.properties)}"
        )


async def show_segments(client: Client) -> None:
    """Print the segments of the workspace."""
    answer = await client.call(client.segment.ListSegments, ListSegmentsRequest())
    rows = [
        (
            s.segment.segment_id,
            s.segment.title,
            s.size,
            "live" if s.live else "is filled from the log",
            to_text(rule_from_proto(s.segment.rule)),
        )
        for s in answer.segments
    ]
    show.table("", ("segment", "title", "members", "", "rule"), rows)


def _by(who: str) -> dict[str, Any]:
    namespace, colon, value = who.partition(":")
    if not colon:
        return {"profile_id": who}
    return {"identifier": Identifier(namespace=namespace, value=value)}
