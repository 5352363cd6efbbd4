"""Finds every regular expression of the services, and texts on which one may take too long.

A backtracking engine is slow where two repeats can share a run of characters and what follows them
fails. So the texts are made of the expression's own repeats: what precedes a repeat, its alphabet
many times over, and an end that fails.
"""

from __future__ import annotations

import ast
import importlib
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from re import _constants as sre  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import Any

from architecture.source_tree import Source

#: Methods of a pattern that try it from the start of a text, and those that try every position.
ANCHORED = ("fullmatch", "match")
SEARCHING = ("search", "sub", "subn", "split", "findall", "finditer")
_CALLS = {"compile", *ANCHORED, *SEARCHING}
_REPEATS = (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT)
#: Characters of many classes, for classes that are named by what they exclude.
_POOL = 'aZ1_ -.:!\n("é中\0'
_ENDS = ("", "\0", "!", "z1")
#: Lengths of texts, in characters: small steps first, so that an exponential one is found early.
SIZES = (10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 32, 40, 80, 160, 320, 640, 1_280, 2_048, 4_096)
#: CPU seconds below which growth is not examined, and which no text of SIZES may take.
_TOO_SHORT_S, _TOO_LONG_S = 0.001, 0.04
#: The most by which twice the length may multiply the time: 2 is linear, 4 quadratic.
_MAX_GROWTH = 3.0
#: The most steps for each character, in those of the plain scan `BASELINE`.
_MAX_FACTOR = 60.0
BASELINE = re.compile(r"(?:[a-f]b?)*")


@dataclass(frozen=True)
class Expression:
    """A compiled expression, where it is, and the methods by which it is used."""

    place: str
    pattern: re.Pattern[Any]
    methods: tuple[str, ...] = field(default=("fullmatch", "search"))


class UnknownExpression(Exception):
    """An expression that is made at run time: the test has to list how."""


def expressions_of(
    file: Source, made: Mapping[str, tuple[Callable[[], re.Pattern[Any]], str]]
) -> Iterator[Expression]:
    """Yield every expression of a module.

    `made` has those that functions compile of parts, by `path:function`: how they are made, and the
    method that is used. Raises UnknownExpression.
    """
    names = {
        id(node.value): node.targets[0].id
        for node in file.tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    } | {
        id(node.value): node.target.id
        for node in file.tree.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    for node, function in _calls(file.tree):
        place = f"{file.path}:{function or node.lineno}"
        if id(node) in names:
            pattern = getattr(importlib.import_module(file.module), names[id(node)])
            yield Expression(place, pattern, _methods(file.tree, names[id(node)]))
        elif place in made:
            make, method = made[place]
            yield Expression(place, make(), (method,))
        elif isinstance(node.args[0], ast.Constant):
            method = node.func.attr  # type: ignore[attr-defined]
            used = ANCHORED + SEARCHING if method == "compile" else (method,)
            yield Expression(place, re.compile(node.args[0].value), used)
        else:
            raise UnknownExpression(place)
    for node in ast.walk(file.tree):
        if isinstance(node, ast.keyword) and node.arg == "pattern":
            value = node.value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                place = f"{file.path}:{value.lineno}"
                yield Expression(place, re.compile(value.value), ("search",))


def _calls(tree: ast.AST, function: str = "") -> Iterator[tuple[ast.Call, str]]:
    """Yield calls such as `re.compile(…)`, each with the function that holds it."""
    for node in ast.iter_child_nodes(tree):
        inside = node.name if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else function
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
            and (node.func.value.id, node.func.attr in _CALLS) == ("re", True)
        ):
            yield node, inside
        yield from _calls(node, inside)


def _methods(tree: ast.AST, name: str) -> tuple[str, ...]:
    """Return the methods that the module uses of the pattern of this name."""
    found = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == name
        and node.attr in _CALLS
    }
    return tuple(sorted(found)) or ("fullmatch", "search")


def pumps(pattern: re.Pattern[Any]) -> list[tuple[str, str, str]]:
    """Return texts as prefix, unit and end; the unit is repeated up to the length of the text."""
    tree = _parser.parse(pattern.pattern, pattern.flags)
    alphabet = sorted({*_POOL, *_literals(tree)})[:48]
    found: dict[tuple[str, str, str], None] = {}
    for prefix, body, most in _repeats(tree, "", alphabet):
        units = _units(body, alphabet)
        if isinstance(most, int) and 8 <= most <= 2_000:
            units += [units[0] * (most - 1) + "\0", units[0] * (most - 1) + "!"]
        for unit in units:
            for end in _ENDS:
                found[prefix, unit, end] = found["", unit, end] = None
    whole = _sample(tree, alphabet)
    return [*found, *(("", whole, end) for end in _ENDS if whole)]


def _units(body: Any, alphabet: list[str]) -> list[str]:
    """Return texts that a repeated part matches: characters, pairs of them, and whole examples."""
    if len(body) == 1 and (letters := _letters(body[0], alphabet)):
        first = letters[:6]
        return [*letters, *(a + b for a in first for b in first if a < b)]
    sample = _sample(body, alphabet) or "a"
    inner = [letter for node in body for letter in _letters(node, alphabet)[:3]]
    return [sample, *dict.fromkeys(inner)]


