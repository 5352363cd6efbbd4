"""Two workspaces with the same things in them, whose names tell whose they are."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg
from google.protobuf.message import Message
from integration.whole.whole_system import WholeSystem, identifier
from onefold.activation.v1 import activation_service_pb2 as activation_pb
from onefold.activation.v1 import dashboard_service_pb2 as dashboard_pb
from onefold.activation.v1 import dashboards_pb2
from onefold.activation.v1 import decision_service_pb2 as decision_pb
from onefold.activation.v1 import desk_service_pb2 as desk_pb
from onefold.activation.v1 import journey_service_pb2 as journey_pb
from onefold.audit.v1 import audit_service_pb2 as audit_pb
from onefold.identity.v1 import identity_facts_pb2 as identity_facts
from onefold.identity.v1 import identity_service_pb2 as identity_pb
from onefold.ingest.v1 import admin_service_pb2 as admin_pb
from onefold.ingest.v1 import ingest_facts_pb2 as ingest_facts
from onefold.ingest.v1 import ingest_service_pb2 as ingest_pb
from onefold.profile.v1 import profile_service_pb2 as profile_pb
from onefold.projection.v1 import projection_service_pb2 as projection_pb
from onefold.segment.v1 import segment_service_pb2 as segment_pb
from onefold.type.v1 import event_pb2
from onefold.type.v1.options_pb2 import FIELD_CLASS_NONE
from onefold.type.v1.source_trust_pb2 import SOURCE_TRUST_SERVER
from service_fixtures import wait_until

from services import SERVICES
from services.chassis.codec.rules import rule_to_proto
from services.cli.commands.packs import apply_pack
from services.cli.definitions import read_pack
from services.client.client import Client
from services.kernel.errors import OnefoldError
from services.kernel.rules.forms.json_form import parse_rule

#: The workspace whose keys are used, and the one that it must see nothing of.
OWN, OTHER = "default", "tenant-b"
#: What the names and titles of the other workspace contain.
MARK = "bravo"
_MARKS = {OWN: "alpha", OTHER: MARK}
#: A shard that no worker has.
UNUSED_SHARD = 99
#: A day on which keys were used last, after which no use is recorded.
LAST_DAY = 99_999

PACK = """
sources:
  - {{id: {mark}-only, title: {mark} only, channel: {mark}}}
identity_policy:
  namespaces:
    - {{name: user_id, limit: 1}}
    - {{name: {mark}_id, limit: {limit}}}
tags:
  - {{id: {mark}-tag, title: {mark}, rule: {{count: {{event: bought {mark}, at_least: 1}}}}}}
segments:
  - {{id: {mark}-only, title: {mark}, rule: {{count: {{event: bought {mark}, at_least: 1}}}}}}
templates:
  - id: "{mark}"
    locales: {{zh: {{text: "{mark}"}}}}
destinations:
  - id: {mark}-file
    title: {mark}
    file: {{name: {mark}.ndjson}}
    segments: [{mark}-only]
    on: [entered]
"""


class Tenant(NamedTuple):
    """A workspace, and a client for each role."""

    workspace_id: str
    admin: Client
    source: Client

    @property
    def mark(self) -> str:
        return _MARKS[self.workspace_id]

    def id(self, name: str) -> Any:
        """Return an identifier of this workspace's own."""
        return identifier(name.replace("?", self.mark))


