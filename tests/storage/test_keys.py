"""Stored keys: every key round-trips, and byte order is key order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies import keys, times
from yamcs_archive import EventKey
from yamcs_archive.errors import DamagedError
from yamcs_archive.limits import SEQ_NUMBER_MAX, SEQ_NUMBER_MIN, SOURCE_BYTES_MAX, TIME_MAX_US, TIME_MIN_US
from yamcs_archive.storage.format.keys import decode_key, encode_key, time_bound

LMDB_KEY_BYTES_MAX = 511


@given(keys)
def test_every_key_round_trips(key: EventKey) -> None:
    assert decode_key(encode_key(*key)) == key


@given(keys, keys)
def test_byte_order_is_key_order(one: EventKey, other: EventKey) -> None:
    assert (encode_key(*one) < encode_key(*other)) == (one < other)


@given(keys, keys.flatmap(lambda key: st.sampled_from([key._replace(source=key.source + "\x01")])))
def test_a_source_that_continues_another_comes_after_it(one: EventKey, other: EventKey) -> None:
    longer = one._replace(source=one.source[:50] + "\x01", seq_number=SEQ_NUMBER_MIN)
    shorter = one._replace(source=one.source[:50], seq_number=SEQ_NUMBER_MAX)
    assert encode_key(*shorter) < encode_key(*longer)
    assert encode_key(*other) != encode_key(*other._replace(source=other.source[:-1] or "A"))


@given(keys, times)
def test_a_time_bound_parts_earlier_from_later(key: EventKey, time: int) -> None:
    assert (encode_key(*key) < time_bound(time)) == (key.generation_time < time)


@pytest.mark.parametrize("time", [TIME_MIN_US, TIME_MAX_US])
def test_the_longest_key_fits_lmdb(time: int) -> None:
    assert len(encode_key(time, "x" * SOURCE_BYTES_MAX, SEQ_NUMBER_MAX)) == 268 < LMDB_KEY_BYTES_MAX


@pytest.mark.parametrize(
    "damaged",
    [b"", b"short", bytes(13), encode_key(0, "A", 0)[:-1] + b"\0\0", bytes(8) + b"\xff\xff\0" + bytes(4)],
)
def test_bytes_that_are_no_key_are_damage(damaged: bytes) -> None:
    with pytest.raises(DamagedError):
        decode_key(damaged)
