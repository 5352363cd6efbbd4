"""Tests which settings of channels are accepted, and what an error says of the others."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from typing import Any

import pytest
from onefold.activation.v1 import activation_facts_pb2 as pb

from services.activation.codec.definitions import (
    decode_destination,
    destination_from_request,
    destination_to_fact,
    destination_to_response,
)
from services.activation.domain.channel_settings import SealedSecret
from services.activation.domain.channels import CHANNELS, secret_names, secrets_of, with_secrets
from services.activation.domain.contracts import ChannelKind
from services.activation.domain.subjects import AllowedSubjects
from services.activation.domain.validation import check_destination
from services.kernel.errors import InvalidField

PEM = "-----BEGIN PRIVATE KEY-----\nMIIE+/=\n-----END PRIVATE KEY-----\n"
#: A value of each form of a setting.
VALUES = {
    "text": "商城 一",
    "word": "a+b/c=",
    "name": "a_B-1.c",
    "path": "onefold/a/",
    "url": "https://x.example/a",
    "https": "https://x.example/{key}",
    "host": "smtp.x.example",
    "email": "a.b+c@x.example",
    "security": "tls",
    "pem": PEM,
    "secret": "s3cr3t-~!",
    "tls_or_none": "tls",
    "number": "1000002",
    "brokers": "k1.x.example:9092, [fd00::1]:9093",
    "topic": "onefold.members",
    "mechanism": "PLAIN",
    "ssh_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl",
    "folder": "/in/新",
    "table": "crm.messages",
}
FORMS = {name: kind for name, kind in CHANNELS.items() if name not in ("webhook", "nats", "file")}


def settings_of(name: str) -> dict[str, Any]:
    """Return a value for every setting of a channel."""
    fields = dataclasses.fields(CHANNELS[name])
    return {f.name: VALUES[f.metadata["form"]] if "form" in f.metadata else 25 for f in fields}


def destination(name: str, settings: dict[str, Any], **fields: Any) -> pb.DestinationDefined:
    contract = CHANNELS[name].contract
    plain: dict[str, Any] = {
        "destination_id": "d",
        "segment_ids": ["s"],
        "triggers": [1, 2],
        "template_id": "t" if contract.parts else "",
        "address": "trait mail" if contract.is_addressed else "",
    }
    message = pb.DestinationDefined(**(plain | fields))
    channel = getattr(message, name)
    channel.SetInParent()
    for setting, value in settings.items():
        setattr(channel, setting, value)
    return message


def checked(message: pb.DestinationDefined) -> Any:
    requested = destination_from_request("school", message)
    check_destination(requested, AllowedSubjects())
    return requested


def rejected(message: pb.DestinationDefined) -> str:
    with pytest.raises(InvalidField) as raised:
        checked(message)
    return raised.value.field.removeprefix("destination.")


@pytest.mark.parametrize("name", FORMS)
def test_all_settings_of_a_channel_are_stored_with_their_secrets_sealed(name: str) -> None:
    requested = checked(destination(name, settings_of(name)))
    with pytest.raises(TypeError):
        destination_to_fact(requested)
    sealed = {n: SealedSecret(1, bytes(12), n.encode()) for n in secrets_of(requested.channel)}
    stored = replace(requested, channel=with_secrets(requested.channel, sealed))
    payload = destination_to_fact(stored).SerializeToString()
    assert decode_destination("school", payload) == stored
    response = destination_to_response(stored)
    assert list(response.secret_names) == sorted(secret_names(FORMS[name]))
    assert not response.sealed_secrets
    for secret in secret_names(FORMS[name]):
        assert getattr(getattr(response, name), secret) == ""


@pytest.mark.parametrize("name", FORMS)
def test_each_needed_setting_is_named_where_it_is_missing(name: str) -> None:
    for field in dataclasses.fields(FORMS[name]):
        settings = settings_of(name)
        settings[field.name] = 0 if field.name == "port" else ""
        if field.metadata.get("needed"):
            assert rejected(destination(name, settings)) == f"{name}.{field.name}"
        elif not field.name.startswith(("dkim", "username", "password")):
            checked(destination(name, settings))


@pytest.mark.parametrize("name", FORMS)
def test_no_setting_may_have_a_line_break_or_an_ambiguous_host(name: str) -> None:
    for field in dataclasses.fields(FORMS[name]):
        if "form" not in field.metadata:
            continue
        if field.metadata["form"] != "pem":
            broken = settings_of(name) | {field.name: f"{settings_of(name)[field.name]}\r\nX: y"}
            assert rejected(destination(name, broken)) == f"{name}.{field.name}"
        if field.metadata["form"] in ("url", "https"):
            for url in ("ftp://x.example", "https://a@x.example/", "https://", "https://x y/"):
                wrong = settings_of(name) | {field.name: url}
                assert rejected(destination(name, wrong)) == f"{name}.{field.name}"


@pytest.mark.parametrize("name", FORMS)
def test_template_address_and_triggers_are_those_that_the_channel_uses(name: str) -> None:
    contract, settings = FORMS[name].contract, settings_of(name)
    template = "" if contract.parts else "t"
    assert rejected(destination(name, settings, template_id=template)) == "template_id"
    if contract.is_addressed:
        assert rejected(destination(name, settings, address="mail")) == "address"
        checked(destination(name, settings, address="identifier work_phone"))
    else:
        assert rejected(destination(name, settings, address="trait mail")) == "address"
    one = destination(name, settings, triggers=[1])
    if contract.kind is ChannelKind.MIRROR:
        assert rejected(one) == "triggers"
    else:
        checked(one)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"port": 65_536}, "port"),
        ({"security": "ssl"}, "security"),
        ({"username": ""}, "password"),
        ({"password": ""}, "password"),
        ({"security": "none"}, "security"),
        ({"dkim_selector": ""}, "dkim_domain"),
        ({"dkim_private_key": ""}, "dkim_domain"),
        ({"dkim_private_key": "key"}, "dkim_private_key"),
        ({"unsubscribe_url": "http://x.example/{key}"}, "unsubscribe_url"),
        ({"from_address": "shop"}, "from_address"),
    ],
)
def test_settings_of_mail_that_do_not_go_together_are_rejected(
    change: dict[str, Any], field: str
) -> None:
    assert rejected(destination("smtp", settings_of("smtp") | change)) == f"smtp.{field}"


@pytest.mark.parametrize(
    "brokers",
    [
        "k.x.example",
        "k.x.example:",
        ":9092",
        "k:0",
        "k:65536",
        "a b:1",
        "k:1,",
        ",".join(["k:1"] * 11),
    ],
)
def test_list_of_brokers_that_is_none_is_refused(brokers: str) -> None:
    settings = settings_of("kafka") | {"brokers": brokers}
    assert rejected(destination("kafka", settings)) == "kafka.brokers"
