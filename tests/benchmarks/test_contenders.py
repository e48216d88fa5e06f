"""Every contender does what it is measured for: it gives back whole events, in order, the first of a key."""

import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from benchmarks.contenders import EMBEDDED, factory, missing_package
from benchmarks.contenders.base import Contender, allocated_bytes
from benchmarks.jobs import Job
from benchmarks.measures.ingest import cut
from benchmarks.reference import Reference
from benchmarks.workload import ABSENT_SOURCE, ABSENT_TEXT, RARE_SEVERITY, RARE_SOURCE, Mix, Workload
from yamcs_archive import Event, Severity

_ANY_ORDER = tuple(name for name in EMBEDDED if name != "raw lmdb append")
_WORKLOAD = Workload(1500, Mix.LATE, rare_every=300)


def _job(contender: str, measure: str = "ingest") -> Job:
    return Job(measure=measure, case="", contender=contender, events=1)


def _contender(name: str, directory: Path) -> Contender[Any]:
    if package := missing_package(_job(name)):
        pytest.skip(f"{package} is not installed")
    return factory(name)(directory)


def _append(contender: Contender[Any], events: list[Event]) -> None:
    for batch in cut(events, 100):
        contender.append(contender.ready(batch))


@pytest.mark.parametrize("name", EMBEDDED)
def test_events_come_back_whole_and_in_order_after_opening_again(name: str, tmp_path: Path) -> None:
    events = [
        *Workload(200).events(),
        Event("°", "ΔV", Severity.ERROR, "", 2**57, -1, 5, "me", b"\xa2\x06\x00", {"a": "b"}),
        Event("plain", "ΔV", Severity.INFO, None, 2**57 + 1, 2**31 - 1, 6),
    ]
    with _contender(name, tmp_path) as contender:
        _append(contender, events)
        contender.settle()
        contender.rest()
    with _contender(name, tmp_path) as contender:
        assert list(contender.scan()) == events
        assert contender.durability
        assert contender.versions()


@pytest.mark.parametrize("name", _ANY_ORDER)
def test_answers_are_those_of_the_reference(name: str, tmp_path: Path) -> None:
    events = _WORKLOAD.events()
    reference = Reference(events)
    with _contender(name, tmp_path) as contender:
        _append(contender, events)
        for source, severity in (
            (None, None),
            (RARE_SOURCE, None),
            (ABSENT_SOURCE, None),
            (None, RARE_SEVERITY),
            (None, Severity.DISTRESS),
        ):
            found = contender.newest(7, source=source, min_severity=severity)
            expected = reference.newest(7, source=source, min_severity=severity)
            assert list(map(_kept, found)) == list(map(_kept, expected))
        for text in (ABSENT_TEXT, "VIRTUAL channel"):
            found, expected = contender.find_text(text), reference.find_text(text)
            assert list(map(_kept, found)) == list(map(_kept, expected))


def _kept(event: Event) -> Event:
    """Return the event without its reception time, which a retry may replace where a put overwrites."""
    return msgspec.structs.replace(event, reception_time=None)


@pytest.mark.parametrize("name", [name for name in _ANY_ORDER if name != "rocksdb"])
def test_of_two_events_with_one_key_the_first_stays(name: str, tmp_path: Path) -> None:
    first, second = (Event(text, "A", generation_time=1, seq_number=1, reception_time=1) for text in "ab")
    other = Event("c", "A", generation_time=1, seq_number=2, reception_time=1)
    with _contender(name, tmp_path) as contender:
        _append(contender, [first])
        _append(contender, [second, other])
        assert list(contender.scan()) == [first, other]


@pytest.mark.parametrize("name", [name for name in EMBEDDED if name != "raw lmdb append"])
def test_a_single_event_is_stored_like_a_batch_of_one(name: str, tmp_path: Path) -> None:
    events = [*Workload(20).events(), Event("b", "B", generation_time=1, seq_number=1, reception_time=1)]
    events[3] = msgspec.structs.replace(events[3], created_by="me", extra={"a": "b"})
    with _contender(name, tmp_path) as contender:
        for event in events:
            contender.append_one(contender.ready([event]))
        contender.rest()
        assert list(contender.scan()) == list(Reference(events).scan())


@pytest.mark.parametrize("name", EMBEDDED)
def test_at_rest_a_store_is_no_larger_and_takes_more_events(name: str, tmp_path: Path) -> None:
    events = Workload(3000).events()
    with _contender(name, tmp_path) as contender:
        _append(contender, events[:2900])
        contender.settle()
        contender.rest()
        rested_bytes = allocated_bytes(tmp_path)
        contender.rest()
        assert allocated_bytes(tmp_path) <= rested_bytes
        _append(contender, events[2900:])
        assert list(contender.scan()) == events


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert missing_package(_job("sqlite")) is None
    assert missing_package(_job("yamcs", "http")) is None
    for name in ("granian", "rocksdict"):
        monkeypatch.setitem(sys.modules, name, None)
    assert missing_package(_job("archive")) is None
    assert missing_package(_job("archive", "http")) == "granian"
    assert missing_package(_job("rocksdb")) == "rocksdict"
