"""Decides whether attempts at messages of runs begin: asks the gate, under the lock of the person.

What the gate reads of a person is at least as new as the instant at which the attempts begin, so a
consent that was withdrawn before it counts. The read comes before the lock, as it may wait; what is
counted, such as caps, is read under it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import asyncpg
from msgspec import structs

from services.activation.delivery.coupons import CouponIssuer
from services.activation.delivery.definitions import GateDefinitions, load_definitions
from services.activation.delivery.render import LoadPersons, LoadTemplate, Unsendable
from services.activation.delivery.run_messages import is_personalised, render_run_message
from services.activation.domain.coupons import Coupon
from services.activation.domain.journeys.program import Program
from services.activation.domain.journeys.transitions import run_effect_id
from services.activation.domain.model import DeliveryState, Destination, RunEffect
from services.activation.domain.policy import gate
from services.activation.domain.policy.contact import (
    address_key,
    consents_of,
    contact_channel,
    flow_of,
    valid_until,
)
from services.activation.domain.policy.gate import (
    AddressState,
    GateAnswer,
    GateMessage,
    GatePerson,
    GateReason,
    SentMessage,
    Verdict,
)
from services.activation.domain.recipients import Recipient
from services.activation.domain.templates import Template
from services.activation.domain.transitions import Transition, hold, requeue, suppress
from services.activation.store import gate as store
from services.activation.store.effects import Attempt
from services.activation.store.gate import Beginning, Contact
from services.activation.store.run_effects import add_planned_effects, release_effects
from services.activation.store.runs import EVERY_JOURNEY
from services.chassis.postgres.database import Database, acquire, transaction
from services.chassis.rpc.clients import LogClient
from services.kernel.ids import LeafId
from services.kernel.journeys.contact_policy import ChannelPolicy, ConsentNeed, zone_of
from services.kernel.journeys.model import DEFAULT_PURPOSE, SendStep
from services.kernel.journeys.template_names import template_id_of
from services.kernel.local_time import ZoneHistory

#: The template that is sent to persons who refuse profiling is named by the other one and this.
PLAIN_SUFFIX: Final = ".plain"
#: Seconds until a message is checked again that waits for another one, or for a look.
RECHECK_S: Final = 1.0
NOT_DEFINED: Final = "the step is not defined"
LOOKED_AT_FIRST: Final = "what was learnt of the person is looked at first"
_NO_ADDRESS: Final = frozenset(
    {
        *(GateReason.NO_ADDRESS, GateReason.ADDRESS_BOUNCED),
        *(GateReason.ADDRESS_COMPLAINED, GateReason.ADDRESS_BLOCKED),
    }
)


@dataclass(frozen=True, slots=True)
class Admitted:
    """What the gate has decided: which attempts begin, and how the others end."""

    begun: Sequence[Beginning] = ()
    ended: Sequence[tuple[Attempt, Transition]] = ()


@dataclass(frozen=True)
class RunAdmission:
    """Asks the gate about attempts of one workspace."""

    database: Database
    log: LogClient
    load_persons: LoadPersons
    load_template: LoadTemplate
    shards: int
    coupons: CouponIssuer

    async def admit(
        self, destination: Destination, attempts: Sequence[Attempt], position: bytes
    ) -> Admitted:
        """Begin those attempts at messages of runs that pass the gate.

        `position`: where the channel will write their messages at the earliest. Raises OnefoldError
        where the log or profile is not available; then no attempt is made.
        """
        token, now_us = await self.log.now()
        effects = [(a, a.run) for a in attempts if a.run is not None]
        leaves = {run.leaf_id for _, run in effects}
        persons = await self.load_persons(destination.workspace_id, leaves, token)
        async with acquire(self.database.pool) as conn:
            keys = {(run.journey_id, run.journey_version) for _, run in effects}
            definitions = await load_definitions(conn, destination.workspace_id, keys)
        definitions = await self._with_templates(definitions, destination, effects)
        decision = _Decision(destination, persons, definitions, now_us)
        for attempt, run in effects:
            if decision.issuing_step(run) is None:
                decision.render(attempt, run)
        async with transaction(self.database.pool) as conn:
            admitted, issued = await self._decide(conn, decision, effects, position)
        if issued:
            await self.coupons.publish(issued)
        return admitted

    async def _decide(
        self,
        conn: asyncpg.Connection,
        decision: _Decision,
        effects: Sequence[tuple[Attempt, RunEffect]],
        position: bytes,
    ) -> tuple[Admitted, Sequence[Coupon]]:
        """Decide under the locks of the persons; return the coupons to publish, too."""
        leaves = decision.all_leaves()
        await store.lock_persons_of(conn, leaves)
        held = await store.lock_attempts(conn, [attempt for attempt, _ in effects])
        contacts = await store.load_contacts(conn, leaves, decision.oldest_us(), decision.now_us)
        workspace_id = decision.destination.workspace_id
        known = decision.definitions.programs
        others = {(c.journey_id, c.journey_version) for c in contacts} - set(known)
        programs = await store.load_programs(conn, workspace_id, others) if others else {}
        decision.add_programs(programs)
        journeys = {EVERY_JOURNEY, *(run.journey_id for _, run in effects)}
        decision.awaited_looks = await store.load_awaited_looks(
            conn, workspace_id, journeys, leaves, decision.now_us
        )
        keys = decision.address_keys()
        addresses = await store.load_addresses(conn, workspace_id, keys, decision.now_us)
        own = [(attempt, run) for attempt, run in effects if attempt.effect_id in held]
        issuing = [(a, run, step) for a, run in own if (step := decision.issuing_step(run))]
        taken = await self.coupons.take(conn, workspace_id, issuing)
        for attempt, run, _ in issuing:
            decision.render(attempt, run, taken.known_to(run))
        admitted, instead = decision.decide(own, contacts, addresses)
        if admitted.begun:
            await store.begin_attempts(conn, admitted.begun, position, decision.now_us)
        if instead:
            await add_planned_effects(conn, instead, self.shards)
            planned = [(effect.effect_id, effect.leaf_id) for effect in instead]
            await release_effects(conn, planned, self.shards)
        issued: Sequence[Coupon] = ()
        if issuing:
            begun = {each.attempt.effect_id for each in admitted.begun}
            ends = [a.effect_id for a, t in admitted.ended if t.state is DeliveryState.SUPPRESSED]
            issued = await self.coupons.store(conn, taken, begun, ends)
        lost = [attempt for attempt, _ in effects if attempt.effect_id not in held]
        over = requeue("another replica took it over", 0.0)
        return replace(admitted, ended=[*admitted.ended, *((a, over) for a in lost)]), issued

    async def _with_templates(
        self,
        definitions: GateDefinitions,
        destination: Destination,
        effects: Sequence[tuple[Attempt, RunEffect]],
    ) -> GateDefinitions:
        names: set[str] = set()
        for _, run in effects:
            step = definitions.step(run.journey_id, run.journey_version, run.step_id)
            if step is not None:
                names |= {step.template, template_id_of(step.template) + PLAIN_SUFFIX}
        templates = {
            name: template
            for name in names
            if (template := await self.load_template(destination.workspace_id, name)) is not None
        }
        return replace(definitions, templates=templates)


class _Decision:
    """The answers of the gate to attempts of one destination at an instant."""

    def __init__(
        self,
        destination: Destination,
        persons: Mapping[LeafId, Recipient],
        definitions: GateDefinitions,
        now_us: int,
    ) -> None:
        self.destination = destination
        self.definitions = definitions
        self.now_us = now_us
        self._persons = persons
        self._channel = contact_channel(destination.channel)
        #: By effect.
        self._messages: dict[bytes, bytes | Unsendable] = {}
        #: What is known of the coupons of their runs, by effect.
        self._coupons: dict[bytes, Sequence[Coupon] | Unsendable] = {}
        #: The journeys and leaves at which a look is due.
        self.awaited_looks: Collection[tuple[str, bytes]] = ()

    def add_programs(self, programs: Mapping[tuple[str, int], Program]) -> None:
        """Add the journeys of the effects beside those that are decided about."""
        own = self.definitions
        self.definitions = replace(own, programs={**own.programs, **programs})

    def all_leaves(self) -> list[LeafId]:
        """Return all leaves of the persons."""
        return sorted({leaf for person in self._persons.values() for leaf in person.leaf_ids})

    def oldest_us(self) -> int:
        """Return after when the contacts of a person began that count for a cap."""
        caps = [
            cap for purpose in self.definitions.policy.purposes.values() for cap in purpose.caps
        ]
        for program in self.definitions.programs.values():
            caps += program.journey.caps
        return self.now_us - max((cap.in_us for cap in caps), default=0)

    def issuing_step(self, run: RunEffect) -> SendStep | None:
        """Return the step of an effect whose journey issues coupons; None = it issues none."""
        program = self.definitions.programs.get((run.journey_id, run.journey_version))
        return self._step(run) if program is not None and program.issues_coupons else None

    def render(
        self, attempt: Attempt, run: RunEffect, coupons: Sequence[Coupon] | Unsendable = ()
    ) -> None:
        """Render the message of an attempt with the coupons of its run, unless it is fixed."""
        self._coupons[attempt.effect_id] = coupons
        self._messages[attempt.effect_id] = attempt.payload or self._rendered(run, "")

    def _rendered(self, run: RunEffect, suffix: str) -> bytes | Unsendable:
        step, template = self._step(run), self._template(run, suffix)
        if step is None:
            return Unsendable(NOT_DEFINED)
        channels = self.definitions.policy.channels.get(self._channel, {})
        ends_with = channels.get(run.purpose, ChannelPolicy()).ends_with
        coupons = self._coupons.get(run.effect_id, ())
        if isinstance(coupons, Unsendable):
            return coupons
        person = self._persons[run.leaf_id]
        return render_run_message(self.destination, template, step, run, person, ends_with, coupons)

    def _template(self, effect: RunEffect | Contact, suffix: str = "") -> Template | None:
        """Return the template of a step, or its variant with a suffix; None = there is none."""
        name = "" if (step := self._step(effect)) is None else step.template
        return self.definitions.templates.get(template_id_of(name) + suffix if suffix else name)

    def _step(self, effect: RunEffect | Contact) -> SendStep | None:
        id_, version = effect.journey_id, effect.journey_version
        return self.definitions.step(id_, version, effect.step_id)

    def address_keys(self) -> set[bytes]:
        """Return what names the addresses of the persons in all channels."""
        destinations = self.definitions.destinations.values()
        persons = {id(person): person for person in self._persons.values()}.values()
        keys = {self._address_key(person, to) for person in persons for to in destinations}
        return keys - {b""}

    def _address_key(self, person: Recipient, destination: Destination) -> bytes:
        """Return what names the address of a person; empty where there is none."""
        if not destination.channel.contract.is_addressed:
            return b""
        address = person.address_for(destination)
        channel = contact_channel(destination.channel)
        return address_key(destination.workspace_id, channel, address) if address else b""

    def decide(
        self,
        own: Sequence[tuple[Attempt, RunEffect]],
        contacts: Sequence[Contact],
        addresses: Mapping[bytes, AddressState],
    ) -> tuple[Admitted, list[RunEffect]]:
        """Return what becomes of attempts, and the effects that are planned instead of some."""
        attempts = {attempt.effect_id: (attempt, run) for attempt, run in own}
        begun: list[Beginning] = []
        ended: list[tuple[Attempt, Transition]] = []
        instead: list[RunEffect] = []
        answers: dict[bytes, GateAnswer] = {}
        persons = {id(person): person for person in self._persons.values()}
        owners = {leaf: id_ for id_, person in persons.items() for leaf in person.leaf_ids}
        runs: defaultdict[int, list[RunEffect]] = defaultdict(list)
        for _, run in own:
            runs[owners[run.leaf_id]].append(run)
        others: defaultdict[int, list[Contact]] = defaultdict(list)
        for contact in contacts:
            others[owners[contact.leaf_id]].append(contact)
        for id_, person in persons.items():
            answers |= self._answers(person, runs[id_], others[id_], addresses)
        began_before = {c.effect_id for c in contacts if c.begun_at_us is not None}
        for effect_id, (attempt, run) in attempts.items():
            message = self._messages[effect_id]
            answer = answers.get(effect_id)
            if answer is not None and answer.is_plain and attempt.payload is None:
                message = self._rendered(run, PLAIN_SUFFIX)
            if self._is_looked_at_first(run):
                ended.append((attempt, requeue(LOOKED_AT_FIRST, RECHECK_S)))
            elif answer is None or isinstance(message, Unsendable):
                reason = message.reason if isinstance(message, Unsendable) else NOT_DEFINED
                ended.append((attempt, suppress(reason, unanswered=attempt.unanswered)))
                instead += self._instead(run)
            elif answer.verdict is Verdict.PASS:
                key = self._address_key(self._persons[run.leaf_id], self.destination)
                template = self._template(run, PLAIN_SUFFIX if answer.is_plain else "")
                version = template.version if template else 0
                begun.append(Beginning(self._repeating(attempt, run), message, key, version))
                began_before.add(effect_id)
            elif answer.reason is GateReason.IN_ORDER:
                ended.append((attempt, requeue(answer.text, RECHECK_S)))
            elif answer.verdict is Verdict.POSTPONE:
                ended.append((attempt, hold(answer.text, answer.until_us)))
        for effect_id, (attempt, run) in attempts.items():
            answer = answers.get(effect_id)
            if answer is None or answer.verdict is not Verdict.SUPPRESS:
                continue
            if self._is_looked_at_first(run):
                continue
            waits = answer.reason is GateReason.CAPPED and answer.evidence not in began_before
            if waits:
                # The more important message has not begun, and may never do so.
                ended.append((attempt, requeue("priority", RECHECK_S)))
                continue
            ended.append((attempt, suppress(answer.text, unanswered=attempt.unanswered)))
            if answer.reason in _NO_ADDRESS:
                instead += self._instead(run)
        return Admitted(begun, ended), instead

    def _is_looked_at_first(self, run: RunEffect) -> bool:
        """Return whether a look at the person is due, which may withdraw the message."""
        leaves = self._persons[run.leaf_id].leaf_ids
        journeys = run.journey_id, EVERY_JOURNEY
        return any((id_, leaf) in self.awaited_looks for id_ in journeys for leaf in leaves)

    def _repeating(self, attempt: Attempt, run: RunEffect) -> Attempt:
        """Return an attempt that is repeated, or not, where its answer is lost.

        What a contract or a law demands is better sent twice than not at all.
        """
        need = self.definitions.policy.purpose(run.purpose).consent
        return replace(attempt, repeats=need is ConsentNeed.NOTHING)

    def _answers(
        self,
        person: Recipient,
        runs: Sequence[RunEffect],
        contacts: Sequence[Contact],
        addresses: Mapping[bytes, AddressState],
    ) -> dict[bytes, GateAnswer]:
        """Return the answers to the messages of a person, others that could begin included.

        `runs`: what the attempts are at; `contacts`: those of the person.
        """
        messages, sent = [], []
        attempted = {run.effect_id for run in runs}
        open_: list[RunEffect | Contact] = [*runs, *(c for c in contacts if c.is_open)]

        def is_behind(own: RunEffect | Contact) -> bool:
            """Return whether an earlier message to the person and the destination is open."""
            to = own.destination_id
            return any(e.destination_id == to and e.at_us < own.at_us for e in open_)

        for run in runs:
            if not isinstance(self._messages[run.effect_id], Unsendable):
                to_own = person, self.destination, addresses
                messages.append(self._message(run, *to_own, has_predecessor=is_behind(run)))
        for contact in contacts:
            if contact.effect_id in attempted:
                continue
            if contact.begun_at_us is not None:
                begun = contact.begun_at_us, contact.purpose, contact.journey_id
                sent.append(SentMessage(contact.effect_id, *begun))
                continue
            to = self.definitions.destinations.get(contact.destination_id)
            if to is not None and not to.retired and self._step(contact) is not None:
                to_other = person, to, addresses
                is_second = is_behind(contact)
                messages.append(self._message(contact, *to_other, has_predecessor=is_second))
        zone = zone_of(self.definitions.policy.zone, person.traits, person.zones_of_phone)
        known = GatePerson(ZoneHistory(zone), consents_of(person.consents), sent)
        return gate.pass_gate(messages, known, self.definitions.policy, self.now_us)

    def _message(
        self,
        effect: RunEffect | Contact,
        person: Recipient,
        destination: Destination,
        addresses: Mapping[bytes, AddressState],
        *,
        has_predecessor: bool,
    ) -> GateMessage:
        definitions, step = self.definitions, self._step(effect)
        journey_flows = definitions.journey_flows.get(effect.journey_id, ())
        own_flows = definitions.destination_flows.get(destination.destination_id, ())
        until_us = valid_until(effect.at_us, effect.valid_until_us, journey_flows)
        until_us = valid_until(effect.at_us, until_us, own_flows)
        program = definitions.programs.get((effect.journey_id, effect.journey_version))
        address = AddressState.USABLE
        if destination.channel.contract.is_addressed:
            key = self._address_key(person, destination)
            address = addresses.get(key, AddressState.USABLE) if key else AddressState.MISSING
        return GateMessage(
            effect.effect_id,
            effect.journey_id,
            effect.purpose,
            contact_channel(destination.channel),
            effect.at_us,
            effect.leaf_id,
            effect.priority,
            max(1, until_us - effect.at_us) if until_us else 0,
            program.journey.caps if program else (),
            flow_of(journey_flows),
            flow_of(own_flows),
            address=address,
            is_personalised=effect.purpose == DEFAULT_PURPOSE
            and step is not None
            and is_personalised(self._template(effect), step),
            has_plain_variant=self._template(effect, PLAIN_SUFFIX) is not None,
            has_predecessor=has_predecessor,
        )

    def _instead(self, run: RunEffect) -> list[RunEffect]:
        """Return the effect that is sent instead of one that cannot be, if its step names one."""
        step = self._step(run)
        if step is None or not step.else_to:
            return []
        other = self.definitions.step(run.journey_id, run.journey_version, step.else_to)
        if other is None:
            return []
        return [
            structs.replace(
                run,
                effect_id=run_effect_id(run.run_id, (other.id, run.visit)),
                step_id=other.id,
                destination_id=other.destination_id,
                purpose=other.purpose or run.purpose,
                valid_until_us=run.at_us + other.valid_us if other.valid_us else 0,
            )
        ]
