from onefold.activation.v1 import activation_facts_pb2 as _activation_facts_pb2
from onefold.type.v1 import options_pb2 as _options_pb2
from onefold.type.v1 import token_pb2 as _token_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DefineDestinationRequest(_message.Message):
    __slots__ = ("destination", "dry_run", "etag", "assumed_templates")
    DESTINATION_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    ASSUMED_TEMPLATES_FIELD_NUMBER: _ClassVar[int]
    destination: _activation_facts_pb2.DestinationDefined
    dry_run: bool
    etag: str
    assumed_templates: _containers.RepeatedCompositeFieldContainer[_activation_facts_pb2.TemplateDefined]
    def __init__(self, destination: _Optional[_Union[_activation_facts_pb2.DestinationDefined, _Mapping]] = ..., dry_run: _Optional[bool] = ..., etag: _Optional[str] = ..., assumed_templates: _Optional[_Iterable[_Union[_activation_facts_pb2.TemplateDefined, _Mapping]]] = ...) -> None: ...

class DefineDestinationResponse(_message.Message):
    __slots__ = ("destination", "changed", "token", "etag")
    DESTINATION_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    destination: _activation_facts_pb2.DestinationDefined
    changed: bool
    token: _token_pb2.Token
    etag: str
    def __init__(self, destination: _Optional[_Union[_activation_facts_pb2.DestinationDefined, _Mapping]] = ..., changed: _Optional[bool] = ..., token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ..., etag: _Optional[str] = ...) -> None: ...

class ListDestinationsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DestinationSummary(_message.Message):
    __slots__ = ("destination", "etag", "receipts_path")
    DESTINATION_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    RECEIPTS_PATH_FIELD_NUMBER: _ClassVar[int]
    destination: _activation_facts_pb2.DestinationDefined
    etag: str
    receipts_path: str
    def __init__(self, destination: _Optional[_Union[_activation_facts_pb2.DestinationDefined, _Mapping]] = ..., etag: _Optional[str] = ..., receipts_path: _Optional[str] = ...) -> None: ...

class ListDestinationsResponse(_message.Message):
    __slots__ = ("destinations",)
    DESTINATIONS_FIELD_NUMBER: _ClassVar[int]
    destinations: _containers.RepeatedCompositeFieldContainer[DestinationSummary]
    def __init__(self, destinations: _Optional[_Iterable[_Union[DestinationSummary, _Mapping]]] = ...) -> None: ...

class DefineTemplateRequest(_message.Message):
    __slots__ = ("template", "dry_run", "etag")
    TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    template: _activation_facts_pb2.TemplateDefined
    dry_run: bool
    etag: str
    def __init__(self, template: _Optional[_Union[_activation_facts_pb2.TemplateDefined, _Mapping]] = ..., dry_run: _Optional[bool] = ..., etag: _Optional[str] = ...) -> None: ...

class DefineTemplateResponse(_message.Message):
    __slots__ = ("template", "changed", "token", "etag")
    TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    template: _activation_facts_pb2.TemplateDefined
    changed: bool
    token: _token_pb2.Token
    etag: str
    def __init__(self, template: _Optional[_Union[_activation_facts_pb2.TemplateDefined, _Mapping]] = ..., changed: _Optional[bool] = ..., token: _Optional[_Union[_token_pb2.Token, _Mapping]] = ..., etag: _Optional[str] = ...) -> None: ...

class ListTemplatesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class TemplateSummary(_message.Message):
    __slots__ = ("template", "etag")
    TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    template: _activation_facts_pb2.TemplateDefined
    etag: str
    def __init__(self, template: _Optional[_Union[_activation_facts_pb2.TemplateDefined, _Mapping]] = ..., etag: _Optional[str] = ...) -> None: ...

class ListTemplatesResponse(_message.Message):
    __slots__ = ("templates",)
    TEMPLATES_FIELD_NUMBER: _ClassVar[int]
    templates: _containers.RepeatedCompositeFieldContainer[TemplateSummary]
    def __init__(self, templates: _Optional[_Iterable[_Union[TemplateSummary, _Mapping]]] = ...) -> None: ...

