"""Completion, by the shells themselves. zsh and fish are Debian's, so their tests run in ``.ci/run``."""

import os
import pty
import select
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from tests.child import ROOT, WAIT_S
from tests.cli.conftest import Run
from tests.forking import Forks
from tests.server.at_hand import at_hand
from yamcs_archive import Archive, Event
from yamcs_archive.cli.main import COMMANDS
from yamcs_archive.cli.name_completion import LIMIT_S
from yamcs_archive.cli.name_scripts import LIMIT_VARIABLE, LINE_VARIABLE, VARIABLE

CASES = [
    (
        "yamcs-archive ",
        {"serve", "events", "instances", "config", "completion"},
        {"create", "promote", "FILE"},
    ),
    ("yamcs-archive ser", {"serve"}, {"events"}),
    ("yamcs-archive events ", {"create", "log", "import"}, {"serve", "import yamcs"}),
    ("yamcs-archive events import ", {"yamcs"}, {"--data"}),
    ("yamcs-archive events import --", {"--format", "--url"}, {"--since"}),
    ("yamcs-archive events import yamcs --", {"--since", "--from"}, {"--format"}),
    ("yamcs-archive backup l", {"list"}, {"log"}),
    ("yamcs-archive mirror p", {"promote"}, {"prune"}),
    ("yamcs-archive serve --log-", {"--log-level", "--log-format", "--log-file"}, {"--port"}),
    ("yamcs-archive serve --no-", {"--no-wsgi"}, {"--wsgi"}),
    ("yamcs-archive serve --log-level ", {"debug", "critical"}, {"--port"}),
    ("yamcs-archive serve --port 0 --log-format j", {"json"}, {"text"}),
    ("yamcs-archive completion ", {"bash", "zsh", "fish"}, {"serve"}),
]
"""The beginning of a line, some of the words that can follow, and some that cannot."""


def script(shell: str, folder: Path) -> Path:
    file = folder / f"_yamcs-archive.{shell}"
    done = subprocess.run(
        [sys.executable, "-m", "yamcs_archive", "completion", shell],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=WAIT_S,
    )
    file.write_bytes(done.stdout)
    return file


