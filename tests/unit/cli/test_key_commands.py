"""Tests the spans of the commands for keys."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from services.cli.__main__ import app


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (("issue", "--source", "web", "--expires", "0s"), "longer time"),
        (("issue", "--source", "web", "--expires", "99999999999d"), "100 years"),
        (("issue", "--source", "web", "--expires", "soon"), "such as"),
        (("rotate", "key_1", "--expires", "0d"), "longer time"),
        (("rotate", "key_1", "--overlap", "99999999999d"), "100 years"),
    ],
)
def test_span_that_no_key_can_have_is_refused_with_advice(
    arguments: tuple[str, ...], advice: str
) -> None:
    result = CliRunner().invoke(app, ["keys", *arguments])
    assert result.exit_code != 0
    assert isinstance(result.exception, SystemExit)
    assert advice in result.output
