"""Runs the functions of a rebuild's engine in this process, part by part, and writes the rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from random import Random

import msgspec
from onefold.log.v1.log_pb2 import Fact

from services.chassis.access.tables import WORKSPACE_DEFINED
from services.chassis.projection.row_files import VERSION, RowsManifest, write_manifest, write_rows
from services.identity.codec.bus import MATCH_ASSESSED
from services.identity.codec.policy import POLICY_DEFINED
from services.identity.domain.components import connected_components
from services.identity.rebuild import engine as identity_engine
from services.profile.codec.definitions import RULE_KINDS
from services.profile.rebuild import engine as profile_engine
from tests.index_key import INDEX_KEY_TEXT

#: The facts of each shard, from its first one on.
Shards = Sequence[Sequence[Fact]]
Records = dict[bytes, bytes]
LeftOut = Mapping[int, Sequence[int]]


def fold_parts(
    facts: Sequence[Fact],
    fold: Callable[[Iterable[Fact]], Iterable[tuple[bytes, bytes]]],
    merge: Callable[[bytes, Sequence[bytes]], bytes],
    chance: Random,
) -> Records:
    """Fold facts in parts, whatever their order, and merge the records of each key."""
    rest = chance.sample(list(facts), len(facts))
    values: dict[bytes, list[bytes]] = defaultdict(list)
    while rest:
        size = chance.randint(1, len(rest))
        for key, value in fold(rest[:size]):
            values[key].append(value)
        rest = rest[size:]
    return {key: merge(key, some) if len(some) > 1 else some[0] for key, some in values.items()}


def identity_tables(facts: Sequence[Fact], chance: Random) -> dict[str, list[tuple[object, ...]]]:
    """Return the rows of identity by table."""
    workspaces = [fact.SerializeToString() for fact in facts if fact.kind == WORKSPACE_DEFINED]
    policies = identity_engine.newest_policies(f for f in facts if f.kind == POLICY_DEFINED)

    def fold(part: Iterable[Fact]) -> Iterable[tuple[bytes, bytes]]:
        return identity_engine.fold_evidence(part, workspaces, INDEX_KEY_TEXT)

    records = fold_parts(facts, fold, identity_engine.merge, chance)
    index: dict[bytes, int] = {}
    edges = [
        tuple(index.setdefault(e, len(index)) for e in identity_engine.ends(k)) for k in records
    ]
    roots = connected_components(len(index), edges)
    groups: dict[tuple[str, int], list[tuple[bytes, bytes]]] = defaultdict(list)
    for (key, value), (a, _) in zip(records.items(), edges, strict=True):
        groups[msgspec.msgpack.decode(value)[0], roots[a]].append((key, value))
    tables: dict[str, list[tuple[object, ...]]] = defaultdict(list)
    for group in groups.values():
        for table, row in identity_engine.resolve_group(group, policies):
            tables[table].append(row)
    matches = [fact.SerializeToString() for fact in facts if fact.kind == MATCH_ASSESSED]
    return {**tables, "match": matches}


def profile_tables(shards: Shards, chance: Random) -> dict[str, list[tuple[object, ...]]]:
    """Return the rows of profile by table."""
    facts = [fact for shard in shards for fact in shard]
    broadcast = [fact.SerializeToString() for fact in facts if not fact.leaf_id]
    definitions = [
        [fact.SerializeToString() for fact in shard if fact.kind in RULE_KINDS] for shard in shards
    ]

    def fold(part: Iterable[Fact]) -> Iterable[tuple[bytes, bytes]]:
        return profile_engine.fold_leaves(part, definitions, INDEX_KEY_TEXT)

    records = fold_parts(facts, fold, profile_engine.merge, chance)
    leaves = [profile_engine.leaf_row(leaf_id, value) for leaf_id, value in records.items()]
    return {"leaf": leaves, "broadcast_fact": broadcast}


def write_engine_rows(
    folder: Path, service: str, shards: Shards, seed: int = 0, left_out: LeftOut | None = None
) -> str:
    """Write the rows of a service, in several files, and return the folder."""
    chance, without = Random(seed), left_out or {}
    shards = [
        [f for f in shard if f.offset not in without.get(n, ())] for n, shard in enumerate(shards)
    ]
    facts = [fact for shard in shards for fact in shard]
    tables = (
        identity_tables(facts, chance) if service == "identity" else profile_tables(shards, chance)
    )
    for table, rows in tables.items():
        for part in range(3):
            write_rows(folder, table, part, rows[part::3])
    ends = tuple(shard[-1].offset + 1 if shard else 0 for shard in shards)
    times = tuple(shard[-1].recorded_at_us if shard else 0 for shard in shards)
    listed = {shard: list(offsets) for shard, offsets in without.items()}
    write_manifest(folder, RowsManifest(VERSION, service, ends, times, listed))
    return str(folder)
