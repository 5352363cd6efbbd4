"""Defines who may do what on NATS, and generates the configuration of nats-server from it.

There are three accounts. `SERVICES` has JetStream and one user per service. `CLIENTS` has one user
per source; it sees nothing but two groups of subjects that it imports from `SERVICES`. `RECEIVERS`
has the users that receive what destinations publish, and imports that alone. So a client cannot
have a reply sent to a subject of the services or of a receiver: a reply stays in its account.

`python -m services.devstack.nats_config` writes `deploy/nats.conf`.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services import SERVICES
from services.devstack.errors import ServerError
from services.devstack.folders import ROOT

MAX_PAYLOAD_BYTES = 8 * 1024 * 1024
#: The files with the users of `CLIENTS` and of `RECEIVERS`, beside the embedded configuration.
CLIENTS_FILE, RECEIVERS_FILE = "clients.conf", "receivers.conf"
#: The stream and the consumer of the messages that publishers send.
_IN, _INGEST = "ONEFOLD_IN", "ingest"
_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_API = "$JS.API"


@dataclass(frozen=True, slots=True)
class NatsUser:
    """A user, and the subjects that it may publish and subscribe to; all others are refused."""

    name: str
    #: A text, or `$VARIABLE` of the server's environment.
    password: str
    publish: tuple[str, ...]
    #: A subject, or a subject and the only queue group in which it may be subscribed to.
    subscribe: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the user as an entry of a configuration."""
        permissions = {"publish": {"allow": self.publish}, "subscribe": {"allow": self.subscribe}}
        return {"user": self.name, "password": self.password, "permissions": permissions}


@dataclass(frozen=True, slots=True)
class ClientId:
    """A client of NATS: a source of a workspace. Raises ServerError where an id is malformed."""

    workspace_id: str
    source_id: str
    #: Whether it receives what destinations of its workspace publish, and publishes nothing.
    receives: bool = False

    def __post_init__(self) -> None:
        for name, text in (("workspace", self.workspace_id), ("source", self.source_id)):
            if not _ID.fullmatch(text):
                raise ServerError(
                    f"the {name} must be an id of 1 to 63 characters: lower-case letters, digits, "
                    "`-` and `_`"
                )

    @property
    def name(self) -> str:
        """The name of its user."""
        name = f"{self.workspace_id}.{self.source_id}"
        return f"{name}.receiver" if self.receives else name

    @property
    def subject(self) -> str:
        """The subject that it publishes events on, or the subjects that it receives."""
        return f"onefold.out.{self.workspace_id}.>" if self.receives else f"onefold.in.{self.name}"

    @property
    def inbox_prefix(self) -> str:
        """The beginning of the subjects on which it may receive replies."""
        return f"_INBOX.{self.name}"

    def user(self, password: str) -> NatsUser:
        """Return its user, with everything that a publisher or a receiver needs."""
        inboxes = f"{self.inbox_prefix}.>"
        if self.receives:
            # An empty list would permit to publish everything.
            return NatsUser(self.name, password, (inboxes,), (inboxes, self.subject))
        publish = (self.subject, f"onefold.request.{self.name}")
        return NatsUser(self.name, password, publish, (inboxes,))


def service_user(service: str, password: str, subjects: Iterable[str] = ()) -> NatsUser:
    """Return the user of a service.

    `subjects`: those outside of `onefold.out.` that destinations may publish on.
    """
    at = SERVICES.index(service)
    publish, subscribe = [], [f"_INBOX.{service}.>"]
    if service == "ingest":
        publish += _receiver_of_events()
        subscribe.append(f"onefold.request.> {_INGEST}")
    else:
        publish += _consumer_of("log" if at == 1 else SERVICES[at - 1])
    if service == SERVICES[-1]:
        # Its destinations publish, and ask which subjects a stream stores.
        publish += ["onefold.out.>", f"{_API}.STREAM.NAMES", *subjects]
    else:
        name = "log" if at == 0 else service
        publish += _publisher_of(name)
        subscribe.append(f"onefold.notify.{name}.*")
    return NatsUser(service, password, tuple(publish), tuple(subscribe))


def _publisher_of(name: str) -> list[str]:
    """Return what the owner of the stream `onefold.<name>.<shard>` publishes."""
    stream = _stream(name)
    calls = ("STREAM.INFO", "STREAM.CREATE", "STREAM.PURGE", "STREAM.MSG.GET")
    subjects = [f"onefold.{name}.*", f"onefold.notify.{name}.*"]
    return subjects + [f"{_API}.{call}.{stream}" for call in calls]


