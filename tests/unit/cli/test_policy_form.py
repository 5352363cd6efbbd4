"""Tests identity policies as YAML: reading, writing, and the errors of invalid ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from onefold.identity.v1 import identity_facts_pb2 as pb

from services.cli.definitions import read_pack
from services.cli.output import format_yaml
from services.cli.policy_form import read_policy, write_policy
from services.kernel.errors import InvalidField
from services.kernel.yaml_documents import parse_yaml

WHOLE = """
identity_policy:
  namespaces:
    - {name: user_id, limit: 1}
    - {name: phone, limit: 5, shared_after: 10, recycled_after: 26w, match_mode: verified}
  blocked:
    - {namespace: email, pattern: "*@example.com"}
    - {pattern: test}
  ignored: [co_observed]
"""
printable = st.characters(codec="utf-8", exclude_categories=["C", "Z"])
numbers = st.integers(0, 2**31 - 1)
policies = st.builds(
    pb.IdentityPolicy,
    namespaces=st.lists(
        st.builds(
            pb.NamespacePolicy,
            namespace=st.sampled_from(["user_id", "phone", "card.x"]),
            limit=numbers,
            shared_after=numbers,
            recycled_after_days=st.integers(0, 36_500),
            match_mode=st.sampled_from(list(pb.MatchMode.values())),
        )
    ),
    blocked=st.lists(
        st.builds(
            pb.BlockedValue,
            namespace=st.sampled_from(["", "email"]),
            pattern=st.text(printable, min_size=1, max_size=8),
        )
    ),
    ignored=st.lists(st.sampled_from([pb.EVIDENCE_KIND_STATED, pb.EVIDENCE_KIND_CO_OBSERVED])),
    claimed_devices=st.none() | numbers,
)


def pack_of(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "pack.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def test_policy_is_read_completely(tmp_path: Path) -> None:
    policy = read_pack(pack_of(tmp_path, WHOLE), {}).identity_policy
    assert policy is not None
    user, phone = policy.namespaces
    assert (user.namespace, user.limit, user.match_mode) == ("user_id", 1, 0)
    assert (phone.limit, phone.shared_after, phone.recycled_after_days) == (5, 10, 182)
    assert phone.match_mode == pb.MATCH_MODE_VERIFIED
    assert [(b.namespace, b.pattern) for b in policy.blocked] == [
        ("email", "*@example.com"),
        ("", "test"),
    ]
    assert list(policy.ignored) == [pb.EVIDENCE_KIND_CO_OBSERVED]


@given(policies)
def test_written_policy_is_read_back_unchanged(policy: pb.IdentityPolicy) -> None:
    text = format_yaml(write_policy(policy))
    assert read_policy(parse_yaml(text.encode()), "identity_policy") == policy


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ([], "p: write a mapping"),
        ({"names": []}, "unknown 'names'; known: blocked, claimed_devices, ignored, namespaces"),
        ({"namespaces": {}}, "p.namespaces: write a list"),
        ({"namespaces": [{}]}, "p.namespaces[0].name: write a text"),
        ({"namespaces": [{"name": "phone", "limit": -1}]}, "limit: write a whole number, 0 or"),
        ({"namespaces": [{"name": "phone", "limit": 1.5}]}, "limit: write a whole number"),
        ({"namespaces": [{"name": "phone", "limit": True}]}, "limit: write a whole number"),
        ({"namespaces": [{"name": "phone", "max": 1}]}, "p.namespaces[0]: unknown 'max'"),
        ({"namespaces": [{"name": "phone", "recycled_after": "36h"}]}, "whole days, such as 180d"),
        ({"namespaces": [{"name": "phone", "recycled_after": "soon"}]}, "recycled_after: "),
        (
            {"namespaces": [{"name": "phone", "match_mode": "often"}]},
            "p.namespaces[0].match_mode: unknown 'often'; write always, verified, never",
        ),
        ({"blocked": [{"namespace": "email"}]}, "p.blocked[0].pattern: write a text"),
        (
            {"ignored": ["decided"]},
            "unknown 'decided'; write stated, verified, observed, co_observed",
        ),
        ({"ignored": "co_observed"}, "p.ignored: write a list of texts"),
    ],
)
def test_invalid_policy_raises_an_error_with_its_path(form: Any, message: str) -> None:
    with pytest.raises(InvalidField) as error:
        read_policy(form, "p")
    assert message in str(error.value)


def test_second_policy_of_a_pack_raises_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(WHOLE, encoding="utf-8")
    (tmp_path / "b.yaml").write_text(WHOLE, encoding="utf-8")
    with pytest.raises(InvalidField, match=r"b\.yaml:[0-9]+: identity_policy: a pack has one"):
        read_pack(tmp_path, {})
