from onefold.activation.v1 import channels_pb2 as _channels_pb2
from onefold.type.v1 import options_pb2 as _options_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Trigger(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TRIGGER_UNSPECIFIED: _ClassVar[Trigger]
    TRIGGER_ENTERED: _ClassVar[Trigger]
    TRIGGER_LEFT: _ClassVar[Trigger]

class DeliveryState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DELIVERY_STATE_UNSPECIFIED: _ClassVar[DeliveryState]
    DELIVERY_STATE_PENDING: _ClassVar[DeliveryState]
    DELIVERY_STATE_UNKNOWN: _ClassVar[DeliveryState]
    DELIVERY_STATE_DELIVERED: _ClassVar[DeliveryState]
    DELIVERY_STATE_DEAD: _ClassVar[DeliveryState]
    DELIVERY_STATE_SUPPRESSED: _ClassVar[DeliveryState]
    DELIVERY_STATE_UNCONFIRMED: _ClassVar[DeliveryState]
    DELIVERY_STATE_PLANNED: _ClassVar[DeliveryState]
    DELIVERY_STATE_HELD: _ClassVar[DeliveryState]
    DELIVERY_STATE_ACCEPTED: _ClassVar[DeliveryState]
    DELIVERY_STATE_UNDELIVERED: _ClassVar[DeliveryState]
TRIGGER_UNSPECIFIED: Trigger
TRIGGER_ENTERED: Trigger
TRIGGER_LEFT: Trigger
DELIVERY_STATE_UNSPECIFIED: DeliveryState
DELIVERY_STATE_PENDING: DeliveryState
DELIVERY_STATE_UNKNOWN: DeliveryState
DELIVERY_STATE_DELIVERED: DeliveryState
DELIVERY_STATE_DEAD: DeliveryState
DELIVERY_STATE_SUPPRESSED: DeliveryState
DELIVERY_STATE_UNCONFIRMED: DeliveryState
DELIVERY_STATE_PLANNED: DeliveryState
DELIVERY_STATE_HELD: DeliveryState
DELIVERY_STATE_ACCEPTED: DeliveryState
DELIVERY_STATE_UNDELIVERED: DeliveryState

class SealedSecret(_message.Message):
    __slots__ = ("key_version", "nonce", "ciphertext")
    KEY_VERSION_FIELD_NUMBER: _ClassVar[int]
    NONCE_FIELD_NUMBER: _ClassVar[int]
    CIPHERTEXT_FIELD_NUMBER: _ClassVar[int]
    key_version: int
    nonce: bytes
    ciphertext: bytes
    def __init__(self, key_version: _Optional[int] = ..., nonce: _Optional[bytes] = ..., ciphertext: _Optional[bytes] = ...) -> None: ...

class Webhook(_message.Message):
    __slots__ = ("url", "secret")
    URL_FIELD_NUMBER: _ClassVar[int]
    SECRET_FIELD_NUMBER: _ClassVar[int]
    url: str
    secret: str
    def __init__(self, url: _Optional[str] = ..., secret: _Optional[str] = ...) -> None: ...

class NatsSubject(_message.Message):
    __slots__ = ("subject",)
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    subject: str
    def __init__(self, subject: _Optional[str] = ...) -> None: ...

class NdjsonFile(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class DestinationDefined(_message.Message):
    __slots__ = ("destination_id", "title", "webhook", "nats", "file", "smtp", "aliyun_sms", "tencent_sms", "twilio_sms", "dingtalk_robot", "wecom_robot", "feishu_robot", "wechat_template", "wechat_subscribe", "fcm", "getui", "s3", "meta_audience", "google_audience", "salesforce", "hubspot", "apns", "wecom_app", "kafka", "sftp", "postgres_table", "postgres_mirror", "tencent_audience", "fxiaoke", "segment_ids", "triggers", "content", "traits", "version", "retired", "sealed_secrets", "template_id", "address", "secret_names")
    class SealedSecretsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: SealedSecret
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[SealedSecret, _Mapping]] = ...) -> None: ...
    DESTINATION_ID_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    WEBHOOK_FIELD_NUMBER: _ClassVar[int]
    NATS_FIELD_NUMBER: _ClassVar[int]
    FILE_FIELD_NUMBER: _ClassVar[int]
    SMTP_FIELD_NUMBER: _ClassVar[int]
    ALIYUN_SMS_FIELD_NUMBER: _ClassVar[int]
    TENCENT_SMS_FIELD_NUMBER: _ClassVar[int]
    TWILIO_SMS_FIELD_NUMBER: _ClassVar[int]
    DINGTALK_ROBOT_FIELD_NUMBER: _ClassVar[int]
    WECOM_ROBOT_FIELD_NUMBER: _ClassVar[int]
    FEISHU_ROBOT_FIELD_NUMBER: _ClassVar[int]
    WECHAT_TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    WECHAT_SUBSCRIBE_FIELD_NUMBER: _ClassVar[int]
    FCM_FIELD_NUMBER: _ClassVar[int]
    GETUI_FIELD_NUMBER: _ClassVar[int]
    S3_FIELD_NUMBER: _ClassVar[int]
    META_AUDIENCE_FIELD_NUMBER: _ClassVar[int]
    GOOGLE_AUDIENCE_FIELD_NUMBER: _ClassVar[int]
    SALESFORCE_FIELD_NUMBER: _ClassVar[int]
    HUBSPOT_FIELD_NUMBER: _ClassVar[int]
    APNS_FIELD_NUMBER: _ClassVar[int]
    WECOM_APP_FIELD_NUMBER: _ClassVar[int]
    KAFKA_FIELD_NUMBER: _ClassVar[int]
    SFTP_FIELD_NUMBER: _ClassVar[int]
    POSTGRES_TABLE_FIELD_NUMBER: _ClassVar[int]
    POSTGRES_MIRROR_FIELD_NUMBER: _ClassVar[int]
    TENCENT_AUDIENCE_FIELD_NUMBER: _ClassVar[int]
    FXIAOKE_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_IDS_FIELD_NUMBER: _ClassVar[int]
    TRIGGERS_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    TRAITS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    RETIRED_FIELD_NUMBER: _ClassVar[int]
    SEALED_SECRETS_FIELD_NUMBER: _ClassVar[int]
    TEMPLATE_ID_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    SECRET_NAMES_FIELD_NUMBER: _ClassVar[int]
    destination_id: str
    title: str
    webhook: Webhook
    nats: NatsSubject
    file: NdjsonFile
    smtp: _channels_pb2.Smtp
    aliyun_sms: _channels_pb2.AliyunSms
    tencent_sms: _channels_pb2.TencentSms
    twilio_sms: _channels_pb2.TwilioSms
    dingtalk_robot: _channels_pb2.DingtalkRobot
    wecom_robot: _channels_pb2.WecomRobot
    feishu_robot: _channels_pb2.FeishuRobot
    wechat_template: _channels_pb2.WechatTemplate
    wechat_subscribe: _channels_pb2.WechatSubscribe
    fcm: _channels_pb2.Fcm
    getui: _channels_pb2.Getui
    s3: _channels_pb2.S3
    meta_audience: _channels_pb2.MetaAudience
    google_audience: _channels_pb2.GoogleAudience
    salesforce: _channels_pb2.Salesforce
    hubspot: _channels_pb2.Hubspot
    apns: _channels_pb2.Apns
    wecom_app: _channels_pb2.WecomApp
    kafka: _channels_pb2.Kafka
    sftp: _channels_pb2.Sftp
    postgres_table: _channels_pb2.PostgresTable
    postgres_mirror: _channels_pb2.PostgresMirror
    tencent_audience: _channels_pb2.TencentAudience
    fxiaoke: _channels_pb2.Fxiaoke
    segment_ids: _containers.RepeatedScalarFieldContainer[str]
    triggers: _containers.RepeatedScalarFieldContainer[Trigger]
    content: bytes
    traits: _containers.RepeatedScalarFieldContainer[str]
    version: int
    retired: bool
    sealed_secrets: _containers.MessageMap[str, SealedSecret]
    template_id: str
    address: str
    secret_names: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, destination_id: _Optional[str] = ..., title: _Optional[str] = ..., webhook: _Optional[_Union[Webhook, _Mapping]] = ..., nats: _Optional[_Union[NatsSubject, _Mapping]] = ..., file: _Optional[_Union[NdjsonFile, _Mapping]] = ..., smtp: _Optional[_Union[_channels_pb2.Smtp, _Mapping]] = ..., aliyun_sms: _Optional[_Union[_channels_pb2.AliyunSms, _Mapping]] = ..., tencent_sms: _Optional[_Union[_channels_pb2.TencentSms, _Mapping]] = ..., twilio_sms: _Optional[_Union[_channels_pb2.TwilioSms, _Mapping]] = ..., dingtalk_robot: _Optional[_Union[_channels_pb2.DingtalkRobot, _Mapping]] = ..., wecom_robot: _Optional[_Union[_channels_pb2.WecomRobot, _Mapping]] = ..., feishu_robot: _Optional[_Union[_channels_pb2.FeishuRobot, _Mapping]] = ..., wechat_template: _Optional[_Union[_channels_pb2.WechatTemplate, _Mapping]] = ..., wechat_subscribe: _Optional[_Union[_channels_pb2.WechatSubscribe, _Mapping]] = ..., fcm: _Optional[_Union[_channels_pb2.Fcm, _Mapping]] = ..., getui: _Optional[_Union[_channels_pb2.Getui, _Mapping]] = ..., s3: _Optional[_Union[_channels_pb2.S3, _Mapping]] = ..., meta_audience: _Optional[_Union[_channels_pb2.MetaAudience, _Mapping]] = ..., google_audience: _Optional[_Union[_channels_pb2.GoogleAudience, _Mapping]] = ..., salesforce: _Optional[_Union[_channels_pb2.Salesforce, _Mapping]] = ..., hubspot: _Optional[_Union[_channels_pb2.Hubspot, _Mapping]] = ..., apns: _Optional[_Union[_channels_pb2.Apns, _Mapping]] = ..., wecom_app: _Optional[_Union[_channels_pb2.WecomApp, _Mapping]] = ..., kafka: _Optional[_Union[_channels_pb2.Kafka, _Mapping]] = ..., sftp: _Optional[_Union[_channels_pb2.Sftp, _Mapping]] = ..., postgres_table: _Optional[_Union[_channels_pb2.PostgresTable, _Mapping]] = ..., postgres_mirror: _Optional[_Union[_channels_pb2.PostgresMirror, _Mapping]] = ..., tencent_audience: _Optional[_Union[_channels_pb2.TencentAudience, _Mapping]] = ..., fxiaoke: _Optional[_Union[_channels_pb2.Fxiaoke, _Mapping]] = ..., segment_ids: _Optional[_Iterable[str]] = ..., triggers: _Optional[_Iterable[_Union[Trigger, str]]] = ..., content: _Optional[bytes] = ..., traits: _Optional[_Iterable[str]] = ..., version: _Optional[int] = ..., retired: _Optional[bool] = ..., sealed_secrets: _Optional[_Mapping[str, SealedSecret]] = ..., template_id: _Optional[str] = ..., address: _Optional[str] = ..., secret_names: _Optional[_Iterable[str]] = ...) -> None: ...

