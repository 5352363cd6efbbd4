"""Parses requests, and translates profiles, accounts, timelines and explanations into responses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from heapq import nsmallest
from typing import Any, TypeAlias

import msgspec
from onefold.log.v1.log_pb2 import Fact
from onefold.profile.v1 import profile_service_pb2 as pb
from onefold.profile.v1.profile_facts_pb2 import ScoreRecorded
from onefold.type.v1 import identifier_pb2
from onefold.type.v1.event_pb2 import Event, EventType

from services.chassis.codec.fields import PageToken, token_to_proto
from services.chassis.codec.journey_facts import DELIVERY_REPORTED
from services.chassis.codec.tickets import TICKET_KINDS
from services.kernel.cleaning.cleaners import clean
from services.kernel.errors import InvalidField, TooLarge
from services.kernel.fold.additions import Touch, correction_of, first_touch, last_touch, scores_of
from services.kernel.fold.events import read_object, read_value
from services.kernel.fold.leaf import ProfileView
from services.kernel.fold.traits import CORRECTED, WinningTrait
from services.kernel.identifiers.model import (
    ACCOUNT_ID,
    ACCOUNT_PREFIX,
    Identifier,
    is_account_namespace,
    is_placeholder,
    validation_error,
)
from services.kernel.identifiers.normalize import expected_format, normalize
from services.kernel.identifiers.priority import account_leaf, priority_of
from services.kernel.ids import NO_ID, IdentifierId, ProfileId, WorkspaceId, parse_id, to_hex
from services.kernel.index_key import IndexKey
from services.kernel.rules.features import Elapsed, compared_name
from services.kernel.rules.forms.text import to_text
from services.kernel.rules.values import canonical_json
from services.kernel.tokens import Token
from services.profile.codec.blocks import blocks_to_proto, consents_to_proto
from services.profile.codec.log import EVENT
from services.profile.codec.records import SCORE_RECORDED, TRAIT_CORRECTED
from services.profile.codec.tickets import ticket_view
from services.profile.codec.timeline import DELIVERY_ENDED, message_entry
from services.profile.domain.accounts import Account, AccountDetails, AccountName, RollUp
from services.profile.domain.profile import Profile, TimelineCursor
from services.profile.domain.rule_preview import EvaluatedProfile, PreviewCost
from services.profile.domain.tags import PredicateAnswer

LookupRequest: TypeAlias = (
    pb.GetProfileRequest
    | pb.ListTimelineRequest
    | pb.ExplainRuleRequest
    | pb.ExplainMembershipRequest
    | pb.GetAccountRequest
    | pb.CorrectTraitRequest
    | pb.PersonScore
)

#: The most identifiers, and the most leaves, of a profile in a response. A profile may have any
#: number, and its response must stay below the limit of a message.
MAX_LISTED = 1_000
#: The most identifiers of a brief profile, and the trait that it has.
MAX_BRIEF, NAME = 5, "name"
#: The most profiles and identifiers in one preview.
MAX_PROFILES, MAX_IDENTIFIERS = 10_000, 100_000
#: The most scores in one request.
MAX_SCORES = 1_000

_ID_PAGE = PageToken("16s")
_TIMELINE_PAGE = PageToken("q16sI")


def check_count(count: int, limit: int, items: str) -> None:
    """Raise TooLarge where a request has more than `limit` of some items."""
    if count > limit:
        raise TooLarge(f"at most {limit} {items} a call; split it", limit=str(limit))


def lookup_id(
    workspace_id: WorkspaceId, region: str, request: LookupRequest, index_key: IndexKey
) -> bytes:
    """Return the id of the identifier in a request, or its profile id. Raises InvalidField."""
    match request.WhichOneof("by"):
        case "identifier":
            namespace, value = request.identifier.namespace, request.identifier.value
            if error := validation_error(namespace, value):
                raise InvalidField(error, field="identifier")
            identifier = normalize(namespace, value, region)
            if identifier is None and not is_placeholder(value):
                raise InvalidField(
                    f"this is no valid {namespace}: send {expected_format(namespace, region)}",
                    field="identifier",
                )
            # A placeholder such as `null` identifies no profile; no profile has this id either.
            return (identifier or Identifier(namespace, "")).id_in(workspace_id, index_key)
        case "profile_id":
            return parse_id(request.profile_id, "profile_id")
        case _:
            raise InvalidField("give a profile id or an identifier", field="by")


def scores_of_request(
    workspace_id: WorkspaceId, region: str, request: pb.RecordScoresRequest, index_key: IndexKey
) -> list[tuple[bytes, ScoreRecorded]]:
    """Return the scores of a request, each with the id of its person. Raises InvalidField."""
    if not request.scores:
        raise InvalidField("scores is required: send at least one", field="scores")
    check_count(len(request.scores), MAX_SCORES, "scores")
    scores: list[tuple[bytes, ScoreRecorded]] = []
    for index, one in enumerate(request.scores):
        try:
            id_ = lookup_id(workspace_id, region, one, index_key)
        except InvalidField as error:
            raise InvalidField(str(error), field=f"scores[{index}].{error.field}") from None
        scores.append((id_, one.score))
    return scores


def identifiers_to_proto(identifiers: Sequence[Identifier]) -> list[identifier_pb2.Identifier]:
    """Return the messages of the identifiers; of too many those with the highest priority."""
    if len(identifiers) > MAX_LISTED:
        identifiers = nsmallest(MAX_LISTED, identifiers, key=priority_of)
    return [identifier_pb2.Identifier(namespace=i.namespace, value=i.value) for i in identifiers]


def traits_to_proto(view: ProfileView, cleaners: Mapping[str, str] = {}) -> list[pb.Trait]:
    """Return the messages of the traits that are present, with the standard forms of `cleaners`."""
    traits = [_fill_trait(pb.Trait(), name, won, view) for name, won in view.traits().items()]
    for trait in traits:
        if cleaner := cleaners.get(trait.name):
            trait.cleaner = cleaner
            standard = clean(cleaner, read_value(trait.value))
            trait.standard = b"" if standard is None else canonical_json(standard).encode()
    return traits


def _fill_trait(trait: Any, name: str, won: WinningTrait, view: ProfileView) -> Any:
    """Fill the message of a trait, and return it."""
    trust, at_us, fact_id, value, source_id, party = won
    trait.name, trait.value, trait.source_id = name, value, source_id
    trait.occurred_at_us, trait.fact_id = at_us, to_hex(fact_id)
    if trust == CORRECTED:
        *_, actor, reason = correction_of(view.additions, name) or ("", "")
        trait.correction.CopyFrom(pb.Correction(actor=actor, reason=reason))
        return trait
    trait.trust, trait.party = trust, party
    return trait


def _touch_to_proto(touch: Touch | None) -> pb.Touch | None:
    if touch is None:
        return None
    at_us, fact_id, members = touch
    return pb.Touch(occurred_at_us=at_us, fact_id=to_hex(fact_id), **read_object(members))


def _predictions(view: ProfileView) -> list[pb.Prediction]:
    return [
        pb.Prediction(
            model_id=model_id,
            model_version=version,
            score=score,
            as_of_us=as_of_us,
            fact_id=to_hex(fact_id),
        )
        for model_id, (as_of_us, fact_id, score, version) in scores_of(view.additions).items()
    ]


def profile_to_proto(profile: Profile) -> pb.Profile:
    """Return the message of a profile."""
    view = profile.view
    return pb.Profile(
        profile_id=to_hex(profile.profile_id),
        identifiers=identifiers_to_proto(profile.identifiers),
        traits=traits_to_proto(view, profile.cleaners),
        tags=_tags_to_proto(profile),
        computed_traits=[
            pb.ComputedValue(name=name, value=msgspec.json.encode(value))
            for name, value in profile.computed_traits
        ],
        first_touch=_touch_to_proto(first_touch(view.additions)),
        last_touch=_touch_to_proto(last_touch(view.additions)),
        predictions=_predictions(view),
        first_seen_us=view.first_seen_us if view.event_count else 0,
        last_seen_us=view.last_seen_us if view.event_count else 0,
        event_count=view.event_count,
        leaf_ids=map(to_hex, profile.leaf_ids[:MAX_LISTED]),
        identifier_count=len(profile.identifiers),
        accounts=map(account_name_to_proto, profile.accounts),
        has_dropped_traits=view.has_dropped_traits,
        consents=consents_to_proto(view),
        blocks=blocks_to_proto(profile.blocks),
        past_segment_ids=profile.past_segment_ids,
        other_identifier_ids=map(to_hex, profile.other_ids[:MAX_LISTED]),
    )


def _tags_to_proto(profile: Profile) -> list[pb.ProfileTag]:
    return [
        pb.ProfileTag(
            tag_id=tag_id,
            value=value,
            kind=kind,  # type: ignore[arg-type]  # the numbers are the enum's
        )
        for tag_id, value, kind in profile.tags
    ]


def add_profiles(listed: Any, profiles: Iterable[Profile], *, brief: bool) -> None:
    """Add profiles to the list of a response; of brief ones what a list shows."""
    # A message is filled in its place, as it would be copied otherwise.
    for profile in profiles:
        if brief:
            _add_brief(listed, profile)
        else:
            listed.append(profile_to_proto(profile))


def _add_brief(listed: Any, profile: Profile) -> None:
    view, own = profile.view, profile.identifiers
    message = listed.add(profile_id=profile.profile_id.hex(), identifier_count=len(own))
    shown = own if len(own) <= MAX_BRIEF else nsmallest(MAX_BRIEF, own, key=priority_of)
    for namespace, value in shown:
        message.identifiers.add(namespace=namespace, value=value)
    won = view.trait_value(NAME)
    if won is not None and won.value != b"null":
        _fill_trait(message.traits.add(), NAME, won, view)
    if profile.tags:
        message.tags.extend(_tags_to_proto(profile))
    if view.event_count:
        message.event_count = view.event_count
        message.first_seen_us, message.last_seen_us = view.first_seen_us, view.last_seen_us


def account_name_to_proto(name: AccountName) -> pb.AccountName:
    """Return the message of an account's name."""
    return pb.AccountName(profile_id=to_hex(name.profile_id), account_ids=name.account_ids)


