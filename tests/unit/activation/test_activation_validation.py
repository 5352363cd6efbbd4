"""Tests which destinations are rejected, and with which errors."""

from __future__ import annotations

import base64
from dataclasses import replace

import msgspec
import pytest
from onefold.activation.v1 import activation_facts_pb2 as pb

from services.activation.codec.definitions import (
    decode_destination,
    destination_from_request,
    destination_to_fact,
    destination_to_response,
)
from services.activation.domain.channel_settings import SealedSecret
from services.activation.domain.model import Destination, Trigger
from services.activation.domain.subjects import AllowedSubjects
from services.activation.domain.system_channels import Webhook
from services.activation.domain.validation import (
    MAX_CONTENT,
    MAX_DESTINATIONS,
    check_destination,
    check_number,
)
from services.kernel.errors import InvalidField

SECRET = "whsec_" + base64.b64encode(bytes(32)).decode()


def message(**fields: object) -> pb.DestinationDefined:
    """Return a valid destination with these fields replaced."""
    plain = {
        "destination_id": "coupon",
        "segment_ids": ["trial"],
        "triggers": [1],
        "webhook": pb.Webhook(url="https://x.example/in", secret=SECRET),
    } | fields
    return pb.DestinationDefined(**{k: v for k, v in plain.items() if v is not None})


def checked(defined: pb.DestinationDefined) -> Destination:
    destination = destination_from_request("school", defined)
    check_destination(destination, AllowedSubjects.parse("school=coupons"))
    return destination


def webhook(url: str, secret: str = SECRET) -> dict[str, object]:
    return {"webhook": pb.Webhook(url=url, secret=secret)}


def nats(subject: str) -> dict[str, object]:
    return {"webhook": None, "nats": pb.NatsSubject(subject=subject)}


def file(name: str) -> dict[str, object]:
    return {"webhook": None, "file": pb.NdjsonFile(name=name)}


BAD: list[tuple[dict[str, object], str, str]] = [
    ({"destination_id": ""}, "destination_id", "1 to 128"),
    ({"destination_id": "x" * 129}, "destination_id", "1 to 128"),
    ({"destination_id": "a\0b"}, "destination_id", "printable"),
    ({"destination_id": "a\nb"}, "destination_id", "printable"),
    ({"title": "x" * 201}, "title", "at most 200"),
    ({"title": "\0"}, "title", "NUL"),
    ({"segment_ids": []}, "segment_ids", "at least one"),
    ({"segment_ids": [""]}, "segment_ids", "1 to 128"),
    ({"segment_ids": ["a\0"]}, "segment_ids", "printable"),
    ({"segment_ids": [f"s{n}" for n in range(1_001)]}, "segment_ids", "at most 1000"),
    ({"triggers": []}, "triggers", "ENTERED and LEFT"),
    ({"triggers": [0]}, "triggers", "ENTERED or LEFT"),
    ({"triggers": [3]}, "triggers", "ENTERED or LEFT"),
    ({"traits": ["a" * 129]}, "traits", "1 to 128"),
    ({"traits": [f"t{n}" for n in range(201)]}, "traits", "at most 200"),
    ({"content": b"{"}, "content", "JSON object"),
    ({"content": b"[1]"}, "content", "JSON object"),
    ({"content": b'"x"'}, "content", "JSON object"),
    ({"content": b'{"a":NaN}'}, "content", "JSON object"),
    ({"content": b'{"a":"\\ud800"}'}, "content", "JSON object"),
    ({"content": b"\xff\xfe"}, "content", "JSON object"),
    ({"content": b'{"a":' + b"[" * 30_000 + b"]" * 30_000 + b"}"}, "content", "JSON object"),
    ({"content": b'{"a":"' + b"x" * MAX_CONTENT + b'"}'}, "content", "at most"),
    ({"webhook": None}, "channel", "one of webhook, nats, file"),
    *[
        (webhook(url), "webhook.url", expected)
        for url, expected in [
            ("", "http or https"),
            ("x.example/in", "http or https"),
            ("ftp://x.example/in", "http or https"),
            ("file:///etc/passwd", "http or https"),
            ("gopher://x.example", "http or https"),
            ("https:///in", "with a host"),
            ("https://x.example:0/", "with a host"),
            ("https://x.example:65536/", "with a host"),
            ("https://x.example:port/", "with a host"),
            ("https://[::1/", "with a host"),
            ("https://x.exa\nmple/", "with a host"),
            ("https://x.example/a b", "with a host"),
            ("https://x.example\\@y.example/", "with a host"),
            ("https://me@x.example/", "no user"),
            ("https://:@x.example/", "no user"),
            ("https://@x.example/", "no user"),
            ("https://x.example/#in", "no fragment"),
            ("https://x.example/#", "no fragment"),
            ("https://x.example/" + "a" * 2_048, "at most 2048"),
        ]
    ],
    *[
        (webhook("https://x.example/in", secret), "webhook.secret", "base64 of 24 to 64")
        for secret in (
            "",
            "secret",
            SECRET.removeprefix("whsec_"),
            "whsec_!!!!",
            "whsec_" + base64.b64encode(bytes(23)).decode(),
            "whsec_" + base64.b64encode(bytes(65)).decode(),
        )
    ],
    *[
        (nats(subject), "nats.subject", expected)
        for subject, expected in [
            ("", "without wildcards"),
            ("a..b", "without wildcards"),
            (".a", "without wildcards"),
            ("a.", "without wildcards"),
            ("a.*", "without wildcards"),
            ("a.>", "without wildcards"),
            ("a b", "without wildcards"),
            ("a\r\nPUB b", "without wildcards"),
            ("a\0b", "without wildcards"),
            ("a" * 257, "at most 256"),
            ("$JS.API.STREAM.DELETE.ONEFOLD_LOG", "lies below"),
            ("$SYS.x", "lies below"),
            ("_INBOX.x", "lies below"),
            ("onefold.log.0", "lies below"),
            ("onefold.in.school.web", "lies below"),
            ("onefold.out.school", "lies below"),
            ("onefold.out.other.coupons", "lies below"),
            ("onefold.out.schools.coupons", "lies below"),
            ("onefold.out.coupons", "lies below"),
            ("orders.create", "an operator can allow"),
            ("coupons.more", "an operator can allow"),
        ]
    ],
    *[
        (file(name), "file.name", "file name")
        for name in ("", ".", "..", "../x", "a/b", "/etc/x", ".x", "a\0", "x" * 129, "-x", "a\n")
    ],
]


