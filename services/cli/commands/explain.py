"""`./onefold explain`: why a person is in a segment, has a tag or is in a stage, and why not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Any

import typer
from google.protobuf.json_format import MessageToJson
from onefold.profile.v1 import profile_service_pb2 as pb
from typer import Argument, Option

from services.cli import output
from services.cli.commands.identity import explain_match
from services.cli.context import DataDir, run_with_client
from services.cli.output import Tree, format_actual, format_json, format_time
from services.client.text import format_token, parse_token, profile_selector
from services.kernel.errors import InvalidField
from services.kernel.rules.forms.text_words import Language
from services.kernel.time import parse_rfc3339

app = typer.Typer(no_args_is_help=True, help="Why things are as they are.")
app.command("match")(explain_match)

Who = Annotated[str, Argument(metavar="WHO", help="NAMESPACE:VALUE, or a profile id.")]
AsOfOption = Annotated[
    str, Option("--as-of", metavar="TOKEN", help="As it was known in an earlier state of the log.")
]
AtOption = Annotated[
    str, Option("--at", metavar="TIME", help="By what had happened by then: 2026-11-21T08:30:00Z.")
]
LanguageOption = Annotated[Language, Option("--language", help="The language of the rule.")]
JsonOption = Annotated[bool, Option("--json", help="Print JSON.")]

#: The most facts that a line names.
_NAMED_FACTS = 5
_MARKS = {True: "✓", False: "✗"}
_HEADINGS = {
    pb.RULE_PART_ALL: {Language.ENGLISH: "all of", Language.CHINESE: "全部满足"},
    pb.RULE_PART_ANY: {Language.ENGLISH: "any of", Language.CHINESE: "任一满足"},
    pb.RULE_PART_NOT: {Language.ENGLISH: "not", Language.CHINESE: "不满足"},
}


@app.command("segment")
def explain_segment(
    data: DataDir,
    who: Who,
    segment: Annotated[str, Argument(metavar="SEGMENT", help="The id of the segment.")],
    as_of: AsOfOption = "",
    at: AtOption = "",
    language: LanguageOption = Language.ENGLISH,
    as_json: JsonOption = False,
) -> None:
    """Explain why a person is in a segment, or is not, and what would change it."""
    _explain(data, who, segment, (as_of, at), language, as_json=as_json)


@app.command("tag")
def explain_tag(
    data: DataDir,
    who: Who,
    tag: Annotated[str, Argument(metavar="TAG", help="The id of the tag, or ID=VALUE.")],
    as_of: AsOfOption = "",
    at: AtOption = "",
    language: LanguageOption = Language.ENGLISH,
    as_json: JsonOption = False,
) -> None:
    """Explain why a person has a tag, or has not, and what would change it."""
    _explain(data, who, f"tag:{tag}", (as_of, at), language, as_json=as_json)


@app.command("stage")
def explain_stage(
    data: DataDir,
    who: Who,
    stage: Annotated[str, Argument(metavar="SET=STAGE", help="The set of stages, and the stage.")],
    as_of: AsOfOption = "",
    at: AtOption = "",
    language: LanguageOption = Language.ENGLISH,
    as_json: JsonOption = False,
) -> None:
    """Explain why a person is in a stage, or is not, and what would change it."""
    _explain(data, who, f"stage:{stage}", (as_of, at), language, as_json=as_json)


def _explain(
    data: DataDir,
    who: str,
    membership: str,
    past: tuple[str, str],
    language: Language,
    *,
    as_json: bool,
) -> None:
    with output.exit_on_error():
        request = _request(who, membership, *past)
    response = run_with_client(data, lambda client: client.profile.ExplainMembership(request))
    if as_json:
        document = MessageToJson(response, preserving_proto_field_name=True, ensure_ascii=False)
        output.print_json(document)
    else:
        show_membership(who, membership, response, language)


def _request(who: str, membership: str, as_of: str, at: str) -> pb.ExplainMembershipRequest:
    if as_of and at:
        raise InvalidField("give --as-of or --at, not both", field="--at")
    past: dict[str, Any] = {}
    if as_of:
        past["as_of_token"] = parse_token(as_of)
    elif at:
        try:
            past["as_of_us"] = parse_rfc3339(at)
        except ValueError:
            raise InvalidField(
                "write an instant such as 2026-11-21T08:30:00Z", field="--at"
            ) from None
    by = profile_selector(who)
    return pb.ExplainMembershipRequest(segment_id=membership, **by, **past)


def show_membership(
    who: str, membership: str, response: pb.ExplainMembershipResponse, language: Language
) -> None:
    """Print an explanation: the answer, the rule as a tree, and what would change the answer."""
    explanation = response.explanation
    is_member = "is" if response.is_member else "is not"
    time = format_time(explanation.as_of_us)
    version = response.definition_version
    conclusion = f"{who} {is_member} in {membership} (version {version}) at {time} UTC"
    output.out.print(conclusion, soft_wrap=True)
    output.out.print(_tree(explanation.root, language))
    for line in _reasons(explanation, language):
        output.out.print(line, soft_wrap=True)
    token = format_token(explanation.token)
    output.out.print(f"profile {explanation.profile_id}, token {token}", soft_wrap=True)


def _tree(part: pb.ExplainedPart, language: Language) -> Tree:
    tree = Tree(*_lines(part, language))
    _add_children(tree, part, language)
    return tree


def _add_children(tree: Tree, part: pb.ExplainedPart, language: Language) -> None:
    for child in part.children:
        _add_children(tree.add(*_lines(child, language)), child, language)


def _lines(part: pb.ExplainedPart, language: Language) -> Iterator[str]:
    """Yield the lines of one part: its mark with the text, then its value and its facts."""
    text = _HEADINGS.get(part.part, {}).get(language) or _text(part, language)
    if part.part == pb.RULE_PART_REFERENCE:
        version = part.definition_version
        text += f" (version {version})" if version else " (not defined)"
    yield f"{_MARKS[part.holds]} {text}"
    if part.part != pb.RULE_PART_PREDICATE:
        return
    yield f"value: {format_actual(part.actual, part.is_span)}{_window(part)}"
    if part.fact_count:
        yield f"from {_facts(part.fact_ids, part.fact_count)}"
    if part.next_due_us:
        yield f"time alone changes it at {format_time(part.next_due_us)}"
    if part.missing and not part.holds:
        yield f"missing: {_missing(part.missing, language)}"


def _reasons(explanation: pb.RuleExplanation, language: Language) -> Iterator[str]:
    if explanation.removed_count:
        yield f"rests on {_facts(explanation.cited_fact_ids, explanation.cited_count)}"
        if explanation.removed_count < explanation.cited_count:
            removed = _facts(explanation.removed_fact_ids, explanation.removed_count)
            yield f"would change without {removed}"
    else:
        yield "rests on the absence of facts"
    if explanation.missing:
        yield f"would change with {_missing(explanation.missing, language)}"
    if explanation.next_due_us:
        yield f"time alone changes the answer at {format_time(explanation.next_due_us)}"


def _missing(missing: Iterable[pb.MissingFact], language: Language) -> str:
    return "; ".join(_missing_text(each, language) for each in missing)


def _missing_text(missing: pb.MissingFact, language: Language) -> str:
    value = format_json(missing.value)
    if missing.kind == pb.MISSING_KIND_TRAIT:
        return f"trait {missing.name} = {value}"
    events = missing.events_chinese if language is Language.CHINESE else missing.events
    what = "orders" if missing.kind == pb.MISSING_KIND_ORDER else "events"
    text = f"{missing.number} more {what} {events}"
    if missing.name:
        text += f" with {missing.name}" + (f" = {value}" if value != "null" else "")
    if missing.occurred_at_us:
        text += f" at {format_time(missing.occurred_at_us)}"
    if missing.until_us:
        text += f" until {format_time(missing.until_us)}"
    return text


def _window(part: pb.ExplainedPart) -> str:
    start = f" from {format_time(part.window_start_us)}" if part.window_start_us else ""
    end = f" until {format_time(part.window_end_us)}" if part.window_end_us else ""
    return f" (events{start}{end})" if start or end else ""


def _facts(ids: Iterable[str], count: int) -> str:
    """Return the number of some facts with the first of their ids."""
    named = list(ids)[:_NAMED_FACTS]
    more = ", …" if count > len(named) else ""
    return f"{count} fact{'s' * (count != 1)}: {', '.join(named)}{more}"


def _text(part: pb.ExplainedPart, language: Language) -> str:
    return part.text_chinese if language is Language.CHINESE else part.text