def timeline_entry(fact: Fact) -> pb.TimelineEntry:
    """Return the timeline entry of a fact."""
    entry = pb.TimelineEntry(
        fact_id=to_hex(fact.fact_id),
        kind=fact.kind,
        occurred_at_us=fact.occurred_at_us,
        recorded_at_us=fact.recorded_at_us,
        source_id=fact.source_id,
        actor=fact.actor,
    )
    if fact.kind == TRAIT_CORRECTED:
        entry.correction.MergeFromString(fact.payload)
        entry.name = entry.correction.trait
    if fact.kind in (DELIVERY_REPORTED, DELIVERY_ENDED):
        entry.name, entry.properties = message_entry(fact)
    if fact.kind == SCORE_RECORDED:
        entry.score.MergeFromString(fact.payload)
        entry.name = entry.score.model_id
    if fact.kind in TICKET_KINDS:
        ticket = ticket_view(fact)
        entry.type, entry.name, entry.properties = "track", ticket.name, ticket.properties
    if fact.kind == EVENT:
        event = Event.FromString(fact.payload)
        entry.type = EventType.Name(event.type).removeprefix("EVENT_TYPE_").lower()
        entry.name = event.name
        entry.channel = event.channel
        entry.properties = event.properties
        entry.traits = event.traits
        entry.trust = event.trust
        entry.party = event.party
    return entry


