"""Lists for each example of the documentation people with a true result, and others."""

from __future__ import annotations

from typing import NamedTuple

from pack_rules import Call, before, order, refund

from services.kernel.trust import Party


class Cases(NamedTuple):
    """The calls of people who fulfil a rule at NOW, and of people who do not.

    NOW is noon of 15 June 2026 in Shanghai.
    """

    holds: list[list[Call]]
    fails: list[list[Call]]


def known(**traits: object) -> Call:
    return before(1, "identify", **traits)


def views(*courses: str, days: float = 1, paid: bool = True) -> list[Call]:
    return [before(days, "viewed_course_page", course_id=c, paid=paid) for c in courses]


def logins(*days: float) -> list[Call]:
    return [before(day, "logged_in") for day in days]


TRIAL = before(1, "attended_trial_lesson")
HIGH_INTENT = Cases(
    [[TRIAL, *views("a", "b", "c")]],
    [
        [TRIAL, *views("a", "b")],
        [TRIAL, *views("a", "a", "a")],
        [TRIAL, *views("a", "b"), *views("c", paid=False)],
        [TRIAL, *views("a", "b", "c", days=7)],
        views("a", "b", "c"),
        [TRIAL, *views("a", "b", "c"), before(0, "purchased_course")],
    ],
)
BEIJING, VIEW_61 = known(city="北京", vip=True), before(61, "viewed_course_page")
CART, CONSULT = before(1, "added_to_cart"), "consulted_support"


def bought(days: float, **values: object) -> Call:
    return before(days, "order_paid", **values)


def bought_sku(days: float) -> list[Call]:
    """Return a search and, so many days before NOW, the order of the same product."""
    return [before(2, "searched", sku="s"), bought(days, sku="s")]


def answer(days: float, granted: bool, purpose: str = "marketing") -> Call:
    return before(days, "consent_changed", purpose=purpose, granted=granted)


def stated(party: Party, **traits: object) -> Call:
    return known(**traits)._replace(party=party)


def touched(days: float, **touch: str) -> Call:
    return before(days, "page")._replace(touch=touch)


def scored(days: float, score: float, model: str = "churn") -> Call:
    return before(days, "")._replace(scores={model: score})


