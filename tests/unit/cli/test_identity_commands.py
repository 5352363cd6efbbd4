"""What the commands about identity print, and how they read what people write."""

from __future__ import annotations

import pytest
from onefold.identity.v1 import identity_service_pb2 as pb
from onefold.identity.v1.identity_facts_pb2 import EVIDENCE_KIND_DECIDED, EVIDENCE_KIND_OBSERVED
from onefold.type.v1.identifier_pb2 import Identifier
from onefold.type.v1.token_pb2 import Token

from services.cli.context import identifier_from, spelled, token_from, written
from services.cli.explain import show_match, told_reason
from services.cli.policy import Preview, _parts, report
from services.cli.profiles import told_move
from services.kernel.errors import InvalidField
from services.kernel.time import DAY_US

DAY = 20_000 * DAY_US
USER = Identifier(namespace="user_id", value="u-1")
PHONE = Identifier(namespace="phone", value="+8613800000000")
OTHER = Identifier(namespace="user_id", value="[bold]u-2")


def edge(a: Identifier, b: Identifier, **more: object) -> pb.Edge:
    told = {"kind": EVIDENCE_KIND_OBSERVED, "fact_id": "ab" * 16, "last_seen_us": DAY} | more
    return pb.Edge(a=a, b=b, first_seen_us=DAY, **told)


def test_an_explanation_is_a_tree_from_one_to_the_other(
    capsys: pytest.CaptureFixture[str],
) -> None:
    answer = pb.ExplainMatchResponse(
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
    show_match("user_id:u-1", "user_id:[bold]u-2", answer)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"user_id:u-1 and user_id:[bold]u-2 are one person: {'11' * 16}"
    assert lines[1] == "user_id:u-1"
    assert "phone:+8613800000000" in lines[2]
    assert f"observed 2024-10-04 to 2024-10-07, fact {'ab' * 16}" in lines[3]
    assert "user_id:[bold]u-2" in lines[4]
    assert lines[4].index("user_id") > lines[2].index("phone"), "each step is one level deeper"
    assert "by key_1: she called" in lines[5]
    assert "decided 2024-10-04, fact" in lines[6]
    assert lines[7] == "policy 3, token 4,0,7"


def test_it_is_told_why_two_are_not_one(capsys: pytest.CaptureFixture[str]) -> None:
    held = edge(USER, PHONE, held_reason=pb.HELD_REASON_LIMIT, held_namespace="user_id")
    answer = pb.ExplainMatchResponse(
        profile_id_a="11" * 16, profile_id_b="22" * 16, path=[held], token=Token(offsets=[1])
    )
    show_match("user_id:u-1", "phone:1", answer)
    told = capsys.readouterr().out
    assert "are not one person." in told
    assert "HELD: the person would have more user_id than the policy allows" in told


def test_it_is_told_who_is_not_known(capsys: pytest.CaptureFixture[str]) -> None:
    show_match("user_id:u-1", "phone:1", pb.ExplainMatchResponse(profile_id_a="11" * 16))
    told = capsys.readouterr().out
    assert "Nobody is known by phone:1." in told
    assert "user_id:u-1." not in told


def test_two_strangers_have_nothing_between_them(capsys: pytest.CaptureFixture[str]) -> None:
    answer = pb.ExplainMatchResponse(profile_id_a="11" * 16, profile_id_b="22" * 16)
    show_match("user_id:u-1", "phone:1", answer)
    assert "Nothing was ever seen that leads from one to the other." in capsys.readouterr().out


@pytest.mark.parametrize("reason", list(pb.HeldReason.DESCRIPTOR.values)[1:], ids=lambda r: r.name)
def test_every_reason_has_its_words(reason: object) -> None:
    held = pb.Edge(held_reason=reason.number, held_namespace="phone")  # type: ignore[attr-defined]
    assert told_reason(held)


def test_a_move_is_one_line() -> None:
    move = pb.ProfileMove(before_profile_id="aa", after_profile_id="bb", identifiers=[USER, OTHER])
    assert told_move(move).plain == "aa → bb  user_id:u-1, user_id:[bold]u-2"


def test_identifiers_are_written_with_their_namespace() -> None:
    assert spelled(identifier_from("url:https://x.example")) == "url:https://x.example"
    with pytest.raises(InvalidField, match="write NAMESPACE:VALUE"):
        identifier_from("u-1")


def test_tokens_are_read_as_they_are_written() -> None:
    assert written(token_from("4,0,7")) == "4,0,7"
    with pytest.raises(InvalidField, match="one offset a shard"):
        token_from("now")


def grouping(profile: int, size: int) -> pb.ProfileGroup:
    ids = [bytes([profile]) * 15 + bytes([n % 256]) for n in range(size)]
    return pb.ProfileGroup(profile_id=f"{profile:032x}", identifier_ids=ids)


def test_what_is_asked_of_profile_is_never_cut_through_a_neighbourhood() -> None:
    small = pb.Regrouping(after=[grouping(1, 2), grouping(2, 1)])
    large = pb.Regrouping(after=[grouping(3, 99_999)])
    larger = pb.Regrouping(after=[grouping(4, 100_001)])
    left_out, parts = _parts([larger, large, small, small])
    assert left_out == 100_001
    assert [len(part) for part in parts] == [1, 4]


def test_a_report_tells_every_regrouping() -> None:
    preview = Preview(
        regroupings=[pb.Regrouping(before=[grouping(1, 2)], after=[grouping(1, 1)])],
        sums=pb.PolicyPreviewTotals(profiles_before=3, profiles_after=4, biggest_before=[2]),
        token=Token(offsets=[1, 2]),
    )
    told = report(preview)
    assert told["token"] == "1,2"
    assert told["profiles"] == {"before": 3, "after": 4}
    (row,) = told["regroupings"]
    assert [len(ids) for ids in row["before"].values()] == [2]
    assert [len(ids) for ids in row["after"].values()] == [1]
