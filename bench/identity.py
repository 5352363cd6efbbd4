"""Measures identity: its fold while the graph grows, a whole graph, and probable matches.

python -m bench.identity
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import uvloop

from bench import identity_stream
from bench.harness import print_results
from bench.identity_graph import graph_row
from bench.identity_matching import matching_rows
from services.chassis.runtime import logs


def main() -> None:
    """Print the report."""
    logs.configure("bench", "warning")
    with tempfile.TemporaryDirectory(prefix="onefold-bench-") as folder:
        streams = uvloop.run(identity_stream.results(Path(folder)))
    print_results([*streams, graph_row(), *matching_rows()])


if __name__ == "__main__":
    main()
