"""Keeps audiences of Meta, Google and Tencent Ads equal to the memberships of segments.

The networks get hashes of e-mail addresses and telephone numbers, never the values. An entry of
these mirrors is one hash, named `e.HASH` (e-mail) or `p.HASH` (telephone).
"""

from __future__ import annotations

import hashlib
import io
import secrets
import zipfile
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from services.activation.channels.change import EMAIL, PHONE, ChangedProfile, hashed
from services.activation.channels.http import HttpAnswer, OutboundRequest
from services.activation.channels.mirrors import MirrorProvider, MirrorWrite
from services.activation.channels.provider import (
    DELIVERED,
    ProviderCall,
    TokenSource,
    by_status,
    json_of,
)
from services.activation.channels.tokens import is_unauthorized, jwt_request, read_oauth_token
from services.activation.domain.provider_codes import Codes
from services.activation.domain.transitions import AttemptResult

META, GOOGLE = "https://graph.facebook.com/v25.0", "https://datamanager.googleapis.com"
TENCENT = "https://api.e.qq.com/v1.3"
GOOGLE_SCOPE = "https://www.googleapis.com/auth/datamanager"
#: Members of one request, as Meta and Google take them.
_MEMBERS = 10_000
#: What the networks have of a member besides the hash: nothing.
_NOTHING = b"{}"
_JSON = {"content-type": "application/json"}

META_CODES = Codes(
    later="1 2 4 17 32 341 613 80003",
    credentials="10 102 190 200 294 368 2654 1713230",
    refused="100",
)
GOOGLE_CODES = Codes(
    later="RESOURCE_EXHAUSTED UNAVAILABLE ABORTED",
    credentials="PERMISSION_DENIED UNAUTHENTICATED NOT_FOUND FAILED_PRECONDITION",
    refused="INVALID_ARGUMENT OUT_OF_RANGE",
)
TENCENT_CODES = Codes(
    later="11017 11018 51021 50000 51000",
    credentials="11000 11001 11002 11003 11004 11005 11006 11010 11011 11012 11013 11014 11019"
    " 12000 14000 18001 20200 20202",
    refused="11015 11016 18000 18002 18003 18004",
)


def meta_entries(_: Any, profile: ChangedProfile) -> dict[str, bytes]:
    """Return the entries of a member at Meta, which compares telephone numbers in digits alone."""
    phones = [v.removeprefix("+") for v in profile.values(PHONE)]
    return _entries(profile.values(EMAIL), phones, hashed)


def google_entries(_: Any, profile: ChangedProfile) -> dict[str, bytes]:
    """Return the entries of a member at Google."""
    return _entries(profile.values(EMAIL), profile.values(PHONE), hashed)


def tencent_entries(_: Any, profile: ChangedProfile) -> dict[str, bytes]:
    """Return the entries of a member at Tencent: MD5 of the 11 digits of numbers of China."""
    numbers = [v.removeprefix("+86") for v in profile.values(PHONE) if v.startswith("+86")]
    return _entries([], [each for each in numbers if len(each) == 11], _md5)


def _entries(emails: Sequence[str], phones: Sequence[str], digest: Any) -> dict[str, bytes]:
    keys = [f"e.{digest(each)}" for each in emails] + [f"p.{digest(each)}" for each in phones]
    return dict.fromkeys(keys, _NOTHING)


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def meta_request(call: ProviderCall, writes: Sequence[MirrorWrite]) -> OutboundRequest:
    """Return the request that adds members to an audience, or removes them."""
    rows = [
        [digest, ""] if kind == "e" else ["", digest]
        for kind, _, digest in (each.key.partition(".") for each in writes)
    ]
    payload = {"schema": ["EMAIL_SHA256", "PHONE_SHA256"], "data": rows}
    headers = {"authorization": f"Bearer {call.secrets['access_token']}", **_JSON}
    url = call.url(META, f"/{quote(call.settings.audience_id, safe='')}/users")
    method = "DELETE" if writes[0].value is None else "POST"
    return OutboundRequest(url, msgspec.json.encode({"payload": payload}), headers, method)


