"""Tests templates: what a definition is checked for, and what is rendered."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.activation.domain import liquid_text
from services.activation.domain.liquid_text import BadTemplate, MissingValue
from services.activation.domain.message_channels import AliyunSms, Smtp, TwilioSms
from services.activation.domain.templates import (
    AT_ONCE,
    Template,
    Texts,
    check_fits,
    check_template,
    render_texts,
    sms_count,
)
from services.kernel.errors import InvalidField
from services.kernel.ids import WorkspaceId
from services.kernel.journeys.template_names import pinned_version

ZONE = "Asia/Shanghai"
PERSON = {
    "name": "李雷",
    "phone": "+8613800138000",
    "mail": "lilei@x.example",
    "born": "2020-01-02",
    "at": "2026-11-27T20:00:00Z",
    "tags": ["a", "b"],
}
MAIL = Template(
    WorkspaceId("school"),
    "welcome",
    1,
    "",
    (
        Texts("zh", "欢迎 {{ person.name }}", "您好", "<p>{{ person.name }}</p>"),
        Texts("zh-TW", "歡迎", "您好"),
        Texts("en", "Welcome", "Hello"),
    ),
)


def rendered(source: str, zone: str = ZONE, *, html: bool = False) -> str:
    return liquid_text.render(source, {"person": PERSON}, zone, html=html)


def test_id_of_a_template_that_reads_as_one_with_a_version_is_refused() -> None:
    texts = (Texts("en", "Hello", "x"),)
    check_template(Template(WorkspaceId("school"), "cart@home", 1, "", texts))
    with pytest.raises(InvalidField, match="names a version"):
        check_template(Template(WorkspaceId("school"), "cart@3", 1, "", texts))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cart", ("cart", 0)),
        ("cart@3", ("cart", 3)),
        ("a@b@12", ("a@b", 12)),
        ("cart@", ("cart@", 0)),
        ("cart@0", ("cart@0", 0)),
        ("cart@-1", ("cart@-1", 0)),
        ("cart@x", ("cart@x", 0)),
        ("cart@\u0663", ("cart@\u0663", 0)),
        ("@3", ("@3", 0)),
        ("cart@9999999999", ("cart@9999999999", 0)),
    ],
)
def test_name_of_a_template_has_a_version_only_as_a_number(
    name: str, expected: tuple[str, int]
) -> None:
    assert pinned_version(name) == expected


@pytest.mark.parametrize(
    ("source", "missing"),
    [
        ("{{ person.nick }}", "person.nick"),
        ("{{ person['nick'].first }}", "person.nick"),
        ("{{ person.nick | upcase }}", "person.nick"),
        ("{{ other }}", "other"),
        ("{{ person.nick | mask }}", "person.nick"),
        ("{{ person.nick | date }}", "person.nick"),
        ("{% for x in person.list %}{% endfor %}", "person.list"),
        # The name is a value of the person, which no reason may have.
        ("{{ person[person.name] }}", "a variable"),
    ],
)
def test_missing_value_stops_the_message_and_is_named(source: str, missing: str) -> None:
    with pytest.raises(MissingValue) as raised:
        rendered(source)
    assert str(raised.value) == missing


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{ person.nick | default: '您' }}", "您"),
        ("{% if person.nick %}a{% else %}b{% endif %}", "b"),
        ("{{ person.at | date: '%m月%d日 %H:%M' }}", "11月28日 04:00"),
        ("{{ person.at | date: '%H:%M', zone: 'Asia/Kathmandu' }}", "01:45"),
        ("{{ person.born | date: '%Y年%-m月%-d日' }}", "2020年1月2日"),
        ("{{ 1790000000 | date: '%Y-%m-%d %H' }}", "2026-09-21 22"),
        ("{{ person.born | date: '100%%' }}", "100%"),
        ("{{ 1234.5 | money }}", "¥1,234.50"),
        ("{{ '-0.005' | money: 'USD' }}", "-$0.00"),
        ("{{ 1234.5 | money: 'JPY' }}", "¥1,234"),
        ("{{ 5 | money: 'CHF' }}", "CHF 5.00"),
        ("{{ person.phone | mask }}", "+86****8000"),
        ("{{ person.mail | mask }}", "l***@x.example"),
        ("{{ person.name | mask }}", "李*"),
        ("{% for t in person.tags %}{{ t }},{% endfor %}", "a,b,"),
    ],
)
def test_text_is_rendered_with_own_filters(source: str, text: str) -> None:
    assert rendered(source) == text


@pytest.mark.parametrize(
    "source",
    [
        "{{ 'now' | date }}",
        "{{ person.name | date }}",
        "{{ person.born | date: '%s' }}",
        "{{ person.name | money }}",
        "{{ person.at | date: '%Y', zone: 'Mars/Base' }}",
        "{% for i in (1..1001) %}{% endfor %}",
        "{% for i in (1..999) %}{% for j in (1..999) %}x{% endfor %}{% endfor %}",
        "{% assign x = 'ab' %}{% for i in (1..900) %}{% assign x = x | append: x %}{% endfor %}",
        "{{ person.name | divided_by: 0 }}",
    ],
)
def test_text_that_cannot_be_rendered_fails_without_a_value_of_the_person(source: str) -> None:
    with pytest.raises(BadTemplate) as raised:
        rendered(source)
    assert PERSON["name"] not in str(raised.value)


@pytest.mark.parametrize(
    "source",
    [
        "{{ x",
        "{{ x | nope }}",
        "{{ x | safe }}",
        "{% include 'a' %}",
        "{% render 'a' %}",
        "{% if %}",
        "{% if a %}" * 200 + "{% endif %}" * 200,
    ],
)
def test_source_that_is_no_template_is_refused(source: str) -> None:
    with pytest.raises(BadTemplate):
        liquid_text.check(source)


@pytest.mark.parametrize("value", ["<script>", "%3Cscript%3E", "PHNjcmlwdD4="])
@pytest.mark.parametrize("filter_", sorted(liquid_text.FILTERS))
def test_no_filter_lets_a_value_of_a_person_into_html_as_it_is(filter_: str, value: str) -> None:
    for arguments in ("", ": x", ": x, x", ": 'a'"):
        try:
            html = liquid_text.render(
                f"{{{{ x | {filter_}{arguments} }}}}", {"x": value}, ZONE, html=True
            )
        except (BadTemplate, MissingValue):
            continue
        assert "<script" not in html


@given(st.text().filter(lambda text: "\r" not in text), st.text(min_size=1))
def test_rendering_is_a_function_of_the_template_and_its_values(name: str, other: str) -> None:
    template = replace(MAIL, texts=(Texts("zh", "{{ person.name }}", "{{ person.name }}"),))
    texts = template.texts[0]
    once = render_texts(template, texts, {"person": {"name": name}})
    assert once == render_texts(template, texts, {"person": {"name": name}, "unused": other})
    assert once.text == name
    assert "\n" not in once.subject
    assert "\r" not in once.subject


def test_needed_value_that_is_empty_stops_the_message() -> None:
    template = replace(MAIL, needs=("person.name", "person.level"))
    for level in (None, "", [], {}):
        with pytest.raises(MissingValue, match="level"):
            render_texts(template, MAIL.texts[1], {"person": PERSON | {"level": level}})
    render_texts(template, MAIL.texts[1], {"person": PERSON | {"level": 0}})


def test_values_are_escaped_in_html_alone() -> None:
    message = render_texts(MAIL, MAIL.texts[0], {"person": {"name": "<b>"}})
    assert message.subject == "欢迎 <b>"
    assert message.html == "<p>&lt;b&gt;</p>"


@pytest.mark.parametrize(
    ("locale", "found"),
    [
        ("zh-TW", "zh-TW"),
        ("zh_tw", "zh-TW"),
        ("zh-HK", "zh"),
        ("en-GB-oed", "en"),
        ("fr", "zh"),
        ("", "zh"),
    ],
)
def test_texts_are_those_of_the_locale_its_language_or_the_first(locale: str, found: str) -> None:
    assert MAIL.texts_for(locale).locale == found


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"template_id": ""}, "template_id"),
        ({"template_id": "a\nb"}, "template_id"),
        ({"title": "x" * 201}, "title"),
        ({"texts": ()}, "texts"),
        ({"texts": (Texts("zh", text="a"), Texts("ZH", text="a"))}, "texts"),
        ({"texts": (Texts("chinese!", text="a"),)}, "texts[0].locale"),
        ({"texts": (Texts("zh"),)}, "texts[0]"),
        ({"texts": (Texts("zh", text="{{ a"),)}, "texts[0].text"),
        ({"texts": (Texts("zh", text="a", html="{{ a | b }}"),)}, "texts[0].html"),
        ({"texts": (Texts("zh", text="x" * 300_000),)}, "texts[0].text"),
        (
            {"texts": (Texts("zh", text="a", parameters=(("n", "1"),)),)},
            "texts[0].provider_template",
        ),
        (
            {"texts": (Texts("zh", provider_template="S", parameters=(("n", "1"), ("n", "2"))),)},
            "texts[0].parameters",
        ),
        (
            {"texts": (Texts("zh", provider_template="S", parameters=(("n", "{{"),)),)},
            "texts[0].parameters[0].value",
        ),
        ({"needs": ("person name",)}, "needs"),
        ({"zone": "China"}, "zone"),
    ],
)
def test_wrong_template_is_rejected_with_its_place(change: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidField) as raised:
        check_template(replace(MAIL, **change))
    assert raised.value.field == f"template.{field}"


def test_template_fits_a_channel_that_needs_no_other_parts_and_variables() -> None:
    check_template(MAIL)
    check_fits(MAIL, Smtp.contract, AT_ONCE)
    check_fits(MAIL, TwilioSms.contract, AT_ONCE)
    with pytest.raises(InvalidField, match="has no provider_template in zh"):
        check_fits(MAIL, AliyunSms.contract, AT_ONCE)
    of_journeys = replace(MAIL, texts=(Texts("zh", text="{{ coupon.trial.code }}"),))
    with pytest.raises(InvalidField, match="uses `coupon`"):
        check_fits(of_journeys, TwilioSms.contract, AT_ONCE)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("a" * 160, 1),
        ("a" * 161, 2),
        ("a" * 306, 2),
        ("a" * 307, 3),
        ("€" * 80, 1),
        ("€" * 81, 2),
        ("李" * 70, 1),
        ("李" * 71, 2),
        ("李" * 134, 2),
        ("李" * 135, 3),
        ("🎉" * 35, 1),
        ("🎉" * 36, 2),
    ],
)
def test_sms_are_counted_as_carriers_count_them(text: str, count: int) -> None:
    assert sms_count(text) == count


@pytest.mark.parametrize(
    "source",
    [
        "{" * 16_000,
        "{% raw %}" * 27_000,
        "{{ a" + ".b" * 125_000 + " }}",
        "{{ (1..60000000) | sum }}",
        "{% for i in (1..person.n) %}{% break %}{% endfor %}",
    ],
    ids=["braces", "tags", "path", "range", "loop"],
)
def test_template_that_costs_seconds_to_parse_or_to_render_is_refused(source: str) -> None:
    with pytest.raises(liquid_text.BadTemplate):
        liquid_text.check(source)


def test_text_that_a_filter_makes_too_large_is_refused_before_it_is_made() -> None:
    source = "{{ text | replace: 'a', text | replace: 'a', text | replace: 'a', text }}"
    with pytest.raises(liquid_text.BadTemplate, match="too large"):
        liquid_text.render(source, {"text": "a" * 2_000}, "UTC")
