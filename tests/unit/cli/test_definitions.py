"""Tests the reading of packs, and the errors of packs that cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest
from onefold.activation.v1.activation_facts_pb2 import TRIGGER_ENTERED
from onefold.type.v1.source_trust_pb2 import Party, SourceTrust

from services.chassis.codec.rules import rule_from_proto
from services.cli.definitions import PackErrors, read_pack
from services.identity.codec.policy import validate_policy
from services.kernel.errors import InvalidField
from services.kernel.rules.forms.text import to_text

PACKS = Path(__file__).parents[3] / "packs"


def test_education_pack_is_read_completely() -> None:
    values = {"COUPON_URL": "http://x/", "COUPON_SECRET": "whsec_abc"}
    pack = read_pack(PACKS / "education", values)
    assert [s.source_id for s in pack.sources] == [
        "school-web",
        "school-app",
        "school-mini",
        "school-crm",
    ]
    tags = {"viewed_course_page", "attended_trial_lesson", "consulted_support"}
    assert tags <= {t.tag_id for t in pack.tags}
    (segment,) = pack.segments
    assert segment.title == "高意向试听用户"
    text = to_text(rule_from_proto(segment.rule))
    assert "attended_trial_lesson" in text
    destination, messages = pack.destinations
    assert not [*messages.segment_ids, *messages.triggers], "only journeys use it"
    assert [each.journey_id for each in pack.journeys] == ["high-intent"]
    assert pack.contact_policy is not None
    assert destination.webhook.url == "http://x/"
    assert list(destination.triggers) == [TRIGGER_ENTERED]
    assert list(destination.segment_ids) == ["high-intent-trial"]
    assert pack.identity_policy is not None
    assert next(iter(validate_policy(pack.identity_policy, "CN").rules)) == "user_id"


def test_source_has_its_trust_and_limits(tmp_path: Path) -> None:
    file = tmp_path / "sources.yaml"
    file.write_text(
        """sources:
  - id: site
    trust: public
    allowed_namespaces: [anonymous_id, user_id]
    allowed_event_names: [Product Viewed]
    allowed_traits: [city]
    max_age: 7d
  - {id: erp, trust: system_of_record, party: second}
  - {id: other}
