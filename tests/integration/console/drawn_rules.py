"""Random rules, and how one is drawn in the builder by keyboard."""

from __future__ import annotations

import json
import random
from typing import Any

from integration.console.conftest import Watched

#: The kinds of rules that have fields in the builder, as it names them.
KINDS = {
    "trait": "属性",
    "count": "事件次数",
    "sum": "总和",
    "average": "平均值",
    "minimum": "最小值",
    "maximum": "最大值",
    "distinct": "不同值个数",
    "first": "首次的值",
    "last": "最近的值",
    "last_seen": "距最近一次",
    "first_seen": "距首次",
    "segment": "人群",
    "tag": "标签",
}
#: The comparisons of numbers, of values and of ages; the builder begins with the first one.
NUMBERS = {"at_least": "≥", "at_most": "≤", "eq": "=", "ne": "≠", "gt": ">", "lt": "<"}
VALUES = {
    "eq": "=",
    "ne": "≠",
    "in": "属于",
    "not_in": "不属于",
    "contains": "包含",
    "exists": "存在",
}
AGES = {"within": "在…以内", "at_most": "≤", "longer_than": "超过", "at_least": "≥"}
JOINS = {"all": "全部满足", "any": "任一满足", "not": "不满足"}
#: The segment and the tag that rules name.
SEGMENT_ID, TAG_ID = "buyers", "drawn"


def random_form(rng: random.Random, depth: int) -> dict[str, Any]:
    """Return a rule: groups within groups, of every kind that has fields in the builder."""
    if depth and rng.random() < 0.7:
        join = rng.choice(["all", "any", "all", "any", "not"])
        if join == "not":
            return {"not": random_form(rng, depth - 1)}
        return {join: [random_form(rng, depth - 1) for _ in range(rng.randint(1, 2))]}
    kind = rng.choice([*KINDS, "trait", "count", "count"])
    match kind:
        case "segment":
            return {kind: SEGMENT_ID}
        case "tag":
            return {kind: {"id": TAG_ID}}
        case "trait":
            return {kind: {"name": f"t{rng.randint(0, 9)}", **_random_value(rng)}}
        case _:
            return {kind: _random_events(rng, kind)}


def _random_events(rng: random.Random, kind: str) -> dict[str, Any]:
    body: dict[str, Any] = {"event": rng.choice(["bought", "去过", "tried"])}
    if rng.random() < 0.5:
        body["where"] = {"product": rng.choice(["A产品", 7])}
    if _operators(kind) is AGES:
        return {**body, rng.choice([*AGES]): f"{rng.randint(1, 60)}d"}
    if kind != "count":
        body["property"] = rng.choice(["product", "price"])
    if rng.random() < 0.5:
        body["within"] = f"{rng.randint(1, 60)}d"
    if _operators(kind) is VALUES:
        return {**body, **_random_value(rng)}
    return {**body, rng.choice([*NUMBERS]): rng.randint(1, 9)}


def _random_value(rng: random.Random) -> dict[str, Any]:
    operator = rng.choice([*VALUES, "eq"])
    match operator:
        case "in" | "not_in":
            return {operator: ["北京", "上海"]}
        case "exists":
            return {operator: True}
        case "contains":
            return {operator: "北京"}
        case _:
            return {operator: rng.choice(["北京", 5, True])}


def _operators(kind: str) -> dict[str, str]:
    if kind in ("last_seen", "first_seen"):
        return AGES
    return VALUES if kind in ("trait", "first", "last") else NUMBERS


async def draw(watched: Watched, form: dict[str, Any], path: str) -> None:
    """Enter a rule into the builder, at a place that has a count of events."""
    ((kind, body),) = form.items()
    if kind in JOINS:
        await _draw_group(watched, kind, [body] if kind == "not" else body, path)
        return
    if kind != "count":
        await watched.choose(f"条件类型 {path}", KINDS[kind])
    if kind in ("segment", "tag"):
        await watched.enter(f"名称 {path}", body if kind == "segment" else body["id"])
        return
    if kind == "trait":
        await watched.enter(f"属性 {path}", body["name"])
        await watched.page.keyboard.press("Escape")
    else:
        await _draw_events(watched, body, path)
        if "within" in body and _operators(kind) is not AGES:
            await watched.enter(f"时间范围 {path}", body["within"])
    await _compare(watched, body, _operators(kind), path)


async def _draw_group(watched: Watched, join: str, rules: list[Any], path: str) -> None:
    for index, each in enumerate(rules, 1):
        is_group = next(iter(each)) in JOINS
        # A group begins with one rule, which is there or is replaced.
        if index > 1 or is_group:
            await watched.press(f"{'添加分组' if is_group else '添加条件'} {path}")
        if index == 1 and is_group:
            await watched.press(f"移除 {path}.1")
        await draw(watched, each, f"{path}.{index}")
    # A group that is not true has one rule, and no buttons to add others.
    if join != "all":
        await watched.choose(f"关系 {path}", JOINS[join])


async def _draw_events(watched: Watched, body: dict[str, Any], path: str) -> None:
    await watched.enter(f"事件 {path}", body["event"])
    if "property" in body:
        await watched.enter(f"事件属性 {path}", body["property"])
    for property_, value in body.get("where", {}).items():
        await watched.press(f"其中… {path}")
        await watched.enter(f"事件属性 {path} 1", property_)
        await watched.enter(f"值 {path} 1", str(value))


async def _compare(
    watched: Watched, body: dict[str, Any], operators: dict[str, str], path: str
) -> None:
    """Choose a comparison, and enter its value where it has one."""
    [operator] = [each for each in operators if each in body]
    if operator != next(iter(operators)):
        await watched.choose(f"比较方式 {path}", operators[operator])
    if operator != "exists":
        text = json.dumps(body[operator], ensure_ascii=False)
        await watched.enter(f"值 {path}", text.strip('"'))
