"""Log lines are JSON objects and quote no values."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest
import structlog

from services.chassis.runtime import logs
from services.kernel.errors import InvalidField


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


def _lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_log_line_is_a_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("ingest")
    structlog.get_logger().info("facts_appended", shard=3, count=512)
    [line] = _lines(capsys)
    assert line.pop("at").endswith("Z")
    assert line == {
        "event": "facts_appended",
        "level": "info",
        "service": "ingest",
        "shard": 3,
        "count": 512,
    }


def test_log_lines_below_the_level_are_omitted(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("ingest", "warning")
    structlog.get_logger().info("facts_appended")
    structlog.get_logger().warning("relay_stalled")
    assert [line["event"] for line in _lines(capsys)] == ["relay_stalled"]


def test_logged_exception_has_frames_and_no_values(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("identity")
    secret = "a@b.cn"
    try:
        try:
            raise ValueError(f"invalid input for argument $1: {secret}")
        except ValueError as cause:
            raise RuntimeError("fold failed") from cause
    except RuntimeError:
        structlog.get_logger().exception("fold_failed")
    [line] = _lines(capsys)
    assert secret not in json.dumps(line)
    assert line["exception"]["type"] == "RuntimeError"
    assert line["exception"]["cause"]["message"] == ""
    assert "test_logged_exception" in line["exception"]["frames"][0]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            asyncpg.PostgresError.new({"C": "23505", "M": "quotes a@b.cn", "t": "leaf"}),
            "23505 leaf",
        ),
        (ConnectionRefusedError(111, "Connection refused"), "Connection refused"),
        (InvalidField("write a text", field="name"), "write a text"),
        (TypeError("expected bytes, not int"), "expected bytes, not int"),
        (KeyError("a@b.cn"), ""),
    ],
)
def test_safe_message_omits_text_that_may_quote_a_value(error: Exception, message: str) -> None:
    assert logs.safe_message(error) == message


def test_logged_exception_group_lists_its_exceptions(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("identity")
    error = ExceptionGroup("two", [KeyError("a"), OSError("b")])
    structlog.get_logger().error("worker_failed", exc_info=error)
    [line] = _lines(capsys)
    assert [e["type"] for e in line["exception"]["exceptions"]] == ["KeyError", "OSError"]


def test_library_log_line_is_forwarded_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("profile")
    logging.getLogger("nats").error("encountered %s", "an error\nand more")
    logging.getLogger("nats").info("chatter")
    [line] = _lines(capsys)
    assert (line["event"], line["logger"], line["message"]) == (
        "library_logged",
        "nats",
        "encountered an error",
    )


def test_line_that_cannot_be_written_raises_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class FullDisk(io.StringIO):
        def write(self, _: str) -> int:
            raise OSError(28, "No space left on device")

    logs.configure("ingest")
    monkeypatch.setattr("sys.stderr", FullDisk())
    structlog.get_logger().warning("fold_failed", exc_info=ValueError())
    logging.getLogger("library").error("also written to standard error")
