"""Mistakes in a config: all at once, each with its line, and in words that name what is allowed."""

import random
from pathlib import Path

import pytest
from config_file import FOLDER, SMALL, english, file, loaded, mistakes

from agent.config import ConfigErrors, load
from drivers import registry

__all__ = ["english", "file"]  # fixtures
LOOPBACK = "localhost", "127.0.0.1", "127.1.2.3", "[::1]"


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
  - {id: relay8, type: modbis, port: /dev/ttyS0, unit: 1}
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
KIND_NAMES = (
    "panic, duress, holdup, medical, fire, intrusion, tamper, ac, battery, scan, patrol, position, cancel, reset"
)
INSTALLED = ", ".join(name for name in registry.installed() if name not in ("dc09", "sms"))
TOP_KEYS = (
    "box, state_dir, links, delivery, central_key, key_file, receipt_timeout_s, profile, "
    "drivers, inputs, outputs, cameras, evidence, documents, previews, paths, lists, patrols, operators, "
    "neighbours, power, position, retention"
)
TWELVE_AND_ONE = [
    "box.yaml:1: box.site: found 'Jiangyang'; allowed: text like [a-z0-9][a-z0-9-]{0,39}",
    f"box.yaml:2: stat_dir: found an unknown key; allowed: {TOP_KEYS} (did you mean state_dir?)",
    "box.yaml:4: links[0].url: found mqtts://***@…; allowed: an address without user:password@; a secret never stands "
    "in this file, name a username_file and a password_file for a link",
    "box.yaml:6: links[1].ca: found mqtt://; allowed: ca only with mqtts:// or wss://",
    "box.yaml:7: profile: found 'dp5'; allowed: dp4, sp6, relaxed (did you mean dp4?)",
    f"box.yaml:10: drivers[1].type: found 'modbis'; allowed: {INSTALLED} (did you mean modbus?)",
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
        ("inputs:", "paths: [{id: p}]\ninputs:", "6: paths[0].type: found nothing; allowed: text"),
        (
            "inputs:",
            "paths: [{id: p, type: line}]\ninputs:",
            "6: paths[0].type: found 'line'; allowed: it stands in `drivers`",
        ),
        ("inputs:", "paths: [{id: p, type: sms, port: x}]\ninputs:", "6: paths[0].to: found nothing"),
        (
            "inputs:",
            "paths: [{id: p, type: dc09, address: x, account: '1234'}]\ninputs:",
            "6: paths[0].address: found 'x', allowed is tcp://HOST:PORT",
        ),
        ("type: gpio", "type: sms", "5: drivers[0].type: found 'sms'; allowed: it stands in `paths`"),
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
        *(
            ("inputs:", f"cameras: [{{id: c, source: {source}}}]\ninputs:", f"6: cameras[0].source: found {found}; all")
            for source, found in (
                ("ftp://h/film", "'ftp://h/film'"),
                ("'rtsp://'", "'rtsp://'"),
                ("'rtsp://h:0/1'", "'rtsp://h:0/1'"),
                ("'rtsp://h:x/1'", "'rtsp://h:x/1'"),
                ("'rtsp://[h/1'", "'rtsp://[h/1'"),
                ("'http://h/a b'", "'http://h/a b'"),
                ("''", "''"),
                ("' '", "' '"),
            )
        ),
        (
            "inputs:",
            "cameras: [{id: c, source: /dev/video0, credentials_file: secret}]\ninputs:",
            "6: cameras[0].credentials_file: found /dev/video0; allowed: an address in source",
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
        ("type: gpio", "type: gipo", f"5: drivers[0].type: found 'gipo'; allowed: {INSTALLED} (did you mean gpio?)"),
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
            "9: outputs[0].color: found 'red'; allowed: color only with role: feedback",
        ),
        (
            "panic}\n",
            "panic}\noutputs:\n  - {id: l, driver: gpio0, pin: 1, role: strobe, longest_s: 20}\n",
            "9: outputs[0].longest_s: found 20; allowed: longest_s only with role: siren",
        ),
        (
            "panic}\n",
            "panic}\noutputs:\n  - {id: l, driver: gpio0, pin: 1, role: siren, longest_s: 901}\n",
            "9: outputs[0].longest_s: found 901; ",
        ),
        (
            "panic}\n",
            'panic}\noutputs:\n  - {id: l, driver: gpio0, pin: 1, role: siren, safe: "on"}\n',
            "9: outputs[0].safe: found 'on'; allowed: safe only with role: relay",
        ),
        (
            "panic}\n",
            "panic}\noutputs:\n  - {id: l, driver: gpio0, pin: 1, role: siren, inputs: [alarm-9]}\n",
            "9: outputs[0].inputs[0]: found 'alarm-9'; allowed: alarm-1 (did you mean alarm-1?)",
        ),
        (
            "panic}\n",
            "holdup}\noutputs:\n  - {id: l, driver: gpio0, pin: 1, role: strobe, inputs: [alarm-1]}\n",
            "9: outputs[0].inputs[0]: found 'alarm-1'; allowed: no input of kind holdup (rule silent-siren: ",
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
    places = random.Random(1)
    for piece in ("", "\0", "[", "}", ": ", "\n- ", "'", "\\", "!", "\ud7ff", "9" * 5000):
        for n in places.sample(range(len(text)), 8):
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


@pytest.mark.parametrize(
    "put",
    [
        "http://media.example/bucket/",
        "https://media.example/bucket",
        "https://media.example",
        "https://u:p@media.example/bucket/",
        "https://media.example/bucket/?x/",
        "https://media.example/#/",
        "https://media.example:0/bucket/",
        "https://media.example:99999/bucket/",
        "https:///bucket/",
        "https://[::1/bucket/",
        "https://media.example/a b/",
        "ftp://media.example/",
        "",
    ],
)
def test_what_is_no_beginning_of_an_address_for_put_is_named(file: Path, put: str) -> None:
    [mistake] = mistakes(file, SMALL.replace("inputs:", f"evidence: {{put: ['{put}']}}\ninputs:"))
    assert "evidence.put[0]: found " in mistake
    assert "https://HOST" in mistake or "user:password" in mistake
    assert "u:p" not in mistake


@pytest.mark.parametrize("put", ["https://h/", "https://h:9000/b/c/", *(f"http://{h}:9/" for h in LOOPBACK)])
def test_an_address_over_tls_or_on_this_machine_is_a_beginning(file: Path, put: str) -> None:
    assert loaded(file, SMALL.replace("inputs:", f"evidence: {{put: ['{put}']}}\ninputs:")).evidence.put == (put,)
