"""Runs the console: `python -m services.console`."""

from services.chassis.runtime.run import run
from services.console.settings import ConsoleSettings

run(ConsoleSettings, "services.console.service")
