"""Stored bytes stay readable: archives of every format version, read by the package and a second reader."""

from __future__ import annotations

import ast
import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.golden import every_form, make
from tests.golden.forms import EARLIER, FORMS
from tests.golden.make import contents
from tests.golden.reader import read
from yamcs_archive import Archive, Event, EventKey, Options, Severity
from yamcs_archive.errors import RequestIdError
from yamcs_archive.instance import Instance
from yamcs_archive.results import MirrorState
from yamcs_archive.storage.disk import lmdb_open
from yamcs_archive.storage.format import block_part_encoder, integers, zone_maps
from yamcs_archive.storage.format.meta import FORMAT_VERSION

VERSIONS = sorted(path for path in make.HERE.iterdir() if re.fullmatch(r"v\d+", path.name))
GOLDEN = [path.parent for version in VERSIONS for path in sorted(version.rglob("content.json"))]
ORDINARY_ARCHIVE = make.HERE / f"v{FORMAT_VERSION}"
FORMS_ARCHIVE = ORDINARY_ARCHIVE / "forms"
OF_FORMS = [path for path in GOLDEN if "forms" in json.loads((path / "content.json").read_text())]
"""The archives of all versions that have an instance with every form."""
AT_REST = Options(maintenance=False)
READER = ("reader", "agreement", "log", "texts", "records", "blocks", "values")
"""The modules of the second reader; each imports only those after it."""
ELSEWHERE = {"lmdb", "msgpack", "zstandard"}
FORMAT = (Path(__file__).parent.parent / "docs" / "format.md").read_text()


def expected(golden: Path) -> dict[str, Any]:
    """Return the content of a golden archive's instances, from the file that was written with it."""
    content: dict[str, Any] = json.loads((golden / "content.json").read_text())
    if "events" in content:  # the first golden archive's one instance, which has neither of these
        return {"sim": {**content, "groups": [], "requests": []}}
    return content


def as_plain(event: Event) -> dict[str, Any]:
    return {
        "time": event.generation_time,
        "source": event.source,
        "number": event.seq_number,
        "reception": event.reception_time,
        "severity": Severity(event.severity).name,
        "message": event.message,
        "type": event.type,
        "user": event.created_by,
        "extensions": event.extensions.hex(),
        "extra": event.extra,
    }


def without_forms(content: dict[str, Any]) -> dict[str, Any]:
    """Return the content without what a writer may change: how it is stored."""
    found = {}
    for name, parts in content.items():
        facts = {
            fact: value
            for fact, value in parts["meta"].items()
            if fact not in ("format", "reader", "checkpoint")
        }
        kept = {part: parts[part] for part in ("sources", "events", "commits", "requests")}
        found[name] = {"meta": facts, **kept}
    return found


def files(directory: Path) -> dict[str, bytes]:
    """Return the content of all files but the locks."""
    paths = (path for path in directory.rglob("*") if path.is_file() and "lock" not in path.name)
    return {str(path.relative_to(directory)): path.read_bytes() for path in paths}


def without_commit(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in event.items() if name != "commit"} for event in events]


def assert_reads_as(instance: Instance, content: dict[str, Any]) -> None:
    """Assert that the package finds everything in an instance that the second reader finds."""
    assert list(map(as_plain, instance.events())) == without_commit(content["events"])
    commits = [commit for commit in content["commits"] if commit["events"]]
    assert [[*change.event.key] for change in instance.changes()] == [
        key for commit in commits for key in commit["events"]
    ]
    assert [[commit.time, [[*event.key] for event in commit.events]] for commit in instance.commits()] == [
        [commit["time"], commit["events"]] for commit in commits
    ]
    assert {name: [*vars(state).values()] for name, state in instance.stats().sources.items()} == {
        name: state for name, state in content["sources"].items() if state[1] is not None
    }
    mirrored = content["meta"].get("mirrored")
    assert instance.mirrored == (None if mirrored is None else MirrorState(*mirrored))


