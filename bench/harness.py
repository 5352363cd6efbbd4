"""Runs interleaved rounds, takes medians, and prints one JSON object as the report."""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import median

import structlog

# Standard output has only the report.
structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))

#: Runs one round and returns its figure.
Contender = Callable[[], Awaitable[float]]
#: The figures of a contender, one per round.
Figures = Sequence[float]


@dataclass(frozen=True)
class Result:
    """One line of the report."""

    name: str
    unit: str
    #: The median of the rounds.
    figure: float
    #: The median of the reference; 0 where it could not be measured.
    reference: float
    #: figure / reference; 0 without a reference.
    ratio: float
    #: (max - min) / median of the rounds, of the figure or of the reference, whichever is larger. A
    #: smaller difference is a tie.
    spread: float
    rounds: int
    goal: float
    #: Whether the ratio reaches the goal.
    holds: bool
    #: A note for the reader, such as what the reference is, or why there is none.
    note: str = ""

    def with_holds(self, holds: bool) -> Result:
        """Return the result with `holds`, for a goal that is not about the ratio."""
        return replace(self, holds=holds)


def compare(
    name: str, figures: Figures, references: Figures, *, goal: float, unit: str, note: str = ""
) -> Result:
    """Return the result of a figure over a reference, of which more is better."""
    figure, reference = median(figures), median(references) if references else 0.0
    ratio = figure / reference if reference else 0.0
    return Result(
        name=name,
        unit=unit,
        figure=round(figure, 1),
        reference=round(reference, 1),
        ratio=round(ratio, 3),
        spread=round(max(spread(figures), spread(references)), 3),
        rounds=len(figures),
        goal=goal,
        holds=ratio >= goal,
        note=note,
    )


def spread(figures: Figures) -> float:
    """Return how far the rounds are apart, as a part of their median."""
    return (max(figures) - min(figures)) / median(figures) if figures else 0.0


async def interleave(rounds: int, contenders: Mapping[str, Contender]) -> dict[str, list[float]]:
    """Run all contenders once per round, in rotating order, after one round to warm up."""
    figures: dict[str, list[float]] = {name: [] for name in contenders}
    names = list(contenders)
    for turn in range(rounds + 1):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            figure = await contenders[name]()
            if turn:
                figures[name].append(figure)
                print_progress(f"round {turn}/{rounds}  {name}: {figure:,.0f}")
    return figures


def print_progress(line: str) -> None:
    """Print a line of progress to standard error."""
    print(line, file=sys.stderr, flush=True)


def print_results(results: Sequence[Result]) -> None:
    """Print the report as JSON."""
    print(json.dumps({"results": [asdict(result) for result in results]}, indent=2))
