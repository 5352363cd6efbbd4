"""Identity from the command line: matches are explained, profiles separated, policies previewed."""

from __future__ import annotations

import json
from pathlib import Path

from scenarios.conftest import CommandLine

POLICY = "identity_policy: {namespaces: [{name: user_id%s}, {name: phone}]}\n"
LI, WANG = "user_id:li", "user_id:wang"


def test_matches_are_explained_separated_and_previewed(
    onefold: CommandLine, tmp_path: Path
) -> None:
    onefold("up")
    onefold("apply", "-f", "packs/education/sources.yaml")
    wide, careful = tmp_path / "wide.yaml", tmp_path / "careful.yaml"
    wide.write_text(POLICY % "", encoding="utf-8")
    careful.write_text(POLICY % ", limit: 1", encoding="utf-8")
    assert "would change" in onefold("apply", "-f", str(wide), "--dry-run")
    assert "changed" in onefold("apply", "-f", str(wide))
    assert "unchanged" in onefold("apply", "-f", str(wide))
    key = onefold("keys", "issue", "--source", "school-web").strip()
    for user in ("li", "wang"):
        traits = {"phone": "13800000001"}
        body = {"userId": user, "traits": traits, "messageId": f"m-{user}"}
        assert onefold.send("identify", key, body)[0] == 200
    onefold("apply", "-f", "packs/education/tags.yaml")  # returns when all events are folded

    why = onefold("explain", "match", LI, WANG)
    assert "are one person" in why
    assert "phone:+8613800000001" in why
    explanation = json.loads(onefold("explain", "match", LI, WANG, "--json"))
    assert explanation["same"]
    assert len(explanation["path"]) == 2
    token = why.split("token ")[1].strip()

    previewed = onefold("identity", "preview", "-f", str(careful))
    assert "split: 1 before, 2 after" in previewed
    assert WANG in previewed
    report = json.loads(onefold("identity", "preview", "-f", str(careful), "--json"))
    assert report["profiles"] == {"before": 1, "after": 2}
    onefold("apply", "-f", str(careful))
    (row,) = report["regroupings"]
    found = onefold("identity", "lookup", LI, WANG)
    assert all(profile in found for profile in row["after"])
    assert "limit" in onefold("identity", "held")
    assert WANG in onefold("identity", "merges", "--from", token)
    assert "are one person" in onefold("explain", "match", LI, WANG, "--as-of", token)
    onefold("apply", "-f", str(wide))

    separate = ("identity", "separate", LI, WANG, "--reason", "father and son")
    assert "are two persons" in onefold(*separate)
    why = onefold("explain", "match", LI, WANG)
    assert "are not one person" in why
    assert "father and son" in why
    withdraw = ("identity", "withdraw", LI, WANG, "--reason", "one after all")
    assert "are one person" in onefold(*withdraw)
    link = ("identity", "link", LI, "user_id:nobody", "--reason", "she will come")
    linked = onefold(*link)
    assert "one person" in linked or "No profile has" in linked
    undecided = ("identity", "withdraw", LI, "phone:13800000001", "--reason", "x")
    assert "no decision about these identifiers" in onefold(*undecided, fails=True)
    assert LI in onefold("identity", "list", WANG)
    assert "NAMESPACE:VALUE" in onefold("explain", "match", "li", "wang", fails=True)
    assert "NO" not in onefold("verify").split()
