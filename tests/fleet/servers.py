"""Runs the servers of a fleet: one PostgreSQL a service, and three nats-servers in a cluster."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self

import aiohttp
from faults.outages import copy_cluster

from services import SERVICES
from services.devstack.binaries import find_nats
from services.devstack.folders import ROOT, load_or_create_secrets, make_folder
from services.devstack.nats import NatsServer
from services.devstack.ports import LOOPBACK, PortChooser, free_port, port_variable
from services.devstack.postgres import PostgresServer
from services.devstack.process import spawn

NODES = ("one", "two", "three")
#: As many as there are nodes: each stream outlives the loss of one.
REPLICAS = len(NODES)
ROUTES = "nats_cluster"
CLUSTER_CONFIG = ROOT / "deploy" / "nats-cluster.conf"


class ClusterNode(NatsServer):
    """One of the nats-servers of a cluster on loopback ports."""

    port_names = (*NatsServer.port_names, ROUTES)

    def __init__(self, data_dir: Path, node: str, route_ports: Mapping[str, int]) -> None:
        """`route_ports`: the ports by node on which the servers of the cluster connect."""
        chosen = {port_variable(ROUTES): str(route_ports[node])}
        super().__init__(data_dir, ports=PortChooser(chosen, {}))
        self.node = node
        self._route_ports = route_ports

    async def _spawn(self) -> subprocess.Popen[bytes]:
        """Start it with the shipped file, which includes the configuration of a single server."""
        self._write_config()
        shipped = CLUSTER_CONFIG.read_text(encoding="utf-8")
        here = shipped.replace("0.0.0.0:6222", f"{LOOPBACK}:{self._ports[ROUTES]}")
        assert here != shipped
        config = self.home / CLUSTER_CONFIG.name
        config.write_text(here, encoding="utf-8")
        password = self._passwords[SERVICES[0]]
        routes = [f"nats://routes:{password}@{LOOPBACK}:{p}" for p in self._route_ports.values()]
        values = {
            "NATS_SERVER_NAME": f'"{self.node}"',
            "NATS_ROUTES_PASSWORD": f'"{password}"',
            "NATS_ROUTES": json.dumps(routes),
        }
        return spawn(
            [str(find_nats()), "-c", config.name],
            cwd=self.home,
            log=self.log_file,
            env=os.environ | values,
            death_signal=self._death_signal,
        )

    async def streams(self) -> dict[str, dict[str, Any]]:
        """Return the state of each stream by its name, as this node sees it."""
        url = f"http://{LOOPBACK}:{self._ports['nats_monitor']}/jsz?accounts=1&streams=1&config=1"
        async with aiohttp.ClientSession() as http, http.get(url) as response:
            accounts = (await response.json())["account_details"]
        return {s["name"]: s for account in accounts for s in account.get("stream_detail") or ()}


class Fleet:
    """`async with Fleet(folder) as fleet:` starts the servers."""

    def __init__(self, folder: Path) -> None:
        small = {"shared_buffers": "32MB", "min_wal_size": "32MB"}
        self.postgres = {
            service: PostgresServer(folder / "postgres" / service, settings=small)
            for service in SERVICES
        }
        ports = {node: free_port() for node in NODES}
        self.nats = [ClusterNode(folder / "nats" / node, node, ports) for node in NODES]
        self._scope = AsyncExitStack()

    @property
    def settings(self) -> dict[str, str]:
        """The settings of the services."""
        settings = {"ONEFOLD_NATS_REPLICAS": str(REPLICAS)}
        for service, server in self.postgres.items():
            settings[f"ONEFOLD_{service.upper()}_POSTGRES_DSN"] = server.dsn
            addresses = ",".join(node.url_of(service) for node in self.nats)
            settings[f"ONEFOLD_{service.upper()}_NATS_URL"] = addresses
        # No service uses it, as each has its own; without it, a private server would be started.
        return settings | {"ONEFOLD_POSTGRES_DSN": self.postgres[SERVICES[0]].dsn}

    async def __aenter__(self) -> Self:
        await self._make_clusters()
        _share_passwords(self.nats)
        servers = [*self.postgres.values(), *self.nats]
        # Together: a node is ready once the cluster has a leader.
        for server in servers:
            self._scope.push_async_callback(server.stop)
        await asyncio.gather(*(server.start() for server in servers))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._scope.aclose()

    async def _make_clusters(self) -> None:
        """Make the files of one PostgreSQL, and copy them: that is quicker than five times."""
        first, *others = self.postgres.values()
        async with first:
            pass
        for other in others:
            await asyncio.to_thread(copy_cluster, first, other)

    async def streams(self) -> dict[str, dict[str, Any]]:
        """Return the state of each stream by its name."""
        return await self.nats[0].streams()

    async def leader_of(self, stream: str) -> ClusterNode:
        """Return the node that takes the messages of a stream."""
        leader = (await self.streams())[stream]["cluster"]["leader"]
        return next(node for node in self.nats if node.node == leader)


def _share_passwords(nodes: Sequence[NatsServer]) -> None:
    """Give all nodes the passwords of the first one: they have the users in common."""
    first, *others = (node.home / "passwords.json" for node in nodes)
    make_folder(first.parent, passable=True)
    load_or_create_secrets(first, *nodes[0].users)
    for other in others:
        make_folder(other.parent, passable=True)
        other.write_text(first.read_text(encoding="ascii"), encoding="ascii")
