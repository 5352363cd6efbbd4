"""Models the slots of pages and screens, reads and writes their forms, and decides what they show.

A slot shows the first of its variants that a person has a share in. Each person has one number in a
slot, 0 to 999,999; of the variants whose rule is true for the person the first takes the numbers
below its share, the next one those behind, and so on. So a share holds for exactly these persons,
whatever the other variants are, and a person keeps the variant while the definition stays.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from services.kernel.errors import RuleError
from services.kernel.journeys.form_kinds import (
    FLAG,
    NAME,
    SHARE,
    FormContext,
    Key,
    ListOf,
    Record,
    ScalarKind,
)
from services.kernel.journeys.model import MILLION
from services.kernel.journeys.naming import JourneyProblem
from services.kernel.journeys.ranking import RANKING, ItemRanking, ranking_problems
from services.kernel.rules.defaults import Defaults
from services.kernel.rules.forms.json_form import dump_rule, parse_rule
from services.kernel.rules.model import All, Any_, Not, Predicate, Reference, ReferenceKind, Rule
from services.kernel.rules.values import Json

MAX_ID: Final = 128
MAX_TITLE: Final = 200
MAX_VARIANTS: Final = 100
#: The most bytes of a content as JSON.
MAX_CONTENT: Final = 16_384
EMPTY: Final = b"{}"


@dataclass(frozen=True, slots=True)
class SlotVariant:
    """What a slot shows to some persons."""

    variant_id: str
    #: By segments, tags and stages; None = all persons.
    when: Rule | None = None
    #: A JSON object, canonical.
    content: bytes = EMPTY
    share_ppm: int = MILLION


@dataclass(frozen=True, slots=True)
class Slot:
    """A place on a page or a screen with variants for different persons."""

    slot_id: str
    title: str = ""
    variants: tuple[SlotVariant, ...] = ()
    #: What is shown where no variant is: a JSON object, canonical.
    fallback: bytes = EMPTY
    #: Another salt selects other persons for the shares.
    salt: str = ""
    retired: bool = False
    version: int = 0
    #: Ranks items for each person; the slot has no variants then.
    items: ItemRanking | None = None

    def at_version(self, version: int) -> Slot:
        return replace(self, version=version)


def variant_for(slot: Slot, membership_ids: Collection[str], number: int) -> SlotVariant | None:
    """Return the variant that a person has a share in; None = the fallback.

    `membership_ids`: the segments, `tag:ID`, `tag:ID=VALUE` and `stage:SET=STAGE` of the person.
    `number`: that of the person in the slot, 0 to 999,999.
    """
    for variant in slot.variants:
        if variant.when is None or _is_true(variant.when, membership_ids):
            number -= variant.share_ppm
            if number < 0:
                return variant
    return None


def slot_problems(slot: Slot) -> list[JourneyProblem]:
    """Return all mistakes of a slot that can be seen without other definitions."""
    return list(_problems(slot))


def canonical(slot: Slot) -> Slot:
    """Return a slot whose contents are canonical JSON. Call it where there is no mistake."""
    variants = tuple(replace(v, content=_canonical(v.content)) for v in slot.variants)
    return replace(slot, variants=variants, fallback=_canonical(slot.fallback))


def parse_slot(form: Json, path: str, defaults: Defaults) -> Slot:
    """Return the slot of a decoded YAML or JSON form. Raises RuleError with a path."""
    slot: Slot = _SLOT.read(form, path, FormContext(defaults))
    return slot


def dump_slot(slot: Slot, defaults: Defaults) -> Json:
    """Return the form of a slot, as `parse_slot` reads it."""
    return _SLOT.write(slot, FormContext(defaults))


def _is_true(rule: Rule, membership_ids: Collection[str]) -> bool:
    match rule:
        case All():
            return all(_is_true(each, membership_ids) for each in rule.rules)
        case Any_():
            return any(_is_true(each, membership_ids) for each in rule.rules)
        case Not():
            return not _is_true(rule.rule, membership_ids)
        case Reference(ReferenceKind.SEGMENT):
            return rule.id in membership_ids
        case Reference():
            name = f"{rule.kind.value}:{rule.id}"
            if rule.value:
                return f"{name}={rule.value}" in membership_ids
            return name in membership_ids or any(
                each.startswith(f"{name}=") for each in membership_ids
            )
        case Predicate():
            raise ValueError("a slot with such a rule is never defined")


def _problems(slot: Slot) -> Iterator[JourneyProblem]:
    for at, id_ in (("id", slot.slot_id), *(("variants", v.variant_id) for v in slot.variants)):
        if not 0 < len(id_) <= MAX_ID or not id_.isprintable():
            yield JourneyProblem(at, "an id is empty, long or not printable", f"write {_ID}")
    if len(slot.title) > MAX_TITLE or "\0" in slot.title:
        yield JourneyProblem("title", "the title is long", f"write at most {MAX_TITLE} characters")
    if len(slot.salt) > MAX_ID:
        yield JourneyProblem("salt", "the salt is long", f"write at most {MAX_ID} characters")
    if len(slot.variants) > MAX_VARIANTS:
        remedy = f"write at most {MAX_VARIANTS}, or several slots"
        yield JourneyProblem("variants", f"there are {len(slot.variants)} variants", remedy)
    if slot.items is not None:
        yield from ranking_problems(slot.items)
        if slot.variants:
            remedy = "write two slots"
            yield JourneyProblem("variants", "a slot with items has no variants", remedy)
    elif not slot.variants and not slot.retired:
        yield JourneyProblem("variants", "there is no variant", "write at least one")
    for id_, count in Counter(v.variant_id for v in slot.variants).items():
        if count > 1:
            yield JourneyProblem(id_, "several variants have this id", "give each its own")
    for at, content in (("fallback", slot.fallback), *_contents(slot)):
        yield from _content_problems(at, content)
    for variant in slot.variants:
        if not 0 < variant.share_ppm <= MILLION:
            remedy = "write more than 0% and at most 100%"
            yield JourneyProblem(variant.variant_id, "the share is no part of a whole", remedy)
        if variant.when is not None and not _has_references_only(variant.when):
            yield JourneyProblem(
                variant.variant_id,
                "the rule looks at more than segments, tags and stages",
                "define a segment with this rule, and write `when: {segment: ID}`",
            )


_ID: Final = f"1 to {MAX_ID} printable characters"


def _contents(slot: Slot) -> Iterator[tuple[str, bytes]]:
    return ((variant.variant_id, variant.content) for variant in slot.variants)


def _content_problems(at: str, content: bytes) -> Iterator[JourneyProblem]:
    if len(content) > MAX_CONTENT:
        remedy = f"write at most {MAX_CONTENT} bytes, such as the address of a file"
        yield JourneyProblem(at, "the content is large", remedy)
        return
    try:
        is_object = isinstance(msgspec.json.decode(content), dict)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        is_object = False
    if not is_object:
        yield JourneyProblem(at, "the content is no JSON object", "write one, such as {}")


def _has_references_only(rule: Rule) -> bool:
    match rule:
        case All() | Any_():
            return all(map(_has_references_only, rule.rules))
        case Not():
            return _has_references_only(rule.rule)
        case _:
            return isinstance(rule, Reference)


def _canonical(content: bytes) -> bytes:
    return msgspec.json.encode(msgspec.json.decode(content), order="sorted")


def _content(form: Json, path: str) -> bytes:
    if not isinstance(form, dict):
        raise RuleError("the content is no mapping", "write names and values", field=path)
    try:
        return msgspec.json.encode(form, order="sorted")
    except (TypeError, ValueError):
        remedy = "write texts, numbers, lists and mappings; a date in quotes"
        raise RuleError("a value has no form in JSON", remedy, field=path) from None


def _part(form: Json, path: str) -> int:
    ppm: int = SHARE.parse(form, path)
    if not ppm:
        raise RuleError("a share of 0% shows nothing", "remove the variant", field=path)
    return ppm


class _RuleKind:
    """The kind of a rule."""

    def read(self, form: Json, path: str, context: FormContext) -> Rule:
        own = context.defaults
        try:
            return parse_rule(form, zone=own.zone, orders=own.orders, cleaners=own.cleaners)
        except RuleError as error:
            raise error.under(path) from None

    def write(self, value: Any, context: FormContext) -> Json:
        own = context.defaults
        return dump_rule(value, zone=own.zone, orders=own.orders, cleaners=own.cleaners)


_CONTENT: Final = ScalarKind(_content, msgspec.json.decode)
_VARIANT: Final = Record(
    SlotVariant,
    [
        Key("id", "variant_id", NAME),
        Key("when", "when", _RuleKind()),
        Key("share", "share_ppm", ScalarKind(_part, SHARE.dump)),
        Key("content", "content", _CONTENT),
    ],
)
_SLOT: Final = Record(
    Slot,
    [
        Key("id", "slot_id", NAME),
        Key("title", "title", NAME),
        Key("variants", "variants", ListOf(_VARIANT)),
        Key("items", "items", RANKING),
        Key("fallback", "fallback", _CONTENT),
        Key("salt", "salt", NAME),
        Key("retired", "retired", FLAG),
    ],
)
