"""Any value as an argument of a public function works, or raises our error at once, with field and value."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from yamcs_archive import (
    Archive,
    ArchiveError,
    Event,
    EventKey,
    Filter,
    Instance,
    InvalidInputError,
    Options,
    Severity,
    arguments,
)
from yamcs_archive.columns import Columns
from yamcs_archive.errors import BadTimeError
from yamcs_archive.event import as_stored, validate
from yamcs_archive.limits import TIME_MAX_US
from yamcs_archive.results import Commit, MirrorState


class Rude:
    """Every operation on it fails."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __repr__(self) -> str:
        raise RuntimeError("repr")

    def __index__(self) -> int:
        raise RuntimeError("index")

    def __float__(self) -> float:
        raise RuntimeError("float")


HOSTILE: list[Any] = [
    None,
    True,
    -1,
    2**70,
    10**5000,
    0.5,
    float("nan"),
    float("inf"),
    "",
    "\ud800",
    "a\0b",
    "x" * 2**21,
    b"AOCS",
    [],
    [None],
    [5],
    ["\ud800"],
    [[]],
    {"a": 1},
    {None},
    (),
    object(),
    np.array([1, 2]),  # comparing it gives neither True nor False
    np.array(["a", "b"]),
    np.timedelta64(5, "us"),
    np.datetime64(5, "us"),
    Event("a", source="\ud800"),
    EventKey(0, "\ud800", 0),
    Rude(),
]
"""Values that no parameter accepts, or only few."""


def shown(value: object) -> str:
    try:
        return repr(value)[:30]
    except Exception:
        return f"a {type(value).__name__}"


Call = Callable[[Instance, Any], Any]
KEY = EventKey(0, "A", 0)
GOOD = as_stored(Event("a", source="A", generation_time=0, seq_number=0, reception_time=0))
STATE = MirrorState("http://127.0.0.1:9", "sim", None)


def commit_of(event: Any) -> Commit:
    return Commit(0, (event,), "c")


def _report_with(name: str) -> Call:
    return lambda sim, value: sim.report(**{name: value})


def event(name: str, value: Any) -> Event:
    fields: dict[str, Any] = {"message": "a", name: value}
    return Event(**fields)


def offered(size: int, name: str, column: Any) -> Columns[int | None]:
    return Columns.of([GOOD] * size)._replace(**{name: column})


CALLS: dict[str, Call] = {
    "prune before": lambda sim, value: sim.prune(before=value, dry_run=True),
    "prune keep_days": lambda sim, value: sim.prune(keep_days=value, dry_run=True),
    "prune max_bytes": lambda sim, value: sim.prune(max_bytes=value, dry_run=True),
    "prune max_events": lambda sim, value: sim.prune(max_events=value, dry_run=True),
    "prune dry_run": lambda sim, value: sim.prune(before=0, dry_run=value),
    "append": lambda sim, value: sim.append(value),
    "append request_id": lambda sim, value: sim.append(GOOD, request_id=value),
    "submit": lambda sim, value: sim.submit(value),
    "submit request_id": lambda sim, value: sim.submit(GOOD, request_id=value),
    "append_many": lambda sim, value: sim.append_many(value),
    "append_many of": lambda sim, value: sim.append_many([value]),
    "append_many of an iterator of": lambda sim, value: sim.append_many(iter([value])),
    "append_many of many": lambda sim, value: sim.append_many([GOOD] * 20 + [value]),
    "append_many request_id": lambda sim, value: sim.append_many([GOOD], request_id=value),
    "append_columns": lambda sim, value: sim.append_columns(value),
    "append_columns of": lambda sim, value: sim.append_columns([value]),
    "get": lambda sim, value: sim.get(value),
    "events cancelled": lambda sim, value: sim.events(cancelled=value),
    "events text": lambda sim, value: sim.events(text=value),
    "events filter": lambda sim, value: sim.events(filter=value),
    "events descending": lambda sim, value: sim.events(descending=value),
    "events limit": lambda sim, value: sim.events(limit=value),
    "events after_key": lambda sim, value: sim.events(after_key=value),
    "table columns": lambda sim, value: sim.table(columns=value),
    "table extra_columns": lambda sim, value: sim.table(extra_columns=value),
    "table start": lambda sim, value: sim.table(start=value),
    "table stop": lambda sim, value: sim.table(stop=value),
    "table sources": lambda sim, value: sim.table(sources=value),
    "table min_severity": lambda sim, value: sim.table(min_severity=value),
    "table text": lambda sim, value: sim.table(text=value),
    "table filter": lambda sim, value: sim.table(filter=value),
    "table cancelled": lambda sim, value: sim.table(cancelled=value),
    "to_parquet": lambda sim, value: sim.table().to_parquet(value),
    **{
        f"report {name}": _report_with(name)
        for name in (
            *("start", "stop", "sources", "min_severity", "text", "filter", "new_since", "history_since"),
            *("late_after_s", "top", "progress", "cancelled", "skip_damaged"),
        )
    },
    "event_vectors text": lambda sim, value: sim.event_vectors(text=value),
    "event_vectors filter": lambda sim, value: sim.event_vectors(filter=value),
    "event_vectors cancelled": lambda sim, value: sim.event_vectors(cancelled=value),
    "histogram pause_us": lambda sim, value: sim.histogram(pause_us=value),
    "histogram cancelled": lambda sim, value: sim.histogram(cancelled=value),
    "changes": lambda sim, value: sim.changes(value),
    "commits": lambda sim, value: sim.commits(value),
    "arrival": lambda sim, value: sim.arrival(value, timeout_s=0),
    "arrival timeout_s": lambda sim, value: sim.arrival(sim.cursor(), timeout_s=value),
    "take_over": lambda sim, value: sim.take_over(value, STATE),
    "take_over of": lambda sim, value: sim.take_over([value], STATE),
    "take_over of events": lambda sim, value: sim.take_over([Commit(0, value, "c")], STATE),
    "take_over of an event": lambda sim, value: sim.take_over([commit_of(value)], STATE),
    "take_over at a time": lambda sim, value: sim.take_over([Commit(value, (GOOD,), "c")], STATE),
    "take_over from": lambda sim, value: sim.take_over([], value),
    "take_over from a URL": lambda sim, value: sim.take_over([], MirrorState(value, "sim", None)),
    "take_over from an instance": lambda sim, value: sim.take_over([], MirrorState("u", value, None)),
    "take_over up to": lambda sim, value: sim.take_over([], MirrorState("u", "sim", value)),
    "Event.at": lambda _, value: Event.at(value, "a"),
    "Severity.parse": lambda _, value: Severity.parse(value),
    "Filter": lambda _, value: Filter(value),
}
"""Each public function with one of its parameters left open, by name."""


