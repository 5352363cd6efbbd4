"""Runs profile: `python -m services.profile`."""

from services.chassis.runtime.run import run
from services.profile.service import serve
from services.profile.settings import ProfileSettings

run(ProfileSettings, serve)
