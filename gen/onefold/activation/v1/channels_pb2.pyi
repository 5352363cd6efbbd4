from onefold.type.v1 import options_pb2 as _options_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class Smtp(_message.Message):
    __slots__ = ("host", "port", "security", "username", "password", "from_address", "from_name", "reply_to", "return_path", "unsubscribe_url", "dkim_domain", "dkim_selector", "dkim_private_key", "tracking_url")
    HOST_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    SECURITY_FIELD_NUMBER: _ClassVar[int]
    USERNAME_FIELD_NUMBER: _ClassVar[int]
    PASSWORD_FIELD_NUMBER: _ClassVar[int]
    FROM_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    FROM_NAME_FIELD_NUMBER: _ClassVar[int]
    REPLY_TO_FIELD_NUMBER: _ClassVar[int]
    RETURN_PATH_FIELD_NUMBER: _ClassVar[int]
    UNSUBSCRIBE_URL_FIELD_NUMBER: _ClassVar[int]
    DKIM_DOMAIN_FIELD_NUMBER: _ClassVar[int]
    DKIM_SELECTOR_FIELD_NUMBER: _ClassVar[int]
    DKIM_PRIVATE_KEY_FIELD_NUMBER: _ClassVar[int]
    TRACKING_URL_FIELD_NUMBER: _ClassVar[int]
    host: str
    port: int
    security: str
    username: str
    password: str
    from_address: str
    from_name: str
    reply_to: str
    return_path: str
    unsubscribe_url: str
    dkim_domain: str
    dkim_selector: str
    dkim_private_key: str
    tracking_url: str
    def __init__(self, host: _Optional[str] = ..., port: _Optional[int] = ..., security: _Optional[str] = ..., username: _Optional[str] = ..., password: _Optional[str] = ..., from_address: _Optional[str] = ..., from_name: _Optional[str] = ..., reply_to: _Optional[str] = ..., return_path: _Optional[str] = ..., unsubscribe_url: _Optional[str] = ..., dkim_domain: _Optional[str] = ..., dkim_selector: _Optional[str] = ..., dkim_private_key: _Optional[str] = ..., tracking_url: _Optional[str] = ...) -> None: ...

class AliyunSms(_message.Message):
    __slots__ = ("access_key_id", "access_key_secret", "sign_name", "endpoint")
    ACCESS_KEY_ID_FIELD_NUMBER: _ClassVar[int]
    ACCESS_KEY_SECRET_FIELD_NUMBER: _ClassVar[int]
    SIGN_NAME_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    access_key_id: str
    access_key_secret: str
    sign_name: str
    endpoint: str
    def __init__(self, access_key_id: _Optional[str] = ..., access_key_secret: _Optional[str] = ..., sign_name: _Optional[str] = ..., endpoint: _Optional[str] = ...) -> None: ...

class TencentSms(_message.Message):
    __slots__ = ("secret_id", "secret_key", "sdk_app_id", "sign_name", "region", "endpoint")
    SECRET_ID_FIELD_NUMBER: _ClassVar[int]
    SECRET_KEY_FIELD_NUMBER: _ClassVar[int]
    SDK_APP_ID_FIELD_NUMBER: _ClassVar[int]
    SIGN_NAME_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    secret_id: str
    secret_key: str
    sdk_app_id: str
    sign_name: str
    region: str
    endpoint: str
    def __init__(self, secret_id: _Optional[str] = ..., secret_key: _Optional[str] = ..., sdk_app_id: _Optional[str] = ..., sign_name: _Optional[str] = ..., region: _Optional[str] = ..., endpoint: _Optional[str] = ...) -> None: ...

class TwilioSms(_message.Message):
    __slots__ = ("account_sid", "auth_token", "sender", "status_callback", "endpoint")
    ACCOUNT_SID_FIELD_NUMBER: _ClassVar[int]
    AUTH_TOKEN_FIELD_NUMBER: _ClassVar[int]
    SENDER_FIELD_NUMBER: _ClassVar[int]
    STATUS_CALLBACK_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    account_sid: str
    auth_token: str
    sender: str
    status_callback: str
    endpoint: str
    def __init__(self, account_sid: _Optional[str] = ..., auth_token: _Optional[str] = ..., sender: _Optional[str] = ..., status_callback: _Optional[str] = ..., endpoint: _Optional[str] = ...) -> None: ...