@asynccontextmanager
async def two_tenants(system: WholeSystem, folder: Path) -> AsyncIterator[tuple[Tenant, Tenant]]:
    """Fill the default workspace and another one."""
    async with AsyncExitStack() as scope:
        own = Tenant(OWN, system.admin, system.source)
        request = admin_pb.CreateWorkspaceRequest(workspace_id=OTHER, title=MARK)
        created = await system.internal.admin.CreateWorkspace(request)

        async def client(key: str) -> Client:
            endpoints = replace(system.admin.endpoints, key=key)
            return await scope.enter_async_context(Client(endpoints))

        admin = await client(created.admin_key)
        source = ingest_facts.SourceDefined(
            source_id="web", title=f"{MARK} web", trust=SOURCE_TRUST_SERVER
        )
        await admin.admin.DefineSource(admin_pb.DefineSourceRequest(source=source))
        key = admin_pb.IssueKeyRequest(
            role=ingest_facts.ROLE_SOURCE, source_id="web", title=f"{MARK} key"
        )
        issued = await admin.admin.IssueKey(key)
        other = Tenant(OTHER, admin, await client(issued.key))
        for tenant in (own, other):
            await _define(tenant, folder)
            await _send(tenant)
        await system.drain()
        for tenant in (own, other):
            await _decide(tenant)
        await system.drain()
        yield own, other


async def _define(tenant: Tenant, folder: Path) -> None:
    # The other one has more versions of its policy, so that a query for the newest finds that.
    for limit in range(3, 3 + (2 if tenant.workspace_id == OTHER else 1)):
        pack = folder / f"{tenant.mark}.yaml"
        pack.write_text(PACK.format(mark=tenant.mark, limit=limit), encoding="utf-8")
        await apply_pack(tenant.admin, read_pack(pack, {}))
    classes = ingest_facts.FieldClassesDefined(names={f"{tenant.mark} plan": FIELD_CLASS_NONE})
    await tenant.admin.admin.DefineFieldClasses(admin_pb.DefineFieldClassesRequest(classes=classes))


async def _send(tenant: Tenant) -> None:
    def event(*names: str, **fields: Any) -> event_pb2.Event:
        kind = {"type": event_pb2.EVENT_TYPE_TRACK, "name": f"bought {tenant.mark}"}
        return event_pb2.Event(identifiers=map(tenant.id, names), **(kind | fields))

    parent = json.dumps({"parent_account_id": f"{tenant.mark}-parent"}).encode()
    name = json.dumps({"name": tenant.mark}).encode()
    group = {"type": event_pb2.EVENT_TYPE_GROUP, "name": ""}
    events = [
        event("user_id:?-user", "email:?@example.cn"),
        event("user_id:?-user", group_id=f"{tenant.mark}-account", traits=parent, **group),
        event("user_id:?-user", group_id=f"{tenant.mark}-parent", **group),
        # Its user id may not join the other one, so the edge is held.
        event("user_id:?-second", "email:?@example.cn"),
        event("anonymous_id:?-visitor"),
        event("user_id:?-user", type=event_pb2.EVENT_TYPE_IDENTIFY, name="", traits=name),
        event(),  # without an identifier, so it is quarantined
    ]
    request = ingest_pb.IngestEventsRequest(events=events)
    response = await tenant.source.ingest.IngestEvents(request)
    assert len(response.rejections) == 1, response
    await _send_twice(tenant, ingest_pb.IngestEventsRequest(events=events[:1]))


async def _send_twice(tenant: Tenant, request: ingest_pb.IngestEventsRequest) -> None:
    """Send a request twice from a source of this workspace alone; wait until that is recorded."""
    key = admin_pb.IssueKeyRequest(
        role=ingest_facts.ROLE_SOURCE, source_id=f"{tenant.mark}-only", title=f"{tenant.mark} twice"
    )
    issued = await tenant.admin.admin.IssueKey(key)
    async with Client(replace(tenant.admin.endpoints, key=issued.key)) as source:
        for event in request.events:
            event.message_id = f"{tenant.mark}-twice"
        await source.ingest.IngestEvents(request)
        await source.ingest.IngestEvents(request)

    async def is_recorded() -> bool:
        listed = await tenant.admin.ingest.ListDuplicates(ingest_pb.ListDuplicatesRequest())
        return bool(listed.messages)

    await wait_until(is_recorded)


