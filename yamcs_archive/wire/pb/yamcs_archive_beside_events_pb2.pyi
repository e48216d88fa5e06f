from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class EmptyList(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class EmptyMdbList(_message.Message):
    __slots__ = ("totalSize",)
    TOTALSIZE_FIELD_NUMBER: _ClassVar[int]
    totalSize: int
    def __init__(self, totalSize: _Optional[int] = ...) -> None: ...

class ListQueuesResponse(_message.Message):
    __slots__ = ("queues",)
    QUEUES_FIELD_NUMBER: _ClassVar[int]
    queues: _containers.RepeatedCompositeFieldContainer[EmptyList]
    def __init__(self, queues: _Optional[_Iterable[_Union[EmptyList, _Mapping]]] = ...) -> None: ...

class SubscribeTimeRequest(_message.Message):
    __slots__ = ("instance", "processor")
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    PROCESSOR_FIELD_NUMBER: _ClassVar[int]
    instance: str
    processor: str
    def __init__(self, instance: _Optional[str] = ..., processor: _Optional[str] = ...) -> None: ...

class SubscribeMdbChangesRequest(_message.Message):
    __slots__ = ("instance", "processor")
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    PROCESSOR_FIELD_NUMBER: _ClassVar[int]
    instance: str
    processor: str
    def __init__(self, instance: _Optional[str] = ..., processor: _Optional[str] = ...) -> None: ...

class SubscribeGlobalStatusRequest(_message.Message):
    __slots__ = ("instance", "processor")
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    PROCESSOR_FIELD_NUMBER: _ClassVar[int]
    instance: str
    processor: str
    def __init__(self, instance: _Optional[str] = ..., processor: _Optional[str] = ...) -> None: ...

class SubscribeAlarmsRequest(_message.Message):
    __slots__ = ("instance", "processor", "includePending")
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    PROCESSOR_FIELD_NUMBER: _ClassVar[int]
    INCLUDEPENDING_FIELD_NUMBER: _ClassVar[int]
    instance: str
    processor: str
    includePending: bool
    def __init__(self, instance: _Optional[str] = ..., processor: _Optional[str] = ..., includePending: _Optional[bool] = ...) -> None: ...

class SubscribeCommandsRequest(_message.Message):
    __slots__ = ("instance", "processor", "ignorePastCommands")
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    PROCESSOR_FIELD_NUMBER: _ClassVar[int]
    IGNOREPASTCOMMANDS_FIELD_NUMBER: _ClassVar[int]
    instance: str
    processor: str
    ignorePastCommands: bool
    def __init__(self, instance: _Optional[str] = ..., processor: _Optional[str] = ..., ignorePastCommands: _Optional[bool] = ...) -> None: ...

class GlobalAlarmStatus(_message.Message):
    __slots__ = ("unacknowledgedCount", "unacknowledgedActive", "acknowledgedCount", "acknowledgedActive", "shelvedCount", "shelvedActive")
    UNACKNOWLEDGEDCOUNT_FIELD_NUMBER: _ClassVar[int]
    UNACKNOWLEDGEDACTIVE_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGEDCOUNT_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGEDACTIVE_FIELD_NUMBER: _ClassVar[int]
    SHELVEDCOUNT_FIELD_NUMBER: _ClassVar[int]
    SHELVEDACTIVE_FIELD_NUMBER: _ClassVar[int]
    unacknowledgedCount: int
    unacknowledgedActive: bool
    acknowledgedCount: int
    acknowledgedActive: bool
    shelvedCount: int
    shelvedActive: bool
    def __init__(self, unacknowledgedCount: _Optional[int] = ..., unacknowledgedActive: _Optional[bool] = ..., acknowledgedCount: _Optional[int] = ..., acknowledgedActive: _Optional[bool] = ..., shelvedCount: _Optional[int] = ..., shelvedActive: _Optional[bool] = ...) -> None: ...
