"""Plants the users of a product: one kind for each condition of the pack for such products."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from services.cli.demo.planted import ALWAYS, CustomerKind, PlantedStep

_Interval = tuple[float, float]
_STEADY = tuple(PlantedStep(days, "logged_in") for days in (1.5, 8.5, 15.5, 22.5))
_FALLING = tuple(PlantedStep(days, "logged_in") for days in (1.5, 15.5, 16.5, 17.5))
_FALLING_SOON = tuple(PlantedStep(days, "logged_in") for days in (10.5, 13.5, 15.5, 20.5))

_ENTERPRISE = PlantedStep(299, "group", {"plan": "enterprise"})


def _features(*names: str) -> tuple[PlantedStep, ...]:
    return tuple(PlantedStep(3.5, "used_feature", {"feature": name}) for name in names)


def _truth(
    *stages: tuple[str, _Interval], active: float = 28.5, **more: _Interval
) -> dict[str, _Interval]:
    """Return the memberships of a kind; `active`: how many days after the end it stays so."""
    found = {f"stage:risk={stage}": interval for stage, interval in stages}
    found["tag:active"] = (0, active)
    return found | {name.replace("_", "-"): interval for name, interval in more.items()}


def kinds(end_us: int) -> tuple[CustomerKind, ...]:
    """Return the kinds of users. `end_us`: the end of the data, to which renewals are relative.

    Renewals are some days away from a check that they matter to, so that the turn of a day does
    not.
    """
    return (*_by_usage(end_us), *_by_renewal(end_us))


def _renews(end_us: int, days: int) -> tuple[PlantedStep, ...]:
    date = datetime.fromtimestamp(end_us / 1e6, UTC) + timedelta(days=days)
    traits = {"renewal_date": date.date().isoformat()}
    return PlantedStep(301, "identify", traits), PlantedStep(300, "registered")


def _by_usage(end_us: int) -> Iterator[CustomerKind]:
    """Yield the kinds whose renewal is far away."""
    later, healthy = _renews(end_us, 200), ("健康", ALWAYS)
    yield CustomerKind("steady", (*later, *_STEADY), _truth(healthy))
    truth = _truth(("使用下降", ALWAYS), needs_guidance=(0, 26.5))
    yield CustomerKind("falling", (*later, *_FALLING), truth)
    stages: list[tuple[str, _Interval]] = [("健康", (0, 0.5)), ("使用下降", (0.5, 1e9))]
    truth = _truth(*stages, active=19.5, needs_guidance=(0.5, 17.5))
    yield CustomerKind("falling soon", (*later, *_FALLING_SOON), truth)
    last = PlantedStep(29.5, "logged_in")
    yield CustomerKind("leaving", (*later, last), _truth(*stages, active=0.5))
    steps = (*later, *_STEADY, *_features("report", "export", "api"))
    yield CustomerKind("expanding", steps, _truth(healthy, ready_to_expand=(0, 10.5)))
    steps = (*later, *_STEADY, *_features("report", "export"))
    yield CustomerKind("two features", steps, _truth(healthy))
    steps = (*later, *_STEADY, _ENTERPRISE)
    yield CustomerKind("enterprise without risk", steps, _truth(healthy))


def _by_renewal(end_us: int) -> Iterator[CustomerKind]:
    """Yield the kinds whose renewal is near."""
    truth = _truth(("健康", (0, 5)), ("待续约", (5, 30)))
    yield CustomerKind("renewal soon", (*_renews(end_us, 35), *_STEADY), truth)
    truth = _truth(("待续约", (0, 4)), ("已流失", (5, 1e9)))
    yield CustomerKind("lost soon", (*_renews(end_us, 4), *_STEADY), truth)
    truth = _truth(("高风险", (0, 20)), needs_guidance=(0, 26.5), renewal_at_risk=(0, 20))
    steps = (*_renews(end_us, 20), *_FALLING)
    yield CustomerKind("renewal at risk", steps, truth)
    truth = {**truth, "enterprise-at-risk": (0, 20)}
    yield CustomerKind("enterprise at risk", (*steps, _ENTERPRISE), truth)
