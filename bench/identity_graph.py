"""A whole graph into people at once, beside the connected components of scipy."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import uvloop
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from bench.harness import Result, compare, interleave
from services.identity.domain.components import connected_components

ROUNDS = 5
PEOPLE = 400_000
#: Identifiers that a person has at most.
MOST = 4


def graph_row() -> Result:
    """The same edges between numbered identifiers, given to both as each takes them best."""
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
        groups["scipy"], _ = connected_components(graph, directed=False)
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
    """How many identifiers there are, and both ends of the edges between them.

    Everybody has a strongest identifier with an edge to each of the others, and those of whom three
    or more are known have one edge beside. Numbers and edges come in no order.
    """
    chance = np.random.default_rng(7)
    sizes = chance.integers(1, MOST + 1, size=PEOPLE)
    strongest = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    ends = [(strongest[sizes > k], strongest[sizes > k] + k) for k in range(1, MOST)]
    ends.append((strongest[sizes > 2] + 1, strongest[sizes > 2] + 2))
    left, right = (np.concatenate(side) for side in zip(*ends, strict=True))
    nodes = int(sizes.sum())
    numbers, order = chance.permutation(nodes).astype(np.int32), chance.permutation(len(left))
    return nodes, numbers[left][order], numbers[right][order]
