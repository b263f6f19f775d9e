"""One YAML file to one frozen `Config`, or to all of its mistakes at once."""

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import MISSING, fields
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from pydantic import Field, ValidationError, create_model

from agent import config_rules
from agent.config_codes import CodeList, Patrol
from agent.config_errors import ConfigError, ConfigErrors, KeyPath, did_you_mean, dotted, faults, show
from agent.config_links import Link, Profile, Timing
from agent.config_model import (
    Box,
    Camera,
    Config,
    Driver,
    Evidence,
    Input,
    Neighbour,
    Operator,
    Output,
    PathOut,
    Previews,
    Retention,
    Wired,
)
from agent.config_notices import missing_extras, missing_files, notices
from agent.config_papers import Documents
from agent.config_types import File, Keys
from agent.identity import site_key
from agent.text import t
from agent.yaml_lines import Document, read
from drivers import registry
from drivers.contract import DriverType

__all__ = [
    "Box",
    "Camera",
    "CodeList",
    "Config",
    "ConfigError",
    "ConfigErrors",
    "Documents",
    "Driver",
    "Evidence",
    "Input",
    "Link",
    "Neighbour",
    "Operator",
    "Output",
    "Patrol",
    "Previews",
    "Profile",
    "Retention",
    "Timing",
    "load",
    "missing_extras",
    "missing_files",
    "notices",
    "schema",
]

WIRED = ("drivers", "inputs", "outputs", "paths")
"""The lists whose entries have keys of their driver's own."""
NEED_NONE = ("outputs", "paths")
"""Of these, those that may be empty."""
ONE_EACH = ("pin",)
"""Keys that no two inputs or outputs of one driver share: a pin is one wire."""
CODE_KINDS = ("scan", "patrol")
"""Kinds of an input that gives codes. `scan` always does; a patrol point may be a contact too."""

OF_CONFIG: dict[Any, Any] = {Path: File, Path | None: File | None}
"""What a driver's key of such a type is in a config: a file counts from its folder."""

M = TypeVar("M", bound=Keys)
W = TypeVar("W", bound=Wired)


def load(path: Path) -> Config:
    """Reads a config; raises ConfigErrors with every mistake in it, each with its line."""
    document = read(path)
    if not isinstance(document.value, dict):
        document.error((), show(document.value), t("config.empty_allowed"))
        raise ConfigErrors(document.errors)
    rest = {key: value for key, value in document.value.items() if key not in WIRED}
    config = _validated(document, Config, rest, ())
    wires: dict[str, DriverType | None] = {}
    drivers = [_driver(document, entry, at, wires) for entry, at in _entries(document, "drivers")]
    inputs = [_hung(document, Input, "Input", entry, at, wires) for entry, at in _entries(document, "inputs")]
    outputs = [_hung(document, Output, "Output", entry, at, wires) for entry, at in _entries(document, "outputs")]
    paths = [_path(document, entry, at) for entry, at in _entries(document, "paths")]
    _cross_check(document)
    if document.errors or config is None:
        raise ConfigErrors(document.errors)
    wired: dict[str, list[Any]] = {"drivers": drivers, "inputs": inputs, "outputs": outputs, "paths": paths}
    config = config.model_copy(update={name: tuple(entries) for name, entries in wired.items()})
    for at, found, allowed in config_rules.broken(config):
        document.error(at, found, allowed)
    _try_drivers(document, config)
    try:
        config._site_key = site_key(config.key_file) if config.key_file else b""
    except OSError:
        pass  # it may be on its way: `missing_files` says so, and each event in which something was to be hashed
    except ValueError as error:
        document.error(("key_file",), str(error))
        raise ConfigErrors(document.errors) from error
    config._file, config._lines = document.file, document.lines
    return config


def _try_drivers(document: Document, config: Config) -> None:
    """Makes each driver, which opens nothing yet: it alone knows which of its inputs and outputs go together."""
    for n, driver in enumerate(config.drivers):
        try:
            config.make(driver)
        except ValueError as error:
            document.error(("drivers", n), str(error))
    if document.errors:
        raise ConfigErrors(document.errors)


def _validated(document: Document, model: type[M], data: object, at: KeyPath) -> M | None:
    """The data as a model; None, and every mistake noted, where it does not fit."""
    try:
        return model.model_validate_json(json.dumps(data), context={"folder": Path(document.file).absolute().parent})
    except ValidationError as error:
        for fault in faults(error.errors(), model.model_json_schema()):
            document.error(at + fault.path, fault.found, fault.allowed, fault.hint)
    return None


