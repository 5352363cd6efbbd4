"""Checks the account that a group event names, and returns the account's leaf.

A group event concerns a person and an account, so the log has it under both leaves.
"""

from __future__ import annotations

from services.ingest.domain.events import RawEvent, Refusal
from services.ingest.domain.json_limits import member_of
from services.kernel.identifiers.model import (
    ACCOUNT_ID,
    ACCOUNT_PREFIX,
    is_account_namespace,
    validation_error,
)
from services.kernel.identifiers.normalize import account_of, expected_format
from services.kernel.identifiers.phones import DEFAULT_REGION
from services.kernel.identifiers.priority import account_leaf
from services.kernel.ids import LeafId
from services.kernel.index_key import IndexKey

MAX_IDENTIFIERS = 16
#: The trait of an account that names its parent account.
PARENT = "parent_account_id"


def account_of_event(raw: RawEvent, workspace_id: str, index_key: IndexKey) -> LeafId | Refusal:
    """Return the leaf of the account that a group event names.

    The event's traits must be a JSON object already.
    """
    refusal = _group_id_refusal(raw.group_id) or _identifiers_refusal(raw) or _parent_refusal(raw)
    if refusal is not None:
        return refusal
    leaf_id = account_leaf(workspace_id, str(raw.group_id), index_key)
    return _placeholder_refusal("group_id") if leaf_id is None else leaf_id


def _group_id_refusal(group_id: object) -> Refusal | None:
    if not group_id:
        return Refusal("NO_IDENTIFIER", "group_id", "a group event needs a group id: add one")
    error = validation_error(ACCOUNT_ID, group_id)
    return Refusal("VALUE_INVALID", "group_id", error) if error else None


def _identifiers_refusal(raw: RawEvent) -> Refusal | None:
    """Return the error of the identifiers. Placeholders are valid, as among a person's."""
    if len(raw.group_identifiers) > MAX_IDENTIFIERS:
        message = f"an event has at most {MAX_IDENTIFIERS} identifiers of an account: send fewer"
        return Refusal("IDENTIFIER_INVALID", "group_identifiers", message)
    for index, (namespace, value) in enumerate(raw.group_identifiers):
        error = validation_error(namespace, value)
        if error is None and not is_account_namespace(namespace):
            error = f"the namespace of an account's identifier begins with {ACCOUNT_PREFIX}"
        if error is not None:
            return Refusal("IDENTIFIER_INVALID", f"group_identifiers[{index}]", error)
    return None


def _parent_refusal(raw: RawEvent) -> Refusal | None:
    field = f"traits.{PARENT}"
    parent = member_of(raw.traits, PARENT)
    if parent is None:
        return None
    if not isinstance(parent, str):
        message = f"{PARENT} must be null or a string, the group id of an account"
        return Refusal("VALUE_INVALID", field, message)
    parent_id = account_of(parent)
    if parent_id is None:
        return _placeholder_refusal(field)
    if parent_id == account_of(str(raw.group_id)):
        message = "an account cannot be its own parent: send another account's group id, or null"
        return Refusal("VALUE_INVALID", field, message)
    return None


def _placeholder_refusal(field: str) -> Refusal:
    expected = expected_format(ACCOUNT_ID, DEFAULT_REGION)
    message = f"the group id identifies no account: it needs {expected}"
    return Refusal("NO_IDENTIFIER", field, message)
