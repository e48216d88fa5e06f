"""The lab of clients that only take places: that a small one runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import attack


@pytest.mark.long
@pytest.mark.parametrize("how", [[], ["--wsgi"]], ids=["ASGI", "WSGI"])
def test_a_small_attack_is_told(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, how: list[str]
) -> None:
    monkeypatch.setattr(attack, "_SETTLE_S", 0.1)
    monkeypatch.setattr(attack, "_RATE_MIN", 0)  # of so few posts it says nothing
    monkeypatch.setattr(attack, "_LARGE_EVENTS", 50)
    few = [part for kind in attack.KINDS for part in (f"--{kind.name}", "3")]
    options = ["--posts", "20", "--repeats", "1", "--runs", "2", "--together", "--scratch", str(tmp_path)]
    assert attack.main([*options, *few, *how]) == 0
    [line] = capfd.readouterr().out.splitlines()
    assert line.startswith("all together ")
    assert "posts/s alone" in line
