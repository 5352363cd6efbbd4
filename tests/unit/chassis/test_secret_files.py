"""Every secret setting can stand in a file that a variable names."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from services import SERVICES
from services.chassis.runtime.secret_files import (
    MAX_BYTES,
    SecretFileError,
    files_open_to_others,
    is_secret,
    read_secret,
)
from services.chassis.runtime.settings import PREFIX, ServiceSettings
from services.cli.endpoints import settings_from
from services.devstack.errors import ServerError

REQUIRED = {
    "ONEFOLD_POSTGRES_DSN": "postgresql://u:pg-secret@localhost/onefold",
    "ONEFOLD_NATS_URL": "nats://u:nats-secret@localhost:4222",
    "ONEFOLD_INTERNAL_KEY": "internal-secret-of-32-characters",
    "ONEFOLD_BUS_KEY": "bus-secret-of-more-than-32-characters",
}
ROOT = Path(__file__).resolve().parents[3]


def settings_classes() -> list[type[ServiceSettings]]:
    found: list[type[ServiceSettings]] = []
    for name in SERVICES:
        module = importlib.import_module(f"services.{name}.settings")
        found.append(getattr(module, f"{name.capitalize()}Settings"))
    return found


SECRETS = [
    (kind, name)
    for kind in settings_classes()
    for name, field in kind.model_fields.items()
    if is_secret(field)
]


def test_every_field_whose_value_is_hidden_is_a_secret() -> None:
    names = {name for _, name in SECRETS}
    assert {"postgres_dsn", "nats_url", "internal_key", "bus_key", "admin_key"} <= names
    for kind in settings_classes():
        for name, field in kind.model_fields.items():
            assert is_secret(field) is (SecretStr.__name__ in str(field.annotation)), name


@pytest.mark.parametrize("prefix", ["ONEFOLD_", "own"])
@pytest.mark.parametrize(("kind", "name"), SECRETS, ids=lambda v: getattr(v, "service", v))
def test_secret_is_read_from_its_file_with_both_prefixes(
    kind: type[ServiceSettings],
    name: str,
    prefix: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for variable, value in REQUIRED.items():
        monkeypatch.setenv(variable, value)
    own = f"{PREFIX}{kind.service.upper()}_" if prefix == "own" else prefix
    for other in ("index_key", "secrets_key"):
        monkeypatch.setenv(f"ONEFOLD_{other}".upper(), "1." + "c" * 64)
    monkeypatch.delenv(f"ONEFOLD_{name.upper()}", raising=False)
    secret = "1." + "ab" * 32
    file = tmp_path / "secret"
    file.write_text(f"{secret}\n", encoding="utf-8")
    monkeypatch.setenv(f"{own}{name.upper()}_FILE", str(file))
    settings = kind()  # type: ignore[call-arg]
    assert getattr(settings, name).get_secret_value() == secret


def test_file_of_a_service_overrides_the_shared_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in REQUIRED.items():
        monkeypatch.setenv(variable, value)
    file = tmp_path / "secret"
    file.write_text("a-key-of-more-than-16-characters\r\n", encoding="utf-8")
    monkeypatch.setenv("ONEFOLD_SERVICE_INTERNAL_KEY_FILE", str(file))
    found = ServiceSettings().internal_key.get_secret_value()  # type: ignore[call-arg]
    assert found == "a-key-of-more-than-16-characters"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"\xff", "is not UTF-8"),
        (b"x" * (MAX_BYTES + 1), "has more"),
    ],
)
def test_a_file_without_a_secret_is_refused(tmp_path: Path, content: bytes, problem: str) -> None:
    file = tmp_path / "secret"
    file.write_bytes(content)
    with pytest.raises(SecretFileError, match=problem):
        read_secret("ONEFOLD_BUS_KEY", {"ONEFOLD_BUS_KEY_FILE": str(file)})


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    named = {"ONEFOLD_BUS_KEY_FILE": str(tmp_path / "none")}
    with pytest.raises(SecretFileError, match=r"ONEFOLD_BUS_KEY_FILE.*No such file"):
        read_secret("ONEFOLD_BUS_KEY", named)


def test_a_secret_and_its_file_together_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("in-the-file", encoding="utf-8")
    both = {"ONEFOLD_BUS_KEY": "in-the-environment", "ONEFOLD_BUS_KEY_FILE": str(file)}
    with pytest.raises(SecretFileError, match="are both set") as caught:
        read_secret("ONEFOLD_BUS_KEY", both)
    assert "in-the" not in str(caught.value)


def test_files_that_every_account_can_read_are_named(tmp_path: Path) -> None:
    private, public = tmp_path / "private", tmp_path / "public"
    for file, mode in ((private, 0o600), (public, 0o644)):
        file.write_text("secret", encoding="utf-8")
        file.chmod(mode)
    environment = {
        "ONEFOLD_BUS_KEY_FILE": str(private),
        "ONEFOLD_NATS_URL_FILE": str(public),
        "ONEFOLD_INGEST_INTERNAL_KEY_FILE": str(public),
        "ONEFOLD_POSTGRES_DSN_FILE": str(tmp_path / "none"),
        "ONEFOLD_TLS_CERTIFICATE_FILE": str(public),
        "OTHER_FILE": str(public),
    }
    found = files_open_to_others(ServiceSettings, environment, PREFIX, f"{PREFIX}INGEST_")
    assert found == ["ONEFOLD_INGEST_INTERNAL_KEY_FILE", "ONEFOLD_NATS_URL_FILE"]


def test_settings_of_the_stack_have_the_secrets_of_files_and_no_other_files(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("postgresql://u:p@h/d\n", encoding="utf-8")
    environment = {
        "ONEFOLD_POSTGRES_DSN_FILE": str(file),
        "ONEFOLD_INGEST_ADMIN_KEY_FILE": str(file),
        "ONEFOLD_INTERNAL_KEY_FILE": str(file),
        "ONEFOLD_TLS_KEY_FILE": "server.key",
        "ONEFOLD_INGEST_TLS_KEY_FILE": "ingest.key",
    }
    assert settings_from(environment) == {
        "ONEFOLD_POSTGRES_DSN": "postgresql://u:p@h/d",
        "ONEFOLD_INGEST_ADMIN_KEY": "postgresql://u:p@h/d",
    }
    with pytest.raises(ServerError, match="cannot be read"):
        settings_from({"ONEFOLD_NATS_URL_FILE": str(tmp_path / "none")})


def test_settings_that_are_files_are_those_of_tls_alone() -> None:
    for kind in settings_classes():
        own = {name for name in kind.model_fields if name.endswith("_file")}
        assert all(name.startswith("tls_") for name in own), "the stack takes it for a secret"


def test_a_service_with_a_wrong_file_exits_with_one_line_that_names_it(tmp_path: Path) -> None:
    named = {"ONEFOLD_INTERNAL_KEY_FILE": str(tmp_path / "none")}
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith("ONEFOLD_")
    }
    paths = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "gen")])}
    done = subprocess.run(
        [sys.executable, "-m", "services.segment"],
        env=inherited | paths | named,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "ONEFOLD_INTERNAL_KEY_FILE" in done.stderr
    assert "Traceback" not in done.stderr
