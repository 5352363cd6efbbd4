"""A system of another company: reads all profiles once, then follows their changes.

It has an address, a key and the token that it printed last (or none), and prints a line of JSON for
each response. It uses the generated calls alone.
"""

from __future__ import annotations

import json
import sys

import grpc
from onefold.profile.v1 import profile_service_pb2 as pb
from onefold.profile.v1.profile_service_pb2_grpc import ProfileServiceStub
from onefold.type.v1.token_pb2 import Token


def main(address: str, key: str, token: str = "") -> None:
    """Follow until the process ends."""
    own = [("authorization", f"Bearer {key}")]
    with grpc.insecure_channel(address) as channel:
        stub = ProfileServiceStub(channel)
        at = Token(sealed=bytes.fromhex(token))
        if not token:
            page = stub.ListProfiles(pb.ListProfilesRequest(page_size=1_000), metadata=own)
            at = page.token
            _print(at, {profile.profile_id: _row(profile) for profile in page.profiles})
        request = pb.WatchProfilesRequest(from_token=at)
        for response in stub.WatchProfiles(request, metadata=own):
            _print(
                response.token,
                {
                    update.profile_id: update.merged_into
                    or (_row(update.profile) if update.HasField("profile") else "")
                    for update in response.updates
                },
            )


def _row(profile: pb.Profile) -> dict[str, object]:
    """Return what the other system stores of a profile."""
    return {
        "traits": {trait.name: json.loads(trait.value) for trait in profile.traits},
        "identifiers": sorted(f"{i.namespace}:{i.value}" for i in profile.identifiers),
        "events": profile.event_count,
    }


def _print(token: Token, rows: dict[str, object]) -> None:
    print(json.dumps({"token": token.sealed.hex(), "rows": rows}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