def _repeats(tree: Any, prefix: str, alphabet: list[str]) -> Iterator[tuple[str, Any, Any]]:
    """Yield each repeat: an example of what precedes it, its body, and its greatest number."""
    for node in tree:
        operator, argument = node
        if operator in _REPEATS:
            _, most, body = argument
            if most > 1:
                yield prefix, body, int(most) if most is not sre.MAXREPEAT else None
            yield from _repeats(body, prefix, alphabet)
        for branch in _branches(node):
            yield from _repeats(branch, prefix, alphabet)
        prefix += _sample([node], alphabet)


def _branches(node: Any) -> list[Any]:
    """Return the parts of a group, an alternative, an assertion or an atomic group."""
    operator, argument = node
    if operator is sre.SUBPATTERN:
        return [argument[-1]]
    if operator is sre.BRANCH:
        return list(argument[1])
    if operator in (sre.ASSERT, sre.ASSERT_NOT):
        return [argument[1]]
    return [argument] if operator is sre.ATOMIC_GROUP else []


def _sample(tree: Any, alphabet: list[str]) -> str:
    """Return a short text that the part matches, as far as that can be seen without trying."""
    text = ""
    for node in tree:
        operator, argument = node
        if operator in _REPEATS:
            text += _sample(argument[2], alphabet) * max(argument[0], 1)
        elif operator in (sre.ASSERT, sre.ASSERT_NOT, sre.AT):
            continue
        elif branches := _branches(node):
            text += _sample(branches[0], alphabet)
        else:
            text += (_letters(node, alphabet) or [""])[0]
    return text


def _letters(node: Any, alphabet: list[str]) -> list[str]:
    """Return the characters of the alphabet that a node for one character matches."""
    operator, argument = node
    if operator is sre.LITERAL:
        return [chr(argument)]
    if operator is sre.NOT_LITERAL:
        return [letter for letter in alphabet if ord(letter) != argument]
    if operator is sre.ANY:
        return [letter for letter in alphabet if letter != "\n"]
    if operator is not sre.IN:
        return []
    negated = bool(argument) and argument[0][0] is sre.NEGATE
    return [c for c in alphabet if any(_holds(item, c) for item in argument) is not negated]


def _holds(item: Any, letter: str) -> bool:
    operator, argument = item
    if operator is sre.LITERAL:
        return bool(ord(letter) == argument)
    if operator is sre.RANGE:
        return bool(argument[0] <= ord(letter) <= argument[1])
    if operator is not sre.CATEGORY:
        return False
    name = str(argument).rpartition("CATEGORY_")[2].lower()
    kinds = {"digit": r"\d", "space": r"\s", "word": r"\w"}
    matches = re.match(kinds[name.removeprefix("not_")], letter) is not None
    return matches is not name.startswith("not_")


def _literals(tree: Any) -> Iterator[str]:
    """Yield the characters that an expression names, with both ends of each range."""
    for node in tree:
        operator, argument = node
        if operator in (sre.LITERAL, sre.NOT_LITERAL):
            yield chr(argument)
        elif operator is sre.IN:
            for kind, value in argument:
                if kind is sre.LITERAL:
                    yield chr(value)
                elif kind is sre.RANGE:
                    yield from map(chr, value)
        elif operator in _REPEATS:
            yield from _literals(argument[2])
        for branch in _branches(node):
            yield from _literals(branch)


def slow_text(expression: Expression) -> str:
    """Return why an expression is too slow, with the text; empty where none of its pumps is."""
    anchored = [m for m in expression.methods if m in ANCHORED][:1]
    for method in [*anchored, *(["search"] if set(expression.methods) & set(SEARCHING) else [])]:
        call = getattr(expression.pattern, method)
        for pump in pumps(expression.pattern):
            if problem := _problem(partial(_cost_of, call, pump, expression.pattern.pattern)):
                prefix, unit, end = pump
                return f"{expression.place}: {method} of {prefix!r} {unit!r}* {end!r}: {problem}"
    return ""


def _cost_of(
    call: Callable[[Any], object], pump: tuple[str, str, str], kind: str | bytes, size: int
) -> float:
    """Return the CPU seconds of a call with a pumped text of the kind of a pattern."""
    prefix, unit, end = pump
    text = prefix + (unit * (size // len(unit) + 1))[:size] + end
    return _cost(call, text.encode("latin-1", "ignore") if isinstance(kind, bytes) else text)


def _problem(cost: Callable[[int], float]) -> str:
    """Return why the cost by size grows too fast; empty where it does not."""
    for size in SIZES:
        # What else the machine does makes a call dear now and then, and not five times.
        if all(cost(size) > _TOO_LONG_S for _ in range(5)):
            return f"a text of {size} characters takes more than {_TOO_LONG_S} s"
    longest = SIZES[-1]
    if cost(longest) < _TOO_SHORT_S:
        return ""
    half, whole = (min(cost(size) for _ in range(5)) for size in (longest // 2, longest))
    if whole > _MAX_GROWTH * half:
        return f"twice the length takes {whole / half:.1f} times as long"
    baseline = min(_cost(BASELINE.fullmatch, "ab" * (longest // 2)) for _ in range(5))
    if whole > _MAX_FACTOR * baseline:
        return f"each character takes {whole / baseline:.0f} times as long as a plain scan"
    return ""


def _cost(call: Callable[[Any], object], text: Any) -> float:
    """Return the CPU seconds of one call."""
    began = time.process_time()
    call(text)
    return time.process_time() - began
