"""Plants the users of a product: one kind for each condition of the pack for such products."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from services.cli.demo.planted import ALWAYS, Kind, Step

_Interval = tuple[float, float]
_STEADY = tuple(Step(days, "logged_in") for days in (1.5, 8.5, 15.5, 22.5))
_FALLING = tuple(Step(days, "logged_in") for days in (1.5, 15.5, 16.5, 17.5))
_FALLING_SOON = tuple(Step(days, "logged_in") for days in (10.5, 13.5, 15.5, 20.5))


def _features(*names: str) -> tuple[Step, ...]:
    return tuple(Step(3.5, "used_feature", {"feature": name}) for name in names)


def _truth(
    *stages: tuple[str, _Interval], active: float = 28.5, **more: _Interval
) -> dict[str, _Interval]:
    """Return the memberships of a kind; `active`: how many days after the end it stays so."""
    found = {f"stage:risk={stage}": interval for stage, interval in stages}
    found["tag:active"] = (0, active)
    return found | {name.replace("_", "-"): interval for name, interval in more.items()}


def kinds(end_us: int) -> tuple[Kind, ...]:
    """Return the kinds of users. `end_us`: the end of the data, to which renewals are relative.

    Renewals are some days away from a check that they matter to, so that the turn of a day does
    not.
    """

    def renews(days: int) -> tuple[Step, ...]:
        date = datetime.fromtimestamp(end_us / 1e6, UTC) + timedelta(days=days)
        traits = {"renewal_date": date.date().isoformat()}
        return Step(301, "identify", traits), Step(300, "registered")

    healthy = ("健康", ALWAYS)
    return (
        Kind("steady", (*renews(200), *_STEADY), _truth(healthy)),
        Kind(
            "falling",
            (*renews(200), *_FALLING),
            _truth(("使用下降", ALWAYS), needs_guidance=(0, 28.5)),
        ),
        Kind(
            "falling soon",
            (*renews(200), *_FALLING_SOON),
            _truth(
                ("健康", (0, 0.5)),
                ("使用下降", (0.5, 1e9)),
                active=19.5,
                needs_guidance=(0.5, 17.5),
            ),
        ),
        Kind(
            "renewal soon", (*renews(35), *_STEADY), _truth(("健康", (0, 5)), ("待续约", (5, 30)))
        ),
        Kind(
            "renewal at risk",
            (*renews(20), *_FALLING),
            _truth(("高风险", (0, 20)), needs_guidance=(0, 28.5), renewal_at_risk=(0, 20)),
        ),
        Kind(
            "enterprise at risk",
            (*renews(20), *_FALLING, Step(299, "group", {"plan": "enterprise"})),
            _truth(
                ("高风险", (0, 20)),
                needs_guidance=(0, 28.5),
                renewal_at_risk=(0, 20),
                enterprise_at_risk=(0, 20),
            ),
        ),
        Kind(
            "enterprise without risk",
            (*renews(200), *_STEADY, Step(299, "group", {"plan": "enterprise"})),
            _truth(healthy),
        ),
        Kind("lost soon", (*renews(4), *_STEADY), _truth(("待续约", (0, 4)), ("已流失", (5, 1e9)))),
        Kind(
            "leaving",
            (*renews(200), Step(29.5, "logged_in")),
            _truth(("健康", (0, 0.5)), ("使用下降", (0.5, 1e9)), active=0.5),
        ),
        Kind(
            "expanding",
            (*renews(200), *_STEADY, *_features("report", "export", "api")),
            _truth(healthy, ready_to_expand=(0, 10.5)),
        ),
        Kind(
            "two features",
            (*renews(200), *_STEADY, *_features("report", "export")),
            _truth(healthy),
        ),
    )
