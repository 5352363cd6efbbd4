"""The standard form of an identifier: what it is compared by.

A form is a pure function of the value and the workspace's default region. Leaves that are in the
log and everything that was built from it rest on the forms: whoever changes one, or takes another
release of the libraries they stand on, counts `NORMALIZATION_VERSION` up, and every state is rebuilt.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from functools import lru_cache

from services.kernel.identifiers.devices import DEVICES
from services.kernel.identifiers.emails import domain, email
from services.kernel.identifiers.hashes import normalize_hash
from services.kernel.identifiers.model import Identifier
from services.kernel.identifiers.phones import phone
from services.kernel.identifiers.placeholders import is_placeholder

#: 1: spaces and case. 2: numbers of phonenumberslite 9.0.42, domains of idna 3, ids of devices,
#: digests, placeholders.
NORMALIZATION_VERSION = 2

#: Takes a tidy value and the default region; None where it cannot name anybody.
_Form = Callable[[str, str], str | None]


def normalize(namespace: str, value: str, region: str) -> Identifier | None:
    """The standard form of an identifier, or None where the value names nobody.

    `namespace` and `value` must be valid as `fault` says. `region` is where telephone numbers
    without a country code are dialled: the workspace's default region.
    """
    shaped = _form_of(namespace)(_tidy(value), region)
    return None if shaped is None else Identifier(namespace, shaped)


def expected_format(namespace: str, region: str) -> str:
    """What a value of the namespace must be to name somebody, for people."""
    if namespace == "phone":
        return f"a number that exists, with + and country code or as it is dialled in {region}"
    if namespace == "email":
        return "an address such as name@example.com that belongs to somebody"
    if namespace == "account_domain":
        return "a domain such as example.com, without anything around it"
    if namespace == "imei":
        return "15 digits, the last of which is their check digit"
    if namespace in DEVICES:
        return "the id as the device tells it, not one of zeros"
    if normalize_hash(namespace):
        return "a digest in hexadecimal digits, of its algorithm's length, of a real value"
    return "a value that names somebody, not a placeholder such as null or 0000"


@lru_cache(maxsize=1024)
def _form_of(namespace: str) -> _Form:
    return _FORMS.get(namespace) or normalize_hash(namespace) or _as_it_is


def _tidy(value: str) -> str:
    """Without the differences of width and the like that Unicode calls compatible."""
    return (value if value.isascii() else unicodedata.normalize("NFKC", value)).strip()


def _as_it_is(value: str, region: str) -> str | None:
    return None if is_placeholder(value) else value


_FORMS: dict[str, _Form] = {
    "email": email,
    "phone": phone,
    "account_domain": domain,
    **DEVICES,
}
