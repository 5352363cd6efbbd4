"""The gRPC door of profile: translate, call, translate."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from itertools import groupby
from typing import Any

from onefold.profile.v1 import profile_service_pb2 as pb
from onefold.profile.v1.profile_service_pb2_grpc import ProfileServiceServicer

from services.chassis.access.principal import Role, region, workspace_id
from services.chassis.codec.rules import rule_from_proto
from services.chassis.codec.tokens import token_from_proto, token_to_proto
from services.chassis.rpc.paging import page_size_of
from services.chassis.rpc.server import Allowed
from services.chassis.runtime.deadlines import clip_to_deadline
from services.kernel.errors import NotFound, TooLarge
from services.kernel.ids import parse_id
from services.kernel.rules.text import to_text
from services.kernel.tokens import Token
from services.profile.codec import accounts as account_wire
from services.profile.codec import bus as wire
from services.profile.codec.preview import previewed_people
from services.profile.domain.profile import Profile, mark_after
from services.profile.queries.accounts import AccountAsked, AccountQueries
from services.profile.queries.history import Asking, AsOf
from services.profile.queries.preview import Previews
from services.profile.queries.profiles import ProfileQueries, Standings

_SERVICE = "/onefold.profile.v1.ProfileService/"
_PEOPLE = frozenset({Role.SERVICE, Role.ADMIN, Role.INTERNAL})
_SERVICES = frozenset({Role.INTERNAL})

#: Who may call what.
ALLOWED: Allowed = {
    f"{_SERVICE}GetProfile": _PEOPLE,
    f"{_SERVICE}BatchGetProfiles": _PEOPLE,
    f"{_SERVICE}ListProfiles": _PEOPLE,
    f"{_SERVICE}GetAccount": _PEOPLE,
    f"{_SERVICE}ListAccounts": _PEOPLE,
    f"{_SERVICE}ListTimeline": _PEOPLE,
    f"{_SERVICE}ExplainRule": _PEOPLE,
    f"{_SERVICE}PreviewProfiles": _PEOPLE,
    f"{_SERVICE}DefineTag": _PEOPLE,
    f"{_SERVICE}ListTags": _PEOPLE,
    f"{_SERVICE}ReadOutbox": _SERVICES,
    f"{_SERVICE}ReadEvaluations": _SERVICES,
}
MOST_ASKED, MOST_RULES = 1_000, 20
#: Seconds for which a token is waited for where the caller set no deadline.
PATIENCE = 30.0


class ProfileRpc(ProfileServiceServicer):
    """onefold.profile.v1.ProfileService."""

    def __init__(self, queries: ProfileQueries, asking: Asking, previews: Previews) -> None:
        self._queries = queries
        self._asking = asking
        self._previews = previews
        self._accounts = AccountQueries(queries)

    async def GetProfile(
        self, request: pb.GetProfileRequest, context: Any
    ) -> pb.GetProfileResponse:
        """Get one profile, as it is or as it was."""
        workspace = workspace_id()
        id_ = wire.asked_id(workspace, region(), request)
        token = await self._reach(request)
        as_of = _as_of(request)
        if as_of is not None:
            if as_of.token is not None:
                await self._queries.reach(as_of.token, clip_to_deadline(PATIENCE))
            found = await self._asking.profile(workspace, id_, as_of)
        else:
            people, token = await self._people([id_])
            if not people:
                raise NotFound("nobody is known by this; check the namespace and the value")
            found = people[0]
        return pb.GetProfileResponse(
            profile=wire.profile_message(found), token=token_to_proto(token)
        )

    async def BatchGetProfiles(
        self, request: pb.BatchGetProfilesRequest, context: Any
    ) -> pb.BatchGetProfilesResponse:
        """Get many profiles."""
        if len(request.profile_ids) > MOST_ASKED:
            raise TooLarge(
                f"at most {MOST_ASKED} profile_ids a call; split it", limit=str(MOST_ASKED)
            )
        ids = [parse_id(text, "profile_ids") for text in request.profile_ids]
        people, token = await self._people(ids)
        return pb.BatchGetProfilesResponse(
            profiles=map(wire.profile_message, people), token=token_to_proto(token)
        )

    async def ListProfiles(
        self, request: pb.ListProfilesRequest, context: Any
    ) -> pb.ListProfilesResponse:
        """List the persons of the workspace."""
        workspace, size = workspace_id(), page_size_of(request)
        after = account_wire.place_from(request.page_token)
        await self._reach(request)
        people, more, at = await self._queries.page(workspace, after, size)
        return pb.ListProfilesResponse(
            profiles=map(wire.profile_message, people),
            next_page_token=account_wire.page_token(more),
            token=token_to_proto(at.token),
        )

    async def GetAccount(
        self, request: pb.GetAccountRequest, context: Any
    ) -> pb.GetAccountResponse:
        """Get one account, its members, and what is known of them together."""
        workspace = workspace_id()
        if len(request.rules) > MOST_RULES:
            raise TooLarge(f"at most {MOST_RULES} rules a call; split it", limit=str(MOST_RULES))
        asked = AccountAsked(
            workspace,
            account_wire.asked_account(workspace, region(), request),
            page_size_of(request),
            account_wire.place_from(request.page_token),
            [rule_from_proto(rule) for rule in request.rules],
            request.include_children,
        )
        await self._reach(request)
        found, at = await self._accounts.find(asked)
        return account_wire.account_response(found, at.token)

    async def ListAccounts(
        self, request: pb.ListAccountsRequest, context: Any
    ) -> pb.ListAccountsResponse:
        """List the accounts of the workspace."""
        workspace, size = workspace_id(), page_size_of(request)
        after = account_wire.place_from(request.page_token)
        await self._reach(request)
        told, more, at = await self._accounts.page(workspace, after, size)
        return pb.ListAccountsResponse(
            accounts=map(account_wire.account_message, told),
            next_page_token=account_wire.page_token(more),
            token=token_to_proto(at.token),
        )

    async def ListTimeline(
        self, request: pb.ListTimelineRequest, context: Any
    ) -> pb.ListTimelineResponse:
        """List what the person did, newest first."""
        workspace = workspace_id()
        size = page_size_of(request)
        after = wire.mark_from(request.page_token)
        id_ = wire.asked_id(workspace, region(), request)
        facts = await self._asking.timeline(workspace, id_, size + 1, after)
        page = facts[:size]
        more = ""
        if len(facts) > size:
            more = wire.page_token(mark_after(after, [(f.occurred_at_us, f.fact_id) for f in page]))
        return pb.ListTimelineResponse(entries=map(wire.timeline_entry, page), next_page_token=more)

    async def ExplainRule(
        self, request: pb.ExplainRuleRequest, context: Any
    ) -> pb.ExplainRuleResponse:
        """Explain how a rule comes out for a person."""
        workspace = workspace_id()
        rule = rule_from_proto(request.rule)
        asked = wire.asked_id(workspace, region(), request)
        explained = await self._asking.explain(workspace, asked, rule)
        return pb.ExplainRuleResponse(
            holds=explained.holds,
            predicates=map(wire.verdict_message, explained.answers),
            rule_text=to_text(rule),
            at_us=explained.at_us,
        )

    async def PreviewProfiles(
        self, request: pb.PreviewProfilesRequest, context: Any
    ) -> pb.PreviewProfilesResponse:
        """Tell how people would stand if their identifiers were grouped otherwise."""
        groups = previewed_people(request.profiles)
        await self._reach(request)
        news, token = await self._previews.people(workspace_id(), groups)
        return pb.PreviewProfilesResponse(
            changes=map(wire.change_message, news), token=token_to_proto(token)
        )

    async def DefineTag(self, request: pb.DefineTagRequest, context: Any) -> pb.DefineTagResponse:
        """Define a tag."""
        asked = wire.tag(workspace_id(), request.tag)
        tag, changed, token = await self._asking.define(
            asked, clip_to_deadline(PATIENCE), dry_run=request.dry_run
        )
        return pb.DefineTagResponse(
            tag=wire.tag_message(tag), changed=changed, token=token_to_proto(token)
        )

    async def ListTags(self, request: pb.ListTagsRequest, context: Any) -> pb.ListTagsResponse:
        """List the tags of the workspace."""
        tags = await self._asking.tags(workspace_id())
        return pb.ListTagsResponse(tags=map(wire.tag_message, tags))

    async def ReadOutbox(
        self, request: pb.ReadOutboxRequest, context: Any
    ) -> AsyncIterator[pb.ReadOutboxResponse]:
        """Stream what was said on the bus."""
        said = self._queries.said(request.shard, request.from_sequence, request.until_sequence)
        async with aclosing(said) as messages:
            async for message in messages:
                response = pb.ReadOutboxResponse()
                response.batch.MergeFromString(message.payload)
                yield response

    async def ReadEvaluations(
        self, request: pb.ReadEvaluationsRequest, context: Any
    ) -> AsyncIterator[pb.ReadEvaluationsResponse]:
        """Stream how every profile of a shard stands."""
        async with aclosing(self._queries.standings(request.shard)) as pages:
            async for told in pages:
                for response in _standings(told):
                    yield response

    async def _people(self, ids: Sequence[bytes]) -> tuple[list[Profile], Token]:
        async with self._queries.snapshot() as at:
            return await self._queries.people(at, workspace_id(), ids), at.token

    async def _reach(self, request: Any) -> Token:
        asked = token_from_proto(request.at_least) if request.HasField("at_least") else None
        return await self._queries.reach(asked, clip_to_deadline(PATIENCE))


def _as_of(request: pb.GetProfileRequest) -> AsOf | None:
    match request.WhichOneof("as_of"):
        case "as_of_token":
            return AsOf(token=token_from_proto(request.as_of_token))
        case "as_of_us":
            return AsOf(at_us=request.as_of_us)
        case _:
            return None


def _standings(told: Standings) -> list[pb.ReadEvaluationsResponse]:
    """One response, and one more for each workspace in which predicates are live."""
    first = _place(told)
    first.evaluations.extend(map(wire.change_message, told.page))
    first.broadcast_facts.extend(wire.facts_from(told.facts))
    responses = [first]
    for workspace, keys in groupby(sorted(told.live), key=lambda key: key.workspace_id):
        live = _place(told)
        live.backfilled_workspace_id = workspace
        live.backfilled_predicates.extend(key.id for key in keys)
        responses.append(live)
    return responses


def _place(told: Standings) -> pb.ReadEvaluationsResponse:
    at = told.position
    return pb.ReadEvaluationsResponse(
        next_sequence=at.next_output, log_offset=at.log_offset, log_time_us=at.log_time_us
    )
