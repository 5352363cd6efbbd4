"""`./onefold apply` and `export`: defines everything in a pack, and writes what is defined."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from onefold.activation.v1.activation_service_pb2 import (
    ListDestinationsRequest,
    ListTemplatesRequest,
)
from onefold.activation.v1.dashboard_service_pb2 import ListDashboardsRequest
from onefold.activation.v1.decision_service_pb2 import ListSlotsRequest
from onefold.activation.v1.desk_service_pb2 import ListQueuesRequest
from onefold.activation.v1.journey_service_pb2 import (
    GetContactPolicyRequest,
    JourneyStepEdit,
    ListCouponPoolsRequest,
    ListJourneysRequest,
)
from onefold.activation.v1.journeys_pb2 import PEOPLE_INSIDE_LEAVE, PEOPLE_INSIDE_MOVE
from onefold.identity.v1.identity_service_pb2 import GetPolicyRequest
from onefold.ingest.v1.admin_service_pb2 import ListSourcesRequest
from onefold.profile.v1.profile_service_pb2 import (
    CountTraitsRequest,
    CountTraitsResponse,
    GetSettingsRequest,
    ListTagsRequest,
)
from onefold.segment.v1.segment_service_pb2 import ListSegmentsRequest
from typer import Option, Typer

from services.chassis.codec.fields import token_from_proto, token_to_proto
from services.cli import output
from services.cli.commands.rules import wrong_references
from services.cli.commands.traits import print_cleaner_changes
from services.cli.context import DataDir, read_secret_option, run_with_client
from services.cli.definitions import Pack, PackErrors, pack_forms, read_pack
from services.cli.pack_definitions import PackDefinition, definitions_of, journey_assumptions
from services.cli.pack_order import STAGES, cyclic_journeys, of_stages, reference_to
from services.cli.rule_forms import membership_ids
from services.cli.segment_previews import Previewed, preview, print_sizes
from services.client.client import Client
from services.kernel.errors import (
    ClientError,
    NotAllowed,
    OnefoldError,
    RetryableError,
    TokenNotReached,
)
from services.kernel.rules.model import ReferenceKind
from services.kernel.rules.references import Name
from services.kernel.tokens import Token
from services.kernel.yaml_documents import MAX_BYTES

LIVE_TIMEOUT_S = 3_600.0
_POLL_S = 0.1

export = Typer(no_args_is_help=True, help="Write what is defined as a pack.")


def apply(
    data: DataDir,
    file: Annotated[Path, Option("-f", "--file", help="A pack: a folder or a YAML file.")],
    dry_run: Annotated[bool, Option("--dry-run", help="Only show what would change.")] = False,
    yes: Annotated[
        int,
        Option(
            "--yes",
            min=0,
            metavar="N",
            help="The most messages that an edit of a journey may send to people inside within an "
            "hour, beyond 100; --dry-run shows how many there would be.",
        ),
    ] = 0,
    variables: Annotated[
        list[str] | None,
        Option(
            "--set",
            metavar="NAME=VALUE",
            help="The value of ${NAME} in the pack. A secret is not written here: NAME=@FILE is "
            "the content of a file, NAME=- a line of standard input, NAME alone is typed.",
        ),
    ] = None,
) -> None:
    """Define sources, policies, tags, segments, templates, destinations and journeys from files.

    Returns when all of them are live: old events count, too. With --dry-run it also shows the sizes
    that changed tags, stages and segments, and those that refer to them, would have, and what
    changed cleaners would change.
    """
    given, in_arguments = _variables(variables or ())

    async def apply_all(client: Client) -> tuple[list[AppliedDefinition], _Differences]:
        settings = (await client.profile.GetSettings(GetSettingsRequest())).settings
        with _each_problem():
            pack = read_pack(file, {**os.environ, **given}, in_arguments, settings)
        applied = await _apply(client, pack, dry_run=dry_run, confirmed=yes)
        if not dry_run:
            return applied, _Differences([])
        return applied, await _differences(client, pack, applied)

    applied, differences = run_with_client(data, apply_all)
    _print_applied(applied, dry_run=dry_run)
    print_sizes(differences.sizes)
    print_cleaner_changes(differences.traits)


class _Differences(NamedTuple):
    """What a pack would change for persons."""

    sizes: list[Previewed]
    traits: CountTraitsResponse = CountTraitsResponse()


#: What the words of definitions with rules name.
_RULED = {"tag": ReferenceKind.TAG, "stages": ReferenceKind.STAGE, "segment": ReferenceKind.SEGMENT}


async def _differences(
    client: Client, pack: Pack, applied: Iterable[AppliedDefinition]
) -> _Differences:
    changed = {(one.kind, one.id) for one in applied if one.changed}
    names = {Name(_RULED[kind], id_) for kind, id_ in changed if kind in _RULED}
    sizes = await preview(client, [*pack.tags, *pack.segments], changed=names)
    if ("settings", "") not in changed:
        return _Differences(sizes)
    request = CountTraitsRequest(settings=pack.settings)
    return _Differences(sizes, await client.profile.CountTraits(request))


@export.command("definitions")
def export_definitions(
    data: DataDir,
    folder: Annotated[
        Path | None,
        Option("-o", "--out", metavar="DIR", help="Write one file for each part into this folder."),
    ] = None,
) -> None:
    """Write everything that is defined as a pack: sources, tags, segments, templates and so on.

    Without a folder it is printed. `./onefold apply` defines the same elsewhere. Secrets are not
    written, but names of variables; what is retired is left out.
    """
    forms = pack_forms(run_with_client(data, defined_pack))
    files = pack_files(forms)
    with output.exit_on_error():
        if not files:
            raise OnefoldError("nothing is defined: define something, such as `./onefold apply`")
        if folder is None:
            output.print_yaml(forms)
            return
        _write_pack(folder, files)
    output.print_table(("file",), [(str(folder / name),) for name in files])


async def defined_pack(client: Client) -> Pack:
    """Return everything that is defined in a workspace as a pack."""
    policy = await client.identity.GetPolicy(GetPolicyRequest())
    settings = (await client.profile.GetSettings(GetSettingsRequest())).settings
    sources = await client.admin.ListSources(ListSourcesRequest())
    tags = await client.profile.ListTags(ListTagsRequest())
    segments = await client.segment.ListSegments(ListSegmentsRequest())
    templates = await client.activation.ListTemplates(ListTemplatesRequest())
    destinations = await client.activation.ListDestinations(ListDestinationsRequest())
    contact = await client.journeys.GetContactPolicy(GetContactPolicyRequest())
    pools = await client.journeys.ListCouponPools(ListCouponPoolsRequest())
    journeys = await client.journeys.ListJourneys(ListJourneysRequest())
    queues = await client.desk.ListQueues(ListQueuesRequest())
    slots = await client.decisions.ListSlots(ListSlotsRequest())
    dashboards = await client.dashboards.ListDashboards(ListDashboardsRequest())
    return Pack(
        identity_policy=policy.policy if policy.version else None,
        settings=settings if settings.version else None,
        sources=[each.source for each in sources.sources],
        tags=[each.tag for each in tags.tags],
        segments=[each.segment for each in segments.segments],
        templates=[each.template for each in templates.templates],
        destinations=[each.destination for each in destinations.destinations],
        contact_policy=contact.policy if contact.HasField("policy") else None,
        pools=[each.pool for each in pools.pools],
        queues=[each.queue for each in queues.queues],
        journeys=[each.journey for each in journeys.journeys],
        slots=[each.slot for each in slots.slots],
        dashboards=[each.dashboard for each in dashboards.dashboards],
    )


def pack_files(forms: Mapping[str, Any]) -> dict[str, str]:
    """Return the files of a pack by name, none of them larger than `apply` reads."""
    return {
        f"{name}-{i}.yaml" if i > 1 else f"{name}.yaml": document
        for name, form in forms.items()
        for i, document in enumerate(_documents(name, form), 1)
    }


def _documents(name: str, form: Any) -> Iterator[str]:
    document = output.format_yaml({name: form})
    if isinstance(form, list) and len(form) > 1 and len(document.encode()) > MAX_BYTES:
        yield from _documents(name, form[: len(form) // 2])
        yield from _documents(name, form[len(form) // 2 :])
    else:
        yield document


def _write_pack(folder: Path, files: Mapping[str, str]) -> None:
    """Write the files of a pack into a folder that has no others."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        found = {file.name for pattern in ("*.yaml", "*.yml") for file in folder.glob(pattern)}
        if others := sorted(found - files.keys()):
            raise OnefoldError(
                f"{folder} has {others[0]}, which would be read as a part of the pack: name another"
                " folder, or remove it"
            )
        for name, document in files.items():
            (folder / name).write_text(document, encoding="utf-8")
    except OSError as error:
        raise OnefoldError(f"{folder} cannot be written: {error.strerror}") from None


