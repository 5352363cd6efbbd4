"""Reads and writes the parts of packs that have rules: settings, tags, stages and segments."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from onefold.profile.v1 import profile_facts_pb2 as profile_pb
from onefold.rule.v1 import rule_pb2
from onefold.segment.v1.segment_facts_pb2 import SegmentDefined

from services.chassis.codec.features import order_definition_from_proto, order_definition_to_proto
from services.chassis.codec.rules import (
    predicate_from_proto,
    predicate_to_proto,
    rule_from_proto,
    rule_to_proto,
)
from services.cli.model_forms import read_model, write_model
from services.cli.values import MistakeCollector, Mistakes, entries, flag, mapping, set_fields, text
from services.cli.view_forms import read_view, write_view
from services.kernel.calendar import DEFAULT_ZONE
from services.kernel.cleaning.cleaners import newest_version
from services.kernel.errors import InvalidField, RuleError, RuleErrors
from services.kernel.rules.features import OrderDefinition
from services.kernel.rules.forms.json_dump import orders_form
from services.kernel.rules.forms.json_form import dump_rule, parse_orders, parse_rule
from services.kernel.rules.forms.text import to_text
from services.kernel.rules.forms.text_words import Language
from services.kernel.rules.model import Predicate, Rule
from services.kernel.rules.names import check_zone_name
from services.kernel.rules.references import Classification, ValueRule


@dataclass(frozen=True, slots=True)
class RuleDefaults:
    """What rules mean where they omit something: the settings of the workspace."""

    zone: str = DEFAULT_ZONE
    orders: OrderDefinition | None = None
    #: The cleaner of each trait that has one, by name.
    cleaners: dict[str, str] = field(default_factory=dict)

    def rule(self, form: Any, path: str) -> Rule:
        """Return the rule of a form. Raises InvalidField, which names the place below `path`."""
        try:
            return parse_rule(form, zone=self.zone, orders=self.orders, cleaners=self.cleaners)
        except RuleErrors as errors:
            under = [error.under(path) for error in errors.errors]
            raise Mistakes(InvalidField(e.message, field=e.field) for e in under) from None
        except RuleError as error:
            placed = error.under(path)
            raise InvalidField(placed.message, field=placed.field) from None

    def form(self, rule: Rule) -> dict[str, Any]:
        """Return the canonical form of a rule, without what these defaults say."""
        return dump_rule(rule, zone=self.zone, orders=self.orders, cleaners=self.cleaners)

    def text(self, rule: Rule, language: Language = Language.ENGLISH) -> str:
        """Return the text of a rule, without what these defaults say."""
        return to_text(rule, language, zone=self.zone, orders=self.orders, cleaners=self.cleaners)


def defaults_of(settings: profile_pb.ProfileSettingsDefined) -> RuleDefaults:
    """Return what the settings of a workspace mean for its rules."""
    has_orders = settings.HasField("orders")
    return RuleDefaults(
        settings.zone or DEFAULT_ZONE,
        order_definition_from_proto(settings.orders) if has_orders else None,
        {each.trait: each.cleaner for each in settings.cleaners},
    )


def read_settings(entry: Any, path: str) -> profile_pb.ProfileSettingsDefined:
    """Return the settings of a form: zone, orders, computed_traits, cleaners, timeline, blocks."""
    allowed = {"zone", "orders", "computed_traits", "cleaners", "timeline", "blocks"}
    values = mapping(entry, path, allowed)
    message = profile_pb.ProfileSettingsDefined(zone=text(values, "zone", path))
    collector = MistakeCollector()
    with collector.part(), _below(path):
        check_zone_name("zone", message.zone or DEFAULT_ZONE)
    with collector.part(), _below(""):
        if "orders" in values:
            orders = parse_orders(values["orders"], f"{path}.orders")
            message.orders.CopyFrom(order_definition_to_proto(orders))
    with collector.part():
        for trait, name in mapping(values.get("cleaners", {}), f"{path}.cleaners").items():
            message.cleaners.add(trait=trait, cleaner=_cleaner(name, f"{path}.cleaners.{trait}"))
    with collector.part():
        read_view(values, path, message)
    defaults = defaults_of(message)
    for i, computed in enumerate(entries(values, "computed_traits", path)):
        with collector.part():
            _add_computed(message, computed, f"{path}.computed_traits[{i}]", defaults)
    collector.check()
    return message


def _add_computed(
    message: profile_pb.ProfileSettingsDefined, computed: Any, where: str, defaults: RuleDefaults
) -> None:
    own = mapping(computed, where, {"name", "feature"})
    feature = defaults.rule(own.get("feature"), f"{where}.feature")
    if not isinstance(feature, Predicate):
        raise InvalidField(
            f"{where}.feature: write one predicate, such as `orders: {{net_spend: {{exists: "
            "true}}`; its comparison is ignored",
            field=f"{where}.feature",
        )
    name = text(own, "name", where, required=True)
    message.computed_traits.add(name=name, feature=predicate_to_proto(feature))


def _cleaner(name: Any, path: str) -> str:
    try:
        return newest_version(str(name))
    except RuleError as error:
        message = f"{path}: {error.problem}; {error.remedy}"
        raise InvalidField(message, field=path) from None


def read_segment(entry: Any, path: str, defaults: RuleDefaults) -> SegmentDefined:
    """Return a segment: id, title, rule, retired."""
    values = mapping(entry, path, {"id", "title", "rule", "retired"})
    return SegmentDefined(
        segment_id=text(values, "id", path, required=True),
        title=text(values, "title", path),
        rule=_rule(values, path, defaults),
        retired=flag(values, "retired", path),
    )


def read_tag(entry: Any, path: str, defaults: RuleDefaults) -> profile_pb.TagDefined:
    """Return a tag: id, title, retired, and rule, or values or rfm with a default."""
    values = mapping(entry, path, {"id", "title", "rule", "values", "rfm", "default", "retired"})
    message = _tag(values, path, profile_pb.TAG_KIND_TAG)
    if "rfm" in values:
        if "rule" in values or "values" in values:
            problem = f"{path}.rfm: write exactly one of rule, values, rfm"
            raise InvalidField(problem, field=f"{path}.rfm")
        message.rfm.CopyFrom(read_model(values["rfm"], f"{path}.rfm"))
        return message
    if "values" in values:
        _add_values(message, values, "values", "value", path, defaults)
    if "rule" in values or "values" not in values:
        message.rule.CopyFrom(_rule(values, path, defaults))
    return message


def read_stages(entry: Any, path: str, defaults: RuleDefaults) -> profile_pb.TagDefined:
    """Return a set of stages: id, title, retired, stages, default."""
    values = mapping(entry, path, {"id", "title", "stages", "default", "retired"})
    message = _tag(values, path, profile_pb.TAG_KIND_STAGE)
    _add_values(message, values, "stages", "stage", path, defaults)
    return message


def write_settings(settings: profile_pb.ProfileSettingsDefined) -> dict[str, Any]:
    """Return the form of the settings of a workspace."""
    defaults = defaults_of(settings)
    computed = [
        {"name": c.name, "feature": defaults.form(predicate_from_proto(c.feature, c.name))}
        for c in settings.computed_traits
    ]
    return set_fields(
        zone=settings.zone,
        orders=orders_form(defaults.orders) if defaults.orders else None,
        cleaners=defaults.cleaners,
        computed_traits=computed,
        **write_view(settings),
    )


def write_segment(segment: SegmentDefined, defaults: RuleDefaults) -> dict[str, Any]:
    """Return the form of a segment, as `read_segment` reads it with these defaults."""
    form = set_fields(id=segment.segment_id, title=segment.title, retired=segment.retired)
    return form | {"rule": _rule_form(segment.rule, defaults)}


def write_tag(tag: profile_pb.TagDefined, defaults: RuleDefaults) -> dict[str, Any]:
    """Return the form of a tag or of a set of stages, as they are read with these defaults."""
    form = set_fields(id=tag.tag_id, title=tag.title, retired=tag.retired)
    if tag.HasField("rfm"):
        return form | {"rfm": write_model(tag.rfm)} | set_fields(default=tag.default_value)
    if tag.HasField("rule"):
        return form | {"rule": _rule_form(tag.rule, defaults)}
    key, name = ("stages", "stage") if is_stage(tag) else ("values", "value")
    form[key] = [{name: v.value, "rule": _rule_form(v.rule, defaults)} for v in tag.values]
    return form | set_fields(default=tag.default_value)


def is_stage(tag: profile_pb.TagDefined) -> bool:
    """Return whether this is a set of stages."""
    return tag.kind == profile_pb.TAG_KIND_STAGE


def membership_ids(tag: profile_pb.TagDefined) -> list[str]:
    """Return the ids under which segment lists the members of a tag's values, or of stages."""
    prefix = "stage" if is_stage(tag) else "tag"
    values = [own.value for own in tag.values or tag.rfm.values]
    if tag.default_value:
        values.append(tag.default_value)
    return [f"{prefix}:{tag.tag_id}={value}" for value in values] or [f"{prefix}:{tag.tag_id}"]


