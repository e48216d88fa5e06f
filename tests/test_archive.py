"""The archive's directory and methods: locks, processes, forks, names, closing."""

import os
import pickle
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.child import WAIT_S, run, start
from yamcs_archive import Archive, Event, Options, Severity
from yamcs_archive.errors import (
    ClosedError,
    FormatVersionError,
    InvalidInputError,
    LockedError,
    NotAnArchiveError,
    ReadOnlyError,
    UnknownInstanceError,
)

_HOLD = """
    archive = Archive.open(sys.argv[1], holder="http://127.0.0.1:8090")
    archive.instance("sim", create=True).append(Event("first"))
    print("open", flush=True)
    sys.stdin.read()
"""


def test_a_closed_archive_cannot_be_entered(tmp_path: Path) -> None:
    archive = Archive.open(tmp_path / "a")
    archive.close()
    with pytest.raises(ClosedError), archive:
        pass


@pytest.mark.parametrize("given", [{}, {"path": "x"}, {"readonly": True}])
def test_the_constructor_says_how_an_archive_is_opened(given: Any) -> None:
    made: Any = Archive
    with pytest.raises(TypeError, match=r"call Archive\.open\(path\), not Archive\(path\)"):
        made(**given)
    with pytest.raises(TypeError, match=r"call Archive\.open\(path\)"):
        made("x", *given)


def test_a_second_writing_process_is_refused_with_the_first_ones_address(tmp_path: Path) -> None:
    holder = start(_HOLD, tmp_path / "a")
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(LockedError) as caught:
            Archive.open(tmp_path / "a")
        assert f"process {holder.pid}" in str(caught.value)
        assert "http://127.0.0.1:8090" in str(caught.value)
        with Archive.open(tmp_path / "a", readonly=True) as reading:
            assert [event.message for event in reading.instance("sim").events()] == ["first"]
    finally:
        holder.kill()
        holder.communicate(timeout=WAIT_S)
    with Archive.open(tmp_path / "a") as archive:
        assert archive.instances() == ["sim"]


def test_a_reading_process_sees_events_that_are_appended_meanwhile(tmp_path: Path) -> None:
    with Archive.open(tmp_path / "a") as archive:
        sim = archive.instance("sim", create=True)
        sim.append(Event("first"))
        reader = start(
            """
            sim = Archive.open(sys.argv[1], readonly=True).instance("sim")
            for _ in sys.stdin:
                print([event.message for event in sim.events()], flush=True)
            """,
            tmp_path / "a",
        )
        try:
            assert reader.stdin is not None
            assert reader.stdout is not None
            for message in ("second", "third"):
                sim.append(Event(message))
                reader.stdin.write("go\n")
                reader.stdin.flush()
                assert reader.stdout.readline().strip().endswith(f"{message!r}]")
        finally:
            reader.communicate(timeout=WAIT_S)
        assert reader.returncode == 0


def test_a_second_archive_in_this_process_may_read_but_not_write(tmp_path: Path) -> None:
    with Archive.open(tmp_path / "a") as writing:
        sim = writing.instance("sim", create=True)
        with pytest.raises(LockedError, match="this process"):
            Archive.open(tmp_path / "a")
        with Archive.open(tmp_path / "a", readonly=True) as reading:
            sim.append(Event("seen"))
            assert [event.message for event in reading.instance("sim").events()] == ["seen"]
            with pytest.raises(ReadOnlyError):
                reading.instance("sim").append(Event("no"))
            with pytest.raises(ReadOnlyError):
                reading.instance("new", create=True)
        sim.append(Event("still open"))
        assert len(list(sim.events())) == 2
    with Archive.open(tmp_path / "a") as again:
        assert len(list(again.instance("sim").events())) == 2


