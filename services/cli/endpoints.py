"""Reads the environment, and finds a running system: its folder, endpoints and key."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TypedDict

from services import SERVICES
from services.chassis.runtime.secret_files import SUFFIX, SecretFileError, read_secret
from services.chassis.runtime.tls import TlsFiles
from services.client.client import ApiEndpoints
from services.devstack.errors import ServerError
from services.devstack.folders import ROOT
from services.devstack.ports import FIRST_PORT_VARIABLE
from services.kernel.errors import OnefoldError

#: Variables that do not configure the services, or that the stack sets itself.
_NOT_SETTINGS = frozenset(
    {
        *("ONEFOLD_DATA", "ONEFOLD_KEY", "ONEFOLD_WRITE_KEY", "ONEFOLD_PYTHON"),
        *("ONEFOLD_DATA_DIR", "ONEFOLD_INTERNAL_KEY", "ONEFOLD_BUS_KEY", "ONEFOLD_HOST"),
        *("ONEFOLD_INTERNAL_HOST", "ONEFOLD_POSTGRES_ADMIN_DSN", FIRST_PORT_VARIABLE),
        *(f"ONEFOLD_{service.upper()}_URL" for service in SERVICES),
    }
)


class NotRunning(OnefoldError):
    """No system runs over the data folder."""


class StackState(TypedDict):
    """The content of the stack file, which the supervisor of a running system writes."""

    #: By service: its endpoints, as `Stack.endpoints` returns them.
    services: dict[str, dict[str, str]]
    supervisor_pid: int


def default_data_dir() -> Path:
    """Return `$ONEFOLD_DATA`, else `data` in the checkout, else a folder in the home folder."""
    if named := os.environ.get("ONEFOLD_DATA"):
        return Path(named)
    if os.access(ROOT, os.W_OK):
        return ROOT / "data"
    home = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    return Path(home) / "onefold"


def settings_from(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the settings of services in the environment, such as `ONEFOLD_INGEST_HTTP_PORT`.

    A secret in a file is read. Certificates are for the command line's calls and for services that
    run apart: a system of `./onefold up` listens on loopback only. Raises ServerError.
    """
    given = {
        name: value
        for name, value in environ.items()
        if name.startswith("ONEFOLD_") and "_TLS_" not in name
    }
    for variable in [n.removesuffix(SUFFIX) for n in given if n.endswith(SUFFIX)]:
        del given[variable + SUFFIX]
        if (secret := _secret(variable, environ)) is not None:
            given[variable] = secret
    return {name: value for name, value in given.items() if name not in _NOT_SETTINGS}


def secret_from_environment(variable: str) -> str:
    """Return the secret in a variable, or in the file that `<variable>_FILE` names; empty = none.

    Raises ServerError.
    """
    return _secret(variable, os.environ) or os.environ.get(variable, "")


def _secret(variable: str, environ: Mapping[str, str]) -> str | None:
    try:
        return read_secret(variable, environ)
    except SecretFileError as error:
        raise ServerError(str(error)) from None


def find_endpoints(data_dir: Path) -> ApiEndpoints:
    """Return the endpoints named by the environment, else those of the system over `data_dir`.

    Raises NotRunning, and ServerError where a key cannot be read from its file.
    """
    named = {s: os.environ.get(f"ONEFOLD_{s.upper()}_URL", "") for s in SERVICES}
    key = secret_from_environment("ONEFOLD_KEY")
    if any(named.values()):
        return ApiEndpoints(
            grpc=named, key=key, tls_ca=_file("ONEFOLD_TLS_CA_FILE"), tls_own=_own_certificate()
        )
    state = read_stack(data_dir)
    if state is None:
        raise NotRunning(f"nothing runs over {data_dir}: start it with `./onefold up`")
    services = state["services"]
    return ApiEndpoints(
        grpc={s: services[s]["internal_grpc"] for s in SERVICES},
        key=key or _admin_key(data_dir),
        public_grpc={s: services[s]["grpc"] for s in SERVICES},
        events_url=services["ingest"]["http"],
        operations_urls={s: services[s]["internal_http"] for s in SERVICES},
        calls_url=services["console"]["http"],
    )


def _own_certificate() -> TlsFiles | None:
    certificate, key = _file("ONEFOLD_TLS_CERTIFICATE_FILE"), _file("ONEFOLD_TLS_KEY_FILE")
    return TlsFiles(certificate, key) if certificate and key else None


def _file(variable: str) -> Path | None:
    """Return the path in a variable; None where it is not set. Raises ServerError."""
    if not (name := os.environ.get(variable)):
        return None
    file = Path(name)
    if not os.access(file, os.R_OK):
        raise ServerError(f"{variable} is {file}, which cannot be read")
    return file


def stack_file(data_dir: Path) -> Path:
    """Return the file in which a supervisor publishes its StackState, locked while it runs."""
    return data_dir / "stack.json"


def read_stack(data_dir: Path) -> StackState | None:
    """Return the state of the running system; None where none runs or it is still starting."""
    with suppress(OSError, ValueError), stack_file(data_dir).open() as file:
        if _is_locked(file.fileno()):
            state: StackState = json.load(file)  # the file is empty during the start: a ValueError
            return state
    return None


def has_supervisor(data_dir: Path) -> bool:
    """Return whether a supervisor holds the folder, ready or not."""
    with suppress(OSError), stack_file(data_dir).open() as file:
        return _is_locked(file.fileno())
    return False


def _is_locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return False


def _admin_key(data_dir: Path) -> str:
    try:
        return (data_dir / "admin.key").read_text(encoding="utf-8").strip()
    except OSError:
        raise NotRunning(
            f"{data_dir}/admin.key cannot be read: set ONEFOLD_KEY to a key of your own"
        ) from None
