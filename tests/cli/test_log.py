"""``events log``: its choice of events, their order and their form, from a directory and from a URL."""

import resource
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from tests.child import ROOT, WAIT_S, stopping
from tests.cli.conftest import Run
from tests.server.at_hand import at_hand
from yamcs_archive import Archive, Event, Severity
from yamcs_archive.limits import MESSAGE_BYTES_MAX, TIME_MAX_US, TIME_MIN_US


@pytest.fixture
def filled(data: Path) -> Path:
    """Twenty events, one second apart; the odd ones are from AOCS, with rising severities."""
    severities = list(Severity)
    with Archive.open(data) as archive:
        archive.instance("sim").append_many(
            Event(
                f"Step {n}",
                source="AOCS" if n % 2 else "EPS",
                severity=severities[n % len(severities)] if n % 2 else Severity.INFO,
                generation_time=n * 1_000_000,
                reception_time=0,
                type="odd" if n % 2 else 'of "two" \\ kinds',
            )
            for n in range(20)
        )
    return data


def steps(run: Run, *options: object) -> list[int]:
    """The numbers of the steps in a log of JSON lines."""
    ran = run("events", "log", "--format", "jsonl", *options)
    assert (ran.status, ran.err) == (0, "")
    return [int(msgspec.json.decode(line)["message"].split()[1]) for line in ran.out.splitlines()]


def test_the_newest_ten_are_shown_oldest_first(run: Run, filled: Path) -> None:
    assert steps(run, "--data", filled) == list(range(10, 20))


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        (("-n", "3"), [17, 18, 19]),
        (("-n", "3", "--reverse"), [19, 18, 17]),
        (("--lines", "0"), []),
        (("--lines", "all"), list(range(20))),
        (("-n", "all", "--reverse"), list(range(19, -1, -1))),
        (("-s", "1970-01-01T00:00:05Z"), list(range(5, 20))),
        (("-u", "1970-01-01T00:00:05Z"), list(range(5))),
        (("-s", "1970-001T00:00:05Z", "-u", "1970-01-01T01:00:08+01:00"), [5, 6, 7]),
        (("-s", "1970-01-01T00:00:05Z", "-n", "2"), [18, 19]),
        (("-u", "1970-01-01T00:00:05Z", "-n", "2"), [3, 4]),
        (("--source", "AOCS", "-n", "2"), [17, 19]),
        (("--filter", 'source=aocs "step 1"'), [1, 11, 13, 15, 17, 19]),
        (("--type", "odd", "--filter", "11 OR 12 -- whichever"), [11]),
        (("--type", "ODD", "--type", 'of "two" \\ kinds', "-n", "3"), [17, 18, 19]),
        (("--type", "odd", "--filter", "-- nothing", "-n", "1"), [19]),
        (("--source", "AOCS", "--source", "EPS", "-n", "2"), [18, 19]),
        (("--source", "nosuch"), []),
        (("--severity", "watch", "--lines", "all"), [1, 3, 5, 9, 11, 13, 15, 17, 19]),
        (("--filter", "-odd", "-n", "2"), [16, 18]),
        (("--filter", "-aocs -18", "-n", "2"), [14, 16]),
        (("-s", "@5", "-u", "@7.5"), [5, 6, 7]),
        (("-s", "1h"), []),
        (("-n", str(2**63 - 1)), list(range(20))),
        (("-n", str(2**63 - 1), "--reverse"), list(range(19, -1, -1))),
        (("--first", "3"), [0, 1, 2]),
        (("--first", "0"), []),
        (("--first", str(2**63 - 1), "-s", "@17"), [17, 18, 19]),
        (("--first", "3", "-s", "@5"), [5, 6, 7]),
        (("--first", "3", "-s", "@5", "-u", "@7"), [5, 6]),
        (("--first", "2", "--source", "AOCS", "--severity", "watch"), [1, 3]),
        (("--first", "2", "--filter", "-odd", "-s", "@3"), [4, 6]),
        (("--first", "1", "--type", "odd", "-s", "@20"), []),
    ],
)
def test_options_choose_the_events_that_are_shown(
    run: Run, filled: Path, options: tuple[str, ...], shown: list[int]
) -> None:
    assert steps(run, "--data", filled, *options) == shown


def test_different_texts_look_different_in_the_table(run: Run, data: Path) -> None:
    texts = ["a\nb", "a\\nb", "a\\\nb", "a\\\\nb", "a\x1bb", "a\\x1bb", "a\u2028b", "a\\u2028b", "C:\\tmp"]
    texts += ["a\u00a0b", "a b", "a\u3000b", "a\u202eb", "a\tb", "\x85", "é\U0001f680"]
    with Archive.open(data) as archive:
        archive.instance("sim").append_many(
            Event(text, source=f"S{text}", type=text, generation_time=n) for n, text in enumerate(texts)
        )
    lines = run("events", "log", "--data", data, "-n", "all").out.split("\n")[1:-1]
    shown = [line[line.index("Z") + 1 :].strip() for line in lines]
    assert len(set(shown)) == len(texts)
    assert "a\u00a0b" in shown[9]  # a blank of another width is no control character
    assert "a\u3000b" in shown[11]
    assert r"a\\nb" in shown[1]
    assert r"a\nb" in shown[0]
    for line in lines:
        assert not any(ord(character) < 0x20 or character in "\x7f\x85\u2028\u202e" for character in line)


