"""Plants the customers of a shop: one kind for each condition of the pack for retail."""

from __future__ import annotations

from typing import Any

from services.cli.demo.planted import ALWAYS, CustomerKind, PlantedStep

_Interval = tuple[float, float]
_HIGH_VALUE_A, _EAST_WOMEN = "high-value-recent-a", "east-high-value-women"


def _known(gender: str = "女", province: str = "江苏") -> tuple[PlantedStep, ...]:
    traits = {"gender": gender, "province": province, "birthday": "1990-05-01"}
    return PlantedStep(301, "identify", traits), PlantedStep(300, "registered")


def _order(days: float, amount: float, sku: str) -> PlantedStep:
    products = [{"sku": sku, "quantity": 1}]
    values = {"order_id": f"{days}", "amount": amount, "currency": "CNY", "products": products}
    return PlantedStep(days, "order_paid", values)


def _refund(days: float, of_days: float, amount: float) -> PlantedStep:
    values = {"order_id": f"{of_days}", "refund_id": "1", "amount": amount}
    return PlantedStep(days, "order_refunded", values)


def _truth(
    *stages: tuple[str, _Interval], tier: str = "普通会员", active: float = 0, **more: _Interval
) -> dict[str, _Interval]:
    """Return the memberships of a kind; `active`: how many days after the end it stays so."""
    found = {f"stage:lifecycle={stage}": interval for stage, interval in stages}
    found[f"stage:tier={tier}"] = ALWAYS
    if active:
        found["tag:active"] = (0, active)
    return found | {name.replace("_", "-"): interval for name, interval in more.items()}


def _kind(name: str, *steps: PlantedStep, truth: dict[str, Any]) -> CustomerKind:
    return CustomerKind(name, steps, truth)


_REPEAT, _FIRST = ("复购客户", ALWAYS), ("首购客户", ALWAYS)
_A, _C = _order(23.5, 1_800, "A"), _order(10.5, 1_400, "C")
_MONTH = (0.0, 6.5)

#: No kind has an event near the edge of a window at any of the checks.
KINDS = (
    _kind("visitor", PlantedStep(2.5, "page"), truth=_truth(("访客", ALWAYS), active=27.5)),
    _kind("leaving", PlantedStep(29.5, "page"), truth=_truth(("访客", ALWAYS), active=0.5)),
    _kind(
        "registered",
        *_known(),
        PlantedStep(20.5, "logged_in"),
        truth=_truth(("注册用户", ALWAYS), active=9.5),
    ),
    _kind(
        "first order",
        *_known(),
        _order(7.5, 300, "C"),
        truth=_truth(_FIRST, active=22.5, high_potential=(0, 22.5)),
    ),
    _kind(
        "silent soon",
        *_known(),
        _order(120, 300, "C"),
        _order(89.5, 300, "C"),
        truth=_truth(("复购客户", (0, 0.5)), ("沉默客户", (0.5, 90))),
    ),
    _kind(
        "churned soon",
        *_known(),
        _order(179.5, 300, "C"),
        truth=_truth(("沉默客户", (0, 0.5)), ("流失客户", (0.5, 1e9)), churned=(0.5, 1e9)),
    ),
    _kind(
        "loyal",
        *_known(),
        *(_order(5.5 + 10 * i, 800, "C") for i in range(5)),
        truth=_truth(("忠诚客户", ALWAYS), tier="银卡会员", active=24.5),
    ),
    _kind(
        "named example",
        *_known(),
        *(_A, _C, PlantedStep(3.5, "page")),
        truth=_truth(
            _REPEAT,
            tier="银卡会员",
            active=26.5,
            east_high_value_women=_MONTH,
            high_value_recent_a=_MONTH,
            east_a_visitors=(0, 3.5),
        ),
    ),
    _kind(
        "another region",
        *_known(province="四川"),
        *(_A, _C),
        truth=_truth(_REPEAT, tier="银卡会员", active=19.5, high_value_recent_a=_MONTH),
    ),
    _kind(
        "another product",
        *_known(),
        *(_order(23.5, 1_800, "B"), _C),
        truth=_truth(_REPEAT, tier="银卡会员", active=19.5),
    ),
    _kind(
        "lower order value",
        *_known(),
        *(_order(60, 1_500, "C"), _order(23.5, 900, "A"), _order(10.5, 900, "C")),
        truth=_truth(_REPEAT, tier="银卡会员", active=19.5, high_value_recent_a=_MONTH),
    ),
    _kind(
        "one order",
        *_known(),
        _order(23.5, 2_900, "A"),
        truth=_truth(_FIRST, tier="银卡会员", active=6.5, high_potential=(0, 6.5)),
    ),
    _kind(
        "man",
        *_known(gender="男"),
        *(_A, _C),
        truth=_truth(_REPEAT, tier="银卡会员", active=19.5, high_value_recent_a=_MONTH),
    ),
    _kind(
        "sleeping soon",
        *_known(),
        _order(55.5, 200, "A"),
        truth=_truth(_FIRST, sleeping_cross_sell=(4.5, 1e9)),
    ),
    _kind(
        "sleeping with B",
        *_known(),
        *(_order(70, 200, "B"), _order(55.5, 200, "A")),
        truth=_truth(_REPEAT),
    ),
    _kind(
        "browsed and bought",
        *_known(),
        *(
            PlantedStep(6, "viewed_product"),
            PlantedStep(5.7, "searched"),
            PlantedStep(5.4, "added_to_cart"),
        ),
        _order(5.1, 100, "C"),
        truth=_truth(_FIRST, active=24.9, high_potential=(0, 24.9), browse_to_buy=(0, 24.9)),
    ),
    _kind(
        "in another order",
        *_known(),
        *(
            PlantedStep(6, "viewed_product"),
            PlantedStep(5.7, "added_to_cart"),
            PlantedStep(5.4, "searched"),
        ),
        _order(5.1, 100, "C"),
        truth=_truth(_FIRST, active=24.9, high_potential=(0, 24.9)),
    ),
    _kind(
        "gold",
        *_known(),
        _order(20.5, 5_000, "C"),
        truth=_truth(_FIRST, tier="金卡会员", active=9.5, high_potential=(0, 9.5)),
    ),
    _kind(
        "gold until a refund",
        *_known(),
        *(_order(20.5, 5_200, "C"), _refund(10, 20.5, 300)),
        truth=_truth(_FIRST, tier="银卡会员", active=9.5, high_potential=(0, 9.5)),
    ),
)
