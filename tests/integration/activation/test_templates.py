"""Tests templates in a running activation: from a definition to the text that a provider gets."""

from __future__ import annotations

import json
from typing import Any

import pytest
from contract.channels.fakes import FakeTwilio, serving
from integration.activation.ledger_fixture import profile
from integration.activation.running_activation import (
    OTHER,
    SCHOOL,
    RunningActivation,
    activation,
    entered,
)
from onefold.activation.v1 import activation_facts_pb2 as facts_pb
from onefold.activation.v1 import activation_service_pb2 as pb
from onefold.activation.v1 import channels_pb2
from service_fixtures import MakeSettings, wait_until

from services.activation.codec.bus import DELIVERY_ENDED
from services.activation.codec.definitions import DESTINATION_DEFINED
from services.activation.codec.templates import TEMPLATE_DEFINED
from services.activation.domain.model import DeliveryState
from services.kernel.errors import InvalidField, NotFound
from services.kernel.ids import to_hex

TOKEN = "tw-planted-secret"


def texts(text: str = "您好，{{ person.name }}", **fields: Any) -> facts_pb.TemplateTexts:
    return facts_pb.TemplateTexts(**{"locale": "zh", "text": text, **fields})


def template(*own: facts_pb.TemplateTexts, **fields: Any) -> facts_pb.TemplateDefined:
    plain: dict[str, Any] = {"template_id": "welcome", "texts": own or [texts()]}
    return facts_pb.TemplateDefined(**(plain | fields))


def sms(url: str, **fields: Any) -> facts_pb.DestinationDefined:
    twilio = channels_pb2.TwilioSms(
        account_sid="AC1",
        auth_token=TOKEN,
        sender="+12025550123",
        status_callback="https://x.example/r/{key}",
        endpoint=url,
    )
    plain: dict[str, Any] = {
        "destination_id": "sms",
        "twilio_sms": twilio,
        "segment_ids": ["trial"],
        "triggers": [1],
        "template_id": "welcome",
        "address": "trait mobile",
        "traits": [],
    }
    return facts_pb.DestinationDefined(**(plain | fields))


async def define_template(whole: RunningActivation, defined: facts_pb.TemplateDefined) -> Any:
    """Define a template, and wait until its fact is folded."""
    request = pb.DefineTemplateRequest(template=defined)
    response = await whole.stub(SCHOOL).DefineTemplate(request)
    await fold(whole)
    return response


async def fold(whole: RunningActivation) -> None:
    token = await whole.publish_facts()
    request = pb.CountDeliveriesRequest(at_least=token)
    await whole.stub(SCHOOL).CountDeliveries(request)


async def test_message_of_a_template_reaches_the_provider_in_the_locale_of_the_person(
    make_settings: MakeSettings, nats_url: str
) -> None:
    async with serving(FakeTwilio({"auth_token": TOKEN})) as fake:
        target = {"private_targets": f"127.0.0.1:{fake.port}"}
        async with activation(make_settings, nats_url, **target) as whole:
            english = texts("Hello {{ person.name }}", locale="en")
            await define_template(whole, template(texts(), english))
            school = whole.stub(SCHOOL)
            await school.DefineDestination(pb.DefineDestinationRequest(destination=sms(fake.url)))
            await fold(whole)
            people = whole.peers.profile
            people.add(profile(1), name='"李雷"'.encode(), mobile=b'"+8613800138000"')
            people.add(profile(2), name=b'"Han"', mobile=b'"+12025550100"', locale=b'"en-GB"')
            people.add(profile(3), name='"无号"'.encode())
            people.add(profile(4), mobile=b'"+8613800138001"')
            token = await whole.publish_changes(*[entered(n) for n in range(1, 5)])
            await wait_until(lambda: len(whole.peers.log.of_kind(DELIVERY_ENDED)) == 4)
            assert {to for _, to in fake.taken} == {"+8613800138000", "+12025550100"}
            assert b"Hello+Han" in b"".join(fake.bodies)
            reasons = {
                each.profile_id: (each.state, each.reason)
                for each in (
                    facts_pb.DeliveryEnded.FromString(fact.payload)
                    for fact in whole.peers.log.of_kind(DELIVERY_ENDED)
                )
            }
            suppressed = DeliveryState.SUPPRESSED
            missing = {
                to_hex(profile(3)): (suppressed, "the profile has no trait mobile"),
                to_hex(profile(4)): (suppressed, "template: person.name"),
            }
            assert missing.items() <= reasons.items()
            count = pb.CountDeliveriesRequest(at_least=token)
            counts = (await school.CountDeliveries(count)).counts
            assert {(c.state, c.count) for c in counts} == {(9, 2), (5, 2)}
            listed = await school.ListDestinations(pb.ListDestinationsRequest())
            stored = [fact.payload for fact in whole.peers.log.of_kind(DESTINATION_DEFINED)]
            assert TOKEN not in f"{listed} {stored}"
            (summary,) = listed.destinations
            assert list(summary.destination.secret_names) == ["auth_token"]


