"""Starts services as forks of a process that has imported them once.

Most of the time of a start is the import of modules, and a whole system starts five services or
more. A module of tests whose systems start and stop asks for `forked_services`; what it starts are
processes of its own, as with `python -m`, which other tests check.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
#: The services that are imported, and the variable of those that run in several processes.
MODULES = [
    f"services.{name}" for name in ("ingest", "identity", "profile", "segment", "activation")
]
_PROCESSES = "ONEFOLD_INGEST_PROCESSES"
#: A call has the environment of the service in one message of at most this many bytes.
MAX_BYTES = 1 << 17
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


class ForkedService(subprocess.Popen[bytes]):
    """A process that another one has started for this one, and whose parent this one has become."""

    def __init__(self, pid: int, args: Sequence[str]) -> None:
        self.pid = pid
        self.args = list(args)
        self.returncode: int | None = None
        self.stdin = self.stdout = self.stderr = None
        self._child_created = True
        self._waitpid_lock = threading.Lock()


@pytest.fixture(scope="session")
def service_server(servers_dir: Path) -> Iterator[str]:
    """Provide the address of the process that forks services."""
    from services.devstack.process import spawn

    folder = servers_dir / "services"
    folder.mkdir()
    path = str(folder / "socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(path)
        listener.listen()  # from now on calls wait for the server
        number = listener.fileno()
        server = spawn(
            [sys.executable, "-P", str(Path(__file__)), str(number)],
            cwd=ROOT,
            log=folder / "log",
            env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'gen'}"},
            death_signal=signal.SIGTERM,
            descriptors=[number],
        )
    yield path
    server.terminate()
    server.wait()


@pytest.fixture(scope="module")
def forked_services(service_server: str) -> Iterator[None]:
    """Let stacks start their services as forks."""
    from services.devstack import service_process
    from services.devstack.process import spawn

    def fork(argv: Sequence[str], *, env: Mapping[str, str], **options: Any) -> Any:
        if argv[-1] not in MODULES or env.get(_PROCESSES, "1") != "1":
            return spawn(argv, env=env, **options)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
            server.connect(service_server)
            call = [argv[-1], str(options["cwd"]), str(options["log"]), dict(env), os.getpid()]
            server.send(json.dumps(call).encode())
            return ForkedService(int(server.recv(16)), argv)

    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service_process, "spawn", fork)
        yield
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 0)


def serve(descriptor: int) -> None:
    """Import the services, then run each that is named on a listening socket."""
    for module in MODULES:
        import_module(f"{module}.service")
        import_module(f"{module}.settings")
    gc.freeze()
    with socket.socket(fileno=descriptor) as listener:
        while True:
            caller, _ = listener.accept()
            with caller:
                module, cwd, log, environment, parent = json.loads(caller.recv(MAX_BYTES))
                reading, writing = os.pipe()
                if child := os.fork():
                    # Once this child has ended, the caller is the parent of the service.
                    os.waitpid(child, 0)
                    os.close(writing)
                    caller.send(os.read(reading, 16))
                    os.close(reading)
                    continue
                between = os.getpid()
                if pid := os.fork():
                    os.write(writing, str(pid).encode())
                    os._exit(0)
            listener.close()
            os.close(reading)
            os.close(writing)
            while os.getppid() == between:
                os.sched_yield()
            _run(module, cwd, log, environment, parent)


def _run(module: str, cwd: str, log: str, environment: Mapping[str, str], parent: int) -> None:
    """Run a service in this process until it ends."""
    os.setsid()
    os.umask(0o077)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(1)
    os.chdir(cwd)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for number in (1, 2):
        os.dup2(output, number)
    os.close(output)
    os.environ.clear()
    os.environ.update(environment)
    code: Any = 1
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        code = ended.code
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else int(code is not None))


if __name__ == "__main__":
    serve(int(sys.argv[1]))
