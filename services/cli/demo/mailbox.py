"""Receives mails in place of a customer's mail server, and keeps them by their receivers."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Self

from services.devstack.ports import LOOPBACK

#: The longest line of a client, bytes.
_MAX_LINE = 64 * 1024


class Mailbox:
    """A server of SMTP (RFC 5321) on a free loopback port; `async with` opens and closes it.

    It accepts every mail, without TLS and without a login.
    """

    def __init__(self) -> None:
        #: The mails that each address has got, in the order of their arrival.
        self.mails: defaultdict[str, list[EmailMessage]] = defaultdict(list)
        self._server: asyncio.Server | None = None
        self.port = 0

    @property
    def target(self) -> str:
        """The host and port, as a list of allowed targets names them."""
        return f"{LOOPBACK}:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, LOOPBACK, 0, limit=_MAX_LINE)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_error: object) -> None:
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mailbox ESMTP\r\n")
        receivers: list[str] = []
        try:
            while line := await reader.readline():
                verb, _, argument = line.decode("latin-1").strip().partition(" ")
                match verb.upper():
                    case "EHLO" | "HELO":
                        reply = "250 mailbox"
                    case "RCPT":
                        receivers.append(argument.partition("<")[2].partition(">")[0])
                        reply = "250 2.1.5 OK"
                    case "DATA":
                        writer.write(b"354 end with a dot\r\n")
                        await writer.drain()
                        self._keep(receivers, await _data(reader))
                        receivers, reply = [], "250 2.0.0 OK"
                    case "RSET" | "MAIL":
                        receivers, reply = [], "250 2.0.0 OK"
                    case "QUIT":
                        break
                    case _:
                        reply = "250 2.0.0 OK" if verb.upper() == "NOOP" else "502 5.5.1 not known"
                writer.write(f"{reply}\r\n".encode())
                await writer.drain()
        except (ConnectionError, ValueError):
            pass  # The client has left, or has sent a line that is too long.
        finally:
            writer.close()

    def _keep(self, receivers: list[str], content: bytes) -> None:
        mail = message_from_bytes(content, policy=default)
        for receiver in receivers:
            self.mails[receiver].append(mail)


async def _data(reader: asyncio.StreamReader) -> bytes:
    """Read a mail up to the dot that ends it."""
    lines: list[bytes] = []
    while (line := await reader.readline()) not in (b".\r\n", b""):
        lines.append(line.removeprefix(b"."))
    return b"".join(lines)
