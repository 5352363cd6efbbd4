"""An identity policy as YAML, and back::

    namespaces: [{name, limit, shared_after, recycled_after, match_mode}]
    blocked:    [{namespace, pattern}]
    ignored:    [stated | verified | observed | co_observed]

`recycled_after` is a span of whole days such as `180d`; `match_mode` is always, verified or never.
"""

from __future__ import annotations

from typing import Any

from onefold.identity.v1.identity_facts_pb2 import (
    BlockedValue,
    EvidenceKind,
    IdentityPolicy,
    MatchMode,
    NamespacePolicy,
)

from services.cli.enums import value_of, word_of
from services.cli.yaml_values import count, entries, mapping, text, texts
from services.kernel.errors import InvalidField
from services.kernel.time import DAY_US, parse_span

_MATCH_MODE, _EVIDENCE_KIND = "MATCH_MODE_", "EVIDENCE_KIND_"


def read_policy(form: Any, place: str) -> IdentityPolicy:
    """The policy of a form. Raises InvalidField, naming the place."""
    told = mapping(form, place, {"namespaces", "blocked", "ignored"})
    named = enumerate(entries(told, "namespaces", place))
    blocked = enumerate(entries(told, "blocked", place))
    return IdentityPolicy(
        namespaces=[_namespace(entry, f"{place}.namespaces[{at}]") for at, entry in named],
        blocked=[_blocked(entry, f"{place}.blocked[{at}]") for at, entry in blocked],
        ignored=[
            value_of(EvidenceKind, _EVIDENCE_KIND, word, f"{place}.ignored", but=("decided",))
            for word in texts(told, "ignored", place)
        ],
    )


def write_policy(policy: IdentityPolicy) -> dict[str, Any]:
    """The form of a policy; what is left out is not said."""
    form: dict[str, Any] = {"namespaces": [_namespace_form(n) for n in policy.namespaces]}
    if policy.blocked:
        form["blocked"] = [_said(namespace=b.namespace, pattern=b.pattern) for b in policy.blocked]
    if policy.ignored:
        form["ignored"] = [evidence_word(kind) for kind in policy.ignored]
    return form


def evidence_word(kind: int) -> str:
    """Such as `observed`."""
    return word_of(EvidenceKind, _EVIDENCE_KIND, kind)


def _namespace(entry: Any, place: str) -> NamespacePolicy:
    known = {"name", "limit", "shared_after", "recycled_after", "match_mode"}
    told = mapping(entry, place, known)
    return NamespacePolicy(
        namespace=text(told, "name", place, required=True),
        limit=count(told, "limit", place),
        shared_after=count(told, "shared_after", place),
        recycled_after_days=_days(told, "recycled_after", place),
        match_mode=_match_mode(told, place),
    )


def _match_mode(told: dict[str, Any], place: str) -> Any:
    word = text(told, "match_mode", place)
    return value_of(MatchMode, _MATCH_MODE, word, f"{place}.match_mode") if word else None


def _namespace_form(policy: NamespacePolicy) -> dict[str, Any]:
    days, mode = policy.recycled_after_days, policy.match_mode
    return _said(
        name=policy.namespace,
        limit=policy.limit,
        shared_after=policy.shared_after,
        recycled_after=f"{days}d" if days else "",
        match_mode=word_of(MatchMode, _MATCH_MODE, mode) if mode else "",
    )


def _blocked(entry: Any, place: str) -> BlockedValue:
    told = mapping(entry, place, {"namespace", "pattern"})
    pattern = text(told, "pattern", place, required=True)
    return BlockedValue(namespace=text(told, "namespace", place), pattern=pattern)


def _days(told: dict[str, Any], key: str, place: str) -> int:
    span = text(told, key, place)
    if not span:
        return 0
    try:
        days, rest = divmod(parse_span(span), DAY_US)
    except ValueError as error:
        raise InvalidField(f"{place}.{key}: {error}", field=f"{place}.{key}") from None
    if rest:
        raise InvalidField(f"{place}.{key}: write whole days, such as 180d", field=f"{place}.{key}")
    return days


def _said(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value}
