"""Tests that the database holds workspaces apart where a statement forgets to.

Each statement of the services loses its condition on the workspace in turn. Nothing of another
workspace may cross then. Without the policies something of it does, which shows that each case
works.
"""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg
import pytest
from integration.whole.whole_system import WholeSystem, whole_system
from security.foreign_requests import foreign_requests
from security.two_tenants import (
    ERROR,
    MARK,
    OTHER,
    OWN,
    Call,
    OtherIds,
    Tenant,
    calls_with_foreign_ids,
    load_other_ids,
    responses,
    two_tenants,
)
from service_fixtures import MakeSettings

from services import SERVICES
from services.chassis.postgres.database import Queries
from services.chassis.postgres.roles import ServiceRoles
from services.chassis.postgres.workspace import WorkspaceConnection
from services.devstack.folders import ROOT

#: A condition on the workspace that a parameter names, in its forms; the key of a segment is one.
CONDITION = re.compile(
    r"(?:\b\w+\.)?\bworkspace_id(?: \|\| '')?\s*(?:=\s*(?P<one>\$\d+)"
    r"|IN\s*\((?P<two>\$\d+), ''\)|=\s*any\s*\((?P<many>\$\d+)::text ?\[\]\))"
    r"|\bsegment_key = segment_key\((?P<key>\$\d+), \$\d+\)",
    re.IGNORECASE,
)
_FOREVER = 2**62
_LAST = b"\xff" * 16

#: The statements by which the fold of activation deletes what it has of an erased person.
ERASING = (
    *("delete_addresses", "delete_answers", "delete_decisions", "delete_dues"),
    "delete_journey_facts",
    *("delete_leaf_profiles", "delete_runs", "delete_ticket_facts", "delete_tickets"),
    *("delete_unpublished", "erase_coupons", "erase_effects", "erase_reports", "leave_mirrors"),
    *("hide_profiles", "lock_dues"),
)
#: Statements that only folds, workers and relays run, which see all workspaces: none of them runs
#: for a caller, which the test checks.
OF_FOLDS = frozenset(
    {
        # What an erasure deletes: the workspace is that of its fact.
        "identity/store/erasure.delete_decisions",
        "identity/store/erasure.delete_edges",
        "identity/store/erasure.delete_identifiers",
        "identity/store/erasure.delete_matches",
        "identity/store/erasure.load_profile_ids",
        "identity/store/erasure.part",
        "identity/store/erasure.take",
        "ingest/store/erasures.account_facts",
        "ingest/store/erasures.add_counts",
        "ingest/store/erasures.add_folded",
        "ingest/store/erasures.delete_names",
        "ingest/store/erasures.erased_after",
        "ingest/store/erasures.erased_facts",
        "ingest/store/erasures.facts_in_range",
        "ingest/store/erasures.facts_of_leaf",
        "ingest/store/erasures.mark_erased",
        "ingest/store/erasures.overwrite",
        "ingest/store/erasures.own_facts",
        "ingest/store/erasures.refused_after",
        "ingest/store/erasures.refused_with",
        "profile/store/erasure.bury",
        "profile/store/erasure.delete_leaves",
        "profile/store/erasure.delete_names",
        "profile/store/erasure.end_erasure",
        "segment/store/erasure.delete_history",
        "activation/store/destinations.load_destinations_of_shard",
        "activation/store/effects.cancel_open",
        # Both run for an effect that `lock_dead` has found in the workspace.
        "activation/store/effects.hold_later",
        "activation/store/effects.is_overtaken",
        "activation/store/effects.lock_due",
        "activation/store/effects.spend_pace",
        *(f"activation/store/erasure.{name}" for name in ERASING),
        "activation/store/gate.end_pause",
        "activation/store/coupons.add_codes",
        "activation/store/recommendations.delete_fits",
        "activation/store/coupons.load_of_runs",
        "activation/store/coupons.take_codes",
        "activation/store/desk.count_open_tickets",
        "activation/store/desk.load_queues",
        "activation/store/gate.load_addresses",
        "activation/store/gate.load_awaited_looks",
        "activation/store/gate.load_programs",
        "activation/store/mirrors.claim_members",
        "activation/store/mirrors.delete_entries",
        "activation/store/mirrors.delete_erased_members",
        "activation/store/mirrors.derive_all",
        "activation/store/mirrors.drop_unlisted",
        "activation/store/mirrors.is_defined_everywhere",
        "activation/store/mirrors.loaded_version",
        "activation/store/mirrors.lock_due_entries",
        "activation/store/mirrors.lock_entries",
        "activation/store/mirrors.lock_joins",
        "activation/store/mirrors.lock_members",
        "activation/store/mirrors.save_members",
        # The workspace is that of the token in the address of the door, or of a saved report.
        "activation/store/reports.count_unwanted",
        "activation/store/reports.find_by_addresses",
        "activation/store/reports.find_effects",
        "activation/store/reports.lock_address",
        "activation/store/journeys.load_contact_policies",
        "activation/store/journeys.load_flows",
        "activation/store/journeys.load_journeys",
        "activation/store/own_effects.load_depth",
        "activation/store/runs.add_dues_of_journey",
        "activation/store/schedules.take_page",
        "chassis/access/tables.delete_field_classes",
        "chassis/access/tables.delete_key",
        "chassis/access/tables.delete_source",
        "chassis/access/tables.delete_workspace",
        "chassis/audit/log.lock_heads",
        "chassis/audit/log.save_head",
        "chassis/projection/failed_facts.count_failed_of_workspaces",
        "chassis/projection/failed_facts.load_units",
        "identity/store/policy.load_rollout_page",
        # Services read the log, which names the workspace to them or not.
        "ingest/log/store.page_of_kinds",
        "identity/store/policy.save_policy",
        "profile/store/definitions.load_stages",
        "profile/store/profiles.count_leaves",
        "profile/store/profiles.leaf_page",
        "segment/store/definitions.delete_ready_predicates",
        "segment/store/definitions.has_definition",
        "segment/store/definitions.update_definition",
        "segment/store/evaluations.count_profiles",
        "segment/store/evaluations.load_profile_page",
        "segment/store/memberships.load_entries",
    }
)

