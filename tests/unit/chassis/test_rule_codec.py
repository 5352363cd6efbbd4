"""Tests the messages of rules: every rule comes back, and malformed messages name their path."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from onefold.rule.v1 import rule_pb2 as pb
from properties import examples

from services.chassis.codec import rules as rules_codec
from services.chassis.codec.comparisons import MAX_VALUE_BYTES
from services.chassis.codec.rules import rule_from_proto, rule_to_proto
from services.kernel.calendar import PeriodUnit
from services.kernel.errors import InvalidField, RuleTooLarge
from services.kernel.rules import features, model, windows
from services.kernel.rules.filters import ANY_EVENT, EventFilter, PropertyFilter
from services.kernel.rules.limits import MAX_SENT
from services.kernel.rules.model import All, Any_, Not, Predicate, Reference, ReferenceKind
from services.kernel.rules.values import Operator
from services.kernel.trust import Party

ZONE = "Asia/Shanghai"
ORDERED = (Operator.LT, Operator.LE, Operator.GT, Operator.GE)
TEXT_ONLY = (Operator.STARTS_WITH, Operator.ENDS_WITH)
names = st.sampled_from(("city", "o.p", "名字", "a" * 512))
spans = st.integers(1, 2**62)
scalars: st.SearchStrategy[Any] = st.sampled_from(
    ("a", "北京市", "ＡＢ", "", 0, 1, 1.5, -3, True, False, 2**70)
)


def comparisons(operators: tuple[Operator, ...] = tuple(Operator)) -> st.SearchStrategy[Any]:
    """Draw an operator and its value."""

    def value(operator: Operator) -> st.SearchStrategy[Any]:
        if operator in (Operator.EXISTS, Operator.MISSING):
            return st.none()
        if operator in (Operator.IN, Operator.NOT_IN):
            return st.lists(scalars, min_size=1, max_size=3)
        if operator in TEXT_ONLY:
            return st.sampled_from(("a", "北京"))
        return st.sampled_from(("a", 0, 1.5)) if operator in ORDERED else scalars

    drawn = st.sampled_from(operators)
    return drawn.flatmap(lambda operator: st.tuples(st.just(operator), value(operator)))


filters = st.builds(
    lambda name, compared, ignore_case: PropertyFilter(name, *compared, ignore_case),
    *(names, comparisons(), st.booleans()),
)
wheres = st.lists(filters, max_size=2).map(tuple)
events = st.builds(
    EventFilter,
    st.lists(st.sampled_from(("viewed", "bought", ANY_EVENT)), min_size=1, max_size=2).map(tuple),
    wheres,
)
calendars = st.builds(
    lambda unit, pair, zone: windows.Calendar(unit, max(pair), min(pair), zone),
    st.sampled_from(PeriodUnit),
    st.tuples(st.integers(0, windows.MAX_PERIODS), st.integers(0, windows.MAX_PERIODS)),
    st.sampled_from((ZONE, "America/New_York", "UTC")),
)
rolling = st.builds(windows.Rolling, spans)
relative = st.builds(
    windows.Relative, events, st.sampled_from(windows.Anchor), st.booleans(), spans | st.just(0)
)
any_window = st.just(windows.EVER) | rolling | calendars | relative


def aggregates(
    functions: Any, window: st.SearchStrategy[windows.Window]
) -> st.SearchStrategy[features.Aggregate]:
    """Draw an aggregate; a count has no property."""
    return st.builds(
        lambda function, of, name, w: features.Aggregate(
            function, of, "" if function is features.Function.COUNT else name, w
        ),
        *(st.sampled_from(functions), events, names, window),
    )


def sequences() -> st.SearchStrategy[features.Sequence]:
    """Draw a sequence of 2 to 4 steps."""
    later = st.builds(features.Step, events, spans | st.just(0), st.none() | events)
    return st.builds(
        lambda first, more, same, window: features.Sequence((first, *more), same, window),
        st.builds(features.Step, events),
        st.lists(later, min_size=1, max_size=3),
        *(st.just("") | names, any_window),
    )


definitions = st.builds(
    features.OrderDefinition,
    *(events, names, names, st.none() | events, names, names),
    *(names | st.just(""), names | st.just(""), st.sampled_from(("CNY", "USD"))),
)
TRENDS = [f for f in features.Function if f.name not in ("FIRST", "LAST")]
FEATURES: dict[type, st.SearchStrategy[Any]] = {
    features.Trait: st.builds(
        features.Trait,
        *(names, st.lists(st.sampled_from(Party), max_size=3).map(tuple)),
        st.sampled_from(("", "place@1")),
    ),
    features.Aggregate: aggregates(tuple(features.Function), any_window),
    features.Elapsed: st.builds(features.Elapsed, events, st.booleans()),
    features.Sequence: sequences(),
    features.Trend: st.builds(
        features.Trend,
        *(aggregates(TRENDS, rolling | calendars), st.sampled_from(features.TrendMeasure)),
    ),
    features.DateDistance: st.builds(
        features.DateDistance, names, st.sampled_from(features.DateMeasure), st.just(ZONE)
    ),
    features.TopValues: st.builds(
        features.TopValues, events, names, st.integers(1, features.MAX_TOP), any_window
    ),
    features.Orders: st.builds(
        features.Orders, definitions, st.sampled_from(features.OrderMeasure), wheres, any_window
    ),
    features.Related: st.builds(features.Related, names, wheres),
}


def compared(feature: features.Feature) -> st.SearchStrategy[Predicate]:
    """Draw a predicate of a feature."""
    drawn: st.SearchStrategy[Any]
    if isinstance(feature, features.Elapsed):
        drawn = st.tuples(st.sampled_from(model.AGE_OPERATORS), spans)
    elif isinstance(feature, features.TopValues):
        drawn = comparisons(model.LIST_OPERATORS)
    elif model.is_number(feature):
        drawn = st.tuples(st.sampled_from(model.NUMBER_OPERATORS), st.integers(0, 2**62))
    elif isinstance(feature, features.Trait) and feature.cleaner:
        drawn = st.just((Operator.EXISTS, None)) | st.tuples(
            st.sampled_from((Operator.EQ, Operator.NE)), st.sampled_from(("北京", "Jiangsu"))
        )
    else:
        drawn = comparisons()
    return st.builds(
        lambda pair, ignore_case: Predicate(feature, *pair, ignore_case), drawn, st.booleans()
    )


references = st.builds(
    lambda kind, id_, value: Reference(
        kind, id_, "" if kind is ReferenceKind.SEGMENT else value or "is"
    ),
    *(st.sampled_from(ReferenceKind), names, st.sampled_from(("", "gold"))),
) | st.just(Reference(ReferenceKind.TAG, "vip"))
leaves = references | st.one_of(*FEATURES.values()).flatmap(compared)
rules = st.recursive(
    leaves,
    lambda parts: st.one_of(
        st.builds(All, st.lists(parts, max_size=3).map(tuple)),
        st.builds(Any_, st.lists(parts, max_size=3).map(tuple)),
        st.builds(Not, parts),
    ),
    max_leaves=4,
)


def through_bytes(rule: model.Rule) -> model.Rule:
    raw = rule_to_proto(rule).SerializeToString()
    return rule_from_proto(pb.Rule.FromString(raw))


def test_strategies_of_this_file_draw_every_feature() -> None:
    assert set(FEATURES) == set(features.Feature.__args__)


@pytest.mark.parametrize("kind", list(FEATURES), ids=lambda kind: kind.__name__)
def test_a_predicate_of_each_feature_is_the_same_after_its_message(kind: type) -> None:
    @examples(60)
    @given(predicate=FEATURES[kind].flatmap(compared))
    def compare(predicate: Predicate) -> None:
        again = through_bytes(predicate)
        assert again == predicate
        assert isinstance(again, Predicate)
        assert type(again.value) is type(predicate.value)

    compare()


@examples(100)
@given(rule=rules)
def test_a_rule_is_the_same_after_its_message(rule: model.Rule) -> None:
    assert through_bytes(rule) == rule


@pytest.mark.parametrize("window", [windows.EVER, windows.Rolling(5)], ids=["ever", "rolling"])
def test_a_window_without_a_kind_is_the_whole_past(window: windows.Window) -> None:
    aggregate = features.Aggregate(features.Function.COUNT, EventFilter.of("e"), window=window)
    message = rule_to_proto(Predicate(aggregate, Operator.GE, 1))
    message.predicate.aggregate.window.ClearField("kind")
    again = rule_from_proto(message)
    assert isinstance(again, Predicate)
    assert again.feature == features.Aggregate(features.Function.COUNT, EventFilter.of("e"))


W = "aggregate.window."
E_ = EventFilter.of("e", PropertyFilter("p", Operator.EQ, 1))
COUNT = features.Aggregate(features.Function.COUNT, E_, window=windows.Rolling(5))
CALENDAR = windows.Calendar(PeriodUnit.DAY, 1, 0, ZONE)
RELATIVE = windows.Relative(E_, windows.Anchor.LAST, True, 5)
DEFINITION = features.OrderDefinition(E_, "id", "amount", E_, "id", "amount")
SAMPLES: dict[str, features.Feature] = {
    "trait": features.Trait("city", (Party.FIRST,)),
    "aggregate": COUNT,
    "calendar": features.Aggregate(features.Function.COUNT, E_, window=CALENDAR),
    "relative": features.Aggregate(features.Function.COUNT, E_, window=RELATIVE),
    "elapsed": features.Elapsed(E_),
    "sequence": features.Sequence((features.Step(E_), features.Step(E_, 5, E_))),
    "trend": features.Trend(COUNT, features.TrendMeasure.RATIO),
    "date_distance": features.DateDistance("born", features.DateMeasure.YEARS_SINCE, ZONE),
    "top_values": features.TopValues(E_, "p", 3),
    "orders": features.Orders(DEFINITION, features.OrderMeasure.COUNT, E_.where),
    "related": features.Related("course", E_.where),
}


def sample(name: str) -> pb.Rule:
    operator = Operator.EXISTS if name in ("trait", "top_values") else Operator.GE
    value = None if operator is Operator.EXISTS else 3
    return rule_to_proto(Predicate(SAMPLES[name], operator, value))


def change(text: str) -> Callable[[Any], None]:
    """Return what sets or clears one field of a predicate: `a.b[0].c = 1`, or `a.b` to clear."""
    path, _, value = text.partition(" = ")
    *parents, last = path.split(".")

    def apply(message: Any) -> None:
        for part in parents:
            name, _, index = part.rstrip("]").partition("[")
            message = getattr(message, name)
            message = message[int(index)] if index else message
        if not value:
            message.ClearField(last)
        elif last.endswith("]"):
            name, _, index = last.rstrip("]").partition("[")
            getattr(message, name)[int(index)] = int(value)
        else:
            kind = type(getattr(message, last))
            setattr(message, last, value.encode() if kind is bytes else kind(value))

    return apply


@pytest.mark.parametrize(
    ("name", "changed", "field"),
    [
        ("trait", "trait.name", "trait.name"),
        ("trait", "trait.parties[0] = 0", "trait.parties[0]"),
        ("trait", "trait.parties[0] = 9", "trait.parties[0]"),
        ("trait", "operator", "operator"),
        ("trait", "operator = 99", "operator"),
        ("trait", "feature", ""),
        ("aggregate", "value", "value"),
        ("aggregate", "value = {", "value"),
        ("aggregate", 'value = "3"', "at_least"),
        ("aggregate", "aggregate.function", "aggregate.function"),
        ("aggregate", "aggregate.property = p", "aggregate"),
        ("aggregate", "aggregate.events", "aggregate.events.event"),
        ("aggregate", "aggregate.events.names", "aggregate.events.event"),
        ("aggregate", "aggregate.events.where[0].operator", "aggregate.events.where[0].operator"),
        ("aggregate", "aggregate.events.where[0].value", "aggregate.events.where[0].value"),
        ("aggregate", "aggregate.events.where[0].value = null", "aggregate.events.where[0]"),
        ("aggregate", "aggregate.events.where[0].property", "aggregate.events.where[0].property"),
        ("aggregate", W + "rolling_us = 0", W + "rolling_us.within"),
        ("aggregate", W + "rolling_us = -1", W + "rolling_us.within"),
        ("calendar", W + "calendar.unit", W + "calendar.unit"),
        ("calendar", W + "calendar.zone = ../x", W + "calendar.zone"),
        ("calendar", W + "calendar.newest = 2", W + "calendar.during"),
        ("calendar", W + "calendar.oldest = -1", W + "calendar.during"),
        ("relative", W + "relative.anchor", W + "relative.anchor"),
        ("relative", W + "relative.events", W + "relative.events.event"),
        ("relative", W + "relative.within_us = -1", W + "relative.within"),
        ("elapsed", "elapsed.events", "elapsed.events.event"),
        ("sequence", "sequence.steps", "sequence.steps"),
        ("sequence", "sequence.steps[0].within_us = 1", "sequence.steps[0]"),
        ("sequence", "sequence.steps[1].within_us = -1", "sequence.steps[1].within"),
        ("sequence", "sequence.steps[1].events", "sequence.steps[1].events.event"),
        ("sequence", "sequence.steps[1].without.names", "sequence.steps[1].without.event"),
        ("trend", "trend.aggregate", "trend.aggregate.function"),
        ("trend", "trend.aggregate.window", "trend"),
        ("trend", "trend.measure", "trend.measure"),
        ("date_distance", "date_distance.zone", "date_distance.zone"),
        ("date_distance", "date_distance.measure = 99", "date_distance.measure"),
        ("date_distance", "date_distance.trait", "date_distance.trait"),
        ("top_values", "top_values.limit", "top_values.limit"),
        ("top_values", "top_values.limit = 101", "top_values.limit"),
        ("top_values", "top_values.property", "top_values.property"),
        ("orders", "orders.definition", "orders.definition.payments.event"),
        ("orders", "orders.definition.currency = x", "orders.definition.currency"),
        ("orders", "orders.definition.refund_amount", "orders.definition.refund_amount"),
        ("orders", "orders.measure", "orders.measure"),
        ("orders", "orders.where[0].operator", "orders.where[0].operator"),
        ("related", "related.object_type", "related.type"),
        ("related", "related.where[0].value = [1]", "related.where[0]"),
    ],
)
def test_a_malformed_predicate_is_rejected_with_its_path(
    name: str, changed: str, field: str
) -> None:
    message = sample(name)
    rule_from_proto(message)
    change(changed)(message.predicate)
    with pytest.raises(InvalidField) as caught:
        rule_from_proto(message, "rule")
    assert caught.value.field == ("rule.predicate." + field).rstrip(".")


def test_a_rule_without_a_kind_is_rejected_with_its_path() -> None:
    inner = pb.Rule(all=pb.RuleList(rules=[sample("trait"), pb.Rule()]))
    message = pb.Rule(any=pb.RuleList(rules=[inner]))
    with pytest.raises(InvalidField) as caught:
        rule_from_proto(message, "tag.rule")
    assert caught.value.field == "tag.rule.any[0].all[1]"


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (pb.Reference(id="vip"), "rule.reference.kind"),
        (pb.Reference(kind=9, id="vip"), "rule.reference.kind"),  # type: ignore[arg-type]
        (pb.Reference(kind="REFERENCE_KIND_TAG"), "rule.reference.id"),
        (pb.Reference(kind="REFERENCE_KIND_STAGE", id="life"), "rule.reference.is"),
        (pb.Reference(kind="REFERENCE_KIND_SEGMENT", id="a", value="b"), "rule.reference"),
    ],
    ids=["no kind", "unknown kind", "no id", "no stage", "value of a segment"],
)
def test_a_malformed_reference_is_rejected_with_its_path(message: pb.Reference, field: str) -> None:
    with pytest.raises(InvalidField) as caught:
        rule_from_proto(pb.Rule(reference=message))
    assert caught.value.field == field


def test_a_value_that_is_too_long_is_rejected_before_it_is_decoded() -> None:
    message = sample("aggregate")
    message.predicate.value = b"[" * (MAX_VALUE_BYTES + 1)
    with pytest.raises(InvalidField, match="too long") as caught:
        rule_from_proto(message)
    assert caught.value.field == "rule.predicate.value"


def test_more_filters_than_a_rule_may_have_are_rejected_before_they_are_read() -> None:
    message = sample("related")
    message.predicate.related.where.extend([pb.PropertyFilter()] * 51)
    with pytest.raises(InvalidField, match="too many filters") as caught:
        rule_from_proto(message)
    assert caught.value.field == "rule.predicate.related.where"


def test_message_that_is_larger_than_any_rule_is_refused_unread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    message = pb.Rule()
    for _ in range(3_000):
        message.all.rules.add().predicate.value = b'"%s"' % (b"a" * 800)
    monkeypatch.setattr(rules_codec, "_rule", None)
    with pytest.raises(RuleTooLarge, match=f"at most {MAX_SENT:,} bytes"):
        rule_from_proto(message)
