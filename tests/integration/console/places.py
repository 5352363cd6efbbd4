"""The screens of the console with what they show, for tests that go through all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from integration.console.people import event, send
from integration.console.running_console import Console

from services.kernel.time import DAY_US

#: The screens that need no id.
SCREENS = (
    *("", "profiles", "identity", "segments", "segments/new", "tags", "journeys", "quarantine"),
    *("destinations", "offers", "deliveries", "sources", "events", "definitions", "tickets"),
    *("definitions/segment/buyers", "segments/buyers", "segments/buyers/edit"),
    *("definitions/journey/arrival", "definitions/queue", "journeys/arrival"),
    *("dashboards", "dashboards/new", "dashboards/all", "privacy"),
)
#: Screens with filters in their addresses.
FILTERED = (
    "privacy?tab=audit&reads=1",
    "privacy?tab=fields",
    "profiles?q=user_id:u",
    "journeys?state=FLOW_OPEN",
    "segments?overlap=buyers",
    "deliveries?state=DELIVERY_STATE_DEAD&destination=hook&segment=buyers",
    "tickets?view=board&queue=help",
    "tickets?state=TICKET_STATE_OPEN&agent=wang",
    "quarantine?released=1",
    "journeys/arrival?runs=RUN_STATE_OPEN",
    "dashboards/all?edit=1",
)

#: The tables that scroll sideways.
SIDEWAYS = """
    () => [...document.querySelectorAll(".ant-table-content")]
        .filter((table) => table.scrollWidth > table.clientWidth + 1)
        .map((table) => table.innerText.slice(0, 200))
"""


@dataclass
class Places:
    """The addresses of all screens, and keys of two roles."""

    person: str
    ticket: str
    #: Of a reader, who sees personal data masked.
    reader_key: str
    #: Of a colleague, who sees them.
    colleague_key: str

    def all(self) -> list[str]:
        """Return the address of every screen."""
        own = (f"profiles/{self.person}", f"profiles/{self.person}/known")
        return [*SCREENS, *own, f"identity/{self.person}", f"tickets/{self.ticket}"]


async def open_places(console: Console) -> Places:
    """Define a queue with a ticket, and a journey with a run, of a person of the tests."""
    queue = {
        "queue_id": "help",
        "title": "客服",
        "first_answer_us": DAY_US,
        "agents": [{"agent_id": "wang"}],
    }
    journey = {
        "journey_id": "arrival",
        "title": "到店",
        "entry": {"by": {"event": {"events": {"names": ["arrived"]}}}},
        "steps": [{"wait": {"id": "later", "span_us": DAY_US}}],
    }
    tiles = [
        {"data": "TILE_DATA_MEMBERS", "subject_ids": ["buyers"], "chart": "TILE_CHART_NUMBERS"},
        {"data": "TILE_DATA_DELIVERIES", "chart": "TILE_CHART_BARS", "width": 3},
        {"data": "TILE_DATA_JOURNEYS", "subject_ids": ["arrival"], "chart": "TILE_CHART_FUNNEL"},
        {"data": "TILE_DATA_TICKETS", "chart": "TILE_CHART_TABLE", "width": 12},
    ]
    dashboard = {
        "dashboard_id": "all",
        "title": "全部",
        "tiles": [{"tile_id": f"t{n}", **tile} for n, tile in enumerate(tiles)],
    }
    await _call(console, "activation", "DefineQueue", {"queue": queue})
    await _call(console, "activation", "DefineDashboard", {"dashboard": dashboard})
    await _call(console, "activation", "DefineJourney", {"journey": journey})
    await console.system.drain()
    await send(console, event("arrived", "user_id:u1"))
    ticket = {
        "identifiers": [{"namespace": "user_id", "value": "u1"}],
        "queue_id": "help",
        "title": "退款 <b>",
        "request_id": "first",
    }
    opened = await _call(console, "activation", "OpenTicket", ticket)
    keys = [{"role": f"ROLE_{role}", "title": role} for role in ("READER", "SERVICE")]
    issued = [(await _call(console, "ingest", "IssueKey", key))["key"] for key in keys]
    await console.system.drain()
    [person] = await console.system.profiles("user_id:u1")
    return Places(person, opened["ticket_id"], *issued)


async def _call(console: Console, service: str, name: str, message: Any) -> Any:
    status, answer = await console.plain(service, name, message)
    assert status == 200, answer
    return answer
