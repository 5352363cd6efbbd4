"""The compose file: what it demands, what it keeps in step with, and that its commands work.

No container engine is needed: see compose_place.py for what is as in a container and what is not.
"""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import subprocess
import sys
import sysconfig
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager, suppress
from urllib.parse import urlsplit

import aiohttp
import asyncpg
import nats
import pytest
import pytest_asyncio
from integration.deploy.compose_place import (
    CONTAINERS,
    ENGINES,
    ROOT,
    SERVICES,
    Image,
    NotSet,
    Place,
    filled_in,
    instructions,
    interpolate,
    passes,
    postgres_programs,
    process,
    stop,
)

from services.chassis.testing import wait_until
from services.devstack import stack
from services.devstack.binaries import find_nats
from services.devstack.nats import MAX_PAYLOAD_BYTES
from services.devstack.ports import LOOPBACK
from services.devstack.postgres import BUILTIN_LOCALE_SINCE_18, SETTINGS, PostgresServer

GRPC, HTTP = 9090, 8080


def test_there_is_a_container_for_each_service_and_engine() -> None:
    assert SERVICES == stack.SERVICES
    assert [CONTAINERS[name]["image"].split(":")[0] for name in ENGINES] == list(ENGINES)


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_has_the_image_its_command_and_a_health_check(service: str) -> None:
    container = CONTAINERS[service]
    assert container["image"] == CONTAINERS["ingest"]["image"]
    assert container["command"] == ["python", "-m", f"services.{service}"]
    assert "/readyz" in container["healthcheck"]["test"][-1]
    assert (
        container["depends_on"].items()
        >= {engine: {"condition": "service_healthy"} for engine in ENGINES}.items()
    )


#: What `.env.example` fills in itself.
_CHOICES = frozenset({"ONEFOLD_SHARDS", "ONEFOLD_DEFAULT_REGION"})


def test_secrets_are_demanded() -> None:
    """Without `.env` nothing starts; with it filled in, nothing is missing."""
    given = filled_in()
    secret = [name for name in given if name not in _CHOICES]
    texts = [str(v) for c in CONTAINERS.values() for v in c.get("environment", {}).values()]
    demanded = {name for name in secret if any("${" + name + ":?" in text for text in texts)}
    assert demanded == set(secret)
    for text in texts:
        assert "$" not in interpolate(text, given)
    for name in secret:
        with pytest.raises(NotSet, match=name):
            _interpolate_all(texts, {k: v for k, v in given.items() if k != name})


def _interpolate_all(texts: list[str], given: dict[str, str]) -> None:
    for text in texts:
        interpolate(text, given)


def test_only_the_doors_for_events_are_open_to_the_network() -> None:
    ports = {name: container.get("ports", []) for name, container in CONTAINERS.items()}
    assert ports.pop("ingest") == [f"{HTTP}:{HTTP}", f"{GRPC}:{GRPC}"]
    assert not ports.pop("postgres")
    assert not ports.pop("nats")
    for name, published in ports.items():
        assert [p.split(":")[0] for p in published] == [LOOPBACK], name


def test_postgres_is_set_as_the_embedded_one() -> None:
    command = CONTAINERS["postgres"]["command"]
    given = dict(word.split("=", 1) for word in command[2::2])
    assert given.items() <= SETTINGS.items()
    initdb = shlex.split(CONTAINERS["postgres"]["environment"]["POSTGRES_INITDB_ARGS"])
    assert set(initdb) == {
        "--encoding=UTF8",
        "--locale=C.UTF-8",
        "--locale-provider=builtin",
        f"--builtin-locale={BUILTIN_LOCALE_SINCE_18}",
        "--data-checksums",
    }


def test_the_image_is_sent_all_that_it_copies() -> None:
    sent = {line[1:] for line in _lines(".dockerignore") if line.startswith("!")}
    copied = {
        shlex.split(rest)[0].rstrip("/")
        for instruction, rest in instructions()
        if instruction == "COPY" and not rest.startswith("--")
    }
    assert copied == sent
    assert all((ROOT / path).exists() for path in copied)


