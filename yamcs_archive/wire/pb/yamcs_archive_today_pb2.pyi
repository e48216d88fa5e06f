import datetime

from google.protobuf import any_pb2 as _any_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf.internal import python_message as _python_message
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CreateEventRequest(_message.Message):
    __slots__ = ("instance", "type", "message", "severity", "time", "source", "sequenceNumber", "extra")
    class ExtraEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    SEVERITY_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    SEQUENCENUMBER_FIELD_NUMBER: _ClassVar[int]
    EXTRA_FIELD_NUMBER: _ClassVar[int]
    instance: str
    type: str
    message: str
    severity: str
    time: _timestamp_pb2.Timestamp
    source: str
    sequenceNumber: int
    extra: _containers.ScalarMap[str, str]
    def __init__(self, instance: _Optional[str] = ..., type: _Optional[str] = ..., message: _Optional[str] = ..., severity: _Optional[str] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., source: _Optional[str] = ..., sequenceNumber: _Optional[int] = ..., extra: _Optional[_Mapping[str, str]] = ...) -> None: ...

class Event(_message.Message):
    __slots__ = ("source", "generationTime", "receptionTime", "seqNumber", "type", "message", "severity", "createdBy", "extra")
    Extensions: _python_message._ExtensionDict
    class EventSeverity(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        INFO: _ClassVar[Event.EventSeverity]
        WARNING: _ClassVar[Event.EventSeverity]
        ERROR: _ClassVar[Event.EventSeverity]
        WATCH: _ClassVar[Event.EventSeverity]
        WARNING_NEW: _ClassVar[Event.EventSeverity]
        DISTRESS: _ClassVar[Event.EventSeverity]
        CRITICAL: _ClassVar[Event.EventSeverity]
        SEVERE: _ClassVar[Event.EventSeverity]
    INFO: Event.EventSeverity
    WARNING: Event.EventSeverity
    ERROR: Event.EventSeverity
    WATCH: Event.EventSeverity
    WARNING_NEW: Event.EventSeverity
    DISTRESS: Event.EventSeverity
    CRITICAL: Event.EventSeverity
    SEVERE: Event.EventSeverity
    class ExtraEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    GENERATIONTIME_FIELD_NUMBER: _ClassVar[int]
    RECEPTIONTIME_FIELD_NUMBER: _ClassVar[int]
    SEQNUMBER_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    SEVERITY_FIELD_NUMBER: _ClassVar[int]
    CREATEDBY_FIELD_NUMBER: _ClassVar[int]
    EXTRA_FIELD_NUMBER: _ClassVar[int]
    source: str
    generationTime: _timestamp_pb2.Timestamp
    receptionTime: _timestamp_pb2.Timestamp
    seqNumber: int
    type: str
    message: str
    severity: Event.EventSeverity
    createdBy: str
    extra: _containers.ScalarMap[str, str]
    def __init__(self, source: _Optional[str] = ..., generationTime: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., receptionTime: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., seqNumber: _Optional[int] = ..., type: _Optional[str] = ..., message: _Optional[str] = ..., severity: _Optional[_Union[Event.EventSeverity, str]] = ..., createdBy: _Optional[str] = ..., extra: _Optional[_Mapping[str, str]] = ...) -> None: ...

class ListEventsResponse(_message.Message):
    __slots__ = ("event", "continuationToken", "events")
    EVENT_FIELD_NUMBER: _ClassVar[int]
    CONTINUATIONTOKEN_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    event: _containers.RepeatedCompositeFieldContainer[Event]
    continuationToken: str
    events: _containers.RepeatedCompositeFieldContainer[Event]
    def __init__(self, event: _Optional[_Iterable[_Union[Event, _Mapping]]] = ..., continuationToken: _Optional[str] = ..., events: _Optional[_Iterable[_Union[Event, _Mapping]]] = ...) -> None: ...

class ExceptionMessage(_message.Message):
    __slots__ = ("code", "type", "msg", "detail")
    CODE_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    MSG_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    code: int
    type: str
    msg: str
    detail: _any_pb2.Any
    def __init__(self, code: _Optional[int] = ..., type: _Optional[str] = ..., msg: _Optional[str] = ..., detail: _Optional[_Union[_any_pb2.Any, _Mapping]] = ...) -> None: ...

class GetServerInfoResponse(_message.Message):
    __slots__ = ("yamcsVersion", "serverId", "defaultYamcsInstance", "plugins", "revision")
    class PluginInfo(_message.Message):
        __slots__ = ("name", "description", "version", "vendor")
        NAME_FIELD_NUMBER: _ClassVar[int]
        DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
        VERSION_FIELD_NUMBER: _ClassVar[int]
        VENDOR_FIELD_NUMBER: _ClassVar[int]
        name: str
        description: str
        version: str
        vendor: str
        def __init__(self, name: _Optional[str] = ..., description: _Optional[str] = ..., version: _Optional[str] = ..., vendor: _Optional[str] = ...) -> None: ...
    YAMCSVERSION_FIELD_NUMBER: _ClassVar[int]
    SERVERID_FIELD_NUMBER: _ClassVar[int]
    DEFAULTYAMCSINSTANCE_FIELD_NUMBER: _ClassVar[int]
    PLUGINS_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    yamcsVersion: str
    serverId: str
    defaultYamcsInstance: str
    plugins: _containers.RepeatedCompositeFieldContainer[GetServerInfoResponse.PluginInfo]
    revision: str
    def __init__(self, yamcsVersion: _Optional[str] = ..., serverId: _Optional[str] = ..., defaultYamcsInstance: _Optional[str] = ..., plugins: _Optional[_Iterable[_Union[GetServerInfoResponse.PluginInfo, _Mapping]]] = ..., revision: _Optional[str] = ...) -> None: ...

class AuthInfo(_message.Message):
    __slots__ = ("requireAuthentication",)
    REQUIREAUTHENTICATION_FIELD_NUMBER: _ClassVar[int]
    requireAuthentication: bool
    def __init__(self, requireAuthentication: _Optional[bool] = ...) -> None: ...

class UserInfo(_message.Message):
    __slots__ = ("superuser", "active", "name", "displayName", "systemPrivileges", "permissions")
    SUPERUSER_FIELD_NUMBER: _ClassVar[int]
    ACTIVE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    DISPLAYNAME_FIELD_NUMBER: _ClassVar[int]
    SYSTEMPRIVILEGES_FIELD_NUMBER: _ClassVar[int]
    PERMISSIONS_FIELD_NUMBER: _ClassVar[int]
    superuser: bool
    active: bool
    name: str
    displayName: str
    systemPrivileges: _containers.RepeatedScalarFieldContainer[str]
    permissions: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, superuser: _Optional[bool] = ..., active: _Optional[bool] = ..., name: _Optional[str] = ..., displayName: _Optional[str] = ..., systemPrivileges: _Optional[_Iterable[str]] = ..., permissions: _Optional[_Iterable[str]] = ...) -> None: ...

