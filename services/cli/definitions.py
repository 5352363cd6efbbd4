"""Reads and writes packs: definitions as YAML files, as the messages that the services take.

A pack is a folder of `*.yaml` files (or one file) with any of these::

    sources:      [{id, title, channel, trust, party, allowed_namespaces, allowed_event_names,
                    allowed_traits, max_age, disabled}]
    tags:         [{id, title, rule, retired}, {id, title, values: [{value, rule}], default},
                   {id, title, rfm: {quantiles, period, values: [{value, recency, …}]}, default}]
    stages:       [{id, title, stages: [{stage, rule}], default, retired}]
    segments:     [{id, title, rule, retired}]
    templates:    [{id, title, locales: {LOCALE: {subject, text, html, …}}, needs, sample, retired}]
    destinations: [{id, title, CHANNEL: {…}, segments, on, traits, template, address, content,
                    retired}]
    coupon_pools: [{id, title, prefix, used: {event, where, code}, retired}]
    queues:       [{id, title, zone, hours: {from, to, days, closed, also_open}, first_answer,
                    solution, agents: [{id, skills, away}], retired}]
    journeys:     [{id, title, purpose, priority, enter, goal, leave, caps, steps, on_goal, regret,
                    people_inside, moved_to, retired}]
    slots:        [{id, title, variants: [{id, when, share, content}], fallback, salt, retired}]
    dashboards:   [{id, title, tiles: [{id, title, data, of, days, chart, width}], retired}]

and once `identity_policy: {namespaces, blocked, ignored}`, once
`contact_policy: {zone, purposes, channels, hold_out}`, and once
`settings: {zone, orders, computed_traits, cleaners, timeline, blocks}`, which the rules of the pack
go by.
`${NAME}` in any text is replaced by the value of that name; `$${NAME}` stands for `${NAME}` itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from onefold.activation.v1 import activation_facts_pb2 as pb
from onefold.activation.v1.contact_policy_pb2 import ContactPolicy
from onefold.activation.v1.dashboards_pb2 import Dashboard
from onefold.activation.v1.desk_pb2 import DeskQueue
from onefold.activation.v1.journeys_pb2 import CouponPool, Journey
from onefold.activation.v1.slots_pb2 import Slot
from onefold.identity.v1.identity_facts_pb2 import IdentityPolicy
from onefold.ingest.v1.ingest_facts_pb2 import SourceDefined
from onefold.profile.v1.profile_facts_pb2 import ProfileSettingsDefined, TagDefined
from onefold.segment.v1.segment_facts_pb2 import SegmentDefined
from onefold.type.v1.source_trust_pb2 import Party, SourceTrust

from services.cli.destination_forms import (
    SECRET_KEYS,
    read_destination,
    read_template,
    secret_variables,
    write_destination,
    write_template,
)
from services.cli.journey_forms import (
    read_contact_policy,
    read_coupon_pool,
    read_dashboard,
    read_journey,
    read_queue,
    read_slot,
    write_contact_policy,
    write_coupon_pool,
    write_dashboard,
    write_journey,
    write_queue,
    write_slot,
)
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
from services.cli.values import (
    MistakeCollector,
    days,
    flag,
    mapping,
    mistakes_of,
    set_fields,
    text,
    texts,
    value_of,
    word_of,
)
from services.kernel.errors import InvalidField, join_path
from services.kernel.yaml_documents import MAX_BYTES, YamlDocument, parse_document

_POLICY, _CONTACT_POLICY = "identity_policy", "contact_policy"
#: The parts that a pack has once.
_ONCE = frozenset({_POLICY, _CONTACT_POLICY, "settings"})
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
    templates: list[pb.TemplateDefined] = field(default_factory=list)
    destinations: list[pb.DestinationDefined] = field(default_factory=list)
    contact_policy: ContactPolicy | None = None
    pools: list[CouponPool] = field(default_factory=list)
    queues: list[DeskQueue] = field(default_factory=list)
    journeys: list[Journey] = field(default_factory=list)
    slots: list[Slot] = field(default_factory=list)
    dashboards: list[Dashboard] = field(default_factory=list)
    #: By kind (`source`, `tag`, …, `identity policy`) and id: file, line, and the path in it.
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
    which names the file and the line of every mistake, and the path in the file.
    """
    pack = Pack()
    files: dict[Path, _PackFile] = {}
    for file in _files(path):
        files[file] = own = _PackFile(file)
        own.load(variables, in_arguments)
        own.read_once(pack)
    defaults = defaults_of(pack.settings or settings or ProfileSettingsDefined())
    for own in files.values():
        own.read(pack, defaults)
    problems = [problem for own in files.values() for problem in own.mistakes]
    if problems:
        raise PackErrors([problem.message for problem in problems], field=problems[0].field)
    return pack


