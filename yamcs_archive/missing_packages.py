"""Advice for who lacks the packages of an extra. It names the packages, because no index has this project."""

from __future__ import annotations

import re
import shlex
import sys


def advice(extra: str) -> str:
    """Return a text that says how to install the packages of an extra.

    >>> "-m pip install" in advice("server")
    True
    """
    from importlib.metadata import PackageNotFoundError, requires  # noqa: PLC0415  # 15 ms, for an error only

    try:
        needs = [need for need in requires("yamcs_archive") or [] if _is_of(extra, need)]
    except PackageNotFoundError:
        needs = []
    if not needs:
        return f'install what it needs, in a checkout: {sys.executable} -m pip install ".[{extra}]"'
    packages = " ".join(shlex.quote(need.partition(";")[0].strip()) for need in needs)
    return f"install what it needs: {shlex.quote(sys.executable)} -m pip install {packages}"


def _is_of(extra: str, need: str) -> bool:
    return re.search(rf"""extra\s*==\s*['"]{re.escape(extra)}['"]""", need) is not None
