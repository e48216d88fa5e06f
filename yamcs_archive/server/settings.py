"""The settings of a serving process: one frozen value. Imports no server, so the command line can read it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from yamcs_archive.credentials import Login, check_url
from yamcs_archive.errors import InvalidInputError
from yamcs_archive.http.cors import Origins
from yamcs_archive.http.hosts import Hosts
from yamcs_archive.limits import MAP_BYTES_DEFAULT
from yamcs_archive.options import Options

PORT_MAX = 65535
THREADS_MAX = 1024
STOP_WAIT_S_MAX = 3600
MAP_BYTES_MIN, MAP_BYTES_MAX = 1 << 20, 1 << 46
"""Least and greatest ``map_bytes``: a map of less than 1 MiB grows at once, and 64 TiB are half of the
address space of a process."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The choices of one serving process.

    Raises :class:`~yamcs_archive.errors.InvalidInputError` that lists every fault at once.

    >>> Settings(data=Path("ops-data"), instances=["simulator"]).port
    8090
    >>> Settings(data=Path("ops-data"), port=-1, threads=0)
    Traceback (most recent call last):
      ...
    yamcs_archive.errors.InvalidInputError: settings 'port=-1, threads=0': must be: port 0 to 65535, ...
    """

    data: Path
    """The archive's directory, made when absent."""
    instances: Sequence[str] = ()
    """Instances to serve, made when absent; without any, all that the archive has are served."""
    host: str = "127.0.0.1"
    port: int = 8090
    """Port to listen on; 0 takes a free one."""
    wsgi: bool = False
    """Serve WSGI, without live updates, instead of ASGI."""
    threads: int = 64
    """Under WSGI, the number of requests that may wait for a commit at once. One commit stores the events of
    all that wait, so more threads make larger groups; docs/measurements.md has the measurement. Under ASGI,
    the number of pages that are read at once."""
    stop_wait_s: int = 20
    """Seconds that a stop waits for requests under way. Otherwise a client that never ends its request could
    delay the stop for ever, and a service manager would kill the process (systemd after 90 s) with nothing
    closed."""

    cors_origins: Sequence[str] = ()
    """Origins whose pages may use the server from a browser, as ``https://ops.example``."""

    allowed_hosts: Sequence[str] = ()
    """Names by which clients reach the server, in addition to ``host``, ``localhost`` and IP addresses:
    ``ops.example``, or ``.example`` for all names below it."""

    allow_operations: bool = False
    """Clients may use the routes of operation, which delete or read everything. There is no login yet."""

    keep_days: int | None = None
    max_bytes: int | None = None
    max_events: int | None = None
    """Retention of every instance, as in :class:`~yamcs_archive.Options`; None: keep everything."""

    mirror_of: str | None = None
    """The URL of a served archive whose instances this server copies, follows and serves."""

    mirror_login: Login | None = field(default=None, repr=False)
    """User and password, if the source asks for them; kept in memory only."""
    map_bytes: int = MAP_BYTES_DEFAULT
    """Address space first reserved for each instance, in bytes: less if the system has less, later more."""

    def __post_init__(self) -> None:
        bounds = (
            ("port", 0, PORT_MAX),
            ("threads", 1, THREADS_MAX),
            ("stop_wait_s", 1, STOP_WAIT_S_MAX),
            ("map_bytes", MAP_BYTES_MIN, MAP_BYTES_MAX),
        )
        faults = [
            f"{name}={value}"
            for name, least, most in bounds
            if not least <= (value := getattr(self, name)) <= most
        ]
        retention = Options(keep_days=self.keep_days, max_bytes=self.max_bytes, max_events=self.max_events)
        for name in ("keep_days", "max_bytes", "max_events"):  # with exact types
            object.__setattr__(self, name, getattr(retention, name))
        if faults:
            rules = ", ".join(f"{name} {least} to {most}" for name, least, most in bounds)
            raise InvalidInputError("settings", ", ".join(faults), f"must be: {rules}")
        Origins(self.cors_origins)
        Hosts(self.allowed_hosts)
        if self.mirror_of is not None:
            check_url(self.mirror_of, "mirror_of")


def check_origin(origin: str) -> str:
    """Return ``origin`` if its pages can be allowed; otherwise raise InvalidInputError.

    >>> check_origin("https://ops.example")
    'https://ops.example'
    """
    Origins([origin])
    return origin


def check_allowed_host(name: str) -> str:
    """Return ``name`` if requests for it can be allowed; otherwise raise InvalidInputError.

    >>> check_allowed_host(".ops.example")
    '.ops.example'
    """
    Hosts([name])
    return name
