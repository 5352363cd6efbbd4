"""`./onefold journeys try` and `backtest`: play a journey over the past, and send nothing."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path
from typing import Annotated, TypeVar

from onefold.activation.v1 import journey_runs_pb2 as runs_pb
from onefold.activation.v1 import journey_service_pb2 as pb
from onefold.activation.v1.journeys_pb2 import Journey
from onefold.profile.v1.profile_service_pb2 import GetSettingsRequest
from typer import Argument, Option

from services.cli import output
from services.cli.context import DataDir, run_with_client
from services.cli.definitions import Pack, read_pack
from services.cli.output import format_time
from services.cli.pack_definitions import journey_assumptions
from services.cli.values import word_of
from services.client.client import Client
from services.kernel.errors import InvalidField
from services.kernel.time import parse_rfc3339, parse_span

_Response = TypeVar("_Response", pb.TryJourneyResponse, pb.BacktestJourneyResponse)

#: Seconds that a replay may take.
TIMEOUT_S = 86_400.0
#: Characters of a date without a time.
_DATE = 10

Chosen = Annotated[str, Option("--journey", help="Which one, if the file has several.")]


def try_journey(
    data: DataDir,
    file: Annotated[Path, Argument(metavar="FILE", help="A pack with the journey.")],
    journey: Chosen = "",
    since: Annotated[str, Option(help="Entries count from this date or time on.")] = "",
    ahead: Annotated[str, Option(help="How far ahead to play, such as 7d.")] = "7d",
    people: Annotated[int, Option(min=1, max=100, help="Persons named for each number.")] = 5,
) -> None:
    """Show what a journey of a file would do: who is inside now, and what follows by time alone.

    It is played over what is recorded, as if it had been defined 30 days ago. Nothing is sent or
    stored.
    """
    with output.exit_on_error():
        since_us = _instant("--since", since) if since else 0
        ahead_us = parse_span(ahead)

    async def load(client: Client) -> pb.TryJourneyResponse:
        pack, chosen = await _chosen(client, file, journey)
        request = pb.TryJourneyRequest(
            journey=chosen,
            since_us=since_us,
            ahead_us=ahead_us,
            people=people,
            assumed=journey_assumptions(pack),
        )
        last = pb.TryJourneyResponse()
        responses = client.journeys.TryJourney(request, timeout=TIMEOUT_S)
        async for response in _with_progress(responses):
            last = response
        return last

    found = run_with_client(data, load)
    _print_persons(found.persons, found.left_out)
    _print_summary(found.now)
    output.out.print(f"What would follow in {ahead} by time alone:")
    _print_counts("step", found.ahead)


def backtest(
    data: DataDir,
    of: Annotated[
        str, Argument(metavar="FILE|JOURNEY", help="A pack with the journey, or a defined one.")
    ],
    begin: Annotated[str, Option("--from", help="The first date or time of the period.")],
    end: Annotated[str, Option("--to", help="The period ends before; now.")] = "",
    happened: Annotated[
        bool,
        Option("--happened/--known", help="By what happened, or by what was known at each look."),
    ] = False,
    journey: Chosen = "",
    effects: Annotated[int, Option(min=0, help="Show so many effects with their persons.")] = 0,
) -> None:
    """Play a journey over a past period, beside the defined one of the same id; sends nothing.

    With --known a defined journey gives its ledger. With --happened it gives what should have been
    sent.
    """
    with output.exit_on_error():
        from_us = _instant("--from", begin)
        to_us = _instant("--to", end) if end else 0
    basis = pb.BACKTEST_BASIS_HAPPENED if happened else pb.BACKTEST_BASIS_KNOWN

    is_file = Path(of).exists()

    async def load(client: Client) -> tuple[list[_Backtest], str]:
        period = pb.BacktestJourneyRequest(basis=basis, from_us=from_us, to_us=to_us)
        if not is_file:
            return [await _backtest(client, period, effects, journey_id=of)], of
        pack, chosen = await _chosen(client, Path(of), journey)
        assumed = journey_assumptions(pack)
        tests = [await _backtest(client, period, effects, journey=chosen, assumed=assumed)]
        listed = await client.journeys.ListJourneys(pb.ListJourneysRequest())
        if chosen.journey_id in {each.journey.journey_id for each in listed.journeys}:
            tests.append(await _backtest(client, period, 0, journey_id=chosen.journey_id))
        return tests, chosen.journey_id

    tests, name = run_with_client(data, load)
    first = tests[0]
    _print_persons(first.last.persons, first.last.left_out)
    _print_summary(first.last.summary)
    if len(tests) > 1:
        output.out.print(f"Effects beside those of {name} as it is defined:")
        rows = _beside(first.last.summary, tests[1].last.summary)
        output.print_table(("step", "this file", "defined"), rows)
    shown = [
        (each.profile_id, each.step_id, format_time(each.at_us), each.withdrawn)
        for each in first.effects
    ]
    output.print_table(("profile", "step", "at", "withdrawn"), shown)


class _Backtest:
    """The first effects of a backtest, and its last response."""

    def __init__(self) -> None:
        self.effects: list[pb.ReplayedEffect] = []
        self.last = pb.BacktestJourneyResponse()


async def _backtest(
    client: Client,
    period: pb.BacktestJourneyRequest,
    effects: int,
    *,
    journey_id: str = "",
    journey: Journey | None = None,
    assumed: pb.JourneyAssumptions | None = None,
) -> _Backtest:
    request = pb.BacktestJourneyRequest(journey=journey, assumed=assumed)
    if journey is None:
        request.journey_id = journey_id
    request.MergeFrom(period)
    found = _Backtest()
    responses = client.journeys.BacktestJourney(request, timeout=TIMEOUT_S)
    async for response in _with_progress(responses):
        room = effects - len(found.effects)
        found.effects += response.effects[: max(0, room)]
        found.last = response
    return found


async def _chosen(client: Client, file: Path, journey_id: str) -> tuple[Pack, Journey]:
    """Return a pack and the journey of it that is meant. Raises InvalidField, PackErrors."""
    settings = (await client.profile.GetSettings(GetSettingsRequest())).settings
    pack = read_pack(file, os.environ, (), settings)
    found = {each.journey_id: each for each in pack.journeys}
    if journey_id in found:
        return pack, found[journey_id]
    if len(found) == 1 and not journey_id:
        return pack, pack.journeys[0]
    names = ", ".join(found) or "none"
    raise InvalidField(f"{file}: the file has these journeys: {names}; name one with --journey")


def _instant(option: str, text: str) -> int:
    """Return the instant of a date (its begin in UTC) or a time. Raises InvalidField."""
    try:
        return parse_rfc3339(f"{text}T00:00:00Z" if len(text) == _DATE else text)
    except ValueError:
        raise InvalidField(
            f"{option}: write a date such as 2026-11-01, or a time such as 2026-11-01T09:00:00Z"
        ) from None


async def _with_progress(responses: AsyncIterator[_Response]) -> AsyncIterator[_Response]:
    """Yield responses, and show how many persons were played."""
    with output.ProgressBars() as bars:
        task, shown = bars.add_task("persons"), 0
        async for response in responses:
            bars.advance(task, response.persons - shown)
            shown = response.persons
            yield response


def _print_persons(persons: int, left_out: int) -> None:
    output.out.print(
        f"{persons:,} persons were played; {left_out:,} could not be: a rule has no answer, a run"
        " goes by an older version, or its facts are not stored any more"
    )


def _print_summary(summary: pb.ReplaySummary) -> None:
    ended = sum(each.count for each in summary.ended)
    inside = sum(each.count for each in summary.open)
    output.out.print(f"{summary.begun:,} runs begin; {inside:,} are open, {ended:,} have ended")
    rows = [
        (word_of(runs_pb.RunEnd, "RUN_END_", each.reason), f"{each.count:,}")
        for each in summary.ended
    ]
    output.print_table(("ended by", "runs"), rows)
    rows = [
        (word_of(pb.EntryReason, "ENTRY_REASON_", each.reason), f"{each.count:,}")
        for each in summary.refused
    ]
    output.print_table(("entry without a run", "entries"), rows)
    _print_counts("stands before", summary.open)
    _print_counts("effect", summary.effects)


def _print_counts(what: str, counts: Iterable[pb.ReplayCount]) -> None:
    rows = [
        (
            each.step_id,
            format_time(each.day_us)[:_DATE] if each.day_us else "",
            f"{each.count:,}",
            ", ".join(each.profile_ids),
        )
        for each in counts
    ]
    output.print_table((what, "day", "number", "such as"), rows)


def _beside(one: pb.ReplaySummary, other: pb.ReplaySummary) -> Sequence[tuple[str, str, str]]:
    """Return the effects of two replays by step."""
    numbers: dict[str, list[int]] = {}
    for place, summary in enumerate((one, other)):
        for each in summary.effects:
            numbers.setdefault(each.step_id, [0, 0])[place] += each.count
    return [(step, f"{own[0]:,}", f"{own[1]:,}") for step, own in sorted(numbers.items())]