def test_there_is_a_golden_archive_of_the_version_at_hand() -> None:
    assert f"v{FORMAT_VERSION}" in [path.name for path in VERSIONS]
    assert f"# The format on disk, version {FORMAT_VERSION}\n" in FORMAT


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda path: str(path.relative_to(make.HERE)))
def test_a_golden_archive_reads_as_on_the_day_it_was_written(golden: Path, tmp_path: Path) -> None:
    content = expected(golden)
    copy = Path(shutil.copytree(golden / "archive", tmp_path / "archive"))
    assert contents(copy) == content
    before = files(copy)
    with Archive.open(copy, readonly=True) as archive:
        assert archive.instances() == sorted(content)
        for name in archive.instances():
            assert_reads_as(archive.instance(name), content[name])
    assert files(copy) == before
    for _ in range(2):  # the first writer has made it an archive of the version at hand
        with Archive.open(copy, options=AT_REST) as archive:
            for name in archive.instances():
                assert_reads_as(archive.instance(name), content[name])
        found = contents(copy)
        assert without_forms(found) == without_forms(content)
        assert {parts["meta"]["format"] for parts in found.values()} == {FORMAT_VERSION}


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda path: str(path.relative_to(make.HERE)))
def test_a_golden_archive_is_whole_and_can_be_written_to(golden: Path, tmp_path: Path) -> None:
    """A log that was torn goes on in a new segment, and ends as a checkpoint."""
    copy = Path(shutil.copytree(golden / "archive", tmp_path / "archive"))
    for name, parts in expected(golden).items():
        with Archive.open(copy, options=AT_REST) as archive:
            instance = archive.instance(name)
            verified = instance.verify()
            assert verified is not None
            # One count of a source counts pruned events, which is a form that is not written any more.
            assert {fault.where for fault in verified.faults} <= {"sources P"}
            more = [] if instance.mirrored else [Event("new", generation_time=10**12, seq_number=1)]
            instance.append_many(more)
        times = sorted([each["time"] for each in parts["events"]] + [event.generation_time for event in more])
        assert [each["time"] for each in read(copy / name)["events"]] == times
        with Archive.open(copy, options=AT_REST) as archive:
            archive.instance(name).settle()
        settled = read(copy / name)
        assert settled["forms"]["young"] == 0
        assert [each["time"] for each in settled["events"]] == times


def test_the_golden_archives_hold_every_form_that_the_page_names() -> None:
    met: set[str] = set()
    for golden in GOLDEN:
        contents(golden / "archive", met)
    assert met == set().union(*FORMS.values())


def test_the_first_writer_removes_the_remains_of_crashes(tmp_path: Path) -> None:
    shutil.copytree(FORMS_ARCHIVE / "archive", tmp_path / "archive")
    instance = tmp_path / "archive" / "forms"
    there = {path.name for path in instance.iterdir()}
    with Archive.open(tmp_path / "archive", readonly=True) as archive:
        archive.instance("forms")
    assert {path.name for path in instance.iterdir()} == there
    with Archive.open(tmp_path / "archive") as archive:
        archive.instance("forms")
    assert there - {path.name for path in instance.iterdir()} == {"gen-3", ".gen-1.old", ".CURRENT.new"}


def test_no_summary_hides_an_event_of_the_golden_archive(tmp_path: Path) -> None:
    """A query skips blocks by the zone maps of blocks and groups, which have names or hashes of sources."""
    shutil.copytree(FORMS_ARCHIVE / "archive", tmp_path / "archive")
    content = expected(FORMS_ARCHIVE)["forms"]
    events = without_commit(content["events"])
    with Archive.open(tmp_path / "archive", readonly=True) as archive:
        forms = archive.instance("forms")
        for source in content["sources"]:
            wanted = [event for event in events if event["source"] == source]
            for descending in (False, True):
                found = map(as_plain, forms.events(sources=[source], descending=descending))
                assert list(found) == (wanted[::-1] if descending else wanted)
        for severity in Severity:
            wanted = [event for event in events if Severity[event["severity"]] >= severity]
            assert list(map(as_plain, forms.events(min_severity=severity))) == wanted
        for text in ("strasse", "höhe", "SPÄTER", "fi", '"\\'):
            wanted = [event for event in events if text.casefold() in event["message"].casefold()]
            assert wanted
            assert list(map(as_plain, forms.events(text=text))) == wanted


def test_requests_of_the_golden_archive_get_their_first_answer_again(tmp_path: Path) -> None:
    shutil.copytree(FORMS_ARCHIVE / "archive", tmp_path / "archive")
    found = {(user, name): key for user, name, _, _, key in expected(FORMS_ARCHIVE)["forms"]["requests"]}
    clock = Options(clock=lambda: 1_767_225_700_000_000, maintenance=False)
    with Archive.open(tmp_path / "archive", options=clock) as archive:
        forms = archive.instance("forms")
        for user, name in (("", "boot"), ("", "met as a retry"), ("né", "a/ü/0")):
            stored = forms.get(EventKey(*found[user, name]))
            assert stored is not None
            # As in the first requests: "boot" had no number, and the request of several events no times
            # either.
            left: dict[str, Any] = {} if name == "met as a retry" else {"seq_number": None}
            asked = msgspec.structs.replace(stored, **left)
            if user:
                asked = msgspec.structs.replace(asked, generation_time=None)
            done = forms.append(asked, request_id=name)
            assert (done.duplicate, done.event) == (True, stored)
            with pytest.raises(RequestIdError):
                forms.append(msgspec.structs.replace(asked, message="other"), request_id=name)


