"""Tests how links of mails are counted: which are led through the door, and who has opened them."""

from __future__ import annotations

import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from services.activation.channels.mail_tracking import MAX_LINKS, tracked_message
from services.activation.domain.message_channels import Smtp, TwilioSms
from services.activation.domain.policy.contact import StatedConsent, Tracking, tracking_of
from services.activation.domain.receipts.engagement import (
    MACHINE_WITHIN_US,
    engagement_of,
    is_machine,
)
from services.activation.domain.receipts.tokens import LinkTokens, TrackingToken
from services.activation.domain.sealing import SecretKeys
from services.activation.domain.templates import RenderedMessage
from services.kernel.journeys.model import ReportKind

KEYS = SecretKeys({1: bytes(range(32))})
BASE = "https://cdp.x.example"
MAIL = Smtp("smtp.x.example", from_address="shop@x.example", tracking_url=BASE)
BROWSER = {"user-agent": "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) Safari/604.1"}
LATER_US = 60_000_000


def tracked(*, links: bool = True, opens: bool = True, **parts: str) -> RenderedMessage:
    message = RenderedMessage(tracks_links=links, tracks_opens=opens, **parts)
    return tracked_message(message, f"{BASE}/", lambda n, target: f"{n}-{target[8:10]}")


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ('<a href="https://a.example/?x=1&amp;y=2">', f'<a href="{BASE}/c/1-a.">'),
        ("<A class=b HREF='http://a.example'>", f'<A class=b HREF="{BASE}/c/1-.e">'),
        ("<a href=https://a.example/x>", f'<a href="{BASE}/c/1-a.">'),
        ('<a title=\' href="https://b.example"\' href="#top">', None),
        ('<a href="mailto:shop@a.cn"><a href="tel:1"><a name=x><a href="">', None),
        ('<a href="javascript:alert(1)"><a href="https://"><a href="//a.example">', None),
        (f'<a href="{BASE}/c/1.abc"><area href="https://a.example"><p>https://a.example', None),
        ('<a href="https://[a">', None),
    ],
)
def test_links_of_a_page_lead_through_the_door_and_nothing_else_changes(
    page: str, expected: str | None
) -> None:
    message = tracked(html=page, text="https://a.example", opens=False)
    assert (message.html, message.text) == (expected or page, "https://a.example")


def test_links_of_a_plain_text_end_where_its_sentence_does() -> None:
    text = "见 https://a.example/x?y=1。 (https://b.example/z), HTTPS://d.example/."
    message = tracked(text=text)
    assert message.text == f"见 {BASE}/c/1-a.。 ({BASE}/c/2-b.), {BASE}/c/3-d.."


def test_picture_stands_at_the_end_of_the_page_and_only_where_opens_may_be_measured() -> None:
    picture = f'<img src="{BASE}/o/0-" width="1" height="1" alt="">'
    page = "<body><p>您好</p></body></html>"
    assert tracked(html=page).html == f"<body><p>您好</p>{picture}</body></html>"
    assert tracked(html="<p>x").html == f"<p>x{picture}"
    assert tracked(html=page, opens=False).html == page
    assert tracked(text="x").html == ""


def test_links_beyond_the_greatest_number_and_length_lead_to_their_targets_at_once() -> None:
    long = f'<a href="https://a.example/{"x" * 1_000}">'
    page = '<a href="https://a.example">' * (MAX_LINKS + 1) + long
    assert tracked(html=page).html.count(f"{BASE}/c/") == MAX_LINKS


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
@examples(200)
def test_token_of_a_link_has_the_target_that_the_mail_had(path: str) -> None:
    """No open redirect: the door leads where the token says, and only activation makes tokens."""
    tokens = LinkTokens(KEYS)

    def token_of(link: int, target: str) -> str:
        return tokens.seal(TrackingToken("school", "mail", "0a" * 16, link, target))

    page = f'<a href="https://a.example/{html.escape(path)}">'
    message = RenderedMessage(html=page, tracks_links=True)
    found = re.search(r"/c/([^\"]+)", tracked_message(message, BASE, token_of).html)
    assert found is not None
    opened = tokens.open_tracking(found[1])
    assert opened is not None
    assert opened.link == 1
    assert opened.target.startswith("https://a.example/")
    # It is a header of the answer, whatever the path of the template has had.
    assert re.fullmatch("[!-~]+", opened.target)
    assert tokens.open_unsubscribe(found[1]) is None


@pytest.mark.parametrize(
    "agent",
    [
        "",
        "Mozilla/5.0",
        "Mozilla/5.0 (Windows NT 5.1) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)",
        "YahooMailProxy",
        "Mozilla/5.0 (compatible; Googlebot/2.1)",
        "curl/8.5.0",
        "python-requests/2.32",
        "Go-http-client/1.1",
        "Barracuda Sentinel (EE)",
        "SafeLinks-Scanner",
    ],
)
def test_proxies_and_scanners_are_machines(agent: str) -> None:
    assert is_machine({"user-agent": agent}, LATER_US)


def test_browser_is_a_person_unless_it_is_too_early_or_prefetches() -> None:
    assert not is_machine(BROWSER, LATER_US)
    assert not is_machine(BROWSER, None)
    assert not is_machine({"user-agent": "CUBOT_X19 Mozilla/5.0 (Linux; Android 9)"}, LATER_US)
    assert not is_machine(BROWSER, MACHINE_WITHIN_US)
    assert is_machine(BROWSER, MACHINE_WITHIN_US - 1)
    assert is_machine({**BROWSER, "sec-purpose": "prefetch;prerender"}, LATER_US)
    assert is_machine({**BROWSER, "x-moz": "prefetch"}, LATER_US)


def test_person_and_machine_report_each_link_once() -> None:
    def report(link: int, *, by_machine: bool) -> tuple[ReportKind, str]:
        target = "https://a.example" if link else ""
        token = TrackingToken("school", "mail", "0a" * 16, link, target)
        receipt = engagement_of(token, by_machine=by_machine, at_us=5)
        assert (receipt.key, receipt.is_machine) == ("0a" * 16, by_machine)
        return receipt.what, receipt.report_id

    found = {report(link, by_machine=m) for link in (0, 1, 2) for m in (False, True)}
    assert len(found) == 6
    assert {what for what, _ in found} == {ReportKind.OPENED, ReportKind.CLICKED}


def test_opens_need_a_consent_and_links_are_counted_unless_it_is_refused() -> None:
    def stated(purpose: str, granted: bool) -> StatedConsent:
        return StatedConsent(purpose, granted, 1, b"f" * 16, "web")

    assert tracking_of([], MAIL) == Tracking(links=True, opens=False)
    assert tracking_of([stated("marketing", True)], MAIL) == Tracking(links=True, opens=False)
    assert tracking_of([stated("tracking", True)], MAIL) == Tracking(links=True, opens=True)
    assert tracking_of([stated("tracking.email", False)], MAIL) == Tracking(False, False)
    off = Smtp("smtp.x.example", from_address="shop@x.example")
    for channel in (off, TwilioSms("a", sender="b")):
        assert tracking_of([stated("tracking", True)], channel) == Tracking(False, False)
