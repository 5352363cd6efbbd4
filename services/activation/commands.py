"""Defines destinations as facts of the log, and queues dead effects again."""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

import asyncpg

from services.activation.channels.ssrf import PrivateAddressError, TargetGuard
from services.activation.codec.definitions import destination_to_fact
from services.activation.domain.model import Destination, SealedSecret, Webhook
from services.activation.domain.sealing import NONCE_BYTES, SecretKeys, SecretNotReadable
from services.activation.domain.subjects import AllowedSubjects
from services.activation.domain.validation import (
    check_destination,
    check_destination_id,
    check_number,
)
from services.activation.store import effects as store
from services.activation.store.destinations import load_destinations
from services.activation.store.effects import DestinationKey
from services.chassis.definitions import Defined, DefinitionFact, define
from services.chassis.postgres.database import Database, acquire, transaction
from services.chassis.projection.runner import ProjectionRunner
from services.chassis.rpc.clients import LogClient
from services.kernel.errors import InvalidField
from services.kernel.ids import WorkspaceId
from services.kernel.tokens import Token


@dataclass(frozen=True)
class DestinationCommands:
    """Defines destinations. `subjects`: those that the operator allows besides a tenant's own."""

    database: Database
    runner: ProjectionRunner
    log: LogClient
    targets: TargetGuard
    keys: SecretKeys
    subjects: AllowedSubjects

    async def define(
        self, desired: Destination, *, etag: str = "", dry_run: bool = False
    ) -> Defined[Destination]:
        """Define a destination. A webhook without a secret keeps its current one.

        The log, the bus and the database get the secret sealed; no response and no log line
        contains it. Raises InvalidField, Conflict, RetryableError.
        """
        check_destination_id(desired.destination_id)

        async def load(token: Token) -> Destination | None:
            await self.runner.reach(token)
            async with acquire(self.database.api_pool) as conn:
                destinations = await load_destinations(conn, desired.workspace_id)
            existing = {each.destination_id: each for each in destinations}
            check_number(desired.destination_id, existing)
            return existing.get(desired.destination_id)

        def complete(current: Destination | None) -> Destination:
            completed = _keep_secret(desired, current)
            check_destination(completed, self.subjects)
            self._check_target(completed)
            return self._seal(completed, current)

        return await define(
            complete, log=self.log, load=load, to_fact=_to_fact, etag=etag, dry_run=dry_run
        )

    def _seal(self, desired: Destination, current: Destination | None) -> Destination:
        """Return the destination with its secret sealed.

        An unchanged secret keeps its seal, so that a repeated definition is equal, unless a newer
        key has come: a definition that is repeated with its secret moves to the newest key.
        """
        channel = desired.channel
        if not isinstance(channel, Webhook) or not isinstance(channel.secret, str):
            return desired
        if current is not None and isinstance(current.channel, Webhook):
            sealed = current.channel.secret
            if isinstance(sealed, SealedSecret) and self._has_secret(
                current, sealed, channel.secret
            ):
                return replace(desired, channel=replace(channel, secret=sealed))
        sealed = self.keys.seal_webhook(
            desired.workspace_id, desired.destination_id, channel.secret, os.urandom(NONCE_BYTES)
        )
        return replace(desired, channel=replace(channel, secret=sealed))

    def _has_secret(self, current: Destination, sealed: SealedSecret, secret: str) -> bool:
        """Return whether the newest key has sealed this secret."""
        if sealed.key_version != self.keys.newest:
            return False
        try:
            opened = self.keys.open_webhook(current.workspace_id, current.destination_id, sealed)
        except SecretNotReadable:
            return False
        return hmac.compare_digest(opened, secret)

    def _check_target(self, destination: Destination) -> None:
        """Reject a webhook that no attempt could reach. Raises InvalidField.

        The addresses of a host name are known only when it is dialled, and are checked then.
        """
        if not isinstance(destination.channel, Webhook):
            return
        try:
            self.targets.check_url(destination.channel.url)
        except PrivateAddressError:
            raise InvalidField(
                "webhook.url has a host that is not public; use a public one, or let the operator"
                " add this host and port to ONEFOLD_ACTIVATION_PRIVATE_TARGETS",
                field="destination.webhook.url",
            ) from None
        except ValueError:
            raise InvalidField(
                "webhook.url is an http or https URL with a host", field="destination.webhook.url"
            ) from None


@dataclass(frozen=True)
class RetryCommands:
    """Retries deliveries; `on_effects` is called with the destinations whose queues have grown."""

    database: Database
    on_effects: Callable[[Collection[DestinationKey]], None]

    async def retry(self, workspace_id: WorkspaceId, effect_id: bytes) -> asyncpg.Record:
        """Queue a dead effect for one more attempt; return its row. See `store.retry_dead`."""
        async with transaction(self.database.api_pool) as conn:
            row = await store.retry_dead(conn, workspace_id, effect_id)
        self.on_effects([DestinationKey(row["workspace_id"], row["destination_id"])])
        return row


def _keep_secret(desired: Destination, current: Destination | None) -> Destination:
    channel, current_channel = desired.channel, current.channel if current else None
    if isinstance(channel, Webhook) and not channel.secret and isinstance(current_channel, Webhook):
        # Messages signed with the secret must not go to a receiver whose owner may not know it.
        if channel.url != current_channel.url:
            raise InvalidField(
                "a new url needs the secret again", field="destination.webhook.secret"
            )
        return replace(desired, channel=current_channel)
    return desired


def _to_fact(destination: Destination) -> DefinitionFact:
    return DefinitionFact.from_message(
        destination_to_fact(destination),
        workspace_id=destination.workspace_id,
        key=destination.destination_id,
        version=destination.version,
    )