def _consumer_of(name: str) -> list[str]:
    """Return what the only consumer of the stream `onefold.<name>.<shard>` publishes."""
    stream = _stream(name)
    return [
        # A name and a filter in the subject must be those of the body.
        f"{_API}.CONSUMER.CREATE.{stream}.*.onefold.{name}.*",
        f"{_API}.CONSUMER.DELETE.{stream}.*",
        f"{_API}.CONSUMER.MSG.NEXT.{stream}.*",
        f"$JS.ACK.{stream}.>",
    ]


def _receiver_of_events() -> list[str]:
    """Return what ingest publishes to receive the messages of publishers."""
    consumer = f"{_IN}.{_INGEST}"
    calls = (
        *("STREAM.INFO", "STREAM.CREATE"),
        *("CONSUMER.CREATE", "CONSUMER.DELETE", "CONSUMER.INFO", "CONSUMER.MSG.NEXT"),
    )
    of_stream = {"STREAM.INFO", "STREAM.CREATE"}
    found = [f"{_API}.{call}.{_IN if call in of_stream else consumer}" for call in calls]
    # Replies to requests of the other account.
    return [*found, f"$JS.ACK.{consumer}.>", "_R_.>"]


def _stream(name: str) -> str:
    return f"ONEFOLD_{name.upper()}"


def render(
    header: str, options: Mapping[str, str], users: Sequence[NatsUser], clients_folder: str = ""
) -> str:
    """Return a configuration in the format of nats-server.

    `options`: top-level settings, each value as it is written in the file. `clients_folder`: where
    the files with the users of the other accounts lie, with a slash at its end.
    """
    lines = [*(f"# {line}" for line in header.splitlines())]
    lines += [f"{name}: {value}" for name, value in options.items()]
    lines += ["accounts {", "  SERVICES {", "    jetstream: enabled", "    exports: ["]
    lines += [f"      {{{kind}: {_quoted(subject)}}}" for kind, subject in (*_SENT, *_RECEIVED)]
    lines += ["    ]", "    users: ["]
    for user in users:
        password = user.password if user.password.startswith("$") else _quoted(user.password)
        lines += ["      {", f"        user: {user.name}", f"        password: {password}"]
        lines += ["        permissions: {", "          publish: {allow: ["]
        lines += [f"            {_quoted(subject)}" for subject in user.publish]
        lines += ["          ]}", "          subscribe: {allow: ["]
        lines += [f"            {_quoted(subject)}" for subject in user.subscribe]
        lines += ["          ]}", "        }", "      }"]
    lines += ["    ]", "  }"]
    for account, shared, file in (
        ("CLIENTS", _SENT, CLIENTS_FILE),
        ("RECEIVERS", _RECEIVED, RECEIVERS_FILE),
    ):
        lines += [f"  {account} {{", "    imports: ["]
        for kind, subject in shared:
            lines.append(f"      {{{kind}: {{account: SERVICES, subject: {_quoted(subject)}}}}}")
        lines += ["    ]", "    # Its users, written by `./onefold nats credentials`."]
        lines += [f"    include {_quoted(clients_folder + file)}", "  }"]
    return "\n".join([*lines, "}"]) + "\n"


#: What `CLIENTS` sends to the services, and what `RECEIVERS` gets from them.
_SENT = (("service", "onefold.in.>"), ("service", "onefold.request.>"))
_RECEIVED = (("stream", "onefold.out.>"),)


def new_password() -> str:
    """Return a random password, which needs no escaping in a URL."""
    return secrets.token_hex(24)


def password_variable(service: str) -> str:
    """Return the variable of the container `nats` with the password of a service."""
    return f"NATS_{service.upper()}_PASSWORD"


def shipped_config() -> str:
    """Return the configuration of the compose file."""
    header = (
        "The configuration of NATS in the compose file, generated by\n"
        "`python -m services.devstack.nats_config`; change the users there. The passwords come\n"
        "from the environment, in quotes of their own: without them a password that begins with\n"
        "a digit would be parsed as a number."
    )
    options = {
        "server_name": "onefold",
        "listen": "0.0.0.0:4222",
        # For the health check, which runs in the container: it shows connections and subjects.
        "http": "127.0.0.1:8222",
        "max_payload": str(MAX_PAYLOAD_BYTES),
        # The default flushes every two minutes, so a crash would lose acknowledged messages.
        "jetstream": "{store_dir: /data, sync_interval: always}",
    }
    users = [service_user(s, f"${password_variable(s)}") for s in SERVICES]
    return render(header, options, users, "clients/")


def _quoted(text: str) -> str:
    return json.dumps(text)


if __name__ == "__main__":
    (ROOT / "deploy" / "nats.conf").write_text(shipped_config(), encoding="utf-8")
