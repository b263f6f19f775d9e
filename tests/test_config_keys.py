"""Each key of the config does something, and stands in the schema and in the example."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml
from config_file import FOLDER, SMALL, english, file, loaded, mistakes

from agent.config import Config, schema
from agent.yaml_lines import read

__all__ = ["english", "file"]  # fixtures


# ---- each key does something

OTHER_KEY = "mnXQfSXCyqHRNAj-w2DxbXaytwKG3VvhVGiNrBWSlf4"
OTHER: dict[str, Any] = {
    "box.site": "x",
    "box.id": "x",
    "box.name": "x",
    "box.lang": "en",
    "state_dir": "/x",
    "links.url": "mqtts://x",
    "links.ca": "/x",
    "links.cert": "/x",
    "links.key": "/x",
    "links.username_file": "/x",
    "links.password_file": "/x",
    "delivery": "puback",
    "central_key": OTHER_KEY,
    "key_file": "/x",
    "receipt_timeout_s": 11,
    "profile": "sp6",
    "drivers.id": "x",
    "drivers.type": "line",
    "drivers.port": "/x",
    "drivers.baud": 300,
    "drivers.parity": "none",
    "drivers.heartbeat_s": 60,
    "drivers.unit": 3,
    "drivers.timeout_ms": 200,
    "drivers.encoding": "gbk",
    "drivers.repeat_ms": 600,
    "drivers.device": "/x",
    "drivers.end_ms": 100,
    "drivers.select": 1,
    "drivers.tcp": "10.0.0.5:99",
    "drivers.ups": "x",
    "drivers.user": "x",
    "drivers.password_file": "/x",
    "inputs.id": "x",
    "inputs.driver": "panel",
    "inputs.kind": "fire",
    "inputs.cameras": [],
    "inputs.capture": "picture",
    "inputs.read": ["mrz"],
    "inputs.lists": [],
    "inputs.debounce_ms": 30,
    "inputs.pin": 18,
    "inputs.pin_nc": 25,
    "inputs.channel": 1,
    "inputs.unit": 3,
    "inputs.table": "coil",
    "inputs.pullup_ohm": 4000,
    "inputs.eol_ohm": 4000,
    "inputs.contact_ohm": 4000,
    "inputs.normally": "closed",
    "inputs.pull": "down",
    "inputs.match": "x",
    "inputs.rf": "7654321",
    "inputs.loop": 2,
    "inputs.relay": "13,2",
    "inputs.expander": "8,2",
    "inputs.cid": 121,
    "inputs.bit": "battery",
    "inputs.account": "4321",
    "inputs.event": "120",
    "inputs.zone": 4,
    "inputs.partition": 2,
    "inputs.restores": False,
    "inputs.pressed": "x",
    "inputs.released": "x",
    "inputs.signal": "low",
    "outputs.id": "x",
    "outputs.driver": "gpio1",
    "outputs.role": "siren",
    "outputs.color": "red",
    "outputs.inputs": [],
    "outputs.longest_s": 180,
    "outputs.safe": "on",
    "outputs.pin": 28,
    "outputs.channel": 2,
    "outputs.unit": 3,
    "outputs.active": "low",
    "cameras.id": "x",
    "cameras.source": "rtsp://x",
    "cameras.credentials_file": "x",
    "cameras.before_s": 11,
    "cameras.after_s": 21,
    **{f"documents.{name}": "drop" for name in ("type", "issuer", "number", "expires")},
    **{f"documents.{name}": "keep" for name in ("nationality", "surname", "given_names", "birth", "sex")},
    "documents.optional": "hash",
    "documents.optional2": "hash",
    "previews.pixelate": False,
    "cameras.masks": [],
    "evidence.recipients": [],
    "evidence.media_kbps": 8,
    "evidence.put": ["https://x/"],
    "paths.id": "x",
    "paths.type": "x",
    "paths.address": "tcp://x:1",
    "paths.account": "4321",
    "paths.when": "always",
    "paths.format": "sia-dcs",
    "paths.key_file": "/x",
    "paths.supervise_s": 61,
    "paths.port": "/x",
    "paths.baud": 9600,
    "paths.pin_file": "/x",
    "paths.per_hour": 21,
    "paths.to": ["+8613900000000"],
    "lists.name": "x",
    "lists.kind": "watch",
    "lists.hashed": True,
    "patrols.name": "x",
    "patrols.input": "tag-two",
    "patrols.every_min": 30,
    "patrols.grace_min": 5,
    "patrols.from": "21:00",
    "patrols.to": "05:00",
    "patrols.tags": [],
    "operators.name": "x",
    "operators.key": OTHER_KEY,
    "operators.may": ["test"],
    "power.stop_after_low_s": 9,
    "position.every_s": 601,
    "position.every_m": 201,
    "neighbours.box": "x",
    "neighbours.key": OTHER_KEY,
    "neighbours.name": "x",
    "retention.days": 181,
    "retention.journal_mb": 17,
    "retention.media_mb": 1,
    "retention.reserve_mb": 1,
}


def schema_keys(spec: dict[str, Any], root: dict[str, Any], at: str = "") -> set[str]:
    """Every key that the schema knows, as `inputs.pin`."""
    if "$ref" in spec:
        return schema_keys(root["$defs"][spec["$ref"].rpartition("/")[2]], root, at)
    keys = set().union(*(schema_keys(s, root, at) for s in [*spec.get("anyOf", []), *spec.get("oneOf", [])]))
    if isinstance(spec.get("items"), dict):
        keys |= schema_keys(spec["items"], root, at)
    for name, below in spec.get("properties", {}).items():
        path = f"{at}.{name}".removeprefix(".")
        keys |= schema_keys(below, root, path) or {path}
    return keys


def file_keys(value: Any, at: str = "") -> set[str]:
    if isinstance(value, dict):
        return set().union(*(file_keys(below, f"{at}.{name}".removeprefix(".")) for name, below in value.items()))
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return set().union(*(file_keys(entry, at) for entry in value))
    return {at}


def test_the_example_shows_every_key() -> None:
    assert file_keys(read(FOLDER / "box.example.yaml").value) == schema_keys(schema(), schema())


def test_no_key_lacks_its_turn_below() -> None:
    assert set(OTHER) == schema_keys(schema(), schema())


def seen(config: Config) -> str:
    own = [each.options for each in config.drivers], [i.keys for i in config.inputs], [o.keys for o in config.outputs]
    ways = [each._own for each in config.paths]
    return f"{config!r} {own!r} {ways!r}"


@pytest.mark.parametrize("key", OTHER)
def test_each_key_changes_the_config(file: Path, key: str) -> None:
    before = read(FOLDER / "box.example.yaml").value
    for wire in ("gpio1",):
        before["drivers"].append({"id": wire, "type": "gpio"})
    before["inputs"].append({"id": "tag-two", "driver": "panel", "kind": "patrol", "pressed": "x"})
    after = copy.deepcopy(before)
    group, _, name = key.rpartition(".")
    target = after[group] if group else after
    entry = next(each for each in target if name in each) if isinstance(target, list) else target
    entry[name] = OTHER[key]
    if key == "inputs.driver":
        entry |= {"pressed": "x"}
        for gone in ("pin", "normally", "pull"):
            del entry[gone]
    if key == "inputs.signal":
        entry["kind"] = "battery"
    if key in ("drivers.id", "drivers.type", "inputs.id", "cameras.id", "outputs.role", "paths.type", "lists.name"):
        # these are the names that other keys go by: the change is that they are missed
        assert mistakes(file, yaml.safe_dump(after, allow_unicode=True))
        return
    assert seen(loaded(file, yaml.safe_dump(after))) != seen(loaded(file, yaml.safe_dump(before)))


# ---- the schema


def test_the_schema_in_the_repository_is_the_generated_one() -> None:
    stored = json.loads((FOLDER / "schema.json").read_text(encoding="utf-8"))
    assert stored == schema(), "run `make docs`"


def test_every_key_of_the_schema_is_described() -> None:
    def bare(spec: Any, at: str) -> Iterator[str]:
        if isinstance(spec, dict):
            for name, below in spec.get("properties", {}).items():
                if "description" not in below and "const" not in below:
                    yield f"{at}.{name}"
            for name, below in spec.items():
                yield from bare(below, f"{at}.{name}")
        if isinstance(spec, list):
            for below in spec:
                yield from bare(below, at)

    assert not list(bare(schema(), ""))


@pytest.mark.parametrize(
    "wrong", [{"profile": "dp5"}, {"x": 1}, {"inputs": [{"id": "a", "driver": "g", "kind": "panik", "pin": 1}]}]
)
def test_the_schema_refuses_what_the_box_refuses(wrong: dict[str, Any]) -> None:
    value = yaml.safe_load(SMALL) | wrong
    assert not jsonschema.Draft202012Validator(schema()).is_valid(value)
