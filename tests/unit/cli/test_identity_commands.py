"""Tests the output of the identity commands, and the computation of previews."""

from __future__ import annotations

from typing import Any

import pytest
from onefold.identity.v1 import identity_service_pb2 as pb
from onefold.identity.v1.identity_facts_pb2 import EVIDENCE_KIND_DECIDED, EVIDENCE_KIND_OBSERVED
from onefold.type.v1.identifier_pb2 import Identifier
from onefold.type.v1.token_pb2 import Token

from services.cli.commands.identity import held_explanation, move_line, show_match
from services.cli.commands.policy import PolicyPreview, split_into_batches
from services.kernel.time import DAY_US

DAY = 20_000 * DAY_US
USER = Identifier(namespace="user_id", value="u-1")
PHONE = Identifier(namespace="phone", value="+8613800000000")
OTHER = Identifier(namespace="user_id", value="[bold]u-2")


def edge(a: Identifier, b: Identifier, **more: Any) -> pb.Edge:
    fields = {"kind": EVIDENCE_KIND_OBSERVED, "fact_id": "ab" * 16, "last_seen_us": DAY} | more
    return pb.Edge(a=a, b=b, first_seen_us=DAY, **fields)


def test_explanation_of_one_person_is_a_tree_from_one_identifier_to_the_other(
    capsys: pytest.CaptureFixture[str],
) -> None:
    response = pb.ExplainMatchResponse(
        same=True,
        profile_id_a="11" * 16,
        profile_id_b="11" * 16,
        path=[
            edge(USER, PHONE, last_seen_us=DAY + 3 * DAY_US),
            edge(PHONE, OTHER, kind=EVIDENCE_KIND_DECIDED, actor="key_1", reason="she called"),
        ],
        policy_version=3,
        token=Token(offsets=[4, 0, 7]),
    )
    show_match("user_id:u-1", "user_id:[bold]u-2", response)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"user_id:u-1 and user_id:[bold]u-2 are one person: profile {'11' * 16}"
    assert lines[1] == "user_id:u-1"
    assert "phone:+8613800000000" in lines[2]
    assert f"observed 2024-10-04 to 2024-10-07, fact {'ab' * 16}" in lines[3]
    assert "user_id:[bold]u-2" in lines[4]
    assert lines[4].index("user_id") > lines[2].index("phone"), "each step is one level deeper"
    assert "by key_1: she called" in lines[5]
    assert "decided 2024-10-04, fact" in lines[6]
    assert lines[7] == "policy version 3, token 4.0.7"


def test_explanation_of_two_people_says_why_the_edge_is_held(
    capsys: pytest.CaptureFixture[str],
) -> None:
    held = edge(USER, PHONE, held_reason=pb.HELD_REASON_LIMIT, held_namespace="user_id")
    response = pb.ExplainMatchResponse(
        profile_id_a="11" * 16, profile_id_b="22" * 16, path=[held], token=Token(offsets=[1])
    )
    show_match("user_id:u-1", "phone:1", response)
    printed = capsys.readouterr().out
    assert "are not one person." in printed
    assert "HELD: the profile would have more user_id than the policy allows" in printed


def test_explanation_names_the_identifier_without_a_profile(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show_match("user_id:u-1", "phone:1", pb.ExplainMatchResponse(profile_id_a="11" * 16))
    printed = capsys.readouterr().out
    assert "No profile has phone:1." in printed
    assert "user_id:u-1." not in printed


def test_explanation_of_unrelated_profiles_has_no_evidence(
    capsys: pytest.CaptureFixture[str],
) -> None:
    response = pb.ExplainMatchResponse(profile_id_a="11" * 16, profile_id_b="22" * 16)
    show_match("user_id:u-1", "phone:1", response)
    assert "No evidence leads from one to the other." in capsys.readouterr().out


@pytest.mark.parametrize("reason", [value for value in pb.HeldReason.values() if value])
def test_every_held_reason_has_an_explanation(reason: Any) -> None:
    assert held_explanation(pb.Edge(held_reason=reason, held_namespace="phone"))


def test_move_is_one_line_with_profiles_and_identifiers() -> None:
    move = pb.ProfileMove(before_profile_id="aa", after_profile_id="bb", identifiers=[USER, OTHER])
    assert move_line(move) == "aa → bb  user_id:u-1, user_id:[bold]u-2"


def group(profile: int, size: int) -> pb.ProfileGroup:
    ids = [(bytes([profile]) * 15 + bytes([n % 256])).hex() for n in range(size)]
    return pb.ProfileGroup(profile_id=f"{profile:032x}", identifier_ids=ids)


def test_preview_batches_never_split_a_regrouping_and_leave_out_too_large_ones() -> None:
    small = pb.Regrouping(after=[group(1, 2), group(2, 1)])
    large = pb.Regrouping(after=[group(3, 99_999)])
    larger = pb.Regrouping(after=[group(4, 100_001)])
    left_out, batches = split_into_batches([larger, large, small, small])
    assert left_out == 100_001
    assert [len(batch) for batch in batches] == [1, 4]


def test_preview_as_json_has_every_regrouping() -> None:
    preview = PolicyPreview(
        regroupings=[pb.Regrouping(before=[group(1, 2)], after=[group(1, 1)])],
        totals=pb.PolicyPreviewTotals(profiles_before=3, profiles_after=4, biggest_before=[2]),
        token=Token(offsets=[1, 2]),
    )
    report = preview.to_json()
    assert report["token"] == "1.2"
    assert report["profiles"] == {"before": 3, "after": 4}
    (row,) = report["regroupings"]
    assert [len(ids) for ids in row["before"].values()] == [2]
    assert [len(ids) for ids in row["after"].values()] == [1]
