"""The output of the log: rotation, readers that are too slow, and media that are full."""

import fcntl
import logging
import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.child import WAIT_S
from yamcs_archive.server import log_output
from yamcs_archive.server.log_lines import JournalLines
from yamcs_archive.server.log_output import WAITING_BYTES_MAX, LogOutput


def record(text: str, level: int = logging.WARNING) -> logging.LogRecord:
    return logging.LogRecord("yamcs_archive", level, __file__, 1, "%s", (text,), None)


@contextmanager
def output(path: Path) -> Iterator[LogOutput]:
    found = LogOutput(path, lambda count, why: record(f"{count} missing: {why}"))
    found.setFormatter(JournalLines())
    found.start()
    try:
        yield found
    finally:
        found.close()


def lines(path: Path) -> list[str]:
    return [line.removeprefix("<4>") for line in path.read_text().splitlines()]


def test_lines_are_appended_in_order_and_all_are_written_at_the_end(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_text("<4>before\n")
    with output(file) as log:
        for nth in range(1000):
            log.handle(record(str(nth)))
    assert lines(file) == ["before", *map(str, range(1000))]


def test_a_new_file_is_not_for_everybody(tmp_path: Path) -> None:
    with output(tmp_path / "log"):
        assert (tmp_path / "log").stat().st_mode & 0o137 == 0


def test_a_line_below_warning_is_written_soon_without_another(tmp_path: Path) -> None:
    with output(tmp_path / "log") as log:
        log.handle(record("a request", logging.INFO))
        until_s = time.monotonic() + WAIT_S
        while not (tmp_path / "log").stat().st_size:
            assert time.monotonic() < until_s
            time.sleep(0.01)


def test_flush_waits_until_all_is_written(tmp_path: Path) -> None:
    with output(tmp_path / "log") as log:
        for nth in range(100):
            log.handle(record(str(nth), logging.INFO))
        log.flush()
        assert len(lines(tmp_path / "log")) == 100


def test_a_file_that_was_renamed_goes_on_under_its_name_and_no_line_is_lost(tmp_path: Path) -> None:
    file = tmp_path / "log"
    with output(file) as log:

        def write(worker: int) -> None:
            for nth in range(300):
                log.handle(record(f"{worker} {nth}"))

        workers = [threading.Thread(target=write, args=(worker,)) for worker in range(4)]
        for worker in workers:
            worker.start()
        for nth in range(5):
            file.rename(tmp_path / f"log.{nth}")
            log.reopen()
        for worker in workers:
            worker.join()
    found = [line for path in tmp_path.iterdir() for line in lines(path)]
    assert sorted(found) == sorted(f"{worker} {nth}" for worker in range(4) for nth in range(300))


def test_a_file_that_cannot_be_opened_again_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "folder" / "log"
    file.parent.mkdir()
    with output(file) as log:
        file.parent.rename(tmp_path / "moved")
        descriptors = len(os.listdir("/proc/self/fd"))
        with pytest.raises(FileNotFoundError):
            log.reopen()
        assert len(os.listdir("/proc/self/fd")) == descriptors
        log.handle(record("still here"))
    assert lines(tmp_path / "moved" / "log") == ["still here"]


def test_a_file_that_cannot_be_opened_is_an_error(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent" / "log"):
        with pytest.raises(OSError, match=re.escape(str(path))), output(path):
            pass


def test_nobody_waits_for_a_reader_that_has_stopped_and_what_it_misses_is_counted(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, 4096)
    try:
        with output(fifo) as log:
            log.handle(record("x" * 8000))  # the thread waits in the middle of this line
            until_s = time.monotonic() + WAIT_S
            while log._lines:
                assert time.monotonic() < until_s
                time.sleep(0.01)
            line = len("<4>" + "y" * 4000 + "\n")
            fit = WAITING_BYTES_MAX // line
            for _ in range(fit + 3):
                log.handle(record("y" * 4000))
            assert log._waiting_bytes == fit * line
            log.handle(record("y" * (WAITING_BYTES_MAX - fit * line - 3)))  # one byte too much
            assert log._dropped == 4
            log.handle(record("y" * (WAITING_BYTES_MAX - fit * line - 4)))  # fits exactly
            assert log._dropped == 4
            os.set_blocking(reader, True)
            received = b""
            while b" missing: " not in received:
                received += os.read(reader, 1 << 16)
            log.handle(record("and on"))
            while not received.endswith(b"and on\n"):
                received += os.read(reader, 1 << 16)
    finally:
        os.close(reader)
    found = received.decode().splitlines()
    assert found.count("<4>" + "y" * 4000) == fit
    assert found[-2:] == ["<4>4 missing: there was no room for them in memory", "<4>and on"]


def test_a_stop_does_not_wait_for_a_reader_for_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_output, "_FLUSH_S", 0.05)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, 4096)
    try:
        with output(fifo) as log:
            for _ in range(3):
                log.handle(record("x" * 8000))
            log.flush()
        assert log._thread.is_alive()  # close() has returned although it waits
    finally:
        os.close(reader)
    log._thread.join(WAIT_S)  # the end of the reader ends its write
    assert not log._thread.is_alive()


