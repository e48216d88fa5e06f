"""The behaviour that all commands share: targets, help, versions, exit statuses."""

import os
import pty
import re
import signal
import subprocess
import sys
import time
import urllib.request
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.child import ROOT, WAIT_S, run_bare, stopping
from tests.cli.conftest import Run
from tests.server.at_hand import at_hand
from yamcs_archive import Archive, Event
from yamcs_archive.cli.main import COMMANDS, GROUPS, main

WORDS = [" ".join(f"{command.group} {command.name}".split()) for command in COMMANDS]


@pytest.mark.parametrize("words", WORDS)
def test_every_command_has_help_with_an_example(run: Run, words: str) -> None:
    ran = run(*words.split(), "-h")
    assert (ran.status, ran.err) == (0, "")
    assert "example" in ran.out
    assert f"\n  yamcs-archive {words} " in ran.out


def test_every_module_of_a_command_is_in_the_table() -> None:
    folder = ROOT / "yamcs_archive" / "cli"
    modules = {path.stem for path in folder.glob("*.py") if "\ndef configure(" in path.read_text()}
    assert sorted(command.module for command in COMMANDS) == sorted(modules)


@pytest.mark.parametrize("group", GROUPS)
def test_the_help_lists_all_commands_with_their_descriptions(run: Run, group: str) -> None:
    listed = run(*group.split(), "-h").out
    found = re.findall(r"^    (\S.*?)(?:  +|\n +)(.+)$", listed, re.MULTILINE)
    lines = [(name, text) for name, text in GROUPS.items() if name and not group]
    lines += [(command.name, command.help) for command in COMMANDS if command.group == group]
    assert sorted(found) == sorted(lines)


def test_help_and_version_load_no_command_and_a_command_loads_no_other() -> None:
    """One process runs all command lines, and prints its modules after each."""
    helps = [["--help"], ["--version"], *([group, "-h"] for group in GROUPS if group)]
    lines = [*helps, *([*words.split(), "-h"] for words in WORDS)]
    program = """
        import contextlib, io, sys
        from yamcs_archive.cli.main import main
        for line in sys.argv[1:]:
            with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
                main(line.split())
            print(*sys.modules)
        """
    loaded = [set(each.split()) for each in run_bare(program, *map(" ".join, lines)).splitlines()]
    needed_by_commands = {"numpy", "lmdb", "msgspec", "msgpack", "zstandard", "google", "urllib.request"}
    modules = [f"yamcs_archive.cli.{command.module}" for command in COMMANDS]
    assert not loaded[len(helps) - 1] & (needed_by_commands | set(modules))
    for number, seen in enumerate(loaded[len(helps) :], 1):
        assert seen & set(modules) == set(modules[:number])
    assert needed_by_commands <= loaded[-1]


def test_a_log_of_a_directory_loads_nothing_that_only_others_need(data: Path) -> None:
    program = """
        import sys
        from yamcs_archive.cli.main import main
        main(["events", "log", "--data", sys.argv[1]])
        print(*sys.modules)
        """
    loaded = set(run_bare(program, data).splitlines()[-1].split())
    assert "yamcs_archive.storage.lmdb_store" in loaded
    others = {"yamcs_archive.client", "http.client", "ssl", "importlib.metadata", "pyarrow", "shtab"}
    assert not loaded & others


