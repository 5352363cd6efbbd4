"""Bounds the log files of processes that append to them as long as they run."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import structlog

log = structlog.get_logger(__name__)

#: A log file that is larger is moved to `<name>.1`.
MAX_BYTES = 10_000_000
CHECK_INTERVAL_S = 30.0


def rotate(file: Path, max_bytes: int = MAX_BYTES) -> bool:
    """Copy a file that is too large to `<name>.1`, and empty it; return whether it was.

    The process that appends to it keeps its descriptor, so the file is not renamed. Lines written
    during the copy may be lost; all of them, where there is no room for the copy.
    """
    try:
        if file.stat().st_size <= max_bytes:
            return False
        older = file.with_name(f"{file.name}.1")
        try:
            shutil.copyfile(file, older)
            older.chmod(0o600)
        except OSError:
            older.unlink(missing_ok=True)
        with file.open("r+b") as opened:
            opened.truncate(0)
    except OSError:
        return False
    return True


async def rotate_always(files: Callable[[], Iterable[Path]]) -> None:
    """Rotate the files that `files` returns until cancelled."""
    while True:
        for file in files():
            if await asyncio.to_thread(rotate, file):
                log.info("log_rotated", file=file.name)
        await asyncio.sleep(CHECK_INTERVAL_S)
