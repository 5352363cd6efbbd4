"""Sends SMS with Alibaba Cloud; requests are signed as ACS3-HMAC-SHA256."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from urllib.parse import quote, urlsplit

import msgspec

from services.activation.channels.http import HttpAnswer, OutboundRequest
from services.activation.channels.provider import (
    DELIVERED,
    Lookup,
    Provider,
    ProviderCall,
    by_status,
    json_of,
)
from services.activation.domain.provider_codes import Codes
from services.activation.domain.transitions import AttemptResult, AttemptStatus

ENDPOINT = "https://dysmsapi.aliyuncs.com"
VERSION = "2017-05-25"
ALGORITHM = "ACS3-HMAC-SHA256"
#: The provider counts days in China, and answers for the last 30.
_CHINA, _MAX_DAYS = timezone(timedelta(hours=8)), 30
_PAGE = 50

CODES = Codes(
    later="isv.BUSINESS_LIMIT_CONTROL isv.DAY_LIMIT_CONTROL isv.MONTH_LIMIT_CONTROL"
    " isp.SYSTEM_ERROR isp.GATEWAY_ERROR isp.RAM_PERMISSION_TIMEOUT Throttling*"
    " ServiceUnavailable* InternalError* isv.SMS_OVER_LIMIT MOBILE_SEND_LIMIT IS_CLOSE",
    # A number that cannot be reached for now is none of them, and neither is a word of the message.
    address_dead="isv.MOBILE_NUMBER_ILLEGAL MOBILE_NOT_ON_SERVICE MOBILE_IN_BLACK",
    credentials="isv.OUT_OF_SERVICE isv.PRODUCT_UN_SUBSCRIPT isv.PRODUCT_UNSUBSCRIBE"
    " isv.ACCOUNT_NOT_EXISTS isv.ACCOUNT_ABNORMAL isv.AMOUNT_NOT_ENOUGH isv.SECURITY_FROZEN_ACCOUNT"
    " isv.SMS_SIGN* isv.SIGN* isv.INVALID_SIGN_NAME isv.ERROR_SIGN* SIGNATURE_BLACKLIST"
    " PORT_NOT_REGISTERED isp.RAM_PERMISSION_DENY isv.DENY_IP_RANGE SignatureDoesNotMatch*"
    " InvalidAccessKeyId* Forbidden* InvalidTimeStamp* SignatureNonceUsed IncompleteSignature"
    " InvalidSecurityToken* NoPermission InvalidVersion InvalidAction*",
    refused="isv.SMS_TEMPLATE_ILLEGAL isv.INVALID_PARAMETERS isv.TEMPLATE_MISSING_PARAMETERS"
    " isv.INVALID_JSON_PARAM isv.PARAM_LENGTH_LIMIT isv.PARAM_NOT_SUPPORT_URL"
    " isv.TEMPLATE_PARAMS_ILLEGAL isv.CUSTOMER_REFUSED isv.SMS_CONTENT* isv.UNSUPPORTED_CONTENT"
    " isv.SMS_SIGN_TEMPLATE_NOT_MATCH isv.EXTEND_CODE_ERROR isv.ONE_CODE_MULTIPLE_SIGN isv.CODE*"
    " isv.DOMESTIC_NUMBER_NOT_SUPPORTED isv.TEMPLATE_STATE_ILLEGAL isv.MOBILE_COUNT_OVER_LIMIT"
    " isv.BLACK_KEY_CONTROL_LIMIT isv.SMS_TEST* template_parameter_count_illegal PARAMS_ILLEGAL"
    " CONTENT_KEYWORD CONTENT_ERROR INVALID_NUMBER MOBILE_ACCOUNT_ABNORMAL MOBLLE_TERMINAL_ERROR"
    " SP_NOT_BY_INTER_SMS SP_UNKNOWN_ERROR USER_REJECT NO_ROUTE",
)


def phone_number(to: str) -> str:
    """Return a number as the provider takes it: 11 digits in China, else country and number."""
    return to.removeprefix("+86") if to.startswith("+86") else to.removeprefix("+")


def request(call: ProviderCall) -> OutboundRequest:
    """Return the request SendSms."""
    parameters = {
        "PhoneNumbers": phone_number(call.message.to),
        "SignName": call.settings.sign_name,
        "TemplateCode": call.message.provider_template,
        "OutId": call.key,
    }
    if call.message.parameters:
        parameters["TemplateParam"] = msgspec.json.encode(dict(call.message.parameters)).decode()
    return _signed(call, "SendSms", parameters)


def judge_aliyun(answer: HttpAnswer) -> AttemptResult:
    """Return the result that an answer stands for."""
    code = json_of(answer).get("Code")
    if not isinstance(code, str):
        return by_status(answer)
    return DELIVERED if code == "OK" else CODES.result_of(code)


def lookup_requests(call: ProviderCall, since_s: float) -> Sequence[OutboundRequest]:
    """Return the requests QuerySendDetails of each day since an instant."""
    today = datetime.fromtimestamp(call.now_s, _CHINA).date()
    first = datetime.fromtimestamp(since_s, _CHINA).date()
    days = min((today - first).days, _MAX_DAYS - 1)
    return [
        _signed(
            call,
            "QuerySendDetails",
            {
                "PhoneNumber": phone_number(call.message.to),
                "SendDate": (today - timedelta(days=back)).strftime("%Y%m%d"),
                "PageSize": str(_PAGE),
                "CurrentPage": "1",
            },
        )
        for back in range(days + 1)
    ]


def read_lookup(answer: HttpAnswer, key: str) -> AttemptResult | None:
    """Return what became of the message whose OutId is the key; None = the day has no such."""
    body = json_of(answer)
    if body.get("Code") != "OK":
        failed = judge_aliyun(answer)
        is_later = failed.status is not AttemptStatus.CREDENTIALS
        return AttemptResult(AttemptStatus.FAILED, failed.reason, 60.0) if is_later else failed
    listed = body.get("SmsSendDetailDTOs")
    details = listed.get("SmsSendDetailDTO", []) if isinstance(listed, dict) else []
    for detail in details:
        if isinstance(detail, dict) and detail.get("OutId") == key:
            # 1 = waits for the carrier, 2 = the carrier refused it, 3 = delivered.
            if detail.get("SendStatus") == 2:
                return CODES.result_of(str(detail.get("ErrCode", "")))
            return DELIVERED
    if len(details) >= _PAGE:
        return AttemptResult(AttemptStatus.LOST, "the provider has too many messages of the day")
    return None


def _signed(call: ProviderCall, action: str, parameters: Mapping[str, str]) -> OutboundRequest:
    query = query_of(parameters)
    base = call.url(ENDPOINT, "/")
    instant = datetime.fromtimestamp(call.now_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    headers = {
        "host": urlsplit(base).netloc,
        "x-acs-action": action,
        "x-acs-content-sha256": hashlib.sha256(b"").hexdigest(),
        "x-acs-date": instant,
        "x-acs-signature-nonce": call.nonce,
        "x-acs-version": VERSION,
    }
    signature = sign("POST", urlsplit(base).path, query, headers, call.secrets["access_key_secret"])
    names = ";".join(sorted(headers))
    headers["authorization"] = (
        f"{ALGORITHM} Credential={call.settings.access_key_id},SignedHeaders={names},"
        f"Signature={signature}"
    )
    return OutboundRequest(f"{base}?{query}", headers=headers)


def query_of(parameters: Mapping[str, str]) -> str:
    """Return parameters as they are sent and signed."""
    return "&".join(f"{_quoted(k)}={_quoted(v)}" for k, v in sorted(parameters.items()))


def sign(method: str, path: str, query: str, headers: Mapping[str, str], secret: str) -> str:
    """Return the signature of a request without a body, all of whose headers are signed."""
    lines = "".join(f"{name}:{headers[name].strip()}\n" for name in sorted(headers))
    names = ";".join(sorted(headers))
    canonical = "\n".join((method, path, query, lines, names, headers["x-acs-content-sha256"]))
    signed = f"{ALGORITHM}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    return hmac.digest(secret.encode(), signed.encode(), "sha256").hex()


def _quoted(text: str) -> str:
    return quote(text, safe="-_.~")


PROVIDER = Provider(request, judge_aliyun, lookup=Lookup(lookup_requests, read_lookup))