#: The parameters of every other statement: of a call with the keys of one workspace, and with ids
#: of the other one. `$n` is in the order of the statement.
CASES: dict[str, Callable[[OtherIds], Sequence[Any]]] = {
    "activation/store/coupons.count_coupons": lambda b: (OWN,),
    "activation/store/coupons.count_free": lambda b: (OWN,),
    "activation/store/coupons.load_pools": lambda b: (OWN,),
    "activation/store/dashboards.list_dashboards": lambda b: (OWN,),
    "activation/store/desk.count_tickets": lambda b: (OWN,),
    "activation/store/desk.list_tickets": lambda b: (
        *(OWN, _FOREVER, _LAST, "", "", [b.leaf], 0, False, 100),
    ),
    "activation/store/desk.load_facts_of_ticket": lambda b: (OWN, b.leaf),
    "activation/store/desk.load_queues_of_workspace": lambda b: (OWN,),
    "activation/store/desk.load_ticket": lambda b: (OWN, b.leaf),
    "activation/store/destinations.load_destinations_of_workspace": lambda b: (OWN,),
    "activation/store/effects.count_effects": lambda b: (OWN,),
    "activation/store/effects.lock_dead": lambda b: (OWN, b.effect),
    "activation/store/effects.list_effects": lambda b: (
        *(OWN, _FOREVER, _LAST, 0, "", 0, [], "", "", 100),
    ),
    "activation/store/effects.retry": lambda b: (OWN, b.effect),
    "activation/store/mirrors.count_mirror": lambda b: (OWN, MARK, 1),
    "activation/store/mirrors.write_all": lambda b: (OWN, MARK),
    "activation/store/journeys.load_contact_policy": lambda b: (OWN, _FOREVER),
    "activation/store/journeys.load_flows_of_workspace": lambda b: (OWN, 1),
    "activation/store/journeys.load_journeys_of_workspace": lambda b: (OWN,),
    "activation/store/journeys.load_policy_versions": lambda b: (OWN,),
    "activation/store/replays.list_group_leaves": lambda b: (OWN, [b.leaf]),
    "activation/store/replays.list_leaves": lambda b: (OWN, MARK, b"", 100),
    "activation/store/replays.load_moves": lambda b: (OWN, [b.leaf]),
    "activation/store/run_reads.count_run_effects": lambda b: (OWN, MARK),
    "activation/store/run_reads.count_results": lambda b: (OWN, MARK, 0, _FOREVER),
    "activation/store/run_reads.count_runs": lambda b: (OWN, MARK),
    "activation/store/run_reads.count_unanswered": lambda b: (OWN, ""),
    "activation/store/run_reads.count_unended": lambda b: (OWN, ""),
    "activation/store/run_reads.count_begun": lambda b: (OWN, MARK, 0, _FOREVER),
    "activation/store/run_reads.find_problems": lambda b: (OWN, "", _FOREVER),
    "activation/store/run_reads.leaves_of_profile": lambda b: (OWN, b.leaf),
    "activation/store/run_reads.list_runs": lambda b: (OWN, _FOREVER, _LAST, "", 0, None, 100),
    "activation/store/run_reads.load_run": lambda b: (OWN, b.leaf),
    "activation/store/run_reads.load_run_effects": lambda b: (OWN, [b.leaf]),
    "activation/store/run_reads.runs_after": lambda b: (OWN, "", 0, b"", 0, 100),
    "activation/store/recommendations.load_fit": lambda b: (OWN, MARK),
    "activation/store/recommendations.load_rankings": lambda b: (OWN, MARK, 1, [MARK]),
    "activation/store/decisions.load_decision": lambda b: (OWN, [MARK], 1, b.leaf, b"", 0),
    "activation/store/decisions.save_person": lambda b: (OWN, b.profile, UUID(int=0), "{}", True),
    "activation/store/slots.list_slots": lambda b: (OWN,),
    "activation/store/slots.load_slots": lambda b: (OWN, [MARK]),
    "activation/store/templates.load_template": lambda b: (OWN, MARK, 0),
    "activation/store/templates.load_templates": lambda b: (OWN,),
    "chassis/access/tables.load_field_classes": lambda b: (OWN,),
    "chassis/access/tables.load_regions": lambda b: ([OWN],),
    "chassis/audit/log.entries_before": lambda b: (OWN, _FOREVER, 1_000, "", b"", False),
    "chassis/audit/log.entries_from": lambda b: (OWN, 0, 1_000),
    "chassis/audit/log.load_head": lambda b: (OWN,),
    "chassis/projection/backfill.is_backfilling": lambda b: (MARK, OWN),
    "identity/store/assignments.has_unpublished": lambda b: (OWN,),
    "identity/store/decisions.load_decision": lambda b: (*b.decided, OWN),
    "identity/store/decisions.list_decisions": lambda b: (OWN, [*b.decided], 100),
    "identity/store/erasure.identifiers_of": lambda b: (OWN, b.profile),
    "identity/store/erasure.load_related": lambda b: (OWN, [b.decided[0]]),
    "identity/store/matches.list_matches": lambda b: (OWN, None, b"", b"", 100),
    "identity/store/matches.load_accepted": lambda b: (OWN, MARK, [b.matched[0]]),
    "identity/store/matches.load_assessments": lambda b: ([b.matched[0]], [b.matched[1]], OWN),
    "identity/store/policy.load_policies": lambda b: (OWN,),
    "identity/store/profiles.count_held": lambda b: (OWN, list(range(9)), list(range(9)), 100),
    "identity/store/profiles.list_edges": lambda b: (OWN, [b.profile], 100),
    "identity/store/profiles.list_held": lambda b: (OWN, list(range(9)), b"", b"", 0, 100, 9),
    "identity/store/profiles.list_identifiers": lambda b: (b.profile, OWN),
    "identity/store/profiles.lookup_profiles": lambda b: ([b.profile], OWN),
    "identity/store/profiles.read_edges": lambda b: (OWN,),
    "identity/store/profiles.read_identifiers": lambda b: (OWN,),
    "identity/store/profiles.read_partition": lambda b: (OWN,),
    "identity/store/profiles.read_separations": lambda b: (OWN,),
    "ingest/log/store.leaf_facts": lambda b: (
        *(OWN, [0, 1], [b.leaf] * 2, [_FOREVER] * 2, _FOREVER, _FOREVER, 100, 0),
    ),
    "ingest/log/store.newest_facts": lambda b: (OWN, 1, [0, 0], [_FOREVER] * 2, [], 100),
    "ingest/store/erasures.newest": lambda b: (OWN, None, 100),
    "ingest/store/definitions.key": lambda b: (OWN, b.key),
    "ingest/store/definitions.keys": lambda b: (OWN,),
    "ingest/store/definitions.source": lambda b: (OWN, f"{MARK}-only"),
    "ingest/store/definitions.sources": lambda b: (OWN,),
    "ingest/store/definitions.workspace": lambda b: (OWN,),
    "ingest/store/duplicates.page": lambda b: (OWN, _FOREVER, _LAST, "", 100),
    "ingest/store/duplicates.totals": lambda b: (OWN,),
    "ingest/store/key_uses.last_days": lambda b: (OWN,),
    "ingest/store/quarantine.get": lambda b: (b.quarantine_shard, b.quarantined, OWN),
    "ingest/store/quarantine.mark_released": lambda b: (
        *(b.quarantine_shard, b.quarantined, OWN, "web", b"released"),
    ),
    "ingest/store/quarantine.page": lambda b: (OWN, _FOREVER, _LAST, True, 100),
    "ingest/store/quarantine.save": lambda b: (
        *(
            OWN,
            "web",
            [0],
            [os.urandom(16)],
            [OWN],
            ["web"],
            ["grpc"],
            ["r"],
            [""],
            [""],
            ["event"],
        ),
        *([b"raw"], [0]),
    ),
    "ingest/store/quarantine.stored_ids": lambda b: (OWN, [b.quarantine_shard], [b.quarantined]),
    "profile/store/definitions.backfilled_predicates": lambda b: (OWN, 1),
    "profile/store/definitions.workspace_definitions": lambda b: (
        *(OWN, ["onefold.profile.v1.TagDefined"]),
    ),
    "profile/store/definitions.workspace_state": lambda b: (
        *(OWN, ["onefold.profile.v1.TagDefined"], 1),
    ),
    "profile/store/evaluations.count_persons": lambda b: (OWN,),
    "profile/store/evaluations.sample_page": lambda b: (OWN, b"", 1, 100),
    "profile/store/profiles.account_names": lambda b: (OWN, [b.account]),
    "profile/store/profiles.accounts_with_parent": lambda b: (OWN, [b.parent]),
    # The lexemes are those of the other tenant, so that the condition alone hides its rows.
    "profile/store/profiles.search_profiles": lambda b: (
        *(OWN, [b.profile], f"'{OTHER}/':*", 100, 100, MARK),
    ),
    "profile/store/profiles.leaf_states": lambda b: (OWN, [b.profile]),
    "profile/store/profiles.leaves_of_profiles": lambda b: (OWN, [b.profile]),
    "profile/store/profiles.list_accounts": lambda b: (OWN, b"", 100),
    "profile/store/profiles.list_profiles": lambda b: (OWN, b"", 100),
    "profile/store/profiles.load_profiles": lambda b: (OWN, [b.profile]),
    "profile/store/profiles.member_page": lambda b: (OWN, [b.leaf], b"", 100),
    "profile/store/profiles.profiles_of": lambda b: (OWN, [b.profile]),
    "profile/store/profiles.stated_parents": lambda b: (OWN, [b.account]),
    "segment/store/definitions.load_definitions_of_workspace": lambda b: (OWN,),
    "segment/store/memberships.count_members": lambda b: (OWN,),
    "segment/store/memberships.list_members": lambda b: (OWN, f"{MARK}-only", b"", 100),
    "segment/store/memberships.list_members_as_of": lambda b: (
        *(OWN, f"{MARK}-only", b"", 100, _FOREVER),
    ),
    "segment/store/memberships.list_members_as_of_token": lambda b: (
        *(OWN, f"{MARK}-only", b"", 100, [_FOREVER, _FOREVER]),
    ),
    "segment/store/memberships.load_changes_of_profile": lambda b: (OWN, b.profile, None),
    "segment/store/memberships.load_changes_of_workspace": lambda b: (1, 0, OWN, 100),
    "segment/store/sets.load_changed_members": lambda b: (OWN, 1, 0, 100),
    "segment/store/sets.load_everyone": lambda b: (OWN,),
    "segment/store/sets.load_merges": lambda b: (OWN,),
    "segment/store/sets.load_number_sets": lambda b: (OWN, [f"{MARK}-only"]),
    "segment/store/sets.load_numbers_at_token": lambda b: (
        *(OWN, f"{MARK}-only", [_FOREVER, _FOREVER]),
    ),
    "segment/store/sets.load_snapshot": lambda b: (OWN, f"{MARK}-only"),
    "segment/store/sets.load_snapshots": lambda b: (OWN,),
    "segment/store/sets.profiles_numbered": lambda b: (OWN, list(range(1_000))),
}
#: Which service runs a statement of the chassis in its case.
_RUN_BY = {
    "chassis/access/tables": "identity",
    "chassis/audit/log": "ingest",
    "chassis/projection/backfill": "profile",
}


