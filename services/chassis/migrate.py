"""Migrations: numbered, forward only, each applied once, in one order, by one process at a time.

    services/chassis/migrations/*.sql      lasting things of every service (outbox, keys)
    services/<service>/migrations/*.sql    lasting things of the service   → schema <service>
    services/chassis/state/*.sql           position and digest
    services/<service>/state/*.sql         what can be rebuilt from the log → <service>_g<N>

Files are `NNNN_name.sql`, without schema names: the search path is set to the target (for state:
`<service>_g<N>, <service>`). Each file runs in a transaction of its own. A file that was applied
and then changed is refused.
"""

from __future__ import annotations


async def migrate(dsn: str, service: str, *, shards: int = 0, wait: float = 30.0) -> int:
    """Brings the schemas of a service up to date; answers the live generation.

    `shards`: makes the position rows of so many shards (0: none). `wait`: seconds to wait for a
    PostgreSQL that is not there yet. Safe where several replicas start at once.
    Raises MigrationRefused, StoreUnavailable.
    """
    raise NotImplementedError


class MigrationRefused(Exception):
    """An applied migration was changed or removed, or a number is there twice."""