class DingtalkRobot(_message.Message):
    __slots__ = ("access_token", "signing_secret", "endpoint")
    ACCESS_TOKEN_FIELD_NUMBER: _ClassVar[int]
    SIGNING_SECRET_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    access_token: str
    signing_secret: str
    endpoint: str
    def __init__(self, access_token: _Optional[str] = ..., signing_secret: _Optional[str] = ..., endpoint: _Optional[str] = ...) -> None: ...

class WecomRobot(_message.Message):
    __slots__ = ("key", "endpoint")
    KEY_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    key: str
    endpoint: str
    def __init__(self, key: _Optional[str] = ..., endpoint: _Optional[str] = ...) -> None: ...

class FeishuRobot(_message.Message):
    __slots__ = ("hook_id", "signing_secret", "endpoint")
    HOOK_ID_FIELD_NUMBER: _ClassVar[int]
    SIGNING_SECRET_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    hook_id: str
    signing_secret: str
    endpoint: str
    def __init__(self, hook_id: _Optional[str] = ..., signing_secret: _Optional[str] = ..., endpoint: _Optional[str] = ...) -> None: ...

class WechatTemplate(_message.Message):
    __slots__ = ("app_id", "app_secret", "url", "endpoint")
    APP_ID_FIELD_NUMBER: _ClassVar[int]
    APP_SECRET_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    app_id: str
    app_secret: str
    url: str
    endpoint: str
    def __init__(self, app_id: _Optional[str] = ..., app_secret: _Optional[str] = ..., url: _Optional[str] = ..., endpoint: _Optional[str] = ...) -> None: ...

class WechatSubscribe(_message.Message):
    __slots__ = ("app_id", "app_secret", "page", "endpoint")
    APP_ID_FIELD_NUMBER: _ClassVar[int]
    APP_SECRET_FIELD_NUMBER: _ClassVar[int]
    PAGE_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    app_id: str
    app_secret: str
    page: str
    endpoint: str
    def __init__(self, app_id: _Optional[str] = ..., app_secret: _Optional[str] = ..., page: _Optional[str] = ..., endpoint: _Optional[str] = ...) -> None: ...

class Fcm(_message.Message):
    __slots__ = ("project_id", "client_email", "private_key", "endpoint", "token_endpoint")
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    CLIENT_EMAIL_FIELD_NUMBER: _ClassVar[int]
    PRIVATE_KEY_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    TOKEN_ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    project_id: str
    client_email: str
    private_key: str
    endpoint: str
    token_endpoint: str
    def __init__(self, project_id: _Optional[str] = ..., client_email: _Optional[str] = ..., private_key: _Optional[str] = ..., endpoint: _Optional[str] = ..., token_endpoint: _Optional[str] = ...) -> None: ...

class Getui(_message.Message):
    __slots__ = ("app_id", "app_key", "master_secret", "endpoint")
    APP_ID_FIELD_NUMBER: _ClassVar[int]
    APP_KEY_FIELD_NUMBER: _ClassVar[int]
    MASTER_SECRET_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    app_id: str
    app_key: str
    master_secret: str
    endpoint: str
    def __init__(self, app_id: _Optional[str] = ..., app_key: _Optional[str] = ..., master_secret: _Optional[str] = ..., endpoint: _Optional[str] = ...) -> None: ...

class S3(_message.Message):
    __slots__ = ("bucket", "region", "access_key_id", "secret_access_key", "prefix", "endpoint")
    BUCKET_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    ACCESS_KEY_ID_FIELD_NUMBER: _ClassVar[int]
    SECRET_ACCESS_KEY_FIELD_NUMBER: _ClassVar[int]
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    bucket: str
    region: str
    access_key_id: str
    secret_access_key: str
    prefix: str
    endpoint: str
    def __init__(self, bucket: _Optional[str] = ..., region: _Optional[str] = ..., access_key_id: _Optional[str] = ..., secret_access_key: _Optional[str] = ..., prefix: _Optional[str] = ..., endpoint: _Optional[str] = ...) -> None: ...

