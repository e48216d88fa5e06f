"""Tables of an instance: what other libraries read of them, what is decoded for it, and what they raise."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.child import ROOT, WAIT_S
from tests.storage.test_damage import IN_BODY, OPTIONS, damage
from yamcs_archive import Archive, Event, Instance, InvalidInputError, Options, Severity
from yamcs_archive.errors import ClosedError, DamagedError, OutOfSpaceError, UnavailableError
from yamcs_archive.frames import parquet
from yamcs_archive.frames.columns import ALL_COLUMNS, EVENT_COLUMNS
from yamcs_archive.frames.events import columns_from
from yamcs_archive.storage.format.messages import MessageChunks

SOURCES = ("AOCS", "EPS", "TCS")
KINDS = (None, "", "LIMIT")


def day(count: int, first: int = 0) -> list[Event]:
    return [
        Event(
            f"Step {n} °",
            SOURCES[n % 3],
            list(Severity)[n % 7],
            KINDS[n % 3],
            n,
            n,
            n + 5,
            "op" if n % 2 else None,
            bytes([n % 256]) if n % 11 == 0 else b"",
            {"torque": str(n), "unit": "Nm"} if n % 5 == 0 else {},
        )
        for n in range(first, first + count)
    ]


@pytest.fixture(params=["young", "blocks", "late", "both"])
def events(request: pytest.FixtureRequest, sim: Instance) -> list[Event]:
    """Events in ``sim``: young, in blocks, in blocks with late events, and in blocks and young."""
    every = day(300)
    if request.param == "late":
        sim.append_many(event for event in every if event.seq_number != 150)
        sim.settle()
        sim.append(every[150])
        sim.settle()
    else:
        sim.append_many(every if request.param != "both" else every[:200])
    if request.param in ("blocks", "both"):
        sim.settle()
    if request.param == "both":
        sim.append_many(every[200:])
    return every


def read_back(data: Any) -> list[Event]:
    return [event for columns in columns_from(data) for event in columns.events()]


def test_a_table_has_every_event_in_key_order(sim: Instance, events: list[Event]) -> None:
    table = sim.table()
    assert table.schema.names == list(EVENT_COLUMNS)
    assert read_back(table) == read_back(table.to_arrow()) == events
    assert table.count() == len(events)
    assert [event for batch in table.batches() for event in read_back(batch)] == events
    commits = sim.table(columns=ALL_COLUMNS).to_arrow()["commit"].to_pylist()
    assert len(commits) == len(events)
    assert min(commits) == 1


def test_others_take_it_with_no_further_code(sim: Instance, events: list[Event]) -> None:
    table = table_ = sim.table()
    assert table_ is table  # duckdb knows it by its name, which ``table`` is not
    times = [datetime.fromtimestamp(0, UTC).replace(microsecond=n) for n in range(len(events))]
    names = [event.severity.name for event in events]
    found = pa.table(table)
    assert found.schema == table.schema
    assert found["time"].to_pylist() == times
    assert found["severity"].to_pylist() == names
    frame = pl.DataFrame(table)
    assert frame["time"].dtype == pl.Datetime("us", "UTC")
    assert frame["message"].to_list() == [event.message for event in events]
    counted: Any = duckdb.sql("select source, count(*) from table_ group by all order by all")
    assert counted.fetchall() == [(source, 100) for source in SOURCES]
    wanted = [event for event in events if event.severity >= Severity.SEVERE and event.extra]
    torque: Any = duckdb.sql("select extra['torque'] from table_ where level >= 5 and seq_number % 5 = 0")
    assert torque.fetchall() == [(event.extra["torque"],) for event in wanted]
    panda = pd.DataFrame.from_arrow(table)
    assert panda.type.isna().tolist() == [event.type is None for event in events]
    assert panda.severity.cat.ordered
    assert panda.time.dtype == "datetime64[us, UTC]"


def test_to_pandas_and_polars_compare_severities_by_rank(sim: Instance, events: list[Event]) -> None:
    least = Severity.WARNING
    wanted = [event.message for event in events if event.severity >= least]
    panda = sim.table().to_pandas()
    assert panda[panda.severity >= "WARNING"].message.to_list() == wanted
    assert panda[panda.level >= least].message.to_list() == wanted
    assert panda.extra.to_list() == [event.extra for event in events]
    assert panda.extensions.to_list() == [event.extensions for event in events]
    polar = sim.table().to_polars()
    assert polar["severity"].dtype == pl.Enum([severity.name for severity in Severity])
    assert polar.filter(pl.col("severity") >= "WARNING")["message"].to_list() == wanted
    assert "severity" not in sim.table(columns=["time"]).to_polars().columns


def test_a_filter_gives_what_events_gives(sim: Instance, events: list[Event]) -> None:
    asked: list[dict[str, Any]] = [
        {"start": 20, "stop": 200},
        {"sources": iter(["EPS"])},
        {"min_severity": "critical"},
        {"min_severity": Severity.ERROR, "sources": ["AOCS", "TCS"]},
        {"text": "STEP 15"},
        {"filter": 'severity>=warning source=eps "1"'},
        {"filter": "type=limit", "start": 7},
        {"sources": ["Nobody"]},
        {"filter": "severity<info"},
    ]
    for asking in asked:
        table = sim.table(**asking)
        once: dict[str, Any] = {
            key: ["EPS"] if isinstance(value, Iterator) else value for key, value in asking.items()
        }
        wanted = list(sim.events(**once))
        for _ in range(2):  # a second time as well
            assert read_back(table) == wanted
        assert table.count() == len(wanted)
        few = sim.table(columns=["message", "source"], **once).to_arrow()
        assert few.to_pydict() == {
            "message": [event.message for event in wanted],
            "source": [event.source for event in wanted],
        }
        if wanted:
            named = few["source"].chunk(0).dictionary.to_pylist()
            assert set(named) == {event.source for event in wanted}


def test_columns_of_extra(sim: Instance, events: list[Event]) -> None:
    table = sim.table(columns=["extra"], extra_columns=["torque", "nosuch"]).to_arrow()
    assert table["torque"].to_pylist() == [event.extra.get("torque") for event in events]
    assert table["nosuch"].null_count == len(events)


def test_a_table_is_read_anew_each_time(sim: Instance) -> None:
    table = sim.table(columns=["message"], filter='source="User"')
    assert table.to_arrow().num_rows == table.count() == 0
    assert table.to_pandas().message.to_list() == []
    assert table.to_polars().columns == ["message"]
    sim.append(Event("Boot"))
    assert table.to_arrow()["message"].to_pylist() == ["Boot"]
    sim.append(Event("Wheel"))
    assert table.count() == 2
    assert repr(table) == "Table('sim', columns=('message',))"


def test_wrong_arguments_are_refused_at_once(sim: Instance) -> None:
    asking: list[dict[str, Any]] = [
        {"columns": ["mesage"]},
        {"start": "yesterday"},
        {"min_severity": "warn"},
        {"sources": "AOCS"},
        {"text": 5},
        {"filter": "severity>"},
        {"cancelled": True},
    ]
    for each in asking:
        with pytest.raises(InvalidInputError):
            sim.table(**each)


def test_the_least_severity_may_be_a_name_everywhere(sim: Instance) -> None:
    sim.append_many(day(14))
    for least in ("SEVERE", "severe", Severity.SEVERE, 5):
        asked: Any = least
        found = [event.severity.name for event in sim.events(min_severity=asked)]
        assert found == ["SEVERE", "ERROR"] * 2
        assert (
            sim.count(min_severity=asked)
            == sum(part.size for part in sim.event_vectors(min_severity=asked))
            == 4
        )
    wrong: Any = True
    for least in ("warn", "", wrong):
        with pytest.raises(InvalidInputError, match="min_severity"):
            sim.events(min_severity=least)


def test_columns_that_were_not_chosen_are_not_decoded(tmp_path: Path) -> None:
    with Archive.open(tmp_path / "a", options=OPTIONS) as archive:
        archive.instance("sim", create=True).append_many(day(64))
    damage(tmp_path / "a", "blocks", 1, IN_BODY)
    with Archive.open(tmp_path / "a", readonly=True) as archive:
        sim = archive.instance("sim")
        columns = ["time", "severity", "level", "source", "seq_number", "commit"]
        assert sim.table(columns=columns).to_arrow()["level"].to_pylist() == [
            event.severity.rank for event in day(64)
        ]
        with pytest.raises(DamagedError, match="blocks"):
            sim.table(columns=["message"]).to_arrow()
        with pytest.raises(DamagedError, match="blocks"):
            sim.table().to_parquet(tmp_path / "day.parquet")
        with pytest.raises(Exception, match="is damaged"):
            pa.table(sim.table())
        assert sim.table(columns=["message"], skip_damaged=True).to_arrow().num_rows < 64
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a"]


def test_times_alone_read_no_message(sim: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    sim.append_many(day(300))
    sim.settle()
    monkeypatch.setattr(MessageChunks, "_chunk", None)
    assert sim.table(columns=["time", "type", "extra", "created_by"]).to_arrow().num_rows == 300


def test_few_events_of_many_blocks_come_in_few_batches(tmp_path: Path) -> None:
    with Archive.open(tmp_path / "a", options=Options(block_events_max=16)) as archive:
        sim = archive.instance("sim", create=True)
        sim.append_many(day(16 * 50))
        sim.settle()
        sizes = [batch.num_rows for batch in sim.table(sources=["EPS"]).batches()]
        assert sizes == [sum(event.source == "EPS" for event in day(16 * 50))]
        big = [Event("x" * (1 << 18), generation_time=n, seq_number=1) for n in range(1000, 1010)]
        sim.append_many(big)
        assert max(batch.nbytes for batch in sim.table(start=1000).batches()) < 4 << 20


def test_a_closed_archive_is_said_at_the_read(tmp_path: Path) -> None:
    with Archive.open(tmp_path / "a") as archive:
        table = archive.instance("sim", create=True).table()
    for read in (table.to_arrow, table.count, table.batches, lambda: pl.DataFrame(table)):
        with pytest.raises(ClosedError):
            read()


def test_a_parquet_file_is_whole_or_not_there(
    sim: Instance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "GROUP_EVENTS", 100)
    sim.append_many(day(300))
    sim.settle()
    path = tmp_path / "day.parquet"
    assert sim.table().to_parquet(path) == 300
    assert read_back(pq.read_table(path)) == day(300)
    before = path.read_bytes()
    with pytest.raises(KeyboardInterrupt):
        sim.table(cancelled=_interrupt).to_parquet(path)
    assert path.read_bytes() == before
    sim.table(start=300).to_parquet(str(path))
    assert pq.read_table(path).num_rows == 0
    with pytest.raises(UnavailableError, match="cannot be written"):
        sim.table().to_parquet(tmp_path)
    with pytest.raises(UnavailableError, match=r"nosuch/day\.parquet cannot be written: No such file"):
        sim.table().to_parquet(tmp_path / "nosuch" / "day.parquet")
    with pytest.raises(InvalidInputError):
        sim.table().to_parquet("")
    assert {each.name for each in tmp_path.iterdir()} == {"archive", "day.parquet"}


def _interrupt() -> bool:
    raise KeyboardInterrupt


def test_a_full_disk_leaves_no_half_file(sim: Instance, tmp_path: Path) -> None:
    sim.append_many(Event(os.urandom(1000).hex(), generation_time=n) for n in range(300))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(OutOfSpaceError, match=r"day\.parquet"):
            sim.table().to_parquet(tmp_path / "day.parquet")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert {each.name for each in tmp_path.iterdir()} == {"archive"}


def test_what_was_cut_short_is_no_parquet_file(tmp_path: Path) -> None:
    batch = pa.record_batch({"number": pa.array(range(1000))})
    path = tmp_path / "cut.parquet"
    with path.open("wb") as file:
        sink = parquet.ParquetSink(file.write, batch.schema)
        with suppress(KeyError), sink:
            sink.add(batch)
            sink._flush()
            raise KeyError
        del sink  # the writer's end would write the footer
    assert path.stat().st_size > 4
    with pytest.raises(pa.ArrowInvalid):
        pq.read_table(path)


WITHOUT = """
import sys
sys.modules["pyarrow"] = None
from yamcs_archive import Archive, MissingPackageError
import pickle
with Archive.open(sys.argv[1]) as archive:
    sim = archive.instance("sim", create=True)
    sim.append_many([])
    try:
        sim.table()
    except MissingPackageError as error:
        assert isinstance(error, ImportError)
        print(pickle.loads(pickle.dumps(error)))
"""


def run(code: str, path: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False, timeout=WAIT_S,
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout


def test_without_the_extra_the_error_says_what_to_install(tmp_path: Path) -> None:
    said = run(WITHOUT, tmp_path / "a")
    assert said.startswith("this needs the package pyarrow: install what it needs")
    assert "pip install" in said


def test_pyarrow_is_loaded_by_the_first_table_only(tmp_path: Path) -> None:
    code = """
import sys
from yamcs_archive import Archive, Event
with Archive.open(sys.argv[1]) as archive:
    sim = archive.instance("sim", create=True)
    sim.append_many([Event("a"), Event("b")])
    list(sim.events()), list(sim.event_vectors())
    print("pyarrow" in sys.modules)
    sim.table()
    print("pyarrow" in sys.modules, "pandas" in sys.modules)
"""
    assert run(code, tmp_path / "a").split() == ["False", "True", "False"]
