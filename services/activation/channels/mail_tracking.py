"""Leads the links of a mail through the door that counts them, and adds its picture."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from typing import Final, TypeAlias
from urllib.parse import quote, urlsplit

import msgspec

from services.activation.domain.templates import RenderedMessage

#: The most links of a mail that are counted, and the longest one, characters.
MAX_LINKS: Final = 100
MAX_TARGET: Final = 1_000
_ANCHOR: Final = re.compile(r"""<a\b(?:[^<>"']|"[^"]*"|'[^']*')*>""", re.IGNORECASE)
_ATTRIBUTE: Final = re.compile(
    r"""(?<![^\s"'<>/=])([^\s"'<>/=]+)\s*=\s*("[^"]*"|'[^']*'|[^\s"'<>]+)"""
)
#: A URL in a plain text; what ends a sentence is none of it.
_URL: Final = re.compile(r"https?://[!-~]*[A-Za-z0-9/=_-]", re.IGNORECASE)
_BODY_END: Final = re.compile(r"</body\s*>", re.IGNORECASE)
#: The characters that stand for themselves in a URL.
_PLAIN: Final = "%/:?#[]@!$&'()*+,;=~"

#: Returns the token of a link by its number and target; of the picture by 0 and "".
TokenOf: TypeAlias = Callable[[int, str], str]


def tracked_message(message: RenderedMessage, base_url: str, token_of: TokenOf) -> RenderedMessage:
    """Return a mail whose links lead through the door at a URL, as far as it may be measured.

    The links of a plain text are changed where there is no html beside it.
    """
    base_url = base_url.rstrip("/")
    links = _Links(base_url, token_of)
    text, page = message.text, message.html
    if message.tracks_links and page:
        page = _ANCHOR.sub(lambda tag: _ATTRIBUTE.sub(links.in_attribute, tag[0]), page)
    elif message.tracks_links:
        text = _URL.sub(lambda found: links.through(found[0]) or found[0], text)
    if message.tracks_opens and page:
        picture = f'<img src="{base_url}/o/{token_of(0, "")}" width="1" height="1" alt="">'
        ends = [found.start() for found in _BODY_END.finditer(page)]
        at = ends[-1] if ends else len(page)
        page = page[:at] + picture + page[at:]
    return msgspec.structs.replace(message, text=text, html=page)


class _Links:
    """Numbers the links of a mail."""

    def __init__(self, base_url: str, token_of: TokenOf) -> None:
        self._base_url = base_url
        self._token_of = token_of
        self._count = 0

    def in_attribute(self, found: re.Match[str]) -> str:
        """Return an attribute of a link, as it is unless it names a target that is counted."""
        if found[1].lower() != "href":
            return found[0]
        link = self.through(html.unescape(found[2].strip("\"'")).strip())
        return found[0] if link is None else f'{found[1]}="{link}"'

    def through(self, url: str) -> str | None:
        """Return the URL that leads to another one through the door; None = it is not counted."""
        target = quote(url, safe=_PLAIN)
        try:
            parts = urlsplit(target)
        except ValueError:
            return None
        is_web = parts.scheme.lower() in ("http", "https") and bool(parts.hostname)
        is_own = target.startswith(f"{self._base_url}/")
        if not is_web or is_own or len(target) > MAX_TARGET or self._count >= MAX_LINKS:
            return None
        self._count += 1
        return f"{self._base_url}/c/{self._token_of(self._count, target)}"
