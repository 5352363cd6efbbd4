"""PostgreSQL and NATS of one's own: private servers in a data folder, no Docker, no account.

    async with PostgresServer(folder) as postgres, NatsServer(folder) as nats:
        ...  # postgres.dsn, nats.url

`engine` is what both have in common: the folder, its lock, start, stop, watch.
`venv` is the first run of `./onefold`.
"""
