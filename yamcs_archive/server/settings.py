"""The settings of a serving process: one frozen value, and the one table of all of them.

A setting is one entry of :class:`Settings`. Its option of ``serve``, its environment variable, its key of
the TOML file, the checks of its value wherever it comes from, ``config check``, ``config show`` and the
reference pages are all made from that entry. To add a setting:

1. Write the entry: ``name: type = setting(default, section=..., kind=..., help=...)``. The key of the file
   is ``name`` in ``[section]``, the variable ``YAMCS_ARCHIVE_NAME``, the option ``--name``, unless ``flag``
   gives another one. Kinds are in ``setting_kinds.py``: ``Whole(0, 9)``, ``Switch()``, ``Text(check)``,
   ``Choice(("a", "b"))``, ``FilePath()``, ``Many(kind)``, and ``OrNone(kind)`` for a default of None.
2. Use it (``settings.name``); run ``python docs/reference.py`` and ``python docs/configuration.py``.
3. A rule between several settings goes into :func:`_check_together`.

A secret is never a setting, because others can read command lines, and variables are inherited: a setting
gives the path of its file.
This module imports no server, so the command line can read it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field
from pathlib import Path

from yamcs_archive.archive import check_instance_name
from yamcs_archive.credentials import Credentials, Login, check_url
from yamcs_archive.errors import InvalidInputError, shown
from yamcs_archive.http.access.options import public_url
from yamcs_archive.http.access.proxies import Proxies, checked_user_header
from yamcs_archive.http.cors import Origins
from yamcs_archive.http.hosts import Hosts
from yamcs_archive.http.limits import CLIENT_REQUESTS_MAX, CONNECTIONS_LIMIT, CONNECTIONS_MAX
from yamcs_archive.limits import KEEP_DAYS_MAX, MAP_BYTES_DEFAULT
from yamcs_archive.options import Options
from yamcs_archive.server.setting_kinds import Choice, FilePath, Many, OrNone, Switch, Text, Whole
from yamcs_archive.server.setting_table import setting, table_of

PORT_MAX = 65535
THREADS_MAX = 1024
STOP_WAIT_S_MAX = 3600
MAP_BYTES_MIN, MAP_BYTES_MAX = 1 << 20, 1 << 46
"""Least and greatest ``map_bytes``: a map of less than 1 MiB grows at once, and 64 TiB are half of the
address space of a process."""
COUNT_MAX = 2**63 - 1
"""The largest number that the library takes."""


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


def check_proxy(address: str) -> str:
    """Return ``address`` if it is that of a proxy, or a network; otherwise raise InvalidInputError.

    >>> check_proxy("10.0.0.0/8")
    '10.0.0.0/8'
    """
    Proxies([address])
    return address


def check_user_header(name: str) -> str:
    """Return ``name`` if it can be the header that names the user; otherwise raise InvalidInputError.

    >>> check_user_header("X-Remote-User")
    'X-Remote-User'
    """
    return checked_user_header(name)


def check_public_url(url: str) -> str:
    """Return ``url`` if it can be the server's own; otherwise raise InvalidInputError.

    >>> check_public_url("https://ops.example/archive")
    'https://ops.example/archive'
    """
    public_url(url)
    return url


def _check_host(text: str) -> str:
    if not text:  # an empty host would mean all addresses
        raise InvalidInputError(
            "host", text, "must be a name or an address; all addresses are 0.0.0.0 and ::"
        )
    return text


def _check_user(text: str) -> str:
    try:
        return Login(text, "").user
    except InvalidInputError as error:
        rule = f"{error.rule}; the password comes from YAMCS_ARCHIVE_PASSWORD or a prompt"
        raise InvalidInputError("user", error.value, rule) from None


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The choices of one serving process.

    Raises :class:`~yamcs_archive.errors.InvalidInputError` that lists every fault at once.

    >>> Settings(data=Path("ops-data"), instances=["simulator"]).port
    8090
    >>> Settings(data=Path("ops-data"), port=-1, threads=0)
    Traceback (most recent call last):
      ...
    yamcs_archive.errors.InvalidInputError: settings 'port=-1, threads=0': port must be 0 to 65535; ...
    """

    data: Path = setting(  # noqa: RUF009  # it returns a field
        MISSING,
        section="storage",
        kind=FilePath(),
        metavar="DIR",
        help="the archive's directory, created if missing",
    )
    instances: Sequence[str] = setting(
        (),
        section="storage",
        kind=Many(Text(check_instance_name)),
        flag="--instance",
        metavar="NAME",
        several=True,
        help="an instance to serve, created if missing; without any, all in the directory are served",
    )
    host: str = setting("127.0.0.1", section="server", kind=Text(_check_host), help="address to listen on")
    port: int = setting(
        8090, section="server", kind=Whole(0, PORT_MAX), help="port to listen on; 0 chooses a free one"
    )
    # Under WSGI, the number of requests that may wait for a commit at once. One commit stores the events of
    # all that wait, so more threads make larger groups; docs/measurements.md has the measurement.
    threads: int = setting(
        64,
        section="server",
        kind=Whole(1, THREADS_MAX),
        metavar="N",
        help="pages of history read at the same time (with --wsgi: requests served at the same time)",
    )
    wsgi: bool = setting(
        False,
        section="server",
        kind=Switch(),
        help="serve WSGI instead of ASGI: the same HTTP API, a thread for each request, no live updates",
    )
    # Otherwise a client that never ends its request could delay the stop for ever, and a service manager
    # would kill the process (systemd after 90 s) with nothing closed.
    stop_wait_s: int = setting(
        20,
        section="server",
        kind=Whole(1, STOP_WAIT_S_MAX),
        flag="--stop-wait",
        metavar="SECONDS",
        help="seconds that a stop waits for requests that do not end",
    )
    map_bytes: int = setting(
        MAP_BYTES_DEFAULT,
        section="storage",
        kind=Whole(MAP_BYTES_MIN, MAP_BYTES_MAX),
        metavar="N",
        help="bytes of address space (not disk space) reserved for each instance at first; less if the system"
        " has less; it grows when it is full",
    )
    keep_days: int | None = setting(
        None,
        section="retention",
        kind=OrNone(Whole(1, KEEP_DAYS_MAX)),
        metavar="N",
        per_instance=True,
        help="once an hour, prune from every instance events generated more than N days ago, by the archive's"
        " clock",
    )
    max_bytes: int | None = setting(
        None,
        section="retention",
        kind=OrNone(Whole(1, COUNT_MAX)),
        metavar="N",
        per_instance=True,
        help="once an hour, prune from every instance the oldest events beyond about N bytes of events",
    )
    max_events: int | None = setting(
        None,
        section="retention",
        kind=OrNone(Whole(1, COUNT_MAX)),
        metavar="N",
        per_instance=True,
        help="once an hour, prune from every instance the oldest events beyond N",
    )
    tls_certificate: Path | None = setting(  # noqa: RUF009  # it returns a field
        None,
        section="server",
        kind=OrNone(FilePath()),
        metavar="FILE",
        help="speak TLS (https, wss) with this certificate, in PEM, followed by those of its chain; taken"
        " anew when the files change",
    )
    tls_key: Path | None = setting(  # noqa: RUF009  # it returns a field
        None,
        section="server",
        kind=OrNone(FilePath()),
        metavar="FILE",
        help="the private key of the certificate, in PEM, without a password",
    )
    tls_client_ca: Path | None = setting(  # noqa: RUF009  # it returns a field
        None,
        section="server",
        kind=OrNone(FilePath()),
        metavar="FILE",
        help="clients must have a certificate of an authority in this file, in PEM; it gives them no name",
    )
    # One more ends the connection that has waited longest for a request, so this is no limit of clients.
    connections_max: int = setting(
        CONNECTIONS_MAX,
        section="server",
        kind=Whole(1, CONNECTIONS_LIMIT),
        metavar="N",
        help="connections at the same time; one more ends the one that has waited longest for a request",
    )
    client_requests_max: int | None = setting(
        None,
        section="server",
        kind=OrNone(Whole(1, CLIENT_REQUESTS_MAX)),
        metavar="N",
        help="requests and WebSockets of one client address at the same time; one more is a 429",
    )
    client_requests_per_s: int | None = setting(
        None,
        section="server",
        kind=OrNone(Whole(1, CLIENT_REQUESTS_MAX)),
        metavar="N",
        help="requests of one client address in a second; one more is a 429",
    )
    cors_origins: Sequence[str] = setting(
        (),
        section="server",
        kind=Many(Text(check_origin)),
        flag="--cors-origin",
        metavar="ORIGIN",
        help="an origin (https://ops.example) whose pages may use the server from a browser",
    )
    allowed_hosts: Sequence[str] = setting(
        (),
        section="server",
        kind=Many(Text(check_allowed_host)),
        flag="--allowed-host",
        metavar="NAME",
        help="another name of the server (ops.example; .example for all names below it), besides --host,"
        " localhost, IP addresses and the hosts of --cors-origin; requests for any other name are refused",
    )
    allow_operations: bool = setting(
        False,
        section="server",
        kind=Switch(),
        help="without --users: let clients use the routes that delete or read everything (as :verify);"
        " everybody who can reach the server may, then",
    )
    users: Path | None = setting(  # noqa: RUF009  # it returns a field
        None,
        section="server",
        kind=OrNone(FilePath()),
        metavar="FILE",
        help="only the users in this file may use the server, each as it is permitted there (users add);"
        " needed to serve more than this machine",
    )
    insecure: bool = setting(
        False,
        section="server",
        kind=Switch(),
        help="let everybody who can reach the server use it, from other machines too, without a login",
    )
    trust_proxy: Sequence[str] = setting(
        (),
        section="server",
        kind=Many(Text(check_proxy)),
        metavar="ADDRESS",
        help="believe what the proxy at this address (or network, 10.0.0.0/8) says of its clients: their"
        " addresses (X-Forwarded-For), whether they use https (X-Forwarded-Proto), and --user-header",
    )
    user_header: str | None = setting(
        None,
        section="server",
        kind=OrNone(Text(check_user_header)),
        metavar="NAME",
        help="the header in which a trusted proxy names the user, whom it has logged in",
    )
    public_url: str | None = setting(
        None,
        section="server",
        kind=OrNone(Text(check_public_url)),
        metavar="URL",
        help="the URL by which users reach the server through a proxy: its host and origin are the server's"
        " own, and its path may be left in requests",
    )
    mirror_of: str | None = setting(
        None,
        section="server",
        kind=OrNone(Text(lambda url: check_url(url, "mirror_of"))),
        metavar="FROM-URL",
        help="follow the instances of a served archive (those named by --instance, or all that it has at the"
        " start) and serve the copies; the copies accept no events of their own",
    )
    mirror_user: str | None = setting(
        None,
        section="server",
        kind=OrNone(Text(_check_user)),
        flag="--user",
        metavar="NAME",
        help="send requests to the source of a mirror as this user, with the password from"
        " YAMCS_ARCHIVE_PASSWORD or a prompt (HTTP Basic)",
    )
    mirror_token_file: Path | None = setting(  # noqa: RUF009  # likewise
        None,
        section="server",
        kind=OrNone(FilePath()),
        flag="--token-file",
        metavar="FILE",
        help="send requests to the source of a mirror with the token in this file (or that in"
        " YAMCS_ARCHIVE_TOKEN)",
    )

    log_level: str = setting(
        "info",
        section="server",
        kind=Choice(("debug", "info", "warning", "error", "critical")),
        help="least level of what is logged",
    )
    log_format: str = setting(
        "text",
        section="server",
        kind=Choice(("text", "json")),
        help="log lines of text, or one JSON object on each line",
    )
    log_file: Path | None = setting(  # noqa: RUF009  # it returns a field
        None,
        section="server",
        kind=OrNone(FilePath()),
        metavar="FILE",
        help="append the log to this file, instead of stderr; after SIGUSR1 it is opened again, for rotation",
    )
    access_log: bool = setting(
        False,
        section="server",
        kind=Switch(),
        help="log each request when it has ended: address, user, method, path, status, bytes, seconds",
    )

    mirror_login: Credentials | None = field(default=None, repr=False)
    """How to log in to the source, if it asks for that; kept in memory only. No setting: it is a secret."""
    retention_of: Mapping[str, Mapping[str, int | None]] = field(default_factory=dict)
    """The rules of ``[instances.NAME]``, by the name of the instance, as in Options."""

    def __post_init__(self) -> None:
        values, rules = [], []
        for each in SETTINGS:
            try:
                object.__setattr__(self, each.name, each.kind.check(getattr(self, each.name)))
            except InvalidInputError as error:
                values.append(f"{each.name}={shown(error.value)}")
                rules.append(f"{each.name} {error.rule}")
        if values:
            raise InvalidInputError("settings", ", ".join(values), "; ".join(rules))
        object.__setattr__(self, "retention_of", Options(retention_of=self.retention_of).retention_of)
        _check_together(self)


