"""Serves ReceiptService over gRPC, for the door that ingest has over HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from onefold.activation.v1 import receipt_service_pb2 as pb
from onefold.activation.v1 import receipt_service_pb2_grpc as pb_grpc
from onefold.type.v1.identifier_pb2 import Identifier

from services.activation.commands.receipts import ReceiptCommands, StatedByPerson
from services.activation.domain.receipts.model import ReceiptRequest
from services.chassis.access.rights import allowed_roles
from services.chassis.rpc.server import Allowed

#: The roles that may call each method.
RECEIPTS_ALLOWED: Allowed = allowed_roles(pb.DESCRIPTOR.services_by_name["ReceiptService"])


@dataclass(eq=False)
class ReceiptRpc(pb_grpc.ReceiptServiceServicer):
    """onefold.activation.v1.ReceiptService."""

    receipts: ReceiptCommands

    async def TakeReceipt(
        self, request: pb.TakeReceiptRequest, context: Any
    ) -> pb.TakeReceiptResponse:
        if request.only_token:
            await self.receipts.destination_of(request.token)
            return pb.TakeReceiptResponse()
        received = ReceiptRequest(request.query, dict(request.headers), request.body)
        taken = await self.receipts.take(request.token, received)
        return pb.TakeReceiptResponse(
            body=taken.answer.body,
            content_type=taken.answer.content_type,
            consents=map(_consent_to_proto, taken.consents),
        )

    async def Unsubscribe(
        self, request: pb.UnsubscribeRequest, context: Any
    ) -> pb.UnsubscribeResponse:
        link, stated = await self.receipts.unsubscribe(request.token, confirmed=request.confirmed)
        consent = None if stated is None else _consent_to_proto(stated)
        return pb.UnsubscribeResponse(channel=link.channel, purpose=link.purpose, consent=consent)

    async def TakeEngagement(
        self, request: pb.TakeEngagementRequest, context: Any
    ) -> pb.TakeEngagementResponse:
        headers = dict(request.headers)
        target = await self.receipts.engage(request.token, headers, only_token=request.only_token)
        return pb.TakeEngagementResponse(target=target)


def _consent_to_proto(stated: StatedByPerson) -> pb.ConsentStatement:
    return pb.ConsentStatement(
        workspace_id=stated.workspace_id,
        identifier=Identifier(namespace=stated.namespace, value=stated.value),
        purpose=stated.purpose,
        granted=stated.granted,
        at_us=stated.at_us,
        message_id=stated.message_id,
    )
