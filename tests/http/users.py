"""Users for tests, with passwords that take no time to check."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from yamcs_archive.access.administration import add_user
from yamcs_archive.access.permissions import Grant

PASSWORD = "correct horse"


def quick_hash(password: str) -> str:
    """Return the hash of a password with the least work."""
    salt = b"0" * 16
    found = hashlib.scrypt(password.encode(), salt=salt, n=2, r=1, p=1, dklen=32)
    parts = [base64.b64encode(raw).decode().rstrip("=") for raw in (salt, found)]
    return f"$scrypt$ln=1,r=1,p=1${parts[0]}${parts[1]}"


def add(path: Path, name: str, *grants: str, password: str = PASSWORD) -> dict[str, str]:
    """Add a user; return the headers with which it logs in."""
    add_user(path, name, [Grant.parse(grant) for grant in grants], quick_hash(password))
    return basic(name, password)


def basic(name: str, password: str = PASSWORD) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}
