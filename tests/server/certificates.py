"""Makes certificates for the tests: an authority, and files with what it issued."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from yamcs_archive.server.tls import TlsFiles

LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Authority:
    """An authority of the test's own, and a folder for what it issues."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self.folder = folder
        self._ca = trustme.CA()
        self.file = folder / f"{name}.pem"
        self._ca.cert_pem.write_to_path(self.file)

    def issue(
        self,
        name: str = "server",
        *,
        ends: timedelta = timedelta(days=100),
        names: tuple[str, ...] = LOOPBACK,
    ) -> TlsFiles:
        """Write a certificate for names, which ends after that time, and its key."""
        ends_at = datetime.now(UTC) + ends
        begins_at = min(datetime.now(UTC), ends_at) - timedelta(days=1)
        issued = self._ca.issue_cert(*names, not_before=begins_at, not_after=ends_at)
        files = TlsFiles(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        write(
            files, b"".join(blob.bytes() for blob in issued.cert_chain_pems), issued.private_key_pem.bytes()
        )
        return files

    def future(self) -> TlsFiles:
        """Write a certificate that is not valid yet."""
        now = datetime.now(UTC)
        issued = self._ca.issue_cert(
            "localhost", not_before=now + timedelta(days=1), not_after=now + timedelta(days=9)
        )
        files = TlsFiles(self.folder / "future.pem", self.folder / "future.key")
        write(files, issued.cert_chain_pems[0].bytes(), issued.private_key_pem.bytes())
        return files


def write(files: TlsFiles, certificate: bytes, key: bytes) -> None:
    """Write both files, each in one step, the key for its owner alone."""
    for path, content in ((files.certificate, certificate), (files.key, key)):
        new = path.with_suffix(".new")
        new.touch(mode=0o600)
        new.write_bytes(content)
        os.replace(new, path)


def encrypted(key: bytes, password: bytes = b"secret") -> bytes:
    """Return a key that needs a password."""
    loaded = load_pem_private_key(key, None)
    return loaded.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password))
