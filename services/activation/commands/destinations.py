"""Defines destinations: validates, compares with the current definition, appends a fact."""

from __future__ import annotations

from dataclasses import replace

from services.activation.channels.ssrf import PrivateAddressError, reject_private
from services.activation.codec.definitions import destination_to_proto
from services.activation.domain.model import Destination, Webhook
from services.activation.domain.validation import check_destination, check_destination_id
from services.activation.store.destinations import load_destination
from services.chassis.definitions import Defined, DefinitionFact, define
from services.chassis.postgres.database import Database, acquire
from services.chassis.projection.runner import ProjectionRunner
from services.chassis.rpc.clients import LogClient
from services.kernel.errors import InvalidField
from services.kernel.tokens import Token


class DestinationCommands:
    """Defines destinations. `private_targets`: whether webhooks may have private addresses."""

    def __init__(
        self, database: Database, runner: ProjectionRunner, log: LogClient, *, private_targets: bool
    ) -> None:
        self._database = database
        self._runner = runner
        self._log = log
        self._private_targets = private_targets

    async def define(
        self, desired: Destination, *, etag: str = "", dry_run: bool = False
    ) -> Defined[Destination]:
        """Define a destination. A webhook without a secret keeps its current one.

        The log and this service store the secret in plain text: sealing is not built yet. No
        response and no log line contains it. Raises InvalidField, Conflict, RetryableError.
        """
        check_destination_id(desired.destination_id)

        async def load(token: Token) -> Destination | None:
            await self._runner.reach(token)
            async with acquire(self._database.pool) as conn:
                return await load_destination(conn, desired.workspace_id, desired.destination_id)

        def complete(current: Destination | None) -> Destination:
            completed = _keep_secret(desired, current)
            check_destination(completed)
            self._check_target(completed)
            return completed

        return await define(
            complete, log=self._log, load=load, to_fact=_to_fact, etag=etag, dry_run=dry_run
        )

    def _check_target(self, destination: Destination) -> None:
        """Reject a webhook that no attempt could reach. Raises InvalidField.

        The addresses of a host name are known only when it is dialled, and are checked then.
        """
        if self._private_targets or not isinstance(destination.channel, Webhook):
            return
        try:
            reject_private(destination.channel.url)
        except PrivateAddressError:
            raise InvalidField(
                "webhook.url has a host that is not public; use a public one, or let the operator"
                " allow private targets",
                field="destination.webhook.url",
            ) from None
        except ValueError:
            raise InvalidField(
                "webhook.url is an http or https URL with a host", field="destination.webhook.url"
            ) from None


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
        destination_to_proto(destination, with_secret=True),
        workspace_id=destination.workspace_id,
        key=destination.destination_id,
        version=destination.version,
    )