class DeliveryEnded(_message.Message):
    __slots__ = ("effect_id", "destination_id", "segment_id", "profile_id", "state", "attempts", "reason", "begun_at_us", "run_id", "journey_id", "step_id", "visit", "template_version")
    EFFECT_ID_FIELD_NUMBER: _ClassVar[int]
    DESTINATION_ID_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_ID_FIELD_NUMBER: _ClassVar[int]
    PROFILE_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    BEGUN_AT_US_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    JOURNEY_ID_FIELD_NUMBER: _ClassVar[int]
    STEP_ID_FIELD_NUMBER: _ClassVar[int]
    VISIT_FIELD_NUMBER: _ClassVar[int]
    TEMPLATE_VERSION_FIELD_NUMBER: _ClassVar[int]
    effect_id: str
    destination_id: str
    segment_id: str
    profile_id: str
    state: DeliveryState
    attempts: int
    reason: str
    begun_at_us: int
    run_id: bytes
    journey_id: str
    step_id: str
    visit: int
    template_version: int
    def __init__(self, effect_id: _Optional[str] = ..., destination_id: _Optional[str] = ..., segment_id: _Optional[str] = ..., profile_id: _Optional[str] = ..., state: _Optional[_Union[DeliveryState, str]] = ..., attempts: _Optional[int] = ..., reason: _Optional[str] = ..., begun_at_us: _Optional[int] = ..., run_id: _Optional[bytes] = ..., journey_id: _Optional[str] = ..., step_id: _Optional[str] = ..., visit: _Optional[int] = ..., template_version: _Optional[int] = ...) -> None: ...