@pytest.fixture(scope="module")
def bash(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return script("bash", tmp_path_factory.mktemp("bash"))


def with_command(folder: Path, **more: str) -> dict[str, str]:
    """An environment in which ``yamcs-archive`` is this tree's command, and no archive is named."""
    (folder / "bin").mkdir(exist_ok=True)
    command = folder / "bin" / "yamcs-archive"
    command.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m yamcs_archive "$@"\n')
    command.chmod(0o755)
    ours = {name: value for name, value in os.environ.items() if not name.startswith("YAMCS_ARCHIVE_")}
    ours[LIMIT_VARIABLE] = str(WAIT_S)  # a busy machine is no reason for no names
    return ours | {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "HOME": str(folder)} | more


@pytest.fixture
def named(tmp_path: Path) -> Path:
    """A folder with an archive ``ops`` of two instances, one with sources of odd names."""
    with Archive.open(tmp_path / "ops") as archive:
        archive.instance("bench", create=True)
        archive.instance("sim", create=True).append_many(
            Event("a", source=name) for name in ("GNC:Star", "GNC:Sun", "Power supply", "EPS", "new\nline")
        )
    return tmp_path


NAMES = [
    ("yamcs-archive events log --data ops --instance ", {"bench", "sim"}),
    ("yamcs-archive events log --data ops --instance s", {"sim"}),
    ("yamcs-archive events count --data ops --instance sim --source E", {"EPS"}),
    ("yamcs-archive events sources --data ops --instance sim --source P", {"Power\\ supply"}),
    ("yamcs-archive compact --data ops b", {"bench"}),
    ("yamcs-archive instances delete --data ops s", {"sim"}),
    ("yamcs-archive instances rename --data ops s", {"sim"}),
    ("yamcs-archive backup --data ops --instance sim --instance b", {"bench"}),
    ("yamcs-archive events log --data nosuch --instance ", set()),
    ("yamcs-archive events log --url http://127.0.0.1:1 --instance ", set()),
    ("yamcs-archive events log --url http://127.0.0.1:1 --user ada --instance ", set()),
    ("yamcs-archive events log --data ops --source ", set()),  # of which of the two?
    ("yamcs-archive events log --instance ", set()),
]
"""The beginning of a line, and the names that can follow, as bash quotes them."""


def offered_by_bash(file: Path, line: str, folder: Path) -> set[str]:
    words = line.split(" ")
    asking = (
        f"source {file}; COMP_WORDS=({' '.join(map(shlex.quote, words))}); COMP_CWORD={len(words) - 1};"
        f" COMP_LINE={shlex.quote(line)}; COMP_POINT={len(line)};"
        ' _shtab_yamcs_archive 2>/dev/null; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", asking],
        cwd=folder,
        env=with_command(folder),
        check=True,
        capture_output=True,
        text=True,
        timeout=WAIT_S,
    )
    assert done.stderr == ""
    return set(done.stdout.splitlines())


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
@pytest.mark.parametrize(("line", "some", "none"), CASES, ids=[line for line, _, _ in CASES])
def test_bash_offers_what_can_follow(
    bash: Path, tmp_path: Path, line: str, some: set[str], none: set[str]
) -> None:
    offered = offered_by_bash(bash, line, tmp_path)
    assert some <= offered
    assert not none & offered


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_bash_offers_paths_where_one_is_asked_for(bash: Path, tmp_path: Path) -> None:
    (tmp_path / "archive.toml").touch()
    (tmp_path / "archives").mkdir()
    assert offered_by_bash(bash, "yamcs-archive config check arc", tmp_path) == {"archive.toml", "archives"}
    assert offered_by_bash(bash, "yamcs-archive serve --data arc", tmp_path) == {"archives"}
    assert offered_by_bash(bash, "yamcs-archive serve --config archive.", tmp_path) == {"archive.toml"}


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
@pytest.mark.parametrize(("line", "names"), NAMES, ids=[line for line, _ in NAMES])
def test_bash_offers_names_of_the_archive_on_the_line(
    bash: Path, named: Path, line: str, names: set[str]
) -> None:
    assert offered_by_bash(bash, line, named) - {""} == names


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_bash_offers_names_and_files_where_either_may_stand(bash: Path, named: Path) -> None:
    (named / "sim.backup").touch()
    assert offered_by_bash(bash, "yamcs-archive verify --data ops s", named) == {"sim", "sim.backup"}


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    """A process that has loaded the command line, from whose forks it answers in a tenth of the time."""
    modules = ("yamcs_archive.cli.main", "yamcs_archive.cli.name_completion", "yamcs_archive.client")
    found = Forks(*modules, environment=os.environ)
    yield found
    found.close()


class NamesOf(Protocol):
    def __call__(
        self, line: str, shell: str = "fish", kind: str = "instances", **environment: str
    ) -> list[str]: ...


@pytest.fixture
def names_of(forks: Forks) -> NamesOf:
    """What the command prints for a script that asks it for names."""

    def names_of(line: str, shell: str = "fish", kind: str = "instances", **environment: str) -> list[str]:
        asked = {LIMIT_VARIABLE: str(WAIT_S), VARIABLE: f"{shell}:{kind}", LINE_VARIABLE: line}
        status, out, err = forks.run(_MAIN, [], asked | environment)
        assert (status, err) == (0, "")
        return out.splitlines()

    return names_of


_MAIN = "import sys; from yamcs_archive.cli.main import main; sys.exit(main())"


def test_names_come_from_a_server_and_from_the_environment_too(names_of: NamesOf, named: Path) -> None:
    log = "yamcs-archive events log"
    with at_hand(named / "ops") as served:
        assert names_of(f"{log} --url {served.url} --instance ") == ["bench", "sim"]
        assert names_of(f"{log} --instance ", YAMCS_ARCHIVE_URL=served.url) == ["bench", "sim"]
        sources = names_of(f"{log} --url={served.url} --instance=sim --source ", kind="sources")
    assert sources == ["EPS", "GNC:Star", "GNC:Sun", "Power supply"]
    assert names_of(f"{log} --instance ", YAMCS_ARCHIVE_DATA=str(named / "ops")) == ["bench", "sim"]
    assert names_of(f"{log} --data $WHERE/ops --instance ", WHERE=str(named)) == ["bench", "sim"]
    assert names_of(f"{log} --data '{named}/ops' --instance ") == ["bench", "sim"]


def test_bash_gets_what_follows_its_word_breaks(names_of: NamesOf, named: Path) -> None:
    line = f"yamcs-archive events log --data {named}/ops --instance sim --source GNC:S"
    assert names_of(line, "bash", "sources") == ["Star", "Sun"]


@pytest.mark.parametrize("line", ["", "'", "yamcs-archive --data", "x --data= --instance ", "\\"])
def test_a_strange_line_gives_no_names_and_no_error(names_of: NamesOf, line: str) -> None:
    assert names_of(line) == []
    assert names_of(line, "tcsh", "nosuch") == []


def test_a_server_that_is_silent_is_not_waited_for(names_of: NamesOf, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        begun_s = time.monotonic()
        line = f"yamcs-archive events log --url {url} --instance "
        assert names_of(line, **{LIMIT_VARIABLE: str(LIMIT_S)}) == []
        assert time.monotonic() - begun_s < WAIT_S / 2  # two seconds, by far less than a client waits


def test_every_command_has_its_options_in_the_script(bash: Path) -> None:
    text = bash.read_text()
    for command in COMMANDS:
        words = f"{command.group} {command.name}".replace("-", "_").split()
        assert f"_shtab_yamcs_archive_{'_'.join(words)}_option_strings=(" in text


def test_a_shell_that_is_not_known_is_refused(run: Run) -> None:
    for arguments in (("tcsh",), ()):
        ran = run("completion", *arguments)
        assert (ran.status, ran.out) == (2, "")


def test_help_and_version_load_no_shtab() -> None:
    code = "import sys; from yamcs_archive.cli.main import parser; parser(); sys.exit('shtab' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.long
@pytest.mark.skipif(shutil.which("fish") is None, reason="no fish")
def test_fish_offers_what_can_follow(tmp_path: Path) -> None:
    file = script("fish", tmp_path)
    for line, some, none in CASES:
        done = subprocess.run(
            ["fish", "--no-config", "-c", f"source {file}; complete -C {shlex.quote(line)}"],
            cwd=tmp_path,
            env=os.environ | {"HOME": str(tmp_path)},
            check=True,
            capture_output=True,
            text=True,
            timeout=WAIT_S,
        )
        offered = {offer.partition("\t")[0] for offer in done.stdout.splitlines()}
        assert some <= offered, line
        assert not none & offered, line


@pytest.mark.long
@pytest.mark.skipif(shutil.which("fish") is None, reason="no fish")
def test_fish_offers_names_of_the_archive_on_the_line(named: Path) -> None:
    file = script("fish", named)
    for line, names in NAMES:
        done = subprocess.run(
            ["fish", "--no-config", "-c", f"source {file}; complete -C {shlex.quote(line)}"],
            cwd=named,
            env=with_command(named),
            check=True,
            capture_output=True,
            text=True,
            timeout=WAIT_S,
        )
        assert done.stderr == ""
        offered = {offer.partition("\t")[0].replace("\\", "") for offer in done.stdout.splitlines()}
        assert offered == {name.replace("\\", "") for name in names}, line


@pytest.mark.long
@pytest.mark.skipif(shutil.which("zsh") is None, reason="no zsh")
@pytest.mark.parametrize(
    ("line", "whole"),
    [
        ("yamcs-archive sal\t", "salvage"),
        ("yamcs-archive inst\tcre\t", "instances create"),
        ("yamcs-archive events import yamcs --si\t", "events import yamcs --since"),
        ("yamcs-archive serve --access\t", "serve --access-log"),
        ("yamcs-archive serve --log-level deb\t", "serve --log-level debug"),
        ("yamcs-archive completion z\t", "completion zsh"),
        ("yamcs-archive config check arch\t", "config check archive.toml"),
        ("yamcs-archive events log --data ops --instance s\t", "events log --data ops --instance sim"),
        ("yamcs-archive compact --data ops be\t", "compact --data ops bench"),
        (
            "yamcs-archive events log --data ops --instance sim --source Po\t",
            "events log --data ops --instance sim --source Power supply",
        ),
        ("yamcs-archive verify --data ops be\t", "verify --data ops bench"),
    ],
)
def test_zsh_completes_what_is_begun(named: Path, line: str, whole: str) -> None:
    tmp_path = named
    script("zsh", tmp_path).rename(tmp_path / "_yamcs-archive")
    (tmp_path / "archive.toml").touch()
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        ["zsh", "-f", "-i"],
        cwd=tmp_path,
        env=with_command(tmp_path, TERM="dumb"),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)

    def typed(text: str, until: str) -> None:
        os.write(ours, text.encode())
        received, until_s = "", time.monotonic() + WAIT_S
        while until not in received:
            assert time.monotonic() < until_s, received
            if select.select([ours], [], [], 0.1)[0]:
                received += os.read(ours, 4096).decode(errors="replace")

    try:
        typed(
            f"PROMPT='' fpath=({tmp_path} $fpath); autoload -Uz compinit; compinit -u -D\n", "compinit -u -D"
        )
        # Within a completion the function is called too, so it tells the two apart.
        typed(
            "yamcs-archive() { [[ -n $_YAMCS_ARCHIVE_COMPLETE ]] && { command yamcs-archive; return };"
            " print -r -- got:$*: }; print re''ady\n",
            "ready",
        )
        typed(line, "")
        typed("\n", f"got:{whole}:")
    finally:
        process.kill()
        process.wait(WAIT_S)
        os.close(ours)
