"""The config: good files, and every way a file can be wrong."""

import base64
import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml

from agent import config as config_module
from agent.config import Config, ConfigErrors, load, missing_files, notices, schema
from agent.kinds import KINDS
from agent.yaml_lines import BYTES_MAX, read
from drivers import registry

FOLDER = Path(__file__).parent.parent / "config"
EXAMPLES = sorted(FOLDER.glob("*.yaml"))
SMALL = """\
box: {site: s, id: b}
links:
  - url: mqtts://central.example
drivers:
  - {id: gpio0, type: gpio}
inputs:
  - {id: alarm-1, driver: gpio0, pin: 17, kind: panic}
"""


@pytest.fixture(autouse=True)
def english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLBOX_LANG", "en")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "box.yaml"


def loaded(file: Path, text: str) -> Config:
    file.write_text(text, encoding="utf-8")
    return load(file)


def mistakes(file: Path, text: str | bytes) -> list[str]:
    """What `callbox check` says, without the folder of the file."""
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigErrors) as caught:
        load(file)
    return [str(error).removeprefix(f"{file.parent}/") for error in caught.value.errors]


# ---- good files


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_a_good_config_and_fits_the_schema(example: Path) -> None:
    assert load(example).inputs
    jsonschema.Draft202012Validator(schema()).validate(read(example).value)


def test_a_small_config_has_the_defaults_of_the_contract(file: Path) -> None:
    config = loaded(file, SMALL)
    assert config.root == "callbox/1/s/b"
    assert config.box.name == "b"
    assert config.state_dir == Path("/var/lib/callbox")
    assert (config.delivery, config.profile, config.receipt_timeout_s) == ("receipt", "dp4", 10)
    assert (config.retention.days, config.retention.journal_mb, config.retention.reserve_mb) == (180, 1024, 64)
    [alarm] = config.inputs
    assert (alarm.debounce_ms, alarm.cameras, alarm.keys.pin, alarm.keys.normally) == (20, (), 17, "open")
    assert config.drivers[0].wire is registry.driver_type("gpio")
    assert type(config.drivers[0].options) is registry.driver_type("gpio").Options


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("mqtt://h", ("h", 1883, False, False)),
        ("mqtts://h", ("h", 8883, True, False)),
        ("ws://h:9001/x", ("h", 9001, False, True)),
        ("wss://[fe80::1]", ("fe80::1", 443, True, True)),
    ],
)
def test_a_link_knows_the_parts_of_its_url(file: Path, url: str, parts: tuple[str, int, bool, bool]) -> None:
    [link] = loaded(file, SMALL.replace("mqtts://central.example", f'"{url}"')).links
    assert (link.host, link.port, link.tls, link.websockets) == parts


def test_files_count_from_the_folder_of_the_config(file: Path) -> None:
    config = loaded(file, SMALL.replace("central.example", "h\n    ca: ca.pem") + "state_dir: state\n")
    assert config.state_dir == file.parent / "state"
    assert config.links[0].ca == file.parent / "ca.pem"


@pytest.mark.parametrize("profile", ["dp4", "sp6", "relaxed"])
def test_each_profile_keeps_its_promise_by_will_and_by_heartbeat(file: Path, profile: str) -> None:
    timing = loaded(file, SMALL + f"profile: {profile}\n").timing
    assert 1.5 * timing.keepalive_s <= timing.dead_s
    assert 3 * timing.heartbeat_s <= timing.dead_s
    assert timing.keepalive_s <= 20


def test_the_kinds_of_the_config_are_those_that_the_agent_knows() -> None:
    assert tuple(schema()["properties"]["inputs"]["items"]["anyOf"][0]["properties"]["kind"]["enum"]) == tuple(KINDS)


def test_yes_no_on_off_and_times_are_text(file: Path) -> None:
    assert loaded(file, SMALL.replace("id: b}", "id: no, name: 12:30}")).box.name == "12:30"
    assert loaded(file, SMALL.replace("site: s", "site: on")).box.site == "on"


