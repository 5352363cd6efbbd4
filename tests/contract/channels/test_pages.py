"""Tests that every channel has a page that says what to configure and what it promises."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from services.activation.codec.definitions import destination_from_request
from services.activation.codec.templates import template_from_proto
from services.activation.domain.channels import CHANNELS
from services.activation.domain.contracts import Deduplication
from services.activation.domain.subjects import AllowedSubjects
from services.activation.domain.templates import AT_ONCE, check_fits, check_template
from services.activation.domain.validation import check_destination
from services.cli.destination_forms import read_destination, read_template
from services.kernel.yaml_documents import parse_yaml

PAGES = Path(__file__).parents[3] / "docs/how-to/channels"
#: What the page says of a lost answer.
SENTENCES = {
    Deduplication.NONE: "sends a repeat as a second message and cannot be queried",
    Deduplication.QUERYABLE: "sends a repeat as a second message, but can be queried",
    Deduplication.KEYED_FOR_A_WHILE: "drops a repeat with the same",
    Deduplication.KEYED: "so a message whose answer is lost is sent again",
}


@pytest.mark.parametrize("name", CHANNELS)
def test_page_of_a_channel_has_every_setting_and_its_treatment_of_lost_answers(name: str) -> None:
    page = (PAGES / f"{name}.md").read_text("utf-8")
    for field in dataclasses.fields(CHANNELS[name]):
        assert f"`{field.name}`" in page, field.name
    assert SENTENCES[CHANNELS[name].contract.deduplication] in page
    overview = (PAGES / "README.md").read_text("utf-8")
    assert f"[`{name}`]({name}.md)" in overview


@pytest.mark.parametrize("name", CHANNELS)
def test_example_of_a_page_is_a_destination_of_its_channel(name: str) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", (PAGES / f"{name}.md").read_text("utf-8"), re.S)
    document = parse_yaml(example.encode())
    (destination,) = (read_destination(each, "d") for each in document["destinations"])
    checked = destination_from_request("w", destination)
    templates = [read_template(each, "t") for each in document.get("templates", [])]
    assert destination.WhichOneof("channel") == name
    assert [t.template_id for t in templates] == [destination.template_id][: len(templates)]
    assert bool(templates) == bool(checked.channel.contract.parts)
    if "private_key" not in example:  # a variable stands in its place
        check_destination(checked, AllowedSubjects())
    for template in templates:
        defined = template_from_proto("w", template)
        check_template(defined)
        check_fits(defined, checked.channel.contract, AT_ONCE)
