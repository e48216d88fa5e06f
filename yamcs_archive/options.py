"""The options of opening an archive: one frozen value, checked as a whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Self

from yamcs_archive.errors import InvalidInputError, shown
from yamcs_archive.limits import (
    BLOCK_EVENTS_LIMIT,
    BLOCK_EVENTS_MAX,
    BLOCK_FRAME_BYTES_MAX,
    BLOCK_TEXT_BYTES_MAX,
    GROUP_EVENTS_MAX,
    KEEP_DAYS_MAX,
    LATE_EVENTS_MAX,
    LATE_SHARE,
    MAP_BYTES_DEFAULT,
    READ_EVENTS_MAX,
    REQUEST_IDS_MAX,
    REST_AGE_US,
    RUN_EVENTS_MIN,
    TABLE_EVENTS_MAX,
)
from yamcs_archive.scalars import plain_int, plain_text
from yamcs_archive.times import now_us

_MOST = {
    "block_events_max": BLOCK_EVENTS_LIMIT // 2,
    "block_text_bytes_max": BLOCK_FRAME_BYTES_MAX // 8,
    "keep_days": KEEP_DAYS_MAX,
}
"""Greatest values of these options. With the first two every block can still be read, because its text fits
into a frame at six bytes for each escaped character. Types and users, which a block stores once, do not count
as text; a block with too many of them is cut before it is full."""
RETENTION = ("keep_days", "max_bytes", "max_events")
"""The options that say which events are kept; None: all."""
_OTHERS = {
    "clock": "a function",
    "maintenance": "True or False",
    "retention_of": "a mapping of names of instances to mappings of " + ", ".join(RETENTION),
}
"""Options that are no numbers."""
_MOST_OF_ANY = 2**63 - 1
"""Greatest value of any option: LMDB's largest size, and Python's largest count."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of one opening; none of them changes the stored data.

    Raises :class:`~yamcs_archive.errors.InvalidInputError` that lists every fault at once.

    >>> Options(map_bytes=1 << 20).map_bytes
    1048576
    >>> Options(map_bytes=0, group_events_max=0)
    Traceback (most recent call last):
      ...
    yamcs_archive.errors.InvalidInputError: options 'map_bytes=0, group_events_max=0': must be positive, ...
    """

    map_bytes: int = MAP_BYTES_DEFAULT
    """Bytes of address space reserved for an instance at first; it doubles when full. Not disk space."""
    group_events_max: int = GROUP_EVENTS_MAX
    """Largest number of events in one commit."""
    read_events_max: int = READ_EVENTS_MAX
    """Largest number of events that one read transaction fetches."""
    block_events_max: int = BLOCK_EVENTS_MAX
    """Number of events in a full block. Tests use small blocks, because faults are found at their edges."""
    block_text_bytes_max: int = BLOCK_TEXT_BYTES_MAX
    """Bytes of text at which a block is full, even with fewer events."""
    run_events_min: int = RUN_EVENTS_MIN
    """Fewest new events in a run that are written as blocks at once."""
    table_events_max: int = TABLE_EVENTS_MAX
    """Largest number of young events in a memory table, unless one commit has more: then they are put into
    blocks.
    """
    late_share: int = LATE_SHARE
    """A block is rewritten once one in this many of its events is late; until then the late events are stored
    in its late part."""
    request_ids_max: int = REQUEST_IDS_MAX
    """Largest number of request ids of an instance within 24 hours."""
    late_events_max: int = LATE_EVENTS_MAX
    """Largest number of late events that are carried in the log, until their blocks are rewritten."""
    rest_age_us: int = REST_AGE_US
    """Age of the newest commit, in microseconds, from which on the instance rests, and young events go into
    blocks.
    """
    maintenance: bool = True
    """Whether young events are put into blocks in the background."""
    keep_days: int | None = None
    """Prune events generated more than this many days ago, once an hour in the background, in all instances;
    None: do not. Counted from the archive's clock."""
    max_bytes: int | None = None
    """Likewise, prune the oldest events beyond this many bytes of an instance, about; None: do not."""
    max_events: int | None = None
    """Likewise, prune the oldest events beyond this number of an instance; None: do not."""
    retention_of: Mapping[str, Mapping[str, int | None]] = field(default_factory=dict, hash=False)
    """Rules of single instances instead of those three, by the names of instances:
    ``{"bench": {"keep_days": 7, "max_events": None}}``. A rule that is absent is that of all instances."""
    clock: Callable[[], int] = now_us
    """The archive's clock, in microseconds since 1970, for events that come without a time."""

    def __post_init__(self) -> None:
        numbers: list[str] = []
        others: list[str] = []
        for name in (each.name for each in fields(self)):
            value = getattr(self, name)
            if name == "retention_of":
                exact: object = _exact_rules(value)
            elif name in _OTHERS:
                exact = value if (callable(value) if name == "clock" else isinstance(value, bool)) else _BAD
            else:
                exact = _exact_number(name, value)
            if exact is not _BAD:
                object.__setattr__(self, name, exact)
            else:
                (others if name in _OTHERS else numbers).append(f"{name}={shown(value)}")
        if numbers or others:
            bounds = ", ".join(f"{name} at most {most}" for name, most in _MOST.items())
            rules = [f"must be positive, {bounds}"] if numbers else []
            rules += [", ".join(f"{name} must be {rule}" for name, rule in _OTHERS.items())] if others else []
            raise InvalidInputError("options", ", ".join([*numbers, *others]), "; ".join(rules))

    def of_instance(self, name: str) -> Self:
        """Return the options of one instance: with its own rules of retention, if it has any.

        >>> Options(keep_days=30, retention_of={"bench": {"keep_days": 7}}).of_instance("bench").keep_days
        7
        """
        rules = self.retention_of.get(name)
        return replace(self, **rules) if rules else self  # type: ignore[arg-type]  # the names are RETENTION


_BAD = object()


def _exact_number(name: str, value: object) -> object:
    if value is None and name in RETENTION:
        return None
    exact = plain_int(value)
    return exact if type(exact) is int and 1 <= exact <= _MOST.get(name, _MOST_OF_ANY) else _BAD


def _exact_rules(value: object) -> object:
    """Return a copy of the rules of instances, so that nobody changes them later."""
    try:
        found = {plain_text(name): dict(rules) for name, rules in dict(value).items()}  # type: ignore[call-overload]
        exact = {
            name: {key: _exact_number(key, rule) for key, rule in rules.items()}
            for name, rules in found.items()
        }
        whole = all(
            type(name) is str and all(key in RETENTION and rule is not _BAD for key, rule in rules.items())
            for name, rules in exact.items()
        )
    except Exception:  # a foreign type may raise anything
        return _BAD
    return exact if whole else _BAD