# ---- all mistakes at once

TWELVE = """\
box: {site: Jiangyang, id: kiosk-017}
stat_dir: /var/lib/callbox
links:
  - url: mqtts://box:hunter2@central.example
  - url: mqtt://central.example
    ca: ca.pem
profile: dp5
drivers:
  - {id: gpio0, type: gpio}
  - {id: relay8, type: modbus, port: /dev/ttyS0, unit: 1}
inputs:
  - {id: alarm-1, driver: gpio0, pin: 99, kind: panik}
  - id: alarm-2
    driver: gpio0
    pin: "18"
    kind: holdup
    debounce_ms: 2000
  - {id: alarm-2, driver: gpio1, kind: holdup}
outputs: []
outputs: []
"""
KIND_NAMES = "panic, duress, holdup, medical, fire, intrusion, tamper, ac, battery, scan, patrol, cancel, reset"
TOP_KEYS = (
    "box, state_dir, links, delivery, central_key, receipt_timeout_s, profile, "
    "drivers, inputs, outputs, cameras, evidence, paths, operators, retention"
)
TWELVE_AND_ONE = [
    "box.yaml:1: box.site: found 'Jiangyang'; allowed: text like [a-z0-9][a-z0-9-]{0,39}",
    f"box.yaml:2: stat_dir: found an unknown key; allowed: {TOP_KEYS} (did you mean state_dir?)",
    "box.yaml:4: links[0].url: found mqtts://***@…; allowed: an address without user:password@; a secret never stands "
    "in this file, name a username_file and a password_file for a link",
    "box.yaml:6: links[1].ca: found mqtt://; allowed: ca only with mqtts:// or wss://",
    "box.yaml:7: profile: found 'dp5'; allowed: dp4, sp6, relaxed (did you mean dp4?)",
    "box.yaml:10: drivers[1].type: found 'modbus'; allowed: gpio, line",
    f"box.yaml:12: inputs[0].kind: found 'panik'; allowed: {KIND_NAMES} (did you mean panic?)",
    "box.yaml:12: inputs[0].pin: found 99, allowed is a BCM number from 0 to 53",
    "box.yaml:15: inputs[1].pin: found '18'; allowed: a whole number",
    "box.yaml:17: inputs[1].debounce_ms: found 2000; allowed: a whole number from 0 to 1000 ms",
    "box.yaml:18: inputs[2].driver: found 'gpio1'; allowed: gpio0, relay8 (did you mean gpio0?)",
    "box.yaml:18: inputs[2].id: found 'alarm-2'; allowed: one that inputs[1].id in line 13 does not have already",
    "box.yaml:20: outputs: found the key a second time in line 20; allowed: once; it stands in line 19 already",
]


def test_a_file_with_thirteen_mistakes_gets_thirteen_lines(file: Path) -> None:
    assert mistakes(file, TWELVE) == TWELVE_AND_ONE