def test_events_before_the_horizon_of_the_golden_archive_are_not_found(tmp_path: Path) -> None:
    shutil.copytree(FORMS_ARCHIVE / "archive", tmp_path / "archive")
    content = expected(FORMS_ARCHIVE)["pruned"]
    with Archive.open(tmp_path / "archive", readonly=True) as archive:
        pruned = archive.instance("pruned")
        got = {name: pruned.get(EventKey(*key)) for _, name, _, _, key in content["requests"]}
    assert [name for name, event in got.items() if event is None] == ["block/0", "block/1", "block/2", "gone"]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Path]:
    """Archives written by the code of today, by the golden archive with the same events."""
    fills = {ORDINARY_ARCHIVE: make.fill, FORMS_ARCHIVE: every_form.fill}
    found = {golden: tmp_path_factory.mktemp("written") / "archive" for golden in fills}
    for golden, archive in found.items():
        with make.before_a_start():
            fills[golden](archive)
    return found


def test_the_second_reader_reads_an_archive_of_today(written: dict[Path, Path]) -> None:
    for directory in written.values():
        found = contents(directory)
        with Archive.open(directory, readonly=True) as archive:
            assert archive.instances() == sorted(found)
            for name, content in found.items():
                assert_reads_as(archive.instance(name), content)


def test_an_archive_of_today_has_the_content_of_the_golden_one(written: dict[Path, Path]) -> None:
    """The cuts of events into blocks and of commits into records may change; their content may not."""
    for golden, directory in written.items():
        then, now = without_forms(expected(golden)), without_forms(contents(directory))
        for content in (*then.values(), *now.values()):
            if content["meta"]["instance"] == "sim":
                content["meta"]["lineage"] = None  # random, in the first golden archive
        assert now == then


def test_an_archive_of_today_has_every_form_that_the_page_names(written: dict[Path, Path]) -> None:
    met: set[str] = set()
    for directory in written.values():
        contents(directory, met)
    assert met == set().union(*FORMS.values()) - EARLIER


def test_the_second_reader_reads_a_compacted_archive(tmp_path: Path) -> None:
    make.fill(tmp_path / "archive")
    with Archive.open(tmp_path / "archive") as archive:
        archive.instance("sim").settle()
    settled = read(tmp_path / "archive" / "sim")
    with Archive.open(tmp_path / "archive") as archive:
        archive.instance("sim").compact()
    assert not (tmp_path / "archive" / "sim" / "gen-1").exists()
    assert read(tmp_path / "archive" / "sim") == settled


def test_the_second_reader_knows_nothing_of_the_package() -> None:
    """Nor of the modules that write golden archives: it imports only its own modules and foreign packages."""
    own = {"tests.golden"} | {f"tests.golden.{name}" for name in READER}
    for name in READER:
        tree = ast.parse((make.HERE / f"{name}.py").read_text())
        found = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        found |= {each.name for node in ast.walk(tree) if isinstance(node, ast.Import) for each in node.names}
        inside = {module for module in found if module.split(".")[0] in ("tests", "yamcs_archive")}
        assert inside <= own, name
        assert {module.split(".")[0] for module in found - inside} <= ELSEWHERE | sys.stdlib_module_names


def test_the_page_names_the_constants_of_the_code() -> None:
    for name in (*lmdb_open.DATABASES, lmdb_open.TEXTS):
        assert f"| `{name}` |" in FORMAT
    assert block_part_encoder.HEADER.size == 32
    assert "| 32 | |" in FORMAT
    assert [f"{severity.name} {severity.value}" in FORMAT.replace("\n", " ") for severity in Severity] == [
        True
    ] * 7
    assert (zone_maps.BLOCK_LEVEL, zone_maps.GROUP_LEVEL) == (b"\0", b"\1")
    assert integers._WIDTHS == (1, 2, 4, 8)


def test_every_section_of_the_forms_is_one_of_the_page() -> None:
    headings = set(re.findall(r"^## (.+)$|^\*\*(.+?)\.?\*\*", FORMAT, re.MULTILINE))
    assert FORMS.keys() <= {name for pair in headings for name in pair}
