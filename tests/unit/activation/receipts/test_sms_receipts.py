"""Tests what providers of SMS report; the signatures of Twilio are those of its own library."""

from __future__ import annotations

import hmac
import json
from base64 import b64encode
from typing import Any
from urllib.parse import urlencode

import pytest

from services.activation.codec.receipts.sms import read_aliyun, read_tencent, read_twilio
from services.activation.domain.receipts.model import (
    Bounce,
    Receipt,
    ReceiptRefused,
    ReceiptRequest,
    consent_in_reply,
)
from services.kernel.journeys.model import ReportKind
from services.kernel.time import parse_rfc3339

KEY, SECRET = "0a" * 16, "tw-secret"
CALLBACK = "https://cdp.x.example/v1/receipts/1.abc?key={key}"
AT_US = parse_rfc3339("2026-11-27T04:00:00Z")


def request(body: object) -> ReceiptRequest:
    return ReceiptRequest(body=json.dumps(body).encode())


def test_aliyun_reports_outcomes_and_replies() -> None:
    entry = {
        "phone_number": "13812345678",
        "report_time": "2026-11-27 12:00:00",
        "success": True,
        "err_code": "DELIVERED",
        "out_id": KEY,
    }
    dead = {**entry, "success": False, "err_code": "MOBILE_NOT_ON_SERVICE", "out_id": "mine"}
    reply = {
        "phone_number": "13812345678",
        "content": " R ",
        "sequence_id": 12,
        "send_time": "2026-11-27 12:00:00",
    }
    answer = read_aliyun(request([entry, dead, reply]))
    assert json.loads(answer.body) == {"code": 0, "msg": "OK"}
    phone = "13812345678"
    arrived, lost = ReportKind.DELIVERED, ReportKind.UNDELIVERED
    assert answer.receipts == (
        Receipt(arrived, KEY, phone, at_us=AT_US, reason="DELIVERED"),
        Receipt(lost, "", phone, at_us=AT_US, reason="MOBILE_NOT_ON_SERVICE", bounce=Bounce.HARD),
        Receipt(ReportKind.REPLIED, "", phone, "12", AT_US, consents=False),
    )


def test_tencent_reports_outcomes_by_the_session_and_replies_by_the_number() -> None:
    entry = {
        "user_receive_time": "2026-11-27 12:00:00",
        "nationcode": "86",
        "mobile": "13812345678",
        "report_status": "SUCCESS",
        "errmsg": "DELIVRD",
        "ext": KEY,
    }
    reply = {
        "nationcode": "86",
        "mobile": "13812345678",
        "text": "好的",
        "sign": "商城",
        "time": "2026-11-27 12:00:00",
    }
    answer = read_tencent(request([entry, {**entry, "report_status": "FAIL"}, reply]))
    assert json.loads(answer.body) == {"result": 0, "errmsg": "OK"}
    kinds = [(r.what, r.key, r.address, r.consents) for r in answer.receipts]
    number = "+8613812345678"
    assert kinds == [
        (ReportKind.DELIVERED, KEY, number, None),
        (ReportKind.UNDELIVERED, KEY, number, None),
        (ReportKind.REPLIED, "", number, None),
    ]


def signature_of(form: dict[str, str], url: str, secret: str) -> str:
    text = url + "".join(name + value for name, value in sorted(form.items()))
    return b64encode(hmac.digest(secret.encode(), text.encode(), "sha1")).decode()


def test_signatures_of_these_tests_are_those_of_the_library_of_twilio() -> None:
    form = {"To": "+12025550124", "MessageSid": "SM1", "Body": "退订 ok"}
    url = "https://cdp.x.example/v1/receipts/1.abc?key=1"
    assert signature_of(form, url, SECRET) == "fDi+R2XOWxyeSUfJbR+dLHCzmNs="


def signed(form: dict[str, str], query: str, url: str, secret: str = SECRET) -> ReceiptRequest:
    headers = {"x-twilio-signature": signature_of(form, url, secret)}
    return ReceiptRequest(query, headers, urlencode(form).encode())


