"""Lists the English and Chinese words of the text form of rules; its writer and parser share them.

English puts a function before its events and a window after them, Chinese the other way round.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from enum import Enum
from typing import Final

from services.kernel.calendar import PeriodUnit
from services.kernel.rules.features import DateMeasure, Function, OrderMeasure, TrendMeasure
from services.kernel.rules.model import ReferenceKind
from services.kernel.rules.values import Operator
from services.kernel.rules.windows import Anchor
from services.kernel.time import DAY_US, HOUR_US, MINUTE_US, SECOND_US
from services.kernel.trust import Party


class Language(Enum):
    """A language of the text form; its value is the code of ISO 639-1."""

    ENGLISH = "en"
    CHINESE = "zh"


class Word(Enum):
    """A word or phrase of the text form that is no member of another enum."""

    AND = "and"
    OR = "or"
    NOT = "not"
    ALWAYS = "always"
    NEVER = "never"
    ALL_OF = "all of"
    ANY_OF = "any of"
    ANY_EVENT = "any event"
    OR_EVENT = "or, between the names of events"
    WHERE = "where"
    ZONE = "zone"
    FROM = "from"
    STATED_BY = "stated by"
    STANDARDISED = "standardised as"
    IGNORING_CASE = "ignoring case"
    TRUE = "true"
    FALSE = "false"
    SINCE_LAST = "time since last"
    SINCE_FIRST = "time since first"
    SEQUENCE = "sequence"
    THEN = "then"
    WITHIN = "within"
    WITHOUT = "without"
    SAME = "with same"
    RELATED = "related"
    OF = "of"
    DURING = "during"
    BEFORE = "before"
    AFTER = "after"
    DEFINED = "defined by"
    PAYMENTS = "payments"
    REFUNDS = "refunds"
    ORDER_ID = "order id"
    AMOUNT = "amount"
    REFUND_ID = "refund id"
    CURRENCY = "currency"
    CURRENCY_PROPERTY = "in property"
    TREND_END = "to the period before"
    #: Ends the Chinese form of a sequence.
    TIMES = "times"
    #: Ends the Chinese form of related objects.
    NUMBER = "number"
    #: Begins the Chinese form of a relative window.
    AT = "at"


Vocabulary = Mapping[Hashable, str]

ENGLISH: Final[Vocabulary] = {
    **{
        word: word.value
        for word in Word
        if word not in (Word.OR_EVENT, Word.TIMES, Word.NUMBER, Word.AT)
    },
    Word.OR_EVENT: "or",
    Word.SEQUENCE: "count of sequence",
    Word.RELATED: "number of related",
    ReferenceKind.SEGMENT: "in segment",
    ReferenceKind.TAG: "has tag",
    ReferenceKind.STAGE: "in stage of",
    Operator.EQ: "=",
    Operator.NE: "≠",
    Operator.LT: "<",
    Operator.LE: "≤",
    Operator.GT: ">",
    Operator.GE: "≥",
    Operator.IN: "in",
    Operator.NOT_IN: "not in",
    Operator.CONTAINS: "contains",
    Operator.NOT_CONTAINS: "not contains",
    Operator.STARTS_WITH: "starts with",
    Operator.ENDS_WITH: "ends with",
    Operator.EXISTS: "exists",
    Operator.MISSING: "is missing",
    Party.FIRST: "first party",
    Party.SECOND: "second party",
    Party.THIRD: "third party",
    Function.COUNT: "count of",
    Function.SUM: "sum of",
    Function.MEAN: "average of",
    Function.MIN: "minimum of",
    Function.MAX: "maximum of",
    Function.FIRST: "first",
    Function.LAST: "last",
    Function.DISTINCT: "number of different",
    TrendMeasure.RATIO: "ratio of",
    TrendMeasure.DIFFERENCE: "difference of",
    DateMeasure.DAYS_UNTIL: "days until",
    DateMeasure.DAYS_UNTIL_ANNIVERSARY: "days until anniversary of",
    DateMeasure.YEARS_SINCE: "years since",
    OrderMeasure.COUNT: "number of orders",
    OrderMeasure.NET_SPEND: "net spend of orders",
    OrderMeasure.MEAN_VALUE: "mean value of orders",
    OrderMeasure.MAX_VALUE: "maximum value of orders",
    OrderMeasure.REFUNDED: "refunds of orders",
    OrderMeasure.DAYS_SINCE_LAST: "days since last order",
    OrderMeasure.MEAN_INTERVAL: "mean days between orders",
    OrderMeasure.DAYS_UNTIL_NEXT: "days until next order",
    OrderMeasure.LAST_AT: "epoch day of last order",
    Anchor.FIRST: "first",
    Anchor.LAST: "last",
}
CHINESE: Final[Vocabulary] = {
    Word.AND: "并且",
    Word.OR: "或者",
    Word.NOT: "不满足",
    Word.ALWAYS: "总是",
    Word.NEVER: "从不",
    Word.ALL_OF: "全部满足",
    Word.ANY_OF: "任一满足",
    Word.ANY_EVENT: "任意事件",
    Word.OR_EVENT: "或",
    Word.WHERE: "其中",
    Word.ZONE: "时区",
    Word.FROM: "来自",
    Word.STATED_BY: "来源于",
    Word.STANDARDISED: "标准化为",
    Word.IGNORING_CASE: "忽略大小写",
    Word.TRUE: "是",
    Word.FALSE: "否",
    Word.SINCE_LAST: "距末次",
    Word.SINCE_FIRST: "距首次",
    Word.SEQUENCE: "依次发生",
    Word.THEN: "然后",
    Word.WITHOUT: "期间没有",
    Word.SAME: "相同",
    Word.RELATED: "关联",
    Word.OF: "的",
    Word.BEFORE: "之前",
    Word.AFTER: "之后",
    Word.DEFINED: "定义为",
    Word.PAYMENTS: "付款",
    Word.REFUNDS: "退款",
    Word.ORDER_ID: "订单号",
    Word.AMOUNT: "金额",
    Word.REFUND_ID: "退款号",
    Word.CURRENCY: "币种",
    Word.CURRENCY_PROPERTY: "取自",
    Word.TIMES: "次数",
    Word.NUMBER: "数量",
    Word.AT: "在",
    ReferenceKind.SEGMENT: "属于人群",
    ReferenceKind.TAG: "有标签",
    ReferenceKind.STAGE: "处于阶段",
    **{
        operator: ENGLISH[operator]
        for operator in (
            *(Operator.EQ, Operator.NE, Operator.LT, Operator.LE, Operator.GT, Operator.GE),
        )
    },
    Operator.IN: "属于",
    Operator.NOT_IN: "不属于",
    Operator.CONTAINS: "包含",
    Operator.NOT_CONTAINS: "不包含",
    Operator.STARTS_WITH: "开头为",
    Operator.ENDS_WITH: "结尾为",
    Operator.EXISTS: "存在",
    Operator.MISSING: "缺失",
    Party.FIRST: "第一方",
    Party.SECOND: "第二方",
    Party.THIRD: "第三方",
    Function.COUNT: "次数",
    Function.SUM: "总和",
    Function.MEAN: "平均值",
    Function.MIN: "最小值",
    Function.MAX: "最大值",
    Function.FIRST: "首次值",
    Function.LAST: "末次值",
    Function.DISTINCT: "去重数",
    TrendMeasure.RATIO: "环比倍数",
    TrendMeasure.DIFFERENCE: "环比差值",
    DateMeasure.DAYS_UNTIL: "剩余天数",
    DateMeasure.DAYS_UNTIL_ANNIVERSARY: "周年剩余天数",
    DateMeasure.YEARS_SINCE: "至今年数",
    OrderMeasure.COUNT: "订单数",
    OrderMeasure.NET_SPEND: "订单净消费",
    OrderMeasure.MEAN_VALUE: "客单价",
    OrderMeasure.MAX_VALUE: "最大订单额",
    OrderMeasure.REFUNDED: "订单退款额",
    OrderMeasure.DAYS_SINCE_LAST: "距末次订单天数",
    OrderMeasure.MEAN_INTERVAL: "订单平均间隔天数",
    OrderMeasure.DAYS_UNTIL_NEXT: "距下次订单天数",
    OrderMeasure.LAST_AT: "末次订单纪元日",
    Anchor.FIRST: "首次",
    Anchor.LAST: "末次",
}
VOCABULARIES: Final = {Language.ENGLISH: ENGLISH, Language.CHINESE: CHINESE}
#: Other spellings that the parser accepts.
SPELLINGS: Final[Mapping[Hashable, tuple[str, ...]]] = {
    Word.AND: ("且",),
    Word.OR: ("或",),
    Word.NOT: ("没有", "非"),
    Operator.EQ: ("==",),
    Operator.NE: ("!=",),
    Operator.LE: ("<=",),
    Operator.GE: (">=",),
}

#: The units of spans: microseconds, then the English and the Chinese word.
UNITS: Final = (
    ("us", 1, "microsecond", "微秒"),
    ("s", SECOND_US, "second", "秒"),
    ("m", MINUTE_US, "minute", "分钟"),
    ("h", HOUR_US, "hour", "小时"),
    ("d", DAY_US, "day", "天"),
    ("w", 7 * DAY_US, "week", "周"),
)
#: The Chinese words of a period: the current one, the last one, and those that are counted.
PERIODS: Final = {
    PeriodUnit.DAY: ("今天", "昨天", "自然日"),
    PeriodUnit.WEEK: ("本周", "上周", "自然周"),
    PeriodUnit.MONTH: ("本月", "上月", "自然月"),
    PeriodUnit.QUARTER: ("本季度", "上季度", "自然季度"),
    PeriodUnit.YEAR: ("今年", "去年", "自然年"),
}

_NAME: Final = r"[^\W\d][\w.$/-]*|\$[\w.$/-]+"
#: A name that needs no quotes, unless it is reserved.
NAME: Final = re.compile(_NAME)
#: Words that are read only where no name can be.
_NEVER_AMBIGUOUS: Final = (
    *(Word.PAYMENTS, Word.REFUNDS, Word.ORDER_ID, Word.AMOUNT, Word.REFUND_ID),
    *(Word.CURRENCY, Word.CURRENCY_PROPERTY),
)
_PHRASES: Final = (
    *(words[key] for words in (ENGLISH, CHINESE) for key in words if key not in _NEVER_AMBIGUOUS),
    *(spelling for spellings in SPELLINGS.values() for spelling in spellings),
    *(word for words in PERIODS.values() for word in words[:2]),
    "top",
)
#: The words that a name in quotes only may be; a phrase of several is no name anyway.
RESERVED: Final = frozenset(phrase for phrase in _PHRASES if " " not in phrase)
_NUMBERED: Final = re.compile(r"(最近|前)?[0-9]++\w*+")


def is_reserved(name: str) -> bool:
    """Return whether a name could be read as words of the language."""
    return name in RESERVED or _NUMBERED.fullmatch(name) is not None