"""
    )
    site, erp, other = read_pack(file, {}).sources
    assert list(site.allowed_namespaces) == ["anonymous_id", "user_id"]
    assert (list(site.allowed_event_names), list(site.allowed_traits)) == (
        ["Product Viewed"],
        ["city"],
    )
    assert (site.trust, site.max_age_days) == (SourceTrust.SOURCE_TRUST_PUBLIC, 7)
    assert erp.trust == SourceTrust.SOURCE_TRUST_SYSTEM_OF_RECORD
    assert (other.trust, other.max_age_days) == (SourceTrust.SOURCE_TRUST_UNSPECIFIED, 0)
    assert (erp.party, other.party) == (Party.PARTY_SECOND, Party.PARTY_UNSPECIFIED)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("segments: [{id: a, rule: {count: {event: x, at_leest: 1}}}]", "segments[0].rule"),
        ("segments: [{rule: {all: []}}]", "segments[0].id: write a text"),
        (
            "segmints: []",
            "unknown 'segmints'; known: contact_policy, coupon_pools, dashboards, destinations",
        ),
        ("segments: {}", "segments: write a list"),
        ("- a", "write a mapping"),
        ("a: [", "this is not YAML"),
        ("sources: [{id: a, channel: '${X}'}]", "${X} has no value; add --set X=VALUE"),
        ("destinations: [{id: a}]", "write exactly one of"),
        ("destinations: [{id: a, file: {name: f}, on: [came]}]", "'came' is no trigger"),
        ("sources: [{id: a, disabled: maybe}]", "write true or false"),
        ("sources: [{id: a, trust: full}]", "write public, server, system_of_record"),
        ("sources: [{id: a, party: fourth}]", "write first, second, third"),
        ("sources: [{id: a, max_age: 90m}]", "write whole days"),
        ("sources: [{id: a, allowed_traits: city}]", "write a list of texts"),
        ("journeys: [{id: j, enter: {event: a}, steps: [{wait: soon}]}]", "journeys[0].steps[0]"),
        ("contact_policy: {purposes: {a: {consent: maybe}}}", "contact_policy.purposes.a.consent"),
        ("sources: [{id: a}, {id: b}, {id: a}]", "sources[2].id: the pack defines 'a' twice"),
    ],
)
def test_invalid_pack_raises_an_error_with_file_and_path(
    tmp_path: Path, text: str, message: str
) -> None:
    file = tmp_path / "pack.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidField) as error:
        read_pack(file, {})
    assert message in str(error.value)
    assert "pack.yaml" in str(error.value)


def test_empty_folder_raises_an_error(tmp_path: Path) -> None:
    with pytest.raises(InvalidField, match="there is no pack"):
        read_pack(tmp_path, {})


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "---\n", "{}\n", "[]\n"])
def test_file_without_definitions_is_an_error_that_names_it(tmp_path: Path, text: str) -> None:
    (tmp_path / "empty.yaml").write_text(text)
    with pytest.raises(InvalidField, match=r"empty\.yaml: the file has no definitions"):
        read_pack(tmp_path, {})


def test_all_mistakes_of_a_pack_are_reported_with_file_and_path(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("sources: [{id: a, trust: x}, {id: b}, {titel: c}]")
    (tmp_path / "b.yaml").write_text("segments: [{id: s, rule: {all: 1}}]\ntags: {}")
    (tmp_path / "c.yaml").write_text("sources: [")
    with pytest.raises(PackErrors) as caught:
        read_pack(tmp_path, {})
    starts = [problem.partition(" ")[0] for problem in caught.value.problems]
    assert starts == ["a.yaml:1:", "a.yaml:1:", "b.yaml:1:", "b.yaml:2:", "c.yaml:"]
    assert "sources[0].trust" in caught.value.problems[0]
    assert "sources[2]" in caught.value.problems[1]
    assert "segments[0].rule" in caught.value.problems[2]


MANY_MISTAKES = """\
settings:
  orders: {payments: {event: paid, order_id: id}}
  cleaners: {city: plaza}
  zone: Asia/Beijing
segmens: []
tags:
  - id: level
    values:
      - {value: high, rule: {cound: 1}}
      - {value: low, rule: {count: {event: x, within: 1y, at_least: 1}}}
  - id: twice
    values:
      - {value: a, rule: {count: {event: x, at_least: 1}}}
      - {value: a, rule: {count: {event: y, at_least: 1}}}
stages:
  - {id: none, stages: [], default: new}
segments:
  - id: buyers
    title: ${TITLE}
    rule:
      all:
        - {count: {event: paid, at_least: -1}}
        - any:
            - {trait: {name: city, eqals: 1}}
            - {tag: level}
            - {date: {trait: born, years_since: {at_least: x}}}
"""


def test_all_mistakes_inside_of_definitions_are_reported_with_their_lines(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(MANY_MISTAKES)
    with pytest.raises(PackErrors) as caught:
        read_pack(tmp_path, {})
    places = {" ".join(problem.split(" ")[:2]) for problem in caught.value.problems}
    assert places == {
        "a.yaml:2: settings.orders.payments:",
        "a.yaml:3: settings.cleaners.city:",
        "a.yaml:4: settings.zone:",
        "a.yaml:5: file:",
        "a.yaml:9: tags[0].values[0].rule.cound:",
        "a.yaml:10: tags[0].values[1].rule.count.within:",
        "a.yaml:12: tags[1].values:",
        "a.yaml:16: stages[0].stages:",
        "a.yaml:19: segments[0].title:",
        "a.yaml:22: segments[0].rule.all[0].count.at_least:",
        "a.yaml:24: segments[0].rule.all[1].any[0].trait.eqals:",
        "a.yaml:26: segments[0].rule.all[1].any[2].date.years_since.at_least:",
    }


def test_place_of_a_definition_names_file_path_and_id(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("sources: [{id: a}, {id: b}]\nidentity_policy: {}")
    pack = read_pack(tmp_path, {})
    assert pack.place("source", "b") == "a.yaml:1: sources[1] (b): "
    assert pack.place("identity policy", "") == "a.yaml:2: identity_policy: "
    assert pack.place("tag", "none") == ""
