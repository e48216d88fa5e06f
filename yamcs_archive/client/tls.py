"""TLS of the client: whom it trusts, its own certificate, and the words for what fails."""

from __future__ import annotations

import os
import ssl

from yamcs_archive.errors import InvalidInputError

CERTIFICATE_VARIABLE, KEY_VARIABLE = "YAMCS_ARCHIVE_CLIENT_CERTIFICATE", "YAMCS_ARCHIVE_CLIENT_KEY"
_UNTRUSTED = frozenset({18, 19, 20, 21})
"""OpenSSL's codes for a chain whose end is not trusted, X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT and others."""
_WRONG_NAME = frozenset({62, 64})
"""X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH."""
_ASKS_FOR_CERTIFICATE = ("TLSV13_ALERT_CERTIFICATE_REQUIRED", "SSLV3_ALERT_HANDSHAKE_FAILURE")
_REFUSES_CERTIFICATE = (
    "TLSV1_ALERT_UNKNOWN_CA",
    "SSLV3_ALERT_BAD_CERTIFICATE",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED",
)


def environment_ssl_context() -> ssl.SSLContext:
    """Return what the environment says about TLS.

    Trusted are the authorities of the system, or those in the file SSL_CERT_FILE (and the folder
    SSL_CERT_DIR). The client's own certificate is in the file YAMCS_ARCHIVE_CLIENT_CERTIFICATE, its key in
    YAMCS_ARCHIVE_CLIENT_KEY or in the same file. Raises InvalidInputError for files that cannot be used.

    >>> environment_ssl_context().verify_mode.name
    'CERT_REQUIRED'
    """
    context = ssl.create_default_context()
    certificate = os.environ.get(CERTIFICATE_VARIABLE)
    if certificate:
        key = os.environ.get(KEY_VARIABLE) or certificate
        try:
            context.load_cert_chain(certificate, key, _no_password)
        except _PasswordNeededError:
            rule = "has a password; write it without one (openssl pkey -in OLD -out NEW)"
            raise InvalidInputError(KEY_VARIABLE, key, rule) from None
        except OSError as error:
            why = getattr(error, "reason", None) or error.strerror
            files = certificate if key == certificate else f"{certificate}, {key}"
            raise InvalidInputError(CERTIFICATE_VARIABLE, files, f"cannot be used: {why}") from None
    return context


class _PasswordNeededError(Exception):
    pass


def _no_password() -> str:
    raise _PasswordNeededError


def tls_reason(error: ssl.SSLError) -> str:
    """Return why a connection with TLS failed, and what to do about it.

    >>> tls_reason(ssl.SSLEOFError())
    'it does not speak TLS (EOF); give the URL with http:// if it serves that'
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        why, code = error.verify_message, error.verify_code
        if code in _UNTRUSTED:
            return f"its certificate is not trusted ({why}): set SSL_CERT_FILE to a file with its authority's"
        if code in _WRONG_NAME:
            return f"its certificate is for another name ({why}): give a URL with a name that it has"
        return f"its certificate is refused ({why}): its operator must renew it, unless a clock is wrong"
    reason = getattr(error, "reason", None) or "EOF"
    if reason in _ASKS_FOR_CERTIFICATE:
        return (
            f"it asks for a client certificate ({reason}): set {CERTIFICATE_VARIABLE} and"
            f" {KEY_VARIABLE} to the files of one"
        )
    if reason in _REFUSES_CERTIFICATE:
        return f"it refuses the certificate of this client ({reason}): look at {CERTIFICATE_VARIABLE}"
    return f"it does not speak TLS ({reason}); give the URL with http:// if it serves that"
