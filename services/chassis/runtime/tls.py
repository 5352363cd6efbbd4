"""Reads the certificates of TLS, and reads them again when their files have changed."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from pathlib import Path

import structlog

from services.chassis.runtime.settings import ProcessSettings

log = structlog.get_logger(__name__)

#: How often the files are compared with what was read, seconds.
RELOAD_S = 10.0
#: How long a client may take for its handshake, seconds.
HANDSHAKE_S = 10.0
#: What changes when a file is written or replaced.
Stamp = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """The files of a certificate, all in the PEM format."""

    #: The certificate, and after it those that lead to the authority.
    certificate: Path
    key: Path
    #: The authority of the clients that may connect; None = every client may.
    client_ca: Path | None = None

    def stamp(self) -> Stamp:
        """Return a value that differs after a file has changed. Raises OSError."""
        files = [file for file in (self.certificate, self.key, self.client_ca) if file is not None]
        stats = [file.stat() for file in files]
        return tuple((stat.st_ino, stat.st_size, stat.st_mtime_ns) for stat in stats)

    def context(self) -> ssl.SSLContext:
        """Return the context of a server. Raises OSError (ssl.SSLError is one) on bad files."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.certificate, self.key)
        if self.client_ca is not None:
            context.load_verify_locations(self.client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
        return context


def public_files(settings: ProcessSettings) -> TlsFiles | None:
    """Return the certificate of the endpoints for clients; None = they have no TLS."""
    if settings.tls_certificate_file is None or settings.tls_key_file is None:
        return None
    return TlsFiles(settings.tls_certificate_file, settings.tls_key_file)


async def keep_current(context: ssl.SSLContext, files: TlsFiles) -> None:
    """Load the certificate into `context` again after its files have changed, until cancelled.

    Connections that exist go on. While a file is wrong, such as a certificate whose key is not
    there yet, the context keeps what it has.
    """
    loaded = files.stamp()
    while True:
        await asyncio.sleep(RELOAD_S)
        try:
            stamp = files.stamp()
            if stamp == loaded:
                continue
            files.context()  # raises before the context that is in use is touched
            context.load_cert_chain(files.certificate, files.key)
        except OSError as error:
            log.warning("tls_certificate_not_loaded", error=type(error).__name__)
        else:
            loaded = stamp
            log.info("tls_certificate_loaded")
