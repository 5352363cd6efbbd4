"""Fakes of receivers that keep copies: a bucket, audiences of networks, and records of a CRM."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import parse_qsl, unquote

from aiohttp import web
from contract.channels.fakes import Answer, Fake, FakeFcm


class FakeS3(Fake):
    ANSWERS: ClassVar[dict[str, Answer]] = {
        "accepted": (200, {}),
        "there": (412, {"Code": "PreconditionFailed"}),
        "later": (503, {"Code": "SlowDown"}),
        "refused": (400, {"Code": "EntityTooLarge"}),
        "credentials": (403, {"Code": "SignatureDoesNotMatch"}),
    }

    def problem(self, request: web.Request, body: bytes) -> str:
        head = request.headers
        credential, signed, signature = (
            part.split("=", 1)[1]
            for part in head["authorization"].removeprefix("AWS4-HMAC-SHA256 ").split(", ")
        )
        day, region, service, end = credential.split("/")[1:]
        digest = hashlib.sha256(body).hexdigest()
        lines = "".join(f"{name}:{head[name]}\n" for name in signed.split(";"))
        canonical = f"PUT\n{request.raw_path}\n\n{lines}\n{signed}\n{digest}"
        hashed = hashlib.sha256(canonical.encode()).hexdigest()
        scope = f"{day}/{region}/{service}/{end}"
        text = f"AWS4-HMAC-SHA256\n{head['x-amz-date']}\n{scope}\n{hashed}"
        key = b"AWS4" + self.secrets["secret_access_key"].encode()
        for part in (day, region, service, end, text):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        is_right = key.hex() == signature and digest == head["x-amz-content-sha256"]
        return "" if is_right and head["if-none-match"] == "*" else "the signature is wrong"

    @property
    def drops_repeats(self) -> bool:
        return True

    def message(self, request: web.Request, body: bytes) -> tuple[str, str]:
        json.loads(body)
        name = unquote(request.path).removeprefix("/bucket/onefold/").removesuffix(".json")
        if (name, "") in self.taken:
            self.script.insert(0, "there")
        return name, ""

    async def respond(self, request: web.Request) -> web.StreamResponse:
        response = await super().respond(request)
        if self.script[:1] == ["there"]:
            self.script.pop(0)
            return web.json_response({}, status=412)
        return response


@dataclass
class FakeCopy(Fake):
    """A receiver that keeps members."""

    members: set[str] = field(default_factory=set)

    @property
    def drops_repeats(self) -> bool:
        return True

    def message(self, request: web.Request, body: bytes) -> tuple[str, str]:
        member, is_added = self.change(request, body)
        (self.members.add if is_added else self.members.discard)(member)
        return "", ""

    def change(self, request: web.Request, body: bytes) -> tuple[str, bool]:
        """Return the member of a request, and whether it is added."""
        raise NotImplementedError

    def bearer_problem(self, request: web.Request, token: str) -> str:
        is_right = request.headers["Authorization"] == f"Bearer {token}"
        return "" if is_right else "the token is wrong"


class FakeMeta(FakeCopy):
    ANSWERS: ClassVar[dict[str, Answer]] = {
        "accepted": (200, {"audience_id": "1", "num_received": 1, "num_invalid_entries": 0}),
        "later": (400, {"error": {"code": 17, "type": "OAuthException"}}),
        "refused": (400, {"error": {"code": 100}}),
        "credentials": (400, {"error": {"code": 190}}),
    }

    def problem(self, request: web.Request, body: bytes) -> str:
        return self.bearer_problem(request, self.secrets["access_token"])

    def change(self, request: web.Request, body: bytes) -> tuple[str, bool]:
        payload = json.loads(body)["payload"]
        assert payload["schema"] == ["EMAIL_SHA256", "PHONE_SHA256"]
        assert all(len(value) in (0, 64) for row in payload["data"] for value in row)
        assert request.path == "/23/users"
        return payload["data"][0][0], request.method == "POST"


class FakeGoogle(FakeCopy):
    ANSWERS: ClassVar[dict[str, Answer]] = {
        "accepted": (200, {"requestId": "1"}),
        "later": (429, {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED"}}),
        "refused": (400, {"error": {"code": 400, "status": "INVALID_ARGUMENT"}}),
        "credentials": (403, {"error": {"code": 403, "status": "PERMISSION_DENIED"}}),
        "expired": (401, {"error": {"code": 401, "status": "UNAUTHENTICATED"}}),
    }
    token = FakeFcm.token

    def problem(self, request: web.Request, body: bytes) -> str:
        return self.bearer_problem(request, "T1")

    def change(self, request: web.Request, body: bytes) -> tuple[str, bool]:
        sent = json.loads(body)
        assert sent["encoding"] == "HEX"
        (member,) = sent["audienceMembers"]
        first = member["userData"]["userIdentifiers"][0]["emailAddress"]
        return first, request.path == "/v1/audienceMembers:ingest"


class FakeSalesforce(FakeCopy):
    ANSWERS: ClassVar[dict[str, Answer]] = {
        "accepted": (200, {"id": "003", "success": True, "errors": []}),
        "later": (503, [{"errorCode": "SERVER_UNAVAILABLE", "message": "m"}]),
        "refused": (400, [{"errorCode": "FIELD_CUSTOM_VALIDATION_EXCEPTION"}]),
        "credentials": (404, [{"errorCode": "NOT_FOUND"}]),
        "expired": (401, [{"errorCode": "INVALID_SESSION_ID"}]),
    }

    def token(self, request: web.Request, body: bytes) -> Answer | None:
        if request.path != "/services/oauth2/token":
            return None
        form = dict(parse_qsl(body.decode()))
        if form["client_secret"] != self.secrets["client_secret"]:
            return 400, {"error": "invalid_client"}
        return 200, {"access_token": "T1", "instance_url": self.url, "token_type": "Bearer"}

    def problem(self, request: web.Request, body: bytes) -> str:
        return self.bearer_problem(request, "T1")

    def change(self, request: web.Request, body: bytes) -> tuple[str, bool]:
        assert request.method == "PATCH"
        *_, kind, external, id_ = request.path.split("/")
        assert (kind, external) == ("Contact", "Onefold_Id__c")
        return id_, json.loads(body)["In_Trial__c"]


class FakeHubspot(FakeCopy):
    ANSWERS: ClassVar[dict[str, Answer]] = {
        "accepted": (200, {"status": "COMPLETE", "results": [{"id": "1"}]}),
        "later": (429, {"status": "error", "category": "RATE_LIMITS"}),
        "refused": (207, {"errors": [{"category": "VALIDATION_ERROR"}], "results": []}),
        "credentials": (401, {"status": "error", "category": "INVALID_AUTHENTICATION"}),
    }

    def problem(self, request: web.Request, body: bytes) -> str:
        return self.bearer_problem(request, self.secrets["access_token"])

    def change(self, request: web.Request, body: bytes) -> tuple[str, bool]:
        sent: Any = json.loads(body)
        (contact,) = sent["inputs"]
        assert contact["idProperty"] == "email"
        assert len(contact["objectWriteTraceId"]) == 32
        return contact["id"], contact["properties"]["in_trial"] == "true"
