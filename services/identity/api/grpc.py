"""Serves IdentityService over gRPC as one servicer that is composed of groups of rpcs."""

from __future__ import annotations

from onefold.identity.v1.identity_service_pb2_grpc import IdentityServiceServicer

from services.chassis.access.principal import Role
from services.chassis.rpc.server import Allowed
from services.identity.api.decisions_grpc import DecisionsRpc, MatchesRpc
from services.identity.api.policy_grpc import PolicyRpc
from services.identity.api.profiles_grpc import ProfilesRpc

_SERVICE = "/onefold.identity.v1.IdentityService/"
_CALLERS = frozenset({Role.SERVICE, Role.ADMIN, Role.INTERNAL})
_SERVICES = frozenset({Role.INTERNAL})

#: The roles that may call each method.
ALLOWED: Allowed = {
    f"{_SERVICE}LookupProfiles": _CALLERS,
    f"{_SERVICE}ListIdentifiers": _CALLERS,
    f"{_SERVICE}ExplainMatch": _CALLERS,
    f"{_SERVICE}RecordDecision": _CALLERS,
    f"{_SERVICE}ListHeld": _CALLERS,
    f"{_SERVICE}GetPolicy": _CALLERS,
    f"{_SERVICE}DefinePolicy": _CALLERS,
    f"{_SERVICE}PreviewPolicy": _CALLERS,
    f"{_SERVICE}AssessMatches": _CALLERS,
    f"{_SERVICE}ListMatches": _CALLERS,
    f"{_SERVICE}WatchMerges": _CALLERS,
    f"{_SERVICE}ReadOutbox": _SERVICES,
    f"{_SERVICE}ReadAssignments": _SERVICES,
}


class IdentityRpc(IdentityServiceServicer):
    """onefold.identity.v1.IdentityService."""

    def __init__(
        self, profiles: ProfilesRpc, decisions: DecisionsRpc, matches: MatchesRpc, policy: PolicyRpc
    ) -> None:
        for group in (profiles, decisions, matches, policy):
            for name in vars(type(group)):
                if not name.startswith("_"):
                    setattr(self, name, getattr(group, name))
