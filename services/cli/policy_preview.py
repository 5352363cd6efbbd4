"""Computes what another identity policy would change: profiles, and with them memberships.

Identity groups the identifiers again, profile evaluates the profiles that would result, and segment
compares their memberships with the current ones. Nothing is changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from onefold.identity.v1.identity_facts_pb2 import IdentityPolicy
from onefold.identity.v1.identity_service_pb2 import (
    PolicyPreviewTotals,
    PreviewPolicyRequest,
    ProfileGroup,
    Regrouping,
)
from onefold.profile.v1.profile_service_pb2 import HypotheticalProfile, PreviewProfilesRequest
from onefold.segment.v1.segment_service_pb2 import PreviewMembershipsRequest
from onefold.segment.v1.segment_stream_pb2 import MEMBERSHIP_CAUSE_MERGE
from onefold.type.v1.token_pb2 import Token

from services.client.client import Client
from services.client.text_forms import format_token

#: The most that profile takes in one request.
MAX_PROFILES, MAX_IDENTIFIERS = 10_000, 100_000


@dataclass(slots=True)
class PolicyPreview:
    """What a policy would change."""

    #: The profiles that would change, those with the most identifiers first.
    regroupings: list[Regrouping] = field(default_factory=list)
    totals: PolicyPreviewTotals = field(default_factory=PolicyPreviewTotals)
    #: The state of the log that was read.
    token: Token = field(default_factory=Token)
    #: By segment: how many profiles would `enter`, `leave`, be `carried_in` and `carried_out`; the
    #: latter two are members whose profile id changes.
    segments: Mapping[str, Counter[str]] = field(default_factory=dict)
    #: How many identifiers are in regroupings too large to compute their segments.
    left_out: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the whole preview as plain values."""
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
    """Return what a policy would change. Raises OnefoldError."""
    preview = PolicyPreview()
    async for part in client.identity.PreviewPolicy(PreviewPolicyRequest(policy=policy)):
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


def split_into_batches(regroupings: Sequence[Regrouping]) -> tuple[int, list[list[ProfileGroup]]]:
    """Split the profiles that would result into batches that profile takes in one request.

    A regrouping is never split; those that are too large are left out. Returns the number of
    identifiers that are left out, and the batches.
    """
    batches: list[list[ProfileGroup]] = [[]]
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
    profiles: Sequence[ProfileGroup],
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


def _size(regrouping: Regrouping) -> int:
    return sum(len(group.identifier_ids) for group in regrouping.after)


def _identifiers(groups: Sequence[ProfileGroup]) -> dict[str, list[str]]:
    return {group.profile_id: list(group.identifier_ids) for group in groups}