def answer_to_proto(answer: PredicateAnswer) -> pb.PredicateResult:
    """Return the message of a predicate's result."""
    return pb.PredicateResult(
        predicate=to_text(answer.predicate),
        actual=msgspec.json.encode(answer.actual),
        holds=answer.holds,
        source_id=answer.source_id,
        trust=answer.trust,  # type: ignore[arg-type]  # the numbers are the enum's
        is_span=isinstance(answer.predicate.feature, Elapsed),
        compares=compared_name(answer.predicate.feature),
    )


def encode_page_token(last_id: bytes) -> str:
    """Return the token of the page after an id; "" where `last_id` is empty: there is none."""
    return _ID_PAGE.encode(last_id) if last_id else ""


def decode_page_token(token: str) -> bytes:
    """Return the id after which a page begins; b"" at the beginning. Raises InvalidField."""
    [after] = _ID_PAGE.decode(token) or [b""]
    return bytes(after)


def encode_cursor(cursor: TimelineCursor) -> str:
    """Return the token of the timeline page after a cursor."""
    return _TIMELINE_PAGE.encode(cursor.occurred_at_us, cursor.fact_id, cursor.entries)


def decode_cursor(token: str) -> TimelineCursor | None:
    """Return the cursor of a timeline's page token; None where it is empty. Raises InvalidField."""
    key = _TIMELINE_PAGE.decode(token)
    return TimelineCursor(*key) if key else None


