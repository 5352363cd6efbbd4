"""Tests the compose file: its secrets, its agreement with the code, and that its commands work.

No container engine is needed: compose_host.py describes what differs from containers.
"""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import shutil
import stat
import subprocess
import sys
import sysconfig
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import asyncpg
import nats
import pytest
import pytest_asyncio
from integration.deploy.compose_host import (
    COMPOSE,
    CONSOLE,
    CONTAINERS,
    ROOT,
    SERVERS,
    SERVICES,
    ComposeHost,
    Image,
    NotSet,
    filled_in,
    instructions,
    interpolate,
    passes,
    postgres_programs,
    process,
    stop,
)
from service_fixtures import wait_until

import services
from services.chassis.postgres.roles import SESSION_SETTINGS, ServiceRoles
from services.devstack.binaries import find_nats
from services.devstack.database_roles import shipped_script
from services.devstack.external import check_nats
from services.devstack.nats_config import MAX_PAYLOAD_BYTES, shipped_config
from services.devstack.ports import LOOPBACK
from services.devstack.postgres import BUILTIN_LOCALE_SINCE_18, SETTINGS, PostgresServer

#: The ports in the containers.
GRPC, HTTP = 9090, 8080
INTERNAL_GRPC, INTERNAL_HTTP = 9190, 8180


def test_compose_file_has_a_container_for_each_service_and_server() -> None:
    assert SERVICES == services.SERVICES
    images = [interpolate(CONTAINERS[name]["image"], {}) for name in SERVERS]
    assert [image.split(":")[0] for image in images] == list(SERVERS)


@pytest.mark.parametrize("service", SERVICES)
def test_container_of_a_service_has_image_command_and_health_check(service: str) -> None:
    container = CONTAINERS[service]
    assert container["image"] == CONTAINERS["ingest"]["image"]
    assert container["command"] == ["python", "-m", f"services.{service}"]
    assert "/readyz" in container["healthcheck"]["test"][-1]
    assert (
        container["depends_on"].items()
        >= {server: {"condition": "service_healthy"} for server in SERVERS}.items()
    )


#: The variables that `.env.example` sets.
_IMAGES = frozenset(f"ONEFOLD_{name}_IMAGE" for name in ("POSTGRES", "NATS", "PYTHON"))
_CHOICES = frozenset({"ONEFOLD_SHARDS", "ONEFOLD_DEFAULT_REGION"}) | _IMAGES


def test_compose_file_requires_every_secret_of_the_example() -> None:
    given = filled_in()
    secret = [name for name in given if name not in _CHOICES]
    texts = [str(v) for c in CONTAINERS.values() for v in c.get("environment", {}).values()]
    required = {name for name in secret if any("${" + name + ":?" in text for text in texts)}
    assert required == set(secret)
    for text in texts:
        assert "$" not in interpolate(text, given)
    for name in secret:
        with pytest.raises(NotSet, match=name):
            _interpolate_all(texts, {k: v for k, v in given.items() if k != name})


def test_images_of_the_example_are_the_defaults_of_the_compose_file_and_of_the_dockerfile() -> None:
    given = filled_in()
    for server in SERVERS:
        image = CONTAINERS[server]["image"]
        assert interpolate(image, {}) == given[f"ONEFOLD_{server.upper()}_IMAGE"]
        pinned = {f"ONEFOLD_{server.upper()}_IMAGE": "x@sha256:1"}
        assert interpolate(image, pinned) == "x@sha256:1"
    argument = CONTAINERS["ingest"]["build"]["args"]["PYTHON_IMAGE"]
    default = given["ONEFOLD_PYTHON_IMAGE"]
    assert interpolate(argument, {}) == default
    found = instructions()
    assert ("ARG", f"PYTHON_IMAGE={default}") in found
    assert all(rest.startswith("${PYTHON_IMAGE}") for name, rest in found if name == "FROM")


