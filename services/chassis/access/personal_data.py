"""Masks personal data in the responses of every method, as the options of their fields say.

The guard applies the lens of the caller to each response, so one place masks what leaves over gRPC,
over HTTP, in files and in explanations. It also collects what was read of which profiles, for the
audit.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from onefold.type.v1.options_pb2 import PersonalData, personal_data

from services.chassis.access.rights import rpc_of
from services.kernel.errors import InvalidField, NotAllowed
from services.kernel.masking import CLEAR, MASK, FieldClass, Lens, name_without_value

#: The fields that name a value beside them, the first one that a message has.
_NAMES = ("name", "trait", "property", "compares")
_RULES = "onefold.rule.v1."
#: The fields of rules that name what is read; `same` names the property that events have in common.
_READ_NAMES = frozenset(
    {
        *("name", "property", "trait", "same", "amount", "currency_property", "order_id"),
        *("refund_amount", "refund_id", "refund_order_id"),
    }
)
_ENTRY = "onefold.activation.v1.JourneyEntry"
#: The fields that name what is read as a text, whatever the rule compares: a date, a number that is
#: written as a text, and what is part of the id of a run.
_READ_TEXTS = {
    f"{_RULES}DateDistance": ("trait",),
    f"{_RULES}OrderDefinition": ("amount", "refund_amount"),
    "onefold.activation.v1.DateTrigger": ("trait",),
    _ENTRY: ("per",),
}
#: A pattern of values of identifiers.
_PATTERN = "onefold.identity.v1.BlockedValue"
#: A number as JSON.
_NUMBER = re.compile(rb"-?\d[\d.eE+-]*")
_PROFILE_IDS = frozenset({"profile_id", "profile_ids", "member_profile_ids"})
#: The most profiles, and the most names, that one entry of the audit has.
_MAX_PROFILES, _MAX_NAMES = 1_000, 100
#: The paths from a predicate to the name that its feature reads.
_FEATURES = (
    ("trait", "name"),
    ("aggregate", "property"),
    ("date_distance", "trait"),
    ("top_values", "property"),
)


#: Returns a value, which stands under a name, as a lens shows it.
_Mask: TypeAlias = Callable[[Lens, str, Any], Any]


@dataclass(slots=True)
class Disclosure:
    """What a response says about people."""

    #: Profile ids, as text.
    profile_ids: dict[str, None] = field(default_factory=dict)
    #: Namespaces of identifiers, names of traits, and fields of documents.
    names: set[str] = field(default_factory=set)
    #: How many values there were.
    count: int = 0
    #: The name that was added last, as many values of a page have the same.
    _last: str | None = None

    def add(self, name: str) -> None:
        """Count a value under a name."""
        self.count += 1
        if name != self._last and len(self.names) < _MAX_NAMES:
            self._last = name
            self.names.add(name_without_value(name))

    def add_profile(self, profile_id: str) -> None:
        """Note a profile."""
        if profile_id and len(self.profile_ids) < _MAX_PROFILES:
            self.profile_ids[profile_id] = None


class _Marked(NamedTuple):
    """A field with personal data."""

    key: str
    is_repeated: bool
    #: Masks a value.
    mask: _Mask
    is_identifier: bool
    #: Whether a value counts under the name beside it, and not under that of the field.
    is_named: bool
    #: Whether a value is that of a person; else it is part of a definition.
    is_disclosed: bool


class _Plan:
    """What of a message is personal, and which of its fields lead to more."""

    __slots__ = ("below", "description", "is_predicate", "marked", "name_field", "profiles")

    def __init__(self, description: Descriptor) -> None:
        self.description = description
        self.is_predicate = description.full_name == f"{_RULES}Predicate"
        self.marked: list[_Marked] = []
        #: Each field with messages: its name, their plan, and whether it is repeated.
        self.below: list[tuple[str, _Plan, bool]] = []
        self.profiles: list[tuple[str, bool]] = []
        names = [
            name
            for name, each in ((name, description.fields_by_name.get(name)) for name in _NAMES)
            if each is not None and each.type == FieldDescriptor.TYPE_STRING
        ]
        self.name_field = names[0] if names else ""


def _plan_of(description: Descriptor, plans: dict[str, _Plan]) -> _Plan:
    """Return the plan of a message; `plans` has those that were begun, as messages may nest."""
    known = plans.get(description.full_name)
    if known is not None:
        return known
    plan = plans[description.full_name] = _Plan(description)
    for each in description.fields:
        options: Any = each.GetOptions()
        mark: int = options.Extensions[personal_data]
        if mark:
            plan.marked.append(_marked(description, each, mark))
        elif each.name in _PROFILE_IDS and each.type == FieldDescriptor.TYPE_STRING:
            plan.profiles.append((each.name, each.is_repeated))
        elif each.message_type is not None and not each.message_type.GetOptions().map_entry:
            plan.below.append((each.name, _plan_of(each.message_type, plans), each.is_repeated))
    return plan


def _marked(message: Descriptor, described: FieldDescriptor, kind: int) -> _Marked:
    is_definition = message.full_name.startswith(_RULES)
    return _Marked(
        key=described.name,
        is_repeated=described.is_repeated,
        mask=_MASKS[kind],
        is_identifier=kind == PersonalData.PERSONAL_DATA_IDENTIFIER,
        is_named=kind in _NAMED,
        is_disclosed=not is_definition and kind != PersonalData.PERSONAL_DATA_RULE_TEXT,
    )


def _prune(plans: dict[str, _Plan]) -> set[str]:
    """Remove what leads to no marked field; return the names of the messages that do."""
    personal = {name for name, plan in plans.items() if plan.marked}
    while True:
        more = {
            name
            for name, plan in plans.items()
            if any(below.description.full_name in personal for _, below, _ in plan.below)
        } - personal
        if not more:
            break
        personal |= more
    useful = personal | {name for name, plan in plans.items() if plan.profiles}
    for plan in plans.values():
        plan.below = [each for each in plan.below if each[1].description.full_name in useful]
    return personal


class PersonalFields:
    """The personal data in the request and in the response of one method."""

    def __init__(self, request: Descriptor, response: Descriptor) -> None:
        plans: dict[str, _Plan] = {}
        self._response = _plan_of(response, plans)
        #: Whether responses have personal data.
        self.is_disclosed = response.full_name in _prune(plans)
        rules: dict[str, _Plan] = {}
        self._request = _plan_of(request, rules)
        self._has_rules = any(map(_is_rule, rules))
        for plan in rules.values():
            plan.below = [each for each in plan.below if _leads_to_rules(each[1], set())]
        sent: dict[str, _Plan] = {}
        self._sent = _plan_of(request, sent)
        self._is_sent = request.full_name in _prune(sent)

    @property
    def is_empty(self) -> bool:
        """Return whether the method has no personal data, and no rules that may read any."""
        return not self.is_disclosed and not self._has_rules

    @classmethod
    def of(cls, method: str) -> PersonalFields:
        """Return those of a method, `/package.Service/Rpc`. Raises KeyError for an unknown one."""
        found = rpc_of(method)
        return cls(found.input_type, found.output_type)

    def mask(self, response: Any, lens: Lens) -> Disclosure:
        """Mask in a response what a caller may not see; return what it says about people."""
        disclosure = Disclosure()
        if self.is_disclosed and lens is not CLEAR:
            _mask(response, self._response, lens, disclosure, "")
        return disclosure

    def check_rules(self, request: Any, lens: Lens) -> None:
        """Raise NotAllowed where a rule in a request reads what its caller may not see.

        The size of a segment, or whether a rule is true, would tell it in a few calls.
        """
        if self._has_rules and not lens.may_unmask:
            for name in _hidden_names(request, self._request, lens):
                raise NotAllowed(
                    f"the rule reads {name!r}, which keys of this role see masked: use a key that"
                    " may unmask, or ask an administrator to class the field as not personal"
                )

    def check_masks(self, request: Any, lens: Lens) -> None:
        """Raise InvalidField where a request has what stands for a hidden value: its caller has
        read it masked, and it would replace the true value. With a reason it is the true one.
        """
        if self._is_sent and lens.visible < FieldClass.SENSITIVE:
            for key in _masked_fields(request, self._sent):
                raise InvalidField(
                    f"the value is hidden ({MASK}): read it again and state a reason, or send the"
                    f" true value; where it is {MASK} indeed, state a reason with this call",
                    field=key,
                )


def _masked_fields(message: Any, plan: _Plan) -> Iterator[str]:
    """Yield the fields that have the mask of a whole value."""
    for field_ in plan.marked:
        value = getattr(message, field_.key)
        if any(map(_is_mask, value if field_.is_repeated else (value,))):
            yield field_.key
    for key, below, is_repeated in plan.below:
        if is_repeated:
            for each in getattr(message, key):
                yield from _masked_fields(each, below)
        elif message.HasField(key):
            yield from _masked_fields(getattr(message, key), below)


def _is_mask(value: str | bytes) -> bool:
    return value == MASK if isinstance(value, str) else f'"{MASK}"'.encode() in value


def _is_rule(name: str) -> bool:
    """Return whether a message may read values of people, by its full name."""
    return name.startswith(_RULES) or name in _READ_TEXTS or name == _PATTERN


def _leads_to_rules(plan: _Plan, seen: set[str]) -> bool:
    name = plan.description.full_name
    if name in seen:
        return False
    seen.add(name)
    return _is_rule(name) or any(_leads_to_rules(below, seen) for _, below, _ in plan.below)


def _mask(message: Any, plan: _Plan, lens: Lens, disclosure: Disclosure, above: str) -> None:
    """Mask a message. `above`: the nearest name above it, for values that have none beside them."""
    name = getattr(message, plan.name_field) if plan.name_field else above
    if plan.is_predicate:
        name = _predicate_name(message)
    elif plan.name_field and not lens.shows_personal and name_without_value(name) != name:
        setattr(message, plan.name_field, name_without_value(name))
    for key, is_repeated, mask, is_identifier, is_named, is_disclosed in plan.marked:
        value = getattr(message, key)
        if not value:
            continue
        if is_identifier:
            name = message.namespace
        if is_disclosed:
            disclosure.add(name if is_named else key)
        if is_repeated:
            value[:] = [mask(lens, name, each) for each in value]
        elif (masked := mask(lens, name, value)) is not value:
            setattr(message, key, masked)
    for key, is_repeated in plan.profiles:
        found = getattr(message, key)
        for profile_id in found if is_repeated else (found,):
            disclosure.add_profile(profile_id)
    for key, below, is_repeated in plan.below:
        if is_repeated:
            for each in getattr(message, key):
                _mask(each, below, lens, disclosure, name)
        elif message.HasField(key):
            _mask(getattr(message, key), below, lens, disclosure, name)


def _mask_text(lens: Lens, _: str, value: Any) -> Any:
    """Return a text, or bytes, in which there may be anything."""
    return lens.raw(value) if isinstance(value, bytes) else lens.text(value)


def _mask_value(lens: Lens, name: str, value: bytes) -> bytes:
    """Return a JSON value; a number without a name is a count, an amount or a span of time."""
    return value if _is_bare_number(name, value) else lens.value(name, value)


def _is_bare_number(name: str, value: bytes) -> bool:
    return not name and _NUMBER.fullmatch(value) is not None


_MASKS: Final[dict[int, _Mask]] = {
    PersonalData.PERSONAL_DATA_IDENTIFIER: Lens.identifier,
    PersonalData.PERSONAL_DATA_VALUE: _mask_value,
    PersonalData.PERSONAL_DATA_DOCUMENT: lambda lens, _, value: lens.document(value),
    PersonalData.PERSONAL_DATA_TEXT: _mask_text,
    PersonalData.PERSONAL_DATA_RULE_TEXT: lambda lens, _, value: lens.rule_text(value),
}
_NAMED = frozenset({PersonalData.PERSONAL_DATA_IDENTIFIER, PersonalData.PERSONAL_DATA_VALUE})


def _predicate_name(predicate: Any) -> str:
    for feature, name in _FEATURES:
        if predicate.HasField(feature):
            return str(getattr(getattr(predicate, feature), name))
    return str(predicate.trend.aggregate.property) if predicate.HasField("trend") else ""


def _hidden_names(message: Any, plan: _Plan, lens: Lens) -> Iterator[str]:
    """Yield the names whose hidden values the rules of a message read."""
    description = plan.description
    if description.full_name.startswith(_RULES):
        for key in _READ_NAMES.intersection(description.fields_by_name):
            name = getattr(message, key)
            if isinstance(name, str) and lens.hides_name(name):
                yield name
        if plan.marked and message.value:
            is_predicate = description.name == "Predicate"
            name = _predicate_name(message) if is_predicate else message.property
            is_bare = _is_bare_number(name, message.value)
            if not is_bare and lens.hides(name, _literal(message.value)):
                yield name
    yield from filter(lens.hides_text, _read_texts(message))
    if description.full_name == _PATTERN:
        namespace = message.namespace
        if not namespace or lens.hides_namespace(namespace):
            yield namespace or "*"
    for key, below, is_repeated in plan.below:
        if is_repeated:
            for each in getattr(message, key):
                yield from _hidden_names(each, below, lens)
        elif message.HasField(key):
            yield from _hidden_names(getattr(message, key), below, lens)


def _read_texts(message: Any) -> Iterator[str]:
    """Yield the names of what a message reads as a text."""
    kind = message.DESCRIPTOR.full_name
    if kind == f"{_RULES}Trait" and message.cleaner:
        yield message.name
    # Only where a person may begin once is the value a part of the id of the run.
    if kind != _ENTRY or not message.HasField("again_after_us"):
        yield from (name for key in _READ_TEXTS.get(kind, ()) if (name := getattr(message, key)))


def _literal(encoded: bytes) -> Any:
    """Return the literal of a rule; what is no JSON is refused where the rule is read."""
    try:
        return msgspec.json.decode(encoded)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
