"""Runs the containers of docker-compose.yml as processes of this machine.

Commands, environment, mounted files and health checks are those of the compose file and the image.
Hosts are replaced by loopback, ports by free ones, and volumes by folders.
"""

from __future__ import annotations

import os
import re
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from services.devstack.binaries import find_postgres
from services.devstack.ports import LOOPBACK, free_port
from services.devstack.process import end, spawn

ROOT = Path(__file__).resolve().parents[3]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
CONTAINERS: dict[str, dict[str, Any]] = COMPOSE["services"]
SERVERS = ("postgres", "nats")
CONSOLE = "console"
SERVICES = tuple(name for name in CONTAINERS if name not in (*SERVERS, CONSOLE))

#: The variables of the ports of a service.
PORTS = {
    *("ONEFOLD_GRPC_PORT", "ONEFOLD_INGEST_HTTP_PORT"),
    *("ONEFOLD_INTERNAL_GRPC_PORT", "ONEFOLD_INTERNAL_HTTP_PORT"),
    "ONEFOLD_CONSOLE_HTTP_PORT",
}
_VARIABLE = re.compile(r"\$\{(\w+)(?:(:\?|:-)([^}]*))?\}|\$\$")
_HOST_AND_PORT = re.compile(rf"\b({'|'.join(CONTAINERS)}):(\d+)\b")


#: Where containers find the files of their secrets.
MOUNTED = "/run/secrets/"


class NotSet(Exception):
    """A variable that compose requires is not set."""


def filled_in() -> dict[str, str]:
    """Return the variables of `.env.example` with random secrets."""
    lines = (ROOT / ".env.example").read_text("utf-8").splitlines()
    pairs = [line.partition("=") for line in lines if line and not line.startswith("#")]
    return {name: value or secrets.token_hex(24) for name, _, value in pairs}


def interpolate(text: str, variables: Mapping[str, str]) -> str:
    """Replace `${NAME}`, `${NAME:-default}`, `${NAME:?why}` and `$$` as compose does.

    Raises NotSet.
    """

    def value(found: re.Match[str]) -> str:
        name, operator, rest = found.groups()
        if name is None:
            return "$"
        if given := variables.get(name):
            return given
        if operator == ":-":
            return rest
        raise NotSet(f"{name}: {rest}")

    return _VARIABLE.sub(value, text)


