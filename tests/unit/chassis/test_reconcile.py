"""The access rows of a service are those that the facts of the log define."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from onefold.ingest.v1.ingest_facts_pb2 import KeyDefined, SourceDefined, WorkspaceDefined
from onefold.log.v1.log_pb2 import Fact

from services.chassis.access.reconcile import AccessDifference, DefinedAccess
from services.chassis.access.tables import AccessTable, Row, access_row

HASH, OTHER_HASH = bytes(32), b"\1" * 32


def fact(message: Any, offset: int = 0, workspace: str = "shop") -> Fact:
    return Fact(
        workspace_id=workspace,
        offset=offset,
        kind=message.DESCRIPTOR.full_name,
        payload=message.SerializeToString(),
    )


def key(offset: int = 0, version: int = 1, **fields: Any) -> Fact:
    fields = {"key_hash": HASH, "key_id": "key_a", "role": 4, **fields}
    return fact(KeyDefined(version=version, **fields), offset)


def row(defined: Fact) -> Row:
    found = access_row(defined)
    assert found is not None
    return found[1]


def differences(
    facts: list[Fact], rows: list[Row], folded_to: int = 100, table: AccessTable = AccessTable.KEY
) -> list[AccessDifference]:
    defined = DefinedAccess(folded_to)
    defined.add(facts)
    return defined.differences(table, rows)


def test_rows_that_the_log_defines_are_no_difference() -> None:
    facts = [key(1), key(5, version=2, disabled=True)]
    assert differences(facts, [row(facts[1])]) == []


def test_row_that_no_fact_defines_is_not_in_the_log() -> None:
    forged = row(key(key_hash=OTHER_HASH, key_id="key_\x1b[2J"))
    [found] = differences([key()], [row(key()), forged])
    assert (found.row, found.defined) == (forged, None)
    assert found.describe() == "access_key key_0101010101010101 is not in the log"


def test_row_with_another_role_workspace_or_state_differs() -> None:
    disabled = key(version=2, disabled=True)
    for forged in (
        key(role=1, source_id="web"),
        key(version=9),
        fact(KeyDefined(key_hash=HASH, key_id="key_a", role=4, version=1), workspace="other"),
    ):
        [found] = differences([key(), disabled], [row(forged)])
        assert (found.row, found.defined) == (row(forged), row(disabled))
        assert found.describe().endswith("differs from the log")


def test_row_that_is_older_than_what_the_service_has_folded_differs() -> None:
    facts = [key(1), key(5, version=2, disabled=True)]
    assert differences(facts, [row(facts[0])], folded_to=6)
    assert not differences(facts, [row(facts[0])], folded_to=5)


def test_row_that_the_service_should_have_is_missing() -> None:
    [found] = differences([key(1)], [], folded_to=2)
    assert (found.row, found.defined) == (None, row(key(1)))
    assert found.describe() == "access_key key_0000000000000000 is missing"
    assert not differences([key(1)], [], folded_to=1)


def test_row_that_is_newer_than_what_the_service_has_folded_is_no_difference() -> None:
    facts = [key(1), key(50, version=2)]
    assert not differences(facts, [row(facts[1])], folded_to=10)


def test_sources_and_workspaces_are_compared_by_their_own_ids() -> None:
    facts = [
        fact(SourceDefined(source_id="web", version=1)),
        fact(SourceDefined(source_id="app", version=1)),
        fact(WorkspaceDefined(default_region="US")),
        fact(WorkspaceDefined(default_region="FR")),
    ]
    forged = row(fact(SourceDefined(source_id="web", version=2, disabled=True)))
    rows = [forged, row(facts[1])]
    [found] = differences(facts, rows, table=AccessTable.SOURCE)
    assert found.defined == row(facts[0])
    of_workspaces = differences(facts, [("shop", "US")], table=AccessTable.WORKSPACE)
    assert of_workspaces == []
    [wrong] = differences(facts, [("shop", "DE")], table=AccessTable.WORKSPACE)
    assert wrong.defined == ("shop", "US")


@given(st.lists(st.integers(1, 5), max_size=8), st.integers(0, 8))
def test_any_honest_state_after_the_folded_offset_is_no_difference(
    versions: list[int], folded_to: int
) -> None:
    """A table is the fold of some prefix that is at least as long as the checkpoint."""
    facts = [key(offset, version=version) for offset, version in enumerate(versions)]
    for end in range(min(folded_to, len(facts)), len(facts) + 1):
        rows = [max(map(row, facts[:end]), key=lambda r: (r[5], r[6]))] if end else []
        assert differences(facts, rows, folded_to=folded_to) == []
