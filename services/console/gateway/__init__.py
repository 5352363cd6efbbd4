"""Translates calls over HTTP into gRPC, for all methods that the protos describe."""