def _lines(name: str) -> list[str]:
    return (ROOT / name).read_text("utf-8").splitlines()


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    return Image.build(tmp_path_factory.mktemp("image") / "app")


@pytest.mark.parametrize("service", SERVICES)
def test_the_image_holds_all_that_a_service_imports(service: str, image: Image) -> None:
    path = [str(image.folder), str(image.folder / "gen"), sysconfig.get_paths()["purelib"]]
    # Without site, so that no path of the checkout is there.
    found = f"import services.{service}.service as found; print(found.__file__)"
    program = f"import sys; sys.path += {path}; {found}"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(image.folder))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    """Both engines as the compose file sets them up."""
    folder = tmp_path_factory.mktemp("compose")
    place = Place(folder, filled_in())
    command = CONTAINERS["postgres"]["command"]
    settings = dict(word.split("=", 1) for word in command[2::2])
    async with PostgresServer(folder, settings=settings) as postgres:
        place.ports["postgres", 5432] = postgres.port
        await _make_empty(postgres)
        first_start(place, postgres)
        with nats_server(place):
            await wait_until(lambda: _says_healthy(place))
            yield place


async def _make_empty(postgres: PostgresServer) -> None:
    """As the image finds it: without the role and the database of the embedded one."""
    admin = await asyncpg.connect(postgres.admin_dsn)
    try:
        await admin.execute("DROP DATABASE onefold")
        await admin.execute("DROP ROLE onefold")
    finally:
        await admin.close()


