"""Finds planted words in every table of a database, whether as text or as bytes.

A word is a mark that nothing else has, and a name between two `x`: `pl4ntedxnotex`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Sequence

import asyncpg

_TABLES = """
SELECT c.oid::regclass::text AS name, c.relname FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname !~ '^(pg_|information_schema)'
"""


def word(mark: str, name: object) -> str:
    """Return a word."""
    return f"{mark}x{name}x"


async def words_by_table(dsn: str, mark: str) -> dict[str, set[str]]:
    """Return the names of the words with a mark, by the table that has them."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    in_hex = mark.encode().hex()
    conn = await asyncpg.connect(dsn)
    try:
        for table in await conn.fetch(_TABLES):
            rows = await conn.fetch(
                f"SELECT t::text AS shown FROM {table['name']} AS t"
                " WHERE position($1 IN t::text) > 0 OR position($2 IN t::text) > 0",
                mark,
                in_hex,
            )
            for row in rows:
                found[table["relname"]] |= _names(row["shown"], mark, in_hex)
    finally:
        await conn.close()
    return dict(found)


def _names(shown: str, mark: str, in_hex: str) -> set[str]:
    """Return the names of the words in a row; one that is cut off, or has no name, is empty."""
    names = re.findall(rf"{mark}(?:x([a-z0-9-]+?)x)?", shown)
    for digits in re.findall(rf"{in_hex}(?:78((?:[0-9a-f]{{2}})+?)78)?", shown):
        names.append(bytes.fromhex(digits).decode())
    return set(names)


async def facts_with(dsn: str, mark: str) -> dict[tuple[int, int], set[str]]:
    """Return the names of the words with a mark, by the place of the fact (shard, offset)."""
    conn = await asyncpg.connect(dsn)
    try:
        rows = await conn.fetch(
            'SELECT shard, "offset", payload FROM ingest.fact WHERE position($1 IN payload) > 0',
            mark.encode(),
        )
    finally:
        await conn.close()
    return {
        (row["shard"], row["offset"]): _names(row["payload"].hex(), mark, mark.encode().hex())
        for row in rows
    }


async def check_erased(
    dsn: str, mark: str, token: Sequence[int], by_age: Collection[str]
) -> set[tuple[int, int]]:
    """Check that all with a mark was recorded from a state of the log on; return those facts.

    What services have folded is what these facts have, and no other word. `by_age`: tables whose
    rows are deleted by their age.
    """
    facts = await facts_with(dsn, mark)
    left = {place: names for place, names in facts.items() if place[1] < token[place[0]]}
    assert not left, f"facts before {token} have words: {left}"
    alive = set[str]().union(*facts.values())
    more = {
        table: names - alive
        for table, names in (await words_by_table(dsn, mark)).items()
        if table not in by_age
    }
    assert not {table: names for table, names in more.items() if names}
    return set(facts)
