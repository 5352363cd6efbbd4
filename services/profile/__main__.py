"""Runs profile: `python -m services.profile`."""

from services.chassis.runtime.run import run
from services.profile.settings import ProfileSettings

run(ProfileSettings, "services.profile.service")