def test_the_same_mistakes_in_chinese_stand_on_the_same_lines(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLBOX_LANG", "zh")
    said = mistakes(file, TWELVE)
    assert [line.split(": ")[:2] for line in said] == [line.split(": ")[:2] for line in TWELVE_AND_ONE]
    assert all(any("一" <= letter <= "鿿" for letter in line) for line in said if "BCM" not in line)


def test_a_secret_in_an_url_is_not_repeated(file: Path) -> None:
    assert "hunter2" not in "\n".join(mistakes(file, TWELVE))


def test_a_mistyped_key_is_one_mistake_and_not_a_missing_one_too(file: Path) -> None:
    [said] = mistakes(file, SMALL.replace("kind:", "knd:"))
    assert said.startswith("box.yaml:7: inputs[0].knd: found an unknown key; allowed: id, driver, kind, ")
    assert said.endswith("(did you mean kind?)")


# ---- files that are no config


def test_a_file_that_is_missing_says_so(file: Path) -> None:
    with pytest.raises(ConfigErrors, match="No such file or directory; allowed: a readable config file"):
        load(file)


def test_a_folder_is_no_config(tmp_path: Path) -> None:
    with pytest.raises(ConfigErrors, match="Is a directory; allowed: a readable config file"):
        load(tmp_path)


def test_a_file_that_is_not_utf8_names_the_line_and_the_bytes(file: Path) -> None:
    gbk = SMALL.replace("id: b}", "id: b, name: 白塔路}").encode("gbk")
    assert mistakes(file, b"# comment\n" + gbk) == ["box.yaml:2: found the bytes b0; allowed: UTF-8"]


@pytest.mark.parametrize("text", ["", "\n", "# only a comment\n", "---\n"])
def test_an_empty_file_is_no_config(file: Path, text: str) -> None:
    [said] = mistakes(file, text)
    assert "allowed: a config: box, links, drivers, inputs" in said


@pytest.mark.parametrize("text", ["- a\n", "hello\n", "5\n"])
def test_a_file_that_is_not_keys_is_no_config(file: Path, text: str) -> None:
    [said] = mistakes(file, text)
    assert "allowed: a config: box, links, drivers, inputs" in said


def test_a_huge_file_is_refused_before_it_is_read(file: Path) -> None:
    said = mistakes(file, b"#" * (BYTES_MAX + 1))
    assert said == ["box.yaml: found 1000001 bytes; allowed: at most 1000000 bytes"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("box: {site: s\nlinks: []\n", "box.yaml:2: YAML: expected ',' or '}', but got ':'"),
        ("box:\n\tsite: s\n", "box.yaml:2: YAML: found character '\\t' that cannot start any token"),
        ("a: 1\nb: 2: 3\n", "box.yaml:2: YAML: mapping values are not allowed here"),
        ("a: 1\n---\nb: 2\n", "box.yaml:2: YAML: but found another document"),
        ("a: 1\nb: \x07\n", "box.yaml:2: YAML: special characters are not allowed: '\\x07'"),
        ("a: &x 1\nb: *x\n", "box.yaml:2: YAML: the alias *x is not allowed here: write the value out"),
        ("a: " + "[" * 30, "box.yaml:1: YAML: nested deeper than 20 levels"),
    ],
)
def test_yaml_that_cannot_be_read_names_its_line(file: Path, text: str, said: str) -> None:
    assert mistakes(file, text) == [said]