def test_a_forked_child_is_refused_and_may_open_anew_while_the_parent_goes_on(tmp_path: Path) -> None:
    printed = run(
        """
        import os
        archive = Archive.open(sys.argv[1])
        sim = archive.instance("sim", create=True)
        sim.append(Event("by the parent"))
        if os.fork() == 0:
            for action in (
                lambda: sim.append(Event("no")),
                lambda: list(sim.events()),
                archive.instances,
                sim.compact,
            ):
                try:
                    action()
                except ForkedError:
                    print("refused", flush=True)
            with Archive.open(sys.argv[1], readonly=True) as mine:
                print([event.message for event in mine.instance("sim").events()], flush=True)
            try:
                Archive.open(sys.argv[1])
            except LockedError as error:
                print(f"process {os.getppid()}" in str(error), flush=True)
            os._exit(0)
        os.wait()
        sim.append(Event("after the fork"))
        print([event.message for event in sim.events()], flush=True)
        """,
        tmp_path / "a",
    )
    assert printed.splitlines() == [
        *["refused"] * 4,
        "['by the parent']",
        "True",
        "['by the parent', 'after the fork']",
    ]


def test_a_child_that_outlives_its_parent_does_not_keep_the_lock(tmp_path: Path) -> None:
    parent = start(
        """
        import os, time
        archive = Archive.open(sys.argv[1])
        child = os.fork()
        if child == 0:
            time.sleep(60)
            os._exit(0)
        print(child, flush=True)
        time.sleep(60)
        """,
        tmp_path / "a",
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    try:
        parent.kill()
        parent.wait(WAIT_S)
        Archive.open(tmp_path / "a").close()
    finally:
        os.kill(child, signal.SIGKILL)
        parent.communicate(timeout=WAIT_S)


def test_a_program_that_forgets_to_close_ends_and_loses_nothing(tmp_path: Path) -> None:
    run(
        """
        sim = Archive.open(sys.argv[1]).instance("sim", create=True)
        futures = [sim.submit(Event(f"{n}")) for n in range(50)]
        """,
        tmp_path / "a",
    )
    with Archive.open(tmp_path / "a") as archive:
        assert archive.instance("sim").stats().events == 50


def test_every_method_raises_closed_error_after_close(tmp_path: Path) -> None:
    archive = Archive.open(tmp_path / "a")
    sim = archive.instance("sim", create=True)
    sim.append_many(Event(f"{n}") for n in range(5000))
    parked = sim.events()
    next(parked)
    archive.close()
    archive.close()
    assert archive.closed
    for action in (
        archive.instances,
        lambda: archive.instance("sim"),
        lambda: sim.append(Event("a")),
        lambda: sim.append_many([]),
        sim.events,
        sim.changes,
        sim.sources,
        sim.stats,
        sim.cursor,
        sim.settle,
        sim.compact,
        lambda: list(parked),
    ):
        with pytest.raises(ClosedError):
            action()


def test_closing_waits_for_submitted_events(tmp_path: Path) -> None:
    with Archive.open(tmp_path / "a") as archive:
        sim = archive.instance("sim", create=True)
        futures = [sim.submit(Event(f"{n}")) for n in range(200)]
    assert [future.result(0).event.seq_number for future in futures] == list(range(200))


def test_closing_while_threads_append_answers_each_of_them(tmp_path: Path) -> None:
    archive = Archive.open(tmp_path / "a")
    sim = archive.instance("sim", create=True)
    acknowledged = [0] * 4
    began = threading.Barrier(5)

    def work(index: int) -> None:
        began.wait()
        try:
            while True:
                sim.append(Event("a", source=f"S{index}"))
                acknowledged[index] += 1
        except ClosedError:
            pass

    threads = [threading.Thread(target=work, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    began.wait()
    while min(acknowledged) < 1 or sum(acknowledged) < 20:
        time.sleep(0.001)
    archive.close()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
    with Archive.open(tmp_path / "a") as again:
        stats = again.instance("sim").stats()
        assert [stats.sources[f"S{index}"].events for index in range(4)] == acknowledged


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../up", "a/b", "a b", ".hidden", "-x", "é", "a" * 129, "a\0", None]
)
def test_a_name_that_no_instance_can_have_is_refused(archive: Archive, name: str) -> None:
    with pytest.raises(InvalidInputError, match="instance"):
        archive.instance(name, create=True)
    with pytest.raises(UnknownInstanceError, match="there are: none yet"):
        archive.instance(name)
    assert archive.instances() == []


def test_instances_are_listed_sorted_and_unknown_ones_named(archive: Archive) -> None:
    for name in ("sim", "bench", "_x", "A-1.0"):
        assert archive.instance(name, create=True) is archive.instance(name)
    assert archive.instances() == ["A-1.0", "_x", "bench", "sim"]
    with pytest.raises(UnknownInstanceError, match="No instance named 'nosuch'") as caught:
        archive.instance("nosuch")
    assert caught.value.known == archive.instances()


def test_a_directory_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(NotAnArchiveError, match="holds other files"):
        Archive.open(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.tex"]
    for path, reason in (
        (tmp_path / "thesis.tex", "not a directory"),
        (tmp_path / "nosuch", "no such directory"),
    ):
        with pytest.raises(NotAnArchiveError, match=reason):
            Archive.open(path, readonly=True)


def test_an_archive_of_another_layout_or_format_is_refused(tmp_path: Path) -> None:
    with Archive.open(tmp_path / "a") as archive:
        archive.instance("sim", create=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("yamcs_archive.storage.format.meta.FORMAT_VERSION", 3)
        with Archive.open(tmp_path / "a") as archive, pytest.raises(FormatVersionError, match="version 2"):
            archive.instance("sim")
    (tmp_path / "a" / "ARCHIVE").write_text("yamcs_archive directory, layout 9\n")
    with pytest.raises(NotAnArchiveError, match="layout 9"):
        Archive.open(tmp_path / "a")


def test_a_network_file_system_is_refused(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("yamcs_archive.storage.disk.directory.file_system_of", lambda _: "nfs4")
        with pytest.raises(NotAnArchiveError, match="nfs4"):
            Archive.open(tmp_path / "a")


def test_every_event_is_read_back_unchanged_after_reopening(tmp_path: Path) -> None:
    event = Event(
        "message\0é\U0001f680",
        source="S" * 255,
        severity=Severity.ERROR,
        type="",
        generation_time=-1,
        seq_number=-(2**31),
        reception_time=0,
        created_by="somebody",
        extensions=b"\xa0\x06\x01",
        extra={"": "", "b": "é"},
    )
    with Archive.open(tmp_path / "a", options=Options(clock=lambda: 5)) as archive:
        assert archive.instance("sim", create=True).append(event).event == event
        pickle.dumps(archive.instance("sim").stats())
    with Archive.open(tmp_path / "a", readonly=True) as archive:
        assert archive.instance("sim").get(event.key) == event
        assert list(archive.instance("sim").events()) == [event]


@pytest.mark.parametrize("readonly", [True, False])
def test_ctrl_c_at_any_step_of_a_read_leaves_an_archive_that_can_be_closed(
    tmp_path: Path, readonly: bool
) -> None:
    with Archive.open(tmp_path / "a") as archive:
        archive.instance("sim", create=True).append(Event("a", generation_time=0, seq_number=0))
    printed = run(
        """
        import random, signal

        def press(*_):
            global times
            times += 1
            if times == 1 or times > 100:  # Python drops one that comes within a finalizer
                raise KeyboardInterrupt

        signal.signal(signal.SIGALRM, press)
        random.seed(7)
        reads = 0
        for _ in range(100):
            archive = Archive.open(sys.argv[1], readonly=sys.argv[2] == "True")
            sim = archive.instance("sim")
            times = 0
            try:
                signal.setitimer(signal.ITIMER_REAL, random.uniform(0.0001, 0.002), 0.01)
                while True:
                    sim.get(EventKey(0, "User", 0))
                    reads += 1
            except KeyboardInterrupt:
                signal.setitimer(signal.ITIMER_REAL, 0)
                archive.close()
        print(reads)
        """,
        tmp_path / "a",
        readonly,
    )
    assert int(printed) > 0
