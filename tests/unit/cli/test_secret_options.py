"""Secrets come from files, standard input or the environment, and never from the arguments."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.main import get_command

from services.cli.__main__ import app
from services.cli.commands.packs import _variables
from services.cli.context import read_secret_option
from services.cli.definitions import read_pack
from services.kernel.errors import InvalidField

VARIABLE = "ONEFOLD_WRITE_KEY"
PACK = """
destinations:
  - id: coupon
    webhook: {url: "${COUPON_URL}", secret: "${COUPON_SECRET}"}
    segments: [trial]
    on: [entered]
"""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_secret_in_a_file_is_read_without_its_line_end(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("ofk_source_1\r\n", encoding="utf-8")
    assert read_secret_option("--key", f"@{file}") == "ofk_source_1"


def test_secret_of_standard_input_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("ofk_source_1\nmore\n"))
    assert read_secret_option("--key", "-") == "ofk_source_1"


def test_secret_of_the_environment_is_read_with_and_without_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "ofk_source_1")
    assert read_secret_option("--key", "", VARIABLE) == "ofk_source_1"
    monkeypatch.delenv(VARIABLE)
    file = tmp_path / "key"
    file.write_text("ofk_source_2\n", encoding="utf-8")
    monkeypatch.setenv(f"{VARIABLE}_FILE", str(file))
    assert read_secret_option("--key", "", VARIABLE) == "ofk_source_2"


def test_secret_that_is_not_given_is_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr("services.cli.context.getpass", lambda prompt: f"typed {prompt}")
    assert read_secret_option("--key", "", VARIABLE) == "typed --key: "


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("ofk_source_1", "the arguments of a command are no place for a secret"),
        ("", "is required"),
        ("-", "the secret is empty"),
        ("@none", "cannot be read: No such file"),
    ],
)
def test_secret_that_is_written_as_it_is_or_missing_ends_the_command(
    text: str, problem: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    with pytest.raises(SystemExit):
        read_secret_option("--key", text, VARIABLE)
    printed = capsys.readouterr().err
    assert problem in printed
    assert "ofk_source_1" not in printed


def test_value_of_a_pack_that_is_no_secret_may_stand_in_the_arguments(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("whsec_x\n", encoding="utf-8")
    given, in_arguments = _variables(["COUPON_URL=https://x.example/", f"COUPON_SECRET=@{file}"])
    assert given == {"COUPON_URL": "https://x.example/", "COUPON_SECRET": "whsec_x"}
    assert in_arguments == {"COUPON_URL"}
    (tmp_path / "pack.yaml").write_text(PACK, encoding="utf-8")
    pack = read_pack(tmp_path / "pack.yaml", given, in_arguments)
    assert pack.destinations[0].webhook.secret == "whsec_x"


def test_secret_of_a_pack_in_the_arguments_is_refused_without_its_value(tmp_path: Path) -> None:
    (tmp_path / "pack.yaml").write_text(PACK, encoding="utf-8")
    given, in_arguments = _variables(["COUPON_URL=https://x.example/", "COUPON_SECRET=whsec_x"])
    with pytest.raises(InvalidField, match="--set COUPON_SECRET=@FILE") as caught:
        read_pack(tmp_path / "pack.yaml", given, in_arguments)
    assert "whsec_x" not in str(caught.value)


def options(command: Any, path: str = "onefold") -> list[tuple[str, Any]]:
    found = [(path, parameter) for parameter in command.params]
    for name, inner in getattr(command, "commands", {}).items():
        found += options(inner, f"{path} {name}")
    return found


def test_every_option_for_a_secret_takes_a_file_or_standard_input() -> None:
    secret = {"key", "secret", "password", "credential", "credentials", "dsn"}
    for path, parameter in options(get_command(app)):
        if isinstance(parameter, typer.core.TyperOption) and not parameter.is_flag:
            words = set(str(parameter.name).split("_"))
            if words & secret:
                assert parameter.metavar == "@FILE|-", (path, parameter.name)
                assert not parameter.envvar
