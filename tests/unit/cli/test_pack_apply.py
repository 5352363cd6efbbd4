"""Packs are compared as a whole before anything of them is defined."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from services.cli.commands.packs import AppliedDefinition, apply_pack
from services.cli.definitions import PackErrors, read_pack
from services.kernel.errors import InvalidField

PACK = """
stages:
  - {id: life, title: Life, stages: [{stage: new, rule: {segment: a}}], default: old}
tags:
  - {id: buyer, title: Buyer, rule: {count: {event: paid, at_least: 1}}}
segments:
  - {id: a, title: A, rule: {tag: buyer}}
"""


def services(refused: str = "") -> Any:
    """Return a client of services that accept every definition but the one with an id."""

    async def define(request: Any) -> Any:
        name = "tag" if hasattr(request, "tag") else "segment"
        definition = getattr(request, name)
        if getattr(definition, f"{name}_id") == refused:
            raise InvalidField("the rule costs too much", field="rule")
        return SimpleNamespace(**{name: definition}, changed=True, etag="")

    return SimpleNamespace(
        identity=SimpleNamespace(DefinePolicy=define),
        admin=SimpleNamespace(DefineSource=define),
        profile=SimpleNamespace(DefineTag=define, DefineSettings=define),
        segment=SimpleNamespace(DefineSegment=define),
        activation=SimpleNamespace(DefineDestination=define, DefineTemplate=define),
    )


async def applied(tmp_path: Path, text: str, refused: str = "") -> list[AppliedDefinition]:
    (tmp_path / "pack.yaml").write_text(text)
    done: list[AppliedDefinition] = []
    await apply_pack(services(refused), read_pack(tmp_path, {}), done, dry_run=True)
    return done


async def test_set_of_stages_is_shown_by_the_word_of_the_pack(tmp_path: Path) -> None:
    kinds = [(one.kind, one.id) for one in await applied(tmp_path, PACK)]
    assert kinds == [("tag", "buyer"), ("segment", "a"), ("stages", "life")]


async def test_cycle_is_reported_at_each_of_its_places_with_all_other_mistakes(
    tmp_path: Path,
) -> None:
    cyclic = PACK.replace("{count: {event: paid, at_least: 1}}", "{stage: {of: life, is: new}}")
    more = "  - {id: dear, title: D, rule: {count: {event: x, at_least: 1}}}\n"
    with pytest.raises(PackErrors) as caught:
        await applied(tmp_path, cyclic + more, refused="dear")
    assert [problem.partition(")")[0] + ")" for problem in sorted(caught.value.problems)] == [
        "pack.yaml:3: stages[0] (life)",
        "pack.yaml:5: tags[0] (buyer)",
        "pack.yaml:7: segments[0] (a)",
        "pack.yaml:8: segments[1] (dear)",
    ]
    assert any("life → a → buyer → life" in problem for problem in caught.value.problems)
