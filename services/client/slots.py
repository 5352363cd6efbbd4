"""Decides what slots show within 80 ms, also while the platform cannot be reached.

It needs Python alone, so a website may have a copy of this file.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

TIMEOUT_S = 0.08


class SlotClient:
    """Calls DecisionService over HTTP; what a slot shows without it is in a signed file."""

    def __init__(self, api_url: str, key: str, fallback: Path, *, threads: int = 8) -> None:
        """`api_url`: such as `http://127.0.0.1:7829/api`. `fallback`: the file of `refresh`."""
        self._url, self._key, self._file = urlsplit(api_url), key, fallback
        self._pool = ThreadPoolExecutor(threads, "slots")
        self._fallbacks = self._read()

    def refresh(self, timeout_s: float = 10.0) -> None:
        """Read the fallbacks of all slots, and save them, signed with the key. Raises OSError."""
        listed = self._call("ListSlots", {}, timeout_s).get("slots", [])
        own = {one["slot"]["slot_id"]: one["slot"].get("fallback", {}) for one in listed}
        text = json.dumps(own, sort_keys=True)
        new = self._file.with_name(f"{self._file.name}.new")
        new.write_text(json.dumps({"slots": text, "signature": self._sign(text)}), "utf-8")
        new.replace(self._file)
        self._fallbacks = own

    def decide(
        self, namespace: str, value: str, *slot_ids: str, at_least: Any = None
    ) -> dict[str, dict[str, Any]]:
        """Return the decision of each slot, as `Decide` does, within 80 ms; raise nothing."""
        identifier = {"namespace": namespace, "value": value}
        message = {"identifier": identifier, "slot_ids": slot_ids, "at_least": at_least}
        call = self._pool.submit(self._call, "Decide", message, TIMEOUT_S)
        found: dict[str, dict[str, Any]] = {}
        try:
            decisions = call.result(TIMEOUT_S)["decisions"]
            found = {each["slot_id"]: each for each in decisions if each.get("version")}
        except Exception:  # whatever it is, the page needs a variant
            call.cancel()
        return {id_: found.get(id_) or self._without_answer(id_) for id_ in slot_ids}

    def _without_answer(self, slot_id: str) -> dict[str, Any]:
        content = self._fallbacks.get(slot_id, {})
        return {"slot_id": slot_id, "content": content, "reason": "DECISION_REASON_UNAVAILABLE"}

    def _call(self, method: str, message: Any, timeout_s: float) -> Any:
        set_fields = {name: part for name, part in message.items() if part is not None}
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        body = json.dumps(set_fields).encode()
        made = HTTPSConnection if self._url.scheme == "https" else HTTPConnection
        with closing(made(self._url.netloc, timeout=timeout_s)) as connection:
            connection.request("POST", f"{self._url.path}/activation/{method}", body, headers)
            with connection.getresponse() as response:
                if response.status != 200:
                    raise OSError(f"{method} failed with the status {response.status}")
                return json.load(response)

    def _sign(self, text: str) -> str:
        return hmac.new(self._key.encode(), text.encode(), hashlib.sha256).hexdigest()

    def _read(self) -> dict[str, Any]:
        """Return the saved fallbacks; none without a file that is signed with the key."""
        try:
            saved = json.loads(self._file.read_text("utf-8"))
            own: dict[str, Any] = json.loads(saved["slots"])
            is_own = hmac.compare_digest(self._sign(saved["slots"]), saved["signature"])
        except (OSError, ValueError, KeyError, TypeError):
            return {}
        return own if is_own else {}
