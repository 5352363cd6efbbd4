"""Parses rules from their JSON form, as users write it in YAML, and dumps them.

::

    all: [RULE, ...]    any: [RULE, ...]    not: RULE
    segment: ID    tag: ID    tag: {id: ID, is: VALUE}    stage: {of: ID, is: STAGE}
    trait:      {name: city, eq: 北京市, party: [first, second], clean: place}
    count:      {event: attended_trial, where: WHERE, within: 7d, at_least: 1}
    distinct:   {event: [viewed_course, viewed_book], property: id, within: 7d, at_least: 3}
    last_seen:  {event: "*", within: 30d}                 # and first_seen
    sequence:   {steps: [{event: a}, {event: b, within: 7d, without: {event: c}}], same: course_id}
    trend:      {sum: {event: paid, property: amount, during: this month}, ratio: {lt: 0.5}}
    date:       {trait: birthday, days_until_anniversary: {at_most: 3}}
    top:        {event: viewed, property: brand, limit: 3, contains: sneakers}
    orders:     {net_spend: {gt: 1000}, during: last 12 months}
    related:    {type: course, where: WHERE, at_least: 1}
    consent:    {purpose: marketing, is: granted}         # or refused, unknown

`sum`, `average`, `minimum`, `maximum`, `first` and `last` are written like `distinct`. At most one
window is written, and none means the whole past: `within: 7d`; `during: this month` with `zone`;
`before` or `after: {event: paid, which: first, within: 7d}`.

WHERE is `{PROPERTY: VALUE}`: a scalar means equality, a list means one of its elements, and
`{at_least: 3, lt: 9}` means these comparisons. Two comparisons of one property with the same
operator are written as a list of mappings. `ignore_case: true` is written beside a comparison.

`last_seen` compares an age: `within: W` is age < W, `at_most` <=, `longer_than` >, `at_least` >=.
So an event is in the window of `count: {within: W}` exactly while its age is `within: W`.

Spans are whole numbers of s, m, h, d, w (and us, if nothing else is exact).
"""

from __future__ import annotations

from collections.abc import Mapping

from services.kernel.calendar import DEFAULT_ZONE
from services.kernel.errors import RuleError, RuleErrors, RuleTooLarge, join_path
from services.kernel.rules import model
from services.kernel.rules.defaults import NO_CLEANERS, Defaults
from services.kernel.rules.features import OrderDefinition
from services.kernel.rules.forms import words
from services.kernel.rules.forms.json_body import Body, listed, make, unknown_word
from services.kernel.rules.forms.json_dump import dump_rule
from services.kernel.rules.forms.json_parse import parse_orders, parse_predicate
from services.kernel.rules.limits import RuleSize
from services.kernel.rules.names import check_name
from services.kernel.rules.values import Json

__all__ = ["dump_rule", "parse_orders", "parse_rule"]

#: The most mistakes of one list of rules that are found.
MAX_ERRORS = 20
#: What errors show at the keys of references.
_EXAMPLES = {"id": "ID", "of": "SET", "is": "VALUE"}


def parse_rule(
    form: Json,
    *,
    zone: str = DEFAULT_ZONE,
    orders: OrderDefinition | None = None,
    cleaners: Mapping[str, str] = NO_CLEANERS,
) -> model.Rule:
    """Return the rule of a decoded JSON or YAML form.

    `zone` (an IANA name), `orders` and the `cleaners` of traits are those of the workspace; they
    count where the form omits them. Raises RuleError; its `field` is the path of the wrong part.
    Where several rules of an `all` or `any` are wrong it is a RuleErrors; where the rule is too
    large it is a RuleTooLarge, as the rest is not read.
    """
    return _Parser(Defaults(zone, orders, cleaners)).rule(form, "", 1)


class _Parser:
    """Parses one form, and counts its rules to limit its size."""

    def __init__(self, defaults: Defaults) -> None:
        self._defaults = defaults
        self._size = RuleSize()

    def rule(self, form: Json, path: str, depth: int) -> model.Rule:
        make(path, "", lambda: self._size.enter(depth))
        kind, body = _only_entry(form, path)
        here = join_path(path, kind)
        if kind == "not":
            return model.Not(self.rule(body, here, depth + 1))
        if kind in words.JOINS:
            return words.JOINS[kind](self._rules_of(body, here, depth + 1))
        if kind in words.REFERENCES:
            leaf: model.Reference | model.Predicate = _reference(kind, body, here)
        else:
            leaf = parse_predicate(kind, body, here, self._defaults)
        make(path, "", lambda: self._size.add(leaf))
        return leaf

    def _rules_of(self, body: Json, path: str, depth: int) -> tuple[model.Rule, ...]:
        if not isinstance(body, list | tuple):
            raise RuleError("this is no list", "write the rules in brackets", field=path)
        rules, errors = list[model.Rule](), list[RuleError]()
        for i, part in enumerate(body):
            try:
                rules.append(self.rule(part, f"{path}[{i}]", depth))
            except RuleTooLarge:
                raise
            except RuleError as error:
                errors.append(error)
                if len(errors) == MAX_ERRORS:
                    break
        if errors:
            raise errors[0] if len(errors) == 1 else RuleErrors(errors)
        return tuple(rules)


def _only_entry(form: Json, path: str) -> tuple[str, Json]:
    mapping = Body(form, path).form
    if len(mapping) != 1:
        remedy = f"write exactly one of {listed(words.RULES)}; join several with `all`"
        raise RuleError(f"there are {len(mapping)} rules in one place", remedy, field=path)
    ((kind, body),) = mapping.items()
    if kind not in words.RULES:
        raise unknown_word(kind, words.RULES, path)
    return kind, body


def _reference(kind: str, form: Json, path: str) -> model.Reference:
    reference, keys = words.REFERENCES[kind], words.REFERENCE_KEYS[kind]
    if isinstance(form, str) and reference is not model.ReferenceKind.STAGE:
        check_name(path, form)
        return model.Reference(reference, form)
    if not isinstance(form, Mapping):
        remedy = f"write `{kind}: {{{', '.join(f'{key}: {_EXAMPLES[key]}' for key in keys)}}}`"
        raise RuleError(f"this is no {kind}", remedy, field=path)
    body = Body(form, path)
    body.check_keys(keys)
    id_ = body.name(keys[0])
    value = body.name("is") if kind == "stage" else body.optional_name("is")
    return make(path, "", lambda: model.Reference(reference, id_, value))