def test_keys_of_services_are_files_that_the_script_makes_once(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    for _ in range(2):
        subprocess.run([ROOT / "deploy" / "secrets.sh", folder], check=True)
    made = {file.name: file.read_text("ascii") for file in folder.iterdir()}
    assert made.keys() == COMPOSE["secrets"].keys()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert len(set(made.values())) == len(made)
    subprocess.run([ROOT / "deploy" / "secrets.sh", folder], check=True)
    assert made == {file.name: file.read_text("ascii") for file in folder.iterdir()}
    used = {name for c in CONTAINERS.values() for name in c.get("secrets", [])}
    assert used == made.keys()


@pytest.mark.parametrize("service", SERVICES)
def test_environment_of_a_service_holds_no_key(service: str) -> None:
    environment = CONTAINERS[service]["environment"]
    for name in environment:
        if "KEY" in name:
            assert name.endswith("_KEY_FILE"), name
    files = {value.rpartition("/")[2] for name, value in environment.items() if "_FILE" in name}
    assert files == set(CONTAINERS[service]["secrets"])


def _interpolate_all(texts: list[str], given: dict[str, str]) -> None:
    for text in texts:
        interpolate(text, given)


def test_console_has_no_secret() -> None:
    container = CONTAINERS[CONSOLE]
    assert "secrets" not in container
    assert not [name for name in container["environment"] if "KEY" in name or "DSN" in name]
    assert container["command"] == ["python", "-m", f"services.{CONSOLE}"]


def test_only_the_endpoints_for_events_are_open_to_the_network() -> None:
    ports = {name: container.get("ports", []) for name, container in CONTAINERS.items()}
    assert ports["ingest"][:2] == [f"{HTTP}:{HTTP}", f"{GRPC}:{GRPC}"]
    ports["ingest"] = ports["ingest"][2:]
    assert not ports.pop("postgres")
    assert not ports.pop("nats")
    for name, published in ports.items():
        assert {p.split(":")[0] for p in published} == {LOOPBACK}, name
        inside = {int(p.split(":")[2]) for p in published}
        wanted = {HTTP} if name == CONSOLE else {INTERNAL_GRPC}
        assert inside >= {*wanted, INTERNAL_HTTP}, name
    everything = [p for container in CONTAINERS.values() for p in container.get("ports", [])]
    outside = [p.split(":")[-2] for p in everything]
    assert len(set(outside)) == len(outside)


def test_postgres_has_the_settings_of_the_private_one() -> None:
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


def test_dockerignore_allows_exactly_the_copied_files() -> None:
    allowed = {line[1:] for line in _lines(".dockerignore") if line.startswith("!")}
    copied = {
        shlex.split(rest)[0].rstrip("/")
        for instruction, rest in instructions()
        if instruction == "COPY" and not rest.startswith("--")
    }
    assert copied == allowed
    assert all((ROOT / path).exists() for path in copied)


def _lines(name: str) -> list[str]:
    return (ROOT / name).read_text("utf-8").splitlines()


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    return Image.build(tmp_path_factory.mktemp("image") / "app")


@pytest.mark.parametrize("service", [*SERVICES, CONSOLE])
def test_image_has_every_module_that_a_service_imports(service: str, image: Image) -> None:
    path = [str(image.folder), str(image.folder / "gen"), sysconfig.get_paths()["purelib"]]
    # Without site, so that no path of the checkout is used.
    found = f"import services.{service}.service as found; print(found.__file__)"
    program = f"import sys; sys.path += {path}; {found}"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(image.folder))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def host(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ComposeHost]:
    """PostgreSQL and NATS as the compose file sets them up."""
    folder = tmp_path_factory.mktemp("compose")
    host = ComposeHost(folder, filled_in())
    command = CONTAINERS["postgres"]["command"]
    settings = dict(word.split("=", 1) for word in command[2::2])
    async with PostgresServer(folder, settings=settings) as postgres:
        host.ports["postgres", 5432] = postgres.port
        await _make_empty(postgres)
        first_start(host, postgres)
        with nats_server(host):
            await wait_until(lambda: _is_healthy(host))
            yield host


