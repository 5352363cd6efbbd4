"""`onefold identity policy` and `preview`: what holds, and what another policy would come to."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import yaml
from onefold.identity.v1 import identity_service_pb2 as identity_pb
from onefold.profile.v1 import profile_service_pb2 as profile_pb
from onefold.segment.v1 import segment_service_pb2 as segment_pb
from onefold.segment.v1.segment_stream_pb2 import MEMBERSHIP_CAUSE_MERGE
from rich.text import Text
from rich.tree import Tree

from services.cli import output as show
from services.cli.client import Client
from services.cli.context import spelled, written
from services.cli.definitions import read_pack
from services.cli.policy_form import write_policy
from services.kernel.errors import InvalidField

#: What profile takes in one question.
_MOST_PEOPLE, _MOST_IDENTIFIERS = 10_000, 100_000
#: Names shown of one profile.
_NAMES = 6


@dataclass(slots=True)
class Preview:
    """What a policy would come to."""

    #: Messages `Regrouping` of identity, those with the most identifiers first.
    regroupings: list[Any] = field(default_factory=list)
    #: The message `PolicySums` of identity.
    sums: Any = None
    token: Any = None
    #: By segment: how many would enter, leave, and be carried from one profile to another.
    segments: Mapping[str, Counter[str]] = field(default_factory=dict)
    #: How many identifiers lie in neighbourhoods that are too large to be asked about.
    left_out: int = 0


async def show_policy(client: Client) -> None:
    """Print the policy as YAML that can be applied."""
    answer = await client.call(client.identity.GetPolicy, identity_pb.GetPolicyRequest())
    live = "everybody is grouped by it" if answer.live else "people are being grouped by it"
    none = " (none is defined: this one holds then)" if not answer.version else ""
    form = {"identity_policy": write_policy(answer.policy)}
    show.out.print(Text(f"# version {answer.version}{none}, {live}"))
    text = yaml.safe_dump(form, sort_keys=False, allow_unicode=True, default_flow_style=None)
    show.out.print(Text(text.rstrip()), soft_wrap=True)


async def preview_policy(client: Client, file: Path, limit: int, *, as_json: bool) -> None:
    """Print what a policy would come to. Raises InvalidField."""
    policy = read_pack(file, os.environ).identity_policy
    if policy is None:
        raise InvalidField(f"{file}: there is no identity_policy in it")
    preview = await ask_preview(client, policy)
    if as_json:
        print(msgspec.json.encode(report(preview)).decode())
    else:
        await show_preview(client, preview, limit)


async def ask_preview(client: Client, policy: Any) -> Preview:
    """What a policy would come to: of identity, then of profile, then of segment."""
    preview = Preview()
    request = identity_pb.PreviewPolicyRequest(policy=policy)
    async for part in client.stream(client.identity.PreviewPolicy, request):
        preview.token = part.token
        if part.HasField("regrouping"):
            preview.regroupings.append(part.regrouping)
        else:
            preview.sums = part.totals
    preview.regroupings.sort(key=lambda r: (-_size(r), r.before[0].profile_id))
    preview.left_out, parts = _parts(preview.regroupings)
    segments: dict[str, Counter[str]] = {}
    for people in parts:
        await _ask_segments(client, people, preview.token, segments)
    preview.segments = dict(sorted(segments.items()))
    return preview


def _size(regrouping: Any) -> int:
    return sum(len(group.identifier_ids) for group in regrouping.after)


def _parts(regroupings: Sequence[Any]) -> tuple[int, list[list[Any]]]:
    """The profiles after, in parts that profile takes in one question; none is cut in two.

    Also how many identifiers had to be left out.
    """
    parts: list[list[Any]] = [[]]
    left_out = size = 0
    for regrouping in regroupings:
        people, more = list(regrouping.after), _size(regrouping)
        if len(people) > _MOST_PEOPLE or more > _MOST_IDENTIFIERS:
            left_out += more
            continue
        if len(parts[-1]) + len(people) > _MOST_PEOPLE or size + more > _MOST_IDENTIFIERS:
            parts.append([])
            size = 0
        parts[-1] += people
        size += more
    return left_out, [part for part in parts if part]


async def _ask_segments(
    client: Client, people: Sequence[Any], token: Any, segments: dict[str, Counter[str]]
) -> None:
    groups = [
        profile_pb.HypotheticalProfile(profile_id=p.profile_id, identifier_ids=p.identifier_ids)
        for p in people
    ]
    asked = profile_pb.PreviewProfilesRequest(profiles=groups, at_least=token)
    stand = await client.call(client.profile.PreviewProfiles, asked)
    standings = segment_pb.PreviewMembershipsRequest(evaluations=stand.changes, at_least=token)
    answer = await client.call(client.segment.PreviewMemberships, standings)
    for change in answer.changes:
        segments.setdefault(change.segment_id, Counter())[_kind(change)] += 1


def _kind(change: Any) -> str:
    if change.cause == MEMBERSHIP_CAUSE_MERGE:
        return "carried_in" if change.entered else "carried_out"
    return "enter" if change.entered else "leave"


def report(preview: Preview) -> dict[str, Any]:
    """The whole preview as plain values: every regrouping, the sums, the segments."""
    sums = preview.sums
    return {
        "token": written(preview.token),
        "regroupings": [
            {"before": _groups(r.before), "after": _groups(r.after)} for r in preview.regroupings
        ],
        "profiles": {"before": sums.profiles_before, "after": sums.profiles_after},
        "biggest": {"before": list(sums.biggest_before), "after": list(sums.biggest_after)},
        "held": {"before": sums.held_before, "after": sums.held_after},
        "segments": {s: dict(sorted(counts.items())) for s, counts in preview.segments.items()},
        "identifiers_left_out_of_segments": preview.left_out,
    }


def _groups(groups: Sequence[Any]) -> dict[str, list[str]]:
    return {group.profile_id: [id_.hex() for id_ in group.identifier_ids] for group in groups}


async def show_preview(client: Client, preview: Preview, limit: int) -> None:
    """Print a preview: the largest merges and splits by name, and the sums."""
    for regrouping in preview.regroupings[:limit]:
        names = await _names(client, regrouping)
        show.out.print(_tree(regrouping, names))
    more = len(preview.regroupings) - limit
    if more > 0:
        show.out.print(f"and {more:,} more; --json prints all")
    show.table("", ("", "now", "then"), _sums(preview))
    columns = ("segment", "enter", "leave", "carried over")
    show.table("", columns, _segments(preview) or [("no segment changes", "", "", "")])
    if preview.left_out:
        left = f"{preview.left_out:,} identifiers lie in neighbourhoods too large to be asked about"
        show.out.print(f"Segments are told without them: {left}.")
    show.out.print(f"Nothing was changed. As of token {written(preview.token)}")


async def _names(client: Client, regrouping: Any) -> dict[str, str]:
    """What the identifiers concerned are called, by their ids."""
    names: dict[str, str] = {}
    for group in regrouping.before:
        request = identity_pb.ListIdentifiersRequest(profile_id=group.profile_id)
        answer = await client.call(client.identity.ListIdentifiers, request)
        names |= {known.identifier_id: spelled(known.identifier) for known in answer.identifiers}
    return names


def _tree(regrouping: Any, names: Mapping[str, str]) -> Tree:
    before, after = len(regrouping.before), len(regrouping.after)
    word = "merge" if after == 1 else "split" if before == 1 else "regrouping"
    tree = Tree(Text(f"{word}: {before} before, {after} after"))
    for told, groups in (("before", regrouping.before), ("after", regrouping.after)):
        branch = tree.add(told)
        for group in groups:
            branch.add(Text(f"{group.profile_id}  {_named(group, names)}"))
    return tree


def _named(group: Any, names: Mapping[str, str]) -> str:
    told = sorted(names.get(id_.hex(), id_.hex()) for id_ in group.identifier_ids)
    more = len(told) - _NAMES
    return ", ".join(told[:_NAMES]) + (f" and {more:,} more" if more > 0 else "")


def _sums(preview: Preview) -> Iterator[tuple[str, Any, Any]]:
    sums = preview.sums
    yield "profiles", f"{sums.profiles_before:,}", f"{sums.profiles_after:,}"
    yield "held edges", f"{sums.held_before:,}", f"{sums.held_after:,}"
    biggest = zip(*(map(str, s) for s in (sums.biggest_before, sums.biggest_after)), strict=False)
    for at, (now, then) in enumerate(biggest, 1):
        yield f"identifiers of profile {at} by size", now, then


def _segments(preview: Preview) -> list[tuple[str, int, int, int]]:
    return [
        (segment, told["enter"], told["leave"], max(told["carried_in"], told["carried_out"]))
        for segment, told in preview.segments.items()
    ]
