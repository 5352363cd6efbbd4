"""Fakes of providers: each checks signatures and limits on its own, and answers by a script.

An outcome of a script is `accepted`, `later`, `refused`, `address_dead`, `credentials`,
`malformed`, one of an accepted message whose answer is lost: `lost`, `slow`; or `unanswered`, of a
message that is not accepted and has no answer either.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import parse_qs, parse_qsl, quote, unquote

from aiohttp import web
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

Answer = tuple[int, Any]
#: The outcomes after which the provider has the message.
TAKEN = frozenset({"accepted", "lost", "slow", "malformed"})


@dataclass
class Fake:
    """One provider on a local port."""

    secrets: dict[str, Any]
    script: list[str] = field(default_factory=list)
    #: (key or "", address or "") of every message that was taken.
    taken: list[tuple[str, str]] = field(default_factory=list)
    #: Why requests were turned away before the script.
    problems: list[str] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)
    tokens: int = 0
    port: int = 0
    released: asyncio.Event = field(default_factory=asyncio.Event)
    nonces: set[str] = field(default_factory=set)

    ANSWERS: ClassVar[dict[str, Answer]] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def token(self, request: web.Request, body: bytes) -> Answer | None:
        """Return the answer to a request of a token; None = it is none."""
        return None

    def problem(self, request: web.Request, body: bytes) -> str:
        """Return what is wrong with a request; "" = nothing."""
        return ""

    def message(self, request: web.Request, body: bytes) -> tuple[str, str]:
        """Return the key and the address of a message."""
        return "", ""

    def lookup(self, request: web.Request, body: bytes) -> Answer | None:
        """Return the answer to a question for a message; None = it is none."""
        return None

    async def respond(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        if (answer := self.token(request, body)) is not None:
            self.tokens += 1
            return _response(answer)
        if problem := self.problem(request, body):
            self.problems.append(problem)
            return _response(self.ANSWERS["credentials"])
        if (answer := self.lookup(request, body)) is not None:
            return _response(answer)
        outcome = self.script.pop(0) if self.script else "accepted"
        self.bodies.append(body)
        key, to = self.message(request, body)
        if outcome in TAKEN and not (self.drops_repeats and (key, to) in self.taken):
            self.taken.append((key, to))
        if outcome == "slow":
            await self.released.wait()
        if outcome in ("lost", "unanswered"):
            assert request.transport is not None
            request.transport.abort()
        if outcome == "malformed":
            return web.Response(status=200, body=b"<html>\xff it works")
        return _response(self.ANSWERS.get(outcome) or self.accepted(body))

    def accepted(self, body: bytes) -> Answer:
        """Return the answer to a message that is accepted."""
        return self.ANSWERS["accepted"]

    @property
    def drops_repeats(self) -> bool:
        return False

    def check_nonce(self, nonce: str) -> str:
        if not nonce or nonce in self.nonces:
            return "the nonce was used"
        self.nonces.add(nonce)
        return ""


def _response(answer: Answer) -> web.Response:
    status, body = answer
    return web.json_response(body, status=status)


def is_recent(seconds: float, most: float = 300.0) -> bool:
    return abs(time.time() - seconds) < most


class FakeAliyun(Fake):
    ANSWERS: ClassVar[dict[str, Answer]] = {
        "accepted": (200, {"Code": "OK", "Message": "OK", "BizId": "1^0", "RequestId": "R"}),
        "later": (200, {"Code": "isv.BUSINESS_LIMIT_CONTROL", "RequestId": "R"}),
        "refused": (200, {"Code": "isv.SMS_TEMPLATE_ILLEGAL", "RequestId": "R"}),
        "address_dead": (200, {"Code": "isv.MOBILE_NUMBER_ILLEGAL", "RequestId": "R"}),
        "credentials": (400, {"Code": "SignatureDoesNotMatch", "RequestId": "R"}),
    }

    def problem(self, request: web.Request, body: bytes) -> str:
        head = {name.lower(): value for name, value in request.headers.items()}
        scheme, _, rest = head["authorization"].partition(" ")
        parts = dict(part.split("=", 1) for part in rest.split(","))
        if scheme != "ACS3-HMAC-SHA256" or parts["Credential"] != "AKID":
            return "the authorization has another form"
        instant = time.strptime(head["x-acs-date"], "%Y-%m-%dT%H:%M:%SZ")
        if not is_recent(time.mktime(instant) - time.timezone, 900):
            return "the date is old"
        pairs = sorted(parse_qsl(request.rel_url.raw_query_string, keep_blank_values=True))
        query = "&".join(f"{quote(k, safe='~')}={quote(v, safe='~')}" for k, v in pairs)
        names = parts["SignedHeaders"].split(";")
        lines = [f"{name}:{head[name]}" for name in names]
        digest = hashlib.sha256(body).hexdigest()
        canonical = "\n".join(
            ["POST", request.path, query, *lines, "", parts["SignedHeaders"], digest]
        )
        to_sign = f"ACS3-HMAC-SHA256\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        secret = self.secrets["access_key_secret"]
        expected = hmac.new(secret.encode(), to_sign.encode(), hashlib.sha256).hexdigest()
        if expected != parts["Signature"] or not {"host", "x-acs-action"} <= set(names):
            return "the signature is wrong"
        return self.check_nonce(head["x-acs-signature-nonce"])

    def lookup(self, request: web.Request, body: bytes) -> Answer | None:
        if request.headers["x-acs-action"] != "QuerySendDetails":
            return None
        details = [
            {"OutId": key, "PhoneNum": to, "SendStatus": 3, "ErrCode": "DELIVERED"}
            for key, to in self.taken
            if to == request.query["PhoneNumber"] and len(request.query["SendDate"]) == 8
        ]
        listed = {"SmsSendDetailDTO": details}
        return 200, {"Code": "OK", "TotalCount": len(details), "SmsSendDetailDTOs": listed}

    def message(self, request: web.Request, body: bytes) -> tuple[str, str]:
        assert request.headers["x-acs-version"] == "2017-05-25"
        return request.query["OutId"], request.query["PhoneNumbers"]


class FakeTencent(Fake):
    ANSWERS: ClassVar[dict[str, Answer]] = {
        outcome: (200, {"Response": {"RequestId": "R", **body}})
        for outcome, body in {
            "accepted": {"SendStatusSet": [{"Code": "Ok", "PhoneNumber": "x"}]},
            "later": {"SendStatusSet": [{"Code": "LimitExceeded.PhoneNumberOneHourLimit"}]},
            "refused": {
                "SendStatusSet": [{"Code": "FailedOperation.TemplateUnapprovedOrNotExist"}]
            },
            "address_dead": {"SendStatusSet": [{"Code": "FailedOperation.PhoneNumberInBlacklist"}]},
            "credentials": {"Error": {"Code": "AuthFailure.SignatureFailure", "Message": "m"}},
        }.items()
    }

    def problem(self, request: web.Request, body: bytes) -> str:
        head = request.headers
        timestamp = int(head["X-TC-Timestamp"])
        if not is_recent(timestamp):
            return "the timestamp is old"
        day = time.strftime("%Y-%m-%d", time.gmtime(timestamp))
        canonical = (
            f"POST\n/\n\ncontent-type:{head['Content-Type']}\nhost:{head['Host']}\n\n"
            f"content-type;host\n{hashlib.sha256(body).hexdigest()}"
        )
        hashed = hashlib.sha256(canonical.encode()).hexdigest()
        to_sign = f"TC3-HMAC-SHA256\n{timestamp}\n{day}/sms/tc3_request\n{hashed}"

        def mac(key: bytes, text: str) -> bytes:
            return hmac.new(key, text.encode(), hashlib.sha256).digest()

        key = mac(mac(mac(f"TC3{self.secrets['secret_key']}".encode(), day), "sms"), "tc3_request")
        expected = (
            f"TC3-HMAC-SHA256 Credential=SID/{day}/sms/tc3_request, "
            f"SignedHeaders=content-type;host, Signature={mac(key, to_sign).hex()}"
        )
        return "" if head["Authorization"] == expected else "the signature is wrong"

    def message(self, request: web.Request, body: bytes) -> tuple[str, str]:
        assert request.headers["X-TC-Action"] == "SendSms"
        assert request.headers["X-TC-Version"] == "2021-01-11"
        sent = json.loads(body)
        assert len(sent["SessionContext"].encode()) <= 512
        (number,) = sent["PhoneNumberSet"]
        return sent["SessionContext"], number


class FakeTwilio(Fake):
    ANSWERS: ClassVar[dict[str, Answer]] = {
        "accepted": (201, {"sid": "SM1", "status": "queued", "error_code": None}),
        "later": (429, {"code": 20429, "status": 429}),
        "refused": (400, {"code": 21617, "status": 400}),
        "address_dead": (400, {"code": 21610, "status": 400}),
        "credentials": (401, {"code": 20003, "status": 401}),
    }

    def problem(self, request: web.Request, body: bytes) -> str:
        login = base64.b64decode(request.headers["Authorization"].removeprefix("Basic ")).decode()
        path = "/2010-04-01/Accounts/AC1/Messages.json"
        is_right = login == f"AC1:{self.secrets['auth_token']}" and request.path == path
        return "" if is_right else "the login is wrong"

    def message(self, request: web.Request, body: bytes) -> tuple[str, str]:
        form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        assert int(form["ValidityPeriod"]) <= 36_000
        assert len(form["Body"]) <= 1_600
        return form["StatusCallback"].rpartition("/")[2], form["To"]


class FakeRobot(Fake):
    """A robot that blocks a poster above 20 posts in a minute."""

    LIMIT: ClassVar[int] = 20
    posts: int = 0

    def problem(self, request: web.Request, body: bytes) -> str:
        self.posts += 1
        if self.posts > self.LIMIT:
            return "too many posts"
        return self.signature_problem(request, json.loads(body))

    def signature_problem(self, request: web.Request, sent: dict[str, Any]) -> str:
        raise NotImplementedError


class FakeDingtalk(FakeRobot):
    ANSWERS: ClassVar[dict[str, Answer]] = {
        "accepted": (200, {"errcode": 0, "errmsg": "ok"}),
        "later": (200, {"errcode": 130101, "errmsg": "send too fast"}),
        "refused": (200, {"errcode": 400105, "errmsg": "不支持的消息类型"}),
        "credentials": (200, {"errcode": 310000, "errmsg": "sign not match"}),
    }

    def signature_problem(self, request: web.Request, sent: dict[str, Any]) -> str:
        query, secret = request.query, self.secrets["signing_secret"]
        text = f"{query['timestamp']}\n{secret}"
        code = hmac.new(secret.encode(), text.encode(), digestmod=hashlib.sha256).digest()
        if not is_recent(int(query["timestamp"]) / 1_000, 3_600):
            return "the timestamp is old"
        is_right = query["access_token"] == self.secrets["access_token"]
        return "" if is_right and query["sign"] == base64.b64encode(code).decode() else "sign"


class FakeWecom(FakeRobot):
    ANSWERS: ClassVar[dict[str, Answer]] = {
        "accepted": (200, {"errcode": 0, "errmsg": "ok"}),
        "later": (200, {"errcode": 45009, "errmsg": "api freq out of limit"}),
        "refused": (200, {"errcode": 40058, "errmsg": "invalid Request Parameter"}),
        "credentials": (200, {"errcode": 93000, "errmsg": "invalid webhook url"}),
    }

    def signature_problem(self, request: web.Request, sent: dict[str, Any]) -> str:
        content = sent[sent["msgtype"]]["content"]
        most = {"text": 2_048, "markdown": 4_096}[sent["msgtype"]]
        if len(content.encode()) > most:
            return "the text is too long"
        return "" if request.query["key"] == self.secrets["key"] else "the key is wrong"


class FakeFeishu(FakeRobot):
    ANSWERS: ClassVar[dict[str, Answer]] = {
        "accepted": (200, {"code": 0, "msg": "success", "StatusCode": 0}),
        "later": (200, {"code": 11232, "msg": "frequency limited"}),
        "refused": (200, {"code": 9499, "msg": "Bad Request"}),
        "credentials": (200, {"code": 19021, "msg": "sign match fail or timestamp"}),
    }

    def signature_problem(self, request: web.Request, sent: dict[str, Any]) -> str:
        text = f"{sent['timestamp']}\n{self.secrets['signing_secret']}"
        code = hmac.new(text.encode(), digestmod=hashlib.sha256).digest()
        if sent["sign"] != base64.b64encode(code).decode() or not is_recent(int(sent["timestamp"])):
            return "the signature is wrong"
        is_right = unquote(request.path).endswith(f"/hook/{self.secrets['hook_id']}")
        return "" if is_right else "there is no such hook"


@dataclass
class FakeWechat(Fake):
    #: How many subscribe messages the person has consented to; None = they are not counted.
    consents: int | None = None

    ANSWERS: ClassVar[dict[str, Answer]] = {
        "accepted": (200, {"errcode": 0, "errmsg": "ok", "msgid": 1}),
        "later": (200, {"errcode": -1, "errmsg": "system error"}),
        "refused": (200, {"errcode": 40037, "errmsg": "invalid template_id"}),
        "address_dead": (200, {"errcode": 40003, "errmsg": "invalid openid"}),
        "credentials": (200, {"errcode": 48001, "errmsg": "api unauthorized"}),
        "expired": (200, {"errcode": 42001, "errmsg": "access_token expired"}),
    }

    @property
    def drops_repeats(self) -> bool:
        return any(key for key, _ in self.taken)

    def token(self, request: web.Request, body: bytes) -> Answer | None:
        if request.path != "/cgi-bin/stable_token":
            return None
        sent = json.loads(body)
        if (sent["appid"], sent["secret"]) != ("wx1", self.secrets["app_secret"]):
            return 200, {"errcode": 40125, "errmsg": "invalid appsecret"}
        return 200, {"access_token": "T/1", "expires_in": 7_200}

    def problem(self, request: web.Request, body: bytes) -> str:
        return "" if request.query["access_token"] == "T/1" else "the token is wrong"

    def lookup(self, request: web.Request, body: bytes) -> Answer | None:
        """Refuse a subscribe message without a consent; each consent is used up by one message."""
        if self.consents is None or not request.path.endswith("/subscribe/send"):
            return None
        if not self.consents:
            return 200, {"errcode": 43101, "errmsg": "user refuse to accept the msg"}
        self.consents -= 1
        return None

    def message(self, request: web.Request, body: bytes) -> tuple[str, str]:
        sent = json.loads(body)
        assert all(set(value) == {"value"} for value in sent["data"].values())
        return sent.get("client_msg_id", ""), sent["touser"]


class FakeWecomApp(Fake):
    """Drops the same text to the same person for a while."""

    ANSWERS: ClassVar[dict[str, Answer]] = {
        "accepted": (200, {"errcode": 0, "errmsg": "ok", "msgid": "1"}),
        "later": (200, {"errcode": 45009, "errmsg": "api freq out of limit"}),
        "refused": (200, {"errcode": 44004, "errmsg": "empty content"}),
        "address_dead": (200, {"errcode": 0, "errmsg": "ok", "invaliduser": "li.lei"}),
        "credentials": (200, {"errcode": 301002, "errmsg": "not allow operate another agent"}),
        "expired": (200, {"errcode": 42001, "errmsg": "access_token expired"}),
    }

    @property
    def drops_repeats(self) -> bool:
        return True

    def token(self, request: web.Request, body: bytes) -> Answer | None:
        if request.path != "/cgi-bin/gettoken":
            return None
        if (request.query["corpid"], request.query["corpsecret"]) != (
            "ww1",
            self.secrets["corp_secret"],
        ):
            return 200, {"errcode": 40001, "errmsg": "invalid credential"}
        return 200, {"errcode": 0, "access_token": "T/1", "expires_in": 7_200}

    def problem(self, request: web.Request, body: bytes) -> str:
        return "" if request.query["access_token"] == "T/1" else "the token is wrong"

    def message(self, request: web.Request, body: bytes) -> tuple[str, str]:
        sent = json.loads(body)
        assert (sent["enable_duplicate_check"], sent["duplicate_check_interval"]) == (1, 1_800)
        assert sent["agentid"] == 1_000_002
        return "", sent["touser"]


class FakeFcm(Fake):
    ANSWERS: ClassVar[dict[str, Answer]] = {
        "accepted": (200, {"name": "projects/p/messages/1"}),
        "later": (503, {"error": {"code": 503, "status": "UNAVAILABLE"}}),
        "refused": (400, {"error": {"code": 400, "status": "INVALID_ARGUMENT"}}),
        "address_dead": (
            404,
            {"error": {"status": "NOT_FOUND", "details": [{"errorCode": "UNREGISTERED"}]}},
        ),
        "credentials": (403, {"error": {"details": [{"errorCode": "SENDER_ID_MISMATCH"}]}}),
        "expired": (401, {"error": {"status": "UNAUTHENTICATED"}}),
    }

    def token(self, request: web.Request, body: bytes) -> Answer | None:
        if request.path != "/token":
            return None
        form = dict(parse_qsl(body.decode()))
        head, claims, signature = form["assertion"].split(".")
        self.secrets["public_key"].verify(
            _decoded(signature), f"{head}.{claims}".encode(), padding.PKCS1v15(), hashes.SHA256()
        )
        stated = json.loads(_decoded(claims))
        assert stated["iss"] == "push@p.example"
        assert is_recent(stated["iat"])
        assert stated["exp"] - stated["iat"] <= 3_600
        assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
        return 200, {"access_token": "T1", "expires_in": 3_599, "token_type": "Bearer"}

    def problem(self, request: web.Request, body: bytes) -> str:
        if len(body) > 4_096:
            return "the message is too long"
        return "" if request.headers["Authorization"] == "Bearer T1" else "the token is wrong"

    def message(self, request: web.Request, body: bytes) -> tuple[str, str]:
        sent = json.loads(body)["message"]
        return sent["android"]["notification"]["tag"], sent["token"]


class FakeGetui(Fake):
    ANSWERS: ClassVar[dict[str, Answer]] = {
        "accepted": (200, {"code": 0, "data": {"RASS_1": {"C1": "successed_online"}}}),
        "later": (200, {"code": 10004, "msg": "too fast"}),
        "refused": (200, {"code": 20001, "msg": "parameter"}),
        "address_dead": (200, {"code": 0, "data": {"RASS_1": {"C1": "successed_ignore"}}}),
        "credentials": (200, {"code": 10003, "msg": "sign"}),
        "expired": (200, {"code": 10001, "msg": "token invalid"}),
    }

    @property
    def drops_repeats(self) -> bool:
        return True

    def token(self, request: web.Request, body: bytes) -> Answer | None:
        if request.path != "/v2/app/auth":
            return None
        sent = json.loads(body)
        text = sent["appkey"] + sent["timestamp"] + self.secrets["master_secret"]
        if sent["sign"] != hashlib.sha256(text.encode()).hexdigest():
            return self.ANSWERS["credentials"]
        assert is_recent(int(sent["timestamp"]) / 1_000)
        expires = str(int((time.time() + 86_400) * 1_000))
        return 200, {"code": 0, "data": {"token": "T1", "expire_time": expires}}

    def problem(self, request: web.Request, body: bytes) -> str:
        return "" if request.headers["token"] == "T1" else "the token is wrong"

    def message(self, request: web.Request, body: bytes) -> tuple[str, str]:
        sent = json.loads(body)
        assert 10 <= len(sent["request_id"]) <= 32
        assert sent["settings"]["ttl"] <= 3 * 86_400_000
        (cid,) = sent["audience"]["cid"]
        return sent["request_id"], cid


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@asynccontextmanager
async def serving(fake: Fake) -> AsyncIterator[Fake]:
    """Run a fake on a free port."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", fake.respond)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        fake.port = runner.addresses[0][1]
        yield fake
    finally:
        fake.released.set()
        await runner.cleanup()
