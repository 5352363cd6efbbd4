"""The identifier with the highest priority decides the leaf of an event."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.kernel.identifiers.model import Identifier, base_namespace
from services.kernel.identifiers.priority import (
    DEVICE_NAMESPACES,
    PRIORITY,
    leaf_of,
    primary_identifier,
    priority_of,
)
from tests.index_key import INDEX_KEY

identifiers = st.builds(
    Identifier,
    st.sampled_from(
        [*PRIORITY, *DEVICE_NAMESPACES, "crm", "email_md5", "wechat_openid.wx1", "imei_sha256"]
    ),
    st.sampled_from("abc"),
)


def test_priority_of_namespaces_is_fixed() -> None:
    """It decides every leaf: a change would separate profiles from their old events."""
    names = [
        *("crm", "cookie", "wechat_openid.wx2", "wechat_openid.wx1", "phone_sha256", "phone"),
        *("email_md5", "email", "user_id", "member_id", "wechat_unionid", "anonymous_id", "idfv"),
        *("android_id", "idfa", "idfa_md5", "gaid", "oaid", "imei", "device_id", "loyalty"),
    ]
    ordered = sorted((Identifier(name, "x") for name in names), key=priority_of)
    assert [identifier.namespace for identifier in ordered] == [
        *("user_id", "member_id", "wechat_unionid", "wechat_openid.wx1", "wechat_openid.wx2"),
        *("email", "email_md5", "phone", "phone_sha256", "crm", "loyalty", "anonymous_id", "idfv"),
        *("android_id", "idfa", "idfa_md5", "gaid", "oaid", "imei", "device_id", "cookie"),
    ]


@given(st.lists(identifiers, min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_leaf_is_a_function_of_the_set_of_identifiers(
    named: list[Identifier], chance: object
) -> None:
    shuffled = [*named, named[0]]
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert primary_identifier(shuffled) == primary_identifier(named)
    assert leaf_of("w", shuffled, INDEX_KEY) == primary_identifier(named).id_in("w", INDEX_KEY)


def test_base_namespace_drops_the_scope() -> None:
    assert base_namespace("wechat_openid.wx1") == base_namespace("wechat_openid") == "wechat_openid"
    assert base_namespace("crm.number") == "crm.number"
