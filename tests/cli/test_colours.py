"""Colours: where there are any, and whether people of any colour vision tell them apart."""

from itertools import combinations
from pathlib import Path

import pytest

from tests.cli.terminal import Terminal
from yamcs_archive import Archive, Event, Severity
from yamcs_archive.cli.colours import ORANGE, TEAL, VIOLET

Rgb = tuple[float, float, float]

# Machado, Oliveira and Fernandes, "A Physiologically-based Model for Simulation of Color Vision Deficiency"
# (2009), severity 1.0, for linear RGB.
VISIONS = {
    "all cones": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    "protanopia": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "deuteranopia": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
    "tritanopia": (
        (1.255528, -0.076749, -0.178779),
        (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.303900),
    ),
}
XYZ = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))
WHITE = (0.9505, 1.0, 1.089)


def linear(number: int) -> Rgb:
    """The linear RGB of a colour of the cube within the 256 colours."""
    levels = [0, 95, 135, 175, 215, 255]
    values = [levels[(number - 16) // step % 6] / 255 for step in (36, 6, 1)]
    red, green, blue = (
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in values
    )
    return red, green, blue


def times(matrix: tuple[Rgb, ...], vector: Rgb) -> Rgb:
    one, two, three = (sum(a * b for a, b in zip(row, vector, strict=True)) for row in matrix)
    return one, two, three


def lab(colour: Rgb) -> Rgb:
    within = times(XYZ, (min(1, max(0, colour[0])), min(1, max(0, colour[1])), min(1, max(0, colour[2]))))
    x, y, z = (
        value ** (1 / 3) if value > 0.008856 else 7.787 * value + 16 / 116
        for value in (part / white for part, white in zip(within, WHITE, strict=True))
    )
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


@pytest.mark.parametrize("vision", VISIONS)
def test_the_hues_differ_for_everybody(vision: str) -> None:
    seen = [lab(times(VISIONS[vision], linear(number))) for number in (TEAL, ORANGE, VIOLET)]
    for one, other in combinations(seen, 2):
        # A difference of 2.3 is just noticed; these are more than twenty times that.
        assert sum((a - b) ** 2 for a, b in zip(one, other, strict=True)) ** 0.5 > 50


@pytest.mark.parametrize("number", [TEAL, ORANGE, VIOLET])
def test_the_hues_are_legible_on_black_and_on_white(number: int) -> None:
    luminance = times(XYZ, linear(number))[1]
    # 3 is what WCAG 2 asks of large text and of graphics; the word itself says the severity.
    assert (luminance + 0.05) / 0.05 >= 3
    assert 1.05 / (luminance + 0.05) >= 3


@pytest.fixture
def graded(data: Path) -> Path:
    with Archive.open(data) as archive:
        archive.instance("sim").append_many(
            Event(f"m{n}", severity=severity, generation_time=n) for n, severity in enumerate(Severity)
        )
    return data


def shown(data: Path, *options: str, **environment: str) -> str:
    given = {"TERM": "xterm-256color", "PAGER": "cat", "NO_COLOR": "", "COLORTERM": ""} | environment
    log = ("-m", "yamcs_archive", "events", "log", "--data", data, *options)
    terminal = Terminal(*log, whole=True, environment=given)
    assert terminal.end() == 0
    return terminal.sent


def test_a_terminal_shows_each_severity_in_its_own_way(graded: Path) -> None:
    for term in ("xterm-256color", "linux"):
        lines = shown(graded, TERM=term).splitlines()[1:]
        words = [line[: line.index(" 1970")] for line in lines]
        marks = {word.strip().split("m")[0] if "\x1b" in word else "" for word in words}
        assert len(marks) == (6 if term == "xterm-256color" else 5)  # SEVERE and ERROR are shown alike
        for line, severity in zip(lines, Severity, strict=True):
            assert (severity.name if severity is not Severity.ERROR else "SEVERE") in line
    plain = shown(graded, "--color", "never").splitlines()
    coloured = shown(graded, "--color", "always", TERM="dumb").splitlines()
    assert [line.index("MESSAGE") for line in plain[:1]] == [line.index("MESSAGE") for line in coloured[:1]]
    assert "\x1b" not in "".join(plain)
    assert "\x1b" in "".join(coloured)


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=str)
def test_no_colours_where_none_are_wanted(graded: Path, environment: dict[str, str]) -> None:
    assert "\x1b" not in shown(graded, **environment)
