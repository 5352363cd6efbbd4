"""Tests that accounts and persons are never linked, and that ids separate accounts."""

from __future__ import annotations

import pytest
from onefold.identity.v1.identity_facts_pb2 import LinkDecided
from onefold.type.v1.identifier_pb2 import Identifier as IdentifierMessage

from services.identity.codec.decisions import decode_pair
from services.identity.codec.requests import Caller
from services.identity.domain.policy import default_policy
from services.kernel.errors import InvalidField
from services.kernel.ids import WorkspaceId
from tests.index_key import INDEX_KEY

CALLER = Caller(WorkspaceId("w"), "CN", "key_1", INDEX_KEY)
PERSON = IdentifierMessage(namespace="user_id", value="u")
ACCOUNT = IdentifierMessage(namespace="account_id", value="acme")
OTHER = IdentifierMessage(namespace="account_id", value="acme-2")


@pytest.mark.parametrize(("a", "b"), [(PERSON, ACCOUNT), (ACCOUNT, PERSON)])
def test_decode_pair_of_person_and_account_is_rejected(
    a: IdentifierMessage, b: IdentifierMessage
) -> None:
    with pytest.raises(InvalidField) as error:
        decode_pair(LinkDecided(a=a, b=b), CALLER)
    assert error.value.field == "b"


def test_decode_pair_of_two_accounts_is_accepted() -> None:
    pair = decode_pair(LinkDecided(a=ACCOUNT, b=OTHER), CALLER)
    assert {pair.a.value, pair.b.value} == {"acme", "acme-2"}


def test_default_policy_allows_one_account_id_per_profile() -> None:
    assert default_policy().rules["account_id"].limit == 1