class MetaAudience(_message.Message):
    __slots__ = ("audience_id", "access_token", "endpoint")
    AUDIENCE_ID_FIELD_NUMBER: _ClassVar[int]
    ACCESS_TOKEN_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    audience_id: str
    access_token: str
    endpoint: str
    def __init__(self, audience_id: _Optional[str] = ..., access_token: _Optional[str] = ..., endpoint: _Optional[str] = ...) -> None: ...

class GoogleAudience(_message.Message):
    __slots__ = ("account_id", "audience_id", "client_email", "private_key", "endpoint", "token_endpoint")
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    AUDIENCE_ID_FIELD_NUMBER: _ClassVar[int]
    CLIENT_EMAIL_FIELD_NUMBER: _ClassVar[int]
    PRIVATE_KEY_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    TOKEN_ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    account_id: str
    audience_id: str
    client_email: str
    private_key: str
    endpoint: str
    token_endpoint: str
    def __init__(self, account_id: _Optional[str] = ..., audience_id: _Optional[str] = ..., client_email: _Optional[str] = ..., private_key: _Optional[str] = ..., endpoint: _Optional[str] = ..., token_endpoint: _Optional[str] = ...) -> None: ...

class Salesforce(_message.Message):
    __slots__ = ("endpoint", "client_id", "client_secret", "object", "external_id", "member_field")
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    CLIENT_SECRET_FIELD_NUMBER: _ClassVar[int]
    OBJECT_FIELD_NUMBER: _ClassVar[int]
    EXTERNAL_ID_FIELD_NUMBER: _ClassVar[int]
    MEMBER_FIELD_FIELD_NUMBER: _ClassVar[int]
    endpoint: str
    client_id: str
    client_secret: str
    object: str
    external_id: str
    member_field: str
    def __init__(self, endpoint: _Optional[str] = ..., client_id: _Optional[str] = ..., client_secret: _Optional[str] = ..., object: _Optional[str] = ..., external_id: _Optional[str] = ..., member_field: _Optional[str] = ...) -> None: ...

class Hubspot(_message.Message):
    __slots__ = ("access_token", "member_property", "endpoint")
    ACCESS_TOKEN_FIELD_NUMBER: _ClassVar[int]
    MEMBER_PROPERTY_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    access_token: str
    member_property: str
    endpoint: str
    def __init__(self, access_token: _Optional[str] = ..., member_property: _Optional[str] = ..., endpoint: _Optional[str] = ...) -> None: ...

class Apns(_message.Message):
    __slots__ = ("team_id", "auth_key_id", "private_key", "topic", "endpoint")
    TEAM_ID_FIELD_NUMBER: _ClassVar[int]
    AUTH_KEY_ID_FIELD_NUMBER: _ClassVar[int]
    PRIVATE_KEY_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    team_id: str
    auth_key_id: str
    private_key: str
    topic: str
    endpoint: str
    def __init__(self, team_id: _Optional[str] = ..., auth_key_id: _Optional[str] = ..., private_key: _Optional[str] = ..., topic: _Optional[str] = ..., endpoint: _Optional[str] = ...) -> None: ...

class WecomApp(_message.Message):
    __slots__ = ("corp_id", "corp_secret", "agent_id", "endpoint")
    CORP_ID_FIELD_NUMBER: _ClassVar[int]
    CORP_SECRET_FIELD_NUMBER: _ClassVar[int]
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    corp_id: str
    corp_secret: str
    agent_id: str
    endpoint: str
    def __init__(self, corp_id: _Optional[str] = ..., corp_secret: _Optional[str] = ..., agent_id: _Optional[str] = ..., endpoint: _Optional[str] = ...) -> None: ...

class Kafka(_message.Message):
    __slots__ = ("brokers", "topic", "security", "username", "password", "mechanism")
    BROKERS_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    SECURITY_FIELD_NUMBER: _ClassVar[int]
    USERNAME_FIELD_NUMBER: _ClassVar[int]
    PASSWORD_FIELD_NUMBER: _ClassVar[int]
    MECHANISM_FIELD_NUMBER: _ClassVar[int]
    brokers: str
    topic: str
    security: str
    username: str
    password: str
    mechanism: str
    def __init__(self, brokers: _Optional[str] = ..., topic: _Optional[str] = ..., security: _Optional[str] = ..., username: _Optional[str] = ..., password: _Optional[str] = ..., mechanism: _Optional[str] = ...) -> None: ...

