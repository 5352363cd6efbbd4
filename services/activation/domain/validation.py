"""Validates a destination before it is defined."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import re
from collections.abc import Collection
from typing import NoReturn
from urllib.parse import urlsplit

from services.activation.domain.channel_settings import FORMS
from services.activation.domain.channels import Channel, brokers_of, name_of
from services.activation.domain.contracts import ChannelKind
from services.activation.domain.message_channels import Smtp
from services.activation.domain.model import Destination
from services.activation.domain.subjects import (
    MAX_SUBJECT,
    AllowedSubjects,
    is_reserved,
    is_subject,
    own_prefix,
)
from services.activation.domain.system_channels import Kafka, NatsSubject, NdjsonFile, Sftp, Webhook
from services.kernel.errors import InvalidField
from services.kernel.ids import WorkspaceId

MAX_ID = 128
MAX_TITLE = 200
MAX_SEGMENTS = 1_000
#: Destinations of a workspace, retired ones included: each has a queue of its own, and one change
#: of a membership can become a message to each.
MAX_DESTINATIONS = 500
MAX_TRAITS = 200
MAX_URL = 2_048
MAX_PORT = 65_535
MAX_BROKERS = 10
MAX_CONTENT = 64 * 1024
#: Bytes of a signing secret that Standard Webhooks allows.
SECRET_BYTES = range(24, 65)
ADDRESS = re.compile(r"identifier [a-z0-9_.]{1,64}|trait [^\x00-\x1f\x7f]{1,128}")
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def check_destination(destination: Destination, subjects: AllowedSubjects) -> None:
    """Check every field. Raises InvalidField with the expected form.

    `subjects`: those outside of `onefold.out.WORKSPACE.` that the operator allows.
    """
    check_destination_id(destination.destination_id)
    if len(destination.title) > MAX_TITLE or "\0" in destination.title:
        _reject("title", f"has at most {MAX_TITLE} characters and no NUL")
    _check_names("segment_ids", destination.segment_ids, MAX_SEGMENTS)
    # Without both only journeys use it.
    if destination.triggers and not destination.segment_ids:
        _reject("segment_ids", "names at least one segment, or there are no triggers either")
    if destination.segment_ids and not destination.triggers:
        _reject("triggers", "names at least one of ENTERED and LEFT")
    if len(destination.content) > MAX_CONTENT:
        _reject("content", f"has at most {MAX_CONTENT} bytes")
    _check_names("traits", destination.traits, MAX_TRAITS)
    match destination.channel:
        case Webhook(url, secret):
            _check_url(url, "webhook.url")
            # A sealed secret was checked before it was sealed.
            if isinstance(secret, str):
                _check_secret(secret)
        case NatsSubject(subject):
            _check_subject(destination.workspace_id, subject, subjects)
        case NdjsonFile(name):
            if not _FILE.fullmatch(name):
                _reject("file.name", "is a file name of letters, digits, '.', '_' and '-'")
        case channel:
            _check_settings(channel)
    _check_rendering(destination)


def _check_settings(channel: Channel) -> None:
    """Check each setting of a channel by the form that it is declared with."""
    for field in dataclasses.fields(channel):
        value, name = getattr(channel, field.name), f"{name_of(channel)}.{field.name}"
        if "form" not in field.metadata:
            continue
        pattern, expected = FORMS[field.metadata["form"]]
        if not value and field.metadata.get("needed"):
            _reject(name, f"is needed; it {expected}")
        # A sealed secret was checked before it was sealed.
        if isinstance(value, str) and value and not pattern.fullmatch(value):
            _reject(name, expected)
        if field.metadata["form"] in ("url", "https") and value:
            _check_url(value.replace("{key}", "0"), name)
    if getattr(channel, "port", 0) > MAX_PORT:
        _reject(f"{name_of(channel)}.port", f"is at most {MAX_PORT}")
    match channel:
        case Smtp():
            _check_login(channel, "starttls or tls")
            signing = (channel.dkim_domain, channel.dkim_selector, channel.dkim_private_key)
            if any(signing) and not all(signing):
                _reject("smtp.dkim_domain", "comes with dkim_selector and dkim_private_key")
        case Kafka():
            _check_login(channel, "tls")
            _check_brokers(channel)
        case Sftp(password="", private_key=""):
            _reject("sftp.password", "or sftp.private_key is needed")


def _check_brokers(kafka: Kafka) -> None:
    parts = [part.strip().rpartition(":") for part in kafka.brokers.split(",")]
    is_list = len(parts) <= MAX_BROKERS and all(
        host and " " not in host and port.isdecimal() and len(port) <= 5 for host, _, port in parts
    )
    if not is_list:
        _reject("kafka.brokers", FORMS["brokers"][1])
    if not all(0 < port <= MAX_PORT for _, port in brokers_of(kafka)):
        _reject("kafka.brokers", f"has ports from 1 to {MAX_PORT}")


def _check_login(channel: Smtp | Kafka, secured: str) -> None:
    name = name_of(channel)
    if bool(channel.username) != bool(channel.password):
        _reject(f"{name}.password", "is set exactly if there is a username")
    if channel.username and channel.security == "none":
        _reject(f"{name}.security", f"is {secured} where there is a password")


def _check_rendering(destination: Destination) -> None:
    """Check that the template and the address are there exactly if the channel uses them."""
    contract, name = destination.channel.contract, name_of(destination.channel)
    if contract.parts and destination.segment_ids and not destination.template_id:
        _reject("template_id", f"names the template of the messages: {name} sends texts")
    if destination.template_id and not contract.parts:
        _reject("template_id", f"is not used: {name} sends the description of the change")
    if contract.kind is ChannelKind.MIRROR and len(destination.triggers) < 2:
        _reject("triggers", f"names both ENTERED and LEFT: {name} removes those who leave")
    if destination.address and not contract.is_addressed:
        _reject("address", f"is not used: {name} has no address for each person")
    if destination.address and not ADDRESS.fullmatch(destination.address):
        _reject("address", "is `identifier NAMESPACE` or `trait NAME`, such as `trait mail`")


def check_number(destination_id: str, existing: Collection[str]) -> None:
    """Check that a workspace with these ids may define this one. Raises InvalidField."""
    if destination_id not in existing and len(existing) >= MAX_DESTINATIONS:
        raise InvalidField(
            f"the workspace has {len(existing)} destinations, and at most {MAX_DESTINATIONS} are"
            " allowed: define one under the id of a retired destination",
            field="destination.destination_id",
        )


def check_destination_id(destination_id: str) -> None:
    """Check that a text can be the id of a destination. Raises InvalidField."""
    if not _is_name(destination_id):
        _reject("destination_id", f"has 1 to {MAX_ID} printable characters")


def _check_names(field: str, names: Collection[str], most: int) -> None:
    if len(names) > most:
        _reject(field, f"has at most {most} entries")
    if not all(map(_is_name, names)):
        _reject(field, f"has entries of 1 to {MAX_ID} printable characters")


def _is_name(text: str) -> bool:
    return 0 < len(text) <= MAX_ID and text.isprintable()


def _check_url(url: str, name: str) -> None:
    if len(url) > MAX_URL:
        _reject(name, f"has at most {MAX_URL} characters")
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        valid = False
    # Parsers disagree about the host of such a URL.
    ambiguous = not url.isprintable() or " " in url or "\\" in url
    if ambiguous or not valid:
        _reject(name, "is an http or https URL with a host, such as https://x.example/in")
    if "@" in parts.netloc or "#" in url:
        _reject(name, "has no user and no fragment; the signature identifies the sender")


def _check_secret(secret: str) -> None:
    try:
        raw = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if not secret.startswith("whsec_") or len(raw) not in SECRET_BYTES:
        _reject("webhook.secret", "is `whsec_` and the base64 of 24 to 64 random bytes")


def _check_subject(workspace_id: WorkspaceId, subject: str, allowed: AllowedSubjects) -> None:
    if not is_subject(subject):
        _reject(
            "nats.subject",
            f"is a subject without wildcards of at most {MAX_SUBJECT} printable characters, such"
            f" as {own_prefix(workspace_id)}coupons",
        )
    if allowed.allows(workspace_id, subject):
        return
    # The system's subjects cannot be allowed, so no operator can help there.
    remedy = "" if is_reserved(subject) else "; an operator can allow others"
    _reject("nats.subject", f"lies below `{own_prefix(workspace_id)}`{remedy}")


def _reject(field: str, expected: str) -> NoReturn:
    raise InvalidField(f"{field} {expected}", field=f"destination.{field}")