def test_a_table_has_a_header_and_a_dash_for_a_missing_value(run: Run, data: Path) -> None:
    with Archive.open(data) as archive:
        archive.instance("sim").append_many(
            [
                Event("short", source="S", type="T", generation_time=0),
                Event(
                    "a longer\nmessage \x1b[2J", source="Source", severity=Severity.WATCH, generation_time=1
                ),
                Event("", generation_time=-1_000),
            ]
        )
    severity, time, message = "{:8}  ".format, "{:27}  ".format, "{:25}  ".format
    assert run("events", "log", "--data", data).out.splitlines() == [
        severity("SEVERITY") + time("TIME") + message("MESSAGE") + "SOURCE  TYPE",
        severity("INFO") + time("1969-12-31T23:59:59.999Z") + message("-") + "User    -",
        severity("INFO") + time("1970-01-01T00:00:00Z") + message("short") + "S       T",
        severity("WATCH")
        + time("1970-01-01T00:00:00.000001Z")
        + r"a longer\nmessage \x1b[2J  "
        + "Source  -",
    ]


def test_local_times_are_shown_when_asked_for_and_where_there_are_any(data: Path) -> None:
    with Archive.open(data) as archive:
        archive.instance("sim").append_many(
            Event("a", generation_time=time) for time in (TIME_MIN_US, 0, TIME_MAX_US)
        )
    shown = subprocess.run(
        [sys.executable, "-m", "yamcs_archive", "events", "log", "--data", str(data), "--local"],
        cwd=ROOT,
        env={"TZ": "UTC-9"},  # nine hours ahead, by the sign that POSIX gives it
        capture_output=True,
        text=True,
        check=True,
        timeout=WAIT_S,
    ).stdout.splitlines()
    assert "1970-01-01 09:00:00+09:00" in shown[2]
    assert "9999-12-31T23:59:59.999999Z" in shown[3]  # the local year would be 10000


def test_json_is_one_array_as_the_api_answers(run: Run, data: Path) -> None:
    assert run("events", "log", "--data", data, "--format", "json").out == "[]\n"
    with Archive.open(data) as archive:
        for number in range(2):
            archive.instance("sim").append(Event("é", source="S", generation_time=number, reception_time=0))
    out = run("events", "log", "--data", data, "--format", "json").out
    assert [event["seqNumber"] for event in msgspec.json.decode(out)] == [0, 1]
    assert out.splitlines()[:3] == ["[", "  {", '    "source": "S",']
    assert out.splitlines()[8:10] == ["  },", "  {"]


def test_a_url_gives_the_same_output_as_its_directory(run: Run, filled: Path) -> None:
    with at_hand(filled) as served:
        for form in ("table", "json", "jsonl"):
            for options in (
                (),
                ("-n", 3, "--reverse"),
                ("-n", 0),
                ("-s", "1970-01-01T00:00:05Z", "-n", 1000),
                ("-s", "1970-01-01T00:00:05Z", "-u", "1970-01-01T00:00:09Z"),
                ("-n", "all", "--source", "AOCS"),
                ("--filter", "step 1", "--severity", "watch"),
                ("--filter", "-odd", "-n", 3),
                ("--first", 0),
                ("--first", 3, "-s", "@5"),
                ("--first", 1000, "-u", "@5"),
                ("-n", 2**63 - 1),
                ("--first", 2**63 - 1),
            ):
                here, there = (
                    run("events", "log", *place, *options, "--format", form)
                    for place in (("--data", filled), ("--url", served.url))
                )
                assert here == there
                assert here.status == 0


def test_a_url_shows_any_number_of_events(run: Run, data: Path) -> None:
    with Archive.open(data) as archive:
        archive.instance("sim").append_many(
            Event(f"Step {n}", source=f"S{n % 7}", generation_time=n // 10 * 1_000_000) for n in range(2500)
        )
    with at_hand(data) as served:
        for options in (
            *(("-n", "all"), ("-n", 2300), ("-n", 1001, "--reverse"), ("-n", "all", "--reverse")),
            *(("--first", n) for n in (999, 1000, 1001, 2000, 2500)),
        ):
            here, there = (
                steps(run, *place, *options) for place in (("--data", data), ("--url", served.url))
            )
            assert here == there
            assert len(here) == (2500 if "all" in options else options[1])


def test_a_url_shows_all_that_are_asked_for_also_where_a_page_holds_fewer(run: Run, data: Path) -> None:
    text = "x" * (MESSAGE_BYTES_MAX - 10)
    with Archive.open(data) as archive:
        archive.instance("sim").append_many(Event(f"Step {n} {text}", generation_time=n) for n in range(19))
    with at_hand(data) as served:
        assert steps(run, "--url", served.url, "-n", 18) == list(range(1, 19))


def test_a_reader_that_leaves_is_not_complained_about(filled: Path) -> None:
    command = [sys.executable, "-m", "yamcs_archive", "events", "log", "--data", str(filled), "-n", "all"]
    with stopping(
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(60) == 1
        assert process.stderr is not None
        assert process.stderr.read() == ""


@pytest.mark.parametrize("form", ["table", pytest.param("jsonl", marks=pytest.mark.long), "json"])
def test_memory_stays_bounded_however_much_is_shown(data: Path, form: str) -> None:
    size_bytes, count = 1 << 20, 200
    with Archive.open(data) as archive:
        archive.instance("sim").append_many(Event("x" * size_bytes, generation_time=n) for n in range(count))
    program = (
        "import resource, sys; from yamcs_archive.cli.main import main; main(sys.argv[1:]);"
        "print(open('/proc/self/status').read().split('RssAnon:')[1].split()[0], file=sys.stderr)"
    )
    child = subprocess.run(
        [sys.executable, "-c", program, "events", "log", "--data", str(data), "-n", "all", "--format", form],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=True,
        timeout=WAIT_S,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (150 << 20,) * 2),
    )
    assert int(child.stderr) < 150 << 10
