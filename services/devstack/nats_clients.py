"""Makes, replaces and removes the NATS credentials of sources, in a file of nats-server."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from services.devstack.errors import ServerError
from services.devstack.nats_config import RECEIVERS_FILE, ClientId, new_password


class ClientsFile:
    """The users of sources: publishers in one file, receivers in another beside it.

    A server reads them again when it is reloaded.
    """

    def __init__(self, path: Path) -> None:
        """`path`: the file of the publishers."""
        self._publishers, self._receivers = path, path.with_name(RECEIVERS_FILE)

    def ensure(self) -> None:
        """Create files without users where there are none: no server starts without them."""
        for path in (self._publishers, self._receivers):
            if not path.exists():
                _save(path, {})

    def password_of(self, client: ClientId) -> str | None:
        """Return the password of a source; None where it has no credentials."""
        user = _load(self._path(client)).get(client.name)
        return str(user["password"]) if user else None

    def create(self, client: ClientId, *, rotate: bool = False) -> str:
        """Create credentials, or replace those of a source that has some; return the password.

        Raises ServerError where the source has none to replace, or some and they may not be.
        """
        users = _load(self._path(client))
        if (client.name in users) != rotate:
            remedy = "replace them with --rotate" if client.name in users else "leave out --rotate"
            has = "has" if client.name in users else "has no"
            raise ServerError(f"source {client.name} {has} credentials: {remedy}")
        password = new_password()
        users[client.name] = client.user(password).as_json()
        _save(self._path(client), users)
        return password

    def remove(self, client: ClientId) -> None:
        """Remove the credentials of a source. Raises ServerError where it has none."""
        users = _load(self._path(client))
        if users.pop(client.name, None) is None:
            raise ServerError(f"source {client.name} has no credentials")
        _save(self._path(client), users)

    def _path(self, client: ClientId) -> Path:
        return self._receivers if client.receives else self._publishers


def _load(path: Path) -> dict[str, dict[str, Any]]:
    if not path.exists():
        return {}
    try:
        users = json.loads(path.read_text(encoding="utf-8"))["users"]
        return {str(user["user"]): user for user in users}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ServerError(
            f"{path} is not a file of this command ({type(error).__name__}): restore it,"
            " or delete it and make the credentials of all sources again"
        ) from None


def _save(path: Path, users: Mapping[str, Mapping[str, Any]]) -> None:
    """Write a file as a whole: a server that reads it sees the old or the new one."""
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    document = {"users": [users[name] for name in sorted(users)]}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.unlink(missing_ok=True)
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="utf-8") as output:
            json.dump(document, output, indent=1)
        unfinished.replace(path)
    except OSError as error:
        raise ServerError(f"{path} cannot be written: {error.strerror}") from error
