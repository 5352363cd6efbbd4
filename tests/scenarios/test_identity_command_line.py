"""Identity from the command line: people are explained and taken apart, and a policy is tried."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from scenarios.conftest import CommandLine

POLICY = "identity_policy: {namespaces: [{name: user_id%s}, {name: phone}]}\n"


@pytest.mark.timeout(300)
def test_people_are_explained_separated_and_previewed(onefold: CommandLine, tmp_path: Path) -> None:
    onefold("up")
    onefold("apply", "-f", "packs/education/sources.yaml")
    wide, careful = tmp_path / "wide.yaml", tmp_path / "careful.yaml"
    wide.write_text(POLICY % "", encoding="utf-8")
    careful.write_text(POLICY % ", limit: 1", encoding="utf-8")
    assert "would change" in onefold("apply", "-f", str(wide), "--dry-run")
    assert "changed" in onefold("apply", "-f", str(wide))
    assert "is so already" in onefold("apply", "-f", str(wide))
    key = onefold("keys", "issue", "--source", "school-web").strip()
    for user in ("li", "wang"):
        traits = {"phone": "13800000001"}
        said = {"userId": user, "traits": traits, "messageId": f"m-{user}"}
        assert onefold.send("identify", key, said)[0] == 200
    onefold("apply", "-f", "packs/education/tags.yaml")  # waits until all of it is folded

    why = onefold("explain", "match", "user_id:li", "user_id:wang")
    assert "are one person" in why
    assert "phone:+8613800000001" in why
    told = json.loads(onefold("explain", "match", "user_id:li", "user_id:wang", "--json"))
    assert told["same"]
    assert len(told["path"]) == 2
    token = why.split("token ")[1].strip()

    foreseen = onefold("identity", "preview", "-f", str(careful))
    assert "split: 1 before, 2 after" in foreseen
    assert "user_id:wang" in foreseen
    report = json.loads(onefold("identity", "preview", "-f", str(careful), "--json"))
    assert report["profiles"] == {"before": 1, "after": 2}
    onefold("apply", "-f", str(careful))
    (row,) = report["regroupings"]
    resolved = onefold("identity", "resolve", "user_id:li", "user_id:wang")
    assert all(profile in resolved for profile in row["after"])
    assert "limit" in onefold("identity", "held")
    assert "user_id:wang" in onefold("identity", "merges", "--from", token)
    assert "are one person" in onefold(
        *("explain", "match", "user_id:li", "user_id:wang", "--as-of", token)
    )
    onefold("apply", "-f", str(wide))

    separate = ("identity", "separate", "user_id:li", "user_id:wang")
    assert "are two people" in onefold(*separate, "--reason", "father and son")
    why = onefold("explain", "match", "user_id:li", "user_id:wang")
    assert "are not one person" in why
    assert "father and son" in why
    withdraw = ("identity", "withdraw", "user_id:li", "user_id:wang", "--reason", "one after all")
    assert "are one person" in onefold(*withdraw)
    link = ("identity", "link", "user_id:li", "user_id:nobody", "--reason", "she will come")
    assert "one person" in onefold(*link) or "Nobody is known" in onefold(*link)
    assert "nothing was decided" in onefold(
        *("identity", "withdraw", "user_id:li", "phone:13800000001", "--reason", "x"), fails=True
    )
    assert "user_id:li" in onefold("identity", "list", "user_id:wang")
    assert "NAMESPACE:VALUE" in onefold("explain", "match", "li", "wang", fails=True)
    assert "NO" not in onefold("verify").split()
