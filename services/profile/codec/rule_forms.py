"""Translates a rule between its message, its text and its JSON form."""

from __future__ import annotations

import json
from collections.abc import Callable

import msgspec
from onefold.profile.v1 import profile_service_pb2 as pb

from services.chassis.codec.rules import rule_from_proto, rule_to_proto
from services.kernel.errors import InvalidField
from services.kernel.rules import model
from services.kernel.rules.forms.json_form import dump_rule, parse_rule
from services.kernel.rules.forms.text import to_text
from services.kernel.rules.forms.text_parse import parse_text
from services.kernel.rules.forms.text_words import Language
from services.kernel.rules.limits import check_sent
from services.profile.domain.settings import WorkspaceSettings

#: Returns the English and the Chinese text of a rule.
RuleTexts = Callable[[model.Rule], tuple[str, str]]


def translation(
    request: pb.TranslateRuleRequest, settings: WorkspaceSettings
) -> pb.TranslateRuleResponse:
    """Return all forms of the rule in a request. Raises InvalidField, RuleError."""
    zone, orders, cleaners = settings.zone, settings.orders, dict(settings.cleaners)
    rule = _rule_in(request, settings)
    form = dump_rule(rule, zone=zone, orders=orders, cleaners=cleaners)
    english, chinese = texts_in(settings)(rule)
    return pb.TranslateRuleResponse(
        rule=rule_to_proto(rule),
        text=english,
        text_chinese=chinese,
        json=json.dumps(form, ensure_ascii=False).encode(),
    )


def texts_in(settings: WorkspaceSettings) -> RuleTexts:
    """Return a rule's texts in English and Chinese, as a function of the rule.

    They leave out what the settings of the workspace say.
    """
    zone, orders, cleaners = settings.zone, settings.orders, dict(settings.cleaners)

    def texts(rule: model.Rule) -> tuple[str, str]:
        english, chinese = (
            to_text(rule, language, zone=zone, orders=orders, cleaners=cleaners)
            for language in (Language.ENGLISH, Language.CHINESE)
        )
        return english, chinese

    return texts


def _rule_in(request: pb.TranslateRuleRequest, settings: WorkspaceSettings) -> model.Rule:
    zone, orders, cleaners = settings.zone, settings.orders, dict(settings.cleaners)
    match request.WhichOneof("form"):
        case "rule":
            return rule_from_proto(request.rule)
        case "text":
            return parse_text(request.text, zone=zone, orders=orders, cleaners=cleaners)
        case "json":
            check_sent(len(request.json))
            try:
                form = msgspec.json.decode(request.json)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                raise InvalidField("this is not valid JSON", field="json") from None
            return parse_rule(form, zone=zone, orders=orders, cleaners=cleaners)
        case _:
            raise InvalidField("give a rule, a text or a JSON form", field="form")
