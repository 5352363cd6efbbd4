"""Defines journeys as facts of the log, and begins runs by calls."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, NamedTuple, NoReturn

from services.activation.codec.journey_facts import journey_call, journey_definition
from services.activation.delivery.run_messages import RUN_VARIABLES
from services.activation.domain.journeys.catalogue import JourneyHistory
from services.activation.domain.journeys.edits import StepEdit, check_edit, count_edit
from services.activation.domain.journeys.receivers import receiver_problems
from services.activation.domain.liquid_text import members_of
from services.activation.domain.model import Destination
from services.activation.domain.templates import Template, check_fits
from services.activation.projection.journeys.replays import JourneyReplays
from services.activation.projection.upstream import RuleChecker
from services.activation.store.coupons import load_pools
from services.activation.store.desk import load_newest_queues
from services.activation.store.destinations import load_destinations
from services.activation.store.journeys import load_contact_policy, load_journeys_of_workspace
from services.activation.store.run_reads import count_open_runs
from services.activation.store.templates import load_template, load_templates
from services.chassis.codec.fields import token_from_proto
from services.chassis.definitions import (
    Defined,
    WorkspaceLocks,
    check_room,
    define,
    next_definition,
)
from services.chassis.postgres.database import Database, acquire
from services.chassis.projection.runner import ProjectionRunner
from services.chassis.rpc.clients import IdentityClient, LogClient
from services.kernel.errors import InvalidField, NotFound
from services.kernel.identifiers.model import Identifier
from services.kernel.ids import WorkspaceId
from services.kernel.journeys.checks import check_journey
from services.kernel.journeys.contact_policy import ContactPolicy
from services.kernel.journeys.coupons import CouponPool
from services.kernel.journeys.inputs import entry_properties
from services.kernel.journeys.model import CallTrigger, Journey, PeopleInside, SendStep
from services.kernel.journeys.naming import JourneyProblem, KnownNames
from services.kernel.journeys.template_names import template_id_of
from services.kernel.journeys.tree import all_steps, with_coupon_uses
from services.kernel.rules.references import Name
from services.kernel.tokens import Token

#: Journeys of a workspace, retired ones included.
MAX_JOURNEYS: Final = 500
MAX_ID: Final = 128
#: Messages that an edit may send to people inside within an hour without being confirmed.
FREE_MESSAGES: Final = 100
MAX_TITLE: Final = 200
MAX_PROPERTIES: Final = 64 * 1024


class Assumed(NamedTuple):
    """What a dry run takes as defined, such as the other parts of a pack."""

    destinations: Collection[str] = ()
    templates: Collection[str] = ()
    journeys: Collection[str] = ()
    #: Segments, tags and stages.
    names: Collection[Name] = ()
    coupon_pools: Collection[CouponPool] = ()
    queues: Collection[str] = ()


class DefinedJourney(NamedTuple):
    """A journey that is in force, or would be, and what is likely to be a mistake of it."""

    defined: Defined[Journey]
    warnings: Sequence[JourneyProblem]
    #: What a dry run would do with open runs.
    people: Sequence[StepEdit] = ()
    #: How many messages it sends to open runs within an hour that would not be sent without it.
    messages: int = 0


@dataclass(frozen=True)
class _Workspace:
    """What is defined beside a journey."""

    journeys: Mapping[str, JourneyHistory]
    destinations: Mapping[str, Destination]
    #: Newest versions.
    templates: Mapping[str, Template]
    #: Those versions that the journey names, by `ID@VERSION`.
    pinned_templates: Mapping[str, Template]
    policy: ContactPolicy
    pools: Mapping[str, CouponPool]
    queues: Collection[str]


@dataclass(frozen=True)
class JourneyCommands:
    """Defines journeys and begins runs by calls."""

    database: Database
    runner: ProjectionRunner
    log: LogClient
    identity: IdentityClient
    rules: RuleChecker
    replays: JourneyReplays
    #: One definition of a workspace at a time.
    locks: WorkspaceLocks = field(default_factory=WorkspaceLocks)

    async def define(
        self,
        workspace_id: WorkspaceId,
        desired: Journey,
        *,
        etag: str = "",
        dry_run: bool = False,
        assumed: Assumed | None = None,
        confirmed: int = 0,
    ) -> DefinedJourney:
        """Define a version of a journey; its number is ignored. `assumed`: for a dry run.

        `confirmed`: the most messages that an edit may send to open runs within an hour, beyond
        `FREE_MESSAGES`. Raises InvalidField with all mistakes, Conflict, RetryableError.
        """
        _check_texts(desired)
        taken = assumed if dry_run and assumed is not None else Assumed()
        warnings: list[JourneyProblem] = []
        resolved, messages = desired, 0
        to_fact = partial(journey_definition, workspace_id)

        async def load(token: Token) -> Journey | None:
            nonlocal resolved, messages
            await self.runner.reach(token)
            existing = await self._load(workspace_id, desired)
            pools = {**existing.pools, **{pool.pool_id: pool for pool in taken.coupon_pools}}
            resolved = with_coupon_uses(desired, {id_: pool.used for id_, pool in pools.items()})
            history = existing.journeys.get(desired.journey_id)
            current = history.versions[-1].program.journey if history is not None else None
            check_room(existing.journeys, desired.journey_id, MAX_JOURNEYS, thing="journey")
            if not desired.retired:
                more = await self.rules.problems(workspace_id, desired, token, taken.names)
                more += [] if current is None else check_edit(current, desired)
                warnings[:] = _check(desired, existing, taken, more)
            if current is not None and next_definition(current, resolved, to_fact) is not current:
                messages = await self._count_messages(workspace_id, current, resolved)
                if not dry_run:
                    _check_confirmed(messages, confirmed)
            return current

        async with self.locks.of(workspace_id):
            defined = await define(
                lambda _: resolved,
                log=self.log,
                load=load,
                to_fact=to_fact,
                etag=etag,
                dry_run=dry_run,
            )
        if not (dry_run and defined.changed and defined.version_in_force):
            return DefinedJourney(defined, warnings)
        async with acquire(self.database.api_pool) as conn:
            open_runs = await count_open_runs(conn, workspace_id, desired.journey_id)
        return DefinedJourney(defined, warnings, count_edit(open_runs, desired), messages)

    async def _count_messages(
        self, workspace_id: WorkspaceId, current: Journey, desired: Journey
    ) -> int:
        """Return how many messages an edit sends to open runs within an hour."""
        if desired.people_inside is not PeopleInside.MOVE:
            return 0
        following = desired.at_version(current.version + 1)
        return await self.replays.count_edit(workspace_id, following)

    async def enter(
        self,
        workspace_id: WorkspaceId,
        journey_id: str,
        identifiers: Sequence[Identifier],
        properties: bytes,
        request_id: str,
    ) -> tuple[bool, Token]:
        """Begin a run of a journey that calls begin; return whether it is new.

        The fact lies under the profile that has the first of the identifiers which one has. A
        second call with the `request_id` begins nothing. Raises InvalidField, NotFound, Conflict,
        RetryableError.
        """
        if not 0 < len(request_id) <= MAX_ID:
            raise InvalidField(f"has 1 to {MAX_ID} characters", field="request_id")
        if len(properties) > MAX_PROPERTIES:
            raise InvalidField(f"has at most {MAX_PROPERTIES} bytes", field="properties")
        async with acquire(self.database.api_pool) as conn:
            journeys = await load_journeys_of_workspace(conn, workspace_id)
        history = journeys.get(journey_id)
        if history is None or history.versions[-1].program.journey.retired:
            raise NotFound("no journey has this id; list them")
        if not isinstance(history.versions[-1].program.journey.entry.by, CallTrigger):
            raise InvalidField(
                "no call begins this journey: write `enter: {call: true}` in it", field="journey_id"
            )
        for identifier in identifiers:
            profile_id = await self.identity.by_identifier(workspace_id, identifier)
            if profile_id is not None:
                break
        else:
            raise NotFound("no person has such an identifier: send an event of the person first")
        fact = journey_call(workspace_id, journey_id, profile_id, properties, request_id)
        response = await self.log.append([fact])
        return response.appended > 0, token_from_proto(response.token)

    async def _load(self, workspace_id: WorkspaceId, desired: Journey) -> _Workspace:
        async with acquire(self.database.api_pool) as conn:
            journeys = await load_journeys_of_workspace(conn, workspace_id)
            destinations = await load_destinations(conn, workspace_id)
            templates = await load_templates(conn, workspace_id)
            pinned = {
                step.template: await load_template(conn, workspace_id, step.template)
                for step in all_steps(desired)
                if isinstance(step, SendStep) and step.template != template_id_of(step.template)
            }
            policy = await load_contact_policy(conn, workspace_id)
            pools = await load_pools(conn, workspace_id)
            queues = await load_newest_queues(conn, workspace_id)
        return _Workspace(
            journeys,
            {each.destination_id: each for each in destinations if not each.retired},
            {each.template_id: each for each in templates if not each.retired},
            {name: template for name, template in pinned.items() if template is not None},
            policy[0] if policy is not None else ContactPolicy(),
            {id_: pool for id_, pool in pools.items() if not pool.retired},
            [id_ for id_, queue in queues.items() if not queue.retired],
        )


def _check(
    desired: Journey, existing: _Workspace, assumed: Assumed, more: Sequence[JourneyProblem]
) -> list[JourneyProblem]:
    """Return the warnings about a journey. Raises InvalidField with all mistakes."""
    known = KnownNames(
        destinations=frozenset({*existing.destinations, *assumed.destinations}),
        templates=frozenset({*existing.templates, *assumed.templates}),
        journeys=frozenset({*existing.journeys, *assumed.journeys, desired.journey_id}),
        pools=frozenset({*existing.pools, *(pool.pool_id for pool in assumed.coupon_pools)}),
        queues=frozenset({*existing.queues, *assumed.queues}),
    )
    return check_journey(
        desired,
        known,
        has_quiet_hours=bool(existing.policy.quiet_hours(desired.purpose)),
        more=[
            *more,
            *_message_problems(desired, existing, assumed),
            *receiver_problems(desired, existing.destinations),
        ],
    )


def _check_confirmed(messages: int, confirmed: int) -> None:
    """Raise InvalidField where an edit sends more messages than its author has agreed to."""
    if messages > max(confirmed, FREE_MESSAGES):
        raise InvalidField(
            f"the edit would send {messages:,} messages to people inside within an hour: confirm it"
            f" with {messages}, or change the steps",
            field="confirmed_messages",
        )


def _message_problems(
    journey: Journey, existing: _Workspace, assumed: Assumed
) -> Iterator[JourneyProblem]:
    """Yield the messages whose template does not fit the channel, or what the journey gives."""
    properties = entry_properties(journey)
    for step in all_steps(journey):
        if not isinstance(step, SendStep):
            continue
        template = newest = existing.templates.get(template_id_of(step.template))
        if step.template != template_id_of(step.template):
            template = existing.pinned_templates.get(step.template)
            if newest and template is None and newest.template_id not in assumed.templates:
                problem = f"the template {newest.template_id!r} has no such version"
                remedy = f"write {newest.template_id}@{newest.version}, or none for the newest"
                yield JourneyProblem(step.id, problem, remedy)
        destination = existing.destinations.get(step.destination_id)
        if template is None or destination is None:
            continue
        try:
            check_fits(template, destination.channel.contract, RUN_VARIABLES | step.values.keys())
        except InvalidField as error:
            remedy = "change the template, or write `with` for what it reads"
            yield JourneyProblem(step.id, error.message, remedy)
            continue
        sources = (source for texts in template.texts for _, source in texts.sources())
        read = {name for source in sources for name in members_of(source, "entry")}
        if missing := sorted(read - properties):
            name = missing[0]
            problem = f"the template reads `entry.{name}`, which the journey does not take along"
            remedy = f"write `with: {{{name}: entry.{name}}}` at this step"
            yield JourneyProblem(step.id, problem, remedy)


def _check_texts(journey: Journey) -> None:
    if not 0 < len(journey.journey_id) <= MAX_ID or not journey.journey_id.isprintable():
        _reject("journey_id", f"has 1 to {MAX_ID} printable characters")
    if len(journey.title) > MAX_TITLE or "\0" in journey.title:
        _reject("title", f"has at most {MAX_TITLE} characters and no NUL")


def _reject(field_: str, expected: str) -> NoReturn:
    raise InvalidField(f"{field_} {expected}", field=f"journey.{field_}")
