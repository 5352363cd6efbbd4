"""Distinguishes identifiers of accounts (organisations) from those of persons.

The namespace decides: values of a namespace that begins with `account_` identify accounts, all
others persons. So no identifier is ever of both kinds.
"""

from __future__ import annotations

from functools import lru_cache

from services.kernel.identifiers.model import Identifier, validation_error
from services.kernel.identifiers.normalize import normalize
from services.kernel.identifiers.phones import DEFAULT_REGION
from services.kernel.ids import LeafId

ACCOUNT_PREFIX = "account_"
#: The namespace of group ids.
ACCOUNT_ID = "account_id"


def is_account_namespace(namespace: str) -> bool:
    """Return whether the values of a namespace identify accounts and not persons."""
    return namespace.startswith(ACCOUNT_PREFIX)


def account_of(group_id: str) -> Identifier | None:
    """Return the identifier of a group id; None if it identifies no account."""
    if validation_error(ACCOUNT_ID, group_id):
        return None
    return normalize(ACCOUNT_ID, group_id, DEFAULT_REGION)  # its form is the same in every region


@lru_cache(maxsize=1 << 12)
def account_leaf(workspace_id: str, group_id: str) -> LeafId | None:
    """Return the leaf of a group id; None if it identifies no account."""
    account = account_of(group_id)
    return None if account is None else LeafId(account.id_in(workspace_id))
