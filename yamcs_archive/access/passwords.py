"""Passwords: the rules of a new one, and salted scrypt hashes (RFC 7914), in the form of a PHC string."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets

from yamcs_archive.errors import InvalidInputError

PASSWORD_CHARACTERS_MIN, PASSWORD_BYTES_MAX = 8, 1024
"""Shortest password that can be set, in characters (NIST SP 800-63B, 5.1.1.2), and the longest that is
looked at, in bytes of UTF-8: far beyond what anybody types."""
_LOG_N, _R, _P = 15, 8, 3
"""Work of a hash: 32 MiB of memory and some 0.2 s of a processor, one of the equally strong choices of the
OWASP Password Storage Cheat Sheet."""
_LOG_N_MAX, _R_MAX, _P_MAX = 20, 16, 16
"""Most work of a hash in a file: 2 GiB of memory; a greater number is a mistake, or an attack."""
_SALT_BYTES, _HASH_BYTES = 16, 32
_STORED = re.compile(
    r"\$scrypt\$ln=(\d{1,2}),r=(\d{1,2}),p=(\d{1,2})\$([A-Za-z0-9+/]{22})\$([A-Za-z0-9+/]{43})", re.ASCII
)


def check_new_password(password: str) -> str:
    """Return a password that can be set; InvalidInputError, which never shows it.

    >>> check_new_password("short")
    Traceback (most recent call last):
      ...
    yamcs_archive.errors.InvalidInputError: password '…': must have at least 8 characters
    """
    if len(password) < PASSWORD_CHARACTERS_MIN:
        rule = f"must have at least {PASSWORD_CHARACTERS_MIN} characters"
        raise InvalidInputError("password", "…", rule)
    try:
        size_bytes = len(password.encode())
    except UnicodeEncodeError:
        raise InvalidInputError("password", "…", "must be UTF-8") from None
    if size_bytes > PASSWORD_BYTES_MAX:
        raise InvalidInputError("password", "…", f"must have at most {PASSWORD_BYTES_MAX} bytes in UTF-8")
    if any(ord(character) < 0x20 or ord(character) == 0x7F for character in password):
        raise InvalidInputError("password", "…", "must have no control characters")
    return password


def hashed(password: str) -> str:
    """Return the salted hash of a password, as it is stored.

    >>> is_right("correct horse", hashed("correct horse"))
    True
    """
    salt = secrets.token_bytes(_SALT_BYTES)
    found = _scrypt(password, salt, _LOG_N, _R, _P)
    return f"$scrypt$ln={_LOG_N},r={_R},p={_P}${_text(salt)}${_text(found)}"


NOBODYS = f"$scrypt$ln={_LOG_N},r={_R},p={_P}${_SALT_BYTES * 'A'}AAAAAA${'A' * 43}"
"""The hash that the password of an unknown user is compared with, so that it takes as long."""


def check_stored(stored: str) -> str:
    """Return a hash as it is stored; InvalidInputError for any other text."""
    match = _STORED.fullmatch(stored)
    if match is not None:
        log_n, r, p = map(int, match.group(1, 2, 3))
        if 1 <= log_n <= _LOG_N_MAX and 1 <= r <= _R_MAX and 1 <= p <= _P_MAX:
            return stored
    raise InvalidInputError("password", "…", "must be a hash that `yamcs-archive users passwd` writes")


def is_right(password: str, stored: str) -> bool:
    """Return whether a password is the one of a hash. It takes some 0.2 s; other threads go on meanwhile."""
    log_n, r, p, salt, expected = _parts(stored)
    too_long = len(password.encode(errors="replace")) > PASSWORD_BYTES_MAX
    found = _scrypt("" if too_long else password, salt, log_n, r, p)
    return hmac.compare_digest(found, expected) and not too_long


def _parts(stored: str) -> tuple[int, int, int, bytes, bytes]:
    match = _STORED.fullmatch(check_stored(stored))
    assert match is not None  # checked just now  # noqa: S101
    log_n, r, p = map(int, match.group(1, 2, 3))
    return log_n, r, p, base64.b64decode(match[4] + "=="), base64.b64decode(match[5] + "=")


def _scrypt(password: str, salt: bytes, log_n: int, r: int, p: int) -> bytes:
    memory_bytes = 128 * r * ((1 << log_n) + p + 2)  # what OpenSSL counts
    return hashlib.scrypt(
        password.encode(errors="replace"),
        salt=salt,
        n=1 << log_n,
        r=r,
        p=p,
        maxmem=memory_bytes + (1 << 20),
        dklen=_HASH_BYTES,
    )


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode().rstrip("=")
