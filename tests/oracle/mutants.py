"""Changes the code of one function while a test runs, and takes the change back."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from types import CodeType, FunctionType
from typing import Any

from services.kernel.rules import evaluate


@contextmanager
def mutated(function: Any, before: str, after: str) -> Iterator[None]:
    """Replace a part of a function's source that occurs once.

    Every holder of the function runs the changed code, as the function is the same object.
    """
    plain: FunctionType = inspect.unwrap(function)
    source = textwrap.dedent(inspect.getsource(plain))
    if source.count(before) != 1:
        number = source.count(before)
        raise LookupError(
            f"{plain.__qualname__} has {before!r} {number} times: name a part of today"
        )
    code = plain.__code__
    plain.__code__ = _code_of(source.replace(before, after), plain)
    _forget()
    try:
        yield
    finally:
        plain.__code__ = code
        _forget()


def _code_of(source: str, function: FunctionType) -> CodeType:
    """Return the code of the one function that a source defines."""
    undecorated = source[source.index("def ") :]
    future = "from __future__ import annotations\n"
    module = compile(future + undecorated, f"<mutant of {function.__qualname__}>", "exec")
    return next(
        part
        for part in module.co_consts
        if isinstance(part, CodeType) and part.co_name == function.__name__
    )


def _forget() -> None:
    """Forget what was compiled with other code."""
    evaluate.compile_predicate.cache_clear()
