"""Reads and writes an identity policy as YAML::

    namespaces: [{name, limit, shared_after, recycled_after, match_mode}]
    blocked:    [{namespace, pattern}]
    ignored:    [stated | verified | observed | co_observed | claimed]
    claimed_devices: 1000

`recycled_after` is a span of whole days such as `180d`; `match_mode` is always, verified or never.
"""

from __future__ import annotations

from typing import Any

from onefold.identity.v1 import identity_facts_pb2 as pb

from services.cli.values import (
    count,
    days,
    entries,
    mapping,
    set_fields,
    text,
    texts,
    value_of,
    word_of,
)

_MATCH_MODE, _EVIDENCE_KIND = "MATCH_MODE_", "EVIDENCE_KIND_"


def read_policy(form: Any, path: str) -> pb.IdentityPolicy:
    """Return the policy of a YAML value. Raises InvalidField, which names the path."""
    values = mapping(form, path, {"namespaces", "blocked", "ignored", "claimed_devices"})
    namespaces = enumerate(entries(values, "namespaces", path))
    blocked = enumerate(entries(values, "blocked", path))
    return pb.IdentityPolicy(
        namespaces=[_namespace(entry, f"{path}.namespaces[{at}]") for at, entry in namespaces],
        blocked=[_blocked(entry, f"{path}.blocked[{at}]") for at, entry in blocked],
        ignored=[
            value_of(pb.EvidenceKind, _EVIDENCE_KIND, word, f"{path}.ignored", but=("decided",))
            for word in texts(values, "ignored", path)
        ],
        claimed_devices=(
            count(values, "claimed_devices", path) if "claimed_devices" in values else None
        ),
    )


def write_policy(policy: pb.IdentityPolicy) -> dict[str, Any]:
    """Return the YAML value of a policy; fields that are not set are left out."""
    form: dict[str, Any] = {"namespaces": [_namespace_form(n) for n in policy.namespaces]}
    if policy.blocked:
        form["blocked"] = [
            set_fields(namespace=b.namespace, pattern=b.pattern) for b in policy.blocked
        ]
    if policy.ignored:
        form["ignored"] = [evidence_word(kind) for kind in policy.ignored]
    if policy.HasField("claimed_devices"):
        form["claimed_devices"] = policy.claimed_devices
    return form


def evidence_word(kind: int) -> str:
    """Return the word of a kind of evidence, such as `observed`."""
    return word_of(pb.EvidenceKind, _EVIDENCE_KIND, kind)


def _namespace(entry: Any, path: str) -> pb.NamespacePolicy:
    allowed = {"name", "limit", "shared_after", "recycled_after", "match_mode"}
    values = mapping(entry, path, allowed)
    return pb.NamespacePolicy(
        namespace=text(values, "name", path, required=True),
        limit=count(values, "limit", path),
        shared_after=count(values, "shared_after", path),
        recycled_after_days=days(values, "recycled_after", path),
        match_mode=_match_mode(values, path),
    )


def _match_mode(values: dict[str, Any], path: str) -> Any:
    word = text(values, "match_mode", path)
    return value_of(pb.MatchMode, _MATCH_MODE, word, f"{path}.match_mode") if word else None


def _namespace_form(policy: pb.NamespacePolicy) -> dict[str, Any]:
    recycled_after, mode = policy.recycled_after_days, policy.match_mode
    return set_fields(
        name=policy.namespace,
        limit=policy.limit,
        shared_after=policy.shared_after,
        recycled_after=f"{recycled_after}d" if recycled_after else "",
        match_mode=word_of(pb.MatchMode, _MATCH_MODE, mode) if mode else "",
    )


def _blocked(entry: Any, path: str) -> pb.BlockedValue:
    values = mapping(entry, path, {"namespace", "pattern"})
    pattern = text(values, "pattern", path, required=True)
    return pb.BlockedValue(namespace=text(values, "namespace", path), pattern=pattern)
