"""Relations between bounds; where one did not hold, a legal value would fail later."""

from datetime import UTC, datetime

from yamcs_archive import limits, options
from yamcs_archive.http import limits as http_limits
from yamcs_archive.server.settings import Settings
from yamcs_archive.storage.format.keys import encode_key
from yamcs_archive.times import to_datetime


def test_the_range_of_times_is_that_of_datetime() -> None:
    assert to_datetime(limits.TIME_MIN_US) == datetime.min.replace(tzinfo=UTC)
    assert to_datetime(limits.TIME_MAX_US) == datetime.max.replace(tzinfo=UTC)


def test_a_time_fits_the_int64_of_a_key_and_a_number_its_int32() -> None:
    for time in (limits.TIME_MIN_US, limits.TIME_MAX_US):
        for number in (limits.SEQ_NUMBER_MIN, limits.SEQ_NUMBER_MAX):
            assert len(encode_key(time, "A", number)) == 14


def test_the_largest_event_fits_a_body_even_when_every_byte_is_escaped() -> None:
    escaped = 6 * (limits.MESSAGE_BYTES_MAX + limits.ATTACHED_BYTES_MAX + limits.SOURCE_BYTES_MAX)
    assert escaped + 1024 < limits.BODY_BYTES_MAX


def test_a_chunk_fits_a_group_and_a_group_the_queue() -> None:
    assert limits.CHUNK_EVENTS_MAX <= limits.GROUP_EVENTS_MAX
    assert limits.CHUNK_BYTES_MAX <= limits.GROUP_BYTES_MAX <= limits.QUEUED_BYTES_MAX


def test_the_largest_answers_fit_the_room_one_at_a_time() -> None:
    assert (
        http_limits.LARGE_TEXT_BYTES
        < http_limits.PAGE_BYTES_MAX
        < http_limits.MAKING_BYTES
        < http_limits.ANSWERS_BYTES_MAX
    )
    assert http_limits.QUICK_BODY_BYTES_MAX < limits.BODY_BYTES_MAX < http_limits.BODIES_BYTES_MAX
    assert limits.GATHERED_BYTES_MAX <= limits.CHUNK_BYTES_MAX


def test_one_event_of_the_largest_size_fits_a_read() -> None:
    assert limits.MESSAGE_BYTES_MAX + limits.ATTACHED_BYTES_MAX < limits.READ_BYTES_MAX


def test_the_id_of_a_request_fits_a_key() -> None:
    position = len(f"/{2**63}")
    assert limits.REQUEST_USER_BYTES_MAX + 1 + limits.REQUEST_ID_BYTES_MAX + position <= 511


def test_long_requests_leave_threads_of_a_server_for_others() -> None:
    held = http_limits.BATCHES_MAX + http_limits.STREAMS_MAX + http_limits.THREAD_POLLS_MAX
    assert held <= Settings.threads - Settings.threads // 8


def test_one_event_of_the_largest_size_fits_a_frame_and_a_frame_that_is_written_one_that_is_read() -> None:
    escaped = 6 * (limits.MESSAGE_BYTES_MAX + limits.ATTACHED_BYTES_MAX)
    assert escaped + 1024 < limits.BLOCK_FRAME_BYTES_MAX < limits.BLOCK_FRAME_READ_BYTES_MAX


def test_the_largest_blocks_fit_the_bound_of_readers_and_their_text_fits_a_frame() -> None:
    assert (
        2 * options._MOST["block_events_max"] <= limits.BLOCK_EVENTS_LIMIT
    )  # late ones are fewer than others
    assert 6 * options._MOST["block_text_bytes_max"] < limits.BLOCK_FRAME_BYTES_MAX
