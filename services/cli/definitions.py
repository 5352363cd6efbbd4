"""Reads and writes packs: definitions as YAML files, as the messages that the services take.

A pack is a folder of `*.yaml` files (or one file) with any of these::

    sources:      [{id, title, channel, trust, party, allowed_namespaces, allowed_event_names,
                    allowed_traits, max_age, disabled}]
    tags:         [{id, title, rule, retired}, {id, title, values: [{value, rule}], default},
                   {id, title, rfm: {quantiles, period, values: [{value, recency, …}]}, default}]
    stages:       [{id, title, stages: [{stage, rule}], default, retired}]
    segments:     [{id, title, rule, retired}]
    destinations: [{id, title, webhook | nats | file, segments, on, traits, content, retired}]

and once `identity_policy: {namespaces, blocked, ignored}`, and once
`settings: {zone, orders, computed_traits, cleaners, timeline, blocks}`, which the rules of the pack
go by.
`${NAME}` in any text is replaced by the value of that name; `$${NAME}` stands for `${NAME}` itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from onefold.activation.v1 import activation_facts_pb2 as pb
from onefold.identity.v1.identity_facts_pb2 import IdentityPolicy
from onefold.ingest.v1.ingest_facts_pb2 import SourceDefined
from onefold.profile.v1.profile_facts_pb2 import ProfileSettingsDefined, TagDefined
from onefold.segment.v1.segment_facts_pb2 import SegmentDefined
from onefold.type.v1.source_trust_pb2 import Party, SourceTrust

from services.cli.policy_form import read_policy, write_policy
from services.cli.rule_forms import (
    RuleDefaults,
    defaults_of,
    is_stage,
    read_segment,
    read_settings,
    read_stages,
    read_tag,
    write_segment,
    write_settings,
    write_tag,
)
from services.cli.values import days, flag, mapping, set_fields, text, texts, value_of, word_of
from services.kernel.errors import InvalidField
from services.kernel.yaml_documents import MAX_BYTES, parse_yaml

_TRIGGERS = {"entered": pb.TRIGGER_ENTERED, "left": pb.TRIGGER_LEFT}
_POLICY = "identity_policy"
#: The parts that a pack has once.
_ONCE = frozenset({_POLICY, "settings"})
_SOURCE_TRUST, _PARTY = "SOURCE_TRUST_", "PARTY_"
#: A variable; one with a second `$` stands for itself.
_VARIABLE = re.compile(r"(\$?)\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


@dataclass(slots=True)
class Pack:
    """The definitions of a pack, in the order in which they must be applied."""

    identity_policy: IdentityPolicy | None = None
    settings: ProfileSettingsDefined | None = None
    sources: list[SourceDefined] = field(default_factory=list)
    #: Tags and sets of stages.
    tags: list[TagDefined] = field(default_factory=list)
    segments: list[SegmentDefined] = field(default_factory=list)
    destinations: list[pb.DestinationDefined] = field(default_factory=list)
    #: By kind (`source`, `tag`, …, `identity policy`) and id: the file, and the path in it.
    places: dict[tuple[str, str], str] = field(default_factory=dict)

    def place(self, kind: str, id_: str) -> str:
        """Return the place of a definition as a prefix of an error; empty = it has none."""
        place = self.places.get((kind, id_))
        return f"{place} ({id_}): " if place and id_ else f"{place}: " if place else ""


class PackErrors(InvalidField):
    """A pack is wrong at one or more places; nothing of it is defined."""

    def __init__(self, problems: Sequence[str], field: str = "") -> None:
        super().__init__("; ".join(problems), field=field)
        #: One sentence for each place, which names its file.
        self.problems = list(problems)


def read_pack(
    path: Path,
    variables: Mapping[str, str],
    in_arguments: Collection[str] = (),
    settings: ProfileSettingsDefined | None = None,
) -> Pack:
    """Return the pack in a folder or file; `variables` are the values of `${NAME}`.

    `in_arguments`: the names of those that other accounts can read, which no secret may use.
    `settings`: those of the workspace, which count where the pack has none. Raises PackErrors,
    which names the file of every mistake and the path in it.
    """
    pack = Pack()
    by_file: dict[Path, list[InvalidField]] = {}
    documents: dict[Path, dict[str, Any]] = {}
    for file in _files(path):
        by_file[file] = []
        try:
            document = _load(file)
            _check_secrets(document, in_arguments)
            documents[file] = mapping(_substitute(document, variables), "", {*_READERS, *_ONCE})
            _read_once(file, documents[file], pack)
        except InvalidField as error:
            by_file[file].append(InvalidField(f"{file.name}: {error.message}", field=error.field))
    defaults = defaults_of(pack.settings or settings or ProfileSettingsDefined())
    for file, parts in documents.items():
        by_file[file] += _read_document(file, parts, pack, defaults)
    problems = [problem for own in by_file.values() for problem in own]
    if problems:
        raise PackErrors([problem.message for problem in problems], field=problems[0].field)
    return pack


def is_pack(form: Any) -> bool:
    """Return whether a document has a part of a pack; a rule has none."""
    return isinstance(form, dict) and not form.keys().isdisjoint({*_READERS, *_ONCE})


def pack_forms(pack: Pack) -> dict[str, Any]:
    """Return the parts of a pack by name, as `read_pack` reads them, ascending by id.

    Retired definitions are left out. Of a webhook's secret there is the name of a variable.
    """
    defaults = defaults_of(pack.settings or ProfileSettingsDefined())
    parts: dict[str, Any] = {}
    if pack.settings is not None:
        parts["settings"] = write_settings(pack.settings)
    if pack.identity_policy is not None:
        parts[_POLICY] = write_policy(pack.identity_policy)
    tags = [tag for tag in pack.tags if not tag.retired]
    lists = {
        "sources": list(map(_source_form, pack.sources)),
        "tags": [write_tag(tag, defaults) for tag in tags if not is_stage(tag)],
        "stages": [write_tag(tag, defaults) for tag in tags if is_stage(tag)],
        "segments": [write_segment(s, defaults) for s in pack.segments if not s.retired],
    }
    parts = _escaped(parts | lists)
    destinations = [each for each in pack.destinations if not each.retired]
    secrets = _secret_variables(destinations)
    parts["destinations"] = [_destination_form(d, secrets[d.destination_id]) for d in destinations]
    for name, forms in parts.items():
        if isinstance(forms, list):
            parts[name] = sorted(forms, key=lambda form: str(form["id"]))
    return {name: form for name, form in parts.items() if form}


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
        return
    found = sorted([*path.glob("*.yaml"), *path.glob("*.yml")])
    if not found:
        raise InvalidField(f"{path}: there is no pack; name a folder with *.yaml files or a file")
    yield from found


def _load(file: Path) -> Any:
    try:
        with file.open("rb") as opened:
            document = parse_yaml(opened.read(MAX_BYTES + 1))
    except OSError as error:
        raise InvalidField(f"the file cannot be read: {error.strerror}") from None
    if not document:
        known = ", ".join([*_READERS, *sorted(_ONCE)])
        raise InvalidField(f"the file has no definitions: write any of {known}, or remove it")
    return document


def _read_once(file: Path, parts: dict[str, Any], pack: Pack) -> None:
    """Move the parts that a pack has once from a document into the pack."""
    for name in sorted(_ONCE & parts.keys()):
        entry = parts.pop(name)
        kind = name.replace("_", " ")
        if (kind, "") in pack.places:
            raise InvalidField(f"{name}: a pack has one; another file has it", field=name)
        pack.places[kind, ""] = f"{file.name}: {name}"
        if name == _POLICY:
            pack.identity_policy = read_policy(entry, name)
        else:
            pack.settings = read_settings(entry, name)


def _read_document(
    file: Path, parts: dict[str, Any], pack: Pack, defaults: RuleDefaults
) -> Iterator[InvalidField]:
    """Add the definitions of a file to a pack; yield its mistakes."""
    for name, entries in parts.items():
        if name in _ONCE:  # an earlier mistake of the file kept it from being read
            continue
        if not isinstance(entries, list):
            yield InvalidField(f"{file.name}: {name}: write a list", field=name)
            continue
        for index, entry in enumerate(entries):
            try:
                _read_entry(file, name, index, entry, pack, defaults)
            except InvalidField as error:
                yield InvalidField(f"{file.name}: {error.message}", field=error.field)


def _read_entry(
    file: Path, name: str, index: int, entry: Any, pack: Pack, defaults: RuleDefaults
) -> None:
    path, (kind, read) = f"{name}[{index}]", _READERS[name]
    definition = read(entry, path, defaults)
    id_ = getattr(definition, f"{kind}_id")
    if (kind, id_) in pack.places:
        raise InvalidField(f"{path}.id: the pack defines {id_!r} twice", field=path)
    pack.places[kind, id_] = f"{file.name}: {path}"
    target: list[Any] = getattr(pack, f"{kind}s")
    target.append(definition)


def _check_secrets(value: Any, in_arguments: Collection[str]) -> None:
    """Raise InvalidField where a secret uses a variable of the arguments."""
    if isinstance(value, list):
        for each in value:
            _check_secrets(each, in_arguments)
    elif isinstance(value, dict):
        secret = value.get("secret")
        used = _VARIABLE.findall(secret) if isinstance(secret, str) else []
        for escape, name in used:
            if not escape and name in in_arguments:
                raise InvalidField(
                    f"${{{name}}} is a secret: do not write it into the arguments, but --set "
                    f"{name}=@FILE or --set {name}=- for standard input, or set a variable of that "
                    "name in the environment",
                    field=name,
                )
        for each in value.values():
            _check_secrets(each, in_arguments)


def _substitute(value: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return _VARIABLE.sub(
            lambda match: match[0][1:] if match[1] else _value_of(match[2], variables), value
        )
    if isinstance(value, list):
        return [_substitute(v, variables) for v in value]
    if isinstance(value, dict):
        return {key: _substitute(v, variables) for key, v in value.items()}
    return value


def _escaped(value: Any) -> Any:
    """Return a value whose texts `_substitute` turns back into themselves."""
    if isinstance(value, str):
        return _VARIABLE.sub(lambda match: f"${match[0]}", value)
    if isinstance(value, list):
        return [_escaped(v) for v in value]
    if isinstance(value, dict):
        return {key: _escaped(v) for key, v in value.items()}
    return value


def _value_of(name: str, variables: Mapping[str, str]) -> str:
    if name not in variables:
        raise InvalidField(f"${{{name}}} has no value; add --set {name}=VALUE", field=name)
    return variables[name]


def _source(entry: Any, path: str, defaults: RuleDefaults) -> SourceDefined:
    lists = ("allowed_namespaces", "allowed_event_names", "allowed_traits")
    plain = {"id", "title", "channel", "trust", "party", "max_age", "disabled"}
    values = mapping(entry, path, plain.union(lists))
    limits: dict[str, Any] = {name: texts(values, name, path) for name in lists}
    return SourceDefined(
        source_id=text(values, "id", path, required=True),
        title=text(values, "title", path),
        channel=text(values, "channel", path),
        trust=_word(values, "trust", path, SourceTrust, _SOURCE_TRUST),
        party=_word(values, "party", path, Party, _PARTY),
        max_age_days=days(values, "max_age", path),
        disabled=flag(values, "disabled", path),
        **limits,
    )


def _source_form(source: SourceDefined) -> dict[str, Any]:
    return set_fields(
        id=source.source_id,
        title=source.title,
        channel=source.channel,
        trust=word_of(SourceTrust, _SOURCE_TRUST, source.trust) if source.trust else "",
        party=word_of(Party, _PARTY, source.party) if source.party else "",
        allowed_namespaces=list(source.allowed_namespaces),
        allowed_event_names=list(source.allowed_event_names),
        allowed_traits=list(source.allowed_traits),
        max_age=f"{source.max_age_days}d" if source.max_age_days else "",
        disabled=source.disabled,
    )


def _word(values: dict[str, Any], key: str, path: str, enum: Any, prefix: str) -> Any:
    """Return the value of an enum that a word names; None where the entry has no such key."""
    word = text(values, key, path)
    return value_of(enum, prefix, word, f"{path}.{key}") if word else None


def _destination(entry: Any, path: str, defaults: RuleDefaults) -> pb.DestinationDefined:
    plain = {"id", "title", "segments", "on", "traits", "content", "retired"}
    values = mapping(entry, path, plain | set(_CHANNELS))
    message = pb.DestinationDefined(
        destination_id=text(values, "id", path, required=True),
        title=text(values, "title", path),
        segment_ids=texts(values, "segments", path),
        triggers=[_trigger(word, f"{path}.on") for word in texts(values, "on", path)],
        traits=texts(values, "traits", path),
        content=msgspec.json.encode(mapping(values.get("content", {}), f"{path}.content")),
        retired=flag(values, "retired", path),
    )
    _set_channel(message, values, path)
    return message


def _destination_form(message: pb.DestinationDefined, secret: str) -> dict[str, Any]:
    """Return the form of a destination; `secret` is the name of the variable with its secret."""
    channel = message.WhichOneof("channel") or ""
    keys, _ = _CHANNELS[channel]
    of = getattr(message, channel)
    settings = {key: _escaped(getattr(of, key)) for key in sorted(keys, reverse=True)}
    if "secret" in keys:
        settings["secret"] = f"${{{secret}}}"
    triggers = [word for word, trigger in _TRIGGERS.items() if trigger in message.triggers]
    own = set_fields(
        segments=list(message.segment_ids),
        on=triggers,
        traits=list(message.traits),
        content=msgspec.json.decode(message.content) if message.content else None,
    )
    names = set_fields(id=message.destination_id, title=message.title)
    return {**_escaped(names), channel: settings, **_escaped(own)}


def _secret_variables(destinations: Sequence[pb.DestinationDefined]) -> dict[str, str]:
    """Return a name for the secret of each destination: COUPON_SECRET for `coupon`."""
    names: dict[str, str] = {}
    for id_ in sorted(each.destination_id for each in destinations):
        name = re.sub("[^A-Z0-9]", "_", id_.upper()) + "_SECRET"
        name = f"_{name}" if name[0].isdigit() else name
        while name in names.values():
            name += "_"
        names[id_] = name
    return names


def _set_channel(message: pb.DestinationDefined, values: dict[str, Any], path: str) -> None:
    named = [name for name in _CHANNELS if name in values]
    if len(named) != 1:
        raise InvalidField(f"{path}: write exactly one of {', '.join(_CHANNELS)}", field=path)
    name = named[0]
    keys, make = _CHANNELS[name]
    settings = mapping(values[name], f"{path}.{name}", keys)
    channel = make({key: text(settings, key, f"{path}.{name}", required=True) for key in keys})
    getattr(message, name).CopyFrom(channel)


#: By name in YAML: the keys of a channel, all required, and the message made of their values.
_CHANNELS: dict[str, tuple[set[str], Callable[[dict[str, str]], Any]]] = {
    "webhook": ({"url", "secret"}, lambda t: pb.Webhook(url=t["url"], secret=t["secret"])),
    "nats": ({"subject"}, lambda t: pb.NatsSubject(subject=t["subject"])),
    "file": ({"name"}, lambda t: pb.NdjsonFile(name=t["name"])),
}
#: By name in YAML: the kind of the definitions, and the reader of one.
_READERS: dict[str, tuple[str, Callable[[Any, str, RuleDefaults], Any]]] = {
    "sources": ("source", _source),
    "tags": ("tag", read_tag),
    "stages": ("tag", read_stages),
    "segments": ("segment", read_segment),
    "destinations": ("destination", _destination),
}


def _trigger(word: str, path: str) -> Any:
    if word not in _TRIGGERS:
        raise InvalidField(f"{path}: {word!r} is no trigger; write entered or left", field=path)
    return _TRIGGERS[word]
