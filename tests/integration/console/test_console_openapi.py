"""Tests with schemathesis that every call does what the description of the HTTP API says."""

from __future__ import annotations

import asyncio

import pytest
import schemathesis
from hypothesis import Phase, given, settings
from integration.console.running_console import METHODS, Console
from onefold.ingest.v1.admin_service_pb2 import CreateWorkspaceRequest
from schemathesis import checks
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok

from services.devstack.folders import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
#: Requests of each call. Streams have their own tests: they go on until the caller leaves.
EXAMPLES = 3
CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]
#: Of these the key of the test itself could be disabled or replaced.
NOT_CALLED = {"DisableKey", "RotateKey"}
STREAMS = {m.name for m in METHODS.methods if m.takes_stream or m.gives_stream}
STEADY = settings(
    max_examples=EXAMPLES, phases=[Phase.generate], deadline=None, database=None, derandomize=True
)


def check_calls(url: str, key: str) -> list[str]:
    """Make the calls with requests that the description allows; return what they do otherwise."""
    schema = schemathesis.openapi.from_path(ROOT / "services" / "console" / "openapi.json")
    headers = {"authorization": f"Bearer {key}", "connect-timeout-ms": "5000"}
    wrong: list[str] = []
    for found in schema.get_all_operations():
        assert isinstance(found, Ok)
        operation = found.ok()
        if operation.path.rpartition("/")[2] in NOT_CALLED | STREAMS:
            continue

        @STEADY
        @given(case=operation.as_strategy())
        def check(case: schemathesis.Case) -> None:
            response = case.call(base_url=url, headers=headers)
            case.validate_response(response, checks=CHECKS)

        try:
            check()
        except (FailureGroup, Exception) as error:
            wrong.append(f"{operation.path}: {error}")
    return wrong


async def test_calls_answer_as_the_description_of_the_api_says(console: Console) -> None:
    made = await console.system.internal.admin.CreateWorkspace(
        CreateWorkspaceRequest(workspace_id="described", title="described")
    )
    await console.system.internal.await_token(made.token)
    # Every service knows the key by then.
    await console.system.drain()
    wrong = await asyncio.to_thread(check_calls, console.url, made.admin_key)
    assert not wrong, "\n\n".join(wrong)