def _entries(document: Document, key: str) -> Iterator[tuple[Any, KeyPath]]:
    """The entries of a list; all lists but those of NEED_NONE need at least one."""
    value = document.value.get(key)
    if isinstance(value, list) and (value or key in NEED_NONE):
        yield from ((entry, (key, n)) for n, entry in enumerate(value))
    elif key in document.value or key not in NEED_NONE:
        document.error((key,), show(value), t("config.list_some"))


def _text(entry: object, key: str) -> str:
    value = entry.get(key) if isinstance(entry, dict) else None
    return value if isinstance(value, str) else ""


def _driver(document: Document, entry: Any, at: KeyPath, wires: dict[str, DriverType | None]) -> Driver | None:
    """One driver; `wires` learns its class, or that it has none."""
    wire: DriverType | None = _installed(document, entry, at, path=False)
    if name := _text(entry, "id"):
        wires.setdefault(name, wire)
    made = _wired_entry(document, Driver, wire.Options if wire else None, entry, at)
    if made:
        made._wire = wire
    return made


def _path(document: Document, entry: Any, at: KeyPath) -> PathOut | None:
    kind = _installed(document, entry, at, path=True)
    made = _wired_entry(document, PathOut, kind.Options if kind else None, entry, at)
    if made:
        made._kind = kind
    return made


def _installed(document: Document, entry: Any, at: KeyPath, *, path: bool) -> Any:
    """The class that the entry's type names; None where it names none, or one that stands in the other list."""
    if not (name := _text(entry, "type")):
        return None
    try:
        found = registry.driver_type(name)
    except registry.NoDriverError as error:
        if name in registry.installed():
            document.error((*at, "type"), str(error))
        else:
            document.error((*at, "type"), show(name), *_one_of(name, _names(path=path)))
        return None
    if hasattr(found, "classes") == path:
        return found
    document.error((*at, "type"), show(name), t("config.other_list", list="drivers" if path else "paths"))
    return None


def _names(*, path: bool) -> list[str]:
    """The types that may stand in that list; each is imported to be asked, for there is a mistake to tell of."""
    names = []
    for name in registry.installed():
        with suppress(registry.NoDriverError):
            names += [name] if hasattr(registry.driver_type(name), "classes") == path else []
    return names


def _hung(
    document: Document, model: type[W], own: str, entry: Any, at: KeyPath, wires: dict[str, DriverType | None]
) -> W | None:
    """One input or output, with the keys of the driver that it hangs on."""
    name = _text(entry, "driver")
    wire = wires.get(name)
    if name and name not in wires:
        document.error((*at, "driver"), show(name), *_one_of(name, wires))
    elif wire and not getattr(wire, own):
        with_outputs = [name for name, other in wires.items() if other and other.Output]
        document.error((*at, "driver"), t("config.no_outputs", driver=name), ", ".join(with_outputs))
    made = _wired_entry(document, model, getattr(wire, own) if wire else None, entry, at)
    if isinstance(made, Input):
        codes: bool | None = getattr(made.keys, "codes", None)
        if codes and made.kind not in CODE_KINDS:
            document.error((*at, "kind"), show(made.kind), t("config.codes", kinds=", ".join(CODE_KINDS)))
        elif wire and (made.kind == "position") != getattr(made.keys, "fixes", False):
            document.error((*at, "kind"), show(made.kind), t("config.fixes"))
        elif codes is False and made.kind == "scan" and not made.read:
            document.error((*at, "kind"), show(made.kind), t("config.no_codes"))
        if made.lists and made.kind != "scan":
            document.error((*at, "lists"), show(", ".join(made.lists)), t("config.lists_scan"))
        if made.read and (made.kind != "scan" or codes):
            document.error((*at, "read"), show(", ".join(made.read)), t("config.read_contact"))
        elif made.read and not made.cameras:
            document.error((*at, "read"), show(", ".join(made.read)), t("config.read_camera"))
    return made


def _wired_entry(document: Document, model: type[W], own: Any, entry: Any, at: KeyPath) -> W | None:
    """Where the driver is not known, its keys are not judged."""
    if not isinstance(entry, dict):
        return _validated(document, model, entry, at)
    if own is None:
        return _validated(document, model, {key: entry[key] for key in entry if key in model.model_fields}, at)
    made: W | None = _validated(document, _with_own_keys(model, own), entry, at)
    if made:
        return made
    # A mistake in a common key keeps pydantic from asking the driver: ask it alone, for what is not yet said.
    said, alone = {error.key for error in document.errors}, Document(document.file, lines=document.lines)
    _validated(
        alone, _with_own_keys(Wired, own), {key.name: entry[key.name] for key in fields(own) if key.name in entry}, at
    )
    document.errors += [error for error in alone.errors if error.key not in said]
    return None


