"""Stores receipts of erasures in a file outside of the database, which outlasts its restore."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import structlog

from services.ingest.domain.erasure import ErasureRequest
from services.kernel.errors import StoreUnavailable

log = structlog.get_logger(__name__)


class ErasureReceipts:
    """One line of JSON for each erasure; `path` None = no receipts are stored."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def add(self, request: ErasureRequest) -> None:
        """Store the receipt of a request unless there is one. Raises StoreUnavailable."""
        if self._path is None:
            log.warning("erasure_without_receipt", request=request.request_id.hex())
            return
        if request.request_id in {one.request_id for one in self.read()}:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
            with open(os.open(self._path, flags, 0o600), "a", encoding="utf-8") as file:
                file.write(_line(request))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise StoreUnavailable(
                "the file of the receipts of erasures cannot be written: make its folder writable"
            ) from error

    def read(self) -> list[ErasureRequest]:
        """Return the receipts; a line that a crash has cut off is left out.

        Raises StoreUnavailable where the file cannot be read, or is damaged.
        """
        if self._path is None or not self._path.exists():
            return []
        try:
            lines = self._path.read_bytes().splitlines()
        except OSError as error:
            raise StoreUnavailable(
                "the file of the receipts of erasures cannot be read: make it readable"
            ) from error
        whole = ((at, line) for at, line in enumerate(lines, 1) if line.rstrip().endswith(b"}"))
        return [_receipt(at, line) for at, line in whole]


def _receipt(number: int, line: bytes) -> ErasureRequest:
    try:
        return _request(json.loads(line))
    except (AttributeError, KeyError, TypeError, ValueError):
        raise StoreUnavailable(
            f"line {number} of the receipts of erasures is damaged: take the file from its copy."
            " Without the line, a restored backup would bring a person back"
        ) from None


def _line(request: ErasureRequest) -> str:
    fields = request._asdict()
    for name in ("identifier_ids", "related_ids"):
        fields[name] = [id_.hex() for id_ in fields[name]]
    fields["request_id"] = request.request_id.hex()
    # A line that was cut off is ended first.
    return "\n" + json.dumps(fields) + "\n"


def _request(fields: dict[str, Any]) -> ErasureRequest:
    for name in ("identifier_ids", "related_ids"):
        fields[name] = tuple(map(bytes.fromhex, fields[name]))
    fields["request_id"] = bytes.fromhex(fields["request_id"])
    fields["known_to"] = tuple(fields["known_to"])
    return ErasureRequest(**fields)
