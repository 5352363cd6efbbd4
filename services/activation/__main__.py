"""Runs the service: `python -m services.activation`."""

from services.activation.service import serve
from services.activation.settings import ActivationSettings
from services.chassis.runtime.run import run

run(ActivationSettings, serve)
