"""Computes the rows of a rebuild on an engine outside of the services."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import msgspec

from services.chassis.projection.exported_log import read_manifest
from services.chassis.projection.spark import EXPECTED, ROOT, JobInput
from services.cli import output
from services.cli.commands.facts import failed_facts
from services.cli.endpoints import secret_from_environment
from services.client.client import Client
from services.devstack.folders import load_secrets
from services.kernel.errors import InvalidField, OnefoldError

ENGINES = ("services", "spark")
#: The services that fold the log.
COMPUTED = ("identity", "profile")


async def compute_rows(client: Client, data: Path, service: str, log: Path, master: str) -> str:
    """Compute the rows of a service from an exported log on Spark, and return their folder.

    Raises OnefoldError.
    """
    if service not in COMPUTED:
        raise InvalidField(
            f"Spark computes {' and '.join(COMPUTED)}, which fold the log; rebuild the others"
            " without --engine",
            field="service",
        )
    left_out: dict[int, list[int]] = defaultdict(list)
    for fact in await failed_facts(client, service):
        left_out[fact.shard].append(fact.offset)
    given = _input(data, service, log, master, left_out)
    with output.out.spinner(f"computing {service} on {master}"):
        await asyncio.to_thread(_run, f"services.{service}.rebuild.spark_job", given)
    return given.rows


def _input(
    data: Path, service: str, log: Path, master: str, left_out: dict[int, list[int]]
) -> JobInput:
    read_manifest(log)
    # Beside the log: all nodes can read that folder.
    rows = tempfile.mkdtemp(prefix=f"_rows-{service}-", dir=log.resolve())
    key = secret_from_environment("ONEFOLD_INDEX_KEY") or f"1.{load_secrets(data)['index']}"
    return JobInput(str(log.resolve()), rows, master, key, left_out)


def _run(module: str, given: JobInput) -> None:
    path = os.pathsep.join((str(ROOT), str(ROOT / "gen")))
    errors = Path(given.rows) / "spark.log"
    with errors.open("wb") as file:
        job = subprocess.run(
            (sys.executable, "-m", module),
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": path},
            input=msgspec.json.encode(given),
            stdout=subprocess.PIPE,
            stderr=file,
            check=False,
        )
    if job.returncode == EXPECTED:
        raise OnefoldError(job.stdout.decode())
    if job.returncode:
        raise OnefoldError(f"Spark has failed: see {errors}")
