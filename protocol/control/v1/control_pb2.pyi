from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GreetRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GreetReply(_message.Message):
    __slots__ = ("partner", "legal_name", "contact", "coordinator_key", "port", "authority")
    PARTNER_FIELD_NUMBER: _ClassVar[int]
    LEGAL_NAME_FIELD_NUMBER: _ClassVar[int]
    CONTACT_FIELD_NUMBER: _ClassVar[int]
    COORDINATOR_KEY_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    AUTHORITY_FIELD_NUMBER: _ClassVar[int]
    partner: str
    legal_name: str
    contact: str
    coordinator_key: bytes
    port: int
    authority: bytes
    def __init__(self, partner: _Optional[str] = ..., legal_name: _Optional[str] = ..., contact: _Optional[str] = ..., coordinator_key: _Optional[bytes] = ..., port: _Optional[int] = ..., authority: _Optional[bytes] = ...) -> None: ...

class EnrolRequest(_message.Message):
    __slots__ = ("card", "signature")
    CARD_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    card: bytes
    signature: bytes
    def __init__(self, card: _Optional[bytes] = ..., signature: _Optional[bytes] = ...) -> None: ...

class EnrolReply(_message.Message):
    __slots__ = ("certificate",)
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    certificate: bytes
    def __init__(self, certificate: _Optional[bytes] = ...) -> None: ...

class StandingRequest(_message.Message):
    __slots__ = ("version",)
    VERSION_FIELD_NUMBER: _ClassVar[int]
    version: str
    def __init__(self, version: _Optional[str] = ...) -> None: ...

class StandingReply(_message.Message):
    __slots__ = ("standing",)
    class Standing(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        UNSPECIFIED: _ClassVar[StandingReply.Standing]
        WAITING: _ClassVar[StandingReply.Standing]
        ADMITTED: _ClassVar[StandingReply.Standing]
    UNSPECIFIED: StandingReply.Standing
    WAITING: StandingReply.Standing
    ADMITTED: StandingReply.Standing
    STANDING_FIELD_NUMBER: _ClassVar[int]
    standing: StandingReply.Standing
    def __init__(self, standing: _Optional[_Union[StandingReply.Standing, str]] = ...) -> None: ...

class RenewRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RenewReply(_message.Message):
    __slots__ = ("certificate",)
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    certificate: bytes
    def __init__(self, certificate: _Optional[bytes] = ...) -> None: ...
