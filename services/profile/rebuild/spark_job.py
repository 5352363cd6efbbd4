"""Computes profile's leaves of an exported log on Spark.

python -m services.profile.rebuild.spark_job < INPUT

INPUT is a `spark.JobInput`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import msgspec

from services.chassis.projection import spark
from services.chassis.projection.row_files import write_rows
from services.profile.codec.definitions import RULE_KINDS
from services.profile.rebuild import engine


def compute(job: spark.Job) -> None:
    """Write the leaves, and the facts without a leaf."""
    definitions: dict[int, list[bytes]] = defaultdict(list)
    broadcast = job.facts("length(leaf_id) = 0")
    for fact in broadcast:
        if fact.kind in RULE_KINDS:
            definitions[fact.shard].append(fact.SerializeToString())
    shards = list(definitions.values())
    fold = partial(engine.fold_leaves, definitions=shards, index_key=job.index_key)
    leaves = spark.fold_log(job.log, fold, engine.merge, job.left_out)
    spark.write_tables(leaves.mapInArrow(_rows, "name binary, row binary"), job.rows)
    write_rows(job.rows, "broadcast_fact", 0, (fact.SerializeToString() for fact in broadcast))


def _rows(batches: Iterable[Any]) -> Iterator[Any]:
    for batch in batches:
        columns = (column.to_pylist() for column in batch.columns)
        rows = (
            (b"leaf", msgspec.msgpack.encode(engine.leaf_row(leaf_id, value)))
            for leaf_id, value in zip(*columns, strict=True)
        )
        yield from spark.to_batches(rows, ["name", "row"])


if __name__ == "__main__":
    spark.run_job("profile", compute)