class TokenResponse(_message.Message):
    __slots__ = ("accessToken", "tokenType", "expiresIn", "refreshToken", "user")
    ACCESSTOKEN_FIELD_NUMBER: _ClassVar[int]
    TOKENTYPE_FIELD_NUMBER: _ClassVar[int]
    EXPIRESIN_FIELD_NUMBER: _ClassVar[int]
    REFRESHTOKEN_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    accessToken: str
    tokenType: str
    expiresIn: int
    refreshToken: str
    user: UserInfo
    def __init__(self, accessToken: _Optional[str] = ..., tokenType: _Optional[str] = ..., expiresIn: _Optional[int] = ..., refreshToken: _Optional[str] = ..., user: _Optional[_Union[UserInfo, _Mapping]] = ...) -> None: ...

class YamcsInstance(_message.Message):
    __slots__ = ("name", "missionTime", "state", "eventCount")
    class InstanceState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        OFFLINE: _ClassVar[YamcsInstance.InstanceState]
        INITIALIZING: _ClassVar[YamcsInstance.InstanceState]
        INITIALIZED: _ClassVar[YamcsInstance.InstanceState]
        STARTING: _ClassVar[YamcsInstance.InstanceState]
        RUNNING: _ClassVar[YamcsInstance.InstanceState]
        STOPPING: _ClassVar[YamcsInstance.InstanceState]
        FAILED: _ClassVar[YamcsInstance.InstanceState]
    OFFLINE: YamcsInstance.InstanceState
    INITIALIZING: YamcsInstance.InstanceState
    INITIALIZED: YamcsInstance.InstanceState
    STARTING: YamcsInstance.InstanceState
    RUNNING: YamcsInstance.InstanceState
    STOPPING: YamcsInstance.InstanceState
    FAILED: YamcsInstance.InstanceState
    NAME_FIELD_NUMBER: _ClassVar[int]
    MISSIONTIME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    EVENTCOUNT_FIELD_NUMBER: _ClassVar[int]
    name: str
    missionTime: _timestamp_pb2.Timestamp
    state: YamcsInstance.InstanceState
    eventCount: int
    def __init__(self, name: _Optional[str] = ..., missionTime: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., state: _Optional[_Union[YamcsInstance.InstanceState, str]] = ..., eventCount: _Optional[int] = ...) -> None: ...