async def _apply(
    client: Client, pack: Pack, *, dry_run: bool, confirmed: int
) -> list[AppliedDefinition]:
    applied: list[AppliedDefinition] = []
    try:
        with _each_problem():
            await apply_pack(client, pack, applied, dry_run=dry_run, confirmed=confirmed)
    except OnefoldError:
        if applied:
            output.err.print("Before the error:")
            _print_applied(applied, dry_run=dry_run)
        raise
    return applied


@contextmanager
def _each_problem() -> Iterator[None]:
    """Print each mistake of a pack on a line of its own."""
    try:
        yield
    except PackErrors as errors:
        for problem in errors.problems:
            output.err.print(problem, soft_wrap=True)
        raise OnefoldError("nothing is defined: correct the pack") from None


def _print_applied(applied: Iterable[AppliedDefinition], *, dry_run: bool) -> None:
    applied = list(applied)
    changed = "would change" if dry_run else "changed"
    for one in applied:
        for warning in one.warnings:
            output.err.print(f"Warning: {one.kind} {one.id}: {warning}", soft_wrap=True)
        for people in one.people:
            output.out.print(f"{one.kind} {one.id}: {people}", soft_wrap=True)
    rows = [(a.kind, a.id, a.version, changed if a.changed else "unchanged") for a in applied]
    output.print_table(("kind", "id", "version", ""), rows)


