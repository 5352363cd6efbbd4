"""Makes random definitions of the whole language, and the facts of some persons that they read."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import NamedTuple

from laws.profile_model import TYPES, WORKSPACE, MemoryLog, SourceEvent, definition
from onefold.log.v1.log_pb2 import Fact
from onefold.profile.v1.profile_facts_pb2 import TagDefined
from oracle import random_logs, random_rules
from oracle.rules_oracle import OracleEvent

from services.kernel.identifiers.model import Identifier
from services.kernel.ids import definition_fact_id
from services.kernel.rules.features import Related
from services.kernel.rules.ids import predicates
from services.kernel.rules.model import All, Not, Reference, ReferenceKind, Rule
from services.kernel.rules.references import Classification, Definitions, Name, ValueRule, expand
from services.kernel.time import DAY_US, HOUR_US
from services.kernel.trust import SourceTrust
from services.profile.codec.definitions import tag_to_proto
from services.profile.domain.tags import Tag, TagKind

#: Rules of segments without references; tags and stages have three more.
RULES = 5
NAMESPACES = ("user_id", "member_id", "anonymous_id", "device_id")
_THEMES = tuple(random_logs.THEMES.values())


class Language(NamedTuple):
    """Definitions that refer to each other, and what they mean."""

    names: Definitions
    facts: list[Fact]

    @property
    def rules(self) -> list[Rule]:
        """The rule of each value of each definition, without references."""
        return [
            expand(rule, self.names)
            for own in self.names.values()
            for value in own.names
            if (rule := own.rule_of(value)) is not None
        ]


def make_language(random: Random) -> Language:
    """Return segments, a tag with values and a set of stages, and a segment that refers to all."""
    own = [make_rule(random) for _ in range(RULES)]
    level, lifecycle = (
        Classification(tuple(ValueRule(value, make_rule(random)) for value in values), default)
        for values, default in ((("high", "mid"), ""), (("new", "silent"), "regular"))
    )
    kind = ReferenceKind
    referring = All(
        (
            Not(Reference(kind.SEGMENT, "s0")),
            Reference(kind.TAG, "level", random.choice(("", "high", "mid"))),
            Reference(kind.STAGE, "lifecycle", random.choice(("new", "silent", "regular"))),
        )
    )
    segments = {f"s{i}": rule for i, rule in enumerate((*own, referring))}
    names = {Name(kind.SEGMENT, key): Classification.of(rule) for key, rule in segments.items()}
    names |= {Name(kind.TAG, "level"): level, Name(kind.STAGE, "lifecycle"): lifecycle}
    facts = [definition(key, rule) for key, rule in segments.items()]
    facts += [
        tag_fact(Tag(WORKSPACE, "level", 1, "", level)),
        tag_fact(Tag(WORKSPACE, "lifecycle", 1, "", lifecycle, TagKind.STAGE)),
    ]
    return Language(names, facts)


def make_rule(random: Random) -> Rule:
    """Return a rule that reads the events of the person alone."""
    while True:
        rule = random_rules.make_rule(random, depth=2)
        if not any(isinstance(p.feature, Related) for p in predicates(rule)):
            return rule


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
    return made


def source_event(
    event: OracleEvent, identifiers: tuple[Identifier, ...], message: int, random: Random
) -> SourceEvent:
    """Return an event of the oracle as a source sends it."""
    assert event.type in TYPES
    return SourceEvent(
        identifiers,
        event.occurred_at_us,
        message,
        event.name,
        event.type,
        event.properties,
        event.traits,
        group_id=f"g{random.randrange(3)}" if event.type == "group" else "",
        trust=SourceTrust(event.trust),
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
