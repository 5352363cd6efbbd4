"""What a caller sees of personal data: classes of names and values, and the masks."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kernel.masking import (
    CLEAR,
    DEFAULT_CLASSES,
    FieldClass,
    FieldClasses,
    Lens,
    mask_text,
)

NONE, PERSONAL, SENSITIVE = FieldClass.NONE, FieldClass.PERSONAL, FieldClass.SENSITIVE
#: A number with a correct check digit.
ID_CARD = "11010519491231002X"
MASKED, BACK_END = Lens(NONE), Lens(PERSONAL)


def _document(lens: Lens, value: Any) -> Any:
    return json.loads(lens.document(json.dumps(value).encode()))


@pytest.mark.parametrize(
    ("name", "value", "class_"),
    [
        ("phone", "13800138000", PERSONAL),
        ("phone", 13800138000, PERSONAL),
        ("work_phone", 1, PERSONAL),
        ("customerEmail", "x", PERSONAL),
        ("姓名", "张三", PERSONAL),
        ("favourite_teacher", "Zhang", PERSONAL),
        ("contact_number", 13800138000, PERSONAL),
        ("score", 12, NONE),
        ("score", True, NONE),
        ("city", "Shanghai", NONE),
        ("city", "13800138000", PERSONAL),
        ("city", "a@example.com", PERSONAL),
        ("address.city", "Shanghai", PERSONAL),
        ("idCard", "anything", SENSITIVE),
        ("id_card_number", 1, SENSITIVE),
        ("note", ID_CARD, SENSITIVE),
        ("city", ID_CARD, SENSITIVE),
        ("bank-card", "6222", SENSITIVE),
        ("phone", None, NONE),
        ("name", "", NONE),
    ],
)
def test_value_without_a_class_of_the_workspace_has_the_class_of_its_name_and_form(
    name: str, value: Any, class_: FieldClass
) -> None:
    assert DEFAULT_CLASSES.of_value(name, value) is class_


def test_class_of_the_workspace_takes_precedence_over_the_lists() -> None:
    classes = FieldClasses.of({"member_no": NONE}, {"Favourite Teacher": NONE, "plan": SENSITIVE})
    assert classes.of_value("favourite_teacher", "Zhang") is NONE
    assert classes.of_value("plan", 3) is SENSITIVE
    assert classes.of_identifier("member_no") is NONE
    assert classes.of_identifier("member_no_sha256") is NONE
    assert classes.of_identifier("user_id") is PERSONAL


@pytest.mark.parametrize(
    ("namespace", "class_"),
    [
        ("phone", PERSONAL),
        ("phone_sha256", PERSONAL),
        ("wechat_openid.wx1", PERSONAL),
        ("whatever", PERSONAL),
        ("id_card", SENSITIVE),
        ("anonymous_id", NONE),
        ("account_domain", NONE),
    ],
)
def test_namespace_is_personal_unless_it_is_listed(namespace: str, class_: FieldClass) -> None:
    assert DEFAULT_CLASSES.of_identifier(namespace) is class_


@pytest.mark.parametrize(
    ("value", "masked"),
    [
        ("+8613812345678", "+86138****5678"),
        ("138 1234 5678", "138****5678"),
        ("zhang.san@example.com", "z***@example.com"),
        ("张三", "张***"),
        ("1990-01-01", "***"),
        ("34", "***"),
        ("6222 0212 3456 7890 123", "***"),
        ("x", "***"),
    ],
)
def test_masked_text_is_recognised_and_not_learnt(value: str, masked: str) -> None:
    assert mask_text(value) == masked


def test_document_is_masked_at_every_depth() -> None:
    document = {
        "plan": "pro",
        "seats": 3,
        "parent": {"nick": "Li", "seats": 2},
        "address": {"city": "Shanghai"},
        "phones": [{"value": "13812345678"}, 7],
        "13812345678": True,
        "card": ID_CARD,
    }
    assert _document(MASKED, document) == {
        "plan": "pro",
        "seats": 3,
        "parent": {"nick": "L***", "seats": 2},
        "address": "***",
        "phones": [{"value": "138****5678"}, 7],
        "138****5678": True,
        "card": "***",
    }
    assert _document(BACK_END, document) == document | {"card": "***"}
    assert _document(CLEAR, document) == document


def test_document_without_hidden_values_has_the_same_values() -> None:
    encoded = b'{"plan" : 1.50}'
    assert BACK_END.document(encoded) is encoded
    assert json.loads(MASKED.document(encoded)) == {"plan": 1.5}


def test_key_of_a_document_that_is_a_value_is_masked_whatever_it_has() -> None:
    document = {"13812345678": None, "a@example.com": None, ID_CARD: None, "x": None}
    hidden = {"138****5678": None, "a***@example.com": None, "***": None, "x": None}
    assert _document(MASKED, document) == hidden
    shown = {"13812345678": None, "a@example.com": None, "***": None, "x": None}
    assert _document(BACK_END, document) == shown


@pytest.mark.parametrize("lens", [MASKED, BACK_END])
def test_first_value_of_a_key_that_is_there_twice_is_not_shown(lens: Lens) -> None:
    for encoded in (
        b'{"id_card": "A123", "id_card": null}',
        b'[{"id_card": "A123", "id_card": ""}]',
    ):
        assert b"A123" not in lens.document(encoded)


@pytest.mark.parametrize(
    "value",
    [
        110105194912310038,
        "110105 19491231 002x",
        "110105-19491231-002X",
        "".join(chr(ord(each) + 0xFEE0) for each in ID_CARD),
    ],
    ids=["number", "spaces", "hyphens", "full width"],
)
def test_identity_card_is_sensitive_in_every_form(value: Any) -> None:
    assert _document(BACK_END, {"note": value}) == {"note": "***"}
    assert _document(BACK_END, {"plan": [value]}) == {"plan": ["***"]}


@pytest.mark.parametrize(
    ("name", "class_"),
    [
        ("\uff50\uff41\uff53\uff53\uff50\uff4f\uff52\uff54", SENSITIVE),
        ("\uff50\uff48\uff4f\uff4e\uff45", PERSONAL),
        ("\uff43\uff49\uff54\uff59", NONE),
        ("\u0441ity", PERSONAL),  # its first letter is Cyrillic
    ],
)
def test_width_of_a_name_does_not_matter_and_its_script_does(name: str, class_: FieldClass) -> None:
    assert DEFAULT_CLASSES.of_value(name, "x") is class_
    is_shown = class_ is not SENSITIVE
    assert _document(BACK_END, {name: "x"}) == {name: "x" if is_shown else "***"}


@pytest.mark.parametrize(
    "value",
    [
        "call 13812345678 now",
        "mail li@example.cn",
        " li@example.cn",
        "\uff11\uff13\uff18\uff11\uff12\uff13\uff14\uff15\uff16\uff17\uff18",
        "li\uff20example.cn",
        '{"name": "Li"}',
    ],
)
def test_text_of_an_open_name_with_an_address_in_it_is_hidden(value: str) -> None:
    assert DEFAULT_CLASSES.of_value("channel", value) is PERSONAL
    assert DEFAULT_CLASSES.of_value("channel", "mini program 2") is NONE


def test_choice_of_a_few_words_is_hidden_as_a_whole() -> None:
    document = {"gender": "male", "Sex": "f", "性别": "女性"}
    assert _document(MASKED, document) == dict.fromkeys(document, "***")


def test_raw_bytes_and_texts_show_a_back_end_nothing_sensitive() -> None:
    event = {"userId": "u1", "traits": {"id_card": "A123", "name": "Li"}}
    shown = json.loads(BACK_END.raw(json.dumps(event).encode()))
    assert shown == {"userId": "u1", "traits": {"id_card": "***", "name": "Li"}}
    assert BACK_END.raw(b"\x01 name Li") == b"\x01 name Li"
    assert BACK_END.raw(b"\x01 id_card A123") == b'"***"'
    assert BACK_END.document(json.dumps({"note": f"card {ID_CARD}, new"}).encode()) == (
        b'{"note":"***"}'
    )
    assert BACK_END.text(f"card {ID_CARD}") == "***"
    assert BACK_END.text("card 110105194912310021") == "card 110105194912310021"
    assert CLEAR.raw(json.dumps(event).encode()) == json.dumps(event).encode()
    assert MASKED.raw(b"x") == b"***"


def test_literal_that_is_no_scalar_is_hidden_and_no_error() -> None:
    assert MASKED.hides("seats", [{"a": 1}, [2]])
    assert not BACK_END.hides("seats", [{"a": 1}, [2]])


def test_bytes_that_are_no_json_are_hidden() -> None:
    assert MASKED.document(b"138\xff") == b'"***"'


def test_text_of_a_rule_loses_what_it_compares() -> None:
    text = 'trait phone = "138\\"1" and trait x = 13800138000 and count of order ≥ 3'
    assert MASKED.rule_text(text) == (
        'trait phone = "***" and trait x = "***" and count of order ≥ 3'
    )
    assert BACK_END.rule_text(text) == text
    assert BACK_END.rule_text(f'trait id_card = "{ID_CARD}"') == 'trait id_card = "***"'


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(0, 99),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
        ),
        max_leaves=8,
    ),
    st.text(min_size=2, max_size=12),
    st.data(),
)
def test_planted_text_leaves_no_document_whatever_its_shape(
    document: Any, name: str, data: st.DataObject
) -> None:
    """A text of a person is planted at a random place, under a name that nothing is known of."""
    planted = "planted" + data.draw(st.text("0123456789abcdef", min_size=8, max_size=8))

    def plant(value: Any) -> Any:
        if isinstance(value, dict) and value and data.draw(st.booleans()):
            key = data.draw(st.sampled_from(sorted(value)))
            return value | {key: plant(value[key])}
        if isinstance(value, list) and value and data.draw(st.booleans()):
            return [plant(value[0]), *value[1:]]
        return {f"{name}q": planted} if data.draw(st.booleans()) else [planted]

    masked = MASKED.document(json.dumps({"a": plant(document)}).encode())
    assert planted not in json.dumps(json.loads(masked))


@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                [
                    "ID-Card",
                    "id\u200bnumber",
                    "ban\u212a card",
                    "Health",
                    "身份证号",
                    "plan",
                    "note",
                    "x",
                ]
            ),
            st.sampled_from(["a", ID_CARD, "\u00e9", 3, {"pass\u200bport": 1}, {"passport": 1}]),
        ),
        max_size=4,
    ),
    st.booleans(),
)
def test_document_for_a_back_end_is_what_a_lens_that_reads_every_document_gives(
    pairs: list[tuple[str, Any]], ascii_only: bool
) -> None:
    """A class of a name that no document has makes the lens read every one of them."""
    encoded = json.dumps(dict(pairs), ensure_ascii=ascii_only).encode()
    every = Lens(PERSONAL, FieldClasses.of({}, {"no such name": SENSITIVE}))
    assert json.loads(BACK_END.document(encoded)) == json.loads(every.document(encoded))
