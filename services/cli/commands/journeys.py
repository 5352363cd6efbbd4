"""`./onefold journeys`: what journeys do with persons, and pauses and stops of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer
from onefold.activation.v1 import journey_facts_pb2 as facts_pb
from onefold.activation.v1 import journey_runs_pb2 as runs_pb
from onefold.activation.v1 import journey_service_pb2 as pb
from onefold.activation.v1.activation_facts_pb2 import DeliveryState
from onefold.profile.v1.profile_service_pb2 import GetProfileRequest
from typer import Argument, Option

from services.cli import output
from services.cli.commands import journey_replays
from services.cli.context import DataDir, run_with_client
from services.cli.output import format_cause, format_time
from services.cli.values import instant_of
from services.client.api import pages
from services.client.client import Client
from services.client.text import profile_selector
from services.kernel.errors import InvalidField
from services.kernel.journeys.coupons import MAX_CODES
from services.kernel.time import DAY_US

app = typer.Typer(no_args_is_help=True, help="Show, pause and check journeys.")

app.command("try")(journey_replays.try_journey)
app.command("backtest")(journey_replays.backtest)

JourneyId = Annotated[str, Argument(metavar="JOURNEY", help="The id of a journey.")]
AnyJourney = Annotated[str, Argument(metavar="[JOURNEY]", help="The id of a journey; all of them.")]
_OVERDUE = {
    "send": facts_pb.OVERDUE_SEND,
    "skip": facts_pb.OVERDUE_SKIP,
    "reschedule": facts_pb.OVERDUE_RESCHEDULE,
}


@app.command("list")
def list_journeys(data: DataDir) -> None:
    """List the journeys."""
    request = pb.ListJourneysRequest()
    response = run_with_client(data, lambda client: client.journeys.ListJourneys(request))
    rows = [
        (
            each.journey.journey_id,
            str(each.journey.version),
            _word(facts_pb.Flow.Name(each.flow), "FLOW_"),
            each.journey.title,
        )
        for each in response.journeys
        if not each.journey.retired
    ]
    output.print_table(("journey", "version", "flow", "title"), rows)


@app.command()
def show(data: DataDir, journey: JourneyId) -> None:
    """Count the runs of a journey, and what has become of the effects of each step."""
    request = pb.SummarizeJourneyRequest(journey_id=journey)
    summary = run_with_client(data, lambda client: client.journeys.SummarizeJourney(request))
    ended = sum(each.count for each in summary.ended)
    output.out.print(
        f"{journey}: {summary.begun:,} runs began; {summary.open:,} are open, "
        f"{summary.asleep:,} are asleep beside another run, {ended:,} have ended"
    )
    output.print_table(
        ("ended by", "runs"), [(_end(each.reason), f"{each.count:,}") for each in summary.ended]
    )
    rows = [
        (
            step.step_id,
            f"{step.open:,}",
            ", ".join(f"{_state(each.state)} {each.count:,}" for each in step.effects),
        )
        for step in summary.steps
    ]
    output.print_table(("step", "runs before it", "effects"), rows)


@app.command()
def results(
    data: DataDir,
    journey: JourneyId,
    since: Annotated[str, Option(help="Of runs that began since then; else in 30 days.")] = "",
    within: Annotated[
        int, Option(metavar="DAYS", min=1, max=365, help="How long after its entry a goal counts.")
    ] = 30,
) -> None:
    """Show what became of the messages of a journey, and who reached its goal, by arm."""
    with output.exit_on_error():
        request = pb.GetJourneyResultsRequest(
            journey_id=journey, from_us=instant_of(since, "--since"), within_us=within * DAY_US
        )
    found = run_with_client(data, lambda client: client.journeys.GetJourneyResults(request))
    output.out.print(
        f"{journey}: runs that began from {format_time(found.from_us)} to"
        f" {format_time(found.to_us)}; a goal counts within {within} days"
    )
    output.print_table(
        ("step", *(name.replace("_", " ") for name in _STEP_RESULTS)),
        [
            (each.step_id, *(f"{getattr(each, name):,}" for name in _STEP_RESULTS))
            for each in found.steps
        ],
    )
    output.print_table(_GROUP_HEADS, [_group_row(each) for each in found.groups])


@app.command()
def runs(
    data: DataDir,
    journey: AnyJourney = "",
    of: Annotated[str, Option(metavar="PROFILE", help="NAMESPACE:VALUE, or a profile id.")] = "",
    limit: Annotated[int, Option(min=1, max=1_000, help="The most runs to show.")] = 20,
) -> None:
    """List runs, those that began last first."""

    async def load(client: Client) -> pb.ListRunsResponse:
        profile_id = await _profile_id(client, of) if of else ""
        request = pb.ListRunsRequest(journey_id=journey, profile_id=profile_id, page_size=limit)
        return await client.journeys.ListRuns(request)

    output.print_table(_RUN_HEADS, [_run_row(run) for run in run_with_client(data, load).runs])


@app.command()
def run(
    data: DataDir, run: Annotated[str, Argument(metavar="RUN", help="The id of a run.")]
) -> None:
    """Show a run with its transitions and its effects."""
    request = pb.GetRunRequest(run_id=run)
    _print_run(run_with_client(data, lambda client: client.journeys.GetRun(request)))


@app.command()
def why(
    data: DataDir,
    journey: JourneyId,
    of: Annotated[str, Argument(metavar="PROFILE", help="NAMESPACE:VALUE, or a profile id.")],
) -> None:
    """Say of each entry of a person why it has begun a run, or why not."""

    async def load(client: Client) -> pb.WhyRunResponse:
        profile_id = await _profile_id(client, of)
        request = pb.WhyRunRequest(journey_id=journey, profile_id=profile_id)
        return await client.journeys.WhyRun(request)

    response = run_with_client(data, load)
    if not response.entries:
        output.out.print("Nothing is known of this person that begins a run.")
    rows = [
        (
            format_time(each.occurred_at_us) + _cause(each),
            _word(pb.EntryReason.Name(each.reason), "ENTRY_REASON_"),
            each.run_id,
            ", ".join(each.cited_fact_ids),
        )
        for each in response.entries
    ]
    output.print_table(("entry", "what followed", "run", "because of"), rows)
    for each in response.runs:
        _print_run(each)


def _cause(entry: pb.EntryExplanation) -> str:
    if not entry.HasField("caused_at_us"):
        return ""
    return format_cause(entry.caused_at_us, entry.occurred_at_us)


@app.command("coupon-pools")
def coupon_pools(data: DataDir) -> None:
    """List the pools of coupons, and what has become of their coupons."""
    request = pb.ListCouponPoolsRequest()
    response = run_with_client(data, lambda client: client.journeys.ListCouponPools(request))
    rows = [
        (
            each.pool.pool_id,
            f"generated: {each.pool.prefix}…" if each.pool.prefix else f"{each.free:,} free",
            *(f"{count:,}" for count in (each.issued, each.used, each.voided)),
            each.pool.title,
        )
        for each in response.pools
        if not each.pool.retired
    ]
    output.print_table(("pool", "codes", "issued", "used", "voided", "title"), rows)


@app.command("load-coupons")
def load_coupons(
    data: DataDir,
    pool: Annotated[str, Argument(metavar="POOL", help="The id of a pool of coupons.")],
    file: Annotated[Path, Argument(metavar="FILE", help="A text file with one code on each line.")],
) -> None:
    """Add codes to a pool of coupons; a repeated call adds none twice."""
    with output.exit_on_error():
        codes = _codes_in(file)

    async def load(client: Client) -> None:
        for first in range(0, len(codes), MAX_CODES):
            page = codes[first : first + MAX_CODES]
            request = pb.LoadCouponCodesRequest(pool_id=pool, codes=page)
            await client.journeys.LoadCouponCodes(request)

    run_with_client(data, load)
    output.out.print(f"{pool}: the file has {len(codes):,} codes, and the pool has them.")


def _codes_in(file: Path) -> list[str]:
    """Return the codes in a file. Raises InvalidField."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidField(f"{file}: the file cannot be read: {type(error).__name__}") from None
    codes = [line.strip() for line in lines if line.strip()]
    if not codes:
        raise InvalidField(f"{file}: the file has no codes: write one on each line")
    return codes


