"""Sets the number of examples that hypothesis tries of a property, and checks that they assert.

`./onefold test` tries the number that a test names, `./onefold test --deep` ten times as many.
"""

from __future__ import annotations

import ast
import inspect
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

from hypothesis import settings

#: The environment variable that names the profile: `default` or `deep`.
PROFILE = "ONEFOLD_HYPOTHESIS_PROFILE"
#: The factor by which each profile multiplies the number of examples.
DEPTH = {"default": 1, "deep": 10}
#: The examples of each property that are watched, and how many of them must reach an assertion. The
#: rest is not watched once these have, as watching makes an example many times slower.
WATCHED, LEAST = 30, 3
_TESTS = str(Path(__file__).parent) + os.sep


def examples(number: int, **more: Any) -> settings:
    """Return settings that try `number` examples, times the depth of the profile."""
    depth = DEPTH[os.environ.get(PROFILE, "default")]
    return settings(max_examples=number * depth, deadline=None, print_blob=depth > 1, **more)


class HollowProperty(AssertionError):
    """A property whose examples hardly ever reach an assertion, so that it holds of any code."""


@contextmanager
def asserting(test: Any) -> Iterator[None]:
    """Watch the first examples of a property; do nothing for any other test.

    Raises HollowProperty at the end. Examples that `assume` rejects do not count: hypothesis itself
    fails where these are too many.
    """
    property_ = getattr(test, "hypothesis", None)
    inner = getattr(property_, "inner_test", None)
    if inner is None or inspect.iscoroutinefunction(inner):
        yield
        return
    tried = asserted = 0

    def watched(*arguments: Any, **named: Any) -> Any:
        nonlocal tried, asserted
        if tried >= WATCHED or asserted >= LEAST:
            return inner(*arguments, **named)
        reached: list[int] = []
        before = sys.gettrace()
        sys.settrace(_tracer(reached))
        try:
            result = inner(*arguments, **named)
        finally:
            sys.settrace(before)
        tried += 1
        asserted += bool(reached)
        return result

    watched.__name__ = inner.__name__
    property_.inner_test = watched
    try:
        yield
    finally:
        property_.inner_test = inner
    if asserted * WATCHED < tried * LEAST:
        raise HollowProperty(
            f"{asserted} of {tried} examples reach an assertion: generate examples that do"
        )


def _tracer(reached: list[int]) -> Callable[..., Any]:
    """Return what adds the line of each assertion that runs in a file of the tests."""

    def trace(frame: FrameType, event: str, _argument: Any) -> Callable[..., Any] | None:
        name = frame.f_code.co_filename
        if not name.startswith(_TESTS):
            return None
        if event == "line" and frame.f_lineno in _assertions(name):
            reached.append(frame.f_lineno)
            sys.settrace(None)  # nothing more of this example is to be known
        return trace

    return trace


@cache
def _assertions(file: str) -> frozenset[int]:
    """Return the lines of a file that assert, or expect an error."""
    tree = ast.parse(Path(file).read_text(encoding="utf-8"))
    return frozenset(
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Assert)
        or (isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.raises")
    )
