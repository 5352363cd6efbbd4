"""Corrections and scores are checked, become facts, and are shown as what they are."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from onefold.activation.v1.activation_facts_pb2 import DeliveryEnded, DeliveryState
from onefold.activation.v1.journey_facts_pb2 import DeliveryReported
from onefold.activation.v1.journeys_pb2 import ReportKind
from onefold.log.v1.log_pb2 import Fact
from onefold.profile.v1 import profile_service_pb2 as pb
from onefold.profile.v1.profile_facts_pb2 import ScoreRecorded, TraitCorrected
from onefold.type.v1.event_pb2 import Event
from onefold.type.v1.identifier_pb2 import Identifier as IdentifierMessage

from services.kernel.errors import InvalidField, NotFound, TooLarge
from services.kernel.fold.events import CORRECTION, IDENTIFY, SCORE, TRACK, EventView
from services.kernel.fold.leaf import LeafState, ProfileView, fold_event, view_of
from services.kernel.fold.predicate_index import PredicateIndex
from services.kernel.ids import LeafId, ProfileId, WorkspaceId, to_hex
from services.kernel.rules.forms.json_form import parse_rule
from services.kernel.time import CLOCK_TOLERANCE_US
from services.kernel.trust import Party, SourceTrust
from services.profile.codec import api
from services.profile.codec.log import decode_leaf_events, decode_log_events, event_view
from services.profile.codec.records import checked_correction, checked_score, record_fact
from services.profile.domain.profile import Profile
from services.profile.domain.records import correction_before
from services.profile.domain.tags import answer_rule
from tests.index_key import INDEX_KEY

WORKSPACE, LEAF = WorkspaceId("school"), LeafId(b"l" * 16)
CORRECTED = TraitCorrected(trait="city", value=b'"Bonn"', reason="typing error")
SCORED = ScoreRecorded(model_id="churn", model_version="7", score=0.25, as_of_us=5)


def fact_of(message: Any, **more: Any) -> Fact:
    fact = record_fact(WORKSPACE, LEAF, message, "key_ann", INDEX_KEY)
    for name, value in more.items():
        setattr(fact, name, value)
    return fact


def event_fact(message: Event, **fields: Any) -> Fact:
    return Fact(
        workspace_id=WORKSPACE,
        fact_id=b"e" * 16,
        leaf_id=LEAF,
        kind="onefold.type.v1.Event",
        occurred_at_us=3,
        payload=message.SerializeToString(),
        **fields,
    )


def folded(*facts: Fact) -> ProfileView:
    state = LeafState()
    for event in decode_log_events(facts, INDEX_KEY):
        fold_event(state, event.event, PredicateIndex())
    return view_of([state])


def stated(**traits: Any) -> Fact:
    message: Any = Event(type=IDENTIFY, traits=msgspec.json.encode(traits))  # type: ignore[arg-type]
    message.trust, message.party = SourceTrust.SYSTEM_OF_RECORD, Party.SECOND
    return event_fact(message, source_id="crm")


def proto_of(view: ProfileView) -> pb.Profile:
    return api.profile_to_proto(Profile(ProfileId(b"p" * 16), [], view, [], [LEAF]))


def test_event_is_read_with_its_source_party_and_touch() -> None:
    message: Any = Event(type=TRACK, name="viewed", touch=b'{"source":"a"}')  # type: ignore[arg-type]
    message.party = Party.THIRD
    view = event_view(event_fact(message, source_id="web"), INDEX_KEY)
    assert view is not None
    assert (view.source_id, view.party, view.touch) == ("web", Party.THIRD, b'{"source":"a"}')


def test_correction_and_score_are_read_as_records() -> None:
    correction = fact_of(CORRECTED, occurred_at_us=9)
    assert event_view(correction, INDEX_KEY) == EventView(
        CORRECTION,
        "city",
        9,
        correction.fact_id,
        record=(9, correction.fact_id, b'"Bonn"', "key_ann", "typing error"),
    )
    score = fact_of(SCORED, occurred_at_us=4)
    record = (5, score.fact_id, 0.25, "7")
    assert event_view(score, INDEX_KEY) == EventView(
        SCORE, "churn", 5, score.fact_id, record=record
    )
    withdrawn = event_view(fact_of(TraitCorrected(trait="city", withdrawn=True)), INDEX_KEY)
    assert withdrawn is not None
    assert withdrawn.record[2] == b""


def test_facts_of_other_kinds_are_not_folded() -> None:
    other = fact_of(SCORED, kind="onefold.identity.v1.LinkDecided")
    assert event_view(other, INDEX_KEY) is None
    [folded_one] = decode_leaf_events([other, fact_of(SCORED)], "CN", INDEX_KEY)
    assert (folded_one.event.type, folded_one.identifiers) == (SCORE, ())


def test_trait_shows_the_source_that_states_it_or_who_corrected_it_and_why() -> None:
    [trait] = proto_of(folded(stated(city="Berlin"))).traits
    assert (trait.source_id, trait.party, trait.trust) == ("crm", 2, 3)
    assert not trait.HasField("correction")
    correction = fact_of(CORRECTED, occurred_at_us=9)
    [trait] = proto_of(folded(stated(city="Berlin"), correction)).traits
    assert (trait.value, trait.occurred_at_us) == (b'"Bonn"', 9)
    assert trait.fact_id == to_hex(correction.fact_id)
    assert (trait.correction.actor, trait.correction.reason) == ("key_ann", "typing error")
    assert (trait.source_id, trait.party, trait.trust) == ("", 0, 0)


def test_profile_shows_touches_and_predictions() -> None:
    touch = b'{"click_id":"7","click_id_type":"gclid","source":"a"}'
    message = Event(type=TRACK, name="viewed", touch=touch)  # type: ignore[arg-type]
    score = fact_of(SCORED)
    found = proto_of(folded(event_fact(message), score))
    for shown in (found.first_touch, found.last_touch):
        assert (shown.source, shown.click_id, shown.click_id_type) == ("a", "7", "gclid")
        assert (shown.occurred_at_us, shown.fact_id) == (3, to_hex(b"e" * 16))
    assert list(found.predictions) == [
        pb.Prediction(
            model_id="churn",
            model_version="7",
            score=0.25,
            as_of_us=5,
            fact_id=to_hex(score.fact_id),
        )
    ]
    empty = proto_of(folded(stated(city="a")))
    assert not empty.HasField("first_touch")
    assert not empty.HasField("last_touch")


def test_person_without_events_was_never_seen() -> None:
    found = proto_of(folded(fact_of(SCORED)))
    assert (found.first_seen_us, found.last_seen_us, found.event_count) == (0, 0, 0)


def test_timeline_shows_corrections_and_scores_with_their_author() -> None:
    entry = api.timeline_entry(fact_of(CORRECTED))
    assert (entry.name, entry.actor, entry.correction) == ("city", "key_ann", CORRECTED)
    entry = api.timeline_entry(fact_of(SCORED))
    assert (entry.name, entry.actor, entry.score) == ("churn", "key_ann", SCORED)
    entry = api.timeline_entry(stated(city="a"))
    assert (entry.source_id, entry.party, entry.HasField("score")) == ("crm", 2, False)


def test_timeline_says_of_messages_what_happened_by_their_campaign_and_id() -> None:
    clicked = DeliveryReported(
        effect_id="0a" * 16,
        destination_id="mail",
        what=ReportKind.REPORT_KIND_CLICKED,
        reason="link 2",
        is_machine=True,
        journey_id="welcome",
        step_id="hello",
    )
    ended = DeliveryEnded(
        effect_id="0b" * 16,
        destination_id="push",
        segment_id="vip",
        state=DeliveryState.DELIVERY_STATE_SUPPRESSED,
    )
    shown = []
    for message in (clicked, ended):
        kind = message.DESCRIPTOR.full_name
        entry = api.timeline_entry(Fact(kind=kind, payload=message.SerializeToString()))
        shown.append((entry.name, msgspec.json.decode(entry.properties)))
    assert shown == [
        (
            "message_clicked",
            {
                "machine": True,
                "journey": "welcome",
                "step": "hello",
                "reason": "link 2",
                "destination": "mail",
                "message": "0a" * 16,
            },
        ),
        ("message_suppressed", {"segment": "vip", "destination": "push", "message": "0b" * 16}),
    ]


def test_explanation_names_source_or_fact_of_each_trait() -> None:
    score = fact_of(SCORED)
    view = folded(stated(city="Berlin"), score)
    rule = parse_rule(
        {
            "all": [
                {"trait": {"name": "city", "eq": "Berlin"}},
                {"trait": {"name": "score.churn", "gt": 0}},
                {"trait": {"name": "other", "missing": True}},
            ]
        }
    )
    _, answers = answer_rule(rule, view, 9)
    assert [(a.fact_id, a.source_id, a.trust) for a in answers] == [
        (b"e" * 16, "crm", SourceTrust.SYSTEM_OF_RECORD),
        (score.fact_id, "", 0),
        (b"", "", 0),
    ]
    corrected = fact_of(CORRECTED)
    _, [answer] = answer_rule(
        parse_rule({"trait": {"name": "city", "eq": "Bonn"}}), folded(corrected), 9
    )
    assert (answer.fact_id, answer.source_id, answer.trust) == (corrected.fact_id, "", 0)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        *(({"trait": ""}, "trait"), ({"trait": "x" * 513}, "trait"), ({"trait": "a\0"}, "trait")),
        *(({"trait": "score.churn"}, "trait"), ({"trait": "last_touch"}, "trait")),
        *(({"reason": " "}, "reason"), ({"reason": "x" * 501}, "reason")),
        *(({"value": b""}, "value"), ({"withdrawn": True}, "value")),
        *(({"value": b"Bonn"}, "value"), ({"value": b'"\xff"'}, "value")),
        *(({"value": b'"\\u0000"'}, "value"), ({"value": b'"%s"' % (b"x" * 32768)}, "value")),
    ],
)
def test_invalid_correction_is_refused_with_its_field(changes: dict[str, Any], field: str) -> None:
    message = TraitCorrected()
    message.CopyFrom(CORRECTED)
    for name, value in changes.items():
        setattr(message, name, value)
    with pytest.raises(InvalidField) as error:
        checked_correction(message)
    assert error.value.field == f"correction.{field}"
    assert "Bonn" not in str(error.value)


def test_correction_loses_the_blanks_around_value_and_reason() -> None:
    message = TraitCorrected(trait="city", value=b' "Bonn" ', reason=" typing error ")
    assert checked_correction(message) == CORRECTED


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        *(({"model_id": "Churn"}, "model_id"), ({"model_id": "a.b"}, "model_id")),
        *(({"model_version": ""}, "model_version"), ({"model_version": "a\n"}, "model_version")),
        *(({"score": float("nan")}, "score"), ({"score": float("-inf")}, "score")),
        *(({"as_of_us": 0}, "as_of_us"), ({"as_of_us": 11 + CLOCK_TOLERANCE_US}, "as_of_us")),
    ],
)
def test_invalid_score_is_refused_with_its_field(changes: dict[str, Any], field: str) -> None:
    message = ScoreRecorded()
    message.CopyFrom(SCORED)
    for name, value in changes.items():
        setattr(message, name, value)
    with pytest.raises(InvalidField) as error:
        checked_score(message, 10, "scores[3].score")
    assert error.value.field == f"scores[3].score.{field}"


def test_score_as_of_a_clock_that_is_a_little_ahead_is_accepted() -> None:
    message = ScoreRecorded(model_id="churn", model_version="7", as_of_us=10 + CLOCK_TOLERANCE_US)
    assert checked_score(message, 10, "score") is message


def test_request_of_scores_names_the_person_it_cannot_read() -> None:
    good = IdentifierMessage(namespace="user_id", value="u-1")
    request = pb.RecordScoresRequest(
        scores=[pb.PersonScore(identifier=good, score=SCORED), pb.PersonScore(score=SCORED)]
    )
    with pytest.raises(InvalidField) as error:
        api.scores_of_request(WORKSPACE, "CN", request, INDEX_KEY)
    assert error.value.field == "scores[1].by"
    with pytest.raises(InvalidField):
        api.scores_of_request(WORKSPACE, "CN", pb.RecordScoresRequest(), INDEX_KEY)
    many = pb.RecordScoresRequest(scores=[request.scores[0]] * (api.MAX_SCORES + 1))
    with pytest.raises(TooLarge):
        api.scores_of_request(WORKSPACE, "CN", many, INDEX_KEY)


def test_fact_is_the_same_only_for_the_same_message_leaf_and_fact_before() -> None:
    first = fact_of(CORRECTED)
    assert fact_of(CORRECTED) == first
    other = TraitCorrected(trait="city", value=b'"Bonn"', reason="other")
    ids = {
        first.fact_id,
        fact_of(other).fact_id,
        record_fact(WORKSPACE, LeafId(b"m" * 16), CORRECTED, "", INDEX_KEY).fact_id,
        record_fact(WORKSPACE, LEAF, CORRECTED, "", INDEX_KEY, b"b" * 16).fact_id,
    }
    assert len(ids) == 4
    assert fact_of(SCORED).occurred_at_us == SCORED.as_of_us


def test_correction_follows_the_one_before_and_counts_once() -> None:
    assert correction_before(folded(stated(city="a")), "city", b'"Bonn"', "why") == b""
    with pytest.raises(NotFound):
        correction_before(folded(stated(city="a")), "city", b"", "why")
    first = fact_of(CORRECTED, occurred_at_us=1)
    view = folded(first)
    assert correction_before(view, "city", b' "Bonn"', "typing error") is None
    assert correction_before(view, "city", b'"Bonn"', "another reason") == first.fact_id
    assert correction_before(view, "city", b"", "withdrawn") == first.fact_id
    last = fact_of(TraitCorrected(trait="city", withdrawn=True, reason="w"), occurred_at_us=2)
    view = folded(first, last)
    assert correction_before(view, "city", b'"Bonn"', "typing error") == last.fact_id
    with pytest.raises(NotFound):
        correction_before(view, "city", b"", "again")
