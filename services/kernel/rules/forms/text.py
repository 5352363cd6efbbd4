"""Writes rules as text for people, in English and in Chinese.

Examples are `count of attended_trial in the last 7 days ≥ 1 and not (count of bought ≥ 1)` and
`最近7天内 attended_trial 次数 ≥ 1 并且 不满足（bought 次数 ≥ 1）`. Names that are words of the
language, or have other characters than letters, digits, `_`, `.`, `$`, `/` and `-`, are in quotes.
`services.kernel.rules.forms.text_parse` reads the text back.
"""

from __future__ import annotations

from collections.abc import Mapping

from services.kernel.rules import features, model
from services.kernel.rules.defaults import NO_CLEANERS
from services.kernel.rules.features import Function, OrderDefinition
from services.kernel.rules.filters import ANY_EVENT, EventFilter, PropertyFilter
from services.kernel.rules.forms.text_words import (
    NAME,
    PERIODS,
    UNITS,
    VOCABULARIES,
    Language,
    Word,
    is_reserved,
)
from services.kernel.rules.forms.words import NO_CLEANER
from services.kernel.rules.periods import Periods, format_periods
from services.kernel.rules.values import Json, canonical_json
from services.kernel.rules.windows import Calendar, Ever, Relative, Rolling, Window
from services.kernel.time import format_span


def to_text(
    rule: model.Rule,
    language: Language = Language.ENGLISH,
    *,
    zone: str = "",
    orders: OrderDefinition | None = None,
    cleaners: Mapping[str, str] = NO_CLEANERS,
) -> str:
    """Return one line; equal rules have equal lines.

    What is equal to `zone`, `orders` and `cleaners`, those of the workspace, is left out.
    """
    return _Writer(language, zone, orders, cleaners).rule(rule)


def events_to_text(events: EventFilter, language: Language = Language.ENGLISH) -> str:
    """Return the events that a filter selects in one line, such as `bought (where p = "a")`."""
    return _Writer(language, "", None, NO_CLEANERS).events(events)