@pytest.mark.parametrize(
    ("given", "used"),
    [({}, "1"), ({"OPENBLAS_NUM_THREADS": "3"}, "3"), ({"OMP_NUM_THREADS": "3"}, "None")],
    ids=str,
)
def test_a_command_starts_no_threads_of_linear_algebra_unless_the_user_wants_them(
    given: dict[str, str], used: str, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    program = """
        import os, sys, time
        from yamcs_archive.cli.main import main
        main(["compact", "--data", sys.argv[1]])
        print(os.environ.get("OPENBLAS_NUM_THREADS"))
        give_up = time.monotonic() + 60
        while len(os.listdir("/proc/self/task")) > 1 and len(sys.argv) > 2:
            assert time.monotonic() < give_up
            time.sleep(0.01)
        """
    said = run_bare(program, data, *(["alone"] if used == "1" else []))
    assert said.splitlines()[-1] == used


def test_a_library_leaves_the_threads_of_linear_algebra_to_the_program(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    said = run_bare("import os; from yamcs_archive import *; print(os.environ.get('OPENBLAS_NUM_THREADS'))")
    assert said == "None\n"


def test_the_version_is_the_packages(run: Run) -> None:
    assert run("--version").out == f"yamcs-archive {version('yamcs_archive')}\n"


@pytest.mark.parametrize("arguments", [(), ("events",), ("instances",), ("nosuch",), ("events", "log", "x")])
def test_a_wrong_command_line_is_2_and_says_how_on_stderr(run: Run, arguments: tuple[str, ...]) -> None:
    ran = run(*arguments)
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith("usage: yamcs-archive")


def test_the_environment_says_where_unless_the_command_line_does(
    run: Run, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Archive.open(tmp_path / "other") as archive:
        for name in ("a", "b"):
            archive.instance(name, create=True).append(Event(f"in {name}"))
    monkeypatch.setenv("YAMCS_ARCHIVE_DATA", str(tmp_path / "other"))
    assert run("instances", "list").out == "a\nb\n"
    assert run("instances", "list", "--data", data).out == "sim\n"
    monkeypatch.setenv("YAMCS_ARCHIVE_INSTANCE", "b")
    assert "in b" in run("events", "log").out
    assert "in a" in run("events", "log", "--instance", "a").out
    with at_hand(data) as served:
        assert run("instances", "list", "--url", served.url).out == "sim\n"
        monkeypatch.delenv("YAMCS_ARCHIVE_DATA")
        monkeypatch.setenv("YAMCS_ARCHIVE_URL", served.url)
        assert run("instances", "list").out == "sim\n"
    monkeypatch.setenv("YAMCS_ARCHIVE_URL", "127.0.0.1:8090")
    assert run("instances", "list").status == 2


def test_an_instance_must_be_named_where_there_are_several_or_none(run: Run, data: Path) -> None:
    with Archive.open(data) as archive:
        archive.instance("bench", create=True)
    ran = run("events", "log", "--data", data)
    assert (ran.status, ran.err) == (
        2,
        "yamcs-archive: which instance? give --instance, one of: bench, sim\n",
    )


def test_instances_are_made_in_a_directory_or_by_a_server(run: Run, tmp_path: Path) -> None:
    directory = tmp_path / "made"
    for _ in range(2):  # the second time, it exists already
        ran = run("instances", "create", "--data", directory, "sim")
        assert (ran.status, ran.out, ran.err) == (0, "", "")
    assert run("instances", "list", "--data", directory).out == "sim\n"
    with at_hand(directory) as served:
        for _ in range(2):
            ran = run("instances", "create", "--url", served.url, "bench")
            assert (ran.status, ran.out, ran.err) == (0, "", "")
        assert run("instances", "list", "--url", served.url).out == "bench\nsim\n"
        assert run("events", "create", "--url", served.url, "--instance", "bench", "-m", "a").status == 0


@pytest.mark.parametrize("command", [("restore", "-"), ("salvage", "new"), ("upgrade",)], ids=" ".join)
def test_what_works_in_a_directory_only_says_so(run: Run, command: tuple[str, ...]) -> None:
    ran = run(*command, "--url", "http://ops:secret@127.0.0.1:1")
    assert (ran.status, ran.out) == (2, "")
    assert "--url: a server " in ran.err
    assert "--data DIR" in ran.err
    assert "secret" not in ran.err
    assert "--url" not in run(*command[:1], "-h").out


@pytest.mark.parametrize(
    ("url", "status", "said"),
    [
        ("127.0.0.1:8090", 2, "is not a URL"),
        ("ftp://127.0.0.1", 2, "is not a URL"),
        ("http://[::1", 2, "is not a URL"),
        ("http://127.0.0.1:1", 1, "no answer from http://127.0.0.1:1: "),
    ],
)
def test_an_invalid_url_or_one_that_does_not_answer_is_named(
    run: Run, url: str, status: int, said: str
) -> None:
    ran = run("events", "log", "--url", url)
    assert (ran.status, ran.out) == (status, "")
    assert said in ran.err


PLACED = [
    ("serve", "--port", "0", "--instance", "sim"),
    ("events", "create", "-m", "a"),
    ("events", "log"),
    ("events", "import", "yamcs", "http://127.0.0.1:1"),
    ("instances", "list"),
    ("instances", "create", "sim"),
    ("compact",),
    ("mirror", "http://127.0.0.1:1", "--once"),
]
"""Every command that takes ``--data``."""


@pytest.mark.parametrize("command", PLACED, ids=lambda command: " ".join(command[:3]))
def test_no_directory_is_not_the_current_one_and_none_that_is_elsewhere(
    run: Run, command: tuple[str, ...], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("YAMCS_ARCHIVE_DATA", str(data))
    for given in (("--data", ""), ("--data=",)):
        ran = run(*command, *given)
        assert (ran.status, ran.out) == (2, "")
        assert "--data '': must name a directory" in ran.err
    monkeypatch.setenv("YAMCS_ARCHIVE_DATA", "")  # as if it were not set
    ran = run(*command)
    assert (ran.status, ran.out) == (2, "")
    assert "no archive given: use --data DIR" in ran.err
    assert "YAMCS_ARCHIVE_DATA" in ran.err
    assert ran.err.count("\n") == 1
    assert not list((tmp_path / "here").iterdir())


def test_a_directory_may_be_a_path_and_in_the_users_home(
    run: Run, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir("/")
    assert run("instances", "list", "--data", "~/data").out == "sim\n"
    assert run("instances", "list", "--data=~/data").out == "sim\n"
    monkeypatch.setenv("YAMCS_ARCHIVE_DATA", "~/data")
    assert run("instances", "list").out == "sim\n"
    assert run("instances", "create", "bench").status == 0
    assert run("compact").out.count("\n") == 2
    assert main(["instances", "list", "--data", tmp_path / "data"]) == 0
    monkeypatch.setenv("YAMCS_ARCHIVE_DATA", "~no-such-user/data")
    ran = run("instances", "list")
    assert ran.status == 2
    assert ran.err.startswith("yamcs-archive: YAMCS_ARCHIVE_DATA '~no-such-user/data': ")


SERVE = ("serve", "--data", "new", "--instance", "sim")
LOG = ("events", "log", "--data", "new")


@pytest.mark.parametrize(
    ("command", "flag"),
    [
        ((*SERVE, "--port", "65536"), "--port 65536: must be 0 to 65535"),
        ((*SERVE, "--port", "-1"), "--port -1: must be 0 to 65535"),
        ((*SERVE, "--port", "80_80"), "--port '80_80': must be a whole"),
        ((*SERVE, "--threads", "0"), "--threads 0: must be 1 to 1024"),
        ((*SERVE, "--stop-wait", "0"), "--stop-wait 0: must be 1 to 3600"),
        ((*SERVE, "bad name"), "--instance 'bad name': must be 1 to 128"),
        ((*SERVE, "--host", ""), "--host '': must be"),
        ((*SERVE, "--cors-origin", "foo"), "--cors-origin 'foo': must be"),
        ((*SERVE, "--allowed-host", "*"), "--allowed-host '*': "),
        ((*SERVE, "--map-bytes", "5"), "--map-bytes 5: must be"),
        ((*SERVE, "--cors-origin", "*"), "--cors-origin '*': would let"),
        (("serve", "--data", "new"), "new has no instances yet; create one with --instance NAME"),
        (("instances", "create", "--data", "new", "../up"), "NAME '../up': must be 1 to 128 letters"),
        (
            ("events", "import", "yamcs", "http://127.0.0.1:1", "--data", "new", "--instance", ".x"),
            "--instance",
        ),
        (("mirror", "http://127.0.0.1:1", "--data", "new", "--instance", "a/b"), "--instance 'a/b': must"),
        ((*LOG, "-n", "9" * 20), "-n/--lines 99999999999999999999: must be 0 to 9223372036854775807, or all"),
        ((*LOG, "-n", "-1"), "-n/--lines -1: must be 0 to"),
        ((*LOG, "--first", str(2**63)), "--first 9223372036854775808: must be 0 to"),
        ((*LOG, "--first", "1", "-n", "1"), "not allowed with argument"),
        ((*LOG, "--first", "1", "--reverse"), "--first and --reverse do not go"),
        ((*LOG, "--first", "1", "--show-cursor"), "--first and --show-cursor do not"),
        ((*LOG, "--first", "1", "-f"), "--follow and --first do not go together"),
        ((*LOG, "--lin", "3"), "unrecognized arguments: --lin"),
        ((*LOG, "--filter", "a ("), "--filter line 1, column"),
        ((*LOG, "--filter", "-f"), "expected one argument"),
        ((*LOG, "--filter"), "expected one argument"),
        ((*LOG, "--since", "soon"), "-s/--since 'soon' is not a date"),
        (("serve", "--dat", "new"), "unrecognized arguments: --dat"),
        (("--vers",), "COMMAND"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_command_line_that_is_wrong_is_2_names_the_option_and_makes_nothing(
    run: Run, command: tuple[str, ...], flag: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = run(*command)
    assert (ran.status, ran.out) == (2, "")
    assert flag in ran.err
    assert not list(tmp_path.iterdir())


def test_a_command_that_fails_at_its_start_leaves_no_directory(run: Run, data: Path, tmp_path: Path) -> None:
    new = tmp_path / "new"
    nobody = "http://127.0.0.1:1"
    with at_hand(data) as served:
        for command in (
            ("events", "create", "-m", "a"),
            ("events", "log"),
            ("instances", "list"),
            ("compact",),
            ("events", "import", "yamcs", nobody),
            ("events", "import", "yamcs", nobody, "--from", "sim"),
            ("events", "import", "yamcs", served.url, "--from", "nosuch"),
            ("events", "import", "yamcs", served.url, "--from", "no such", "--instance", "sim"),
            ("mirror", nobody),
        ):
            ran = run(*command, "--data", new)
            assert (ran.status, ran.out) == (1, ""), command
            assert ran.err.count("\n") == 1
            assert not new.exists(), command


def _as_a_shell(command: str, *arguments: object, status: int) -> tuple[str, str]:
    """Run the command in a shell that may close some of its streams; return the output on the others."""
    program = f'"$@" {command}'
    done = subprocess.run(
        ["sh", "-c", program, "sh", sys.executable, "-m", "yamcs_archive", *map(str, arguments)],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("YAMCS_ARCHIVE_")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=WAIT_S,
    )
    assert done.returncode == status, done.stderr
    return done.stdout, done.stderr


def test_streams_that_are_closed_are_not_complained_about(data: Path) -> None:
    create = ("events", "create", "--data", data, "-m", "a")
    assert _as_a_shell(">&- 2>&- <&-", *create, status=0) == ("", "")  # there was nothing to print
    assert _as_a_shell("<&-", *create[:-2], status=1) == (
        "",
        "yamcs-archive: the text is empty, so nothing was stored\n",
    )
    for shown in ("events log --format jsonl", "compact"):
        assert _as_a_shell(">&-", *shown.split(), "--data", data, status=1) == ("", "")
    assert _as_a_shell("2>&-", "events", "log", "--data", data, "--instance", "x", status=1) == ("", "")
    with Archive.open(data, readonly=True) as archive:
        assert [event.message for event in archive.instance("sim").events()] == ["a"]


def test_no_file_of_an_archive_takes_the_place_of_a_stream_that_is_closed(data: Path) -> None:
    program = (
        "import os, sys; from yamcs_archive.cli import events_create, main;"
        "real = events_create.open_target\n"
        "def open_target(*given, **named):\n"
        "    print(*(os.readlink(f'/proc/self/fd/{n}') for n in range(3)), file=open(sys.argv[1], 'w'))\n"
        "    return real(*given, **named)\n"
        "events_create.open_target = open_target\n"
        "sys.exit(main.main(sys.argv[2:]))"
    )
    seen = data.parent / "seen"
    command = ["events", "create", "--data", str(data), "-m", "a"]
    done = subprocess.run(
        ["sh", "-c", '"$@" <&- >&- 2>&-', "sh", sys.executable, "-c", program, str(seen), *command],
        cwd=ROOT,
        check=False,
        timeout=WAIT_S,
    )
    assert done.returncode == 0
    assert seen.read_text().split() == ["/dev/null"] * 3


def test_a_server_whose_output_nobody_reads_serves(data: Path, tmp_path: Path) -> None:
    arguments = ["serve", "--data", str(data), "--port", "0"]
    with stopping(
        subprocess.Popen(
            ["sh", "-c", 'exec "$@" >&- 2>&-', "sh", sys.executable, "-m", "yamcs_archive", *arguments],
            cwd=ROOT,
        )
    ) as process:
        give_up = time.monotonic() + WAIT_S
        while "http://" not in (data / "archive.lock").read_text() and time.monotonic() < give_up:
            assert process.poll() is None
            time.sleep(0.02)
        url = (data / "archive.lock").read_text().split(", ")[-1].strip()
        while True:
            try:
                with urllib.request.urlopen(f"{url}/healthz", timeout=WAIT_S) as answer:
                    assert answer.status == 200
                break
            except OSError:
                assert process.poll() is None
                assert time.monotonic() < give_up
                time.sleep(0.02)
        process.terminate()
        assert process.wait(WAIT_S) == 0


def test_a_server_that_is_no_archive_is_called_that(run: Run, tmp_path: Path) -> None:
    (tmp_path / "api").mkdir()
    (tmp_path / "api" / "instances").write_text("[1, 2]")
    server = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "--directory", str(tmp_path), "0"]
    with stopping(
        subprocess.Popen(
            [*server[:1], "-u", *server[1:]], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
    ) as process:
        assert process.stdout is not None
        port = process.stdout.readline().split()[5]
        ran = run("instances", "list", "--url", f"http://127.0.0.1:{port}")
        assert (ran.status, ran.out) == (1, "")
        assert "does not answer as an archive" in ran.err
        ran = run("instances", "list", "--url", f"http://127.0.0.1:{port}/nosuch")
        assert "answered 404" in ran.err


def test_ctrl_c_is_quiet(data: Path, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    for write, said in (
        ("true", ""),
        ('printf x >"$0"', f"yamcs-archive: what was written is kept in {tmp_path}/"),
    ):
        ours, theirs = pty.openpty()  # a terminal, for which the editor opens
        with stopping(
            subprocess.Popen(
                [sys.executable, "-m", "yamcs_archive", "events", "create", "--data", str(data)],
                cwd=ROOT,
                env=os.environ
                | {"VISUAL": f"sh -c '{write}; touch {ready}; exec sleep 60'", "TMPDIR": str(tmp_path)},
                stdin=theirs,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        ) as process:
            while not ready.exists():
                assert process.poll() is None
                time.sleep(0.01)
            os.killpg(process.pid, signal.SIGINT)  # as a terminal sends it
            assert process.wait(60) == 130
            assert process.stderr is not None
            found = process.stderr.read()
            assert found[: len(said)] == said
            assert found.count("\n") == (1 if said else 0)
        os.close(ours)
        os.close(theirs)
        ready.unlink()


def test_a_file_that_cannot_be_read_is_named_first(run: Run, data: Path, tmp_path: Path) -> None:
    missing = tmp_path / "nosuch.jsonl"
    for path, why in ((missing, "No such file or directory"), (tmp_path, "Is a directory")):
        done = run("events", "import", path, "--format", "jsonl", "--data", data)
        assert (done.status, done.err) == (1, f"yamcs-archive: {path}: {why}\n")
