"""Completion, by the shells themselves. zsh and fish are Debian's, so their tests run in ``.ci/run``."""

import os
import pty
import select
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.child import ROOT, WAIT_S
from tests.cli.conftest import Run
from yamcs_archive.cli.main import COMMANDS

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


def offered_by_bash(file: Path, line: str, folder: Path) -> set[str]:
    words = line.split(" ")
    asking = (
        f"source {file}; COMP_WORDS=({' '.join(map(shlex.quote, words))}); COMP_CWORD={len(words) - 1};"
        ' _shtab_yamcs_archive 2>/dev/null; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", asking],
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
        timeout=WAIT_S,
    )
    return set(done.stdout.split())


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
    ],
)
def test_zsh_completes_what_is_begun(tmp_path: Path, line: str, whole: str) -> None:
    script("zsh", tmp_path).rename(tmp_path / "_yamcs-archive")
    (tmp_path / "archive.toml").touch()
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        ["zsh", "-f", "-i"],
        cwd=tmp_path,
        env=os.environ | {"TERM": "dumb", "HOME": str(tmp_path)},
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
        typed("yamcs-archive() { print -r -- got:$*: }; print re''ady\n", "ready")
        typed(line, "")
        typed("\n", f"got:{whole}:")
    finally:
        process.kill()
        process.wait(WAIT_S)
        os.close(ours)
