"""Translates accounts into responses, and parses requests that name an account."""

from __future__ import annotations

from onefold.profile.v1 import profile_service_pb2 as pb

from services.chassis.codec.tokens import token_to_proto
from services.kernel.errors import InvalidField
from services.kernel.identifiers.model import (
    ACCOUNT_ID,
    ACCOUNT_PREFIX,
    Identifier,
    is_account_namespace,
    validation_error,
)
from services.kernel.identifiers.priority import account_leaf
from services.kernel.ids import NO_ID, WorkspaceId, to_hex
from services.kernel.rules.text import to_text
from services.kernel.tokens import Token
from services.profile.codec.api import (
    account_name_to_proto,
    answer_to_proto,
    encode_page_token,
    identifiers_to_proto,
    lookup_id,
    traits_to_proto,
)
from services.profile.domain.accounts import Account, AccountDetails, RollUp


def account_lookup_id(
    workspace_id: WorkspaceId, region: str, request: pb.GetAccountRequest
) -> bytes:
    """Return the id of the account that a request names. Raises InvalidField."""
    match request.WhichOneof("by"):
        case "account_id":
            account = Identifier(ACCOUNT_ID, request.account_id)
            if error := validation_error(account.namespace, account.value):
                raise InvalidField(error, field="account_id")
            return account_leaf(workspace_id, account.value) or NO_ID
        case "identifier" if not is_account_namespace(request.identifier.namespace):
            raise InvalidField(
                f"the namespace of an account's identifier begins with {ACCOUNT_PREFIX}",
                field="identifier",
            )
        case None:
            raise InvalidField("give an account id, a profile id or an identifier", field="by")
    return lookup_id(workspace_id, region, request)


def account_to_proto(account: Account) -> pb.Account:
    """Return the message of an account."""
    view = account.view
    has_events = bool(view.event_count)
    message = pb.Account(
        profile_id=to_hex(account.profile_id),
        identifiers=identifiers_to_proto(account.identifiers),
        traits=traits_to_proto(view),
        first_seen_us=view.first_seen_us if has_events else 0,
        last_seen_us=view.last_seen_us if has_events else 0,
        event_count=view.event_count,
        leaf_ids=map(to_hex, account.leaf_ids),
    )
    if account.parent is not None:
        message.parent.CopyFrom(account_name_to_proto(account.parent))
    if account.rejected_parent is not None:
        message.rejected_parent.CopyFrom(account_name_to_proto(account.rejected_parent))
    return message


def account_response(details: AccountDetails, token: Token) -> pb.GetAccountResponse:
    """Return the response for an account."""
    members = details.members
    return pb.GetAccountResponse(
        account=account_to_proto(details.account),
        children=map(account_name_to_proto, details.children),
        member_profile_ids=map(to_hex, members.profile_ids),
        next_page_token=encode_page_token(members.profile_ids[-1] if members.has_more else b""),
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
