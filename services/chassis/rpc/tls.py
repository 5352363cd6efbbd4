"""Makes the credentials of gRPC servers and channels from the files of certificates."""

from __future__ import annotations

from pathlib import Path

import grpc
import structlog

from services.chassis.runtime.settings import ServiceSettings
from services.chassis.runtime.tls import Stamp, TlsFiles, public_files

log = structlog.get_logger(__name__)


def internal_files(settings: ServiceSettings) -> TlsFiles | None:
    """Return the certificate of the internal gRPC endpoint; None = it has no TLS."""
    files = public_files(settings)
    if files is None:
        return None
    return TlsFiles(files.certificate, files.key, settings.tls_client_ca_file)


def server_credentials(files: TlsFiles) -> grpc.ServerCredentials:
    """Return credentials that follow changes of the files. Raises OSError on bad files."""
    certificates = _Certificates(files)
    return grpc.dynamic_ssl_server_credentials(
        certificates.read(),
        certificates.changed,  # type: ignore[arg-type]  # None is documented: no change
        require_client_authentication=files.client_ca is not None,
    )


def channel_credentials(ca: Path | None, own: TlsFiles | None) -> grpc.ChannelCredentials | None:
    """Return the credentials of calls; None = calls are made without TLS, as `ca` is None.

    `ca` is the authority of the servers, `own` the certificate of the caller, for servers that
    require one. Raises OSError.
    """
    if ca is None:
        return None
    key, certificate = (own.key.read_bytes(), own.certificate.read_bytes()) if own else (None, None)
    return grpc.ssl_channel_credentials(ca.read_bytes(), key, certificate)


class _Certificates:
    """The certificates in files, as gRPC takes them."""

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._stamp: Stamp = files.stamp()

    def read(self) -> grpc.ServerCertificateConfiguration:
        """Read the files. Raises OSError where a server could not use them."""
        files = self._files
        files.context()
        pairs = [(files.key.read_bytes(), files.certificate.read_bytes())]
        client_ca = None if files.client_ca is None else files.client_ca.read_bytes()
        return grpc.ssl_server_certificate_configuration(pairs, client_ca)

    def changed(self) -> grpc.ServerCertificateConfiguration | None:
        """Return the certificates if their files have changed; gRPC asks at each handshake.

        Files that are wrong are tried, and logged, once: else each connection added a line.
        """
        try:
            stamp = self._files.stamp()
        except OSError:
            stamp = ()
        if stamp == self._stamp:
            return None
        self._stamp = stamp
        try:
            found = self.read()
        except OSError as error:
            # No traceback: gRPC calls this in a thread of its own, where rendering one fails.
            log.warning("tls_certificate_not_loaded", error=type(error).__name__)
            return None
        log.info("tls_certificate_loaded")
        return found
