"""Tests that a pack is written as it is read: what is read back is the same, byte for byte."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from onefold.activation.v1 import activation_facts_pb2 as activation_pb
from onefold.activation.v1 import channels_pb2
from onefold.activation.v1.slots_pb2 import Slot, SlotVariant
from onefold.ingest.v1.ingest_facts_pb2 import SourceDefined
from onefold.profile.v1 import profile_facts_pb2 as profile_pb
from onefold.segment.v1.segment_facts_pb2 import SegmentDefined
from onefold.type.v1 import options_pb2
from oracle import rules_text_strategies as some
from pack_rules import PACKS
from properties import examples

from services.chassis.codec.rules import rule_to_proto
from services.cli.commands.packs import _write_pack as write_pack
from services.cli.commands.packs import pack_files
from services.cli.definitions import Pack, pack_forms, read_pack
from services.kernel.errors import OnefoldError
from services.kernel.rules.forms.json_form import parse_rule
from services.kernel.rules.limits import MAX_DEPTH
from services.kernel.rules.model import All, Rule
from services.kernel.yaml_documents import MAX_BYTES

SECRET = "whsec_dGhlIHNlY3JldCBvZiB0aGUgZG9jdW1lbnRz"
VALUES = {"COUPON_URL": "https://example.com/hook", "COUPON_SECRET": SECRET}
RULE = parse_rule({"count": {"event": "a", "at_least": 1}})
NAMES = sorted(folder.name for folder in PACKS.iterdir())


def read_back(files: Mapping[str, str], variables: Mapping[str, str]) -> Pack:
    with TemporaryDirectory() as folder:
        write_pack(Path(folder), files)
        return read_pack(Path(folder), variables)


def written(pack: Pack) -> dict[str, str]:
    return pack_files(pack_forms(pack))


def content(pack: Pack) -> list[Any]:
    """Return the definitions of a pack in one order."""
    messages = [*pack.sources, *pack.tags, *pack.segments, *pack.destinations]
    messages += [*pack.journeys, *pack.slots]
    named = sorted((type(m).__name__, m.SerializeToString(deterministic=True)) for m in messages)
    return [pack.identity_policy, pack.settings, pack.contact_policy, named]


@pytest.mark.parametrize("name", NAMES)
def test_written_pack_is_read_as_the_same_definitions(name: str) -> None:
    pack = read_pack(PACKS / name, VALUES)
    files = written(pack)
    again = read_back(files, VALUES)
    assert content(again) == content(pack)
    assert written(again) == files


def segments(*rules: Rule, title: str = "") -> Pack:
    defined = [
        SegmentDefined(segment_id=f"s-{i}", title=title, rule=rule_to_proto(rule))
        for i, rule in enumerate(rules)
    ]
    return Pack(segments=defined)


@examples(60)
@given(st.lists(some.rules, min_size=1, max_size=3), st.sampled_from(["", "UTC", "Asia/Tokyo"]))
def test_any_rules_are_written_and_read_with_any_settings(rules: list[Rule], zone: str) -> None:
    pack = segments(*rules)
    pack.settings = profile_pb.ProfileSettingsDefined(
        zone=zone, cleaners=[profile_pb.TraitCleaner(trait="city", cleaner="place@1")]
    )
    files = written(pack)
    again = read_back(files, {})
    assert content(again) == content(pack)
    assert written(again) == files


def test_rule_leaves_out_what_the_settings_say() -> None:
    text = "".join(
        document
        for name, document in written(read_pack(PACKS / "retail", {})).items()
        if not name.startswith(("contact_policy", "queues"))
    )
    assert text.count("Asia/Shanghai") == 1
    assert text.count("order_refunded") == 1


@pytest.mark.parametrize(
    "title",
    [*("${COUPON_URL}", "$${X}", "$$${X} ${", "$", "a: b", "'", "no", "007", "\u202e", "# a")],
)
def test_text_that_looks_like_a_variable_or_like_yaml_stays_a_text(title: str) -> None:
    pack = segments(RULE, title=title)
    assert read_back(written(pack), {}).segments[0].title == title


def test_deepest_rule_is_read_back() -> None:
    rule: Rule = RULE
    for _ in range(MAX_DEPTH - 1):
        rule = All((rule,))
    pack = segments(rule)
    assert content(read_back(written(pack), {})) == content(pack)


def test_part_that_is_larger_than_a_file_is_written_as_several() -> None:
    names = [f"{n:0500}" for n in range(50)]
    rule = parse_rule({"count": {"event": names, "at_least": 1}})
    pack = segments(*[rule] * 100)
    files = written(pack)
    assert set(files) > {"segments.yaml", "segments-2.yaml"}
    assert all(len(text.encode()) <= MAX_BYTES for text in files.values())
    assert content(read_back(files, {})) == content(pack)


def destination(id_: str, **fields: Any) -> activation_pb.DestinationDefined:
    return activation_pb.DestinationDefined(
        destination_id=id_,
        segment_ids=["s-0"],
        triggers=[activation_pb.TRIGGER_ENTERED],
        content=b"{}",
        **fields,
    )


def webhook(secret: str = SECRET) -> activation_pb.Webhook:
    return activation_pb.Webhook(url="https://example.com/${A}", secret=secret)


CHANNELS = list(activation_pb.DestinationDefined.DESCRIPTOR.oneofs_by_name["channel"].fields)


@pytest.mark.parametrize("channel", CHANNELS, ids=lambda channel: channel.name)
def test_every_setting_of_a_channel_is_written_and_its_secrets_as_variables(channel: Any) -> None:
    settings = {
        field.name: 2525 if field.type == field.TYPE_UINT32 else f"the {field.name} ${{A}}"
        for field in channel.message_type.fields
    }
    is_secret = {
        field.name: field.GetOptions().Extensions[options_pb2.secret]
        for field in channel.message_type.fields
    }
    message = destination("d")
    getattr(message, channel.name).MergeFrom(channel.message_type._concrete_class(**settings))
    message.secret_names.extend(name for name, secret in is_secret.items() if secret)
    secrets = {name: f"the {name}" for name, secret in is_secret.items() if secret}
    for name in secrets:
        setattr(getattr(message, channel.name), name, "")
    pack = Pack(destinations=[message])
    (found,) = read_back(
        written(pack), {f"D_{name.upper()}": secret for name, secret in secrets.items()}
    ).destinations
    for name, value in (settings | secrets).items():
        assert getattr(getattr(found, channel.name), name) == value


def test_optional_secret_that_is_not_set_is_not_written() -> None:
    robot = activation_pb.DestinationDefined(
        destination_id="d",
        dingtalk_robot=channels_pb2.DingtalkRobot(),
        secret_names=["access_token"],
    )
    (found,) = read_back(written(Pack(destinations=[robot])), {"D_ACCESS_TOKEN": "t"}).destinations
    assert found.dingtalk_robot == channels_pb2.DingtalkRobot(access_token="t")


def test_templates_are_written_with_all_locales() -> None:
    template = activation_pb.TemplateDefined(
        template_id="t",
        title="T",
        texts=[
            activation_pb.TemplateTexts(
                locale="zh",
                provider_template="SMS_1",
                parameters=[
                    activation_pb.TemplateParameter(name="b", value="{{ person.name }} ${A}"),
                    activation_pb.TemplateParameter(name="a", value="1"),
                ],
            ),
            activation_pb.TemplateTexts(locale="en", subject="s", text="t", html="<b>h</b>"),
        ],
        needs=["person.name"],
        sample=b'{"person":{"name":"a"}}',
        zone="UTC",
    )
    assert list(read_back(written(Pack(templates=[template])), {}).templates) == [template]


def test_secret_is_written_as_a_variable_of_its_destination() -> None:
    pack = segments(RULE)
    pack.destinations = [
        destination(id_, webhook=webhook(), secret_names=["secret"])
        for id_ in ("a-b", "a_b", "1", "优惠")
    ]
    files = written(pack)
    assert SECRET not in "".join(files.values())
    secrets = {"A_B_SECRET": "1", "A_B__SECRET": "2", "_1_SECRET": "3", "___SECRET": "4"}
    found = read_back(files, secrets).destinations
    assert {d.destination_id: d.webhook.secret for d in found} == {
        "a-b": "1",
        "a_b": "2",
        "1": "3",
        "优惠": "4",
    }
    assert found[0].webhook.url == "https://example.com/${A}"


def test_every_field_of_sources_and_destinations_is_written() -> None:
    pack = Pack(
        sources=[
            SourceDefined(
                source_id="a", title="t", channel="web", disabled=True, trust=2, max_age_days=7,
                allowed_namespaces=["email"], allowed_event_names=["x"], allowed_traits=["y"],
                party=2,
            )
        ],
        destinations=[
            destination("f", file=activation_pb.NdjsonFile(name="f.ndjson"), title="T"),
            destination(
                "n", nats=activation_pb.NatsSubject(subject="s"), traits=["email"],
                template_id="t", address="trait mail",
            ),
        ],
    )  # fmt: skip
    pack.destinations[1].triggers.append(activation_pb.TRIGGER_LEFT)
    pack.destinations[1].content = b'{"a":["${X}",1,true,null]}'
    channels = {f.name for f in pack.destinations[0].DESCRIPTOR.oneofs_by_name["channel"].fields}
    not_written = {"version", "retired", "sealed_secrets", "secret_names"} | channels
    for message in (pack.sources[0], *pack.destinations):
        of_kind = [m for m in (*pack.sources, *pack.destinations) if type(m) is type(message)]
        fields = {field.name for each in of_kind for field, _ in each.ListFields()}
        assert fields | not_written >= set(message.DESCRIPTOR.fields_by_name)
    assert content(read_back(written(pack), {})) == content(pack)


def test_retired_definitions_are_left_out() -> None:
    pack = segments(RULE, RULE)
    pack.segments[0].retired = True
    pack.tags = [profile_pb.TagDefined(tag_id="t", rule=rule_to_proto(RULE), retired=True)]
    pack.destinations = [destination("f", webhook=webhook(), retired=True)]
    forms = pack_forms(pack)
    assert [form["id"] for form in forms.pop("segments")] == ["s-1"]
    assert not forms


def test_folder_with_another_pack_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.yml").write_text("tags: []")
    with pytest.raises(OnefoldError, match=r"has other\.yml, which would be read"):
        write_pack(tmp_path, {"tags.yaml": "tags: []"})
    assert not (tmp_path / "tags.yaml").exists()
    with pytest.raises(OnefoldError, match="cannot be written"):
        write_pack(tmp_path / "other.yml", {"tags.yaml": "tags: []"})


def test_slot_is_read_back_with_its_rule_share_and_content() -> None:
    variant = SlotVariant(
        variant_id="vip",
        when=rule_to_proto(parse_rule({"not": {"segment": "vip"}})),
        content=b'{"link":"${X} \\u0000","list":[1,{"a":null}]}',
        share_ppm=125_000,
    )
    slots = [Slot(slot_id="home", variants=[variant], fallback=b'{"a":1}', salt="s")]
    slots.append(Slot(slot_id="old", retired=True, fallback=b"{}"))
    again = read_back(written(Pack(slots=slots)), {})
    [home] = again.slots
    assert home == slots[0]
