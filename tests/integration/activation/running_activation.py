"""Runs activation between fakes of the services around it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from integration.activation.fake_peers import FakePeers, fake_peers
from integration.activation.ledger_fixture import SECRET, profile
from onefold.activation.v1 import activation_facts_pb2 as facts_pb
from onefold.activation.v1 import activation_service_pb2 as pb
from onefold.activation.v1.activation_service_pb2_grpc import ActivationServiceStub
from onefold.ingest.v1.ingest_facts_pb2 import KeyDefined
from onefold.log.v1.log_pb2 import Fact
from onefold.segment.v1.segment_stream_pb2 import MembershipChange
from onefold.type.v1.token_pb2 import Token
from service_fixtures import MakeSettings, open_bus, wait_until

from services.activation.codec.definitions import DESTINATION_DEFINED
from services.activation.codec.templates import TEMPLATE_DEFINED
from services.activation.service import serve
from services.activation.settings import ActivationSettings
from services.chassis.access.keys import IssuedKey, issue_key
from services.chassis.access.principal import Role
from services.chassis.messaging.jetstream import JetStreamBus
from services.chassis.messaging.stream import OutboxMessage
from services.chassis.rpc.channel import ServiceChannel, open_channel
from services.chassis.runtime.run import Endpoints
from services.kernel.errors import NotAllowed

SHARDS = 2
SECRETS_KEY = "1." + "0f" * 32
SCHOOL, OTHER, SOURCE = (issue_key(r) for r in (Role.ADMIN, Role.ADMIN, Role.SOURCE))


@dataclass
class RunningActivation:
    """A running activation, and the services around it."""

    running: Endpoints
    peers: FakePeers
    bus: JetStreamBus
    #: By key id.
    stubs: dict[str, Any] = field(default_factory=dict)
    #: Ids of the facts that segment has published.
    published_facts: set[bytes] = field(default_factory=set)

    async def publish(self, shard: int, **fields: Any) -> Token:
        """Publish a message of segment; return the token that includes it."""
        message = self.peers.segment.publish(shard, **fields)
        at = message.sequence
        output = OutboxMessage(at, at + 1, message.SerializeToString())
        await (await self.bus.publish(f"onefold.segment.{shard}", output))
        return Token(offsets=self._published_offsets())

    def _published_offsets(self) -> list[int]:
        published = self.peers.segment.published
        return [len(published.get(shard, [])) for shard in range(SHARDS)]

    def log_head(self) -> list[int]:
        """Return the offsets after the published facts, and after definitions still to come."""
        unpublished = self._unpublished_definitions()
        return [offset + len(unpublished) for offset in self._published_offsets()]

    def _unpublished_definitions(self) -> list[Fact]:
        facts = self.peers.log.facts
        return [
            facts[fact_id]
            for fact_id in facts.keys() - self.published_facts
            if facts[fact_id].kind in (DESTINATION_DEFINED, TEMPLATE_DEFINED)
        ]

    async def publish_facts(self, *facts: Fact) -> Token:
        """Publish these facts, and the definitions that are new in the log, on every shard."""
        definitions = self._unpublished_definitions()
        self.published_facts |= set(self.peers.log.facts)
        for shard in range(SHARDS):
            token = await self.publish(shard, broadcast_facts=[*facts, *definitions])
        return token

    async def publish_changes(self, *changes: MembershipChange) -> Token:
        for n, change in enumerate(changes):
            token = await self.publish(n % SHARDS, changes=[change])
        return token

    def stub(self, key: IssuedKey) -> Any:
        return self.stubs[key.key_id]


def key_fact(issued: IssuedKey, workspace: str, role: Role) -> Fact:
    message = KeyDefined(
        key_id=issued.key_id, key_hash=issued.key_hash, role=role.value, version=1, source_id="web"
    )
    return Fact(
        workspace_id=workspace,
        kind=KeyDefined.DESCRIPTOR.full_name,
        payload=message.SerializeToString(),
    )


def entered(n: int, ordinal: int = 1, workspace: str = "school") -> MembershipChange:
    return MembershipChange(
        workspace_id=workspace,
        segment_id="trial",
        profile_id=profile(n),
        entered=ordinal % 2 == 1,
        ordinal=ordinal,
        changed_at_us=1_000_000 + n,
        cause=1,
    )


def coupon(url: str, **fields: Any) -> facts_pb.DestinationDefined:
    plain: dict[str, Any] = {
        "destination_id": "coupon",
        "webhook": facts_pb.Webhook(url=url, secret=SECRET),
        "segment_ids": ["trial"],
        "triggers": [1, 2],
    }
    return facts_pb.DestinationDefined(**(plain | fields))


def define(to: facts_pb.DestinationDefined, dry_run: bool = False) -> Any:
    return pb.DefineDestinationRequest(destination=to, dry_run=dry_run)


@asynccontextmanager
async def activation(make_settings: MakeSettings, nats_url: str, **settings: Any) -> Any:
    keys = (
        key_fact(SCHOOL, "school", Role.ADMIN),
        key_fact(OTHER, "other", Role.ADMIN),
        key_fact(SOURCE, "school", Role.SOURCE),
    )
    async with fake_peers() as peers:
        peers.log.definitions = list(keys)
        plain = {
            "shards": SHARDS,
            "segment_url": peers.url,
            "profile_url": peers.url,
            "ingest_url": peers.url,
            "identity_url": peers.url,
            "secrets_key": SECRETS_KEY,
            "initial_backoff_s": 0.01,
            "max_attempts": 3,
        }
        made = make_settings(ActivationSettings, **(plain | settings))
        async with serve(made) as running, open_bus(nats_url, "segment") as bus:
            await bus.ready()
            await bus.ensure_stream("onefold.segment")
            whole = RunningActivation(running, peers, bus)
            peers.log.head = whole.log_head
            async with (
                _stub(whole, SCHOOL) as _,
                _stub(whole, OTHER) as _,
                _stub(whole, SOURCE) as _,
            ):
                await whole.publish_facts(*keys)
                await wait_until(lambda: _has_keys(whole))
                yield whole


@asynccontextmanager
async def _stub(whole: RunningActivation, key: IssuedKey) -> AsyncIterator[ServiceChannel]:
    url = f"127.0.0.1:{whole.running.internal_grpc_port}"
    async with open_channel(url, key.key, timeout_s=20.0) as opened:
        whole.stubs[key.key_id] = ActivationServiceStub(opened)
        yield opened


async def _has_keys(whole: RunningActivation) -> bool:
    try:
        for key in (SCHOOL, OTHER):
            await whole.stub(key).ListDestinations(pb.ListDestinationsRequest())
    except NotAllowed:
        return False
    return True


async def define_and_fold(
    whole: RunningActivation, to: facts_pb.DestinationDefined, key: IssuedKey = SCHOOL
) -> Any:
    """Define a destination, and wait until its fact is folded."""
    response = await whole.stub(key).DefineDestination(define(to))
    token = await whole.publish_facts()
    request = pb.CountDeliveriesRequest(at_least=token)
    await whole.stub(key).CountDeliveries(request)
    return response