VISIT = before(5, "page")
QUIET = [bought(60)]
EAST = known(province="浙江")
RULES = {
    "in-jiangsu": Cases(
        [[known(province=p)] for p in ("江苏", " 江苏省 ", "Jiangsu")],
        [[known(province="浙江")], [known(province="?")], []],
    ),
    "in-the-east": Cases(
        [[EAST], [known(province="上海")]], [[known(province="广东")], [known(city="上海")]]
    ),
    "no-vip": Cases([[], [known(vip=False)]], [[known(vip=True)]]),
    "own-high-income": Cases(
        [[stated(Party.FIRST, income="high")], [stated(Party.SECOND, income="high")]],
        [
            [stated(Party.THIRD, income="high")],
            [stated(Party.FIRST, income="low"), stated(Party.SECOND, income="high")],
        ],
    ),
    "gold-by-the-crm": Cases(
        [[known(level="gold")._replace(source=each)] for each in ("crm", "erp")],
        [[known(level="gold")._replace(source="shop")], [known(level="gold")]],
    ),
    "came-by-an-ad": Cases(
        [[VISIT._replace(touch={"source": "baidu", "click_id": "7"}), touched(0, source="mail")]],
        [
            [touched(9, source="mail"), touched(1, source="baidu", click_id="7")],
            [touched(1, source="baidu")],
            [VISIT],
        ],
    ),
    "likely-to-leave": Cases(
        [[scored(1, 0.8)]], [[scored(1, 0.7)], [scored(2, 0.9), scored(1, 0)]]
    ),
    "at-acme": Cases(
        [[known(email="li@acme.example")], [known(email="LI@ACME.Example")]],
        [[known(email="li@acme.example.org")], [known(email="li@notacme.example")], []],
    ),
    "eager": Cases(
        [views("a", "b", "c")],
        [
            views("a", "b", "b"),
            views("a", "b", "c", paid=False),
            views("a", "b", "c", days=7),
            [*views("a", "b", "c"), bought(99)],
        ],
    ),
    "spent-this-month": Cases(
        [[bought(14.4, amount=500)], [bought(3, amount=300), bought(2, amount=200)]],
        [[bought(14.6, amount=500)], [bought(3, amount=499)], []],
    ),
    "small-orders": Cases(
        [[bought(9, amount=0), bought(2, amount=99)], [bought(1, amount=49)]],
        [
            [bought(1, amount=50)],
            [bought(i, amount=1) for i in range(1, 9)] + [bought(1, amount=101)],
            [],
        ],
    ),
    "came-by-douyin": Cases(
        [[before(9, "page", utm_source="douyin"), before(1, "page", utm_source="baidu")]],
        [
            [before(9, "page", utm_source="baidu"), before(1, "page", utm_source="douyin")],
            [before(9, "page", utm_source="douyin")],
            [],
        ],
    ),
    "consulted-before-buying": Cases(
        [[before(5, CONSULT), before(4.5, CONSULT), bought(3), before(1, "order_paid")]],
        [
            [before(7, CONSULT), before(4.5, CONSULT), bought(3)],
            [before(2, CONSULT), before(1, CONSULT), bought(3)],
            [before(2, CONSULT), before(1, CONSULT)],
        ],
    ),
    "likes-sneakers": Cases(
        [[before(i, "viewed_product", category=c) for i, c in enumerate(("sneakers", "hats"))]],
        [
            [before(i % 5, "viewed_product", category=c) for i, c in enumerate("aabb")]
            + [before(9, "viewed_product", category="sneakers")],
            [before(30, "viewed_product", category="sneakers")],
        ],
    ),
    "quiet": Cases(
        [QUIET], [[bought(59.9)], [bought(99), before(3, "page")], [before(99, "page")]]
    ),
    "new": Cases(
        [[before(2.9, "page")], [before(2, "page"), before(0, "page")]],
        [[before(3, "page")], [before(99, "page"), before(0, "page")], []],
    ),
    "abandoned-cart": Cases(
        [[CART], [bought(2), CART]],
        [
            [CART, bought(0.9)],
            [before(0.05, "added_to_cart")],
            [before(7, "added_to_cart")],
            [before(0.95, "page")],
        ],
    ),
    "searched-then-bought": Cases(
        [bought_sku(1.5), bought_sku(1)],
        [
            bought_sku(0.9),
            [*bought_sku(1.5), before(1.7, CONSULT)],
            [before(2, "searched", sku="s"), bought(1.5, sku="t")],
            [before(1, "searched", sku="s"), bought(1.5, sku="s")],
        ],
    ),
    "logins-fall": Cases([logins(1, 15, 16, 17), logins(20)], [logins(1, 15, 16), logins(1), []]),
    "birthday-soon": Cases(
        [[known(birthday="2000-06-18")], [known(birthday="1990-06-15")]],
        [[known(birthday="2000-06-19")], [known(birthday="2000-06-14")], []],
    ),
    "of-age": Cases(
        [[known(birthday="2008-06-15")]],
        [[known(birthday="2008-06-16")], [known(birthday="unknown")], []],
    ),
    "contract-ends": Cases(
        [[known(contract_end="2026-07-15")], [known(contract_end="2026-06-15")]],
        [[known(contract_end="2026-07-16")], [known(contract_end="2026-06-14")], []],
    ),
    "may-write": Cases(
        [[answer(9, True)], [answer(9, False), answer(1, True)]],
        [[answer(9, True), answer(1, False)], [answer(1, True, "profiling")], []],
    ),
    "never-answered": Cases(
        [[], [answer(1, True, "profiling")]], [[answer(1, True)], [answer(1, False)]]
    ),
    "quiet-in-the-east": Cases(
        [[*QUIET, EAST, answer(70, True)]],
        [[*QUIET, answer(70, True)], [*QUIET, EAST], [EAST, answer(70, True)]],
    ),
}


