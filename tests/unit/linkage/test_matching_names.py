"""Names: however written, one name is one text, and another is another."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.linkage.names import NOBODY, name_of
from tests.people import hard_names

SURNAMES = st.sampled_from(hard_names.SURNAMES)
GIVEN = st.lists(st.sampled_from(hard_names.GIVEN), min_size=1, max_size=2)


@given(SURNAMES, GIVEN)
def test_simplified_and_traditional_characters_are_one_name(
    surname: hard_names.Sign, given: list[hard_names.Sign]
) -> None:
    signs = (surname, *given)
    simplified = name_of("".join(sign.simplified for sign in signs))
    traditional = name_of("".join(sign.traditional for sign in signs))
    assert simplified == traditional
    assert simplified.surname == surname.sound


@given(SURNAMES, GIVEN)
@example(
    hard_names.Sign("王", "王", "wang"),
    [hard_names.Sign("敏", "敏", "min"), hard_names.Sign("国", "國", "guo")],
)
def test_pinyin_sounds_like_the_characters_in_either_order(
    surname: hard_names.Sign, given: list[hard_names.Sign]
) -> None:
    han = name_of("".join(sign.simplified for sign in (surname, *given)))
    family, own = surname.sound.title(), "".join(sign.sound for sign in given).title()
    told = (f"{family} {own}", f"{family.upper()} {own}", f"{family}, {own}", f"{own} {family}")
    assert {name_of(form).sound for form in told} == {han.sound}


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
def test_forms_of_one_name(one: str, other: str) -> None:
    assert name_of(one).sound == name_of(other).sound != ""


@pytest.mark.parametrize(
    ("one", "other"), [("张伟", "张炜"), ("王芳", "王娜"), ("John Smith", "Jane Smith")]
)
def test_names_of_two(one: str, other: str) -> None:
    assert name_of(one) != name_of(other)


@pytest.mark.parametrize(
    ("character", "sound"), [("单", "shan"), ("曾", "zeng"), ("仇", "qiu"), ("任", "ren")]
)
def test_characters_that_sound_otherwise_as_surnames(character: str, sound: str) -> None:
    assert name_of(f"{character}伟").surname == sound


def test_homophones_have_one_sound_and_their_own_characters() -> None:
    one, other = name_of("张伟"), name_of("张炜")
    assert (one.sound, one.toned) == (other.sound, other.toned)
    assert one.han != other.han


def test_short_forms_keep_what_is_written() -> None:
    short = name_of("Bill Smith")
    assert (short.given, short.formal) == ("bill", "william")


def test_parts_and_a_whole_are_one_name() -> None:
    assert name_of(surname="Smith", given="John") == name_of("John Smith")
    assert name_of(surname="张", given="伟") == name_of("张伟")


@pytest.mark.parametrize("text", ["", "  ", "12345", "Mr."])
def test_what_is_no_name_is_nobody(text: str) -> None:
    assert name_of(text) == NOBODY


@pytest.mark.parametrize("text", ["张先生", "Smith"])
def test_a_surname_alone_has_no_sound_to_compare(text: str) -> None:
    name = name_of(text)
    assert name.surname
    assert not name.sound


@given(st.text(max_size=40))
def test_any_text_can_be_read(text: str) -> None:
    name_of(text)
    name_of(surname=text, given=text)
