"""Which parts of a message are masked, and that digits alone never decide."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yamcs_archive.pass_report.analysis.masking import template_of
from yamcs_archive.pass_report.limits import MESSAGE_CHARACTERS_MAX


@pytest.mark.parametrize(
    ("message", "template"),
    [
        ("Wheel 3 over speed", "Wheel <n> over speed"),
        ("x=-5 (3)-4 a-1 +7", "x=<n> (<n>)-<n> a-<n> <n>"),
        ("1.5 2e-05 3E+7 1.2.3 0.5.", "<n> <n> <n> <n> <n>."),
        ("12% of 1,234", "<n>% of <n>,<n>"),
        ("RW1_Temp2 of AOCS3", "RW<n>_Temp<n> of AOCS<n>"),
        ("flags 0x1F 0XFF 0x", "flags <hex> <hex> <n>x"),
        ("hash deadbeef01 cafe0 deadbeefcafe 1234567890", "hash <hex> cafe<n> deadbeefcafe <n>"),
        ("id 123e4567-e89b-12d3-a456-426614174000.", "id <uuid>."),
        ("10.0.0.1 10.0.0.7:80 1.2.3.4.5", "<address> <address> <n>"),
        ("00:1b:44:11:3a:b7 fe80::1 2001:db8:0:0:0:0:2:1 00-1B-44-11-3A-B7", " ".join(["<address>"] * 4)),
        ("std::vector add::x a:b", "std::vector add::x a:b"),
        ("2026-11-30T10:00:00Z 2026-11-30T10:00:00.123456+01:00", "<time>"),
        ("2026-11-30 10:00:00,5 end", "<time> end"),
        ("2026-327T12:00:00Z at 23:59:59.9 on 30/11/2026 2026/11/30", "<time> at <time> on <time>"),
        ("/YSS/SIMULATOR/BatteryVoltage2 'SET MODE'", "/YSS/SIMULATOR/BatteryVoltage<n> 'SET MODE'"),
        ("nan inf None", "nan inf None"),
        ("٣ ½ Ⅳ", "٣ ½ Ⅳ"),
        ("two  spaces\tand\n3 lines", "two  spaces\tand\n<n> lines"),
        ("<n> stays", "<n> stays"),
        ("", ""),
    ],
)
def test_masks(message: str, template: str) -> None:
    assert template_of(message) == template


@given(st.text("0123456789abfx-+.:/TZ <>é\0", max_size=60), st.randoms())
def test_digits_alone_never_decide(message: str, rng: object) -> None:
    other = "".join(str((int(each) + 7) % 10) if each in "0123456789" else each for each in message)
    assert template_of(other) == template_of(message)
    assert not any(each in "0123456789" for each in template_of(message))


@pytest.mark.parametrize(
    "size", [MESSAGE_CHARACTERS_MAX - 1, MESSAGE_CHARACTERS_MAX, MESSAGE_CHARACTERS_MAX + 1]
)
@pytest.mark.parametrize("letter", ["a", "é", "😀"])
def test_a_long_message_is_cut(size: int, letter: str) -> None:
    found = template_of(letter * size)
    if size > MESSAGE_CHARACTERS_MAX:
        assert found == letter * MESSAGE_CHARACTERS_MAX + "…"
    else:
        assert found == letter * size


@pytest.mark.parametrize(
    "part", ["a", "0", "a:", "0.", "f0", "0::", "0a-", "-0", "+", "0e", "0000-00-", ":0"]
)
def test_no_message_takes_long(part: str) -> None:
    begun = time.process_time()
    template_of(part * (1 << 20))
    assert time.process_time() - begun < 5  # a quadratic mask would take minutes for a message of 1 MiB