@app.command()
def audit(data: DataDir, journey: AnyJourney = "") -> None:
    """Say what the open runs wait for; fails if something is wrong with one."""
    request = pb.AuditRunsRequest(journey_id=journey)
    response = run_with_client(data, lambda client: client.journeys.AuditRuns(request))
    output.out.print(
        f"{response.wait_for_time:,} open runs wait for time, {response.wait_for_answers:,} for an"
        f" answer; {response.asleep:,} are asleep beside another run"
    )
    rows = [
        (_word(pb.RunProblem.Name(each.problem), "RUN_PROBLEM_"), *_run_row(each.run))
        for each in response.findings
    ]
    output.print_table(("problem", *_RUN_HEADS), rows)
    if rows:
        output.err.print("error: something is wrong with these runs")
        raise typer.Exit(1)


@app.command()
def verify(data: DataDir, journey: AnyJourney = "") -> None:
    """Compute the transitions of runs again from the log; fails if one does not follow from it."""
    verify_journeys(data, journey)


@app.command()
def regrets(data: DataDir, journey: JourneyId) -> None:
    """Compare what a journey has sent with what it should have sent, by what is known now."""

    async def load(client: Client) -> tuple[list[pb.JourneyRegret], int, int]:
        found: list[pb.JourneyRegret] = []
        persons = left_out = 0
        token = ""
        while True:
            request = pb.ListRegretsRequest(journey_id=journey, page_size=1_000, page_token=token)
            page = await client.journeys.ListRegrets(request)
            found += page.regrets
            persons, left_out = persons + page.persons, left_out + page.left_out
            token = page.next_page_token
            if not token:
                return found, persons, left_out

    found, persons, left_out = run_with_client(data, load)
    output.out.print(
        f"{len(found):,} differences among {persons - left_out:,} persons; {left_out:,} could not"
        " be compared: a rule has no answer, or a run goes by an older version"
    )
    rows = [
        (
            each.profile_id,
            _word(pb.RegretKind.Name(each.kind), "REGRET_KIND_"),
            each.step_id,
            format_time(each.sent_at_us) if each.sent_at_us else "",
            format_time(each.ideal_at_us) if each.ideal_at_us else "",
            each.fact_id,
        )
        for each in found
    ]
    columns = ("profile", "what", "step", "sent for", "should be", "late fact")
    output.print_table(columns, rows)


