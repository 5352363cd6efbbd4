"""The fixtures of all tests."""

pytest_plugins = ["services.chassis.testing"]
