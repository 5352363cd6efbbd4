"""Normalises identifiers to their canonical form, by which they are compared.

The form is a pure function of the value and the workspace's default region. Leaves in the log and
all states built from it depend on the forms. If you change a form, or the release of a library that
it uses, increase `NORMALIZATION_VERSION`: every state must be rebuilt then.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from services.kernel.identifiers.devices import DEVICES
from services.kernel.identifiers.emails import domain, email
from services.kernel.identifiers.hashes import normalize_hash
from services.kernel.identifiers.model import (
    ACCOUNT_ID,
    MAX_VALUE,
    Identifier,
    is_placeholder,
    validation_error,
)
from services.kernel.identifiers.phones import DEFAULT_REGION, phone
from services.kernel.identifiers.tidy import tidy

#: 1: spaces and case. 2: numbers of phonenumberslite 9.0.42, domains of idna 3, ids of devices,
#: digests, placeholders. 3: hidden characters, numbers with decimals and exponents.
NORMALIZATION_VERSION = 3

#: The type of an object whose group id names none.
ACCOUNT = "account"
#: A group id with the type of its object, such as `course:c1`; a URL and a URN have none.
_TYPED = re.compile(r"([a-z][a-z0-9_]{0,63}):(?!/)[^:]+")

#: Takes a tidy value and the default region; returns None if the value identifies no one.
_Form = Callable[[str, str], str | None]


def normalize(namespace: str, value: str, region: str) -> Identifier | None:
    """Return the canonical form of an identifier; None if the value identifies no one.

    `validation_error` must have accepted `namespace` and `value`. `region` is the workspace's
    default region, for phone numbers without a country code.
    """
    tidied = tidy(value)
    # Compatibility makes 18 characters of one, and forms read them all.
    if tidied is None or len(tidied) > MAX_VALUE:
        return None
    form = _form_of(namespace)(tidied, region)
    return None if form is None else Identifier(namespace, form)


def account_of(group_id: str) -> Identifier | None:
    """Return the identifier of a group id; None if it identifies no account."""
    if validation_error(ACCOUNT_ID, group_id):
        return None
    return normalize(ACCOUNT_ID, group_id, DEFAULT_REGION)  # its form is the same in every region


@lru_cache(maxsize=1 << 12)
def object_type_of(group_id: str) -> str:
    """Return the type of the object that a group id names: `course` for `course:c1`.

    It is a function of the canonical form alone, as the leaf is, so it never changes.
    """
    account = account_of(group_id)
    typed = None if account is None else _TYPED.fullmatch(account.value)
    return ACCOUNT if typed is None else typed[1]


def expected_format(namespace: str, region: str) -> str:
    """Return the expected format of the namespace's values as readable text."""
    if namespace == "phone":
        return f"a number that exists, such as +8613812345678, or as it is dialled in {region}"
    if namespace == "email":
        return "an address such as name@example.com that belongs to someone"
    if namespace == "account_domain":
        return "a domain such as example.com, without anything around it"
    if namespace == "imei":
        return "15 digits, the last of which is their check digit"
    if namespace in DEVICES:
        return "the id as the device reports it, not one of zeros"
    if normalize_hash(namespace):
        return "a digest in hexadecimal digits, of its algorithm's length, of a real value"
    return "a value that identifies someone, not a placeholder such as null or 0000"


@lru_cache(maxsize=1024)
def _form_of(namespace: str) -> _Form:
    return _FORMS.get(namespace) or normalize_hash(namespace) or _unchanged


def _unchanged(value: str, region: str) -> str | None:
    return None if is_placeholder(value) else value


_FORMS: dict[str, _Form] = {"email": email, "phone": phone, "account_domain": domain, **DEVICES}
