"""Tests the commands that show the schema of rules and check rules without a system."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pack_rules import PACKS
from typer.testing import CliRunner

from services.cli import output
from services.cli.__main__ import app
from services.kernel.yaml_documents import parse_yaml

RULE = "count: {event: attended_trial, within: 7d, at_least: 1}\n"
ENGLISH = "count of attended_trial in the last 7 days ≥ 1"
CHINESE = "最近7天内 attended_trial 次数 ≥ 1"


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    for terminal in (output.out, output.err):
        monkeypatch.setattr(terminal.console, "width", 1_000)


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["rules", *arguments])


def check(folder: Path, text: str, *arguments: str) -> Any:
    (folder / "rule.yaml").write_text(text, encoding="utf-8")
    return run("check", "-f", str(folder / "rule.yaml"), *arguments)


def test_schema_is_one_for_editors_that_accepts_rules_and_refuses_others() -> None:
    schema = Draft202012Validator(json.loads(run("schema").stdout))
    assert schema.is_valid(parse_yaml(RULE.encode()))
    assert not schema.is_valid({"count": {"event": "a", "at_leest": 1}})


def test_rule_is_shown_as_a_text_in_both_languages(tmp_path: Path) -> None:
    result = check(tmp_path, RULE)
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [ENGLISH, CHINESE]
    as_json = check(tmp_path, json.dumps(parse_yaml(RULE.encode())))
    assert as_json.stdout == result.stdout


def test_rule_is_checked_with_the_settings_of_a_pack(tmp_path: Path) -> None:
    rule = "orders: {net_spend: {gt: 1000}, during: this month}"
    without = check(tmp_path, rule)
    assert without.exit_code == 1
    assert "rule.yaml: orders: the workspace does not define orders" in without.stderr
    result = check(tmp_path, rule, "--settings", str(PACKS / "retail"))
    assert result.stdout.splitlines()[0] == "net spend of orders during this month > 1000"


@pytest.mark.parametrize("name", sorted(folder.name for folder in PACKS.iterdir()))
def test_every_rule_of_a_pack_is_shown_with_what_it_decides(name: str) -> None:
    result = run("check", "-f", str(PACKS / name))
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert "tag registered" in lines
    assert len(lines) % 3 == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("count: {event: a, at_leest: 1}", "rule.yaml: count.at_leest: this key is not known"),
        ("a: [", "rule.yaml: line 1, column 5: this is not YAML"),
        ("[]", "rule.yaml: this is no mapping"),
        ("segments: [{id: a, rule: {cound: 1}}]", "rule.yaml:1: segments[0].rule.cound: "),
        (
            "tags: [{id: t, values: [{value: x, rule: {all: []}}]}]\n"
            "segments: [{id: a, rule: {tag: {id: t, is: y}}}]",
            "rule.yaml:2: segments[0] (a): rule: the tag `t` has no value `y`; write one of x",
        ),
        (
            "segments: [{id: a, rule: {segment: b}}, {id: b, rule: {segment: a}}]",
            "rule.yaml:1: segments[1] (b): rule: the definitions refer to each other: b → a → b",
        ),
    ],
)
def test_mistake_is_an_error_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    result = check(tmp_path, text)
    assert result.exit_code == 1
    assert message in result.stderr.replace("\n", "")


def test_reference_to_what_another_pack_may_define_is_no_mistake(tmp_path: Path) -> None:
    result = check(tmp_path, "segments: [{id: a, rule: {tag: elsewhere}}]")
    assert result.stdout.splitlines()[1] == "has tag elsewhere"


def test_variables_of_a_pack_have_their_values_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack = (
        "settings: {zone: '${OFFICE_ZONE}'}\n"
        "segments: [{id: a, title: '${TITLE}', rule: {count: {event: x, during: today, eq: 1}}}]"
    )
    assert "settings.zone: the time zone is not known" in check(tmp_path, pack).stderr
    monkeypatch.setenv("OFFICE_ZONE", "Asia/Tokyo")
    result = check(tmp_path, pack)
    assert result.stdout.splitlines()[1] == "count of x during today = 1"


MODEL = (
    "tags: [{id: rfm, rfm: {quantiles: 5, period: month, values: [{value: best, recency: 4}]}}]\n"
)


def test_values_of_a_model_may_be_referred_to_and_have_no_rules(tmp_path: Path) -> None:
    result = check(tmp_path, f"{MODEL}segments: [{{id: a, rule: {{tag: {{id: rfm, is: best}}}}}}]")
    assert result.stdout.splitlines() == ["segment a", "has tag rfm = best", "有标签 rfm = best"]
    wrong = check(tmp_path, f"{MODEL}segments: [{{id: a, rule: {{tag: {{id: rfm, is: x}}}}}}]")
    assert "has no value `x`; write one of best" in wrong.stderr.replace("\n", "")


def test_file_that_does_not_exist_is_an_error() -> None:
    result = run("check", "-f", "/no/such/file.yaml")
    assert result.exit_code == 1
    assert "cannot be read" in result.stderr
