"""Phone numbers keep the forms of an earlier, slower expression, which is the oracle here."""

from __future__ import annotations

import re
from random import Random

import phonenumbers
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from services.kernel.identifiers.model import MAX_VALUE
from services.kernel.identifiers.normalize import normalize
from services.kernel.identifiers.phones import _parse
from services.kernel.identifiers.tidy import without_decimals

#: Three adjacent repeats over the same characters: cubic in the length of a text, so it gets short
#: texts only.
ORACLE = re.compile(
    r"(?:tel:)?(?P<number>[ ()./-]*\+?[\d ()./-]+?)"
    r"(?:[ ,;]*(?:extension|ext|x|#|转|分机)[ .:=]*(?P<extension>[0-9]{1,7}))?",
    re.IGNORECASE,
)
REGIONS = ("CN", "US", "IT", "GB", "AR", "HK", "DE")
#: The least valid numbers that the generated texts must contain.
LEAST_VALID = 6_000


def expected_form(value: str, region: str) -> str | None:
    """Return the form by the oracle and by the library, which reads the number with its signs.

    A value has no outer spaces: `normalize` removes them first.
    """
    written = ORACLE.fullmatch(value)
    # Decimals are tested by themselves; the library would read them as digits of the number.
    text = without_decimals(written["number"]) if written else None
    if written is None or text is None:
        return None
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number):
        return None
    form = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    return f"{form};ext={written['extension']}" if written["extension"] else form


def written_number(random: Random) -> tuple[str, str]:
    """Return a real number as a person may write it, and the region to read it in."""
    region = random.choice(REGIONS)
    kind = random.choice((phonenumbers.PhoneNumberType.MOBILE, None))
    example = (
        phonenumbers.example_number(region)
        if kind is None
        else phonenumbers.example_number_for_type(region, kind)
    )
    assert example is not None, region
    style = random.choice(
        (
            phonenumbers.PhoneNumberFormat.E164,
            phonenumbers.PhoneNumberFormat.INTERNATIONAL,
            phonenumbers.PhoneNumberFormat.NATIONAL,
            phonenumbers.PhoneNumberFormat.RFC3966,
        )
    )
    text = phonenumbers.format_number(example, style)
    digits = [i for i, letter in enumerate(text) if letter.isdigit()]
    if random.random() < 0.5:
        at = random.choice(digits[-4:])
        text = f"{text[:at]}{random.randrange(10)}{text[at + 1 :]}"
    for _ in range(random.choice((0, 0, 1, 3))):
        at = random.choice(digits)
        text = text[:at] + random.choice(" ()./-") * random.choice((1, 2, 9)) + text[at:]
    lead = random.choice(("", "", "tel:", "(", "- ", "TEL:(", "+", "00"))
    tail = random.choice(
        ("", "", "", " ext. 12", "x7", " ,;#123", "转 8001", " 分机:9", "  ext =1")
    )
    return lead + text + tail, region


def test_generated_numbers_keep_their_forms() -> None:
    random = Random(20_260)
    valid = 0
    for _ in range(3 * LEAST_VALID):
        text, region = written_number(random)
        expected = expected_form(text, region)
        valid += expected is not None
        assert _parse(text, region) == expected, (text, region)
    assert valid >= LEAST_VALID


@examples(1_500)
@given(
    text=st.text("0123456789+-() .;,extEXTtel:#转٣", max_size=24) | st.text(max_size=24),
    region=st.sampled_from(REGIONS),
)
def test_short_texts_keep_their_forms(text: str, region: str) -> None:
    value = text.strip()
    assert _parse(value, region) == expected_form(value, region)


@examples(300)
@given(
    signs=st.lists(st.text(" ()./-", max_size=20), min_size=12, max_size=12),
    number=st.sampled_from(["+8613800138001", "02134140000", "+442071838750", "5550100"]),
    region=st.sampled_from(REGIONS),
)
def test_numbers_between_many_signs_keep_their_forms(
    signs: list[str], number: str, region: str
) -> None:
    text = "".join(a + b for a, b in zip(number, [*signs, "", ""], strict=False)).strip()
    assert _parse(text, region) == expected_form(text, region)


def test_a_number_with_more_signs_than_the_library_reads_is_no_number() -> None:
    spread = "1" + " " * 240 + "3800138001"
    assert _parse(spread, "CN") is None
    assert expected_form(spread, "CN") is None


def test_a_value_that_compatibility_makes_too_long_has_no_form() -> None:
    expanding = "ﷺ" * MAX_VALUE
    for namespace in ("user_id", "phone", "email"):
        assert normalize(namespace, expanding, "CN") is None
