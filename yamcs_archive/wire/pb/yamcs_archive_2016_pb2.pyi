from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf.internal import python_message as _python_message
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Event(_message.Message):
    __slots__ = ("source", "generationTime", "receptionTime", "seqNumber", "type", "message", "severity", "generationTimeUTC", "receptionTimeUTC")
    Extensions: _python_message._ExtensionDict
    class EventSeverity(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        INFO: _ClassVar[Event.EventSeverity]
        WARNING: _ClassVar[Event.EventSeverity]
        ERROR: _ClassVar[Event.EventSeverity]
    INFO: Event.EventSeverity
    WARNING: Event.EventSeverity
    ERROR: Event.EventSeverity
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    GENERATIONTIME_FIELD_NUMBER: _ClassVar[int]
    RECEPTIONTIME_FIELD_NUMBER: _ClassVar[int]
    SEQNUMBER_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    SEVERITY_FIELD_NUMBER: _ClassVar[int]
    GENERATIONTIMEUTC_FIELD_NUMBER: _ClassVar[int]
    RECEPTIONTIMEUTC_FIELD_NUMBER: _ClassVar[int]
    source: str
    generationTime: int
    receptionTime: int
    seqNumber: int
    type: str
    message: str
    severity: Event.EventSeverity
    generationTimeUTC: str
    receptionTimeUTC: str
    def __init__(self, source: _Optional[str] = ..., generationTime: _Optional[int] = ..., receptionTime: _Optional[int] = ..., seqNumber: _Optional[int] = ..., type: _Optional[str] = ..., message: _Optional[str] = ..., severity: _Optional[_Union[Event.EventSeverity, str]] = ..., generationTimeUTC: _Optional[str] = ..., receptionTimeUTC: _Optional[str] = ...) -> None: ...

class ListEventsResponse(_message.Message):
    __slots__ = ("event",)
    EVENT_FIELD_NUMBER: _ClassVar[int]
    event: _containers.RepeatedCompositeFieldContainer[Event]
    def __init__(self, event: _Optional[_Iterable[_Union[Event, _Mapping]]] = ...) -> None: ...

class Conflict(_message.Message):
    __slots__ = ("stored", "offered")
    STORED_FIELD_NUMBER: _ClassVar[int]
    OFFERED_FIELD_NUMBER: _ClassVar[int]
    stored: Event
    offered: Event
    def __init__(self, stored: _Optional[_Union[Event, _Mapping]] = ..., offered: _Optional[_Union[Event, _Mapping]] = ...) -> None: ...

class OutcomeUnknown(_message.Message):
    __slots__ = ("event",)
    EVENT_FIELD_NUMBER: _ClassVar[int]
    event: Event
    def __init__(self, event: _Optional[_Union[Event, _Mapping]] = ...) -> None: ...

class BatchResponse(_message.Message):
    __slots__ = ("stored", "duplicates", "expired", "conflictCount", "conflicts", "position")
    class Refused(_message.Message):
        __slots__ = ("position", "stored", "offered")
        POSITION_FIELD_NUMBER: _ClassVar[int]
        STORED_FIELD_NUMBER: _ClassVar[int]
        OFFERED_FIELD_NUMBER: _ClassVar[int]
        position: int
        stored: Event
        offered: Event
        def __init__(self, position: _Optional[int] = ..., stored: _Optional[_Union[Event, _Mapping]] = ..., offered: _Optional[_Union[Event, _Mapping]] = ...) -> None: ...
    STORED_FIELD_NUMBER: _ClassVar[int]
    DUPLICATES_FIELD_NUMBER: _ClassVar[int]
    EXPIRED_FIELD_NUMBER: _ClassVar[int]
    CONFLICTCOUNT_FIELD_NUMBER: _ClassVar[int]
    CONFLICTS_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    stored: int
    duplicates: int
    expired: int
    conflictCount: int
    conflicts: _containers.RepeatedCompositeFieldContainer[BatchResponse.Refused]
    position: int
    def __init__(self, stored: _Optional[int] = ..., duplicates: _Optional[int] = ..., expired: _Optional[int] = ..., conflictCount: _Optional[int] = ..., conflicts: _Optional[_Iterable[_Union[BatchResponse.Refused, _Mapping]]] = ..., position: _Optional[int] = ...) -> None: ...
