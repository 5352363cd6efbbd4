"""Definitions as files: YAML to the messages that the services take.

A pack is a folder of `*.yaml` files (or one file) with any of these::

    sources:      [{id, title, channel, disabled}]
    tags:         [{id, title, rule, retired}]
    segments:     [{id, title, rule, retired}]
    destinations: [{id, title, webhook | nats | file, segments, on, traits, content, retired}]

and once `identity_policy: {namespaces, blocked, ignored}`.
`${NAME}` in any text is filled in from the values given.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml
from onefold.activation.v1.activation_facts_pb2 import (
    TRIGGER_ENTERED,
    TRIGGER_LEFT,
    DestinationDefined,
    NatsSubject,
    NdjsonFile,
    Webhook,
)
from onefold.identity.v1.identity_facts_pb2 import IdentityPolicy
from onefold.ingest.v1.ingest_facts_pb2 import SourceDefined
from onefold.profile.v1.profile_facts_pb2 import TagDefined
from onefold.segment.v1.segment_facts_pb2 import SegmentDefined

from services.chassis.codec.rules import rule_to_proto
from services.cli.policy_form import read_policy
from services.cli.yaml_values import ON, flag, mapping, text, texts
from services.kernel.errors import InvalidField
from services.kernel.rules.errors import RuleError
from services.kernel.rules.json_form import parse_rule

_TRIGGERS = {"entered": TRIGGER_ENTERED, "left": TRIGGER_LEFT}
_POLICY = "identity_policy"
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_Message = TypeVar("_Message")


@dataclass(slots=True)
class Pack:
    """What a pack defines, in the order in which it must be applied."""

    identity_policy: IdentityPolicy | None = None
    sources: list[SourceDefined] = field(default_factory=list)
    tags: list[TagDefined] = field(default_factory=list)
    segments: list[SegmentDefined] = field(default_factory=list)
    destinations: list[DestinationDefined] = field(default_factory=list)


def read_pack(path: Path, values: Mapping[str, str]) -> Pack:
    """The pack in a folder or file.

    Raises InvalidField, naming file and place, where it cannot be read.
    """
    pack = Pack()
    for file in _files(path):
        try:
            _read_file(file, values, pack)
        except InvalidField as error:
            raise InvalidField(f"{file.name}: {error.message}", field=error.field) from None
    return pack


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
        return
    found = sorted([*path.glob("*.yaml"), *path.glob("*.yml")])
    if not found:
        raise InvalidField(f"{path}: there is no pack; name a folder with *.yaml files or a file")
    yield from found


def _read_file(file: Path, values: Mapping[str, str], pack: Pack) -> None:
    try:
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidField(f"this is no YAML: {' '.join(str(error).split())}") from None
    told = mapping(_fill(document or {}, values), "", {*_READERS, _POLICY})
    if _POLICY in told:
        if pack.identity_policy is not None:
            raise InvalidField(f"{_POLICY}: a pack has one; another file has it", field=_POLICY)
        pack.identity_policy = read_policy(told.pop(_POLICY), _POLICY)
    for name, entries in told.items():
        if not isinstance(entries, list):
            raise InvalidField(f"{name}: write a list", field=name)
        target: list[Any] = getattr(pack, name)
        for index, entry in enumerate(entries):
            target.append(_READERS[name](entry, f"{name}[{index}]"))


def _fill(value: Any, values: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return _VARIABLE.sub(lambda match: _value_of(match[1], values), value)
    if isinstance(value, list):
        return [_fill(v, values) for v in value]
    if isinstance(value, dict):
        return {key: _fill(v, values) for key, v in value.items()}
    return value


def _value_of(name: str, values: Mapping[str, str]) -> str:
    if name not in values:
        raise InvalidField(f"${{{name}}} has no value; add --set {name}=VALUE", field=name)
    return values[name]


def _source(entry: Any, place: str) -> SourceDefined:
    told = mapping(entry, place, {"id", "title", "channel", "disabled"})
    return SourceDefined(
        source_id=text(told, "id", place, required=True),
        title=text(told, "title", place),
        channel=text(told, "channel", place),
        disabled=flag(told, "disabled", place),
    )


def _tag(entry: Any, place: str) -> TagDefined:
    told = mapping(entry, place, {"id", "title", "rule", "retired"})
    return TagDefined(
        tag_id=text(told, "id", place, required=True),
        title=text(told, "title", place),
        rule=_rule(told, place),
        retired=flag(told, "retired", place),
    )


def _segment(entry: Any, place: str) -> SegmentDefined:
    told = mapping(entry, place, {"id", "title", "rule", "retired"})
    return SegmentDefined(
        segment_id=text(told, "id", place, required=True),
        title=text(told, "title", place),
        rule=_rule(told, place),
        retired=flag(told, "retired", place),
    )


def _destination(entry: Any, place: str) -> DestinationDefined:
    plain = {"id", "title", "segments", "on", "traits", "content", "retired"}
    told = mapping(entry, place, plain | set(_CHANNELS))
    message = DestinationDefined(
        destination_id=text(told, "id", place, required=True),
        title=text(told, "title", place),
        segment_ids=texts(told, "segments", place),
        triggers=[_trigger(t, f"{place}.on") for t in texts(told, ON, place)],
        traits=texts(told, "traits", place),
        content=msgspec.json.encode(mapping(told.get("content", {}), f"{place}.content")),
        retired=flag(told, "retired", place),
    )
    _set_channel(message, told, place)
    return message


def _set_channel(message: DestinationDefined, told: dict[str, Any], place: str) -> None:
    named = [name for name in _CHANNELS if name in told]
    if len(named) != 1:
        raise InvalidField(f"{place}: write exactly one of {', '.join(_CHANNELS)}", field=place)
    name = named[0]
    keys, make = _CHANNELS[name]
    part = mapping(told[name], f"{place}.{name}", keys)
    texts = {key: text(part, key, f"{place}.{name}", required=True) for key in keys}
    getattr(message, name).CopyFrom(make(texts))


_CHANNELS: dict[str, tuple[set[str], Callable[[dict[str, str]], Any]]] = {
    "webhook": ({"url", "secret"}, lambda t: Webhook(url=t["url"], secret=t["secret"])),
    "nats": ({"subject"}, lambda t: NatsSubject(subject=t["subject"])),
    "file": ({"name"}, lambda t: NdjsonFile(name=t["name"])),
}
_READERS: dict[str, Callable[[Any, str], Any]] = {
    "sources": _source,
    "tags": _tag,
    "segments": _segment,
    "destinations": _destination,
}


def _rule(told: dict[str, Any], place: str) -> Any:
    try:
        return rule_to_proto(parse_rule(told.get("rule")))
    except RuleError as error:
        under = error.under(f"{place}.rule")
        raise InvalidField(under.message, field=under.field) from None


def _trigger(word: str, place: str) -> Any:
    if word not in _TRIGGERS:
        raise InvalidField(f"{place}: {word!r} is no trigger; write entered or left", field=place)
    return _TRIGGERS[word]
