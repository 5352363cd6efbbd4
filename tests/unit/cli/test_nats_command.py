"""Tests what `./onefold nats credentials` says about the source."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from onefold.ingest.v1.admin_service_pb2 import ListSourcesResponse
from typer.testing import CliRunner

from services.cli.__main__ import app
from services.cli.commands import nats
from services.devstack.nats_config import ClientId
from services.kernel.errors import ServiceUnavailable


def make(tmp_path: Path, *arguments: str) -> Any:
    (tmp_path / "nats").mkdir(exist_ok=True)
    (tmp_path / "nats" / "ports.json").write_text('{"nats": 4222}')
    options = ["--data", str(tmp_path), *arguments]
    made = CliRunner().invoke(app, ["nats", "credentials", *options])
    assert made.exit_code == 0, made.output
    assert made.stdout.startswith("nats://")
    return made.stderr


def answer(monkeypatch: pytest.MonkeyPatch, result: ListSourcesResponse | Exception) -> None:
    """Make calls of the command end in this way."""

    class FakeClient:
        def __init__(self, _: object) -> None:
            self.admin = SimpleNamespace(ListSources=self.list_sources)

        async def __aenter__(self) -> Any:
            return self

        async def __aexit__(self, *_: object) -> None:
            pass

        async def list_sources(self, *_: object, **__: object) -> ListSourcesResponse:
            if isinstance(result, Exception):
                raise result
            return result

    async def apply(_: Path, client: ClientId) -> str:
        return f"nats://{client.name}:password@127.0.0.1:4222"

    monkeypatch.setattr(nats, "apply_credentials", apply)
    monkeypatch.setattr(nats, "Client", FakeClient)
    monkeypatch.setattr(nats, "find_endpoints", lambda data: data)


def test_credentials_of_a_source_that_is_not_defined_say_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    response = ListSourcesResponse()
    response.sources.add().source.source_id = "web"
    answer(monkeypatch, response)
    output = make(tmp_path, "--source", "wbe")
    assert "No source wbe is defined" in output
    assert "`./onefold apply -f FILE`" in output
    assert "is defined" not in make(tmp_path, "--source", "web")


@pytest.mark.parametrize("more", [["--receive"], ["--workspace", "another"]])
def test_credentials_of_what_cannot_be_looked_up_say_nothing_of_a_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: list[str]
) -> None:
    answer(monkeypatch, ListSourcesResponse())
    assert "is defined" not in make(tmp_path, "--source", "web", *more)


def test_credentials_are_made_while_nothing_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(monkeypatch, ServiceUnavailable("down"))
    assert "is defined" not in make(tmp_path, "--source", "web")
