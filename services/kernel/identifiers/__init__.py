"""Normalises identifiers, recognises placeholders, and computes the leaf of an event.

    model         an identifier and its validation
    normalize     the canonical form, by which identifiers are compared
    phones        phone numbers and their regions
    emails        e-mail addresses and domains
    devices       ids of devices
    hashes        digests that stand for a value
    placeholders  values that identify no one
    priority      the identifier that decides the leaf
    accounts      identifiers of accounts, and their leaf

The canonical form is a pure function of (namespace, value, default region) and has a version. The
raw value stays in the log.
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
