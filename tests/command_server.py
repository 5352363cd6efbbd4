"""Runs commands of `./onefold` in forks of a process that has imported the command line once.

Most of the time of a short command is the import of its modules. Tests of many commands call
`onefold_program` in the place of `./onefold`: it passes its arguments, folder, environment and
streams to the server, which runs them in a fork, and it ends with the exit code of the command.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
#: A command has its arguments and its environment in one message of at most this many bytes.
MAX_BYTES = 1 << 17
#: The environment of the server: a console takes its width from the process that imports it.
COLUMNS = "200"
_CLIENT = """\
import json, os, socket, sys
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
    server.connect(sys.argv[1])
    call = [sys.argv[2:], os.getcwd(), dict(os.environ)]
    socket.send_fds(server, [json.dumps(call).encode()], [0, 1, 2])
    sys.exit(int(server.recv(16) or 70))
"""


@pytest.fixture(scope="session")
def onefold_program(servers_dir: Path) -> Iterator[Path]:
    """Provide a program that runs commands as `./onefold` does, in forks of one process."""
    # Imported here: the server itself is run with what the command line needs, and no more.
    from services.devstack.process import spawn

    folder = servers_dir / "commands"
    folder.mkdir()
    path, client, program = folder / "socket", folder / "client.py", folder / "onefold"
    client.write_text(_CLIENT)
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "{client}" "{path}" "$@"\n')
    program.chmod(0o755)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(path))
        listener.listen()  # from now on calls wait for the server
        number = listener.fileno()
        server = spawn(
            [sys.executable, "-P", str(Path(__file__)), str(number)],
            cwd=ROOT,
            log=folder / "log",
            env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'gen'}", "COLUMNS": COLUMNS},
            death_signal=signal.SIGTERM,
            descriptors=[number],
        )
    yield program
    server.terminate()
    server.wait()


def serve(descriptor: int) -> None:
    """Import the command line, then run each command that is sent to a listening socket."""
    from services.cli import __main__ as command_line

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # children that have ended are reaped at once
    with socket.socket(fileno=descriptor) as listener:
        while True:
            caller, _ = listener.accept()
            with caller:
                if os.fork():
                    continue
                listener.close()
                caller.send(str(_run(command_line, caller)).encode())
            os._exit(0)


def _run(command_line: Any, caller: socket.socket) -> int:
    """Run one command in this process; return its exit code."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    message, streams, _, _ = socket.recv_fds(caller, MAX_BYTES, 3)
    arguments, folder, environment = json.loads(message)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    # Those of the server were made for its log.
    sys.stdin, sys.stdout = os.fdopen(0, closefd=False), os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["onefold", *arguments]
    for terminal in (command_line.output.out, command_line.output.err):
        terminal.console.width = int(environment.get("COLUMNS", COLUMNS))
    command_line.output.guard_streams()
    try:
        command_line.app(prog_name="./onefold")
    except SystemExit as ended:
        code = ended.code
        return code if isinstance(code, int) else int(code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


if __name__ == "__main__":
    serve(int(sys.argv[1]))
