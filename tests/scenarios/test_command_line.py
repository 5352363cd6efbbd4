"""The command line over a system that stays: started, defined, asked, rebuilt, stopped, kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from scenarios.conftest import CommandLine


@pytest.mark.timeout(300)
def test_a_day_with_the_command_line(onefold: CommandLine, tmp_path: Path) -> None:
    assert "nothing runs over" in onefold("status", fails=True)
    assert "Onefold is running." in onefold("up")
    assert "was running already" in onefold("up")

    pack = ("apply", "-f", "packs/education/segments.yaml")
    assert "would change" in onefold(*pack, "--dry-run")
    assert "changed" in onefold(*pack)
    assert "is so already" in onefold(*pack), "a second run changes nothing"
    onefold("apply", "-f", "packs/education/sources.yaml")
    key = onefold("keys", "issue", "--source", "school-web").strip()

    good = {"type": "track", "event": "registered", "userId": "u-1", "messageId": "m-1"}
    bad = {"type": "track", "event": "registered", "messageId": "m-2"}
    status, answer = onefold.send("batch", key, {"batch": [good, bad]})
    assert (status, answer["accepted"], len(answer["rejections"])) == (200, 1, 1)

    listed = onefold("quarantine", "list")
    assert "NO_IDENTIFIER" in listed
    refused = next(line.split()[0] for line in listed.splitlines() if "school-web" in line)
    repaired = tmp_path / "repaired.json"
    event = {
        "type": "EVENT_TYPE_TRACK",
        "name": "registered",
        "message_id": "m-2",
        "identifiers": [{"namespace": "user_id", "value": "u-2"}],
        "properties": {"plan": "free"},
    }
    repaired.write_text(json.dumps(event), encoding="utf-8")
    assert "in the log" in onefold("quarantine", "release", refused, "--repaired", str(repaired))

    joins = {"type": "group", "userId": "u-1", "groupId": "acme", "messageId": "m-3"}
    traits = {"plan": "pro", "parent_account_id": "hq"}
    status, answer = onefold.send("batch", key, {"batch": [{**joins, "traits": traits}]})
    assert (status, answer["accepted"]) == (200, 1)

    assert "clock" in onefold("clock", "advance", "8d", fails=True)
    for service in ("identity", "profile", "segment"):
        assert "and live" in onefold("rebuild", service)
    replaced = onefold("rebuild", "identity", "--replace")
    assert "identity is built anew" in replaced
    assert "profile is built anew" in replaced, "who hears identity is told all of it"
    assert "and live" in onefold("rebuild", "segment", "--replace")
    assert "NO" not in onefold("verify", "--shards", "2").split()

    assert "Stopped." in onefold("down")
    assert "Nothing runs" in onefold("down")
    onefold("up")
    assert "u-2" in onefold("profile", "user_id:u-2"), "what was sent before is still there"
    told = onefold("account", "acme", "--children")
    assert all(part in told for part in ("account_id: acme", "below hq", "members: 1"))
    assert "accounts: acme" in onefold("profile", "user_id:u-1")
    assert "no account is known" in onefold("account", "nobody", fails=True)
    listed = onefold("keys", "list").splitlines()
    key_id = next(line.split()[0] for line in listed if "school-web" in line)
    assert "opens nothing" in onefold("keys", "disable", key_id)
