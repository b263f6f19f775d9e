"""What is wrong with a config: file, line, key, what was found, what is allowed, in the reader's language.

What is allowed is read from the JSON Schema of the models, the one that editors get: the two cannot disagree.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

from agent.text import t

KeyPath = tuple[str | int, ...]
SHOWN_MAX = 60


@dataclass(frozen=True)
class ConfigError:
    """One mistake. line: from 1; 0 where the file as a whole is meant. key: as `inputs[1].kind`, empty for the file."""

    file: str
    line: int
    key: str
    found: str
    allowed: str = ""
    hint: str = ""

    def __str__(self) -> str:
        place = self.file + (f":{self.line}" if self.line else "") + (f": {self.key}" if self.key else "")
        said = t("config.found", found=self.found, allowed=self.allowed) if self.allowed else self.found
        return f"{place}: {said}" + (f" ({self.hint})" if self.hint else "")


class ConfigErrors(Exception):  # noqa: N818  it is many
    """Every mistake of one file, in the order of its lines."""

    def __init__(self, errors: Iterable[ConfigError]) -> None:
        self.errors = sorted(errors, key=lambda error: error.line)
        super().__init__("\n".join(map(str, self.errors)))


def dotted(path: KeyPath) -> str:
    """`inputs[1].kind` for ("inputs", 1, "kind")."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")


def show(value: object) -> str:
    """A value from the file, short enough for a line."""
    match value:
        case None:
            return t("config.nothing")
        case bool():
            return str(value).lower()
        case str():
            return repr(value if len(value) <= SHOWN_MAX else value[:SHOWN_MAX] + "…")
        case list():
            return t("config.list_found", count=len(value))
        case dict():
            return t("config.keys_found")
    return str(value)


def did_you_mean(found: object, names: Iterable[str]) -> str:
    """A hint when `found` looks like one of the names, else nothing."""
    near = get_close_matches(found, list(names), n=1) if isinstance(found, str) else []
    return t("config.did_you_mean", name=near[0]) if near else ""


def allowed(spec: Mapping[str, Any], root: Mapping[str, Any]) -> str:
    """What a JSON Schema allows, in words."""
    spec = resolve(spec, root)
    if "oneOf" in spec:
        return ", ".join(resolve(branch, root)["properties"]["type"]["const"] for branch in spec["oneOf"])
    if "anyOf" in spec:
        return t("config.or").join(allowed(branch, root) for branch in spec["anyOf"])
    if "enum" in spec or "const" in spec:
        return ", ".join(map(str, spec.get("enum", [spec.get("const")])))
    match spec.get("type"):
        case "integer" | "number" as kind:
            unit = f" {spec['unit']}" if spec.get("unit") else ""
            if "minimum" in spec and "maximum" in spec:
                return t(f"config.{kind}_between", low=spec["minimum"], high=spec["maximum"], unit=unit)
            return t(f"config.{kind}", unit=unit)
        case "string" if "pattern" in spec:
            return t("config.text_like", pattern=spec["pattern"].removeprefix("^").removesuffix("$"))
        case "string" if "maxLength" in spec:
            return t("config.text_short", characters=spec["maxLength"])
        case "string" if spec.get("minLength"):
            return t("config.text_some")
        case "boolean":
            return "true, false"
        case "array":
            if "maxItems" in spec:
                return t("config.list_at_most", count=spec["maxItems"])
            return t("config.list_some") if spec.get("minItems") else t("config.list")
        case "object":
            return t("config.keys", names=", ".join(spec.get("properties", {})))
    return t("config.text")


def resolve(spec: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema behind a reference, or behind `or null`."""
    if "$ref" in spec:
        return resolve(root["$defs"][spec["$ref"].rpartition("/")[2]], root)
    if "anyOf" in spec:
        branches = [branch for branch in spec["anyOf"] if branch.get("type") != "null"]
        if len(branches) == 1:
            return resolve(branches[0], root)
    return spec


@dataclass(frozen=True)
class Fault:
    """One mistake before it has its file and line; path: from the value that was validated."""

    path: KeyPath
    found: str
    allowed: str = ""
    hint: str = ""


def faults(details: Iterable[Mapping[str, Any]], root: Mapping[str, Any]) -> list[Fault]:
    """Pydantic's error details against the JSON Schema `root` of the model that was validated; one for each place."""
    made: dict[KeyPath, Fault] = {}
    for detail in details:
        path, group, spec = _walk(detail["loc"], root)
        context = detail.get("ctx", {})
        match detail["type"]:
            case "config":  # our own validators say it all themselves
                for wrong in context["faults"]:
                    made.setdefault(path + wrong.path, replace(wrong, path=path + wrong.path))
                continue
            case "too_short" if detail["input"]:  # pydantic does not count the entries that are wrong
                continue
            case "value_error":  # a driver's own words; they name the key, or the entry is meant
                said = str(context["error"])
                key = next((word for word in re.findall(r"\w+", said) if word in spec.get("properties", {})), None)
                fault = Fault((*path, key) if key else path, said.removeprefix(f"{key}: "))
            case "extra_forbidden":
                names = list(group["properties"])
                fault = Fault(path, t("config.unknown_key"), ", ".join(names), did_you_mean(path[-1], names))
            case "missing":
                fault = Fault(path, t("config.nothing"), allowed(spec, root))
            case "union_tag_invalid" | "union_tag_not_found":
                tag = context.get("tag")
                fault = Fault(
                    (*path, "type"), show(tag), allowed(spec, root), did_you_mean(tag, allowed(spec, root).split(", "))
                )
            case _:
                found, names = detail["input"], list(map(str, spec.get("enum", ())))
                number_as_text = detail["type"] == "string_type" and isinstance(found, int | float)
                hint = t("config.quotes") if number_as_text else did_you_mean(found, names)
                fault = Fault(path, show(found), allowed(spec, root), hint)
        made.setdefault(fault.path, fault)
    return _without_doubles(list(made.values()))


def _without_doubles(found: list[Fault]) -> list[Fault]:
    """A mistyped key is one mistake, not an unknown key and a missing one."""
    meant = {(*fault.path[:-1], fault.hint) for fault in found if fault.hint}
    return [f for f in found if not (f.path and (*f.path[:-1], t("config.did_you_mean", name=f.path[-1])) in meant)]


def _walk(loc: KeyPath, root: Mapping[str, Any]) -> tuple[KeyPath, Mapping[str, Any], Mapping[str, Any]]:
    """Follows pydantic's location: the path in the file, the schema of the last group of keys, the schema at the end.

    Pydantic's location names the branch of a union too; the file does not.
    """
    path: KeyPath = ()
    group = spec = resolve(root, root)
    for step in loc:
        if "oneOf" in spec:
            branches = [resolve(branch, root) for branch in spec["oneOf"]]
            spec = next(branch for branch in branches if branch["properties"]["type"]["const"] == step)
        elif isinstance(step, int) and "items" in spec:
            path, spec = (*path, step), resolve(spec["items"], root)
        elif "properties" in spec:
            group = spec
            path, spec = (*path, step), resolve(spec["properties"].get(step, {}), root)
    return path, group, spec
