from google.protobuf import any_pb2 as _any_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ClientMessage(_message.Message):
    __slots__ = ("type", "options", "id", "call", "maxDroppedWrites", "lowPriority")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    CALL_FIELD_NUMBER: _ClassVar[int]
    MAXDROPPEDWRITES_FIELD_NUMBER: _ClassVar[int]
    LOWPRIORITY_FIELD_NUMBER: _ClassVar[int]
    type: str
    options: _any_pb2.Any
    id: int
    call: int
    maxDroppedWrites: int
    lowPriority: bool
    def __init__(self, type: _Optional[str] = ..., options: _Optional[_Union[_any_pb2.Any, _Mapping]] = ..., id: _Optional[int] = ..., call: _Optional[int] = ..., maxDroppedWrites: _Optional[int] = ..., lowPriority: _Optional[bool] = ...) -> None: ...

class ServerMessage(_message.Message):
    __slots__ = ("type", "call", "seq", "data")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    CALL_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    type: str
    call: int
    seq: int
    data: _any_pb2.Any
    def __init__(self, type: _Optional[str] = ..., call: _Optional[int] = ..., seq: _Optional[int] = ..., data: _Optional[_Union[_any_pb2.Any, _Mapping]] = ...) -> None: ...

class SubscribeEventsRequest(_message.Message):
    __slots__ = ("instance", "filter")
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    instance: str
    filter: str
    def __init__(self, instance: _Optional[str] = ..., filter: _Optional[str] = ...) -> None: ...

class CancelOptions(_message.Message):
    __slots__ = ("call",)
    CALL_FIELD_NUMBER: _ClassVar[int]
    call: int
    def __init__(self, call: _Optional[int] = ...) -> None: ...

class Reply(_message.Message):
    __slots__ = ("reply_to", "exception")
    REPLY_TO_FIELD_NUMBER: _ClassVar[int]
    EXCEPTION_FIELD_NUMBER: _ClassVar[int]
    reply_to: int
    exception: bytes
    def __init__(self, reply_to: _Optional[int] = ..., exception: _Optional[bytes] = ...) -> None: ...

class State(_message.Message):
    __slots__ = ("calls",)
    class CallInfo(_message.Message):
        __slots__ = ("call", "type", "options")
        CALL_FIELD_NUMBER: _ClassVar[int]
        TYPE_FIELD_NUMBER: _ClassVar[int]
        OPTIONS_FIELD_NUMBER: _ClassVar[int]
        call: int
        type: str
        options: _any_pb2.Any
        def __init__(self, call: _Optional[int] = ..., type: _Optional[str] = ..., options: _Optional[_Union[_any_pb2.Any, _Mapping]] = ...) -> None: ...
    CALLS_FIELD_NUMBER: _ClassVar[int]
    calls: _containers.RepeatedCompositeFieldContainer[State.CallInfo]
    def __init__(self, calls: _Optional[_Iterable[_Union[State.CallInfo, _Mapping]]] = ...) -> None: ...
