"""`onefold account`: one account, its parent and children, its members, and their roll-up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer
from onefold.profile.v1.profile_service_pb2 import (
    AccountName,
    GetAccountRequest,
    GetAccountResponse,
    ListTagsRequest,
)
from onefold.type.v1.identifier_pb2 import Identifier
from rich.tree import Tree

from services.cli import output
from services.cli.context import DataDir, run_with_client
from services.cli.output import format_json, format_time
from services.client.client import Client
from services.kernel.identifiers.model import is_account_namespace

#: The most members that are shown.
_SHOWN = 20


def account(
    data: DataDir,
    of: Annotated[
        str,
        typer.Argument(
            metavar="ACCOUNT", help="A group id, account_NAMESPACE:VALUE, or profile:ID."
        ),
    ],
    tags: Annotated[
        list[str] | None, typer.Option("--tag", help="Evaluate a tag over all members together.")
    ] = None,
    children: Annotated[
        bool, typer.Option("--children", help="Include the members of the accounts below it.")
    ] = False,
) -> None:
    """Show one account: identifiers, traits, parent, children, members, and their roll-up."""
    run_with_client(data, lambda client: _show_account(client, of, tags or [], children))


async def _show_account(
    client: Client, of: str, tags: Sequence[str], include_children: bool
) -> None:
    request = GetAccountRequest(
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


def account_tree(response: GetAccountResponse, tags: Sequence[str]) -> Tree:
    """Return a response of GetAccount for people; `tags` name the rules of the request."""
    found = response.account
    tree = Tree(f"account {found.profile_id}")
    identifiers = tree.add("identifiers")
    for identifier in found.identifiers:
        identifiers.add(f"{identifier.namespace}: {identifier.value}")
    traits = tree.add("traits")
    for trait in found.traits:
        since = format_time(trait.occurred_at_us)
        traits.add(f"{trait.name} = {format_json(trait.value)} (since {since})")
    _add_hierarchy(tree, response)
    _add_members(tree, response, tags)
    return tree


async def _rules(client: Client, tags: Sequence[str]) -> list[Any]:
    if not tags:
        return []
    defined = (await client.profile.ListTags(ListTagsRequest())).tags
    rules = {summary.tag.tag_id: summary.tag.rule for summary in defined}
    for tag_id in tags:
        if tag_id not in rules:
            output.fail(f"there is no tag {tag_id}: define it with `onefold apply`")
    return [rules[tag_id] for tag_id in tags]


def _add_hierarchy(tree: Tree, response: GetAccountResponse) -> None:
    found = response.account
    if found.HasField("parent"):
        tree.add(f"parent: {_name(found.parent)}")
    if found.HasField("rejected_parent"):
        tree.add(f"rejected parent: {_name(found.rejected_parent)} (it would close a cycle)")
    if response.children:
        children = tree.add("children")
        for child in response.children:
            children.add(_name(child))


def _add_members(tree: Tree, response: GetAccountResponse, tags: Sequence[str]) -> None:
    total, shown = response.roll_up, response.member_profile_ids
    of = f" of {total.accounts} accounts" if total.accounts > 1 else ""
    branch = tree.add(f"members: {total.members}{of}, with {total.event_count} events")
    if total.first_seen_us:
        first, last = format_time(total.first_seen_us), format_time(total.last_seen_us)
        branch.add(f"first seen {first}, last seen {last}")
    for tag_id, rule in zip(tags, total.rules, strict=True):
        values = ", ".join(f"{p.predicate}: {format_json(p.actual)}" for p in rule.predicates)
        branch.add(f"{tag_id}: {'true' if rule.holds else 'false'} ({values})")
    own = branch.add("own members") if shown else branch
    for profile_id in shown:
        own.add(profile_id)


def _name(named: AccountName) -> str:
    return ", ".join(named.account_ids) or named.profile_id
