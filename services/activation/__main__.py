"""Runs the service: `python -m services.activation`."""

from services.activation.settings import ActivationSettings
from services.chassis.runtime.run import run

run(ActivationSettings, "services.activation.service")
