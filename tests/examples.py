"""How many examples property tests try: a third in the suite, in ``.ci/run`` all of them once more.

The profiles of hypothesis are ``suite``, ``full`` (60 examples where a test says no number) and ``thorough``
(1,000): ``--hypothesis-profile=full``.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings

FULL, SUITE, THOROUGH = 60, 20, 1_000


def register_profiles() -> None:
    """Make the profiles known, and load that of the suite."""
    # fsync makes single examples slow and uneven on shared machines, so they have no deadline.
    checks = [HealthCheck.too_slow]
    for name, examples in (("suite", SUITE), ("full", FULL), ("thorough", THOROUGH)):
        settings.register_profile(name, deadline=None, max_examples=examples, suppress_health_check=checks)
    settings.load_profile("suite")


def of_full(examples: int) -> int:
    """Return how many examples a test tries that tries so many in the profile ``full``.

    Call it when a module of tests is loaded: by then the profile is.
    """
    return max(1, examples * settings().max_examples // FULL)