@pytest.mark.parametrize(("fields", "path", "remedy"), BAD)
def test_invalid_destination_is_rejected_with_path_and_remedy(
    fields: dict[str, object], path: str, remedy: str
) -> None:
    with pytest.raises(InvalidField) as raised:
        checked(message(**fields))
    assert raised.value.field == f"destination.{path}"
    assert remedy in raised.value.message


@pytest.mark.parametrize(
    "fields",
    [
        webhook("http://127.0.0.1:8080/in?token=x"),
        webhook("https://[::1]:8443/"),
        webhook("https://bücher.example/优惠券"),
        nats("onefold.out.school.coupons"),
        nats("onefold.out.school.优惠券.高意向"),
        nats("coupons"),
        file("coupons.ndjson"),
        {"triggers": [1, 2], "traits": ["email", "城市"], "title": "限时优惠券"},
        {"content": b""},
        {"destination_id": "优惠券"},
    ],
)
def test_valid_destination_is_accepted(fields: dict[str, object]) -> None:
    checked(message(**fields))


def test_number_of_destinations_is_limited() -> None:
    existing = {f"d{n}" for n in range(MAX_DESTINATIONS)}
    check_number("d7", existing)
    check_number("new", existing - {"d7"})
    with pytest.raises(InvalidField, match="the id of a retired destination"):
        check_number("new", existing)


def test_content_is_stored_in_canonical_form() -> None:
    one, other = (
        checked(message(content=raw)).content
        for raw in (b'{"b": 1, "a": [2.0]}', b'{"a":[2.0],"b":1}')
    )
    assert one == other
    assert msgspec.json.decode(one) == {"a": [2.0], "b": 1}


def test_destination_survives_a_round_trip_through_its_fact() -> None:
    defined = message(triggers=[2, 1, 2], segment_ids=["b", "a", "b"], traits=["z", "a"], version=3)
    requested = checked(defined)
    assert requested.triggers == frozenset(Trigger)
    channel = Webhook("https://x.example/in", SealedSecret(1, bytes(12), b"sealed"))
    destination = replace(requested, channel=channel)
    encoded = destination_to_fact(destination)
    assert decode_destination("school", encoded.SerializeToString()) == destination


def test_secret_in_plain_text_is_never_encoded() -> None:
    requested = checked(message())
    assert SECRET not in str(destination_to_response(requested))
    with pytest.raises(TypeError):
        destination_to_fact(requested)
    sealed = replace(requested, channel=Webhook("https://x.example", SealedSecret(1, b"", b"s")))
    assert not destination_to_response(sealed).sealed_secrets


def test_sealed_secret_of_a_request_is_rejected() -> None:
    sealed = pb.SealedSecret(key_version=1, nonce=bytes(12), ciphertext=b"taken from elsewhere")
    with pytest.raises(InvalidField) as raised:
        checked(message(sealed_secrets={"secret": sealed}))
    assert raised.value.field == "destination.sealed_secrets"


@pytest.mark.parametrize("payload", [b"\xff", b"\x0a\x05ab", b"\x0a\x02\xff\xfe", b""])
def test_malformed_payload_is_rejected(payload: bytes) -> None:
    with pytest.raises(InvalidField):
        decode_destination("school", payload)