def scanning(scan: str, name: str) -> Call:
    return lambda sim, value: getattr(sim, scan)(**{name: value})


def appending(name: str) -> dict[str, Call]:
    ordinary = getattr(GOOD, name)
    return {
        f"append {name}": lambda sim, value: sim.append(event(name, value)),
        f"append_many {name}": lambda sim, value: sim.append_many([GOOD] * 20 + [event(name, value)]),
        f"append_columns {name}": lambda sim, value: sim.append_columns([offered(1, name, value)]),
        f"append_columns {name} of": lambda sim, value: sim.append_columns([offered(1, name, [value])]),
        f"append_columns {name} of many": lambda sim, value: sim.append_columns(
            [offered(20, name, [ordinary] * 19 + [value])]
        ),
    }


def getting(place: int) -> Call:
    return lambda sim, value: sim.get(KEY._replace(**{EventKey._fields[place]: value}))


def choosing(name: str) -> Call:
    return lambda _, value: Options(**{name: value})


for _scan in ("events", "event_vectors", "histogram"):
    for _name in ("start", "stop", "sources", *(() if _scan == "histogram" else ("min_severity",))):
        CALLS[f"{_scan} {_name}"] = scanning(_scan, _name)
for _name in GOOD.__struct_fields__:
    CALLS |= appending(_name)
for _place, _name in enumerate(EventKey._fields):
    CALLS[f"get {_name}"] = getting(_place)
for _name in Options.__dataclass_fields__:
    CALLS[f"Options {_name}"] = choosing(_name)


@pytest.fixture(scope="module")
def sim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    with Archive.open(
        tmp_path_factory.mktemp("hostile") / "a", options=Options(maintenance=False)
    ) as archive:
        sim = archive.instance("sim", create=True)
        sim.append_many([GOOD, *(Event(f"b{n}", source="B", generation_time=n) for n in range(3))])
        yield sim


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Instance]:
    with Archive.open(tmp_path / "a", options=Options(maintenance=False)) as archive:
        yield archive.instance("sim", create=True)


def wrong_with(call: Call, sim: Instance, value: Any) -> str | None:
    """Return the fault of a call's result or error, or "" if there is none."""
    try:
        found = call(sim, value)
    except InvalidInputError as error:
        return None if error.field and error.rule in str(error) else f"{shown(value)}: {error!r}"
    except ArchiveError:
        return None
    except Exception as error:
        return f"{shown(value)}: {error!r}"
    try:
        if isinstance(found, Iterator):
            for _ in found:
                pass
    except Exception as error:
        return f"{shown(value)}: not at once, but later {error!r}"
    return None


@pytest.mark.parametrize("name", [name for name in CALLS if not name.startswith("take_over")])
def test_only_errors_of_ours_come_and_at_once(sim: Instance, name: str) -> None:
    assert [found for value in HOSTILE if (found := wrong_with(CALLS[name], sim, value))] == []


@pytest.mark.parametrize("name", [name for name in CALLS if name.startswith("take_over")])
def test_the_arguments_of_take_over_are_checked_as_well(fresh: Instance, name: str) -> None:
    assert [found for value in HOSTILE if (found := wrong_with(CALLS[name], fresh, value))] == []