async def _decide(tenant: Tenant) -> None:
    decision = {"a": tenant.id("user_id:?-user"), "reason": tenant.mark}
    for name, kind in (
        ("anonymous_id:?-visitor", identity_facts.DECISION_LINK),
        ("user_id:?-second", identity_facts.DECISION_SEPARATE),
    ):
        request = identity_pb.RecordDecisionRequest(b=tenant.id(name), decision=kind, **decision)
        await tenant.admin.identity.RecordDecision(request)
    match = identity_facts.MatchAssessed(
        a=tenant.id("user_id:?-user"),
        b=tenant.id("user_id:?-second"),
        assessment=identity_facts.ASSESSMENT_ACCEPTED,
        probability=0.9,
        model_version=tenant.mark,
        purposes=[tenant.mark],
    )
    assess = identity_pb.AssessMatchesRequest(matches=[match])
    await tenant.admin.identity.AssessMatches(assess)
    name = f"{tenant.mark}-only"
    snapshot = segment_pb.CreateSnapshotRequest(name=name, expression={"segment_id": name})
    await tenant.admin.segment.CreateSnapshot(snapshot)


class OtherIds(NamedTuple):
    """Ids of the other workspace, as a caller may have learnt them."""

    profile: bytes
    leaf: bytes
    account: bytes
    parent: bytes
    decided: tuple[bytes, bytes]
    matched: tuple[bytes, bytes]
    effect: bytes
    quarantined: bytes
    quarantine_shard: int
    key: str


#: A pool of the other workspace, with a free code and a coupon.
COUPONS = f"""
    INSERT INTO activation_g1.coupon_pool VALUES ('{OTHER}', '{MARK}', 1, '{MARK}');
    INSERT INTO activation.coupon_code VALUES ('{OTHER}', '{MARK}', '{MARK}');
    INSERT INTO activation.coupon
    VALUES ('{MARK}', '{OTHER}', '{MARK}', '{MARK}', '{MARK}', '{MARK}', '{MARK}', '{MARK}',
            '{MARK}', 1);
"""
#: A dashboard of the other workspace.
DASHBOARD = f"INSERT INTO activation_g1.dashboard VALUES ('{OTHER}', '{MARK}', 1, '{MARK}');"
#: Tiles that count all that there is.
ALL_TILES = dashboard_pb.EvaluateTilesRequest(
    tiles=[
        dashboards_pb2.Tile(tile_id=str(data), data=data, chart=dashboards_pb2.TILE_CHART_TABLE)
        for data in (dashboards_pb2.TILE_DATA_DELIVERIES, dashboards_pb2.TILE_DATA_TICKETS)
    ]
)
#: A queue of the other workspace, with the ticket of a person.
TICKETS = f"""
INSERT INTO activation_g1.desk_queue VALUES ('{OTHER}', '{MARK}', 1, '{MARK}');
INSERT INTO activation.ticket (ticket_id, workspace_id, leaf_id, queue_id, title, state)
SELECT leaf_id, '{OTHER}', leaf_id, '{MARK}', '{MARK}', 1
FROM activation.leaf_profile WHERE workspace_id = '{OTHER}';
INSERT INTO activation.ticket_fact
SELECT leaf_id, leaf_id, '{OTHER}', 'ticket_opened', 1, '{{"title": "{MARK}"}}'
FROM activation.leaf_profile WHERE workspace_id = '{OTHER}';
"""

