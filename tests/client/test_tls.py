"""The client over TLS: whom it trusts, its own certificate, and what it says of a connection that fails."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.http.feeds import uvicorn_at
from tests.server.certificates import Authority, encrypted, write
from yamcs_archive import Archive, Client, Event, Instance
from yamcs_archive.errors import InvalidInputError, ServerRefusedError, ServerUnavailableError
from yamcs_archive.server.tls import TlsContext, TlsFiles


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def files(authority: Authority) -> TlsFiles:
    return authority.issue()


@contextmanager
def secure(archive: Archive, files: TlsFiles) -> Iterator[str]:
    with uvicorn_at(archive, 0, tls=TlsContext(files)) as port:
        yield f"https://127.0.0.1:{port}"


def why(url: str, **given: Any) -> str:
    with Client(url, retries=0, **given) as client, pytest.raises(ServerUnavailableError) as caught:
        client.instances()
    return str(caught.value)


def test_a_client_trusts_what_it_is_given_or_what_the_environment_names(
    archive: Archive, sim: Instance, authority: Authority, files: TlsFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    with secure(archive, files) as url:
        told = why(url)
        assert "its certificate is not trusted (unable to get local issuer certificate)" in told
        assert "set SSL_CERT_FILE to a file with its authority's" in told
        trusting = ssl.create_default_context(cafile=str(authority.file))
        with Client(url, ssl_context=trusting) as client:
            assert client.instance("sim").append(Event("given")).event.seq_number == 0
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
        with Client(url) as client:
            assert [event.message for event in client.instance("sim").events()] == ["given"]


def test_a_client_shows_the_certificate_that_the_environment_names(
    archive: Archive, authority: Authority, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    files = authority.issue("asking")
    clients = Authority(tmp_path)
    own, both = clients.issue("own"), tmp_path / "both.pem"
    both.write_bytes(own.certificate.read_bytes() + own.key.read_bytes())
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    with secure(archive, replace(files, client_ca=clients.file)) as url:
        assert "it asks for a client certificate" in why(url)
        for certificate, key in ((own.certificate, own.key), (both, None)):
            monkeypatch.setenv("YAMCS_ARCHIVE_CLIENT_CERTIFICATE", str(certificate))
            if key is not None:
                monkeypatch.setenv("YAMCS_ARCHIVE_CLIENT_KEY", str(key))
            else:
                monkeypatch.delenv("YAMCS_ARCHIVE_CLIENT_KEY")
            with Client(url) as client:
                assert client.instances() == []
        stranger = Authority(tmp_path, "other").issue("stranger")
        monkeypatch.setenv("YAMCS_ARCHIVE_CLIENT_CERTIFICATE", str(stranger.certificate))
        monkeypatch.setenv("YAMCS_ARCHIVE_CLIENT_KEY", str(stranger.key))
        assert "it refuses the certificate of this client" in why(url)


def test_client_certificates_that_cannot_be_used_are_bad_input(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    own, locked = authority.issue("own"), TlsFiles(tmp_path / "c", tmp_path / "k")
    write(locked, own.certificate.read_bytes(), encrypted(own.key.read_bytes()))
    for certificate, key, said in (
        (tmp_path / "none", own.key, "No such file"),
        (own.certificate, authority.issue("other").key, "KEY_VALUES_MISMATCH"),
        (own.certificate, own.certificate, "cannot be used"),
        (locked.certificate, locked.key, "has a password"),
    ):
        monkeypatch.setenv("YAMCS_ARCHIVE_CLIENT_CERTIFICATE", str(certificate))
        monkeypatch.setenv("YAMCS_ARCHIVE_CLIENT_KEY", str(key))
        with Client("https://127.0.0.1:1") as client, pytest.raises(InvalidInputError, match=said):
            client.instances()
    with pytest.raises(InvalidInputError, match=r"must be an ssl\.SSLContext"):
        Client("https://127.0.0.1:1", ssl_context="ca.pem")  # type: ignore[arg-type]


def test_what_is_wrong_with_a_certificate_is_said(
    archive: Archive, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    with secure(archive, authority.issue("old", ends=timedelta(days=-1))) as url:
        assert "its certificate is refused (certificate has expired): its operator must renew it" in why(url)
    with secure(archive, authority.issue("else", names=("ops.example",))) as url:
        assert "its certificate is for another name" in why(url)


def test_the_wrong_scheme_is_said(archive: Archive, files: TlsFiles) -> None:
    with (
        secure(archive, files) as url,
        Client(url.replace("https", "http")) as client,
        pytest.raises(ServerRefusedError, match="This port speaks TLS: use https://"),
    ):
        client.instances()
    with uvicorn_at(archive, 0) as port:
        assert "it does not speak TLS (WRONG_VERSION_NUMBER); give the URL with http://" in why(
            f"https://127.0.0.1:{port}"
        )