class ListInstancesResponse(_message.Message):
    __slots__ = ("instances",)
    INSTANCES_FIELD_NUMBER: _ClassVar[int]
    instances: _containers.RepeatedCompositeFieldContainer[YamcsInstance]
    def __init__(self, instances: _Optional[_Iterable[_Union[YamcsInstance, _Mapping]]] = ...) -> None: ...

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

class ListEventsRequest(_message.Message):
    __slots__ = ("instance", "pos", "limit", "order", "severity", "source", "next", "start", "stop", "q", "filter")
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    POS_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    ORDER_FIELD_NUMBER: _ClassVar[int]
    SEVERITY_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    STOP_FIELD_NUMBER: _ClassVar[int]
    Q_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    instance: str
    pos: int
    limit: int
    order: str
    severity: str
    source: _containers.RepeatedScalarFieldContainer[str]
    next: str
    start: _timestamp_pb2.Timestamp
    stop: _timestamp_pb2.Timestamp
    q: str
    filter: str
    def __init__(self, instance: _Optional[str] = ..., pos: _Optional[int] = ..., limit: _Optional[int] = ..., order: _Optional[str] = ..., severity: _Optional[str] = ..., source: _Optional[_Iterable[str]] = ..., next: _Optional[str] = ..., start: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., stop: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., q: _Optional[str] = ..., filter: _Optional[str] = ...) -> None: ...

class StreamEventsRequest(_message.Message):
    __slots__ = ("instance", "start", "stop", "source", "severity", "q", "filter")
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    STOP_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    SEVERITY_FIELD_NUMBER: _ClassVar[int]
    Q_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    instance: str
    start: _timestamp_pb2.Timestamp
    stop: _timestamp_pb2.Timestamp
    source: _containers.RepeatedScalarFieldContainer[str]
    severity: str
    q: str
    filter: str
    def __init__(self, instance: _Optional[str] = ..., start: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., stop: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., source: _Optional[_Iterable[str]] = ..., severity: _Optional[str] = ..., q: _Optional[str] = ..., filter: _Optional[str] = ...) -> None: ...

class CountEventsRequest(_message.Message):
    __slots__ = ("instance", "start", "stop", "source", "severity", "q", "filter")
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    STOP_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    SEVERITY_FIELD_NUMBER: _ClassVar[int]
    Q_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    instance: str
    start: _timestamp_pb2.Timestamp
    stop: _timestamp_pb2.Timestamp
    source: _containers.RepeatedScalarFieldContainer[str]
    severity: str
    q: str
    filter: str
    def __init__(self, instance: _Optional[str] = ..., start: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., stop: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., source: _Optional[_Iterable[str]] = ..., severity: _Optional[str] = ..., q: _Optional[str] = ..., filter: _Optional[str] = ...) -> None: ...