DEFINITIONS = f"""
INSERT INTO activation_g1.journey VALUES ('{OTHER}', '{MARK}', 1, 1, '{MARK}');
INSERT INTO activation_g1.flow_change VALUES ('{OTHER}', 1, '{MARK}', 1, 1, 2, 1);
INSERT INTO activation_g1.contact_policy VALUES ('{OTHER}', 1, 1, '{MARK}');
INSERT INTO activation_g1.slot VALUES ('{OTHER}', '{MARK}', 1, '{MARK}');
INSERT INTO activation_g1.slot_follower VALUES ('{OTHER}', 0), ('{OTHER}', 1);
INSERT INTO activation_g1.slot_person (workspace_id, profile_id, row_id)
SELECT '{OTHER}', profile_id, '{UUID(int=0)}' FROM profile_g1.assignment
WHERE workspace_id = '{OTHER}' AND value = '{MARK}-user';
INSERT INTO activation.item_fit VALUES ('{OTHER}', '{MARK}', 1, 1, {2**60}, 1, 1);
INSERT INTO activation.item_ranking VALUES ('{OTHER}', '{MARK}', 1, 1, '{MARK}', '{MARK}');
"""


async def load_other_ids(conn: asyncpg.Connection) -> OtherIds:
    """Return ids of the other workspace, and prepare rows that are rare.

    From then on nothing that runs in the background changes rows of that workspace.
    """
    published = "SELECT bool_and(outcome_published) FROM activation.effect WHERE workspace_id = $1"
    await wait_until(lambda: conn.fetchval(published, OTHER))
    await conn.execute(
        f"""
        INSERT INTO identity_g1.unpublished_assignment
        SELECT {UNUSED_SHARD}, version, identifier_id, workspace_id, namespace, value, profile_id,
            profile_id
        FROM identity_g1.identifier WHERE workspace_id = '{OTHER}' LIMIT 1;
        INSERT INTO profile_g1.backfill (shard, name, workspace_id, version, blocking)
        VALUES ({UNUSED_SHARD}, '{MARK}', '{OTHER}', 1, false);
        INSERT INTO ingest.key_use SELECT workspace_id, key_id, {LAST_DAY} FROM ingest.api_key
        WHERE workspace_id = '{OTHER}'
        ON CONFLICT (workspace_id, key_id) DO UPDATE SET last_day = excluded.last_day;
        UPDATE activation.effect SET state = 4 WHERE workspace_id = '{OTHER}';
        {DEFINITIONS} {COUPONS}
        INSERT INTO activation.leaf_profile
        SELECT '{OTHER}', leaf_id, 1, leaf_id, 1 FROM profile_g1.leaf
        WHERE workspace_id = '{OTHER}' LIMIT 1;
        {TICKETS}
        {DASHBOARD}
        INSERT INTO activation.run
        SELECT '{OTHER}', leaf_id, '{MARK}', 2, leaf_id, 1, leaf_id, 1, '', 1, 0, NULL, '{MARK}',
            NULL
        FROM activation.leaf_profile WHERE workspace_id = '{OTHER}';
        INSERT INTO activation.journey_due
        SELECT '{OTHER}', '{MARK}', leaf_id, {2**62}, now()
        FROM activation.leaf_profile WHERE workspace_id = '{OTHER}';
        UPDATE activation.effect e SET journey_id = '{MARK}', step_id = '{MARK}', run_id = r.run_id,
            leaf_id = r.leaf_id
        FROM activation.run r WHERE e.workspace_id = '{OTHER}' AND r.workspace_id = '{OTHER}';
        INSERT INTO activation.mirror VALUES ('{OTHER}', '{MARK}', 1);
        INSERT INTO activation.mirror_entry
        VALUES ('{OTHER}', '{MARK}', '{MARK}', '{{}}', 1, NULL, true, false, 'epoch', 0, '');
        """
    )

    async def one(sql: str) -> Any:
        [row] = await conn.fetch(f"{sql} LIMIT 1")
        return row[0] if len(row) == 1 else tuple(row)

    of_other = f"WHERE workspace_id = '{OTHER}'"
    named = f"SELECT profile_id FROM profile_g1.assignment {of_other} AND value"
    quarantined = await one(f"SELECT quarantine_id, shard FROM ingest.quarantine {of_other}")
    return OtherIds(
        profile=await one(f"{named} = '{MARK}-user'"),
        leaf=await one(f"SELECT leaf_id FROM profile_g1.leaf {of_other}"),
        account=await one(f"{named} = '{MARK}-account'"),
        parent=await one(f"{named} = '{MARK}-parent'"),
        decided=await one(f"SELECT a, b FROM identity_g1.decision {of_other}"),
        matched=await one(f"SELECT a, b FROM identity_g1.match {of_other}"),
        effect=await one(f"SELECT effect_id FROM activation.effect {of_other}"),
        quarantined=quarantined[0],
        quarantine_shard=quarantined[1],
        key=await one(f"SELECT key_id FROM ingest.api_key {of_other} AND role = 1"),
    )