REFUSED: list[tuple[str, Any, str]] = [
    ("prune before", None, "before"),
    ("prune before", True, "before"),
    ("prune keep_days", 0, "keep_days"),
    ("prune max_events", 0.5, "max_events"),
    ("prune dry_run", 1, "dry_run"),
    ("append_many", 5, "events"),
    ("append_many", GOOD, "events"),
    ("append_many of", "a", "event"),
    ("append_columns", 5, "parts"),
    ("append_columns of", GOOD, "parts"),
    ("append_columns source", [], "source"),
    ("append_columns seq_number", array("d", [1.0]), "seq_number"),
    ("events sources", "AOCS", "sources"),
    ("events sources", 5, "sources"),
    ("events sources", ["AOCS", None], "sources"),
    ("events sources", ["\ud800"], "sources"),
    ("event_vectors sources", [b"AOCS"], "sources"),
    ("histogram sources", [5], "sources"),
    ("events start", 0.5, "start"),
    ("events stop", True, "stop"),
    ("events text", "\ud800", "text"),
    ("events text", b"a", "text"),
    ("events min_severity", "INFOS", "min_severity"),
    ("table columns", "time", "columns"),
    ("table columns", [None], "columns"),
    ("table extra_columns", None, "extra_columns"),
    ("table start", 1.5, "start"),
    ("to_parquet", b"day.parquet", "path"),
    ("event_vectors min_severity", 7, "min_severity"),
    ("events descending", "no", "descending"),
    ("events descending", 1, "descending"),
    ("events limit", -1, "limit"),
    ("events limit", 2**63, "limit"),
    ("events limit", True, "limit"),
    ("events limit", 1.0, "limit"),
    ("events cancelled", True, "cancelled"),
    ("events after_key", (0, "A"), "key"),
    ("events after_key", (0, "", 0), "source"),
    ("histogram pause_us", 2**31 * 1000, "pause_us"),
    ("arrival", b"", "cursor"),
    ("changes", 5, "cursor"),
    ("arrival timeout_s", float("nan"), "timeout_s"),
    ("arrival timeout_s", "5", "timeout_s"),
    ("arrival timeout_s", True, "timeout_s"),
    ("get", None, "key"),
    ("take_over", 5, "commits"),
    ("take_over of", GOOD, "commits"),
    ("take_over of an event", "a", "event"),
    ("take_over at a time", 0.5, "time"),
    ("take_over from", None, "state"),
    ("take_over up to", 5, "cursor"),
    ("Options clock", 5, "options"),
    ("Options maintenance", "no", "options"),
    ("Options table_events_max", 2**63, "options"),
    ("Severity.parse", 5, "severity"),
]


@pytest.mark.parametrize(("name", "value", "field"), REFUSED, ids=repr)
def test_a_meaningless_argument_is_refused_by_name(
    fresh: Instance, name: str, value: Any, field: str
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        CALLS[name](fresh, value)
    assert caught.value.field == field
    assert list(fresh.events()) == []


def test_the_largest_limit_is_none() -> None:
    """The largest legal limit is accepted; one more is among :data:`REFUSED`."""
    assert arguments.whole("limit", 2**63 - 1, 0, arguments.COUNT_MAX) == 2**63 - 1


def test_a_value_that_cannot_be_shown_hides_no_error() -> None:
    with pytest.raises(InvalidInputError, match="seq_number <int that cannot be shown>: must be"):
        validate(Event("a", seq_number=10**5000))
    with pytest.raises(InvalidInputError, match="event <Rude that cannot be shown>: must be an Event"):
        validate(Rude())  # type: ignore[arg-type]  # that is the point


@pytest.mark.parametrize("time", [2**70, "now", 0.5, True, TIME_MAX_US + 1], ids=repr)
def test_a_time_that_could_not_be_stored_is_no_datetime(time: Any) -> None:
    with pytest.raises(BadTimeError):
        Event("a", generation_time=time).time  # noqa: B018  # it raises


ARCHIVE_CALLS: dict[str, Callable[[Archive, Path, Any], object]] = {
    "open path": lambda archive, path, value: Archive.open(value, readonly=True).close(),
    "open readonly": lambda archive, path, value: Archive.open(path, readonly=value).close(),
    "open holder": lambda archive, path, value: Archive.open(path, holder=value).close(),
    "open options": lambda archive, path, value: Archive.open(path, options=value).close(),
    "instance": lambda archive, path, value: archive.instance(value),
    "instance create": lambda archive, path, value: archive.instance(value, create=True),
    "set_aside": lambda archive, path, value: archive.set_aside(value),
    "rename": lambda archive, path, value: archive.rename(value, "bench"),
    "rename to": lambda archive, path, value: archive.rename("sim", value),
    "delete": lambda archive, path, value: archive.delete(value, confirm="sim"),
    "delete confirm": lambda archive, path, value: archive.delete("sim", confirm=value),
}


@pytest.mark.parametrize("name", ARCHIVE_CALLS)
def test_an_archive_s_parameters_are_refused_as_ours_or_taken(
    name: str, archive: Archive, tmp_path: Path
) -> None:
    wrong = []
    for value in HOSTILE:
        try:
            ARCHIVE_CALLS[name](archive, tmp_path / "other", value)
        except ArchiveError:
            pass
        except Exception as error:
            wrong.append((shown(value), type(error).__name__))
    assert wrong == []
    assert archive.instances() == []