def test_lines_that_a_full_disk_refused_are_counted_when_there_is_room(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.symlink_to("/dev/full")
    with output(file) as log:
        for nth in range(3):
            log.handle(record(str(nth)))
            log.flush()
        file.unlink()
        log.reopen()
        log.handle(record("room"))
        log.flush()
        assert lines(file) == ["3 missing: No space left on device", "room"]
        log.handle(record("more"))
    assert lines(file)[2:] == ["more"]


def test_a_line_that_broke_off_does_not_run_into_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "log"
    room = [5, 0, 7, 1 << 20]
    real = os.write

    def write(descriptor: int, content: memoryview) -> int:
        if not room[0]:
            room.pop(0)
            raise OSError(28, "No space left on device")
        taken = real(descriptor, content[: room[0]])
        room[0] -= taken
        return taken

    with output(file) as log:
        monkeypatch.setattr(os, "write", write)
        log.handle(record("one\ntwo"))  # 5 bytes of it
        log.flush()
        log.handle(record("three"))  # none
        log.flush()
        log.handle(record("four"))  # a line feed, and 6 bytes of the line about missing ones
        log.flush()
        log.handle(record("five"))
        log.flush()
        monkeypatch.undo()
    assert file.read_text().splitlines() == [
        "<4>on",
        "<4>2 m",
        "<4>3 missing: No space left on device",
        "<4>five",
    ]


def test_nobody_who_reads_is_no_error(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    with output(fifo) as log:
        os.close(reader)
        for nth in range(3):
            log.handle(record(str(nth)))
            log.flush()
        assert log._thread.is_alive()
        reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        log.handle(record("read"))
        log.flush()
        assert os.read(reader, 4096).decode() == "<4>3 missing: Broken pipe\n<4>read\n"
        os.close(reader)


class Failing(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        if "fails" in record.getMessage():
            raise MemoryError
        return record.getMessage()


def test_a_record_that_fails_is_counted_and_disturbs_nobody(tmp_path: Path) -> None:
    with output(tmp_path / "log") as log:
        log.setFormatter(Failing())
        log.handle(record("this fails"))
        log.handle(record("this is written"))
        log.flush()
    assert lines(tmp_path / "log") == ["this is written", "1 missing: there was no room for them in memory"]


def test_an_error_does_not_end_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: bytes) -> None:
        raise MemoryError

    with output(tmp_path / "log") as log:
        with monkeypatch.context() as patched:
            patched.setattr(log, "_write", fail)
            log.handle(record("lost"))
            until_s = time.monotonic() + WAIT_S
            while not log._dropped:
                assert time.monotonic() < until_s
                time.sleep(0.01)
        log.handle(record("written"))
        log.flush()
    assert lines(tmp_path / "log") == ["written", "1 missing: there was no room for them in memory"]


def test_a_log_that_always_fails_can_be_closed(tmp_path: Path) -> None:
    with output(tmp_path / "log") as log:
        log._note = lambda count, why: record("fails")
        log.setFormatter(Failing())
        log.handle(record("this fails"))
    assert not log._thread.is_alive()


def test_a_line_is_utf_8_whatever_its_text(tmp_path: Path) -> None:
    with output(tmp_path / "log") as log:
        log.setFormatter(logging.Formatter("%(message)s"))
        log.handle(record("a \udc80 é"))
    assert (tmp_path / "log").read_text(encoding="utf-8") == "a \\udc80 é\n"
