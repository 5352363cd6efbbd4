"""Sends SMS with Tencent Cloud; requests are signed as TC3-HMAC-SHA256."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import UTC, datetime
from urllib.parse import urlsplit

from services.activation.channels.http import HttpAnswer, OutboundRequest
from services.activation.channels.provider import (
    DELIVERED,
    MALFORMED_ANSWER,
    Provider,
    ProviderCall,
    by_status,
    json_of,
)
from services.activation.domain.provider_codes import Codes
from services.activation.domain.transitions import AttemptResult

ENDPOINT = "https://sms.tencentcloudapi.com"
ALGORITHM = "TC3-HMAC-SHA256"
CONTENT_TYPE = "application/json"
_SERVICE, _ACTION, _VERSION, _REGION = "sms", "SendSms", "2021-01-11", "ap-guangzhou"

CODES = Codes(
    # The marketing messages of 22:00 to 8:00 are refused: they may go later.
    later="LimitExceeded* RequestLimitExceeded* InternalError* ResourceUnavailable*"
    " FailedOperation.FailResolvePacket FailedOperation.MarketingSendTimeConstraint",
    lost="InternalError.Timeout InternalError.SendAndRecvFail InternalError.UnknownError"
    " InternalError.ParseBackendResponseFail FailedOperation.OtherError",
    address_dead="FailedOperation.PhoneNumberInBlacklist"
    " FailedOperation.PhoneNumberParseFail InvalidParameterValue.IncorrectPhoneNumber",
    credentials="AuthFailure* UnauthorizedOperation* InternalError.RequestTimeException"
    " InternalError.SigFieldMissing InternalError.SigVerificationFail"
    " UnsupportedOperation.ServiceSuspendDueToArrears"
    " FailedOperation.InsufficientBalanceInSmsPackage"
    " FailedOperation.NotEnterpriseCertification"
    " FailedOperation.SignatureIncorrectOrUnapproved InvalidParameterValue.SdkAppIdNotExist"
    " InvalidParameter.AppidAndBizId IpInBlacklist IpNotInWhitelist",
    refused="FailedOperation* InvalidParameter* InvalidParameterValue* MissingParameter*"
    " UnsupportedOperation* UnknownParameter* ResourceNotFound* OperationDenied* UnsupportedRegion"
    " ResourceInsufficient* ResourceInUse* InvalidAction InvalidRequest NoSuchVersion NoSuchProduct"
    " ActionOffline RequestSizeLimitExceeded LimitExceeded.AppCountryOrRegionInBlacklist"
    " LimitExceeded.PhoneNumberCountLimit",
)


def request(call: ProviderCall) -> OutboundRequest:
    """Return the request SendSms."""
    # The same bytes as those of the provider's library.
    body = json.dumps(
        {
            "PhoneNumberSet": [call.message.to],
            "SmsSdkAppId": call.settings.sdk_app_id,
            "TemplateId": call.message.provider_template,
            "SignName": call.settings.sign_name,
            "TemplateParamSet": [value for _, value in call.message.parameters],
            "SessionContext": call.key,
        }
    ).encode()
    url = call.url(ENDPOINT, "/")
    host, timestamp = urlsplit(url).netloc, int(call.now_s)
    authorization = authorize(
        body, host, timestamp, call.settings.secret_id, call.secrets["secret_key"]
    )
    headers = {
        "authorization": authorization,
        "content-type": CONTENT_TYPE,
        "host": host,
        "x-tc-action": _ACTION,
        "x-tc-region": call.settings.region or _REGION,
        "x-tc-timestamp": str(timestamp),
        "x-tc-version": _VERSION,
    }
    return OutboundRequest(url, body, headers)


def authorize(body: bytes, host: str, timestamp: int, secret_id: str, secret_key: str) -> str:
    """Return the header Authorization; `timestamp` in Unix seconds."""
    day = datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%d")
    scope = f"{day}/{_SERVICE}/tc3_request"
    headers = f"content-type:{CONTENT_TYPE}\nhost:{host}\n"
    canonical = "\n".join(
        ("POST", "/", "", headers, "content-type;host", hashlib.sha256(body).hexdigest())
    )
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    signed = f"{ALGORITHM}\n{timestamp}\n{scope}\n{digest}"
    key = f"TC3{secret_key}".encode()
    for part in (day, _SERVICE, "tc3_request", signed):
        key = hmac.digest(key, part.encode(), "sha256")
    return (
        f"{ALGORITHM} Credential={secret_id}/{scope}, SignedHeaders=content-type;host,"
        f" Signature={key.hex()}"
    )


def judge_tencent(answer: HttpAnswer) -> AttemptResult:
    """Return the result that an answer stands for: of the request, or of its one number."""
    response = json_of(answer).get("Response")
    if not isinstance(response, dict):
        return by_status(answer)
    match response:
        case {"Error": {"Code": str(code)}}:
            return CODES.result_of(code)
        case {"SendStatusSet": [{"Code": "Ok"}]}:
            return DELIVERED
        case {"SendStatusSet": [{"Code": str(code)}]}:
            return CODES.result_of(code)
    return MALFORMED_ANSWER


PROVIDER = Provider(request, judge_tencent)
