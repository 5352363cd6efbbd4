"""Describes the JSON form of rules as a JSON Schema (draft 2020-12), for editors.

It is made from the tables of words that the parser uses. The parser checks more: that time zones
are known, that cleaners have standard forms of values, the sizes of rules, the order of calendar
periods, the length of spans, that texts are valid Unicode, and that a workspace defines the orders
that a rule omits.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, Final

from services.kernel.cleaning.cleaners import CLEANERS
from services.kernel.cleaning.currencies import CODES
from services.kernel.rules import features, filters, names, periods, values
from services.kernel.rules.forms import words
from services.kernel.rules.values import Operator

Schema = dict[str, Any]

#: What each kind of rule means, as editors show it.
_DESCRIPTIONS: Final = {
    "all": "True if all rules are.",
    "any": "True if at least one rule is.",
    "not": "True if the rule is false.",
    "segment": "True for members of a segment.",
    "tag": "True for people who have a tag.",
    "stage": "True for people in a stage.",
    "trait": "Compares a trait.",
    "count": "Compares the number of events.",
    "sum": "Compares the sum of a property.",
    "average": "Compares the mean of a property.",
    "minimum": "Compares the least number of a property.",
    "maximum": "Compares the greatest number of a property.",
    "first": "Compares the earliest value of a property.",
    "last": "Compares the latest value of a property.",
    "distinct": "Compares the number of different values of a property.",
    "last_seen": "Compares the time since the last event.",
    "first_seen": "Compares the time since the first event.",
    "sequence": "Compares how often steps were completed in order.",
    "trend": "Compares a window with the one before it.",
    "date": "Compares the distance to a date in a trait.",
    "top": "Compares the most frequent values of a property.",
    "orders": "Compares a measure of the orders of a person.",
    "related": "Compares the number of related objects.",
    "consent": "True if the last answer to a purpose is the given one.",
}


def rule_schema() -> Schema:
    """Return the schema of a rule."""
    rules = {word: _ref(word) | {"description": _DESCRIPTIONS[word]} for word in words.RULES}
    one = {"minProperties": 1, "maxProperties": 1}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Rule",
        "$ref": "#/$defs/rule",
        "$defs": {
            "rule": _object(rules) | one,
            **{word: {"type": "array", "items": _ref("rule")} for word in words.JOINS},
            "not": _ref("rule"),
            **_references(),
            "consent": _consent(),
            **{word: _predicate(kind) for word, kind in words.KINDS.items() if word != "trend"},
            "trend": _trend(),
            **_PARTS,
        },
    }


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _object(properties: Schema, required: Iterable[str] = ()) -> Schema:
    schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return schema | ({"required": list(required)} if required else {})


def _keyed(keys: Iterable[str], required: Iterable[str] = ()) -> Schema:
    """Return the schema of a mapping with some of the keys that are parts of rules."""
    return _object({key: _KEYS.get(key, _ref("name")) for key in keys}, required)


def _exactly_one(keys: Iterable[str]) -> Schema:
    return {"oneOf": [{"required": [key]} for key in keys]}


def _at_most_one(keys: Iterable[str]) -> Schema:
    each = _exactly_one(keys)["oneOf"]
    return {"oneOf": [{"not": {"anyOf": each}}, *each]}


def _references() -> dict[str, Schema]:
    def mapping(word: str, required: int) -> Schema:
        keys = words.REFERENCE_KEYS[word]
        return _keyed(keys, keys[:required])

    return {
        "segment": {"anyOf": [_ref("name"), mapping("segment", 1)]},
        "tag": {"anyOf": [_ref("name"), mapping("tag", 1)]},
        "stage": mapping("stage", 2),
    }


def _consent() -> Schema:
    properties = {"purpose": _ref("name"), "is": {"enum": list(words.CONSENTS)}}
    return _object(properties, properties)


def _predicate(kind: words.Kind) -> Schema:
    schema = _keyed((*kind.required, *kind.optional), kind.required)
    rules: list[Schema] = []
    if kind.measures:
        schema["properties"] |= dict.fromkeys(kind.measures, _ref("comparison"))
        rules.append(_exactly_one(kind.measures))
    else:
        tests = _comparisons(kind.compared)
        schema["properties"] |= tests
        case = {words.IGNORE_CASE: {"type": "boolean"}} if kind.compared.has_case else {}
        schema["properties"] |= case
        rules.append(_at_most_one(tests) if kind.is_optional else _exactly_one(tests))
    if "during" in kind.optional:
        rules.append(_at_most_one(words.WINDOWS))
        schema["dependentRequired"] = {"zone": ["during"]}
    if "clean" in kind.optional:
        texts = {word: {"not": {"type": "boolean"}} for word in kind.compared.comparisons}
        texts |= dict.fromkeys((o.value for o in words.TRUE_COMPARISONS), True)
        cleaned = {"required": ["clean"], "properties": {"clean": {"enum": _CLEANERS}}}
        rules.append({"if": cleaned, "then": {"properties": texts}})
        made = {"required": ["name"], "properties": {"name": {"pattern": _MADE_NAMES}}}
        rules.append({"if": made, "then": {"properties": {"party": False, "from": False}}})
    return schema | {"allOf": rules}


def _trend() -> Schema:
    kind = words.KINDS["trend"]
    schema = _object(dict.fromkeys(kind.measures, _ref("comparison")))
    for word in words.TREND_FUNCTIONS:
        of = words.KINDS[word]
        inner = _keyed((*of.required, *of.optional), of.required)
        for key in set(words.WINDOWS) - set(words.LENGTHS):
            inner["properties"][key] = False
        inner["dependentRequired"] = {"zone": ["during"]}
        schema["properties"][word] = inner | _exactly_one(words.LENGTHS)
    each = [_exactly_one(words.TREND_FUNCTIONS), _exactly_one(kind.measures)]
    return schema | {"allOf": each}


def _comparisons(compared: words.Compared) -> dict[str, Schema]:
    """Return the schema of the value of each comparison."""
    if compared is words.SPANS:
        return dict.fromkeys(compared.comparisons, _ref("span"))
    number = _ref("whole") if compared.is_whole else _ref("number")
    is_number = compared.comparisons is words.NUMBER_COMPARISONS
    return {
        word: {"const": True}
        if operator in words.TRUE_COMPARISONS
        else (number if is_number else _value(operator))
        for word, operator in compared.comparisons.items()
    }


def _value(operator: Operator) -> Schema:
    if operator in (Operator.IN, Operator.NOT_IN):
        return _ref("list")
    if operator in (Operator.STARTS_WITH, Operator.ENDS_WITH):
        return _ref("text")
    ordered = operator in (Operator.LT, Operator.LE, Operator.GT, Operator.GE)
    return {"anyOf": [_ref("text"), _ref("number")]} if ordered else _ref("scalar")


def _filter() -> Schema:
    tests = _comparisons(words.VALUES)
    mapping = _object(tests | {words.IGNORE_CASE: {"type": "boolean"}})
    some = [{"required": [word]} for word in tests]
    return {"anyOf": [_ref("scalar"), _ref("list"), mapping | {"anyOf": some}]}


#: The names of all cleaners, without and with their versions.
_CLEANERS: Final = sorted({name for each in CLEANERS for name in (each, each.partition("@")[0])})
#: The names of traits that no source states: touches and scores.
_MADE_NAMES: Final = rf"^(?:{names.FIRST_TOUCH}|{names.LAST_TOUCH})(?:\.|$)|^{names.SCORE}\."
_BIGGEST: Final = sys.float_info.max
_PARTY: Final = {"enum": list(words.PARTIES)}
#: The schemas of keys that are no names.
_KEYS: Final[dict[str, Schema]] = {
    "event": _ref("event"),
    "where": _ref("where"),
    "within": _ref("span"),
    "during": {"type": "string", "pattern": f"^(?:{periods.PATTERN})$"},
    "before": _ref("anchor"),
    "after": _ref("anchor"),
    "which": {"enum": list(words.ANCHORS)},
    "without": _ref("events"),
    "party": {"anyOf": [_PARTY, {"type": "array", "items": _PARTY, "minItems": 1}]},
    "from": {
        "anyOf": [
            _ref("name"),
            {
                "type": "array",
                "items": _ref("name"),
                "minItems": 1,
                "maxItems": features.MAX_SOURCES,
            },
        ]
    },
    "clean": {"enum": [words.NO_CLEANER, *_CLEANERS]},
    "limit": {"type": "integer", "minimum": 1, "maximum": features.MAX_TOP},
    "steps": {
        "type": "array",
        "prefixItems": [_ref("events")],
        "items": _ref("step"),
        "minItems": 2,
        "maxItems": features.MAX_STEPS,
    },
    "definition": _ref("order_definition"),
    "payments": _ref("payments"),
    "refunds": _ref("refunds"),
    "currency": {"enum": sorted(CODES)},
}
_NAME: Final = {"type": "string", "minLength": 1, "maxLength": names.MAX_NAME}
_PARTS: Final[dict[str, Schema]] = {
    "name": _NAME,
    "text": {"type": "string", "maxLength": values.MAX_TEXT},
    "number": {"type": "number", "minimum": -_BIGGEST, "maximum": _BIGGEST},
    "whole": {"type": "integer", "minimum": 0, "maximum": 2**63 - 1},
    "scalar": {"anyOf": [{"type": "boolean"}, _ref("text"), _ref("number")]},
    "list": {
        "type": "array",
        "items": _ref("scalar"),
        "minItems": 1,
        "maxItems": values.MAX_ELEMENTS,
    },
    "span": {"type": "string", "pattern": "^(?=.*[1-9])[0-9]{1,19}(us|s|m|h|d|w)$"},
    "event": {
        "anyOf": [
            _ref("name"),
            {
                "type": "array",
                "items": _ref("name"),
                "minItems": 1,
                "maxItems": filters.MAX_EVENT_NAMES,
            },
        ]
    },
    "filter": _filter(),
    "where": {
        "anyOf": [
            {"type": "object", "propertyNames": _NAME, "additionalProperties": _ref("filter")},
            {"type": "array", "items": _ref("where")},
        ]
    },
    "comparison": _object(_comparisons(words.NUMBERS)) | _exactly_one(words.NUMBER_COMPARISONS),
    "events": _keyed(words.FILTER_KEYS, ("event",)),
    "step": _keyed(words.STEP_KEYS, ("event",)),
    "anchor": _keyed(words.ANCHOR_KEYS, ("event", "which")),
    "order_definition": _keyed(words.DEFINITION_KEYS, ("payments",)),
    "payments": _keyed(words.PAYMENT_KEYS, ("event", "order_id", "amount")),
    "refunds": _keyed(words.REFUND_KEYS, ("event", "order_id", "amount")),
}
