"""Serves ProfileService over gRPC: translate, call, translate."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from onefold.profile.v1 import profile_service_pb2 as pb

from services.chassis.access.principal import principal, region, workspace_id
from services.chassis.access.rights import allowed_roles, lens_of
from services.chassis.codec.fields import (
    as_of_of,
    at_least_of,
    page_size_of,
    token_from_proto,
    token_to_proto,
)
from services.chassis.codec.rules import names_from_proto, rule_from_proto
from services.chassis.definitions import etag_of
from services.chassis.rpc.server import Allowed
from services.kernel.as_of import AsOf
from services.kernel.errors import InvalidField, NotFound
from services.kernel.ids import parse_id
from services.kernel.index_key import IndexKey
from services.kernel.rules.ids import predicates
from services.kernel.rules.limits import MAX_PREDICATES
from services.profile.api.journeys import JourneyInputRpc
from services.profile.codec import api
from services.profile.codec.bus import change_to_proto
from services.profile.codec.definitions import (
    settings_from_proto,
    settings_to_proto,
    tag_from_proto,
    tag_to_proto,
)
from services.profile.codec.explanations import explanation_to_proto
from services.profile.codec.log import parse_facts
from services.profile.codec.records import checked_correction
from services.profile.codec.rule_forms import translation
from services.profile.codec.timeline import filter_from_proto
from services.profile.codec.trait_survey import survey_to_proto
from services.profile.commands.definitions import ProfileDefinitions
from services.profile.commands.records import ProfileRecords
from services.profile.domain.settings import check_settings
from services.profile.queries.accounts import AccountRequest, account_page, get_account
from services.profile.queries.explanations import RuleExplanationQueries
from services.profile.queries.latency import LookupLatency
from services.profile.queries.preview import ProfilePreview
from services.profile.queries.profiles import EvaluationPage
from services.profile.queries.rule_preview import RulePreview
from services.profile.queries.search import ProfileSearch
from services.profile.queries.trait_survey import survey_traits
from services.profile.queries.watch import ProfileWatch, WatchedPage
from services.profile.store.profiles import persons_after

#: The roles that may call each method.
ALLOWED: Allowed = allowed_roles(pb.DESCRIPTOR.services_by_name["ProfileService"])
#: The most profile ids, and the most rules, in one request.
MAX_BATCH, MAX_RULES = 1_000, 20
#: The most profiles that a search returns.
MAX_FOUND = 100


@dataclass(eq=False, kw_only=True)
class ProfileRpc(JourneyInputRpc):
    """The servicer of onefold.profile.v1.ProfileService."""

    index_key: IndexKey
    explanations: RuleExplanationQueries
    preview: ProfilePreview
    rule_preview: RulePreview
    definitions: ProfileDefinitions
    records: ProfileRecords
    watch: ProfileWatch
    lookups: LookupLatency

    async def GetProfile(
        self, request: pb.GetProfileRequest, context: Any
    ) -> pb.GetProfileResponse:
        workspace = workspace_id()
        id_ = api.lookup_id(workspace, region(), request, self.index_key)
        as_of = await self._past_of(request)
        if as_of is not None:
            token = await self.queries.runner.reach(at_least_of(request))
            profile = await self.history.profile(workspace, id_, as_of)
        else:
            await self.queries.runner.catch_up(at_least_of(request))
            with self.lookups.measured():
                profiles, _, token = await self.queries.profiles(workspace, [id_])
            if not profiles:
                raise NotFound("no profile has this id or identifier; check it")
            profile = profiles[0]
        return pb.GetProfileResponse(
            profile=api.profile_to_proto(profile), token=token_to_proto(token)
        )

    async def BatchGetProfiles(
        self, request: pb.BatchGetProfilesRequest, context: Any
    ) -> pb.BatchGetProfilesResponse:
        api.check_count(len(request.profile_ids), MAX_BATCH, "profile_ids")
        ids = [parse_id(text, "profile_ids") for text in request.profile_ids]
        await self.queries.runner.catch_up(at_least_of(request))
        page = await self.queries.profiles(workspace_id(), ids, brief=request.brief)
        response = pb.BatchGetProfilesResponse(token=token_to_proto(page.token))
        api.add_profiles(response.profiles, page.profiles, brief=request.brief)
        return response

    async def ListProfiles(
        self, request: pb.ListProfilesRequest, context: Any
    ) -> pb.ListProfilesResponse:
        workspace, size = workspace_id(), page_size_of(request)
        after = api.decode_page_token(request.page_token)
        await self.queries.runner.catch_up(at_least_of(request))
        next_ones = persons_after(workspace, after, size + 1)
        page = await self.queries.page(workspace, next_ones, size, brief=request.brief)
        last = page.profiles[-1].profile_id if page.has_more else b""
        response = pb.ListProfilesResponse(
            next_page_token=api.encode_page_token(last), token=token_to_proto(page.token)
        )
        api.add_profiles(response.profiles, page.profiles, brief=request.brief)
        return response

    async def SearchProfiles(
        self, request: pb.SearchProfilesRequest, context: Any
    ) -> pb.SearchProfilesResponse:
        size = page_size_of(request)
        api.check_count(size, MAX_FOUND, "profiles")
        search = ProfileSearch.of(request.text, workspace_id(), region(), self.index_key)
        if lens_of(principal()).hides_name("name"):
            search = search.without_names()
        await self.queries.runner.catch_up(at_least_of(request))
        with self.lookups.measured():
            page = await search.find(self.queries, size, brief=request.brief)
        response = pb.SearchProfilesResponse(
            has_more=page.has_more, token=token_to_proto(page.token)
        )
        api.add_profiles(response.profiles, page.profiles, brief=request.brief)
        return response

    async def GetAccount(
        self, request: pb.GetAccountRequest, context: Any
    ) -> pb.GetAccountResponse:
        api.check_count(len(request.rules), MAX_RULES, "rules")
        workspace = workspace_id()
        rules = await self.definitions.expanded(
            workspace, [rule_from_proto(rule) for rule in request.rules], field="rules"
        )
        # As many as one rule has: each is evaluated over all members.
        api.check_count(sum(len(predicates(rule)) for rule in rules), MAX_PREDICATES, "rules")
        lookup = AccountRequest(
            workspace,
            api.account_lookup_id(workspace, region(), request, self.index_key),
            page_size=page_size_of(request),
            after=api.decode_page_token(request.page_token),
            rules=rules,
            include_children=request.include_children,
        )
        await self.queries.runner.catch_up(at_least_of(request))
        details, at = await get_account(self.queries, lookup)
        return api.account_response(details, at.token)

    async def ListAccounts(
        self, request: pb.ListAccountsRequest, context: Any
    ) -> pb.ListAccountsResponse:
        workspace, size = workspace_id(), page_size_of(request)
        after = api.decode_page_token(request.page_token)
        await self.queries.runner.catch_up(at_least_of(request))
        accounts, last, at = await account_page(self.queries, workspace, after, size)
        return pb.ListAccountsResponse(
            accounts=map(api.account_to_proto, accounts),
            next_page_token=api.encode_page_token(last),
            token=token_to_proto(at.token),
        )

    async def ListTimeline(
        self, request: pb.ListTimelineRequest, context: Any
    ) -> pb.ListTimelineResponse:
        workspace, size = workspace_id(), page_size_of(request)
        after = api.decode_cursor(request.page_token)
        id_ = api.lookup_id(workspace, region(), request, self.index_key)
        wanted = filter_from_proto(request)
        as_of = await self._past_of(request)
        page = await self.history.timeline(workspace, id_, wanted, size, after, as_of)
        response = pb.ListTimelineResponse()
        for fact, kind in page.entries:
            response.entries.append(api.timeline_entry(fact))
            # The numbers of the kinds are the enum's.
            response.entries[-1].timeline_kind = int(kind)  # type: ignore[assignment]  # see above
        if page.cursor is not None:
            response.next_page_token = api.encode_cursor(page.cursor)
        return response

    async def ExplainRule(
        self, request: pb.ExplainRuleRequest, context: Any
    ) -> pb.ExplainRuleResponse:
        workspace = workspace_id()
        rule = rule_from_proto(request.rule)
        id_ = api.lookup_id(workspace, region(), request, self.index_key)
        await self.queries.runner.catch_up(at_least_of(request))
        as_of = await self._past_of(request)
        explained = await self.explanations.rule(workspace, id_, rule, as_of)
        explanation = explanation_to_proto(explained, await self.queries.settings(workspace))
        return pb.ExplainRuleResponse(
            holds=explained.explanation.holds,
            predicates=map(api.answer_to_proto, explained.answers),
            rule_text=explanation.rule_text,
            as_of_us=explained.explanation.at_us,
            explanation=explanation,
        )

    async def ExplainMembership(
        self, request: pb.ExplainMembershipRequest, context: Any
    ) -> pb.ExplainMembershipResponse:
        workspace = workspace_id()
        id_ = api.lookup_id(workspace, region(), request, self.index_key)
        if not request.segment_id:
            raise InvalidField("write the id of a segment or a tag", field="segment_id")
        await self.queries.runner.catch_up(at_least_of(request))
        as_of = await self._past_of(request)
        explained = await self.explanations.membership(workspace, id_, request.segment_id, as_of)
        return pb.ExplainMembershipResponse(
            is_member=explained.explanation.holds,
            definition_version=explained.definition_version,
            explanation=explanation_to_proto(explained, await self.queries.settings(workspace)),
        )

    async def TranslateRule(
        self, request: pb.TranslateRuleRequest, context: Any
    ) -> pb.TranslateRuleResponse:
        return translation(request, await self.queries.settings(workspace_id()))

    async def PreviewProfiles(
        self, request: pb.PreviewProfilesRequest, context: Any
    ) -> pb.PreviewProfilesResponse:
        groups = api.hypothetical_profiles(request)
        await self.queries.runner.catch_up(at_least_of(request))
        changes, token = await self.preview.changes(workspace_id(), groups)
        return pb.PreviewProfilesResponse(
            changes=map(change_to_proto, changes), token=token_to_proto(token)
        )

    async def PreviewRule(
        self, request: pb.PreviewRuleRequest, context: Any
    ) -> pb.PreviewRuleResponse:
        rule = rule_from_proto(request.rule)
        token = await self.queries.runner.reach(at_least_of(request))
        new = await self.definitions.check_rule(
            workspace_id(),
            rule,
            segment_id=request.segment_id,
            retired=request.retired,
            assumed=names_from_proto(request.assumed, "assumed"),
        )
        return pb.PreviewRuleResponse(new_predicates=new, token=token_to_proto(token))

    async def EvaluateRules(
        self, request: pb.EvaluateRulesRequest, context: Any
    ) -> AsyncIterator[pb.EvaluateRulesResponse]:
        rules = [rule_from_proto(rule, f"rules[{i}]") for i, rule in enumerate(request.rules)]
        await self.queries.runner.catch_up(at_least_of(request))
        pages = self.rule_preview.evaluate(workspace_id(), rules, request.samples)
        async with aclosing(pages) as found:
            async for page in found:
                yield api.rule_page_to_proto(page)

    async def DefineTag(self, request: pb.DefineTagRequest, context: Any) -> pb.DefineTagResponse:
        defined = await self.definitions.define_tag(
            tag_from_proto(workspace_id(), request.tag),
            etag=request.etag,
            dry_run=request.dry_run,
            assumed=names_from_proto(request.assumed, "assumed"),
        )
        return pb.DefineTagResponse(
            tag=tag_to_proto(defined.definition),
            changed=defined.changed,
            token=token_to_proto(defined.token),
            etag=defined.etag,
        )

    async def FitTag(self, request: pb.FitTagRequest, context: Any) -> pb.FitTagResponse:
        fitted = await self.definitions.fit_tag(workspace_id(), request.tag_id)
        return pb.FitTagResponse(
            tag=tag_to_proto(fitted.definition),
            fitted=fitted.changed,
            token=token_to_proto(fitted.token),
        )

    async def DefineSettings(
        self, request: pb.DefineSettingsRequest, context: Any
    ) -> pb.DefineSettingsResponse:
        defined = await self.definitions.define_settings(
            settings_from_proto(workspace_id(), request.settings),
            etag=request.etag,
            dry_run=request.dry_run,
        )
        return pb.DefineSettingsResponse(
            settings=settings_to_proto(defined.definition),
            changed=defined.changed,
            token=token_to_proto(defined.token),
            etag=defined.etag,
        )

    async def CountTraits(
        self, request: pb.CountTraitsRequest, context: Any
    ) -> pb.CountTraitsResponse:
        settings = None
        if request.HasField("settings"):
            settings = settings_from_proto(workspace_id(), request.settings)
            check_settings(settings)
        await self.queries.runner.catch_up(at_least_of(request))
        return survey_to_proto(await survey_traits(self.queries, workspace_id(), settings))

    async def GetSettings(
        self, request: pb.GetSettingsRequest, context: Any
    ) -> pb.GetSettingsResponse:
        settings = await self.queries.settings(workspace_id())
        return pb.GetSettingsResponse(
            settings=settings_to_proto(settings), etag=etag_of(settings.version)
        )

    async def ListTags(self, request: pb.ListTagsRequest, context: Any) -> pb.ListTagsResponse:
        tags = await self.queries.tags(workspace_id())
        return pb.ListTagsResponse(
            tags=[pb.TagSummary(tag=tag_to_proto(t), etag=etag_of(t.version)) for t in tags]
        )

    async def CorrectTrait(
        self, request: pb.CorrectTraitRequest, context: Any
    ) -> pb.CorrectTraitResponse:
        id_ = api.lookup_id(workspace_id(), region(), request, self.index_key)
        message = checked_correction(request.correction)
        changed, token = await self.records.correct(
            workspace_id(), id_, message, principal().key_id
        )
        return pb.CorrectTraitResponse(changed=changed, token=token_to_proto(token))

    async def RecordScores(
        self, request: pb.RecordScoresRequest, context: Any
    ) -> pb.RecordScoresResponse:
        scores = api.scores_of_request(workspace_id(), region(), request, self.index_key)
        found = await self.records.record_scores(workspace_id(), scores, principal().key_id)
        return pb.RecordScoresResponse(
            recorded=found.recorded, duplicates=found.duplicates, token=token_to_proto(found.token)
        )

    async def WatchProfiles(
        self, request: pb.WatchProfilesRequest, context: Any
    ) -> AsyncIterator[pb.WatchProfilesResponse]:
        start = token_from_proto(request.from_token) if request.HasField("from_token") else None
        async with aclosing(self.watch.pages(workspace_id(), start)) as pages:
            async for page in pages:
                yield _watch_response(page)

    async def ReadOutbox(
        self, request: pb.ReadOutboxRequest, context: Any
    ) -> AsyncIterator[pb.ReadOutboxResponse]:
        outbox = self.queries.read_outbox(
            request.shard, request.from_sequence, request.end_sequence, request.life
        )
        async with aclosing(outbox) as messages:
            async for message in messages:
                response = pb.ReadOutboxResponse(life=message.life)
                response.batch.MergeFromString(message.payload)
                yield response

    async def ReadEvaluations(
        self, request: pb.ReadEvaluationsRequest, context: Any
    ) -> AsyncIterator[pb.ReadEvaluationsResponse]:
        async with aclosing(self.queries.evaluations(request.shard)) as pages:
            async for page in pages:
                for response in _page_responses(page):
                    yield response

    async def _past_of(self, request: Any) -> AsOf | None:
        """Return the past that a request is about, once profile has reached it; None = now."""
        as_of = as_of_of(request)
        if as_of is not None and as_of.token is not None:
            await self.queries.runner.reach(as_of.token)
        return as_of


def _watch_response(page: WatchedPage) -> pb.WatchProfilesResponse:
    response = pb.WatchProfilesResponse(token=token_to_proto(page.token))
    for person in page.persons:
        profile = api.profile_to_proto(person)
        response.updates.add(profile_id=profile.profile_id, profile=profile)
    for profile_id, heir in page.merged.items():
        response.updates.add(profile_id=profile_id.hex(), merged_into=heir.hex())
    for profile_id in page.others:
        response.updates.add(profile_id=profile_id.hex())
    return response


def _page_responses(page: EvaluationPage) -> list[pb.ReadEvaluationsResponse]:
    """Return one response, and one more for each workspace with backfilled predicates."""
    responses = [
        pb.ReadEvaluationsResponse(
            evaluations=map(change_to_proto, page.evaluations),
            broadcast_facts=parse_facts(page.broadcast_facts),
        )
    ]
    for workspace, keys in groupby(sorted(page.backfilled), key=lambda key: key.workspace_id):
        ids = [key.id for key in keys]
        backfilled = pb.ReadEvaluationsResponse(
            backfilled_workspace_id=workspace, backfilled_predicates=ids
        )
        responses.append(backfilled)
    for response in responses:
        response.next_sequence = page.checkpoint.next_output
        response.log_offset = page.checkpoint.log_offset
        response.log_time_us = page.checkpoint.log_time_us
    return responses
