"""Tests that every mirror keeps its contract, against a fake of its own."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import msgspec
import pytest
from contract.channels import fake_mirrors, fakes
from contract.channels.fake_mirrors import FakeMirror
from contract.channels.rigs import _KEY, KEYS, LOOPBACK, PEM, change, destination_of
from structlog.testing import capture_logs

from services.activation.channels.change import ChangedProfile
from services.activation.channels.fxiaoke import FxiaokeMirror
from services.activation.channels.http import HttpClient
from services.activation.channels.mirrors import MirrorSender, MirrorWrite, ProviderMirror
from services.activation.channels.postgres import PostgresServers
from services.activation.channels.postgres_mirror import PostgresMirrorSender
from services.activation.channels.providers import MIRROR_PROVIDERS
from services.activation.channels.ssrf import Resolver, TargetDialer, TargetGuard
from services.activation.domain import mirror_channels as channels
from services.activation.domain.channels import CHANNELS, Channel, secrets_of, with_secrets
from services.activation.domain.contracts import ChannelKind
from services.activation.domain.mirrors import MirrorEntry, after_write, assign, begin_write
from services.activation.domain.transitions import AttemptStatus, RetryPolicy
from services.kernel.ids import ProfileId, from_hex

DELIVERED, REJECTED = AttemptStatus.DELIVERED, AttemptStatus.REJECTED
STATUSES = {
    "accepted": DELIVERED,
    "later": AttemptStatus.FAILED,
    "refused": REJECTED,
    "credentials": AttemptStatus.CREDENTIALS,
    "malformed": AttemptStatus.LOST,
    "lost": AttemptStatus.LOST,
}


@dataclass(frozen=True)
class MirrorRig:
    fake: Callable[[dict[str, Any]], FakeMirror]
    channel: Callable[[str], Channel]


RIGS: dict[str, MirrorRig] = {
    "meta_audience": MirrorRig(
        fake_mirrors.FakeMeta, lambda url: channels.MetaAudience("23", "meta-token", url)
    ),
    "google_audience": MirrorRig(
        fake_mirrors.FakeGoogle,
        lambda url: channels.GoogleAudience("1", "2", "push@p.example", PEM, url, f"{url}/token"),
    ),
    "tencent_audience": MirrorRig(
        fake_mirrors.FakeTencentAds,
        lambda url: channels.TencentAudience("11", "22", "tx-secret", url),
    ),
    "salesforce": MirrorRig(
        fake_mirrors.FakeSalesforce,
        lambda url: channels.Salesforce(
            url, "client", "sf-secret", "", "Onefold_Id__c", "In_Trial__c"
        ),
    ),
    "hubspot": MirrorRig(
        fake_mirrors.FakeHubspot, lambda url: channels.Hubspot("hs-token", "in_trial", url)
    ),
    "fxiaoke": MirrorRig(
        fake_mirrors.FakeFxiaoke,
        lambda url: channels.Fxiaoke(
            "FSAID_1", "fx-secret", "fx-code", "FSUID_1", "", "onefold_id__c", "in_trial__c", url
        ),
    ),
}
#: Those that have a record of each person, and not only a hash.
RECORDS = ["salesforce", "hubspot", "fxiaoke"]


@dataclass
class OpenMirror:
    sender: MirrorSender
    fake: FakeMirror
    channel: Channel

    async def write(self, *writes: MirrorWrite) -> list[AttemptStatus]:
        results = await self.sender.write(destination_of(self.channel), writes)
        return [result.status for result in results]

    def entries(self, profile: ChangedProfile) -> dict[str, bytes]:
        return self.sender.entries(destination_of(self.channel), profile)


@asynccontextmanager
async def opened(name: str) -> AsyncIterator[OpenMirror]:
    rig = RIGS[name]
    fake = rig.fake({"public_key": _KEY.public_key()})
    async with fakes.serving(fake), HttpClient(TargetGuard(LOOPBACK)) as http:
        channel = rig.channel(fake.url)
        fake.secrets |= secrets_of(channel)
        provider = MIRROR_PROVIDERS.get(type(channel))
        sender: MirrorSender = (
            ProviderMirror(provider, http, KEYS) if provider else FxiaokeMirror(http, KEYS)
        )
        yield OpenMirror(sender, fake, channel)


def person(n: int, **traits: Any) -> ChangedProfile:
    profile = change(f"p{n}@x.example").profile
    phone = msgspec.structs.replace(profile.identifiers[1], value=f"+8613800138{n:03d}")
    return msgspec.structs.replace(
        profile, identifiers=(profile.identifiers[0], phone), traits=traits
    )


def writes_of(entries: dict[str, bytes], version: int = 1) -> list[MirrorWrite]:
    return [MirrorWrite(key, value, version) for key, value in entries.items()]


def test_every_mirror_has_a_rig() -> None:
    kinds = {n for n, kind in CHANNELS.items() if kind.contract.kind is ChannelKind.MIRROR}
    assert kinds == RIGS.keys() | {"postgres_mirror"}


@pytest.mark.parametrize("outcome", STATUSES)
@pytest.mark.parametrize("name", RIGS)
async def test_answer_of_a_receiver_is_judged_by_what_it_means(name: str, outcome: str) -> None:
    async with opened(name) as rig:
        rig.fake.script = [outcome]
        writes = writes_of(rig.entries(person(1, city="x")))[:1]
        with capture_logs() as lines:
            statuses = await rig.write(*writes)
        assert statuses == [STATUSES[outcome]]
        assert not rig.fake.problems
        assert ("p1@x.example" in str(lines), "138001" in str(writes)) == (False, False)


@pytest.mark.parametrize("name", RIGS)
async def test_members_are_added_and_removed_together(name: str) -> None:
    async with opened(name) as rig:
        people = [person(n, city=f"c{n}") for n in range(6)]
        entries = {key: v for each in people for key, v in rig.entries(each).items()}
        assert set(await rig.write(*writes_of(entries))) == {DELIVERED}
        assert rig.fake.members.keys() == entries.keys()
        if name in RECORDS:
            assert {m["city"] for m in rig.fake.members.values()} == {f"c{n}" for n in range(6)}
        leaving, staying = list(entries)[:3], list(entries)[3:]
        changes = [MirrorWrite(key, None, 2) for key in leaving] + writes_of(
            {key: entries[key] for key in staying}, 2
        )
        random.Random(name).shuffle(changes)
        assert set(await rig.write(*changes)) == {DELIVERED}
        assert rig.fake.members.keys() == set(staying)
        assert rig.fake.largest >= (1 if name == "fxiaoke" else 3), "they go in one request"


@pytest.mark.parametrize("name", [name for name in RIGS if name != "google_audience"])
async def test_wrong_secret_is_turned_away(name: str) -> None:
    async with opened(name) as rig:
        rig.channel = with_secrets(rig.channel, dict.fromkeys(secrets_of(rig.channel), "wrong"))
        assert set(await rig.write(*writes_of(rig.entries(person(1))))) == {
            AttemptStatus.CREDENTIALS
        }
        assert not rig.fake.members


@pytest.mark.parametrize("name", [name for name in RIGS if name != "fxiaoke"])
async def test_bad_entry_is_refused_alone(name: str) -> None:
    async with opened(name) as rig:
        entries = {k: v for n in range(5) for k, v in rig.entries(person(n, city="x")).items()}
        bad = list(entries)[3]
        rig.fake.bad = {bad}
        statuses = await rig.write(*writes_of(entries))
        assert dict(zip(entries, statuses, strict=True)) == {
            key: REJECTED if key == bad else DELIVERED for key in entries
        }
        assert rig.fake.members.keys() == entries.keys() - {bad}


@pytest.mark.parametrize("name", RIGS)
async def test_person_that_a_receiver_cannot_know_has_no_entry(name: str) -> None:
    async with opened(name) as rig:
        entries = rig.entries(ChangedProfile("0" * 32))
        assert bool(entries) == (name in ("salesforce", "fxiaoke"))


@pytest.mark.parametrize("name", ["google_audience", "salesforce", "fxiaoke"])
async def test_token_of_a_mirror_is_renewed_when_it_has_expired(name: str) -> None:
    async with opened(name) as rig:
        writes = writes_of(rig.entries(person(1)))[:1]
        assert await rig.write(*writes) == [DELIVERED]
        rig.fake.script = ["expired"]
        assert await rig.write(*writes) == [AttemptStatus.FAILED]
        assert await rig.write(*writes) == [DELIVERED]
        assert rig.fake.tokens == 2


@dataclass
class Ledger:
    """The entries of one mirror, as the service stores them."""

    rig: OpenMirror
    entries: dict[str, MirrorEntry]
    has: dict[ProfileId, dict[str, bytes]]
    now_s: float = 1_000.0

    def change(self, profile: ChangedProfile, *, is_member: bool) -> None:
        id_ = ProfileId(from_hex(profile.id))
        targets = self.rig.entries(profile) if is_member else {}
        had = self.has.get(id_, {})
        self._save(assign(id_, had, targets, self.entries, int(self.now_s * 1e6)))
        self.has[id_] = targets

    async def write(self) -> None:
        due = [e for e in self.entries.values() if e.due_s is not None and e.due_s <= self.now_s]
        begun = [begin_write(entry, self.now_s, 60.0) for entry in due]
        self._save({entry.key: entry for entry in begun})
        writes = [MirrorWrite(e.key, e.wanted, e.version) for e in begun]
        if not writes:
            return
        results = await self.rig.sender.write(destination_of(self.rig.channel), writes)
        for entry, result in zip(begun, results, strict=True):
            after = after_write(entry, entry.version, result, self.now_s, RetryPolicy(), 0.5)
            self._save({entry.key: after})

    def _save(self, changed: dict[str, MirrorEntry | None] | dict[str, MirrorEntry]) -> None:
        for key, entry in changed.items():
            if entry is None:
                self.entries.pop(key, None)
            else:
                self.entries[key] = entry


@pytest.mark.parametrize("name", RIGS)
async def test_copy_is_equal_to_the_members_whatever_answers_are_lost(name: str) -> None:
    chance = random.Random(name)
    people = [person(n, city="x") for n in range(6)]
    members: set[int] = set()
    async with opened(name) as rig:
        ledger = Ledger(rig, {}, {})
        for _ in range(30):
            n = chance.randrange(6)
            members ^= {n}
            ledger.change(people[n], is_member=n in members)
            rig.fake.script = chance.choices(
                ["lost", "unanswered", "later"], k=chance.randint(0, 2)
            )
            await ledger.write()
            ledger.now_s += chance.choice([0.5, 5.0, 700.0])
        rig.fake.script = []
        for _ in range(5):
            ledger.now_s += 4_000.0
            await ledger.write()
        wanted = {key for n in members for key in rig.entries(people[n])}
        assert rig.fake.members.keys() == wanted == ledger.entries.keys()
        assert not rig.fake.problems


@pytest.mark.parametrize("name", RECORDS)
async def test_what_comes_back_from_a_crm_is_not_written_again(name: str) -> None:
    """One change in, one write out; the echo of the write is equal to it, and writes nothing."""
    async with opened(name) as rig:
        ledger = Ledger(rig, {}, {})
        ledger.change(person(1, city="x", grade=3), is_member=True)
        await ledger.write()
        assert rig.fake.writes == 1
        # The traits come back from the CRM in another order, as the profile has them then.
        ledger.change(person(1, grade=3, city="x"), is_member=True)
        await ledger.write()
        assert rig.fake.writes == 1
        ledger.change(person(1, city="y", grade=3), is_member=True)
        await ledger.write()
        assert rig.fake.writes == 2


async def test_row_of_a_member_is_never_replaced_by_an_older_version(database: str) -> None:
    conn = await asyncpg.connect(database)
    await conn.execute(
        "CREATE TABLE members (profile_id text PRIMARY KEY, is_member boolean, traits jsonb,"
        " version bigint)"
    )
    dsn = urlsplit(database)
    channel = channels.PostgresMirror(
        "127.0.0.1", dsn.port or 0, dsn.path[1:], dsn.username or "", dsn.password or "",
        "members", "none",
    )  # fmt: skip
    dialer = TargetDialer(TargetGuard(LOOPBACK), Resolver())
    async with PostgresServers(dialer, KEYS) as servers:
        sender, destination = PostgresMirrorSender(servers), destination_of(channel)

        async def write(*writes: MirrorWrite) -> list[AttemptStatus]:
            return [r.status for r in await sender.write(destination, writes)]

        (key,) = sender.entries(destination, person(1))
        first, second = MirrorWrite(key, b'{"city":"x"}', 5), MirrorWrite(key, None, 9)
        for each in (second, first, second):  # the first one arrives late
            assert await write(each) == [DELIVERED]
        bad = MirrorWrite("other", b'{"city":"\\u0000"}', 1)
        statuses = await write(*_around(bad))
        assert [s is REJECTED for s in statuses] == [False] * 3 + [True] + [False] * 3
    rows = await conn.fetch("SELECT profile_id, is_member FROM members")
    await conn.close()
    assert (key, False) in [tuple(row) for row in rows]
    assert len(rows) == 7


def _around(write: MirrorWrite) -> Sequence[MirrorWrite]:
    others = [replace(write, key=f"k{n}", value=b"{}") for n in range(6)]
    return [*others[:3], write, *others[3:]]
