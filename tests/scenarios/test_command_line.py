"""The command line over one system: started, defined, queried, rebuilt, stopped, started again."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from metrics_page import never_served, undocumented
from pyarrow import parquet
from scenarios.conftest import CommandLine

from bench.cpu import family, proportional_memory
from bench.startup import supervisor_of
from services import SERVICES


def test_commands_over_a_system_and_its_restart(onefold: CommandLine, tmp_path: Path) -> None:
    assert "nothing runs over" in onefold("status", fails=True)
    assert "Onefold is running." in onefold("up")
    assert "was already running" in onefold("up")
    check_memory(tmp_path / "data")

    pack = ("apply", "-f", "packs/education/segments.yaml")
    assert "would change" in onefold(*pack, "--dry-run")
    assert "changed" in onefold(*pack)
    assert "unchanged" in onefold(*pack), "a second run changes nothing"
    onefold("apply", "-f", "packs/education/sources.yaml")
    key = onefold("keys", "issue", "--source", "school-web").strip()

    check_packs(onefold, tmp_path)
    check_import(onefold, tmp_path, key)

    good = {"type": "track", "event": "registered", "userId": "u-1", "messageId": "m-1"}
    bad = {"type": "track", "event": "registered", "messageId": "m-2"}
    status, response = onefold.send("batch", key, {"batch": [good, bad]})
    assert (status, response["accepted"], len(response["rejections"])) == (200, 1, 1)

    check_release(onefold, tmp_path)

    joins = {"type": "group", "userId": "u-1", "groupId": "acme", "messageId": "m-3"}
    traits = {"plan": "pro", "parent_account_id": "hq"}
    status, response = onefold.send("batch", key, {"batch": [{**joins, "traits": traits}]})
    assert (status, response["accepted"]) == (200, 1)

    check_metrics(onefold)
    assert "clock" in onefold("clock", "advance", "8d", fails=True)
    check_log_export(onefold, tmp_path / "log")
    check_rebuild(onefold, tmp_path / "data" / "logs" / "profile.log")
    resynced = onefold("rebuild", "identity", "--resync")
    assert "identity is rebuilt" in resynced
    assert "profile is rebuilt" in resynced, "profile takes over the whole state of identity"
    assert "and live" in onefold("rebuild", "segment", "--resync")
    assert "NO" not in onefold("verify", "--shards", "2").split()

    shown = onefold("status")
    for count in (" profiles", " identifiers", " segments", " destinations"):
        assert count in shown, "the counts of every service are shown"
    lag = [line.split()[1:5] for line in shown.splitlines() if line.startswith("profile ")]
    assert len(lag[0]) == 4
    assert {*lag[0]} <= {"0", "1"}, "everything but a tick of this moment is folded"
    endpoints = [line for line in shown.splitlines() if "grpc" in line]
    assert len(endpoints) == 5
    assert "Stopped." in onefold("down")
    assert "Nothing runs" in onefold("down")
    onefold("up")
    assert [line for line in onefold("status").splitlines() if "grpc" in line] == endpoints
    assert "u-2" in onefold("profile", "user_id:u-2"), "events before the restart are kept"
    printed = onefold("account", "acme", "--children")
    assert all(part in printed for part in ("account_id: acme", "parent: hq", "members: 1"))
    assert "accounts: acme" in onefold("profile", "user_id:u-1")
    assert "no account" in onefold("account", "nobody", fails=True)
    check_keys(onefold, key, good)


def check_memory(data: Path) -> None:
    """A system without events fits into a small machine."""
    assert proportional_memory(family(supervisor_of(data))) < 1.2e9


def check_rebuild(onefold: CommandLine, profile_log: Path) -> None:
    """All services are rebuilt, for which identity and profile read the log once; or one alone."""
    printed = onefold("rebuild", "--workers", "2")
    rebuilt = re.findall(r"(\w+) is rebuilt from (\d+) facts, and live", printed)
    assert [service for service, _ in rebuilt] == ["identity", "profile", "segment"]
    followed = [line for line in profile_log.read_text().splitlines() if "pages_followed" in line]
    assert len(followed) == 1
    assert 0 < json.loads(followed[0])["facts"] <= int(dict(rebuilt)["profile"])
    for service in ("identity", "profile", "segment"):
        assert "and live" in onefold("rebuild", service)
    assert len(re.findall("pages_followed", profile_log.read_text())) == 1, "alone it reads itself"


def check_log_export(onefold: CommandLine, folder: Path) -> None:
    """The log is exported as Parquet, each fact once; and nothing is written over."""
    printed = onefold("export", "log", str(folder))
    facts = parquet.read_table(folder, columns=["shard", "offset"])
    assert f"{facts.num_rows} facts are exported" in printed.replace(",", "")
    assert len({(row["shard"], row["offset"]) for row in facts.to_pylist()}) == facts.num_rows > 0
    assert "is not empty" in onefold("export", "log", str(folder), fails=True)


def check_metrics(onefold: CommandLine) -> None:
    """Every running service has each metric once, as the reference describes it."""
    pages = {service: onefold.metrics(service) for service in SERVICES}
    for service, text in pages.items():
        assert undocumented(service, text) == []
    assert never_served(pages) == []


def check_release(onefold: CommandLine, folder: Path) -> None:
    """Repair a rejected event, and release it."""
    listed = onefold("quarantine", "list")
    assert "NO_IDENTIFIER" in listed
    rejected = next(line.split()[0] for line in listed.splitlines() if "school-web" in line)
    repaired = folder / "repaired.json"
    event = {
        "type": "EVENT_TYPE_TRACK",
        "name": "registered",
        "message_id": "m-2",
        "identifiers": [{"namespace": "user_id", "value": "u-2"}],
        "properties": {"plan": "free"},
    }
    repaired.write_text(json.dumps(event), encoding="utf-8")
    assert "in the log" in onefold("quarantine", "release", rejected, "--repaired", str(repaired))


def check_packs(onefold: CommandLine, folder: Path) -> None:
    """Apply a pack with mistakes: nothing of it is defined. Apply a good one twice at once."""
    pack = folder / "pack"
    pack.mkdir()
    (pack / "a.yaml").write_text("sources: [{id: half}]\nsegments: []")
    (pack / "b.yaml").write_text(
        "destinations:\n"
        "  - {id: loop, webhook: {url: 'http://127.0.0.1/', secret: whsec_AAAA}}\n"
        "  - {id: lost, file: {name: x.ndjson}, segments: [no-such-segment], on: [entered]}\n"
    )
    errors = onefold("apply", "-f", str(pack), fails=True)
    assert "b.yaml:2: destinations[0] (loop): " in errors
    assert "b.yaml:3: destinations[1] (lost): there is no segment 'no-such-segment'" in errors
    assert "nothing is defined" in errors
    assert "half" not in onefold("sources", "list")
    (pack / "b.yaml").write_text("")
    assert "b.yaml: the file has no definitions" in onefold("apply", "-f", str(pack), fails=True)
    (pack / "b.yaml").unlink()
    with ThreadPoolExecutor(2) as both:
        runs = [both.submit(onefold, "apply", "-f", str(pack)) for _ in range(2)]
        assert all("half" in run.result() for run in runs)
    listed = onefold("apply", "-f", str(pack), "--dry-run").split()
    assert listed[-4:] == ["source", "half", "1", "unchanged"]


def check_import(onefold: CommandLine, folder: Path, key: str) -> None:
    """Import a file with mistakes: they are counted, listed and written into a file."""
    (folder / "school.key").write_text(key)
    (folder / "rows.yaml").write_text(
        "event: registered\nidentifiers: {user_id: {column: id}, phone: {column: tel}}\n"
        "properties: {amount: {column: amount, type: number}}\n"
    )
    rows = ["id,tel,amount", "u-7,138,9.50", 'u-8,"#N/A","12,50"', 'u-9,"oops,1', "u-10,无,1", ""]
    (folder / "rows.csv").write_text("\n".join(rows), encoding="utf-8")
    command = ("import", str(folder / "rows.csv"), "--mapping", str(folder / "rows.yaml"))
    more = ("--key", f"@{folder / 'school.key'}", "--rejections", str(folder / "rejected.csv"))
    onefold(*command, *more, fails=True)
    rejected = (folder / "rejected.csv").read_text(encoding="utf-8").splitlines()
    assert [line.partition(",")[0] for line in rejected] == ["line", "3", "4"]
    rows[2:4] = []
    (folder / "rows.csv").write_text("\n".join(rows), encoding="utf-8")
    printed = onefold(*command, *more)
    assert "encoding: utf-8, by default" in printed
    assert "0 new events, 2 already in the log, 0 lines rejected" in printed
    assert "1 cells of phone identify no one" in printed
    assert "u-10" in onefold("profile", "user_id:u-10")


def check_keys(onefold: CommandLine, key: str, event: dict[str, str]) -> None:
    """Rotate, restrict, list and disable keys of the source `school-web`."""
    listed = onefold("keys", "list")
    key_id = next(line.split()[0] for line in listed.splitlines() if "school-web" in line)
    rotated = onefold("keys", "rotate", key_id, "--overlap", "0s").strip()
    status, response = onefold.send("track", key, event)
    assert (status, response["code"]) == (401, "KEY_EXPIRED")
    assert onefold.send("track", rotated, event)[0] == 200
    restricted = ("--origin", "https://school.example", "--expires", "90d")
    page_key = onefold("keys", "issue", "--source", "school-web", *restricted).strip()
    status, response = onefold.send("track", page_key, event)
    assert (status, response["code"]) == (403, "ORIGIN_NOT_ALLOWED")
    listed = onefold("keys", "list")
    assert "https://school.example" in listed
    assert {"expired", "active", "never"} <= set(listed.split())
    assert "is disabled" in onefold("keys", "disable", key_id)
