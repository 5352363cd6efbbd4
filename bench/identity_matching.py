"""Measures probable matches beside plain Splink: quality on three data sets, and time.

python -m bench.identity_matching

F1 is that of pairs, with the thresholds of services/linkage/default.yaml on both sides.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import combinations
from statistics import median
from typing import Any

import duckdb
import uvloop

from bench import febrl, plain_splink
from bench.harness import Contender, Result, compare, interleave, print_results
from services.linkage.classify import classify
from services.linkage.config import load_config
from services.linkage.job import MatchAssessment, find_matches
from services.linkage.linker import Linkage
from services.linkage.records import comparison_record, representative
from tests.people.hard_people import as_profile, hard_people, true_pairs

ROUNDS = 5
#: Seeds of people on which the model was not developed.
HELD_OUT = (2_101, 2_102, 2_103)
#: How much worse than Splink F1 may be on data that are easy for both.
ALLOWANCE = 0.002
CONFIG = load_config()
Pairs = set[tuple[str, str]]


@dataclass(frozen=True)
class Quality:
    """The quality of the pairs that were found."""

    f1: float
    precision: float
    recall: float
    #: The number of pairs that are two people.
    false_merges: int
    #: F1 of all pairs within the groups that the pairs make.
    joined_f1: float


@dataclass(frozen=True)
class MatchingRow(Result):
    """A line of the report with all figures of both sides."""

    ours: dict[str, Quality] = field(default_factory=dict)
    references: dict[str, Quality] = field(default_factory=dict)


def matching_rows() -> list[Result]:
    """Return all rows of this part."""
    return [quality_on("febrl3"), quality_on("febrl4"), uvloop.run(speed()), quality_on_people()]


def quiet_database() -> Any:
    """Return a database in memory that prints no progress."""
    connection = duckdb.connect()
    connection.execute("set enable_progress_bar = false")
    return connection


def quality_on(data: str) -> Result:
    """Measure F1 on one of the sets of FEBRL."""
    with quiet_database() as connection:
        truth = febrl.truth(connection, febrl.load(connection, data))
    ours = measured(run_ours(data)[0], truth)
    theirs = measured(run_theirs(data)[0], truth)
    note = f"the reference is Splink's example for these data; F1 may be {ALLOWANCE} less"
    return quality(f"{data}_f1_vs_splink", ours, {"plain": theirs}, ALLOWANCE, note)


def quality_on_people() -> Result:
    """Measure F1 on people who are hard to match: the set with the median ratio of several sets."""
    sets = [people_of(seed) for seed in HELD_OUT]
    ordered = sorted(sets, key=lambda each: each.ratio)
    scores = ", ".join(f"{each.ours.f1:.4f} to {each.references['plain'].f1:.4f}" for each in sets)
    middle = ordered[len(ordered) // 2]
    note = f"{middle.note}; F1 of the held-out sets, ours to plain: {scores}"
    return quality("hard_f1_vs_splink", middle.ours, middle.references, 0.0, note)


@dataclass(frozen=True)
class People:
    """The quality of both sides on one set of people."""

    ours: Quality
    references: dict[str, Quality]
    note: str

    @property
    def ratio(self) -> float:
        """Our F1 over that of the reference."""
        return self.ours.f1 / self.references["plain"].f1


def people_of(seed: int) -> People:
    """Measure both sides on one set."""
    records = hard_people(seed=seed)
    truth = true_pairs(records)
    people = [as_profile(record) for record in records]
    names = {representative(person): person.profile_id for person in people}
    found = find_matches(people, CONFIG)
    accepted = (m.pair for m in found.matches if m.assessment is MatchAssessment.ACCEPTED)
    ours = measured({_ordered(names[a], names[b]) for a, b in accepted}, truth)
    references = {
        "plain": measured(plain_people(plain_splink.tidied(records)), truth),
        "plain on our prepared records": measured(
            plain_people(plain_splink.prepared(comparison_record(p, CONFIG) for p in people)), truth
        ),
    }
    note = (
        f"{len(records):,} records, {len(truth):,} true pairs; of ours "
        f"{found.count(MatchAssessment.TO_REVIEW):,} more are to be reviewed"
    )
    return People(ours, references, note)


def plain_people(table: Any) -> Pairs:
    """Return the pairs that Splink finds with its stock comparisons."""
    at_least = CONFIG.thresholds.accept
    with quiet_database() as connection:
        return set(plain_splink.link(connection, [table], plain_splink.people(), at_least=at_least))


async def speed() -> Result:
    """Measure the time for both sets of FEBRL, from the table to the pairs; less is better."""
    spent: dict[str, list[float]] = {"ours": [], "plain Splink": []}

    def contender(name: str, run: Callable[[str], tuple[Pairs, float]]) -> Contender:
        async def round_of() -> float:
            began = time.process_time()
            figure = sum(run(data)[1] for data in febrl.FILES)
            spent[name].append(time.process_time() - began)
            return figure

        return round_of

    contenders = {name: contender(name, run) for name, run in _SIDES.items()}
    figures = await interleave(ROUNDS, contenders)
    ours, theirs = (median(spent[name]) for name in _SIDES)
    note = (
        "less is better: seconds for FEBRL 3 and 4, training, scores and evidence, with the same "
        "records and blocking rules as the reference, plain Splink; goal: at most. "
        f"Seconds of processors: {ours:.1f} and {theirs:.1f}, {ours / theirs:.2f} of them"
    )
    found = compare(
        "febrl_time_vs_splink",
        figures["ours"],
        figures["plain Splink"],
        goal=1.0,
        unit="s",
        note=note,
    )
    return found.with_holds(found.ratio <= found.goal)


def run_ours(data: str) -> tuple[Pairs, float]:
    """Return our pairs, and the seconds they took."""

    def work(connection: Any, tables: list[str]) -> Pairs:
        linked = Linkage(febrl.MODELS[data], connection, tables).run(CONFIG.thresholds.review)
        judged = classify(
            linked.pairs, CONFIG.thresholds, febrl.RULES[data], excluded=_never, conflict=_never
        )
        return {(j.pair.a, j.pair.b) for j in judged if j.accepted}

    return _timed(data, work)


def run_theirs(data: str) -> tuple[Pairs, float]:
    """Return Splink's pairs, and the seconds they took."""
    at_least = CONFIG.thresholds.accept

    def work(connection: Any, tables: list[str]) -> Pairs:
        recipe = plain_splink.RECIPES[data]()
        return set(plain_splink.link(connection, tables, recipe, at_least=at_least))

    return _timed(data, work)


