"""Runs the console: `python -m services.console`."""

from services.chassis.runtime.run import run
from services.console.service import serve
from services.console.settings import ConsoleSettings

run(ConsoleSettings, serve)
