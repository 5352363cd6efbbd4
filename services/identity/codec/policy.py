"""A policy as it is asked for: what it may say, and the one form in which it is kept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from onefold.identity.v1 import identity_facts_pb2 as pb

from services.kernel.errors import InvalidField
from services.kernel.identifiers import MAX_VALUE, normalize, validation_error

#: What its versions are counted under: a workspace has one.
POLICY = "policy"
MOST_NAMESPACES, MOST_BLOCKED = 200, 1_000
#: A limit that is larger is none.
MOST_IN_A_PROFILE = 1_000_000
#: A century.
MOST_DAYS = 36_500

_ANYTHING = "*"


def validate_policy(
    told: pb.IdentityPolicy, region: str, field: str = "policy"
) -> pb.IdentityPolicy:
    """The policy in the form in which it is kept; two that say the same are equal.

    `region`: the default region of the workspace. Raises InvalidField.
    """
    _check_namespaces(told.namespaces, "policy.namespaces")
    _check_blocked(told.blocked, region, "policy.blocked")
    _check_ignored(told.ignored, "policy.ignored")
    kept = pb.IdentityPolicy()
    kept.CopyFrom(told)
    for namespace in kept.namespaces:
        namespace.match_mode = namespace.match_mode or pb.MATCH_MODE_ALWAYS
    blocked = sorted({(b.namespace, b.pattern) for b in told.blocked})
    del kept.blocked[:], kept.ignored[:]
    kept.blocked.extend(pb.BlockedValue(namespace=n, pattern=p) for n, p in blocked)
    kept.ignored.extend(sorted(set(told.ignored)))
    return kept


def policy_defined(policy: pb.IdentityPolicy, version: int) -> pb.IdentityPolicyDefined:
    """The message of a definition."""
    return pb.IdentityPolicyDefined(policy=policy, version=version)


def _check_namespaces(told: Any, field: str) -> None:
    if len(told) > MOST_NAMESPACES:
        raise InvalidField(f"a policy has at most {MOST_NAMESPACES} namespaces", field=field)
    seen: set[str] = set()
    for at, namespace in enumerate(told):
        for part, wrong in _faults(namespace, seen):
            raise InvalidField(wrong, field=f"{field}[{at}].{part}")
        seen.add(namespace.namespace)


def _faults(told: pb.NamespacePolicy, seen: set[str]) -> Iterator[tuple[str, str]]:
    """The fields of one namespace that are wrong, and what to do about each."""
    if wrong := validation_error(told.namespace, ""):
        yield "namespace", wrong
    if told.namespace in seen:
        yield "namespace", f"{told.namespace} is there twice; say all of it once"
    for part in ("limit", "shared_after"):
        if getattr(told, part) > MOST_IN_A_PROFILE:
            yield part, f"{part} is at most {MOST_IN_A_PROFILE}; 0 = there is none"
    if told.recycled_after_days > MOST_DAYS:
        yield "recycled_after_days", f"at most {MOST_DAYS} days; 0 = never"
    if told.match_mode not in pb.MatchMode.values():
        yield "match_mode", "this is no way of linking; use MATCH_MODE_ALWAYS, _VERIFIED or _NEVER"


def _check_blocked(told: Any, region: str, field: str) -> None:
    if len(told) > MOST_BLOCKED:
        raise InvalidField(f"a policy has at most {MOST_BLOCKED} blocked values", field=field)
    for at, blocked in enumerate(told):
        if blocked.namespace and (wrong := validation_error(blocked.namespace, "")):
            raise InvalidField(wrong, field=f"{field}[{at}].namespace")
        if wrong := _pattern_fault(blocked.namespace, blocked.pattern, region):
            raise InvalidField(wrong, field=f"{field}[{at}].pattern")


def _pattern_fault(namespace: str, pattern: str, region: str) -> str:
    if not pattern:
        return "write the value that names nobody; * stands for any characters"
    if not pattern.strip(_ANYTHING):
        return (
            "this blocks everybody; write a part of the value, or MATCH_MODE_NEVER for a namespace"
        )
    if len(pattern) > MAX_VALUE or not pattern.isprintable():
        return f"a pattern has at most {MAX_VALUE} characters, all of which can be printed"
    if namespace and _ANYTHING not in pattern:
        shaped = normalize(namespace, pattern, region)
        if shaped is not None and shaped.value != pattern:
            return "this is not the standard form, so it would never be met; write it as it is kept"
    return ""


def _check_ignored(told: Any, field: str) -> None:
    for at, strength in enumerate(told):
        if strength == pb.EVIDENCE_KIND_DECIDED:
            raise InvalidField(
                "what a person decided is never ignored; withdraw it", field=f"{field}[{at}]"
            )
        if strength == pb.EVIDENCE_KIND_UNSPECIFIED or strength not in pb.EvidenceKind.values():
            raise InvalidField(
                "this is no strength; use EVIDENCE_KIND_STATED, _VERIFIED, _OBSERVED or _BESIDE",
                field=f"{field}[{at}]",
            )
