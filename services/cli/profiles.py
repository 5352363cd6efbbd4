"""Who is who, as a person reads it: profiles, identifiers, merges and splits."""

from __future__ import annotations

from typing import Any

from onefold.identity.v1 import identity_service_pb2 as pb
from rich.markup import escape
from rich.text import Text

from services.cli import output as show
from services.cli.client import Client
from services.cli.context import identifier_from, spelled, token_from, written
from services.kernel.errors import NotFound
from services.kernel.time import to_rfc3339


async def show_resolved(client: Client, who: list[str], purpose: str) -> None:
    """Print the profile of each identifier or profile id."""
    named = [one for one in who if ":" in one]
    ids = [one for one in who if ":" not in one]
    request = pb.LookupProfilesRequest(
        identifiers=map(identifier_from, named), profile_ids=ids, purpose=purpose
    )
    answer = await client.call(client.identity.LookupProfiles, request)
    found = zip([*named, *ids], answer.profile_ids, strict=True)
    show.table("", ("who", "profile"), [(escape(w), p or "unknown") for w, p in found])


async def show_identifiers(client: Client, who: str) -> None:
    """Print the identifiers of a person, oldest first. Raises NotFound."""
    profile_id = await profile_of(client, who)
    request = pb.ListIdentifiersRequest(profile_id=profile_id)
    answer = await client.call(client.identity.ListIdentifiers, request)
    rows = [
        (escape(spelled(known.identifier)), to_rfc3339(known.first_seen_us)[:19], known.fact_id)
        for known in answer.identifiers
    ]
    show.table(answer.profile_id, ("identifier", "first seen", "by fact"), rows)


async def profile_of(client: Client, who: str) -> str:
    """The profile of NAMESPACE:VALUE; a profile id as it is. Raises NotFound."""
    if ":" not in who:
        return who
    request = pb.LookupProfilesRequest(identifiers=[identifier_from(who)])
    answer = await client.call(client.identity.LookupProfiles, request)
    if not answer.profile_ids[0]:
        raise NotFound("nobody is known by this; check the namespace and the value")
    return str(answer.profile_ids[0])


async def show_merges(client: Client, since: str, *, follow: bool) -> None:
    """Print who was merged and split from a state of the log on, up to now or until stopped."""
    now = (await client.call(client.identity.LookupProfiles, pb.LookupProfilesRequest())).token
    start = token_from(since) if since else now
    reached = list(start.offsets)
    if not follow and _covers(reached, now.offsets):
        show.out.print(f"token {written(now)}")
        return
    request = pb.WatchMergesRequest(**{"from": start})
    async for answer in client.stream(client.identity.WatchMerges, request):
        for move in answer.moves:
            show.out.print(told_move(move), soft_wrap=True)
        reached += [0] * (answer.shard + 1 - len(reached))
        reached[answer.shard] = answer.next_offset
        if not follow and _covers(reached, now.offsets):
            break
    show.out.print(f"token {','.join(map(str, reached))}")


def told_move(move: Any) -> Text:
    """One line: what went from where to where."""
    names = ", ".join(map(spelled, move.identifiers)) or "what has no name"
    return Text(f"{move.before_profile_id} → {move.after_profile_id}  {names}")


def _covers(reached: list[int], wanted: Any) -> bool:
    return all(at >= to for at, to in zip(_padded(reached, len(wanted)), wanted, strict=True))


def _padded(offsets: list[int], size: int) -> list[int]:
    return [*offsets, *[0] * (size - len(offsets))][:size]