def _variables(pairs: Iterable[str]) -> tuple[dict[str, str], set[str]]:
    """Return the values by name, and the names of those that stand in the arguments."""
    values: dict[str, str] = {}
    in_arguments: set[str] = set()
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if equals and value != "-" and not value.startswith("@"):
            values[name] = value
            in_arguments.add(name)
        else:
            values[name] = read_secret_option(f"--set {name}", value)
    return values, in_arguments


@dataclass(frozen=True, slots=True)
class AppliedDefinition:
    """One definition of a pack as it is now."""

    kind: str
    id: str
    version: int
    #: Whether applying it changed it (or would change it).
    changed: bool
    #: What is likely to be a mistake of it.
    warnings: tuple[str, ...] = ()
    #: What becomes of the open runs of a journey.
    people: tuple[str, ...] = ()


async def apply_pack(
    client: Client,
    pack: Pack,
    applied: list[AppliedDefinition] | None = None,
    *,
    dry_run: bool = False,
    confirmed: int = 0,
) -> None:
    """Define everything in a pack, and wait until it is live; add to `applied` what is done.

    Everything is compared first, and nothing is defined where a service refuses any of it.
    `dry_run`: only compare. `confirmed`: the messages that edits of journeys may send beyond 100.
    What another caller defines in the meantime stays as it is.

    Raises PackErrors where a definition is refused, and OnefoldError where a call fails.
    """
    applied = [] if applied is None else applied
    compared = await _compare(client, pack)
    if dry_run:
        applied += [one.applied for one in compared]
        return
    token = Token()
    for definition, one in zip(definitions_of(client, pack), compared, strict=True):
        try:
            more = {"confirmed_messages": confirmed} if definition.kind == "journey" else {}
            response = await definition.define(dry_run=False, etag=one.etag, **more)
        except ClientError as error:
            place = pack.place(definition.kind, definition.id)
            raise OnefoldError(f"{place}{error.message}") from None
        applied.append(_applied(definition, response))
        token = token.union(token_from_proto(response.token))
    if applied:
        await wait_until_live(client, token)


class _Compared(NamedTuple):
    applied: AppliedDefinition
    #: Of the definition in force.
    etag: str


