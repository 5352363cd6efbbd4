"""Runs services: database, bus, rpcs, access and projections, without business rules.

Each package uses those after it alone: bootstrap, projection, rpc, access, messaging, postgres,
runtime.
"""
