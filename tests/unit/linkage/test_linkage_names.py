"""Spellings of a name parse to one sound, and different names stay different."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.linkage.names import PersonName, parse_name
from tests.people import hard_names

SURNAMES = st.sampled_from(hard_names.SURNAMES)
GIVEN = st.lists(st.sampled_from(hard_names.GIVEN), min_size=1, max_size=2)


@given(SURNAMES, GIVEN)
def test_simplified_and_traditional_characters_are_equal(
    surname: hard_names.Sign, given: list[hard_names.Sign]
) -> None:
    signs = (surname, *given)
    simplified = parse_name("".join(sign.simplified for sign in signs))
    traditional = parse_name("".join(sign.traditional for sign in signs))
    assert simplified == traditional
    assert simplified.surname == surname.sound


@given(SURNAMES, GIVEN)
@example(
    hard_names.Sign("王", "王", "wang"),
    [hard_names.Sign("敏", "敏", "min"), hard_names.Sign("国", "國", "guo")],
)
def test_pinyin_in_either_order_has_the_sound_of_the_characters(
    surname: hard_names.Sign, given: list[hard_names.Sign]
) -> None:
    han = parse_name("".join(sign.simplified for sign in (surname, *given)))
    family, own = surname.sound.title(), "".join(sign.sound for sign in given).title()
    forms = (f"{family} {own}", f"{family.upper()} {own}", f"{family}, {own}", f"{own} {family}")
    assert {parse_name(form).sound for form in forms} == {han.sound}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Zi Xuan Zhang", "张子轩"),
        ("zhangwei", "張偉"),
        ("Ouyang Na", "欧阳娜"),
        ("LYU Jing", "吕静"),
        ("张伟先生", "张伟"),
        ("José García", "GARCIA, JOSE"),
        ("Mr. John Smith", "john smith"),
        ("O’Brien, Anna", "Anna O'Brien"),
    ],
)
def test_spellings_of_a_name_have_one_sound(one: str, other: str) -> None:
    assert parse_name(one).sound == parse_name(other).sound != ""


@pytest.mark.parametrize(
    ("one", "other"), [("张伟", "张炜"), ("王芳", "王娜"), ("John Smith", "Jane Smith")]
)
def test_different_names_are_unequal(one: str, other: str) -> None:
    assert parse_name(one) != parse_name(other)


@pytest.mark.parametrize(
    ("character", "sound"), [("单", "shan"), ("曾", "zeng"), ("仇", "qiu"), ("任", "ren")]
)
def test_surname_character_has_its_surname_sound(character: str, sound: str) -> None:
    assert parse_name(f"{character}伟").surname == sound


def test_homophones_share_the_sound_and_differ_in_characters() -> None:
    one, other = parse_name("张伟"), parse_name("张炜")
    assert (one.sound, one.toned) == (other.sound, other.toned)
    assert one.han != other.han


def test_short_form_has_its_full_name_beside_it() -> None:
    short = parse_name("Bill Smith")
    assert (short.given, short.formal) == ("bill", "william")


def test_name_from_parts_equals_the_whole_name() -> None:
    assert parse_name(surname="Smith", given="John") == parse_name("John Smith")
    assert parse_name(surname="张", given="伟") == parse_name("张伟")


@pytest.mark.parametrize("text", ["", "  ", "12345", "Mr."])
def test_text_without_a_name_parses_to_an_empty_name(text: str) -> None:
    assert parse_name(text) == PersonName()


@pytest.mark.parametrize("text", ["张先生", "Smith"])
def test_a_surname_alone_has_no_sound_to_compare(text: str) -> None:
    name = parse_name(text)
    assert name.surname
    assert not name.sound


@given(st.text(max_size=40))
def test_any_text_parses_without_an_error(text: str) -> None:
    for name in (parse_name(text), parse_name(surname=text, given=text)):
        assert isinstance(name, PersonName)
