"""Names of instances and sources, for the scripts that complete a command line in a shell.

1. A script sets two environment variables and starts the command without arguments: which shell and what to
   complete (``bash:instances``), and the line as far as it is typed. The archive is the one that the line
   names, else that of the environment.
2. Nothing is ever printed but names, one on each line, and nothing is ever asked: what goes wrong, or takes
   longer than :data:`LIMIT_S`, gives no names, and status 0.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
from contextlib import suppress
from types import FrameType

from yamcs_archive.cli.name_scripts import LIMIT_VARIABLE, LINE_VARIABLE, VARIABLE

LIMIT_S = 2.0
"""Longest time until names are there, in seconds: somebody waits at a prompt."""
_WORD_BREAKS = ":="
"""Characters at which bash begins a new word, so that its completion must leave out what comes before."""
_VALUED = ("data", "url", "user", "token_file", "instance")


def complete() -> int:
    """Print the names that the environment asks for; returns 0."""
    signal.signal(signal.SIGALRM, _leave)
    signal.setitimer(signal.ITIMER_REAL, LIMIT_S)
    with suppress(BaseException):
        signal.setitimer(signal.ITIMER_REAL, float(os.environ.get(LIMIT_VARIABLE, LIMIT_S)))
        shell, _, kind = os.environ[VARIABLE].partition(":")
        words = typed_words(os.environ.get(LINE_VARIABLE, ""))
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  # for as long as the process lives
        names = [name for name in _names(kind, options_in(words)) if name.isprintable()]
        if shell == "bash":
            names = without_typed(names, words[-1] if words else "")
        print(*names, sep="\n", end="\n" if names else "", flush=True)
    return 0


def _leave(_: int, __: FrameType | None) -> None:
    os._exit(0)


def typed_words(line: str) -> list[str]:
    """Return the words of a line as far as it is typed; the last one is begun, and may be empty.

    >>> typed_words("yamcs-archive events log --data 'my data' --instance si")
    ['yamcs-archive', 'events', 'log', '--data', 'my data', '--instance', 'si']
    >>> typed_words("yamcs-archive verify "), typed_words("verify 'a b")
    (['yamcs-archive', 'verify', ''], ['verify', 'a b'])
    """
    for end in ("", "'", '"'):
        with suppress(ValueError):
            words = shlex.split(line + end)
            return [*words, ""] if not end and line[-1:].isspace() else words
    return []


def options_in(words: list[str]) -> argparse.Namespace:
    """Return the options in some words that say which archive is meant; the last word is not yet typed.

    >>> options_in(["verify", "--data=a", "--quick", "--data", "b", "--instance", ""])
    Namespace(data='b', url=None, user=None, token_file=None, instance=None)
    """
    found = argparse.Namespace(**dict.fromkeys(_VALUED))
    for at, word in enumerate(words[:-1]):
        name, equals, value = word.partition("=")
        option = name[2:].replace("-", "_") if name.startswith("--") else ""
        if option in _VALUED and (equals or at + 1 < len(words) - 1):
            setattr(found, option, os.path.expandvars(value if equals else words[at + 1]))
    return found


def _names(kind: str, options: argparse.Namespace) -> list[str]:
    from pathlib import Path  # noqa: PLC0415  # as below: only for this

    from yamcs_archive.cli.arguments import data_directory, url  # noqa: PLC0415
    from yamcs_archive.cli.credential_options import PASSWORD  # noqa: PLC0415
    from yamcs_archive.cli.target import chosen_target, open_existing, open_target, served  # noqa: PLC0415

    if options.user is not None and not os.environ.get(PASSWORD):
        return []  # it would have to be asked for
    options.data = None if options.data is None else data_directory(options.data)
    options.url = None if options.url is None else url(options.url)
    options.token_file = None if options.token_file is None else Path(options.token_file).expanduser()
    if kind == "sources":
        with open_target(options, readonly=True) as target:
            return target.sources()
    where = chosen_target(options)
    if isinstance(where, Path):
        with open_existing(where, readonly=True) as archive:
            return archive.instances()
    with served(options, where) as client:
        return client.instances()


def without_typed(names: list[str], begun: str) -> list[str]:
    """Return the names that begin with a word, each from the last break in it, where bash begins a word.

    >>> without_typed(["GNC:Star", "GNC:Sun", "EPS"], "GNC:S")
    ['Star', 'Sun']
    """
    fitting = [name for name in names if name.startswith(begun)]
    kept = max(begun.rfind(sign) for sign in _WORD_BREAKS) + 1
    return [name[kept:] for name in fitting]
