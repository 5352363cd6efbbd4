"""Sends through the HTTP API of a provider: one request a message, and a judgement of the answer.

A provider is a few pure functions; this module makes their requests, and gives all of them the same
treatment of lost answers, credentials, tokens that expire, and answers that are no JSON.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from services.activation.channels import Message, Sender
from services.activation.channels.http import HttpAnswer, HttpCaller, HttpFailure, OutboundRequest
from services.activation.domain.contracts import age_of
from services.activation.domain.model import Destination
from services.activation.domain.sealing import SecretKeys, SecretNotReadable
from services.activation.domain.templates import RenderedMessage
from services.activation.domain.transitions import AttemptResult, AttemptStatus

#: Seconds for the body of an answer.
BODY_S = 10.0
#: Seconds before its end at which a token is renewed.
RENEWED_BEFORE_S = 120.0
#: Tokens that are cached: one a destination.
MAX_TOKENS = 10_000

DELIVERED = AttemptResult(AttemptStatus.DELIVERED)
MALFORMED_ANSWER = AttemptResult(AttemptStatus.LOST, "the answer is not as documented")


@dataclass(frozen=True, slots=True)
class ProviderCall:
    """What a request is made of. Its text has nothing secret or personal."""

    #: The settings of the channel.
    settings: Any = field(repr=False)
    #: Its secrets in plain text, by the names of their settings.
    secrets: Mapping[str, str] = field(repr=False)
    #: A JSON object (UTF-8): a rendered message, or the description of a change.
    payload: bytes = field(repr=False)
    #: The key of the message: 32 hexadecimal digits.
    key: str
    #: Unix seconds.
    now_s: float
    #: 32 random hexadecimal digits.
    nonce: str = field(repr=False)
    token: str = field(default="", repr=False)

    @property
    def message(self) -> RenderedMessage:
        """The message, of a channel that sends texts."""
        return msgspec.json.decode(self.payload, type=RenderedMessage)

    def url(self, default: str, path: str) -> str:
        """Return the URL of a path below the endpoint, which the settings can replace."""
        return (self.settings.endpoint or default).rstrip("/") + path


class TokenRefused(Exception):
    """The provider gives no token; `result` is that of the attempt that needs it."""

    def __init__(self, result: AttemptResult) -> None:
        super().__init__(result.reason)
        self.result = result


class NothingToSend(Exception):
    """The profile has nothing that the provider knows it by; the message names what is missing."""


@dataclass(frozen=True, slots=True)
class TokenSource:
    """How a provider gives the token that its requests need."""

    request: Callable[[ProviderCall], OutboundRequest]
    #: Returns the token, and for how many seconds it is valid. Raises TokenRefused.
    read: Callable[[HttpAnswer, float], tuple[str, float]]
    #: Whether an answer says that the token is not valid any more.
    is_expired: Callable[[HttpAnswer], bool]


@dataclass(frozen=True, slots=True)
class OwnToken:
    """How a token is made that the provider only checks."""

    #: Returns the token, and for how many seconds it is used. Raises ValueError.
    make: Callable[[ProviderCall], tuple[str, float]]
    #: Whether an answer says that the token is not valid any more.
    is_expired: Callable[[HttpAnswer], bool]


@dataclass(frozen=True, slots=True)
class Lookup:
    """How a provider is queried for a message."""

    #: The requests that find a message sent since an instant (Unix seconds).
    requests: Callable[[ProviderCall, float], Sequence[OutboundRequest]]
    #: Returns what became of the message with a key; None = the answer does not have it.
    read: Callable[[HttpAnswer, str], AttemptResult | None]


@dataclass(frozen=True, slots=True)
class Provider:
    """One kind of provider."""

    request: Callable[[ProviderCall], OutboundRequest]
    judge: Callable[[HttpAnswer], AttemptResult]
    token: TokenSource | OwnToken | None = None
    lookup: Lookup | None = None
    #: Whether the provider is called over HTTP/2 alone.
    http2: bool = False


class ProviderSession:
    """Calls one kind of provider with the secrets and the token of a destination."""

    def __init__(
        self, token: TokenSource | OwnToken | None, http: HttpCaller, keys: SecretKeys
    ) -> None:
        self._source = token
        self._http = http
        self._keys = keys
        self._tokens: dict[tuple[str, str, int], tuple[str, float]] = {}
        self._locks: dict[tuple[str, str, int], asyncio.Lock] = {}

    async def exchange(
        self,
        destination: Destination,
        payload: bytes,
        key: str,
        request: Callable[[ProviderCall], OutboundRequest],
    ) -> HttpAnswer | AttemptResult:
        """Make one request; return its answer, or the result where there is none to judge."""
        try:
            call = await self.call(destination, payload, key)
            made = request(call)
        except TokenRefused as refused:
            return refused.result
        except NothingToSend as error:
            return AttemptResult(AttemptStatus.REJECTED, str(error))
        except SecretNotReadable as error:
            return AttemptResult(AttemptStatus.CREDENTIALS, str(error))
        except ValueError:
            # Such as a private key that is none: the text of the error may quote it.
            return AttemptResult(AttemptStatus.CREDENTIALS, "a secret has the wrong form")
        try:
            answer = await self._http.call(replace(made, body_s=BODY_S))
        except HttpFailure as failure:
            return _result_of(failure)
        if self._source is not None and self._source.is_expired(answer):
            self._tokens.pop(_key_of(destination), None)
            return AttemptResult(AttemptStatus.FAILED, "the token has expired")
        return answer

    async def call(self, destination: Destination, payload: bytes, key: str) -> ProviderCall:
        """Return what a request is made of. Raises TokenRefused, SecretNotReadable, ValueError."""
        call = ProviderCall(
            destination.channel,
            self._keys.open_all(
                destination.workspace_id, destination.destination_id, destination.channel
            ),
            payload,
            key,
            time.time(),
            secrets.token_hex(16),
        )
        if self._source is None:
            return call
        return replace(call, token=await self._token(self._source, destination, call))

    async def _token(
        self, source: TokenSource | OwnToken, destination: Destination, call: ProviderCall
    ) -> str:
        """Return the token of a destination, renewed once for all that wait for it."""
        key = _key_of(destination)
        if (found := self._cached_token(key)) is not None:
            return found
        async with self._locks.setdefault(key, asyncio.Lock()):
            if (found := self._cached_token(key)) is not None:
                return found
            if isinstance(source, OwnToken):
                token, valid_s = source.make(call)
            else:
                token, valid_s = await self._fetched(source, call)
            if len(self._tokens) >= MAX_TOKENS:
                self._tokens.clear()
            self._tokens[key] = token, time.monotonic() + valid_s - RENEWED_BEFORE_S
            return token

    async def _fetched(self, source: TokenSource, call: ProviderCall) -> tuple[str, float]:
        try:
            answer = await self._http.call(replace(source.request(call), body_s=BODY_S))
        except HttpFailure as failure:
            raise TokenRefused(AttemptResult(AttemptStatus.FAILED, str(failure))) from None
        return source.read(answer, call.now_s)

    def _cached_token(self, key: tuple[str, str, int]) -> str | None:
        token, until = self._tokens.get(key, ("", 0.0))
        return token if time.monotonic() < until else None


class ProviderSender(Sender):
    """Sends the messages of one kind of channel through its provider."""

    def __init__(self, provider: Provider, http: HttpCaller, keys: SecretKeys) -> None:
        self._provider = provider
        self._http = http
        self._session = ProviderSession(provider.token, http, keys)

    async def send(self, destination: Destination, message: Message) -> AttemptResult:
        provider = self._provider
        answer = await self._session.exchange(
            destination, message.payload, message.key, provider.request
        )
        return answer if isinstance(answer, AttemptResult) else provider.judge(answer)

    async def find(self, destination: Destination, message: Message) -> AttemptResult | None:
        lookup = self._provider.lookup
        if lookup is None:
            return MALFORMED_ANSWER
        call = await self._session.call(destination, message.payload, message.key)
        since_s = call.now_s - min(age_of(message.position, call.now_s), call.now_s)
        for request in lookup.requests(call, since_s):
            try:
                answer = await self._http.call(replace(request, body_s=BODY_S))
            except HttpFailure as failure:
                # The query is not the message: it is repeated.
                return AttemptResult(AttemptStatus.FAILED, str(failure))
            found = lookup.read(answer, call.key)
            if found is not None:
                return found
        return None


def _key_of(destination: Destination) -> tuple[str, str, int]:
    # Another version may have other credentials.
    return destination.workspace_id, destination.destination_id, destination.version


def _result_of(failure: HttpFailure) -> AttemptResult:
    if failure.malformed:
        return AttemptResult(AttemptStatus.REJECTED, str(failure))
    status = AttemptStatus.LOST if failure.sent else AttemptStatus.FAILED
    return AttemptResult(status, str(failure))


def json_of(answer: HttpAnswer) -> dict[str, Any]:
    """Return the JSON object of an answer; {} where it has none."""
    try:
        return msgspec.json.decode(answer.body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}


def by_status(answer: HttpAnswer) -> AttemptResult:
    """Return the result that the HTTP status alone stands for, where the body says nothing.

    After 5xx other than 503 a gateway may have lost the answer of what is behind it.
    """
    status, reason = answer.status, f"HTTP {answer.status}"
    if status in (401, 403):
        return AttemptResult(AttemptStatus.CREDENTIALS, reason)
    if status in (408, 429, 503):
        return AttemptResult(AttemptStatus.FAILED, reason, answer.retry_after)
    if status >= 500:
        return AttemptResult(AttemptStatus.LOST, reason)
    if 200 <= status < 300:
        return MALFORMED_ANSWER
    return AttemptResult(AttemptStatus.REJECTED, reason)
