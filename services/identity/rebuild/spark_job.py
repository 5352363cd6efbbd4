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
from services.identity.codec.policy import POLICY_DEFINED
from services.identity.domain.components import connected_components
from services.identity.domain.policy import Policy
from services.identity.rebuild import engine
from services.identity.rebuild.engine import newest_policies
from services.kernel.ids import WorkspaceId


def compute(job: spark.Job) -> None:
    """Write the rows of identity."""
    from pyspark.sql import functions as f

    kinds = (WORKSPACE_DEFINED, POLICY_DEFINED, MATCH_ASSESSED)
    of_kind: dict[str, list[Fact]] = {kind: [] for kind in kinds}
    for fact in job.facts(f.col("kind").isin(list(kinds))):
        of_kind[fact.kind].append(fact)
    workspaces = [fact.SerializeToString() for fact in of_kind[WORKSPACE_DEFINED]]
    policies = newest_policies(of_kind[POLICY_DEFINED])
    fold = partial(engine.fold_evidence, workspaces=workspaces, index_key=job.index_key)
    records = spark.fold_log(job.log, fold, engine.merge, job.left_out).cache()
    # The identifiers that a record is about; see `engine.ends`.
    a, b = f.expr("substring(key, 2, 16)"), f.expr("substring(key, 18, 16)")
    linked = records.where("length(key) > 17").select(a.alias("a"), b.alias("b"))
    roots = job.log.sparkSession.createDataFrame(_roots(linked.distinct().toArrow()))
    rooted = records.withColumn("node", a).join(roots, "node", "left")
    groups = rooted.groupBy(f.coalesce("root", "node")).agg(
        f.collect_list(f.struct("key", "value")).alias("records")
    )
    resolve = partial(_resolve, policies=policies)
    rows = groups.select("records").mapInArrow(resolve, "name binary, row binary")
    spark.write_tables(rows, job.rows)
    write_rows(job.rows, "match", 0, (one.SerializeToString() for one in of_kind[MATCH_ASSESSED]))


def _roots(links: Any) -> Any:
    """Return the first identifier of each component of linked ones, as a table of node and root.

    The driver has all links in memory at once: some 200 bytes for each identifier.
    """
    import pyarrow

    index: dict[bytes, int] = {}
    edges = [
        (index.setdefault(a, len(index)), index.setdefault(b, len(index)))
        for a, b in zip(*(column.to_pylist() for column in links.columns), strict=True)
    ]
    nodes = list(index)
    roots = [nodes[root] for root in connected_components(len(nodes), edges)]
    columns = [pyarrow.array(some, pyarrow.binary()) for some in (nodes, roots)]
    return pyarrow.table(columns, ["node", "root"])


def _resolve(batches: Iterable[Any], policies: Mapping[WorkspaceId, Policy]) -> Iterator[Any]:
    """Resolve many small components of one workspace at once."""
    for batch in batches:
        of_workspace: dict[str, list[engine.Record]] = defaultdict(list)
        for records in batch.column(0).to_pylist():
            found = [(one["key"], one["value"]) for one in records]
            of_workspace[msgspec.msgpack.decode(found[0][1])[0]] += found
        rows = (
            (table.encode(), msgspec.msgpack.encode(row))
            for some in of_workspace.values()
            for table, row in engine.resolve_group(some, policies)
        )
        yield from spark.to_batches(rows, ["name", "row"])


if __name__ == "__main__":
    spark.run_job("identity", compute)
