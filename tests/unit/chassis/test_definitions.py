"""Definitions that several callers make at once end as if one had been made after the other."""

from __future__ import annotations

import types
from collections.abc import Coroutine, Generator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.definitions import (
    MAX_ATTEMPTS,
    Defined,
    DefinitionAppended,
    DefinitionFact,
    define,
    etag_of,
    next_definition,
)
from services.kernel.errors import Conflict, InvalidField
from services.kernel.tokens import Token


@dataclass(frozen=True)
class Colour:
    """A definition as small as can be."""

    name: str
    version: int = 0

    def at_version(self, version: int) -> Colour:
        return replace(self, version=version)


def to_fact(colour: Colour) -> DefinitionFact:
    return DefinitionFact("w", "test.Colour", "wall", colour.version, colour.name.encode())


@types.coroutine
def turn() -> Generator[None]:
    """Let the test choose which caller runs next."""
    yield


@dataclass
class FakeLog:
    """A log of definitions, with a state that lags behind it."""

    facts: list[DefinitionFact] = field(default_factory=list)

    async def head(self) -> Token:
        await turn()
        head = Token((len(self.facts),))
        await turn()
        return head

    async def append_definition(self, fact: DefinitionFact) -> DefinitionAppended:
        await turn()
        [*existing] = (f for f in self.facts if f.fact_id == fact.fact_id)
        if existing and existing[0].payload != fact.payload:
            raise Conflict("the id is there with other content")
        if not existing:
            self.facts.append(fact)
        appended = DefinitionAppended(not existing, Token((len(self.facts),)))
        await turn()
        return appended

    def current(self, end: int | None = None) -> Colour | None:
        """The definition after the first `end` facts."""
        facts = self.facts[:end]
        return Colour(facts[-1].payload.decode(), facts[-1].version) if facts else None

    async def load(self, token: Token) -> Colour | None:
        """The definition in the smallest state that a caller may see."""
        await turn()
        return self.current(token.offset(0))


@dataclass
class Caller:
    """One call of `define`, and its result."""

    log: FakeLog
    name: str
    etag: str
    dry_run: bool
    began: int = -1
    ended: int = -1
    defined: Defined[Colour] | None = None
    error: Conflict | None = None

    async def run(self) -> None:
        self.began = len(self.log.facts)
        try:
            self.defined = await define_colour(
                self.log, self.name, etag=self.etag, dry_run=self.dry_run
            )
        except Conflict as error:
            self.error = error
        self.ended = len(self.log.facts)

    def versions(self) -> range:
        """The versions that were in force while the call ran."""
        return range(self.began, self.ended + 1)


