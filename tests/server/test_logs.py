"""The logs of a served archive: access, levels, formats, rotation, the journal; what is in none of them."""

import base64
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
import websocket

from tests.child import ROOT, WAIT_S, run_bare
from tests.server.serving import PATH, Load, ended, launch_anew, post, serving

TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


def until(holds: Callable[[], object]) -> None:
    until_s = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < until_s
        time.sleep(0.01)


def access(text: str) -> list[str]:
    """The lines of the access log, without their times, and with the duration as S."""
    found = re.findall(rf'^{TIME} INFO (\S+ \S+ ".*) \d+\.\d{{6}}$', text, re.MULTILINE)
    return [line for line in found if "/healthz" not in line]  # the server asks itself when it starts


def ask(
    connection: HTTPConnection, method: str, target: str, body: Any = None, **headers: str
) -> tuple[int, bytes]:
    connection.request(method, target, body, headers)
    answer = connection.getresponse()
    return answer.status, answer.read()


@pytest.mark.parametrize("how", [(), ("--wsgi",)], ids=["ASGI", "WSGI"])
def test_each_request_is_a_line_with_what_an_operator_asks_for(tmp_path: Path, how: tuple[str, ...]) -> None:
    with serving(tmp_path / "data", "--access-log", "--log-level", "error", *how) as served:
        connection = served.connect()
        post(connection, {"message": "a"})
        targets = (PATH, "/nosuch?a=hunter2", "/api/archive/sim:exportEvents")
        sizes = [len(ask(connection, "GET", target)[1]) for target in targets]
        assert ask(connection, "HEAD", PATH)[1] == b""
        assert ask(connection, "GET", "/a%0Ab%22/%C3%A9%20x")[0] == 404
        assert ask(connection, "POST", PATH, b"{", **{"Content-Type": "application/json"})[0] == 400
        status, text = served.stop()
    assert status == 0
    lines = access(text)
    assert re.fullmatch(rf'127\.0\.0\.1 - "POST {PATH}" 200 \d+', lines[0])
    assert lines[1:4] == [
        f'127.0.0.1 - "GET {PATH}" 200 {sizes[0]}',
        f'127.0.0.1 - "GET /nosuch" 404 {sizes[1]}',
        f'127.0.0.1 - "GET /api/archive/sim:exportEvents" 200 {sizes[2]}',
    ]
    assert lines[4] == f'127.0.0.1 - "HEAD {PATH}" 200 0'
    assert re.fullmatch(r'127\.0\.0\.1 - "GET /a%0Ab%22/%C3%A9%20x" 404 \d+', lines[5])
    assert re.fullmatch(rf'127\.0\.0\.1 - "POST {PATH}" 400 \d+', lines[6])
    assert len(lines) == 7
    assert "hunter2" not in text


def test_without_the_option_no_request_is_logged(tmp_path: Path) -> None:
    with serving(tmp_path / "data", "--log-level", "debug") as served:
        post(served.connect(), {"message": "a"})
        _, text = served.stop()
    assert [line.split(" ", 2)[2] for line in text.splitlines()] == [
        served.line.strip(),
        "stopping, because of SIGTERM",
    ]