class Statement(NamedTuple):
    """A statement with conditions on the workspace."""

    #: Such as `profile/store/profiles`.
    module: str
    name: str
    text: str

    @property
    def key(self) -> str:
        return f"{self.module}.{self.name}"

    @property
    def owner(self) -> str:
        """The service, or `chassis`."""
        return self.module.partition("/")[0]

    @property
    def run_by(self) -> str:
        return _RUN_BY.get(self.module, self.owner)

    def without(self, only: int | None = None) -> str:
        """Return the text without its conditions, or without one of them."""
        found = iter(range(len(CONDITION.findall(self.text))))

        def lifted(match: re.Match[str]) -> str:
            if only is not None and next(found) != only:
                return match[0]
            single = match["one"] or match["two"] or match["key"]
            return (
                f"{single}::text IS NOT NULL" if single else f"{match['many']}::text[] IS NOT NULL"
            )

        return CONDITION.sub(lifted, self.text).replace("{schema}", "")

    def mutants(self) -> Iterator[str]:
        """Yield the text without each condition in turn, and without all of them."""
        count = len(CONDITION.findall(self.text))
        yield from (self.without(index) for index in range(count if count > 1 else 0))
        yield self.without()


def statements() -> list[Statement]:
    """Return every statement of the services with a condition on the workspace."""
    found = []
    for file in sorted((ROOT / "services").rglob("*.sql")):
        if file.parent.name in ("migrations", "state") or file.name == "grants.sql":
            continue
        queries = Queries.parse(file.read_text("utf-8"), file.name)
        module = str(file.relative_to(ROOT / "services").with_suffix(""))
        texts = {name: getattr(queries, name) for name in dir(queries)}
        found += [Statement(module, n, t) for n, t in texts.items() if CONDITION.search(t)]
    return found


