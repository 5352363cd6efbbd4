"""Runs the demo of an industry's pack: planted customers, and the members that are expected."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise

from onefold.log.v1 import log_service_pb2 as log_pb
from onefold.projection.v1.projection_service_pb2 import GetStatusRequest

from services.cli import output
from services.cli.commands.packs import apply_pack
from services.cli.definitions import read_pack
from services.cli.demo import clients, retail, saas
from services.cli.demo.planted import CHECKS_DAYS, CustomerKind, Customers
from services.cli.demo.report import DemoReport, ExpectedFigure, print_end
from services.cli.demo.scenario import bounded
from services.cli.demo.system import DemoSystem
from services.client.client import ApiEndpoints, Client
from services.devstack.folders import ROOT
from services.devstack.stack import Stack
from services.kernel.time import DAY_US, SECOND_US

#: By the name of the pack: its kinds of customers, for the end of their data.
PLANTED: dict[str, Callable[[int], tuple[CustomerKind, ...]]] = {
    "retail": lambda end_us: retail.KINDS,
    "saas": saas.kinds,
}
#: The source of each channel of planted events, by the name of the pack.
_SOURCES = {
    "retail": {"web": "shop-web", "offline": "shop-erp"},
    "saas": {"web": "product", "offline": "billing"},
}


@dataclass(slots=True)
class PlantedReport(DemoReport):
    """The results of a demo with planted customers."""

    pack: str = ""
    customers: int = 0
    #: How many days the clock is ahead at each check, ascending from 0.
    checks_days: Sequence[int] = CHECKS_DAYS
    #: By the id of a segment, a value of a tag, or a stage: the figures at each check.
    members: dict[str, list[ExpectedFigure]] = field(default_factory=dict)


class PlantedDemo:
    """One run of the demo of a pack over a running stack."""

    def __init__(
        self, stack: Stack, pack: str, *, customers: int, checks_days: Sequence[int] = CHECKS_DAYS
    ) -> None:
        self._stack, self._pack = stack, pack
        self._system = DemoSystem(stack)
        self.report = PlantedReport(pack=pack, customers=customers, checks_days=checks_days)

    async def run(self) -> PlantedReport:
        """Run all parts in order. Raises OnefoldError where a service refuses a call."""
        async with self._system as system:
            await apply_pack(system.client, read_pack(ROOT / "packs" / self._pack, {}))
            head = await system.internal.log.GetHead(log_pb.GetHeadRequest())
            end_us = head.now_us - head.now_us % SECOND_US
            kinds = PLANTED[self._pack](end_us)
            customers = Customers(kinds, end_us, self.report.customers)
            async with bounded("sending the events"):
                await self._send(customers)
            async with bounded("checking profiles and segments"):
                await self._check(customers)
            async with bounded("rebuilding"):
                await system.check_rebuilds(self.report)
        return self.report

    async def _send(self, customers: Customers) -> None:
        """Send the newest events first, as a source does that catches up; order has no effect."""
        address = self._stack.public_address("ingest")
        with output.ProgressBars() as bars:
            for channel, source in _SOURCES[self._pack].items():
                events = [event for event in customers.events if event.channel == channel]
                events.sort(key=lambda event: -event.occurred_at_us)
                task = bars.add_task(f"{source:<25}", total=len(events))
                key = await self._system.issue_key(source)
                async with Client(ApiEndpoints(grpc={"ingest": address}, key=key)) as client:
                    await clients.send_by_grpc(events, client, partial(bars.advance, task))
        await self._system.advance_clock(0)

    async def _check(self, customers: Customers) -> None:
        """Let time pass without events, and compare the members of everything at each check."""
        report, system = self.report, self._system
        status = await system.internal.projection("identity").GetStatus(
            GetStatusRequest(counts=True)
        )
        expected = len(customers.kinds) + customers.accounts
        report.profiles = ExpectedFigure(status.counts["profiles"], expected)
        identifiers = customers.identifiers()
        profiles = await system.profiles_of(identifiers)
        numbers = {profiles.get(name, ""): i for i, name in enumerate(identifiers)}
        is_one_each = len(set(report.profiles)) == 1 and len(numbers) == len(identifiers)
        report.expect(is_one_each, "a customer is not one profile")
        for before, days in pairwise((0, *report.checks_days)):
            await system.advance_clock((days - before) * DAY_US)
            now_us = await system.advance_clock(0)
            for id_ in customers.checked:
                found = [numbers.get(each) for each in await system.members(id_, now_us)]
                planted = customers.members(id_, days)
                report.members.setdefault(id_, []).append(ExpectedFigure(len(found), len(planted)))
                is_equal = set(found) == planted and len(found) == len(planted)
                report.expect(is_equal, f"{id_} +{days}d has the wrong members")


def print_planted(report: PlantedReport) -> None:
    """Print the report of a demo with planted customers."""
    output.out.print(
        f"{report.customers:,} customers were planted; {report.profiles.found:,} profiles "
        f"of customers and accounts were found (expected: {report.profiles.expected:,})."
    )
    output.out.print()
    checks = [f"+{days}d" if days else "now" for days in report.checks_days]
    rows = [
        (id_, *(f"{figure.found:,} of {figure.expected:,}" for figure in figures))
        for id_, figures in report.members.items()
    ]
    title = (
        f"Members of the pack {report.pack}, found of expected, while time passes without events"
    )
    output.print_table(("members of", *checks), rows, title)
    print_end(report)
