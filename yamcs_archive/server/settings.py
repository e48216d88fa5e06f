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
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

from yamcs_archive.archive import check_instance_name
from yamcs_archive.credentials import Login, check_url
from yamcs_archive.errors import InvalidInputError, shown
from yamcs_archive.http.cors import Origins
from yamcs_archive.http.hosts import Hosts
from yamcs_archive.limits import KEEP_DAYS_MAX, MAP_BYTES_DEFAULT
from yamcs_archive.options import Options
from yamcs_archive.server.setting_kinds import FilePath, Kind, Many, OrNone, Switch, Text, Whole

PORT_MAX = 65535
THREADS_MAX = 1024
STOP_WAIT_S_MAX = 3600
MAP_BYTES_MIN, MAP_BYTES_MAX = 1 << 20, 1 << 46
"""Least and greatest ``map_bytes``: a map of less than 1 MiB grows at once, and 64 TiB are half of the
address space of a process."""
COUNT_MAX = 2**63 - 1
"""The largest number that the library takes."""

SECTIONS = {
    "server": "the process, and who may use it",
    "storage": "the archive",
    "retention": "which events are kept, in every instance that has no rules of its own",
}
"""The sections of the file, each with its subject."""
ENVIRONMENT_PREFIX = "YAMCS_ARCHIVE_"


@dataclass(frozen=True)
class Setting:
    """What is known of one setting."""

    name: str
    default: Any
    """``dataclasses.MISSING`` if there is none."""
    section: str
    kind: Kind
    help: str
    flag: str
    metavar: str | None
    several: bool
    """Whether one option takes several values."""
    per_instance: bool
    """Whether ``[instances.NAME]`` may have another value."""

    @property
    def variable(self) -> str:
        """The name of its environment variable."""
        return ENVIRONMENT_PREFIX + self.name.upper()

    @property
    def key(self) -> str:
        """Its name in the file, with its section."""
        return f"{self.section}.{self.name}"


def setting(
    default: Any,
    *,
    section: str,
    kind: Kind,
    help: str,
    flag: str | None = None,
    metavar: str | None = None,
    several: bool = False,
    per_instance: bool = False,
) -> Any:
    """Return a field of :class:`Settings`. ``help`` is a phrase without a full stop; it may have no ``%``.

    ``flag``: the option, if its name is not that of the field; ``metavar``: what its value is called;
    ``several``: one option may have several values; ``per_instance``: ``[instances.NAME]`` may have the key.
    """
    facts = {
        "section": section,
        "kind": kind,
        "help": help,
        "flag": flag,
        "metavar": metavar,
        "several": several,
        "per_instance": per_instance,
    }
    return field(default=default, metadata={"setting": facts})


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
        help="let clients use the routes that delete or read everything (as :verify); there is no login, so"
        " everybody who can reach the server may",
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

    mirror_login: Login | None = field(default=None, repr=False)
    """User and password, if the source asks for them; kept in memory only. No setting: it is a secret."""
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


SETTINGS = tuple(
    Setting(
        name=each.name,
        default=each.default,
        **each.metadata["setting"]
        | {"flag": each.metadata["setting"]["flag"] or f"--{each.name.replace('_', '-')}"},
    )
    for each in fields(Settings)
    if "setting" in each.metadata
)
"""All settings, in the order of the help."""