def _check_together(settings: Settings) -> None:
    """Raise InvalidInputError if settings contradict each other."""
    if settings.mirror_user is not None and settings.mirror_of is None:
        raise InvalidInputError("--user", settings.mirror_user, "is for --mirror-of URL")
    certificate, key = settings.tls_certificate, settings.tls_key
    if (certificate is None) != (key is None):
        given, absent = (
            ("--tls-certificate", "--tls-key") if key is None else ("--tls-key", "--tls-certificate")
        )
        raise InvalidInputError(given, str(certificate or key), f"needs {absent} FILE beside it")
    if settings.tls_client_ca is not None and certificate is None:
        rule = "needs --tls-certificate FILE and --tls-key FILE beside it"
        raise InvalidInputError("--tls-client-ca", str(settings.tls_client_ca), rule)
    if settings.mirror_token_file is not None and settings.mirror_of is None:
        raise InvalidInputError("--token-file", str(settings.mirror_token_file), "is for --mirror-of URL")
    if settings.mirror_token_file is not None and settings.mirror_user is not None:
        raise InvalidInputError(
            "--token-file", str(settings.mirror_token_file), "is instead of --user: give one"
        )
    users = settings.users
    if users is not None and settings.insecure:
        raise InvalidInputError("--insecure", True, "is to serve without users: leave it out, or --users")
    if users is not None and settings.allow_operations:
        rule = "is to serve without users: with them the permission ManageArchive decides; leave it out"
        raise InvalidInputError("--allow-operations", True, rule)
    if settings.user_header is not None and (users is None or not settings.trust_proxy):
        rule = "needs --users, which say what each may do, and --trust-proxy, or everybody could set it"
        raise InvalidInputError("--user-header", settings.user_header, rule)


SETTINGS = table_of(Settings)
"""All settings, in the order of the help."""
