"""Sets the number of examples that hypothesis tries of a property.

`./onefold test` tries the number that a test names, `./onefold test --deep` ten times as many.
"""

from __future__ import annotations

import os
from typing import Any

from hypothesis import settings

#: The environment variable that names the profile: `default` or `deep`.
PROFILE = "ONEFOLD_HYPOTHESIS_PROFILE"
#: The factor by which each profile multiplies the number of examples.
DEPTH = {"default": 1, "deep": 10}


def examples(number: int, **more: Any) -> settings:
    """Return settings that try `number` examples, times the depth of the profile."""
    depth = DEPTH[os.environ.get(PROFILE, "default")]
    return settings(max_examples=number * depth, deadline=None, print_blob=depth > 1, **more)
