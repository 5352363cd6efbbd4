"""Takes receipts of providers, and unsubscriptions, and saves what they say of messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import asyncpg
import structlog

from services.activation.codec.receipts.mail import read_mail
from services.activation.codec.receipts.sms import read_aliyun, read_tencent, read_twilio
from services.activation.domain.message_channels import AliyunSms, Smtp, TencentSms, TwilioSms
from services.activation.domain.model import Destination
from services.activation.domain.policy.contact import address_key, contact_channel, purpose_in
from services.activation.domain.receipts.engagement import engagement_of, is_machine
from services.activation.domain.receipts.model import (
    Receipt,
    ReceiptAnswer,
    ReceiptRefused,
    ReceiptRequest,
)
from services.activation.domain.receipts.tokens import (
    DoorToken,
    LinkTokens,
    TrackingToken,
    UnsubscribeToken,
)
from services.activation.domain.sealing import SecretKeys, SecretNotReadable
from services.activation.store.destinations import load_destinations
from services.activation.store.effects import DestinationKey
from services.activation.store.reports import (
    Report,
    ReportedEffect,
    find_by_addresses,
    find_effects,
    save_reports,
)
from services.chassis.postgres.database import Database, acquire, transaction
from services.chassis.rpc.clients import LogClient
from services.kernel.errors import InvalidField, NotFound, RetryableError
from services.kernel.identifiers.phones import DEFAULT_REGION, phone
from services.kernel.ids import WorkspaceId, to_hex
from services.kernel.journeys.model import DEFAULT_PURPOSE, ReportKind

SMS: Final = "sms"
log = structlog.get_logger(__name__)

NO_LINK: Final = "the link is not complete: open it as it is in the message"


class StatedByPerson(NamedTuple):
    """The consent that a person has stated in a channel."""

    workspace_id: WorkspaceId
    namespace: str
    value: str
    purpose: str
    granted: bool
    #: Unix microseconds.
    at_us: int
    #: Makes its event idempotent.
    message_id: str


class TakenReceipt(NamedTuple):
    """What a provider gets as an answer, and the consents that its receipts state."""

    answer: ReceiptAnswer
    consents: list[StatedByPerson]


@dataclass(frozen=True)
class ReceiptCommands:
    """Takes what strangers say of messages."""

    database: Database
    log: LogClient
    keys: SecretKeys

    def path_of(self, destination: Destination) -> str:
        """Return the path at which a provider reports; empty = the channel has no reports."""
        if not destination.channel.contract.reports:
            return ""
        token = DoorToken(destination.workspace_id, destination.destination_id)
        return f"/v1/receipts/{LinkTokens(self.keys).seal(token)}"

    async def take(self, token: str, request: ReceiptRequest) -> TakenReceipt:
        """Save what a provider reports; a receipt of an unknown message is ignored.

        Raises NotFound for a token that is none, and InvalidField for a request that is no receipt.
        """
        destination = await self.destination_of(token)
        try:
            answer = self._read(destination, request)
        except ReceiptRefused as error:
            raise InvalidField(f"the request is no receipt: {error}", field="body") from None
        except SecretNotReadable as error:
            raise InvalidField(str(error), field="destination") from None
        _, now_us = await self.log.now()
        async with transaction(self.database.pool) as conn:
            reports = await _with_effects(conn, destination, answer.receipts, now_us)
            await save_reports(conn, [report for report, _ in reports], now_us)
        return TakenReceipt(answer, _consents(destination, reports))

    async def destination_of(self, token: str) -> Destination:
        """Return the destination whose address for receipts has a token. Raises NotFound."""
        door = LinkTokens(self.keys).open_door(token)
        own: Sequence[Destination] = ()
        if door is not None:
            async with acquire(self.database.pool) as conn:
                own = await load_destinations(conn, WorkspaceId(door.workspace_id))
        for destination in own:
            if door is not None and destination.destination_id == door.destination_id:
                return destination
        raise NotFound("no destination has this address for receipts")

    async def unsubscribe(
        self, token: str, *, confirmed: bool
    ) -> tuple[UnsubscribeToken, StatedByPerson | None]:
        """Return what a link is about; where it is confirmed, what the person states by it.

        Raises NotFound for a token that is none.
        """
        opened = LinkTokens(self.keys).open_unsubscribe(token)
        if opened is None:
            raise NotFound(NO_LINK)
        if not confirmed:
            return opened, None
        _, now_us = await self.log.now()
        key = DestinationKey(WorkspaceId(opened.workspace_id), opened.destination_id)
        receipt = Receipt(ReportKind.UNSUBSCRIBED, opened.key, at_us=now_us)
        async with transaction(self.database.pool) as conn:
            effects = await find_effects(conn, key, [bytes.fromhex(opened.key)])
            reports = [Report(key, effect, receipt, now_us) for effect in effects.values()]
            await save_reports(conn, reports, now_us)
        return opened, StatedByPerson(
            key.workspace_id,
            opened.namespace,
            opened.value,
            purpose_in(opened.purpose, opened.channel),
            False,
            now_us,
            # A person who subscribes again may unsubscribe again.
            f"unsubscribed-{opened.key}-{now_us}",
        )

    async def engage(
        self, token: str, headers: Mapping[str, str], *, only_token: bool = False
    ) -> str:
        """Save that a mail was opened or a link of it clicked; return the target of the link.

        A link leads to its target also where that cannot be saved. Raises NotFound
        for a token that is none.
        """
        opened = LinkTokens(self.keys).open_tracking(token)
        if opened is None:
            raise NotFound(NO_LINK)
        if not only_token:
            try:
                await self._save_engagement(opened, headers)
            except RetryableError as error:
                log.warning("engagement_lost", error=type(error).__name__)
        return opened.target

    async def _save_engagement(self, opened: TrackingToken, headers: Mapping[str, str]) -> None:
        _, now_us = await self.log.now()
        key = DestinationKey(WorkspaceId(opened.workspace_id), opened.destination_id)
        async with transaction(self.database.pool) as conn:
            effects = await find_effects(conn, key, [bytes.fromhex(opened.key)])
            for effect in effects.values():
                begun_us = effect.begun_at_us
                by_machine = is_machine(headers, None if begun_us is None else now_us - begun_us)
                receipt = engagement_of(opened, by_machine=by_machine, at_us=now_us)
                await save_reports(conn, [Report(key, effect, receipt, now_us)], now_us)

    def _read(self, destination: Destination, request: ReceiptRequest) -> ReceiptAnswer:
        """Return what a request reports. Raises ReceiptRefused, SecretNotReadable."""
        channel = destination.channel
        match channel:
            case Smtp():
                return read_mail(request, channel)
            case AliyunSms():
                return read_aliyun(request)
            case TencentSms():
                return read_tencent(request)
            case TwilioSms():
                secrets = self.keys.open_all(
                    destination.workspace_id, destination.destination_id, channel
                )
                return read_twilio(request, channel.status_callback, secrets["auth_token"])
            case _:
                raise ReceiptRefused("the channel of the destination has no receipts")


async def _with_effects(
    conn: asyncpg.Connection, destination: Destination, receipts: Sequence[Receipt], now_us: int
) -> list[tuple[Report, Receipt]]:
    """Return the receipts of messages that the ledger has."""
    key = DestinationKey(destination.workspace_id, destination.destination_id)
    channel = contact_channel(destination.channel)
    ids = {bytes.fromhex(receipt.key) for receipt in receipts if receipt.key}
    addresses = {
        receipt.address: address_key(key.workspace_id, channel, _plain(channel, receipt.address))
        for receipt in receipts
        if receipt.address and not receipt.key
    }
    by_id = await find_effects(conn, key, ids)
    by_address = await find_by_addresses(conn, key, set(addresses.values()))
    found: list[tuple[Report, Receipt]] = []
    for receipt in receipts:
        effect: ReportedEffect | None
        if receipt.key:
            effect = by_id.get(bytes.fromhex(receipt.key))
        else:
            effect = by_address.get(addresses.get(receipt.address, b""))
        if effect is not None:
            # A provider whose clock is ahead reports of now.
            at_us = min(receipt.at_us or now_us, now_us)
            found.append((Report(key, effect, receipt, at_us), receipt))
    return found


def _consents(
    destination: Destination, reports: Sequence[tuple[Report, Receipt]]
) -> list[StatedByPerson]:
    """Return the consents that receipts state."""
    channel = contact_channel(destination.channel)
    source = destination.address or destination.channel.contract.address
    kind, _, name = source.partition(" ")
    usual = "phone" if channel == SMS else channel
    namespace = name if kind == "identifier" else usual
    return [
        StatedByPerson(
            report.key.workspace_id,
            namespace,
            _plain(channel, receipt.address) or report.effect.to,
            purpose_in(report.effect.purpose or DEFAULT_PURPOSE, channel),
            receipt.consents,
            report.at_us,
            f"receipt-{to_hex(report.fact_id)}",
        )
        for report, receipt in reports
        if receipt.consents is not None and (receipt.address or report.effect.to)
    ]


def _plain(channel: str, address: str) -> str:
    """Return an address as profiles have it; providers write numbers without their country."""
    return phone(address, DEFAULT_REGION) or address if channel == SMS else address
