"""Runs services: database, bus, rpcs, access and projections, without business rules.

Each package imports only those after it: bootstrap, projection, rpc, access, messaging, postgres,
runtime, and last codec and definitions, which import the kernel alone.
"""
