"""Loads the fixtures of all tests and the default settings of hypothesis."""

from hypothesis import settings
from properties import examples

pytest_plugins = ["service_fixtures"]

settings.register_profile("onefold", examples(100))
settings.load_profile("onefold")
