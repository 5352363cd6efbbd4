"""Reads and writes destinations and templates of messages in their form in YAML."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from google.protobuf.descriptor import FieldDescriptor
from onefold.activation.v1 import activation_facts_pb2 as pb
from onefold.type.v1 import options_pb2

from services.cli.values import count, entries, flag, mapping, set_fields, text, texts
from services.kernel.errors import InvalidField

_TRIGGERS = {"entered": pb.TRIGGER_ENTERED, "left": pb.TRIGGER_LEFT}
_ONEOF: Any = pb.DestinationDefined.DESCRIPTOR.oneofs_by_name["channel"]
#: By the name of a channel: the descriptors of its settings.
_CHANNELS: dict[str, list[Any]] = {
    field.name: list(field.message_type.fields) for field in _ONEOF.fields
}
#: The channels of which every setting is needed; of the others the service says which ones are.
_COMPLETE = frozenset({"webhook", "nats", "file"})
_ADDRESS_KINDS = ("identifier", "trait")
#: Makes a text that a pack replaces nothing in.
Escape = Callable[[Any], Any]


def _is_secret(field: Any) -> bool:
    return bool(field.GetOptions().Extensions[options_pb2.secret])


#: The names of all settings that are secrets.
SECRET_KEYS = frozenset(f.name for fields in _CHANNELS.values() for f in fields if _is_secret(f))


def read_destination(entry: Any, path: str) -> pb.DestinationDefined:
    """Return the destination of a form. Raises InvalidField."""
    plain = {"id", "title", "segments", "on", "traits", "content", "template", "address", "retired"}
    values = mapping(entry, path, plain | set(_CHANNELS))
    message = pb.DestinationDefined(
        destination_id=text(values, "id", path, required=True),
        title=text(values, "title", path),
        segment_ids=texts(values, "segments", path),
        triggers=[_trigger(word, f"{path}.on") for word in texts(values, "on", path)],
        traits=texts(values, "traits", path),
        content=msgspec.json.encode(mapping(values.get("content", {}), f"{path}.content")),
        template_id=text(values, "template", path),
        address=_address(values.get("address"), f"{path}.address"),
        retired=flag(values, "retired", path),
    )
    _set_channel(message, values, path)
    return message


def write_destination(
    message: pb.DestinationDefined, variables: str, escape: Escape
) -> dict[str, Any]:
    """Return the form of a destination.

    `variables`: what the names of the variables with its secrets begin with.
    """
    channel = message.WhichOneof("channel") or ""
    of, settings = getattr(message, channel), dict[str, Any]()
    for field in _CHANNELS[channel]:
        if not _is_secret(field):
            settings |= set_fields(**{field.name: escape(getattr(of, field.name))})
        elif getattr(of, field.name) or field.name in message.secret_names:
            settings[field.name] = f"${{{variables}{field.name.upper()}}}"
    triggers = [word for word, trigger in _TRIGGERS.items() if trigger in message.triggers]
    kind, _, name = message.address.partition(" ")
    own = set_fields(
        segments=list(message.segment_ids),
        on=triggers,
        traits=list(message.traits),
        template=message.template_id,
        address={kind: name} if message.address else None,
        content=msgspec.json.decode(message.content) if message.content else None,
    )
    names = set_fields(id=message.destination_id, title=message.title)
    return {**escape(names), channel: settings, **escape(own)}


def secret_variables(destinations: Sequence[pb.DestinationDefined]) -> dict[str, str]:
    """Return what the variables of each destination begin with: `COUPON_` for `coupon`."""
    names: dict[str, str] = {}
    for id_ in sorted(each.destination_id for each in destinations):
        name = re.sub("[^A-Z0-9]", "_", id_.upper()) + "_"
        name = f"_{name}" if name[0].isdigit() else name
        while name in names.values():
            name += "_"
        names[id_] = name
    return names


def read_template(entry: Any, path: str) -> pb.TemplateDefined:
    """Return the template of a form. Raises InvalidField."""
    plain = {"id", "title", "locales", "needs", "sample", "zone", "retired"}
    values = mapping(entry, path, plain)
    locales = mapping(values.get("locales", {}), f"{path}.locales")
    return pb.TemplateDefined(
        template_id=text(values, "id", path, required=True),
        title=text(values, "title", path),
        texts=[_texts(name, each, f"{path}.locales.{name}") for name, each in locales.items()],
        needs=texts(values, "needs", path),
        sample=msgspec.json.encode(mapping(values.get("sample", {}), f"{path}.sample")),
        zone=text(values, "zone", path),
        retired=flag(values, "retired", path),
    )


def write_template(message: pb.TemplateDefined) -> dict[str, Any]:
    """Return the form of a template."""
    locales = {
        each.locale: set_fields(
            subject=each.subject,
            text=each.text,
            html=each.html,
            provider_template=each.provider_template,
            parameters=[{"name": p.name, "value": p.value} for p in each.parameters],
        )
        for each in message.texts
    }
    return set_fields(
        id=message.template_id,
        title=message.title,
        locales=locales,
        needs=list(message.needs),
        sample=msgspec.json.decode(message.sample) if message.sample else None,
        zone=message.zone,
    )


def _texts(locale: str, entry: Any, path: str) -> pb.TemplateTexts:
    values = mapping(entry, path, {"subject", "text", "html", "provider_template", "parameters"})
    parameters = []
    for n, each in enumerate(entries(values, "parameters", path)):
        place = f"{path}.parameters[{n}]"
        of = mapping(each, place, {"name", "value"})
        name, value = (text(of, key, place, required=True) for key in ("name", "value"))
        parameters.append(pb.TemplateParameter(name=name, value=value))
    return pb.TemplateTexts(
        locale=locale,
        subject=text(values, "subject", path),
        text=text(values, "text", path),
        html=text(values, "html", path),
        provider_template=text(values, "provider_template", path),
        parameters=parameters,
    )


def _address(entry: Any, path: str) -> str:
    if entry is None:
        return ""
    values = mapping(entry, path, set(_ADDRESS_KINDS))
    if len(values) != 1:
        raise InvalidField(f"{path}: write {{identifier: NAMESPACE}} or {{trait: NAME}}")
    (kind,) = values
    return f"{kind} {text(values, kind, path, required=True)}"


def _set_channel(message: pb.DestinationDefined, values: dict[str, Any], path: str) -> None:
    named = [name for name in _CHANNELS if name in values]
    if len(named) != 1:
        raise InvalidField(f"{path}: write exactly one of {', '.join(_CHANNELS)}", field=path)
    name, place = named[0], f"{path}.{named[0]}"
    fields = _CHANNELS[name]
    settings = mapping(values[name], place, {field.name for field in fields})
    channel = getattr(message, name)
    channel.SetInParent()
    for field in fields:
        if field.type == FieldDescriptor.TYPE_UINT32:
            setattr(channel, field.name, count(settings, field.name, place))
        else:
            needed = name in _COMPLETE
            setattr(channel, field.name, text(settings, field.name, place, required=needed))


def _trigger(word: str, path: str) -> Any:
    if word not in _TRIGGERS:
        raise InvalidField(f"{path}: {word!r} is no trigger; write entered or left", field=path)
    return _TRIGGERS[word]
