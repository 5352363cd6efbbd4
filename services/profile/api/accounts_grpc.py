"""Serves the account methods of ProfileService: translate, call, translate."""

from __future__ import annotations

from onefold.profile.v1 import profile_service_pb2 as pb

from services.chassis.access.principal import region, workspace_id
from services.chassis.codec.rules import rule_from_proto
from services.chassis.codec.tokens import at_least_of, token_to_proto
from services.chassis.rpc.paging import page_size_of
from services.chassis.runtime.deadlines import clip_to_deadline
from services.kernel.errors import TooLarge
from services.profile.codec.accounts import account_lookup_id, account_response, account_to_proto
from services.profile.codec.api import decode_page_token, encode_page_token
from services.profile.queries.accounts import AccountQueries, AccountRequest
from services.profile.queries.profiles import ProfileQueries

MAX_RULES = 20


class AccountMethods:
    """The account methods, to which `ProfileRpc` delegates."""

    def __init__(self, queries: ProfileQueries, wait_s: float) -> None:
        """`wait_s`: seconds to wait for a token where the caller set no deadline."""
        self._queries = queries
        self._accounts = AccountQueries(queries)
        self._wait_s = wait_s

    async def get(self, request: pb.GetAccountRequest) -> pb.GetAccountResponse:
        if len(request.rules) > MAX_RULES:
            raise TooLarge(f"at most {MAX_RULES} rules a call; split it", limit=str(MAX_RULES))
        workspace = workspace_id()
        lookup = AccountRequest(
            workspace,
            account_lookup_id(workspace, region(), request),
            page_size=page_size_of(request),
            after=decode_page_token(request.page_token),
            rules=[rule_from_proto(rule) for rule in request.rules],
            include_children=request.include_children,
        )
        await self._queries.reach(at_least_of(request), clip_to_deadline(self._wait_s))
        details, at = await self._accounts.get(lookup)
        return account_response(details, at.token)

    async def list(self, request: pb.ListAccountsRequest) -> pb.ListAccountsResponse:
        workspace, size = workspace_id(), page_size_of(request)
        after = decode_page_token(request.page_token)
        await self._queries.reach(at_least_of(request), clip_to_deadline(self._wait_s))
        accounts, last, at = await self._accounts.page(workspace, after, size)
        return pb.ListAccountsResponse(
            accounts=map(account_to_proto, accounts),
            next_page_token=encode_page_token(last),
            token=token_to_proto(at.token),
        )