@cache
def _with_own_keys(model: type[W], own: Any) -> type[W]:
    """The model with the fields of a driver's dataclass; one named as a common key gets that key's value."""
    types = get_type_hints(own)
    extra: dict[str, Any] = {}
    for key in fields(own):
        if key.name in model.model_fields or not key.init:
            continue
        default = {} if key.default is MISSING else {"default": key.default}
        if key.default_factory is not MISSING:
            default = {"default_factory": key.default_factory}
        unit = {"unit": key.metadata["unit"]} if "unit" in key.metadata else None
        extra[key.name] = (
            OF_CONFIG.get(types[key.name], types[key.name]),
            Field(description=key.metadata.get("doc"), json_schema_extra=unit, **default),
        )
    made = create_model(own.__name__, __base__=model, __doc__=own.__doc__, **extra)
    made.own = own
    return made


def _one_of(found: str, names: Any) -> tuple[str, str]:
    return ", ".join(names), did_you_mean(found, names)


def _cross_check(document: Document) -> None:
    """What no entry knows alone. Works on the raw values, so that a mistake elsewhere hides nothing here."""

    def entries(*keys: str) -> Iterator[tuple[dict[str, Any], KeyPath]]:
        for key in keys:
            value = document.value.get(key)
            for n, entry in enumerate(value if isinstance(value, list) else ()):
                if isinstance(entry, dict):
                    yield entry, (key, n)

    for keys, name in (
        (("drivers",), "id"),
        (("inputs", "outputs"), "id"),
        (("cameras",), "id"),
        (("paths",), "id"),
        (("lists",), "name"),
        (("patrols",), "name"),
        (("operators",), "name"),
        (("neighbours",), "box"),
    ):
        _once(document, ((_text(entry, name), (*at, name)) for entry, at in entries(*keys) if _text(entry, name)))
    for key in ONE_EACH:
        _once(
            document,
            (
                ((entry[key], _text(entry, "driver")), (*at, key))
                for entry, at in entries("inputs", "outputs")
                if isinstance(entry.get(key), int | str)
            ),
        )
    points = [_text(entry, "id") for entry, _ in entries("inputs") if entry.get("kind") == "patrol"]
    for entry, at in entries("patrols"):
        if (point := _text(entry, "input")) and point not in points:
            names, hint = _one_of(point, points)
            document.error((*at, "input"), show(point), t("config.patrol_input", inputs=names or "-"), hint)
    for group, key, id, none in (
        ("inputs", "cameras", "id", "config.no_cameras"),
        ("inputs", "lists", "name", "config.no_lists"),
        ("outputs", "inputs", "id", "config.list_some"),
    ):
        allowed = [_text(entry, id) for entry, _ in entries(key)]
        for entry, at in entries(group):
            named = entry.get(key)
            for n, name in enumerate(named if isinstance(named, list) else ()):
                if isinstance(name, str) and name not in allowed:
                    names, hint = _one_of(name, allowed)
                    document.error((*at, key, n), show(name), names or t(none), hint)


def _once(document: Document, values: Iterator[tuple[Any, KeyPath]]) -> None:
    first: dict[Any, KeyPath] = {}
    for value, at in values:
        if value in first:
            taken = first[value]
            line = document.lines[taken]
            shown = show(value[0] if isinstance(value, tuple) else value)
            document.error(at, shown, t("config.free", key=dotted(taken), line=line))
        first.setdefault(value, at)


def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a config that uses the drivers and paths that come with us: config/schema.json."""
    root = Config.model_json_schema()
    lists: tuple[tuple[str, type[Wired], str], ...] = (
        ("drivers", Driver, "Options"),
        ("inputs", Input, "Input"),
        ("outputs", Output, "Output"),
        ("paths", PathOut, "Options"),
    )
    types = {name: registry.driver_type(name) for name in registry.shipped("callbox")}
    for key, model, own in lists:
        branches = []
        for name, found in types.items():
            if hasattr(found, "classes") != (model is PathOut) or (keys := getattr(found, own)) is None:
                continue
            branch = _with_own_keys(model, keys).model_json_schema()
            root["$defs"].update(branch.pop("$defs", {}))
            if own == "Options":
                branch["properties"]["type"]["const"] = name
            branches.append(branch)
        root["properties"][key] |= {"items": {"anyOf": branches}, "minItems": int(key not in NEED_NONE)}
    root["required"] = sorted({*root["required"], "drivers", "inputs"})
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **root, "title": "Callbox config"}
