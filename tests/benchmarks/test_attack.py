"""The lab of clients that only take places: that a small one runs, and that its attackers do what they say."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import attack


@pytest.mark.parametrize("how", [[], ["--wsgi"]], ids=["ASGI", "WSGI"])
def test_a_small_attack_takes_nothing_from_honest_posts(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, how: list[str]
) -> None:
    monkeypatch.setattr(attack, "_SETTLE_S", 0.1)
    monkeypatch.setattr(attack, "_RATE_MIN", 0)  # of so few posts it says nothing
    monkeypatch.setattr(attack, "_LARGE_EVENTS", 50)
    monkeypatch.setattr(attack, "KINDS", attack.KINDS if not how else attack.KINDS[2:4])
    few = [part for kind in attack.KINDS for part in (f"--{kind.name}", "3")]
    status = attack.main(["--posts", "20", "--repeats", "1", "--scratch", str(tmp_path), *few, *how])
    lines = capfd.readouterr().out.splitlines()
    assert status == 0, lines
    assert [line.split()[0] for line in lines] == [*(kind.name for kind in attack.KINDS), "all"]
    assert all("posts/s alone" in line for line in lines)