Call = Callable[[], Any]
#: What the text of an error begins with.
ERROR = b"error: "


def calls_with_foreign_ids(own: Tenant, other: OtherIds) -> Mapping[str, list[Call]]:
    """Return calls of the API by service, with the keys of one workspace and ids of the other."""
    return {
        "ingest": _ingest_calls(own, other),
        "identity": _identity_calls(own, other),
        "profile": _profile_calls(own, other),
        "segment": _segment_calls(own, other),
        "activation": _activation_calls(own, other),
        "chassis": [
            *(
                partial(own.admin.projection(service).GetDigest, projection_pb.GetDigestRequest())
                for service in SERVICES[1:]
            ),
            *(
                partial(
                    own.admin.audit("ingest").ListAuditEntries,
                    audit_pb.ListAuditEntriesRequest(from_number=first, page_size=1_000),
                )
                for first in (0, 1)
            ),
        ],
    }


def _ingest_calls(own: Tenant, other: OtherIds) -> list[Call]:
    admin, ingest = own.admin.admin, own.admin.ingest
    refused = event_pb2.Event(type=event_pb2.EVENT_TYPE_TRACK, name="refused")
    quarantined = other.quarantined.hex()
    return [
        partial(admin.ListSources, admin_pb.ListSourcesRequest()),
        partial(admin.ListKeys, admin_pb.ListKeysRequest()),
        partial(admin.ListRefusedCalls, admin_pb.ListRefusedCallsRequest()),
        partial(admin.ListErasures, admin_pb.ListErasuresRequest()),
        partial(admin.GetFieldClasses, admin_pb.GetFieldClassesRequest()),
        partial(admin.DisableKey, admin_pb.DisableKeyRequest(key_id=other.key)),
        partial(ingest.ListDuplicates, ingest_pb.ListDuplicatesRequest()),
        partial(ingest.ListQuarantined, ingest_pb.ListQuarantinedRequest(include_released=True)),
        partial(
            ingest.ReleaseQuarantined,
            ingest_pb.ReleaseQuarantinedRequest(quarantine_id=quarantined),
        ),
        partial(own.source.ingest.IngestEvents, ingest_pb.IngestEventsRequest(events=[refused])),
    ]


def _identity_calls(own: Tenant, other: OtherIds) -> list[Call]:
    identity, profile = own.admin.identity, other.profile.hex()
    pair = {"a": own.id("user_id:?-user"), "b": own.id("email:?@example.cn")}
    return [
        partial(
            identity.LookupProfiles,
            identity_pb.LookupProfilesRequest(profile_ids=[profile], purpose=MARK),
        ),
        partial(identity.ListIdentifiers, identity_pb.ListIdentifiersRequest(profile_id=profile)),
        partial(identity.ExplainMatch, identity_pb.ExplainMatchRequest(**pair)),
        partial(identity.GetGraph, identity_pb.GetGraphRequest(profile_id=profile)),
        partial(identity.ListHeld, identity_pb.ListHeldRequest()),
        partial(identity.GetPolicy, identity_pb.GetPolicyRequest()),
        partial(identity.PreviewPolicy, identity_pb.PreviewPolicyRequest()),
        partial(identity.ListMatches, identity_pb.ListMatchesRequest()),
    ]