def test_a_line_of_json_has_the_same_as_fields(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with serving(tmp_path / "data", "--access-log", "--log-format", "json", "--log-file", log) as served:
        connection = served.connect()
        post(connection, {"message": "a"})
        live = websocket.create_connection(f"ws://127.0.0.1:{served.port}/api/websocket", timeout=WAIT_S)
        live.send(json.dumps({"type": "events", "id": 1, "options": {"instance": "sim"}}))
        size = len(live.recv())
        live.close()
        with pytest.raises(websocket.WebSocketBadStatusException):
            websocket.create_connection(f"ws://127.0.0.1:{served.port}/nosuch", timeout=WAIT_S)
        until(lambda: log.read_text().count("websocket") and "/nosuch" in log.read_text())
        assert served.stop() == (0, "")
    found = [json.loads(line) for line in log.read_text().splitlines()]
    assert found[0]["message"] == served.line.strip()
    assert found[-1]["message"] == "stopping, because of SIGTERM"
    requests = {entry["path"]: entry for entry in found if entry["logger"] == "yamcs_archive.access"}
    posted = requests[PATH]
    assert (posted["method"], posted["status"], posted["address"]) == ("POST", 200, "127.0.0.1")
    assert posted["user"] is None
    assert posted["bytes"] > 0
    assert 0 < posted["duration_s"] < WAIT_S
    assert re.fullmatch(TIME, posted["time"])
    streamed = requests["/api/websocket"]
    assert (streamed["method"], streamed["status"]) == ("GET", 101)
    assert streamed["bytes"] >= size
    assert requests["/nosuch"]["status"] == 404


def test_a_client_that_left_has_no_status(tmp_path: Path) -> None:
    with serving(tmp_path / "data", "--access-log") as served:
        connection = served.connect()
        cursor = json.loads(ask(connection, "GET", f"{PATH}:changes")[1])["cursor"]
        connection.request("GET", f"{PATH}:changes?wait=60&after={cursor}")
        time.sleep(0.3)  # until the request waits
        connection.close()
        assert served.process.stderr is not None
        lines = [served.process.stderr.readline() for _ in range(3)]
    assert access(lines[2]) == [f'127.0.0.1 - "GET {PATH}:changes" - 0']


def test_a_file_is_rotated_by_renaming_it_and_no_request_is_missing(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with serving(tmp_path / "data", "--access-log", "--log-file", log) as served:
        load = Load(served, 2)
        for nth in range(3):
            load.wait_for(20)
            log.rename(tmp_path / f"log.{nth}")
            served.process.send_signal(signal.SIGUSR1)
            until(log.exists)
        load.wait_for(20)
        assert served.stop() == (0, "")
        acknowledged = load.join()
    texts = [path.read_text() for path in sorted(tmp_path.glob("log*"))]
    assert sum(text.count("the log file is opened again") for text in texts) == 3
    assert sum(len(access(text)) for text in texts) >= len(acknowledged)
    assert sum(text.count('" 200 ') for text in texts) - 1 == len(acknowledged)  # one is /healthz


def test_a_file_that_cannot_be_opened_again_is_used_on(tmp_path: Path) -> None:
    log = tmp_path / "folder" / "log"
    log.parent.mkdir()
    with serving(tmp_path / "data", "--log-file", log) as served:
        log.parent.rename(tmp_path / "moved")
        moved = tmp_path / "moved" / "log"
        served.process.send_signal(signal.SIGUSR1)
        until(lambda: "the log file is not opened again, and the old one is used: " in moved.read_text())
        post(served.connect(), {"message": "served"})
        assert served.stop() == (0, "")
    assert moved.read_text().endswith("stopping, because of SIGTERM\n")


def test_the_signal_does_nothing_without_a_file(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as served:
        served.process.send_signal(signal.SIGUSR1)
        post(served.connect(), {"message": "still served"})
        assert served.stop() == (0, "")


@pytest.mark.parametrize("name", [".", "absent/log"])
def test_a_log_file_that_cannot_be_opened_ends_the_start_in_one_line(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    options = ("--data", tmp_path / "new", "--instance", "sim", "--port", 0, "--log-file", path)
    status, out, text = ended(*options)
    assert (status, out) == (1, "")
    assert text.startswith(f"yamcs-archive: {path.absolute()}: ")
    assert text.count("\n") == 1
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("form", ["text", "json"])
def test_the_journal_gets_priorities_and_no_second_time(tmp_path: Path, form: str) -> None:
    journal = tmp_path / "journal"
    with journal.open("w") as stream:
        status = os.fstat(stream.fileno())
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "yamcs_archive", "serve", "--data", str(tmp_path / "data")),
                *("--port", "0", "--instance", "sim", "--log-level", "debug", "--log-format", form),
            ],
            cwd=ROOT,
            env=os.environ | {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"},
            stdout=subprocess.PIPE,
            stderr=stream,
            text=True,
        )
        try:
            assert process.stdout is not None
            line = process.stdout.readline().strip()
            assert line.startswith("Serving ")
            process.terminate()
            assert process.wait(WAIT_S) == 0
        finally:
            process.kill()
            process.communicate()
    found = journal.read_text().splitlines()
    if form == "text":
        assert found == [f"<7>{line}", "<7>stopping, because of SIGTERM"]
    else:
        assert json.loads(found[0].removeprefix("<7>"))["message"] == line


def test_another_stream_is_not_the_journal(tmp_path: Path) -> None:
    with serving(tmp_path / "data", "--log-level", "debug", JOURNAL_STREAM="1:2") as served:
        _, text = served.stop()
    assert re.match(rf"{TIME} DEBUG Serving ", text)


@pytest.mark.parametrize(("level", "records"), [("info", 2), ("warning", 0)])
def test_the_level_decides_what_is_logged(tmp_path: Path, level: str, records: int) -> None:
    log = tmp_path / "log"
    with serving(tmp_path / "data", "--log-level", level, "--log-file", log) as served:
        assert served.stop() == (0, "")
    assert log.read_text().count(" INFO ") == log.read_text().count("\n") == records


def test_no_secret_is_in_any_log_error_or_list_of_processes(tmp_path: Path) -> None:
    log = tmp_path / "log"
    basic = base64.b64encode(b"ada:hunter2").decode()
    options = ("--access-log", "--log-level", "debug", "--log-file", log)
    with ExitStack() as running:
        upstream = running.enter_context(serving(tmp_path / "source"))
        of = ("--mirror-of", upstream.url, "--user", "ada")
        data, variables = tmp_path / "data", {"YAMCS_ARCHIVE_PASSWORD": "hunter2"}
        with serving(data, *options, *of, start=launch_anew, **variables) as served:
            connection = served.connect()
            for method, target, headers in (
                ("GET", f"{PATH}?token=hunter2", {"Authorization": f"Basic {basic}"}),
                ("GET", PATH, {"Authorization": "Bearer hunter2", "Cookie": "session=hunter2"}),
                ("GET", PATH, {"x-api-key": "hunter2"}),
                (
                    "POST",
                    "/auth/token?password=hunter2",
                    {"Content-Type": "application/x-www-form-urlencoded"},
                ),
                ("POST", PATH, {"Authorization": f"Basic {basic}", "Content-Type": "application/json"}),
                ("GET", f"{PATH}?filter=%28%28", {"Authorization": f"Basic {basic}"}),
            ):
                ask(connection, method, target, b"password=hunter2" if method == "POST" else None, **headers)
            argv = Path(f"/proc/{served.process.pid}/cmdline").read_bytes()
            upstream.kill()
            until(lambda: "trying again" in log.read_text())
            _, text = served.stop()
    for said in (log.read_text(), text, served.line, argv.decode()):
        assert "hunter2" not in said
        assert basic not in said
    assert len(access(log.read_text())) == 6


def test_a_program_that_embeds_the_library_decides_about_its_logs(tmp_path: Path) -> None:
    code = """
        import logging, sys
        import yamcs_archive
        from yamcs_archive import Archive, Event, Options
        from yamcs_archive.http.asgi import create_asgi_app
        from yamcs_archive.http.wsgi import create_app
        with Archive.open(sys.argv[1], options=Options(max_events=1)) as archive:
            archive.instance("sim", create=True).append(Event("a"))
            create_asgi_app(archive), create_app(archive)
        every = [logging.getLogger(), *map(logging.getLogger, logging.Logger.manager.loggerDict)]
        ours = [logger for logger in every if logger.name.partition(".")[0] in ("root", "yamcs_archive")]
        print([(logger.name, logger.handlers) for logger in ours if logger.handlers])
        print({logger.level for logger in ours} - {logging.WARNING, logging.NOTSET})
        """
    assert run_bare(code, tmp_path / "a") == "[('yamcs_archive', [<NullHandler (NOTSET)>])]\nset()\n"


def test_serving_takes_its_configuration_of_logging_back(tmp_path: Path) -> None:
    code = """
        import logging, os, signal, sys, threading
        from pathlib import Path
        from yamcs_archive.server.process import serve
        from yamcs_archive.server.settings import Settings
        names = (None, "yamcs_archive", "yamcs_archive.access")
        def state():
            loggers = [logging.getLogger(name) for name in names]
            hooks = threading.excepthook, sys.unraisablehook
            return [(logger.level, list(logger.handlers)) for logger in loggers], hooks
        before = state()
        def say(line):
            os.kill(os.getpid(), signal.SIGTERM)
        serve(Settings(data=Path(sys.argv[1]), instances=["sim"], port=0, log_level="debug"), say)
        after = state()
        print(before == after)
        """
    assert run_bare(code, tmp_path / "a") == "True\n"


def test_the_error_that_ends_a_thread_is_a_record(tmp_path: Path) -> None:
    code = """
        import sys, threading
        from pathlib import Path
        from yamcs_archive.server.logs import logs
        from yamcs_archive.server.settings import Settings
        def fail():
            raise ValueError("a\\n2026-11-30T12:00:00.000Z CRITICAL forged")
        class Unraisable:
            def __del__(self):
                raise ValueError("b\\n<0>forged")
        with logs(Settings(data=Path("a"), log_file=Path(sys.argv[1]))):
            thread = threading.Thread(target=fail, name="worker")
            thread.start()
            thread.join()
            Unraisable()
        """
    log = tmp_path / "log"
    run_bare(code, log)
    text = log.read_text()
    assert re.match(rf"{TIME} ERROR worker ended\n  \| Traceback", text)
    assert all(re.match(rf"{TIME} ERROR |  \| ", line) for line in text.splitlines())
    assert "ValueError: b" in text