def buys(*days: float, amount: float = 10) -> list[Call]:
    return [bought(day, amount=amount) for day in days]


STAGES_AND_TAGS = {
    "tag:active": Cases([[before(29.9, "page")]], [[before(30, "page")], [before(1, "sent")], []]),
    "tag:age=18岁以下": Cases(
        [[known(birthday="2008-06-16")]], [[known(birthday="2008-06-15")], []]
    ),
    "tag:age=18-24岁": Cases(
        [[known(birthday="2008-06-15")], [known(birthday="2001-06-16")]],
        [[known(birthday="2001-06-15")], [known(birthday="2008-06-16")]],
    ),
    "tag:age=25岁以上": Cases(
        [[known(birthday="2001-06-15")]], [[known(birthday="2001-06-16")], []]
    ),
    "tag:layer=高消费": Cases([buys(9, amount=5_000)], [buys(9, amount=4_999), []]),
    "tag:layer=低消费": Cases([buys(9, amount=1)], [buys(9, amount=5_000), buys(365), []]),
    "tag:layer=未消费": Cases([[], buys(365)], [buys(1)]),
    "stage:lifecycle=访客": Cases([[], [before(1, "page")]], [[before(1, "registered")], buys(1)]),
    "stage:lifecycle=注册用户": Cases(
        [[before(900, "registered")]], [[before(1, "registered"), *buys(1)], []]
    ),
    "stage:lifecycle=首购客户": Cases([buys(89.9)], [buys(2, 1), buys(90), []]),
    "stage:lifecycle=复购客户": Cases(
        [buys(100, 89.9), [*buys(200, 100), before(95, "page"), before(45, "page")]],
        [buys(1), buys(100, 90)],
    ),
    "stage:lifecycle=沉默客户": Cases(
        [buys(90), buys(100, 90)],
        [buys(89.9), [*buys(90), before(50, "page")], [before(99, "registered")]],
    ),
    "silent-high-spenders": Cases(
        [buys(90, amount=5_000)], [buys(90, amount=10), buys(89, amount=5_000)]
    ),
}
ORDERS = {
    "bought-a-this-month": Cases(
        [[order(9, 1_001, "A")], [order(9, 500, "A"), order(8, 1_600, "B")]],
        [
            [order(9, 1_000, "A")],
            [order(9, 1_001, "B")],
            [order(30, 1_001, "A"), order(2, 2_000, "B")],
            [order(9, 1_001, "A", id_="o"), refund(8, 1, "o")],
        ],
    ),
    "valuable": Cases(
        [[order(9, 3_000)], [order(379, 3_000)]],
        [[order(380, 3_000)], [order(9, 3_000, id_="o"), refund(8, 1, "o")], []],
    ),
    "returns-much": Cases(
        [[order(9, 1_500, id_="o"), order(8, 900), refund(7, 1_000, "o")]],
        [
            [order(9, 2_000, id_="o"), refund(7, 1_000, "o")],
            [order(9, 1_500, id_="o"), order(8, 400), refund(7, 999, "o")],
            [order(9, 2_000, id_="o"), order(8, 1_000), refund(7, 1_000, "o")],
        ],
    ),
    "overdue": Cases(
        [[order(37.1, 1), order(47.1, 1), order(27.1, 1), order(17.1, 1)]],
        [[order(37, 1), order(27, 1), order(17, 1)], [order(99, 1)], []],
    ),
    "tag:purchases=首购": Cases([[order(1, 1)]], [[order(2, 1), order(1, 1)], []]),
    "tag:purchases=复购": Cases([[order(2, 1), order(1, 1)]], [[order(1, 1)], []]),
}
APPLY = {
    "tag:consulted_support": Cases([[before(900, CONSULT)]], [[before(1, "page")], []]),
    "high-intent-trial": HIGH_INTENT,
    "quiet-in-beijing": Cases(
        [[BEIJING, VIEW_61], [known(city="北京市", level=3), VIEW_61]],
        [
            [known(city="上海", vip=True), VIEW_61],
            [BEIJING, before(60, "viewed_course_page")],
            [known(city="北京", level=2), VIEW_61],
            [BEIJING],
        ],
    ),
}


