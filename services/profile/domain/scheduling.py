"""Schedules one transaction of the fold: how many facts it takes in, which profiles are due."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from services.kernel.ids import LeafId, ProfileId
from services.kernel.time import MINUTE_US
from services.profile.domain.evaluation import PredicateIndexes
from services.profile.domain.facts import AttributedFact

#: Facts with a longer gap between them are folded in two transactions, and the profiles that fall
#: due in between are evaluated in the first one or before the second one.
MAX_TIME_GAP_US = 10 * MINUTE_US


#: Filters, accumulators and predicates that one transaction works on at most: some 0.5 s of CPU,
#: during which the events of other workspaces wait.
MAX_WORK = 150_000


class DueProfile(NamedTuple):
    """The timer of a profile: when time alone may change its evaluation, Unix microseconds."""

    due_us: int
    profile_id: ProfileId


class FoldSchedule(NamedTuple):
    """The work of one transaction."""

    #: The number of facts to fold, from the first; 0 = only due profiles are evaluated.
    take: int
    #: The instant as of which profiles are evaluated, Unix microseconds.
    at_us: int
    due: tuple[ProfileId, ...]
    #: Whether facts go ahead of profiles that are due: a job evaluates these between batches.
    is_behind: bool = False


def split_at_definitions(facts: Sequence[AttributedFact]) -> int:
    """Return how many facts (of at least one) may be folded in one transaction.

    Facts after a definition are folded with its predicates, and facts before it without; facts
    after the erasure of a person are a new life. A long gap in time also splits: else a profile
    could enter and leave a segment unseen between two facts.
    """
    before = facts[0]
    is_definition, is_erasure = before.rule_definition is not None, before.erasure is not None
    for count, fact in enumerate(facts[1:], 1):
        gap_us = fact.recorded_at_us - before.recorded_at_us
        is_other = (fact.rule_definition is not None) != is_definition
        if is_other or (fact.erasure is not None) != is_erasure or gap_us > MAX_TIME_GAP_US:
            return count
        before = fact
    return len(facts)


def split_by_work(
    facts: Sequence[AttributedFact], indexes: PredicateIndexes, most: int = MAX_WORK
) -> int:
    """Return how many facts (of at least one) may be folded in one transaction.

    The work follows from the rules of the facts' workspaces: each event is folded with those of its
    name, and each leaf may have to be evaluated with all of them.
    """
    greatest = max((i.max_work + len(i.predicates) for i in indexes.values()), default=0)
    if greatest * len(facts) <= most:  # the usual case
        return len(facts)
    work, leaves = 0, set[LeafId]()
    for count, fact in enumerate(facts):
        index = indexes.get(fact.workspace_id)
        if index is None or fact.event is None:
            continue
        work += index.work_of(fact.event)
        if fact.leaf_id not in leaves:
            leaves.add(fact.leaf_id)
            work += len(index.predicates)
        if work > most:
            return max(1, count)
    return len(facts)


def schedule(
    facts: Sequence[AttributedFact], due: Sequence[DueProfile], limit: int
) -> FoldSchedule:
    """Take as many facts as leave at most `limit` profiles due.

    Facts go ahead of more profiles than that for as long as facts of one transaction may be apart:
    so no event of a workspace waits for all profiles of another one that are due at once.

    `due`: all profiles that are due by the last fact, or the first `limit + 1` of them; ascending.
    """
    if len(due) <= limit:
        profiles = tuple(profile.profile_id for profile in due)
        return FoldSchedule(len(facts), facts[-1].recorded_at_us, profiles)
    horizon_us = due[limit].due_us
    first_us = facts[0].recorded_at_us
    if horizon_us <= first_us:
        last_us = due[0].due_us + MAX_TIME_GAP_US
        ahead = [fact for fact in facts if fact.recorded_at_us <= last_us]
        if ahead and facts[0].rule_definition is None:
            return FoldSchedule(len(ahead), ahead[-1].recorded_at_us, (), is_behind=True)
        return FoldSchedule(0, first_us, tuple(profile.profile_id for profile in due[:limit]))
    taken = [fact for fact in facts if fact.recorded_at_us < horizon_us]
    at_us = taken[-1].recorded_at_us
    return FoldSchedule(len(taken), at_us, tuple(d.profile_id for d in due if d.due_us <= at_us))