@app.command()
def pause(data: DataDir, journey: JourneyId) -> None:
    """Hold the messages of a journey until it is resumed; runs go on."""
    _set_flow(data, journey, facts_pb.FLOW_PAUSED)


@app.command()
def resume(
    data: DataDir,
    journey: JourneyId,
    overdue: Annotated[
        str,
        Option(help="Of messages that came due meanwhile: send, skip (if stale) or reschedule."),
    ] = "skip",
) -> None:
    """Let the messages of a journey through again."""
    if overdue not in _OVERDUE:
        raise typer.BadParameter(f"--overdue is one of {', '.join(_OVERDUE)}")
    _set_flow(data, journey, facts_pb.FLOW_OPEN, _OVERDUE[overdue])


@app.command()
def stop(data: DataDir, journey: JourneyId) -> None:
    """End the open runs of a journey, and begin none."""
    _set_flow(data, journey, facts_pb.FLOW_STOPPED)


def verify_journeys(data: DataDir, journey: str = "") -> None:
    """Compute the transitions of runs again; exit with an error if one does not follow."""

    async def load(client: Client) -> list[pb.VerifyRunsResponse]:
        request = pb.VerifyRunsRequest(journey_id=journey, page_size=_RUNS_A_CALL)
        return [page async for page in pages(client.journeys.VerifyRuns, request)]

    found = run_with_client(data, load)
    transitions, runs = sum(each.transitions for each in found), sum(each.runs for each in found)
    output.out.print(f"{transitions:,} transitions of {runs:,} runs were computed again")
    rows = [(u.run_id, str(u.number), u.problem) for each in found for u in each.unjustified]
    output.print_table(("run", "transition", "problem"), rows)
    if rows:
        output.err.print("error: these transitions do not follow from what the log has")
        raise typer.Exit(1)


