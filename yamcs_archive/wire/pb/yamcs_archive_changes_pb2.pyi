from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ChangesResponse(_message.Message):
    __slots__ = ("events", "cursor")
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedScalarFieldContainer[bytes]
    cursor: str
    def __init__(self, events: _Optional[_Iterable[bytes]] = ..., cursor: _Optional[str] = ...) -> None: ...

class CursorGone(_message.Message):
    __slots__ = ("oldest",)
    OLDEST_FIELD_NUMBER: _ClassVar[int]
    oldest: str
    def __init__(self, oldest: _Optional[str] = ...) -> None: ...

class OtherHistory(_message.Message):
    __slots__ = ("commit",)
    COMMIT_FIELD_NUMBER: _ClassVar[int]
    commit: int
    def __init__(self, commit: _Optional[int] = ...) -> None: ...

class DamagedBlock(_message.Message):
    __slots__ = ("first", "last", "events")
    class Key(_message.Message):
        __slots__ = ("generationTime", "source", "seqNumber")
        GENERATIONTIME_FIELD_NUMBER: _ClassVar[int]
        SOURCE_FIELD_NUMBER: _ClassVar[int]
        SEQNUMBER_FIELD_NUMBER: _ClassVar[int]
        generationTime: str
        source: str
        seqNumber: int
        def __init__(self, generationTime: _Optional[str] = ..., source: _Optional[str] = ..., seqNumber: _Optional[int] = ...) -> None: ...
    FIRST_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    first: DamagedBlock.Key
    last: DamagedBlock.Key
    events: int
    def __init__(self, first: _Optional[_Union[DamagedBlock.Key, _Mapping]] = ..., last: _Optional[_Union[DamagedBlock.Key, _Mapping]] = ..., events: _Optional[int] = ...) -> None: ...
