"""Accounts: protobuf to domain and back."""

from __future__ import annotations

from typing import Any

from onefold.profile.v1 import profile_service_pb2 as pb

from services.chassis.codec.tokens import token_to_proto
from services.chassis.rpc.paging import PageToken
from services.kernel.errors import InvalidField
from services.kernel.identifiers import (
    ACCOUNT_ID,
    ACCOUNT_PREFIX,
    Identifier,
    account_leaf,
    is_account_namespace,
    validation_error,
)
from services.kernel.ids import NO_ID, WorkspaceId, to_hex
from services.kernel.rules.text import to_text
from services.kernel.tokens import Token
from services.profile.codec.bus import (
    account_name,
    asked_id,
    identifier_message,
    trait_messages,
    verdict_message,
)
from services.profile.domain.accounts import Account, Found, RolledUp


def account_message(told: Account) -> pb.Account:
    """An account, as told outside."""
    view = told.view
    known = bool(view.event_count)
    message = pb.Account(
        profile_id=to_hex(told.profile_id),
        identifiers=map(identifier_message, told.identifiers),
        traits=trait_messages(view),
        first_seen_us=view.first_seen_us if known else 0,
        last_seen_us=view.last_seen_us if known else 0,
        event_count=view.event_count,
        leaf_ids=[to_hex(leaf) for leaf in told.leaf_ids],
    )
    if told.parent is not None:
        message.parent.CopyFrom(account_name(told.parent))
    if told.refused_parent is not None:
        message.refused_parent.CopyFrom(account_name(told.refused_parent))
    return message


def account_response(found: Found, token: Token) -> pb.GetAccountResponse:
    """An account with what lies around it."""
    members = found.members
    return pb.GetAccountResponse(
        account=account_message(found.account),
        children=map(account_name, found.children),
        member_profile_ids=map(to_hex, members.profile_ids),
        next_page_token=page_token(members.profile_ids[-1] if members.more else b""),
        roll_up=None if found.rolled_up is None else _roll_up_message(found.rolled_up),
        token=token_to_proto(token),
    )


def _roll_up_message(told: RolledUp) -> pb.RollUp:
    known = bool(told.state.event_count)
    return pb.RollUp(
        members=told.members,
        first_seen_us=told.state.first_seen_us if known else 0,
        last_seen_us=told.state.last_seen_us if known else 0,
        event_count=told.state.event_count,
        rules=[
            pb.RolledUpRule(
                holds=holds, predicates=map(verdict_message, answers), rule_text=to_text(rule)
            )
            for rule, holds, answers in told.answers()
        ],
        accounts=told.accounts,
        at_us=told.at_us,
    )


def asked_account(workspace_id: WorkspaceId, region: str, request: Any) -> bytes:
    """The same, of an account. Raises InvalidField."""
    match request.WhichOneof("by"):
        case "account_id":
            named = Identifier(ACCOUNT_ID, request.account_id)
            if wrong := validation_error(*named):
                raise InvalidField(wrong, field="account_id")
            return account_leaf(workspace_id, named.value) or NO_ID
        case "identifier" if not is_account_namespace(request.identifier.namespace):
            raise InvalidField(
                f"the namespace of an account's identifier begins with {ACCOUNT_PREFIX}",
                field="identifier",
            )
        case None:
            raise InvalidField("give an account id, a profile id or an identifier", field="by")
    return asked_id(workspace_id, region, request)


_PAGE_TOKEN = PageToken("16s")


def page_token(last_id: bytes) -> str:
    """Return the token of the page after an id; empty where `last_id` is."""
    return _PAGE_TOKEN.encode(last_id) if last_id else ""


def place_from(token: str) -> bytes:
    """Return the id after which a page begins; b"" at the beginning. Raises InvalidField."""
    [after] = _PAGE_TOKEN.decode(token) or [b""]
    return bytes(after)
