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
    is_account_namespace,
)
from services.kernel.identifiers.model import (
    MAX_NAMESPACE,
    MAX_VALUE,
    Identifier,
    base_namespace,
    validation_error,
)
from services.kernel.identifiers.normalize import NORMALIZATION_VERSION, expected_format, normalize
from services.kernel.identifiers.phones import DEFAULT_REGION, is_region
from services.kernel.identifiers.priority import (
    DEVICE_NAMESPACES,
    PRIORITY,
    leaf_of,
    primary_identifier,
    priority_of,
)

__all__ = [
    "ACCOUNT_ID",
    "ACCOUNT_PREFIX",
    "DEFAULT_REGION",
    "DEVICE_NAMESPACES",
    "MAX_NAMESPACE",
    "MAX_VALUE",
    "NORMALIZATION_VERSION",
    "PRIORITY",
    "Identifier",
    "account_leaf",
    "account_of",
    "base_namespace",
    "expected_format",
    "is_account_namespace",
    "is_region",
    "leaf_of",
    "normalize",
    "primary_identifier",
    "priority_of",
    "validation_error",
]