class CountEventsResponse(_message.Message):
    __slots__ = ("count",)
    COUNT_FIELD_NUMBER: _ClassVar[int]
    count: int
    def __init__(self, count: _Optional[int] = ...) -> None: ...

class ListEventSourcesResponse(_message.Message):
    __slots__ = ("source", "sources")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    source: _containers.RepeatedScalarFieldContainer[str]
    sources: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, source: _Optional[_Iterable[str]] = ..., sources: _Optional[_Iterable[str]] = ...) -> None: ...

class FilterSyntaxException(_message.Message):
    __slots__ = ("beginLine", "beginColumn", "endLine", "endColumn", "reason")
    BEGINLINE_FIELD_NUMBER: _ClassVar[int]
    BEGINCOLUMN_FIELD_NUMBER: _ClassVar[int]
    ENDLINE_FIELD_NUMBER: _ClassVar[int]
    ENDCOLUMN_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    beginLine: int
    beginColumn: int
    endLine: int
    endColumn: int
    reason: str
    def __init__(self, beginLine: _Optional[int] = ..., beginColumn: _Optional[int] = ..., endLine: _Optional[int] = ..., endColumn: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class NamedObjectId(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class ListEventIndexRequest(_message.Message):
    __slots__ = ("instance", "mergeTime", "limit", "start", "stop", "next", "source")
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    MERGETIME_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    STOP_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    instance: str
    mergeTime: int
    limit: int
    start: _timestamp_pb2.Timestamp
    stop: _timestamp_pb2.Timestamp
    next: str
    source: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, instance: _Optional[str] = ..., mergeTime: _Optional[int] = ..., limit: _Optional[int] = ..., start: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., stop: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., next: _Optional[str] = ..., source: _Optional[_Iterable[str]] = ...) -> None: ...

class IndexEntry(_message.Message):
    __slots__ = ("start", "stop", "count")
    START_FIELD_NUMBER: _ClassVar[int]
    STOP_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    start: str
    stop: str
    count: int
    def __init__(self, start: _Optional[str] = ..., stop: _Optional[str] = ..., count: _Optional[int] = ...) -> None: ...

class IndexGroup(_message.Message):
    __slots__ = ("id", "entry")
    ID_FIELD_NUMBER: _ClassVar[int]
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    id: NamedObjectId
    entry: _containers.RepeatedCompositeFieldContainer[IndexEntry]
    def __init__(self, id: _Optional[_Union[NamedObjectId, _Mapping]] = ..., entry: _Optional[_Iterable[_Union[IndexEntry, _Mapping]]] = ...) -> None: ...

class IndexResponse(_message.Message):
    __slots__ = ("group", "continuationToken")
    GROUP_FIELD_NUMBER: _ClassVar[int]
    CONTINUATIONTOKEN_FIELD_NUMBER: _ClassVar[int]
    group: _containers.RepeatedCompositeFieldContainer[IndexGroup]
    continuationToken: str
    def __init__(self, group: _Optional[_Iterable[_Union[IndexGroup, _Mapping]]] = ..., continuationToken: _Optional[str] = ...) -> None: ...

class StreamEventIndexRequest(_message.Message):
    __slots__ = ("instance", "start", "stop", "mergeTime")
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    STOP_FIELD_NUMBER: _ClassVar[int]
    MERGETIME_FIELD_NUMBER: _ClassVar[int]
    instance: str
    start: _timestamp_pb2.Timestamp
    stop: _timestamp_pb2.Timestamp
    mergeTime: int
    def __init__(self, instance: _Optional[str] = ..., start: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., stop: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., mergeTime: _Optional[int] = ...) -> None: ...

class ArchiveRecord(_message.Message):
    __slots__ = ("id", "num", "first", "last")
    ID_FIELD_NUMBER: _ClassVar[int]
    NUM_FIELD_NUMBER: _ClassVar[int]
    FIRST_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    id: NamedObjectId
    num: int
    first: _timestamp_pb2.Timestamp
    last: _timestamp_pb2.Timestamp
    def __init__(self, id: _Optional[_Union[NamedObjectId, _Mapping]] = ..., num: _Optional[int] = ..., first: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
