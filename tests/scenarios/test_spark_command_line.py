"""A running system is rebuilt by Spark from its exported log, on two executors."""

from __future__ import annotations

import re
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest
from scenarios.conftest import CommandLine

from services.cli.commands.rebuild import REBUILT

#: Two executors of one core, each a process of its own.
MASTER = "local-cluster[2,1,1024]"
PERSONS, BATCH = 60, 100
PACK = """
tags:
  - {id: trial, title: Trial, rule: {count: {event: started_trial, at_least: 1}}}
segments:
  - {id: viewers, title: Viewers, rule: {count: {event: viewed_course, at_least: 1}}}
  - {id: parisian, title: Parisian, rule: {all: [{trait: {name: city, eq: Paris}}, {tag: trial}]}}
"""
pytestmark = [
    pytest.mark.skipif(not find_spec("pyspark"), reason="pyspark is not installed (extra `spark`)"),
    pytest.mark.skipif(not shutil.which("java"), reason="Java 17 or newer is not installed"),
]


def make_calls() -> list[dict[str, object]]:
    """Return calls of persons; each third one shares a phone with the one before."""
    calls: list[dict[str, object]] = []
    for number in range(PERSONS):
        user, device = {"userId": f"u-{number}"}, {"anonymousId": f"a-{number}"}
        phone = f"138{number - number % 3 % 2:08d}"
        calls += [
            {"type": "track", "event": "viewed_course", **device, "properties": {"course": "c-1"}},
            {"type": "identify", **user, **device, "traits": {"phone": phone, "city": "Paris"}},
            {"type": "track", "event": "started_trial", **user, "properties": {"course": "c-1"}},
            {"type": "group", **user, "groupId": f"g-{number % 4}", "traits": {"plan": "pro"}},
            {"type": "alias", "userId": f"u-{number}", "previousId": f"old-{number}"},
        ]
    return [{**call, "messageId": f"m-{number}"} for number, call in enumerate(calls)]


def digests(onefold: CommandLine) -> dict[str, str]:
    """Return the live digest of each projection that `./onefold verify` prints."""
    row = re.compile(rf"({'|'.join(REBUILT)})\W+default\W+(\w+)\W+(\w+)\W+yes")
    found = {match[1]: match[2] for match in row.finditer(onefold("verify"))}
    assert set(found) == set(REBUILT)
    return found


def number_of_facts(printed: str) -> int:
    """Return the number of facts that a command names."""
    found = re.search(r"([\d,]+) facts", printed)
    assert found, printed
    return int(found[1].replace(",", ""))


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_system_rebuilt_by_spark_from_its_exported_log_has_the_same_digests(
    onefold: CommandLine, tmp_path: Path
) -> None:
    onefold("up")
    onefold("apply", "-f", "packs/education/sources.yaml")
    (tmp_path / "pack.yaml").write_text(PACK)
    onefold("apply", "-f", str(tmp_path / "pack.yaml"))
    key = onefold("keys", "issue", "--source", "school-web").strip()
    calls = make_calls()
    for start in range(0, len(calls), BATCH):
        status, response = onefold.send("batch", key, {"batch": calls[start : start + BATCH]})
        assert (status, response["rejections"]) == (200, [])
    live = digests(onefold)

    folder = tmp_path / "log"
    exported = number_of_facts(onefold("export", "log", str(folder)))
    # The services fold these after the rows of Spark.
    later = {"type": "track", "event": "viewed_course", "userId": "u-1", "messageId": "later"}
    assert onefold.send("batch", key, {"batch": [later]})[0] == 200
    after = digests(onefold)
    assert after["profile"] != live["profile"]

    spark = ("--engine", "spark", "--log", str(folder), "--master", MASTER)
    for service in ("identity", "profile"):
        folded = number_of_facts(onefold("rebuild", service, *spark))
        in_log = number_of_facts(onefold("export", "log", str(tmp_path / service)))
        assert folded <= in_log - exported, "it folded what Spark has folded"
    assert "segment is rebuilt" in onefold("rebuild", "segment")
    assert digests(onefold) == after
