"""Tells people from machines among those who open mails and follow their links."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from services.activation.domain.receipts.model import Receipt
from services.activation.domain.receipts.tokens import TrackingToken
from services.kernel.journeys.model import ReportKind
from services.kernel.time import SECOND_US

#: A mail that is opened sooner after its attempt has begun is opened by a scanner.
MACHINE_WITHIN_US: Final = 2 * SECOND_US
#: The headers that a browser sends which loads a page before a person wants it.
_PURPOSE_HEADERS: Final = ("sec-purpose", "purpose", "x-purpose", "x-moz")
#: Proxies that load pictures, scanners of mail, previews of links, and programs.
_MACHINES: Final = re.compile(
    r"googleimageproxy|yahoomailproxy|ggpht|\bbot\b|bot[/;)]|crawl|spider|\bscan|preview|proofpoint"
    r"|mimecast|barracuda|safelinks|antivirus|facebookexternalhit|slurp|headless|phantomjs|^curl"
    r"|^wget|python|^java/|^go-http|httpclient|okhttp|libwww|\burllib",
    re.IGNORECASE,
)
_EARLY: Final = re.compile("prefetch|preview", re.IGNORECASE)
#: What Apple's proxy calls itself, and nothing else does.
_APPLE_PROXY: Final = "Mozilla/5.0"


def is_machine(headers: Mapping[str, str], since_begun_us: int | None) -> bool:
    """Return whether a machine has sent a request with these headers (names in lower case).

    `since_begun_us`: how long after the attempt at the message has begun; None = it is not known.
    """
    if since_begun_us is not None and since_begun_us < MACHINE_WITHIN_US:
        return True
    if any(_EARLY.search(headers.get(name, "")) for name in _PURPOSE_HEADERS):
        return True
    agent = headers.get("user-agent", "").strip()
    return agent in ("", _APPLE_PROXY) or _MACHINES.search(agent) is not None


def engagement_of(token: TrackingToken, *, by_machine: bool, at_us: int) -> Receipt:
    """Return what a request with a token reports: each link once, by people and by machines."""
    what = ReportKind.CLICKED if token.link else ReportKind.OPENED
    who = " machine" if by_machine else ""
    return Receipt(
        what,
        token.key,
        report_id=f"{token.key} {token.link}{who}",
        at_us=at_us,
        reason=f"link {token.link}" if token.link else "",
        is_machine=by_machine,
    )
