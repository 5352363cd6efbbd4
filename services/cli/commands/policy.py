"""`./onefold identity policy` and `preview`: the current policy, and the effects of another.

For a preview identity groups the identifiers again, profile evaluates the profiles that would
result, and segment compares their memberships with the current ones. Nothing is changed.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import msgspec
from onefold.identity.v1 import identity_service_pb2 as identity_pb
from onefold.identity.v1.identity_facts_pb2 import IdentityPolicy
from onefold.profile.v1.profile_service_pb2 import HypotheticalProfile, PreviewProfilesRequest
from onefold.segment.v1.segment_service_pb2 import PreviewMembershipsRequest
from onefold.segment.v1.segment_stream_pb2 import MEMBERSHIP_CAUSE_MERGE
from onefold.type.v1.token_pb2 import Token
from typer import Option

from services.cli import output
from services.cli.context import DataDir, run_with_client
from services.cli.definitions import read_pack
from services.cli.policy_form import write_policy
from services.client.client import Client
from services.client.text import format_identifier, format_token

#: The most that profile takes in one request.
MAX_PROFILES, MAX_IDENTIFIERS = 10_000, 100_000
#: The most identifiers of one profile that are shown.
_SHOWN = 6


def policy(data: DataDir) -> None:
    """Print the current policy as YAML that can be applied."""
    request = identity_pb.GetPolicyRequest()
    response = run_with_client(data, lambda client: client.identity.GetPolicy(request))
    progress = "all profiles follow it" if response.live else "its rollout is in progress"
    default = "" if response.version else " (the default: none is defined)"
    form = {"identity_policy": write_policy(response.policy)}
    output.out.print(f"# version {response.version}{default}, {progress}")
    output.print_yaml(form)


def preview(
    data: DataDir,
    file: Annotated[Path, Option("-f", "--file", help="YAML with an identity_policy.")],
    limit: Annotated[int, Option("--limit", help="Show at most this many.", min=0)] = 20,
    as_json: Annotated[bool, Option("--json", help="Print all of it as JSON.")] = False,
) -> None:
    """Try a policy on the whole history: which profiles and memberships would change."""
    with output.exit_on_error():
        desired = read_pack(file, os.environ).identity_policy
    if desired is None:
        output.fail(f"{file}: write an identity_policy into it")
    run_with_client(data, lambda client: _preview(client, desired, limit, as_json))


@dataclass(slots=True)
class PolicyPreview:
    """The changes that a policy would make."""

    #: The profiles that would change, those with the most identifiers first.
    regroupings: list[identity_pb.Regrouping] = field(default_factory=list)
    totals: identity_pb.PolicyPreviewTotals = field(default_factory=identity_pb.PolicyPreviewTotals)
    #: The state of the log that was read.
    token: Token = field(default_factory=Token)
    #: By segment: how many profiles would `enter`, `leave`, be `carried_in` and `carried_out`; the
    #: latter two are members whose profile id changes.
    segments: Mapping[str, Counter[str]] = field(default_factory=dict)
    #: How many identifiers are in regroupings too large to compute their segments.
    left_out: int = 0

    def to_json(self) -> dict[str, Any]:
        totals = self.totals
        return {
            "token": format_token(self.token),
            "regroupings": [
                {"before": _identifiers(r.before), "after": _identifiers(r.after)}
                for r in self.regroupings
            ],
            "profiles": {"before": totals.profiles_before, "after": totals.profiles_after},
            "biggest": {"before": list(totals.biggest_before), "after": list(totals.biggest_after)},
            "held": {"before": totals.held_before, "after": totals.held_after},
            "segments": {s: dict(sorted(counts.items())) for s, counts in self.segments.items()},
            "identifiers_left_out_of_segments": self.left_out,
        }


async def compute_preview(client: Client, policy: IdentityPolicy) -> PolicyPreview:
    """Return the changes that a policy would make. Raises OnefoldError."""
    preview = PolicyPreview()
    request = identity_pb.PreviewPolicyRequest(policy=policy)
    async for part in client.identity.PreviewPolicy(request):
        preview.token = part.token
        if part.HasField("regrouping"):
            preview.regroupings.append(part.regrouping)
        else:
            preview.totals = part.totals
    preview.regroupings.sort(key=lambda r: (-_size(r), r.before[0].profile_id))
    preview.left_out, batches = split_into_batches(preview.regroupings)
    segments: dict[str, Counter[str]] = {}
    for profiles in batches:
        await _count_changes(client, profiles, preview.token, segments)
    preview.segments = dict(sorted(segments.items()))
    return preview


def split_into_batches(
    regroupings: Sequence[identity_pb.Regrouping],
) -> tuple[int, list[list[identity_pb.ProfileGroup]]]:
    """Split the profiles that would result into batches that profile takes in one request.

    A regrouping is never split; those that are too large are left out. Returns the number of
    identifiers that are left out, and the batches.
    """
    batches: list[list[identity_pb.ProfileGroup]] = [[]]
    left_out = size = 0
    for regrouping in regroupings:
        profiles, identifiers = list(regrouping.after), _size(regrouping)
        if len(profiles) > MAX_PROFILES or identifiers > MAX_IDENTIFIERS:
            left_out += identifiers
            continue
        if len(batches[-1]) + len(profiles) > MAX_PROFILES or size + identifiers > MAX_IDENTIFIERS:
            batches.append([])
            size = 0
        batches[-1] += profiles
        size += identifiers
    return left_out, [batch for batch in batches if batch]


async def _count_changes(
    client: Client,
    profiles: Sequence[identity_pb.ProfileGroup],
    token: Token,
    segments: dict[str, Counter[str]],
) -> None:
    hypothetical = [
        HypotheticalProfile(profile_id=p.profile_id, identifier_ids=p.identifier_ids)
        for p in profiles
    ]
    evaluated = await client.profile.PreviewProfiles(
        PreviewProfilesRequest(profiles=hypothetical, at_least=token)
    )
    changed = await client.segment.PreviewMemberships(
        PreviewMembershipsRequest(evaluations=evaluated.changes, at_least=token)
    )
    for change in changed.changes:
        if change.cause == MEMBERSHIP_CAUSE_MERGE:
            kind = "carried_in" if change.entered else "carried_out"
        else:
            kind = "enter" if change.entered else "leave"
        segments.setdefault(change.segment_id, Counter())[kind] += 1


def _size(regrouping: identity_pb.Regrouping) -> int:
    return sum(len(group.identifier_ids) for group in regrouping.after)


def _identifiers(groups: Sequence[identity_pb.ProfileGroup]) -> dict[str, list[str]]:
    return {group.profile_id: list(group.identifier_ids) for group in groups}


async def _preview(client: Client, desired: IdentityPolicy, limit: int, as_json: bool) -> None:
    computed = await compute_preview(client, desired)
    if as_json:
        output.print_json(msgspec.json.encode(computed.to_json()).decode())
    else:
        await _show_preview(client, computed, limit)


async def _show_preview(client: Client, computed: PolicyPreview, limit: int) -> None:
    """Print the largest merges and splits by name, and the totals."""
    for regrouping in computed.regroupings[:limit]:
        output.out.print(_tree(regrouping, await _names(client, regrouping)))
    more = len(computed.regroupings) - limit
    if more > 0:
        output.out.print(f"and {more:,} more; --json prints all")
    output.print_table(("", "now", "then"), _totals(computed), "totals")
    columns = ("segment", "enter", "leave", "new profile id")
    output.print_table(columns, _segments(computed), "changes of segments")
    if computed.left_out:
        output.out.print(
            f"The segments leave out {computed.left_out:,} identifiers: their neighbourhoods are "
            "too large to evaluate."
        )
    output.out.print(f"Nothing was changed. Computed as of token {format_token(computed.token)}.")


async def _names(client: Client, regrouping: identity_pb.Regrouping) -> dict[str, str]:
    """Return the identifiers of a regrouping by their ids."""
    names: dict[str, str] = {}
    for group in regrouping.before:
        request = identity_pb.ListIdentifiersRequest(profile_id=group.profile_id)
        response = await client.identity.ListIdentifiers(request)
        names |= {i.identifier_id: format_identifier(i.identifier) for i in response.identifiers}
    return names


def _tree(regrouping: identity_pb.Regrouping, names: Mapping[str, str]) -> output.Tree:
    before, after = len(regrouping.before), len(regrouping.after)
    kind = "merge" if after == 1 else "split" if before == 1 else "regrouping"
    tree = output.Tree(f"{kind}: {before} before, {after} after")
    for title, groups in (("before", regrouping.before), ("after", regrouping.after)):
        branch = tree.add(title)
        for group in groups:
            branch.add(f"{group.profile_id}  {_group_names(group, names)}")
    return tree


def _group_names(group: identity_pb.ProfileGroup, names: Mapping[str, str]) -> str:
    found = sorted(names.get(id_, id_) for id_ in group.identifier_ids)
    more = len(found) - _SHOWN
    return ", ".join(found[:_SHOWN]) + (f" and {more:,} more" if more > 0 else "")


def _totals(computed: PolicyPreview) -> Iterator[tuple[str, Any, Any]]:
    totals = computed.totals
    yield "profiles", totals.profiles_before, totals.profiles_after
    yield "held edges", totals.held_before, totals.held_after
    sizes = zip(totals.biggest_before, totals.biggest_after, strict=False)
    for rank, (now, then) in enumerate(sizes, 1):
        yield f"identifiers of the profile of size rank {rank}", now, then


def _segments(computed: PolicyPreview) -> Iterator[tuple[str, int, int, int]]:
    for segment, counts in computed.segments.items():
        carried = max(counts["carried_in"], counts["carried_out"])
        yield segment, counts["enter"], counts["leave"], carried
