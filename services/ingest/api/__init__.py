"""Serves the endpoints: gRPC, HTTP and NATS."""
