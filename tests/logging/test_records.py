"""What of a record is in its event."""

from __future__ import annotations

import copy
import logging
import logging.config
import logging.handlers
import os
import pickle
import queue
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.logging.conftest import Make, logger_of, stored
from yamcs_archive import Archive, Instance, InvalidInputError, Severity
from yamcs_archive.event import validate
from yamcs_archive.fitting import bounded
from yamcs_archive.limits import ATTACHED_BYTES_MAX, MESSAGE_BYTES_MAX
from yamcs_archive.logging import ArchiveHandler
from yamcs_archive.logging.records import EventMaker, taken


def test_a_record_is_an_event_with_all_that_the_record_has(make: Make, sim: Instance) -> None:
    handler = make(sim)
    before = time.time()
    logger_of(handler, name="bench.aocs").warning("Wheel %d over %s", 3, "speed", extra={"rpm": 6010.5})
    [event] = stored(handler, sim)
    assert (event.message, event.source, event.type) == ("Wheel 3 over speed", "bench.aocs", _here())
    assert (event.severity, event.seq_number) == (Severity.WARNING, 0)
    assert before - 0.001 <= (event.generation_time or 0) / 1e6 <= time.time()
    line = event.extra.pop("code.line.number")
    assert int(line) == _line() - 6
    assert event.extra.pop("host.name")
    assert event.extra == {
        "rpm": "6010.5",
        "log.level": "WARNING",
        "code.file.path": __file__,
        "process.pid": str(os.getpid()),
        "thread.name": threading.current_thread().name,
    }


def _here() -> str:
    return sys._getframe(1).f_code.co_name


def _line() -> int:
    return sys._getframe(1).f_lineno


@pytest.mark.parametrize(
    ("level", "severity"),
    [
        (1, Severity.INFO),
        (logging.DEBUG, Severity.INFO),
        (logging.INFO, Severity.INFO),
        (logging.WARNING - 1, Severity.INFO),
        (logging.WARNING, Severity.WARNING),
        (logging.ERROR - 1, Severity.WARNING),
        (logging.ERROR, Severity.DISTRESS),
        (logging.CRITICAL - 1, Severity.DISTRESS),
        (logging.CRITICAL, Severity.SEVERE),
        (1_000, Severity.SEVERE),
        (-5, Severity.INFO),
    ],
)
def test_a_level_is_the_severity_of_the_greatest_step_below_it(
    make: Make, sim: Instance, level: int, severity: Severity
) -> None:
    handler = make(sim)
    handler.handle(logging.makeLogRecord({"levelno": level, "levelname": "X", "msg": "a"}))
    [event] = stored(handler, sim)
    assert (event.severity, event.extra["log.level"]) == (severity, "X")


def test_severities_are_named_by_level_or_number(make: Make, sim: Instance) -> None:
    handler = make(sim, severities={"ERROR": "critical", 25: Severity.WATCH})
    log = logger_of(handler)
    for level in (24, 25, 29, 30, 40, 50):
        log.log(level, "a")
    found = [event.severity.name for event in stored(handler, sim)]
    assert found == ["INFO", "WATCH", "WATCH", "WARNING", "CRITICAL", "SEVERE"]


def test_source_and_type_are_texts_or_functions_of_the_record(make: Make, sim: Instance) -> None:
    fixed = make(sim, source="bench-3", type="LOG")
    made = make(sim, source=lambda record: record.threadName, type=lambda record: None)
    log = logger_of(fixed, made, name="aocs")
    log.info("a")
    stored(made, sim)
    one, other = sorted(stored(fixed, sim), key=lambda event: event.source, reverse=True)
    assert (one.source, one.type, one.extra["log.logger"]) == ("bench-3", "LOG", "aocs")
    assert (other.source, other.type) == (threading.current_thread().name, None)


def test_arguments_and_extras_are_taken_as_they_are_at_the_call(make: Make, sim: Instance) -> None:
    handler = make(sim, gather_s=0.2)
    mode, state = ["SAFE"], {"wheels": [1, 2]}
    logger_of(handler).info("mode %s", mode, extra={"state": state, "count": 3, "none": None})
    mode.append("changed")
    state["wheels"].clear()
    [event] = stored(handler, sim)
    assert event.message == "mode ['SAFE']"
    assert {name: event.extra[name] for name in ("state", "count", "none")} == {
        "state": '{"wheels": [1, 2]}',
        "count": "3",
        "none": "None",
    }


