"""Connected components."""

from __future__ import annotations

from collections.abc import Iterable


def connected(size: int, edges: Iterable[tuple[int, int]]) -> list[int]:
    """For each of 0 … size-1 the smallest member of its component, joined by these edges."""
    parent = list(range(size))
    for a, b in edges:
        while (above := parent[a]) != a:
            parent[a] = a = parent[above]
        while (above := parent[b]) != b:
            parent[b] = b = parent[above]
        if a < b:
            parent[b] = a
        else:
            parent[a] = b
    # Each points below itself, so whoever is pointed at is done.
    for i in range(size):
        parent[i] = parent[parent[i]]
    return parent
