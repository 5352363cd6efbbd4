"""Parses rules from their text form, in English, Chinese, or both mixed.

::

    rule      := and ("or" and)*
    and       := unary ("and" unary)*
    unary     := "not" unary | "(" rule ")" | ("all of" | "any of") "(" rule ")"
               | "always" | "never" | reference | predicate
    predicate := [window] feature [window] comparison
    events    := ("any event" | name ("or" name)*) ["(where" test ("and" test)* ")"]

A window is written once: in English after the feature, in Chinese before it. The words are those of
`services.kernel.rules.forms.text_words`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TypeVar

from services.kernel.calendar import DEFAULT_ZONE
from services.kernel.errors import RuleError
from services.kernel.rules import features, model
from services.kernel.rules.defaults import NO_CLEANERS, Defaults
from services.kernel.rules.features import Function, OrderDefinition, Step
from services.kernel.rules.filters import (
    ANY_EVENT,
    MAX_EVENT_NAMES,
    MAX_FILTERS,
    EventFilter,
    PropertyFilter,
)
from services.kernel.rules.forms.text_scan import Scanner
from services.kernel.rules.forms.text_words import Word
from services.kernel.rules.forms.words import NO_CLEANER
from services.kernel.rules.limits import MAX_DEPTH, RuleSize, check_sent, check_size
from services.kernel.rules.values import MAX_ELEMENTS, Json, Operator
from services.kernel.rules.windows import EVER, Anchor, Calendar, Relative, Rolling, Window
from services.kernel.trust import Party

_ENGLISH, _CHINESE = 0, 1
_COMPARISON = "a comparison such as `≥ 1`, `contains`, `包含` or `exists`"
_TOP = re.compile(r"top\s+([0-9]{1,4})(?!\w)")
_TOP_CHINESE = re.compile(r"前\s*([0-9]{1,4})\s*位(?!\w)")
#: The marks that begin a name in quotes.
_QUOTES = ('"', "“")
_Part = TypeVar("_Part")
#: A feature without its window.
_Windowed = Callable[[Window], features.Feature]


def parse_text(
    text: str,
    *,
    zone: str = DEFAULT_ZONE,
    orders: OrderDefinition | None = None,
    cleaners: Mapping[str, str] = NO_CLEANERS,
) -> model.Rule:
    """Return the rule of a text. Raises RuleError with the place and what is expected there.

    `zone` (an IANA name), `orders` and the `cleaners` of traits are those of the workspace; they
    count where the text omits them.
    """
    check_sent(len(text))
    scanner = Scanner(text)
    rule = _TextParser(scanner, Defaults(zone, orders, cleaners)).rule(1)
    scanner.end()
    check_size(rule)
    return rule


class _TextParser:
    def __init__(self, scanner: Scanner, defaults: Defaults) -> None:
        self._scan = scanner
        self._defaults = defaults
        self._size = RuleSize()

    def rule(self, depth: int) -> model.Rule:
        rules = [self._and(depth)]
        while self._scan.word(Word.OR):
            rules.append(self._and(depth))
        return rules[0] if len(rules) == 1 else model.Any_(tuple(rules))

    def _and(self, depth: int) -> model.Rule:
        rules = [self._unary(depth)]
        while self._scan.word(Word.AND):
            rules.append(self._unary(depth))
        return rules[0] if len(rules) == 1 else model.All(tuple(rules))

    def _unary(self, depth: int) -> model.Rule:
        if depth > 2 * MAX_DEPTH:
            place = self._scan.place(self._scan.at)
            remedy = f"write rules at most {MAX_DEPTH} deep"
            raise RuleError(f"{place}: the rule is nested too deep", remedy)
        begin = (Word.NOT, Word.ALL_OF, Word.ANY_OF, Word.ALWAYS, Word.NEVER)
        match self._scan.one_of(begin):
            case Word.NOT:
                return model.Not(self._unary(depth + 1))
            case Word.ALL_OF:
                return model.All((self._bracketed_rule(depth),))
            case Word.ANY_OF:
                return model.Any_((self._bracketed_rule(depth),))
            case Word.ALWAYS:
                return model.All(())
            case Word.NEVER:
                return model.Any_(())
        if self._scan.at < len(self._scan.text) and self._scan.text[self._scan.at] in "(（":
            return self._bracketed_rule(depth)
        start = self._scan.at
        try:
            leaf = self._reference() or self._predicate()
            self._size.enter(1)
            self._size.add(leaf)
            return leaf
        except RuleError as error:
            if error.problem.startswith("at character"):
                raise
            problem = f"{self._scan.place(start)}: {error.problem}"
            raise RuleError(problem, error.remedy) from None

    def _bracketed_rule(self, depth: int) -> model.Rule:
        return self._scan.bracketed(lambda: self.rule(depth + 1))

    def _reference(self) -> model.Reference | None:
        kind = self._scan.one_of(model.ReferenceKind)
        if kind is None:
            return None
        id_, value = self._name(f"the id of a {kind.value}"), ""
        if kind is not model.ReferenceKind.SEGMENT and self._scan.word(Operator.EQ):
            value = self._name("a value")
        return model.Reference(kind, id_, value)

    def _predicate(self) -> model.Predicate:
        before = self._window()
        trend = self._scan.one_of(features.TrendMeasure, _ENGLISH)
        feature = self._feature(before)
        if trend is None and isinstance(feature, features.Aggregate):
            trend = self._scan.one_of(features.TrendMeasure, _CHINESE)
        elif trend is not None:
            self._need(self._scan.word(Word.TREND_END))
        if trend is not None:
            if not isinstance(feature, features.Aggregate):
                raise RuleError("a trend compares numbers of events", "write count, sum or average")
            feature = features.Trend(feature, trend)
        return model.Predicate(feature, *self._comparison(isinstance(feature, features.Elapsed)))

    def _comparison(self, is_age: bool = False) -> tuple[Operator, Json, bool]:
        operator = self._scan.expect(self._scan.one_of(Operator, shown=_COMPARISON))
        if operator in (Operator.EXISTS, Operator.MISSING):
            return operator, None, False
        if is_age:
            return operator, self._scan.expect(self._scan.span()), False
        value: Json
        if operator in (Operator.IN, Operator.NOT_IN):
            value = self._list()
        else:
            value = self._scan.expect(self._scan.literal())
        return operator, value, self._scan.word(Word.IGNORING_CASE)

    def _list(self) -> list[Json]:
        self._need(self._scan.mark("[【"))
        values = self._several(lambda: self._scan.expect(self._scan.literal()), MAX_ELEMENTS)
        self._need(self._scan.mark("]】"))
        return values

    def _several(
        self, read: Callable[[], _Part], most: int, another: Word | None = None
    ) -> list[_Part]:
        """Read parts with commas, or words, between them. Raises RuleError at the first excess."""
        parts = [read()]
        while self._scan.mark(",，、") if another is None else self._scan.word(another):
            parts.append(read())
            if len(parts) > most:
                place, remedy = self._scan.place(self._scan.at), f"write at most {most}"
                raise RuleError(f"{place}: there are too many parts in a row", remedy)
        return parts

    def _feature(self, before: Window | None) -> features.Feature:
        """Return the feature that follows; `before` is the window that was written before it."""
        # `days until next order` goes before `days until`, `count of sequence` before `count of`.
        windowed = self._measured_orders() or self._sequence()
        feature = None if windowed else self._without_window()
        if feature is not None:
            if before is not None:
                raise RuleError("this has no window", "write the window with events or orders")
            return feature
        windowed = windowed or self._english_events()
        if windowed is None:
            found = self._named(before is not None)
            if isinstance(found, features.Trait | features.DateDistance):
                return found
            windowed = found
        after = self._window() if before is None else None
        return windowed(before or after or EVER)

    def _without_window(self) -> features.Feature | None:
        age = self._scan.one_of((Word.SINCE_LAST, Word.SINCE_FIRST))
        if age is not None:
            return features.Elapsed(self._events(), age is Word.SINCE_FIRST)
        measure = self._scan.one_of(features.DateMeasure, _ENGLISH)
        if measure is not None:
            return features.DateDistance(self._name("the name of a trait"), measure, self._zoned())
        if self._scan.word(Word.RELATED):
            type_, where = self._name("a type of objects"), self._where()
            self._scan.word(Word.NUMBER)
            return features.Related(type_, where)
        return None

    def _english_events(self) -> _Windowed | None:
        limit = self._scan.pattern(_TOP, "`top`")
        function = None if limit else self._scan.one_of(Function, _ENGLISH)
        if function is Function.COUNT:
            counted = self._events()
            return lambda window: features.Aggregate(Function.COUNT, counted, "", window)
        if function is None and limit is None:
            return None
        property_ = self._name("the name of a property")
        self._need(self._scan.word(Word.OF))
        return self._of_property(self._events(), property_, function, limit)

    def _of_property(
        self, events: EventFilter, of: str, function: Function | None, limit: str | None
    ) -> _Windowed:
        if function is not None:
            chosen = function
            return lambda window: features.Aggregate(chosen, events, of, window)
        return lambda window: features.TopValues(events, of, int(limit or 0), window)

    def _named(self, has_window: bool) -> _Windowed | features.Trait | features.DateDistance:
        """Read what begins with a name: a trait, or events and their function in Chinese."""
        # A trait may have the name that stands for any event; then it is in quotes.
        is_any_event = self._scan.text[self._scan.at : self._scan.at + 1] not in _QUOTES
        events = self._events("the name of a trait")
        is_any_event = is_any_event and events.names == (ANY_EVENT,)
        if self._scan.one_of((Function.COUNT,), _CHINESE):
            return lambda window: features.Aggregate(Function.COUNT, events, "", window)
        if self._scan.one_of((Word.OF,), _CHINESE):
            of = self._name("the name of a property")
            limit = self._scan.pattern(_TOP_CHINESE, "`前3位`")
            functions = [function for function in Function if function is not Function.COUNT]
            function = None if limit else self._scan.expect(self._scan.one_of(functions, _CHINESE))
            return self._of_property(events, of, function, limit)
        if has_window or len(events.names) > 1 or events.where or is_any_event:
            raise self._scan.error()
        measure = self._scan.one_of(features.DateMeasure, _CHINESE)
        if measure is not None:
            return features.DateDistance(events.names[0], measure, self._zoned())
        return self._trait(events.names[0])

    def _trait(self, name: str) -> features.Trait:
        parties, sources = list[Party](), list[str]()
        if self._scan.word(Word.FROM):
            parties = self._several(lambda: self._scan.expect(self._scan.one_of(Party)), len(Party))
        if self._scan.word(Word.STATED_BY):
            sources = self._several(lambda: self._name("the id of a source"), features.MAX_SOURCES)
        cleaner = self._defaults.cleaners.get(name, "")
        if self._scan.word(Word.STANDARDISED):
            cleaner = self._name("a cleaner such as place")
        cleaner = "" if cleaner == NO_CLEANER else cleaner
        return features.Trait(name, tuple(parties), cleaner, tuple(sources))

    def _sequence(self) -> _Windowed | None:
        if not self._scan.word(Word.SEQUENCE):
            return None
        steps = self._scan.bracketed(self._steps)
        same = self._name("the name of a property") if self._scan.word(Word.SAME) else ""
        self._scan.word(Word.TIMES)
        return lambda window: features.Sequence(steps, same, window)

    def _steps(self) -> tuple[Step, ...]:
        return tuple(self._several(self._step, features.MAX_STEPS, Word.THEN))

    def _step(self) -> Step:
        within_us = self._scan.span_inside()
        events = self._events()
        if within_us is None and self._scan.word(Word.WITHIN):
            within_us = self._scan.expect(self._scan.span())
        without = self._events() if self._scan.word(Word.WITHOUT) else None
        return Step(events, within_us or 0, without)

    def _measured_orders(self) -> _Windowed | None:
        measure = self._scan.one_of(features.OrderMeasure)
        if measure is None:
            return None
        found, where, definition = measure, self._where(), self._defaults.orders
        if self._scan.word(Word.DEFINED):
            definition = self._scan.bracketed(self._definition)
        if definition is None:
            remedy = "define the orders of the workspace, or write `defined by (payments ...)` here"
            raise RuleError("the workspace does not define orders", remedy)
        given = definition
        return lambda window: features.Orders(given, found, where, window)

    def _definition(self) -> OrderDefinition:
        self._need(self._scan.word(Word.PAYMENTS))
        payments, order_id, amount = self._statement()
        refunds, refund_order_id, refund_amount, refund_id = None, "", "", ""
        if self._scan.word(Word.REFUNDS):
            refunds, refund_order_id, refund_amount = self._statement()
            refund_id = self._name("a name") if self._scan.word(Word.REFUND_ID) else ""
        self._need(self._scan.word(Word.CURRENCY))
        currency = self._name("a currency such as CNY")
        is_read = self._scan.word(Word.CURRENCY_PROPERTY)
        property_ = self._name("the name of a property") if is_read else ""
        refund = (refunds, refund_order_id, refund_amount, refund_id)
        return OrderDefinition(payments, order_id, amount, *refund, property_, currency)

    def _statement(self) -> tuple[EventFilter, str, str]:
        events = self._events()
        self._need(self._scan.word(Word.ORDER_ID))
        order_id = self._name("the name of a property")
        self._need(self._scan.word(Word.AMOUNT))
        return events, order_id, self._name("the name of a property")

    def _window(self) -> Window | None:
        span_us = self._scan.last_span()
        if span_us is not None:
            return Rolling(span_us)
        is_during = self._scan.word(Word.DURING)
        periods = self._scan.periods() if is_during else self._scan.chinese_periods()
        if is_during or periods is not None:
            unit, oldest, newest = self._scan.expect(periods)
            return Calendar(unit, oldest, newest, self._zoned())
        if self._scan.word(Word.AT):
            anchor = self._scan.expect(self._scan.one_of(Anchor))
            events = self._events()
            side = self._scan.expect(self._scan.one_of((Word.BEFORE, Word.AFTER)))
            return Relative(events, anchor, side is Word.AFTER, self._scan.span_inside() or 0)
        within_us = self._scan.expect(self._scan.span()) if self._scan.word(Word.WITHIN) else 0
        beside = self._scan.one_of((Word.BEFORE, Word.AFTER), _ENGLISH)
        if beside is None:
            self._need(not within_us)
            return None
        anchor = self._scan.expect(self._scan.one_of(Anchor))
        return Relative(self._events(), anchor, beside is Word.AFTER, within_us)

    def _zoned(self) -> str:
        """Read a time zone in brackets; the one of the workspace if none follows."""
        start = self._scan.at
        if self._scan.mark("(（"):
            if self._scan.word(Word.ZONE):
                zone = self._name("a time zone such as Asia/Shanghai")
                self._need(self._scan.mark(")）"))
                return zone
            self._scan.at = start
        return self._defaults.zone

    def _events(self, what: str = "the name of an event") -> EventFilter:
        if self._scan.word(Word.ANY_EVENT):
            return EventFilter((ANY_EVENT,), self._where())
        names = self._several(lambda: self._name(what), MAX_EVENT_NAMES, Word.OR_EVENT)
        return EventFilter(tuple(names), self._where())

    def _where(self) -> tuple[PropertyFilter, ...]:
        start = self._scan.at
        if not self._scan.mark("(（"):
            return ()
        if not self._scan.word(Word.WHERE):
            self._scan.at = start
            return ()
        tests = self._several(self._test, MAX_FILTERS, Word.AND)
        self._need(self._scan.mark(")）"))
        return tuple(tests)

    def _test(self) -> PropertyFilter:
        name = self._name("the name of a property")
        return PropertyFilter(name, *self._comparison())

    def _name(self, what: str) -> str:
        return self._scan.expect(self._scan.name(what))

    def _need(self, found: bool) -> None:
        if not found:
            raise self._scan.error()
