from onefold.activation.v1 import journeys_pb2 as _journeys_pb2
from onefold.log.v1 import log_pb2 as _log_pb2
from onefold.profile.v1 import profile_facts_pb2 as _profile_facts_pb2
from onefold.profile.v1 import profile_stream_pb2 as _profile_stream_pb2
from onefold.rule.v1 import rule_pb2 as _rule_pb2
from onefold.type.v1 import identifier_pb2 as _identifier_pb2
from onefold.type.v1 import options_pb2 as _options_pb2
from onefold.type.v1 import source_trust_pb2 as _source_trust_pb2
from onefold.type.v1 import token_pb2 as _token_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RulePart(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RULE_PART_UNSPECIFIED: _ClassVar[RulePart]
    RULE_PART_ALL: _ClassVar[RulePart]
    RULE_PART_ANY: _ClassVar[RulePart]
    RULE_PART_NOT: _ClassVar[RulePart]
    RULE_PART_REFERENCE: _ClassVar[RulePart]
    RULE_PART_PREDICATE: _ClassVar[RulePart]

class MissingKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MISSING_KIND_UNSPECIFIED: _ClassVar[MissingKind]
    MISSING_KIND_EVENT: _ClassVar[MissingKind]
    MISSING_KIND_TRAIT: _ClassVar[MissingKind]
    MISSING_KIND_ORDER: _ClassVar[MissingKind]

class ValueType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VALUE_TYPE_UNSPECIFIED: _ClassVar[ValueType]
    VALUE_TYPE_STRING: _ClassVar[ValueType]
    VALUE_TYPE_NUMBER: _ClassVar[ValueType]
    VALUE_TYPE_BOOLEAN: _ClassVar[ValueType]
    VALUE_TYPE_LIST: _ClassVar[ValueType]
    VALUE_TYPE_OBJECT: _ClassVar[ValueType]
RULE_PART_UNSPECIFIED: RulePart
RULE_PART_ALL: RulePart
RULE_PART_ANY: RulePart
RULE_PART_NOT: RulePart
RULE_PART_REFERENCE: RulePart
RULE_PART_PREDICATE: RulePart
MISSING_KIND_UNSPECIFIED: MissingKind
MISSING_KIND_EVENT: MissingKind
MISSING_KIND_TRAIT: MissingKind
MISSING_KIND_ORDER: MissingKind
VALUE_TYPE_UNSPECIFIED: ValueType
VALUE_TYPE_STRING: ValueType
VALUE_TYPE_NUMBER: ValueType
VALUE_TYPE_BOOLEAN: ValueType
VALUE_TYPE_LIST: ValueType
VALUE_TYPE_OBJECT: ValueType

class Trait(_message.Message):
    __slots__ = ("name", "value", "occurred_at_us", "fact_id", "trust", "source_id", "party", "correction", "standard", "cleaner")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_US_FIELD_NUMBER: _ClassVar[int]
    FACT_ID_FIELD_NUMBER: _ClassVar[int]
    TRUST_FIELD_NUMBER: _ClassVar[int]
    SOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    PARTY_FIELD_NUMBER: _ClassVar[int]
    CORRECTION_FIELD_NUMBER: _ClassVar[int]
    STANDARD_FIELD_NUMBER: _ClassVar[int]
    CLEANER_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: bytes
    occurred_at_us: int
    fact_id: str
    trust: _source_trust_pb2.SourceTrust
    source_id: str
    party: _source_trust_pb2.Party
    correction: Correction
    standard: bytes
    cleaner: str
    def __init__(self, name: _Optional[str] = ..., value: _Optional[bytes] = ..., occurred_at_us: _Optional[int] = ..., fact_id: _Optional[str] = ..., trust: _Optional[_Union[_source_trust_pb2.SourceTrust, str]] = ..., source_id: _Optional[str] = ..., party: _Optional[_Union[_source_trust_pb2.Party, str]] = ..., correction: _Optional[_Union[Correction, _Mapping]] = ..., standard: _Optional[bytes] = ..., cleaner: _Optional[str] = ...) -> None: ...

class Correction(_message.Message):
    __slots__ = ("actor", "reason")
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    actor: str
    reason: str
    def __init__(self, actor: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class Touch(_message.Message):
    __slots__ = ("occurred_at_us", "fact_id", "source", "medium", "name", "term", "content", "click_id", "click_id_type")
    OCCURRED_AT_US_FIELD_NUMBER: _ClassVar[int]
    FACT_ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    MEDIUM_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    CLICK_ID_FIELD_NUMBER: _ClassVar[int]
    CLICK_ID_TYPE_FIELD_NUMBER: _ClassVar[int]
    occurred_at_us: int
    fact_id: str
    source: str
    medium: str
    name: str
    term: str
    content: str
    click_id: str
    click_id_type: str
    def __init__(self, occurred_at_us: _Optional[int] = ..., fact_id: _Optional[str] = ..., source: _Optional[str] = ..., medium: _Optional[str] = ..., name: _Optional[str] = ..., term: _Optional[str] = ..., content: _Optional[str] = ..., click_id: _Optional[str] = ..., click_id_type: _Optional[str] = ...) -> None: ...

class Prediction(_message.Message):
    __slots__ = ("model_id", "model_version", "score", "as_of_us", "fact_id")
    MODEL_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    AS_OF_US_FIELD_NUMBER: _ClassVar[int]
    FACT_ID_FIELD_NUMBER: _ClassVar[int]
    model_id: str
    model_version: str
    score: float
    as_of_us: int
    fact_id: str
    def __init__(self, model_id: _Optional[str] = ..., model_version: _Optional[str] = ..., score: _Optional[float] = ..., as_of_us: _Optional[int] = ..., fact_id: _Optional[str] = ...) -> None: ...

class ProfileTag(_message.Message):
    __slots__ = ("tag_id", "value", "kind")
    TAG_ID_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    tag_id: str
    value: str
    kind: _profile_facts_pb2.TagKind
    def __init__(self, tag_id: _Optional[str] = ..., value: _Optional[str] = ..., kind: _Optional[_Union[_profile_facts_pb2.TagKind, str]] = ...) -> None: ...

class ComputedValue(_message.Message):
    __slots__ = ("name", "value")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: bytes
    def __init__(self, name: _Optional[str] = ..., value: _Optional[bytes] = ...) -> None: ...

class Profile(_message.Message):
    __slots__ = ("profile_id", "identifiers", "traits", "tags", "computed_traits", "first_touch", "last_touch", "predictions", "past_segment_ids", "first_seen_us", "last_seen_us", "event_count", "leaf_ids", "accounts", "has_dropped_traits", "identifier_count", "consents", "blocks", "other_identifier_ids")
    PROFILE_ID_FIELD_NUMBER: _ClassVar[int]
    IDENTIFIERS_FIELD_NUMBER: _ClassVar[int]
    TRAITS_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    COMPUTED_TRAITS_FIELD_NUMBER: _ClassVar[int]
    FIRST_TOUCH_FIELD_NUMBER: _ClassVar[int]
    LAST_TOUCH_FIELD_NUMBER: _ClassVar[int]
    PREDICTIONS_FIELD_NUMBER: _ClassVar[int]
    PAST_SEGMENT_IDS_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEEN_US_FIELD_NUMBER: _ClassVar[int]
    LAST_SEEN_US_FIELD_NUMBER: _ClassVar[int]
    EVENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    LEAF_IDS_FIELD_NUMBER: _ClassVar[int]
    ACCOUNTS_FIELD_NUMBER: _ClassVar[int]
    HAS_DROPPED_TRAITS_FIELD_NUMBER: _ClassVar[int]
    IDENTIFIER_COUNT_FIELD_NUMBER: _ClassVar[int]
    CONSENTS_FIELD_NUMBER: _ClassVar[int]
    BLOCKS_FIELD_NUMBER: _ClassVar[int]
    OTHER_IDENTIFIER_IDS_FIELD_NUMBER: _ClassVar[int]
    profile_id: str
    identifiers: _containers.RepeatedCompositeFieldContainer[_identifier_pb2.Identifier]
    traits: _containers.RepeatedCompositeFieldContainer[Trait]
    tags: _containers.RepeatedCompositeFieldContainer[ProfileTag]
    computed_traits: _containers.RepeatedCompositeFieldContainer[ComputedValue]
    first_touch: Touch
    last_touch: Touch
    predictions: _containers.RepeatedCompositeFieldContainer[Prediction]
    past_segment_ids: _containers.RepeatedScalarFieldContainer[str]
    first_seen_us: int
    last_seen_us: int
    event_count: int
    leaf_ids: _containers.RepeatedScalarFieldContainer[str]
    accounts: _containers.RepeatedCompositeFieldContainer[AccountName]
    has_dropped_traits: bool
    identifier_count: int
    consents: _containers.RepeatedCompositeFieldContainer[Consent]
    blocks: _containers.RepeatedCompositeFieldContainer[ProfileBlockView]
    other_identifier_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, profile_id: _Optional[str] = ..., identifiers: _Optional[_Iterable[_Union[_identifier_pb2.Identifier, _Mapping]]] = ..., traits: _Optional[_Iterable[_Union[Trait, _Mapping]]] = ..., tags: _Optional[_Iterable[_Union[ProfileTag, _Mapping]]] = ..., computed_traits: _Optional[_Iterable[_Union[ComputedValue, _Mapping]]] = ..., first_touch: _Optional[_Union[Touch, _Mapping]] = ..., last_touch: _Optional[_Union[Touch, _Mapping]] = ..., predictions: _Optional[_Iterable[_Union[Prediction, _Mapping]]] = ..., past_segment_ids: _Optional[_Iterable[str]] = ..., first_seen_us: _Optional[int] = ..., last_seen_us: _Optional[int] = ..., event_count: _Optional[int] = ..., leaf_ids: _Optional[_Iterable[str]] = ..., accounts: _Optional[_Iterable[_Union[AccountName, _Mapping]]] = ..., has_dropped_traits: _Optional[bool] = ..., identifier_count: _Optional[int] = ..., consents: _Optional[_Iterable[_Union[Consent, _Mapping]]] = ..., blocks: _Optional[_Iterable[_Union[ProfileBlockView, _Mapping]]] = ..., other_identifier_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class Consent(_message.Message):
    __slots__ = ("purpose", "granted", "since_us", "fact_id", "source_id")
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    GRANTED_FIELD_NUMBER: _ClassVar[int]
    SINCE_US_FIELD_NUMBER: _ClassVar[int]
    FACT_ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    purpose: str
    granted: bool
    since_us: int
    fact_id: str
    source_id: str
    def __init__(self, purpose: _Optional[str] = ..., granted: _Optional[bool] = ..., since_us: _Optional[int] = ..., fact_id: _Optional[str] = ..., source_id: _Optional[str] = ...) -> None: ...

class ProfileBlockView(_message.Message):
    __slots__ = ("block", "traits", "computed_traits", "tags")
    BLOCK_FIELD_NUMBER: _ClassVar[int]
    TRAITS_FIELD_NUMBER: _ClassVar[int]
    COMPUTED_TRAITS_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    block: _profile_facts_pb2.ProfileBlock
    traits: _containers.RepeatedScalarFieldContainer[str]
    computed_traits: _containers.RepeatedScalarFieldContainer[str]
    tags: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, block: _Optional[_Union[_profile_facts_pb2.ProfileBlock, str]] = ..., traits: _Optional[_Iterable[str]] = ..., computed_traits: _Optional[_Iterable[str]] = ..., tags: _Optional[_Iterable[str]] = ...) -> None: ...

class AccountName(_message.Message):
    __slots__ = ("profile_id", "account_ids")
    PROFILE_ID_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_IDS_FIELD_NUMBER: _ClassVar[int]
    profile_id: str
    account_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, profile_id: _Optional[str] = ..., account_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class Account(_message.Message):
    __slots__ = ("profile_id", "identifiers", "traits", "first_seen_us", "last_seen_us", "event_count", "leaf_ids", "parent", "rejected_parent", "identifier_count")
    PROFILE_ID_FIELD_NUMBER: _ClassVar[int]
    IDENTIFIERS_FIELD_NUMBER: _ClassVar[int]
    TRAITS_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEEN_US_FIELD_NUMBER: _ClassVar[int]
    LAST_SEEN_US_FIELD_NUMBER: _ClassVar[int]
    EVENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    LEAF_IDS_FIELD_NUMBER: _ClassVar[int]
    PARENT_FIELD_NUMBER: _ClassVar[int]
    REJECTED_PARENT_FIELD_NUMBER: _ClassVar[int]
    IDENTIFIER_COUNT_FIELD_NUMBER: _ClassVar[int]
    profile_id: str
    identifiers: _containers.RepeatedCompositeFieldContainer[_identifier_pb2.Identifier]
    traits: _containers.RepeatedCompositeFieldContainer[Trait]
    first_seen_us: int
    last_seen_us: int
    event_count: int
    leaf_ids: _containers.RepeatedScalarFieldContainer[str]
    parent: AccountName
    rejected_parent: AccountName
    identifier_count: int
    def __init__(self, profile_id: _Optional[str] = ..., identifiers: _Optional[_Iterable[_Union[_identifier_pb2.Identifier, _Mapping]]] = ..., traits: _Optional[_Iterable[_Union[Trait, _Mapping]]] = ..., first_seen_us: _Optional[int] = ..., last_seen_us: _Optional[int] = ..., event_count: _Optional[int] = ..., leaf_ids: _Optional[_Iterable[str]] = ..., parent: _Optional[_Union[AccountName, _Mapping]] = ..., rejected_parent: _Optional[_Union[AccountName, _Mapping]] = ..., identifier_count: _Optional[int] = ...) -> None: ...

class GetProfileRequest(_message.Message):
    __slots__ = ("profile_id", "identifier", "at_least", "as_of_token", "as_of_us")
    PROFILE_ID_FIELD_NUMBER: _ClassVar[int]
    IDENTIFIER_FIELD_NUMBER: _ClassVar[int]
    AT_LEAST_FIELD_NUMBER: _ClassVar[int]
    AS_OF_TOKEN_FIELD_NUMBER: _ClassVar[int]
    AS_OF_US_FIELD_NUMBER: _ClassVar[int]
    profile_id: str
    identifier: _identifier_pb2.Identifier
    at_least: _token_pb2.Token
    as_of_token: _token_pb2.Token
    as_of_us: int
    def __init__(self, profile_id: _Optional[str] = ..., identifier: _Optional[_Union[_identifier_pb2.Identifier, _Mapping]] = ..., at_least: _Optional[_Union[_token_pb2.Token, _Mapping]] = ..., as_of_token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ..., as_of_us: _Optional[int] = ...) -> None: ...

class GetProfileResponse(_message.Message):
    __slots__ = ("profile", "token")
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    profile: Profile
    token: _token_pb2.Token
    def __init__(self, profile: _Optional[_Union[Profile, _Mapping]] = ..., token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class BatchGetProfilesRequest(_message.Message):
    __slots__ = ("profile_ids", "at_least", "brief")
    PROFILE_IDS_FIELD_NUMBER: _ClassVar[int]
    AT_LEAST_FIELD_NUMBER: _ClassVar[int]
    BRIEF_FIELD_NUMBER: _ClassVar[int]
    profile_ids: _containers.RepeatedScalarFieldContainer[str]
    at_least: _token_pb2.Token
    brief: bool
    def __init__(self, profile_ids: _Optional[_Iterable[str]] = ..., at_least: _Optional[_Union[_token_pb2.Token, _Mapping]] = ..., brief: _Optional[bool] = ...) -> None: ...

class BatchGetProfilesResponse(_message.Message):
    __slots__ = ("profiles", "token")
    PROFILES_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    profiles: _containers.RepeatedCompositeFieldContainer[Profile]
    token: _token_pb2.Token
    def __init__(self, profiles: _Optional[_Iterable[_Union[Profile, _Mapping]]] = ..., token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class ListProfilesRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "at_least", "brief")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    AT_LEAST_FIELD_NUMBER: _ClassVar[int]
    BRIEF_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    at_least: _token_pb2.Token
    brief: bool
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., at_least: _Optional[_Union[_token_pb2.Token, _Mapping]] = ..., brief: _Optional[bool] = ...) -> None: ...

class ListProfilesResponse(_message.Message):
    __slots__ = ("profiles", "next_page_token", "token")
    PROFILES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    profiles: _containers.RepeatedCompositeFieldContainer[Profile]
    next_page_token: str
    token: _token_pb2.Token
    def __init__(self, profiles: _Optional[_Iterable[_Union[Profile, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class WatchProfilesRequest(_message.Message):
    __slots__ = ("from_token",)
    FROM_TOKEN_FIELD_NUMBER: _ClassVar[int]
    from_token: _token_pb2.Token
    def __init__(self, from_token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class WatchProfilesResponse(_message.Message):
    __slots__ = ("updates", "token")
    UPDATES_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    updates: _containers.RepeatedCompositeFieldContainer[ProfileUpdate]
    token: _token_pb2.Token
    def __init__(self, updates: _Optional[_Iterable[_Union[ProfileUpdate, _Mapping]]] = ..., token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class ProfileUpdate(_message.Message):
    __slots__ = ("profile_id", "profile", "merged_into")
    PROFILE_ID_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    MERGED_INTO_FIELD_NUMBER: _ClassVar[int]
    profile_id: str
    profile: Profile
    merged_into: str
    def __init__(self, profile_id: _Optional[str] = ..., profile: _Optional[_Union[Profile, _Mapping]] = ..., merged_into: _Optional[str] = ...) -> None: ...

class SearchProfilesRequest(_message.Message):
    __slots__ = ("text", "page_size", "at_least", "brief")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    AT_LEAST_FIELD_NUMBER: _ClassVar[int]
    BRIEF_FIELD_NUMBER: _ClassVar[int]
    text: str
    page_size: int
    at_least: _token_pb2.Token
    brief: bool
    def __init__(self, text: _Optional[str] = ..., page_size: _Optional[int] = ..., at_least: _Optional[_Union[_token_pb2.Token, _Mapping]] = ..., brief: _Optional[bool] = ...) -> None: ...

class SearchProfilesResponse(_message.Message):
    __slots__ = ("profiles", "has_more", "token")
    PROFILES_FIELD_NUMBER: _ClassVar[int]
    HAS_MORE_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    profiles: _containers.RepeatedCompositeFieldContainer[Profile]
    has_more: bool
    token: _token_pb2.Token
    def __init__(self, profiles: _Optional[_Iterable[_Union[Profile, _Mapping]]] = ..., has_more: _Optional[bool] = ..., token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class GetAccountRequest(_message.Message):
    __slots__ = ("profile_id", "account_id", "identifier", "at_least", "page_size", "page_token", "rules", "include_children")
    PROFILE_ID_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    IDENTIFIER_FIELD_NUMBER: _ClassVar[int]
    AT_LEAST_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    RULES_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_CHILDREN_FIELD_NUMBER: _ClassVar[int]
    profile_id: str
    account_id: str
    identifier: _identifier_pb2.Identifier
    at_least: _token_pb2.Token
    page_size: int
    page_token: str
    rules: _containers.RepeatedCompositeFieldContainer[_rule_pb2.Rule]
    include_children: bool
    def __init__(self, profile_id: _Optional[str] = ..., account_id: _Optional[str] = ..., identifier: _Optional[_Union[_identifier_pb2.Identifier, _Mapping]] = ..., at_least: _Optional[_Union[_token_pb2.Token, _Mapping]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., rules: _Optional[_Iterable[_Union[_rule_pb2.Rule, _Mapping]]] = ..., include_children: _Optional[bool] = ...) -> None: ...

class GetAccountResponse(_message.Message):
    __slots__ = ("account", "children", "member_profile_ids", "next_page_token", "roll_up", "token")
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    CHILDREN_FIELD_NUMBER: _ClassVar[int]
    MEMBER_PROFILE_IDS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    ROLL_UP_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    account: Account
    children: _containers.RepeatedCompositeFieldContainer[AccountName]
    member_profile_ids: _containers.RepeatedScalarFieldContainer[str]
    next_page_token: str
    roll_up: RollUp
    token: _token_pb2.Token
    def __init__(self, account: _Optional[_Union[Account, _Mapping]] = ..., children: _Optional[_Iterable[_Union[AccountName, _Mapping]]] = ..., member_profile_ids: _Optional[_Iterable[str]] = ..., next_page_token: _Optional[str] = ..., roll_up: _Optional[_Union[RollUp, _Mapping]] = ..., token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class RollUp(_message.Message):
    __slots__ = ("members", "first_seen_us", "last_seen_us", "event_count", "rules", "accounts", "as_of_us")
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEEN_US_FIELD_NUMBER: _ClassVar[int]
    LAST_SEEN_US_FIELD_NUMBER: _ClassVar[int]
    EVENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    RULES_FIELD_NUMBER: _ClassVar[int]
    ACCOUNTS_FIELD_NUMBER: _ClassVar[int]
    AS_OF_US_FIELD_NUMBER: _ClassVar[int]
    members: int
    first_seen_us: int
    last_seen_us: int
    event_count: int
    rules: _containers.RepeatedCompositeFieldContainer[RolledUpRule]
    accounts: int
    as_of_us: int
    def __init__(self, members: _Optional[int] = ..., first_seen_us: _Optional[int] = ..., last_seen_us: _Optional[int] = ..., event_count: _Optional[int] = ..., rules: _Optional[_Iterable[_Union[RolledUpRule, _Mapping]]] = ..., accounts: _Optional[int] = ..., as_of_us: _Optional[int] = ...) -> None: ...

class RolledUpRule(_message.Message):
    __slots__ = ("holds", "predicates", "rule_text")
    HOLDS_FIELD_NUMBER: _ClassVar[int]
    PREDICATES_FIELD_NUMBER: _ClassVar[int]
    RULE_TEXT_FIELD_NUMBER: _ClassVar[int]
    holds: bool
    predicates: _containers.RepeatedCompositeFieldContainer[PredicateResult]
    rule_text: str
    def __init__(self, holds: _Optional[bool] = ..., predicates: _Optional[_Iterable[_Union[PredicateResult, _Mapping]]] = ..., rule_text: _Optional[str] = ...) -> None: ...

class ListAccountsRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "at_least")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    AT_LEAST_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    at_least: _token_pb2.Token
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., at_least: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class ListAccountsResponse(_message.Message):
    __slots__ = ("accounts", "next_page_token", "token")
    ACCOUNTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    accounts: _containers.RepeatedCompositeFieldContainer[Account]
    next_page_token: str
    token: _token_pb2.Token
    def __init__(self, accounts: _Optional[_Iterable[_Union[Account, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class ListTimelineRequest(_message.Message):
    __slots__ = ("profile_id", "identifier", "page_size", "page_token", "kinds", "events", "source_ids", "since_us", "before_us", "as_of_token", "as_of_us")
    PROFILE_ID_FIELD_NUMBER: _ClassVar[int]
    IDENTIFIER_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    KINDS_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    SOURCE_IDS_FIELD_NUMBER: _ClassVar[int]
    SINCE_US_FIELD_NUMBER: _ClassVar[int]
    BEFORE_US_FIELD_NUMBER: _ClassVar[int]
    AS_OF_TOKEN_FIELD_NUMBER: _ClassVar[int]
    AS_OF_US_FIELD_NUMBER: _ClassVar[int]
    profile_id: str
    identifier: _identifier_pb2.Identifier
    page_size: int
    page_token: str
    kinds: _containers.RepeatedScalarFieldContainer[_profile_facts_pb2.TimelineKind]
    events: _containers.RepeatedScalarFieldContainer[str]
    source_ids: _containers.RepeatedScalarFieldContainer[str]
    since_us: int
    before_us: int
    as_of_token: _token_pb2.Token
    as_of_us: int
    def __init__(self, profile_id: _Optional[str] = ..., identifier: _Optional[_Union[_identifier_pb2.Identifier, _Mapping]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., kinds: _Optional[_Iterable[_Union[_profile_facts_pb2.TimelineKind, str]]] = ..., events: _Optional[_Iterable[str]] = ..., source_ids: _Optional[_Iterable[str]] = ..., since_us: _Optional[int] = ..., before_us: _Optional[int] = ..., as_of_token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ..., as_of_us: _Optional[int] = ...) -> None: ...

class TimelineEntry(_message.Message):
    __slots__ = ("fact_id", "kind", "type", "name", "occurred_at_us", "recorded_at_us", "source_id", "channel", "properties", "traits", "trust", "party", "actor", "correction", "score", "timeline_kind")
    FACT_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_US_FIELD_NUMBER: _ClassVar[int]
    RECORDED_AT_US_FIELD_NUMBER: _ClassVar[int]
    SOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    PROPERTIES_FIELD_NUMBER: _ClassVar[int]
    TRAITS_FIELD_NUMBER: _ClassVar[int]
    TRUST_FIELD_NUMBER: _ClassVar[int]
    PARTY_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    CORRECTION_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    TIMELINE_KIND_FIELD_NUMBER: _ClassVar[int]
    fact_id: str
    kind: str
    type: str
    name: str
    occurred_at_us: int
    recorded_at_us: int
    source_id: str
    channel: str
    properties: bytes
    traits: bytes
    trust: _source_trust_pb2.SourceTrust
    party: _source_trust_pb2.Party
    actor: str
    correction: _profile_facts_pb2.TraitCorrected
    score: _profile_facts_pb2.ScoreRecorded
    timeline_kind: _profile_facts_pb2.TimelineKind
    def __init__(self, fact_id: _Optional[str] = ..., kind: _Optional[str] = ..., type: _Optional[str] = ..., name: _Optional[str] = ..., occurred_at_us: _Optional[int] = ..., recorded_at_us: _Optional[int] = ..., source_id: _Optional[str] = ..., channel: _Optional[str] = ..., properties: _Optional[bytes] = ..., traits: _Optional[bytes] = ..., trust: _Optional[_Union[_source_trust_pb2.SourceTrust, str]] = ..., party: _Optional[_Union[_source_trust_pb2.Party, str]] = ..., actor: _Optional[str] = ..., correction: _Optional[_Union[_profile_facts_pb2.TraitCorrected, _Mapping]] = ..., score: _Optional[_Union[_profile_facts_pb2.ScoreRecorded, _Mapping]] = ..., timeline_kind: _Optional[_Union[_profile_facts_pb2.TimelineKind, str]] = ...) -> None: ...

class ListTimelineResponse(_message.Message):
    __slots__ = ("entries", "next_page_token")
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[TimelineEntry]
    next_page_token: str
    def __init__(self, entries: _Optional[_Iterable[_Union[TimelineEntry, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ExplainRuleRequest(_message.Message):
    __slots__ = ("profile_id", "identifier", "rule", "as_of_token", "as_of_us", "at_least")
    PROFILE_ID_FIELD_NUMBER: _ClassVar[int]
    IDENTIFIER_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    AS_OF_TOKEN_FIELD_NUMBER: _ClassVar[int]
    AS_OF_US_FIELD_NUMBER: _ClassVar[int]
    AT_LEAST_FIELD_NUMBER: _ClassVar[int]
    profile_id: str
    identifier: _identifier_pb2.Identifier
    rule: _rule_pb2.Rule
    as_of_token: _token_pb2.Token
    as_of_us: int
    at_least: _token_pb2.Token
    def __init__(self, profile_id: _Optional[str] = ..., identifier: _Optional[_Union[_identifier_pb2.Identifier, _Mapping]] = ..., rule: _Optional[_Union[_rule_pb2.Rule, _Mapping]] = ..., as_of_token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ..., as_of_us: _Optional[int] = ..., at_least: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class TranslateRuleRequest(_message.Message):
    __slots__ = ("rule", "text", "json")
    RULE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    JSON_FIELD_NUMBER: _ClassVar[int]
    rule: _rule_pb2.Rule
    text: str
    json: bytes
    def __init__(self, rule: _Optional[_Union[_rule_pb2.Rule, _Mapping]] = ..., text: _Optional[str] = ..., json: _Optional[bytes] = ...) -> None: ...

class TranslateRuleResponse(_message.Message):
    __slots__ = ("rule", "text", "text_chinese", "json")
    RULE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    TEXT_CHINESE_FIELD_NUMBER: _ClassVar[int]
    JSON_FIELD_NUMBER: _ClassVar[int]
    rule: _rule_pb2.Rule
    text: str
    text_chinese: str
    json: bytes
    def __init__(self, rule: _Optional[_Union[_rule_pb2.Rule, _Mapping]] = ..., text: _Optional[str] = ..., text_chinese: _Optional[str] = ..., json: _Optional[bytes] = ...) -> None: ...

class PredicateResult(_message.Message):
    __slots__ = ("predicate", "actual", "holds", "source_id", "trust", "is_span", "compares")
    PREDICATE_FIELD_NUMBER: _ClassVar[int]
    ACTUAL_FIELD_NUMBER: _ClassVar[int]
    HOLDS_FIELD_NUMBER: _ClassVar[int]
    SOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    TRUST_FIELD_NUMBER: _ClassVar[int]
    IS_SPAN_FIELD_NUMBER: _ClassVar[int]
    COMPARES_FIELD_NUMBER: _ClassVar[int]
    predicate: str
    actual: bytes
    holds: bool
    source_id: str
    trust: _source_trust_pb2.SourceTrust
    is_span: bool
    compares: str
    def __init__(self, predicate: _Optional[str] = ..., actual: _Optional[bytes] = ..., holds: _Optional[bool] = ..., source_id: _Optional[str] = ..., trust: _Optional[_Union[_source_trust_pb2.SourceTrust, str]] = ..., is_span: _Optional[bool] = ..., compares: _Optional[str] = ...) -> None: ...

class ExplainRuleResponse(_message.Message):
    __slots__ = ("holds", "predicates", "rule_text", "as_of_us", "explanation")
    HOLDS_FIELD_NUMBER: _ClassVar[int]
    PREDICATES_FIELD_NUMBER: _ClassVar[int]
    RULE_TEXT_FIELD_NUMBER: _ClassVar[int]
    AS_OF_US_FIELD_NUMBER: _ClassVar[int]
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    holds: bool
    predicates: _containers.RepeatedCompositeFieldContainer[PredicateResult]
    rule_text: str
    as_of_us: int
    explanation: RuleExplanation
    def __init__(self, holds: _Optional[bool] = ..., predicates: _Optional[_Iterable[_Union[PredicateResult, _Mapping]]] = ..., rule_text: _Optional[str] = ..., as_of_us: _Optional[int] = ..., explanation: _Optional[_Union[RuleExplanation, _Mapping]] = ...) -> None: ...

class ExplainedPart(_message.Message):
    __slots__ = ("part", "holds", "text", "text_chinese", "children", "definition_version", "actual", "window_start_us", "window_end_us", "fact_ids", "fact_count", "next_due_us", "missing", "is_span", "compares")
    PART_FIELD_NUMBER: _ClassVar[int]
    HOLDS_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    TEXT_CHINESE_FIELD_NUMBER: _ClassVar[int]
    CHILDREN_FIELD_NUMBER: _ClassVar[int]
    DEFINITION_VERSION_FIELD_NUMBER: _ClassVar[int]
    ACTUAL_FIELD_NUMBER: _ClassVar[int]
    WINDOW_START_US_FIELD_NUMBER: _ClassVar[int]
    WINDOW_END_US_FIELD_NUMBER: _ClassVar[int]
    FACT_IDS_FIELD_NUMBER: _ClassVar[int]
    FACT_COUNT_FIELD_NUMBER: _ClassVar[int]
    NEXT_DUE_US_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    IS_SPAN_FIELD_NUMBER: _ClassVar[int]
    COMPARES_FIELD_NUMBER: _ClassVar[int]
    part: RulePart
    holds: bool
    text: str
    text_chinese: str
    children: _containers.RepeatedCompositeFieldContainer[ExplainedPart]
    definition_version: int
    actual: bytes
    window_start_us: int
    window_end_us: int
    fact_ids: _containers.RepeatedScalarFieldContainer[str]
    fact_count: int
    next_due_us: int
    missing: _containers.RepeatedCompositeFieldContainer[MissingFact]
    is_span: bool
    compares: str
    def __init__(self, part: _Optional[_Union[RulePart, str]] = ..., holds: _Optional[bool] = ..., text: _Optional[str] = ..., text_chinese: _Optional[str] = ..., children: _Optional[_Iterable[_Union[ExplainedPart, _Mapping]]] = ..., definition_version: _Optional[int] = ..., actual: _Optional[bytes] = ..., window_start_us: _Optional[int] = ..., window_end_us: _Optional[int] = ..., fact_ids: _Optional[_Iterable[str]] = ..., fact_count: _Optional[int] = ..., next_due_us: _Optional[int] = ..., missing: _Optional[_Iterable[_Union[MissingFact, _Mapping]]] = ..., is_span: _Optional[bool] = ..., compares: _Optional[str] = ...) -> None: ...

class MissingFact(_message.Message):
    __slots__ = ("kind", "number", "events", "events_chinese", "name", "value", "until_us", "occurred_at_us")
    KIND_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    EVENTS_CHINESE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    UNTIL_US_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_US_FIELD_NUMBER: _ClassVar[int]
    kind: MissingKind
    number: int
    events: str
    events_chinese: str
    name: str
    value: bytes
    until_us: int
    occurred_at_us: int
    def __init__(self, kind: _Optional[_Union[MissingKind, str]] = ..., number: _Optional[int] = ..., events: _Optional[str] = ..., events_chinese: _Optional[str] = ..., name: _Optional[str] = ..., value: _Optional[bytes] = ..., until_us: _Optional[int] = ..., occurred_at_us: _Optional[int] = ...) -> None: ...

class RuleExplanation(_message.Message):
    __slots__ = ("root", "cited_fact_ids", "cited_count", "removed_fact_ids", "removed_count", "is_minimal", "missing", "next_due_us", "as_of_us", "profile_id", "rule_text", "rule_text_chinese", "token")
    ROOT_FIELD_NUMBER: _ClassVar[int]
    CITED_FACT_IDS_FIELD_NUMBER: _ClassVar[int]
    CITED_COUNT_FIELD_NUMBER: _ClassVar[int]
    REMOVED_FACT_IDS_FIELD_NUMBER: _ClassVar[int]
    REMOVED_COUNT_FIELD_NUMBER: _ClassVar[int]
    IS_MINIMAL_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    NEXT_DUE_US_FIELD_NUMBER: _ClassVar[int]
    AS_OF_US_FIELD_NUMBER: _ClassVar[int]
    PROFILE_ID_FIELD_NUMBER: _ClassVar[int]
    RULE_TEXT_FIELD_NUMBER: _ClassVar[int]
    RULE_TEXT_CHINESE_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    root: ExplainedPart
    cited_fact_ids: _containers.RepeatedScalarFieldContainer[str]
    cited_count: int
    removed_fact_ids: _containers.RepeatedScalarFieldContainer[str]
    removed_count: int
    is_minimal: bool
    missing: _containers.RepeatedCompositeFieldContainer[MissingFact]
    next_due_us: int
    as_of_us: int
    profile_id: str
    rule_text: str
    rule_text_chinese: str
    token: _token_pb2.Token
    def __init__(self, root: _Optional[_Union[ExplainedPart, _Mapping]] = ..., cited_fact_ids: _Optional[_Iterable[str]] = ..., cited_count: _Optional[int] = ..., removed_fact_ids: _Optional[_Iterable[str]] = ..., removed_count: _Optional[int] = ..., is_minimal: _Optional[bool] = ..., missing: _Optional[_Iterable[_Union[MissingFact, _Mapping]]] = ..., next_due_us: _Optional[int] = ..., as_of_us: _Optional[int] = ..., profile_id: _Optional[str] = ..., rule_text: _Optional[str] = ..., rule_text_chinese: _Optional[str] = ..., token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class ExplainMembershipRequest(_message.Message):
    __slots__ = ("profile_id", "identifier", "segment_id", "as_of_token", "as_of_us", "at_least")
    PROFILE_ID_FIELD_NUMBER: _ClassVar[int]
    IDENTIFIER_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_ID_FIELD_NUMBER: _ClassVar[int]
    AS_OF_TOKEN_FIELD_NUMBER: _ClassVar[int]
    AS_OF_US_FIELD_NUMBER: _ClassVar[int]
    AT_LEAST_FIELD_NUMBER: _ClassVar[int]
    profile_id: str
    identifier: _identifier_pb2.Identifier
    segment_id: str
    as_of_token: _token_pb2.Token
    as_of_us: int
    at_least: _token_pb2.Token
    def __init__(self, profile_id: _Optional[str] = ..., identifier: _Optional[_Union[_identifier_pb2.Identifier, _Mapping]] = ..., segment_id: _Optional[str] = ..., as_of_token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ..., as_of_us: _Optional[int] = ..., at_least: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class ExplainMembershipResponse(_message.Message):
    __slots__ = ("is_member", "definition_version", "explanation")
    IS_MEMBER_FIELD_NUMBER: _ClassVar[int]
    DEFINITION_VERSION_FIELD_NUMBER: _ClassVar[int]
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    is_member: bool
    definition_version: int
    explanation: RuleExplanation
    def __init__(self, is_member: _Optional[bool] = ..., definition_version: _Optional[int] = ..., explanation: _Optional[_Union[RuleExplanation, _Mapping]] = ...) -> None: ...

class PreviewRuleRequest(_message.Message):
    __slots__ = ("rule", "at_least", "segment_id", "retired", "assumed")
    RULE_FIELD_NUMBER: _ClassVar[int]
    AT_LEAST_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_ID_FIELD_NUMBER: _ClassVar[int]
    RETIRED_FIELD_NUMBER: _ClassVar[int]
    ASSUMED_FIELD_NUMBER: _ClassVar[int]
    rule: _rule_pb2.Rule
    at_least: _token_pb2.Token
    segment_id: str
    retired: bool
    assumed: _containers.RepeatedCompositeFieldContainer[_rule_pb2.Reference]
    def __init__(self, rule: _Optional[_Union[_rule_pb2.Rule, _Mapping]] = ..., at_least: _Optional[_Union[_token_pb2.Token, _Mapping]] = ..., segment_id: _Optional[str] = ..., retired: _Optional[bool] = ..., assumed: _Optional[_Iterable[_Union[_rule_pb2.Reference, _Mapping]]] = ...) -> None: ...

class PreviewRuleResponse(_message.Message):
    __slots__ = ("new_predicates", "token")
    NEW_PREDICATES_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    new_predicates: int
    token: _token_pb2.Token
    def __init__(self, new_predicates: _Optional[int] = ..., token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class HypotheticalProfile(_message.Message):
    __slots__ = ("profile_id", "identifier_ids")
    PROFILE_ID_FIELD_NUMBER: _ClassVar[int]
    IDENTIFIER_IDS_FIELD_NUMBER: _ClassVar[int]
    profile_id: str
    identifier_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, profile_id: _Optional[str] = ..., identifier_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class PreviewProfilesRequest(_message.Message):
    __slots__ = ("profiles", "at_least")
    PROFILES_FIELD_NUMBER: _ClassVar[int]
    AT_LEAST_FIELD_NUMBER: _ClassVar[int]
    profiles: _containers.RepeatedCompositeFieldContainer[HypotheticalProfile]
    at_least: _token_pb2.Token
    def __init__(self, profiles: _Optional[_Iterable[_Union[HypotheticalProfile, _Mapping]]] = ..., at_least: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class PreviewProfilesResponse(_message.Message):
    __slots__ = ("changes", "token")
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    changes: _containers.RepeatedCompositeFieldContainer[_profile_stream_pb2.ProfileChange]
    token: _token_pb2.Token
    def __init__(self, changes: _Optional[_Iterable[_Union[_profile_stream_pb2.ProfileChange, _Mapping]]] = ..., token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class DefineTagRequest(_message.Message):
    __slots__ = ("tag", "dry_run", "etag", "assumed")
    TAG_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    ASSUMED_FIELD_NUMBER: _ClassVar[int]
    tag: _profile_facts_pb2.TagDefined
    dry_run: bool
    etag: str
    assumed: _containers.RepeatedCompositeFieldContainer[_rule_pb2.Reference]
    def __init__(self, tag: _Optional[_Union[_profile_facts_pb2.TagDefined, _Mapping]] = ..., dry_run: _Optional[bool] = ..., etag: _Optional[str] = ..., assumed: _Optional[_Iterable[_Union[_rule_pb2.Reference, _Mapping]]] = ...) -> None: ...

class DefineTagResponse(_message.Message):
    __slots__ = ("tag", "changed", "token", "etag")
    TAG_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    tag: _profile_facts_pb2.TagDefined
    changed: bool
    token: _token_pb2.Token
    etag: str
    def __init__(self, tag: _Optional[_Union[_profile_facts_pb2.TagDefined, _Mapping]] = ..., changed: _Optional[bool] = ..., token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ..., etag: _Optional[str] = ...) -> None: ...

class FitTagRequest(_message.Message):
    __slots__ = ("tag_id",)
    TAG_ID_FIELD_NUMBER: _ClassVar[int]
    tag_id: str
    def __init__(self, tag_id: _Optional[str] = ...) -> None: ...

class FitTagResponse(_message.Message):
    __slots__ = ("tag", "fitted", "token")
    TAG_FIELD_NUMBER: _ClassVar[int]
    FITTED_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    tag: _profile_facts_pb2.TagDefined
    fitted: bool
    token: _token_pb2.Token
    def __init__(self, tag: _Optional[_Union[_profile_facts_pb2.TagDefined, _Mapping]] = ..., fitted: _Optional[bool] = ..., token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class DefineSettingsRequest(_message.Message):
    __slots__ = ("settings", "dry_run", "etag")
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    settings: _profile_facts_pb2.ProfileSettingsDefined
    dry_run: bool
    etag: str
    def __init__(self, settings: _Optional[_Union[_profile_facts_pb2.ProfileSettingsDefined, _Mapping]] = ..., dry_run: _Optional[bool] = ..., etag: _Optional[str] = ...) -> None: ...

class DefineSettingsResponse(_message.Message):
    __slots__ = ("settings", "changed", "token", "etag")
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    settings: _profile_facts_pb2.ProfileSettingsDefined
    changed: bool
    token: _token_pb2.Token
    etag: str
    def __init__(self, settings: _Optional[_Union[_profile_facts_pb2.ProfileSettingsDefined, _Mapping]] = ..., changed: _Optional[bool] = ..., token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ..., etag: _Optional[str] = ...) -> None: ...

class CountTraitsRequest(_message.Message):
    __slots__ = ("settings", "at_least")
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    AT_LEAST_FIELD_NUMBER: _ClassVar[int]
    settings: _profile_facts_pb2.ProfileSettingsDefined
    at_least: _token_pb2.Token
    def __init__(self, settings: _Optional[_Union[_profile_facts_pb2.ProfileSettingsDefined, _Mapping]] = ..., at_least: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class ValueTypeCount(_message.Message):
    __slots__ = ("type", "persons")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    PERSONS_FIELD_NUMBER: _ClassVar[int]
    type: ValueType
    persons: int
    def __init__(self, type: _Optional[_Union[ValueType, str]] = ..., persons: _Optional[int] = ...) -> None: ...

class StandardFormChange(_message.Message):
    __slots__ = ("value", "before", "after", "persons", "profile_id")
    VALUE_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    PERSONS_FIELD_NUMBER: _ClassVar[int]
    PROFILE_ID_FIELD_NUMBER: _ClassVar[int]
    value: bytes
    before: bytes
    after: bytes
    persons: int
    profile_id: str
    def __init__(self, value: _Optional[bytes] = ..., before: _Optional[bytes] = ..., after: _Optional[bytes] = ..., persons: _Optional[int] = ..., profile_id: _Optional[str] = ...) -> None: ...

class CleanerChange(_message.Message):
    __slots__ = ("cleaner", "persons", "values", "definitions")
    CLEANER_FIELD_NUMBER: _ClassVar[int]
    PERSONS_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    DEFINITIONS_FIELD_NUMBER: _ClassVar[int]
    cleaner: str
    persons: int
    values: _containers.RepeatedCompositeFieldContainer[StandardFormChange]
    definitions: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, cleaner: _Optional[str] = ..., persons: _Optional[int] = ..., values: _Optional[_Iterable[_Union[StandardFormChange, _Mapping]]] = ..., definitions: _Optional[_Iterable[str]] = ...) -> None: ...

class TraitDescription(_message.Message):
    __slots__ = ("name", "persons", "types", "cleaner", "without_standard", "change")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PERSONS_FIELD_NUMBER: _ClassVar[int]
    TYPES_FIELD_NUMBER: _ClassVar[int]
    CLEANER_FIELD_NUMBER: _ClassVar[int]
    WITHOUT_STANDARD_FIELD_NUMBER: _ClassVar[int]
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    name: str
    persons: int
    types: _containers.RepeatedCompositeFieldContainer[ValueTypeCount]
    cleaner: str
    without_standard: int
    change: CleanerChange
    def __init__(self, name: _Optional[str] = ..., persons: _Optional[int] = ..., types: _Optional[_Iterable[_Union[ValueTypeCount, _Mapping]]] = ..., cleaner: _Optional[str] = ..., without_standard: _Optional[int] = ..., change: _Optional[_Union[CleanerChange, _Mapping]] = ...) -> None: ...

class CountTraitsResponse(_message.Message):
    __slots__ = ("persons", "one_in", "traits", "token")
    PERSONS_FIELD_NUMBER: _ClassVar[int]
    ONE_IN_FIELD_NUMBER: _ClassVar[int]
    TRAITS_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    persons: int
    one_in: int
    traits: _containers.RepeatedCompositeFieldContainer[TraitDescription]
    token: _token_pb2.Token
    def __init__(self, persons: _Optional[int] = ..., one_in: _Optional[int] = ..., traits: _Optional[_Iterable[_Union[TraitDescription, _Mapping]]] = ..., token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class GetSettingsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetSettingsResponse(_message.Message):
    __slots__ = ("settings", "etag")
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    settings: _profile_facts_pb2.ProfileSettingsDefined
    etag: str
    def __init__(self, settings: _Optional[_Union[_profile_facts_pb2.ProfileSettingsDefined, _Mapping]] = ..., etag: _Optional[str] = ...) -> None: ...

class ListTagsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class TagSummary(_message.Message):
    __slots__ = ("tag", "etag")
    TAG_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    tag: _profile_facts_pb2.TagDefined
    etag: str
    def __init__(self, tag: _Optional[_Union[_profile_facts_pb2.TagDefined, _Mapping]] = ..., etag: _Optional[str] = ...) -> None: ...

class ListTagsResponse(_message.Message):
    __slots__ = ("tags",)
    TAGS_FIELD_NUMBER: _ClassVar[int]
    tags: _containers.RepeatedCompositeFieldContainer[TagSummary]
    def __init__(self, tags: _Optional[_Iterable[_Union[TagSummary, _Mapping]]] = ...) -> None: ...

class CorrectTraitRequest(_message.Message):
    __slots__ = ("profile_id", "identifier", "correction")
    PROFILE_ID_FIELD_NUMBER: _ClassVar[int]
    IDENTIFIER_FIELD_NUMBER: _ClassVar[int]
    CORRECTION_FIELD_NUMBER: _ClassVar[int]
    profile_id: str
    identifier: _identifier_pb2.Identifier
    correction: _profile_facts_pb2.TraitCorrected
    def __init__(self, profile_id: _Optional[str] = ..., identifier: _Optional[_Union[_identifier_pb2.Identifier, _Mapping]] = ..., correction: _Optional[_Union[_profile_facts_pb2.TraitCorrected, _Mapping]] = ...) -> None: ...

class CorrectTraitResponse(_message.Message):
    __slots__ = ("changed", "token")
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    changed: bool
    token: _token_pb2.Token
    def __init__(self, changed: _Optional[bool] = ..., token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class PersonScore(_message.Message):
    __slots__ = ("profile_id", "identifier", "score")
    PROFILE_ID_FIELD_NUMBER: _ClassVar[int]
    IDENTIFIER_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    profile_id: str
    identifier: _identifier_pb2.Identifier
    score: _profile_facts_pb2.ScoreRecorded
    def __init__(self, profile_id: _Optional[str] = ..., identifier: _Optional[_Union[_identifier_pb2.Identifier, _Mapping]] = ..., score: _Optional[_Union[_profile_facts_pb2.ScoreRecorded, _Mapping]] = ...) -> None: ...

class RecordScoresRequest(_message.Message):
    __slots__ = ("scores",)
    SCORES_FIELD_NUMBER: _ClassVar[int]
    scores: _containers.RepeatedCompositeFieldContainer[PersonScore]
    def __init__(self, scores: _Optional[_Iterable[_Union[PersonScore, _Mapping]]] = ...) -> None: ...

class RecordScoresResponse(_message.Message):
    __slots__ = ("recorded", "duplicates", "token")
    RECORDED_FIELD_NUMBER: _ClassVar[int]
    DUPLICATES_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    recorded: int
    duplicates: int
    token: _token_pb2.Token
    def __init__(self, recorded: _Optional[int] = ..., duplicates: _Optional[int] = ..., token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class ReadOutboxRequest(_message.Message):
    __slots__ = ("shard", "from_sequence", "end_sequence", "life")
    SHARD_FIELD_NUMBER: _ClassVar[int]
    FROM_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    END_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    LIFE_FIELD_NUMBER: _ClassVar[int]
    shard: int
    from_sequence: int
    end_sequence: int
    life: int
    def __init__(self, shard: _Optional[int] = ..., from_sequence: _Optional[int] = ..., end_sequence: _Optional[int] = ..., life: _Optional[int] = ...) -> None: ...

class ReadOutboxResponse(_message.Message):
    __slots__ = ("batch", "life")
    BATCH_FIELD_NUMBER: _ClassVar[int]
    LIFE_FIELD_NUMBER: _ClassVar[int]
    batch: _profile_stream_pb2.ProfilesChanged
    life: int
    def __init__(self, batch: _Optional[_Union[_profile_stream_pb2.ProfilesChanged, _Mapping]] = ..., life: _Optional[int] = ...) -> None: ...

class ReadEvaluationsRequest(_message.Message):
    __slots__ = ("shard",)
    SHARD_FIELD_NUMBER: _ClassVar[int]
    shard: int
    def __init__(self, shard: _Optional[int] = ...) -> None: ...

class ReadEvaluationsResponse(_message.Message):
    __slots__ = ("evaluations", "next_sequence", "log_offset", "log_time_us", "broadcast_facts", "backfilled_predicates", "backfilled_workspace_id")
    EVALUATIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    LOG_OFFSET_FIELD_NUMBER: _ClassVar[int]
    LOG_TIME_US_FIELD_NUMBER: _ClassVar[int]
    BROADCAST_FACTS_FIELD_NUMBER: _ClassVar[int]
    BACKFILLED_PREDICATES_FIELD_NUMBER: _ClassVar[int]
    BACKFILLED_WORKSPACE_ID_FIELD_NUMBER: _ClassVar[int]
    evaluations: _containers.RepeatedCompositeFieldContainer[_profile_stream_pb2.ProfileChange]
    next_sequence: int
    log_offset: int
    log_time_us: int
    broadcast_facts: _containers.RepeatedCompositeFieldContainer[_log_pb2.Fact]
    backfilled_predicates: _containers.RepeatedScalarFieldContainer[int]
    backfilled_workspace_id: str
    def __init__(self, evaluations: _Optional[_Iterable[_Union[_profile_stream_pb2.ProfileChange, _Mapping]]] = ..., next_sequence: _Optional[int] = ..., log_offset: _Optional[int] = ..., log_time_us: _Optional[int] = ..., broadcast_facts: _Optional[_Iterable[_Union[_log_pb2.Fact, _Mapping]]] = ..., backfilled_predicates: _Optional[_Iterable[int]] = ..., backfilled_workspace_id: _Optional[str] = ...) -> None: ...

class EvaluateRulesRequest(_message.Message):
    __slots__ = ("rules", "samples", "at_least")
    RULES_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    AT_LEAST_FIELD_NUMBER: _ClassVar[int]
    rules: _containers.RepeatedCompositeFieldContainer[_rule_pb2.Rule]
    samples: int
    at_least: _token_pb2.Token
    def __init__(self, rules: _Optional[_Iterable[_Union[_rule_pb2.Rule, _Mapping]]] = ..., samples: _Optional[int] = ..., at_least: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class EvaluateRulesResponse(_message.Message):
    __slots__ = ("profiles", "one_in", "new_predicates", "retained", "evaluated", "token")
    PROFILES_FIELD_NUMBER: _ClassVar[int]
    ONE_IN_FIELD_NUMBER: _ClassVar[int]
    NEW_PREDICATES_FIELD_NUMBER: _ClassVar[int]
    RETAINED_FIELD_NUMBER: _ClassVar[int]
    EVALUATED_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    profiles: int
    one_in: int
    new_predicates: int
    retained: int
    evaluated: _containers.RepeatedCompositeFieldContainer[EvaluatedProfile]
    token: _token_pb2.Token
    def __init__(self, profiles: _Optional[int] = ..., one_in: _Optional[int] = ..., new_predicates: _Optional[int] = ..., retained: _Optional[int] = ..., evaluated: _Optional[_Iterable[_Union[EvaluatedProfile, _Mapping]]] = ..., token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class EvaluatedProfile(_message.Message):
    __slots__ = ("profile_id", "true_rules", "predicates")
    PROFILE_ID_FIELD_NUMBER: _ClassVar[int]
    TRUE_RULES_FIELD_NUMBER: _ClassVar[int]
    PREDICATES_FIELD_NUMBER: _ClassVar[int]
    profile_id: str
    true_rules: _containers.RepeatedScalarFieldContainer[int]
    predicates: _containers.RepeatedCompositeFieldContainer[PredicateResult]
    def __init__(self, profile_id: _Optional[str] = ..., true_rules: _Optional[_Iterable[int]] = ..., predicates: _Optional[_Iterable[_Union[PredicateResult, _Mapping]]] = ...) -> None: ...

class MatchEventsRequest(_message.Message):
    __slots__ = ("journey", "from_us", "at_least")
    JOURNEY_FIELD_NUMBER: _ClassVar[int]
    FROM_US_FIELD_NUMBER: _ClassVar[int]
    AT_LEAST_FIELD_NUMBER: _ClassVar[int]
    journey: _journeys_pb2.Journey
    from_us: int
    at_least: _token_pb2.Token
    def __init__(self, journey: _Optional[_Union[_journeys_pb2.Journey, _Mapping]] = ..., from_us: _Optional[int] = ..., at_least: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class MatchedPerson(_message.Message):
    __slots__ = ("profile_id", "leaf_ids", "events")
    PROFILE_ID_FIELD_NUMBER: _ClassVar[int]
    LEAF_IDS_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    profile_id: bytes
    leaf_ids: _containers.RepeatedScalarFieldContainer[bytes]
    events: _containers.RepeatedCompositeFieldContainer[_profile_stream_pb2.MatchedEvent]
    def __init__(self, profile_id: _Optional[bytes] = ..., leaf_ids: _Optional[_Iterable[bytes]] = ..., events: _Optional[_Iterable[_Union[_profile_stream_pb2.MatchedEvent, _Mapping]]] = ...) -> None: ...

class MatchEventsResponse(_message.Message):
    __slots__ = ("persons",)
    PERSONS_FIELD_NUMBER: _ClassVar[int]
    persons: _containers.RepeatedCompositeFieldContainer[MatchedPerson]
    def __init__(self, persons: _Optional[_Iterable[_Union[MatchedPerson, _Mapping]]] = ...) -> None: ...

class PastQuestion(_message.Message):
    __slots__ = ("leaf_ids", "rule", "at_us", "recorded_until_us")
    LEAF_IDS_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    AT_US_FIELD_NUMBER: _ClassVar[int]
    RECORDED_UNTIL_US_FIELD_NUMBER: _ClassVar[int]
    leaf_ids: _containers.RepeatedScalarFieldContainer[bytes]
    rule: _rule_pb2.Rule
    at_us: int
    recorded_until_us: int
    def __init__(self, leaf_ids: _Optional[_Iterable[bytes]] = ..., rule: _Optional[_Union[_rule_pb2.Rule, _Mapping]] = ..., at_us: _Optional[int] = ..., recorded_until_us: _Optional[int] = ...) -> None: ...

class EvaluatePastRequest(_message.Message):
    __slots__ = ("questions",)
    QUESTIONS_FIELD_NUMBER: _ClassVar[int]
    questions: _containers.RepeatedCompositeFieldContainer[PastQuestion]
    def __init__(self, questions: _Optional[_Iterable[_Union[PastQuestion, _Mapping]]] = ...) -> None: ...

class EvaluatePastResponse(_message.Message):
    __slots__ = ("answers",)
    ANSWERS_FIELD_NUMBER: _ClassVar[int]
    answers: _containers.RepeatedScalarFieldContainer[bool]
    def __init__(self, answers: _Optional[_Iterable[bool]] = ...) -> None: ...