class PreviewTemplateRequest(_message.Message):
    __slots__ = ("template_id", "template", "variables")
    TEMPLATE_ID_FIELD_NUMBER: _ClassVar[int]
    TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    VARIABLES_FIELD_NUMBER: _ClassVar[int]
    template_id: str
    template: _activation_facts_pb2.TemplateDefined
    variables: bytes
    def __init__(self, template_id: _Optional[str] = ..., template: _Optional[_Union[_activation_facts_pb2.TemplateDefined, _Mapping]] = ..., variables: _Optional[bytes] = ...) -> None: ...

class RenderedTemplate(_message.Message):
    __slots__ = ("locale", "subject", "text", "html", "parameters", "sms_count", "missing")
    LOCALE_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    HTML_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    SMS_COUNT_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    locale: str
    subject: str
    text: str
    html: str
    parameters: _containers.RepeatedCompositeFieldContainer[_activation_facts_pb2.TemplateParameter]
    sms_count: int
    missing: str
    def __init__(self, locale: _Optional[str] = ..., subject: _Optional[str] = ..., text: _Optional[str] = ..., html: _Optional[str] = ..., parameters: _Optional[_Iterable[_Union[_activation_facts_pb2.TemplateParameter, _Mapping]]] = ..., sms_count: _Optional[int] = ..., missing: _Optional[str] = ...) -> None: ...

class PreviewTemplateResponse(_message.Message):
    __slots__ = ("rendered",)
    RENDERED_FIELD_NUMBER: _ClassVar[int]
    rendered: _containers.RepeatedCompositeFieldContainer[RenderedTemplate]
    def __init__(self, rendered: _Optional[_Iterable[_Union[RenderedTemplate, _Mapping]]] = ...) -> None: ...

