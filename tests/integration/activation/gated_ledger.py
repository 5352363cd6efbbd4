"""Gives tests a ledger with journeys, a contact policy and a gate in front of its attempts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from integration.activation.fake_peers import FakePeers, fake_peers
from integration.activation.ledger_fixture import SHARDS, Ledger, W
from msgspec import structs
from onefold.activation.v1 import journey_facts_pb2 as facts_pb

from services.activation.codec.templates import template_to_proto
from services.activation.delivery.admission import RunAdmission
from services.activation.delivery.coupons import CouponIssuer
from services.activation.delivery.dispatcher import Dispatcher
from services.activation.delivery.render import PersonReader
from services.activation.domain.journeys.catalogue import FlowChange, Overdue
from services.activation.domain.journeys.transitions import run_effect_id
from services.activation.domain.model import RunEffect
from services.activation.domain.policy.gate import Flow
from services.activation.domain.templates import Template, Texts
from services.activation.store import gate as gate_store
from services.activation.store.journeys import (
    FlowKind,
    save_contact_policy,
    save_flow,
    save_journey,
)
from services.activation.store.run_effects import add_planned_effects, release_effects
from services.activation.store.templates import TemplateReader, save_template
from services.chassis.codec.journeys import contact_policy_to_proto, journey_to_proto
from services.chassis.postgres.database import transaction
from services.chassis.rpc.channel import open_channel
from services.chassis.rpc.clients import LogClient
from services.kernel.ids import LeafId, ProfileId
from services.kernel.journeys.contact_policy import parse_contact_policy
from services.kernel.journeys.journey_form import parse_journey
from services.kernel.journeys.model import Journey, SendStep
from services.kernel.journeys.tree import all_steps
from services.kernel.time import parse_rfc3339

#: 12:00 in Shanghai.
NOON_US = parse_rfc3339("2026-11-27T04:00:00Z")


def leaf(n: int) -> LeafId:
    return LeafId(hashlib.blake2b(b"leaf%d" % n, digest_size=16).digest())


def template(template_id: str, text: str) -> Template:
    return Template(W, template_id, 1, "", (Texts("en", "Hello", text, provider_template="SMS_1"),))


def journey_of(form: dict[str, Any]) -> Journey:
    plain = {"id": "recovery", "enter": {"event": {"name": "cart_updated"}}}
    return replace(parse_journey({**plain, **form}), version=1)


@dataclass
class GatedLedger:
    """A ledger whose attempts at messages of runs pass the gate first."""

    ledger: Ledger
    peers: FakePeers
    admission: RunAdmission
    journeys: dict[str, Journey] = field(default_factory=dict)
    _flows: int = 0

    async def define(self, *forms: dict[str, Any]) -> None:
        """Define journeys."""
        for form in forms:
            journey = journey_of(form)
            self.journeys[journey.journey_id] = journey
            message = facts_pb.JourneyDefined(journey=journey_to_proto(journey))
            async with transaction(self.ledger.database.pool) as conn:
                await save_journey(conn, W, 1, message.SerializeToString())

    async def policy(self, form: dict[str, Any], version: int = 1) -> None:
        policy = contact_policy_to_proto(parse_contact_policy(form))
        message = facts_pb.ContactPolicyDefined(policy=policy, version=version)
        async with transaction(self.ledger.database.pool) as conn:
            await save_contact_policy(conn, W, 1, message.SerializeToString())

    async def templates(self, version: int = 1, **texts: str) -> None:
        async with transaction(self.ledger.database.pool) as conn:
            for name, text in texts.items():
                own = template(name, text).at_version(version)
                payload = template_to_proto(own).SerializeToString()
                await save_template(conn, own, payload)

    async def flow(
        self, kind: FlowKind, id_: str, flow: Flow, overdue: Overdue = Overdue.SKIP
    ) -> None:
        """Pause, resume or stop a journey or a destination at the present instant."""
        self._flows += 1
        change = FlowChange(self.peers.log.now_us, flow, overdue, self._flows)
        async with transaction(self.ledger.database.pool) as conn:
            await save_flow(conn, W, kind, id_, change)
            if kind is FlowKind.JOURNEY:
                await gate_store.end_pause(conn, W, journey_id=id_)
            else:
                await gate_store.end_pause(conn, W, destination_id=id_)

    async def plan(self, n: int, step_id: str = "reminder", **fields: Any) -> RunEffect:
        """Let a run of the person n ask for the message of a step now, and release it."""
        effect = self.effect(n, step_id, **fields)
        async with transaction(self.ledger.database.pool) as conn:
            await add_planned_effects(conn, [effect], SHARDS)
            await release_effects(conn, [(effect.effect_id, effect.leaf_id)], SHARDS)
        return effect

    def effect(self, n: int, step_id: str, **fields: Any) -> RunEffect:
        journey = self.journeys[fields.pop("journey_id", "recovery")]
        at_us = fields.pop("at_us", self.peers.log.now_us)
        leaf_id = fields.pop("leaf_id", leaf(n))
        step = next(s for s in all_steps(journey) if s.id == step_id)
        assert isinstance(step, SendStep)
        run_id = hashlib.blake2b(
            leaf_id + journey.journey_id.encode() + b"%d" % at_us, digest_size=16
        ).digest()
        variables = fields.pop("variables", {"entry": {"total": 12}})
        plain = RunEffect(
            run_effect_id(run_id, (step_id, 0)),
            W,
            run_id,
            journey.journey_id,
            1,
            step_id,
            0,
            leaf_id,
            ProfileId(leaf_id),
            at_us,
            step.destination_id,
            step.purpose or journey.purpose,
            journey.priority,
            at_us + step.valid_us if step.valid_us else 0,
            json.dumps(variables).encode(),
        )
        return structs.replace(plain, **fields)

    async def move_to(self, now_us: int) -> None:
        """Move the clock of the log, and what the shards have reached of it."""
        self.peers.log.now_us = now_us
        await self.ledger.advance_to(now_us)

    @asynccontextmanager
    async def dispatching(self, **options: Any) -> AsyncIterator[Dispatcher]:
        async with self.ledger.dispatching(admission=self.admission, **options) as opened:
            yield opened

    async def reasons(self) -> dict[str, tuple[int, str]]:
        """Return state and reason by journey and step."""
        rows = await self.ledger.rows()
        return {
            f"{row['journey_id']}.{row['step_id']}": (row["state"], row["reason"]) for row in rows
        }


@asynccontextmanager
async def gated(ledger: Ledger) -> AsyncIterator[GatedLedger]:
    """Open a gate before a ledger, between fakes of the log and of profile."""
    async with fake_peers() as peers, open_channel(peers.url, "internal", timeout_s=20) as channel:
        peers.log.now_us = NOON_US
        log = LogClient(channel, "activation")
        reader = TemplateReader(ledger.database)
        issuer = CouponIssuer(ledger.database, log, "activation", b"k" * 32)
        persons = PersonReader(channel)
        admission = RunAdmission(ledger.database, log, persons, reader, SHARDS, issuer)
        opened = GatedLedger(ledger, peers, admission)
        await opened.move_to(NOON_US)
        yield opened
