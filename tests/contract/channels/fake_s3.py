"""The fake of a bucket of S3 that checks signatures and creates each object once."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import ClassVar
from urllib.parse import unquote

from aiohttp import web
from contract.channels.fakes import Answer, Fake


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
