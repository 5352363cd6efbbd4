"""Decides which values about people are personal or sensitive, and masks what a caller may not see.

What is not known is personal: an identifier of any namespace that is not listed, and a text under
any name that is not listed. A workspace overrides the lists by its own classes.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from functools import lru_cache
from typing import Any, Final

import msgspec

from services.kernel.identifiers.model import ACCOUNT_PREFIX, base_namespace
from services.kernel.identifiers.priority import plain_namespace

#: What stands in the place of a value that is hidden as a whole.
MASK: Final = "***"
_JSON_MASK: Final = b'"***"'


class FieldClass(IntEnum):
    """How far a value is protected; the numbers are those of onefold.type.v1.FieldClass."""

    #: Every caller with the right to read sees it.
    NONE = 1
    #: It identifies a person, or may do so.
    PERSONAL = 2
    #: It can harm a person, such as the number of an identity card.
    SENSITIVE = 3


#: The namespaces that are not personal: they name a browser or an account, and no person.
_OPEN_NAMESPACES = frozenset({"anonymous_id", "cookie"})
_SENSITIVE_NAMESPACES = frozenset({"id_card", "passport", "bank_card", "national_id", "ssn"})
#: Names of traits and properties, in the form of `folded_name`, whose texts identify no person:
#: vocabularies of a company, and places as large as a city.
_OPEN_NAMES = frozenset(
    {
        *("amount", "brand", "campaign", "category", "channel", "city", "country", "course"),
        *("courseid", "currency", "grade", "industry", "language", "level", "library", "locale"),
        *("medium", "method", "os", "plan", "platform", "price", "product", "productid"),
        *("productname", "province", "purpose", "quantity", "revenue", "sku", "source", "stage"),
        *("state", "status", "step", "tier", "timezone", "total", "type", "variant", "version"),
        *("城市", "省份", "国家", "等级", "品类", "渠道"),
    }
)
#: Words of a name that make its values personal, also where they are numbers.
_PERSONAL_WORDS = frozenset(
    {
        *("address", "addr", "age", "avatar", "birth", "birthdate", "birthday", "contact", "dob"),
        *("email", "gender", "ip", "latitude", "lat", "lng", "location", "longitude", "mail"),
        *("mobile", "name", "nick", "nickname", "openid", "person", "phone", "qq", "sex", "tel"),
        *("telephone", "unionid", "username", "wechat", "wecom", "weixin"),
    }
)
_PERSONAL_PARTS = ("手机", "电话", "姓名", "名字", "昵称", "邮箱", "地址", "生日", "性别", "微信")
_SENSITIVE_WORDS = frozenset(
    {
        *("biometric", "diagnosis", "disability", "ethnicity", "fingerprint", "health", "iban"),
        *("medical", "passport", "password", "religion", "salary", "ssn"),
    }
)
_SENSITIVE_PARTS = (
    *("idcard", "idnumber", "identitycard", "identitynumber", "nationalid", "bankcard"),
    *("bankaccount", "cardnumber", "creditcard", "debitcard", "socialsecurity"),
    *("身份证", "护照", "银行卡", "病历", "宗教", "指纹", "密码"),
)
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_a-zA-Z]+")
#: Words of a name whose values are a few known words, so that their first characters tell them.
_CHOICE_WORDS, _CHOICE_PARTS = frozenset({"gender", "sex"}), ("性别",)
#: A number with this many digits can be one of a telephone or of a card.
_LONG_NUMBER = 10_000_000
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
#: What only digits of a telephone and signs between them match.
_PHONE = re.compile(r"\+?[\d ()./-]{11,24}")
#: The most digits of a telephone (E.164); what has more is a card, and shows no digit.
_PHONE_DIGITS = 15
#: An address or the number of a mobile telephone in China within a longer text.
_ADDRESS_WITHIN = re.compile(r"[^@\s]@[^@\s]+\.[^@\s]|(?<!\d)1[3-9]\d{9}(?!\d)")
_ID_CARD = re.compile(r"\d{17}[\dXx]")
_ID_CARD_WITHIN = re.compile(r"(?<!\d)\d{17}[\dXx](?!\d)")
_BETWEEN_DIGITS = re.compile(r"[\s-]+")
_ID_CARD_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
#: The bytes that are deleted before names are searched for: all but letters and digits of ASCII.
_NO_LETTERS = bytes(byte for byte in range(256) if byte >= 128 or not chr(byte).isalnum())
_ASCII_NAMES = tuple(
    part.encode() for part in (*_SENSITIVE_PARTS, *sorted(_SENSITIVE_WORDS)) if part.isascii()
)
_ESCAPE, _BRACKETS = b"\\u", b"{[ \t\r\n"
#: Other sensitive names, escapes, and the two letters that become letters of ASCII in lower case.
_OTHER_NAMES = (
    *(part.encode() for part in _SENSITIVE_PARTS if not part.isascii()),
    *(_ESCAPE, "\u017f".encode(), "\u212a".encode()),
)
_LONG_DIGITS = re.compile(rb"\d(?:[ -]*\d){16}")
#: What the text of a rule compares: a text in quotation marks, or a long number.
_LITERAL = re.compile(r'"(?:[^"\\]|\\.)*"|\d{8,}')


@dataclass(frozen=True, slots=True)
class FieldClasses:
    """The classes of a workspace, over those that every workspace has."""

    #: By namespace.
    identifiers: Mapping[str, FieldClass] = field(default_factory=dict)
    #: By the name of a trait or a property, in the form of `folded_name`.
    names: Mapping[str, FieldClass] = field(default_factory=dict)

    @classmethod
    def of(
        cls, identifiers: Mapping[str, FieldClass], names: Mapping[str, FieldClass]
    ) -> FieldClasses:
        """Return the classes; names may be written in any case and with any separators."""
        return cls(dict(identifiers), {folded_name(name): each for name, each in names.items()})

    def of_identifier(self, namespace: str) -> FieldClass:
        """Return the class of the identifiers of a namespace, also of their digests."""
        base = _base(namespace)
        defined = self.identifiers.get(namespace) or self.identifiers.get(base)
        return defined or _default_class_of_namespace(base)

    def of_name(self, name: str) -> FieldClass | None:
        """Return the class of every value under a name; None = it depends on the value.

        Of a path such as `a.b` it is the strictest class of its names, unless the workspace has one
        for the path or for its last name.
        """
        if not self.names:
            return _default_class(name)
        declared = self._declared(name)
        if declared is not None:
            return declared
        found = [each for part in name.split(".") if (each := self._of_part(part)) is not None]
        return max(found, default=None)

    def of_value(self, name: str, value: Any) -> FieldClass:
        """Return the class of a value under a name: a text, a number, a truth value or null."""
        if value is None or value == "":
            return FieldClass.NONE
        declared = self._declared(name)
        if declared is not None:
            return declared
        named = self.of_name(name)
        detected = FieldClass.NONE if isinstance(value, bool) else _detect(value, named is None)
        return max(named or FieldClass.NONE, detected)

    def _declared(self, name: str) -> FieldClass | None:
        if not self.names:
            return None
        last = name.rpartition(".")[2]
        return self.names.get(folded_name(name)) or self.names.get(folded_name(last))

    def _of_part(self, name: str) -> FieldClass | None:
        return self.names.get(folded_name(name)) or _default_class_of_part(name)


DEFAULT_CLASSES = FieldClasses()


@lru_cache(maxsize=1_024)
def _base(namespace: str) -> str:
    return base_namespace(plain_namespace(namespace))


@lru_cache(maxsize=1_024)
def _default_class_of_namespace(base: str) -> FieldClass:
    if base in _SENSITIVE_NAMESPACES:
        return FieldClass.SENSITIVE
    is_open = base in _OPEN_NAMESPACES or base.startswith(ACCOUNT_PREFIX)
    return FieldClass.NONE if is_open else FieldClass.PERSONAL


@lru_cache(maxsize=8_192)
def folded_name(name: str) -> str:
    """Return a name without regard to case, width and separators, as classes compare names."""
    return re.sub(r"[\W_]+", "", _plain(name)).casefold()


@lru_cache(maxsize=8_192)
def _default_class(name: str) -> FieldClass | None:
    parts = map(_default_class_of_part, name.split("."))
    return max((each for each in parts if each is not None), default=None)


@lru_cache(maxsize=8_192)
def _default_class_of_part(name: str) -> FieldClass | None:
    folded, words = folded_name(name), _words_of(name)
    if words & _SENSITIVE_WORDS or any(part in folded for part in _SENSITIVE_PARTS):
        return FieldClass.SENSITIVE
    if folded in _OPEN_NAMES:
        return FieldClass.NONE
    if words & _PERSONAL_WORDS or any(part in folded for part in _PERSONAL_PARTS):
        return FieldClass.PERSONAL
    return None


def _words_of(name: str) -> set[str]:
    return {word.casefold() for word in _WORDS.findall(_plain(name))}


@lru_cache(maxsize=8_192)
def _is_choice(name: str) -> bool:
    folded = folded_name(name)
    has_part = any(part in folded for part in _CHOICE_PARTS)
    return has_part or not _CHOICE_WORDS.isdisjoint(_words_of(name))


def _plain(text: str) -> str:
    """Return a text in which letters, digits and signs have their usual width (NFKC)."""
    return text if text.isascii() else unicodedata.normalize("NFKC", text)


def _detect(value: Any, is_unnamed: bool) -> FieldClass:
    """Return the class of a value by its form. `is_unnamed`: nothing is known of its name."""
    if isinstance(value, int | float):
        if abs(value) < (_LONG_NUMBER if is_unnamed else 1_000 * _LONG_NUMBER):
            return FieldClass.NONE
        return FieldClass.SENSITIVE if _is_id_card(str(value)) else FieldClass.PERSONAL
    if not isinstance(value, str):  # a rule may compare anything; data are taken apart before
        return FieldClass.PERSONAL
    if _has_id_card(value):
        return FieldClass.SENSITIVE
    return FieldClass.PERSONAL if is_unnamed or _has_address(value) else FieldClass.NONE


def _has_address(value: str) -> bool:
    """Return whether a text has an address or a number of a telephone, or is a JSON text, in which
    there may be anything."""
    text = _plain(value)
    is_json = text.lstrip()[:1] in ("{", "[")
    return is_json or is_address(text) or _ADDRESS_WITHIN.search(text) is not None


def is_address(value: str) -> bool:
    """Return whether a text looks like an e-mail address or the number of a telephone."""
    return _EMAIL.fullmatch(value) is not None or (
        _PHONE.fullmatch(value) is not None and sum(map(str.isdigit, value)) >= 11
    )


def _is_id_card(value: str) -> bool:
    """Return whether a text is the number of a Chinese identity card with a correct check digit."""
    if not 18 <= len(value) <= 36:
        return False
    digits = _BETWEEN_DIGITS.sub("", _plain(value))
    if len(digits) != 18 or not digits.isascii() or _ID_CARD.fullmatch(digits) is None:
        return False
    pairs = zip(digits, _ID_CARD_WEIGHTS, strict=False)
    total = sum(int(digit) * weight for digit, weight in pairs)
    return "10X98765432"[total % 11] == digits[-1].upper()


def _has_id_card(value: str) -> bool:
    """Return whether a text is such a number, or has one in it."""
    if len(value) < 18:
        return False
    return _is_id_card(value) or any(map(_is_id_card, _ID_CARD_WITHIN.findall(_plain(value))))


@lru_cache(maxsize=8_192)
def name_without_value(name: str) -> str:
    """Return the name of a field as it may be stored: one that is a value itself is masked."""
    return MASK if _is_id_card(name) or is_address(name) else name


def mask_text(value: str) -> str:
    """Return a personal text as far as it may be shown: enough to recognise it, not to learn it."""
    if _EMAIL.fullmatch(value):
        return f"{value[0]}{MASK}@{value.rpartition('@')[2]}"
    digits = "".join(filter(str.isdigit, value))
    if len(digits) <= _PHONE_DIGITS and is_address(value):
        sign = "+" if value.startswith("+") else ""
        return f"{sign}{digits[:-8]}****{digits[-4:]}"
    # The first digit of an age or of a date would tell too much.
    return MASK if len(value) < 2 or value[0].isdigit() else f"{value[0]}{MASK}"


def _may_be_sensitive(encoded: bytes) -> bool:
    """Return False only where a JSON text has no sensitive value, without decoding it."""
    if encoded[0] in _BRACKETS:
        if not encoded.isascii() or _ESCAPE in encoded:
            for name in _OTHER_NAMES:
                if name in encoded:
                    return True
            if not _has_usual_width(encoded):
                return True
        if _has_sensitive_name(encoded):
            return True
    elif _ESCAPE in encoded or not (encoded.isascii() or _has_usual_width(encoded)):
        return True
    return _LONG_DIGITS.search(encoded) is not None


def _has_sensitive_name(encoded: bytes) -> bool:
    letters = encoded.lower().translate(None, _NO_LETTERS)
    return any(name in letters for name in _ASCII_NAMES)


def _has_usual_width(encoded: bytes) -> bool:
    try:
        return unicodedata.is_normalized("NFKC", encoded.decode())
    except UnicodeDecodeError:
        return False


@dataclass(frozen=True, slots=True)
class Lens:
    """What one caller sees of personal data: everything up to a class."""

    visible: FieldClass
    classes: FieldClasses = DEFAULT_CLASSES
    #: Whether the caller could see everything for a reason, so that rules may compare it.
    may_unmask: bool = False

    @property
    def shows_personal(self) -> bool:
        """Return whether free texts, which may say anything about a person, are shown."""
        return self.visible >= FieldClass.PERSONAL

    def hides(self, name: str, value: Any) -> bool:
        """Return whether a value under a name is hidden, or any element of a list."""
        values = value if isinstance(value, list) else [value]
        return self.hides_name(name) or any(
            self.classes.of_value(name, each) > self.visible for each in values
        )

    def hides_name(self, name: str) -> bool:
        """Return whether every value under a name is hidden."""
        return (self.classes.of_name(name) or FieldClass.NONE) > self.visible

    def hides_text(self, name: str) -> bool:
        """Return whether a text under a name is hidden, whatever it is."""
        return (self.classes.of_name(name) or FieldClass.PERSONAL) > self.visible

    def hides_namespace(self, namespace: str) -> bool:
        """Return whether the identifiers of a namespace are hidden."""
        return self.classes.of_identifier(namespace) > self.visible

    def identifier(self, namespace: str, value: str) -> str:
        """Return the value of an identifier, masked where its namespace is hidden."""
        class_ = self.classes.of_identifier(namespace)
        if _is_id_card(value):
            class_ = FieldClass.SENSITIVE
        return self._masked(class_, value) if class_ > self.visible and value else value

    def may_look_up(self, namespace: str, value: str) -> bool:
        """Return whether the caller may read by an identifier: it sees it, or could by a reason."""
        return self.may_unmask or self.identifier(namespace, value) == value

    def text(self, value: str) -> str:
        """Return a free text, hidden as a whole from those who see no personal data."""
        is_hidden = not self.shows_personal or (
            self.visible < FieldClass.SENSITIVE and _has_id_card(value)
        )
        return MASK if value and is_hidden else value

    def raw(self, value: bytes) -> bytes:
        """Return what a source sent: any bytes, such as a JSON text, of which parts are masked."""
        if not self.shows_personal:
            return MASK.encode()
        is_plain = not self.classes.names and not _may_be_sensitive(b"{" + value)
        if is_plain or self.visible is FieldClass.SENSITIVE:
            return value
        decoded = self._decoded("", value)
        # Bytes that are no JSON are hidden as a whole where they may have a sensitive value.
        is_hidden = _has_sensitive_name(value) or _LONG_DIGITS.search(value) is not None
        return value if decoded == _JSON_MASK and not is_hidden else decoded

    def rule_text(self, value: str) -> str:
        """Return the text of a rule, without the texts that it compares where they may be hidden.

        A text in a rule has no name that could be looked up, so it counts as one without a class.
        """
        has_sensitive = self.visible < FieldClass.SENSITIVE and _has_id_card(value)
        is_shown = self.shows_personal and not has_sensitive
        return value if is_shown else _LITERAL.sub(f'"{MASK}"', value)

    def value(self, name: str, encoded: bytes) -> bytes:
        """Return a JSON value under a name, with what is hidden in it masked."""
        return self._json(name, encoded)

    def document(self, encoded: bytes) -> bytes:
        """Return a JSON object whose keys are names, with what is hidden in it masked."""
        return self._json("", encoded)

    def _json(self, name: str, encoded: bytes) -> bytes:
        if not encoded or encoded == b"{}" or self.visible is FieldClass.SENSITIVE:
            return encoded
        is_plain = self.shows_personal and not self.classes.names and not self.hides_name(name)
        if is_plain and not _may_be_sensitive(encoded):
            return encoded
        return self._decoded(name, encoded)

    def _decoded(self, name: str, encoded: bytes) -> bytes:
        try:
            value = msgspec.json.decode(encoded)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return _JSON_MASK
        masked = self._walk(name, value)
        # Of a key that an object has twice only the last value was looked at.
        is_same = masked is value and not isinstance(value, dict | list)
        return encoded if is_same else msgspec.json.encode(masked)

    def _walk(self, name: str, value: Any) -> Any:
        """Return a value with what is hidden masked; the same object where nothing is."""
        if isinstance(value, dict):
            if self.hides_name(name):
                return MASK
            changed = {self._key(key): self._walk(key, each) for key, each in value.items()}
            is_same = all(changed.get(key, MASK) is each for key, each in value.items())
            return value if is_same else changed
        if isinstance(value, list):
            elements = [self._walk(name, each) for each in value]
            pairs = zip(elements, value, strict=True)
            return elements if any(new is not old for new, old in pairs) else value
        class_ = self.classes.of_value(name, value)
        if class_ <= self.visible:
            return value
        return MASK if _is_choice(name) else self._masked(class_, value)

    def _key(self, key: str) -> str:
        """Return the key of an object, masked where it is a value rather than a name."""
        if _is_id_card(key):
            return MASK if self.visible < FieldClass.SENSITIVE else key
        return key if self.shows_personal or not is_address(key) else mask_text(key)

    def _masked(self, class_: FieldClass, value: Any) -> str:
        is_text = class_ is FieldClass.PERSONAL and isinstance(value, str)
        return mask_text(value) if is_text else MASK


#: The lens of callers that see everything, such as the services themselves.
CLEAR = Lens(FieldClass.SENSITIVE, may_unmask=True)