def test_every_statement_with_a_workspace_has_a_case() -> None:
    keys = {statement.key for statement in statements()}
    assert keys == CASES.keys() | OF_FOLDS
    assert not CASES.keys() & OF_FOLDS


def test_conditions_of_every_form_are_found() -> None:
    text = "SELECT 1 WHERE a.workspace_id = $1 AND workspace_id IN ($2, '') OR workspace_id = $13"
    lifted = Statement("m", "n", text).without()
    assert lifted == (
        "SELECT 1 WHERE $1::text IS NOT NULL AND $2::text IS NOT NULL OR $13::text IS NOT NULL"
    )
    assert len(list(Statement("m", "n", text).mutants())) == 4
    regions = Statement("m", "n", "SELECT 1 WHERE workspace_id = any($1::text[])")
    assert regions.without() == "SELECT 1 WHERE $1::text[] IS NOT NULL"
    text = "SELECT 1 WHERE segment_key = segment_key($1, $2) AND a.workspace_id || '' = $1"
    keyed = Statement("m", "n", text).without()
    assert keyed == "SELECT 1 WHERE $1::text IS NOT NULL AND $1::text IS NOT NULL"


@contextmanager
def replaced(statement: Statement, text: str) -> Iterator[None]:
    """Make the services of this process run another text."""
    module = importlib.import_module("services." + statement.module.replace("/", "."))
    texts = module.Q._statements
    before = texts[statement.name]
    texts[statement.name] = text
    try:
        yield
    finally:
        texts[statement.name] = before