@dataclass
class Image:
    """The result of the Dockerfile: a folder and an environment."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    @classmethod
    def build(cls, folder: Path) -> Image:
        """Copy the files and set the environment as the Dockerfile does."""
        image = cls(folder)
        for instruction, rest in instructions():
            words = shlex.split(rest)
            if instruction == "FROM":  # the last stage is the image
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
            elif instruction == "COPY" and not words[0].startswith("--"):
                image._copy(words[0], words[1])
            elif instruction == "ENV":
                image.environment |= dict(word.split("=", 1) for word in words)
        return image

    def _copy(self, path: str, to: str) -> None:
        source, target = ROOT / path, self.folder / to
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)

    def environ(self) -> dict[str, str]:
        """Return its environment, with /app as the folder and the packages of this environment."""
        here = {"$PATH": os.environ["PATH"], "/opt/onefold/bin": str(Path(sys.executable).parent)}
        here["/app"] = str(self.folder)
        found = dict(self.environment)
        for inside, path in here.items():
            found = {name: text.replace(inside, path) for name, text in found.items()}
        return found | {"LANG": "C.UTF-8", "HOME": str(self.folder)}


def instructions() -> list[tuple[str, str]]:
    """Return the instructions of the Dockerfile, each with the rest of its line."""
    text = (ROOT / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in lines]


class ComposeHost:
    """Gives the containers ports, folders and an environment on this machine."""

    def __init__(self, folder: Path, variables: Mapping[str, str]) -> None:
        self.folder = folder
        self.variables = variables
        self.ports: dict[tuple[str, int], int] = {}
        #: The files of the secrets, as the script of the checkout makes them.
        self.secrets = folder / "secrets"
        subprocess.run([ROOT / "deploy" / "secrets.sh", self.secrets], check=True)

    def secret(self, name: str) -> str:
        """Return the secret that containers find under a name."""
        named = interpolate(
            COMPOSE["secrets"][name]["file"], {"ONEFOLD_SECRETS": str(self.secrets)}
        )
        return Path(named).read_text("utf-8").strip()

    def port(self, container: str, inside: int) -> int:
        """Return the port of this machine for a port of a container."""
        return self.ports.setdefault((container, inside), self._unused())

    def _unused(self) -> int:
        while (port := free_port()) in self.ports.values():
            continue
        return port

    def environment(self, container: str) -> dict[str, str]:
        """Return the environment of a container, with the addresses and folders of this machine."""
        given = CONTAINERS[container]["environment"]
        found = {
            k: self._replace_hosts(interpolate(str(v), self.variables)) for k, v in given.items()
        }
        for name, value in found.items():
            if value.startswith(MOUNTED):
                mounted = value.removeprefix(MOUNTED)
                assert mounted in CONTAINERS[container]["secrets"], f"{container}: {name}"
                found[name] = str(self.secrets / mounted)
        for name in PORTS & found.keys():
            found[name] = str(self.port(container, int(found[name])))
        for name in ("ONEFOLD_HOST", "ONEFOLD_INTERNAL_HOST"):
            if name in found:
                found[name] = LOOPBACK
        if "ONEFOLD_DATA_DIR" in found:
            found["ONEFOLD_DATA_DIR"] = str(self.volume(container, found["ONEFOLD_DATA_DIR"]))
        return found

    def _replace_hosts(self, text: str) -> str:
        return _HOST_AND_PORT.sub(lambda m: f"{LOOPBACK}:{self.port(m[1], int(m[2]))}", text)

    def volume(self, container: str, inside: str) -> Path:
        """Return the file of the checkout, or the folder, for a path in a container."""
        for mount in CONTAINERS[container].get("volumes", ()):
            outside, target = interpolate(mount, self.variables).split(":")[:2]
            if target == inside and outside.startswith("./"):
                return ROOT / outside
            if target == inside:
                (self.folder / outside).mkdir(parents=True, exist_ok=True)
                return self.folder / outside
        raise LookupError(f"{container} has no volume at {inside}")

    def health_check(self, container: str, *, port: int = 0) -> list[str]:
        """Return the command of the health check, with the container's `port` replaced."""
        kind, *command = CONTAINERS[container]["healthcheck"]["test"]
        assert kind == "CMD"
        inside, here = f"{LOOPBACK}:{port}", f"{LOOPBACK}:{self.port(container, port)}"
        return [interpolate(word, self.variables).replace(inside, here) for word in command]


@contextmanager
def process(
    argv: Sequence[str], environment: Mapping[str, str], cwd: Path, log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program within the scope; it is killed at the end, or when this process dies."""
    program = shutil.which(argv[0], path=environment["PATH"]) or argv[0]
    running = spawn(
        [program, *argv[1:]], cwd=cwd, log=log, env=environment, death_signal=signal.SIGKILL
    )
    try:
        yield running
    finally:
        running.kill()
        running.wait()


async def stop(running: subprocess.Popen[bytes]) -> int:
    """Stop it as a container is stopped, and return its exit code."""
    await end(running.pid, (signal.SIGTERM, 30.0), (signal.SIGKILL, 5.0))
    return running.wait()


def passes(command: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Run a health check, and return whether it passes."""
    done = subprocess.run(command, env=dict(environment), capture_output=True, check=False)
    return done.returncode == 0


def postgres_programs() -> dict[str, str]:
    """Return an environment in which psql and pg_isready are found."""
    return {"PATH": f"{find_postgres()}:{os.environ['PATH']}", "LC_ALL": "C"}
