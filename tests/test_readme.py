"""Every block of the README does what it says, and answers what it shows."""

import re
import shlex
import shutil
import subprocess
import sys
import urllib.request
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

from tests.child import ROOT, WAIT_S
from tests.server.serving import Served
from yamcs_archive import Filter
from yamcs_archive.cli.main import parser, spelt

README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS, CURL, LOG, FOLLOW, LIBRARY = re.findall(r"^```\w+\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def test_the_two_commands_are_targets_of_the_makefile() -> None:
    # .ci/run runs them, whole and in a fresh checkout.
    make = shutil.which("make")
    assert make is not None
    lines = COMMANDS.splitlines()
    assert [line.split()[:3] for line in lines] == [["$", "make", "serve"], ["$", "make", "test"]]
    for line in lines:
        subprocess.run(
            [make, "--dry-run", line.split()[2]], cwd=ROOT, check=True, capture_output=True, timeout=WAIT_S
        )


def test_the_seeds_example_is_answered_as_shown_and_found_after_a_kill(tmp_path: Path) -> None:
    command, _, answer = CURL.partition("/events/\n")
    curl, option, body, url = shlex.split(command.removeprefix("$ ") + "/events/")
    assert (curl, option) == ("curl", "-d")
    assert (ROOT / "Makefile").read_text().count(
        url.split("/")[2].split(":")[1]
    ) == 1  # the port of make serve
    served = Served(tmp_path / "data", "--port", 0, "--instance", "simulator")
    try:
        request = urllib.request.Request(
            url.replace("http://127.0.0.1:8090", served.url),
            body.encode(),
            {"content-type": "application/x-www-form-urlencoded"},  # as curl -d sends it
        )
        with urllib.request.urlopen(request, timeout=WAIT_S) as reply:
            assert reply.read().decode() == answer.removesuffix("\n")
        assert printed_by_log(tmp_path) == LOG.partition("\n")[2]  # beside the running server
        served.kill()
        assert printed_by_log(tmp_path) == LOG.partition("\n")[2]
    finally:
        served.close()


def printed_by_log(folder: Path) -> str:
    """What README's command prints in the folder that holds ``data``."""
    program, *arguments = shlex.split(LOG.partition("\n")[0].removeprefix("$ "))
    assert program == ".venv/bin/yamcs-archive"
    return subprocess.run(
        [sys.executable, "-m", "yamcs_archive", *arguments],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
        timeout=WAIT_S,
    ).stdout


def test_the_library_in_ten_lines_prints_what_its_comment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(LIBRARY.splitlines()) <= 10
    monkeypatch.chdir(tmp_path)
    printed = StringIO()
    with redirect_stdout(printed):
        exec(LIBRARY, {})
    (shown,) = re.findall(r"print\(.*\)  +# (.*)\n", LIBRARY)
    assert printed.getvalue() == f"{shown}\n"


def test_every_path_of_the_tree_is_there() -> None:
    rows = re.findall(r"^\| (`.*?) \|", README, re.MULTILINE)
    assert len(rows) > 5
    folder = ROOT
    for row in rows:
        for name in re.findall(r"`(.*?)`", row):
            folder = (ROOT / name).parent if "/" in name.rstrip("/") else folder
            assert (ROOT / name).exists() or (folder / name).exists(), name


def test_the_commands_to_follow_and_to_copy_are_ones_that_there_are() -> None:
    lines = [line for line in FOLLOW.splitlines() if line.startswith("$ .venv/bin/yamcs-archive ")]
    assert len(lines) == len(FOLLOW.splitlines()) == 4
    for line in lines:
        options = parser().parse_args(spelt(shlex.split(line, comments=True)[2:]))
        assert callable(options.run)
        assert getattr(options, "filter", None) is None or isinstance(options.filter, Filter)