def is_pack(form: Any) -> bool:
    """Return whether a document has a part of a pack; a rule has none."""
    return isinstance(form, dict) and not form.keys().isdisjoint({*_READERS, *_ONCE})


def pack_forms(pack: Pack) -> dict[str, Any]:
    """Return the parts of a pack by name, as `read_pack` reads them, ascending by id.

    Retired definitions are left out. Of a secret there is the name of a variable.
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
        "templates": [write_template(t) for t in pack.templates if not t.retired],
        "coupon_pools": [write_coupon_pool(p) for p in pack.pools if not p.retired],
        "queues": [write_queue(q) for q in pack.queues if not q.retired],
        "journeys": [write_journey(j, defaults) for j in pack.journeys if not j.retired],
        "slots": [write_slot(s, defaults) for s in pack.slots if not s.retired],
        "dashboards": [write_dashboard(d) for d in pack.dashboards if not d.retired],
    }
    if pack.contact_policy is not None:
        parts[_CONTACT_POLICY] = write_contact_policy(pack.contact_policy)
    parts = _escaped(parts | lists)
    destinations = [each for each in pack.destinations if not each.retired]
    variables = secret_variables(destinations)
    parts["destinations"] = [
        write_destination(each, variables[each.destination_id], _escaped) for each in destinations
    ]
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


@dataclass(slots=True)
class _PackFile:
    """A file of a pack, and its mistakes."""

    file: Path
    #: The parts by name, as far as they are not read.
    parts: dict[str, Any] = field(default_factory=dict)
    #: Each names the file, the line and the path in the file.
    mistakes: list[InvalidField] = field(default_factory=list)
    _source: YamlDocument = field(default_factory=lambda: YamlDocument(None, None))

    def load(self, variables: Mapping[str, str], in_arguments: Collection[str]) -> None:
        """Read the file, and replace its variables."""
        with self._part():
            self._source = _load(self.file)
            document = mapping(self._source.value, "")
            found = MistakeCollector()
            _check_secrets(document, in_arguments, "", found)
            document = _substitute(document, variables, "", found)
            known = {*_READERS, *_ONCE}
            with found.part():
                mapping(document, "", known)
            self.parts = {name: part for name, part in document.items() if name in known}
            found.check()

    def read_once(self, pack: Pack) -> None:
        """Move the parts that a pack has once into the pack."""
        for name in sorted(_ONCE & self.parts.keys()):
            entry, kind = self.parts.pop(name), name.replace("_", " ")
            with self._part():
                if (kind, "") in pack.places:
                    raise InvalidField(f"{name}: a pack has one; another file has it", field=name)
                pack.places[kind, ""] = self._place(name)
                if name == _POLICY:
                    pack.identity_policy = read_policy(entry, name)
                elif name == _CONTACT_POLICY:
                    pack.contact_policy = read_contact_policy(entry, name)
                else:
                    pack.settings = read_settings(entry, name)

    def read(self, pack: Pack, defaults: RuleDefaults) -> None:
        """Add the definitions of the file to the pack."""
        for name, entries in self.parts.items():
            with self._part():
                if not isinstance(entries, list):
                    raise InvalidField(f"{name}: write a list", field=name)
            for index, entry in enumerate(entries if isinstance(entries, list) else ()):
                with self._part():
                    self._read_entry(name, f"{name}[{index}]", entry, pack, defaults)

    def _read_entry(
        self, name: str, path: str, entry: Any, pack: Pack, defaults: RuleDefaults
    ) -> None:
        kind, read = _READERS[name]
        definition = read(entry, path, defaults)
        id_ = getattr(definition, f"{kind}_id")
        if (kind, id_) in pack.places:
            raise InvalidField(f"{path}.id: the pack defines {id_!r} twice", field=f"{path}.id")
        pack.places[kind, id_] = self._place(path)
        target: list[Any] = getattr(pack, f"{kind}s")
        target.append(definition)

    @contextmanager
    def _part(self) -> Iterator[None]:
        try:
            yield
        except InvalidField as error:
            for one in mistakes_of(error):
                where = self._where(one.field)
                self.mistakes.append(InvalidField(f"{where}: {one.message}", field=one.field))

    def _place(self, path: str) -> str:
        return f"{self._where(path)}: {path}"

    def _where(self, path: str) -> str:
        line = self._source.line_of(path)
        return f"{self.file.name}:{line}" if line else self.file.name


def _load(file: Path) -> YamlDocument:
    try:
        with file.open("rb") as opened:
            document = parse_document(opened.read(MAX_BYTES + 1))
    except OSError as error:
        raise InvalidField(f"the file cannot be read: {error.strerror}") from None
    if not document.value:
        known = ", ".join([*_READERS, *sorted(_ONCE)])
        raise InvalidField(f"the file has no definitions: write any of {known}, or remove it")
    return document


def _check_secrets(
    value: Any, in_arguments: Collection[str], path: str, found: MistakeCollector
) -> None:
    """Collect the secrets that use a variable of the arguments."""
    if isinstance(value, list):
        for i, each in enumerate(value):
            _check_secrets(each, in_arguments, f"{path}[{i}]", found)
    elif isinstance(value, dict):
        for key in sorted(SECRET_KEYS & value.keys()):
            used = _VARIABLE.findall(value[key]) if isinstance(value[key], str) else []
            for escape, name in used:
                with found.part():
                    if not escape and name in in_arguments:
                        raise InvalidField(
                            f"${{{name}}} is a secret: do not write it into the arguments, but "
                            f"--set {name}=@FILE or --set {name}=- for standard input, or set a "
                            "variable of that name in the environment",
                            field=join_path(path, key),
                        )
        for key, each in value.items():
            _check_secrets(each, in_arguments, join_path(path, key), found)


def _substitute(
    value: Any, variables: Mapping[str, str], path: str, found: MistakeCollector
) -> Any:
    """Return a value with its variables replaced; those without a value are mistakes."""
    if isinstance(value, str):
        with found.part():
            return _VARIABLE.sub(
                lambda match: match[0][1:] if match[1] else _value_of(match[2], variables, path),
                value,
            )
        return value
    if isinstance(value, list):
        return [_substitute(v, variables, f"{path}[{i}]", found) for i, v in enumerate(value)]
    if isinstance(value, dict):
        return {
            key: _substitute(v, variables, join_path(path, key), found) for key, v in value.items()
        }
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


def _value_of(name: str, variables: Mapping[str, str], path: str) -> str:
    if name not in variables:
        message = f"{path}: ${{{name}}} has no value; add --set {name}=VALUE"
        raise InvalidField(message, field=path)
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


#: By name in YAML: the kind of the definitions, and the reader of one.
_READERS: dict[str, tuple[str, Callable[[Any, str, RuleDefaults], Any]]] = {
    "sources": ("source", _source),
    "tags": ("tag", read_tag),
    "stages": ("tag", read_stages),
    "segments": ("segment", read_segment),
    "templates": ("template", lambda entry, path, _: read_template(entry, path)),
    "destinations": ("destination", lambda entry, path, _: read_destination(entry, path)),
    "coupon_pools": ("pool", lambda entry, path, _: read_coupon_pool(entry, path)),
    "queues": ("queue", lambda entry, path, _: read_queue(entry, path)),
    "journeys": ("journey", read_journey),
    "slots": ("slot", read_slot),
    "dashboards": ("dashboard", lambda entry, path, _: read_dashboard(entry, path)),
}
