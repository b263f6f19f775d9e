"""The demo: its hardware as the box meets it, its proof, and the whole of it as a program."""

import json
import os
import select
import signal
import socket
import sqlite3
import subprocess
import sys
import tty
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from queue import Queue
from threading import Event
from time import monotonic
from typing import Any
from urllib.request import Request, urlopen

import pytest
import rfc8785
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent import config
from simulators import demo_box
from simulators.board import Board
from simulators.central.wire import ZERO_HASH, b64, public, read_event, read_topic, signed
from simulators.demo import CONFIG
from simulators.demo_box import CALLBOX, DemoBox
from simulators.demo_script import faults
from simulators.line import LinePanel
from simulators.wan import Wan

DEADLINE_S = 15.0
STAND_IN = """
import json, os, socket, sys, threading
board = socket.socket(socket.AF_UNIX)
board.connect(os.environ["CALLBOX_SIM_BOARD"])
board.sendall(b'{"pin": 27, "level": 1}\\n')
manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
manager.connect(os.environ["NOTIFY_SOCKET"])
manager.send(b"READY=1\\nSTATUS=armed")
threading.Event().wait()
"""
"""Stands in for the box: lights amber, says that it is ready, stays."""


class Bench:
    """A DemoBox with everything around it, and the states that it told."""

    def __init__(self, directory: Path) -> None:
        self.board, self.panel = Board(directory / "board"), LinePanel(directory / "panel")
        self.board.start()
        self.wan = Wan(0, ("127.0.0.1", 1))
        self.wan.start()
        self.port = os.open(self.panel.path, os.O_RDWR | os.O_NOCTTY)
        tty.setraw(self.port)
        self.box = DemoBox(yaml.safe_load(CONFIG.read_text()), directory / "box.yaml", self.board, self.panel, self.wan)
        self.told: Queue[dict[str, Any]] = Queue()
        self.box.watch(self.told.put)

    def until(self, happened: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first state told in which it has happened."""
        while not happened(state := self.told.get(timeout=DEADLINE_S)):
            pass
        return state

    def close(self) -> None:
        self.box.stop()
        os.close(self.port)
        self.panel.close()
        self.wan.stop()
        self.board.stop()


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr(demo_box, "CALLBOX", [sys.executable, "-c", STAND_IN])
    around = Bench(tmp_path)
    yield around
    around.close()


def test_the_demo_config_is_a_valid_one() -> None:
    assert config.load(CONFIG).box.site == "demo"


def test_a_press_pulls_its_pin_down_and_a_contact_at_rest_is_closed(bench: Bench) -> None:
    assert bench.board.levels() == {17: 1, 22: 0}
    bench.box.press("alarm-1", down=True)
    bench.box.press("door", down=True)
    assert bench.board.levels() == {17: 0, 22: 1}
    assert bench.box.state()["inputs"] == {"alarm-1": True, "door": True, "counter": False}
    bench.box.press("alarm-1", down=False)
    assert bench.board.levels() == {17: 1, 22: 1}


def test_the_panel_says_presses_and_scans_as_lines(bench: Bench) -> None:
    bench.box.press("counter", down=True)
    bench.box.press("counter", down=True)
    bench.box.press("counter", down=False)
    bench.box.scan("票 (42)\\d")
    wanted = "B2:1\r\nB2:0\r\nS:票 (42)\\d\r\n".encode()
    heard = b""
    while len(heard) < len(wanted):
        assert select.select([bench.port], [], [], DEADLINE_S)[0], heard
        heard += os.read(bench.port, 100)
    assert heard == wanted


def test_an_input_that_is_not_there_is_an_error(bench: Bench) -> None:
    for name in ("alarm-2", "desk"):  # a scanner has nothing to hold down
        with pytest.raises(KeyError):
            bench.box.press(name, down=True)


def test_power_starts_the_box_and_its_loss_kills_it_and_darkens_the_lamps(bench: Bench) -> None:
    bench.box.set_power(on=True)
    assert bench.box.armed.wait(DEADLINE_S), bench.box.log.read_text()
    assert bench.until(lambda state: bool(state["outputs"]["amber"]))["power"]
    bench.box.set_power(on=False)
    assert not bench.box.armed.is_set()
    dark = bench.until(lambda state: not state["power"])
    assert not any(dark["outputs"].values())
    assert bench.board.levels()[27] == 0
    bench.box.set_power(on=True)
    assert bench.box.armed.wait(DEADLINE_S)


def test_a_box_that_dies_by_itself_has_no_power(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_box, "CALLBOX", [sys.executable, "-c", "raise SystemExit('no such luck')"])
    bench.box.set_power(on=True)
    bench.until(lambda state: not state["power"])
    assert "no such luck" in bench.box.log.read_text()


def test_the_link_switch_cuts_and_restores(bench: Bench) -> None:
    bench.box.set_link(up=False)
    assert bench.wan.mode == "cut"
    assert bench.until(lambda state: not state["link"])
    bench.box.set_link(up=True)
    assert bench.until(lambda state: bool(state["link"]))


KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
TOPIC = "callbox/1/demo/box-1/event/alarm"


def chain(count: int) -> list[tuple[str, str, bytes]]:
    """Events as a box makes them."""
    rows: list[tuple[str, str, bytes]] = []
    previous = ZERO_HASH
    for number in range(1, count + 1):
        event = {
            "id": f"id-{number}",
            "source": "/callbox/demo/box-1",
            "type": "callbox.alarm.panic",
            "time": "2026-11-22T01:33:20.123456Z",
            "journal": "9b1deb4d",
            "boxseq": number,
            "prevhash": previous,
            "data": {"transition": "raised"},
        }
        payload = signed(event, KEY)
        topic = read_topic(TOPIC)
        assert topic
        previous = read_event(topic, payload).hash
        rows.append(("demo/box-1", "alarm", payload))
    return rows


def test_the_proof_finds_a_whole_chain_whole() -> None:
    assert faults(chain(4), public(KEY)) == []


def test_the_proof_finds_a_missing_event() -> None:
    rows = chain(4)
    del rows[2]
    assert len(faults(rows, public(KEY))) == 1


def test_the_proof_finds_a_changed_event_and_the_break_after_it() -> None:
    rows = chain(4)
    event = json.loads(rows[1][2])
    event["data"]["count"] = 2
    rows[1] = (*rows[1][:2], rfc8785.dumps(event))
    assert len(faults(rows, public(KEY))) == 2  # its signature, and the next one's prevhash


def test_the_proof_finds_a_foreign_signature() -> None:
    assert len(faults(chain(3), b64(bytes(31) + b"\1"))) == 3


def test_the_proof_finds_what_is_no_event() -> None:
    assert len(faults([*chain(1), ("demo/box-1", "alarm", b"{")], public(KEY))) == 1


Demo = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    """`callbox demo` with its files in tmp_path, and a terminal of its own; killed in the end."""
    running: list[subprocess.Popen[str]] = []

    def start(*options: str, lang: str = "en") -> "subprocess.Popen[str]":
        env = os.environ | {"CALLBOX_LANG": lang, "TMPDIR": str(tmp_path)}
        program = subprocess.Popen(
            [*CALLBOX, "demo", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=env,
            start_new_session=True,
        )
        running.append(program)
        return program

    yield start
    for program in running:
        program.kill()
        program.communicate(timeout=DEADLINE_S)


def left_behind(directory: Path) -> list[str]:
    """Command lines of processes that work in this directory."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # it has just ended
            continue
        if str(directory) in line:
            found.append(line)
    return found


def wait_until(happened: Callable[[], Any], what: str) -> None:
    deadline_s = monotonic() + DEADLINE_S
    while not happened():
        assert monotonic() < deadline_s, what
        Event().wait(0.02)


@pytest.mark.real
@pytest.mark.parametrize("lang", ["en", pytest.param("zh", marks=pytest.mark.soak)])
def test_the_scripted_outage_loses_nothing_and_leaves_nothing_behind(demo: Demo, tmp_path: Path, lang: str) -> None:
    program = demo("--once", lang=lang)
    output, errors = program.communicate(timeout=90)
    assert program.returncode == 0, output + errors
    assert ("Nothing was lost" if lang == "en" else "没有丢失") in output
    assert list(tmp_path.iterdir()) == []
    assert left_behind(tmp_path) == []


@pytest.mark.soak
@pytest.mark.real
def test_the_scripted_outage_as_json_has_each_press_at_each_station(demo: Demo, tmp_path: Path) -> None:
    program = demo("--once", "--json")
    output, errors = program.communicate(timeout=90)
    assert program.returncode == 0, output + errors
    report = json.loads(output)
    assert report["ok"]
    assert len(report["presses"]) == 4
    for press in report["presses"]:
        times = [press[name] for name in ("stamped", "sent", "received", "acknowledged")]
        assert None not in times
        assert times == sorted(times)
    assert all(press["recorded"] is not None for press in report["presses"])


@pytest.mark.real
def test_the_demo_needs_no_mosquitto(tmp_path: Path) -> None:
    code = (
        "import sys, simulators.broker; from simulators.demo import main; simulators.broker.mosquitto = lambda: None; "
        "sys.exit(main(once=True, http_port=0, as_json=True))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["ok"]


@pytest.mark.real
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_to_all_of_the_terminal_stops_the_demo_in_order(
    demo: Demo, tmp_path: Path, number: signal.Signals
) -> None:
    program = demo("--port", "0")
    assert program.stdout
    assert "http://127.0.0.1:" in program.stdout.readline()
    assert left_behind(tmp_path)
    os.killpg(program.pid, number)
    output, errors = program.communicate(timeout=DEADLINE_S)
    assert program.returncode == 0, output + errors
    assert errors == ""
    assert list(tmp_path.iterdir()) == []
    assert left_behind(tmp_path) == []


@pytest.mark.real
def test_what_the_page_does_to_the_box_reaches_central_and_a_silent_button_lights_nothing(
    demo: Demo, tmp_path: Path
) -> None:
    program = demo("--port", "0")
    assert program.stdout
    url = program.stdout.readline().split()[-1]

    def wish(what: str, **values: object) -> None:
        headers = {"content-type": "application/json"}
        body = json.dumps(values).encode()
        urlopen(Request(f"{url}api/bench/{what}", body, headers), timeout=DEADLINE_S).close()  # noqa: S310

    def stored(kind: str) -> list[dict[str, Any]]:
        [store] = tmp_path.glob("callbox-demo-*/central.db")
        with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as db:
            rows = db.execute("SELECT payload FROM events WHERE type = ? ORDER BY seq", [f"callbox.{kind}"]).fetchall()
        return [json.loads(payload) for (payload,) in rows]

    wait_until(lambda: len(stored("status.started")) == 1, "the box did not start")
    wish("link", up=False)
    wish("press", input="counter", down=True)
    wish("press", input="counter", down=False)
    wish("scan", code="票 42")
    wish("link", up=True)
    wait_until(lambda: stored("alarm.holdup") and stored("scan.code"), "not both at central")
    assert stored("scan.code")[0]["data"]["code"] == "票 42"
    with urlopen(f"{url}api/state", timeout=DEADLINE_S) as answer:  # noqa: S310
        lit = json.load(answer)["bench"]["outputs"]
    assert lit == {"amber": False, "green": False, "red": False}
    wish("press", input="door", down=True)
    wait_until(lambda: stored("alarm.tamper"), "the tamper is not at central")
    wish("power", on=False)
    wish("power", on=True)
    wait_until(lambda: len(stored("status.started")) == 2, "the box did not start again")
    program.terminate()
    assert program.wait(DEADLINE_S) == 0


@pytest.mark.real
def test_nothing_survives_a_sigkill_of_the_demo(demo: Demo, tmp_path: Path) -> None:
    program = demo("--port", "0")
    assert program.stdout
    program.stdout.readline()
    program.kill()
    program.communicate(timeout=DEADLINE_S)
    wait_until(lambda: not left_behind(tmp_path), "a child outlived the demo")


@pytest.mark.real
def test_a_page_port_that_is_taken_is_an_error_that_keeps_the_files(demo: Demo, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        program = demo("--port", str(other.getsockname()[1]))
        _, errors = program.communicate(timeout=DEADLINE_S)
    assert program.returncode == 1
    assert "in use" in errors
    assert left_behind(tmp_path) == []
    assert list(tmp_path.glob("callbox-demo-*"))


def test_files_in_the_folder_where_the_demo_is_started_are_no_part_of_the_box(tmp_path: Path) -> None:
    (tmp_path / "argparse.py").write_text("raise SystemExit('somebody else's')")
    done = subprocess.run([*CALLBOX, "--help"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
