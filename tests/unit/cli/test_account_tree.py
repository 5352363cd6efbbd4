"""Tests what `./onefold account` prints."""

from __future__ import annotations

import pytest
from onefold.profile.v1 import profile_service_pb2 as pb
from onefold.type.v1.identifier_pb2 import Identifier
from rich.console import Console

from services.cli.commands.profiles import account_selector, account_tree


@pytest.mark.parametrize(
    ("name", "selector"),
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
def test_account_selector_of_each_kind_of_name_sets_its_field(
    name: str, selector: dict[str, object]
) -> None:
    assert account_selector(name) == selector


def test_account_tree_shows_hierarchy_members_and_roll_up() -> None:
    name = pb.AccountName(profile_id="b" * 32, account_ids=["hq"])
    response = pb.GetAccountResponse(
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
    printed = _printed(response)
    for part in (
        *("account_id: acme", 'plan = "pro"', "parent: hq", "c" * 32, "d" * 32),
        *("members: 2 of 2 accounts, with 5 events", "keen: true (count(bought) >= 3: 4)"),
    ):
        assert part in printed
    assert "cycle" not in printed
    response.account.ClearField("parent")
    response.account.rejected_parent.CopyFrom(name)
    assert "rejected parent: hq (it would close a cycle)" in _printed(response)


def _printed(response: pb.GetAccountResponse) -> str:
    console = Console(width=120)
    with console.capture() as capture:
        console.print(account_tree(response, ["keen"]).rendered)
    return capture.get()
