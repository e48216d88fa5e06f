"""The net: every promise about events, by every way in, at each size at which the code takes another path.

One archive for each way and number of sources receives batches of all sizes, each at times of its own, some
before and some after all stored events. The batches break off and are completed, are sent again, are in
conflict, and are mixed. All of this is repeated after settling, after reopening, and after a part has expired
(``tests/net.py``). By default each small size goes every way, and most larger ones go one way; in the long
tests each size goes every way.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests import sizes
from tests.net import OPTIONS, SLOT_US, Net, keys_of, promises
from tests.sizes import around, made
from tests.ways import NOW, WAYS
from yamcs_archive import Archive, Event, EventKey, Instance, Options
from yamcs_archive.event import as_stored
from yamcs_archive.results import Commit, MirrorState
from yamcs_archive.storage.write.placement import well_filled

SOURCES = (1, 2, 300)
FILLED = well_filled(sizes.value("limits.BLOCK_EVENTS_MAX"))
SCATTERED = sizes.value("storage.write.key_lookup._LOOKS_MAX") * sizes.value(
    "storage.write.key_lookup._SCATTERED"
)
EVENTS = around(sizes.EVENTS, FILLED, SCATTERED, 2 * sizes.value("limits.CONFLICTS_KEPT_MAX"))
"""Sizes of batches."""
SHOWN_MAX = 2 * sizes.value("limits.CONFLICTS_KEPT_MAX") + 1
FEW = [size for size in EVENTS if size <= 65]
"""By default, every way gets these sizes, with two sources; each larger size goes one way."""
COLUMNS = [
    1,
    *around(["storage.write.validation._COLUMN_EVENTS_MIN", "storage.write.outcomes._VECTOR_EVENTS_MIN"]),
]
"""Of these, the sizes at which a batch is decided by column; they also go with one source and with many."""
SOME = [size for size in EVENTS if 65 < size <= 1001]
MANY = [size for size in EVENTS if SOME[-1] < size <= sizes.value("limits.CHUNK_EVENTS_MAX") + 1][2::3]
"""Sizes one above a threshold. The others around it, and larger ones, are for the long tests."""
SINGLY_MAX = 17
"""Largest size for ways that commit each event alone: the archive does not see the size of a batch there."""


def dealt(batch_sizes: Sequence[int]) -> list[tuple[int, str, int]]:
    """Return each size with a way and a number of sources: neighbours get different ones."""
    ways = [way for way, kind in WAYS.items() if not (kind.singly or kind.ids)]
    hands = [(way, sources) for way in ways for sources in SOURCES]
    # The step has no factor in common with the number of pairs, so that all of them are used.
    return [(size, *hands[nth * 8 % len(hands)]) for nth, size in enumerate(batch_sizes)]


@pytest.mark.parametrize(
    ("way", "sources"),
    [(way, some) for way, kind in WAYS.items() for some in (SOURCES[1:2] if kind.ids else SOURCES)],
)
def test_promises_hold_at_small_sizes_by_every_way_in(way: str, sources: int, tmp_path: Path) -> None:
    most = SINGLY_MAX if WAYS[way].singly else FEW[-1]
    more = [size for size, *hand in dealt(SOME) if hand == [way, sources]]
    few = [size for size in (FEW if sources == SOURCES[1] else COLUMNS) if size <= most]
    promises(Net(tmp_path, way, sources), [*few, *more])


@pytest.mark.parametrize(("size", "way", "sources"), dealt(MANY))
def test_a_large_batch_is_stored_once_and_found(size: int, way: str, sources: int, tmp_path: Path) -> None:
    large_batch(Net(tmp_path, way, sources), size)


def large_batch(net: Net, size: int) -> None:
    """Try the promises that cost little for each event, with one batch."""
    with net.opened():
        batch = net.fresh(size)
        net.again(batch)
        net.sim.settle()
        if size <= SHOWN_MAX:
            net.in_conflict(batch)
            net.again(batch)
    with net.opened():
        net.read()


@pytest.mark.long
@pytest.mark.parametrize("sources", SOURCES)
@pytest.mark.parametrize("way", WAYS)
def test_promises_hold_at_every_size_by_every_way_in(way: str, sources: int, tmp_path: Path) -> None:
    promises(Net(tmp_path, way, sources), [*FEW, *([] if WAYS[way].singly else SOME)])


@pytest.mark.long
@pytest.mark.parametrize("way", [way for way, kind in WAYS.items() if not kind.singly])
@pytest.mark.parametrize("nth", range(4))
def test_a_large_batch_of_every_size_goes_every_way(nth: int, way: str, tmp_path: Path) -> None:
    """The numbers of sources take turns, so that the sizes around a threshold have different ones."""
    sizes_and_sources = zip([size for size in EVENTS if size > SOME[-1]], cycle(SOURCES), strict=False)
    for size, sources in list(sizes_and_sources)[nth::4]:
        large_batch(Net(tmp_path / f"{size}", way, sources), size)


@pytest.mark.long
@pytest.mark.parametrize("size", around(sizes.MANY_EVENTS))
def test_promises_hold_of_more_events_than_a_block_an_answer_or_all_rows_may_have(
    size: int, tmp_path: Path
) -> None:
    net = Net(tmp_path, "append_many", 2)
    with net.opened():
        batch = net.fresh_of(made(size, 2, order="mixed"))
        net.again(batch)
        net.sim.settle()
        net.again(batch)
        net.read()
    with net.opened():
        net.read()


BLOCKS = around(sizes.BLOCKS, 2 * sizes.value("limits.GROUP_BLOCKS_MAX"))
"""Numbers of blocks, and so of batches of which each becomes one block."""


def blocks_of_one(batch_sizes: Sequence[int], directory: Path) -> None:
    options = Options(maintenance=False, clock=lambda: NOW, block_events_max=1, run_events_min=1)
    promises(Net(directory, "append_many", 2, options), batch_sizes)


def test_promises_hold_at_every_number_of_blocks_up_to_some(tmp_path: Path) -> None:
    blocks_of_one([size for size in BLOCKS if size <= 33], tmp_path)


@pytest.mark.long
def test_promises_hold_at_every_number_of_blocks(tmp_path: Path) -> None:
    blocks_of_one(BLOCKS, tmp_path)


PACKED = sizes.value("limits.PACK_EVENTS_MAX")


@pytest.mark.parametrize(
    "commits",
    [
        *([1] * count for count in around(sizes.COMMITS)),
        *([PACKED - 1 + off, 1] for off in (-1, 0, 1)),
        [1] * 40 + [PACKED - 41, 1, 1],
    ],
    ids=lambda commits: f"{len(commits)} commits of {sum(commits)} events",
)
def test_packing_keeps_every_number_of_commits(commits: list[int], tmp_path: Path) -> None:
    events = (as_stored(replace(event, reception_time=NOW)) for event in made(sum(commits), 2))
    given = [
        Commit(NOW + turn, tuple(islice(events, size)), f"after {turn}") for turn, size in enumerate(commits)
    ]
    expected = [(commit.time, keys_of(commit.events)) for commit in given]

    def told(sim: Instance, after: str | None = None) -> list[tuple[int, list[EventKey]]]:
        return [(commit.time, keys_of(commit.events)) for commit in sim.commits(after)]

    for take_again in (False, True):
        with Archive.open(tmp_path / "a", options=OPTIONS) as archive:
            sim = archive.instance("sim", create=True)
            sim.take_over(given, MirrorState("http://127.0.0.1:8090", "sim", given[-1].cursor))
            assert sim.stats().duplicates == (sum(commits) if take_again else 0)
            assert told(sim) == expected
            middle = list(sim.commits())[len(commits) // 2].cursor
            sim.settle()
            assert told(sim) == expected
            assert told(sim, middle) == expected[len(commits) // 2 + 1 :]
            assert [change.event.key for change in sim.changes(middle)] == [
                key for _, keys in expected[len(commits) // 2 + 1 :] for key in keys
            ]


def test_promises_hold_at_every_number_of_sources(tmp_path: Path) -> None:
    """The sources are in a block of their own; queries ask for one, for some and for all of them."""
    most = 2 * around(sizes.SOURCES)[-1]
    options = Options(maintenance=False, clock=lambda: NOW, block_events_max=most)
    with Archive.open(tmp_path / "a", options=options) as archive:
        sim = archive.instance("sim", create=True)
        for turn, sources in enumerate(around(sizes.SOURCES)):
            time = turn * SLOT_US
            events = made(most, sources, time=time)
            assert sim.append_many(list(events)).stored == most
            assert sim.append_many(list(events)).duplicates == most
            for asked in {1, *around(["storage.read.query._COMPARED_MAX"]), sources}:
                named = {f"S{n}" for n in range(asked)}
                found = sim.events(start=time, stop=time + SLOT_US, sources=named)
                assert keys_of(list(found)) == [event.key for event in events if event.source in named]
        assert sim.sources() == sorted(f"S{n}" for n in range(sources))
        stretches = list(sim.histogram(start=time))
        assert sorted(stretch.source for stretch in stretches) == sim.sources()
        assert sum(stretch.events for stretch in stretches) == most


TEXTS = around(sizes.TEXTS)


def texts_of(total: int, time: int) -> list[list[Event]]:
    """Return batches with ``total`` bytes of text: of several events, and of one if it may have that much."""
    message_max = sizes.value("limits.MESSAGE_BYTES_MAX")
    several = max(3, -(-total // message_max))
    shares = [total // several + (n < total % several) for n in range(several)]
    return [
        [
            Event("m" * share, source=f"S{n}", generation_time=at + n, seq_number=n)
            for n, share in enumerate(parts)
        ]
        for at, parts in ((time, shares), (time + 100, [total] if total <= message_max else []))
        if parts
    ]


TEXT_WAYS = (
    "append_many",
    "batch of JSON",
    "mirror",
    "append_many of an iterator",
    "batch of msgpack",
    "import",
)
FEW_TEXT_MAX = sizes.value("limits.CHUNK_BYTES_MAX") + 1


@pytest.mark.parametrize(
    ("total", "way"),
    list(zip((total for total in TEXTS if total <= FEW_TEXT_MAX), cycle(TEXT_WAYS), strict=False)),
)
def test_promises_hold_at_every_size_of_text(total: int, way: str, tmp_path: Path) -> None:
    promises(Net(tmp_path, way, 2), [], texts_of(total, 0))


@pytest.mark.long
@pytest.mark.parametrize("way", TEXT_WAYS)
def test_promises_hold_at_every_size_of_text_by_every_way_in(way: str, tmp_path: Path) -> None:
    for total in TEXTS:
        promises(Net(tmp_path / f"{total}", way, 2), [], texts_of(total, 0))


def test_every_threshold_is_in_the_table() -> None:
    """Put a new one into the table of its kind; into ``OTHERS`` if no size of a batch is compared with it."""
    known = {
        *(*sizes.EVENTS, *sizes.MANY_EVENTS, *sizes.COMMITS, *sizes.BLOCKS),
        *(*sizes.SOURCES, *sizes.TEXTS, *sizes.OTHERS),
    }
    found = set(sizes.constants())
    assert len(found) > 100
    assert found - known == set(), "place them in a table of tests/sizes.py"
    assert known - found == set(), "take them out of tests/sizes.py"


def test_no_size_is_compared_with_a_bare_number() -> None:
    assert list(sizes.bare_sizes()) == [], "give it a name, and a place in tests/sizes.py"
