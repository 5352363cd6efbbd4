"""A mistake in any operator, window, function or feature of the evaluator is found by its cases."""

from __future__ import annotations

from functools import cache
from random import Random
from typing import Any, NamedTuple

import pytest
from oracle.differential import Case, disagreement, make_case
from oracle.mutants import mutated
from oracle.random_logs import make_value
from oracle.random_rules import make_comparison
from oracle.rules_oracle import compare

from services.kernel.fold import accumulators, additions, leaf, predicate_index, records, traits
from services.kernel.rules import evaluate, filters, inputs, values
from services.kernel.rules.readings import aggregates, amounts, dates, orders, ranges, sequences
from services.kernel.rules.values import comparison_of, literal

#: The most cases that are tried until one of them finds a mistake.
CASES, COMPARISONS = 2_000, 20_000


class Mutant(NamedTuple):
    """A mistake, and the class of the features whose cases find it."""

    kind: str
    function: Any
    before: str
    after: str


def _of(kind: str, function: Any, **changes: tuple[str, str]) -> dict[str, Mutant]:
    return {name: Mutant(kind, function, *change) for name, change in changes.items()}


OPERATORS = {
    **_of(
        "Operator",
        values._test_of,
        exists=("left is not None", "bool(left)"),
        missing=("left is None", "not left"),
        is_in=("_one_of(value if isinstance(value, tuple) else ())", "_one_of(value[:1])"),
        negated=("not holds(left)", "left is not None and not holds(left)"),
        starts_with=("left.startswith(str(value))", "str(value) in left"),
        ends_with=("left.endswith(str(value))", "left.startswith(str(value))"),
    ),
    **_of(
        "Operator",
        values._equal_to,
        equal_text=("left == value", "left.casefold() == value.casefold()"),
        equal_boolean=("left is value", "left == value"),
        equal_number=("type(left) in _NUMBERS and", "isinstance(left, (int, float)) and"),
    ),
    **_of(
        "Operator",
        values._containing,
        contains_element=("return any(map(equal, left))", "return value in left"),
        contains_part=("type(value) is str and value in left", "value == left"),
    ),
    **_of("Operator", values._ordered, order_of_texts=("compare(left, value)", "left == value")),
    **_of("Operator", values._folded, case_of_elements=("list(map(fold_case, left))", "left")),
    **_of(
        "Operator",
        values.fold_case,
        case_without_width=(
            'normalize("NFKC", value).casefold()',
            'normalize("NFC", value).lower()',
        ),
    ),
    **_of("Operator", values.comparison_of, case_ignored=("if ignore_case", "if False")),
    **_of("Aggregate", filters.matcher, filters_any=("if not test(", "if test(")),
    **_of("Aggregate", filters.property_getter, path_first=("if path in properties:", "if False:")),
}
WINDOWS = {
    **_of(
        "Aggregate", ranges.range_of, rolling_start=("as_of_us - span_us + 1", "as_of_us - span_us")
    ),
    **_of(
        "Aggregate",
        ranges._calendar_range,
        calendar_oldest=("as_of_us, unit, oldest, zone", "as_of_us, unit, oldest + 1, zone"),
        calendar_newest=("newest - 1", "newest"),
    ),
    **_of(
        "Relative",
        ranges._relative_range,
        relative_anchor=("if is_first else", "if not is_first else"),
        relative_side=("if is_after:", "if not is_after:"),
        relative_after_start=("Range(at_us + 1, at_us", "Range(at_us, at_us"),
        relative_after_end=("at_us + within_us + 1 if", "at_us + within_us if"),
        relative_before_start=("at_us - within_us if", "at_us - within_us + 1 if"),
        relative_before_end=("else FIRST_US, at_us)", "else FIRST_US, at_us + 1)"),
        relative_without_anchor=("return NOTHING", "return EVERYTHING"),
    ),
    **_of(
        "Aggregate",
        ranges.turns_of,
        rolling_due=("(t + span_us for t in times)", "(t + span_us + 1 for t in times)"),
        calendar_due_leaving=("window.oldest + 1", "window.oldest"),
        calendar_due_entering=("(window.newest, window.oldest", "(0, window.oldest"),
    ),
    **_of(
        "Trend",
        ranges.before,
        before_end=("as_of_us - span_us + 1)", "as_of_us - span_us)"),
        before_start=("as_of_us - 2 * span_us + 1", "as_of_us - 2 * span_us"),
        before_periods=("newest - 1", "newest"),
    ),
    **_of(
        "Trend",
        ranges.turns_of_both,
        both_due=("for n in (1, 2)", "for n in (1,)"),
        both_due_calendar=("window.oldest + 1 + length", "window.oldest + length"),
    ),
}
FUNCTIONS = {
    **_of(
        "Aggregate",
        aggregates._range_value,
        first=("_first(records, r)", "_last(records, r)"),
        last=("_last(records, r)", "_first(records, r)"),
        distinct_in_range=("_distinct(records, r)", "len(records.values)"),
    ),
    **_of("Aggregate", aggregates._first, first_in_range=("records.values[low]", "value")),
    **_of(
        "Aggregate", aggregates._distinct, distinct=("set(map(scalar_key,", "list(map(scalar_key,")
    ),
    **_of(
        "Aggregate",
        aggregates._measured,
        sum=("function is Function.SUM", "False"),
        mean=("(MICRO * count) if", "(MICRO * (high - low + 1)) if"),
    ),
    **_of(
        "Aggregate",
        aggregates._extreme,
        minimum=("min(cell.least", "max(cell.least"),
        maximum=("max(cell.greatest", "min(cell.greatest"),
    ),
    **_of(
        "Aggregate",
        amounts.micro_units,
        sum_rounded=(
            "(Decimal(repr(value)) * MICRO).to_integral_value(ROUND_HALF_EVEN)",
            "value * MICRO",
        ),
        sum_of_large=(
            "kind is not float or not -MAX_SUMMED <= value <= MAX_SUMMED",
            "kind is not float",
        ),
    ),
    **_of(
        "Aggregate", amounts.from_micro_units, whole=("if rest else whole", "if True else whole")
    ),
    **_of(
        "Rolling",
        evaluate._next_level,
        level_above=("limit if actual > limit else -1", "limit - 1 if actual > limit else -1"),
        level_equal=("operator_ in _EQUAL and", "False and"),
        level_below=("limit - 1 if actual >= limit", "limit if actual >= limit"),
    ),
    **_of("Rolling", evaluate._compile_falling_count, jump=("if can_jump and", "if False and")),
    **_of(
        "Aggregate",
        evaluate._instant,
        instant=("as_of_us if as_of_us > seen_us else seen_us", "seen_us"),
    ),
}
FEATURES = {
    **_of(
        "Elapsed",
        evaluate._compile_age,
        since=("if since_first else", "if not since_first else"),
        age_due=("age_us + 1 if operator_ in _ABOVE else age_us", "age_us"),
    ),
    **_of(
        "Sequence",
        sequences._advance,
        strictly_later=("bisect_left(completed, at_us) - 1", "bisect_right(completed, at_us) - 1"),
        nearest=("bisect_left(completed, at_us) - 1", "min(0, bisect_left(completed, at_us) - 1)"),
        step_within=("<= step.within_us", "< step.within_us"),
        without_start=("bisect_right(between, start_us)", "bisect_left(between, start_us)"),
        without_end=("bisect_left(between, at_us)", "bisect_right(between, at_us)"),
    ),
    **_of(
        "Sequence",
        sequences._completions_by_value,
        same=("completed.get(key, ())", "next(iter(completed.values()), ())"),
    ),
    **_of(
        "Trend",
        aggregates._compared,
        ratio=("now / earlier if", "earlier / now if now and"),
        ratio_of_zero=("if earlier else None", "if earlier else 0"),
        difference=("now - earlier", "abs(now - earlier)"),
        trend_of_null=(
            "if now is None or earlier is None:",
            "if now is None:\n        return 0\n    if earlier is None:",
        ),
    ),
    **_of(
        "DateDistance",
        dates._value,
        days_until=("(day - today).days", "abs((day - today).days)"),
        years=("(today < anniversary", "(today <= anniversary"),
        years_before=("years if day <= today else None", "years"),
    ),
    **_of("DateDistance", dates._next_anniversary, on_the_day=(">= today", "> today")),
    **_of("DateDistance", dates.anniversary, leap_day=("date(year, 2, 28)", "date(year, 3, 1)")),
    **_of(
        "DateDistance",
        dates.read_date,
        own_zone=("own if is_zone(own) and", "feature.zone if is_zone(own) and"),
    ),
    **_of(
        "DateDistance",
        dates._candidates,
        date_due=(
            "yield from (day - timedelta(days=level + n) for n in (1, 0, -1))",
            "yield from ()",
        ),
        anniversary_due=("yield returns + timedelta(days=1)", "yield returns"),
        years_due=("(level, level + 1)", "(level,)"),
    ),
    **_of(
        "DateDistance",
        dates.date_of,
        date_in_utc=("local_date(to_us(stated), zone)", "stated.date()"),
    ),
    **_of(
        "TopValues",
        aggregates._top,
        most=("-entry[0], -entry[1]", "entry[0], -entry[1]"),
        newest=("-entry[0], -entry[1]", "-entry[0], entry[1]"),
        text=("canonical_json(entry[2])", "str(entry[2])"),
        limit=("ordered[:limit]", "ordered"),
        without_values=("return None", "return []"),
    ),
    **_of(
        "Orders",
        orders._measure,
        order_count=("len(orders) + older", "len({o.amount for o in orders}) + older"),
        net_spend=("from_micro_units(sum(order.net", "from_micro_units(sum(order.amount"),
        refunded=("from_micro_units(sum(order.refunded", "from_micro_units(sum(order.net"),
        mean_value=("return sum(order.net", "return sum(order.amount"),
        maximum_value=("from_micro_units(max(order.net", "from_micro_units(min(order.net"),
        days_since_last=("at_us - orders[-1].paid_at_us", "at_us - orders[0].paid_at_us"),
        mean_interval=("return interval_us / DAY_US", "return interval_us"),
        days_until_next=(
            "orders[-1].paid_at_us + interval_us - at_us",
            "orders[-1].paid_at_us - at_us",
        ),
    ),
    **_of("Orders", orders.mean_interval_us, interval=("(len(times) - 1)", "len(times)")),
    **_of(
        "Orders",
        orders.orders_of,
        refund_limit=("min(amount, returned.get(order_id, 0))", "returned.get(order_id, 0)"),
    ),
    **_of(
        "Refunds",
        orders._last_statements,
        last_statement=("max((at_us, amount)", "min((at_us, amount)"),
        refund_id=("key = (order_id, own_id)", "key = (order_id, '')"),
    ),
    **_of(
        "Orders",
        orders._passing_us,
        since_due=("times[-1] + round(", "times[0] + round("),
        next_due=("times[-1] + interval_us -", "times[-1] + interval_us +"),
    ),
    **_of(
        "Orders",
        predicate_index._statement_getter,
        negative_amount=("or amount < 0", ""),
        currency=("clean_currency(currency) != parts.currency", "False"),
        amount_text=(
            "micro_units(clean_number(amount_of(properties)))",
            "micro_units(amount_of(properties))",
        ),
    ),
    **_of(
        "Orders",
        inputs.payments_of,
        order_where=("(*definition.payments.where, *where)", "definition.payments.where"),
    ),
    **_of(
        "Related",
        evaluate._read_related,
        related=(
            "sum(map(matches, profile.related(object_type)))",
            "len(profile.related(object_type))",
        ),
    ),
}
STATE = {
    **_of(
        "Trait",
        traits.winner,
        parties=("parties or _ALL_PARTIES", "_ALL_PARTIES"),
        party_order=(
            "for party in parties or _ALL_PARTIES",
            "for party in reversed(parties or _ALL_PARTIES)",
        ),
        greatest=("value > last", "value < last"),
    ),
    **_of(
        "Trait",
        leaf.ProfileView._stated,
        sources=("sources and won[0][4] not in sources", "False"),
        one_source=("won[0][4] not in sources", "won[0][4] != sources[0]"),
    ),
    **_of(
        "Trait",
        leaf._fold_traits,
        trust=("(trust, occurred_at_us, fact_id", "(0, occurred_at_us, fact_id"),
    ),
    **_of(
        "Corrections",
        traits.winner,
        correction=("if correction is not None:", "if False:"),
        correction_party=(
            "if additions and (not parties or Party.FIRST in parties):",
            "if additions:",
        ),
    ),
    **_of("Corrections", additions.correction_of, withdrawn=("and last[2] else None", "else None")),
    **_of("Corrections", additions.last_correction, last_correction=("return max(", "return min(")),
    **_of("Trait", additions._last_score, last_score=("return max(", "return min(")),
    **_of("Trait", additions.first_touch, first_touch=("return min(", "return max(")),
    **_of("Trait", additions.last_touch, last_touch=("return max(", "return min(")),
    **_of(
        "Trait",
        additions._add_touch,
        first_touch_of_leaf=("touch < additions.first_touch", "False"),
        last_touch_of_leaf=("touch > additions.last_touch", "False"),
    ),
    **_of(
        "Corrections",
        additions._with,
        record_of_leaf=("name in values and value <= values[name]", "name in values"),
    ),
    **_of(
        "Corrections",
        additions._combined,
        merged_record=("max(value, combined.get(name, value))", "value"),
    ),
    **_of(
        "Trait",
        additions.reserved_trait,
        touch_member=("members.get(member) if dot else members", "members"),
    ),
    **_of(
        "Trait",
        evaluate._read_cleaned_trait,
        cleaner=(
            "clean(cleaner, profile.trait(name, parties, sources))",
            "profile.trait(name, parties, sources)",
        ),
    ),
    **_of("Trait", traits.combine_traits, merged_trait=("max(value, ", "min(value, ")),
    **_of(
        "Rolling",
        accumulators.CountAccumulator.combine,
        merged_times=("(other.times for other in others)", "()"),
    ),
    **_of(
        "Rolling",
        accumulators.DistinctAccumulator.combine,
        merged_values=("max(seen_us, values", "min(seen_us, values"),
    ),
    **_of(
        "Aggregate",
        records.RecordAccumulator.combine,
        merged_records=("parts = (self, *others)", "parts = (self,)"),
    ),
    **_of(
        "Ends",
        records.RecordAccumulator._index_of,
        equal_instants=("low + bisect_right(texts, canonical_json(value))", "low"),
    ),
    **_of(
        "Aggregate",
        predicate_index.PredicateIndex.matching_bindings,
        any_event=("if self._of_any and name:", "if False:"),
    ),
}
MUTANTS = OPERATORS | WINDOWS | FUNCTIONS | FEATURES | STATE


@cache
def _case(kind: str, seed: int) -> Case:
    return make_case(seed, kind)


@pytest.mark.parametrize("name", MUTANTS)
def test_mistake_of_the_evaluator_is_found(name: str) -> None:
    mutant = MUTANTS[name]
    with mutated(mutant.function, mutant.before, mutant.after):
        if mutant.kind == "Operator":
            assert any(map(_is_operator_wrong, range(COMPARISONS)))
        else:
            assert any(_is_found(_case(mutant.kind, seed)) for seed in range(CASES))


def _is_operator_wrong(seed: int) -> bool:
    random = Random(seed)
    left, (operator, value, is_without_case) = make_value(random), make_comparison(random)
    right = literal(operator, value, ignore_case=is_without_case)
    test = comparison_of(operator, right, ignore_case=is_without_case)
    try:
        return test(left) is not compare(operator, left, right, ignore_case=is_without_case)
    except (AttributeError, TypeError):
        return True


def _is_found(case: Case) -> bool:
    try:
        return bool(disagreement(case))
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        return True
