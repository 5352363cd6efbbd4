"""Declares the channels that keep copies of memberships: their settings."""

# ruff: noqa: RUF009 - the defaults are calls of `field`, which hides behind what is declared

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from services.activation.domain.channel_settings import (
    Secret,
    endpoint_url,
    needed,
    optional,
    secret,
)
from services.activation.domain.contracts import ChannelContract, ChannelKind, Deduplication

_MIRROR = ChannelContract(Deduplication.KEYED, kind=ChannelKind.MIRROR)


@dataclass(frozen=True, slots=True)
class MetaAudience:
    """A custom audience of Meta."""

    contract: ClassVar = _MIRROR

    audience_id: str = needed("name")
    access_token: Secret = secret()
    endpoint: str = endpoint_url()


@dataclass(frozen=True, slots=True)
class GoogleAudience:
    """An audience of Google by the Data Manager API."""

    contract: ClassVar = _MIRROR

    account_id: str = needed("name")
    audience_id: str = needed("name")
    client_email: str = needed("email")
    private_key: Secret = secret("pem")
    endpoint: str = endpoint_url()
    token_endpoint: str = endpoint_url()


@dataclass(frozen=True, slots=True)
class Salesforce:
    """Records of Salesforce, found by an external id."""

    contract: ClassVar = _MIRROR

    endpoint: str = needed("url", target=True)
    client_id: str = needed()
    client_secret: Secret = secret()
    object: str = optional("name")
    external_id: str = needed("name")
    member_field: str = needed("name")


@dataclass(frozen=True, slots=True)
class Hubspot:
    """Contacts of HubSpot, found by their e-mail address."""

    contract: ClassVar = _MIRROR

    access_token: Secret = secret()
    member_property: str = needed("name")
    endpoint: str = endpoint_url()


@dataclass(frozen=True, slots=True)
class PostgresMirror:
    """A table of PostgreSQL with one row for each member."""

    contract: ClassVar = _MIRROR

    host: str = needed("host", target=True)
    port: int = field(default=0, metadata={"target": True})
    database: str = needed("text", target=True)
    username: str = needed("text", target=True)
    password: Secret = secret("text", needed=False)
    table: str = needed("table")
    security: str = optional("tls_or_none", target=True)


@dataclass(frozen=True, slots=True)
class TencentAudience:
    """An audience of Tencent Ads."""

    contract: ClassVar = _MIRROR

    account_id: str = needed("number")
    audience_id: str = needed("number")
    access_token: Secret = secret()
    endpoint: str = endpoint_url()


@dataclass(frozen=True, slots=True)
class Fxiaoke:
    """Records of Fxiaoke CRM, found by a field with the profile's id."""

    contract: ClassVar = _MIRROR

    app_id: str = needed()
    app_secret: Secret = secret()
    permanent_code: Secret = secret()
    open_user_id: str = needed()
    object: str = optional("name")
    external_id: str = needed("name")
    member_field: str = needed("name")
    endpoint: str = endpoint_url()