class Foreign(NamedTuple):
    """Recognises what belongs to the other workspace."""

    values: frozenset[bytes]

    @classmethod
    async def load(cls, conn: asyncpg.Connection) -> Foreign:
        """Read all values that only the other workspace has."""
        own, other = [await _values_of(conn, workspace) for workspace in (OWN, OTHER)]
        return cls(frozenset(other - own) | {MARK.encode(), OTHER.encode()})

    def found_in(self, data: bytes) -> list[bytes]:
        return [value for value in self.values if value in data or value.hex().encode() in data]


async def _values_of(conn: asyncpg.Connection, workspace: str) -> set[bytes]:
    """Return the ids in the rows of a workspace, and the numbers that may be ids."""
    found: set[bytes] = set()
    for table in await _tables(conn):
        for row in await conn.fetch(f"SELECT * FROM {table} WHERE workspace_id = $1", workspace):
            for value in row.values():
                if type(value) is bytes and len(value) == 16:
                    found.add(value)
                elif (type(value) is int and abs(value) > 2**52) or _is_key_id(value):
                    found.add(str(value).encode())
    return found


def _is_key_id(value: object) -> bool:
    return type(value) is str and value.startswith("key_")


async def _tables(conn: asyncpg.Connection) -> list[str]:
    rows = await conn.fetch(
        "SELECT attrelid::regclass::text FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid"
        " WHERE attname = 'workspace_id' AND relkind = 'r' ORDER BY 1"
    )
    return [row[0] for row in rows]


