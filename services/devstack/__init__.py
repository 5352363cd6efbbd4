"""Runs a whole system on one machine: private servers in a data folder, without Docker or root.

    async with PostgresServer(folder) as postgres, NatsServer(folder) as nats:
        ...  # postgres.dsn, nats.url
    async with Stack(folder) as stack:
        ...  # stack.events_url

`venv` is the first run of `./onefold`.
"""
