"""The codec of msgpack: batches, streams, and the exchange form in which archives copy each other; pure.

Other requests are not read in msgpack, nor are other answers written in it: JSON takes its place there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from yamcs_archive.event_vectors import StoredVectors
from yamcs_archive.results import Commit
from yamcs_archive.wire import bulk
from yamcs_archive.wire.api_generations import Form
from yamcs_archive.wire.batch import Part, from_msgpack
from yamcs_archive.wire.codec import MSGPACK, BatchCodec
from yamcs_archive.wire.commits import encode_page


class ExchangeCodec(BatchCodec):
    """Batches, changes and streams in msgpack. Nothing of an event is lost in them.

    >>> ExchangeCodec().changes([], "c", Form.TODAY)
    b'\\x82\\xa6cursor\\xa1c\\xa7commits\\x90'
    """

    media = MSGPACK
    whole_commits = True

    def decode_batch(self, chunks: Iterable[bytes], *, keeps_user: bool = False) -> Iterator[Part]:
        return from_msgpack(chunks, keeps_user=keeps_user)

    def changes(self, commits: Sequence[Commit], cursor: str, _form: Form) -> bytes:
        return encode_page(commits, cursor)

    def stream(self, events: StoredVectors) -> bytes:
        return bulk.encode_msgpack_maps(events)
