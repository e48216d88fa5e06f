"""The allocator's settings are made once in the serving process, and never override its environment."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

from yamcs_archive.server.allocator import _SETTINGS

CODE = "from yamcs_archive.server.allocator import set_allocator; print(set_allocator())"


def said(environment: dict[str, str]) -> str:
    found = subprocess.run(
        [sys.executable, "-c", CODE], env=os.environ | environment, capture_output=True, text=True, check=True
    )
    return found.stdout.strip()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no such settings")
def test_glibc_gets_the_settings_that_the_environment_lacks() -> None:
    assert said({}) == "True"
    assert said({name: str(value) for name, _, value in _SETTINGS}) == "False"
    assert said({"GLIBC_TUNABLES": "glibc.malloc.arena_max=4"}) == "False"
