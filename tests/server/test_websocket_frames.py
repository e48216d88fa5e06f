"""Many frames of a WebSocket as few writes: what a client reads of them."""

from __future__ import annotations

import socket

import pytest
import websocket
from hypothesis import given
from hypothesis import strategies as st

from yamcs_archive.server import websocket_frames
from yamcs_archive.server.websocket_frames import WRITTEN_BYTES, written

SIZES = [0, 1, 125, 126, 127, 65_535, 65_536, 70_000]
"""Around those from which on the length of a frame takes more bytes."""


def read_again(sent: bytes) -> list[str | bytes]:
    """Return the messages that a client reads."""
    ours, theirs = socket.socketpair()
    ours.settimeout(30)
    client = websocket.WebSocket(skip_utf8_validation=True)
    client.sock = ours
    found: list[str | bytes] = []
    with ours, theirs:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        theirs.sendall(sent + b"\x88\x00")
        while True:
            opcode, content = client.recv_data()
            if opcode == websocket.ABNF.OPCODE_CLOSE:
                return found
            found.append(content.decode() if opcode == websocket.ABNF.OPCODE_TEXT else content)


@pytest.mark.parametrize("size", SIZES)
def test_a_client_reads_frames_of_every_size(size: int) -> None:
    frames: list[str | bytes] = ["x" * size, b"y" * size, "é" * (size // 2)]
    assert read_again(b"".join(written(frames))) == frames


@given(st.lists(st.text(max_size=20) | st.binary(max_size=20), max_size=20), st.integers(1, 50))
def test_all_frames_are_written_in_order_however_large_a_write_may_be(
    frames: list[str | bytes], most: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(websocket_frames, "WRITTEN_BYTES", most)
        parts = list(written(frames))
    assert b"".join(parts) == b"".join(written(frames))
    assert all(parts)
    assert read_again(b"".join(parts)) == frames


def test_a_write_ends_with_the_frame_that_makes_it_large_enough() -> None:
    half = "x" * (WRITTEN_BYTES // 2)
    assert len(list(written([half, half[1:]]))) == 1
    assert len(list(written([half, half]))) == 1
    assert len(list(written([half, half, ""]))) == 2
    assert len(list(written([half + half, half, half]))) == 2