async def _make_empty(postgres: PostgresServer) -> None:
    """Remove roles and database, which the first start of the image has to make."""
    admin = await asyncpg.connect(postgres.admin_dsn)
    try:
        await admin.execute("DROP DATABASE onefold")
        roles = await admin.fetch(
            "SELECT rolname FROM pg_roles WHERE rolname LIKE 'onefold\\_%\\_%'"
        )
        for role in roles:
            await admin.execute(f"DROP ROLE {role['rolname']}")
    finally:
        await admin.close()


def first_start(host: ComposeHost, postgres: PostgresServer) -> None:
    """Run the script that the image runs on an empty volume."""
    script = host.volume("postgres", "/docker-entrypoint-initdb.d/onefold.sh")
    assert os.access(script, os.X_OK)
    admin = postgres.admin_dsn.removeprefix("postgresql://").partition("@")[0]
    user, _, password = admin.partition(":")
    here = {"PGHOST": LOOPBACK, "PGPORT": str(postgres.port), "PGPASSWORD": password}
    environment = host.environment("postgres") | postgres_programs() | here
    assert environment["POSTGRES_USER"] == user
    done = subprocess.run([script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_configuration_of_nats_is_what_the_code_generates() -> None:
    assert (ROOT / "deploy" / "nats.conf").read_text("utf-8") == shipped_config()


@contextmanager
def nats_server(host: ComposeHost) -> Iterator[None]:
    """Run nats-server with the command and the configuration of the compose file."""
    option, inside = CONTAINERS["nats"]["command"]
    text = host.volume("nats", inside).read_text("utf-8")
    config = host.folder / "nats.conf"
    store = f"store_dir: {host.volume('nats', '/data')},"
    config.write_text(text.replace("store_dir: /data,", store), "utf-8")
    shutil.copytree(host.volume("nats", "/etc/nats/clients"), host.folder / "clients")
    here = ["-a", LOOPBACK, "-p", str(host.port("nats", 4222)), "-m", str(host.port("nats", 8222))]
    argv = [str(find_nats()), option, str(config), *here]
    environment = host.environment("nats") | {"PATH": os.environ["PATH"]}
    with process(argv, environment, host.folder, host.folder / "nats.log"):
        yield


async def _is_healthy(host: ComposeHost) -> bool:
    url = host.health_check("nats", port=8222)[-1]
    async with aiohttp.ClientSession() as http:
        try:
            async with http.get(url) as response:
                return response.status == 200
        except aiohttp.ClientError:
            return False


def test_script_of_the_first_start_is_generated_from_the_roles_of_the_private_server() -> None:
    assert (ROOT / "deploy" / "postgres.sh").read_text("utf-8") == shipped_script()


async def test_first_start_makes_roles_that_each_see_one_service(host: ComposeHost) -> None:
    health_check = host.health_check("postgres")
    environment = postgres_programs() | {"PGPORT": str(host.port("postgres", 5432))}
    assert passes(health_check, environment)
    for service in SERVICES:
        dsn = host.environment(service)["ONEFOLD_POSTGRES_DSN"]
        for kind, role in ServiceRoles.from_dsn(dsn, service).by_kind().items():
            connection = await asyncpg.connect(dsn, user=role)
            try:
                for setting, value in SESSION_SETTINGS[kind].items():
                    assert await connection.fetchval(f"SHOW {setting}") == value
                assert await connection.fetchval("SHOW is_superuser") == "off"
            finally:
                await connection.close()
        other = host.environment("ingest" if service != "ingest" else "profile")
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(other["ONEFOLD_POSTGRES_DSN"], user=role)


async def test_nats_requires_the_password_and_writes_messages_to_disk(host: ComposeHost) -> None:
    url = host.environment("ingest")["ONEFOLD_NATS_URL"]
    assert await _rejection_of(url.replace("ingest:", "ingest:not"))
    await check_nats(url)
    connection = await nats.connect(url)
    try:
        assert connection.max_payload == MAX_PAYLOAD_BYTES
    finally:
        await connection.close()
    monitor = host.health_check("nats", port=8222)[-1].replace("/healthz", "/varz")
    async with aiohttp.ClientSession() as http, http.get(monitor) as response:
        assert (await response.json())["jetstream"]["config"]["sync_always"] is True


async def _rejection_of(url: str) -> bytes:
    """Return the error that the server sends for these credentials; empty where it sends none."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        await reader.readline()
        login = {"user": parts.username, "pass": parts.password, "verbose": False}
        writer.write(f"CONNECT {json.dumps(login)}\r\nPING\r\n".encode())
        response = await reader.readline()
    finally:
        writer.close()
        await writer.wait_closed()
    return response if b"Authorization Violation" in response else b""


@pytest.mark.slow
async def test_every_service_starts_with_its_command_and_stops_at_sigterm(
    host: ComposeHost, image: Image
) -> None:
    """Start them in the order of `depends_on`, each until its health check passes."""
    with ExitStack() as scope:
        running = {}
        for names in (SERVICES[:1], SERVICES[1:], (CONSOLE,)):
            for name in names:
                environment = image.environ() | host.environment(name)
                log = host.folder / f"{name}.log"
                argv = CONTAINERS[name]["command"]
                running[name] = scope.enter_context(process(argv, environment, image.folder, log))
            await asyncio.gather(*(_healthy(host, image, n, running[n]) for n in names))
        await _admin_key_works(host)
        await _console_serves_calls(host)
        codes = dict(zip(running, await asyncio.gather(*map(stop, running.values())), strict=True))
    assert codes == dict.fromkeys((*SERVICES, CONSOLE), 0)


async def _healthy(
    host: ComposeHost, image: Image, name: str, running: subprocess.Popen[bytes]
) -> None:
    command = host.health_check(name, port=INTERNAL_HTTP)

    async def ready_or_ended() -> bool:
        ended = running.poll() is not None
        return ended or await asyncio.to_thread(passes, command, image.environ())

    with suppress(TimeoutError):
        await wait_until(ready_or_ended)
    log = (host.folder / f"{name}.log").read_text("utf-8", "replace")
    assert running.poll() is None, f"{name} ended; its log:\n{log[-2000:]}"
    assert passes(command, image.environ()), f"{name} is not ready; its log:\n{log[-2000:]}"


async def _admin_key_works(host: ComposeHost) -> None:
    """Define a source and issue a key with the admin key, and send an event with that key."""
    environment = cli_environment(host)
    onefold = [sys.executable, "-m", "services.cli"]
    definition = host.folder / "shop.yaml"
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
    url = f"http://{LOOPBACK}:{host.port('ingest', HTTP)}/v1/track"
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {key}"}) as http,
        http.post(url, json=event) as response,
    ):
        assert response.status == 200, await response.text()


async def _console_serves_calls(host: ComposeHost) -> None:
    """List the sources over HTTP."""
    url = f"http://{LOOPBACK}:{host.port(CONSOLE, HTTP)}/api/ingest/ListSources"
    headers = {"Authorization": f"Bearer {host.secret('admin_key')}"}
    async with aiohttp.ClientSession(headers=headers) as http, http.post(url, json={}) as response:
        sources = (await response.json())["sources"]
        assert [each["source"]["source_id"] for each in sources] == ["shop"]


def cli_environment(host: ComposeHost) -> dict[str, str]:
    """Return the environment of the command line outside of the containers."""
    urls = {
        f"ONEFOLD_{s.upper()}_URL": f"{LOOPBACK}:{host.port(s, INTERNAL_GRPC)}" for s in SERVICES
    }
    key = {"ONEFOLD_KEY": host.secret("admin_key")}
    return {"PATH": os.environ["PATH"], "HOME": str(host.folder)} | urls | key
