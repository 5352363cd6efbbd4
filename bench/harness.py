"""What all benchmarks share: interleaved rounds, medians, and one JSON object as the report."""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import median

import structlog

# Standard output is for the report alone.
structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))

#: Does one round and answers with its figure.
Contender = Callable[[], Awaitable[float]]
#: The figures of a contender, one a round.
Figures = Sequence[float]


@dataclass(frozen=True)
class Result:
    """One line of the report."""

    name: str
    unit: str
    #: The median of the rounds.
    figure: float
    #: The median of what it is measured against; 0 where it could not be measured.
    reference: float
    #: figure / reference; 0 without a reference.
    ratio: float
    #: (max - min) / median of the rounds: of the figure or of the reference, the larger one. A
    #: difference that is smaller than it is a tie.
    spread: float
    rounds: int
    goal: float
    #: Whether the ratio reaches the goal.
    holds: bool
    #: What the reader must know, such as what the reference was, or why there is none.
    note: str = ""

    def held_by(self, holds: bool) -> Result:
        """The same, where the goal is not one of the ratio."""
        return replace(self, holds=holds)


def compare(
    name: str, figures: Figures, references: Figures, *, goal: float, unit: str, note: str = ""
) -> Result:
    """The figure over the reference; more is better."""
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
    """How far the rounds lie from each other, as a part of their median."""
    return (max(figures) - min(figures)) / median(figures) if figures else 0.0


async def interleave(rounds: int, contenders: Mapping[str, Contender]) -> dict[str, list[float]]:
    """Runs all contenders once a round, in an order that turns, after one round to warm up."""
    figures: dict[str, list[float]] = {name: [] for name in contenders}
    names = list(contenders)
    for turn in range(rounds + 1):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            figure = await contenders[name]()
            if turn:
                figures[name].append(figure)
                say(f"round {turn}/{rounds}  {name}: {figure:,.0f}")
    return figures


def say(line: str) -> None:
    """A line for people, beside the report."""
    print(line, file=sys.stderr, flush=True)


def print_results(results: Sequence[Result]) -> None:
    """The report, for machines."""
    print(json.dumps({"results": [asdict(result) for result in results]}, indent=2))
