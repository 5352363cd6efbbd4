"""Settings have two names a field, are typed and quote no secrets."""

from __future__ import annotations

import inspect
from typing import ClassVar

import pytest
from pydantic import ValidationError

from services.chassis.runtime.settings import ProcessSettings, ServiceSettings

REQUIRED = {
    "ONEFOLD_POSTGRES_DSN": "postgresql://u:pg-secret@localhost/onefold",
    "ONEFOLD_NATS_URL": "nats://u:nats-secret@localhost:4222",
    "ONEFOLD_INTERNAL_KEY": "internal-secret-of-32-characters",
    "ONEFOLD_BUS_KEY": "bus-secret-of-more-than-32-characters",
}


class IngestSettings(ServiceSettings):
    service: ClassVar[str] = "ingest"
    group_wait_s: float = 0.5


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, value in REQUIRED.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_shared_name_is_read(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("ONEFOLD_SHARDS", "8")
    assert ServiceSettings().shards == 8
    assert IngestSettings().shards == 8


def test_own_name_of_a_service_overrides_the_shared_name(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("ONEFOLD_GRPC_PORT", "1000")
    environment.setenv("ONEFOLD_INGEST_GRPC_PORT", "2000")
    assert ServiceSettings().grpc_port == 1000
    assert IngestSettings().grpc_port == 2000


def test_field_of_a_service_has_its_prefix(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("ONEFOLD_INGEST_GROUP_WAIT_S", "0.25")
    assert IngestSettings().group_wait_s == 0.25


def test_address_of_another_service_is_no_own_field(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("ONEFOLD_INGEST_URL", "ingest:50051")
    assert IngestSettings().ingest_url == "ingest:50051"


@pytest.mark.parametrize("missing", REQUIRED)
def test_missing_setting_is_named_in_the_error(
    environment: pytest.MonkeyPatch, missing: str
) -> None:
    environment.delenv(missing)
    with pytest.raises(ValidationError, match=missing.removeprefix("ONEFOLD_").lower()):
        ServiceSettings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ONEFOLD_SHARDS", "0"),
        ("ONEFOLD_GRPC_PORT", "70000"),
        ("ONEFOLD_CLOCK_ADVANCE", "yes"),
        ("ONEFOLD_INGEST_URL", "http://ingest:1"),
        ("ONEFOLD_INTERNAL_KEY", "short"),
        ("ONEFOLD_LOG_LEVEL", "loud"),
    ],
)
def test_invalid_setting_raises_without_quoting_its_value(
    environment: pytest.MonkeyPatch, name: str, value: str
) -> None:
    environment.setenv(name, value)
    with pytest.raises(ValidationError) as caught:
        ServiceSettings()
    assert "input_value" not in str(caught.value)


def test_repr_of_settings_hides_secrets(environment: pytest.MonkeyPatch) -> None:
    shown = repr(ServiceSettings())
    assert "secret" not in shown
    assert ServiceSettings().internal_key.get_secret_value() == REQUIRED["ONEFOLD_INTERNAL_KEY"]


def test_every_setting_has_a_comment_above_it() -> None:
    sources = [inspect.getsource(kind) for kind in (ProcessSettings, ServiceSettings)]
    source = "\n".join(sources).splitlines()
    for field in ServiceSettings.model_fields:
        at = next(i for i, line in enumerate(source) if line.startswith(f"    {field}:"))
        assert source[at - 1].startswith("    #"), field
