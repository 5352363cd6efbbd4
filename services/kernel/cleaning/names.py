"""Standardises the names of persons."""

from __future__ import annotations

import re
from typing import Final

from services.kernel.cleaning.text import plain_text
from services.kernel.rules.values import Json

#: Longer texts are no names.
MAX_LENGTH: Final = 200
_HAN: Final = "[\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
_BETWEEN_HAN: Final = re.compile(rf"(?<={_HAN}) (?={_HAN})")
#: The dots between the parts of names such as 买买提·艾力.
_DOTS: Final = re.compile(rf"(?<={_HAN}) ?[\u00b7\u2022\u2027\u2219\u22c5\u30fb\u0387] ?(?={_HAN})")


def clean_person_name(value: Json) -> str | None:
    """Return a person's name with one width, one kind of dot, and no superfluous blanks, or None.

    Blanks between Chinese characters are removed (`王 小 明`); those between other words are one
    blank each. Upper and lower case stay.
    """
    if not isinstance(value, str) or len(value) > MAX_LENGTH:
        return None
    text = _DOTS.sub("·", _BETWEEN_HAN.sub("", plain_text(value)))
    return text or None