class Sftp(_message.Message):
    __slots__ = ("host", "port", "host_key", "username", "password", "private_key", "folder")
    HOST_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    HOST_KEY_FIELD_NUMBER: _ClassVar[int]
    USERNAME_FIELD_NUMBER: _ClassVar[int]
    PASSWORD_FIELD_NUMBER: _ClassVar[int]
    PRIVATE_KEY_FIELD_NUMBER: _ClassVar[int]
    FOLDER_FIELD_NUMBER: _ClassVar[int]
    host: str
    port: int
    host_key: str
    username: str
    password: str
    private_key: str
    folder: str
    def __init__(self, host: _Optional[str] = ..., port: _Optional[int] = ..., host_key: _Optional[str] = ..., username: _Optional[str] = ..., password: _Optional[str] = ..., private_key: _Optional[str] = ..., folder: _Optional[str] = ...) -> None: ...

class PostgresTable(_message.Message):
    __slots__ = ("host", "port", "database", "username", "password", "table", "security")
    HOST_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    DATABASE_FIELD_NUMBER: _ClassVar[int]
    USERNAME_FIELD_NUMBER: _ClassVar[int]
    PASSWORD_FIELD_NUMBER: _ClassVar[int]
    TABLE_FIELD_NUMBER: _ClassVar[int]
    SECURITY_FIELD_NUMBER: _ClassVar[int]
    host: str
    port: int
    database: str
    username: str
    password: str
    table: str
    security: str
    def __init__(self, host: _Optional[str] = ..., port: _Optional[int] = ..., database: _Optional[str] = ..., username: _Optional[str] = ..., password: _Optional[str] = ..., table: _Optional[str] = ..., security: _Optional[str] = ...) -> None: ...

class PostgresMirror(_message.Message):
    __slots__ = ("host", "port", "database", "username", "password", "table", "security")
    HOST_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    DATABASE_FIELD_NUMBER: _ClassVar[int]
    USERNAME_FIELD_NUMBER: _ClassVar[int]
    PASSWORD_FIELD_NUMBER: _ClassVar[int]
    TABLE_FIELD_NUMBER: _ClassVar[int]
    SECURITY_FIELD_NUMBER: _ClassVar[int]
    host: str
    port: int
    database: str
    username: str
    password: str
    table: str
    security: str
    def __init__(self, host: _Optional[str] = ..., port: _Optional[int] = ..., database: _Optional[str] = ..., username: _Optional[str] = ..., password: _Optional[str] = ..., table: _Optional[str] = ..., security: _Optional[str] = ...) -> None: ...

class TencentAudience(_message.Message):
    __slots__ = ("account_id", "audience_id", "access_token", "endpoint")
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    AUDIENCE_ID_FIELD_NUMBER: _ClassVar[int]
    ACCESS_TOKEN_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    account_id: str
    audience_id: str
    access_token: str
    endpoint: str
    def __init__(self, account_id: _Optional[str] = ..., audience_id: _Optional[str] = ..., access_token: _Optional[str] = ..., endpoint: _Optional[str] = ...) -> None: ...

class Fxiaoke(_message.Message):
    __slots__ = ("app_id", "app_secret", "permanent_code", "open_user_id", "object", "external_id", "member_field", "endpoint")
    APP_ID_FIELD_NUMBER: _ClassVar[int]
    APP_SECRET_FIELD_NUMBER: _ClassVar[int]
    PERMANENT_CODE_FIELD_NUMBER: _ClassVar[int]
    OPEN_USER_ID_FIELD_NUMBER: _ClassVar[int]
    OBJECT_FIELD_NUMBER: _ClassVar[int]
    EXTERNAL_ID_FIELD_NUMBER: _ClassVar[int]
    MEMBER_FIELD_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    app_id: str
    app_secret: str
    permanent_code: str
    open_user_id: str
    object: str
    external_id: str
    member_field: str
    endpoint: str
    def __init__(self, app_id: _Optional[str] = ..., app_secret: _Optional[str] = ..., permanent_code: _Optional[str] = ..., open_user_id: _Optional[str] = ..., object: _Optional[str] = ..., external_id: _Optional[str] = ..., member_field: _Optional[str] = ..., endpoint: _Optional[str] = ...) -> None: ...
