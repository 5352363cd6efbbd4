"""Measures the connected components of a whole graph, beside those of scipy."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import uvloop
from scipy.sparse import coo_matrix, csgraph

from bench.harness import Result, compare, interleave
from services.identity.domain.components import connected_components

ROUNDS = 5
PEOPLE = 400_000
#: The most identifiers of one person.
MAX_IDENTIFIERS = 4


def graph_row() -> Result:
    """Measure both on the same edges, in the form that each takes best."""
    nodes, left, right = people_graph()
    edges = len(left)
    pairs = list(zip(left.tolist(), right.tolist(), strict=True))
    groups: dict[str, int] = {}

    async def ours() -> float:
        began = time.perf_counter()
        found = connected_components(nodes, pairs)
        taken = time.perf_counter() - began
        groups["ours"] = sum(root == i for i, root in enumerate(found))
        return edges / taken

    async def theirs() -> float:
        began = time.perf_counter()
        weights = np.ones(edges, dtype=np.int8)
        graph = coo_matrix((weights, (left, right)), shape=(nodes, nodes))
        groups["scipy"], _ = csgraph.connected_components(graph, directed=False)
        return edges / (time.perf_counter() - began)

    figures = uvloop.run(interleave(ROUNDS, {"partition": ours, "scipy": theirs}))
    if groups["ours"] != groups["scipy"]:
        raise RuntimeError(f"{groups['ours']} people here, {groups['scipy']} in scipy")
    return compare(
        "graph_vs_scipy",
        figures["partition"],
        figures["scipy"],
        goal=0.3,
        unit="edges/s",
        note=f"{edges:,} edges between {nodes:,} identifiers, {groups['ours']:,} people on both "
        "sides; reference: scipy.sparse.csgraph.connected_components, its matrix made from arrays",
    )


def people_graph() -> tuple[int, Any, Any]:
    """Return the number of identifiers, and both ends of the edges between them.

    Each person has a primary identifier with an edge to each of the others, and one more edge from
    three identifiers on. Numbers and edges are shuffled.
    """
    chance = np.random.default_rng(7)
    sizes = chance.integers(1, MAX_IDENTIFIERS + 1, size=PEOPLE)
    primary = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    ends = [(primary[sizes > k], primary[sizes > k] + k) for k in range(1, MAX_IDENTIFIERS)]
    ends.append((primary[sizes > 2] + 1, primary[sizes > 2] + 2))
    left, right = (np.concatenate(side) for side in zip(*ends, strict=True))
    nodes = int(sizes.sum())
    numbers, order = chance.permutation(nodes).astype(np.int32), chance.permutation(len(left))
    return nodes, numbers[left][order], numbers[right][order]