def first_start(place: Place, postgres: PostgresServer) -> None:
    """Run the script that the image runs on an empty volume."""
    script = place.volume("postgres", "/docker-entrypoint-initdb.d/onefold.sh")
    assert os.access(script, os.X_OK)
    admin = postgres.admin_dsn.removeprefix("postgresql://").partition("@")[0]
    user, _, password = admin.partition(":")
    here = {"PGHOST": LOOPBACK, "PGPORT": str(postgres.port), "PGPASSWORD": password}
    environment = place.environment("postgres") | postgres_programs() | here
    assert environment["POSTGRES_USER"] == user
    done = subprocess.run([script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@contextmanager
def nats_server(place: Place) -> Iterator[None]:
    """The nats-server of the compose file's command, with its configuration, at our places."""
    option, inside = CONTAINERS["nats"]["command"]
    text = place.volume("nats", inside).read_text("utf-8")
    config = place.folder / "nats.conf"
    config.write_text(text.replace(" /data\n", f" {place.volume('nats', '/data')}\n"), "utf-8")
    here = [
        "-a",
        LOOPBACK,
        "-p",
        str(place.port("nats", 4222)),
        "-m",
        str(place.port("nats", 8222)),
    ]
    argv = [str(find_nats()), option, str(config), *here]
    environment = place.environment("nats") | {"PATH": os.environ["PATH"]}
    with process(argv, environment, place.folder, place.folder / "nats.log"):
        yield


async def _says_healthy(place: Place) -> bool:
    url = place.health_check("nats", port=8222)[-1]
    async with aiohttp.ClientSession() as http:
        try:
            async with http.get(url) as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False


async def test_the_first_start_makes_the_database(place: Place) -> None:
    asked = place.health_check("postgres")
    environment = postgres_programs() | {"PGPORT": str(place.port("postgres", 5432))}
    assert passes(asked, environment)
    connection = await asyncpg.connect(place.environment("ingest")["ONEFOLD_POSTGRES_DSN"])
    try:
        role = await connection.fetchrow(
            "SELECT rolsuper OR rolcreaterole OR rolbypassrls AS mighty FROM pg_roles"
            " WHERE rolname = current_user"
        )
        assert role is not None
        assert not role["mighty"], "the services need no rights over the server"
        owner = await connection.fetchval(
            "SELECT datdba::regrole::text FROM pg_database WHERE datname = current_database()"
        )
        assert owner == "onefold"
    finally:
        await connection.close()


async def test_nats_takes_the_password_and_keeps_what_it_acknowledges(place: Place) -> None:
    url = place.environment("ingest")["ONEFOLD_NATS_URL"]
    assert await _refusal_of(url.replace("onefold:", "onefold:not"))
    connection = await nats.connect(url)
    try:
        assert connection.max_payload == MAX_PAYLOAD_BYTES
        await connection.jetstream().account_info()
    finally:
        await connection.close()
    monitor = place.health_check("nats", port=8222)[-1].replace("/healthz", "/varz")
    async with aiohttp.ClientSession() as http, http.get(monitor) as answer:
        assert (await answer.json())["jetstream"]["config"]["sync_always"] is True


async def _refusal_of(url: str) -> bytes:
    """What the server says to somebody who introduces himself so."""
    place = urlsplit(url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    try:
        await reader.readline()
        told = json.dumps({"user": place.username, "pass": place.password, "verbose": False})
        writer.write(f"CONNECT {told}\r\nPING\r\n".encode())
        answer = await reader.readline()
    finally:
        writer.close()
        await writer.wait_closed()
    return answer if b"Authorization Violation" in answer else b""


@pytest.mark.slow
async def test_every_service_starts_with_its_command_and_stops_when_told(
    place: Place, image: Image
) -> None:
    """In the order of `depends_on`, each until its own health check passes."""
    with ExitStack() as scope:
        running = {}
        for names in (SERVICES[:1], SERVICES[1:]):
            for name in names:
                environment = image.environ() | place.environment(name)
                log = place.folder / f"{name}.log"
                argv = CONTAINERS[name]["command"]
                running[name] = scope.enter_context(process(argv, environment, image.folder, log))
            await asyncio.gather(*(_healthy(place, image, n, running[n]) for n in names))
        await _the_admin_key_opens(place)
        codes = dict(zip(running, await asyncio.gather(*map(stop, running.values())), strict=True))
    assert codes == dict.fromkeys(SERVICES, 0)


async def _healthy(place: Place, image: Image, name: str, running: subprocess.Popen[bytes]) -> None:
    command = place.health_check(name, port=HTTP)

    async def ready_or_ended() -> bool:
        ended = running.poll() is not None
        return ended or await asyncio.to_thread(passes, command, image.environ())

    with suppress(TimeoutError):
        await wait_until(ready_or_ended, deadline_s=60)
    said = (place.folder / f"{name}.log").read_text("utf-8", "replace")
    assert running.poll() is None, f"{name} ended; it said:\n{said[-2000:]}"
    assert passes(command, image.environ()), f"{name} is not ready; it said:\n{said[-2000:]}"


async def _the_admin_key_opens(place: Place) -> None:
    """A source is defined and given a key with it, and an event is taken in with that key."""
    environment = image_cli(place)
    onefold = [sys.executable, "-m", "services.cli"]
    definition = place.folder / "shop.yaml"
    definition.write_text("sources:\n  - id: shop\n    title: A shop\n    channel: web\n")
    for arguments in (["apply", "-f", str(definition)], ["keys", "issue", "--source", "shop"]):
        done = await asyncio.to_thread(
            subprocess.run,
            [*onefold, *arguments],
            env=environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    key = done.stdout.strip()
    event = {"event": "Product Viewed", "anonymousId": "a1", "messageId": "m1", "type": "track"}
    url = f"http://{LOOPBACK}:{place.port('ingest', HTTP)}/v1/track"
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {key}"}) as http,
        http.post(url, json=event) as answer,
    ):
        assert answer.status == 200, await answer.text()


def image_cli(place: Place) -> dict[str, str]:
    """The environment of a person who uses the command line from outside."""
    doors = {f"ONEFOLD_{s.upper()}_URL": f"{LOOPBACK}:{place.port(s, GRPC)}" for s in SERVICES}
    key = {"ONEFOLD_KEY": place.variables["ONEFOLD_ADMIN_KEY"]}
    return {"PATH": os.environ["PATH"], "HOME": str(place.folder)} | doors | key
