"""`onefold identity policy` and `preview`: the current policy, and the effects of another."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
import yaml
from onefold.identity.v1.identity_facts_pb2 import IdentityPolicy
from onefold.identity.v1.identity_service_pb2 import (
    GetPolicyRequest,
    ListIdentifiersRequest,
    ProfileGroup,
    Regrouping,
)
from rich.tree import Tree

from services.cli import output
from services.cli.context import DataDir, run_with_client
from services.cli.definitions import read_pack
from services.cli.policy_form import write_policy
from services.cli.policy_preview import PolicyPreview, compute_preview
from services.client.client import Client
from services.client.text_forms import format_identifier, format_token

#: The most identifiers of one profile that are shown.
_SHOWN = 6


def policy(data: DataDir) -> None:
    """Print the current policy as YAML that can be applied."""
    response = run_with_client(data, lambda client: client.identity.GetPolicy(GetPolicyRequest()))
    progress = "all profiles follow it" if response.live else "its rollout is in progress"
    default = "" if response.version else " (the default: none is defined)"
    form = {"identity_policy": write_policy(response.policy)}
    output.out.print(f"# version {response.version}{default}, {progress}")
    text = yaml.safe_dump(form, sort_keys=False, allow_unicode=True, default_flow_style=None)
    output.out.print(text.rstrip(), soft_wrap=True)


def preview(
    data: DataDir,
    file: Annotated[Path, typer.Option("-f", "--file", help="YAML with an identity_policy.")],
    limit: Annotated[int, typer.Option("--limit", help="Show at most this many.", min=0)] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print all of it as JSON.")] = False,
) -> None:
    """Try a policy on the whole history: which profiles and memberships would change."""
    with output.exit_on_error():
        desired = read_pack(file, os.environ).identity_policy
    if desired is None:
        output.fail(f"{file}: write an identity_policy into it")
    run_with_client(data, lambda client: _preview(client, desired, limit, as_json))


async def _preview(client: Client, desired: IdentityPolicy, limit: int, as_json: bool) -> None:
    computed = await compute_preview(client, desired)
    if as_json:
        print(msgspec.json.encode(computed.to_json()).decode())
    else:
        await _show_preview(client, computed, limit)


async def _show_preview(client: Client, computed: PolicyPreview, limit: int) -> None:
    """Print the largest merges and splits by name, and the totals."""
    for regrouping in computed.regroupings[:limit]:
        output.out.print(_tree(regrouping, await _names(client, regrouping)))
    more = len(computed.regroupings) - limit
    if more > 0:
        output.out.print(f"and {more:,} more; --json prints all")
    output.print_table("totals", ("", "now", "then"), _totals(computed))
    columns = ("segment", "enter", "leave", "new profile id")
    output.print_table("changes of segments", columns, _segments(computed))
    if computed.left_out:
        output.out.print(
            f"The segments leave out {computed.left_out:,} identifiers: their neighbourhoods are "
            "too large to evaluate."
        )
    output.out.print(f"Nothing was changed. Computed as of token {format_token(computed.token)}.")


async def _names(client: Client, regrouping: Regrouping) -> dict[str, str]:
    """Return the identifiers of a regrouping by their ids."""
    names: dict[str, str] = {}
    for group in regrouping.before:
        request = ListIdentifiersRequest(profile_id=group.profile_id)
        response = await client.identity.ListIdentifiers(request)
        names |= {i.identifier_id: format_identifier(i.identifier) for i in response.identifiers}
    return names


def _tree(regrouping: Regrouping, names: Mapping[str, str]) -> Tree:
    before, after = len(regrouping.before), len(regrouping.after)
    kind = "merge" if after == 1 else "split" if before == 1 else "regrouping"
    tree = Tree(f"{kind}: {before} before, {after} after")
    for title, groups in (("before", regrouping.before), ("after", regrouping.after)):
        branch = tree.add(title)
        for group in groups:
            branch.add(f"{group.profile_id}  {_group_names(group, names)}")
    return tree


def _group_names(group: ProfileGroup, names: Mapping[str, str]) -> str:
    found = sorted(names.get(id_, id_) for id_ in group.identifier_ids)
    more = len(found) - _SHOWN
    return ", ".join(found[:_SHOWN]) + (f" and {more:,} more" if more > 0 else "")


def _totals(computed: PolicyPreview) -> Iterator[tuple[str, Any, Any]]:
    totals = computed.totals
    yield "profiles", totals.profiles_before, totals.profiles_after
    yield "held edges", totals.held_before, totals.held_after
    sizes = zip(totals.biggest_before, totals.biggest_after, strict=False)
    for rank, (now, then) in enumerate(sizes, 1):
        yield f"identifiers of the profile of size rank {rank}", now, then


def _segments(computed: PolicyPreview) -> list[tuple[str, int, int, int]]:
    return [
        (
            segment,
            counts["enter"],
            counts["leave"],
            max(counts["carried_in"], counts["carried_out"]),
        )
        for segment, counts in computed.segments.items()
    ]
