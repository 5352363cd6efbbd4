"""Defines identifiers, validates raw ones, and recognises placeholders."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from services.kernel.identifiers.tidy import is_scientific
from services.kernel.ids import IdentifierId
from services.kernel.index_key import IndexKey

MAX_VALUE = 512
MAX_NAMESPACE = 64
_NAMESPACE_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_.")

#: Namespaces with one scope per app, as in `wechat_openid.<appid>`.
SCOPED = frozenset({"wechat_openid"})
#: The namespaces with this prefix identify accounts (organisations), all others persons, so no
#: identifier is ever of both kinds.
ACCOUNT_PREFIX = "account_"
#: The namespace of group ids.
ACCOUNT_ID = "account_id"

#: Values, in lower case, that programs and forms send instead of an identifier. They are the same
#: for every workspace. A workspace blocks further values in its identity policy, which a leaf never
#: depends on.
PLACEHOLDERS: frozenset[str] = frozenset(
    {
        *("", "null", "(null)", "none", "nil", "undefined", "nan", "n/a", "na", "anonymous"),
        *("guest", "unknown", "test", "test@test.com", "user", "true", "false", "-", "default"),
        *("00000000-0000-0000-0000-000000000000", "your_user_id", "distinct_id"),
        *("not_specified", "not set", "(not set)", "empty", "blank", "string", "无", "空", "未知"),
        # What spreadsheets and dumps write where there is no value.
        *("\\n", "#n/a", "#n/a n/a", "#na", "#null!", "#ref!", "#value!", "#div/0!", "#name?"),
        *("#num!", "#spill!", "#calc!", "#field!", "#getting_data", "#blocked!", "#connect!"),
        *("#unknown!", "#busy!", "#error!", "<na>", "nat", "-nan", "1.#qnan", "-1.#ind", "1.#ind"),
        *("inf", "-inf", "infinity", "n.a.", "n/d", "missing", "not available", "not applicable"),
        *("not provided", "no data", "tbd", "空值", "空白", "无数据", "暂无", "暂无数据", "没有"),
        *("未填写", "未填", "未提供", "未登录", "未登陆", "未注册", "未绑定", "未知用户", "未设置"),
        *("匿名", "匿名用户", "游客", "访客", "测试", "测试用户", "不适用", "待定", "缺失", "不详"),
        *("無", "無資料", "無數據", "暫無", "暫無資料", "沒有", "未填寫"),
        *("未登錄", "未登入", "未註冊", "未綁定", "未知用戶", "未設定", "匿名用戶", "訪客", "測試"),
        *("測試用戶", "不適用", "不詳", "散客", "佚名", "保密", "no value", "no phone", "no email"),
        *("none given", "not given", "not known", "anonymous user", "guest user", "dummy", "n\\a"),
        *("\\\\n", "#ref", "#value", "#null", "#div/0", "#name", "#num", "#error", "&nbsp;"),
    }
)
#: Signs around such a word, as in (空), "null" and N/A.
_AROUND = "\"'()[]<>“”‘’「」【】.,;:!?。、"
_PLAIN_PLACEHOLDERS = frozenset(word.strip(_AROUND) for word in PLACEHOLDERS)
#: Signs of a value that consists of nothing else, such as 0000, -- and ???.
_EMPTY_SIGNS = "0-. _/\\?#—–・·"
# A variable that was not filled in: {{user_id}}, ${uid}, %uid%, <id>, [object Object], __IDFA__.
_TEMPLATE_BRACKETS = {"{": "}", "$": "}", "%": "%", "<": ">", "[": "]"}


class Identifier(NamedTuple):
    """An identifier of a person or an account; both parts are in canonical form."""

    namespace: str
    value: str

    def id_in(self, workspace_id: str, index_key: IndexKey) -> IdentifierId:
        """Return the id of this identifier in a workspace (16 bytes)."""
        return index_key.identifier_id(workspace_id, self.namespace, self.value)


def validation_error(namespace: str, value: object) -> str | None:
    """Return the error of a raw identifier as readable text; None if it is valid."""
    if not _is_namespace(namespace):
        return f"a namespace has 1 to {MAX_NAMESPACE} characters of a-z, 0-9, '_' and '.'"
    if not isinstance(value, str):
        return f"the value of {namespace} must be a string"
    if len(value) > MAX_VALUE:
        return f"the value of {namespace} has more than {MAX_VALUE} characters"
    return None


def base_namespace(namespace: str) -> str:
    """Return the namespace without its scope: `wechat_openid` for `wechat_openid.wx5f1a`."""
    first, dot, _ = namespace.partition(".")
    return first if dot and first in SCOPED else namespace


def is_account_namespace(namespace: str) -> bool:
    """Return whether the values of a namespace identify accounts and not persons."""
    return namespace.startswith(ACCOUNT_PREFIX)


def is_placeholder(value: str) -> bool:
    """Return whether a value in canonical form identifies no one, in any namespace."""
    lowered = value.lower()
    if lowered in PLACEHOLDERS or not lowered.strip(_EMPTY_SIGNS):
        return True
    if (lowered[0] in _AROUND or lowered[-1] in _AROUND) and (
        lowered.strip(_AROUND) in _PLAIN_PLACEHOLDERS
    ):
        return True
    # A masked value such as 138****0000 matches ten thousand numbers, and so does 1.38E+10.
    if "**" in lowered or "\ufffd" in lowered or ("e" in lowered[1:] and is_scientific(lowered)):
        return True
    return value[0] in "{$%<[_" and _is_template(value)


def _is_template(value: str) -> bool:
    if value.startswith("__"):
        return len(value) > 4 and value.endswith("__")
    return len(value) > 1 and value.endswith(_TEMPLATE_BRACKETS.get(value[0], "\0"))


@lru_cache(maxsize=1024)
def _is_namespace(text: str) -> bool:
    return 0 < len(text) <= MAX_NAMESPACE and set(text) <= _NAMESPACE_LETTERS
