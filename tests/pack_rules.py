"""Evaluates the rules of packs for one person, with the pure functions that the services use."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from itertools import count
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from onefold.profile.v1.profile_facts_pb2 import ProfileSettingsDefined

from services.chassis.codec.named_rules import segment_rules, tag_rules
from services.cli.definitions import Pack, read_pack
from services.kernel.fold.events import IDENTIFY, PAGE, SCORE, TRACK, EventView
from services.kernel.fold.leaf import LeafState, ProfileView, fold_event
from services.kernel.fold.predicate_index import PredicateIndex
from services.kernel.ids import WorkspaceId
from services.kernel.rules.ids import predicates
from services.kernel.rules.model import Rule
from services.kernel.rules.values import Json
from services.kernel.tokens import Token
from services.kernel.trust import Party
from services.profile.codec.definitions import settings_from_proto, tag_from_proto
from services.profile.domain.rfm import features_of, fit
from services.profile.domain.settings import computed_values
from services.profile.domain.tags import answer_rule
from services.segment.domain.model import followed

PACKS = Path(__file__).parents[1] / "packs"
SHANGHAI = ZoneInfo("Asia/Shanghai")
#: The instant from which the cases count.
NOW = datetime(2026, 6, 15, 12, tzinfo=SHANGHAI)
_TYPES = {"identify": IDENTIFY, "page": PAGE}
_numbers = count()


class Call(NamedTuple):
    """What a source sends: an event, or `identify` or `group` with traits."""

    at: datetime
    name: str
    values: dict[str, Any]
    #: Its source, and the party class of that.
    source: str = ""
    party: Party = Party.FIRST
    touch: Mapping[str, str] = MappingProxyType({})
    #: By model: what is recorded instead of an event.
    scores: Mapping[str, float] = MappingProxyType({})


def before(days: float, name: str, **values: Any) -> Call:
    """Return an event some days before `NOW`."""
    return Call(NOW - timedelta(days=days), name, values)


def order(days: float, amount: float, *skus: str, id_: str = "", event: str = "order_paid") -> Call:
    """Return a paid order some days before `NOW`; without an id it is another one each time."""
    id_ = id_ or f"order-{next(_numbers)}"
    products = [{"sku": sku} for sku in skus]
    return before(days, event, order_id=id_, amount=amount, currency="CNY", products=products)


def refund(days: float, amount: float, id_: str) -> Call:
    """Return the refund of an order some days before `NOW`."""
    return before(days, "order_refunded", order_id=id_, amount=amount, refund_id=f"r-{id_}")


class PackRules:
    """The rules of a pack."""

    def __init__(self, pack: Pack) -> None:
        # The values of a model follow from all persons of a workspace, so they have no rules here.
        ruled = [tag for tag in pack.tags if not tag.HasField("rfm")]
        self.settings = settings_from_proto(
            WorkspaceId("default"), pack.settings or ProfileSettingsDefined()
        )
        self.models = {
            tag.tag_id: tag_from_proto(WorkspaceId("default"), tag)
            for tag in pack.tags
            if tag.HasField("rfm")
        }
        defined = [*map(tag_rules, ruled), *map(segment_rules, pack.segments)]
        self.rules: dict[str, Rule] = {
            definition.segment_id: definition.rule
            for definition in followed(WorkspaceId("default"), defined)
            if not definition.retired
        }

    @classmethod
    def of(cls, name: str, **variables: str) -> PackRules:
        """Return the rules of an industry's pack."""
        return cls(read_pack(PACKS / name, variables))

    @cached_property
    def _index(self) -> PredicateIndex:
        computed = {trait.feature for trait in self.settings.all_computed_traits}
        return PredicateIndex(
            computed | {p for rule in self.rules.values() for p in predicates(rule)}
        )

    def fold(self, calls: Sequence[Call]) -> ProfileView:
        """Return the profile of a person who sent these calls."""
        state = LeafState()
        related: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for number, call in enumerate(calls):
            if call.name == "group":
                related[call.values.get("type", "account")].append(call.values)
                continue
            for event in _events(call, number):
                fold_event(state, event, self._index)
        return ProfileView((state,), related)

    def computed(self, calls: Sequence[Call], at: datetime = NOW) -> dict[str, Json]:
        """Return the computed traits of a person at an instant."""
        return dict(computed_values(self.settings, self.fold(calls), to_us(at)))

    def layers(self, tag_id: str, customers: Sequence[Sequence[Call]]) -> list[str]:
        """Return the value of a tag with a model for each of some customers, fitted over them."""
        tag, orders, at_us = self.models[tag_id], self.settings.orders, to_us(NOW)
        assert orders is not None
        assert tag.model is not None
        views = list(map(self.fold, customers))
        found = [features_of(orders, view, at_us) for view in views]
        persons = [features for features in found if features is not None]
        fitted = fit(persons, tag.model.quantiles, Token(), at_us)
        values = tag.with_fit(fitted, self.settings).classification.values
        return [
            next((value for value, rule in values if answer_rule(rule, view, at_us)[0]), "")
            for view in views
        ]

    def memberships(self, calls: Sequence[Call], at: datetime = NOW) -> set[str]:
        """Return the segments, `tag:ID=VALUE` and `stage:SET=STAGE` of a person at an instant."""
        view, at_us = self.fold(calls), to_us(at)
        return {id_ for id_, rule in self.rules.items() if answer_rule(rule, view, at_us)[0]}

    def value(self, kind: str, id_: str, calls: Sequence[Call], at: datetime = NOW) -> str:
        """Return the one value of a tag or the one stage of a person; empty = none."""
        prefix = f"{kind}:{id_}="
        found = [m for m in self.memberships(calls, at) if m.startswith(prefix)]
        assert len(found) < 2, f"several values: {found}"
        return found[0].removeprefix(prefix) if found else ""


def to_us(at: datetime) -> int:
    """Return Unix microseconds."""
    return round(at.timestamp() * 1_000_000)


def _events(call: Call, number: int) -> list[EventView]:
    kind, at_us = _TYPES.get(call.name, TRACK), to_us(call.at)
    body, fact_id = json.dumps(call.values).encode(), number.to_bytes(16, "big")
    if call.scores:
        return [
            EventView(SCORE, model, at_us, fact_id, record=(at_us, fact_id, score, "1"))
            for model, score in call.scores.items()
        ]
    event = EventView(
        type=kind,
        name=call.name if kind == TRACK else "",
        occurred_at_us=at_us,
        fact_id=fact_id,
        properties=b"" if kind == IDENTIFY else body,
        traits=body if kind == IDENTIFY else b"",
        party=call.party,
        source_id=call.source,
        touch=json.dumps(dict(call.touch)).encode() if call.touch else b"",
    )
    return [event]
