"""`python -m services.identity`."""

from services.chassis.runtime import run
from services.identity.service import serve
from services.identity.settings import IdentitySettings

run(IdentitySettings, serve)
