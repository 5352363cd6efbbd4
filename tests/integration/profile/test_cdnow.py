"""Imports the purchases of customers of CDNOW, and computes their orders in SQL besides.

The data are those of Fader and Hardie: 69,659 purchases of 23,570 customers in 1997 and 1998. They
have no refunds, so some of the purchases get one here.
"""

from __future__ import annotations

import csv
import importlib.util
import json
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
from integration.profile.profile_stack import ProfileStack
from onefold.ingest.v1.admin_service_pb2 import DefineSourceRequest, IssueKeyRequest
from onefold.ingest.v1.ingest_facts_pb2 import ROLE_SOURCE, SourceDefined
from onefold.profile.v1 import profile_service_pb2 as pb
from properties import DEPTH, PROFILE
from service_fixtures import wait_until

from services.cli.commands.imports import import_file
from services.cli.rule_forms import defaults_of, read_settings, read_tag
from services.kernel.time import DAY_US
from services.kernel.trust import SourceTrust

OpenStack = Callable[..., AbstractAsyncContextManager[ProfileStack]]

#: All customers are for `./onefold test --deep`; else every fifth.
ONE_IN = 1 if DEPTH[os.environ.get(PROFILE, "default")] > 1 else 5
PURCHASES, CUSTOMERS = {1: (69_659, 23_570), 5: (13_833, 4_714)}[ONE_IN]
SETTINGS = {
    "zone": "UTC",
    "orders": {
        "payments": {"event": "paid", "order_id": "order", "amount": "amount"},
        "refunds": {
            "event": "refunded",
            "order_id": "order",
            "amount": "amount",
            "refund_id": "refund",
        },
        "currency": "USD",
    },
    "computed_traits": [
        {"name": measure, "feature": {"orders": {measure: {"exists": True}}}}
        for measure in ("days_since_last", "count", "net_spend", "mean_value", "maximum_value")
    ],
}
MAPPING = """
event: {column: event}
time: {column: time, zone: UTC}
identifiers: {member_id: {column: customer}}
properties:
  order: {column: order}
  refund: {column: refund}
  amount: {column: amount, type: number}
"""
#: Cents and counts are exact; the file has one line for each purchase and each refund.
SQL = """
WITH lines AS (
  SELECT *, CAST(round(amount * 100) AS BIGINT) AS cents
  FROM read_csv('{file}', header = true, columns = {{
    'event': 'VARCHAR', 'time': 'TIMESTAMP', 'customer': 'VARCHAR', 'order': 'VARCHAR',
    'refund': 'VARCHAR', 'amount': 'DECIMAL(12, 2)'}})
), refunds AS (
  SELECT "order", sum(cents) AS cents
  FROM (SELECT DISTINCT "order", refund, cents FROM lines WHERE event = 'refunded') GROUP BY 1
), orders AS (
  SELECT p.customer, p.time, p.cents - least(p.cents, coalesce(r.cents, 0)) AS net
  FROM lines p LEFT JOIN refunds r USING ("order") WHERE p.event = 'paid'
), customers AS (
  SELECT customer, epoch_us(max(time)) AS last_us, count(*) AS n_orders,
         CAST(sum(net) AS BIGINT) AS net, max(net) AS largest
  FROM orders GROUP BY 1
), ranked AS (
  SELECT *, count(*) OVER () AS n, row_number() OVER (ORDER BY last_us DESC) AS r,
         row_number() OVER (ORDER BY n_orders) AS f, row_number() OVER (ORDER BY net) AS m
  FROM customers
), edges AS (
  SELECT j, max(last_us) FILTER (r = (j * n + 4) // 5) AS r_edge,
         max(n_orders) FILTER (f = (j * n + 4) // 5) AS f_edge,
         max(net) FILTER (m = (j * n + 4) // 5) AS m_edge
  FROM ranked, range(1, 5) AS parts(j) GROUP BY 1
)
SELECT customer, last_us, n_orders, net, largest,
       5 - (SELECT count(*) FROM edges WHERE last_us < r_edge),
       1 + (SELECT count(*) FROM edges WHERE f_edge < n_orders),
       1 + (SELECT count(*) FROM edges WHERE m_edge < net)
FROM customers
"""
#: A tag of five quantiles: its values, and the least scores that they need.
LAYERS = {"best": (4, 4, 4), "lapsing": (1, 4, 4), "recent": (4, 1, 1)}
TAG: dict[str, Any] = {
    "id": "rfm",
    "title": "RFM",
    "rfm": {
        "quantiles": 5,
        "period": "year",
        "values": [
            {"value": value, "recency": r, "frequency": f, "monetary": m}
            for value, (r, f, m) in LAYERS.items()
        ],
    },
    "default": "rest",
}


class Customer(NamedTuple):
    """What SQL computes of one customer; amounts in cents, scores from 1 to 5."""

    last_us: int
    count: int
    net: int
    largest: int
    recency: int
    frequency: int
    monetary: int

    @property
    def layer(self) -> str:
        """The value of the tag."""
        scores = self[-3:]
        for value, least in LAYERS.items():
            if all(score >= low for score, low in zip(scores, least, strict=True)):
                return value
        return "rest"


