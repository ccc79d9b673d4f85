from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
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
    __slots__ = ("standing", "announced", "clock_ms")
    class Standing(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        UNSPECIFIED: _ClassVar[StandingReply.Standing]
        WAITING: _ClassVar[StandingReply.Standing]
        ADMITTED: _ClassVar[StandingReply.Standing]
    UNSPECIFIED: StandingReply.Standing
    WAITING: StandingReply.Standing
    ADMITTED: StandingReply.Standing
    STANDING_FIELD_NUMBER: _ClassVar[int]
    ANNOUNCED_FIELD_NUMBER: _ClassVar[int]
    CLOCK_MS_FIELD_NUMBER: _ClassVar[int]
    standing: StandingReply.Standing
    announced: int
    clock_ms: int
    def __init__(self, standing: _Optional[_Union[StandingReply.Standing, str]] = ..., announced: _Optional[int] = ..., clock_ms: _Optional[int] = ...) -> None: ...

class RenewRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RenewReply(_message.Message):
    __slots__ = ("certificate",)
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    certificate: bytes
    def __init__(self, certificate: _Optional[bytes] = ...) -> None: ...

class ProposalsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ProposalsReply(_message.Message):
    __slots__ = ("entries",)
    class Answer(_message.Message):
        __slots__ = ("partner", "kind", "comment", "at")
        class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
            __slots__ = ()
            UNSPECIFIED: _ClassVar[ProposalsReply.Answer.Kind]
            OPEN: _ClassVar[ProposalsReply.Answer.Kind]
            SIGNED: _ClassVar[ProposalsReply.Answer.Kind]
            DECLINED: _ClassVar[ProposalsReply.Answer.Kind]
        UNSPECIFIED: ProposalsReply.Answer.Kind
        OPEN: ProposalsReply.Answer.Kind
        SIGNED: ProposalsReply.Answer.Kind
        DECLINED: ProposalsReply.Answer.Kind
        PARTNER_FIELD_NUMBER: _ClassVar[int]
        KIND_FIELD_NUMBER: _ClassVar[int]
        COMMENT_FIELD_NUMBER: _ClassVar[int]
        AT_FIELD_NUMBER: _ClassVar[int]
        partner: str
        kind: ProposalsReply.Answer.Kind
        comment: str
        at: str
        def __init__(self, partner: _Optional[str] = ..., kind: _Optional[_Union[ProposalsReply.Answer.Kind, str]] = ..., comment: _Optional[str] = ..., at: _Optional[str] = ...) -> None: ...
    class Entry(_message.Message):
        __slots__ = ("hash", "id", "version", "proposed_at", "answers")
        HASH_FIELD_NUMBER: _ClassVar[int]
        ID_FIELD_NUMBER: _ClassVar[int]
        VERSION_FIELD_NUMBER: _ClassVar[int]
        PROPOSED_AT_FIELD_NUMBER: _ClassVar[int]
        ANSWERS_FIELD_NUMBER: _ClassVar[int]
        hash: bytes
        id: str
        version: int
        proposed_at: str
        answers: _containers.RepeatedCompositeFieldContainer[ProposalsReply.Answer]
        def __init__(self, hash: _Optional[bytes] = ..., id: _Optional[str] = ..., version: _Optional[int] = ..., proposed_at: _Optional[str] = ..., answers: _Optional[_Iterable[_Union[ProposalsReply.Answer, _Mapping]]] = ...) -> None: ...
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[ProposalsReply.Entry]
    def __init__(self, entries: _Optional[_Iterable[_Union[ProposalsReply.Entry, _Mapping]]] = ...) -> None: ...

class ProposalRequest(_message.Message):
    __slots__ = ("hash",)
    HASH_FIELD_NUMBER: _ClassVar[int]
    hash: bytes
    def __init__(self, hash: _Optional[bytes] = ...) -> None: ...

class ProposalReply(_message.Message):
    __slots__ = ("envelope",)
    ENVELOPE_FIELD_NUMBER: _ClassVar[int]
    envelope: bytes
    def __init__(self, envelope: _Optional[bytes] = ...) -> None: ...

class SignRequest(_message.Message):
    __slots__ = ("hash", "signature")
    HASH_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    hash: bytes
    signature: bytes
    def __init__(self, hash: _Optional[bytes] = ..., signature: _Optional[bytes] = ...) -> None: ...

class SignReply(_message.Message):
    __slots__ = ("complete",)
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    complete: bool
    def __init__(self, complete: bool = ...) -> None: ...

class DeclineRequest(_message.Message):
    __slots__ = ("hash", "comment")
    HASH_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    hash: bytes
    comment: str
    def __init__(self, hash: _Optional[bytes] = ..., comment: _Optional[str] = ...) -> None: ...

class DeclineReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StopRequest(_message.Message):
    __slots__ = ("envelope",)
    ENVELOPE_FIELD_NUMBER: _ClassVar[int]
    envelope: bytes
    def __init__(self, envelope: _Optional[bytes] = ...) -> None: ...

class StopReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StopsRequest(_message.Message):
    __slots__ = ("hash",)
    HASH_FIELD_NUMBER: _ClassVar[int]
    hash: bytes
    def __init__(self, hash: _Optional[bytes] = ...) -> None: ...

class StopsReply(_message.Message):
    __slots__ = ("envelopes",)
    ENVELOPES_FIELD_NUMBER: _ClassVar[int]
    envelopes: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, envelopes: _Optional[_Iterable[bytes]] = ...) -> None: ...

class ReadinessRequest(_message.Message):
    __slots__ = ("hash", "codes", "since", "version")
    HASH_FIELD_NUMBER: _ClassVar[int]
    CODES_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    hash: bytes
    codes: _containers.RepeatedScalarFieldContainer[str]
    since: int
    version: str
    def __init__(self, hash: _Optional[bytes] = ..., codes: _Optional[_Iterable[str]] = ..., since: _Optional[int] = ..., version: _Optional[str] = ...) -> None: ...

class ReadinessReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ReleasesRequest(_message.Message):
    __slots__ = ("hash",)
    HASH_FIELD_NUMBER: _ClassVar[int]
    hash: bytes
    def __init__(self, hash: _Optional[bytes] = ...) -> None: ...

class ReleasesReply(_message.Message):
    __slots__ = ("runs",)
    RUNS_FIELD_NUMBER: _ClassVar[int]
    runs: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, runs: _Optional[_Iterable[bytes]] = ...) -> None: ...

class ReleaseRequest(_message.Message):
    __slots__ = ("run",)
    RUN_FIELD_NUMBER: _ClassVar[int]
    run: bytes
    def __init__(self, run: _Optional[bytes] = ...) -> None: ...

class ReleaseReply(_message.Message):
    __slots__ = ("message",)
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    message: bytes
    def __init__(self, message: _Optional[bytes] = ...) -> None: ...

class AcknowledgeRequest(_message.Message):
    __slots__ = ("run", "reply", "code")
    RUN_FIELD_NUMBER: _ClassVar[int]
    REPLY_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    run: bytes
    reply: bytes
    code: str
    def __init__(self, run: _Optional[bytes] = ..., reply: _Optional[bytes] = ..., code: _Optional[str] = ...) -> None: ...

class AcknowledgeReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class BuildsRequest(_message.Message):
    __slots__ = ("hash",)
    HASH_FIELD_NUMBER: _ClassVar[int]
    hash: bytes
    def __init__(self, hash: _Optional[bytes] = ...) -> None: ...

class BuildsReply(_message.Message):
    __slots__ = ("envelopes",)
    ENVELOPES_FIELD_NUMBER: _ClassVar[int]
    envelopes: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, envelopes: _Optional[_Iterable[bytes]] = ...) -> None: ...

class SignBuildRequest(_message.Message):
    __slots__ = ("hash", "build", "signature")
    HASH_FIELD_NUMBER: _ClassVar[int]
    BUILD_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    hash: bytes
    build: bytes
    signature: bytes
    def __init__(self, hash: _Optional[bytes] = ..., build: _Optional[bytes] = ..., signature: _Optional[bytes] = ...) -> None: ...

class SignBuildReply(_message.Message):
    __slots__ = ("complete",)
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    complete: bool
    def __init__(self, complete: bool = ...) -> None: ...

class DiligenceRequest(_message.Message):
    __slots__ = ("hash",)
    HASH_FIELD_NUMBER: _ClassVar[int]
    hash: bytes
    def __init__(self, hash: _Optional[bytes] = ...) -> None: ...

class DiligenceReply(_message.Message):
    __slots__ = ("envelopes",)
    ENVELOPES_FIELD_NUMBER: _ClassVar[int]
    envelopes: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, envelopes: _Optional[_Iterable[bytes]] = ...) -> None: ...

class HandOverRequest(_message.Message):
    __slots__ = ("envelope",)
    ENVELOPE_FIELD_NUMBER: _ClassVar[int]
    envelope: bytes
    def __init__(self, envelope: _Optional[bytes] = ...) -> None: ...

class HandOverReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class HandOversRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class HandOversReply(_message.Message):
    __slots__ = ("envelopes",)
    ENVELOPES_FIELD_NUMBER: _ClassVar[int]
    envelopes: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, envelopes: _Optional[_Iterable[bytes]] = ...) -> None: ...

class AuthoritiesRequest(_message.Message):
    __slots__ = ("number",)
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    number: int
    def __init__(self, number: _Optional[int] = ...) -> None: ...

class AuthoritiesReply(_message.Message):
    __slots__ = ("envelope",)
    ENVELOPE_FIELD_NUMBER: _ClassVar[int]
    envelope: bytes
    def __init__(self, envelope: _Optional[bytes] = ...) -> None: ...

class AnnouncementsRequest(_message.Message):
    __slots__ = ("after",)
    AFTER_FIELD_NUMBER: _ClassVar[int]
    after: int
    def __init__(self, after: _Optional[int] = ...) -> None: ...

class Announcement(_message.Message):
    __slots__ = ("number", "kind", "hash")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        NOTHING: _ClassVar[Announcement.Kind]
        ADMITTED: _ClassVar[Announcement.Kind]
        PROPOSED: _ClassVar[Announcement.Kind]
        COMPLETE: _ClassVar[Announcement.Kind]
        STOPPED: _ClassVar[Announcement.Kind]
        CHECK: _ClassVar[Announcement.Kind]
        RELEASED: _ClassVar[Announcement.Kind]
        BUILD: _ClassVar[Announcement.Kind]
        HAND_OVER: _ClassVar[Announcement.Kind]
        RUN: _ClassVar[Announcement.Kind]
        AUTHORITIES: _ClassVar[Announcement.Kind]
    NOTHING: Announcement.Kind
    ADMITTED: Announcement.Kind
    PROPOSED: Announcement.Kind
    COMPLETE: Announcement.Kind
    STOPPED: Announcement.Kind
    CHECK: Announcement.Kind
    RELEASED: Announcement.Kind
    BUILD: Announcement.Kind
    HAND_OVER: Announcement.Kind
    RUN: Announcement.Kind
    AUTHORITIES: Announcement.Kind
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    HASH_FIELD_NUMBER: _ClassVar[int]
    number: int
    kind: Announcement.Kind
    hash: bytes
    def __init__(self, number: _Optional[int] = ..., kind: _Optional[_Union[Announcement.Kind, str]] = ..., hash: _Optional[bytes] = ...) -> None: ...
