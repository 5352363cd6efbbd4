"""Identifiers: their standard form, which of them names nobody, and the leaf.

    model      an identifier, and what is wrong with one as it came
    forms      the standard form: what identifiers are compared by
    phones     telephone numbers, and the regions they may be written for
    emails     e-mail addresses
    devices    what devices call themselves
    hashes     digests that stand for a value which its sender keeps
    junk       values that stand where a name should be
    strength   the identifier that an event is kept under
    accounts   which identifiers name accounts, and the leaf of an account

The standard form is a pure function of (namespace, value, default region) with a version. The raw
value stays in the log.
"""

from services.kernel.identifiers.accounts import (
    ACCOUNT_ID,
    ACCOUNT_PREFIX,
    account_leaf,
    account_of,
    names_account,
)
from services.kernel.identifiers.model import MAX_NAMESPACE, MAX_VALUE, Identifier, family, fault
from services.kernel.identifiers.normalize import FORMS_VERSION, needs, standard
from services.kernel.identifiers.phones import DEFAULT_REGION, is_region
from services.kernel.identifiers.priority import STRENGTH, WEAKEST, leaf_of, rank, strongest

__all__ = [
    "ACCOUNT_ID",
    "ACCOUNT_PREFIX",
    "DEFAULT_REGION",
    "FORMS_VERSION",
    "MAX_NAMESPACE",
    "MAX_VALUE",
    "STRENGTH",
    "WEAKEST",
    "Identifier",
    "account_leaf",
    "account_of",
    "family",
    "fault",
    "is_region",
    "leaf_of",
    "names_account",
    "needs",
    "rank",
    "standard",
    "strongest",
]
