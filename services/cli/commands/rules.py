"""`./onefold rules`: the JSON Schema of rules, and checks of rules without a running system."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec
from onefold.profile.v1.profile_facts_pb2 import ProfileSettingsDefined, TagDefined
from typer import Option, Typer

from services.chassis.codec.named_rules import segment_rules, tag_rules
from services.chassis.codec.rules import rule_to_proto
from services.cli import output
from services.cli.definitions import Pack, PackErrors, is_pack, read_pack
from services.cli.pack_order import of_stages
from services.cli.rule_forms import RuleDefaults, defaults_of
from services.cli.values import mistakes_of
from services.kernel.errors import InvalidField, OnefoldError, RuleError
from services.kernel.rules.forms.json_schema import rule_schema
from services.kernel.rules.forms.text_words import Language
from services.kernel.rules.model import Any_, ReferenceKind, Rule
from services.kernel.rules.references import (
    Name,
    NamedRules,
    check_definition,
    names_of,
    references,
)
from services.kernel.yaml_documents import MAX_BYTES, parse_yaml

app = Typer(no_args_is_help=True, help="Show the schema of rules, and check rules offline.")


@app.command("schema")
def schema() -> None:
    """Print the JSON Schema of a rule, which editors use to complete and to check it."""
    document = msgspec.json.format(msgspec.json.encode(rule_schema()), indent=2)
    output.out.print_document(document.decode())


@app.command("check")
def check(
    file: Annotated[
        Path, Option("-f", "--file", help="A rule in YAML or JSON, or a pack: a folder or a file.")
    ],
    settings: Annotated[
        Path | None,
        Option(help="A pack whose settings count for the rule: zone, orders and cleaners."),
    ] = None,
) -> None:
    """Check rules without a running system, and print each as a text in English and Chinese.

    Where a rule refers to something that its pack does not define, only a running system can check
    that it exists.
    """
    with output.exit_on_error():
        try:
            checked = list(_checked(file, settings))
        except PackErrors as errors:
            for problem in errors.problems:
                output.err.print(problem, soft_wrap=True)
            raise OnefoldError("a rule is wrong: correct the pack") from None
    for title, *lines in checked:
        if title:
            output.out.print(title, style="bold", soft_wrap=True)
        for line in lines:
            output.out.print(line, soft_wrap=True)


class CheckedRule(NamedTuple):
    """A rule without a mistake, as texts."""

    #: What the rule decides, such as `stage lifecycle = 沉默客户`; empty = it stands alone.
    title: str
    english: str
    chinese: str


def _checked(file: Path, settings: Path | None) -> Iterator[CheckedRule]:
    own = None if settings is None else read_pack(settings, _Variables(os.environ)).settings
    own = own or ProfileSettingsDefined()
    form = None if file.is_dir() else load_form(file)
    if form is None or is_pack(form):
        yield from check_pack(read_pack(file, _Variables(os.environ), settings=own), own)
        return
    defaults = defaults_of(own)
    try:
        rule = defaults.rule(form, "")
    except InvalidField as error:
        raise PackErrors([f"{file.name}: {one.message}" for one in mistakes_of(error)]) from None
    yield _texts("", rule, defaults)


def check_pack(pack: Pack, settings: ProfileSettingsDefined) -> list[CheckedRule]:
    """Return the rules of a pack; `settings` count where it has none.

    Raises PackErrors with all mistakes in references: cycles, and values that a tag does not have.
    """
    problems = wrong_references(pack)
    if problems:
        raise PackErrors(problems)
    defaults = defaults_of(pack.settings or settings)
    by_model = {tag.tag_id for tag in pack.tags if tag.HasField("rfm")}
    return [
        _texts(f"{rules.name.kind.value} {rules.name.id}" + (f" = {value}" if value else ""), rule,
               defaults)
        for _, rules in _named(pack)
        for value, rule in rules.classification.values
        if rules.name.kind is not ReferenceKind.TAG or rules.name.id not in by_model
    ]  # fmt: skip


def _with_values(tag: TagDefined) -> TagDefined:
    """Return a tag with the values of its model, which no one has before a workspace fits it."""
    named = TagDefined()
    named.CopyFrom(tag)
    if not tag.values:
        never = rule_to_proto(Any_(()))
        for own in tag.rfm.values:
            named.values.add(value=own.value, rule=never)
    return named


def wrong_references(pack: Pack) -> list[str]:
    """Return an error for each definition with a wrong reference to another one of the pack."""
    named = _named(pack)
    definitions = names_of(rules for _, rules in named)
    elsewhere = {
        Name(reference.kind, reference.id)
        for _, rules in named
        for _, rule in rules.classification.values
        for reference in references(rule)
    } - definitions.keys()
    problems = []
    for place, rules in named:
        if not rules.retired:
            try:
                check_definition(rules.name, rules.classification, definitions, elsewhere)
            except RuleError as error:
                is_set = rules.name.kind is ReferenceKind.STAGE
                problems.append(f"{place}{of_stages(error.message) if is_set else error.message}")
    return problems


def _named(pack: Pack) -> list[tuple[str, NamedRules]]:
    """Return the tags, stages and segments of a pack, each with its place."""
    return [
        *((pack.place("tag", tag.tag_id), tag_rules(_with_values(tag))) for tag in pack.tags),
        *((pack.place("segment", s.segment_id), segment_rules(s)) for s in pack.segments),
    ]


def _texts(title: str, rule: Rule, defaults: RuleDefaults) -> CheckedRule:
    return CheckedRule(title, defaults.text(rule), defaults.text(rule, Language.CHINESE))


def load_form(file: Path) -> Any:
    """Return the document in a YAML or JSON file. Raises OnefoldError."""
    try:
        with file.open("rb") as opened:
            return parse_yaml(opened.read(MAX_BYTES + 1))
    except OSError as error:
        raise OnefoldError(f"{file} cannot be read: {error.strerror}") from None
    except InvalidField as error:
        raise OnefoldError(f"{file.name}: {error.message}") from None


class _Variables(dict[str, str]):
    """Variables; each without a value stands for itself."""

    def __contains__(self, name: object) -> bool:
        return True

    def __missing__(self, name: str) -> str:
        return f"${{{name}}}"
