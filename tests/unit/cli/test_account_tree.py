"""`onefold account` for people."""

from __future__ import annotations

import pytest
from onefold.profile.v1 import profile_service_pb2 as pb
from onefold.type.v1.identifier_pb2 import Identifier
from rich.console import Console

from services.cli.accounts import account_tree, by


@pytest.mark.parametrize(
    ("who", "asked"),
    [
        ("acme", {"account_id": "acme"}),
        ("crm:7", {"account_id": "crm:7"}),
        ("a" * 32, {"account_id": "a" * 32}),
        (
            "account_domain:acme.cn",
            {"identifier": Identifier(namespace="account_domain", value="acme.cn")},
        ),
        ("profile:" + "a" * 32, {"profile_id": "a" * 32}),
    ],
)
def test_an_account_is_asked_for_by_any_name(who: str, asked: dict[str, object]) -> None:
    assert by(who) == asked


def test_a_tree_tells_the_place_the_members_and_what_they_add_up_to() -> None:
    name = pb.AccountName(profile_id="b" * 32, account_ids=["hq"])
    answer = pb.GetAccountResponse(
        account=pb.Account(
            profile_id="a" * 32,
            identifiers=[Identifier(namespace="account_id", value="acme")],
            traits=[pb.Trait(name="plan", value=b'"pro"', occurred_at_us=1)],
            parent=name,
        ),
        children=[pb.AccountName(profile_id="c" * 32)],
        member_profile_ids=["d" * 32],
        roll_up=pb.RollUp(
            members=2,
            event_count=5,
            accounts=2,
            rules=[
                pb.RolledUpRule(
                    holds=True,
                    predicates=[pb.PredicateResult(predicate="count(bought) >= 3", actual=b"4")],
                )
            ],
        ),
    )
    told = _printed(answer)
    for part in (
        *("account_id: acme", 'plan = "pro"', "below hq", "c" * 32, "d" * 32),
        *("members: 2 of 2 accounts, with 5 events", "keen: holds (count(bought) >= 3: 4)"),
    ):
        assert part in told
    assert "circle" not in told
    answer.account.ClearField("parent")
    answer.account.refused_parent.CopyFrom(name)
    assert "not below hq: that would close a circle" in _printed(answer)


def _printed(answer: pb.GetAccountResponse) -> str:
    console = Console(width=120)
    with console.capture() as capture:
        console.print(account_tree(answer, ["keen"]))
    return capture.get()
