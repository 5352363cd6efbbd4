"""Defines destinations as facts of the log."""

from __future__ import annotations

import hmac
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

from services.activation.channels.ssrf import PrivateAddressError, TargetGuard
from services.activation.codec.definitions import destination_to_fact
from services.activation.domain.channel_settings import SealedSecret
from services.activation.domain.channels import (
    brokers_of,
    name_of,
    receiver_of,
    retained_secrets,
    secrets_of,
    targets_of,
    with_secrets,
)
from services.activation.domain.model import Destination
from services.activation.domain.sealing import (
    NONCE_BYTES,
    SecretKeys,
    SecretNotReadable,
    SecretPlace,
)
from services.activation.domain.subjects import AllowedSubjects
from services.activation.domain.system_channels import Kafka
from services.activation.domain.templates import AT_ONCE, Template, check_fits
from services.activation.domain.validation import (
    check_destination,
    check_destination_id,
    check_number,
)
from services.activation.store.destinations import load_destinations
from services.activation.store.templates import load_templates
from services.chassis.definitions import Defined, DefinitionFact, define
from services.chassis.postgres.database import Database, acquire
from services.chassis.projection.runner import ProjectionRunner
from services.chassis.rpc.clients import LogClient
from services.kernel.errors import InvalidField
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
        self,
        desired: Destination,
        *,
        etag: str = "",
        dry_run: bool = False,
        assumed: Sequence[Template] = (),
    ) -> Defined[Destination]:
        """Define a destination; a dry run takes the `assumed` templates as defined.

        A channel without a secret keeps its current one.
        The log, the bus and the database get secrets sealed; no response and no log line
        contains one. Raises InvalidField, Conflict, RetryableError.
        """
        check_destination_id(desired.destination_id)
        templates: list[Template] = []

        async def load(token: Token) -> Destination | None:
            await self.runner.reach(token)
            async with acquire(self.database.api_pool) as conn:
                destinations = await load_destinations(conn, desired.workspace_id)
                if desired.template_id:
                    stored = await load_templates(conn, desired.workspace_id)
                    templates[:] = [*assumed, *stored] if dry_run else stored
            existing = {each.destination_id: each for each in destinations}
            check_number(desired.destination_id, existing)
            return existing.get(desired.destination_id)

        def complete(current: Destination | None) -> Destination:
            completed = _keep_secrets(desired, current)
            check_destination(completed, self.subjects)
            self._check_template(completed, templates)
            self._check_target(completed)
            return self._seal(completed, current)

        return await define(
            complete, log=self.log, load=load, to_fact=_to_fact, etag=etag, dry_run=dry_run
        )

    def _seal(self, desired: Destination, current: Destination | None) -> Destination:
        """Return the destination with its secrets sealed.

        An unchanged secret keeps its seal, so that a repeated definition is equal, unless a newer
        key has come: a definition that is repeated with its secret moves to the newest key.
        """
        channel, sealed = desired.channel, secrets_of(current.channel) if current else {}
        is_same = current is not None and type(current.channel) is type(channel)
        changed: dict[str, SealedSecret] = {}
        for name, secret in secrets_of(channel).items():
            if not isinstance(secret, str):
                continue
            place = SecretPlace(
                desired.workspace_id, desired.destination_id, f"{name_of(channel)}.{name}"
            )
            before = sealed.get(name) if is_same else None
            if isinstance(before, SealedSecret) and self._has_secret(place, before, secret):
                changed[name] = before
            else:
                changed[name] = self.keys.seal(place, secret, os.urandom(NONCE_BYTES))
        return replace(desired, channel=with_secrets(channel, changed))

    def _has_secret(self, place: SecretPlace, sealed: SealedSecret, secret: str) -> bool:
        """Return whether the newest key has sealed this secret."""
        if sealed.key_version != self.keys.newest:
            return False
        try:
            opened = self.keys.open(place, sealed)
        except SecretNotReadable:
            return False
        return hmac.compare_digest(opened.encode(), secret.encode())

    def _check_template(self, destination: Destination, templates: Sequence[Template]) -> None:
        """Check that the destination can send its template. Raises InvalidField."""
        if not destination.template_id or destination.retired:
            return
        found = [t for t in templates if t.template_id == destination.template_id]
        if not found or found[0].retired:
            raise InvalidField(
                f"there is no template {destination.template_id!r}: define it first",
                field="destination.template_id",
            )
        check_fits(found[0], destination.channel.contract, AT_ONCE)

    def _check_target(self, destination: Destination) -> None:
        """Reject a channel whose receiver no attempt could reach. Raises InvalidField.

        The addresses of a host name are known only when it is dialled, and are checked then.
        """
        if isinstance(destination.channel, Kafka):
            self._check_brokers(destination.channel)
        for setting, url in targets_of(destination.channel):
            name = f"{name_of(destination.channel)}.{setting}"
            try:
                self.targets.check_url(url)
            except PrivateAddressError:
                raise InvalidField(
                    f"{name} has a host that is not public; use a public one, or let the operator"
                    " add this host and port to ONEFOLD_ACTIVATION_PRIVATE_TARGETS",
                    field=f"destination.{name}",
                ) from None
            except ValueError:
                raise InvalidField(
                    f"{name} is an http or https URL with a host", field=f"destination.{name}"
                ) from None

    def _check_brokers(self, channel: Kafka) -> None:
        """Reject brokers that the operator does not allow. Raises InvalidField.

        The library of Kafka connects to whatever brokers a cluster names, past the guard.
        """
        for host, port in brokers_of(channel):
            if not self.targets.is_allowed(host, port):
                raise InvalidField(
                    f"kafka.brokers has {host}:{port}, which the operator does not allow: all"
                    " brokers of a cluster, public ones too, stand in"
                    " ONEFOLD_ACTIVATION_PRIVATE_TARGETS",
                    field="destination.kafka.brokers",
                )


def _keep_secrets(desired: Destination, current: Destination | None) -> Destination:
    """Return the destination with the current secrets where it has none."""
    channel = desired.channel
    if current is None or type(current.channel) is not type(channel):
        return desired
    retained = retained_secrets(channel, current.channel)
    if not retained:
        return desired
    # What a secret opens or signs must not go to a receiver whose owner may not know it.
    if receiver_of(channel) != receiver_of(current.channel):
        name = next(iter(retained))
        raise InvalidField(
            f"another receiver needs {name} again", field=f"destination.{name_of(channel)}.{name}"
        )
    return replace(desired, channel=with_secrets(channel, retained))


def _to_fact(destination: Destination) -> DefinitionFact:
    return DefinitionFact.from_message(
        destination_to_fact(destination),
        workspace_id=destination.workspace_id,
        key=destination.destination_id,
        version=destination.version,
    )
