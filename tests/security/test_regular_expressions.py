"""No regular expression of the services takes long, whatever text a stranger sends."""

from __future__ import annotations

import re
import time
from functools import cache
from typing import Any

import pytest
from architecture.source_tree import Source, message, under
from contract.protos.descriptors import fields, option
from onefold.type.v1 import options_pb2
from security.pumps import Expression, UnknownExpression, expressions_of, slow_text

from services.cli.files import numbers
from services.identity.domain import policy
from services.kernel.identifiers import phones
from services.kernel.identifiers.model import MAX_VALUE
from services.kernel.identifiers.normalize import normalize
from services.kernel.rules.forms import text_scan

#: How each expression that a function compiles of parts is made, and its method.
MADE = {
    "services/kernel/identifiers/phones.py:_chinese_mobile": (phones._chinese_mobile, "fullmatch"),
    "services/cli/files/numbers.py:_form": (
        lambda: numbers._form(numbers.NumberMarks(decimal=",", thousands=".")),
        "fullmatch",
    ),
    "services/kernel/rules/forms/text_scan.py:_phrase": (
        lambda: text_scan._phrase("is at least"),
        "match",
    ),
    "services/identity/domain/policy.py:_patterns": (
        lambda: _blocking("*a*", "a*a*b*", "*aa*ba", "a"),
        "fullmatch",
    ),
}


def _blocking(*patterns: str) -> re.Pattern[str]:
    blocked = tuple(policy.Blocked("user_id", pattern) for pattern in patterns)
    return policy.Policy(rules={}, blocked=blocked)._patterns["user_id"]


@cache
def expressions() -> list[Expression]:
    found = [each for file in under("services") for each in expressions_of(file, MADE)]
    contract = {str(option(field, options_pb2.pattern)) for field in fields()} - {""}
    return found + [Expression(f"protos: {p}", re.compile(p), ("fullmatch",)) for p in contract]


def test_every_expression_takes_time_in_proportion_to_its_text() -> None:
    found = [problem for each in expressions() if (problem := slow_text(each))]
    assert not found, message(found, "no two repeats may share a run of characters")


def test_every_module_with_expressions_is_walked() -> None:
    places = " ".join(each.place for each in expressions())
    for path in (
        "kernel/identifiers/phones.py",
        "ingest/domain/json_limits.py",
        "runtime/settings",
    ):
        assert path in places
    assert len(expressions()) > 40
    imported = [f.path for f in under("services") if ("from re import" in f.text)]
    assert not imported, "write re.compile, which this test finds"


@pytest.mark.parametrize(
    ("pattern", "method"),
    [
        (
            r"(?:tel:)?(?P<number>[ ()./-]*\+?[\d ()./-]+?)"
            r"(?:[ ,;]*(?:extension|ext|x|#)[ .:=]*(?P<extension>[0-9]{1,7}))?",
            "fullmatch",
        ),
        (r"(a+)+", "fullmatch"),
        (r"(?:a|aa)*b", "match"),
        (r"\s*\s*x", "match"),
        (r"\d+x", "search"),
        (r"(?:[a-z]+\.?)+@", "fullmatch"),
        (r"(\w+\s?)*;", "match"),
        (r"(?:\d,?){300}", "search"),
        (rb"[0-9]*[0-9a-f]*;", "match"),
    ],
)
def test_a_planted_slow_expression_is_found(pattern: Any, method: str) -> None:
    assert slow_text(Expression("planted", re.compile(pattern, re.IGNORECASE), (method,)))


@pytest.mark.parametrize(
    ("pattern", "method"),
    [(r"(?>a+)+b", "fullmatch"), (r"[a-z0-9]+(?:\.[a-z0-9]+)*", "fullmatch"), (r"ab+c", "search")],
)
def test_a_planted_quick_expression_passes(pattern: str, method: str) -> None:
    assert not slow_text(Expression("planted", re.compile(pattern), (method,)))


def test_planted_expressions_are_collected_wherever_they_are_written() -> None:
    planted = (
        "import re\n"
        "def f(x: str) -> None:\n"
        "    re.sub('a+b', '', x)\n"
        "    re.compile('c').match(x)\n"
        "Text = StringConstraints(pattern='^d$')\n"
    )
    found = list(expressions_of(Source("services/kernel/planted.py", planted), {}))
    assert [each.pattern.pattern for each in found] == ["a+b", "c", "^d$"]
    assert found[0].methods == ("sub",)
    made = Source("services/kernel/planted.py", "import re\ndef f(x): re.compile(x)")
    with pytest.raises(UnknownExpression, match=r"planted\.py:f"):
        list(expressions_of(made, {}))


@pytest.mark.parametrize("namespace", ["phone", "email", "account_domain", "imei", "device_id"])
def test_an_identifier_of_any_characters_is_normalised_at_once(namespace: str) -> None:
    """The libraries for numbers and domains get texts of a bounded length only."""
    normalize(namespace, "a@例子.cn" if namespace == "email" else "+8613800138001", "CN")
    units = (*"10 ()-./+x#a.@", "1 ", "( ", "xn--", "é.", "à", "ﷺ", "٣", " ;", "1x", "転")
    slowest = 0.0
    for prefix in ("", "+", "+86", "00", "tel:", "a@", "a@xn--", "{"):
        for unit in units:
            for end in ("", "1", "x", "z", "\u3002"):
                text = prefix + (unit * MAX_VALUE)[: MAX_VALUE - len(prefix) - 1] + end
                cost = normalisation_s(namespace, text)
                if cost > slowest:
                    cost = min(cost, *(normalisation_s(namespace, text) for _ in range(5)))
                slowest = max(slowest, cost)
    scan = min(normalisation_s("email_sha256", "é" * MAX_VALUE) for _ in range(20))
    assert slowest < max(500 * scan, 0.02), (slowest, scan)


def normalisation_s(namespace: str, text: str) -> float:
    """Return the CPU seconds of one normalisation, which no cache shortens."""
    phones.phone.cache_clear()
    began = time.process_time()
    normalize(namespace, text, "CN")
    return time.process_time() - began
