"""The command line: a client of the public gRPC API, and the keeper of the embedded stack."""
