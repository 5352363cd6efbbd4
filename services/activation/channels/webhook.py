"""Sends webhooks, signed as Standard Webhooks (https://www.standardwebhooks.com, version 1)."""

from __future__ import annotations

import hmac
import time
from base64 import b64decode, b64encode
from functools import lru_cache

from services.activation.channels import Message, Sender
from services.activation.channels.http import (
    MALFORMED,
    HttpAnswer,
    HttpClient,
    HttpFailure,
    OutboundRequest,
)
from services.activation.domain.model import Destination
from services.activation.domain.sealing import SecretKeys, SecretNotReadable
from services.activation.domain.system_channels import Webhook
from services.activation.domain.transitions import AttemptResult, AttemptStatus

#: Statuses after which a retry may succeed, beside every 5xx.
_RETRYABLE = frozenset({408, 409, 425, 429})
#: The receiver has ended for good, and wants no more requests.
_GONE = 410
_HEADERS = {"content-type": "application/json", "user-agent": "onefold"}


class WebhookSender(Sender):
    """Sends over HTTP; the status of the response alone decides."""

    def __init__(self, http: HttpClient, keys: SecretKeys) -> None:
        self._http = http
        self._keys = keys

    async def send(self, destination: Destination, message: Message) -> AttemptResult:
        channel = destination.channel
        if not isinstance(channel, Webhook):
            raise TypeError("a webhook sender sends webhooks")
        try:
            secrets = self._keys.open_all(
                destination.workspace_id, destination.destination_id, channel
            )
            headers = _HEADERS | sign(secrets["secret"], message, int(time.time()))
        except SecretNotReadable as error:
            return AttemptResult(AttemptStatus.FAILED, str(error))
        except ValueError:
            return AttemptResult(AttemptStatus.REJECTED, MALFORMED)
        try:
            answer = await self._http.call(OutboundRequest(channel.url, message.payload, headers))
        except HttpFailure as failure:
            status = AttemptStatus.REJECTED if failure.malformed else AttemptStatus.FAILED
            return AttemptResult(status, str(failure))
        return judge(answer)


def sign(secret: str, message: Message, now_s: int) -> dict[str, str]:
    """Return the three signature headers; `now_s` in Unix seconds."""
    signed = b"%s.%d.%s" % (message.key.encode(), now_s, message.payload)
    digest = b64encode(hmac.digest(_key(secret), signed, "sha256")).decode()
    return {
        "webhook-id": message.key,
        "webhook-timestamp": str(now_s),
        "webhook-signature": f"v1,{digest}",
    }


@lru_cache(maxsize=1_024)
def _key(secret: str) -> bytes:
    """Return the bytes of a secret. Raises ValueError where it is malformed."""
    return b64decode(secret.removeprefix("whsec_"), validate=True)


def judge(answer: HttpAnswer) -> AttemptResult:
    """Return the attempt's result for the status of a response."""
    status, reason = answer.status, f"HTTP {answer.status}"
    if 200 <= status < 300:
        return AttemptResult(AttemptStatus.DELIVERED, reason)
    if status == _GONE:
        return AttemptResult(AttemptStatus.CREDENTIALS, reason)
    if status in _RETRYABLE or status >= 500:
        return AttemptResult(AttemptStatus.FAILED, reason, answer.retry_after)
    return AttemptResult(AttemptStatus.REJECTED, reason)
