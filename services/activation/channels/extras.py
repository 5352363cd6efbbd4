"""Imports libraries that only some channels need, and that are therefore optional."""

from __future__ import annotations

from importlib import import_module
from typing import Any


class MissingExtra(Exception):
    """A library is not installed; the message says what to install."""


def load_extra(module: str, extra: str) -> Any:
    """Return a module of an optional library. Raises MissingExtra, which names the extra."""
    try:
        return import_module(module)
    except ImportError:
        raise MissingExtra(
            f"the library of this channel is not installed: install onefold[{extra}], such as by"
            f" `.venv/bin/python -m pip install '.[{extra}]'`"
        ) from None