def judge_meta(answer: HttpAnswer, writes: Sequence[MirrorWrite]) -> list[AttemptResult]:
    """Return the results that an answer of Meta stands for.

    Meta does not say which entries it counts as invalid: they are hashes that match no account.
    """
    result = by_status(answer)
    match json_of(answer):
        case {"error": {"code": int(code)}}:
            result = META_CODES.result_of(str(code))
        case {"num_received": int()} if 200 <= answer.status < 300:
            result = DELIVERED
    return [result] * len(writes)


def google_request(call: ProviderCall, writes: Sequence[MirrorWrite]) -> OutboundRequest:
    """Return the request that adds members to an audience, or removes them."""
    members = [
        {"userData": {"userIdentifiers": [{_GOOGLE_NAMES[kind]: digest}]}}
        for kind, _, digest in (each.key.partition(".") for each in writes)
    ]
    account = {"accountType": "GOOGLE_ADS", "accountId": call.settings.account_id}
    body: dict[str, Any] = {
        "destinations": [
            {"operatingAccount": account, "productDestinationId": call.settings.audience_id}
        ],
        "audienceMembers": members,
        "encoding": "HEX",
    }
    method = "remove" if writes[0].value is None else "ingest"
    if method == "ingest":
        body["termsOfService"] = {"customerMatchTermsOfServiceStatus": "ACCEPTED"}
    headers = {"authorization": f"Bearer {call.token}", **_JSON}
    url = call.url(GOOGLE, f"/v1/audienceMembers:{method}")
    return OutboundRequest(url, msgspec.json.encode(body), headers)


_GOOGLE_NAMES = {"e": "emailAddress", "p": "phoneNumber"}


def judge_google(answer: HttpAnswer, writes: Sequence[MirrorWrite]) -> list[AttemptResult]:
    """Return the results that an answer of Google stands for."""
    result = by_status(answer)
    match json_of(answer):
        case {"error": {"status": str(status)}}:
            result = GOOGLE_CODES.result_of(status)
        case {"requestId": str()} if 200 <= answer.status < 300:
            result = DELIVERED
    return [result] * len(writes)


def tencent_request(call: ProviderCall, writes: Sequence[MirrorWrite]) -> OutboundRequest:
    """Return the request that appends a file of members to an audience, or reduces it by one."""
    lines = "".join(f"{each.key.removeprefix('p.')}\n" for each in writes)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("members.txt", lines)
    fields = {
        "account_id": call.settings.account_id,
        "audience_id": call.settings.audience_id,
        "user_id_type": "HASH_MOBILE_PHONE",
        "operation_type": "REDUCE" if writes[0].value is None else "APPEND",
    }
    boundary = secrets.token_hex(16)
    query = {
        "access_token": call.secrets["access_token"],
        "timestamp": str(int(call.now_s)),
        "nonce": call.nonce,
    }
    url = call.url(TENCENT, f"/custom_audience_files/add?{urlencode(query)}")
    headers = {"content-type": f"multipart/form-data; boundary={boundary}"}
    return OutboundRequest(url, _multipart(fields, archive.getvalue(), boundary), headers)


def _multipart(fields: dict[str, str], archive: bytes, boundary: str) -> bytes:
    head = "".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    )
    head += (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="members.zip"\r\n'
        "Content-Type: application/zip\r\n\r\n"
    )
    return head.encode() + archive + f"\r\n--{boundary}--\r\n".encode()


def judge_tencent(answer: HttpAnswer, writes: Sequence[MirrorWrite]) -> list[AttemptResult]:
    """Return the results that an answer of Tencent Ads stands for; HTTP says 200 in any case."""
    result = by_status(answer)
    match json_of(answer):
        case {"code": 0, "data": {"custom_audience_file_id": int()}}:
            result = DELIVERED
        case {"code": int(code)} if code != 0:
            result = TENCENT_CODES.result_of(str(code))
    return [result] * len(writes)


META_MIRROR = MirrorProvider(meta_entries, meta_request, judge_meta, _MEMBERS, is_separate=True)
GOOGLE_MIRROR = MirrorProvider(
    google_entries,
    google_request,
    judge_google,
    _MEMBERS,
    TokenSource(lambda call: jwt_request(call, GOOGLE_SCOPE), read_oauth_token, is_unauthorized),
    is_separate=True,
)
TENCENT_MIRROR = MirrorProvider(
    tencent_entries, tencent_request, judge_tencent, _MEMBERS, is_separate=True
)