def test_an_alias_bomb_is_refused_at_its_first_alias(file: Path) -> None:
    bomb = "a: &a [x, x]\n" + "".join(
        f"{b}: &{b} [*{a}, *{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    )
    [said] = mistakes(file, bomb)
    assert said.startswith("box.yaml:2: YAML: the alias *a")


def test_a_tag_is_refused_and_runs_nothing(file: Path) -> None:
    said = mistakes(file, SMALL + "state_dir: !!python/object/apply:os.getcwd []\n")
    assert "box.yaml:8: state_dir: found the tag !!python/object/apply:os.getcwd; allowed: no tags" in said


def test_a_key_that_is_a_list_is_refused(file: Path) -> None:
    assert mistakes(file, SMALL + "? [a]\n: 1\n") == [
        "box.yaml:8: ?: found a key that is not plain text; allowed: plain text as a key"
    ]


# ---- one wrong thing each


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "links:\n  - url: mqtts://central.example\n",
            "",
            "1: links: found nothing; allowed: a list with at least one",
        ),
        ("  - url: mqtts://central.example\n", "  []\n", "2: links: found a list of 0; allowed: a list with at least"),
        ("mqtts://central.example", "http://h", "3: links[0].url: found 'http://h'; allowed: mqtt://HOST"),
        ("mqtts://central.example", "mqtt://h:99999", "3: links[0].url: found 'mqtt://h:99999'; allowed: mqtt://HOST"),
        ("mqtts://central.example", "mqtt://h/p", "3: links[0].url: found 'mqtt://h/p'; allowed: a path only with ws"),
        ("central.example", "h\n    cert: c.pem", "4: links[0].cert: found cert alone; allowed: cert and key together"),
        ("central.example", "h\n    key: c.key", "4: links[0].key: found key alone; allowed: cert and key together"),
        (
            "central.example",
            "h\n    password_file: p",
            "4: links[0].password_file: found password_file alone; allowed: a",
        ),
        ("central.example", "h\n    ca: 5", "4: links[0].ca: found 5; allowed: text"),
        (
            "id: b}",
            "id: 17}",
            "1: box.id: found 17; allowed: text like [a-z0-9][a-z0-9-]{0,39} (as text it stands in q",
        ),
        ("id: b}", "id: b, name: null}", "1: box.name: found nothing; allowed: text of at most 80 characters"),
        ("box: {site: s, id: b}", "box: yes", "1: box: found 'yes'; allowed: a group of these keys: site, id, name"),
        ("inputs:", "on: true\ninputs:", "6: on: found an unknown key; allowed: box,"),
        ("inputs:", "delivery: on\ninputs:", "6: delivery: found 'on'; allowed: receipt, puback"),
        ("inputs:", "state_dir:\ninputs:", "6: state_dir: found nothing; allowed: text"),
        (
            "inputs:",
            "receipt_timeout_s: 0.1\ninputs:",
            "6: receipt_timeout_s: found 0.1; allowed: a number from 1 to 300 s",
        ),
        (
            "inputs:",
            "receipt_timeout_s: .inf\ninputs:",
            "6: receipt_timeout_s: found '.inf'; allowed: a number from 1 to",
        ),
        (
            "inputs:",
            "central_key: abc\ninputs:",
            "6: central_key: found 'abc'; allowed: an Ed25519 public key: 32 bytes",
        ),
        (
            "inputs:",
            "retention: {days: 1.5}\ninputs:",
            "6: retention.days: found 1.5; allowed: a whole number from 1 to 3650 d",
        ),
        (
            "inputs:",
            "retention: {days: true}\ninputs:",
            "6: retention.days: found true; allowed: a whole number from 1 to",
        ),
        (
            "inputs:",
            "evidence: {recipients: [age1]}\ninputs:",
            "6: evidence.recipients[0]: found 'age1'; allowed: text like",
        ),
        ("inputs:", "paths: [{id: p}]\ninputs:", "6: paths[0].type: found nothing; allowed: dc09, sms"),
        (
            "inputs:",
            "paths: [{id: p, type: smss}]\ninputs:",
            "6: paths[0].type: found 'smss'; allowed: dc09, sms (did you m",
        ),
        (
            "inputs:",
            "operators: [{name: d, key: x, may: [clos]}]\ninputs:",
            "6: operators[0].key: found 'x'; allowed: an E",
        ),
        (
            "inputs:",
            "cameras: [{id: c, source: 'rtsp://u:p@h'}]\ninputs:",
            "6: cameras[0].source: found rtsp://***@…; all",
        ),
        (
            "inputs:",
            "outputs: [{id: o, driver: gpio0, role: lamp, pin: 1}]\ninputs:",
            "6: outputs[0].role: found 'lamp'; ",
        ),
        (
            "gpio}\n",
            "gpio}\n  - {id: gpio0, type: gpio}\n",
            "6: drivers[1].id: found 'gpio0'; allowed: one that drivers[0].",
        ),
        ("gpio}\n", "gpio, baud: 9600}\n", "5: drivers[0].baud: found an unknown key; allowed: id, type"),
        ("gpio}\n", "gpio}\n  - {id: p, type: line}\n", "6: drivers[1].port: found nothing; allowed: text"),
        (
            "gpio}\n",
            "gpio}\n  - {id: p, type: line, port: x, baud: 1}\n",
            "6: drivers[1].baud: found 1, allowed is a speed",
        ),
        ("type: gpio", "type: gipo", "5: drivers[0].type: found 'gipo'; allowed: gpio, line (did you mean gpio?)"),
        ("pin: 17,", "", "7: inputs[0].pin: found nothing; allowed: a whole number"),
        ("pin: 17", "pin: 17, normally: shut", "7: inputs[0].normally: found 'shut'; allowed: open, closed"),
        (
            "kind: panic",
            "kind: panic, cameras: [front]",
            "7: inputs[0].cameras[0]: found 'front'; allowed: an id from cam",
        ),
        (
            "  - {id: alarm-1, driver: gpio0, pin: 17, kind: panic}\n",
            "  - 5\n",
            "7: inputs[0]: found 5; allowed: a group",
        ),
        (
            "  - {id: alarm-1, driver: gpio0, pin: 17, kind: panic}\n",
            "  {}\n",
            "6: inputs: found a group of keys; allowed",
        ),
        (
            "panic}\n",
            "panic}\n  - {id: a2, driver: gpio0, pin: 17, kind: fire}\n",
            "8: inputs[1].pin: found 17; allowed: on",
        ),
        (
            "panic}\n",
            "panic}\noutputs:\n  - {id: l, driver: gpio0, pin: 17, role: feedback}\n",
            "9: outputs[0].pin: found 17; allowed: one that inputs[0].pin in line 7 does not have already",
        ),
        (
            "panic}\n",
            "panic}\noutputs:\n  - {id: alarm-1, driver: gpio0, pin: 1, role: feedback}\n",
            "9: outputs[0].id: found 'alarm-1'; allowed: one that inputs[0].id in line 7 does not have already",
        ),
        (
            "panic}\n",
            "panic}\noutputs:\n  - {id: l, driver: gpio0, pin: 1, role: siren, color: red}\n",
            "9: outputs[0].color: found red; allowed: a color only with role: feedback",
        ),
        (
            "gpio}\n",
            "gpio}\n  - {id: p, type: line, port: x}\noutputs:\n  - {id: l, driver: p, role: feedback}\n",
            "8: outputs[0].driver: found p, a wire without outputs; allowed: gpio0",
        ),
        (
            "gpio}\n",
            "gpio}\n  - {id: p, type: line, port: x}\ncameras: [{id: c, source: x}, {id: c, source: x}]\n",
            "7: cameras[1].id: found 'c'; allowed: one that cameras[0].id in line 7 does not have already",
        ),
    ],
)
def test_one_wrong_thing_is_named_with_its_line(file: Path, old: str, new: str, said: str) -> None:
    assert old in SMALL
    first, *more = mistakes(file, SMALL.replace(old, new, 1))
    assert first.startswith(f"box.yaml:{said}")
    assert not more or "operators" in new


