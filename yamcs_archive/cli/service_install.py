"""``service install``: write the units that let systemd run ``serve``."""

from __future__ import annotations

import argparse
import pwd
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from yamcs_archive.cli import arguments
from yamcs_archive.cli.standard_streams import complain
from yamcs_archive.cli.usage_error import UsageError
from yamcs_archive.errors import InvalidInputError
from yamcs_archive.server.configuration import Configuration, ConfigurationError, resolve
from yamcs_archive.server.setting_kinds import told
from yamcs_archive.server.units import (
    DIRECTORY,
    NAME,
    Service,
    check_listen,
    check_unit_name,
    check_user_name,
    write_units,
)

EPILOG = """examples:
  yamcs-archive service install --instance simulator --print
  sudo /opt/yamcs-archive/bin/yamcs-archive service install --config /etc/yamcs-archive/archive.toml
  sudo /opt/yamcs-archive/bin/yamcs-archive service install --name bench --data /srv/bench --socket 8091
"""

_SECRET = ("users", "tls_key")
"""Settings that name files which the service's group may read, and others may not."""
_READ = (*_SECRET, "tls_certificate", "tls_client_ca", "mirror_token_file")
"""Settings that name files which the server reads."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Set the command's description and options."""
    parser.description = (
        "Write a unit of systemd that runs serve, from this installation: it is told when the server answers,"
        " restarts it when it fails or hangs, and lets it write nothing but the archive. Prints the commands"
        " to give next, and runs none. A unit that was changed is not replaced."
    )
    parser.epilog = EPILOG
    parser.add_argument(
        "--config", metavar="FILE", type=_path, help="the configuration file of serve, which must be there"
    )
    parser.add_argument(
        "--data", metavar="DIR", type=_path, help="the archive's directory; default: /var/lib/NAME"
    )
    parser.add_argument(
        "--instance",
        metavar="NAME",
        action="append",
        type=arguments.not_empty,
        help="an instance to serve, created if missing; repeatable",
    )
    parser.add_argument("--users", metavar="FILE", type=_path, help="the users file of serve")
    parser.add_argument(
        "--user",
        metavar="ACCOUNT",
        type=_checked(check_user_name),
        default=NAME,
        help="the account that runs the server, with a group of the same name; default: %(default)s",
    )
    parser.add_argument(
        "--socket",
        metavar="[ADDRESS:]PORT",
        type=_checked(check_listen),
        help="write a socket unit too: systemd listens there, below port 1024 as well, and clients wait while"
        " the server is restarted; a port alone means every address",
    )
    add_place(parser)
    parser.add_argument("--print", action="store_true", help="print the units, and write nothing")
    parser.add_argument("--force", action="store_true", help="replace units that were changed")
    parser.set_defaults(run=run)


def add_place(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which units are meant."""
    parser.add_argument(
        "--name",
        type=_checked(check_unit_name),
        default=NAME,
        help="the name of the units; default: %(default)s",
    )
    parser.add_argument(
        "--directory",
        metavar="DIR",
        type=_path,
        default=DIRECTORY,
        help="where the units are; default: %(default)s",
    )


def _path(text: str) -> Path:
    return Path(arguments.not_empty(text)).expanduser().absolute()


def _checked(check: Callable[[str], str]) -> Callable[[str], str]:
    def read(text: str) -> str:
        try:
            return check(text)
        except InvalidInputError as error:
            raise argparse.ArgumentTypeError(told(error)) from None

    return read


def run(options: argparse.Namespace) -> int:
    """Write the units, or print them."""
    given = {
        name: value
        for name, value in (
            ("data", options.data),
            ("instances", options.instance),
            ("users", options.users),
        )
        if value is not None
    }
    try:
        chosen = resolve(given, {}, options.config)
        if chosen.value("data") is None:
            given["data"] = Path("/var/lib", options.name)
            chosen = resolve(given, {}, options.config)
        chosen.settings()
    except ConfigurationError as error:
        for fault in error.faults:
            complain(fault)
        return 2
    service = _service(options, given, chosen)
    if not chosen.value("instances") and not chosen.value("mirror_of") and not service.data.exists():
        raise UsageError(
            "the first start needs an instance to make: --instance NAME, or in the configuration"
        )
    units = service.units()
    if options.print:
        for name, text in units.items():
            print(f"# {options.directory / name}\n{text}")
        return 0
    _tell_of_places(service)
    written = write_units(options.directory, units, force=options.force)
    for name in units:
        path = options.directory / name
        print(f"{path}: {'written' if path in written else 'up to date'}")
    print("Next, as root:")
    for command in _next(service, chosen):
        print(f"  {command}")
    return 0


def _service(options: argparse.Namespace, given: dict[str, Any], chosen: Configuration) -> Service:
    command: list[str | Path] = [*_program(), "serve"]
    if options.config is not None:
        command += ["--config", options.config]
    if "data" in given:
        command += ["--data", given["data"]]
    if "users" in given:
        command += ["--users", given["users"]]
    if "instances" in given:
        command += ["--instance", *given["instances"]]
    return Service(
        name=options.name,
        user=options.user,
        command=command,
        data=chosen.value("data"),
        log_file=chosen.value("log_file"),
        reads=[path for name in _READ if (path := chosen.value(name)) is not None],
        listen=options.socket,
    )


def _program() -> list[str | Path]:
    """Return how to run this program, as it is installed here."""
    script = Path(sys.executable).with_name("yamcs-archive")
    return [script] if script.is_file() else [Path(sys.executable), "-m", "yamcs_archive"]


def _tell_of_places(service: Service) -> None:
    if service.sees_homes:
        complain("the unit lets the server read home directories, because something that it needs is in one")
    if service.sees_tmp:
        complain(
            "the unit shares /tmp with the server, because something that it needs is there; a reboot may"
            " delete it"
        )


def _next(service: Service, chosen: Configuration) -> Iterator[str]:
    """Yield the commands that an administrator may want to give now."""
    account = service.user
    try:
        pwd.getpwnam(account)
    except KeyError:
        home = shlex.quote(str(service.data))
        yield f"useradd --system --user-group --home-dir {home} --shell /usr/sbin/nologin {account}"
    if not service.makes_data:
        yield f"install -d -o {account} -g {account} -m 750 {shlex.quote(str(service.data))}"
    for setting in _SECRET:
        path = chosen.value(setting)
        if path is not None:
            secret = [str(path)] + ([f"{path}.key"] if setting == "users" else [])
            files = " ".join(map(shlex.quote, secret))
            yield f"chown root:{account} {files} && chmod 640 {files}"
    yield "systemctl daemon-reload"
    unit = f"{service.name}.{'service' if service.listen is None else 'socket'}"
    yield f"systemctl enable --now {unit}" + (
        "" if service.listen is None else f" && systemctl enable --now {service.name}.service"
    )
    yield f"systemctl status {service.name}.service"