def account_lookup_id(
    workspace_id: WorkspaceId, region: str, request: pb.GetAccountRequest, index_key: IndexKey
) -> bytes:
    """Return the id of the account that a request names. Raises InvalidField."""
    match request.WhichOneof("by"):
        case "account_id":
            account = Identifier(ACCOUNT_ID, request.account_id)
            if error := validation_error(account.namespace, account.value):
                raise InvalidField(error, field="account_id")
            return account_leaf(workspace_id, account.value, index_key) or NO_ID
        case "identifier" if not is_account_namespace(request.identifier.namespace):
            raise InvalidField(
                f"the namespace of an account's identifier begins with {ACCOUNT_PREFIX}",
                field="identifier",
            )
        case None:
            raise InvalidField("give an account id, a profile id or an identifier", field="by")
    return lookup_id(workspace_id, region, request, index_key)


def account_to_proto(account: Account) -> pb.Account:
    """Return the message of an account."""
    view, parent, rejected = account.view, account.parent, account.rejected_parent
    has_events = bool(view.event_count)
    return pb.Account(
        profile_id=to_hex(account.profile_id),
        identifiers=identifiers_to_proto(account.identifiers),
        traits=traits_to_proto(view),
        first_seen_us=view.first_seen_us if has_events else 0,
        last_seen_us=view.last_seen_us if has_events else 0,
        event_count=view.event_count,
        leaf_ids=map(to_hex, account.leaf_ids[:MAX_LISTED]),
        identifier_count=len(account.identifiers),
        parent=parent and account_name_to_proto(parent),
        rejected_parent=rejected and account_name_to_proto(rejected),
    )


def account_response(details: AccountDetails, token: Token) -> pb.GetAccountResponse:
    """Return the response for an account."""
    return pb.GetAccountResponse(
        account=account_to_proto(details.account),
        children=map(account_name_to_proto, details.children),
        member_profile_ids=map(to_hex, details.members),
        next_page_token=encode_page_token(details.last_member),
        roll_up=None if details.roll_up is None else _roll_up_to_proto(details.roll_up),
        token=token_to_proto(token),
    )


def _roll_up_to_proto(roll_up: RollUp) -> pb.RollUp:
    state = roll_up.state
    has_events = bool(state.event_count)
    return pb.RollUp(
        members=roll_up.members,
        first_seen_us=state.first_seen_us if has_events else 0,
        last_seen_us=state.last_seen_us if has_events else 0,
        event_count=state.event_count,
        rules=[
            pb.RolledUpRule(
                holds=holds, predicates=map(answer_to_proto, answers), rule_text=to_text(rule)
            )
            for rule, holds, answers in roll_up.answers()
        ],
        accounts=roll_up.accounts,
        as_of_us=roll_up.at_us,
    )


def hypothetical_profiles(
    request: pb.PreviewProfilesRequest,
) -> dict[ProfileId, list[IdentifierId]]:
    """Return the identifiers of each hypothetical profile. Raises InvalidField, TooLarge."""
    messages = request.profiles
    check_count(len(messages), MAX_PROFILES, "profiles")
    identifiers = sum(len(message.identifier_ids) for message in messages)
    check_count(identifiers, MAX_IDENTIFIERS, "identifiers")
    profiles: dict[ProfileId, list[IdentifierId]] = {}
    for index, message in enumerate(messages):
        field = f"profiles[{index}]"
        profile_id = ProfileId(parse_id(message.profile_id, f"{field}.profile_id"))
        profiles[profile_id] = [
            IdentifierId(parse_id(text, f"{field}.identifier_ids"))
            for text in message.identifier_ids
        ]
    return profiles


def rule_page_to_proto(page: PreviewCost | Sequence[EvaluatedProfile]) -> pb.EvaluateRulesResponse:
    """Return the message of the cost of a preview, or of a page of evaluated profiles."""
    if isinstance(page, PreviewCost):
        return pb.EvaluateRulesResponse(
            profiles=page.profiles,
            one_in=page.one_in,
            new_predicates=page.new_predicates,
            retained=page.retained,
            token=token_to_proto(page.token),
        )
    return pb.EvaluateRulesResponse(
        evaluated=[
            pb.EvaluatedProfile(
                profile_id=to_hex(one.profile_id),
                true_rules=one.true_rules,
                predicates=map(answer_to_proto, one.answers),
            )
            for one in page
        ]
    )
