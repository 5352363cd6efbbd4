"""How fast a destination is tried, so that one that is down is left alone until it is back.

An effect has a bounded number of attempts. Were they all made while the receiver is down, an outage
of hours would end in a pile of dead effects; so a destination that fails again and again is
tried with one message at a time, and with growing rests.
"""

from __future__ import annotations

from dataclasses import dataclass

from services.activation.domain.transitions import Outcome, Retries, Verdict

#: Attempts at once.
FULL = 128
#: Failures one after another, with no success, after which a destination is taken to be down.
PATIENCE = 16
#: Seconds; the rest between two tries of a destination that is down doubles up to this.
LONGEST_REST = 60.0
_MOST_DOUBLINGS = 40


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a destination is tried now."""

    #: Failures since the last answer that was none.
    failures: int = 0
    #: Rests taken since then.
    rests: int = 0
    #: No attempt begins before this instant of the caller's clock, seconds.
    not_before: float = 0.0

    @property
    def width(self) -> int:
        """How many attempts may be made at once."""
        return FULL if self.failures < PATIENCE else 1


def paced(pace: Pace, outcome: Outcome, now: float, retries: Retries) -> Pace:
    """The pace after an attempt; `now` in seconds of the caller's clock.

    A receiver that names a time to wait is not asked before; one that refuses a message is up.
    """
    if outcome.verdict is not Verdict.FAILED:
        return Pace(not_before=pace.not_before)
    failures, rests = pace.failures + 1, pace.rests
    not_before = max(pace.not_before, now + min(outcome.retry_after, retries.longest_pause))
    # Of many attempts that fail together one asks for a rest, and not each for a longer one.
    if failures >= PATIENCE and now >= pace.not_before:
        rests += 1
        doublings = min(rests - 1, _MOST_DOUBLINGS)
        rest = min(retries.first_pause * 2.0**doublings, LONGEST_REST, retries.longest_pause)
        not_before = max(not_before, now + rest)
    return Pace(failures, rests, not_before)
