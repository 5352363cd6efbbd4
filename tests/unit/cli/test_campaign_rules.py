"""Tests the rules by which the results of a campaign are counted."""

from __future__ import annotations

from oracle.rules_oracle import OracleEvent
from oracle.rules_strategies import view_of

from services.cli.commands.campaigns import CampaignEvents
from services.kernel.fold.leaf import LeafState, fold_event
from services.kernel.fold.leaf import view_of as profile_of
from services.kernel.fold.predicate_index import PredicateIndex
from services.kernel.rules.evaluate import evaluate_predicate
from services.kernel.rules.forms.json_form import parse_rule
from services.kernel.rules.model import Predicate

NAMED = CampaignEvents("spring", message_property="send_id")


def holds(rule: Predicate, *sent: tuple[str, str, str]) -> bool:
    """Return whether a rule is true of a person with these events: name, campaign, message."""
    state, index = LeafState(), PredicateIndex.from_rules([rule])
    for at_us, (name, campaign, message) in enumerate(sent, 1):
        properties = {"campaign_id": campaign, "send_id": message}
        event = OracleEvent("track", name, at_us, at_us.to_bytes(16, "big"), properties)
        fold_event(state, view_of(event), index)
    return evaluate_predicate(rule, profile_of([state]), 100).holds


def test_opening_is_tied_to_the_sending_of_its_message_and_campaign() -> None:
    tied = parse_rule(NAMED.tied("email_opened"))
    assert isinstance(tied, Predicate)
    sent, opened = ("email_sent", "spring", "m-1"), ("email_opened", "spring", "m-1")
    assert holds(tied, sent, opened)
    assert holds(tied, ("email_sent", "spring", "m-0"), sent, opened)
    assert not holds(tied, opened)
    assert not holds(tied, opened, sent)
    assert not holds(tied, sent, ("email_opened", "spring", "m-2"))
    assert not holds(tied, sent, ("email_opened", "autumn", "m-1"))
    assert not holds(tied, ("email_sent", "autumn", "m-1"), opened)
    assert not holds(tied, sent, ("email_clicked", "spring", "m-1"))


def test_event_of_a_campaign_counts_without_a_sending() -> None:
    own = parse_rule(NAMED.of("email_opened"))
    assert isinstance(own, Predicate)
    assert holds(own, ("email_opened", "spring", "m-1"))
    assert not holds(own, ("email_opened", "autumn", "m-1"))
