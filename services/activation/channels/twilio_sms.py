"""Sends SMS with Twilio."""

from __future__ import annotations

from base64 import b64encode
from urllib.parse import quote, urlencode

from services.activation.channels.http import HttpAnswer, OutboundRequest
from services.activation.channels.provider import (
    DELIVERED,
    MALFORMED_ANSWER,
    Codes,
    Provider,
    ProviderCall,
    by_status,
    json_of,
)
from services.activation.domain.transitions import AttemptResult, AttemptStatus

ENDPOINT = "https://api.twilio.com"
#: Seconds for which Twilio may hold a message in its queue.
VALIDITY_S = 14_400

CODES = Codes(
    later="20429 14107 30001 30022 63018 20500 20503",
    address_dead="21211 21214 21217 21401 21407 21421 21604 21610 21612 21614 30003 30005 30006",
    credentials="20003 20005 20008 20404 20103 20104 20107 10001 10002 21606 21603 21210 21212"
    " 21659 21703 21704 21705 30002 30018 30032 30034",
    refused="21408 21602 21605 21617 21618 21619 21620 21622 21623 21624 21635 21660 30004 30007"
    " 30008 30009 30010 20001 20002 20004",
)


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
                return CODES.result_of(str(error))
            case {"sid": str()}:
                return DELIVERED
        return MALFORMED_ANSWER
    code = body.get("code")
    if not isinstance(code, int):
        return by_status(answer)
    result = CODES.result_of(str(code))
    if result.status is AttemptStatus.FAILED:
        return AttemptResult(result.status, result.reason, answer.retry_after or result.retry_after)
    return result


PROVIDER = Provider(request, judge_twilio)
