"""YAML text as plain values, with the line of every key and entry. The only module that knows PyYAML.

Read is the part of YAML that JSON has too, and no surprises: `yes`, `no`, `on`, `off`, dates and `12:30` are text; only
`true` and `false` are booleans. Aliases (`*name`) are refused: nothing here needs them, and ten can ask for gigabytes.
"""

import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from agent.config_errors import ConfigError, ConfigErrors, KeyPath, dotted, show
from agent.text import t

BYTES_MAX = 1_000_000
DEPTH_MAX = 20
NO_TEXT = {"\0", *map(chr, range(0xD800, 0xE000))}
"""Half characters, which no UTF-8 has, and NUL, which no path has."""


@dataclass
class Document:
    """One file.

    value: of dict, list, str, int, float, bool, None. lines: of each key and entry, from 1. errors: of its YAML.
    """

    file: str
    value: Any = None
    lines: dict[KeyPath, int] = field(default_factory=dict)
    errors: list[ConfigError] = field(default_factory=list)

    def error(self, path: KeyPath, found: str, allowed: str = "", hint: str = "") -> None:
        """Notes an error at `path`, on its line or on that of the nearest key around it."""
        line = next((self.lines[path[:n]] for n in range(len(path), -1, -1) if path[:n] in self.lines), 1)
        self.errors.append(ConfigError(self.file, line, dotted(path), found, allowed, hint))


def read(path: Path) -> Document:
    """Reads a file; raises ConfigErrors when there is no sense in it at all, as with a syntax error."""
    document = Document(str(path))
    try:
        if path.is_file() and path.stat().st_size > BYTES_MAX:
            raise _refused(
                document, 0, t("config.huge", bytes=path.stat().st_size), t("config.huge_allowed", bytes=BYTES_MAX)
            )
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise _refused(document, 0, error.strerror or str(error), t("config.file_allowed")) from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise _refused(
            document, line, t("config.bytes", bytes=error.object[error.start : error.end].hex()), "UTF-8"
        ) from error
    try:
        node = _Loader(text).get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _refused(document, mark.line + 1 if mark else 0, f"YAML: {error.problem or error.context}") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, text.find(chr(error.character))) + 1
        raise _refused(document, line, f"YAML: {error.reason}: {chr(error.character)!r}") from error
    if node is None:
        raise _refused(document, 0, t("config.empty"), t("config.empty_allowed"))
    document.lines[()] = node.start_mark.line + 1
    document.value = _value(document, node, ())
    return document


class _Loader(yaml.SafeLoader):
    """Composes nodes, with their marks; the narrow set of plain scalars stands below."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  replaces PyYAML's own
    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event: yaml.Event = self.peek_event()  # type: ignore[no-untyped-call]
        mark: Any = event.start_mark
        if isinstance(event, yaml.AliasEvent):
            raise yaml.MarkedYAMLError(problem=t("config.alias", name=event.anchor), problem_mark=mark)
        if self.depth >= DEPTH_MAX:
            raise yaml.MarkedYAMLError(problem=t("config.deep", levels=DEPTH_MAX), problem_mark=mark)
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


_CORE = "tag:yaml.org,2002:"
for _tag, _regex, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]{1,18}", list("-+0123456789")),
    ("float", r"[-+]?[0-9]+(\.[0-9]*)?([eE][-+]?[0-9]+)?", list("-+0123456789")),
):
    _Loader.add_implicit_resolver(_CORE + _tag, re.compile(rf"(?:{_regex})$"), _first)


def _value(document: Document, node: yaml.Node, path: KeyPath) -> Any:
    """The value of a node; what YAML allows and a config does not becomes an error at its line."""
    kind = node.tag.removeprefix(_CORE)
    if isinstance(node, yaml.MappingNode) and kind == "map":
        return _mapping(document, node, path)
    if isinstance(node, yaml.SequenceNode) and kind == "seq":
        for n, entry in enumerate(node.value):
            document.lines[*path, n] = entry.start_mark.line + 1
        return [_value(document, entry, (*path, n)) for n, entry in enumerate(node.value)]
    if not isinstance(node, yaml.ScalarNode) or kind not in ("null", "bool", "int", "float", "str"):
        document.error(path, t("config.tag", tag=node.tag.replace(_CORE, "!!")), t("config.tag_allowed"))
        return None
    text: str = node.value
    if any(character in NO_TEXT for character in text):
        document.error(path, show(text), t("config.no_nul"))
        text = "".join("?" if character in NO_TEXT else character for character in text)
    try:
        match kind:
            case "null":
                return None
            case "bool":
                return text.lower() == "true"
            case "int":
                return int(text)
            case "float" if math.isfinite(float(text)):
                return float(text)
    except ValueError:  # an explicit tag, as in `!!int x`: it stays text, and the model says what is allowed
        pass
    return text


def _mapping(document: Document, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            document.lines.setdefault((*path, "?"), line)
            document.error((*path, "?"), t("config.odd_key"), t("config.odd_key_allowed"))
            continue
        at = (*path, key_node.value)
        if key_node.value in values:
            first = document.lines[at]
            found, allowed = t("config.twice", line=line), t("config.once", line=first)
            document.errors.append(ConfigError(document.file, line, dotted(at), found, allowed))
            continue
        document.lines[at] = line
        values[key_node.value] = _value(document, value_node, at)
    return values


def _refused(document: Document, line: int, found: str, allowed: str = "") -> ConfigErrors:
    return ConfigErrors([ConfigError(document.file, line, "", found, allowed)])
