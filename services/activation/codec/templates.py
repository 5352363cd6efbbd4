"""Translates templates between the domain and TemplateDefined."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import msgspec
from onefold.activation.v1 import activation_facts_pb2 as pb
from onefold.activation.v1 import activation_service_pb2 as service_pb

from services.activation.domain.liquid_text import BadTemplate, MissingValue
from services.activation.domain.templates import (
    DEFAULT_ZONE,
    RenderedMessage,
    Template,
    Texts,
    render_texts,
    sms_count,
)
from services.chassis.codec.payloads import decode_payload
from services.kernel.errors import InvalidField
from services.kernel.ids import WorkspaceId

TEMPLATE_DEFINED: str = pb.TemplateDefined.DESCRIPTOR.full_name


@lru_cache(maxsize=1_024)
def decode_template(workspace_id: str, payload: bytes) -> Template:
    """Return the template of a serialised TemplateDefined. Raises InvalidField."""
    message = decode_payload(pb.TemplateDefined, payload, "template")
    return template_from_proto(workspace_id, message)


def template_from_proto(workspace_id: str, message: pb.TemplateDefined) -> Template:
    """Return the template of a message. Raises InvalidField."""
    return Template(
        WorkspaceId(workspace_id),
        message.template_id,
        message.version,
        message.title,
        tuple(map(_texts, message.texts)),
        tuple(message.needs),
        msgspec.json.encode(json_object(message.sample, "template.sample"), order="sorted"),
        message.zone or DEFAULT_ZONE,
        message.retired,
    )


def template_to_proto(template: Template) -> pb.TemplateDefined:
    """Return the TemplateDefined of a template."""
    return pb.TemplateDefined(
        template_id=template.template_id,
        title=template.title,
        texts=[
            pb.TemplateTexts(
                locale=texts.locale,
                subject=texts.subject,
                text=texts.text,
                html=texts.html,
                provider_template=texts.provider_template,
                parameters=_parameters(texts.parameters),
            )
            for texts in template.texts
        ],
        needs=template.needs,
        sample=template.sample,
        zone=template.zone,
        version=template.version,
        retired=template.retired,
    )


def rendered_locales(
    template: Template, variables: dict[str, Any]
) -> list[service_pb.RenderedTemplate]:
    """Return the template as it is rendered in each locale, or what it misses there."""
    return [_preview(template, texts, variables) for texts in template.texts]


def _preview(
    template: Template, texts: Texts, variables: dict[str, Any]
) -> service_pb.RenderedTemplate:
    rendered, missing = RenderedMessage(), ""
    try:
        rendered = render_texts(template, texts, variables)
    except (MissingValue, BadTemplate) as error:
        missing = str(error)
    return service_pb.RenderedTemplate(
        locale=texts.locale,
        subject=rendered.subject,
        text=rendered.text,
        html=rendered.html,
        parameters=_parameters(rendered.parameters),
        sms_count=sms_count(rendered.text),
        missing=missing,
    )


def json_object(raw: bytes, field: str) -> dict[str, Any]:
    """Return a JSON object; empty bytes are an empty one. Raises InvalidField."""
    try:
        return msgspec.json.decode(raw or b"{}", type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidField(f"{field} is a JSON object", field=field) from None


def _texts(message: pb.TemplateTexts) -> Texts:
    return Texts(
        message.locale,
        message.subject,
        message.text,
        message.html,
        message.provider_template,
        tuple((each.name, each.value) for each in message.parameters),
    )


def _parameters(named: tuple[tuple[str, str], ...]) -> list[pb.TemplateParameter]:
    return [pb.TemplateParameter(name=name, value=value) for name, value in named]
