"""Tests signatures against those of the official libraries of the providers.

The files in `signed` have random requests, as `alibabacloud-openapi-util` 0.2,
`tencentcloud-sdk-python-sms` 3.1 and `botocore` 1.44 sign them, and all codes of errors that the
second one lists.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from services.activation.channels import aliyun_sms, tencent_sms
from services.activation.channels.http import HttpAnswer
from services.activation.channels.objects import authorize_s3
from services.activation.channels.provider import Codes
from services.activation.channels.robots import dingtalk_signature, feishu_signature
from services.activation.domain.transitions import AttemptStatus

SIGNED = Path(__file__).parent / "signed"


def requests(name: str) -> list[dict[str, Any]]:
    lines = (SIGNED / name).read_text("utf-8").splitlines()
    assert len(lines) == 60
    return [json.loads(line) for line in lines]


def test_requests_of_aliyun_are_signed_as_its_library_signs_them() -> None:
    for each in requests("aliyun_sms.ndjson"):
        query = aliyun_sms.query_of(each["query"])
        signature = aliyun_sms.sign("POST", "/", query, each["headers"], each["secret"])
        assert signature == each["signature"]


def test_requests_of_tencent_are_signed_as_its_library_signs_them() -> None:
    for each in requests("tencent_sms.ndjson"):
        body = each["body"].encode()
        signed = tencent_sms.authorize(body, each["host"], each["timestamp"], "SID", each["secret"])
        assert signed == each["authorization"]


def test_requests_of_s3_are_signed_as_the_library_of_its_maker_signs_them() -> None:
    for each in requests("s3.ndjson"):
        signed = authorize_s3(
            "PUT", each["path"], each["headers"], "eu-central-1", "AKIA", each["secret"]
        )
        assert signed == each["authorization"]


def test_every_code_that_tencent_lists_has_a_meaning() -> None:
    codes = (SIGNED / "tencent_codes.txt").read_text("utf-8").split()
    assert len(codes) == 94
    assert not [code for code in codes if tencent_sms.CODES.status_of(code) is None]


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