async def test_template_gets_a_new_version_only_when_its_content_changes(
    whole: RunningActivation,
) -> None:
    first = await define_template(whole, template())
    same = await define_template(whole, template(sample=b" { } ", zone="Asia/Shanghai"))
    second = await define_template(whole, template(texts("您好")))
    versions = [(each.changed, each.template.version) for each in (first, same, second)]
    assert versions == [(True, 1), (False, 1), (True, 2)]
    (listed,) = (await whole.stub(SCHOOL).ListTemplates(pb.ListTemplatesRequest())).templates
    assert (listed.template, listed.etag) == (second.template, "2")
    others = await whole.stub(OTHER).ListTemplates(pb.ListTemplatesRequest())
    assert not others.templates
    assert len(whole.peers.log.of_kind(TEMPLATE_DEFINED)) == 2


async def test_destination_and_template_that_do_not_fit_are_rejected(
    whole: RunningActivation,
) -> None:
    school = whole.stub(SCHOOL)

    async def rejected(method: Any, request: Any) -> str:
        with pytest.raises(InvalidField) as raised:
            await method(request)
        return f"{raised.value.field}: {raised.value.message}"

    to = pb.DefineDestinationRequest(destination=sms("https://x.example"))
    assert "define it first" in await rejected(school.DefineDestination, to)
    dry = pb.DefineDestinationRequest(
        destination=sms("https://x.example"), dry_run=True, assumed_templates=[template()]
    )
    assert (await school.DefineDestination(dry)).changed
    await define_template(whole, template())
    private = pb.DefineDestinationRequest(destination=sms("http://10.0.0.1/"))
    error = await rejected(school.DefineDestination, private)
    assert error.startswith("destination.twilio_sms.endpoint: ")
    await school.DefineDestination(to)
    await fold(whole)
    for change, field in (
        (template(facts_pb.TemplateTexts(locale="zh", subject="s")), "texts"),
        (template(texts("{{ coupon.code }}")), "texts"),
        (template(retired=True), "retired"),
        (template(texts("{{ a")), "texts[0].text"),
    ):
        request = pb.DefineTemplateRequest(template=change)
        assert (await rejected(school.DefineTemplate, request)).startswith(f"template.{field}: ")
    # The token goes to no other receiver, unless who defines it knows it.
    moved = sms("https://y.example")
    moved.twilio_sms.auth_token = ""
    request = pb.DefineDestinationRequest(destination=moved)
    assert "auth_token again" in await rejected(school.DefineDestination, request)


async def test_template_is_previewed_in_every_locale_without_being_defined(
    whole: RunningActivation,
) -> None:
    school = whole.stub(SCHOOL)
    sample = json.dumps({"person": {"name": "李雷"}}).encode()
    shown = template(
        texts(subject="s", html="<b>{{ person.name }}</b>"),
        texts("Hi {{ person.nick }}", locale="en"),
        sample=sample,
    )
    preview = await school.PreviewTemplate(pb.PreviewTemplateRequest(template=shown))
    chinese, english = preview.rendered
    assert (chinese.text, chinese.html, chinese.sms_count) == ("您好，李雷", "<b>李雷</b>", 1)
    assert (english.text, english.missing) == ("", "person.nick")
    variables = json.dumps({"person": {"name": "<", "nick": "x"}}).encode()
    request = pb.PreviewTemplateRequest(template=shown, variables=variables)
    chinese, english = (await school.PreviewTemplate(request)).rendered
    assert (chinese.html, english.text) == ("<b>&lt;</b>", "Hi x")
    assert not (await school.ListTemplates(pb.ListTemplatesRequest())).templates
    with pytest.raises(NotFound):
        await school.PreviewTemplate(pb.PreviewTemplateRequest(template_id="welcome"))
