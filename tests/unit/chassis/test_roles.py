"""Tests the SQL that creates roles and holds workspaces apart, without a database."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from services.chassis.postgres.database import Queries
from services.chassis.postgres.isolation import Relation, isolation_statements, load_grants
from services.chassis.postgres.migrate import ROOT
from services.chassis.postgres.roles import (
    WORKSPACE_SETTING,
    ServiceRoles,
    create_roles,
    grant_database,
    quote_name,
    quote_text,
    scram_verifier,
)

ROLES = ServiceRoles.of("onefold", "profile")


def test_roles_of_a_service_are_named_after_the_user_of_its_dsn() -> None:
    roles = ServiceRoles.from_dsn("postgresql://acme:p%40ss@db.example:5432/x", "segment")
    assert roles.by_kind() == {
        "owner": "acme_segment_owner",
        "fold": "acme_segment_fold",
        "api": "acme_segment_api",
    }


@pytest.mark.parametrize("dsn", ["postgresql://db.example/x", "postgresql:///x", ""])
def test_dsn_without_a_user_is_refused_with_the_right_form(dsn: str) -> None:
    with pytest.raises(ValueError, match="PREFIX:PASSWORD@HOST"):
        ServiceRoles.from_dsn(dsn, "segment")


def test_only_the_fold_role_ignores_policies_and_no_role_has_more_rights() -> None:
    script = create_roles("onefold", ["profile"], lambda _: "'x'")
    attributes = [line for line in script.splitlines() if " WITH LOGIN " in line]
    assert [" BYPASSRLS" in line for line in attributes] == [False, True, False]
    for line in attributes:
        assert "NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOINHERIT" in line
    assert "GRANT" not in script, "no role is a member of another one"


def test_only_calls_have_a_time_limit() -> None:
    script = create_roles("onefold", ["profile"], lambda _: "'x'")
    limits = [line for line in script.splitlines() if "SET statement_timeout" in line]
    assert [line.rpartition("=")[2].strip() for line in limits] == ["'0';", "'0';", "'30s';"]


def test_database_is_closed_to_all_but_the_roles_of_services() -> None:
    script = grant_database("p", ["a", "b"], 'my"db')
    assert 'REVOKE ALL ON DATABASE "my""db" FROM PUBLIC;' in script
    assert 'GRANT CREATE ON DATABASE "my""db" TO "p_a_owner", "p_b_owner";' in script
    assert "TEMPORARY" not in script


def test_verifier_is_that_of_the_example_of_the_standard() -> None:
    # RFC 7677, section 3: the password `pencil` with this salt and 4096 iterations.
    salt = "W22ZaJ0SNY7soEsUEjb6gQ=="
    verifier = scram_verifier("pencil", bytes.fromhex("5b6d99689d12358eeca04b141236fa81"))
    assert verifier == (
        f"SCRAM-SHA-256$4096:{salt}$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
        ":wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
    )


def test_names_and_texts_are_quoted() -> None:
    assert quote_name('a"b') == '"a""b"'
    assert quote_text("a'b") == "'a''b'"


def test_tables_with_workspaces_get_forced_policies_and_views_read_as_their_callers() -> None:
    relations = [
        Relation("leaf", is_view=False, has_workspace=True),
        Relation("cache_version", is_view=False, has_workspace=False),
        Relation("current_evaluation", is_view=True, has_workspace=True),
    ]
    script = list(isolation_statements("profile_g1", ROLES, relations, ["GRANT X TO {api}"]))
    forced = [line for line in script if "FORCE ROW LEVEL SECURITY" in line]
    assert forced == [
        'ALTER TABLE profile_g1."leaf" ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY'
    ]
    [policy] = [line for line in script if line.startswith("CREATE POLICY")]
    assert 'TO "onefold_profile_api"' in policy
    assert "current_setting('onefold.workspace', true)" in policy
    assert 'ALTER VIEW profile_g1."current_evaluation" SET (security_invoker = true)' in script
    assert script[-1] == 'GRANT X TO "onefold_profile_api"'


def test_row_without_a_workspace_is_shown_to_callers_of_one_only() -> None:
    relations = [Relation("backfill", is_view=False, has_workspace=True)]
    script = isolation_statements("profile_g1", ROLES, relations, [])
    [policy] = [line for line in script if line.startswith("CREATE POLICY")]
    assert "IN (current_setting('onefold.workspace', true), '')" in policy
    assert "current_setting('onefold.workspace', true) <> ''" in policy


@pytest.mark.parametrize("service", ["ingest", "identity", "profile", "segment", "activation"])
def test_no_grant_opens_what_all_workspaces_share(service: str) -> None:
    roots = [(ROOT, "chassis"), (ROOT, service)]
    granted = " ".join(load_grants(roots, "migrations") + load_grants(roots, "state"))
    for table in ("outbox", "access_key", "access_source", "head", "cache_version"):
        assert f" {table}" not in granted.split("{fold};")[-1], table


def test_only_one_module_sets_the_workspace_and_no_statement_changes_a_session() -> None:
    # What a policy of grants.sql reads changes no session.
    read = f"current_setting('{WORKSPACE_SETTING}', true)"
    setters, changes = set(), []
    for file in Path(str(ROOT)).rglob("*"):
        if file.suffix in (".py", ".sql"):
            text = file.read_text("utf-8")
            named = text.replace(read, "") if file.name == "grants.sql" else text
            if WORKSPACE_SETTING in named or "WORKSPACE_SETTING" in named:
                setters.add(file.name)
        if file.suffix == ".sql" and file.parent.name not in ("migrations", "state"):
            queries = Queries.parse(text, file.name)
            for name in dir(queries):
                statement = re.sub(r"(?m)^--.*", "", getattr(queries, name)).strip()
                if re.match(r"SET (?!LOCAL )|SELECT set_config\(.*false\)", statement):
                    changes.append(name)
    assert setters == {"roles.py", "workspace.py", "isolation.py"}
    assert changes == []
