"""Tests the tokens of links, and what bounces say of addresses and destinations."""

from __future__ import annotations

from services.activation.delivery.reports import is_unwanted
from services.activation.domain.receipts.model import is_softly_dead
from services.activation.domain.receipts.tokens import DoorToken, LinkTokens, UnsubscribeToken
from services.activation.domain.sealing import SecretKeys
from services.kernel.time import DAY_US

KEYS = SecretKeys({1: bytes(32), 2: bytes(range(32))})
DOOR = DoorToken("school", "shop-mail")
LINK = UnsubscribeToken(
    "school", "shop-mail", "0a" * 16, "marketing", "email", "email", "李@x.example"
)


def test_token_opens_as_what_it_is_and_as_nothing_else() -> None:
    tokens = LinkTokens(KEYS)
    door, link = tokens.seal(DOOR), tokens.seal(LINK)
    assert tokens.open_door(door) == DOOR
    assert tokens.open_unsubscribe(link) == LINK
    assert tokens.open_door(link) is None
    assert tokens.open_unsubscribe(door) is None
    assert "x.example" not in link
    assert door == tokens.seal(DOOR)


def test_token_of_an_earlier_key_opens_and_that_of_another_key_does_not() -> None:
    before = LinkTokens(SecretKeys({1: bytes(32)})).seal(LINK)
    assert LinkTokens(KEYS).open_unsubscribe(before) == LINK
    assert LinkTokens(SecretKeys({1: bytes([9]) * 32})).open_unsubscribe(before) is None


def test_changed_token_opens_nothing() -> None:
    tokens = LinkTokens(KEYS)
    whole = tokens.seal(LINK)
    for at in range(len(whole)):
        other = "A" if whole[at] != "A" else "B"
        changed = whole[:at] + other + whole[at + 1 :]
        assert tokens.open_unsubscribe(changed) in (None, LINK)
    parts = [whole[:-n] for n in range(1, len(whole))]
    for text in ("", "1.", "1." + "A" * 20, "0." + whole[2:], whole + "\n", *parts):
        assert tokens.open_unsubscribe(text) is None


def test_address_is_softly_dead_after_three_bounces_in_seven_days() -> None:
    now_us = 100 * DAY_US
    recent = tuple(now_us - n * DAY_US for n in range(3))
    assert is_softly_dead(recent, now_us)
    assert not is_softly_dead(recent[:2], now_us)
    assert not is_softly_dead(tuple(at - 5 * DAY_US for at in recent), now_us)


def test_destination_is_unwanted_above_the_shares_of_mailbox_providers() -> None:
    assert is_unwanted(1_000, 4, 0)
    assert not is_unwanted(1_000, 3, 50)
    assert is_unwanted(1_000, 0, 51)
    assert not is_unwanted(100, 50, 50)
