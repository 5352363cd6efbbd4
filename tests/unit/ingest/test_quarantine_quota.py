"""The quarantine of a source never has more than its quota, and uses what fits."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.quarantine_quota import QuarantineQuota, QuarantineUsage, fitting

SIZES = st.lists(st.integers(0, 50), min_size=1, max_size=30)


@given(
    # Most sources have room for some entries, and not for all.
    st.builds(QuarantineUsage, st.integers(0, 10), st.integers(0, 200)),
    st.builds(QuarantineQuota, st.integers(8, 20), st.integers(0, 300)),
    SIZES,
)
def test_what_fits_stays_within_the_quota(
    usage: QuarantineUsage, quota: QuarantineQuota, sizes: list[int]
) -> None:
    fits = fitting(usage, quota, sizes)
    taken = [size for size, has_room in zip(sizes, fits, strict=True) if has_room]
    if taken:
        assert usage.entries + len(taken) <= quota.entries
        assert usage.size_bytes + sum(taken) <= quota.size_bytes
    left_out = [size for size, has_room in zip(sizes, fits, strict=True) if not has_room]
    if left_out and usage.entries + len(taken) < quota.entries:
        assert usage.size_bytes + sum(taken) + max(left_out) > quota.size_bytes


def test_small_entry_fits_after_a_large_one_that_does_not() -> None:
    assert fitting(QuarantineUsage(), QuarantineQuota(9, 10), [8, 5, 2]) == [True, False, True]
