"""Some inputs for each target of ``benchmarks.fuzz``, and what its runner finds."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.fuzz import __main__ as command
from benchmarks.fuzz import runner
from benchmarks.fuzz.mutation import inputs
from benchmarks.fuzz.targets import CRITICAL, Target


@pytest.mark.parametrize("name", command.TARGETS)
def test_a_target_stands_some_inputs(name: str) -> None:
    target = command.TARGETS[name]
    for seed in (0, 1):
        outcome = runner.run_round(target, seed, 10 * target.weight)
        assert outcome.fault is None, f"{outcome.fault.command}\n{outcome.fault.text}"


@pytest.mark.long
@pytest.mark.parametrize("name", command.TARGETS)
def test_a_target_stands_many_inputs(name: str) -> None:
    target = command.TARGETS[name]
    for seed in range(2, 2 + max(target.weight, 2)):
        outcome = runner.run_round(target, seed)
        assert outcome.fault is None, f"{outcome.fault.command}\n{outcome.fault.text}"


@pytest.mark.parametrize("name", command.TARGETS)
def test_the_valid_inputs_are_accepted(name: str) -> None:
    if name == "socket":  # the application has the same ones, and the answers are the server's
        return
    target = command.TARGETS[name]
    take = target.start()
    assert any(take(one) for one in target.valid)


def target_of(take: Callable[[bytes], bool]) -> Target:
    return Target("faulty", (b"sound",), CRITICAL, lambda: take)


def _raise(_: bytes) -> bool:
    raise KeyError("nobody catches this")


def _hang(_: bytes) -> bool:
    while True:
        pass


def _use_memory(_: bytes) -> bool:
    return bool(bytearray(4 << 30))


def _die(_: bytes) -> bool:
    os.kill(os.getpid(), signal.SIGSEGV)
    return True


@pytest.mark.parametrize(
    ("take", "reason"),
    [(_raise, "nobody catches this"), (_hang, "took more than"), (_use_memory, "MemoryError"), (_die, "-11")],
)
def test_a_fault_is_found_with_the_input_that_shows_it(
    take: Callable[[bytes], bool], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "_INPUT_S_MAX", 1)
    wanted = list(inputs("faulty", 5, 20, (b"sound",), CRITICAL))[11]

    def take_some(text: bytes) -> bool:
        return take(text) if text == wanted else True

    outcome = runner.run_round(target_of(take_some), 5, 20)
    assert outcome.fault is not None
    first = list(inputs("faulty", 5, 20, (b"sound",), CRITICAL)).index(wanted)
    assert (outcome.fault.seed, outcome.fault.number) == (5, first)
    assert outcome.inputs == first + 1
    assert reason in outcome.fault.text
    assert outcome.fault.command.endswith(f"--target 'faulty' --seed 5 --input {first}")


def test_a_run_adds_up_and_goes_on_after_its_seeds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "ROUND_INPUTS", 20)
    monkeypatch.setattr(command, "ROUND_INPUTS", 20)
    asked = ["--target", "time", "--target", "key", "--inputs", "80", "--state", str(tmp_path / "state")]
    assert command.main(asked) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith(" inputs")
    assert command.main(asked) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:-1]] == ["time", "key"]
    once = int(lines[-1].split()[0])
    assert command.main([*asked[:4], "--inputs", "0", *asked[6:]]) == 0
    assert int(capsys.readouterr().out.splitlines()[-1].split()[0]) == once


def test_one_input_is_fed_again(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--target", "key", "--seed", "3", "--input", "2"]) == 0
    shown, said = capsys.readouterr().out.splitlines()
    target = command.TARGETS["key"]
    assert shown == repr(list(inputs("key", 3, 3, target.valid, target.tokens))[2])
    assert said.split(",")[0] in ("accepted", "refused")
