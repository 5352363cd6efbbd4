"""Translates policies between protobuf and the domain, and validates requested ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from onefold.identity.v1 import identity_facts_pb2 as pb
from onefold.log.v1.log_pb2 import Fact

from services.chassis.definitions import DefinitionFact
from services.identity.domain.policy import (
    DEFAULT_CLAIMED_DEVICES,
    Blocked,
    MatchMode,
    NamespaceRule,
    Policy,
)
from services.kernel.errors import InvalidField
from services.kernel.identifiers.model import MAX_VALUE, validation_error
from services.kernel.identifiers.normalize import normalize
from services.kernel.ids import WorkspaceId

POLICY_DEFINED = pb.IdentityPolicyDefined.DESCRIPTOR.full_name
#: The key of the definition; a workspace has one policy.
POLICY_KEY = "policy"
MAX_NAMESPACES, MAX_BLOCKED = 200, 1_000
#: The highest limit.
MAX_IN_A_PROFILE = 1_000_000
#: A century.
MAX_DAYS = 36_500

_WILDCARD = "*"
_MATCH_MODES: dict[int, MatchMode] = {
    pb.MATCH_MODE_VERIFIED: MatchMode.VERIFIED,
    pb.MATCH_MODE_NEVER: MatchMode.NEVER,
}
_MATCH_MODES_TO_PROTO: dict[MatchMode, pb.MatchMode] = {
    MatchMode.ALWAYS: pb.MATCH_MODE_ALWAYS,
    MatchMode.VERIFIED: pb.MATCH_MODE_VERIFIED,
    MatchMode.NEVER: pb.MATCH_MODE_NEVER,
}


class PolicyFact(NamedTuple):
    """A fact that defines a policy."""

    workspace_id: WorkspaceId
    version: int
    #: A serialised IdentityPolicy.
    message: bytes
    offset: int
    recorded_at_us: int


def decode_policy(fact: Fact) -> PolicyFact:
    """Return the policy that a fact defines."""
    defined = pb.IdentityPolicyDefined.FromString(fact.payload)
    message = defined.policy.SerializeToString(deterministic=True)
    workspace_id = WorkspaceId(fact.workspace_id)
    return PolicyFact(workspace_id, defined.version, message, fact.offset, fact.recorded_at_us)


def policy_fact(workspace_id: WorkspaceId, policy: Policy, actor: str) -> DefinitionFact:
    """Return the fact that defines a policy."""
    return DefinitionFact.from_message(
        pb.IdentityPolicyDefined(policy=policy_to_proto(policy), version=policy.version),
        workspace_id=workspace_id,
        key=POLICY_KEY,
        version=policy.version,
        actor=actor,
    )


@lru_cache(maxsize=1_000)
def read_policy(message: bytes, version: int) -> Policy:
    """Return the policy of a serialised IdentityPolicy."""
    return policy_from_proto(pb.IdentityPolicy.FromString(message), version)


def policy_from_proto(message: pb.IdentityPolicy, version: int) -> Policy:
    """Return the policy of a message that was validated when it was requested."""
    rules = {one.namespace: _rule_of(one) for one in message.namespaces}
    blocked = tuple(Blocked(one.namespace, one.pattern) for one in message.blocked)
    ignored = frozenset(message.ignored)
    return Policy(version, rules, blocked, ignored, _claimed_devices_of(message))


def policy_to_proto(policy: Policy) -> pb.IdentityPolicy:
    """Return the message of a policy."""
    return pb.IdentityPolicy(
        namespaces=[
            pb.NamespacePolicy(
                namespace=name,
                limit=rule.limit,
                shared_after=rule.shared_after,
                recycled_after_days=rule.recycled_after_days,
                match_mode=_MATCH_MODES_TO_PROTO[rule.match_mode],
            )
            for name, rule in policy.rules.items()
        ],
        blocked=[
            pb.BlockedValue(namespace=one.namespace, pattern=one.pattern) for one in policy.blocked
        ],
        ignored=sorted(policy.ignored),  # type: ignore[arg-type]  # EvidenceKind has the numbers
        claimed_devices=policy.claimed_devices,
    )


def _claimed_devices_of(message: pb.IdentityPolicy) -> int:
    is_set = message.HasField("claimed_devices")
    return message.claimed_devices if is_set else DEFAULT_CLAIMED_DEVICES


def _rule_of(message: pb.NamespacePolicy) -> NamespaceRule:
    return NamespaceRule(
        limit=message.limit,
        shared_after=message.shared_after,
        recycled_after_days=message.recycled_after_days,
        match_mode=_MATCH_MODES.get(message.match_mode, MatchMode.ALWAYS),
    )


def validate_policy(message: pb.IdentityPolicy, region: str) -> Policy:
    """Return the policy of a request; policies with the same content are equal.

    `region`: the default region of the workspace. Raises InvalidField.
    """
    _check_namespaces(message.namespaces)
    _check_blocked(message.blocked, region)
    _check_ignored(message.ignored)
    if message.claimed_devices > MAX_IN_A_PROFILE:
        raise InvalidField(
            f"claimed_devices is at most {MAX_IN_A_PROFILE}; 0 = no limit",
            field="policy.claimed_devices",
        )
    blocked = sorted({(one.namespace, one.pattern) for one in message.blocked})
    return Policy(
        rules={one.namespace: _rule_of(one) for one in message.namespaces},
        blocked=tuple(Blocked(namespace, pattern) for namespace, pattern in blocked),
        ignored=frozenset(message.ignored),
        claimed_devices=_claimed_devices_of(message),
    )


def _check_namespaces(namespaces: Sequence[pb.NamespacePolicy]) -> None:
    if len(namespaces) > MAX_NAMESPACES:
        raise InvalidField(
            f"a policy has at most {MAX_NAMESPACES} namespaces", field="policy.namespaces"
        )
    seen: set[str] = set()
    for index, namespace in enumerate(namespaces):
        for name, error in _namespace_errors(namespace, seen):
            raise InvalidField(error, field=f"policy.namespaces[{index}].{name}")
        seen.add(namespace.namespace)


def _namespace_errors(message: pb.NamespacePolicy, seen: set[str]) -> Iterator[tuple[str, str]]:
    """Yield the wrong fields of one namespace, each with what to do about it."""
    if error := validation_error(message.namespace, ""):
        yield "namespace", error
    if message.namespace in seen:
        yield "namespace", f"{message.namespace} is listed twice; list it once"
    for name in ("limit", "shared_after"):
        if getattr(message, name) > MAX_IN_A_PROFILE:
            yield name, f"{name} is at most {MAX_IN_A_PROFILE}; 0 = no limit"
    if message.recycled_after_days > MAX_DAYS:
        yield "recycled_after_days", f"recycled_after_days is at most {MAX_DAYS}; 0 = never"
    if message.match_mode not in pb.MatchMode.values():
        yield "match_mode", "use MATCH_MODE_ALWAYS, MATCH_MODE_VERIFIED or MATCH_MODE_NEVER"


def _check_blocked(blocked: Sequence[pb.BlockedValue], region: str) -> None:
    if len(blocked) > MAX_BLOCKED:
        raise InvalidField(
            f"a policy has at most {MAX_BLOCKED} blocked values", field="policy.blocked"
        )
    for index, one in enumerate(blocked):
        field = f"policy.blocked[{index}]"
        if one.namespace and (error := validation_error(one.namespace, "")):
            raise InvalidField(error, field=f"{field}.namespace")
        if error := _pattern_error(one.namespace, one.pattern, region):
            raise InvalidField(error, field=f"{field}.pattern")


def _pattern_error(namespace: str, pattern: str, region: str) -> str:
    if not pattern:
        return "pattern is required: the value to block; * matches any characters"
    if not pattern.strip(_WILDCARD):
        return (
            "this blocks every identifier; send a part of the value, or MATCH_MODE_NEVER for a"
            " namespace"
        )
    if len(pattern) > MAX_VALUE or not pattern.isprintable():
        return f"a pattern has at most {MAX_VALUE} characters, all of them printable"
    if namespace and _WILDCARD not in pattern:
        identifier = normalize(namespace, pattern, region)
        if identifier is not None and identifier.value != pattern:
            return "no value has this form; send the canonical form, as identifiers are stored"
    return ""


def _check_ignored(kinds: Sequence[int]) -> None:
    for index, kind in enumerate(kinds):
        field = f"policy.ignored[{index}]"
        if kind == pb.EVIDENCE_KIND_DECIDED:
            raise InvalidField("decisions cannot be ignored; withdraw them", field=field)
        if kind == pb.EVIDENCE_KIND_UNSPECIFIED or kind not in pb.EvidenceKind.values():
            raise InvalidField(
                "use EVIDENCE_KIND_STATED, EVIDENCE_KIND_VERIFIED, EVIDENCE_KIND_OBSERVED,"
                " EVIDENCE_KIND_CO_OBSERVED or EVIDENCE_KIND_CLAIMED",
                field=field,
            )