class _Writer:
    def __init__(
        self,
        language: Language,
        zone: str,
        orders: OrderDefinition | None,
        cleaners: Mapping[str, str],
    ) -> None:
        self._words = VOCABULARIES[language]
        self._is_english = language is Language.ENGLISH
        self._zone, self._orders, self._cleaners = zone, orders, cleaners

    def rule(self, rule: model.Rule) -> str:
        match rule:
            case model.All():
                return self._joined(rule.rules, Word.AND, Word.ALWAYS, Word.ALL_OF)
            case model.Any_():
                return self._joined(rule.rules, Word.OR, Word.NEVER, Word.ANY_OF)
            case model.Not():
                return self._words[Word.NOT] + self._bracketed(self.rule(rule.rule))
            case model.Reference():
                value = f" = {_name(rule.value)}" if rule.value else ""
                return f"{self._words[rule.kind]} {_name(rule.id)}{value}"
            case model.Predicate():
                return f"{self._feature(rule.feature)} {self._comparison(rule)}"

    def _joined(
        self, rules: tuple[model.Rule, ...], word: Word, nothing: Word, single: Word
    ) -> str:
        if not rules:
            return self._words[nothing]
        if len(rules) == 1:
            return self._words[single] + self._bracketed(self.rule(rules[0]))
        return f" {self._words[word]} ".join(map(self._part, rules))

    def _part(self, rule: model.Rule) -> str:
        """Return the text of a rule in a joined one, in brackets if it joins several itself."""
        text = self.rule(rule)
        is_joined = isinstance(rule, model.All | model.Any_) and len(rule.rules) > 1
        return self._bracketed(text).strip() if is_joined else text

    def _bracketed(self, text: str) -> str:
        return f" ({text})" if self._is_english else f"（{text}）"

    def _feature(self, feature: features.Feature) -> str:
        match feature:
            case features.Trait():
                return self._trait(feature)
            case features.Aggregate():
                return self._windowed(self._aggregate(feature), feature.window)
            case features.Elapsed():
                word = Word.SINCE_FIRST if feature.since_first else Word.SINCE_LAST
                return f"{self._words[word]} {self.events(feature.events)}"
            case features.Sequence():
                return self._windowed(self._sequence(feature), feature.window)
            case features.Trend():
                measured, measure = self._feature(feature.aggregate), self._words[feature.measure]
                if self._is_english:
                    return f"{measure} {measured} {self._words[Word.TREND_END]}"
                return f"{measured} {measure}"
            case features.DateDistance():
                trait, measure = _name(feature.trait), self._words[feature.measure]
                text = f"{measure} {trait}" if self._is_english else f"{trait} {measure}"
                return text + self._zone_of(feature.zone)
            case features.TopValues():
                return self._windowed(self._top(feature), feature.window)
            case features.Orders():
                return self._windowed(self._measured_orders(feature), feature.window)
            case features.Related():
                end = "" if self._is_english else f" {self._words[Word.NUMBER]}"
                type_ = f"{self._words[Word.RELATED]} {_name(feature.object_type)}"
                return type_ + self._where(feature.where) + end

    def _trait(self, trait: features.Trait) -> str:
        text = _name(trait.name)
        if trait.parties:
            parties = ", ".join(self._words[party] for party in trait.parties)
            text += f" {self._words[Word.FROM]} {parties}"
        if trait.sources:
            text += f" {self._words[Word.STATED_BY]} {', '.join(map(_name, trait.sources))}"
        if trait.cleaner != self._cleaners.get(trait.name, ""):
            cleaner = _name(trait.cleaner or NO_CLEANER)
            text += f" {self._words[Word.STANDARDISED]} {cleaner}"
        return text

    def _aggregate(self, aggregate: features.Aggregate) -> str:
        word, events = self._words[aggregate.function], self.events(aggregate.events)
        if aggregate.function is Function.COUNT:
            return f"{word} {events}" if self._is_english else f"{events} {word}"
        of, property_ = self._words[Word.OF], _name(aggregate.property)
        if self._is_english:
            return f"{word} {property_} {of} {events}"
        return f"{events} {of} {property_} {word}"

    def _top(self, top: features.TopValues) -> str:
        of, property_, events = self._words[Word.OF], _name(top.property), self.events(top.events)
        if self._is_english:
            return f"top {top.limit} {property_} {of} {events}"
        return f"{events} {of} {property_} 前{top.limit}位"

    def _sequence(self, sequence: features.Sequence) -> str:
        then = f" {self._words[Word.THEN]} "
        text = self._words[Word.SEQUENCE]
        text += self._bracketed(then.join(map(self._step, sequence.steps)))
        if sequence.same:
            text += f" {self._words[Word.SAME]} {_name(sequence.same)}"
        return text if self._is_english else f"{text} {self._words[Word.TIMES]}"

    def _step(self, step: features.Step) -> str:
        text = self.events(step.events)
        if step.within_us:
            span = self._span(step.within_us)
            text = f"{text} within {span}" if self._is_english else f"{span}内 {text}"
        if step.without is not None:
            text += f" {self._words[Word.WITHOUT]} {self.events(step.without)}"
        return text

    def _measured_orders(self, orders: features.Orders) -> str:
        text = self._words[orders.measure] + self._where(orders.where)
        if orders.definition == self._orders:
            return text
        separator = " " if self._is_english or not text.endswith("）") else ""
        definition = self._bracketed(self._definition(orders.definition))
        return f"{text}{separator}{self._words[Word.DEFINED]}{definition}"

    def _definition(self, of: OrderDefinition) -> str:
        parts: list[tuple[Word, str]] = [
            (Word.PAYMENTS, self.events(of.payments)),
            (Word.ORDER_ID, _name(of.order_id)),
            (Word.AMOUNT, _name(of.amount)),
        ]
        if of.refunds is not None:
            parts.append((Word.REFUNDS, self.events(of.refunds)))
            parts.append((Word.ORDER_ID, _name(of.refund_order_id)))
            parts.append((Word.AMOUNT, _name(of.refund_amount)))
        if of.refund_id:
            parts.append((Word.REFUND_ID, _name(of.refund_id)))
        parts.append((Word.CURRENCY, _name(of.currency)))
        if of.currency_property:
            parts.append((Word.CURRENCY_PROPERTY, _name(of.currency_property)))
        return " ".join(f"{self._words[word]} {text}" for word, text in parts)

    def _windowed(self, text: str, window: Window) -> str:
        if isinstance(window, Ever):
            return text
        part = self._window(window)
        return f"{text} {part}" if self._is_english else f"{part} {text}"

    def _window(self, window: Rolling | Calendar | Relative) -> str:
        match window:
            case Rolling():
                span = self._span(window.span_us)
                return f"in the last {span}" if self._is_english else f"最近{span}内"
            case Calendar():
                periods = Periods(window.unit, window.oldest, window.newest)
                zone = self._zone_of(window.zone)
                if self._is_english:
                    return f"during {format_periods(periods)}{zone}"
                return _chinese_periods(periods) + zone
            case Relative():
                return self._relative(window)

    def _relative(self, window: Relative) -> str:
        side = self._words[Word.AFTER if window.after else Word.BEFORE]
        anchor = f"{self._words[window.anchor]} {self.events(window.events)}"
        span = self._span(window.within_us) if window.within_us else ""
        if self._is_english:
            return f"within {span} {side} {anchor}" if span else f"{side} {anchor}"
        text = f"{self._words[Word.AT]} {anchor} {side}"
        return f"{text} {span}内" if span else text

    def _zone_of(self, zone: str) -> str:
        if zone == self._zone:
            return ""
        return self._bracketed(f"{self._words[Word.ZONE]} {_name(zone)}")

    def events(self, events: EventFilter) -> str:
        if events.names == (ANY_EVENT,):
            names = self._words[Word.ANY_EVENT]
        else:
            names = f" {self._words[Word.OR_EVENT]} ".join(map(_name, events.names))
        return names + self._where(events.where)

    def _where(self, filters: tuple[PropertyFilter, ...]) -> str:
        if not filters:
            return ""
        tests = (f"{_name(f.property)} {self._comparison(f)}" for f in filters)
        joined = f" {self._words[Word.AND]} ".join(tests)
        return self._bracketed(f"{self._words[Word.WHERE]} {joined}")

    def _comparison(self, owner: PropertyFilter | model.Predicate) -> str:
        text, value = self._words[owner.operator], owner.value
        if isinstance(owner, model.Predicate) and isinstance(owner.feature, features.Elapsed):
            return f"{text} {self._span(value)}"
        if isinstance(value, tuple):
            text += f" [{', '.join(map(self._literal, value))}]"
        elif value is not None:
            text += f" {self._literal(value)}"
        return f"{text} {self._words[Word.IGNORING_CASE]}" if owner.ignore_case else text

    def _literal(self, value: Json) -> str:
        if isinstance(value, bool):
            return self._words[Word.TRUE if value else Word.FALSE]
        return canonical_json(value)

    def _span(self, us: int) -> str:
        text = format_span(us)
        suffix = text.lstrip("0123456789")
        number = text.removesuffix(suffix)
        _, _, english, chinese = next(unit for unit in UNITS if unit[0] == suffix)
        if self._is_english:
            return f"{number} {english}" if number == "1" else f"{number} {english}s"
        return number + chinese


def _name(name: str) -> str:
    is_plain = NAME.fullmatch(name) is not None and not is_reserved(name)
    return name if is_plain else canonical_json(name)


def _chinese_periods(periods: Periods) -> str:
    current, last, counted = PERIODS[periods.unit]
    oldest, newest = periods.oldest, periods.newest
    if oldest == newest and oldest < 2:
        return last if oldest else current
    if oldest == newest:
        return f"{oldest}个{counted}前"
    if newest > 1:
        return f"前{oldest}至前{newest}个{counted}"
    return f"前{oldest}个{counted}" + ("" if newest else "至今")
