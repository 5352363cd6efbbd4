"""`./onefold profile` and `account`: one person, and one account."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any

from onefold.identity.v1.identity_service_pb2 import ListIdentifiersRequest, ProfileIdentifier
from onefold.profile.v1 import profile_service_pb2 as profile_pb
from onefold.profile.v1.profile_facts_pb2 import TagKind
from onefold.segment.v1.segment_service_pb2 import ListMembershipsRequest
from onefold.segment.v1.segment_stream_pb2 import MembershipChange
from onefold.type.v1.identifier_pb2 import Identifier
from onefold.type.v1.source_trust_pb2 import Party, SourceTrust
from typer import Argument, Option

from services.cli import output
from services.cli.context import DataDir, run_with_client
from services.cli.output import Tree, format_actual, format_cause, format_json, format_time
from services.cli.timelines import TimelineOptions, add_timeline
from services.cli.values import word_of
from services.client.client import Client
from services.client.text import profile_selector
from services.kernel.identifiers.model import is_account_namespace

#: The most timeline entries of a profile, and members of an account, that are shown.
_SHOWN = 20


def profile(
    data: DataDir,
    of: Annotated[str, Argument(metavar="PROFILE", help="NAMESPACE:VALUE, or a profile id.")],
    kinds: Annotated[
        list[str] | None, Option("--kind", metavar="KIND", help="Only events of a kind: order.")
    ] = None,
    events: Annotated[
        list[str] | None, Option("--event", metavar="NAME", help="Only events of a name.")
    ] = None,
    sources: Annotated[
        list[str] | None, Option("--source", metavar="ID", help="Only events of a source.")
    ] = None,
    since: Annotated[
        str, Option(metavar="TIME", help="Only events from then on: 2026-11-21T08:30:00Z.")
    ] = "",
    before: Annotated[str, Option(metavar="TIME", help="Only events before that time.")] = "",
    limit: Annotated[int, Option(min=1, max=1_000, help="The most events to show.")] = _SHOWN,
) -> None:
    """Show one person: identifiers, traits, consents, tags, segments, and the latest events."""
    shown = TimelineOptions(kinds or (), events or (), sources or (), since, before, limit)
    with output.exit_on_error():
        shown.request("")
    run_with_client(data, lambda client: _show_profile(client, of, shown))


def account(
    data: DataDir,
    of: Annotated[
        str, Argument(metavar="ACCOUNT", help="A group id, account_NAMESPACE:VALUE, or profile:ID.")
    ],
    tags: Annotated[
        list[str] | None, Option("--tag", help="Evaluate a tag over all members together.")
    ] = None,
    children: Annotated[
        bool, Option("--children", help="Include the members of the accounts below it.")
    ] = False,
) -> None:
    """Show one account: identifiers, traits, parent, children, members, and their roll-up."""
    run_with_client(data, lambda client: _show_account(client, of, tags or [], children))


async def _show_profile(client: Client, of: str, shown: TimelineOptions) -> None:
    by = profile_selector(of)
    found = (await client.profile.GetProfile(profile_pb.GetProfileRequest(**by))).profile
    id_ = found.profile_id
    tree = Tree(f"profile {id_}")
    listed = await client.identity.ListIdentifiers(ListIdentifiersRequest(profile_id=id_))
    add_identifiers(tree, listed.identifiers)
    _add_traits(tree, found.traits)
    for computed in found.computed_traits:
        tree.add(f"{computed.name} = {format_json(computed.value)} (computed)")
    _add_touches(tree, found)
    _add_predictions(tree, found.predictions)
    if found.consents:
        branch = tree.add("consents")
        for consent in found.consents:
            answer = "granted" if consent.granted else "refused"
            since = format_time(consent.since_us)
            branch.add(f"{consent.purpose}: {answer} (since {since}, {consent.source_id})")
    stages = [tag for tag in found.tags if tag.kind == TagKind.TAG_KIND_STAGE]
    tags = [tag_text(tag) for tag in found.tags if tag not in stages]
    tree.add(f"tags: {', '.join(tags) or 'none'}")
    if stages:
        tree.add(f"stages: {', '.join(map(tag_text, stages))}")
    if found.accounts:
        tree.add(f"accounts: {'; '.join(map(_name, found.accounts))}")
    memberships = await client.segment.ListMemberships(ListMembershipsRequest(profile_id=id_))
    branch = tree.add(f"segments: {', '.join(memberships.segment_ids) or 'none'}")
    add_changes(branch, memberships.history)
    branch = tree.add(f"{found.event_count:,} events, newest first")
    await add_timeline(branch, client, shown.request(id_), memberships.stays)
    output.out.print(tree)


def tag_text(tag: profile_pb.ProfileTag) -> str:
    """Return the id of a tag or a set of stages, with the value if there is one."""
    return f"{tag.tag_id}={tag.value}" if tag.value else tag.tag_id


def add_identifiers(tree: Tree, identifiers: Iterable[ProfileIdentifier]) -> None:
    """Add a branch with the identifiers of a profile."""
    branch = tree.add("identifiers")
    for each in identifiers:
        first_seen = format_time(each.first_seen_us)
        namespace, value = each.identifier.namespace, each.identifier.value
        branch.add(f"{namespace}: {value} (first seen {first_seen})")


def add_changes(branch: Tree, history: Iterable[MembershipChange]) -> None:
    """Add the segments that a profile entered and left."""
    for change in history:
        verb = "entered" if change.entered else "left"
        cause = format_cause(change.occurred_at_us, change.changed_at_us)
        branch.add(f"{format_time(change.changed_at_us)} {verb} {change.segment_id}{cause}")


def _add_traits(tree: Tree, traits: Iterable[profile_pb.Trait]) -> None:
    branch = tree.add("traits")
    for trait in traits:
        since = format_time(trait.occurred_at_us)
        value = format_json(trait.value)
        if trait.cleaner:
            standard = format_json(trait.standard) if trait.standard else "no standard form"
            value += f" → {standard} by {trait.cleaner}"
        branch.add(f"{trait.name} = {value} (since {since}, {_origin(trait)})")


def _origin(trait: profile_pb.Trait) -> str:
    """Return the source of a trait with its trust and party, or who corrected it and why."""
    if trait.HasField("correction"):
        return f"corrected by {trait.correction.actor}: {trait.correction.reason}"
    trust = word_of(SourceTrust, "SOURCE_TRUST_", trait.trust)
    party = word_of(Party, "PARTY_", trait.party or Party.PARTY_FIRST)
    return f"{trait.source_id}, {trust}, {party} party"


def _add_touches(tree: Tree, found: profile_pb.Profile) -> None:
    for word in ("first_touch", "last_touch"):
        if found.HasField(word):
            touch: profile_pb.Touch = getattr(found, word)
            members = [
                f"{field.name} {value}"
                for field, value in touch.ListFields()
                if field.name not in ("occurred_at_us", "fact_id")
            ]
            name = word.replace("_", " ")
            tree.add(f"{name}: {', '.join(members)} ({format_time(touch.occurred_at_us)})")


def _add_predictions(tree: Tree, predictions: Sequence[profile_pb.Prediction]) -> None:
    if predictions:
        branch = tree.add("predicted by models")
        for each in predictions:
            as_of = format_time(each.as_of_us)
            branch.add(f"{each.model_id} = {each.score:g} ({each.model_version}, as of {as_of})")


async def _show_account(
    client: Client, of: str, tags: Sequence[str], include_children: bool
) -> None:
    request = profile_pb.GetAccountRequest(
        **account_selector(of),
        page_size=_SHOWN,
        rules=await _rules(client, tags),
        include_children=include_children,
    )
    output.out.print(account_tree(await client.profile.GetAccount(request), tags))


def account_selector(of: str) -> dict[str, Any]:
    """Return the field of GetAccountRequest that names an account: a group id may hold colons."""
    namespace, colon, value = of.partition(":")
    if colon and is_account_namespace(namespace):
        return {"identifier": Identifier(namespace=namespace, value=value)}
    if namespace == "profile" and colon:
        return {"profile_id": value}
    return {"account_id": of}


def account_tree(response: profile_pb.GetAccountResponse, tags: Sequence[str]) -> Tree:
    """Return a response of GetAccount as a tree; `tags` name the rules of the request."""
    found = response.account
    tree = Tree(f"account {found.profile_id}")
    identifiers = tree.add("identifiers")
    for identifier in found.identifiers:
        identifiers.add(f"{identifier.namespace}: {identifier.value}")
    _add_traits(tree, found.traits)
    if found.HasField("parent"):
        tree.add(f"parent: {_name(found.parent)}")
    if found.HasField("rejected_parent"):
        tree.add(f"rejected parent: {_name(found.rejected_parent)} (it would close a cycle)")
    if response.children:
        children = tree.add("children")
        for child in response.children:
            children.add(_name(child))
    _add_members(tree, response, tags)
    return tree


async def _rules(client: Client, tags: Sequence[str]) -> list[Any]:
    if not tags:
        return []
    defined = (await client.profile.ListTags(profile_pb.ListTagsRequest())).tags
    rules = {summary.tag.tag_id: summary.tag.rule for summary in defined}
    for tag_id in tags:
        if tag_id not in rules:
            output.fail(f"there is no tag {tag_id}: define it with `./onefold apply`")
    return [rules[tag_id] for tag_id in tags]


def _add_members(tree: Tree, response: profile_pb.GetAccountResponse, tags: Sequence[str]) -> None:
    total, shown = response.roll_up, response.member_profile_ids
    of = f" of {total.accounts} accounts" if total.accounts > 1 else ""
    branch = tree.add(f"members: {total.members}{of}, with {total.event_count} events")
    if total.first_seen_us:
        first, last = format_time(total.first_seen_us), format_time(total.last_seen_us)
        branch.add(f"first seen {first}, last seen {last}")
    for tag_id, rule in zip(tags, total.rules, strict=True):
        values = ", ".join(
            f"{p.predicate}: {format_actual(p.actual, p.is_span)}" for p in rule.predicates
        )
        branch.add(f"{tag_id}: {'true' if rule.holds else 'false'} ({values})")
    own = branch.add("own members") if shown else branch
    for profile_id in shown:
        own.add(profile_id)


def _name(named: profile_pb.AccountName) -> str:
    return ", ".join(named.account_ids) or named.profile_id