async def _compare(client: Client, pack: Pack) -> list[_Compared]:
    """Return what applying a pack would do. Raises PackErrors with all mistakes."""
    compared: list[_Compared] = []
    if problems := cyclic_journeys(pack):
        raise PackErrors(problems)
    definitions = list(definitions_of(client, pack))
    problems = [*await _missing_segments(client, pack), *wrong_references(pack)]
    assumed = [*map(reference_to, pack.tags), *map(reference_to, pack.segments)]
    for definition in definitions:
        more: dict[str, Any] = {"assumed": assumed} if definition.has_references else {}
        if definition.has_template:
            more["assumed_templates"] = pack.templates
        if definition.kind == "journey":
            more["assumed"] = journey_assumptions(pack)
        try:
            response = await definition.define(dry_run=True, etag="", **more)
        except (NotAllowed, RetryableError):
            raise
        except ClientError as error:
            is_set = definition.shown_as == STAGES
            message = of_stages(error.message) if is_set else error.message
            problems.append(f"{pack.place(definition.kind, definition.id)}{message}")
        else:
            compared.append(_Compared(_applied(definition, response), response.etag))
    if problems:
        raise PackErrors(problems)
    return compared


async def _missing_segments(client: Client, pack: Pack) -> list[str]:
    """Return an error for each segment of a destination that is not defined anywhere."""
    used = {id_ for each in pack.destinations if not each.retired for id_ in each.segment_ids}
    missing = used - {segment.segment_id for segment in pack.segments}
    missing -= {id_ for tag in pack.tags for id_ in membership_ids(tag)}
    if not missing:
        return []
    listed = await client.segment.ListSegments(ListSegmentsRequest())
    missing -= {summary.segment.segment_id for summary in listed.segments}
    missing -= {tag.segment_id for tag in listed.tags}
    return [
        f"{pack.place('destination', each.destination_id)}there is no segment {id_!r}: define it "
        "in the same pack or before"
        for each in pack.destinations
        if not each.retired
        for id_ in each.segment_ids
        if id_ in missing
    ]


def _applied(definition: PackDefinition, response: Any) -> AppliedDefinition:
    # A policy has no separate message.
    message = getattr(response, definition.kind, response)
    kind = definition.shown_as or definition.kind
    warnings = tuple(
        f"{one.at}: {one.problem}; {one.remedy}" for one in getattr(response, "warnings", ())
    )
    people = tuple(map(_people, getattr(response, "people", ())))
    if messages := getattr(response, "messages_within_hour", 0):
        people += (f"{messages:,} messages more within an hour; apply it with --yes {messages}",)
    return AppliedDefinition(
        kind, definition.id, message.version, response.changed, warnings, people
    )


def _people(edit: JourneyStepEdit) -> str:
    """Say what becomes of the open runs of a journey that stand before a step."""
    what = {PEOPLE_INSIDE_LEAVE: "end", PEOPLE_INSIDE_MOVE: f"go on before `{edit.target_step_id}`"}
    becomes = what.get(edit.what, "stay in their version")
    return f"{edit.runs:,} open runs before `{edit.step_id}` would {becomes}"


async def wait_until_live(client: Client, token: Token) -> None:
    """Wait until every service has carried out the definitions in the log up to `token`.

    Raises OnefoldError after an hour.
    """
    try:
        async with asyncio.timeout(LIVE_TIMEOUT_S):
            while not await _is_live(client, token):  # noqa: ASYNC110 there is no event to wait for
                await asyncio.sleep(_POLL_S)
    except TimeoutError:
        raise OnefoldError(
            f"the definitions are saved, but not live after {LIVE_TIMEOUT_S:.0f} s: they will be "
            "when the backfill ends; `./onefold status` shows how far each service is"
        ) from None


async def _is_live(client: Client, token: Token) -> bool:
    with suppress(TokenNotReached):
        request = GetPolicyRequest(at_least=token_to_proto(token))
        policy = await client.identity.GetPolicy(request)
        # What identity has published so far; once its policy is live, that is all of it.
        await client.await_token(policy.token)
        listed = await client.segment.ListSegments(ListSegmentsRequest())
        segments_live = all(segment.live for segment in listed.segments)
        return policy.live and segments_live and all(tag.live for tag in listed.tags)
    return False