def _set_flow(
    data: DataDir,
    journey: str,
    flow: facts_pb.Flow,
    overdue: facts_pb.Overdue = facts_pb.OVERDUE_UNSPECIFIED,
) -> None:
    request = pb.SetJourneyFlowRequest(journey_id=journey, flow=flow, overdue=overdue)
    response = run_with_client(data, lambda client: client.journeys.SetJourneyFlow(request))
    now = _word(facts_pb.Flow.Name(flow), "FLOW_")
    output.out.print(f"{journey} is {now}" if response.changed else f"{journey} is {now} already")


async def _profile_id(client: Client, of: str) -> str:
    response = await client.profile.GetProfile(GetProfileRequest(**profile_selector(of)))
    return response.profile.profile_id


#: Runs that one call verifies, within its deadline.
_RUNS_A_CALL = 200
_STEP_RESULTS = (
    *("sent", "delivered", "undelivered", "suppressed", "opened", "clicked", "replied"),
    *("complained", "unsubscribed"),
)
_GROUP_HEADS = ("split", "arm", "runs", "converted", "share", "above the held out")


def _group_row(group: pb.JourneyGroupResult) -> tuple[str, ...]:
    share = group.converted / group.runs if group.runs else 0.0
    beside = ""
    if group.HasField("difference"):
        beside = f"{100 * group.difference:+.1f} ± {100 * group.margin:.1f} points"
    arm = f"{group.arm} (held out)" if group.held_out else group.arm
    return group.step_id, arm, f"{group.runs:,}", f"{group.converted:,}", f"{share:.1%}", beside


_RUN_HEADS = ("run", "journey", "version", "began", "state", "stands before", "goes on")


def _run_row(run: pb.JourneyRun) -> tuple[str, ...]:
    state = _word(pb.RunState.Name(run.state), "RUN_STATE_")
    if run.end_reason:
        state = f"{state} ({_end(run.end_reason)})"
    due = format_time(run.due_us) if run.due_us else ""
    version, begun = str(run.version), format_time(run.begun_at_us)
    return run.run_id, run.journey_id, version, begun, state, run.step_id, due


def _print_run(response: pb.GetRunResponse) -> None:
    output.print_table(_RUN_HEADS, [_run_row(response.run)])
    transitions = [
        (str(each.number), str(each.WhichOneof("change")), format_time(each.known_at_us))
        for each in response.transitions
    ]
    output.print_table(("transition", "what changed", "known until"), transitions)
    output.print_table(("step", "at", "destination", "state", "reason"), _effects(response.effects))


def _effects(effects: Iterable[pb.JourneyEffect]) -> Sequence[tuple[str, ...]]:
    return [
        (
            each.step_id,
            format_time(each.at_us),
            each.destination_id,
            _state(each.state),
            each.reason,
        )
        for each in effects
    ]


def _end(reason: int) -> str:
    return _word(runs_pb.RunEnd.Name(reason), "RUN_END_")


def _state(state: int) -> str:
    return _word(DeliveryState.Name(state), "DELIVERY_STATE_")


def _word(name: str, prefix: str) -> str:
    """Return the name of a member of an enum in plain words."""
    return name.removeprefix(prefix).lower().replace("_", " ")
