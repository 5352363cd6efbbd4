"""Creates the files that commands write: for this account alone, and whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from services.kernel.errors import InvalidField


@contextmanager
def private_files() -> Iterator[None]:
    """Make files for this account alone, as the data folder is."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


@contextmanager
def replaced(file: Path, *, encoding: str = "utf-8") -> Iterator[TextIO]:
    """Yield what replaces a file once it is whole; of a failure nothing is left, also no member.

    Raises InvalidField where it cannot be written.
    """
    half = file.parent / f"{file.name}.new"
    try:
        half.unlink(missing_ok=True)
        try:
            with half.open("x", newline="", encoding=encoding) as opened:
                yield opened
            half.replace(file)
        except BaseException:
            half.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise InvalidField(f"{file} cannot be written: {error.strerror}", field="file") from None
