"""A day of a spacecraft's events, and its telemetry: simulated, and the same on every machine.

    python docs/notebooks/simulated_day.py DIRECTORY    # DIRECTORY/archive, and DIRECTORY/telemetry.csv

A small spacecraft in an orbit of 95 minutes. Its wheels warm up in sunlight; the third one runs hot in the
afternoon, is over its speed limit from time to time, and at 16:41 it trips, which ends in the safe mode. Some
events are lost on their way to the ground, so that their numbers are missing, and the clock of the ground
station is wrong at the beginning of one pass.
"""

from __future__ import annotations

import csv
import math
import random
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from yamcs_archive import Archive, Event, Severity

DAY = datetime(2026, 11, 23, tzinfo=UTC)
ORBIT = timedelta(minutes=95)
PASS = timedelta(minutes=11)
"""How long the ground station sees the spacecraft in each orbit."""
TRIP = DAY + timedelta(hours=16, minutes=41)
SPEED_MAX_RPM = 6_000
_LOST = (range(412, 420), range(871, 884))
"""Numbers of the events of AOCS that the link lost."""


class Sample(NamedTuple):
    """A line of telemetry: what wheel 3 does."""

    time: datetime
    speed_rpm: float
    temperature_c: float


def telemetry() -> list[Sample]:
    """Return a sample for every ten seconds of the day."""
    rng = random.Random(3)
    samples, temperature = [], 21.0
    for n in range(8_640):
        time = DAY + timedelta(seconds=10 * n)
        orbit = (time - DAY) / ORBIT * 2 * math.pi
        hot = 1.0 if timedelta(hours=13) <= time - DAY < TRIP - DAY else 0.0
        safe = TRIP <= time < TRIP + timedelta(minutes=80)
        speed = 0.0 if safe else 4_600 + 900 * math.sin(orbit) + 620 * hot + rng.gauss(0, 60)
        target = 21 + 6 * math.sin(orbit) + speed / 900 + 9 * hot
        temperature += (target - temperature) / 60 + rng.gauss(0, 0.02)
        samples.append(Sample(time, round(speed, 1), round(temperature, 2)))
    return samples


def events(samples: list[Sample]) -> Iterator[Event]:
    """Yield the events of the day in the order of their times, numbered by their sources."""
    rng = random.Random(5)
    made = [*_wheel(samples), *_passes(rng), *_housekeeping(rng), *_safe_mode()]
    made.sort(key=lambda event: (event.generation_time or 0, event.source, event.message))
    numbers: dict[str, int] = {}
    for event in made:
        number = numbers[event.source] = numbers.get(event.source, -1) + 1
        if event.source == "AOCS" and any(number in lost for lost in _LOST):
            continue
        time = event.generation_time or 0
        late = 40_000_000 if "stored on board" in event.message else rng.randrange(300_000, 2_500_000)
        wrong = 7_200_000_000 if event.message == "Pass 6 begins" else 0  # by a clock that is behind
        yield Event(
            event.message,
            event.source,
            event.severity,
            event.type,
            time - wrong,
            number,
            time + late,
            extra=event.extra,
        )


def _wheel(samples: list[Sample]) -> Iterator[Event]:
    over = False
    for n, sample in enumerate(samples):
        if (sample.speed_rpm > SPEED_MAX_RPM) is not over:
            over = not over
            severity = Severity.WARNING if over else Severity.INFO
            text = f"Wheel 3 {'over' if over else 'back below'} {SPEED_MAX_RPM} rpm"
            yield Event.at(
                sample.time,
                text,
                source="AOCS",
                severity=severity,
                type="WHEEL",
                extra={"rpm": f"{sample.speed_rpm}"},
            )
        if n % 6 == 0:
            yield Event.at(sample.time, "Attitude nominal", source="AOCS", type="MODE")
        if sample.temperature_c > 36 and n % 12 == 0:
            text = f"Wheel 3 is hot: {sample.temperature_c:.1f} C"
            yield Event.at(sample.time, text, source="THERMAL", severity=Severity.WATCH, type="TEMPERATURE")


def _passes(rng: random.Random) -> Iterator[Event]:
    for number in range(15):
        start = DAY + timedelta(minutes=20) + number * ORBIT
        yield Event.at(start, f"Pass {number} begins", source="GDS", type="PASS")
        yield Event.at(start + PASS, f"Pass {number} ends", source="GDS", type="PASS")
        for _ in range(rng.randrange(20, 45)):
            text = f"Frame {rng.randrange(10**6)} has a bit error, corrected"
            yield Event.at(start + PASS * rng.random(), text, source="GDS", type="LINK")
        if number % 5 == 2:
            yield Event.at(
                start + PASS / 2, "Carrier lost", source="GDS", severity=Severity.DISTRESS, type="LINK"
            )


def _housekeeping(rng: random.Random) -> Iterator[Event]:
    for minute in range(1_440):
        time = DAY + timedelta(minutes=minute, milliseconds=rng.randrange(1_000))
        charge = 70 + 20 * math.sin(minute / 95 * 2 * math.pi)
        yield Event.at(time, f"Battery at {charge:.0f} %", source="EPS", type="HK")
        if minute % 60 == 0:
            yield Event.at(time, "Table stored on board", source="OBC", type="HK")


def _safe_mode() -> Iterator[Event]:
    yield Event.at(TRIP, "Wheel 3 tripped", source="AOCS", severity=Severity.CRITICAL, type="WHEEL")
    yield Event.at(
        TRIP + timedelta(seconds=2), "Safe mode", source="OBC", severity=Severity.SEVERE, type="MODE"
    )
    recovered = TRIP + timedelta(minutes=80)
    yield Event.at(recovered, "Nominal mode by command", source="OBC", severity=Severity.WATCH, type="MODE")


def record(directory: Path) -> int:
    """Store the day in the instance "day" of an archive, and its telemetry beside it; return the events."""
    samples = telemetry()
    with Archive.open(directory / "archive") as archive:
        stored = archive.instance("day", create=True).append_many(events(samples)).stored
    with (directory / "telemetry.csv").open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file)
        lines.writerow(Sample._fields)
        lines.writerows((sample.time.isoformat(), *sample[1:]) for sample in samples)
    return stored


if __name__ == "__main__":
    print(record(Path(sys.argv[1])), "events")