def _tag(values: dict[str, Any], path: str, kind: profile_pb.TagKind) -> profile_pb.TagDefined:
    return profile_pb.TagDefined(
        tag_id=text(values, "id", path, required=True),
        title=text(values, "title", path),
        default_value=text(values, "default", path),
        kind=kind,
        retired=flag(values, "retired", path),
    )


def _add_values(
    message: profile_pb.TagDefined,
    values: dict[str, Any],
    key: str,
    name: str,
    path: str,
    defaults: RuleDefaults,
) -> None:
    collector = MistakeCollector()
    found: list[ValueRule] = []
    for i, entry in enumerate(entries(values, key, path)):
        where = f"{path}.{key}[{i}]"
        with collector.part():
            own = mapping(entry, where, {name, "rule"})
            rule = defaults.rule(own.get("rule"), f"{where}.rule")
            found.append(ValueRule(text(own, name, where, required=True), rule))
    collector.check()
    with _below(f"{path}.{key}"):
        Classification(tuple(found), message.default_value)
    for value, rule in found:
        message.values.add(value=value, rule=rule_to_proto(rule))


@contextmanager
def _below(path: str) -> Iterator[None]:
    """Raise the RuleError of a part as InvalidField, which names the place below `path`."""
    try:
        yield
    except RuleError as error:
        placed = error.under(path)
        raise InvalidField(placed.message, field=placed.field) from None


def _rule(values: dict[str, Any], path: str, defaults: RuleDefaults) -> rule_pb2.Rule:
    return rule_to_proto(defaults.rule(values.get("rule"), f"{path}.rule"))


def _rule_form(rule: rule_pb2.Rule, defaults: RuleDefaults) -> dict[str, Any]:
    return defaults.form(rule_from_proto(rule, "rule"))
