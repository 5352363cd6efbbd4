"""Tests that secrets open in their own place only, and under the key that sealed them."""

from __future__ import annotations

import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.activation.domain.channel_settings import SealedSecret
from services.activation.domain.sealing import (
    NONCE_BYTES,
    SecretKeys,
    SecretNotReadable,
    SecretPlace,
)
from services.activation.domain.system_channels import Webhook
from services.kernel.ids import WorkspaceId

A, B = WorkspaceId("school"), WorkspaceId("other")
OLD, NEW = "1f" * 32, "2e" * 32
SECRET = "whsec_c2VjcmV0IG9mIHRoZSBkb2N1bWVudHM="


def place(workspace_id: WorkspaceId, destination_id: str) -> SecretPlace:
    return SecretPlace(workspace_id, destination_id, "webhook.secret")


PLACE = place(A, "coupon")


def seal(keys: SecretKeys, secret: str = SECRET) -> SealedSecret:
    return keys.seal(PLACE, secret, secrets.token_bytes(NONCE_BYTES))


@given(secret=st.text(max_size=100), destination_id=st.text(max_size=20))
def test_secret_opens_where_it_was_sealed(secret: str, destination_id: str) -> None:
    keys = SecretKeys.parse(f"1.{OLD}")
    sealed = keys.seal(place(A, destination_id), secret, secrets.token_bytes(NONCE_BYTES))
    assert keys.open(place(A, destination_id), sealed) == secret


@pytest.mark.parametrize(
    ("workspace_id", "destination_id"),
    [(B, "coupon"), (A, "coupon2"), (A, ""), (B, "schoolcoupon")],
)
def test_secret_moved_to_another_place_does_not_open(
    workspace_id: WorkspaceId, destination_id: str
) -> None:
    keys = SecretKeys.parse(f"1.{OLD}")
    with pytest.raises(SecretNotReadable):
        keys.open(place(workspace_id, destination_id), seal(keys))


def test_places_with_shifted_parts_are_different() -> None:
    keys = SecretKeys.parse(f"1.{OLD}")
    sealed = keys.seal(place(WorkspaceId("ab"), "c"), SECRET, secrets.token_bytes(NONCE_BYTES))
    with pytest.raises(SecretNotReadable):
        keys.open(place(WorkspaceId("a"), "bc"), sealed)


def test_changed_ciphertext_does_not_open() -> None:
    keys = SecretKeys.parse(f"1.{OLD}")
    sealed = seal(keys)
    changed = bytes([sealed.ciphertext[0] ^ 1]) + sealed.ciphertext[1:]
    for broken in (SealedSecret(1, sealed.nonce, changed), SealedSecret(1, b"", b"")):
        with pytest.raises(SecretNotReadable):
            keys.open(PLACE, broken)


def test_newest_key_seals_and_older_keys_open() -> None:
    old, both = SecretKeys.parse(f"1.{OLD}"), SecretKeys.parse(f" 2.{NEW} , 1.{OLD}")
    assert both.open(PLACE, seal(old)) == SECRET
    assert seal(both).key_version == both.newest == 2
    with pytest.raises(SecretNotReadable, match="version 2, which the service does not have"):
        old.open(PLACE, seal(both))


@pytest.mark.parametrize(
    "text",
    [
        "",
        OLD,
        f"0.{OLD}",
        f"1.{OLD[:-1]}",
        f"1.{OLD.upper()}",
        f"1.{OLD},1.{NEW}",
        f"1.{OLD},",
        "x",
    ],
)
def test_malformed_keys_are_rejected_without_quoting_them(text: str) -> None:
    with pytest.raises(ValueError, match="64 hexadecimal digits") as raised:
        SecretKeys.parse(text)
    assert OLD[:-1] not in str(raised.value).lower()


def test_no_text_of_a_webhook_has_its_secret() -> None:
    sealed = seal(SecretKeys.parse(f"1.{OLD}"))
    assert SECRET not in str(Webhook("https://x.example", SECRET))
    assert repr(sealed) == "SealedSecret(key_version=1)"