class TemplateParameter(_message.Message):
    __slots__ = ("name", "value")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: str
    def __init__(self, name: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...

class TemplateTexts(_message.Message):
    __slots__ = ("locale", "subject", "text", "html", "provider_template", "parameters")
    LOCALE_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    HTML_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    locale: str
    subject: str
    text: str
    html: str
    provider_template: str
    parameters: _containers.RepeatedCompositeFieldContainer[TemplateParameter]
    def __init__(self, locale: _Optional[str] = ..., subject: _Optional[str] = ..., text: _Optional[str] = ..., html: _Optional[str] = ..., provider_template: _Optional[str] = ..., parameters: _Optional[_Iterable[_Union[TemplateParameter, _Mapping]]] = ...) -> None: ...

class TemplateDefined(_message.Message):
    __slots__ = ("template_id", "title", "texts", "needs", "sample", "zone", "version", "retired")
    TEMPLATE_ID_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    NEEDS_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_FIELD_NUMBER: _ClassVar[int]
    ZONE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    RETIRED_FIELD_NUMBER: _ClassVar[int]
    template_id: str
    title: str
    texts: _containers.RepeatedCompositeFieldContainer[TemplateTexts]
    needs: _containers.RepeatedScalarFieldContainer[str]
    sample: bytes
    zone: str
    version: int
    retired: bool
    def __init__(self, template_id: _Optional[str] = ..., title: _Optional[str] = ..., texts: _Optional[_Iterable[_Union[TemplateTexts, _Mapping]]] = ..., needs: _Optional[_Iterable[str]] = ..., sample: _Optional[bytes] = ..., zone: _Optional[str] = ..., version: _Optional[int] = ..., retired: _Optional[bool] = ...) -> None: ...
