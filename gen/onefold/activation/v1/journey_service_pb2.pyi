from onefold.activation.v1 import contact_policy_pb2 as _contact_policy_pb2
from onefold.activation.v1 import journey_facts_pb2 as _journey_facts_pb2
from onefold.activation.v1 import journeys_pb2 as _journeys_pb2
from onefold.rule.v1 import rule_pb2 as _rule_pb2
from onefold.type.v1 import identifier_pb2 as _identifier_pb2
from onefold.type.v1 import options_pb2 as _options_pb2
from onefold.type.v1 import token_pb2 as _token_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DefineJourneyRequest(_message.Message):
    __slots__ = ("journey", "dry_run", "etag", "assumed")
    JOURNEY_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    ASSUMED_FIELD_NUMBER: _ClassVar[int]
    journey: _journeys_pb2.Journey
    dry_run: bool
    etag: str
    assumed: JourneyAssumptions
    def __init__(self, journey: _Optional[_Union[_journeys_pb2.Journey, _Mapping]] = ..., dry_run: _Optional[bool] = ..., etag: _Optional[str] = ..., assumed: _Optional[_Union[JourneyAssumptions, _Mapping]] = ...) -> None: ...

class JourneyAssumptions(_message.Message):
    __slots__ = ("destinations", "templates", "journeys", "rules")
    DESTINATIONS_FIELD_NUMBER: _ClassVar[int]
    TEMPLATES_FIELD_NUMBER: _ClassVar[int]
    JOURNEYS_FIELD_NUMBER: _ClassVar[int]
    RULES_FIELD_NUMBER: _ClassVar[int]
    destinations: _containers.RepeatedScalarFieldContainer[str]
    templates: _containers.RepeatedScalarFieldContainer[str]
    journeys: _containers.RepeatedScalarFieldContainer[str]
    rules: _containers.RepeatedCompositeFieldContainer[_rule_pb2.Reference]
    def __init__(self, destinations: _Optional[_Iterable[str]] = ..., templates: _Optional[_Iterable[str]] = ..., journeys: _Optional[_Iterable[str]] = ..., rules: _Optional[_Iterable[_Union[_rule_pb2.Reference, _Mapping]]] = ...) -> None: ...

class JourneyWarning(_message.Message):
    __slots__ = ("at", "problem", "remedy")
    AT_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    REMEDY_FIELD_NUMBER: _ClassVar[int]
    at: str
    problem: str
    remedy: str
    def __init__(self, at: _Optional[str] = ..., problem: _Optional[str] = ..., remedy: _Optional[str] = ...) -> None: ...

class DefineJourneyResponse(_message.Message):
    __slots__ = ("journey", "changed", "token", "etag", "warnings")
    JOURNEY_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    journey: _journeys_pb2.Journey
    changed: bool
    token: _token_pb2.Token
    etag: str
    warnings: _containers.RepeatedCompositeFieldContainer[JourneyWarning]
    def __init__(self, journey: _Optional[_Union[_journeys_pb2.Journey, _Mapping]] = ..., changed: _Optional[bool] = ..., token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ..., etag: _Optional[str] = ..., warnings: _Optional[_Iterable[_Union[JourneyWarning, _Mapping]]] = ...) -> None: ...