def test_a_pattern_that_is_none_is_an_error_of_its_key(file: Path) -> None:
    line = "  - {id: p, type: line, port: x}\ninputs:\n  - {id: a, driver: p, kind: panic, pressed: '('}\n"
    [said] = mistakes(file, SMALL.replace("inputs:\n", line))
    assert said.startswith("box.yaml:8: inputs[0].pressed: found '('")


def test_garbage_never_gets_past_as_another_exception(file: Path) -> None:
    text = (FOLDER / "box.example.yaml").read_text(encoding="utf-8")
    for n in range(0, len(text), 211):
        for piece in ("", "\0", "[", "}", ": ", "\n- ", "'", "\\", "!", "\ud7ff", "9" * 5000):
            file.write_text(text[:n] + piece + text[n + 7 :], encoding="utf-8")
            try:
                load(file)
            except ConfigErrors as errors:
                assert all(str(error) for error in errors.errors)


def test_a_lone_surrogate_is_an_error_and_not_a_crash(file: Path) -> None:
    said = mistakes(file, SMALL.replace("id: b}", 'id: b, name: "\\ud800"}'))
    assert said == ["box.yaml:1: box.name: found '\\ud800'; allowed: UTF-8 without NUL"]


def test_a_nul_in_a_path_is_an_error_of_the_config_and_not_a_crash_of_the_start(file: Path) -> None:
    said = mistakes(file, SMALL + 'state_dir: "a\\0b"\n')
    assert [line.partition(" ")[2] for line in said] == ["state_dir: found 'a\\x00b'; allowed: UTF-8 without NUL"]


