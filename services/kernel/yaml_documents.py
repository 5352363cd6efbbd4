"""Parses YAML that users write: the values that it shows, and nothing that multiplies them.

The scalars are those of JSON, as in YAML 1.2: `true`, `false`, `null` and decimal numbers. Every
other plain scalar is a text, such as `NO`, `on`, `0777`, `1:20` and `2026-11-21`. Keys are texts.
Anchors, aliases, tags, merges and keys written twice are errors.
"""

from __future__ import annotations

import math
import re
from typing import Any, NamedTuple, NoReturn

import yaml

from services.kernel.errors import InvalidField

#: The largest file, bytes, and the deepest nesting of its values: the deepest rule needs 70.
MAX_BYTES, MAX_DEPTH = 1 << 20, 80

_NULL = re.compile(r"\A(?:null|Null|NULL|~|)\Z")
_BOOLEAN = re.compile(r"\A(?:true|True|TRUE|false|False|FALSE)\Z")
_INTEGER = re.compile(r"\A[-+]?(?:0|[1-9][0-9]*)\Z")
_FLOAT = re.compile(r"\A[-+]?(?:0|[1-9][0-9]*)(?:\.[0-9]*(?:[eE][-+]?[0-9]+)?|[eE][-+]?[0-9]+)\Z")
_INDEX = re.compile(r"\A\[([0-9]{1,9})\]")
_TAG = "tag:yaml.org,2002:"
#: Tag, expression and first characters of each kind of plain scalar that is no text.
SCALARS = (
    (f"{_TAG}null", _NULL, ["~", "n", "N", ""]),
    (f"{_TAG}bool", _BOOLEAN, list("tTfF")),
    (f"{_TAG}int", _INTEGER, list("-+0123456789")),
    (f"{_TAG}float", _FLOAT, list("-+0123456789")),
)


class YamlDocument(NamedTuple):
    """The value of a document, and where its parts are written."""

    value: Any
    #: None where the document is empty.
    node: yaml.Node | None

    def line_of(self, path: str) -> int:
        """Return the line of the innermost part that a path such as `tags[3].rule.all[1]` reaches.

        The first line is 1; 0 where the path reaches no part.
        """
        node, line = self.node, 0
        while node is not None and path:
            found = _child(node, path.removeprefix("."))
            if found is None:
                break
            node, line, path = found
        return line


def parse_yaml(raw: bytes) -> Any:
    """Return the value of a YAML document. Raises InvalidField, which names line and column."""
    return parse_document(raw).value


def parse_document(raw: bytes) -> YamlDocument:
    """Return a YAML document. Raises InvalidField, which names line and column."""
    if len(raw) > MAX_BYTES:
        raise InvalidField(f"the file has more than {MAX_BYTES:,} bytes: split it")
    try:
        loader = _Loader(raw.decode("utf-8-sig"))
        node = loader.get_single_node()
        return YamlDocument(None if node is None else loader.construct_document(node), node)
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise InvalidField(f"line {line}: the file is not UTF-8: save it as UTF-8") from None
    except yaml.MarkedYAMLError as error:
        problem = error.problem or error.context or "it cannot be parsed"
        _fail(error.problem_mark or error.context_mark, f"this is not YAML: {problem}")
    except yaml.YAMLError as error:
        raise InvalidField(f"this is not YAML: {' '.join(str(error).split())}") from None


def _child(node: yaml.Node, path: str) -> tuple[yaml.Node, int, str] | None:
    """Return the part of a node with which a path begins, its line, and the rest of the path."""
    if isinstance(node, yaml.SequenceNode):
        index = _INDEX.match(path)
        if index is None or int(index[1]) >= len(node.value):
            return None
        part = node.value[int(index[1])]
        return part, part.start_mark.line + 1, path[index.end() :]
    if not isinstance(node, yaml.MappingNode):
        return None
    # A key may have points of its own.
    for key, value in sorted(node.value, key=lambda pair: -len(str(pair[0].value))):
        rest = path.removeprefix(str(key.value))
        if rest != path and rest[:1] in ("", ".", "["):
            return value, key.start_mark.line + 1, rest
    return None


class _Loader(yaml.SafeLoader):
    """Builds lists, mappings and plain scalars."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 the base class declares it so

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Compose the next value; refuse what could repeat or change one."""
        event = self.peek_event()
        mark = event.start_mark
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            _fail(mark, "anchors and aliases are not read: write the value where it is used")
        if event.tag is not None:
            _fail(mark, f"tags are not read: remove {event.tag}")
        self._depth += 1
        if self._depth > MAX_DEPTH:
            _fail(mark, f"values are nested deeper than {MAX_DEPTH} levels")
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def construct_number(self, node: yaml.ScalarNode) -> int | float:
        """Return a number of JSON."""
        try:
            number = int(node.value) if _INTEGER.match(node.value) else float(node.value)
        except ValueError:  # Python converts a limited number of digits
            number = math.inf
        if not math.isfinite(number):
            _fail(node.start_mark, "the number is too large: write it as a text, in quotes")
        return number


def _fail(mark: yaml.Mark | None, problem: str) -> NoReturn:
    where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    raise InvalidField(f"{where}{problem}")


def _build(loader: _Loader, node: yaml.MappingNode) -> dict[str, Any]:
    """Return the values of a mapping by key, which is a text as it is written."""
    values: dict[str, Any] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            _fail(key.start_mark, "a key is a text")
        if key.value in values:
            _fail(key.start_mark, f"the key {key.value!r} is written twice")
        values[key.value] = loader.construct_object(value, deep=True)
    return values


for _tag, _pattern, _first in SCALARS:
    _Loader.add_implicit_resolver(_tag, _pattern, _first)
_Loader.add_constructor(f"{_TAG}map", _build)
_Loader.add_constructor(f"{_TAG}int", _Loader.construct_number)
_Loader.add_constructor(f"{_TAG}float", _Loader.construct_number)