def _profile_calls(own: Tenant, other: OtherIds) -> list[Call]:
    profile, foreign = own.admin.profile, {"profile_id": other.profile.hex()}
    account = {"profile_id": other.account.hex()}
    rule = rule_to_proto(parse_rule({"count": {"event": f"bought {MARK}", "at_least": 1}}))
    return [
        partial(profile.GetProfile, profile_pb.GetProfileRequest(**foreign)),
        partial(
            profile.BatchGetProfiles,
            profile_pb.BatchGetProfilesRequest(profile_ids=foreign.values()),
        ),
        partial(profile.ListProfiles, profile_pb.ListProfilesRequest()),
        partial(
            profile.WatchProfiles, profile_pb.WatchProfilesRequest(from_token={"offsets": [0, 0]})
        ),
        partial(profile.GetAccount, profile_pb.GetAccountRequest(**account)),
        partial(profile.ListAccounts, profile_pb.ListAccountsRequest()),
        *(
            partial(profile.SearchProfiles, profile_pb.SearchProfilesRequest(text=t))
            for t in (foreign["profile_id"], MARK)
        ),
        partial(profile.ListTimeline, profile_pb.ListTimelineRequest(**foreign)),
        partial(
            profile.ListTimeline,
            profile_pb.ListTimelineRequest(identifier=own.id("user_id:?-user")),
        ),
        partial(profile.ExplainRule, profile_pb.ExplainRuleRequest(rule=rule, **foreign)),
        partial(
            profile.ExplainMembership,
            profile_pb.ExplainMembershipRequest(segment_id=f"{MARK}-only", **foreign),
        ),
        partial(profile.GetProfile, profile_pb.GetProfileRequest(as_of_us=2**50, **foreign)),
        partial(profile.ListTags, profile_pb.ListTagsRequest()),
        partial(profile.CountTraits, profile_pb.CountTraitsRequest()),
    ]


def _segment_calls(own: Tenant, other: OtherIds) -> list[Call]:
    segment, foreign = own.admin.segment, {"segment_id": f"{MARK}-only"}
    rest = {"not": {"segment_id": f"{own.mark}-only"}}
    rule = rule_to_proto(parse_rule({"count": {"event": f"bought {own.mark}", "at_least": 1}}))
    return [
        partial(segment.ListSegments, segment_pb.ListSegmentsRequest()),
        partial(segment.ListMembers, segment_pb.ListMembersRequest(**foreign)),
        partial(segment.ListMembers, segment_pb.ListMembersRequest(as_of_us=2**60, **foreign)),
        partial(
            segment.ListMembers, segment_pb.ListMembersRequest(segment_id=f"snapshot:{MARK}-only")
        ),
        partial(segment.ListSnapshots, segment_pb.ListSnapshotsRequest()),
        partial(
            segment.ComputeSet, segment_pb.ComputeSetRequest(expression=foreign, page_size=100)
        ),
        partial(segment.ComputeSet, segment_pb.ComputeSetRequest(expression=rest, page_size=100)),
        partial(
            segment.OverlapSegments, segment_pb.OverlapSegmentsRequest(segment_ids=foreign.values())
        ),
        partial(segment.PreviewSegment, segment_pb.PreviewSegmentRequest(segment={"rule": rule})),
        partial(
            segment.ListMemberships,
            segment_pb.ListMembershipsRequest(profile_id=other.profile.hex()),
        ),
        partial(
            segment.WatchMemberships,
            segment_pb.WatchMembershipsRequest(from_position={"sequences": [0, 0]}),
        ),
    ]