# ---- drivers of others


@dataclass(frozen=True)
class Nothing:
    pass


@dataclass(frozen=True)
class BadgeInput:
    codes: ClassVar[bool] = True
    kind: str
    keys_seen: tuple[int, ...] = field(default_factory=tuple)

    def __post_init__(self) -> None:
        if self.kind == "patrol" and not self.keys_seen:
            raise ValueError("this reader wants something else")


@dataclass(frozen=True)
class ContactInput:
    codes: ClassVar[bool] = False


class Badge:
    Options, Input, Output = Nothing, BadgeInput, None


class Contact:
    Options, Input, Output = Nothing, ContactInput, None


BADGE = SMALL.replace("type: gpio", "type: badge").replace("pin: 17, ", "")


@pytest.fixture
def badge(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    types = {"badge": Badge, "contact": Contact}
    monkeypatch.setattr(registry, "driver_type", types.__getitem__)
    monkeypatch.setattr(registry, "installed", lambda: sorted(types))
    return iter(())


@pytest.mark.usefixtures("badge")
def test_a_key_of_a_driver_named_as_a_common_one_gets_its_value(file: Path) -> None:
    assert loaded(file, BADGE.replace("panic", "scan")).inputs[0].keys.kind == "scan"


@pytest.mark.usefixtures("badge")
def test_a_button_cannot_be_an_input_that_gives_codes(file: Path) -> None:
    assert mistakes(file, BADGE) == [
        "box.yaml:7: inputs[0].kind: found 'panic'; allowed: scan, patrol: this input gives codes"
    ]


@pytest.mark.usefixtures("badge")
def test_a_scan_cannot_be_an_input_that_gives_none(file: Path) -> None:
    [said] = mistakes(file, BADGE.replace("badge", "contact").replace("panic", "scan"))
    assert said.startswith("box.yaml:7: inputs[0].kind: found 'scan'; allowed: scan only for an input that gives codes")


@pytest.mark.usefixtures("badge")
def test_a_drivers_own_words_stand_at_the_entry_when_they_name_no_key(file: Path) -> None:
    [said] = mistakes(file, BADGE.replace("panic", "patrol"))
    assert said == "box.yaml:7: inputs[0]: this reader wants something else"


def test_a_driver_that_cannot_be_imported_is_an_error_at_its_line(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> None:
        raise registry.NoDriverError(f"driver type {name!r} cannot be imported: no lgpio; install what it needs")

    monkeypatch.setattr(registry, "driver_type", broken)
    [said] = mistakes(file, SMALL)
    assert said.startswith("box.yaml:5: drivers[0].type: driver type 'gpio' cannot be imported")


# ---- each key does something

OTHER_KEY = "mnXQfSXCyqHRNAj-w2DxbXaytwKG3VvhVGiNrBWSlf4"
OTHER: dict[str, Any] = {
    "box.site": "x",
    "box.id": "x",
    "box.name": "x",
    "state_dir": "/x",
    "links.url": "mqtts://x",
    "links.ca": "/x",
    "links.cert": "/x",
    "links.key": "/x",
    "links.username_file": "/x",
    "links.password_file": "/x",
    "delivery": "puback",
    "central_key": OTHER_KEY,
    "receipt_timeout_s": 11,
    "profile": "sp6",
    "drivers.id": "x",
    "drivers.type": "line",
    "drivers.port": "/x",
    "drivers.baud": 300,
    "drivers.encoding": "gbk",
    "inputs.id": "x",
    "inputs.driver": "panel",
    "inputs.kind": "fire",
    "inputs.cameras": [],
    "inputs.debounce_ms": 30,
    "inputs.pin": 18,
    "inputs.normally": "closed",
    "inputs.pull": "down",
    "inputs.pressed": "x",
    "inputs.released": "x",
    "outputs.id": "x",
    "outputs.driver": "gpio1",
    "outputs.role": "siren",
    "outputs.color": "red",
    "outputs.pin": 28,
    "outputs.active": "low",
    "cameras.id": "x",
    "cameras.source": "x",
    "cameras.before_s": 11,
    "cameras.after_s": 21,
    "evidence.recipients": [],
    "paths.id": "x",
    "paths.type": "x",
    "paths.address": "tcp://x:1",
    "paths.account": "4321",
    "paths.when": "always",
    "paths.port": "/x",
    "paths.to": ["+8613900000000"],
    "operators.name": "x",
    "operators.key": OTHER_KEY,
    "operators.may": ["test"],
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
    return f"{config!r} {own!r}"


@pytest.mark.parametrize("key", OTHER)
def test_each_key_changes_the_config(file: Path, key: str) -> None:
    before = read(FOLDER / "box.example.yaml").value
    for wire in ("gpio1",):
        before["drivers"].append({"id": wire, "type": "gpio"})
    after = copy.deepcopy(before)
    group, _, name = key.rpartition(".")
    target = after[group] if group else after
    entry = next(each for each in target if name in each) if isinstance(target, list) else target
    entry[name] = OTHER[key]
    if key == "inputs.driver":
        entry |= {"pressed": "x"}
        for gone in ("pin", "normally", "pull"):
            del entry[gone]
    if key in ("drivers.id", "drivers.type", "cameras.id", "outputs.role", "paths.type"):
        # these are the names that other keys go by: the change is that they are missed
        assert mistakes(file, yaml.safe_dump(after, allow_unicode=True))
        return
    assert seen(loaded(file, yaml.safe_dump(after))) != seen(loaded(file, yaml.safe_dump(before)))


# ---- schema, notices, files


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


def test_a_whole_config_has_nothing_to_be_noticed(file: Path) -> None:
    key = base64.urlsafe_b64encode(bytes(32)).decode().rstrip("=")
    whole = f"central_key: {key}\noperators: [{{name: desk, key: {key}, may: [close]}}]\n"
    config = loaded(file, SMALL + whole)
    assert notices(config) == []
    assert (config.central_key, config.operators[0].key, config.operators[0].may) == (bytes(32), bytes(32), ("close",))


def test_what_is_allowed_and_unwise_or_idle_is_noticed(file: Path) -> None:
    idle = "cameras: [{id: c, source: /dev/video0}]\nretention: {days: 30}\n"
    siren = "outputs: [{id: o, driver: gpio0, pin: 1, role: siren}]\n"
    said = notices(loaded(file, SMALL.replace("mqtts://central.example", "mqtt://h") + idle + siren))
    assert [notice.split(" ")[0].rstrip(":") for notice in said] == [
        "links[0]",
        "no",
        "no",
        "cameras",
        "outputs[0]",
    ]
    assert notices(loaded(file, SMALL + "delivery: puback\n"))[0].startswith("delivery: puback counts")


def test_files_that_links_name_are_missed_with_their_line(file: Path) -> None:
    config = loaded(file, SMALL.replace("central.example", "h\n    ca: ca.pem\n    username_file: user"))
    (file.parent / "ca.pem").touch()
    [said] = missing_files(config)
    assert str(said).startswith(f"{file}:5: links[0].username_file: found {file.parent}/user, which is not there; ")


def test_everything_that_others_use_is_exported() -> None:
    assert all(hasattr(config_module, name) for name in config_module.__all__)
