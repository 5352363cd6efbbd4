"""Renders the payload of a message once per effect, from the current profile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any, NamedTuple, TypeAlias

import msgspec
from onefold.profile.v1 import profile_service_pb2 as pb
from onefold.profile.v1 import profile_service_pb2_grpc as pb_grpc

from services.activation.codec.recipients import ids_of, recipient_of
from services.activation.domain.liquid_text import BadTemplate, MissingValue
from services.activation.domain.model import Destination, Trigger
from services.activation.domain.policy.contact import tracking_of
from services.activation.domain.recipients import Recipient
from services.activation.domain.templates import Template, missing_part, render_texts
from services.activation.store.effects import Attempt
from services.chassis.access.principal import workspace_metadata
from services.chassis.codec.fields import token_to_proto
from services.chassis.rpc.channel import ServiceChannel
from services.kernel.errors import RetryableError
from services.kernel.ids import LeafId, WorkspaceId, to_hex
from services.kernel.time import to_rfc3339
from services.kernel.tokens import Token

#: Attempts that are rendered alone at the same time, where they cannot be rendered together.
ALONE_CONCURRENCY = 16
#: Codes of a RetryableError that say nothing about one profile; "" = the service itself raised it.
_AWAY_CODES = frozenset({"", "UNAVAILABLE"})
NO_TEMPLATE = "the template is not defined, or is retired"
#: Returns a template by `ID`, its newest version, or `ID@VERSION`; None = there is none.
LoadTemplate: TypeAlias = Callable[[WorkspaceId, str], Awaitable[Template | None]]
#: Returns the persons of leaves of a workspace, at least as new as a state of the log.
LoadPersons: TypeAlias = Callable[
    [WorkspaceId, Collection[LeafId], Token], Awaitable[dict[LeafId, Recipient]]
]
_MESSAGE_TYPES = {Trigger.ENTERED: "segment.entered", Trigger.LEFT: "segment.left"}


class Unsendable(NamedTuple):
    """Why a message is not sent to a person, such as that there is no address."""

    #: Names what is missing; holds nothing personal.
    reason: str


class Rendered(NamedTuple):
    """The payloads of some attempts, and why others have none."""

    payloads: list[tuple[Attempt, bytes]]
    refusals: list[tuple[Attempt, Unsendable]]
    errors: list[tuple[Attempt, Exception]]


class ProfileReader:
    """Reads the profiles of persons by any of their ids."""

    def __init__(self, profiles: ServiceChannel) -> None:
        self._stub: Any = pb_grpc.ProfileServiceStub(profiles)

    async def read(
        self, workspace_id: WorkspaceId, ids: Collection[bytes], at_least: Token | None
    ) -> dict[bytes, pb.Profile]:
        """Return the profile of each id of a leaf or of a profile, also an old one.

        Ids without data are left out. Raises OnefoldError.
        """
        request = pb.BatchGetProfilesRequest(
            profile_ids=sorted(map(to_hex, ids)),
            at_least=None if at_least is None else token_to_proto(at_least),
        )
        metadata = workspace_metadata(workspace_id)
        response = await self._stub.BatchGetProfiles(request, metadata=metadata)
        wanted = frozenset(ids)
        return {id_: profile for profile in response.profiles for id_ in wanted & ids_of(profile)}


class Renderer:
    """Renders payloads from the profiles that profile returns, and from templates.

    `log_head`: returns the state of the log that includes everything so far.
    """

    def __init__(
        self,
        profiles: ServiceChannel,
        templates: LoadTemplate,
        log_head: Callable[[], Awaitable[Token]],
    ) -> None:
        self._profiles = ProfileReader(profiles)
        self._load_template = templates
        self._log_head = log_head

    async def render(
        self, destination: Destination, attempts: Sequence[Attempt]
    ) -> list[tuple[Attempt, bytes | Unsendable]]:
        """Return a payload for each attempt. Raises OnefoldError where profile is unavailable.

        A refusal is final, and an address may be in another shard than the event that made the
        membership. So it rests on all that the log has now.
        """
        template = None
        if destination.channel.contract.parts:
            template = await self._load_template(destination.workspace_id, destination.template_id)
            if template is None or template.retired:
                return [(a, Unsendable(NO_TEMPLATE)) for a in attempts]
        rendered = await self._rendered(destination, template, attempts, None)
        refused = [a for a in attempts if isinstance(rendered[a.effect_id], Unsendable)]
        if refused:
            head = await self._log_head()
            rendered |= await self._rendered(destination, template, refused, head)
        return [(attempt, rendered[attempt.effect_id]) for attempt in attempts]

    async def _rendered(
        self,
        destination: Destination,
        template: Template | None,
        attempts: Sequence[Attempt],
        at_least: Token | None,
    ) -> dict[bytes, bytes | Unsendable]:
        """Return the payloads by effect."""
        ids = {attempt.profile_id for attempt in attempts}
        profiles = await self._profiles.read(destination.workspace_id, ids, at_least)
        found: dict[bytes, bytes | Unsendable] = {}
        for attempt in attempts:
            profile = profiles.get(attempt.profile_id)
            if template is None:
                found[attempt.effect_id] = render_payload(destination, attempt, profile)
            else:
                found[attempt.effect_id] = render_message(destination, template, attempt, profile)
        return found


class PersonReader:
    """Reads the persons that messages of runs go to."""

    def __init__(self, profiles: ServiceChannel) -> None:
        self._profiles = ProfileReader(profiles)

    async def __call__(
        self, workspace_id: WorkspaceId, leaf_ids: Collection[LeafId], at_least: Token
    ) -> dict[LeafId, Recipient]:
        """Return the person of each leaf; one without data is alone. Raises OnefoldError."""
        profiles = await self._profiles.read(workspace_id, leaf_ids, at_least)
        persons = {profile.profile_id: recipient_of(profile) for profile in profiles.values()}
        found = {LeafId(id_): persons[profile.profile_id] for id_, profile in profiles.items()}
        return found | {id_: Recipient(leaf_ids=(id_,)) for id_ in leaf_ids if id_ not in found}


async def render_each(
    renderer: Renderer, destination: Destination, attempts: Sequence[Attempt]
) -> Rendered:
    """Render the payloads of attempts together, and each alone where that fails.

    So an attempt that cannot be rendered has an error of its own, and the others have payloads.
    """
    try:
        rendered = await renderer.render(destination, attempts)
    except Exception as error:
        if len(attempts) == 1:
            return Rendered([], [], [(attempts[0], error)])
    else:
        return Rendered(
            [(a, each) for a, each in rendered if not isinstance(each, Unsendable)],
            [(a, each) for a, each in rendered if isinstance(each, Unsendable)],
            [],
        )
    result, limit = Rendered([], [], []), asyncio.Semaphore(ALONE_CONCURRENCY)

    async def render_alone(attempt: Attempt) -> None:
        async with limit:
            alone = await render_each(renderer, destination, [attempt])
        result.payloads.extend(alone.payloads)
        result.refusals.extend(alone.refusals)
        result.errors.extend(alone.errors)

    async with asyncio.TaskGroup() as group:
        for attempt in attempts:
            group.create_task(render_alone(attempt))
    return result


def is_profile_away(error: Exception) -> bool:
    """Return whether an error is that of a service that is away, whatever the request is.

    A service that does not respond in time may fail at one profile alone.
    """
    return isinstance(error, RetryableError) and error.metadata.get("code", "") in _AWAY_CODES


def render_payload(destination: Destination, attempt: Attempt, profile: pb.Profile | None) -> bytes:
    """Return one message as JSON (UTF-8).

    `data.profile.id` is the profile that entered or left. If it has been merged since, the
    identifiers and traits are those of the profile it was merged into. A profile without any data
    is rendered with its id alone.
    """
    rendered: dict[str, Any] = {"id": to_hex(attempt.profile_id)}
    if profile is not None:
        rendered["identifiers"] = [
            {"namespace": i.namespace, "value": i.value} for i in profile.identifiers
        ]
        rendered["traits"] = {
            trait.name: msgspec.Raw(trait.value)
            for trait in profile.traits
            if trait.name in destination.traits
        }
        if tags := recipient_of(profile).tags_for(destination):
            rendered["tags"] = tags
    return msgspec.json.encode(
        {
            "id": to_hex(attempt.effect_id),
            "type": _type_of(attempt),
            "timestamp": to_rfc3339(attempt.changed_at_us),
            "data": {
                "workspace": destination.workspace_id,
                "occurred_at": _occurred_at(attempt),
                "segment": attempt.segment_id,
                "ordinal": attempt.ordinal,
                "profile": rendered,
                "content": msgspec.Raw(destination.content),
            },
        }
    )


def render_message(
    destination: Destination, template: Template, attempt: Attempt, profile: pb.Profile | None
) -> bytes | Unsendable:
    """Return one message of a template as JSON (UTF-8), or why it is not sent."""
    contract = destination.channel.contract
    recipient = recipient_of(profile or pb.Profile())
    traits, to = recipient.traits, ""
    if contract.is_addressed and not (to := recipient.address_for(destination)):
        return Unsendable(f"the profile has no {destination.address or contract.address}")
    texts = template.texts_for(str(traits.get("locale", "")))
    if missing := missing_part(texts, contract):
        return Unsendable(f"the template has no {missing}")
    variables = {
        "person": traits,
        "segment": attempt.segment_id,
        "trigger": _type_of(attempt),
        "changed_at": to_rfc3339(attempt.changed_at_us),
        "occurred_at": _occurred_at(attempt),
        "content": msgspec.json.decode(destination.content),
    }
    try:
        message = render_texts(template, texts, variables, str(traits.get("timezone", "")))
    except (MissingValue, BadTemplate) as error:
        return Unsendable(f"template: {error}")
    tracking = tracking_of(recipient.consents, destination.channel)
    return msgspec.json.encode(
        msgspec.structs.replace(
            message, to=to, tracks_links=tracking.links, tracks_opens=tracking.opens
        )
    )


def _occurred_at(attempt: Attempt) -> str:
    at_us = attempt.occurred_at_us
    return to_rfc3339(attempt.changed_at_us if at_us is None else at_us)


def _type_of(attempt: Attempt) -> str:
    if attempt.trigger is None:
        raise ValueError("the message of a run has no trigger")
    return _MESSAGE_TYPES[attempt.trigger]
