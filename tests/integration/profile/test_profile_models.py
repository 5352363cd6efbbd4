"""Tests tags that go by a model: it is fitted once a period, and its fit is a fact."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from integration.profile.profile_stack import ProfileStack
from laws.profile_model import SourceEvent
from onefold.profile.v1 import profile_facts_pb2 as facts_pb
from onefold.profile.v1 import profile_service_pb2 as pb
from onefold.rule.v1.rule_pb2 import PERIOD_UNIT_MONTH

from services.cli.rule_forms import read_settings
from services.kernel.errors import InvalidField, NotFound
from services.kernel.identifiers.model import Identifier
from services.kernel.time import DAY_US

OpenStack = Callable[..., AbstractAsyncContextManager[ProfileStack]]

PERSONS = 8
SETTINGS = {
    "zone": "UTC",
    "orders": {"payments": {"event": "paid", "order_id": "order", "amount": "amount"}},
}


def model_tag(**changed: Any) -> facts_pb.TagDefined:
    """Return a tag whose values are the halves and quarters of the persons by net spend."""
    values = [
        facts_pb.MinimumScores(value="top", recency=4, monetary=4),
        facts_pb.MinimumScores(value="upper", monetary=3),
    ]
    rfm = facts_pb.RfmModel(quantiles=4, period=PERIOD_UNIT_MONTH, values=values)
    fields: dict[str, Any] = {"tag_id": "rfm", "title": "RFM", "rfm": rfm, "default_value": "rest"}
    return facts_pb.TagDefined(**(fields | changed))


async def define(stack: ProfileStack, tag: facts_pb.TagDefined) -> pb.DefineTagResponse:
    response = await stack.profile.DefineTag(pb.DefineTagRequest(tag=tag))
    assert isinstance(response, pb.DefineTagResponse)
    stack.token = response.token
    return response


async def fit(stack: ProfileStack) -> pb.FitTagResponse:
    response = await stack.profile.FitTag(pb.FitTagRequest(tag_id="rfm"))
    assert isinstance(response, pb.FitTagResponse)
    stack.token = response.token
    return response


async def begin(stack: ProfileStack) -> int:
    """Define orders and the tag; each of eight persons buys once, the later ones more and later.

    A ninth one has no order. Returns the clock.
    """
    settings = read_settings(SETTINGS, "settings")
    await stack.profile.DefineSettings(pb.DefineSettingsRequest(settings=settings))
    await define(stack, model_tag())
    now_us = await stack.tick()
    bought = [
        SourceEvent(
            (Identifier("user_id", f"u-{n}"),),
            now_us - (10 - n) * DAY_US,
            n,
            "paid",
            properties={"order": n, "amount": 100 * n},
        )
        for n in range(1, PERSONS + 1)
    ]
    viewed = SourceEvent((Identifier("user_id", "u-9"),), now_us - DAY_US, 99)
    await stack.ingest([*bought, viewed])
    return await stack.tick()


async def values(stack: ProfileStack) -> str:
    """Return the first letter of the value of each person, in their order."""
    await stack.reach()
    found = await stack.profile.ListProfiles(pb.ListProfilesRequest(at_least=stack.token))
    of = {p.identifiers[0].value: [t.value for t in p.tags] for p in found.profiles}
    return "".join(value[0] for _, [value] in sorted(of.items()))


async def test_tag_with_a_model_has_its_values_from_the_fit_on_and_one_fit_a_period(
    open_stack: OpenStack,
) -> None:
    async with open_stack() as stack:
        await begin(stack)
        assert await values(stack) == "rrrrrrrrr"
        fitted = await fit(stack)
        edges = fitted.tag.rfm.fit
        assert (fitted.fitted, edges.persons) == (True, PERSONS)
        assert list(edges.monetary_micros) == [200_000_000, 400_000_000, 600_000_000]
        # The last order of the seventh was on the edge, and stays there as time passes.
        assert await values(stack) == "rrrruuttr"
        again = await fit(stack)
        assert (again.fitted, again.tag) == (False, fitted.tag)
        # Another value is no other fit; another number of quantiles is.
        other = model_tag(default_value="others")
        assert (await define(stack, other)).tag.rfm.fit == edges
        assert await values(stack) == "oooouutto"
        other.rfm.quantiles = 5
        assert not (await define(stack, other)).tag.rfm.HasField("fit")
        assert await values(stack) == "ooooooooo"
        assert (await stack.rebuild(shards=1)).equal


async def test_fit_of_the_next_period_is_over_the_persons_of_then(open_stack: OpenStack) -> None:
    async with open_stack() as stack:
        now_us = await begin(stack)
        first = await fit(stack)
        rich = SourceEvent(
            (Identifier("user_id", "u-1"),),
            now_us,
            50,
            "paid",
            properties={"order": 50, "amount": 5_000},
        )
        await stack.tick(1_000_000)
        await stack.ingest([rich])
        assert not (await fit(stack)).fitted
        await stack.tick(32 * DAY_US)
        second = await fit(stack)
        assert second.fitted
        assert second.tag.rfm.fit.at_us > first.tag.rfm.fit.at_us + 31 * DAY_US
        assert list(second.tag.rfm.fit.monetary_micros)[-1] == 700_000_000
        assert (await values(stack))[0] == "t"


async def test_model_without_orders_or_of_no_such_tag_is_refused(open_stack: OpenStack) -> None:
    async with open_stack() as stack:
        with pytest.raises(InvalidField, match="define them in its settings"):
            await define(stack, model_tag())
        with pytest.raises(NotFound):
            await fit(stack)
        await begin(stack)
        plain = model_tag(tag_id="rfm", rfm=None)
        plain.values.add(value="a").rule.CopyFrom((await fit(stack)).tag.values[0].rule)
        await define(stack, plain)
        with pytest.raises(InvalidField, match="no model"):
            await fit(stack)
