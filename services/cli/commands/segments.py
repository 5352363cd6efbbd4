"""`./onefold segments`: lists, previews, members and overlaps of segments, and snapshots."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

from onefold.profile.v1.profile_service_pb2 import GetSettingsRequest
from onefold.segment.v1 import segment_service_pb2 as pb
from onefold.segment.v1.segment_facts_pb2 import SegmentDefined, SetExpression
from typer import Argument, Context, Option, Typer

from services.chassis.codec.rules import rule_from_proto, rule_to_proto
from services.cli import output, segment_previews
from services.cli.commands.rules import load_form
from services.cli.context import DataDir, run_with_client
from services.cli.definitions import PackErrors, is_pack, read_pack
from services.cli.output import Tree
from services.cli.rule_forms import defaults_of
from services.cli.segment_previews import Previewed, format_estimate
from services.client.api import pages
from services.client.client import Client
from services.kernel.errors import InvalidField, OnefoldError

app = Typer(help="List segments, preview definitions, and take snapshots.")
Ids = Annotated[
    list[str],
    Argument(metavar="ID...", help="A segment, tag:ID=VALUE, stage:SET=STAGE, or snapshot:NAME."),
]


@app.callback(invoke_without_command=True)
def default(context: Context, data: DataDir) -> None:
    """List the segments and their sizes, where no other command is given."""
    if context.invoked_subcommand is None:
        run_with_client(data, _show_segments)


@app.command("list")
def list_(data: DataDir) -> None:
    """List the segments, the values of tags and the stages, with their sizes."""
    run_with_client(data, _show_segments)


@app.command("preview")
def preview(
    data: DataDir,
    file: Annotated[
        Path, Option("-f", "--file", help="A rule in YAML or JSON, or a pack: a folder or a file.")
    ],
    sample: Annotated[int, Option(help="Show so many members.", min=0, max=100)] = 5,
) -> None:
    """Show who would be in a segment, and what it would change and cost; define nothing."""
    with output.exit_on_error():
        form = None if file.is_dir() else load_form(file)
    for each in run_with_client(data, lambda client: _preview(client, file, form, sample)):
        _print_preview(each)


@app.command("overlap")
def overlap(data: DataDir, ids: Ids) -> None:
    """Show how many profiles each two segments have in common."""
    request = pb.OverlapSegmentsRequest(segment_ids=ids)
    response = run_with_client(data, lambda client: client.segment.OverlapSegments(request))
    rows = [(row.segment_id, *map(str, row.sizes)) for row in response.rows]
    output.print_table(("segment", *ids), rows)


@app.command("members")
def members(
    data: DataDir, segment: Annotated[str, Argument(metavar="ID", help="As for `overlap`.")]
) -> None:
    """Print the profile id of every member, one a line."""
    run_with_client(data, lambda client: _print_members(client, segment))


@app.command("snapshot")
def snapshot(
    data: DataDir,
    name: Annotated[str, Argument(help="Its members have the id snapshot:NAME.")],
    of: Annotated[str, Option(help="The segment, tag:ID=VALUE, or stage:SET=STAGE.")],
    title: Annotated[str, Option(help="A title to display.")] = "",
) -> None:
    """Keep who is in a segment now: later changes do not change the snapshot."""
    request = pb.CreateSnapshotRequest(
        name=name, title=title, expression=SetExpression(segment_id=of)
    )
    response = run_with_client(data, lambda client: client.segment.CreateSnapshot(request))
    made = "taken" if response.created else "taken before, and unchanged"
    output.out.print(f"{response.snapshot.segment_id} is {made}", soft_wrap=True)


async def _show_segments(client: Client) -> None:
    response = await client.segment.ListSegments(pb.ListSegmentsRequest())
    settings = (await client.profile.GetSettings(GetSettingsRequest())).settings
    defaults = defaults_of(settings)
    rows = [
        (
            each.segment.segment_id,
            each.segment.title,
            each.size,
            "live" if each.live else "backfilling",
            defaults.text(rule_from_proto(each.segment.rule)),
        )
        for each in response.segments
    ]
    rows += [
        (tag.segment_id, "", tag.size, "live" if tag.live else "backfilling", "")
        for tag in response.tags
    ]
    output.print_table(("segment", "title", "members", "", "rule"), rows)


async def _preview(client: Client, file: Path, form: Any, sample: int) -> list[Previewed]:
    """Preview a rule, or with `form` None or a pack the pack in a file or folder."""
    settings = (await client.profile.GetSettings(GetSettingsRequest())).settings
    if form is not None and not is_pack(form):
        try:
            rule = defaults_of(settings).rule(form, "")
        except InvalidField as error:
            raise InvalidField(f"{file.name}: {error.message}") from None
        return await segment_previews.preview(
            client, [SegmentDefined(rule=rule_to_proto(rule))], sample
        )
    try:
        pack = read_pack(file, os.environ, settings=settings)
    except PackErrors as errors:
        raise OnefoldError("correct the pack: " + "; ".join(errors.problems)) from None
    return await segment_previews.preview(client, [*pack.tags, *pack.segments], sample)


def _print_preview(previewed: Previewed) -> None:
    segment_previews.print_sizes([previewed])
    response = previewed.response
    if response is None:
        return
    kind = "all" if response.evaluated >= response.profiles else f"{response.evaluated:,} of the"
    output.out.print(
        f"{kind} {response.profiles:,} profiles were evaluated; {response.new_predicates} new"
        f" predicates; at most {response.retained:,} retained times and records a person",
        soft_wrap=True,
    )
    for own in response.members:
        if not own.sample:
            continue
        name, size = own.segment_id or "the rule", format_estimate(own.size)
        tree = Tree(f"Some of {size} members of {name}")
        for profile in own.sample:
            branch = tree.add(profile.profile_id)
            for result in profile.predicates:
                actual = output.format_actual(result.actual, result.is_span)
                branch.add(f"{result.predicate}: {actual}")
        output.out.print(tree)


async def _print_members(client: Client, segment: str) -> None:
    request = pb.ListMembersRequest(segment_id=segment, page_size=1_000)
    async for page in pages(client.segment.ListMembers, request):
        for member in page.members:
            output.out.print(member.profile_id)
