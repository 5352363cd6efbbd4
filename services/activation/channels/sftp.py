"""Writes messages as files of an SFTP server: whole under their final name, or not at all."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

from services.activation.channels import Message, Sender
from services.activation.channels.connections import ConnectionCache, shown_result
from services.activation.channels.extras import MissingExtra, load_extra
from services.activation.channels.http import NOT_REACHED
from services.activation.channels.ssrf import PrivateAddressError, TargetDialer
from services.activation.domain.channels import port_of
from services.activation.domain.model import Destination
from services.activation.domain.sealing import SecretKeys, SecretNotReadable
from services.activation.domain.system_channels import Sftp
from services.activation.domain.transitions import AttemptResult, AttemptStatus

if TYPE_CHECKING:
    from asyncssh import SFTPClient, SSHClientConnection

#: Seconds for a connection with its login, and for a file.
OPEN_TIMEOUT_S, TIMEOUT_S = 15.0, 15.0


class SftpSender(Sender):
    """Writes `KEY.json` by way of `.KEY.part`; a repeat replaces the file by an equal one."""

    def __init__(self, dialer: TargetDialer, keys: SecretKeys) -> None:
        self._dialer = dialer
        self._keys = keys
        self._connections = ConnectionCache["_Session"](_close)

    async def send(self, destination: Destination, message: Message) -> AttemptResult:
        channel = destination.channel
        if not isinstance(channel, Sftp):
            raise TypeError("an SFTP sender writes files of a server")
        result = await self._send(destination, channel, message)
        return shown_result(self._dialer.guard, channel.host, port_of(channel), result)

    async def _send(
        self, destination: Destination, channel: Sftp, message: Message
    ) -> AttemptResult:
        begun = False
        try:
            asyncssh = load_extra("asyncssh", "sftp")
        except MissingExtra as error:
            return AttemptResult(AttemptStatus.CREDENTIALS, str(error))
        try:
            secrets = self._keys.open_all(
                destination.workspace_id, destination.destination_id, channel
            )
            async with self._connections.use(
                destination, lambda: self._connect(channel, secrets)
            ) as session:
                begun = True
                async with asyncio.timeout(TIMEOUT_S):
                    await _write(session[1], channel.folder, message)
        except SecretNotReadable as error:
            return AttemptResult(AttemptStatus.CREDENTIALS, str(error))
        except PrivateAddressError:
            return AttemptResult(AttemptStatus.FAILED, NOT_REACHED)
        except (asyncssh.PermissionDenied, asyncssh.HostKeyNotVerifiable) as error:
            return AttemptResult(AttemptStatus.CREDENTIALS, type(error).__name__)
        except (asyncssh.KeyImportError, ValueError):
            return AttemptResult(AttemptStatus.CREDENTIALS, "a key has the wrong form")
        except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath, asyncssh.SFTPPermissionDenied):
            return AttemptResult(AttemptStatus.CREDENTIALS, "the folder cannot be written")
        except asyncssh.SFTPConnectionLost:
            return AttemptResult(AttemptStatus.LOST, "the connection was lost")
        except asyncssh.SFTPError as error:
            return AttemptResult(AttemptStatus.FAILED, f"SFTP status {error.code}")
        except (asyncssh.Error, OSError, TimeoutError):
            if begun:
                return AttemptResult(AttemptStatus.LOST, "the connection was lost")
            return AttemptResult(AttemptStatus.FAILED, "no connection to the server")
        return AttemptResult(AttemptStatus.DELIVERED)

    async def _connect(self, channel: Sftp, secrets: dict[str, str]) -> _Session:
        asyncssh = load_extra("asyncssh", "sftp")
        host_key = asyncssh.import_public_key(channel.host_key)
        pem = secrets["private_key"]
        own = [asyncssh.import_private_key(pem)] if pem else None
        async with asyncio.timeout(OPEN_TIMEOUT_S):
            connection = await asyncssh.connect(
                channel.host,
                sock=await self._dialer.connect(channel.host, port_of(channel)),
                username=channel.username,
                password=secrets["password"] or None,
                client_keys=own,
                known_hosts=([host_key], [], []),
                # Nothing of the account that the service runs as.
                config=None,
                agent_path=None,
                gss_host=None,
            )
            try:
                return connection, await connection.start_sftp_client()
            except BaseException:
                connection.abort()
                raise

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._connections.close()


if TYPE_CHECKING:
    _Session = tuple[SSHClientConnection, SFTPClient]


async def _write(client: SFTPClient, folder: str, message: Message) -> None:
    """Write a file. Raises SFTPError, OSError."""
    base = f"{folder.rstrip('/')}/" if folder else ""
    part, name = f"{base}.{message.key}.part", f"{base}{message.key}.json"
    async with client.open(part, "wb") as file:
        await file.write(message.payload)
    await client.posix_rename(part, name)


async def _close(session: _Session) -> None:
    connection, client = session
    client.exit()
    connection.close()
    async with asyncio.timeout(1.0):
        await connection.wait_closed()