class ListDeliveriesRequest(_message.Message):
    __slots__ = ("destination_id", "state", "page_size", "page_token", "profile_id", "segment_id", "journey_id", "since_us", "before_us")
    DESTINATION_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    PROFILE_ID_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_ID_FIELD_NUMBER: _ClassVar[int]
    JOURNEY_ID_FIELD_NUMBER: _ClassVar[int]
    SINCE_US_FIELD_NUMBER: _ClassVar[int]
    BEFORE_US_FIELD_NUMBER: _ClassVar[int]
    destination_id: str
    state: _activation_facts_pb2.DeliveryState
    page_size: int
    page_token: str
    profile_id: str
    segment_id: str
    journey_id: str
    since_us: int
    before_us: int
    def __init__(self, destination_id: _Optional[str] = ..., state: _Optional[_Union[_activation_facts_pb2.DeliveryState, str]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., profile_id: _Optional[str] = ..., segment_id: _Optional[str] = ..., journey_id: _Optional[str] = ..., since_us: _Optional[int] = ..., before_us: _Optional[int] = ...) -> None: ...

class Delivery(_message.Message):
    __slots__ = ("effect_id", "destination_id", "segment_id", "profile_id", "trigger", "ordinal", "state", "attempts", "reason", "created_at_us", "next_attempt_us", "payload_deleted", "journey_id", "step_id", "begun_at_us", "held_until_us")
    EFFECT_ID_FIELD_NUMBER: _ClassVar[int]
    DESTINATION_ID_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_ID_FIELD_NUMBER: _ClassVar[int]
    PROFILE_ID_FIELD_NUMBER: _ClassVar[int]
    TRIGGER_FIELD_NUMBER: _ClassVar[int]
    ORDINAL_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_US_FIELD_NUMBER: _ClassVar[int]
    NEXT_ATTEMPT_US_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_DELETED_FIELD_NUMBER: _ClassVar[int]
    JOURNEY_ID_FIELD_NUMBER: _ClassVar[int]
    STEP_ID_FIELD_NUMBER: _ClassVar[int]
    BEGUN_AT_US_FIELD_NUMBER: _ClassVar[int]
    HELD_UNTIL_US_FIELD_NUMBER: _ClassVar[int]
    effect_id: str
    destination_id: str
    segment_id: str
    profile_id: str
    trigger: _activation_facts_pb2.Trigger
    ordinal: int
    state: _activation_facts_pb2.DeliveryState
    attempts: int
    reason: str
    created_at_us: int
    next_attempt_us: int
    payload_deleted: bool
    journey_id: str
    step_id: str
    begun_at_us: int
    held_until_us: int
    def __init__(self, effect_id: _Optional[str] = ..., destination_id: _Optional[str] = ..., segment_id: _Optional[str] = ..., profile_id: _Optional[str] = ..., trigger: _Optional[_Union[_activation_facts_pb2.Trigger, str]] = ..., ordinal: _Optional[int] = ..., state: _Optional[_Union[_activation_facts_pb2.DeliveryState, str]] = ..., attempts: _Optional[int] = ..., reason: _Optional[str] = ..., created_at_us: _Optional[int] = ..., next_attempt_us: _Optional[int] = ..., payload_deleted: _Optional[bool] = ..., journey_id: _Optional[str] = ..., step_id: _Optional[str] = ..., begun_at_us: _Optional[int] = ..., held_until_us: _Optional[int] = ...) -> None: ...

class ListDeliveriesResponse(_message.Message):
    __slots__ = ("deliveries", "next_page_token")
    DELIVERIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    deliveries: _containers.RepeatedCompositeFieldContainer[Delivery]
    next_page_token: str
    def __init__(self, deliveries: _Optional[_Iterable[_Union[Delivery, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class CountDeliveriesRequest(_message.Message):
    __slots__ = ("at_least",)
    AT_LEAST_FIELD_NUMBER: _ClassVar[int]
    at_least: _token_pb2.Token
    def __init__(self, at_least: _Optional[_Union[_token_pb2.Token, _Mapping]] = ...) -> None: ...

class DeliveryCount(_message.Message):
    __slots__ = ("destination_id", "state", "count")
    DESTINATION_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    destination_id: str
    state: _activation_facts_pb2.DeliveryState
    count: int
    def __init__(self, destination_id: _Optional[str] = ..., state: _Optional[_Union[_activation_facts_pb2.DeliveryState, str]] = ..., count: _Optional[int] = ...) -> None: ...

class CountDeliveriesResponse(_message.Message):
    __slots__ = ("counts",)
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    counts: _containers.RepeatedCompositeFieldContainer[DeliveryCount]
    def __init__(self, counts: _Optional[_Iterable[_Union[DeliveryCount, _Mapping]]] = ...) -> None: ...

class RetryDeliveryRequest(_message.Message):
    __slots__ = ("effect_id",)
    EFFECT_ID_FIELD_NUMBER: _ClassVar[int]
    effect_id: str
    def __init__(self, effect_id: _Optional[str] = ...) -> None: ...

class RetryDeliveryResponse(_message.Message):
    __slots__ = ("delivery",)
    DELIVERY_FIELD_NUMBER: _ClassVar[int]
    delivery: Delivery
    def __init__(self, delivery: _Optional[_Union[Delivery, _Mapping]] = ...) -> None: ...

class GetMirrorRequest(_message.Message):
    __slots__ = ("destination_id",)
    DESTINATION_ID_FIELD_NUMBER: _ClassVar[int]
    destination_id: str
    def __init__(self, destination_id: _Optional[str] = ...) -> None: ...

class Mirror(_message.Message):
    __slots__ = ("loaded", "members", "underived", "entries", "unwritten", "unremoved", "refused", "reason")
    LOADED_FIELD_NUMBER: _ClassVar[int]
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    UNDERIVED_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    UNWRITTEN_FIELD_NUMBER: _ClassVar[int]
    UNREMOVED_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    loaded: bool
    members: int
    underived: int
    entries: int
    unwritten: int
    unremoved: int
    refused: int
    reason: str
    def __init__(self, loaded: _Optional[bool] = ..., members: _Optional[int] = ..., underived: _Optional[int] = ..., entries: _Optional[int] = ..., unwritten: _Optional[int] = ..., unremoved: _Optional[int] = ..., refused: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class GetMirrorResponse(_message.Message):
    __slots__ = ("mirror",)
    MIRROR_FIELD_NUMBER: _ClassVar[int]
    mirror: Mirror
    def __init__(self, mirror: _Optional[_Union[Mirror, _Mapping]] = ...) -> None: ...

class ReconcileMirrorRequest(_message.Message):
    __slots__ = ("destination_id",)
    DESTINATION_ID_FIELD_NUMBER: _ClassVar[int]
    destination_id: str
    def __init__(self, destination_id: _Optional[str] = ...) -> None: ...

class ReconcileMirrorResponse(_message.Message):
    __slots__ = ("mirror",)
    MIRROR_FIELD_NUMBER: _ClassVar[int]
    mirror: Mirror
    def __init__(self, mirror: _Optional[_Union[Mirror, _Mapping]] = ...) -> None: ...
