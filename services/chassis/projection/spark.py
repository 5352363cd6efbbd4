"""Runs folds of an exported log on Spark, which the extra `spark` installs.

The folds are plain functions: facts in, records by key out; the records of one key in, one record
out. So the same functions could run on any other engine.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
from onefold.log.v1.log_pb2 import Fact

from services.chassis.projection.exported_log import COLUMNS, facts_of, read_manifest
from services.chassis.projection.row_files import VERSION, RowsManifest, write_manifest, write_rows
from services.kernel.errors import InvalidField, OnefoldError

#: The root of the project, and its generated code.
ROOT = Path(__file__).parents[3]
RECORDS = "key binary, value binary"
#: The exit code of a job with an expected error.
EXPECTED = 3
#: Rows that a worker gets at a time.
_BATCH = 5_000

#: A key and a value.
Record: TypeAlias = tuple[bytes, bytes]
#: Folds facts into records.
Fold: TypeAlias = Callable[[Iterable[Fact]], Iterable[Record]]
#: Combines the values of a key.
Merge: TypeAlias = Callable[[bytes, Sequence[bytes]], bytes]
#: Offsets that are left out, by shard.
LeftOut: TypeAlias = Mapping[int, Collection[int]]


def open_session(master: str) -> Any:
    """Return a Spark session. Raises InvalidField where Spark or Java is missing."""
    try:
        from pyspark.sql import SparkSession
    except ImportError:
        raise InvalidField("install Onefold with the extra `spark`", field="engine") from None
    if not (os.environ.get("JAVA_HOME") or shutil.which("java")):
        raise InvalidField("Spark needs Java 17 or newer: install it, or set JAVA_HOME")
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    path = os.pathsep.join((str(ROOT), str(ROOT / "gen")))
    builder = SparkSession.builder.master(master).appName("onefold rebuild")
    settings = {
        "spark.ui.enabled": "false",
        "spark.executorEnv.PYTHONPATH": path,
        "spark.sql.execution.arrow.maxRecordsPerBatch": str(_BATCH),
    }
    for name, value in settings.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    return session


def read_log(session: Any, folder: Path) -> Any:
    """Return the facts of an exported log as a DataFrame."""
    return session.read.option("basePath", str(folder)).parquet(f"{folder}/shard=*")


def collect_facts(log: Any, kinds: Collection[str]) -> list[Fact]:
    """Return the facts of some kinds, in the order of the log."""
    rows = log.where(log.kind.isin(list(kinds))).select("shard", *COLUMNS).collect()
    columns = list(zip(*rows, strict=True))
    return sorted(facts_of(columns), key=lambda fact: (fact.shard, fact.offset))


def fold_log(log: Any, fold: Fold, merge: Merge, left_out: LeftOut) -> Any:
    """Return the records of a whole log, one of each key."""
    from pyspark.sql import functions as f

    folded = log.select("shard", *COLUMNS).mapInArrow(
        partial(_fold_batches, fold=fold, left_out=left_out), RECORDS
    )
    grouped = folded.groupBy("key").agg(f.collect_list("value").alias("values"))
    return grouped.mapInArrow(partial(_merge_batches, merge=merge), RECORDS)


def connected(edges: Any) -> Any:
    """Return the component of each node of `edges` (columns a and b) as the columns a and b: b is
    the smallest node of the component. Nodes that are their own component are left out.

    Alternates between linking the larger and the smaller neighbours of each node to the smallest
    one (R. Kiveris and others, Connected Components in MapReduce and Beyond, 2014).
    """
    from pyspark.sql import functions as f

    def star(pairs: Any, keep: Any) -> Any:
        smallest = pairs.groupBy("a").agg(f.least("a", f.min("b")).alias("smallest"))
        return pairs.join(smallest, "a").where(keep), smallest

    found = edges.select(f.greatest("a", "b").alias("a"), f.least("a", "b").alias("b"))
    found = found.where("a <> b").distinct().localCheckpoint()
    before = None
    while True:
        both = found.union(found.select(f.col("b").alias("a"), f.col("a").alias("b")))
        larger, _ = star(both, "b > a")
        larger = larger.select(f.col("b").alias("a"), f.col("smallest").alias("b")).distinct()
        linked, smallest = star(larger, "b <> smallest")
        linked = linked.select(f.col("b").alias("a"), f.col("smallest").alias("b"))
        own = smallest.select("a", f.col("smallest").alias("b"))
        found = linked.union(own).where("a <> b").distinct().localCheckpoint()
        after = found.agg(f.count("*"), f.sum(f.xxhash64("a", "b").cast("decimal(38,0)"))).first()
        if after == before:
            return found
        before = after


def write_table(rows: Any, folder: Path, table: str) -> int:
    """Write a DataFrame with one binary column, a row as MessagePack each, and return their
    number."""
    write = partial(_write_batches, folder=folder, table=table)
    return int(sum(count for (count,) in rows.mapInArrow(write, "count long").collect()))


def _fold_batches(batches: Iterable[Any], fold: Fold, left_out: LeftOut) -> Iterator[Any]:
    def facts() -> Iterator[Fact]:
        for batch in batches:
            for fact in facts_of(column.to_pylist() for column in batch.columns):
                if fact.offset not in left_out.get(fact.shard, ()):
                    yield fact

    yield from to_batches(fold(facts()), ("key", "value"))


def _merge_batches(batches: Iterable[Any], merge: Merge) -> Iterator[Any]:
    records = (
        (key, values[0] if len(values) == 1 else merge(key, values))
        for batch in batches
        for key, values in zip(*(column.to_pylist() for column in batch.columns), strict=True)
    )
    yield from to_batches(records, ("key", "value"))


def _write_batches(batches: Iterable[Any], folder: Path, table: str) -> Iterator[Any]:
    import pyarrow
    from pyspark import TaskContext

    context = TaskContext.get()
    part = context.partitionId() if context is not None else 0
    rows = (msgspec.Raw(row) for batch in batches for row in batch.column(0).to_pylist())
    yield pyarrow.record_batch([pyarrow.array([write_rows(folder, table, part, rows)])], ["count"])


def to_batches(rows: Iterable[tuple[bytes, ...]], names: Sequence[str]) -> Iterator[Any]:
    """Yield rows of binary columns as Arrow batches."""
    import pyarrow

    rest = iter(rows)
    while some := list(islice(rest, _BATCH)):
        arrays = [pyarrow.array(column, pyarrow.binary()) for column in zip(*some, strict=True)]
        yield pyarrow.record_batch(arrays, list(names))


class JobInput(msgspec.Struct, frozen=True):
    """What a job reads from its standard input, as JSON; `repr` would show the key."""

    log: str
    #: An empty or new folder for the rows, which the service can read.
    rows: str
    #: As Spark has it, such as `local[*]`.
    master: str
    #: Ids of identifiers are derived with it.
    index_key: str
    #: The offsets that the service leaves out, by shard.
    left_out: dict[int, list[int]]


@dataclass(frozen=True, slots=True, repr=False)
class Job:
    """The log to fold, and the folder for the rows."""

    log: Any
    rows: Path
    index_key: str
    left_out: LeftOut

    def facts(self, kinds: Collection[str]) -> list[Fact]:
        """Return the facts of some kinds that are not left out, in the order of the log."""
        found = collect_facts(self.log, kinds)
        return [one for one in found if one.offset not in self.left_out.get(one.shard, ())]


def run_job(service: str, compute: Callable[[Job], None]) -> None:
    """Compute the rows of a service, as a process of its own.

    An expected error ends it with the code EXPECTED and its text on standard output.
    """
    given = msgspec.json.decode(sys.stdin.buffer.read(), type=JobInput)
    folder, rows = Path(given.log), Path(given.rows)
    try:
        end = read_manifest(folder).offsets
        session = open_session(given.master)
        log = read_log(session, folder)
        left_out = {
            shard: [offset for offset in given.left_out.get(shard, ()) if offset < end_offset]
            for shard, end_offset in enumerate(end)
        }
        compute(Job(log, rows, given.index_key, left_out))
        times = _times(log, len(end))
        write_manifest(rows, RowsManifest(VERSION, service, end, times, left_out))
        session.stop()
    except OnefoldError as error:
        sys.stdout.write(str(error))
        sys.exit(EXPECTED)


def _times(log: Any, shards: int) -> tuple[int, ...]:
    """Return the log's clock at the end of each shard, Unix microseconds."""
    found = {row[0]: row[1] for row in log.groupBy("shard").max("recorded_at_us").collect()}
    return tuple(found.get(shard, 0) for shard in range(shards))
