"""Makes, replaces and removes the NATS credentials of sources, in a file of nats-server."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from services.devstack.errors import ServerError
from services.devstack.nats_config import ClientId, new_password


class ClientsFile:
    """The users of sources. A server reads it again when it is reloaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def ensure(self) -> None:
        """Create the file without users where it does not exist: no server starts without it."""
        if not self.path.exists():
            self._save({})

    def password_of(self, client: ClientId) -> str | None:
        """Return the password of a source; None where it has no credentials."""
        user = self._load().get(client.name)
        return str(user["password"]) if user else None

    def create(self, client: ClientId, *, rotate: bool = False, receives: bool = False) -> str:
        """Create credentials, or replace those of a source that has some; return the password.

        `receives`: they permit to receive what destinations of the workspace publish. Raises
        ServerError where the source has none to replace, or some and they may not be.
        """
        users = self._load()
        if (client.name in users) != rotate:
            remedy = "replace them with --rotate" if client.name in users else "leave out --rotate"
            has = "has" if client.name in users else "has no"
            raise ServerError(f"source {client.name} {has} credentials: {remedy}")
        password = new_password()
        users[client.name] = client.user(password, receives=receives).as_json()
        self._save(users)
        return password

    def remove(self, client: ClientId) -> None:
        """Remove the credentials of a source. Raises ServerError where it has none."""
        users = self._load()
        if users.pop(client.name, None) is None:
            raise ServerError(f"source {client.name} has no credentials")
        self._save(users)

    def _load(self) -> dict[str, dict[str, Any]]:
        if not self.path.exists():
            return {}
        try:
            users = json.loads(self.path.read_text(encoding="utf-8"))["users"]
            return {str(user["user"]): user for user in users}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ServerError(
                f"{self.path} is not a file of this command ({type(error).__name__}): restore it,"
                " or delete it and make the credentials of all sources again"
            ) from None

    def _save(self, users: Mapping[str, Mapping[str, Any]]) -> None:
        """Write the file as a whole: a server that reads it sees the old or the new one."""
        unfinished = self.path.with_name(f"{self.path.name}.{os.getpid()}")
        document = {"users": [users[name] for name in sorted(users)]}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            unfinished.unlink(missing_ok=True)
            descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(descriptor, "w", encoding="utf-8") as output:
                json.dump(document, output, indent=1)
            unfinished.replace(self.path)
        except OSError as error:
            raise ServerError(f"{self.path} cannot be written: {error.strerror}") from error
