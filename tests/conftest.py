"""Loads the fixtures of all tests and the default settings of hypothesis."""

import gc
from collections.abc import Generator

import pytest
from hypothesis import settings
from properties import asserting, examples

pytest_plugins = ["service_fixtures", "command_server", "service_server", "processor_time"]

settings.register_profile("onefold", examples(100))
settings.load_profile("onefold")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Let the garbage collector rest while modules and tests are made, which all stay."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Fail a property whose examples hardly ever reach an assertion."""
    with asserting(getattr(item, "obj", None)):
        return (yield)
