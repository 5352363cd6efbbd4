"""Types the calls of each service, which the generated stubs leave untyped, and follows pages.

Left out are the calls that only services make to each other.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol, TypeVar

from onefold.activation.v1 import activation_service_pb2 as activation_pb
from onefold.activation.v1 import dashboard_service_pb2 as dashboard_pb
from onefold.activation.v1 import decision_service_pb2 as decision_pb
from onefold.activation.v1 import desk_service_pb2 as desk_pb
from onefold.activation.v1 import journey_service_pb2 as journey_pb
from onefold.audit.v1 import audit_service_pb2 as audit_pb
from onefold.identity.v1 import identity_service_pb2 as identity_pb
from onefold.ingest.v1 import admin_service_pb2 as admin_pb
from onefold.ingest.v1 import ingest_service_pb2 as ingest_pb
from onefold.log.v1 import log_service_pb2 as log_pb
from onefold.profile.v1 import profile_service_pb2 as profile_pb
from onefold.projection.v1 import projection_service_pb2 as projection_pb
from onefold.segment.v1 import segment_service_pb2 as segment_pb

Metadata = Sequence[tuple[str, str]]
RequestT = TypeVar("RequestT", contravariant=True)
ResponseT = TypeVar("ResponseT", covariant=True)


class Unary(Protocol[RequestT, ResponseT]):
    """A call with one response. `timeout` is in seconds."""

    async def __call__(
        self, request: RequestT, *, timeout: float | None = None, metadata: Metadata = ()
    ) -> ResponseT: ...


class ServerStream(Protocol[RequestT, ResponseT]):
    """A call with a stream of responses. `timeout` is in seconds; None = no limit."""

    def __call__(
        self, request: RequestT, *, timeout: float | None = None, metadata: Metadata = ()
    ) -> AsyncIterator[ResponseT]: ...


class AdminApi(Protocol):
    """Manages workspaces, sources and keys."""

    DefineSource: Unary[admin_pb.DefineSourceRequest, admin_pb.DefineSourceResponse]
    ListSources: Unary[admin_pb.ListSourcesRequest, admin_pb.ListSourcesResponse]
    DefineFieldClasses: Unary[
        admin_pb.DefineFieldClassesRequest, admin_pb.DefineFieldClassesResponse
    ]
    GetFieldClasses: Unary[admin_pb.GetFieldClassesRequest, admin_pb.GetFieldClassesResponse]
    IssueKey: Unary[admin_pb.IssueKeyRequest, admin_pb.IssueKeyResponse]
    RotateKey: Unary[admin_pb.RotateKeyRequest, admin_pb.RotateKeyResponse]
    DisableKey: Unary[admin_pb.DisableKeyRequest, admin_pb.DisableKeyResponse]
    ListErasures: Unary[admin_pb.ListErasuresRequest, admin_pb.ListErasuresResponse]
    ListKeys: Unary[admin_pb.ListKeysRequest, admin_pb.ListKeysResponse]
    ListRefusedCalls: Unary[admin_pb.ListRefusedCallsRequest, admin_pb.ListRefusedCallsResponse]
    GetCaller: Unary[admin_pb.GetCallerRequest, admin_pb.GetCallerResponse]
    CreateWorkspace: Unary[admin_pb.CreateWorkspaceRequest, admin_pb.CreateWorkspaceResponse]


class AuditApi(Protocol):
    """Lists what each key did and read at one service."""

    ListAuditEntries: Unary[audit_pb.ListAuditEntriesRequest, audit_pb.ListAuditEntriesResponse]


class IngestApi(Protocol):
    """Takes events, and manages quarantined ones."""

    IngestEvents: Unary[ingest_pb.IngestEventsRequest, ingest_pb.IngestEventsResponse]
    ListDuplicates: Unary[ingest_pb.ListDuplicatesRequest, ingest_pb.ListDuplicatesResponse]
    WatchEvents: ServerStream[ingest_pb.WatchEventsRequest, ingest_pb.WatchEventsResponse]
    ListQuarantined: Unary[ingest_pb.ListQuarantinedRequest, ingest_pb.ListQuarantinedResponse]
    ReleaseQuarantined: Unary[
        ingest_pb.ReleaseQuarantinedRequest, ingest_pb.ReleaseQuarantinedResponse
    ]


class LogApi(Protocol):
    """Reads the event log and moves its clock; for service keys."""

    Append: Unary[log_pb.AppendRequest, log_pb.AppendResponse]
    Read: ServerStream[log_pb.ReadRequest, log_pb.ReadResponse]
    GetHead: Unary[log_pb.GetHeadRequest, log_pb.GetHeadResponse]
    TickClock: Unary[log_pb.TickClockRequest, log_pb.TickClockResponse]


class IdentityApi(Protocol):
    """Resolves identifiers to profiles, explains and decides about matches."""

    LookupProfiles: Unary[identity_pb.LookupProfilesRequest, identity_pb.LookupProfilesResponse]
    ListIdentifiers: Unary[identity_pb.ListIdentifiersRequest, identity_pb.ListIdentifiersResponse]
    RequestErasure: Unary[identity_pb.RequestErasureRequest, identity_pb.RequestErasureResponse]
    ExplainMatch: Unary[identity_pb.ExplainMatchRequest, identity_pb.ExplainMatchResponse]
    RecordDecision: Unary[identity_pb.RecordDecisionRequest, identity_pb.RecordDecisionResponse]
    ListHeld: Unary[identity_pb.ListHeldRequest, identity_pb.ListHeldResponse]
    GetPolicy: Unary[identity_pb.GetPolicyRequest, identity_pb.GetPolicyResponse]
    DefinePolicy: Unary[identity_pb.DefinePolicyRequest, identity_pb.DefinePolicyResponse]
    PreviewPolicy: ServerStream[identity_pb.PreviewPolicyRequest, identity_pb.PreviewPolicyResponse]
    AssessMatches: Unary[identity_pb.AssessMatchesRequest, identity_pb.AssessMatchesResponse]
    ListMatches: Unary[identity_pb.ListMatchesRequest, identity_pb.ListMatchesResponse]
    GetGraph: Unary[identity_pb.GetGraphRequest, identity_pb.GetGraphResponse]
    WatchMerges: ServerStream[identity_pb.WatchMergesRequest, identity_pb.WatchMergesResponse]


class ProfileApi(Protocol):
    """Reads profiles and accounts, and defines tags."""

    GetProfile: Unary[profile_pb.GetProfileRequest, profile_pb.GetProfileResponse]
    BatchGetProfiles: Unary[profile_pb.BatchGetProfilesRequest, profile_pb.BatchGetProfilesResponse]
    ListProfiles: Unary[profile_pb.ListProfilesRequest, profile_pb.ListProfilesResponse]
    GetAccount: Unary[profile_pb.GetAccountRequest, profile_pb.GetAccountResponse]
    ListAccounts: Unary[profile_pb.ListAccountsRequest, profile_pb.ListAccountsResponse]
    ListTimeline: Unary[profile_pb.ListTimelineRequest, profile_pb.ListTimelineResponse]
    ExplainRule: Unary[profile_pb.ExplainRuleRequest, profile_pb.ExplainRuleResponse]
    ExplainMembership: Unary[
        profile_pb.ExplainMembershipRequest, profile_pb.ExplainMembershipResponse
    ]
    PreviewProfiles: Unary[profile_pb.PreviewProfilesRequest, profile_pb.PreviewProfilesResponse]
    DefineTag: Unary[profile_pb.DefineTagRequest, profile_pb.DefineTagResponse]
    FitTag: Unary[profile_pb.FitTagRequest, profile_pb.FitTagResponse]
    CorrectTrait: Unary[profile_pb.CorrectTraitRequest, profile_pb.CorrectTraitResponse]
    RecordScores: Unary[profile_pb.RecordScoresRequest, profile_pb.RecordScoresResponse]
    ListTags: Unary[profile_pb.ListTagsRequest, profile_pb.ListTagsResponse]
    DefineSettings: Unary[profile_pb.DefineSettingsRequest, profile_pb.DefineSettingsResponse]
    CountTraits: Unary[profile_pb.CountTraitsRequest, profile_pb.CountTraitsResponse]
    SearchProfiles: Unary[profile_pb.SearchProfilesRequest, profile_pb.SearchProfilesResponse]
    TranslateRule: Unary[profile_pb.TranslateRuleRequest, profile_pb.TranslateRuleResponse]
    GetSettings: Unary[profile_pb.GetSettingsRequest, profile_pb.GetSettingsResponse]
    WatchProfiles: ServerStream[profile_pb.WatchProfilesRequest, profile_pb.WatchProfilesResponse]


class SegmentApi(Protocol):
    """Defines segments and reads their members."""

    DefineSegment: Unary[segment_pb.DefineSegmentRequest, segment_pb.DefineSegmentResponse]
    ListSegments: Unary[segment_pb.ListSegmentsRequest, segment_pb.ListSegmentsResponse]
    ListMembers: Unary[segment_pb.ListMembersRequest, segment_pb.ListMembersResponse]
    ListMemberships: Unary[segment_pb.ListMembershipsRequest, segment_pb.ListMembershipsResponse]
    PreviewMemberships: Unary[
        segment_pb.PreviewMembershipsRequest, segment_pb.PreviewMembershipsResponse
    ]
    PreviewSegment: Unary[segment_pb.PreviewSegmentRequest, segment_pb.PreviewSegmentResponse]
    ComputeSet: Unary[segment_pb.ComputeSetRequest, segment_pb.ComputeSetResponse]
    OverlapSegments: Unary[segment_pb.OverlapSegmentsRequest, segment_pb.OverlapSegmentsResponse]
    CreateSnapshot: Unary[segment_pb.CreateSnapshotRequest, segment_pb.CreateSnapshotResponse]
    RemoveSnapshot: Unary[segment_pb.RemoveSnapshotRequest, segment_pb.RemoveSnapshotResponse]
    ListSnapshots: Unary[segment_pb.ListSnapshotsRequest, segment_pb.ListSnapshotsResponse]
    WatchMemberships: ServerStream[
        segment_pb.WatchMembershipsRequest, segment_pb.WatchMembershipsResponse
    ]


class ActivationApi(Protocol):
    """Defines destinations and reads deliveries."""

    DefineDestination: Unary[
        activation_pb.DefineDestinationRequest, activation_pb.DefineDestinationResponse
    ]
    DefineTemplate: Unary[activation_pb.DefineTemplateRequest, activation_pb.DefineTemplateResponse]
    ListTemplates: Unary[activation_pb.ListTemplatesRequest, activation_pb.ListTemplatesResponse]
    PreviewTemplate: Unary[
        activation_pb.PreviewTemplateRequest, activation_pb.PreviewTemplateResponse
    ]
    ListDestinations: Unary[
        activation_pb.ListDestinationsRequest, activation_pb.ListDestinationsResponse
    ]
    ListDeliveries: Unary[activation_pb.ListDeliveriesRequest, activation_pb.ListDeliveriesResponse]
    CountDeliveries: Unary[
        activation_pb.CountDeliveriesRequest, activation_pb.CountDeliveriesResponse
    ]
    RetryDelivery: Unary[activation_pb.RetryDeliveryRequest, activation_pb.RetryDeliveryResponse]
    GetMirror: Unary[activation_pb.GetMirrorRequest, activation_pb.GetMirrorResponse]
    ReconcileMirror: Unary[
        activation_pb.ReconcileMirrorRequest, activation_pb.ReconcileMirrorResponse
    ]


class JourneyApi(Protocol):
    """Defines journeys, and says when persons may be contacted."""

    DefineJourney: Unary[journey_pb.DefineJourneyRequest, journey_pb.DefineJourneyResponse]
    ListJourneys: Unary[journey_pb.ListJourneysRequest, journey_pb.ListJourneysResponse]
    GetJourney: Unary[journey_pb.GetJourneyRequest, journey_pb.GetJourneyResponse]
    SetJourneyFlow: Unary[journey_pb.SetJourneyFlowRequest, journey_pb.SetJourneyFlowResponse]
    SetDestinationFlow: Unary[
        journey_pb.SetDestinationFlowRequest, journey_pb.SetDestinationFlowResponse
    ]
    DefineContactPolicy: Unary[
        journey_pb.DefineContactPolicyRequest, journey_pb.DefineContactPolicyResponse
    ]
    GetContactPolicy: Unary[journey_pb.GetContactPolicyRequest, journey_pb.GetContactPolicyResponse]
    DefineCouponPool: Unary[journey_pb.DefineCouponPoolRequest, journey_pb.DefineCouponPoolResponse]
    ListCouponPools: Unary[journey_pb.ListCouponPoolsRequest, journey_pb.ListCouponPoolsResponse]
    LoadCouponCodes: Unary[journey_pb.LoadCouponCodesRequest, journey_pb.LoadCouponCodesResponse]
    EnterJourney: Unary[journey_pb.EnterJourneyRequest, journey_pb.EnterJourneyResponse]
    ListRuns: Unary[journey_pb.ListRunsRequest, journey_pb.ListRunsResponse]
    GetRun: Unary[journey_pb.GetRunRequest, journey_pb.GetRunResponse]
    WhyRun: Unary[journey_pb.WhyRunRequest, journey_pb.WhyRunResponse]
    SummarizeJourney: Unary[journey_pb.SummarizeJourneyRequest, journey_pb.SummarizeJourneyResponse]
    GetJourneyResults: Unary[
        journey_pb.GetJourneyResultsRequest, journey_pb.GetJourneyResultsResponse
    ]
    AuditRuns: Unary[journey_pb.AuditRunsRequest, journey_pb.AuditRunsResponse]
    ListRegrets: Unary[journey_pb.ListRegretsRequest, journey_pb.ListRegretsResponse]
    TryJourney: ServerStream[journey_pb.TryJourneyRequest, journey_pb.TryJourneyResponse]
    BacktestJourney: ServerStream[
        journey_pb.BacktestJourneyRequest, journey_pb.BacktestJourneyResponse
    ]
    VerifyRuns: Unary[journey_pb.VerifyRunsRequest, journey_pb.VerifyRunsResponse]


class DecisionApi(Protocol):
    """Defines slots, decides what they show, and ranks their items."""

    DefineSlot: Unary[decision_pb.DefineSlotRequest, decision_pb.DefineSlotResponse]
    ListSlots: Unary[decision_pb.ListSlotsRequest, decision_pb.ListSlotsResponse]
    Decide: Unary[decision_pb.DecideRequest, decision_pb.DecideResponse]
    Recommend: Unary[decision_pb.RecommendRequest, decision_pb.RecommendResponse]
    FitItems: Unary[decision_pb.FitItemsRequest, decision_pb.FitItemsResponse]


class DeskApi(Protocol):
    """Opens tickets and tasks about persons, and says who works on them and until when."""

    DefineQueue: Unary[desk_pb.DefineQueueRequest, desk_pb.DefineQueueResponse]
    ListQueues: Unary[desk_pb.ListQueuesRequest, desk_pb.ListQueuesResponse]
    OpenTicket: Unary[desk_pb.OpenTicketRequest, desk_pb.OpenTicketResponse]
    UpdateTicket: Unary[desk_pb.UpdateTicketRequest, desk_pb.UpdateTicketResponse]
    ListTickets: Unary[desk_pb.ListTicketsRequest, desk_pb.ListTicketsResponse]
    GetTicket: Unary[desk_pb.GetTicketRequest, desk_pb.GetTicketResponse]


class DashboardApi(Protocol):
    """Defines dashboards and evaluates their tiles."""

    DefineDashboard: Unary[
        dashboard_pb.DefineDashboardRequest, dashboard_pb.DefineDashboardResponse
    ]
    ListDashboards: Unary[dashboard_pb.ListDashboardsRequest, dashboard_pb.ListDashboardsResponse]
    EvaluateTiles: Unary[dashboard_pb.EvaluateTilesRequest, dashboard_pb.EvaluateTilesResponse]


class ProjectionApi(Protocol):
    """Reads and rebuilds the state of a service that folds the log."""

    GetStatus: Unary[projection_pb.GetStatusRequest, projection_pb.GetStatusResponse]
    GetDigest: Unary[projection_pb.GetDigestRequest, projection_pb.GetDigestResponse]
    AwaitToken: Unary[projection_pb.AwaitTokenRequest, projection_pb.AwaitTokenResponse]
    Rebuild: ServerStream[projection_pb.RebuildRequest, projection_pb.RebuildResponse]
    ListFailedFacts: Unary[
        projection_pb.ListFailedFactsRequest, projection_pb.ListFailedFactsResponse
    ]
    RetryFailedFacts: Unary[
        projection_pb.RetryFailedFactsRequest, projection_pb.RetryFailedFactsResponse
    ]
    GetAccessDifferences: Unary[
        projection_pb.GetAccessDifferencesRequest, projection_pb.GetAccessDifferencesResponse
    ]


class _PageRequest(Protocol):
    page_token: str


class _PageResponse(Protocol):
    @property
    def next_page_token(self) -> str: ...


Request = TypeVar("Request", bound=_PageRequest)
Response = TypeVar("Response", bound=_PageResponse)


async def pages(method: Unary[Request, Response], request: Request) -> AsyncIterator[Response]:
    """Yield every page of a list; `request` is changed on the way. Raises OnefoldError."""
    while True:
        response = await method(request)
        yield response
        request.page_token = response.next_page_token
        if not request.page_token:
            return
