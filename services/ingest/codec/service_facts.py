"""Lists the kinds of facts that the other services may append over the internal key.

Events, clock ticks, workspaces, sources and keys are not among them: only ingest appends those,
after it has checked who asks. So the internal key alone creates no key and no event.
"""

from __future__ import annotations

from onefold.activation.v1.activation_facts_pb2 import (
    DeliveryEnded,
    DestinationDefined,
    TemplateDefined,
)
from onefold.activation.v1.dashboards_pb2 import DashboardDefined
from onefold.activation.v1.desk_pb2 import (
    DeskQueueDefined,
    SlaBreached,
    SlaBreachWithdrawn,
    TicketAnswered,
    TicketAssigned,
    TicketOpened,
    TicketRated,
    TicketReopened,
    TicketResolved,
    TicketWaiting,
)
from onefold.activation.v1.journey_facts_pb2 import (
    ContactPolicyDefined,
    CouponCodesLoaded,
    CouponIssued,
    CouponPoolDefined,
    CouponVoided,
    DeliveryReported,
    DestinationFlowChanged,
    JourneyDefined,
    JourneyEntered,
    JourneyFlowChanged,
)
from onefold.activation.v1.journey_runs_pb2 import RunTransitioned
from onefold.activation.v1.slots_pb2 import SlotDefined
from onefold.identity.v1.identity_facts_pb2 import IdentityPolicyDefined, LinkDecided, MatchAssessed
from onefold.log.v1.erasure_pb2 import ErasureFolded, ErasureRequested
from onefold.profile.v1.profile_facts_pb2 import (
    ProfileSettingsDefined,
    ScoreRecorded,
    TagDefined,
    TraitCorrected,
)
from onefold.segment.v1.segment_facts_pb2 import SegmentDefined, SnapshotTaken

_MESSAGES = (
    *(IdentityPolicyDefined, LinkDecided, MatchAssessed, ErasureRequested),  # identity
    *(TagDefined, ProfileSettingsDefined, TraitCorrected, ScoreRecorded),  # profile
    *(SegmentDefined, SnapshotTaken),  # segment
    *(DestinationDefined, DeliveryEnded, TemplateDefined, RunTransitioned),  # activation
    *(JourneyDefined, JourneyFlowChanged, JourneyEntered),
    *(DestinationFlowChanged, ContactPolicyDefined, DeliveryReported, SlotDefined),
    *(DashboardDefined, ErasureFolded),  # the last one of all four
    *(CouponPoolDefined, CouponCodesLoaded, CouponIssued, CouponVoided),
    *(DeskQueueDefined, TicketOpened, TicketAssigned, TicketAnswered, TicketWaiting),
    *(TicketResolved, TicketReopened, TicketRated, SlaBreached, SlaBreachWithdrawn),
)
SERVICE_KINDS: frozenset[str] = frozenset(message.DESCRIPTOR.full_name for message in _MESSAGES)
