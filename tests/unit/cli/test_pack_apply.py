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
        names = ("tag", "segment", "template", "destination")
        name = next(name for name in names if hasattr(request, name))
        definition = getattr(request, name)
        if getattr(definition, f"{name}_id") == refused:
            raise InvalidField("tag.values[0].rule: the rule costs too much")
        return SimpleNamespace(**{name: definition}, changed=True, etag="")

    async def define_journey(request: Any) -> Any:
        assumed = request.assumed
        names = [*assumed.destinations, *assumed.templates, *(r.id for r in assumed.rules)]
        warning = SimpleNamespace(at="goal", problem="there is none", remedy=" ".join(names))
        return SimpleNamespace(
            journey=request.journey, changed=True, etag="", warnings=[warning], kind="journey"
        )

    return SimpleNamespace(
        identity=SimpleNamespace(DefinePolicy=define),
        admin=SimpleNamespace(DefineSource=define),
        profile=SimpleNamespace(DefineTag=define, DefineSettings=define),
        segment=SimpleNamespace(DefineSegment=define),
        activation=SimpleNamespace(DefineDestination=define, DefineTemplate=define),
        journeys=SimpleNamespace(DefineJourney=define_journey),
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


async def test_journey_is_compared_last_beside_what_the_pack_defines(tmp_path: Path) -> None:
    journeys = """
templates: [{id: t, locales: {en: {text: hello}}}]
destinations: [{id: d, file: {name: f}}]
journeys:
  - {id: j, enter: {segment: {id: a}}, steps: [{send: {id: m, to: d, template: t}}]}
"""
    done = await applied(tmp_path, PACK + journeys)
    assert (done[-1].kind, done[-1].id) == ("journey", "j")
    assert done[-1].warnings == ("goal: there is none; d t life buyer a",)


JOURNEYS = """
journeys:
  - {id: a, enter: {call: true}, steps: [{start: b}]}
  - {id: b, enter: {call: true}, steps: [{wait: 1h}, {start: %s}]}
  - {id: c, enter: {call: true}, steps: [{wait: 1h}]}
"""


async def test_journey_is_defined_after_those_that_it_begins(tmp_path: Path) -> None:
    done = await applied(tmp_path, JOURNEYS % "c")
    assert [one.id for one in done] == ["c", "b", "a"]


async def test_journeys_that_begin_each_other_are_reported_at_each_of_them(tmp_path: Path) -> None:
    with pytest.raises(PackErrors) as error:
        await applied(tmp_path, JOURNEYS % "a")
    assert len(error.value.problems) == 2
    assert "journeys[1] (b): the journeys" in "".join(error.value.problems)
    assert "begin each other: remove one `start`" in error.value.problems[0]


async def test_mistake_in_a_stage_is_placed_by_the_word_of_the_pack(tmp_path: Path) -> None:
    """Both where the command finds it and where a service does."""
    wrong = """
stages:
  - {id: life, title: Life, stages: [{stage: new, rule: {tag: {id: level, is: gone}}}]}
tags:
  - {id: level, title: L, values: [{value: a, rule: {count: {event: a, at_least: 1}}}]}
"""
    with pytest.raises(PackErrors) as caught:
        await applied(tmp_path, wrong, refused="life")
    problems = [p.partition(" (life): ")[2] for p in caught.value.problems if " (life): " in p]
    assert problems == [
        "stages[0].rule: the tag `level` has no value `gone`; write one of a",
        "tag.stages[0].rule: the rule costs too much",
    ]
