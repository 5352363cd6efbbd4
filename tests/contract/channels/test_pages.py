"""Tests that every channel has a page that says what to configure and what it promises."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from services.activation.domain.channels import CHANNELS
from services.activation.domain.contracts import Deduplication
from services.cli.destination_forms import read_destination, read_template
from services.kernel.yaml_documents import parse_yaml

PAGES = Path(__file__).parents[3] / "docs/how-to/channels"
TEMPLATED = {name: kind for name, kind in CHANNELS.items() if kind.contract.parts}
#: What the page says of a lost answer.
SENTENCES = {
    Deduplication.NONE: "sends a repeat as a second message and cannot be queried",
    Deduplication.QUERYABLE: "sends a repeat as a second message, but can be queried",
    Deduplication.KEYED_FOR_A_WHILE: "drops a repeat with the same",
}


@pytest.mark.parametrize("name", TEMPLATED)
def test_page_of_a_channel_has_every_setting_and_its_treatment_of_lost_answers(name: str) -> None:
    page = (PAGES / f"{name}.md").read_text("utf-8")
    for field in dataclasses.fields(TEMPLATED[name]):
        assert f"`{field.name}`" in page, field.name
    assert SENTENCES[TEMPLATED[name].contract.deduplication] in page
    overview = (PAGES / "README.md").read_text("utf-8")
    assert f"[`{name}`]({name}.md)" in overview


@pytest.mark.parametrize("name", TEMPLATED)
def test_example_of_a_page_is_a_destination_of_its_channel(name: str) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", (PAGES / f"{name}.md").read_text("utf-8"), re.S)
    document = parse_yaml(example.encode())
    (destination,) = (read_destination(each, "d") for each in document["destinations"])
    (template,) = (read_template(each, "t") for each in document["templates"])
    assert destination.WhichOneof("channel") == name
    assert destination.template_id == template.template_id
