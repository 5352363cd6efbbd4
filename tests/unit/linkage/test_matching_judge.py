"""What the rules make of scores."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from services.linkage.classify import Judged, Question, Rules, Verdict, differ, judge
from services.linkage.config import Thresholds
from services.linkage.linker import Scored, Weight
from services.linkage.person_model import RULES

LIMITS = Thresholds(accept=0.9, review=0.5)


def never(a: str, b: str) -> bool:
    return False


def scored(a: str, b: str, probability: float = 0.99, **came_out: tuple[str, float]) -> Scored:
    told = came_out or {"name": ("same characters", 8.0), "phone": ("same", 6.0)}
    return Scored(a, b, probability, tuple(Weight(c, *told[c]) for c in told))


def verdicts(
    *pairs: Scored, rules: Rules = RULES, apart: Question = never, clash: Question = never
) -> dict[str, Verdict]:
    judged = judge(_ordered(pairs), LIMITS, rules, apart=apart, clash=clash)
    return {f"{j.scored.a}{j.scored.b}": j.verdict for j in judged}


def _ordered(pairs: Sequence[Scored]) -> list[Scored]:
    return sorted(pairs, key=lambda pair: (-pair.probability, pair.a, pair.b))


def test_the_thresholds_part_accepted_to_review_and_nothing() -> None:
    told = verdicts(scored("a", "b", 0.9), scored("c", "d", 0.89), scored("e", "f", 0.49))
    assert told == {"ab": Verdict.ACCEPTED, "cd": Verdict.TO_REVIEW}


def test_who_cannot_be_one_is_left_out() -> None:
    assert verdicts(scored("a", "b"), apart=lambda a, b: True) == {}


def test_different_values_of_what_nobody_has_two_of() -> None:
    a, b = {"member_id": frozenset({"1"})}, {"member_id": frozenset({"2"})}
    assert differ(a, b)
    assert not differ(a, a)
    assert not differ(a, {"user_id": frozenset({"2"})})
    assert not differ(a, {"member_id": frozenset({"1", "2"})})


def test_a_single_thing_accepts_nobody() -> None:
    alone = scored("a", "b", name=("not known", 0.0), phone=("same", 20.0))
    assert verdicts(alone) == {"ab": Verdict.TO_REVIEW}


def test_a_family_is_not_one_person() -> None:
    family = scored("a", "b", name=("same surname", 2.0), phone=("same", 9.0), mail=("same", 9.0))
    assert verdicts(family) == {"ab": Verdict.TO_REVIEW}


def test_twins_are_put_before_a_person() -> None:
    twins = {"name": ("one character differs", 3.0), "birth_date": ("same", 9.0)}
    assert verdicts(scored("a", "b", **twins)) == {"ab": Verdict.TO_REVIEW}


def test_no_chain_joins_people_who_clash() -> None:
    told = verdicts(
        scored("a", "b", 0.99), scored("b", "c", 0.95), clash=lambda a, b: {a, b} == {"a", "c"}
    )
    assert told == {"ab": Verdict.ACCEPTED, "bc": Verdict.TO_REVIEW}


def test_within_a_group_that_is_accepted_less_is_enough() -> None:
    told = verdicts(
        scored("a", "b"), scored("b", "c"), scored("a", "c", 0.6), scored("a", "d", 0.6)
    )
    assert told == {
        "ab": Verdict.ACCEPTED,
        "bc": Verdict.ACCEPTED,
        "ac": Verdict.ACCEPTED,
        "ad": Verdict.TO_REVIEW,
    }


def test_one_to_one_takes_the_likeliest() -> None:
    told = verdicts(scored("a", "x", 0.95), scored("a", "y", 0.99), rules=Rules(one_to_one=True))
    assert told == {"ay": Verdict.ACCEPTED, "ax": Verdict.TO_REVIEW}


@given(
    st.dictionaries(
        st.tuples(st.sampled_from("abcdefg"), st.sampled_from("abcdefg")).filter(
            lambda pair: pair[0] < pair[1]
        ),
        st.floats(0, 1),
    ),
    st.frozensets(st.frozensets(st.sampled_from("abcdefg"), min_size=2, max_size=2)),
)
def test_no_group_ever_holds_two_who_clash(
    told: dict[tuple[str, str], float], clashes: frozenset[frozenset[str]]
) -> None:
    pairs = _ordered([scored(a, b, probability) for (a, b), probability in told.items()])

    def clash(a: str, b: str) -> bool:
        return frozenset((a, b)) in clashes

    judged = judge(pairs, LIMITS, RULES, apart=never, clash=clash)
    for group in groups(judged):
        assert not any(clash(a, b) for a in group for b in group)


def groups(judged: Sequence[Judged]) -> list[set[str]]:
    found: list[set[str]] = []
    for pair in (j.scored for j in judged if j.verdict is Verdict.ACCEPTED):
        joined = {pair.a, pair.b}.union(*(g for g in found if g & {pair.a, pair.b}))
        found = [g for g in found if not g & joined] + [joined]
    return found
