"""Kills processes while persons are erased: nothing of them is left, and others lose nothing.

`./onefold test --faults N` runs N seeds; the whole suite runs two. The same system shows that the
steps of the guide on erasure leave no byte of a person in a file of PostgreSQL or NATS.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import nats
import pytest
from faults.erasing_system import AWAITED, ErasingSystem, Person, erasing_system
from faults.running_system import FaultInjector, save_failed_seed, seeds

from services import SERVICES
from services.devstack.folders import ROOT
from services.devstack.nats_config import ClientId
from tests.planted_words import check_erased

pytestmark = [pytest.mark.faults, pytest.mark.usefixtures("forked_services")]

FOLDER = Path(__file__).parent
PERSONS, SPREAD_S, FAULTS = 6, 3.0, 4
#: What is published is deleted by its age, as its readers need it until then.
BY_AGE = ("outbox",)
GUIDE = ROOT / "docs" / "how-to" / "erasure.md"
#: Files of the system's own folder that receivers own.
RECEIVED = "out"


@pytest.fixture(scope="module")
async def system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ErasingSystem]:
    async with erasing_system(tmp_path_factory.mktemp("erasing")) as running:
        yield running


async def live_and_erase(
    system: ErasingSystem, erased: list[Person], others: list[Person], injector: FaultInjector
) -> None:
    """Let persons act while some of them are erased and processes are killed."""
    for person in (*erased, *others):
        for event in (person.view(), person.identify(), person.view()):
            await system.send(person, event)

    async def erase_all() -> None:
        for person in erased:
            await system.request_erasure(person)

    async with asyncio.TaskGroup() as group:
        group.create_task(injector.run(FAULTS, SPREAD_S))
        group.create_task(erase_all())
        for person in (*erased, *others):
            group.create_task(system.view_often(person, injector.injected, FAULTS))


async def check(system: ErasingSystem, erased: list[Person], others: list[Person]) -> int:
    """Check what is left of each person; return the number of events that are in the log."""
    erasures = [await system.erased(person) for person in erased]
    await system.catch_up()
    dsn, counted = system.stack.postgres.superuser_dsn, 0
    for person, erasure in zip(erased, erasures, strict=True):
        alive = await check_erased(dsn, person.mark, erasure.token.offsets, BY_AGE)
        assert not (person.block and alive), "a blocked person has a new life"
        assert await system.count_events(person) == len(alive)
        stated = json.loads(erasure.certificate.statement)
        assert (stated["request"], stated["facts"]) == (erasure.request_id, erasure.facts)
        counted += len(alive)
    for person in others:
        assert await system.count_events(person) == person.accepted == person.sent + 1
        counted += person.sent
    return counted


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", seeds(FOLDER, 2))
async def test_processes_that_are_killed_while_persons_are_erased_leave_nothing_of_them(
    seed: int, system: ErasingSystem
) -> None:
    persons = [Person(f"pl4nted{seed}p{n}q", block=n % 2 == 1) for n in range(PERSONS)]
    erased, others = persons[: PERSONS // 2], persons[PERSONS // 2 :]
    for person in others:
        person.block = False
    before = await system.fetchval(AWAITED)
    injector = FaultInjector(system.stack, seed)
    try:
        await live_and_erase(system, erased, others, injector)
        counted = await check(system, erased, others)
        assert await system.fetchval(AWAITED) - before == counted
    except BaseException:
        save_failed_seed(FOLDER, seed, injector.injected)
        print(f"seed {seed} failed: {' '.join(injector.injected)}")
        raise


async def publish(system: ErasingSystem, person: Person) -> None:
    """Publish an event of a person to NATS."""
    client = ClientId("default", "app")
    url = await system.stack.publisher_url(client)
    connection = await nats.connect(url, inbox_prefix=client.inbox_prefix)
    view = person.view()
    event = {
        "type": "track",
        "event": view.name,
        "messageId": view.message_id,
        "userId": person.user_id.value,
        "properties": json.loads(view.properties),
    }
    await connection.jetstream().publish(
        client.subject,
        json.dumps(event).encode(),
        headers={"Authorization": f"Bearer {system.source_key}"},
    )
    await connection.close()


def places(folder: Path, text: str) -> set[str]:
    """Return where below a folder files have a text: two folders, or three of PostgreSQL's."""
    found = set()
    for path in folder.rglob("*"):
        place = path.relative_to(folder).parts
        if path.is_file() and place[0] != RECEIVED and text.encode() in path.read_bytes():
            found.add("/".join(place[: 3 if place[1:2] == ("cluster",) else 2]))
    return found


async def execute(system: ErasingSystem, *statements: str) -> None:
    conn = await asyncpg.connect(system.stack.postgres.superuser_dsn)
    try:
        for statement in statements:
            await conn.execute(statement)
    finally:
        await conn.close()


async def let_outboxes_expire(system: ErasingSystem) -> None:
    """Delete what services have published, as they do when its retention has passed."""
    for service in SERVICES[1:-1]:
        await execute(
            system,
            f"DELETE FROM {service}.outbox AS o WHERE first <"
            f" (SELECT max(first) FROM {service}.outbox WHERE shard = o.shard)",
        )


async def purge_streams(system: ErasingSystem) -> None:
    """Delete the messages of the services' streams, as `nats stream purge` does."""
    for service in SERVICES[:-1]:
        url = system.stack.nats_url(service)
        connection = await nats.connect(url, inbox_prefix=f"_INBOX.{service}")
        name = "LOG" if service == SERVICES[0] else service.upper()
        await connection.jetstream().purge_stream(f"ONEFOLD_{name}")
        await connection.close()


async def follow_guide(system: ErasingSystem) -> None:
    """Run the statements of the guide; the last block until it counts nothing, and once more."""
    first, last = re.findall(r"```sql\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL)
    await execute(system, *filter(str.strip, first.split(";")))
    conn = await asyncpg.connect(system.stack.postgres.superuser_dsn)
    try:
        left, more = 1, 1
        while left or more:
            more -= not left
            for statement in filter(str.strip, last.split(";")):
                left = await conn.fetchval(statement)
    finally:
        await conn.close()


async def test_steps_of_the_guide_leave_no_byte_of_an_erased_person_in_a_file(
    system: ErasingSystem,
) -> None:
    person, other = Person("pl4ntedbytesq", block=True), Person("st4yingq")
    folder = system.stack.data_dir
    for event in (person.identify(), *(person.view() for _ in range(20))):
        await system.send(person, event)
    await publish(system, person)
    await system.catch_up()
    await execute(system, "CHECKPOINT")
    assert {"nats/store", "postgres/cluster/base"} <= places(folder, person.mark)
    await system.request_erasure(person)
    await system.erased(person)
    for _ in range(4):
        await system.send(other, other.view())
    await system.catch_up()
    await execute(system, "VACUUM", "CHECKPOINT")
    left = places(folder, person.mark)
    assert {"nats/store", "postgres/cluster/pg_wal"} <= left, "the steps have nothing to remove"
    await let_outboxes_expire(system)
    await purge_streams(system)
    await follow_guide(system)
    assert places(folder, person.mark) == set()
    assert await system.count_events(other) == other.sent
