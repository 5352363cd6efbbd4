"""gRPC retries exactly the methods that the protos mark as free of side effects."""

from __future__ import annotations

import json

from services.chassis.rpc.channel import read_methods, service_config


def test_read_methods_hold_reads_and_no_writes() -> None:
    methods = set(read_methods())
    assert {
        ("onefold.log.v1.LogService", "GetHead"),
        ("onefold.identity.v1.IdentityService", "LookupProfiles"),
        ("onefold.projection.v1.ProjectionService", "GetStatus"),
        ("onefold.ingest.v1.AdminService", "ListSources"),
    } <= methods
    writes = ("Append", "Define", "Ingest", "Record", "Create", "Issue", "Retry", "Tick", "Rebuild")
    assert not [method for _, method in methods if method.startswith(writes)]


def test_service_config_retries_read_methods_alone() -> None:
    config = json.loads(service_config())
    assert config["loadBalancingConfig"] == [{"round_robin": {}}]
    [retried] = config["methodConfig"]
    assert {(n["service"], n["method"]) for n in retried["name"]} == set(read_methods())
    assert retried["retryPolicy"]["retryableStatusCodes"] == ["UNAVAILABLE"]
