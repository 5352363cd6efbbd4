"""Tests how the list of sources shows limits."""

from __future__ import annotations

from onefold.ingest.v1.ingest_facts_pb2 import SourceDefined

from services.cli.commands.administration import limits_text


def test_limits_of_a_source_are_one_line_without_those_that_are_not_stated() -> None:
    assert limits_text(SourceDefined(source_id="a")) == ""
    source = SourceDefined(
        allowed_namespaces=["anonymous_id", "user_id"], allowed_traits=["city"], max_age_days=7
    )
    assert limits_text(source) == "namespaces: anonymous_id, user_id; traits: city; age: 7d"