async def _rows_of_other(conn: asyncpg.Connection) -> dict[str, Any]:
    """Return a checksum of the other workspace's rows, by table."""
    return {
        table: await conn.fetchval(
            f"SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) FROM {table} AS t"
            " WHERE workspace_id = $1",
            OTHER,
        )
        for table in await _tables(conn)
    }


class Lab(NamedTuple):
    """A database with two workspaces, and a connection of each service for one of them."""

    admin: asyncpg.Connection
    api: dict[str, asyncpg.Connection]
    foreign: Foreign
    other: OtherIds

    async def crosses(self, statement: Statement, text: str) -> bool:
        """Run a text with the parameters of its case, and return whether anything crosses.

        What it changes is taken back.
        """
        conn, parameters = self.api[statement.run_by], CASES[statement.key](self.other)
        before = await _rows_of_other(self.admin)
        # Not rolled back at once: another connection looks for changes.
        rows = await conn.fetch(text, *parameters)
        changed = await _rows_of_other(self.admin) != before
        return changed or self._are_foreign(rows)

    def _are_foreign(self, rows: Sequence[asyncpg.Record]) -> bool:
        flags = [value for row in rows for value in row.values() if type(value) is bool]
        shown = b" ".join(_raw(value) for row in rows for value in row.values())
        return bool(self.foreign.found_in(shown)) or (len(rows) == 1 and flags == [True])


def _raw(value: Any) -> bytes:
    return value if type(value) is bytes else str(value).encode()


