"""Which of the forms that are still read an instance has: what opening and :mod:`repair` rewrite, counted.

Every block's header is read, and every zone map, some in each transaction; no message is decompressed.
"""

from __future__ import annotations

from collections.abc import Callable

from yamcs_archive.errors import DamagedError
from yamcs_archive.results import StoredForms
from yamcs_archive.storage.disk.environment import Environment
from yamcs_archive.storage.format.block import has_large_frames
from yamcs_archive.storage.format.meta import FORMAT_VERSION, decode_fact
from yamcs_archive.storage.format.zone_maps import decode_zone_map

_READ_MAX = 1_000
"""Values that are read in one transaction."""


def stored_forms(environment: Environment) -> StoredForms:
    """Count the values of earlier forms; damaged ones are counted apart."""
    with environment.read() as transaction:
        stored = transaction.get(b"format", b"", db=environment.databases["meta"])
        rows = transaction.stat(environment.databases["rows"])["entries"]
    _, version = decode_fact(b"format", stored)
    if not isinstance(version, int):
        raise DamagedError("meta", f"the format is {version!r}")
    maps, uncounted, damaged_maps = _counted(environment, "summaries", _lacks_counts)
    blocks, large, damaged_blocks = _counted(environment, "blocks", has_large_frames)
    return StoredForms(
        format=version,
        newest_format=FORMAT_VERSION,
        rows=rows,
        zone_maps=maps,
        uncounted_zone_maps=uncounted,
        blocks=blocks,
        large_blocks=large,
        damaged=damaged_maps + damaged_blocks,
    )


def _lacks_counts(key: bytes, value: memoryview) -> bool:
    return not decode_zone_map(key, bytes(value)).severity_counts


def _counted(
    environment: Environment, name: str, is_earlier: Callable[[bytes, memoryview], bool]
) -> tuple[int, int, int]:
    """Return the numbers of all values, of those of an earlier form, and of damaged ones."""
    all_, earlier, damaged = 0, 0, 0
    after, more = b"", True
    while more:
        # The inner transaction gives buffers, so that only headers are read; the outer one keeps the
        # environment open.
        with environment.read(), environment.lmdb.begin(buffers=True) as transaction:
            cursor = transaction.cursor(environment.databases[name])
            more = cursor.set_range(after + b"\0")
            for _ in range(_READ_MAX):
                if not more:
                    break
                after = bytes(cursor.key())
                all_ += 1
                try:
                    earlier += is_earlier(after, cursor.value())
                except DamagedError:
                    damaged += 1
                more = cursor.next()
    return all_, earlier, damaged