async def define_colour(
    log: FakeLog, name: str, *, etag: str = "", dry_run: bool = False
) -> Defined[Colour]:
    return await define(
        lambda _: Colour(name), log=log, load=log.load, to_fact=to_fact, etag=etag, dry_run=dry_run
    )


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Run one caller alone."""
    while True:
        try:
            work.send(None)
        except StopIteration as end:
            return end.value


calls = st.tuples(st.sampled_from("abc"), st.sampled_from(["", "0", "1", "2"]), st.booleans())


#: Which of the running callers runs next.
turns = st.lists(st.integers(0, 4), min_size=20, max_size=120)


@given(st.lists(calls, min_size=1, max_size=5), turns)
def test_racing_callers_in_any_interleaving_match_a_serial_order(
    requests: list[tuple[str, str, bool]], schedule: list[int]
) -> None:
    log = FakeLog()
    callers = [Caller(log, name, etag, dry_run) for name, etag, dry_run in requests]
    running = [caller.run() for caller in callers]
    choices = iter(schedule)
    while running:
        chosen = running[next(choices, 0) % len(running)]
        try:
            chosen.send(None)
        except StopIteration:
            running.remove(chosen)

    versions = [fact.version for fact in log.facts]
    assert versions == list(range(1, len(versions) + 1))
    # Each version belongs to one caller: none that changed something was overwritten in silence.
    changes = [c.defined for c in callers if c.defined and c.defined.changed and not c.dry_run]
    assert sorted(defined.definition.version for defined in changes) == versions
    for caller in callers:
        check_serial(caller, log)


def check_serial(caller: Caller, log: FakeLog) -> None:
    """The outcome is one that the call would have had alone, at some moment while it ran."""
    moments = [log.current(end) for end in caller.versions()]
    if caller.error is not None:
        if caller.etag:
            assert any(etag_of(c.version if c else 0) != caller.etag for c in moments)
        else:  # only where others won every attempt
            assert len(moments) > MAX_ATTEMPTS
        return
    assert caller.defined is not None
    definition, changed = caller.defined.definition, caller.defined.changed
    assert definition.name == caller.name
    in_force = definition.version - (changed and caller.dry_run)
    assert caller.defined.etag == etag_of(in_force)
    if not changed:
        assert definition in moments
        assert caller.defined.token.includes(Token((definition.version,)))
        return
    before = log.current(definition.version - 1) if definition.version > 1 else None
    assert before in moments
    assert before is None or before.name != caller.name
    assert caller.etag in ("", etag_of(before.version if before else 0))
    if not caller.dry_run:
        assert log.current(definition.version) == definition
        assert caller.defined.token.includes(Token((definition.version,)))


def test_define_with_the_same_content_again_returns_it_unchanged() -> None:
    log = FakeLog()
    first = run(define_colour(log, "red"))
    repeated = run(define_colour(log, "red"))
    assert (first.definition, first.changed) == (Colour("red", 1), True)
    assert (repeated.definition, repeated.changed) == (Colour("red", 1), False)
    assert repeated.token.includes(first.token)


def test_define_repeated_with_its_first_etag_returns_it_unchanged() -> None:
    log = FakeLog()
    run(define_colour(log, "red"))
    first = run(define_colour(log, "blue", etag="1"))
    repeated = run(define_colour(log, "blue", etag="1"))
    assert (first.changed, repeated.changed) == (True, False)
    assert first.definition == repeated.definition == Colour("blue", 2)


def test_define_with_a_stale_etag_and_other_content_raises_conflict() -> None:
    log = FakeLog()
    run(define_colour(log, "red"))
    run(define_colour(log, "blue"))
    with pytest.raises(Conflict) as caught:
        run(define_colour(log, "green", etag="1"))
    assert caught.value.metadata == {"etag": "2"}
    assert log.current() == Colour("blue", 2)


def test_dry_run_with_a_stale_etag_raises_conflict() -> None:
    log = FakeLog()
    run(define_colour(log, "red"))
    with pytest.raises(Conflict):
        run(define_colour(log, "green", etag="0", dry_run=True))


def test_dry_run_returns_the_next_version_and_appends_nothing() -> None:
    log = FakeLog()
    run(define_colour(log, "red"))
    tried = run(define_colour(log, "blue", dry_run=True))
    assert (tried.definition, tried.changed, tried.token) == (Colour("blue", 2), True, Token((1,)))
    assert log.current() == Colour("red", 1)


def test_caller_that_loses_every_attempt_raises_conflict() -> None:
    class ContestedLog(FakeLog):
        async def append_definition(self, fact: DefinitionFact) -> DefinitionAppended:
            self.facts.append(to_fact(Colour(f"other {fact.version}", fact.version)))
            return await super().append_definition(fact)

    log = ContestedLog()
    with pytest.raises(Conflict, match="others define this"):
        run(define_colour(log, "red"))
    assert len(log.facts) == MAX_ATTEMPTS


def test_desired_content_is_computed_again_after_a_lost_race() -> None:
    class RacedLog(FakeLog):
        async def append_definition(self, fact: DefinitionFact) -> DefinitionAppended:
            if not self.facts:
                self.facts.append(to_fact(Colour("theirs", 1)))
            return await super().append_definition(fact)

    def mixed(current: Colour | None) -> Colour:
        return Colour(f"{current.name}+ours" if current else "ours")

    log = RacedLog()
    defined = run(define(mixed, log=log, load=log.load, to_fact=to_fact))
    assert defined.definition == Colour("theirs+ours", 2)


def test_invalid_desired_content_raises_its_error_and_appends_nothing() -> None:
    def invalid(_: Colour | None) -> Colour:
        raise InvalidField("no colour", field="colour")

    log = FakeLog()
    with pytest.raises(InvalidField):
        run(define(invalid, log=log, load=log.load, to_fact=to_fact))
    assert not log.facts


def test_next_definition_counts_up_only_where_the_content_differs() -> None:
    assert next_definition(None, Colour("red"), to_fact) == Colour("red", 1)
    red = Colour("red", 4)
    assert next_definition(red, Colour("red"), to_fact) is red
    assert next_definition(red, Colour("blue"), to_fact) == Colour("blue", 5)
