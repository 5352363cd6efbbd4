"""Reads the environment: the data folder, and the settings of the services."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from services import SERVICES
from services.devstack.folders import ROOT
from services.devstack.ports import FIRST_PORT_VARIABLE

#: Variables that do not configure the services, or that the stack sets itself.
_NOT_SETTINGS = frozenset(
    {
        *("ONEFOLD_DATA", "ONEFOLD_KEY", "ONEFOLD_WRITE_KEY", "ONEFOLD_PYTHON"),
        *("ONEFOLD_DATA_DIR", "ONEFOLD_INTERNAL_KEY", "ONEFOLD_HOST", FIRST_PORT_VARIABLE),
        *(f"ONEFOLD_{service.upper()}_URL" for service in SERVICES),
    }
)


def default_data_dir() -> Path:
    """Return `$ONEFOLD_DATA`, else `data` in the checkout, else a folder in the home folder."""
    if named := os.environ.get("ONEFOLD_DATA"):
        return Path(named)
    if os.access(ROOT, os.W_OK):
        return ROOT / "data"
    home = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    return Path(home) / "onefold"


def settings_from(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the settings of services in the environment, such as `ONEFOLD_INGEST_HTTP_PORT`."""
    return {
        name: value
        for name, value in environ.items()
        if name.startswith("ONEFOLD_") and name not in _NOT_SETTINGS
    }
