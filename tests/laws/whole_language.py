"""Makes random definitions of the whole language, and the facts of some persons that they read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from random import Random
from typing import NamedTuple

from laws.profile_model import WORKSPACE, MemoryLog, SourceEvent, definition
from onefold.log.v1.log_pb2 import Fact
from onefold.profile.v1.profile_facts_pb2 import ProfileSettingsDefined, TagDefined
from oracle import random_logs, random_rules
from oracle.rules_oracle import OracleEvent

from services.kernel.identifiers.model import Identifier
from services.kernel.ids import definition_fact_id
from services.kernel.rules.model import All, Not, Predicate, Reference, ReferenceKind, Rule
from services.kernel.rules.references import Classification, Definitions, Name, ValueRule, expand
from services.kernel.rules.values import Operator
from services.kernel.time import DAY_US, HOUR_US
from services.kernel.trust import Party, SourceTrust
from services.profile.codec.definitions import settings_to_proto, tag_to_proto
from services.profile.domain.settings import ComputedTrait, WorkspaceSettings
from services.profile.domain.tags import Tag, TagKind

#: Rules of segments without references; tags and stages have three more.
RULES = 5
NAMESPACES = ("user_id", "member_id", "anonymous_id", "device_id")
_THEMES = tuple(random_logs.THEMES.values())


class Language(NamedTuple):
    """Definitions that refer to each other, and what they mean."""

    names: Definitions
    #: Those of the settings.
    computed: tuple[Predicate, ...]
    facts: list[Fact]

    @property
    def rules(self) -> list[Rule]:
        """The rule of each value of each definition, without references, and computed traits."""
        expanded = [
            expand(rule, self.names)
            for own in self.names.values()
            for value in own.names
            if (rule := own.rule_of(value)) is not None
        ]
        return [*expanded, *self.computed]


def make_language(random: Random) -> Language:
    """Return segments, a tag with values and a set of stages, a segment that refers to all of
    them, and settings; of some there are earlier versions, and some others are retired."""
    own = [random_rules.make_rule(random, depth=2) for _ in range(RULES)]
    # One at least reads objects.
    own[-1] = All((random_rules.make_predicate(random, "Related"),))
    kind = ReferenceKind
    referring = All(
        (
            Not(Reference(kind.SEGMENT, "s0")),
            Reference(kind.TAG, "level", random.choice(("", "high", "mid"))),
            Reference(kind.STAGE, "lifecycle", random.choice(("new", "silent", "regular"))),
        )
    )
    segments = {f"s{i}": rule for i, rule in enumerate((*own, referring))}
    facts: list[Fact] = []
    for key, rule in segments.items():
        facts += _versions(
            random,
            lambda n, key=key, rule=rule: definition(key, rule if n else _draft(random), 1 + n),
        )
    names = {Name(kind.SEGMENT, key): Classification.of(rule) for key, rule in segments.items()}
    tags = (("level", TagKind.TAG, ("high", "mid"), ""),)
    tags += (("lifecycle", TagKind.STAGE, ("new", "silent"), "regular"),)
    for key, tag_kind, values, default in tags:
        newest, draft = (_classification(random, values, default) for _ in range(2))
        name = Name(kind.STAGE if tag_kind is TagKind.STAGE else kind.TAG, key)
        names[name] = newest
        facts += _versions(
            random,
            lambda n, key=key, k=tag_kind, c=(draft, newest): tag_fact(
                Tag(WORKSPACE, key, 1 + n, "", c[n], k)
            ),
        )
    facts += [definition("gone", _draft(random), version=n + 1, retired=bool(n)) for n in range(2)]
    computed = [tuple(_computed(random)) for _ in range(2)]
    facts += _versions(
        random,
        lambda n: settings_fact(WorkspaceSettings(WORKSPACE, n + 1, computed_traits=computed[n])),
    )
    return Language(names, tuple(own.feature for own in computed[1]), facts)


def _versions(random: Random, make: Callable[[int], Fact]) -> list[Fact]:
    """Return the newest version of a definition, made by 1, and sometimes one before, by 0."""
    return [make(0), make(1)] if random.random() < 0.4 else [make(1)]


def _draft(random: Random) -> Rule:
    return random_rules.make_rule(random, depth=1)


def _classification(random: Random, values: Iterable[str], default: str) -> Classification:
    return Classification(tuple(ValueRule(value, _draft(random)) for value in values), default)


def _computed(random: Random) -> Iterator[ComputedTrait]:
    for number in range(2):
        kind = random.choice(("Aggregate", "Orders", "Trend"))
        feature = random_rules.make_feature(random, kind)
        yield ComputedTrait(f"computed {number}", Predicate(feature, Operator.EXISTS))


def settings_fact(settings: WorkspaceSettings) -> Fact:
    """Return the fact of the log that defines settings."""
    kind = ProfileSettingsDefined.DESCRIPTOR.full_name
    return Fact(
        workspace_id=settings.workspace_id,
        fact_id=definition_fact_id(settings.workspace_id, kind, "", settings.version),
        kind=kind,
        payload=settings_to_proto(settings).SerializeToString(),
    )


def tag_fact(tag: Tag) -> Fact:
    """Return the fact of the log that defines a tag or a set of stages."""
    kind = TagDefined.DESCRIPTOR.full_name
    return Fact(
        workspace_id=tag.workspace_id,
        fact_id=definition_fact_id(tag.workspace_id, kind, tag.tag_id, tag.version),
        kind=kind,
        payload=tag_to_proto(tag).SerializeToString(),
    )


def make_facts(random: Random, number: int, identifiers: int) -> list[SourceEvent]:
    """Return events of few persons at close instants around one that windows cross.

    Some link two identifiers; each is in the names, values and spans of `random_rules`.
    """
    base_us, days = random.choice(random_logs.BASES), random.choice(random_logs.DAYS)
    pool = [Identifier(random.choice(NAMESPACES), f"n{i}") for i in range(identifiers)]
    made: list[SourceEvent] = []
    log: list[OracleEvent] = []
    for message in range(number):
        hours = random.choice(days) * 24 + random.choice(random_logs.HOURS)
        at_us = base_us + hours * HOUR_US + random.choice((0, 0, 0, -1, 1))
        type_ = random.choice(random.choice(_THEMES))
        log.append(random_logs.make_event(random, type_, at_us, message.to_bytes(16, "big"), log))
        names = random.sample(pool, random.choice([1] * 14 + [2]))
        made.append(source_event(log[-1], tuple(names), message, random))
    # What people and models say is about identifiers that events have.
    seen = sorted({event.identifiers[0] for event in made if not event.is_record})
    return [
        replace(event, identifiers=(random.choice(seen),)) if event.is_record else event
        for event in made
    ]


def source_event(
    event: OracleEvent, identifiers: tuple[Identifier, ...], message: int, random: Random
) -> SourceEvent:
    """Return an event of the oracle as a source sends it."""
    group = random.choice(("g", "course:c")) + str(random.randrange(3))
    return SourceEvent(
        identifiers,
        event.occurred_at_us,
        message,
        event.name,
        event.type,
        event.properties,
        event.traits,
        group_id=group if event.type == "group" else "",
        trust=SourceTrust(event.trust or SourceTrust.SERVER),
        party=Party(event.party),
        source=event.source,
        touch=event.touch,
    )


def append_all(
    log: MemoryLog, facts: Iterable[Fact | SourceEvent], random: Random, end_us: int
) -> None:
    """Append facts in their order, with ticks in between, and a tick at the end.

    An event is recorded when it occurs, or late. No later one may occur after `end_us`.
    """
    at_us = 0
    for item in facts:
        if isinstance(item, SourceEvent):
            at_us = max(at_us, item.occurred_at_us)
        for fact in item.facts() if isinstance(item, SourceEvent) else [item]:
            log.append(fact, at_us)
        if at_us and random.random() < 0.1:
            at_us = min(end_us, at_us + random.choice((0, 1, HOUR_US)))
            log.tick(at_us)
    assert at_us <= end_us
    log.tick(end_us)


def end_of(events: Iterable[SourceEvent]) -> int:
    """Return an instant soon after the newest event."""
    return max(event.occurred_at_us for event in events) + 2 * HOUR_US


def later_instants(events: Iterable[SourceEvent], random: Random, number: int) -> list[int]:
    """Return instants after `end_of` at which windows and dates are likely to change."""
    events = list(events)
    end_us = end_of(events)
    edges = random_logs.later_instants([e.oracle_event() for e in events], random, number)
    return sorted({max(end_us, at_us) for at_us in edges} | {end_us + 400 * DAY_US})