async def _add_erasure(admin: asyncpg.Connection) -> None:
    """Add the erasure of a person of the other workspace, of which nothing else is left."""
    await admin.execute(
        "INSERT INTO ingest.erasure (workspace_id, request_id, requested_at, actor, legal_ground,"
        " block, identifier_ids, related_ids, known_to)"
        " VALUES ($1, $2, 1, $1, '', false, '{}', '{}', '{}')",
        OTHER,
        bytes(16),
    )


async def test_statement_without_its_workspace_shows_nothing_of_another_one(
    make_settings: MakeSettings,
    internal_key: str,
    database: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run_for_callers: set[str] = set()
    _record_queries(monkeypatch, run_for_callers)
    system = whole_system(make_settings, internal_key, tmp_path)
    async with system as running, two_tenants(running, tmp_path) as (own, _):
        admin = await asyncpg.connect(database)
        other = await load_other_ids(admin)
        foreign = await Foreign.load(admin)
        calls = [each for of in calls_with_foreign_ids(own, other).values() for each in of]
        before = await _rows_of_other(admin)
        # A call is repeated with the mutants of the statements that it runs.
        callers: dict[str, list[Call]] = {}
        run_before: set[str] = set()
        for call in calls:
            run_for_callers.clear()
            await responses([call])
            run_before |= run_for_callers
            for text in run_for_callers:
                callers.setdefault(text, []).append(call)
        for statement in (each for each in statements() if each.key in CASES):
            for text in statement.mutants():
                with replaced(statement, text):
                    for response in await responses(callers.get(statement.text, [])):
                        assert not foreign.found_in(response), (statement.key, response)
        run_for_callers |= run_before
        await _fuzz(running, own, other, foreign)
        assert await _rows_of_other(admin) == before
        texts = {each.text: each.key for each in statements()}
        assert {texts[text] for text in run_for_callers & texts.keys()}.isdisjoint(OF_FOLDS)
        assert len(run_for_callers & texts.keys()) > len(CASES) / 2
    # The services have stopped, so the rows are changed by the cases alone.
    await _add_erasure(admin)
    api = {}
    for service in SERVICES:
        role = ServiceRoles.from_dsn(database, service).api
        path = f"{service}_g1,{service}"
        api[service] = await asyncpg.connect(
            database, user=role, server_settings={"search_path": path, "onefold.workspace": OWN}
        )
    lab = Lab(admin, api, foreign, other)
    cases = [statement for statement in statements() if statement.key in CASES]
    for statement in cases:
        for text in statement.mutants():
            assert not await lab.crosses(statement, text), f"{statement.key} crosses"
    for table in await _tables(admin):
        await admin.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
    held = [each.key for each in cases if not await lab.crosses(each, each.without())]
    assert held == [], "these cases would not notice a missing policy"
    for conn in (admin, *api.values()):
        await conn.close()


async def _fuzz(running: WholeSystem, own: Tenant, other: OtherIds, foreign: Foreign) -> None:
    """Call every rpc with random fields that are ids and names of the other workspace.

    What changes something is called with the keys of a third one, as it may store these names.
    """
    answered = set()
    for name, request, call in foreign_requests(own, other, seed=1, repeats=4, reading=True):
        [response] = await responses([call])
        # What the caller has sent is no news to it.
        learnt = {*foreign.found_in(response)} - {*foreign.found_in(request)}
        assert not learnt, (name, request, response)
        if not response.startswith(ERROR):
            answered.add(name)
    stranger = await running.new_workspace()
    third = Tenant(stranger.workspace_id, stranger.admin, stranger.source)
    for _, _, call in foreign_requests(third, other, seed=2, repeats=4, reading=False):
        await responses([call])
    assert len(answered) > 30, sorted(answered)


def _record_queries(monkeypatch: pytest.MonkeyPatch, queries: set[str]) -> None:
    """Collect the texts of all queries that connections of the api role run from now on."""
    original = WorkspaceConnection.__init__

    def recording(self: WorkspaceConnection, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        self.add_query_logger(lambda record: queries.add(record.query))

    monkeypatch.setattr(WorkspaceConnection, "__init__", recording)
