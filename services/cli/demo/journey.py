"""Runs a journey of the demo through to its end, with mails, and compares who got which."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Final, NamedTuple

import aiohttp
from onefold.activation.v1 import activation_facts_pb2 as facts_pb
from onefold.activation.v1 import activation_service_pb2 as pb
from onefold.activation.v1 import channels_pb2
from onefold.activation.v1 import journey_service_pb2 as journey_pb

from services.cli.demo import clients
from services.cli.demo.dataset import VisitorEvent, person_name
from services.cli.demo.mailbox import Mailbox
from services.cli.demo.report import JOURNEY_DAYS, JourneyReport
from services.cli.demo.system import WAIT_S, DemoSystem
from services.client.api import pages
from services.client.client import ApiEndpoints, Client
from services.kernel.time import DAY_US, HOUR_US, MINUTE_US

#: The journey of the pack, the destination of its messages, and the template of the first one.
JOURNEY: Final = "high-intent"
_DESTINATION: Final = "school-messages"
_TEMPLATE: Final = "trial-offer"
_LINK: Final = "https://school.example/offer"
#: 10:00 in Shanghai, in which the people live: outside of their quiet hours.
_MORNING_US: Final = 2 * HOUR_US
_BROWSER: Final = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"}
_COURSES: Final = 3
#: The states of mails about which something is still to be decided now.
_UNDECIDED: Final = frozenset(
    {
        facts_pb.DELIVERY_STATE_PLANNED,
        facts_pb.DELIVERY_STATE_PENDING,
        facts_pb.DELIVERY_STATE_UNKNOWN,
    }
)


class MailGroup(NamedTuple):
    """People that the journey treats alike."""

    title: str
    people: int
    #: How many mails each of them gets.
    mails: int
    consents: bool = True
    buys: bool = False


GROUPS: Final = (
    MailGroup("consented, buy nothing", 5, 2),
    MailGroup("consented, buy after the first mail", 3, 1, buys=True),
    MailGroup("have not consented", 4, 0, consents=False),
)


class JourneyDemo:
    """One run of the journey over a system that has the pack."""

    def __init__(self, system: DemoSystem, mailbox: Mailbox, events_url: str) -> None:
        self._system, self._mailbox, self._events_url = system, mailbox, events_url
        self.report = JourneyReport()
        self._from_us = 0
        self._people = [
            (group, f"trial-{number}-{person}")
            for number, group in enumerate(GROUPS)
            for person in range(group.people)
        ]

    async def run(self, key: str, address: str) -> JourneyReport:
        """Run the journey to its end, as `begin` begins it, and return what became of it."""
        await self.begin(key, address)
        for _ in range(JOURNEY_DAYS):
            now_us = await self._system.advance_clock(DAY_US)
            await self._wait(partial(self._is_at_rest, now_us))
            if not self.report.clicked:
                await self._click()
        await self._wait(self._last_mails_are_sent)
        await self._compare()
        return self.report

    async def begin(self, key: str, address: str) -> None:
        """Let people enter the journey, get their first mails, and some of them buy.

        Less than a day and an hour pass. `key`: of a source; `address`: of ingest over gRPC. Raises
        OnefoldError where a service refuses a call.
        """
        await self._define()
        now_us = await self._system.advance_clock(0)
        # The first morning an hour after now, so that the journey is older than its people.
        ahead_us = (_MORNING_US - now_us - HOUR_US) % DAY_US + HOUR_US
        self._from_us = await self._system.advance_clock(ahead_us)
        async with Client(ApiEndpoints(grpc={"ingest": address}, key=key)) as client:
            await self._send(client, self._become_known())
            # An address has a shard of its own: what one service publishes is folded by the next.
            await self._system.advance_clock(0)
            await self._system.advance_clock(0)
            await self._send(client, self._become_interested())
            await self._wait(self._first_mails_are_decided)
            now_us = await self._system.advance_clock(0)
            await self._send(client, self._purchases(now_us))

    async def _define(self) -> None:
        """Let the journey send mails to the mailbox, with a link in the first one."""
        activation = self._system.client.activation
        smtp = channels_pb2.Smtp(
            host=self._mailbox.target.partition(":")[0],
            port=self._mailbox.port,
            security="none",
            from_address="hello@school.example",
            tracking_url=self._events_url,
        )
        destination = facts_pb.DestinationDefined(destination_id=_DESTINATION, smtp=smtp)
        await activation.DefineDestination(pb.DefineDestinationRequest(destination=destination))
        listed = await activation.ListTemplates(pb.ListTemplatesRequest())
        [template] = [t.template for t in listed.templates if t.template.template_id == _TEMPLATE]
        for texts in template.texts:
            texts.html = f'<p>{texts.text}</p><p><a href="{_LINK}">{texts.subject}</a></p>'
        await activation.DefineTemplate(pb.DefineTemplateRequest(template=template))

    def _become_known(self) -> list[VisitorEvent]:
        """Return the events by which people have an address, and consent."""
        events, since_us = [], self._since_us
        for number, (group, person) in enumerate(self._people):
            traits = {"email": _address(person), "name": person_name(number)}
            events.append(self._event(number, "identify", since_us, traits=traits))
            if group.consents:
                stated = {"purpose": "marketing", "granted": True}
                events.append(self._event(number, "consent_changed", since_us, stated))
        return events

    def _become_interested(self) -> list[VisitorEvent]:
        """Return the events of the last half hour by which people enter the segment."""
        events, since_us = [], self._since_us
        for number in range(len(self._people)):
            lesson = {"lesson": "trial-1"}
            events.append(self._event(number, "attended_trial_lesson", since_us, lesson))
            for course in range(_COURSES):
                viewed = {"course_id": f"course-{course:02d}", "paid": True}
                at_us = since_us + (course + 1) * MINUTE_US
                events.append(self._event(number, "viewed_course_page", at_us, viewed))
        return events

    @property
    def _since_us(self) -> int:
        return self._from_us - 30 * MINUTE_US

    def _purchases(self, at_us: int) -> list[VisitorEvent]:
        bought = {"course_id": "course-01", "amount": 999}
        return [
            self._event(number, "purchased_course", at_us, bought)
            for number, (group, _) in enumerate(self._people)
            if group.buys
        ]

    def _event(
        self,
        number: int,
        name: str,
        at_us: int,
        properties: Mapping[str, object] | None = None,
        *,
        traits: Mapping[str, object] | None = None,
    ) -> VisitorEvent:
        is_identify = name == "identify"
        return VisitorEvent(
            visitor=number,
            message_id=f"journey-{number}-{name}-{at_us}",
            type=name if is_identify else "track",
            name="" if is_identify else name,
            occurred_at_us=at_us,
            channel="app",
            user_id=self._people[number][1],
            properties=dict(properties or {}),
            traits=dict(traits or {}),
        )

    async def _send(self, client: Client, events: Sequence[VisitorEvent]) -> None:
        await clients.send_by_grpc(events, client, lambda _: None)
        await self._system.advance_clock(0)

    async def _wait(self, condition: Callable[[], Awaitable[bool]]) -> None:
        """Wait for a condition; where it does not come true the figures will be wrong."""
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            if await condition():
                return
            await asyncio.sleep(0.2)

    async def _results(self) -> journey_pb.GetJourneyResultsResponse:
        request = journey_pb.GetJourneyResultsRequest(
            journey_id=JOURNEY, from_us=self._from_us - HOUR_US
        )
        return await self._system.client.journeys.GetJourneyResults(request)

    async def _first_mails_are_decided(self) -> bool:
        steps = (await self._results()).steps
        return sum(step.sent + step.suppressed for step in steps) >= len(self._people)

    async def _is_at_rest(self, now_us: int) -> bool:
        """Return whether nothing is left to do at an instant: mails are only valid for a while."""
        request = journey_pb.ListRunsRequest(
            journey_id=JOURNEY, state=journey_pb.RUN_STATE_OPEN, page_size=1_000
        )
        runs = (await self._system.client.journeys.ListRuns(request)).runs
        if any(0 < run.due_us <= now_us for run in runs):
            return False
        counted = await self._system.client.activation.CountDeliveries(pb.CountDeliveriesRequest())
        return not any(
            each.count and each.destination_id == _DESTINATION and each.state in _UNDECIDED
            for each in counted.counts
        )

    async def _last_mails_are_sent(self) -> bool:
        expected = sum(group.people * group.mails for group in GROUPS)
        return sum(map(len, self._mailbox.mails.values())) >= expected

    async def _click(self) -> None:
        """Follow the link of the first mail that someone got, as the browser of a person does."""
        mails = [mail for own in self._mailbox.mails.values() for mail in own]
        page = mails[0].get_body(("html",)) if mails else None
        found = re.search(r'href="([^"]+)"', page.get_content()) if page is not None else None
        if found is None:
            return
        async with (
            aiohttp.ClientSession(headers=_BROWSER) as browser,
            browser.get(found[1], allow_redirects=False) as response,
        ):
            leads_on = response.headers.get("Location") == _LINK
        self.report.expect("links lead to their target", int(leads_on), 1)
        self.report.clicked = 1

    async def _compare(self) -> None:
        report, verified = self.report, journey_pb.VerifyRunsRequest(journey_id=JOURNEY)
        for group in GROUPS:
            own = [person for each, person in self._people if each is group]
            mails = [len(self._mailbox.mails[_address(person)]) for person in own]
            is_equal = mails == [group.mails] * len(own)
            row = group.title, len(own), sum(mails), group.mails * len(own), is_equal
            report.groups.append(row)
            report.expect(f"mails to those who {group.title}", sum(mails), group.mails * len(own))
        results = await self._results()
        whole = results.groups[0] if results.groups else journey_pb.JourneyGroupResult()
        report.runs, report.converted = whole.runs, whole.converted
        report.expect("runs", report.runs, len(self._people))
        buyers = sum(group.people for group in GROUPS if group.buys)
        report.expect("runs that reached the goal", report.converted, buyers)
        sent = sum(step.sent for step in results.steps)
        report.expect("mails in the results", sent, sum(row[2] for row in report.groups))
        report.expect("clicked mails in the results", sum(s.clicked for s in results.steps), 1)
        verify = self._system.client.journeys.VerifyRuns
        found = [page async for page in pages(verify, verified)]
        report.transitions = sum(page.transitions for page in found)
        unjustified = sum(len(page.unjustified) for page in found)
        report.expect("transitions that do not follow from the log", unjustified, 0)


def _address(person: str) -> str:
    return f"{person}@school.example"
