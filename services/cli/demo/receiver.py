"""Receives webhooks in place of a customer's system: checks their signatures and counts them."""

from __future__ import annotations

import base64
import secrets
from collections import Counter
from typing import Any, Self

import msgspec
from aiohttp import web
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from services.devstack.ports import LOOPBACK


class WebhookReceiver:
    """An HTTP server on a free loopback port; `async with` opens and closes it."""

    def __init__(self) -> None:
        #: The secret with which the destination signs.
        self.secret = "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()
        #: How often each webhook id was received with a valid signature.
        self.received: Counter[str] = Counter()
        #: The message of each webhook id.
        self.messages: dict[str, dict[str, Any]] = {}
        #: The number of webhooks with a wrong signature.
        self.forged = 0
        #: Webhook ids that were received again with another message.
        self.changed: set[str] = set()
        self._checker = Webhook(self.secret)
        self._runner: web.AppRunner | None = None
        self._port = 0

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self._port}/coupons"

    @property
    def target(self) -> str:
        """The host and port, as a list of allowed targets names them."""
        return f"{LOOPBACK}:{self._port}"

    @property
    def settings(self) -> dict[str, str]:
        """The setting of activation that allows this receiver and nothing else on this machine."""
        return {"ONEFOLD_ACTIVATION_PRIVATE_TARGETS": self.target}

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/coupons", self._receive)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, LOOPBACK, 0)
        await site.start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_error: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        try:
            self._checker.verify(body, dict(request.headers))
        except WebhookVerificationError:
            self.forged += 1
            return web.Response(status=401)
        webhook_id = request.headers["webhook-id"]
        self.received[webhook_id] += 1
        message = msgspec.json.decode(body)
        if self.messages.setdefault(webhook_id, message) != message:
            self.changed.add(webhook_id)
        return web.Response(status=204)
