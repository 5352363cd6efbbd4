"""Computes identity's rows of an exported log on Spark.

python -m services.identity.rebuild.spark_job < INPUT

INPUT is a `spark.JobInput`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import msgspec
from onefold.log.v1.log_pb2 import Fact

from services.chassis.access.tables import WORKSPACE_DEFINED
from services.chassis.projection import spark
from services.chassis.projection.row_files import write_rows
from services.identity.codec.bus import MATCH_ASSESSED
from services.identity.codec.policy import POLICY_DEFINED, decode_policy, read_policy
from services.identity.domain.policy import Policy
from services.identity.rebuild import engine
from services.kernel.ids import WorkspaceId


def compute(job: spark.Job) -> None:
    """Write the rows of identity."""
    from pyspark.sql import functions as f

    workspaces = [fact.SerializeToString() for fact in job.facts([WORKSPACE_DEFINED])]
    policies = _policies(job.facts([POLICY_DEFINED]))
    fold = partial(engine.fold_evidence, workspaces=workspaces, index_key=job.index_key)
    records = spark.fold_log(job.log, fold, engine.merge, job.left_out).cache()
    # The identifiers that a record is about; see `engine.ends`.
    a, b = f.expr("substring(key, 2, 16)"), f.expr("substring(key, 18, 16)")
    linked = records.where("length(key) > 17").select(a.alias("a"), b.alias("b"))
    roots = spark.connected(linked).select(f.col("a").alias("node"), f.col("b").alias("root"))
    rooted = records.withColumn("node", a).join(roots, "node", "left")
    groups = rooted.groupBy(f.coalesce("root", "node")).agg(
        f.collect_list(f.struct("key", "value")).alias("records")
    )
    resolve = partial(_resolve, policies=policies)
    rows = groups.select("records").mapInArrow(resolve, "name string, row binary").cache()
    for table in engine.TABLES:
        spark.write_table(rows.where(f.col("name") == table).select("row"), job.rows, table)
    matches = [fact.SerializeToString() for fact in job.facts([MATCH_ASSESSED])]
    write_rows(job.rows, "match", 0, matches)


def _policies(facts: Iterable[Fact]) -> dict[WorkspaceId, Policy]:
    newest: dict[WorkspaceId, Policy] = {}
    for fact in facts:
        policy = decode_policy(fact)
        existing = newest.get(policy.workspace_id)
        if existing is None or existing.version < policy.version:
            newest[policy.workspace_id] = read_policy(policy.message, policy.version)
    return newest


def _resolve(batches: Iterable[Any], policies: Mapping[WorkspaceId, Policy]) -> Iterator[Any]:
    """Resolve many small components of one workspace at once."""
    import pyarrow

    for batch in batches:
        of_workspace: dict[str, list[engine.Record]] = defaultdict(list)
        for records in batch.column(0).to_pylist():
            found = [(one["key"], one["value"]) for one in records]
            of_workspace[msgspec.msgpack.decode(found[0][1])[0]] += found
        rows = [
            row for some in of_workspace.values() for row in engine.resolve_group(some, policies)
        ]
        names = pyarrow.array([name for name, _ in rows], pyarrow.string())
        values = [msgspec.msgpack.encode(row) for _, row in rows]
        arrays = [names, pyarrow.array(values, pyarrow.binary())]
        yield pyarrow.record_batch(arrays, ["name", "row"])


if __name__ == "__main__":
    spark.run_job("identity", compute)
