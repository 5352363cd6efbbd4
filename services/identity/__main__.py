"""Runs identity: `python -m services.identity`."""

from services.chassis.runtime.run import run
from services.identity.settings import IdentitySettings

run(IdentitySettings, "services.identity.service")
