"""Makes random journeys and what happens to a person, and plays both players on them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from hashlib import blake2b
from random import Random
from typing import Any

from oracle.journeys_oracle import Contact, Happening, Oracle

from services.activation.domain.journeys.persons import FixedRun, PersonPlay, entry_key, play_person
from services.activation.domain.journeys.program import (
    Program,
    compile_journey,
    coupon_subject,
    event_subject,
    named_events,
    report_subject,
    segment_subject,
)
from services.activation.domain.journeys.regrets import MessageKey
from services.activation.domain.journeys.run import (
    ContactHours,
    PersonFacts,
    Question,
    RunEntry,
    RunFact,
)
from services.kernel.ids import FactId, LeafId
from services.kernel.journeys import model
from services.kernel.journeys.puts import PutStep
from services.kernel.journeys.tree import walk_steps
from services.kernel.local_time import DailyWindow, ZoneHistory
from services.kernel.rules.filters import EventFilter, PropertyFilter, matcher
from services.kernel.rules.ids import structure_id
from services.kernel.rules.model import Reference, ReferenceKind
from services.kernel.rules.values import Operator
from services.kernel.time import HOUR_US

#: 2026-03-02, a Monday.
BEGIN = 1_772_409_600_000_000
LEAF = LeafId(b"leaf of person 1")
ENTRY, OTHER, CLICK, GOAL, LEAVE = "entered", "looked", "clicked", "paid", "left"


@dataclass(frozen=True)
class Case:
    """A journey and the life of a person, until an instant."""

    journey: model.Journey
    happenings: tuple[Happening, ...]
    contact: Contact
    now: int
    #: When the log learnt what happened, where it is not at once.
    recorded: dict[bytes, int] = field(default_factory=dict)
    leaf: LeafId = LEAF


def make_case(random: Random, *, late: bool = False, simple: bool = False) -> Case:
    """Return a random case; `simple`: without quiet hours and times of the day."""
    journey = _JourneyMaker(random, simple).journey()
    happenings = tuple(make_life(random, journey))
    contact = Contact()
    if not simple and random.random() < 0.4:
        zone = random.choice(("UTC", "Asia/Kathmandu", "America/New_York"))
        quiet = random.choice(((22 * 60, 8 * 60), (8 * 60, 22 * 60), (12 * 60, 13 * 60)))
        contact = Contact(((0, zone),), {"marketing": quiet})
    recorded = {}
    if late:
        for happening in happenings:
            if random.random() < 0.4:
                recorded[happening.id] = happening.at + random.randint(1, 12) * HOUR_US // 2
    now = BEGIN + random.randint(0, 30) * HOUR_US
    leaf = LeafId(bytes([random.randint(0, 9)]) * 16)
    return Case(journey, happenings, contact, now, recorded, leaf)


class _JourneyMaker:
    def __init__(self, random: Random, simple: bool) -> None:
        self._random, self._simple = random, simple
        self._number = 0
        self._sends: list[str] = []
        self._coupons: list[str] = []

    def journey(self) -> model.Journey:
        random = self._random
        steps = self._steps(0)
        per = random.choice(("", "", "k"))
        restart = random.random() < 0.3
        entry = model.JourneyEntry(
            model.EventTrigger(EventFilter.of(ENTRY)),
            per,
            model.RuleCondition(_tag("entry")) if random.random() < 0.15 else None,
            random.choice((0, None, 2 * HOUR_US, 5 * HOUR_US)),
            model.WhileInside.RESTART if restart else model.WhileInside.IGNORE,
            4 * HOUR_US if restart and random.random() < 0.5 else 0,
            0,
            random.choice((0, 0, 0, 400_000)),
        )
        return model.Journey(
            "journey",
            entry,
            steps,
            goals=(_trigger(GOAL, random),),
            leaves=(_trigger(LEAVE, random),) if random.random() < 0.5 else (),
            on_goal=(PutStep("bought", "bought"),) if random.random() < 0.3 else (),
        )

    def _steps(self, depth: int) -> tuple[model.JourneyStep, ...]:
        number = self._random.randint(1, 4 if depth == 0 else 2)
        return tuple(self._step(depth) for _ in range(number))

    def _step(self, depth: int) -> model.JourneyStep:
        random = self._random
        self._number += 1
        id_ = f"s{self._number}"
        kinds = ["wait", "wait", "send", "send", "task"]
        kinds += ["listen", "choose", "split", "repeat"] if depth < 2 else []
        kinds += ["exit"] if depth else []
        kinds += ["until"] if not self._simple else []
        span = random.randint(1, 4) * HOUR_US
        match random.choice(kinds):
            case "wait":
                return model.WaitStep(id_, span)
            case "send":
                issue = {}
                if random.random() < 0.3:
                    issue[f"c{id_}"] = model.CouponIssue("pool", 2 * span)
                    self._coupons.append(f"c{id_}")
                self._sends.append(id_)
                return model.SendStep(id_, "mail", "t", issue=issue)
            case "task":
                return model.TaskStep(id_, "queue", "title", HOUR_US)
            case "exit":
                return model.ExitStep(id_)
            case "until":
                if self._coupons and random.random() < 0.5:
                    coupon = random.choice(self._coupons)
                    clock = random.choice((None, 10 * 60))
                    before = 0 if clock else random.randint(0, 2) * HOUR_US
                    return model.UntilStep(id_, clock, coupon=coupon, before_us=before)
                days = random.choice((range(7), (0, 2, 4)))
                return model.UntilStep(id_, random.choice((7 * 60, 15 * 60)), frozenset(days))
            case "listen":
                return self._listen(id_, span, depth)
            case "choose":
                branches = [
                    model.Branch(self._steps(depth + 1), self._condition(id_))
                    for _ in range(random.randint(1, 2))
                ]
                if random.random() < 0.5:
                    branches.append(model.Branch(self._steps(depth + 1)))
                return model.ChooseStep(id_, tuple(branches))
            case "split":
                arms = (
                    model.SplitArm("a", 500_000, self._steps(depth + 1)),
                    model.SplitArm("b", 300_000, self._steps(depth + 1)),
                    model.SplitArm("none", 200_000, hold_out=True),
                )
                return model.SplitStep(id_, arms, salt=str(random.randint(0, 9)))
            case _:
                return model.RepeatStep(id_, random.randint(1, 3), self._steps(depth + 1))

    def _listen(self, id_: str, span: int, depth: int) -> model.JourneyStep:
        random = self._random
        to: model.ListenTrigger = _trigger(CLICK, random)
        if self._sends and random.random() < 0.4:
            sends = tuple(random.sample(self._sends, min(2, len(self._sends))))
            to = model.ReportTrigger(sends, model.ReportKind.CLICKED)
        elif random.random() < 0.3:
            to = model.SegmentTrigger("vip", random.choice(list(model.Movement)))
        arms = self._steps(depth + 1), self._steps(depth + 1)
        return model.ListenStep(id_, to, span, *(random.choice((arms, arms[:1], ((), arms[1])))))

    def _condition(self, id_: str, depth: int = 0) -> model.Condition:
        random = self._random
        # Draws that are always the same must come to an end, too.
        choice = random.random() if depth < 5 else 1.0
        if choice < 0.3 and self._coupons:
            state = random.choice(list(model.CouponState))
            return model.CouponCondition(random.choice(self._coupons), state)
        if choice < 0.4:
            return model.NotCondition(self._condition(id_, depth + 1))
        if choice < 0.6:
            join = random.choice((model.EveryCondition, model.SomeCondition))
            return join((self._condition(id_, depth + 1), self._condition(f"{id_}x", depth + 1)))
        return model.RuleCondition(_tag(id_))


def _tag(name: str) -> Reference:
    return Reference(ReferenceKind.TAG, name)


def _trigger(name: str, random: Random) -> model.EventTrigger:
    where = (PropertyFilter("n", Operator.GE, 2),) if random.random() < 0.2 else ()
    return model.EventTrigger(EventFilter.of(name, *where), random.choice(("", "", "k")))


def make_life(random: Random, journey: model.Journey) -> Iterable[Happening]:
    """Yield what happens to a person in whose life a journey can matter."""
    steps = list(walk_steps(journey.steps))
    sends = [step.id for step in steps if isinstance(step, model.SendStep)]
    coupons = [n for step in steps if isinstance(step, model.SendStep) for n in step.issue]
    for number in range(random.randint(1, 9)):
        at = BEGIN + random.randint(0, 24) * HOUR_US // 2
        id_ = number.to_bytes(1, "big") * 16
        name = random.choice((ENTRY, ENTRY, ENTRY, CLICK, CLICK, GOAL, LEAVE, OTHER, "", "", ""))
        if number == 0:
            name, at = ENTRY, BEGIN
        if name:
            properties = {"n": random.randint(1, 3)}
            if random.random() < 0.9:
                properties["k"] = random.randint(1, 2)
            yield Happening(at, id_, "event", name, properties=properties)
        elif sends and random.random() < 0.5:
            yield Happening(at, id_, "report", random.choice(sends), "clicked")
        elif coupons and random.random() < 0.6:
            yield Happening(at, id_, "coupon", random.choice(coupons))
        else:
            yield Happening(at, id_, "segment", "vip", random.choice(("entered", "left")))


@cache
def truth(rule: Any, at: int) -> bool:
    """Return whether a rule is true at an instant: a fixed coin for each."""
    return bool(blake2b(f"{rule} {at}".encode()).digest()[0] & 1)


def oracle_runs(case: Case) -> list[tuple[Any, ...]]:
    """Return what the oracle says of a case: entries, effects and end of each run."""
    oracle = Oracle(
        case.journey, case.happenings, case.leaf, truth, case.contact, case.now, case.recorded
    )
    return sorted(
        (run.first.id, run.start.id, tuple(run.effects), run.end) for run in oracle.play()
    )


def player_runs(case: Case) -> list[tuple[Any, ...]]:
    """Return what the player says of a case, in the same form."""
    played = play_case(compile_journey(case.journey), case, case.happenings, case.now)
    return sorted(
        (
            run.first.fact_id,
            run.start.fact_id,
            tuple((*effect.key, effect.at_us) for effect in run.effects),
            run.play.ending and (run.play.ending.reason.value, run.play.ending.at_us),
        )
        for run in played.runs
    )


def play_case(
    program: Program,
    case: Case,
    happenings: Iterable[Happening],
    now: int,
    sent: Sequence[FixedRun] = (),
    entries: Iterable[RunEntry] | None = None,
) -> PersonPlay:
    """Play a person, and answer what the player needs to know."""
    happenings = list(happenings)
    facts = PersonFacts(run_facts(program, happenings))
    begins = entries_of(program, case, happenings) if entries is None else list(entries)
    answers: dict[Question, bool] = {}
    while True:
        played = play_person(program, begins, facts, answers, hours_of(case.contact), now, sent)
        if not played.questions:
            return played
        answers |= {question: truth(*question) for question in played.questions}


def hours_of(contact: Contact) -> ContactHours:
    """Return the hours of a contact in the form of the player."""
    quiet = {purpose: (DailyWindow(*hours),) for purpose, hours in contact.quiet.items()}
    return ContactHours(ZoneHistory(contact.zones[0][1], contact.zones[1:]), quiet)


def entries_of(program: Program, case: Case, happenings: Iterable[Happening]) -> list[RunEntry]:
    """Return the happenings that begin a run of a case's journey."""
    by = program.journey.entry.by
    assert isinstance(by, model.EventTrigger)
    return [
        RunEntry(h.at, FactId(h.id), case.leaf, case.recorded.get(h.id, h.at), h.properties)
        for h in happenings
        if h.kind == "event" and _matches(by.events, h)
    ]


