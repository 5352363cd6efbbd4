"""What a group event says of an account: its leaf, or why it cannot be taken.

Pure. A group event concerns a person and an account, so it is kept under the leaf of each.
"""

from __future__ import annotations

from services.ingest.domain.json_limits import member_of
from services.ingest.domain.model import RawEvent, Refusal
from services.kernel.identifiers import (
    ACCOUNT_ID,
    ACCOUNT_PREFIX,
    DEFAULT_REGION,
    account_leaf,
    account_of,
    expected_format,
    is_account_namespace,
    validation_error,
)
from services.kernel.ids import LeafId

MAX_IDENTIFIERS = 64
#: The trait of an account that names the account above it.
PARENT = "parent_account_id"


def account_of_event(raw: RawEvent, workspace_id: str) -> LeafId | Refusal:
    """The leaf of the account that a group event names. Its traits must be a JSON object."""
    wrong = _group_id_fault(raw.group_id) or _identifiers_fault(raw) or _parent_fault(raw)
    if wrong is not None:
        return wrong
    leaf_id = account_leaf(workspace_id, str(raw.group_id))
    return _names_none("group_id") if leaf_id is None else leaf_id


def _group_id_fault(group_id: object) -> Refusal | None:
    if not group_id:
        return Refusal("NO_IDENTIFIER", "group_id", "a group event needs a group id")
    wrong = validation_error(ACCOUNT_ID, group_id)
    return Refusal("VALUE_INVALID", "group_id", wrong) if wrong else None


def _identifiers_fault(raw: RawEvent) -> Refusal | None:
    """Values that name nobody are no fault, as they are none beside a person's good one."""
    if len(raw.group_identifiers) > MAX_IDENTIFIERS:
        told = f"at most {MAX_IDENTIFIERS} identifiers of an account an event"
        return Refusal("IDENTIFIER_INVALID", "group_identifiers", told)
    for index, (namespace, value) in enumerate(raw.group_identifiers):
        wrong = validation_error(namespace, value)
        if wrong is None and not is_account_namespace(namespace):
            wrong = f"the namespace of an account's identifier begins with {ACCOUNT_PREFIX}"
        if wrong is not None:
            return Refusal("IDENTIFIER_INVALID", f"group_identifiers[{index}]", wrong)
    return None


def _parent_fault(raw: RawEvent) -> Refusal | None:
    parent = member_of(raw.traits, PARENT)
    if parent is None:
        return None
    if not isinstance(parent, str):
        told = f"{PARENT} must be the group id of an account, a string, or null"
        return Refusal("VALUE_INVALID", f"traits.{PARENT}", told)
    above = account_of(parent)
    if above is None:
        return _names_none(f"traits.{PARENT}")
    if above == account_of(str(raw.group_id)):
        return Refusal("VALUE_INVALID", f"traits.{PARENT}", "an account is not above itself")
    return None


def _names_none(field: str) -> Refusal:
    told = f"the group id names no account: it needs {expected_format(ACCOUNT_ID, DEFAULT_REGION)}"
    return Refusal("NO_IDENTIFIER", field, told)
