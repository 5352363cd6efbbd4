"""E-mail addresses: lower case, domains as the DNS knows them.

Tags after a plus and dots are kept: only some providers ignore them, and two people must not become
one by the custom of a provider that is not theirs.
"""

from __future__ import annotations

import re
import unicodedata

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
#: A name, dots and names, and at the end one that is no number.
_DOMAIN = re.compile(rf"(?=.{{1,253}}$)(?:{_LABEL}\.)+(?![0-9]+$){_LABEL}")
# Quotes, brackets, separators and spaces are legal only inside quotes, where nobody has them.
_LOCAL = re.compile(r"[^\s\"(),:;<>@\[\\\]]{1,64}")

#: Mailboxes that nobody reads, at any domain.
_PLACEHOLDER_ADDRESSES = frozenset(
    {
        *("null", "none", "nil", "undefined", "nan", "anonymous"),
        *("noreply", "no-reply", "no_reply", "donotreply", "do-not-reply"),
    }
)
#: Names that are a placeholder where mailbox and domain share them: `test@test.com`.
_PLACEHOLDER_DOMAINS = frozenset(
    {
        *("test", "example", "user", "admin", "email", "mail", "no", "na"),
        *("a", "aa", "aaa", "abc", "xxx", "1", "123", "123456"),
    }
)


def email(value: str, region: str) -> str | None:
    """One address in one form; None where it is none, or nobody's."""
    lowered = _lower(value)
    local, _, domain = lowered.partition("@")
    named = _domain(domain)
    if named is None or not _LOCAL.fullmatch(local) or _is_placeholder_address(local, named):
        return None
    return lowered if named is domain else f"{local}@{named}"


def domain(value: str, region: str) -> str | None:
    """A domain alone, as an account has one; None where it is none, or nobody's."""
    named = _domain(_lower(value))
    return None if named is None or named.endswith(".invalid") else named


def _domain(domain: str) -> str | None:
    if not domain.isascii() or "xn--" in domain:
        named = _in_ascii(domain)
        return named if named and _DOMAIN.fullmatch(named) else None
    return domain if _DOMAIN.fullmatch(domain) else None


def _in_ascii(domain: str) -> str | None:
    """`xn--…`, however its letters were written; None where they cannot stand in a domain."""
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
