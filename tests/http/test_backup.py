"""``GET …:backup``: the same bytes as a file's, whatever carries them; what cannot be meant is refused."""

from __future__ import annotations

import gzip
import io

import pytest

from tests.http.feeds import Feed
from tests.storage.test_backup import fill
from yamcs_archive import Archive, Event, Instance, verify_backup_stream

PATH = "/api/archive/sim:backup"


def test_a_backup_is_streamed(send: Feed, sim: Instance, archive: Archive) -> None:
    fill(sim)
    answer = send("GET", PATH)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/octet-stream")
    assert answer.headers["content-disposition"].startswith('attachment; filename="sim.')
    [check] = verify_backup_stream(io.BytesIO(answer.body).read, "-")
    assert check.manifest is not None
    assert (check.fault, check.manifest.events) == (None, 78)
    packed = send("GET", PATH, b"", {"Accept-Encoding": "gzip"})
    assert len(gzip.decompress(packed.body)) == len(answer.body)
    sim.append(Event("more"))
    more = send("GET", f"{PATH}?after={check.manifest.cursor}")
    archive.restore(io.BytesIO(answer.body + more.body).read, instance="again")
    assert list(archive.instance("again").events()) == list(sim.events())
    assert send("GET", f"{PATH}?after=").status == 200


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        (f"{PATH}?after=x", 400, "after 'x'"),
        (f"{PATH}?format=x", 400, "is not one of after"),
        ("/api/archive/nosuch:backup", 404, "No instance named"),
    ],
)
def test_what_cannot_be_meant_is_refused(send: Feed, path: str, status: int, text: str) -> None:
    answer = send("GET", path)
    assert answer.status == status
    assert text in answer.json()["msg"]


def test_another_history_is_a_409(core: Feed, sim: Instance, archive: Archive) -> None:
    other = archive.instance("other", create=True)
    answer = core("GET", f"{PATH}?after={other.cursor()}")
    assert (answer.status, answer.json()["type"]) == (409, "OtherHistoryException")
    sim.append_many([Event("a"), Event("b")])
    within = next(sim.changes()).cursor
    answer = core("GET", f"{PATH}?after={within}")
    assert answer.status == 400
    assert "lies within a commit" in answer.json()["msg"]


def test_a_head_reads_nothing(core: Feed, sim: Instance) -> None:
    answer = core("HEAD", PATH)
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["content-type"] == "application/octet-stream"
