"""Runs folds of an exported log on Spark, which the extra `spark` installs.

The folds are plain functions: facts in, records by key out; the records of one key in, one record
out. So the same functions could run on any other engine.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections import defaultdict
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
#: Facts whose records are in one partition after a shuffle.
_PARTITION = 100_000

#: A key and a value.
Record: TypeAlias = tuple[bytes, bytes]
#: Folds facts into records.
Fold: TypeAlias = Callable[[Iterable[Fact]], Iterable[Record]]
#: Combines the values of a key.
Merge: TypeAlias = Callable[[bytes, Sequence[bytes]], bytes]
#: Offsets that are left out, by shard.
LeftOut: TypeAlias = Mapping[int, Collection[int]]


def open_session(master: str, facts: int) -> Any:
    """Return a Spark session for a log of so many facts.

    Raises InvalidField where Spark or Java is missing.
    """
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
        "spark.sql.shuffle.partitions": str(1 + facts // _PARTITION),
    }
    for name, value in settings.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    return session


def read_log(session: Any, folder: Path) -> Any:
    """Return the facts of an exported log as a DataFrame."""
    return session.read.option("basePath", str(folder)).parquet(f"{folder}/shard=*")


def collect_facts(log: Any, condition: Any) -> list[Fact]:
    """Return the facts for which a condition of Spark holds, in the order of the log."""
    columns = log.where(condition).select("shard", *COLUMNS).toArrow().columns
    found = facts_of(column.to_pylist() for column in columns)
    return sorted(found, key=lambda fact: (fact.shard, fact.offset))


def fold_log(log: Any, fold: Fold, merge: Merge, left_out: LeftOut) -> Any:
    """Return the records of a whole log, one of each key."""
    from pyspark.sql import functions as f

    folded = log.select("shard", *COLUMNS).mapInArrow(
        partial(_fold_batches, fold=fold, left_out=left_out), RECORDS
    )
    grouped = folded.groupBy("key").agg(f.collect_list("value").alias("values"))
    return grouped.mapInArrow(partial(_merge_batches, merge=merge), RECORDS)


def write_tables(rows: Any, folder: Path) -> None:
    """Write a DataFrame of tables and rows, each row as MessagePack."""
    rows.mapInArrow(partial(_write_batches, folder=folder), "count long").collect()


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


def _write_batches(batches: Iterable[Any], folder: Path) -> Iterator[Any]:
    import pyarrow
    from pyspark import TaskContext

    context = TaskContext.get()
    part = context.partitionId() if context is not None else 0
    tables: dict[str, list[msgspec.Raw]] = defaultdict(list)
    for batch in batches:
        for table, row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            tables[table.decode()].append(msgspec.Raw(row))
    counts = [write_rows(folder, table, part, rows) for table, rows in tables.items()]
    yield pyarrow.record_batch([pyarrow.array([sum(counts)])], ["count"])


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

    def facts(self, condition: Any) -> list[Fact]:
        """Return the facts for which a condition of Spark holds and that are not left out, in the
        order of the log."""
        found = collect_facts(self.log, condition)
        return [one for one in found if one.offset not in self.left_out.get(one.shard, ())]


def run_job(service: str, compute: Callable[[Job], None]) -> None:
    """Compute the rows of a service, as a process of its own.

    An expected error ends it with the code EXPECTED and its text on standard output.
    """
    given = msgspec.json.decode(sys.stdin.buffer.read(), type=JobInput)
    folder, rows = Path(given.log), Path(given.rows)
    try:
        exported = read_manifest(folder)
        end = exported.offsets
        session = open_session(given.master, sum(end))
        log = read_log(session, folder)
        left_out = {
            shard: [offset for offset in given.left_out.get(shard, ()) if offset < end_offset]
            for shard, end_offset in enumerate(end)
        }
        compute(Job(log, rows, given.index_key, left_out))
        write_manifest(rows, RowsManifest(VERSION, service, end, exported.times_us, left_out))
        session.stop()
    except OnefoldError as error:
        sys.stdout.write(str(error))
        sys.exit(EXPECTED)