def _activation_calls(own: Tenant, other: OtherIds) -> list[Call]:
    activation, journeys = own.admin.activation, own.admin.journeys
    profile_id, of_other = other.leaf.hex(), {"journey_id": MARK}
    return [
        partial(own.admin.decisions.ListSlots, decision_pb.ListSlotsRequest()),
        partial(
            own.admin.decisions.Decide,
            decision_pb.DecideRequest(
                identifier=identifier(f"user_id:{MARK}-user"), slot_ids=["home"]
            ),
        ),
        partial(own.admin.decisions.Recommend, decision_pb.RecommendRequest(slot_id=MARK)),
        partial(own.admin.dashboards.ListDashboards, dashboard_pb.ListDashboardsRequest()),
        partial(
            own.admin.dashboards.EvaluateTiles, dashboard_pb.EvaluateTilesRequest(dashboard_id=MARK)
        ),
        partial(own.admin.dashboards.EvaluateTiles, ALL_TILES),
        partial(own.admin.desk.ListQueues, desk_pb.ListQueuesRequest()),
        partial(own.admin.desk.ListTickets, desk_pb.ListTicketsRequest()),
        partial(own.admin.desk.ListTickets, desk_pb.ListTicketsRequest(profile_id=profile_id)),
        partial(own.admin.desk.GetTicket, desk_pb.GetTicketRequest(ticket_id=profile_id)),
        partial(journeys.ListJourneys, journey_pb.ListJourneysRequest()),
        partial(journeys.GetContactPolicy, journey_pb.GetContactPolicyRequest()),
        partial(journeys.ListCouponPools, journey_pb.ListCouponPoolsRequest()),
        partial(journeys.ListRuns, journey_pb.ListRunsRequest()),
        partial(journeys.ListRuns, journey_pb.ListRunsRequest(profile_id=profile_id)),
        partial(journeys.GetRun, journey_pb.GetRunRequest(run_id=profile_id)),
        partial(journeys.WhyRun, journey_pb.WhyRunRequest(profile_id=profile_id, **of_other)),
        partial(journeys.SummarizeJourney, journey_pb.SummarizeJourneyRequest(**of_other)),
        partial(journeys.GetJourneyResults, journey_pb.GetJourneyResultsRequest(**of_other)),
        partial(journeys.AuditRuns, journey_pb.AuditRunsRequest()),
        partial(journeys.VerifyRuns, journey_pb.VerifyRunsRequest()),
        partial(
            journeys.BacktestJourney,
            journey_pb.BacktestJourneyRequest(
                basis=journey_pb.BACKTEST_BASIS_KNOWN, from_us=1, **of_other
            ),
        ),
        partial(activation.ListDestinations, activation_pb.ListDestinationsRequest()),
        partial(activation.ListTemplates, activation_pb.ListTemplatesRequest()),
        partial(activation.PreviewTemplate, activation_pb.PreviewTemplateRequest(template_id=MARK)),
        partial(activation.ListDeliveries, activation_pb.ListDeliveriesRequest()),
        partial(activation.CountDeliveries, activation_pb.CountDeliveriesRequest()),
        partial(
            activation.RetryDelivery,
            activation_pb.RetryDeliveryRequest(effect_id=other.effect.hex()),
        ),
        partial(activation.GetMirror, activation_pb.GetMirrorRequest(destination_id=MARK)),
        partial(
            activation.ReconcileMirror, activation_pb.ReconcileMirrorRequest(destination_id=MARK)
        ),
    ]


async def responses(calls: list[Call]) -> list[bytes]:
    """Return the serialised responses, of a stream the first one, or the text of the error."""
    return await asyncio.gather(*map(_response, calls))


async def _response(call: Call) -> bytes:
    try:
        return (await _first(call())).SerializeToString()
    except OnefoldError as error:
        return ERROR + f"{error.reason} {error.message} {error.metadata}".encode()


async def _first(response: Awaitable[Message] | AsyncIterator[Message]) -> Message:
    if isinstance(response, AsyncIterator):
        async for message in response:
            # A watch of memberships begins with its position alone.
            if isinstance(message, segment_pb.WatchMembershipsResponse) and not message.changes:
                continue
            with suppress(AttributeError):
                response.cancel()
            return message
        return event_pb2.Event()
    return await response
