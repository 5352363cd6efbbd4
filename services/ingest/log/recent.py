"""What this process has appended last: a repeat mostly comes soon after."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from services.ingest.domain.placing import Content, Key

#: About so many facts are remembered; most of their payloads are kept for followers anyway.
MOST = 50_000


class Recent:
    """Facts that are in the log for certain, at most `most` of them; the oldest leave first."""

    def __init__(self, most: int = MOST) -> None:
        # Two halves, each filled and then dropped whole: cheaper than keeping an order.
        self._half = max(1, most // 2)
        self._young: dict[Key, Content] = {}
        self._old: dict[Key, Content] = {}

    def among(self, keys: Iterable[Key]) -> dict[Key, Content]:
        """Those of `keys` that are remembered."""
        young, old = self._young.get, self._old.get
        return {key: found for key in keys if (found := young(key) or old(key))}

    def add(self, contents: Mapping[Key, Content]) -> None:
        """Remember what was committed."""
        if len(self._young) >= self._half:
            self._old, self._young = self._young, {}
        self._young.update(contents)