#: Both sides by their names in the report.
_SIDES = {"ours": run_ours, "plain Splink": run_theirs}


def _timed(data: str, work: Callable[[Any, list[str]], Pairs]) -> tuple[Pairs, float]:
    with quiet_database() as connection:
        tables = febrl.load(connection, data)
        began = time.perf_counter()
        return work(connection, tables), time.perf_counter() - began


def quality(
    name: str, ours: Quality, references: dict[str, Quality], allowance: float, note: str
) -> Result:
    """Return one line; the first reference is the one that is compared."""
    reference = next(iter(references.values())).f1
    return MatchingRow(
        name=name,
        unit="F1",
        figure=round(ours.f1, 4),
        reference=round(reference, 4),
        ratio=round(ours.f1 / reference, 4),
        spread=0.0,
        rounds=1,
        goal=round((reference - allowance) / reference, 4),
        holds=ours.f1 >= reference - allowance,
        note=f"{note}; both at a probability of {CONFIG.thresholds.accept}, seeds fixed",
        ours={"onefold": ours},
        references=references,
    )


def measured(found: Pairs, truth: Pairs) -> Quality:
    """Return the quality of the pairs that were found."""
    right = len(found & truth)
    precision, recall = right / max(1, len(found)), right / len(truth)
    return Quality(
        f1=round(_f1(found, truth), 5),
        precision=round(precision, 5),
        recall=round(recall, 5),
        false_merges=len(found) - right,
        joined_f1=round(_f1(joined(found), truth), 5),
    )


def joined(pairs: Iterable[tuple[str, str]]) -> Pairs:
    """Return all pairs within the groups that the pairs make."""
    groups: dict[str, list[str]] = {}
    for a, b in pairs:
        of_a, of_b = groups.get(a, [a]), groups.get(b, [b])
        if of_a is not of_b:
            both = of_a + of_b
            groups |= dict.fromkeys(both, both)
    distinct = {id(group): group for group in groups.values()}.values()
    return {_ordered(a, b) for group in distinct for a, b in combinations(group, 2)}


def _f1(found: Pairs, truth: Pairs) -> float:
    return 2 * len(found & truth) / (len(found) + len(truth))


def _ordered(a: str, b: str) -> tuple[str, str]:
    return (a, b) if a < b else (b, a)


def _never(a: str, b: str) -> bool:
    return False


def main() -> None:
    """Print the report."""
    print_results(matching_rows())


if __name__ == "__main__":
    main()
