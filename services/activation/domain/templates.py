"""Defines templates of messages: what is checked in a definition, and what is rendered of it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import msgspec

from services.activation.domain import liquid_text
from services.activation.domain.contracts import ChannelContract
from services.activation.domain.liquid_text import BadTemplate, MissingValue
from services.kernel.calendar import is_zone
from services.kernel.errors import InvalidField
from services.kernel.ids import WorkspaceId
from services.kernel.journeys.template_names import pinned_version

DEFAULT_ZONE = "Asia/Shanghai"
MAX_LOCALES = 20
MAX_SOURCE = 256 * 1024
MAX_PARAMETERS = 50
#: Templates of a workspace, retired ones included.
MAX_TEMPLATES = 1_000
#: What a message can be rendered from where a destination sends it at once.
AT_ONCE = frozenset({"person", "segment", "trigger", "changed_at", "occurred_at", "content"})
_LOCALE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]{0,199}")
_NAME = re.compile(r"[A-Za-z0-9_.\-]{1,64}")
_BLANKS = re.compile(r"\s+")
#: The GSM alphabet of SMS, and its signs that count twice.
_GSM = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡"
    "ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_GSM_TWICE = frozenset("^{}\\[~]|€\f")


@dataclass(frozen=True, slots=True)
class Texts:
    """The texts of a template in one locale; each a Liquid template."""

    locale: str
    subject: str = ""
    text: str = ""
    html: str = ""
    #: The id of the provider's own template.
    provider_template: str = ""
    #: Names and values for it, in its order.
    parameters: tuple[tuple[str, str], ...] = ()

    def sources(self) -> Iterator[tuple[str, str]]:
        """Yield each Liquid template that is not empty, with its place."""
        for name in ("subject", "text", "html"):
            if source := getattr(self, name):
                yield name, source
        for n, (_, source) in enumerate(self.parameters):
            yield f"parameters[{n}].value", source


@dataclass(frozen=True, slots=True)
class Template:
    """One version of a template."""

    workspace_id: WorkspaceId
    template_id: str
    version: int
    title: str
    #: Once a locale; the first one is the default.
    texts: tuple[Texts, ...]
    #: The variables that a message is not sent without.
    needs: tuple[str, ...] = ()
    #: A JSON object (UTF-8).
    sample: bytes = b"{}"
    #: Of the dates of people without a zone.
    zone: str = DEFAULT_ZONE
    retired: bool = False

    def at_version(self, version: int) -> Template:
        """Return the same template with another version."""
        return replace(self, version=version)

    def texts_for(self, locale: str) -> Texts:
        """Return the texts of a locale, or of its language, or the default ones."""
        by_locale = {each.locale.lower(): each for each in self.texts}
        parts = locale.lower().replace("_", "-").split("-")
        for end in range(len(parts), 0, -1):
            if found := by_locale.get("-".join(parts[:end])):
                return found
        return self.texts[0]


class RenderedMessage(msgspec.Struct, frozen=True, omit_defaults=True):
    """The texts of one message, and where it goes."""

    to: str = ""
    subject: str = ""
    text: str = ""
    html: str = ""
    provider_template: str = ""
    parameters: tuple[tuple[str, str], ...] = ()
    #: The purpose of a message that a run sends; empty = marketing.
    purpose: str = ""
    #: The identifier that `to` is; empty = it is a trait.
    namespace: str = ""
    #: Whether the links of a mail are counted, and whether it shows that it was opened.
    tracks_links: bool = False
    tracks_opens: bool = False


def render_texts(
    template: Template, texts: Texts, variables: Mapping[str, Any], zone: str = ""
) -> RenderedMessage:
    """Render one message. `zone`: of dates; empty = the template's.

    Raises MissingValue for a value that the message cannot be sent without, and BadTemplate.
    """
    for name in template.needs:
        if _value_of(variables, name) in (None, "", [], {}):
            raise MissingValue(name)
    zone = zone if is_zone(zone) else template.zone

    def render(source: str, *, html: bool = False) -> str:
        return liquid_text.render(source, variables, zone, html=html) if source else ""

    return RenderedMessage(
        subject=_BLANKS.sub(" ", render(texts.subject)).strip(),
        text=render(texts.text),
        html=render(texts.html, html=True),
        provider_template=texts.provider_template,
        parameters=tuple((name, render(value)) for name, value in texts.parameters),
    )


def _value_of(variables: Any, path: str) -> Any:
    for part in path.split("."):
        if not isinstance(variables, Mapping) or part not in variables:
            return None
        variables = variables[part]
    return variables


def check_template(template: Template) -> None:
    """Check every field. Raises InvalidField with the expected form."""
    if not 0 < len(template.template_id) <= 128 or not template.template_id.isprintable():
        _reject("template_id", "has 1 to 128 printable characters")
    if pinned_version(template.template_id)[1]:
        _reject("template_id", "does not end in @ and a number, which names a version in journeys")
    if len(template.title) > 200 or "\0" in template.title:
        _reject("title", "has at most 200 characters and no NUL")
    if not 0 < len(template.texts) <= MAX_LOCALES:
        _reject("texts", f"has 1 to {MAX_LOCALES} locales")
    locales = [each.locale.lower() for each in template.texts]
    if len(set(locales)) < len(locales):
        _reject("texts", "has each locale once")
    if not is_zone(template.zone):
        _reject("zone", "is the IANA name of a time zone, such as Asia/Shanghai")
    if len(template.needs) > 100 or not all(map(_VARIABLE.fullmatch, template.needs)):
        _reject("needs", "has at most 100 names of variables, such as person.name")
    for n, texts in enumerate(template.texts):
        _check_texts(texts, f"texts[{n}]")


def _check_texts(texts: Texts, path: str) -> None:
    if not _LOCALE.fullmatch(texts.locale):
        _reject(f"{path}.locale", "is a locale, such as zh, zh-TW or en")
    if not any((texts.subject, texts.text, texts.html, texts.provider_template)):
        _reject(path, "has a subject, a text, an html or a provider_template")
    names = [name for name, _ in texts.parameters]
    if len(names) > MAX_PARAMETERS or len(set(names)) < len(names):
        _reject(f"{path}.parameters", f"has at most {MAX_PARAMETERS} parameters, each name once")
    if not all(map(_NAME.fullmatch, names)):
        _reject(f"{path}.parameters", "has names of letters, digits, '_', '-' and '.'")
    if names and not texts.provider_template:
        _reject(f"{path}.provider_template", "is needed where there are parameters")
    if not texts.provider_template.isprintable() or " " in texts.provider_template:
        _reject(f"{path}.provider_template", "is the id of the provider's template")
    for place, source in texts.sources():
        if len(source) > MAX_SOURCE:
            _reject(f"{path}.{place}", f"has at most {MAX_SOURCE} characters")
        try:
            liquid_text.check(source)
        except BadTemplate as error:
            _reject(f"{path}.{place}", f"is a Liquid template: {error}")


def check_fits(template: Template, contract: ChannelContract, given: Collection[str]) -> None:
    """Check that a channel can send a template, whose variables have these first names.

    Raises InvalidField.
    """
    for texts in template.texts:
        if missing := missing_part(texts, contract):
            raise InvalidField(
                f"the template {template.template_id!r} has no {missing} in {texts.locale}, which"
                " this channel needs",
                field="destination.template_id",
            )
        for _, source in texts.sources():
            if other := sorted(liquid_text.variables_of(source) - set(given)):
                raise InvalidField(
                    f"the template {template.template_id!r} uses `{other[0]}`; a message of a"
                    f" destination is rendered from {', '.join(sorted(given))}",
                    field="destination.template_id",
                )


def missing_part(texts: Texts, contract: ChannelContract) -> str:
    """Return the part of a template that a channel needs and that is empty; "" = none."""
    for group in contract.parts:
        if not any(getattr(texts, part) for part in group):
            return " or ".join(group)
    return ""


def sms_count(text: str) -> int:
    """Return the number of messages that an SMS is billed as.

    One message has 160 characters of the GSM alphabet, or 70 UTF-16 units of any other text; of a
    longer text each has 153, or 67.
    """
    if not text:
        return 0
    if all(char in _GSM or char in _GSM_TWICE for char in text):
        length, one, each = sum(2 if char in _GSM_TWICE else 1 for char in text), 160, 153
    else:
        length, one, each = len(text.encode("utf-16-le")) // 2, 70, 67
    return 1 if length <= one else -(-length // each)


def _reject(field: str, expected: str) -> NoReturn:
    raise InvalidField(f"{field} {expected}", field=f"template.{field}")
