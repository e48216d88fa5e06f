"""GET events:changes: arrival order over HTTP, long polls, and cursors, which are never misread."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgpack
import pytest

from tests.child import WAIT_S, start
from tests.http.feeds import Answer, Feed, core_feed, wsgi_feed
from tests.http.test_api import error_of
from tests.storage.by_hand import change_meta
from tests.storage.test_histories import unmarked
from yamcs_archive import Archive, Event, Instance, Options, Severity
from yamcs_archive.http.application import Application
from yamcs_archive.http.exchange import Exchange
from yamcs_archive.http.request_and_response import Head, Pending, Response
from yamcs_archive.http.wsgi import create_app
from yamcs_archive.wire.codec import MSGPACK, PROTOBUF
from yamcs_archive.wire.pb import yamcs_archive_2016_pb2 as v2016
from yamcs_archive.wire.pb import yamcs_archive_changes_pb2 as changes
from yamcs_archive.wire.pb import yamcs_archive_today_pb2 as today

PATH = "/api/archive/sim/events:changes"
PATIENCE_S = 60


def got(answer: Answer) -> tuple[list[str], str]:
    assert answer.status == 200, answer.body
    found = answer.json()
    assert list(found) == ["events", "cursor"]
    return [event["message"] for event in found["events"]], found["cursor"]


def pages(send: Feed, cursor: str | None = None, limit: int = 7) -> Iterator[tuple[list[str], str]]:
    while True:
        after = "" if cursor is None else f"&after={cursor}"
        messages, cursor = got(send("GET", f"{PATH}?limit={limit}{after}"))
        if not messages:
            return
        yield messages, cursor


def test_pages_hold_every_event_once_in_the_order_of_arrival(send: Feed, sim: Instance) -> None:
    sim.append_many(Event(f"first {n}", generation_time=100 + n) for n in range(10))
    sim.append(Event("late", generation_time=-5))
    found = list(pages(send))
    assert [len(messages) for messages, _ in found] == [7, 4]
    arrived = [message for messages, _ in found for message in messages]
    assert arrived == [f"first {n}" for n in range(10)] + ["late"]
    cursor = found[-1][1]
    assert got(send("GET", f"{PATH}?after={cursor}")) == ([], cursor)
    sim.append(Event("later", generation_time=-6))
    assert got(send("GET", f"{PATH}/?after={cursor}"))[0] == ["later"]


def test_an_empty_archive_gives_a_cursor_that_goes_on(send: Feed, sim: Instance) -> None:
    messages, cursor = got(send("GET", PATH))
    assert messages == []
    sim.append(Event("first"))
    assert got(send("GET", f"{PATH}?after={cursor}"))[0] == ["first"]


def test_newest_means_the_cursor_after_all_events(send: Feed, sim: Instance) -> None:
    sim.append(Event("before"))
    messages, cursor = got(send("GET", f"{PATH}?after=newest"))
    assert (messages, cursor) == ([], sim.cursor())


def test_events_come_in_the_form_and_the_media_type_that_is_asked_for(send: Feed, sim: Instance) -> None:
    sim.append(Event("m", source="S", generation_time=1_234_567, seq_number=4, severity=Severity.CRITICAL))
    [shown] = send("GET", PATH).json()["events"]
    assert (shown["generationTime"], shown["severity"]) == ("1970-01-01T00:00:01.234567Z", "CRITICAL")
    [shown] = send("GET", f"{PATH}?form=2016").json()["events"]
    assert (shown["generationTime"], shown["severity"]) == (1234, "ERROR")
    kinds: list[tuple[str, Any]] = [("", today.Event), ("?form=2016", v2016.Event)]
    for query, kind in kinds:
        answer = send("GET", PATH + query, headers={"Accept": PROTOBUF})
        assert answer.headers["content-type"] == PROTOBUF
        message = changes.ChangesResponse.FromString(answer.body)
        [event] = map(kind.FromString, message.events)
        assert (event.message, event.source, event.seqNumber) == ("m", "S", 4)
        assert message.cursor == sim.cursor()


def test_the_exchange_form_loses_nothing_and_keeps_commits_whole(send: Feed, sim: Instance) -> None:
    sim.append_many(
        [
            Event("é\0", "S", Severity.ERROR, "", -1, 7, 3, "me", b"\xa2\x06\x01x", {"a": "b"}),
            Event("plain", "T", generation_time=5, seq_number=-1, reception_time=6),
        ]
    )
    sim.append(Event("late", generation_time=-5, seq_number=1, reception_time=9))
    answer = send("GET", f"{PATH}?limit=1", headers={"Accept": MSGPACK})
    assert answer.headers["content-type"] == MSGPACK
    page = msgpack.unpackb(answer.body)
    [[_, cursor, events]] = page["commits"]
    assert cursor == page["cursor"]
    assert events == [
        ["é\0", "S", 6, "", -1, 7, 3, "me", b"\xa2\x06\x01x", {"a": "b"}],
        ["plain", "T", 0, None, 5, -1, 6, None, b"", {}],
    ]
    answer = send("GET", f"{PATH}?after={cursor}", headers={"Accept": MSGPACK})
    page = msgpack.unpackb(answer.body)
    assert [[event[0] for event in commit[2]] for commit in page["commits"]] == [["late"]]
    answer = send("GET", f"{PATH}?after={page['cursor']}", headers={"Accept": MSGPACK})
    assert msgpack.unpackb(answer.body) == {"cursor": page["cursor"], "commits": []}


def test_an_answer_ends_after_4_mib_of_text(core: Feed, sim: Instance) -> None:
    sim.append_many(Event("x" * (1 << 20), generation_time=n, seq_number=n) for n in range(6))
    assert [len(messages) for messages, _ in pages(core, limit=1000)] == [4, 2]


def test_bad_parameters_are_refused_by_name(send: Feed) -> None:
    for query, named in (
        ("after=made-up", "made-up"),
        ("limit=0", "limit 0"),
        ("limit=1001", "limit 1001"),
        ("limit=ten", "limit"),
        ("wait=-1", "wait"),
        ("wait=nan", "wait"),
        ("wait=301", "301"),
        ("form=2017", "2017"),
        ("source=S", "source"),
        ("filter=foo", "filter"),
    ):
        assert named in error_of(send("GET", f"{PATH}?{query}"), 400, "BadRequestException")


def test_a_cursor_that_was_cut_or_turned_is_refused(send: Feed, sim: Instance) -> None:
    sim.append(Event("first"))
    cursor = sim.cursor()
    for text in (cursor[:-1], cursor + "A", cursor[::-1], cursor.swapcase(), quote(cursor + "=")):
        error_of(send("GET", f"{PATH}?after={text}"), 400, "BadRequestException")


def test_a_cursor_of_another_archive_is_a_409(send: Feed, archive: Archive, sim: Instance) -> None:
    sim.append(Event("first"))
    other = archive.instance("other", create=True)
    assert "history" in error_of(send("GET", f"{PATH}?after={other.cursor()}"), 409, "OtherHistoryException")
    answer = send("GET", f"{PATH}?after={other.cursor()}", headers={"Accept": PROTOBUF})
    error_of(answer, 409, "OtherHistoryException")


def reopened(archive: Archive, **facts: Any) -> Archive:
    """Change ``meta`` of ``sim`` as restoring and pruning do, and reopen the archive."""
    archive.close()
    change_meta(archive.path / "sim", **facts)
    return Archive.open(archive.path)


def test_after_a_restore_the_old_cursors_are_refused(archive: Archive, sim: Instance) -> None:
    sim.append(Event("first"))
    cursor = sim.cursor()
    sim.settle()  # the segments of a log name their lineage
    with reopened(archive, lineage=b"restored") as restored:
        answer = core_feed(restored)("GET", f"{PATH}?after={cursor}")
        error_of(answer, 409, "OtherHistoryException")


@pytest.mark.parametrize("accept", ["application/json", PROTOBUF, MSGPACK])
@pytest.mark.parametrize("how", ["put back", "put back, old cursor", "grown", "grown, old cursor"])
def test_a_cursor_of_a_lost_history_is_a_409_with_the_commit(
    archive: Archive, sim: Instance, tmp_path: Path, accept: str, how: str
) -> None:
    grown, old = "grown" in how, "old" in how
    sim.append(Event("shared"))
    shared = sim.cursor()
    archive.close()
    shutil.copytree(archive.path, tmp_path / "before")
    with Archive.open(archive.path) as opened:
        opened.instance("sim").append_many([Event("lost"), Event("too")])
        lost = unmarked(opened.instance("sim").cursor()) if old else opened.instance("sim").cursor()
    with Archive.open(tmp_path / "before") as put_back:
        if grown:
            put_back.instance("sim").append(Event("new"))
            put_back.instance("sim").append(Event("newer"))
        send = core_feed(put_back)
        for wait in ("", "&wait=300"):
            answer = send("GET", f"{PATH}?after={lost}{wait}", headers={"Accept": accept})
            assert "commit 2 or before" in error_of(answer, 409, "OtherHistoryException")
        if accept == PROTOBUF:
            detail = today.ExceptionMessage.FromString(answer.body).detail
            assert detail.type_url == "/yamcs_archive.changes.OtherHistory"
            assert changes.OtherHistory.FromString(detail.value).commit == 2
        else:
            assert answer.json()["detail"] == {"@type": "/yamcs_archive.changes.OtherHistory", "commit": 2}
        assert got(send("GET", f"{PATH}?after={shared}"))[0] == ["new", "newer"] * grown


def test_a_cursor_of_an_earlier_version_is_renewed_where_nothing_is_new(send: Feed, sim: Instance) -> None:
    beginning = sim.cursor()
    assert got(send("GET", f"{PATH}?after={unmarked(beginning)}")) == ([], beginning)
    sim.append_many([Event("first"), Event("second")])
    within, newest = [change.cursor for change in sim.changes()]
    for query in ("", "&wait=0.01"):
        assert got(send("GET", f"{PATH}?after={unmarked(newest)}{query}")) == ([], newest)
    assert got(send("GET", f"{PATH}?after={unmarked(within)}")) == (["second"], newest)
    answer = send("GET", f"{PATH}?after={unmarked(newest)}", headers={"Accept": MSGPACK})
    assert msgpack.unpackb(answer.body) == {"cursor": newest, "commits": []}


@pytest.mark.parametrize("accept", ["application/json", PROTOBUF, MSGPACK])
def test_a_pruned_cursor_is_a_410_with_the_oldest_that_works(
    archive: Archive, sim: Instance, accept: str
) -> None:
    sim.append(Event("pruned", generation_time=5))
    cursor = sim.cursor()
    sim.append_many([Event("pruned too", generation_time=6), Event("left", generation_time=50)])
    sim.append(Event("later", generation_time=51))
    with reopened(archive, horizon=40, horizon_commit=2) as pruned:
        send = core_feed(pruned)
        answer = send("GET", f"{PATH}?after={cursor}", headers={"Accept": accept})
        if accept == PROTOBUF:
            error_of(answer, 410, "CursorGoneException")
            message = today.ExceptionMessage.FromString(answer.body)
            assert message.detail.type_url == "/yamcs_archive.changes.CursorGone"
            oldest = changes.CursorGone.FromString(message.detail.value).oldest
        else:
            error_of(answer, 410, "CursorGoneException")
            oldest = answer.json()["detail"]["oldest"]
        assert got(send("GET", f"{PATH}?after={oldest}"))[0] == ["left", "later"]
        assert got(send("GET", PATH))[0] == ["left", "later"]


@pytest.mark.parametrize("packed", [False, True])
def test_a_cursor_within_a_commit_that_was_pruned_in_part_keeps_its_place(
    archive: Archive, sim: Instance, packed: bool
) -> None:
    sim.append_many(Event(f"m{n}", generation_time=n) for n in range(10))
    sim.append(Event("m10", generation_time=10))
    cursors = [change.cursor for change in sim.changes()]
    if packed:
        sim.settle()
    with reopened(archive, horizon=4, horizon_commit=1) as pruned:
        sim = pruned.instance("sim")
        for seen, cursor in enumerate(cursors, 1):
            left = [f"m{n}" for n in range(max(seen, 4), 11)]
            assert [change.event.message for change in sim.changes(after=cursor)] == left
            assert [event.message for commit in sim.commits(after=cursor) for event in commit.events] == left
        assert [change.cursor for change in sim.changes()] == cursors[4:]


def test_pruned_events_after_a_cursor_do_not_end_a_wait(archive: Archive, sim: Instance) -> None:
    sim.append_many(Event(f"m{n}", generation_time=n) for n in range(3))
    with reopened(archive, horizon=40, horizon_commit=1) as pruned:
        sim = pruned.instance("sim")
        cursor = core_feed(pruned)("GET", f"{PATH}?after={sim.cursor()}").json()["cursor"]
        waiting = sim.arrival(cursor)
        assert not waiting.done()
        sim.append(Event("new", generation_time=41))
        waiting.result(timeout=PATIENCE_S)


def poll(core: Application, query: str) -> Pending[Response]:
    begun = core.begin(Head("GET", PATH, query))
    assert isinstance(begun, Exchange)
    answer = begun.run(b"")
    assert isinstance(answer, Pending), answer
    return answer


def test_a_poll_answers_when_something_is_stored(send: Feed, sim: Instance) -> None:
    cursor = sim.cursor()
    answers: list[Answer] = []
    asking = threading.Thread(
        target=lambda: answers.append(send("GET", f"{PATH}?after={cursor}&wait={PATIENCE_S}"))
    )
    asking.start()
    sim.append(Event("first"))
    asking.join(PATIENCE_S)
    assert got(answers[0]) == (["first"], sim.cursor())


def test_a_poll_holds_no_thread_and_answers_in_its_own_form(archive: Archive, sim: Instance) -> None:
    core = Application(archive)
    pending = poll(core, f"after={sim.cursor()}&wait=60&form=2016")
    assert not pending.future.done()
    sim.append(Event("first", generation_time=1))
    response = pending.wait()
    assert isinstance(response.body, bytes)
    assert b'"generationTimeUTC"' in response.body


def test_a_poll_whose_time_is_over_answers_the_same_cursor(send: Feed, sim: Instance) -> None:
    sim.append(Event("first"))
    cursor = sim.cursor()
    assert got(send("GET", f"{PATH}?after={cursor}&wait=0.01")) == ([], cursor)


def test_a_poll_for_stored_events_is_answered_at_once(send: Feed, sim: Instance) -> None:
    cursor = sim.cursor()
    sim.append(Event("first"))
    assert got(send("GET", f"{PATH}?after={cursor}&wait=300"))[0] == ["first"]


def test_more_polls_than_may_wait_are_a_503_and_places_are_given_back(
    archive: Archive, sim: Instance
) -> None:
    core = Application(archive, polls_max=2)
    waiting = [poll(core, f"after={sim.cursor()}&wait=60") for _ in range(2)]

    def refused() -> bool:
        begun = core.begin(Head("GET", PATH, f"after={sim.cursor()}&wait=60"))
        assert isinstance(begun, Exchange)
        answer = begun.run(b"")
        if isinstance(answer, Pending):
            answer.future.cancel()
            return False
        assert answer.status == 503
        assert [value for name, value in answer.headers if name == "retry-after"] == ["1"]
        return True

    assert refused()
    assert waiting[0].future.cancel()  # as an adapter does when the client disconnects
    assert not refused()
    sim.append(Event("first"))
    assert waiting[1].wait().status == 200
    assert not refused()
    assert not refused()


def test_an_embedded_wsgi_application_has_the_bound_that_it_was_given(
    archive: Archive, sim: Instance
) -> None:
    app = create_app(archive, polls_max=1)
    answers: list[Answer] = []
    send = wsgi_feed(archive, app)
    target = f"{PATH}?after={sim.cursor()}&wait=60"
    threads = [threading.Thread(target=lambda: answers.append(send("GET", target))) for _ in range(3)]
    for thread in threads:
        thread.start()
    while len(answers) < 2:  # two of them are refused, whatever their order
        threads[0].join(0.01)
    sim.append(Event("first"))
    for thread in threads:
        thread.join(PATIENCE_S)
    assert sorted(answer.status for answer in answers) == [200, 503, 503]


def test_when_serving_ends_every_poll_is_answered_and_new_ones_are_refused(
    archive: Archive, sim: Instance
) -> None:
    core = Application(archive)
    cursor = sim.cursor()
    waiting = [poll(core, f"after={cursor}&wait=300") for _ in range(3)]
    core.end_polls()
    assert [pending.wait().status for pending in waiting] == [200, 200, 200]
    begun = core.begin(Head("GET", PATH, f"after={cursor}&wait=300"))
    assert isinstance(begun, Exchange)
    answer = begun.run(b"")
    assert isinstance(answer, Response)
    assert answer.status == 503


def test_a_poll_over_an_archive_that_closes_is_a_503(archive: Archive, sim: Instance) -> None:
    pending = poll(Application(archive), f"after={sim.cursor()}&wait=300")
    archive.close()
    assert pending.wait().status == 503


Step = Callable[[Archive, Instance], Any]


def test_no_step_between_two_pages_makes_an_event_come_twice_or_never(tmp_path: Path) -> None:
    # Small blocks, so that every page meets block edges.
    options = Options(block_events_max=8, run_events_min=4, maintenance=False)
    seen: list[str] = []
    stored: list[str] = []
    cursor: str | None = None
    between = ("nothing", "settle", "compact", "late", "reopen", "kill")
    for turn in range(18):
        with Archive.open(tmp_path / "a", options=options) as archive:
            sim = archive.instance("sim", create=True)
            what = between[turn % len(between)]
            messages = [f"{turn}/{n}" for n in range(11)]
            first = -1000 * turn if what == "late" else 1000 * turn
            sim.append_many(
                Event(message, generation_time=first + n) for n, message in enumerate(messages[:6])
            )
            for n, message in enumerate(messages[6:]):
                sim.append(Event(message, source="late", generation_time=first - 3 * n))
            stored += messages
            if what in ("settle", "compact"):
                getattr(sim, what)()
            after = "" if cursor is None else f"&after={cursor}"
            messages, cursor = got(core_feed(archive)("GET", f"{PATH}?limit=7{after}"))
            seen += messages
        if what == "kill":
            child = start(
                """
                archive = Archive.open(sys.argv[1])
                archive.instance("sim").append(Event("before the kill", generation_time=-7))
                print("stored", flush=True)
                sys.stdin.read()
                """,
                tmp_path / "a",
            )
            try:
                assert child.stdout is not None
                assert child.stdout.readline() == "stored\n"
                stored.append("before the kill")
            finally:
                os.kill(child.pid, 9)
                child.communicate(timeout=WAIT_S)
    with Archive.open(tmp_path / "a", options=options) as archive:
        send = core_feed(archive)
        seen += [message for messages, _ in pages(send, cursor) for message in messages]
        assert seen == stored
        assert [message for messages, _ in pages(send) for message in messages] == stored
