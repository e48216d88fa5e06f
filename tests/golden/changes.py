"""The changes that the tests of refusals make in a golden archive: which value, and how it is changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.golden.altering import Copy, Pair, Part, at, taken_apart

HASHED, NAMED, GROUP = b"\1", b"\0", b"\1"
BEYOND_ALL = b"\xff" * 8 + b"R\0" + b"\xff" * 4
"""The greatest event key of source R."""
Change = Callable[[Copy], None]


def any_of(pair: Pair) -> bool:
    return True


def group(pair: Pair) -> bool:
    return pair.key[:1] == GROUP


def hashed(pair: Pair) -> bool:
    """Return whether a summary is of a block and has hashes of its sources."""
    return not group(pair) and pair.body[2][:1] == HASHED


def named(pair: Pair) -> bool:
    return not group(pair) and pair.body[2][:1] == NAMED


def hashed_group(pair: Pair) -> bool:
    return group(pair) and pair.body[2][:1] == HASHED


def named_group(pair: Pair) -> bool:
    return group(pair) and pair.body[2][:1] == NAMED


def one_info_more(counts: list[int]) -> list[int]:
    return [counts[0] + 1, *counts[1:]]


def single(pair: Pair) -> bool:
    return bool(pair.body[0] == 0)


def several(pair: Pair) -> bool:
    return bool(pair.body[0] == 1)


def wide(part: Part) -> bool:
    """Return whether a part has a table of more than 256 entries."""
    return len(part.keys[2]) > 256


def folding(part: Part) -> bool:
    """Say whether a chunk of a part is not plain."""
    return any(not said[2] for said in part.body[4])


def any_part(part: Part) -> bool:
    return True


def alter(name: str, wanted: Callable[[Pair], bool], change: Callable[[Any], Any]) -> Change:
    return lambda copy: copy.alter(name, wanted, change)


def alter_keys(wanted: Callable[[Part], bool], change: Callable[[Any], Any], part: int = 0) -> Change:
    return lambda copy: copy.alter_part(wanted, lambda found: found._replace(keys=change(found.keys)), part)


def alter_body(wanted: Callable[[Part], bool], change: Callable[[Any], Any], part: int = 0) -> Change:
    return lambda copy: copy.alter_part(wanted, lambda found: found._replace(body=change(found.body)), part)


def alter_chunks(change: Callable[[Any], Any]) -> Change:
    return lambda copy: copy.alter_part(any_part, lambda found: found._replace(chunks=change(found.chunks)))


def header(**fields: int) -> Change:
    return lambda copy: copy.alter_header(lambda found: found._replace(**fields))


def both(one: Change, other: Change) -> Change:
    """Return a change that makes two."""

    def changed(copy: Copy) -> None:
        one(copy)
        other(copy)

    return changed


def meta(name: str, value: Any) -> Change:
    return lambda copy: copy.put("meta", name.encode(), value)


def move(name: str, wanted: Callable[[Pair], bool], key: Callable[[bytes], bytes]) -> Change:
    """Return a change that moves a body to another key, with the checksum for that key."""

    def moved(copy: Copy) -> None:
        found = copy.find(name, wanted)
        copy.put_raw(name, found.key, None)
        copy.put(name, key(found.key), found.body)

    return moved


def remove(name: str, wanted: Callable[[Pair], bool]) -> Change:
    return lambda copy: copy.put_raw(name, copy.find(name, wanted).key, None)


def mark_all_plain(body: list[Any]) -> list[Any]:
    return at(4, [at(2, True)(said) for said in body[4]])(body)


def with_late_as_main(copy: Copy) -> None:
    """Replace a block by its late part."""
    for key, value in copy.raw("blocks"):
        if len(taken_apart(value)) == 2:
            sizes = [int.from_bytes(value[begin : begin + 4], "big") for begin in (12, 16, 20)]
            copy.put_raw("blocks", key, value[32 + sum(sizes) :])
            return
    raise AssertionError("no block has a late part")


def with_a_trailing_byte(copy: Copy) -> None:
    key, value = next(pair for pair in copy.raw("blocks") if is_of_two_parts("blocks", pair[1]))
    copy.put_raw("blocks", key, value + b"\0")


def with_trailing_text(copy: Copy) -> None:
    copy.alter_header(lambda found: found._replace(text_bytes=found.text_bytes + 1), trailing=b"\0")


def with_half_a_header(copy: Copy) -> None:
    key, value = copy.raw("blocks")[0]
    copy.put_raw("blocks", key, value[:20])


def without_the_last_chunk(part: Part) -> Part:
    return part._replace(body=at(4, part.body[4][:-1])(part.body), chunks=part.chunks[:-1])


def ten_apart(part: Part) -> bool:
    """Return whether the events of a part begin in 1970 and are 10 us apart, as those of one block are."""
    return bool(part.keys[:2] == [0, b"\0" + (10).to_bytes(8, "big")])


def divided_by_one(packed: bytes) -> bytes:
    """Return the same integers, with a divisor that does nothing."""
    assert 0 < packed[0] < 128
    return bytes((packed[0] | 128,)) + (1).to_bytes(8, "big") + packed[1:]


def is_of_two_parts(name: str, value: bytes) -> bool:
    return name == "blocks" and len(taken_apart(value)) == 2