class Hostile:
    """A value of a program that cannot be shown."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


def test_an_extra_that_cannot_be_shown_hides_no_other(make: Make, sim: Instance) -> None:
    handler = make(sim)
    circle: list[Any] = []
    circle.append(circle)
    extra = {"bad": Hostile(), "circle": circle, "good": "x", "huge": 10**5_000, "large": 10**1_000}
    logger_of(handler).info("a", extra=extra)
    [event] = stored(handler, sim)
    assert event.extra["huge"] == "<int that cannot be shown>"
    assert event.extra["large"] == str(10**1_000)
    assert event.extra["bad"] == "<Hostile that cannot be shown>"
    assert (event.extra["circle"], event.extra["good"]) == ("[[...]]", "x")


def test_an_extra_precedes_an_attribute_of_ours_with_its_name(make: Make, sim: Instance) -> None:
    handler = make(sim)
    logger_of(handler).info("a", extra={"thread.name": "mine"})
    [event] = stored(handler, sim)
    assert event.extra["thread.name"] == "mine"


def test_an_exception_is_kept_with_its_traceback_and_the_stack(make: Make, sim: Instance) -> None:
    handler = make(sim)
    try:
        try:
            raise KeyError("inner")
        except KeyError as error:
            raise ValueError("outer") from error
    except ValueError:
        logger_of(handler).exception("pass failed", stack_info=True)
    [event] = stored(handler, sim)
    assert event.message == "pass failed"
    assert (event.extra["exception.type"], event.extra["exception.message"]) == ("ValueError", "outer")
    trace = event.extra["exception.stacktrace"]
    assert trace.startswith("Traceback")
    assert trace.endswith("ValueError: outer")
    assert "KeyError: 'inner'" in trace
    assert _here() in event.extra["code.stacktrace"]


def test_an_exception_without_one_adds_nothing(make: Make, sim: Instance) -> None:
    handler = make(sim)
    logger_of(handler).error("a", exc_info=True)
    [event] = stored(handler, sim)
    assert not [name for name in event.extra if name.startswith("exception")]


def test_a_message_that_does_not_fit_its_arguments_is_stored_and_reported(
    make: Make, sim: Instance, capsys: pytest.CaptureFixture[str]
) -> None:
    handler = make(sim)
    log = logger_of(handler)
    log.info("%d wheels", "three")
    log.info(Hostile())
    one, other = stored(handler, sim)
    assert one.message == "%d wheels ('three',)"
    assert other.message == "<a Hostile that cannot be shown>"
    assert capsys.readouterr().err.count("--- Logging error ---") == 2


def test_a_formatter_makes_the_message_and_a_filter_decides(make: Make, sim: Instance) -> None:
    handler = make(sim, level="INFO")
    handler.setFormatter(logging.Formatter("[%(levelname)s] %(message)s"))
    handler.addFilter(lambda record: "secret" not in record.getMessage())
    log = logger_of(handler)
    log.debug("low")
    log.info("a secret")
    log.info("plain")
    assert [event.message for event in stored(handler, sim)] == ["[INFO] plain"]


def test_basic_config_does_not_put_level_and_logger_into_the_message(make: Make, sim: Instance) -> None:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    root.handlers[:] = []
    handler = make(sim)
    try:
        logging.basicConfig(level="INFO", handlers=[handler])
        logging.getLogger("bench").info("plain")
    finally:
        root.handlers[:], root.level = before
    assert [event.message for event in stored(handler, sim)] == ["plain"]


def test_what_another_handler_adds_to_a_record_is_no_extra(make: Make, sim: Instance) -> None:
    first = logging.StreamHandler(open(os.devnull, "w"))  # noqa: SIM115
    first.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    handler = make(sim)
    try:
        raise ValueError
    except ValueError:
        logger_of(first, handler).exception("a")
    first.stream.close()
    [event] = stored(handler, sim)
    assert not {"asctime", "message"} & set(event.extra)


def test_a_record_with_fields_of_strange_types_is_kept_as_text(make: Make, sim: Instance) -> None:
    handler = make(sim)
    for fields in (
        {"levelno": "high"},
        {"created": "noon"},
        {"funcName": 5},
        {"pathname": 7},
        {"name": None},
    ):
        handler.handle(logging.makeLogRecord({"msg": "a", **fields}))
    logger_of(handler).info("b", extra={5: "five"})  # type: ignore[dict-item]  # as a program may do
    found = stored(handler, sim)
    assert [event.message for event in found].count("a") == 5
    assert [event.extra["5"] for event in found if event.message == "b"] == ["five"]


def test_records_of_this_package_are_not_stored_and_neighbours_are(make: Make, sim: Instance) -> None:
    handler = make(sim)
    for name in ("yamcs_archive", "yamcs_archive.storage.write", "yamcs_archives", "yamcs"):
        logger_of(handler, name=name).warning(name)
    assert [event.message for event in stored(handler, sim)] == ["yamcs_archives", "yamcs"]


def test_what_is_logged_while_records_are_stored_is_not_stored(
    make: Make, sim: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = make(sim)
    log = logger_of(handler)
    append_many, calls = sim.append_many, []

    def logs(events: Any) -> Any:
        calls.append(len(events))
        log.error("I store %d", len(events))
        handler.flush()  # on the thread that stores, this must not wait for itself
        return append_many(events)

    monkeypatch.setattr(sim, "append_many", logs)
    log.info("a")
    assert [event.message for event in stored(handler, sim)] == ["a"]
    assert handler.wait_until_stored(10)
    assert calls == [1]


def test_a_text_of_any_length_and_kind_is_stored_and_cut_with_a_mark(make: Make, sim: Instance) -> None:
    handler = make(sim)
    name = "logger." + "x" * 300
    extra = {"big": "é" * 200_000, "small": "s", "n" * 400: "v", "lone": "\ud800", "nul": "\0"}
    logger_of(handler, name=name).info("m" * (MESSAGE_BYTES_MAX + 1), extra=extra)
    logger_of(handler, name=name[:-1] + "y").info("\udcff\0")
    long, odd = stored(handler, sim)
    assert long.message.endswith(f"… (cut: {MESSAGE_BYTES_MAX + 1} bytes)")
    assert len(long.message.encode()) == MESSAGE_BYTES_MAX
    assert long.extra["log.logger"] == name
    assert long.source[:20] == name[:20]
    assert long.source != odd.source
    assert long.extra["big"].endswith("… (cut: 400000 bytes)")
    assert (long.extra["small"], long.extra["lone"], long.extra["nul"]) == ("s", "\\ud800", "\0")
    assert odd.message == "\\udcff\0"


@given(
    st.dictionaries(st.text(max_size=20), st.one_of(st.text(), st.integers(0, 300_000).map("é".__mul__))),
    st.text(),
    st.one_of(st.none(), st.text()),
    st.one_of(st.floats(), st.integers()),
    st.integers(-10, 100),
)
def test_every_record_becomes_a_valid_event(
    extra: dict[str, str], name: str, kind: str | None, created: float, level: int
) -> None:
    record = logging.makeLogRecord({"name": name, "created": created, "levelno": level, "msg": "a"})
    record.__dict__.update({key: value for key, value in extra.items() if key not in vars(record)})
    values, size = taken(record, name * 3, name, kind, None)
    event = EventMaker({0: Severity.INFO}, "").event_of(values)
    validate(event)
    assert size > sum(map(len, (event.message, event.source)))
    for key, value in extra.items():
        if len(value) < 100 and value.isascii() and key.isascii() and key not in ("extra", "exc_text"):
            assert event.extra.get(key, value) == value


@pytest.mark.parametrize("count", [1, 2, 3, 2_000])
def test_long_extras_share_the_room_and_what_has_none_is_counted(count: int) -> None:
    length = 300_000 if count <= 3 else 1_000
    found = bounded({f"name{n}": "x" * length for n in range(count)} | {"short": "s"})
    total = sum(len(name.encode()) + len(text.encode()) for name, text in found.items())
    assert total <= ATTACHED_BYTES_MAX
    left_out = count + 1 - len([name for name in found if name != "log.omitted"])
    if count <= 3:
        assert (left_out, found["short"]) == (0, "s")
        assert all(text.endswith("… (cut: 300000 bytes)") for name, text in found.items() if name != "short")
    else:
        assert found["log.omitted"].startswith(f"{left_out} attributes")


def test_a_queue_handler_before_it_loses_nothing(make: Make, sim: Instance) -> None:
    records: queue.Queue[logging.LogRecord] = queue.Queue()
    handler = make(sim)
    listener = logging.handlers.QueueListener(records, handler)
    listener.start()
    try:
        raise ValueError("x")
    except ValueError:
        logger_of(logging.handlers.QueueHandler(records)).exception("a", extra={"rpm": 3})
    listener.stop()
    [event] = stored(handler, sim)
    assert event.message.startswith("a\nTraceback")
    assert event.extra["rpm"] == "3"


def test_records_of_one_thread_stay_in_order_and_of_many_are_all_there(make: Make, sim: Instance) -> None:
    handler = make(sim)
    log = logger_of(handler)

    def work(thread: int) -> None:
        for number in range(300):
            log.info("%d %d", thread, number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    found = [tuple(map(int, event.message.split())) for event in stored(handler, sim)]
    assert sorted(found) == [(thread, number) for thread in range(8) for number in range(300)]
    arrived = [tuple(map(int, change.event.message.split())) for change in sim.changes()]
    for thread in range(8):
        assert [number for one, number in arrived if one == thread] == list(range(300))


def sources(record: logging.LogRecord) -> str:
    """The function that the configuration of the next test names."""
    return f"unit-{record.name}"


def test_dict_config_makes_it_and_makes_it_anew(tmp_path: Path) -> None:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    config = {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"short": {"format": "%(levelname).1s %(message)s"}},
        "filters": {"mine": {"name": "bench"}},
        "handlers": {
            "archive": {
                "class": "yamcs_archive.logging.ArchiveHandler",
                "instance": "sim",
                "path": str(tmp_path / "a"),
                "level": "INFO",
                "formatter": "short",
                "filters": ["mine"],
                "source": f"ext://{__name__}.sources",
                "severities": {"WARNING": "WATCH"},
            }
        },
        "loggers": {"bench": {"handlers": ["archive"], "level": "DEBUG", "propagate": False}},
    }
    log = logging.getLogger("bench")
    try:
        for _ in range(2):  # the second configuration closes the first handler, and opens the archive again
            logging.config.dictConfig(copy.deepcopy(config))
            log.debug("low")
            log.warning("over")
    finally:
        for handler in log.handlers[:]:
            log.removeHandler(handler)
            handler.close()
        root.handlers[:], root.level = before
    with Archive.open(tmp_path / "a") as archive:
        found = list(archive.instance("sim").events())
    assert [(event.message, event.source, event.severity.name) for event in found] == 2 * [
        ("W over", "unit-bench", "WATCH")
    ]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"instance": "sim"}, "give either path= or url="),
        ({"instance": "sim", "path": "a", "url": "http://127.0.0.1:9"}, "give either path= or url="),
        ({"instance": 5}, "must be an open instance, or a name"),
        ({"instance": 5, "url": "http://127.0.0.1:9"}, "must be a name"),
        ({"instance": "sim", "url": "ftp://x"}, "is not a URL"),
        ({"instance": "sim", "url": "http://ada:secret@x"}, "has a user in it"),
        ({"instance": "sim", "url": "http://x", "user": "ada"}, "with a password"),
        ({"instance": "sim", "url": "http://x", "password": "p"}, "with a user"),
        ({"instance": "sim", "url": "http://x", "token": "t", "user": "a"}, "give one of user"),
        ({"instance": "sim", "url": "http://x", "token": "no token"}, "must be letters"),
        ({"instance": "sim", "url": "http://x", "token_file": "/nosuch"}, "No such file"),
        ({"instance": "sim", "path": "a", "token": "t"}, "must be given with a url"),
        ({"instance": "sim", "path": "a", "buffer_records": 0}, "must be an int, 1 to"),
        ({"instance": "sim", "path": "a", "wait_s": -1}, "must be seconds"),
        ({"instance": "sim", "path": "a", "source": 5}, "must be text"),
        ({"instance": "sim", "path": "a", "severities": {"NOSUCH": "INFO"}}, "must be a level"),
        ({"instance": "sim", "path": "a", "severities": {"INFO": "LOUD"}}, "must be one of INFO"),
        ({"instance": "sim", "path": "a", "severities": [1]}, "must be a dict"),
        ({"instance": "a/b", "path": "a"}, "must be 1 to 128 letters"),
    ],
)
def test_values_that_cannot_be_used_are_refused_at_once_and_nothing_stays_open(
    options: dict[str, Any], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidInputError, match=said) as caught:
        ArchiveHandler(options.pop("instance"), **options)
    assert "secret" not in str(pickle.dumps(caught.value))
    Archive.open(tmp_path / "a").close()


def test_it_says_what_it_is(make: Make, tmp_path: Path) -> None:
    handler = make("sim", path=tmp_path / "a", level="ERROR")
    assert repr(handler) == f"<ArchiveHandler sim in {tmp_path / 'a'} (ERROR)>"
    handler.close()
    handler.close()
    assert (
        repr(make("sim", url="http://127.0.0.1:9")) == "<ArchiveHandler sim at http://127.0.0.1:9 (NOTSET)>"
    )
