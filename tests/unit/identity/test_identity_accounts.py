"""Accounts in identity: never one with a person, and told apart by their ids."""

from __future__ import annotations

import pytest
from onefold.identity.v1.identity_facts_pb2 import LinkDecided
from onefold.type.v1.identifier_pb2 import Identifier as IdentifierMessage

from services.identity.codec.decisions import Caller, pair
from services.identity.domain.policy import default_policy
from services.kernel.errors import InvalidField
from services.kernel.ids import WorkspaceId

ASKER = Caller(WorkspaceId("w"), "CN", "key_1")
PERSON = IdentifierMessage(namespace="user_id", value="u")
ACCOUNT = IdentifierMessage(namespace="account_id", value="acme")
OTHER = IdentifierMessage(namespace="account_id", value="acme-2")


@pytest.mark.parametrize(("a", "b"), [(PERSON, ACCOUNT), (ACCOUNT, PERSON)])
def test_nobody_can_say_that_a_person_is_an_account(
    a: IdentifierMessage, b: IdentifierMessage
) -> None:
    with pytest.raises(InvalidField) as refused:
        pair(LinkDecided(a=a, b=b), ASKER)
    assert refused.value.field == "b"


def test_two_accounts_can_be_said_to_be_one() -> None:
    said = pair(LinkDecided(a=ACCOUNT, b=OTHER), ASKER)
    assert {said.a.value, said.b.value} == {"acme", "acme-2"}


def test_two_group_ids_are_two_accounts_whatever_else_they_share() -> None:
    assert default_policy().rules["account_id"].limit == 1
