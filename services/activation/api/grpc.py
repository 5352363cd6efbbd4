"""The gRPC door of activation: translate, call, translate."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

from onefold.activation.v1 import activation_service_pb2 as pb
from onefold.activation.v1 import activation_service_pb2_grpc as pb_grpc

from services.activation.channels.ssrf import PrivateAddress, refuse_private
from services.activation.codec import bus as wire
from services.activation.domain.model import Destination, Webhook
from services.activation.domain.validation import check, check_id
from services.activation.store import postgres as store
from services.activation.store.postgres import Place
from services.chassis.access.principal import Role, workspace_id
from services.chassis.postgres.database import Database, acquire, transaction
from services.chassis.projection.runner import ProjectionRunner
from services.chassis.rpc.clients import LogClient, token_from_proto, token_to_proto
from services.chassis.rpc.server import Allowed
from services.chassis.runtime.deadlines import clip_to_deadline
from services.kernel.errors import InvalidField, NotFound, ServiceUnavailable
from services.kernel.ids import from_hex, to_hex
from services.kernel.tokens import Token

_PEOPLE = frozenset({Role.SERVICE, Role.ADMIN, Role.INTERNAL})
_SERVICE = "/onefold.activation.v1.ActivationService/"
#: Who may call what.
ALLOWED: Allowed = {
    f"{_SERVICE}{method}": _PEOPLE
    for method in (
        *("DefineDestination", "ListDestinations"),
        *("ListDeliveries", "CountDeliveries", "RetryDelivery"),
    )
}
PAGE, MAX_PAGE = 50, 1_000
REACH_SECONDS = 30.0
_NEWEST = (2**63 - 1, b"\xff" * 16)
#: Of a page token's instant: so many fit into 64 bits.
_DIGITS = 18


class ActivationRpc(pb_grpc.ActivationServiceServicer):
    """onefold.activation.v1.ActivationService.

    `private_targets`: whether webhooks may reach addresses that are not public. `on_effects` is
    called where something is to be sent.
    """

    def __init__(
        self,
        database: Database,
        runner: ProjectionRunner,
        log: LogClient,
        *,
        private_targets: bool,
        on_effects: Callable[[Collection[Place]], None],
    ) -> None:
        self._database = database
        self._runner = runner
        self._log = log
        self._private_targets = private_targets
        self._on_effects = on_effects

    async def DefineDestination(self, request: Any, context: Any) -> Any:
        """Define a destination. An empty secret keeps the one that is there.

        The secret of a webhook stands in the log, and in this service's table, as it was given:
        sealing it is not built yet. No answer and no log line tells it.
        """
        asked = wire.destination_from(workspace_id(), request.destination)
        check_id(asked.destination_id)
        async with acquire(self._database.pool) as conn:
            present = await store.load_destination(conn, workspace_id(), asked.destination_id)
        asked = _keep_secret(asked, present)
        check(asked)
        self._check_target(asked)
        changed = present is None or replace(present, version=asked.version) != asked
        stands = asked if present is None or changed else present
        if changed:
            stands = replace(asked, version=present.version + 1 if present else 1)
        writes = changed and not request.dry_run
        token = await (self._append(stands) if writes else self._runner.token())
        return pb.DefineDestinationResponse(
            destination=wire.destination_message(stands, with_secret=False),
            changed=changed,
            token=token_to_proto(token),
        )

    async def ListDestinations(self, request: Any, context: Any) -> Any:
        """List the destinations, without secrets."""
        async with acquire(self._database.pool) as conn:
            found = await store.load_destinations_of(conn, workspace_id())
        return pb.ListDestinationsResponse(
            destinations=[wire.destination_message(d, with_secret=False) for d in found]
        )

    async def ListDeliveries(self, request: Any, context: Any) -> Any:
        """List effects, newest first."""
        size = _page_size(request.page_size)
        at_us, effect_id = _page_token(request.page_token)
        profile_id = _id(request.profile_id, "profile_id") if request.profile_id else b""
        if request.destination_id:
            check_id(request.destination_id)
        async with transaction(self._database.pool) as conn:
            await conn.execute(store.Q.plan_each)
            rows = await conn.fetch(
                store.Q.list_effects,
                workspace_id(),
                at_us,
                effect_id,
                request.destination_id,
                request.state,
                profile_id,
                size,
            )
        last = rows[-1] if len(rows) == size else None
        more = f"{last['at_us']}.{to_hex(last['effect_id'])}" if last else ""
        return pb.ListDeliveriesResponse(deliveries=map(wire.delivery, rows), next_page_token=more)

    async def CountDeliveries(self, request: Any, context: Any) -> Any:
        """Count effects by destination and state."""
        if request.HasField("at_least"):
            await self._runner.wait_for(
                token_from_proto(request.at_least), clip_to_deadline(REACH_SECONDS)
            )
        async with acquire(self._database.pool) as conn:
            rows = await conn.fetch(store.Q.count_effects, workspace_id())
        counts = [
            pb.DeliveryCount(destination_id=r["destination_id"], state=r["state"], count=r["count"])
            for r in rows
        ]
        return pb.CountDeliveriesResponse(counts=counts)

    async def RetryDelivery(self, request: Any, context: Any) -> Any:
        """Put a dead effect back in the queue, for one more attempt."""
        effect_id = _id(request.effect_id, "effect_id")
        async with acquire(self._database.pool) as conn:
            row = await conn.fetchrow(store.Q.retry, workspace_id(), effect_id)
            is_dead = row or await conn.fetchval(store.Q.is_dead, workspace_id(), effect_id)
        if not is_dead:
            raise NotFound("there is no dead effect of this id; list those with state DEAD")
        if row is None:
            raise ServiceUnavailable("the log is still to be told that it is dead; try again")
        self._on_effects([Place(row["workspace_id"], row["destination_id"])])
        return pb.RetryDeliveryResponse(delivery=wire.delivery(row))

    async def _append(self, destination: Destination) -> Token:
        return await self._log.define(
            destination.workspace_id,
            destination.destination_id,
            destination.version,
            wire.destination_message(destination, with_secret=True),
        )

    def _check_target(self, destination: Destination) -> None:
        """Raises InvalidField where no attempt could ever be made.

        What a name means is known only when it is dialled, and is checked again then.
        """
        if self._private_targets or not isinstance(destination.channel, Webhook):
            return
        try:
            refuse_private(destination.channel.url)
        except PrivateAddress:
            raise InvalidField(
                "webhook.url has a host that is not public; give one that is, or let the operator"
                " allow private targets",
                field="destination.webhook.url",
            ) from None
        except ValueError:
            raise InvalidField(
                "webhook.url is an http or https URL with a host", field="destination.webhook.url"
            ) from None


def _keep_secret(asked: Destination, present: Destination | None) -> Destination:
    channel, known = asked.channel, present.channel if present else None
    if isinstance(channel, Webhook) and not channel.secret and isinstance(known, Webhook):
        # A receiver that can be moved elsewhere without the secret could be made to leak it.
        if channel.url != known.url:
            raise InvalidField(
                "a new url needs the secret again", field="destination.webhook.secret"
            )
        return replace(asked, channel=known)
    return asked


def _page_size(asked: int) -> int:
    if asked > MAX_PAGE:
        raise InvalidField(f"page_size is at most {MAX_PAGE}", field="page_size")
    return asked or PAGE


def _page_token(told: str) -> tuple[int, bytes]:
    if not told:
        return _NEWEST
    at_us, _, effect_id = told.partition(".")
    if not (at_us.isascii() and at_us.isdecimal() and len(at_us) <= _DIGITS):
        raise InvalidField("page_token is not one of ours", field="page_token")
    return int(at_us), _id(effect_id, "page_token")


def _id(told: str, field: str) -> bytes:
    try:
        return from_hex(told)
    except ValueError:
        raise InvalidField(f"{field} has 32 hexadecimal digits", field=field) from None