@pytest.mark.parametrize("port", ["", ":443"])
def test_twilio_reports_with_its_signature_with_and_without_the_port(port: str) -> None:
    form = {"MessageSid": "SM1", "MessageStatus": "delivered", "To": "+12025550124"}
    url = f"https://cdp.x.example{port}/v1/receipts/1.abc?key={KEY}"
    answer = read_twilio(signed(form, f"key={KEY}", url), CALLBACK, SECRET)
    assert answer.receipts == (Receipt(ReportKind.DELIVERED, KEY, "+12025550124"),)
    assert answer.content_type == "text/xml"


@pytest.mark.parametrize(
    ("code", "bounce"),
    [
        ("21610", Bounce.HARD),
        ("21614", Bounce.HARD),
        ("30003", Bounce.NONE),
        ("30004", Bounce.NONE),
        ("30005", Bounce.HARD),
        ("30006", Bounce.HARD),
        ("30007", Bounce.NONE),
        ("30008", Bounce.NONE),
        ("99999", Bounce.NONE),
        ("", Bounce.NONE),
    ],
)
def test_code_of_twilio_says_whether_the_number_is_dead(code: str, bounce: Bounce) -> None:
    form = {"MessageSid": "SM1", "MessageStatus": "undelivered", "To": "+12025550124"}
    form["ErrorCode"] = code
    received = signed(form, f"key={KEY}", f"https://cdp.x.example/v1/receipts/1.abc?key={KEY}")
    (receipt,) = read_twilio(received, CALLBACK, SECRET).receipts
    assert (receipt.what, receipt.reason) == (ReportKind.UNDELIVERED, code)
    assert receipt.bounce is bounce


@pytest.mark.parametrize(
    "received",
    [
        signed({"MessageSid": "SM1"}, "", "https://cdp.x.example/v1/receipts/1.abc", "other"),
        signed({"MessageSid": "SM1"}, "key=1", "https://cdp.x.example/v1/receipts/1.abc"),
        signed({"MessageSid": "SM1"}, "", "https://z.example/v1/receipts/1.abc"),
        ReceiptRequest(body=b"MessageSid=SM1"),
    ],
)
def test_request_without_the_signature_of_twilio_is_refused(received: ReceiptRequest) -> None:
    with pytest.raises(ReceiptRefused, match="signature"):
        read_twilio(received, CALLBACK, SECRET)


@pytest.mark.parametrize(
    ("form", "consents"),
    [
        ({"Body": "STOP", "OptOutType": "STOP"}, False),
        ({"Body": "START", "OptOutType": "START"}, True),
        ({"Body": "thanks, see you"}, None),
        ({"Body": "Unsubscribe!"}, False),
    ],
)
def test_reply_by_twilio_says_whether_the_person_consents(
    form: dict[str, str], consents: bool | None
) -> None:
    whole = {"MessageSid": "SM2", "From": "+12025550124", **form}
    received = signed(whole, "", "https://cdp.x.example/v1/receipts/1.abc")
    expected = Receipt(ReportKind.REPLIED, "", "+12025550124", "SM2", consents=consents)
    assert read_twilio(received, CALLBACK, SECRET).receipts == (expected,)


@pytest.mark.parametrize("word", ["R", "r", "T", "TD", "退订", "STOP", "stop."])
def test_words_that_withdraw_consent(word: str) -> None:
    assert consent_in_reply(word) is False


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b"\xff", b"[" * 5_000])
def test_body_that_is_no_list_of_reports_is_refused(body: bytes) -> None:
    for read in (read_aliyun, read_tencent):
        with pytest.raises(ReceiptRefused):
            read(ReceiptRequest(body=body))


@pytest.mark.parametrize("value", [None, 1, [], {}, "x" * 500])
def test_fields_of_any_type_are_read(value: Any) -> None:
    names = ("phone_number", "report_time", "success", "err_code", "out_id", "mobile", "ext")
    entry = dict.fromkeys(names, value)
    for read in (read_aliyun, read_tencent):
        (receipt,) = read(request(entry)).receipts
        assert receipt.what is ReportKind.UNDELIVERED
        assert receipt.key == ""
