"""Fakes of receivers that keep copies: audiences of networks, and records of a CRM."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import parse_qsl

from aiohttp import web
from contract.channels.fakes import Answer, Fake, FakeFcm, is_recent


@dataclass
class FakeMirror(Fake):
    """A receiver that keeps members with their fields, and counts what is written."""

    members: dict[str, Any] = field(default_factory=dict)
    writes: int = 0
    #: The most entries of one request.
    largest: int = 0
    #: The keys that the receiver does not take.
    bad: set[str] = field(default_factory=set)

    def message(self, request: web.Request, body: bytes) -> tuple[str, str]:
        changes = list(self.changes(request, body))
        self.largest = max(self.largest, len(changes))
        if self.refuses_all and self.bad & {key for key, _ in changes}:
            self.script.insert(0, "refused")
            return "", ""
        for key, fields in changes:
            if key in self.bad:
                continue
            self.writes += 1
            if fields is None:
                self.members.pop(key, None)
            else:
                self.members[key] = fields
        return "", ""

    #: Whether one bad entry makes the receiver refuse all of its request.
    refuses_all: ClassVar[bool] = True

    def changes(self, request: web.Request, body: bytes) -> Iterable[tuple[str, Any]]:
        """Return what a request writes: the fields of each entry by its key; None = removed."""
        raise NotImplementedError

    async def respond(self, request: web.Request) -> web.StreamResponse:
        response = await super().respond(request)
        if self.refuses_all and self.bad and self.script[:1] == ["refused"]:
            self.script.pop(0)
            status, body = self.ANSWERS["refused"]
            return web.json_response(body, status=status)
        return response

    def bearer_problem(self, request: web.Request, token: str) -> str:
        is_right = request.headers["Authorization"] == f"Bearer {token}"
        return "" if is_right else "the token is wrong"


class FakeMeta(FakeMirror):
    ANSWERS: ClassVar[dict[str, Answer]] = {
        "accepted": (200, {"audience_id": "1", "num_received": 1, "num_invalid_entries": 0}),
        "later": (400, {"error": {"code": 17, "type": "OAuthException"}}),
        "refused": (400, {"error": {"code": 100}}),
        "credentials": (400, {"error": {"code": 190}}),
    }

    def problem(self, request: web.Request, body: bytes) -> str:
        return self.bearer_problem(request, self.secrets["access_token"])

    def changes(self, request: web.Request, body: bytes) -> Iterable[tuple[str, Any]]:
        payload = json.loads(body)["payload"]
        assert payload["schema"] == ["EMAIL_SHA256", "PHONE_SHA256"]
        assert request.path == "/23/users"
        for email, phone in payload["data"]:
            assert len(email + phone) == 64
            fields = None if request.method == "DELETE" else {}
            yield f"e.{email}" if email else f"p.{phone}", fields


class FakeGoogle(FakeMirror):
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

    def changes(self, request: web.Request, body: bytes) -> Iterable[tuple[str, Any]]:
        sent = json.loads(body)
        assert sent["encoding"] == "HEX"
        method = request.path.removeprefix("/v1/audienceMembers:")
        assert ("termsOfService" in sent) == (method == "ingest")
        for member in sent["audienceMembers"]:
            (identifier,) = member["userData"]["userIdentifiers"]
            ((kind, digest),) = identifier.items()
            key = {"emailAddress": "e.", "phoneNumber": "p."}[kind] + digest
            yield key, {"ingest": {}, "remove": None}[method]


@dataclass
class FakeTencentAds(FakeMirror):
    ANSWERS: ClassVar[dict[str, Answer]] = {
        "accepted": (200, {"code": 0, "data": {"custom_audience_file_id": 7}}),
        "later": (200, {"code": 11017, "message": "too many requests"}),
        "refused": (200, {"code": 18002, "message": "file"}),
        "credentials": (200, {"code": 11002, "message": "access_token"}),
    }

    def problem(self, request: web.Request, body: bytes) -> str:
        query = request.query
        if query["access_token"] != self.secrets["access_token"]:
            return "the token is wrong"
        if not is_recent(int(query["timestamp"])) or len(query["nonce"]) > 32:
            return "the timestamp is old"
        return self.check_nonce(query["nonce"])

    def changes(self, request: web.Request, body: bytes) -> Iterable[tuple[str, Any]]:
        boundary = request.headers["content-type"].split("boundary=")[1].encode()
        fields: dict[str, bytes] = {}
        for part in body.split(b"--" + boundary)[1:-1]:
            head, _, content = part.partition(b"\r\n\r\n")
            name = head.split(b'name="')[1].split(b'"')[0].decode()
            fields[name] = content.removesuffix(b"\r\n")
        assert (fields["account_id"], fields["audience_id"]) == (b"11", b"22")
        assert fields["user_id_type"] == b"HASH_MOBILE_PHONE"
        with zipfile.ZipFile(io.BytesIO(fields["file"])) as archive:
            (name,) = archive.namelist()
            lines = archive.read(name).decode().splitlines()
        for line in lines:
            assert len(line) == 32
            yield f"p.{line}", {b"APPEND": {}, b"REDUCE": None}[fields["operation_type"]]


class FakeSalesforce(FakeMirror):
    ANSWERS: ClassVar[dict[str, Answer]] = {
        "later": (503, [{"errorCode": "SERVER_UNAVAILABLE", "message": "m"}]),
        "refused": (400, [{"errorCode": "FIELD_CUSTOM_VALIDATION_EXCEPTION"}]),
        "credentials": (404, [{"errorCode": "NOT_FOUND"}]),
        "expired": (401, [{"errorCode": "INVALID_SESSION_ID"}]),
    }
    refuses_all = False

    def token(self, request: web.Request, body: bytes) -> Answer | None:
        if request.path != "/services/oauth2/token":
            return None
        form = dict(parse_qsl(body.decode()))
        if form["client_secret"] != self.secrets["client_secret"]:
            return 400, {"error": "invalid_client"}
        return 200, {"access_token": "T1", "instance_url": self.url, "token_type": "Bearer"}

    def problem(self, request: web.Request, body: bytes) -> str:
        return self.bearer_problem(request, "T1")

    def changes(self, request: web.Request, body: bytes) -> Iterable[tuple[str, Any]]:
        assert request.method == "PATCH"
        assert request.path.endswith("/composite/sobjects/Contact/Onefold_Id__c")
        sent = json.loads(body)
        assert sent["allOrNone"] is False
        for record in sent["records"]:
            assert record.pop("attributes") == {"type": "Contact"}
            key, is_member = record.pop("Onefold_Id__c"), record.pop("In_Trial__c")
            yield key, record if is_member else None

    def accepted(self, body: bytes) -> Answer:
        keys = [record["Onefold_Id__c"] for record in json.loads(body)["records"]]
        wrong = {"success": False, "errors": [{"statusCode": "STRING_TOO_LONG", "message": "m"}]}
        right: dict[str, Any] = {"success": True, "id": "003", "errors": []}
        return 200, [wrong if key in self.bad else right for key in keys]


class FakeHubspot(FakeMirror):
    ANSWERS: ClassVar[dict[str, Answer]] = {
        "later": (429, {"status": "error", "category": "RATE_LIMITS"}),
        "refused": (400, {"status": "error", "category": "VALIDATION_ERROR"}),
        "credentials": (401, {"status": "error", "category": "INVALID_AUTHENTICATION"}),
    }
    refuses_all = False

    def problem(self, request: web.Request, body: bytes) -> str:
        return self.bearer_problem(request, self.secrets["access_token"])

    def changes(self, request: web.Request, body: bytes) -> Iterable[tuple[str, Any]]:
        for contact in json.loads(body)["inputs"]:
            assert contact["idProperty"] == "email"
            fields = contact["properties"]
            yield contact["id"], fields if fields.pop("in_trial") == "true" else None

    def accepted(self, body: bytes) -> Answer:
        inputs = json.loads(body)["inputs"]
        ids = [each["objectWriteTraceId"] for each in inputs]
        assert len(set(ids)) == len(ids)
        errors = [
            {"category": "VALIDATION_ERROR", "context": {"objectWriteTraceId": [id_]}}
            for each, id_ in zip(inputs, ids, strict=True)
            if each["id"] in self.bad
        ]
        results = [{"id": id_} for id_ in ids][len(errors) :]
        return 207 if errors else 200, {"results": results, "errors": errors}


class FakeFxiaoke(FakeMirror):
    """Has no upsert: records are found, created and updated by their own ids."""

    ANSWERS: ClassVar[dict[str, Answer]] = {
        "later": (200, {"errorCode": 30004, "errorMessage": "qps"}),
        "refused": (200, {"errorCode": 320001400, "errorMessage": "field"}),
        "credentials": (200, {"errorCode": 20004, "errorMessage": "no right"}),
        "expired": (200, {"errorCode": 20016, "errorMessage": "token"}),
    }
    refuses_all = False

    def token(self, request: web.Request, body: bytes) -> Answer | None:
        if request.path != "/cgi/corpAccessToken/get/V2":
            return None
        sent = json.loads(body)
        if (sent["appSecret"], sent["permanentCode"]) != (
            self.secrets["app_secret"],
            self.secrets["permanent_code"],
        ):
            return 200, {"errorCode": 10002, "errorMessage": "secret"}
        token = {"corpAccessToken": "T1", "corpId": "FSCID_1", "expiresIn": 7_200}
        return 200, {"errorCode": 0, **token}

    def problem(self, request: web.Request, body: bytes) -> str:
        sent = json.loads(body)
        is_right = (sent["corpAccessToken"], sent["corpId"]) == ("T1", "FSCID_1")
        return "" if is_right and sent["currentOpenUserId"] == "FSUID_1" else "the token is wrong"

    def lookup(self, request: web.Request, body: bytes) -> Answer | None:
        if not request.path.endswith("/query"):
            return None
        (only,) = json.loads(body)["data"]["search_query_info"]["filters"]
        assert (only["field_name"], only["operator"]) == ("onefold_id__c", "EQ")
        (key,) = only["field_values"]
        found = [{"_id": f"id-{key}"}] if key in self.records else []
        return 200, {"errorCode": 0, "data": {"dataList": found}}

    @property
    def records(self) -> set[str]:
        return {key for key, _ in self.taken}

    def message(self, request: web.Request, body: bytes) -> tuple[str, str]:
        super().message(request, body)
        ((key, _),) = self.changes(request, body)
        return key, ""

    def changes(self, request: web.Request, body: bytes) -> Iterable[tuple[str, Any]]:
        record = json.loads(body)["data"]["object_data"]
        assert record.pop("dataObjectApiName") == "LeadsObj"
        if request.path.endswith("/create"):
            key = record.pop("onefold_id__c")
            assert key not in self.records, "a second record of one person"
        else:
            key = record.pop("_id").removeprefix("id-")
        yield key, record if record.pop("in_trial__c") else None

    def accepted(self, body: bytes) -> Answer:
        return 200, {"errorCode": 0, "errorMessage": "success", "dataId": "id"}


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
