"""Sends SMS with Twilio."""

from __future__ import annotations

from base64 import b64encode
from urllib.parse import quote, urlencode

from services.activation.channels.http import HttpAnswer, OutboundRequest
from services.activation.channels.provider import (
    DELIVERED,
    MALFORMED_ANSWER,
    Provider,
    ProviderCall,
    by_status,
    json_of,
)
from services.activation.domain.provider_codes import TWILIO_CODES
from services.activation.domain.transitions import AttemptResult, AttemptStatus

ENDPOINT = "https://api.twilio.com"
#: Seconds for which Twilio may hold a message in its queue.
VALIDITY_S = 14_400


def request(call: ProviderCall) -> OutboundRequest:
    """Return the request that creates a message."""
    sender = call.settings.sender
    form = {
        "To": call.message.to,
        "MessagingServiceSid" if sender.startswith("MG") else "From": sender,
        "Body": call.message.text,
        "ValidityPeriod": str(VALIDITY_S),
    }
    if call.settings.status_callback:
        form["StatusCallback"] = call.settings.status_callback.replace("{key}", call.key)
    account = quote(call.settings.account_sid, safe="")
    login = f"{call.settings.account_sid}:{call.secrets['auth_token']}"
    headers = {
        "authorization": f"Basic {b64encode(login.encode()).decode()}",
        "content-type": "application/x-www-form-urlencoded",
    }
    url = call.url(ENDPOINT, f"/2010-04-01/Accounts/{account}/Messages.json")
    return OutboundRequest(url, urlencode(form).encode(), headers)


def judge_twilio(answer: HttpAnswer) -> AttemptResult:
    """Return the result that an answer stands for."""
    body = json_of(answer)
    if 200 <= answer.status < 300:
        # `error_code` of a message that was created is one of its delivery.
        match body:
            case {"sid": str(), "status": "failed" | "undelivered", "error_code": int(error)}:
                return TWILIO_CODES.result_of(str(error))
            case {"sid": str()}:
                return DELIVERED
        return MALFORMED_ANSWER
    code = body.get("code")
    if not isinstance(code, int):
        return by_status(answer)
    result = TWILIO_CODES.result_of(str(code))
    if result.status is AttemptStatus.FAILED:
        return AttemptResult(result.status, result.reason, answer.retry_after or result.retry_after)
    return result


PROVIDER = Provider(request, judge_twilio)
