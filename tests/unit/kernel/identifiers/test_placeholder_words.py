"""Tests that words which files leave in the place of an identifier identify no one."""

from __future__ import annotations

import pytest

from services.kernel.identifiers.normalize import normalize

WORDS = [
    *("#N/A", "#n/a", "#REF!", "#VALUE!", "#DIV/0!", "#NAME?", "#NULL!", "#NUM!", "\\N", "NULL"),
    *("NaN", "<NA>", "NaT", "(null)", "N/A", "n.a.", "??", "???", "/", "\\", "--", "——", "#"),
    *(
        "空值",
        "无数据",
        "暂无",
        "不详",
        "未填写",
        "匿名用户",
        "游客",
        "张\ufffd",
        "Infinity",
        "\uff0d",
    ),
    *("(空)", "（无）", "(blank)", '"null"', "'NULL'", "null,", "N/A.", "N\\A", "#REF", "\\\\N"),
    *(
        "無",
        "暫無",
        "未填寫",
        "訪客",
        "散客",
        "no phone",
        "(None)",
        "[unknown]",
        "<none>",
        "Guest!",
        "()",
    ),
]


@pytest.mark.parametrize("namespace", ["member_id", "user_id", "wechat_unionid", "phone", "email"])
@pytest.mark.parametrize("word", WORDS)
def test_word_for_nothing_identifies_no_one_in_any_namespace(namespace: str, word: str) -> None:
    assert normalize(namespace, word, "CN") is None


@pytest.mark.parametrize(
    "value",
    ["0001", "N/A-7", "a#n/a", "北京", "123E45", "null-7", "nato", "(a)", "n", "R.", "[7]x", "O'N"],
)
def test_value_that_contains_such_a_word_is_a_value(value: str) -> None:
    assert normalize("member_id", value, "CN") is not None
