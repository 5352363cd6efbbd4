"""Where a running system is found: its data folder, its addresses, the key to use."""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from services.devstack.stack import ROOT, SERVICES
from services.kernel.errors import OnefoldError


class NotRunning(OnefoldError):
    """No system runs over the data folder."""


@dataclass(frozen=True, slots=True)
class Doors:
    """How to reach a system."""

    #: By service, `host:port`.
    grpc: dict[str, str]
    #: By service, `http://host:port`; empty for a system that is not on this machine.
    http: dict[str, str]
    #: The key that calls carry.
    key: str


def default_data_dir() -> Path:
    """`$ONEFOLD_DATA`, else `data` in the checkout, else one in the home folder."""
    if told := os.environ.get("ONEFOLD_DATA"):
        return Path(told)
    if os.access(ROOT, os.W_OK):
        return ROOT / "data"
    home = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    return Path(home) / "onefold"


def find_doors(data_dir: Path) -> Doors:
    """The doors named by the environment, else those of the system that runs over `data_dir`.

    Raises NotRunning.
    """
    named = {s: os.environ.get(f"ONEFOLD_{s.upper()}_URL", "") for s in SERVICES}
    key = os.environ.get("ONEFOLD_KEY", "")
    if any(named.values()):
        return Doors(named, {}, key)
    told = read_stack(data_dir)
    if told is None:
        raise NotRunning(f"nothing runs over {data_dir}: start it with `onefold up`")
    services = told["services"]
    return Doors(
        {s: services[s]["grpc"] for s in SERVICES},
        {s: services[s]["http"] for s in SERVICES},
        key or _admin_key(data_dir),
    )


def stack_file(data_dir: Path) -> Path:
    """Where the keeper of a running system tells its doors; locked as long as it runs."""
    return data_dir / "stack.json"


def read_stack(data_dir: Path) -> dict[str, dict[str, dict[str, str]]] | None:
    """What the keeper told; None where none runs."""
    with suppress(OSError, ValueError), stack_file(data_dir).open() as file:
        if _is_locked(file.fileno()):
            told: dict[str, dict[str, dict[str, str]]] = json.load(file)
            return told  # a keeper that is not ready has told nothing, which is no JSON
    return None


def is_kept(data_dir: Path) -> bool:
    """Whether a keeper holds the folder, ready or not."""
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