def purchases() -> Iterator[tuple[str, str, str]]:
    """Yield (customer, date, dollars) of each purchase, twenty years later than it was.

    No event is admitted that occurred before 2000.
    """
    spec = importlib.util.find_spec("lifetimes")
    assert spec is not None
    assert spec.origin is not None
    file = Path(spec.origin).parent / "datasets" / "CDNOW_master.txt"
    for line in file.read_text(encoding="ascii").splitlines()[1:]:
        customer, day, _, dollars = line.split()
        if int(customer) % ONE_IN == 0:
            yield customer, f"{int(day[:4]) + 20}-{day[4:6]}-{day[6:]}", dollars


def write_lines(file: Path) -> None:
    """Write the purchases, and refunds of some: in parts, repeated, or of more than was paid."""
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(("event", "time", "customer", "order", "refund", "amount"))
        for number, (customer, day, dollars) in enumerate(purchases()):
            order = f"o-{number}"
            writer.writerow(("paid", f"{day} 12:00:00", customer, order, "", dollars))
            if number % 7 == 0:
                part = f"{int(float(dollars) * 100) // 3 / 100:.2f}"
                refund = ("refunded", f"{day} 13:00:00", customer, order)
                writer.writerow((*refund, "r-1", part))
                if number % 2 == 0:
                    writer.writerow((*refund, "r-1", part))
                if number % 3 == 0:
                    writer.writerow((*refund, "r-2", f"{float(dollars) + 1:.2f}"))


async def import_lines(stack: ProfileStack, folder: Path) -> int:
    """Import the file with a key of a source, and return the number of events."""
    source = SourceDefined(source_id="shop", trust=int(SourceTrust.SYSTEM_OF_RECORD))  # type: ignore[arg-type]
    await stack.admin.DefineSource(DefineSourceRequest(source=source))
    request = IssueKeyRequest(role=ROLE_SOURCE, source_id="shop")
    key = (await stack.admin.IssueKey(request)).key
    mapping = folder / "mapping.yaml"
    mapping.write_text(MAPPING, encoding="utf-8")
    report = await import_file(folder / "cdnow.csv", mapping, stack.events_address, key)
    assert (report.duplicates, report.rejected) == (0, 0), report
    return report.accepted


async def listed(stack: ProfileStack) -> AsyncIterator[list[pb.Profile]]:
    """Yield the persons of the workspace, a page at a time."""
    token = ""
    while True:
        request = pb.ListProfilesRequest(page_size=1_000, page_token=token, at_least=stack.token)
        response = await stack.profile.ListProfiles(request)
        yield list(response.profiles)
        token = response.next_page_token
        if not token:
            return


async def has_tags(stack: ProfileStack) -> bool:
    """Return whether the rules of the fit are live: then each person has a value of the tag."""
    response = await stack.profile.ListProfiles(pb.ListProfilesRequest(page_size=1))
    return bool(response.profiles[0].tags)


def computed(profile: pb.Profile) -> dict[str, Any]:
    return {trait.name: json.loads(trait.value) for trait in profile.computed_traits}


async def test_orders_and_scores_of_customers_of_cdnow_equal_a_computation_in_sql(
    open_stack: OpenStack, tmp_path: Path
) -> None:
    file = tmp_path / "cdnow.csv"
    write_lines(file)
    rows = duckdb.sql(SQL.format(file=file)).fetchall()
    expected = {row[0]: Customer(*row[1:]) for row in rows}
    assert len(expected) == CUSTOMERS
    assert sum(customer.count for customer in expected.values()) == PURCHASES
    async with open_stack() as stack:
        settings = read_settings(SETTINGS, "settings")
        await stack.profile.DefineSettings(pb.DefineSettingsRequest(settings=settings))
        tag = read_tag(TAG, "tags[0]", defaults_of(settings))
        await stack.profile.DefineTag(pb.DefineTagRequest(tag=tag))
        began_us = await stack.tick()
        assert await import_lines(stack, tmp_path) > 1.1 * PURCHASES
        ended_us = await stack.tick()
        fitted = await stack.profile.FitTag(pb.FitTagRequest(tag_id="rfm"))
        assert fitted.tag.rfm.fit.persons == CUSTOMERS
        stack.token = fitted.token
        await stack.reach()
        await wait_until(partial(has_tags, stack))
        found = 0
        async for page in listed(stack):
            found += len(page)
            instants = set()
            for profile in page:
                [identifier] = profile.identifiers
                customer, values = expected[identifier.value], computed(profile)
                instants.add(round(customer.last_us + values["days_since_last"] * DAY_US))
                assert [own.value for own in profile.tags] == [customer.layer]
                assert values["count"] == customer.count
                assert values["net_spend"] == customer.net / 100
                assert values["mean_value"] == customer.net / (100 * customer.count)
                assert values["maximum_value"] == customer.largest / 100
            # All customers of a page are read at one instant: that of the log's clock.
            assert max(instants) - min(instants) <= 1
            assert began_us <= min(instants)
            assert max(instants) <= ended_us + DAY_US
        assert found == CUSTOMERS
