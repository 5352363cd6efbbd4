"""Tests the samples of exports of ERP systems: orders, stock and receipts become events, once."""

from __future__ import annotations

import json
from typing import Any

import pytest
from onefold.type.v1.event_pb2 import EVENT_TYPE_GROUP, EVENT_TYPE_TRACK

from services.cli.commands.imports import import_file
from services.devstack.folders import ROOT

SAMPLES = ROOT / "docs" / "how-to" / "erp"


@pytest.mark.parametrize(
    ("name", "rows", "rejected", "fact", "expected"),
    [
        (
            "kingdee-orders",
            3,
            0,
            "kingdee-order-XSDD000871-FG-1001",
            {
                "order_id": "XSDD000871-FG-1001",
                "document": "XSDD000871",
                "sku": "FG-1001",
                "name": "羊毛围巾",
                "quantity": 2,
                "price": 129,
                "amount": 258,
                "currency": "人民币",
            },
        ),
        (
            "kingdee-stock",
            3,
            0,
            "kingdee-stock-FG-2003-CK001-2026-11-04 23:00:00",
            {"name": "登山靴", "category": "鞋靴", "stock": 0},
        ),
        (
            "yonyou-orders",
            2,
            1,
            "yonyou-order-0000000412-03-0007",
            {
                "order_id": "0000000412-03-0007",
                "document": "0000000412",
                "sku": "03-0007",
                "quantity": 1_200,
                "amount": 18_960,
                "currency": "人民币",
            },
        ),
        (
            "yonyou-receipts",
            2,
            0,
            "yonyou-receipt-SK-2026-11-0031",
            {"document": "SK-2026-11-0031", "method": "银行转账", "amount": 18_960, "note": "货款"},
        ),
    ],
)
async def test_sample_of_an_erp_is_imported_once(
    endpoints: Any, name: str, rows: int, rejected: int, fact: str, expected: dict[str, Any]
) -> None:
    """ACT-03."""
    file, mapping = SAMPLES / f"{name}.csv", SAMPLES / f"{name}.yaml"
    address = f"127.0.0.1:{endpoints.service.grpc_port}"
    first = await import_file(file, mapping, address, endpoints.key)
    assert (first.accepted, first.duplicates, first.rejected) == (rows, 0, rejected)
    again = await import_file(file, mapping, address, endpoints.key)
    assert (again.accepted, again.duplicates, again.rejected) == (0, rows, rejected)
    ((_, event), *_) = await endpoints.facts(fact)
    is_stock = name.endswith("stock")
    assert event.type == (EVENT_TYPE_GROUP if is_stock else EVENT_TYPE_TRACK)
    assert json.loads(event.traits if is_stock else event.properties) == expected
    if is_stock:
        assert event.group_id == "product:FG-2003"
    else:
        named = {i.namespace: i.value for i in event.identifiers}
        assert named["erp_customer_id"].startswith(f"{name.partition('-')[0]}:")
