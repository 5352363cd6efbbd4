"""Accounts: organisations and the like, which have identifiers of their own.

A namespace says whom its values name: those that begin with `account_` name accounts, all others
persons. So no identifier is ever of both, whatever is stated.
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
    """Whether the values of a namespace name accounts, and not persons."""
    return namespace.startswith(ACCOUNT_PREFIX)


def account_of(group_id: str) -> Identifier | None:
    """The identifier that a group id stands for; None where it names no account."""
    if validation_error(ACCOUNT_ID, group_id):
        return None
    return normalize(ACCOUNT_ID, group_id, DEFAULT_REGION)  # it has the same form everywhere


@lru_cache(maxsize=1 << 12)
def account_leaf(workspace_id: str, group_id: str) -> LeafId | None:
    """The leaf of an account, by its group id; None where that names no account."""
    account = account_of(group_id)
    return None if account is None else LeafId(account.id_in(workspace_id))
