"""Tests signatures against those of the official libraries of the providers.

The files in `signed` have random requests: what those of SMS consist of (see `sms_requests`), as
`botocore` 1.44 signs those of a bucket, all codes of errors that Tencent's library lists, and those
that the documentation of Alibaba Cloud and the dictionary of Twilio list for messages and their
delivery.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from contract.channels.sms_requests import (
    COUNT,
    SIGNED,
    SmsInputs,
    aliyun_identity,
    tencent_identity,
    twilio_identity,
)

from services.activation.channels import aliyun_sms, tencent_sms, twilio_sms
from services.activation.channels.http import HttpAnswer, OutboundRequest
from services.activation.channels.objects import authorize_s3
from services.activation.channels.provider import ProviderCall
from services.activation.channels.robots import dingtalk_signature, feishu_signature
from services.activation.domain.message_channels import AliyunSms, TencentSms, TwilioSms
from services.activation.domain.provider_codes import TWILIO_CODES, Codes
from services.activation.domain.templates import RenderedMessage
from services.activation.domain.transitions import AttemptStatus


def requests(name: str) -> list[dict[str, Any]]:
    lines = (SIGNED / name).read_text("utf-8").splitlines()
    assert len(lines) == 60
    return [json.loads(line) for line in lines]


SMS_CALLS: dict[str, tuple[Callable[[SmsInputs], Any], str, Callable[..., OutboundRequest]]] = {
    "aliyun_sms": (
        lambda each: AliyunSms("AKID", "", each.sign_name, "https://sms.example"),
        "access_key_secret",
        aliyun_sms.request,
    ),
    "tencent_sms": (
        lambda each: TencentSms("SID", "", "1400006666", each.sign_name, "", "https://sms.example"),
        "secret_key",
        tencent_sms.request,
    ),
    "twilio_sms": (
        lambda _: TwilioSms("AC1", "", "+12025550123", "https://x.example/{key}"),
        "auth_token",
        twilio_sms.request,
    ),
}


def our_request(name: str, each: SmsInputs) -> OutboundRequest:
    """Return the request of a channel that is made of these inputs."""
    settings, secret, request = SMS_CALLS[name]
    message = RenderedMessage(
        to=each.to, text=each.text, provider_template=each.template, parameters=each.parameters
    )
    payload, secrets = msgspec.json.encode(message), {secret: each.secret}
    return request(
        ProviderCall(settings(each), secrets, payload, each.key, float(each.now_s), each.nonce)
    )


def identity_of(name: str, made: OutboundRequest) -> str:
    authorization = made.headers["authorization"]
    match name:
        case "aliyun_sms":
            return aliyun_identity(made.url.partition("?")[2], authorization)
        case "tencent_sms":
            return tencent_identity(made.body, authorization)
    return twilio_identity(made.url, made.body, authorization)


@pytest.mark.parametrize("name", SMS_CALLS)
def test_thousand_random_requests_are_those_of_the_official_library(name: str) -> None:
    stored = (SIGNED / f"{name}.txt").read_text("utf-8").split()
    assert len(stored) == COUNT
    ours = [identity_of(name, our_request(name, SmsInputs.of(n))) for n in range(COUNT)]
    assert [n for n in range(COUNT) if ours[n] != stored[n]] == []


def test_requests_of_s3_are_signed_as_the_library_of_its_maker_signs_them() -> None:
    for each in requests("s3.ndjson"):
        signed = authorize_s3(
            "PUT", each["path"], each["headers"], "eu-central-1", "AKIA", each["secret"]
        )
        assert signed == each["authorization"]


@pytest.mark.parametrize(
    ("name", "codes", "number"),
    [
        ("tencent", tencent_sms.CODES, 94),
        ("aliyun", aliyun_sms.CODES, 67),
        ("twilio", TWILIO_CODES, 158),
    ],
)
def test_every_code_that_a_provider_lists_has_a_meaning(
    name: str, codes: Codes, number: int
) -> None:
    listed = (SIGNED / f"{name}_codes.txt").read_text("utf-8").split()
    assert len(listed) == number
    assert not [code for code in listed if codes.status_of(code) is None]


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("isv.MOBILE_NUMBER_ILLEGAL", AttemptStatus.ADDRESS_DEAD),
        # They say nothing against the number: too many of them, or a word of the message.
        ("isv.MOBILE_COUNT_OVER_LIMIT", AttemptStatus.REJECTED),
        ("isv.BLACK_KEY_CONTROL_LIMIT", AttemptStatus.REJECTED),
        ("isv.SMS_SIGNATURE_SCENE_ILLEGAL", AttemptStatus.CREDENTIALS),
        ("isv.SMS_SIGN_TEMPLATE_NOT_MATCH", AttemptStatus.REJECTED),
        ("isv.DAY_LIMIT_CONTROL", AttemptStatus.FAILED),
        ("InvalidAccessKeyId.NotFound", AttemptStatus.CREDENTIALS),
    ],
)
def test_code_of_aliyun_decides_the_result(code: str, status: AttemptStatus) -> None:
    answer = HttpAnswer(200, {}, json.dumps({"Code": code}).encode())
    assert aliyun_sms.judge_aliyun(answer).status is status


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("LimitExceeded.PhoneNumberDailyLimit", AttemptStatus.FAILED),
        ("LimitExceeded.PhoneNumberCountLimit", AttemptStatus.REJECTED),
        ("FailedOperation.MarketingSendTimeConstraint", AttemptStatus.FAILED),
        ("FailedOperation.PhoneNumberInBlacklist", AttemptStatus.ADDRESS_DEAD),
        ("InvalidParameterValue.MarketingTemplateWithoutUnsubscribe", AttemptStatus.REJECTED),
        ("UnauthorizedOperation.ServiceSuspendDueToArrears", AttemptStatus.CREDENTIALS),
        ("InternalError.Timeout", AttemptStatus.LOST),
        ("InternalError.RestApiInterfaceNotExist", AttemptStatus.FAILED),
        ("SomethingNew", AttemptStatus.REJECTED),
    ],
)
def test_code_of_tencent_decides_the_result(code: str, status: AttemptStatus) -> None:
    for answer in ({"Error": {"Code": code}}, {"SendStatusSet": [{"Code": code}]}):
        body = json.dumps({"Response": answer}).encode()
        assert tencent_sms.judge_tencent(HttpAnswer(200, {}, body)).status is status


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (14107, AttemptStatus.FAILED),
        (20003, AttemptStatus.CREDENTIALS),
        (20429, AttemptStatus.FAILED),
        (21211, AttemptStatus.ADDRESS_DEAD),
        (21610, AttemptStatus.ADDRESS_DEAD),
        # No sender of the account reaches the number; another one may.
        (21612, AttemptStatus.REJECTED),
        (21614, AttemptStatus.ADDRESS_DEAD),
        (30001, AttemptStatus.FAILED),
        (30002, AttemptStatus.CREDENTIALS),
        # The phone is switched off, or has no signal.
        (30003, AttemptStatus.REJECTED),
        (30005, AttemptStatus.ADDRESS_DEAD),
        (30007, AttemptStatus.REJECTED),
        (30034, AttemptStatus.CREDENTIALS),
        (30410, AttemptStatus.LOST),
        (99_999, AttemptStatus.REJECTED),
    ],
)
def test_code_of_twilio_decides_the_result(code: int, status: AttemptStatus) -> None:
    failed = {"sid": "SM1", "status": "failed", "error_code": code}
    for http, answer in ((400, {"code": code}), (201, failed)):
        found = twilio_sms.judge_twilio(HttpAnswer(http, {}, json.dumps(answer).encode()))
        assert (found.status, found.reason) == (status, str(code))


def test_longest_prefix_of_a_code_decides() -> None:
    codes = Codes(later="A*", refused="A.b*", credentials="A.b.c")
    found = [codes.status_of(code) for code in ("A", "A.x", "A.b.x", "A.b.c", "B")]
    assert found == [
        *[AttemptStatus.FAILED] * 2,
        AttemptStatus.REJECTED,
        AttemptStatus.CREDENTIALS,
        None,
    ]


def test_signatures_of_robots_are_those_that_openssl_computes() -> None:
    # The expected values are those of openssl.
    assert (
        dingtalk_signature("1700000000000", "SECabc")
        == "jcUpW0QmtKduN03n4JqQ0PBosVjqnM8gU7fIIvsDmCM="
    )
    assert feishu_signature("1599360473", "demo") == "l1N0gAcBjdwBvGm1xMjOF0XSyaLRpR7tuO5dHfhAYc8="
