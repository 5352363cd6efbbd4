"""Tests on which NATS subjects a workspace may publish."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.activation.domain.subjects import AllowedSubjects, is_subject
from services.kernel.ids import WorkspaceId

SCHOOL = WorkspaceId("school")
NONE = AllowedSubjects()
LISTED = AllowedSubjects.parse("school=orders.created, school=coupons.>,*=audit,bank=money.>")


@pytest.mark.parametrize("subject", ["onefold.out.school.x", "onefold.out.school.a.b-c.优惠券"])
def test_subject_of_the_own_workspace_is_allowed(subject: str) -> None:
    assert NONE.allows(SCHOOL, subject)


@pytest.mark.parametrize(
    "subject",
    [
        "onefold.out.school",
        "onefold.out.school.",
        "onefold.out.school..x",
        "onefold.out.school.*",
        "onefold.out.school.>",
        "onefold.out.school.a>.b",
        "onefold.out.school.a b",
        "onefold.out.school.a\tb",
        "onefold.out.school.a\r\nPUB x 1",
        "onefold.out.school.a\0",
        "onefold.out.school.a\u00a0b",
        "onefold.out.schools.x",
        "onefold.out.other.x",
        "onefold.out.School.x",
        "ONEFOLD.OUT.school.x",
        "onefold.in.school.web",
        "onefold.log.0",
        "onefold",
        "orders.created",
        "$JS.API.STREAM.DELETE.X",
        "_INBOX.x",
        "_INBOX_web.x",
        "_R_.x",
        "",
        "onefold.out.school." + "x" * 256,
    ],
)
def test_other_subject_is_refused(subject: str) -> None:
    assert not NONE.allows(SCHOOL, subject)


@pytest.mark.parametrize(
    ("workspace", "subject", "allowed"),
    [
        ("school", "orders.created", True),
        ("school", "orders.created.x", False),
        ("school", "orders", False),
        ("other", "orders.created", False),
        ("school", "coupons.a.b", True),
        ("school", "coupons", False),
        ("school", "couponsx.a", False),
        ("school", "coupons.>", False),
        ("other", "audit", True),
        ("school", "money.x", False),
        ("bank", "money.x", True),
    ],
)
def test_list_of_the_operator_opens_its_subjects_only(
    workspace: str, subject: str, allowed: bool
) -> None:
    assert LISTED.allows(WorkspaceId(workspace), subject) is allowed


@pytest.mark.parametrize(
    "entry",
    [
        "orders",
        "=orders",
        "school=",
        "school=>",
        "school=a.*",
        "school=a..b",
        "a b=c",
        "School=a",
        "school=$JS.>",
        "school=_INBOX.>",
        "school=onefold.>",
        "school=onefold.log.>",
        "*=onefold.out.>",
        "school=onefold",
    ],
)
def test_malformed_or_reserved_entry_is_rejected(entry: str) -> None:
    with pytest.raises(ValueError, match="subject"):
        AllowedSubjects.parse(entry)


@given(st.from_regex(r"[a-z0-9][a-z0-9_-]{0,62}", fullmatch=True), st.text(max_size=60))
def test_workspaces_own_subjects_are_disjoint(workspace: str, rest: str) -> None:
    subject = f"onefold.out.{workspace}.{rest}"
    other = WorkspaceId(workspace[:-1] or "x")
    assert NONE.allows(WorkspaceId(workspace), subject) is is_subject(subject)
    assert other == workspace or not NONE.allows(other, subject)
