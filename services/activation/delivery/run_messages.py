"""Renders the messages that runs of journeys send."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from services.activation.delivery.render import Unsendable
from services.activation.domain import liquid_text
from services.activation.domain.coupons import Coupon, coupon_variables
from services.activation.domain.liquid_text import BadTemplate, MissingValue
from services.activation.domain.model import Destination, RunEffect
from services.activation.domain.policy.contact import tracking_of
from services.activation.domain.recipients import Recipient
from services.activation.domain.templates import (
    RenderedMessage,
    Template,
    Texts,
    missing_part,
    render_texts,
)
from services.kernel.ids import to_hex
from services.kernel.journeys.model import SendStep
from services.kernel.time import to_rfc3339

#: What a message of a run is called where a channel sends descriptions.
MESSAGE_TYPE: Final = "journey.message"
#: What templates know of a person's doings; without them a message is the same for all persons.
_PERSONAL: Final = frozenset({"person", "entry", "occasion"})
#: What of a template that a run sends is rendered.
RUN_VARIABLES: Final = frozenset({"person", "entry", "coupon", "occasion", "journey"})


def is_personalised(template: Template | None, step: SendStep) -> bool:
    """Return whether the content of a step depends on the person or on what the person did."""
    if step.values:
        return True
    if template is None:
        return False
    sources = [source for texts in template.texts for _, source in texts.sources()]
    return any(_PERSONAL & liquid_text.variables_of(source) for source in sources)


def render_run_message(
    destination: Destination,
    template: Template | None,
    step: SendStep,
    effect: RunEffect,
    recipient: Recipient,
    ends_with: str = "",
    coupons: Sequence[Coupon] = (),
) -> bytes | Unsendable:
    """Return the message of a run as JSON (UTF-8), or why it is not sent.

    `ends_with`: how its text must end, as a law demands it. `coupons`: those of the run.
    """
    contract = destination.channel.contract
    to = ""
    if contract.is_addressed and not (to := recipient.address_for(destination)):
        return Unsendable(f"the profile has no {destination.address or contract.address}")
    if template is None or template.retired:
        return Unsendable("the template is not defined, or is retired")
    texts = template.texts_for(str(recipient.traits.get("locale", "")))
    if missing := missing_part(texts, contract):
        return Unsendable(f"the template has no {missing}")
    try:
        variables = variables_of(step, effect, recipient, coupons)
        message = _rendered(template, texts, variables, recipient)
    except (MissingValue, BadTemplate) as error:
        return Unsendable(f"template: {error}")
    if ends_with and message.text and not message.text.rstrip().endswith(ends_with):
        message = msgspec.structs.replace(message, text=f"{message.text.rstrip()} {ends_with}")
    if contract.parts:
        source = destination.address or contract.address
        namespace = source.removeprefix("identifier ") if source.startswith("identifier ") else ""
        tracking = tracking_of(recipient.consents, destination.channel)
        return msgspec.json.encode(
            msgspec.structs.replace(
                message,
                to=to,
                purpose=effect.purpose,
                namespace=namespace,
                tracks_links=tracking.links,
                tracks_opens=tracking.opens,
            )
        )
    return _description(destination, step, effect, recipient, message)


def variables_of(
    step: SendStep, effect: RunEffect, recipient: Recipient, coupons: Sequence[Coupon] = ()
) -> dict[str, Any]:
    """Return what the template of a step is rendered with.

    Raises MissingValue for a path of `with` that leads nowhere.
    """
    known: dict[str, Any] = {
        "person": recipient.traits,
        "journey": {"id": effect.journey_id, "step": effect.step_id},
        "coupon": coupon_variables(coupons),
        **msgspec.json.decode(effect.variables, type=dict[str, Any]),
    }
    return known | {name: _at(known, path) for name, path in step.values.items()}


def _rendered(
    template: Template, texts: Texts, variables: Mapping[str, Any], recipient: Recipient
) -> RenderedMessage:
    zone = recipient.traits.get("timezone", "")
    return render_texts(template, texts, variables, str(zone))


def _at(variables: Any, path: str) -> Any:
    for part in path.split("."):
        if not isinstance(variables, Mapping) or part not in variables:
            raise MissingValue(path)
        variables = variables[part]
    return variables


def _description(
    destination: Destination,
    step: SendStep,
    effect: RunEffect,
    recipient: Recipient,
    message: RenderedMessage,
) -> bytes:
    """Return the message for a system: the person and the rendered texts."""
    traits = {
        name: recipient.traits[name] for name in destination.traits if name in recipient.traits
    }
    identifiers = [
        {"namespace": namespace, "value": value} for namespace, value in recipient.identifiers
    ]
    own_id = recipient.profile_id or to_hex(effect.profile_id)
    person: dict[str, Any] = {"id": own_id, "identifiers": identifiers, "traits": traits}
    if tags := recipient.tags_for(destination):
        person["tags"] = tags
    return msgspec.json.encode(
        {
            "id": to_hex(effect.effect_id),
            "type": MESSAGE_TYPE,
            "timestamp": to_rfc3339(effect.at_us),
            "data": {
                "workspace": effect.workspace_id,
                "journey": effect.journey_id,
                "version": effect.journey_version,
                "step": effect.step_id,
                "purpose": effect.purpose,
                "profile": person,
                "message": message,
                "content": msgspec.Raw(destination.content),
            },
        }
    )