def member(type_: str = "account", **traits: object) -> Call:
    """Return the relation to an object of a type with these traits."""
    return before(9, "group", type=type_, **traits)


ACCOUNTS = {
    "advanced": Cases(
        [[member("course", level=3)], [member("course", level=1), member("course", level=4)]],
        [[member("course", level=2)], [member(level=3)], []],
    ),
    "gold-companies": Cases(
        [[member(plan="gold")]],
        [[member(plan="free")], [member("course", plan="gold")], [known(plan="gold")], []],
    ),
}
#: By page, and by the id of a segment, `tag:ID=VALUE` or `stage:SET=STAGE`.
COMPLAINT = before(1, "ticket_opened", kind="complaint")
DISSATISFIED = Cases(
    [[COMPLAINT, COMPLAINT], [before(1, "ticket_rated", score=3)]],
    [
        [COMPLAINT],
        [COMPLAINT, before(31, "ticket_opened", kind="complaint")],
        [COMPLAINT, before(1, "ticket_opened", kind="question")],
        [before(1, "ticket_rated", score=4)],
        [before(31, "ticket_rated", score=1)],
    ],
)

CASES: dict[str, dict[str, Cases]] = {
    "README.md": {"high-intent-trial": HIGH_INTENT},
    "docs/how-to/accounts.md": ACCOUNTS,
    "docs/how-to/apply.md": APPLY,
    "docs/how-to/corrections-and-scores.md": {
        "tag:churn-risk=high": Cases([[scored(1, 0.9)]], [[scored(1, 0.6)], []]),
        "tag:churn-risk=medium": Cases([[scored(1, 0.6)]], [[scored(1, 0.8)], [scored(1, 0.4)]]),
        "tag:churn-risk=low": Cases([[scored(1, 0.4)], []], [[scored(1, 0.6)], [scored(1, 0.9)]]),
    },
    "docs/how-to/desk.md": {"dissatisfied": DISSATISFIED},
    "docs/how-to/extend.md": {
        "buyers": Cases([[bought(1)]], [[]]),
        "company-buyers": Cases(
            [[bought(1), scored(1, 1, "company-address")]],
            [[bought(1)], [bought(1), scored(1, 0, "company-address")]],
        ),
    },
    "docs/how-to/journeys.md": {
        "stage:funnel=won": Cases([[known(funnel="won")]], [[known(funnel="met")]]),
        "stage:funnel=met": Cases([[known(funnel="met")]], [[known(funnel="won")]]),
        "stage:funnel=lead": Cases([[known(funnel="lead")], [known()]], [[known(funnel="met")]]),
    },
    "docs/how-to/orders.md": ORDERS,
    "docs/how-to/rules.md": RULES,
    "docs/how-to/slots.md": {
        "vip": Cases(
            [[order(n, 9) for n in (1, 2, 3, 4, 364)]],
            [[order(n, 9) for n in (1, 2, 3, 4)], [order(n, 9) for n in (1, 2, 3, 4, 366)]],
        ),
        "tag:taste=sporty": Cases(
            [[before(n, "viewed_shoes") for n in (1, 2, 29)]],
            [[before(n, "viewed_shoes") for n in (1, 2, 31)], []],
        ),
    },
    "docs/how-to/stages-and-tags.md": STAGES_AND_TAGS,
}
