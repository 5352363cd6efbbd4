"""Calls the public gRPC API with types; the command line uses it.

    async with Client(ApiEndpoints(grpc=addresses, key=key)) as client:
        response = await client.profile.GetProfile(GetProfileRequest(profile_id=profile_id))

Calls carry the key, raise OnefoldError, and are retried where they only read.
"""
