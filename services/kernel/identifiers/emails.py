"""Normalises e-mail addresses and domains: lower case, domains as in the DNS.

Dots and tags after a plus are preserved: only some providers ignore them, and two persons must not
be merged by the custom of another provider.
"""

from __future__ import annotations

import re
import unicodedata

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
#: Labels separated by dots; the last one is no number.
_DOMAIN = re.compile(rf"(?=.{{1,253}}$)(?:{_LABEL}\.)+(?![0-9]+$){_LABEL}")
# Quotes, brackets, separators and spaces are legal only inside quotes, which no one uses.
_LOCAL = re.compile(r"[^\s\"(),:;<>@\[\\\]]{1,64}")

#: Mailboxes that no one reads, at any domain.
_PLACEHOLDER_ADDRESSES = frozenset(
    {
        *("null", "none", "nil", "undefined", "nan", "anonymous"),
        *("noreply", "no-reply", "no_reply", "donotreply", "do-not-reply"),
    }
)
#: Names that are a placeholder if mailbox and domain have the same: `test@test.com`.
_PLACEHOLDER_DOMAINS = frozenset(
    {
        *("test", "example", "user", "admin", "email", "mail", "no", "na"),
        *("a", "aa", "aaa", "abc", "xxx", "1", "123", "123456"),
    }
)


def email(value: str, region: str) -> str | None:
    """Return the canonical form of an address; None if it is invalid or a placeholder."""
    lowered = _lower(value)
    local, _, domain = lowered.partition("@")
    named = _domain(domain)
    if named is None or not _LOCAL.fullmatch(local) or _is_placeholder_address(local, named):
        return None
    return lowered if named is domain else f"{local}@{named}"


def domain(value: str, region: str) -> str | None:
    """Return the canonical form of an account's domain; None if it is invalid."""
    named = _domain(_lower(value))
    return None if named is None or named.endswith(".invalid") else named


def _domain(domain: str) -> str | None:
    if not domain.isascii() or "xn--" in domain:
        named = _in_ascii(domain)
        return named if named and _DOMAIN.fullmatch(named) else None
    return domain if _DOMAIN.fullmatch(domain) else None


def _in_ascii(domain: str) -> str | None:
    """Return the `xn--…` form of a domain; None if it is invalid."""
    import idna

    try:
        return idna.encode(domain, uts46=True).decode("ascii")
    except UnicodeError:
        return None


def _lower(text: str) -> str:
    return text.lower() if text.isascii() else unicodedata.normalize("NFKC", text.lower())


def _is_placeholder_address(local: str, domain: str) -> bool:
    if local in _PLACEHOLDER_ADDRESSES or (
        local in _PLACEHOLDER_DOMAINS and domain.partition(".")[0] == local
    ):
        return True
    return "**" in local or domain.endswith(".invalid")