def run_facts(program: Program, happenings: Iterable[Happening]) -> list[RunFact]:
    """Return what happened in the form of the player: once for each filter that matches."""
    filters = {trigger.events for trigger in named_events(program.journey)}
    found = []
    for h in happenings:
        match h.kind:
            case "event":
                ids = [structure_id(f) for f in filters if _matches(f, h)]
                subjects = [event_subject(id_) for id_ in ids]
            case "segment":
                subjects = [segment_subject(h.name, model.Movement(h.detail))]
            case "report":
                what = model.ReportKind(h.detail)
                subjects = [report_subject(program.journey.journey_id, h.name, what)]
            case _:
                subjects = [coupon_subject(h.name)]
        found += [RunFact(h.at, FactId(h.id), subject, h.properties) for subject in subjects]
    return found


def _matches(events: EventFilter, happening: Happening) -> bool:
    return happening.name in events.names and matcher(events.where)(happening.properties)


class Engine:
    """Sends what the player plans, at looks at what is known then; what was sent stands."""

    def __init__(self, case: Case) -> None:
        self.program = compile_journey(case.journey)
        self.case = case
        #: By the fact of its first entry.
        self.sent: dict[bytes, FixedRun] = {}
        #: When each effect was begun, in order: the look, its person's key of the run, its key.
        self.begun: list[tuple[int, str, tuple[str, int]]] = []

    def known(self, look: int) -> list[Happening]:
        """Return what the log has learnt until a look."""
        recorded = self.case.recorded
        return [h for h in self.case.happenings if recorded.get(h.id, h.at) <= look]

    def look(
        self, look: int, happenings: Iterable[Happening], is_paused: bool = False
    ) -> PersonPlay:
        """Play the person with some knowledge, and send what is outstanding."""
        happenings = list(happenings)
        ids = {h.id for h in happenings}
        own = [sent for id_, sent in self.sent.items() if id_ in ids]
        played = play_case(self.program, self.case, happenings, look, own)
        if is_paused:
            return played
        for run in played.runs:
            if run.outstanding:
                sent = (*run.sent, *run.outstanding)
                self.sent[run.first.fact_id] = FixedRun(run.first, run.start, sent)
                key = entry_key(self.program, run.first) or ""
                self.begun += [(look, key, effect.key) for effect in run.outstanding]
        return played

    def run(self, pauses: Sequence[tuple[int, int]] = ()) -> PersonPlay:
        """Look whenever something is learnt or due, and a last time at the end; return that."""
        looks = {self.case.recorded.get(h.id, h.at) for h in self.case.happenings}
        looks |= {end for _, end in pauses}
        looks = {look for look in looks if look <= self.case.now}
        while looks:
            look = min(looks)
            looks.remove(look)
            is_paused = any(start <= look < end for start, end in pauses)
            due = self.look(look, self.known(look), is_paused).due_us
            if due is not None and look < due <= self.case.now:
                looks.add(due)
        return self.look(self.case.now, self.known(self.case.now))

    def messages(self) -> dict[MessageKey, list[int]]:
        """Return the instants of what was sent, by message."""
        found: dict[MessageKey, list[int]] = {}
        for run in self.sent.values():
            key = entry_key(self.program, run.first) or ""
            for effect in run.effects:
                found.setdefault((key, *effect.key), []).append(effect.at_us)
        return {message: sorted(instants) for message, instants in found.items()}


def ideal(case: Case) -> PersonPlay:
    """Play a case with everything that is known at its end."""
    known = [h for h in case.happenings if case.recorded.get(h.id, h.at) <= case.now]
    return play_case(compile_journey(case.journey), case, known, case.now)
