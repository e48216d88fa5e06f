"""The messages of the workload, as data: weight, severity, type and text of each.

In a text, {0} is a parameter's name, {1} a float of 0 to 1, {2} an int of 0 to 4095.
"""

from __future__ import annotations

from typing import NamedTuple

from yamcs_archive import Severity


class Template(NamedTuple):
    """A message with placeholders, its weight, severity and type."""

    weight: float
    severity: Severity
    type: str | None
    text: str


_TABLE = """
30   INFO     CMD_ACK  Command {0} accepted on board, count {2}, verified after {1:.3f} s
24   INFO     -        Housekeeping packet {2} of {0} received, generation delay {1:.3f} s, no gap
20   INFO     TM_GAP   Frame gap closed on virtual channel {2}: replay of {0} complete, quality {1:.4f}
16   INFO     MODE     Mode transition of {0} to NOMINAL finished in {1:.2f} s (number {2})
14   WATCH    LIMIT    Parameter {0} entered its watch range: value {1:.5f}, limit set {2}, 1 violation
12   INFO     FILE     File transfer {2} for {0}: segment acknowledged, {1:.2%} of the file on ground
11   INFO     -        Time correlation updated by {0}: drift {1:.6f} s per day, coarse counter {2}
10   WARNING  LIMIT    Parameter {0} out of limits: value {1:.5f} beyond the warning range of limit set {2}
9    INFO     LIMIT    Parameter {0} back within limits: value {1:.5f}, {2} samples were out of range
8    INFO     SCHED    Activity {0} started by the on-board schedule, slot {2}, margin {1:.3f} s to the next
8    INFO     SCHED    Activity {0} finished by the on-board schedule, slot {2}, {1:.1%} of its time used
7    INFO     PASS     Ground station link of {0}: carrier lock, Eb/N0 {1:.2f} dB above, Doppler {2} Hz
6    INFO     THERMAL  Heater circuit {2} switched by {0}: measured {1:.2f} °C above its lower set point
6    WATCH    FDIR     Monitor {2} of {0} tripped once and is being filtered, confidence {1:.3f}
5    INFO     MEMORY   Memory scrub pass {2} of {0} complete: single-bit errors corrected, rate {1:.6f}
5    INFO     -        Operator note on {0}: step {2} of the procedure confirmed, elapsed {1:.1%} of the plan
4    WARNING  FDIR     Monitor {2} of {0} confirmed a failure, isolation started, confidence {1:.3f}
4    WATCH    LINK     Uplink retransmission for {0}: window stalled at frame {2}, timer at {1:.3f} s
3    WARNING  CMD_REJ  Command {0} rejected: constraint {2} is not met, evaluated in {1:.4f} s, released
3    INFO     ORBIT    Orbit event for {0}: node crossing {2} predicted with an uncertainty of {1:.4f} s
2    WARNING  POWER    Battery string {2} of {0}: discharge beyond plan, state of charge {1:.2%}, load shed
1    DISTRESS LIMIT    Parameter {0} out of limits: value {1:.5f} beyond the distress range of limit set {2}
1    INFO     SW       Task {0} restarted by the watchdog after {1:.3f} s without a heartbeat, count {2}
0.5  DISTRESS FDIR     Unit {0} switched to its redundant side, reconfiguration {2} took {1:.3f} s
0.1  CRITICAL POWER    Undervoltage on {0}: bus at {1:.4f} of nominal, converter {2} disconnected
0.1  CRITICAL MODE     Safe mode entered by {0}: trigger word {2}, attitude error {1:.4f} rad at entry
"""


def _parsed(line: str) -> Template:
    weight, severity, kind, text = line.split(maxsplit=3)
    return Template(float(weight), Severity[severity], None if kind == "-" else kind, text)


TEMPLATES = tuple(map(_parsed, _TABLE.strip().splitlines()))