class ListJourneysRequest(_message.Message):
    __slots__ = ("at_least",)
    AT_LEAST_FIELD_NUMBER: _ClassVar[int]
    at_least: _token_pb2.Token
    def __init__(self, at_least: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class JourneySummary(_message.Message):
    __slots__ = ("journey", "flow", "etag")
    JOURNEY_FIELD_NUMBER: _ClassVar[int]
    FLOW_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    journey: _journeys_pb2.Journey
    flow: _journey_facts_pb2.Flow
    etag: str
    def __init__(self, journey: _Optional[_Union[_journeys_pb2.Journey, _Mapping]] = ..., flow: _Optional[_Union[_journey_facts_pb2.Flow, str]] = ..., etag: _Optional[str] = ...) -> None: ...

class ListJourneysResponse(_message.Message):
    __slots__ = ("journeys",)
    JOURNEYS_FIELD_NUMBER: _ClassVar[int]
    journeys: _containers.RepeatedCompositeFieldContainer[JourneySummary]
    def __init__(self, journeys: _Optional[_Iterable[_Union[JourneySummary, _Mapping]]] = ...) -> None: ...

class GetJourneyRequest(_message.Message):
    __slots__ = ("journey_id", "version", "at_least")
    JOURNEY_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    AT_LEAST_FIELD_NUMBER: _ClassVar[int]
    journey_id: str
    version: int
    at_least: _token_pb2.Token
    def __init__(self, journey_id: _Optional[str] = ..., version: _Optional[int] = ..., at_least: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class GetJourneyResponse(_message.Message):
    __slots__ = ("journey", "flow", "etag")
    JOURNEY_FIELD_NUMBER: _ClassVar[int]
    FLOW_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    journey: _journeys_pb2.Journey
    flow: _journey_facts_pb2.Flow
    etag: str
    def __init__(self, journey: _Optional[_Union[_journeys_pb2.Journey, _Mapping]] = ..., flow: _Optional[_Union[_journey_facts_pb2.Flow, str]] = ..., etag: _Optional[str] = ...) -> None: ...

class SetJourneyFlowRequest(_message.Message):
    __slots__ = ("journey_id", "flow", "overdue")
    JOURNEY_ID_FIELD_NUMBER: _ClassVar[int]
    FLOW_FIELD_NUMBER: _ClassVar[int]
    OVERDUE_FIELD_NUMBER: _ClassVar[int]
    journey_id: str
    flow: _journey_facts_pb2.Flow
    overdue: _journey_facts_pb2.Overdue
    def __init__(self, journey_id: _Optional[str] = ..., flow: _Optional[_Union[_journey_facts_pb2.Flow, str]] = ..., overdue: _Optional[_Union[_journey_facts_pb2.Overdue, str]] = ...) -> None: ...

class SetJourneyFlowResponse(_message.Message):
    __slots__ = ("changed", "token")
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    changed: bool
    token: _token_pb2.Token
    def __init__(self, changed: _Optional[bool] = ..., token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class SetDestinationFlowRequest(_message.Message):
    __slots__ = ("destination_id", "flow", "overdue")
    DESTINATION_ID_FIELD_NUMBER: _ClassVar[int]
    FLOW_FIELD_NUMBER: _ClassVar[int]
    OVERDUE_FIELD_NUMBER: _ClassVar[int]
    destination_id: str
    flow: _journey_facts_pb2.Flow
    overdue: _journey_facts_pb2.Overdue
    def __init__(self, destination_id: _Optional[str] = ..., flow: _Optional[_Union[_journey_facts_pb2.Flow, str]] = ..., overdue: _Optional[_Union[_journey_facts_pb2.Overdue, str]] = ...) -> None: ...

class SetDestinationFlowResponse(_message.Message):
    __slots__ = ("changed", "token")
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    changed: bool
    token: _token_pb2.Token
    def __init__(self, changed: _Optional[bool] = ..., token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class DefineContactPolicyRequest(_message.Message):
    __slots__ = ("policy", "dry_run", "etag")
    POLICY_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    policy: _contact_policy_pb2.ContactPolicy
    dry_run: bool
    etag: str
    def __init__(self, policy: _Optional[_Union[_contact_policy_pb2.ContactPolicy, _Mapping]] = ..., dry_run: _Optional[bool] = ..., etag: _Optional[str] = ...) -> None: ...

class DefineContactPolicyResponse(_message.Message):
    __slots__ = ("policy", "changed", "token", "etag", "version")
    POLICY_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    policy: _contact_policy_pb2.ContactPolicy
    changed: bool
    token: _token_pb2.Token
    etag: str
    version: int
    def __init__(self, policy: _Optional[_Union[_contact_policy_pb2.ContactPolicy, _Mapping]] = ..., changed: _Optional[bool] = ..., token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ..., etag: _Optional[str] = ..., version: _Optional[int] = ...) -> None: ...

class GetContactPolicyRequest(_message.Message):
    __slots__ = ("at_least",)
    AT_LEAST_FIELD_NUMBER: _ClassVar[int]
    at_least: _token_pb2.Token
    def __init__(self, at_least: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class GetContactPolicyResponse(_message.Message):
    __slots__ = ("policy", "etag")
    POLICY_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    policy: _contact_policy_pb2.ContactPolicy
    etag: str
    def __init__(self, policy: _Optional[_Union[_contact_policy_pb2.ContactPolicy, _Mapping]] = ..., etag: _Optional[str] = ...) -> None: ...

class EnterJourneyRequest(_message.Message):
    __slots__ = ("journey_id", "identifiers", "properties", "request_id")
    JOURNEY_ID_FIELD_NUMBER: _ClassVar[int]
    IDENTIFIERS_FIELD_NUMBER: _ClassVar[int]
    PROPERTIES_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    journey_id: str
    identifiers: _containers.RepeatedCompositeFieldContainer[_identifier_pb2.Identifier]
    properties: bytes
    request_id: str
    def __init__(self, journey_id: _Optional[str] = ..., identifiers: _Optional[_Iterable[_Union[_identifier_pb2.Identifier, _Mapping]]] = ..., properties: _Optional[bytes] = ..., request_id: _Optional[str] = ...) -> None: ...

class EnterJourneyResponse(_message.Message):
    __slots__ = ("is_new", "token")
    IS_NEW_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    is_new: bool
    token: _token_pb2.Token
    def __init__(self, is_new: _Optional[bool] = ..., token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...
