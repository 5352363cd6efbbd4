"""Makes random requests of SMS, and what identifies each: the same for us and official libraries.

Run as a program where those libraries are installed (`alibabacloud-dysmsapi20170525` 4.6,
`alibabacloud-openapi-util` 0.2, `tencentcloud-sdk-python-sms` 3.1, `twilio` 9.13), it writes what
they send into the folder `signed`.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

SIGNED = Path(__file__).parent / "signed"
COUNT = 1_000
_SIGNS = "aZ09 ~!*'()&=+/%?#:;,\"\\<>-_.\t李雷🎉é"


@dataclass(frozen=True)
class SmsInputs:
    """What one request is made of."""

    secret: str
    sign_name: str
    template: str
    to: str
    text: str
    parameters: tuple[tuple[str, str], ...]
    #: 32 hexadecimal digits.
    key: str
    nonce: str
    now_s: int

    @classmethod
    def of(cls, n: int) -> SmsInputs:
        """Return the inputs with a number."""
        chance = random.Random(n)

        def text(most: int) -> str:
            return "".join(chance.choices(_SIGNS, k=chance.randint(1, most)))

        def word(length: int) -> str:
            return "".join(chance.choices("0123456789abcdef", k=length))

        names = sorted({word(4) for _ in range(chance.randint(0, 4))})
        country = chance.choice(["+861", "+1202555", "+44", "+85291"])
        return cls(
            secret=word(chance.randint(16, 40)),
            sign_name=text(12),
            template=f"SMS_{chance.randint(1, 10**8)}",
            to=country + "".join(chance.choices("0123456789", k=10)),
            text=text(200),
            parameters=tuple((name, text(20)) for name in names),
            key=word(32),
            nonce=word(32),
            now_s=chance.randint(1_600_000_000, 2_000_000_000),
        )


def identity(*parts: Any) -> str:
    """Return 20 hexadecimal digits that stand for what a request consists of."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def aliyun_identity(query: str, authorization: str) -> str:
    return identity(dict(parse_qsl(query)), authorization)


def tencent_identity(body: bytes, authorization: str) -> str:
    return identity(body.decode(), authorization)


def twilio_identity(url: str, body: bytes, authorization: str) -> str:
    # The pairs as they are written, in any order.
    return identity(urlsplit(url).path, sorted(body.decode().split("&")), authorization)


class _Sent(BaseException):
    """Ends a call of a library instead of sending it."""


def _aliyun(inputs: Sequence[SmsInputs]) -> list[str]:
    from alibabacloud_dysmsapi20170525 import models
    from alibabacloud_dysmsapi20170525.client import Client
    from alibabacloud_openapi_util.client import Client as Signer
    from alibabacloud_tea_openapi.models import Config
    from darabonba.core import DaraCore
    from Tea.request import TeaRequest

    sent: list[Any] = []

    def capture(request: Any, runtime: Any = None) -> Any:
        sent.append(request)
        raise _Sent

    DaraCore.do_action = staticmethod(capture)
    found = []
    for each in inputs:
        client = Client(
            Config(access_key_id="AKID", access_key_secret=each.secret, endpoint="sms.example")
        )
        parameters = json.dumps(dict(each.parameters), ensure_ascii=False, separators=(",", ":"))
        request = models.SendSmsRequest(
            phone_numbers=each.to.removeprefix("+86").removeprefix("+"),
            sign_name=each.sign_name,
            template_code=each.template,
            template_param=parameters if each.parameters else None,
            out_id=each.key,
        )
        try:
            client.send_sms(request)
        except _Sent:
            query = sent.pop().query
        signed = TeaRequest()
        signed.method, signed.pathname, signed.query = "POST", "/", query
        empty = hashlib.sha256(b"").hexdigest()
        signed.headers = aliyun_headers(each, empty)
        authorization = Signer.get_authorization(
            signed, "ACS3-HMAC-SHA256", empty, "AKID", each.secret
        )
        found.append(aliyun_identity(urlencode(query), authorization))
    return found


def aliyun_headers(each: SmsInputs, empty: str) -> dict[str, str]:
    import datetime

    instant = datetime.datetime.fromtimestamp(each.now_s, datetime.UTC)
    return {
        "host": "sms.example",
        "x-acs-action": "SendSms",
        "x-acs-content-sha256": empty,
        "x-acs-date": instant.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "x-acs-signature-nonce": each.nonce,
        "x-acs-version": "2017-05-25",
    }


def _tencent(inputs: Sequence[SmsInputs]) -> list[str]:
    import time

    from tencentcloud.common import credential
    from tencentcloud.common.http.request import ApiRequest
    from tencentcloud.common.profile.client_profile import ClientProfile
    from tencentcloud.common.profile.http_profile import HttpProfile
    from tencentcloud.sms.v20210111 import models, sms_client

    sent: list[Any] = []

    def capture(self: Any, request: Any) -> Any:
        sent.append(request)
        raise _Sent

    ApiRequest.send_request = capture
    clock, found = time.time, []
    for each in inputs:
        profile = ClientProfile(httpProfile=HttpProfile(endpoint="sms.example"))
        keys = credential.Credential("SID", each.secret)
        client = sms_client.SmsClient(keys, "ap-guangzhou", profile)
        request = models.SendSmsRequest()
        request.PhoneNumberSet, request.SmsSdkAppId = [each.to], "1400006666"
        request.SignName, request.TemplateId = each.sign_name, each.template
        request.TemplateParamSet = [value for _, value in each.parameters]
        request.SessionContext = each.key
        time.time = lambda: float(each.now_s)  # noqa: B023 - the call ends in this round
        try:
            client.SendSms(request)
        except _Sent:
            made = sent.pop()
            body = made.data if isinstance(made.data, bytes) else made.data.encode()
            found.append(tencent_identity(body, made.header["Authorization"]))
        finally:
            time.time = clock
    return found


def _twilio(inputs: Sequence[SmsInputs]) -> list[str]:
    import requests
    from twilio.http.http_client import TwilioHttpClient
    from twilio.rest import Client

    sent: list[Any] = []

    class Capture(TwilioHttpClient):
        def request(self, method: str, url: str, **parts: Any) -> Any:
            sent.append((method, url, parts))
            raise _Sent

    found = []
    for each in inputs:
        client = Client("AC1", each.secret, http_client=Capture())
        try:
            client.messages.create(
                to=each.to,
                from_="+12025550123",
                body=each.text,
                validity_period=14_400,
                status_callback=f"https://x.example/{each.key}",
            )
        except _Sent:
            method, url, parts = sent.pop()
            prepared = requests.Request(
                method, url, data=parts["data"], auth=parts["auth"]
            ).prepare()
            body = prepared.body or b""
            raw = body.encode() if isinstance(body, str) else body
            found.append(twilio_identity(url, raw, prepared.headers["Authorization"]))
    return found


_LIBRARIES: dict[str, Callable[[Sequence[SmsInputs]], list[str]]] = {
    "aliyun_sms": _aliyun,
    "tencent_sms": _tencent,
    "twilio_sms": _twilio,
}

if __name__ == "__main__":
    for name, library in _LIBRARIES.items():
        lines = library([SmsInputs.of(n) for n in range(COUNT)])
        (SIGNED / f"{name}.txt").write_text("".join(f"{line}\n" for line in lines))
