"""Law 2 on Spark: two executors compute the rows that one process does, whatever parts they get.

That rows of one process make the live state is tested beside the services.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from integration.identity.test_identity_law import POLICIES, log_with_policies, random_history
from laws.profile_model import MemoryLog
from laws.whole_language import append_all, end_of, make_facts, make_language
from onefold.log.v1.log_pb2 import Fact

from services.chassis.projection import spark
from services.chassis.projection.exported_log import LogExport, read_manifest
from services.chassis.projection.row_files import read_rows
from services.identity.domain.policy import Policy
from services.identity.rebuild import spark_job as identity_job
from services.kernel.tokens import Token
from services.profile.rebuild import spark_job as profile_job
from tests.index_key import INDEX_KEY_TEXT
from tests.plain_engine import identity_tables, profile_tables

#: Two executors of one core, each a process of its own.
MASTER = "local-cluster[2,1,1024]"
pytestmark = [
    pytest.mark.skipif(not find_spec("pyspark"), reason="pyspark is not installed (extra `spark`)"),
    pytest.mark.skipif(not shutil.which("java"), reason="Java 17 or newer is not installed"),
]
Shards = Sequence[Sequence[Fact]]


@pytest.fixture(scope="module")
def session() -> Iterator[Any]:
    opened = spark.open_session(MASTER, 150_000)
    yield opened
    opened.stop()


def identity_log() -> Shards:
    chance = Random(61)
    policies = [Policy(n, p.rules, p.blocked, p.ignored) for n, p in enumerate(POLICIES[:2], 1)]
    return log_with_policies(random_history(chance, 200, 40), policies, chance, shards=2).shards


def profile_log() -> Shards:
    chance, log = Random(62), MemoryLog(2)
    language, events = make_language(chance), make_facts(chance, 150, 12)
    facts = [*events, *language.facts]
    append_all(log, chance.sample(facts, len(facts)), chance, end_of(events))
    return log.shards


def export(folder: Path, shards: Shards) -> Path:
    """Write a log in files of few facts, so that each executor gets some."""
    exported = LogExport(folder)
    for shard, facts in enumerate(shards):
        for part, start in enumerate(range(0, len(facts), 60)):
            exported.write(shard, part, facts[start : start + 60])
    exported.finish(Token(tuple(len(facts) for facts in shards)))
    return folder


def tables_of(folder: Path, names: Sequence[str]) -> dict[str, list[Any]]:
    return {name: sorted(row for rows in read_rows(folder, name) for row in rows) for name in names}


def plain(tables: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Return rows as they are read."""
    return {
        name: sorted(msgspec.msgpack.decode(msgspec.msgpack.encode(rows)))
        for name, rows in tables.items()
    }


@pytest.mark.parametrize("service", ["identity", "profile"])
def test_spark_computes_the_rows_that_one_process_computes(
    session: Any, tmp_path: Path, service: str
) -> None:
    shards = identity_log() if service == "identity" else profile_log()
    left_out = {1: [shards[1][5].offset]}
    log = spark.read_log(session, export(tmp_path / "log", shards))
    assert read_manifest(tmp_path / "log").end.offsets == tuple(map(len, shards))
    rows = tmp_path / "rows"
    job = identity_job if service == "identity" else profile_job
    job.compute(spark.Job(log, rows, INDEX_KEY_TEXT, left_out))
    facts = [
        [f for f in facts if f.offset not in left_out.get(n, ())] for n, facts in enumerate(shards)
    ]
    if service == "identity":
        expected = identity_tables([fact for some in facts for fact in some], Random(1))
    else:
        expected = profile_tables(facts, Random(1))
    assert all(len(expected[table]) > 5 for table in expected if table != "match")
    assert tables_of(rows, list(expected)) == plain(expected)
