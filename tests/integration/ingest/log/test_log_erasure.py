"""The log overwrites the facts of an erased person: whole, once, and again after a restore."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from integration.ingest.log.conftest import KIND, SHARDS, Logs, make_fact
from onefold.type.v1.event_pb2 import EVENT_TYPE_TRACK, Event
from onefold.type.v1.identifier_pb2 import Identifier as IdentifierMessage
from onefold.type.v1.source_trust_pb2 import SOURCE_TRUST_SERVER

from services.chassis.codec.erasures import PERSON_ERASED
from services.ingest.codec.erasure import FACT_ERASED, requested_fact
from services.ingest.commands import erasure as module
from services.ingest.commands.erasure import ErasureCommands, guard_of
from services.ingest.domain.erasure import ErasureRequest, ErasureTotals
from services.ingest.log import EventLog, NewFact
from services.ingest.projection.definitions import DefinitionProjection
from services.ingest.store import erasures as store
from services.ingest.store.definitions import DefinitionStore
from services.ingest.store.erasures import ErasureStore
from services.ingest.store.receipts import ErasureReceipts
from services.kernel.errors import TokenNotReached
from services.kernel.identifiers.model import Identifier
from services.kernel.identifiers.priority import leaf_of
from tests.index_key import INDEX_KEY

WORKSPACE = "shop"
LI, MAIL = Identifier("user_id", "pl4nted"), Identifier("email", "pl4nted@mail.example")
WANG = Identifier("user_id", "wang")
OTHERS = [Identifier("user_id", f"u{number}") for number in range(5)]


class Killed(Exception):
    """Stands for the death of the process."""


def fact(name: str, *identifiers: Identifier) -> NewFact:
    event = Event(
        type=EVENT_TYPE_TRACK,
        name="viewed",
        message_id=name,
        identifiers=[IdentifierMessage(namespace=i.namespace, value=i.value) for i in identifiers],
        trust=SOURCE_TRUST_SERVER,
    )
    leaf_id = leaf_of(WORKSPACE, identifiers, INDEX_KEY)
    return make_fact(name, kind=KIND, leaf_id=leaf_id, payload=event.SerializeToString())


FACTS = [
    *(fact(f"l{number}", LI, MAIL) for number in range(5)),
    *(fact(f"m{number}", MAIL) for number in range(4)),
    *(fact(f"w{number}", WANG, MAIL) for number in range(3)),
    *(fact(f"o{number}", one) for number, one in enumerate(OTHERS)),
]
REQUEST = ErasureRequest(
    WORKSPACE,
    b"r" * 16,
    0,
    "key",
    "GDPR 17",
    False,
    tuple(sorted(one.id_in(WORKSPACE, INDEX_KEY) for one in (LI, MAIL))),
    (WANG.id_in(WORKSPACE, INDEX_KEY),),
    (),
)

EXPECTED = ErasureTotals(9, 3, 0, frozenset(), frozenset(REQUEST.related_ids))


class Erasing:
    """The erasures of one replica."""

    def __init__(self, logs: Logs, event_log: EventLog, receipts: Path) -> None:
        pool = logs.database.pool
        self._definitions = DefinitionProjection(pool, [])
        self._log = event_log
        self._logs = logs
        self.commands = ErasureCommands(
            *(event_log, pool, ErasureStore(pool, pool), DefinitionStore(pool)),
            ErasureReceipts(receipts),
            0.0,
        )

    async def request(self, request: ErasureRequest = REQUEST) -> None:
        ends = (await self._log.heads()).token.offsets
        await self._log.append([requested_fact(request._replace(known_to=ends), INDEX_KEY)])
        await self._definitions.refresh()

    async def carry_out(self) -> int:
        await self._definitions.refresh()
        return await self.commands.carry_out()

    async def totals(self) -> ErasureTotals:
        [row] = await self._logs.fetch("SELECT * FROM erasure")
        counts = (row["facts"], row["facts_of_others"], row["refused_events"])
        return ErasureTotals(*counts, frozenset(row["account_ids"]), frozenset(row["changed_ids"]))


async def erased(logs: Logs, event_log: EventLog, folder: Path) -> Erasing:
    """Append the facts, and erase the person."""
    await event_log.append(FACTS)
    erasing = Erasing(logs, event_log, folder / "erasures.jsonl")
    await erasing.request()
    await erasing.carry_out()
    return erasing


async def planted(logs: Logs) -> int:
    [row] = await logs.fetch("SELECT count(*) FROM fact WHERE position('pl4nted' IN payload) > 0")
    return int(row["count"])


async def count_kind(logs: Logs, kind: str) -> int:
    query = "SELECT count(*) FROM fact JOIN kind USING (kind_id) WHERE name = $1"
    [row] = await logs.fetch(query, kind)
    return int(row["count"])


STEPS = [
    *((store, "overwrite", number) for number in range(4)),
    *((store, "add_totals", number) for number in range(4)),
    *((store, "own_facts", number) for number in range(3)),
    *((store, "facts_of_leaf", number) for number in range(2)),
    (store, "mark_erased", 0),
]


@pytest.mark.parametrize(
    ("target", "name", "number"), STEPS, ids=[f"{name}-{number}" for _, name, number in STEPS]
)
async def test_erasure_that_is_killed_at_a_step_converges(
    logs: Logs,
    event_log: EventLog,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    target: Any,
    name: str,
    number: int,
) -> None:
    monkeypatch.setattr(module, "PAGE", 3)
    monkeypatch.setattr(module, "FEW", 1)
    await event_log.append(FACTS)
    erasing = Erasing(logs, event_log, tmp_path / "erasures.jsonl")
    await erasing.request()
    run, calls = getattr(target, name), 0

    async def killed(*args: Any, **fields: Any) -> Any:
        nonlocal calls
        result = await run(*args, **fields)
        calls += 1
        if calls == number + 1:
            raise Killed
        return result

    monkeypatch.setattr(target, name, killed)
    with pytest.raises(Killed):
        await erasing.carry_out()
    assert await count_kind(logs, PERSON_ERASED) == 0
    assert await erasing.carry_out() == 1
    assert await planted(logs) == 0
    assert await count_kind(logs, PERSON_ERASED) == SHARDS
    assert await count_kind(logs, FACT_ERASED) == 9
    assert await erasing.totals() == EXPECTED
    assert await erasing.carry_out() == 0
    await logs.check_shards()


async def test_second_person_is_erased_from_what_the_first_erasure_has_left(
    logs: Logs, event_log: EventLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAGE", 3)
    # The leaf of these facts is that of the person who is erased first, and then a random one.
    first, second = Identifier("user_id", "a"), Identifier("member_id", "pl4nted-second")
    await event_log.append([fact(f"b{n}", first, second, OTHERS[n % 2]) for n in range(8)])
    erasing = Erasing(logs, event_log, tmp_path / "erasures.jsonl")
    for number, person in enumerate((first, second)):
        ids = (person.id_in(WORKSPACE, INDEX_KEY),)
        request_id = bytes([number]) * 16
        assert await planted(logs) == 8
        await erasing.request(
            REQUEST._replace(request_id=request_id, identifier_ids=ids, related_ids=())
        )
        await erasing.carry_out()
    assert await planted(logs) == 0
    assert await count_kind(logs, FACT_ERASED) == 8
    # What is left names the others, who can be erased in turn.
    names = await logs.fetch("SELECT DISTINCT identifier_id FROM erased_name")
    others = {one.id_in(WORKSPACE, INDEX_KEY) for one in OTHERS[:2]}
    assert {row["identifier_id"] for row in names} == others
    await logs.check_shards()


async def test_facts_that_arrive_meanwhile_are_erased_before_the_end_and_stay_after_it(
    logs: Logs, event_log: EventLog, tmp_path: Path
) -> None:
    await event_log.append(FACTS)
    other, erasing = await logs.replica(), Erasing(logs, event_log, tmp_path / "erasures.jsonl")
    await erasing.request()
    is_erased, after = asyncio.Event(), 0

    async def go_on() -> None:
        nonlocal after
        number = 0
        while after < 3:
            after += is_erased.is_set()
            # Of leaves that identity did not know, too.
            pair = (OTHERS[number % 5], MAIL)
            await other.append([fact(f"n{number}", LI, MAIL), fact(f"p{number}", *pair)])
            number += 1

    task = asyncio.create_task(go_on())
    await erasing.carry_out()
    is_erased.set()
    await task
    rows = await logs.fetch(
        "SELECT f.shard, f.offset, position('pl4nted' IN payload) > 0 AS is_planted, ended.at"
        " FROM fact f JOIN (SELECT shard, fact.offset AS at FROM fact JOIN kind USING (kind_id)"
        f" WHERE name = '{PERSON_ERASED}') AS ended USING (shard) WHERE leaf_id IS NOT NULL"
    )
    assert not [row for row in rows if row["is_planted"] and row["offset"] < row["at"]]
    assert len([row for row in rows if row["is_planted"] and row["offset"] > row["at"]]) >= 4
    await logs.check_shards()


async def test_service_that_has_not_folded_an_erasure_appends_nothing_about_the_person(
    logs: Logs, event_log: EventLog, tmp_path: Path
) -> None:
    await erased(logs, event_log, tmp_path)
    [row] = await logs.fetch("SELECT erased_at FROM erasure")
    known_us = row["erased_at"] - 1
    log = await logs.replica(guard=guard_of(INDEX_KEY))
    with pytest.raises(TokenNotReached):
        await log.append([fact("other", WANG), fact("own", LI)], known_us=known_us)
    with pytest.raises(TokenNotReached):  # by an identifier, under the leaf of another person
        await log.append([fact("pair", WANG, MAIL)], known_us=known_us)
    assert await planted(logs) == 0
    # Callers that share a transaction have outcomes of their own.
    found = await asyncio.gather(
        log.append([fact("own", LI)], known_us=known_us),
        log.append([fact("other", WANG)], known_us=known_us),
        log.append([fact("life", LI)]),
        log.append([fact("folded", LI)], known_us=known_us + 1),
        return_exceptions=True,
    )
    assert isinstance(found[0], TokenNotReached)
    assert [one.appended for one in found[1:]] == [1, 1, 1]
    await logs.check_shards()


async def test_service_that_goes_on_while_a_person_is_erased_leaves_nothing_behind(
    logs: Logs, event_log: EventLog, tmp_path: Path
) -> None:
    await event_log.append(FACTS)
    log = await logs.replica(guard=guard_of(INDEX_KEY))
    erasing, known_us = Erasing(logs, event_log, tmp_path / "erasures.jsonl"), 1
    await erasing.request()

    async def go_on() -> int:
        for number in range(10_000):
            try:
                await log.append([fact(f"late{number}", LI)], known_us=known_us)
            except TokenNotReached:
                return number
        raise AssertionError("the log has taken facts for long")

    appended, _ = await asyncio.gather(go_on(), erasing.carry_out())
    assert appended > 0
    assert await planted(logs) == 0


async def test_restored_log_is_erased_again_from_the_receipts(
    logs: Logs, event_log: EventLog, tmp_path: Path
) -> None:
    erasing = await erased(logs, event_log, tmp_path)
    assert await erasing.commands.replay_receipts() == 0
    await restore(logs, FACTS)
    restored = await logs.replica()
    again = Erasing(logs, restored, tmp_path / "erasures.jsonl")
    assert await planted(logs) == 12
    assert await again.commands.replay_receipts() == 1
    assert await again.carry_out() == 1
    assert await planted(logs) == 0
    assert await again.totals() == EXPECTED


async def test_restored_log_loses_the_person_in_facts_that_the_request_did_not_know(
    logs: Logs, event_log: EventLog, tmp_path: Path
) -> None:
    await event_log.append(FACTS)
    ends = (await event_log.heads()).token.offsets
    # Appended, and in the backup, between the search for identifiers and the request.
    unknown = fact("unknown", OTHERS[0], MAIL)
    await event_log.append([unknown])
    await event_log.append([requested_fact(REQUEST._replace(known_to=ends), INDEX_KEY)])
    erasing = Erasing(logs, event_log, tmp_path / "erasures.jsonl")
    assert await erasing.carry_out() == 1
    await restore(logs, [*FACTS, unknown])
    again = Erasing(logs, await logs.replica(), tmp_path / "erasures.jsonl")
    assert await planted(logs) == 13
    assert await again.commands.replay_receipts() == 1
    assert await again.carry_out() == 1
    assert await planted(logs) == 0


SPELLED = Event(
    identifiers=[IdentifierMessage(namespace="email", value=" PL4NTED@Mail.example")]
).SerializeToString()


async def test_refused_events_are_searched_once_for_each_value_and_not_under_the_locks(
    logs: Logs, event_log: EventLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAGE", 3)
    monkeypatch.setattr(module, "REFUSED_PAGE", 2)
    await event_log.append(FACTS)
    refused = [(SPELLED, "event"), (b"of pl4nted", "body"), (b"{", "call"), (b"5", "body")]
    for number, (raw, format_) in enumerate(refused):
        await logs.database.pool.execute(
            "INSERT INTO quarantine VALUES (0, $1, $2, 'web', 'http', '', '', '', $3, $4, $5)",
            *(bytes([number] * 16), WORKSPACE, format_, raw, number // 2),
        )
    await logs.database.pool.execute(
        "INSERT INTO quarantine_usage VALUES ($1, 'web', 4, $2)",
        *(WORKSPACE, sum(len(raw) for raw, _ in refused)),
    )
    values: list[Sequence[bytes]] = []
    reads: list[str] = []
    run = store.refused_with

    async def search(conn: Any, workspace_id: str, searched: Sequence[bytes]) -> Any:
        values.append(searched)
        # Another session gets the locks of the log at once.
        async with logs.database.pool.acquire() as other:
            rows = await other.fetch("SELECT shard FROM head FOR UPDATE SKIP LOCKED")
        reads.append(f"{len(rows)}")
        return await run(conn, workspace_id, searched)

    monkeypatch.setattr(store, "refused_with", search)
    erasing = Erasing(logs, event_log, tmp_path / "erasures.jsonl")
    await erasing.request()
    late = Identifier("email", "PL4NTED@mail.example")
    finish, appended = EventLog.append_under_locks, False

    async def append_late(self: EventLog, *arguments: Any) -> Any:
        nonlocal appended
        appended = True
        await self.append([fact("late", LI, late)])
        return await finish(self, *arguments)

    monkeypatch.setattr(EventLog, "append_under_locks", append_late)
    assert await erasing.carry_out() == 1
    assert appended
    assert set(reads) == {str(SHARDS)}
    searched = [value for part in values for value in part]
    assert len(searched) == len(set(searched)) == 3
    rows = await logs.fetch("SELECT raw FROM quarantine ORDER BY quarantine_id")
    assert [row["raw"] for row in rows] == [b"{", b"5"]
    [usage] = await logs.fetch("SELECT entries, size_bytes FROM quarantine_usage")
    assert tuple(usage) == (2, 2)
    assert (await erasing.totals()).refused_events == 2


async def test_person_is_removed_from_many_leaves_of_others_in_few_transactions(
    logs: Logs, event_log: EventLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await event_log.append([fact(f"s{number}", one, MAIL) for number, one in enumerate(OTHERS)])
    related = tuple(one.id_in(WORKSPACE, INDEX_KEY) for one in OTHERS)
    ends = (await event_log.heads()).token.offsets
    request = REQUEST._replace(related_ids=related, known_to=ends)
    await event_log.append([requested_fact(request, INDEX_KEY)])
    written: list[int] = []
    run = store.overwrite

    async def overwrite(conn: Any, workspace_id: str, contents: Sequence[Any]) -> None:
        written.append(len(contents))
        await run(conn, workspace_id, contents)

    monkeypatch.setattr(store, "overwrite", overwrite)
    erasing = Erasing(logs, event_log, tmp_path / "erasures.jsonl")
    assert await erasing.carry_out() == 1
    assert written == [len(OTHERS)]
    assert await planted(logs) == 0
    assert (await erasing.totals()).changed_ids == frozenset(related)


async def restore(logs: Logs, facts: Sequence[NewFact]) -> None:
    """Bring the database back to a state before the erasure."""
    for statement in (
        "TRUNCATE fact, erasure",
        "UPDATE head SET next = 0",
        "UPDATE definition_checkpoint SET next = 0",
    ):
        await logs.database.pool.execute(statement)
    await (await logs.replica()).append(facts)
