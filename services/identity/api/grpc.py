"""Serves IdentityService over gRPC as one servicer that is composed of groups of rpcs."""

from __future__ import annotations

from onefold.identity.v1 import identity_service_pb2 as pb
from onefold.identity.v1.identity_service_pb2_grpc import IdentityServiceServicer

from services.chassis.access.rights import allowed_roles
from services.chassis.rpc.server import Allowed
from services.identity.api.decisions_grpc import DecisionsRpc, MatchesRpc
from services.identity.api.erasure_grpc import ErasureRpc
from services.identity.api.policy_grpc import PolicyRpc
from services.identity.api.profiles_grpc import ProfilesRpc

#: The roles that may call each method.
ALLOWED: Allowed = allowed_roles(pb.DESCRIPTOR.services_by_name["IdentityService"])


class IdentityRpc(IdentityServiceServicer):
    """onefold.identity.v1.IdentityService."""

    def __init__(
        self,
        profiles: ProfilesRpc,
        decisions: DecisionsRpc,
        matches: MatchesRpc,
        policy: PolicyRpc,
        erasure: ErasureRpc,
    ) -> None:
        for group in (profiles, decisions, matches, policy, erasure):
            for name in vars(type(group)):
                if not name.startswith("_"):
                    setattr(self, name, getattr(group, name))
