"""Writes each message as an object of S3, signed as AWS Signature Version 4."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

from services.activation.channels.http import HttpAnswer, OutboundRequest
from services.activation.channels.provider import DELIVERED, Provider, ProviderCall, by_status
from services.activation.domain.transitions import AttemptResult, AttemptStatus

_ALGORITHM = "AWS4-HMAC-SHA256"


def s3_request(call: ProviderCall) -> OutboundRequest:
    """Return the request that creates an object, and changes none that is there."""
    settings = call.settings
    base = (settings.endpoint or f"https://s3.{settings.region}.amazonaws.com").rstrip("/")
    path = f"{urlsplit(base).path}/{settings.bucket}/{settings.prefix}{call.key}.json"
    host = urlsplit(base).netloc
    headers = {
        "content-type": "application/json",
        "host": host,
        "if-none-match": "*",
        "x-amz-content-sha256": hashlib.sha256(call.payload).hexdigest(),
        "x-amz-date": datetime.fromtimestamp(call.now_s, UTC).strftime("%Y%m%dT%H%M%SZ"),
    }
    headers["authorization"] = authorize_s3(
        "PUT", path, headers, settings.region, settings.access_key_id,
        call.secrets["secret_access_key"],
    )  # fmt: skip
    url = f"{urlsplit(base).scheme}://{host}{quote(path, safe='/-_.~')}"
    return OutboundRequest(url, call.payload, headers, "PUT")


def authorize_s3(
    method: str, path: str, headers: dict[str, str], region: str, key_id: str, secret: str
) -> str:
    """Return the header Authorization of a request without a query, all headers signed."""
    names = ";".join(sorted(headers))
    lines = "".join(f"{name}:{headers[name].strip()}\n" for name in sorted(headers))
    canonical = "\n".join(
        (method, quote(path, safe="/-_.~"), "", lines, names, headers["x-amz-content-sha256"])
    )
    instant = headers["x-amz-date"]
    scope = f"{instant[:8]}/{region}/s3/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    key = f"AWS4{secret}".encode()
    for part in (*scope.split("/"), f"{_ALGORITHM}\n{instant}\n{scope}\n{digest}"):
        key = hmac.digest(key, part.encode(), "sha256")
    return f"{_ALGORITHM} Credential={key_id}/{scope}, SignedHeaders={names}, Signature={key.hex()}"


def judge_s3(answer: HttpAnswer) -> AttemptResult:
    """Return the result that an answer stands for; 412 says that the object is there already."""
    if 200 <= answer.status < 300 or answer.status == 412:
        return DELIVERED
    if answer.status == 409:  # another request writes it at this moment
        return AttemptResult(AttemptStatus.FAILED, "HTTP 409")
    if answer.status == 404:  # there is no such bucket
        return AttemptResult(AttemptStatus.CREDENTIALS, "HTTP 404")
    return by_status(answer)


S3_PROVIDER = Provider(s3_request, judge_s3)
