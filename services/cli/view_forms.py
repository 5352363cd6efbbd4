"""Reads and writes what the settings of a workspace say about the view of a person.

`timeline` has the names of events by kind, and `blocks` has traits and tags by block:

    timeline: {order: [order_shipped], service_request: [complained]}
    blocks: {preferences: {traits: [colour], tags: [loyal]}}
"""

from __future__ import annotations

from typing import Any

from onefold.profile.v1 import profile_facts_pb2 as profile_pb

from services.cli.values import mapping, set_fields, texts, value_of, word_of

KIND_PREFIX, BLOCK_PREFIX = "TIMELINE_KIND_", "PROFILE_BLOCK_"


def kind_of(word: str, path: str) -> Any:
    """Return the kind of timeline entries of a word, such as `order`. Raises InvalidField."""
    return value_of(profile_pb.TimelineKind, KIND_PREFIX, word, path)


def kind_word(kind: int) -> str:
    """Return the word of a kind of timeline entries, such as `order`."""
    return word_of(profile_pb.TimelineKind, KIND_PREFIX, kind)


def block_word(block: int) -> str:
    """Return the word of a block, such as `preferences`."""
    return word_of(profile_pb.ProfileBlock, BLOCK_PREFIX, block)


def read_view(
    values: dict[str, Any], path: str, message: profile_pb.ProfileSettingsDefined
) -> None:
    """Add the `timeline` and the `blocks` of settings to a message. Raises InvalidField."""
    where = f"{path}.timeline"
    timeline = mapping(values.get("timeline", {}), where)
    for word in timeline:
        events = texts(timeline, word, where)
        message.timeline.add(kind=kind_of(word, f"{where}.{word}"), events=events)
    where = f"{path}.blocks"
    for word, content in mapping(values.get("blocks", {}), where).items():
        at = f"{where}.{word}"
        own = mapping(content, at, {"traits", "tags"})
        block = value_of(profile_pb.ProfileBlock, BLOCK_PREFIX, word, at)
        message.blocks.add(
            block=block, traits=texts(own, "traits", at), tags=texts(own, "tags", at)
        )


def write_view(settings: profile_pb.ProfileSettingsDefined) -> dict[str, Any]:
    """Return the `timeline` and the `blocks` of settings, as `read_view` reads them."""
    timeline: dict[str, list[str]] = {}
    for each in settings.timeline:
        timeline.setdefault(kind_word(each.kind), []).extend(each.events)
    blocks: dict[str, dict[str, list[str]]] = {}
    for own in settings.blocks:
        content = blocks.setdefault(block_word(own.block), {})
        for key, names in (("traits", own.traits), ("tags", own.tags)):
            if names:
                content.setdefault(key, []).extend(names)
    return set_fields(timeline=timeline, blocks=blocks)
