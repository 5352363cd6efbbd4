"""Tests how explanations of memberships are printed."""

from __future__ import annotations

import pytest
from onefold.profile.v1 import profile_service_pb2 as pb
from onefold.type.v1.token_pb2 import Token

from services.cli.commands.explain import show_membership
from services.kernel.rules.forms.text_words import Language
from services.kernel.time import DAY_US

AT_US = 1_796_000_000_000_000
VIEWED = pb.ExplainedPart(
    part=pb.RULE_PART_PREDICATE,
    holds=False,
    text="count of viewed in the last 30 days ≥ 5",
    text_chinese="最近30天内 viewed 次数 ≥ 5",
    actual=b"2",
    window_start_us=AT_US - 30 * DAY_US,
    fact_ids=["11" * 16, "22" * 16],
    fact_count=2,
    next_due_us=AT_US + DAY_US,
    missing=[
        pb.MissingFact(
            kind=pb.MISSING_KIND_EVENT,
            number=3,
            events="viewed",
            events_chinese="viewed",
            value=b"null",
            until_us=AT_US + DAY_US,
        )
    ],
)
CITY = pb.ExplainedPart(
    part=pb.RULE_PART_PREDICATE,
    holds=True,
    text='trait city = "北京市"',
    actual='"北京市"'.encode(),
)
RESPONSE = pb.ExplainMembershipResponse(
    is_member=False,
    definition_version=4,
    explanation=pb.RuleExplanation(
        root=pb.ExplainedPart(
            part=pb.RULE_PART_REFERENCE,
            text="segment keen",
            text_chinese="人群 keen",
            definition_version=4,
            children=[pb.ExplainedPart(part=pb.RULE_PART_ALL, children=[VIEWED, CITY])],
        ),
        missing=VIEWED.missing,
        as_of_us=AT_US,
        profile_id="33" * 16,
        token=Token(offsets=[4, 2]),
    ),
)


@pytest.fixture(autouse=True)
def whole_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Print whole lines, whatever width another test has set."""
    monkeypatch.delenv("COLUMNS", raising=False)


def test_membership_is_printed_as_a_tree_with_marks_values_facts_and_what_is_missing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show_membership("user_id:u-1", "keen", RESPONSE, Language.ENGLISH)
    shown = capsys.readouterr().out
    assert "user_id:u-1 is not in keen (version 4)" in shown
    assert "✗ segment keen (version 4)" in shown
    assert "✗ all of" in shown
    assert "✗ count of viewed in the last 30 days ≥ 5" in shown
    assert '✓ trait city = "北京市"' in shown
    assert "value: 2 (events from " in shown
    assert f"from 2 facts: {'11' * 16}, {'22' * 16}" in shown
    assert "3 more events viewed until " in shown
    assert "rests on the absence of facts" in shown
    assert "token 4.2" in shown


def test_membership_is_printed_in_chinese(capsys: pytest.CaptureFixture[str]) -> None:
    show_membership("user_id:u-1", "keen", RESPONSE, Language.CHINESE)
    shown = capsys.readouterr().out
    assert "✗ 人群 keen" in shown
    assert "✗ 全部满足" in shown
    assert "✗ 最近30天内 viewed 次数 ≥ 5" in shown


def test_membership_that_rests_on_some_facts_names_those_without_which_it_changes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    response = pb.ExplainMembershipResponse()
    response.CopyFrom(RESPONSE)
    response.explanation.cited_fact_ids.extend(["44" * 16, "55" * 16])
    response.explanation.cited_count = 2
    response.explanation.removed_fact_ids.append("44" * 16)
    response.explanation.removed_count = 1
    show_membership("user_id:u-1", "keen", response, Language.ENGLISH)
    shown = capsys.readouterr().out
    assert f"rests on 2 facts: {'44' * 16}, {'55' * 16}" in shown
    assert f"would change without 1 fact: {'44' * 16}" in shown


def test_value_that_is_a_span_of_time_is_printed_in_days(
    capsys: pytest.CaptureFixture[str],
) -> None:
    quiet = pb.ExplainedPart(
        part=pb.RULE_PART_PREDICATE,
        text="last viewed > 30 days ago",
        actual=str(2 * DAY_US + 3 * 3_600_000_000).encode(),
        is_span=True,
    )
    response = pb.ExplainMembershipResponse(explanation=pb.RuleExplanation(root=quiet))
    show_membership("user_id:u-1", "quiet", response, Language.ENGLISH)
    assert "value: 2d 3h 0m 0s" in capsys.readouterr().out
