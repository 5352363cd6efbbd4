"""`onefold account`: one account, its place among others, its members, and what they add up to."""

from __future__ import annotations

from typing import Any

from onefold.profile.v1.profile_service_pb2 import GetAccountRequest, ListTagsRequest
from onefold.type.v1.identifier_pb2 import Identifier
from rich.tree import Tree

from services.cli import output as show
from services.cli.client import Client
from services.kernel.identifiers import is_account_namespace
from services.kernel.time import to_rfc3339

#: Members that are shown.
SHOWN = 20


async def show_account(
    client: Client, who: str, tags: list[str], *, include_children: bool
) -> None:
    """Print one account as a tree. `who` is a group id, NAMESPACE:VALUE or a profile id.

    The rules of `tags` are evaluated over all members together.
    """
    request = GetAccountRequest(
        **by(who),
        page_size=SHOWN,
        rules=await _rules(client, tags),
        include_children=include_children,
    )
    answer = await client.call(client.profile.GetAccount, request)
    show.out.print(account_tree(answer, tags))


def by(who: str) -> dict[str, Any]:
    """How an account is asked for. A group id may hold a colon, and look like anything."""
    namespace, colon, value = who.partition(":")
    if colon and is_account_namespace(namespace):
        return {"identifier": Identifier(namespace=namespace, value=value)}
    if namespace == "profile" and colon:
        return {"profile_id": value}
    return {"account_id": who}


def account_tree(answer: Any, tags: list[str]) -> Tree:
    """An answer of GetAccount, for people."""
    account = answer.account
    tree = Tree(account.profile_id)
    known = tree.add("known as")
    for identifier in account.identifiers:
        known.add(f"{identifier.namespace}: {identifier.value}")
    traits = tree.add("traits")
    for trait in account.traits:
        since = to_rfc3339(trait.occurred_at_us)[:19]
        traits.add(f"{trait.name} = {show.readable(trait.value)} (said at {since})")
    _add_place(tree, answer)
    _add_members(tree, answer, tags)
    return tree


async def _rules(client: Client, tags: list[str]) -> list[Any]:
    if not tags:
        return []
    defined = (await client.call(client.profile.ListTags, ListTagsRequest())).tags
    rules = {tag.tag_id: tag.rule for tag in defined}
    for tag_id in tags:
        if tag_id not in rules:
            show.fail(f"there is no tag {tag_id}: see `onefold apply`")
    return [rules[tag_id] for tag_id in tags]


def _add_place(tree: Tree, answer: Any) -> None:
    account = answer.account
    if account.HasField("parent"):
        tree.add(f"below {_name(account.parent)}")
    if account.HasField("refused_parent"):
        tree.add(f"not below {_name(account.refused_parent)}: that would close a circle")
    if answer.children:
        below = tree.add("above")
        for child in answer.children:
            below.add(_name(child))


def _add_members(tree: Tree, answer: Any, tags: list[str]) -> None:
    all_, shown = answer.roll_up, answer.member_profile_ids
    of = f" of {all_.accounts} accounts" if all_.accounts > 1 else ""
    branch = tree.add(f"members: {all_.members}{of}, with {all_.event_count} events")
    if all_.first_seen_us:
        seen = [to_rfc3339(us)[:19] for us in (all_.first_seen_us, all_.last_seen_us)]
        branch.add(f"first seen {seen[0]}, last seen {seen[1]}")
    for tag_id, rule in zip(tags, all_.rules, strict=True):
        values = ", ".join(f"{v.predicate}: {show.readable(v.actual)}" for v in rule.predicates)
        branch.add(f"{tag_id}: {'holds' if rule.holds else 'does not hold'} ({values})")
    own = branch.add("the first members of its own") if shown else branch
    for profile_id in shown:
        own.add(profile_id)


def _name(named: Any) -> str:
    return ", ".join(named.account_ids) or str(named.profile_id)
