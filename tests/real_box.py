"""The real thing, for tests: a real `callbox run` on a simulated board and panel, a real broker, a bad link, a central.

Nothing here looks into the box: what it did is read from its lamps, its log, `callbox status` and `callbox events`, and
from central's store.
"""

import json
import os
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, Self, TypeVar

import paho.mqtt.client as mqtt
import pytest
import yaml
from paho.mqtt.enums import CallbackAPIVersion

from simulators.board import Board
from simulators.broker import Broker
from simulators.central.bucket import Bucket
from simulators.central.server import OPERATOR, Central
from simulators.central.wire import load_key, public
from simulators.demo_box import CALLBOX
from simulators.line import LinePanel
from simulators.process import spawn
from simulators.wan import Wan

DEADLINE_S = 40.0
"""What has not happened after so long, on a machine that does other things too, will not happen."""
LOOK_S = 0.01
STOP_S = 15.0
BUTTON, RESET, AMBER, GREEN, RED = 17, 4, 27, 23, 24
NAME = "test/box-1"
ROOT = f"callbox/1/{NAME}"
MAY = ["acknowledge", "close", "resend", "test"]

T = TypeVar("T")


def until(happened: Callable[[], T], what: str, deadline_s: float = DEADLINE_S) -> T:
    """The first true answer of `happened`; fails with `what` when there was none in time."""
    end_s, pause = time.monotonic() + deadline_s, threading.Event()
    while not (answer := happened()):
        told = what if time.monotonic() > end_s else ""
        assert not told, f"not within {deadline_s:.0f} s: {told}"
        pause.wait(LOOK_S)
    return answer


class RealBox:
    """A box with all that hangs on it, in `directory`. It starts without power: `power_on`.

    changes: merged over the config, key by key. links: instead of the one link, through `wan`, to `broker`.
    """

    def __init__(
        self,
        directory: Path,
        *,
        broker: Broker | None = None,
        links: list[dict[str, str]] | None = None,
        **changes: Any,
    ) -> None:
        self.directory, self.state_dir = directory, directory / "state"
        self.store, self.file = directory / "central.db", directory / "box.yaml"
        self.broker = broker or Broker(directory=directory / "broker")
        self.keys = {name: load_key(directory / f"{name}.pem") for name in ("operator", "central")}
        self.board, self.panel = Board(directory / "board"), LinePanel(directory / "panel")
        self.wan = Wan(0, ("127.0.0.1", self.broker.port))
        self.lamps: list[tuple[int, int, float]] = []
        """(pin, level, monotonic s) of each change of a lamp."""
        self.central: Central | None = None
        self.bucket: Bucket | None = None
        """Where the next central lets boxes put files."""
        self.under: list[str] = []
        """A command in front of the daemon's own, such as `ip netns exec NAME`; it must become the daemon, by exec."""
        self.more_environment: dict[str, str] = {}
        """Of the daemon alone, not of the other `callbox` commands."""
        self._stack = ExitStack()
        self._process: subprocess.Popen[bytes] | None = None
        self._runs = 0
        self.config: dict[str, Any] = {
            "box": {"site": "test", "id": "box-1", "name": "Test box"},
            "state_dir": str(self.state_dir),
            "links": links or [{"url": f"mqtt://127.0.0.1:{self.wan.port}"}],
            "profile": "sp6",
            "receipt_timeout_s": 1,
            "central_key": public(self.keys["central"]),
            "drivers": [
                {"id": "gpio0", "type": "gpio"},
                {"id": "panel", "type": "line", "port": self.panel.path},
            ],
            "inputs": [
                {"id": "alarm-1", "driver": "gpio0", "pin": BUTTON, "kind": "panic", "debounce_ms": 0},
                {"id": "reset", "driver": "gpio0", "pin": RESET, "kind": "reset", "debounce_ms": 0},
                {"id": "counter", "driver": "panel", "pressed": "^B2:1$", "kind": "holdup", "debounce_ms": 0},
                {"id": "desk", "driver": "panel", "pressed": "^S:(?P<code>.+)$", "kind": "scan"},
            ],
            "outputs": [
                {"id": "amber", "driver": "gpio0", "pin": AMBER, "role": "feedback", "color": "amber"},
                {"id": "green", "driver": "gpio0", "pin": GREEN, "role": "feedback", "color": "green"},
                {"id": "red", "driver": "gpio0", "pin": RED, "role": "feedback", "color": "red"},
            ],
            "operators": [{"name": OPERATOR, "key": public(self.keys["operator"]), "may": MAY}],
        } | changes
        self.write_config()

    def __enter__(self) -> Self:
        self._stack.enter_context(self.board)
        self._stack.callback(self.panel.close)
        self._stack.enter_context(self.wan)
        self._stack.callback(self.broker.stop)
        self._stack.callback(self.stop_central)
        self._stack.callback(self._end)
        pins = (AMBER, GREEN, RED)
        self.board.watch(lambda pin, level, at_s: self.lamps.append((pin, level, at_s)) if pin in pins else None)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    # ---- the box's power and programs

    def write_config(self) -> None:
        """Puts `config` where the box reads it."""
        self.file.write_text(yaml.safe_dump(self.config, allow_unicode=True, sort_keys=False), encoding="utf-8")

    @property
    def environment(self) -> dict[str, str]:
        gone = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
        kept = {key: value for key, value in os.environ.items() if key not in gone}
        return kept | {"GPIOZERO_PIN_FACTORY": "callbox-sim", "CALLBOX_SIM_BOARD": str(self.board.path)}

    def power_on(self) -> None:
        """Starts the daemon; `armed` waits for it."""
        self._runs += 1
        command = [*self.under, *CALLBOX, "run", "--config", str(self.file)]
        self._process = spawn(command, self.log, self.environment | self.more_environment)

    def armed(self) -> Self:
        """Waits until it says so in its log."""
        until(lambda: "INFO armed:" in self.said() or self.code is not None, "the box is armed")
        assert self.code is None, f"the box ended with {self.code}:\n{self.said()}"
        return self

    @property
    def log(self) -> Path:
        """Of the present run, or the last."""
        return self.directory / f"box-{self._runs}.log"

    def said(self) -> str:
        """What stands in that log."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def logged(self, text: str, deadline_s: float = DEADLINE_S) -> str:
        """Waits for a line with `text` in the log."""
        lines = until(
            lambda: [line for line in self.said().splitlines() if text in line], f"{text!r} in the log", deadline_s
        )
        return lines[0]

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def cpu_s(self) -> float:
        """Processor time that the daemon has taken, in user and kernel (proc(5)); /proc counts in 10 ms."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def code(self) -> int | None:
        """Its exit code; None while it runs."""
        return self._process.poll() if self._process else None

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL; its lamps go dark, as without power."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        for pin in (AMBER, GREEN, RED):
            self.board.release(pin)

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(STOP_S)

    def _end(self) -> None:
        if self._process is not None and self.code is None:
            self.kill()

    def callbox(self, *args: str) -> subprocess.CompletedProcess[bytes]:
        """Runs another `callbox` command on this machine."""
        return subprocess.run(
            [*CALLBOX, *args], capture_output=True, check=False, timeout=DEADLINE_S, env=self.environment
        )

    # ---- what it says of itself

    def status(self) -> dict[str, Any]:
        """`callbox status --json`, in this process; {} while nothing answers."""
        from agent.errors import BoxError
        from agent.status import ask

        try:
            return ask(self.state_dir) or {}
        except BoxError:
            return {}

    def journal(self) -> list[bytes]:
        """`callbox events --json`: each stored event's bytes, oldest first."""
        done = self.callbox("events", "--json", "--state-dir", str(self.state_dir))
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.splitlines()

    def owes_nothing(self, deadline_s: float = DEADLINE_S) -> None:
        """Waits until central has said that it stored everything."""
        until(lambda: self.status().get("link", {}).get("state") == "up", "the link is up", deadline_s)
        until(lambda: not any(self.status().get("pending", {"?": 1}).values()), "nothing is owed", deadline_s)

    # ---- hands

    def press(self, pin: int = BUTTON) -> float:
        """Pushes a button and lets it go; the monotonic second before."""
        at_s = self.push(pin)
        self.board.drive(pin, 1)
        return at_s

    def push(self, pin: int) -> float:
        """Pushes a button; the monotonic second before."""
        at_s = time.monotonic()
        self.board.drive(pin, 0)
        return at_s

    def lit(self, pin: int, since_s: float, deadline_s: float = DEADLINE_S) -> float:
        """When this lamp first went on after `since_s`, by the board's clock; waits for it."""
        times = until(
            lambda: [at_s for lamp, level, at_s in list(self.lamps) if lamp == pin and level and at_s >= since_s],
            f"lamp {pin} is lit",
            deadline_s,
        )
        return times[0]

    def press_until_lit(self, pin: int = BUTTON, lamp: int = AMBER) -> float:
        """A press whose lamp says that it is recorded; seconds between the two."""
        at_s = self.press(pin)
        return self.lit(lamp, at_s) - at_s

    def scan(self, code: str) -> None:
        line = f"S:{code}\r\n".encode()
        assert self.panel.send(line) == len(line)

    # ---- central

    def start_central(self) -> Central:
        """A central on the broker, with what it has stored until now."""
        url = f"mqtt://127.0.0.1:{self.broker.port}"
        keys = (self.directory / "operator.pem", self.directory / "central.pem")
        self.central = Central(url, self.store, 0, *keys, bucket=self.bucket)
        self.central.start()
        return self.central

    def stop_central(self) -> None:
        if self.central is not None:
            self.central.stop()
            self.central = None

    @contextmanager
    def _db(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(f"file:{self.store}?mode=ro", uri=True, timeout=10)) as db:
            yield db

    def stored(self, cls: str = "") -> list[dict[str, Any]]:
        """The events at central (of a class), in the order of their boxseq."""
        with self._db() as db:
            query = "SELECT payload FROM events WHERE ? IN ('', class) ORDER BY journal, seq"
            rows = db.execute(query, [cls]).fetchall()
        return [json.loads(row[0]) for row in rows]

    def rows(self) -> list[dict[str, Any]]:
        """Central's table `events`, in the order of their boxseq."""
        with self._db() as db:
            db.row_factory = sqlite3.Row
            return [dict(row) for row in db.execute("SELECT * FROM events ORDER BY journal, seq")]

    def oddities(self) -> list[tuple[str, str]]:
        """(topic, reason) of what central could not store as an event."""
        with self._db() as db:
            return db.execute("SELECT topic, reason FROM oddities").fetchall()

    def at_central(self, type: str, deadline_s: float = DEADLINE_S, **data: Any) -> dict[str, Any]:
        """Waits for an event of this type (without `callbox.`) with these `data` at central."""

        def found() -> list[dict[str, Any]]:
            return [
                event
                for event in self.stored()
                if event["type"] == f"callbox.{type}" and data.items() <= event["data"].items()
            ]

        return until(found, f"{type} {data} at central", deadline_s)[-1]


class Peer:
    """A bare MQTT client beside the box: hears what comes past under its root, and says what it likes."""

    def __init__(self, port: int, *, five: bool = True, topics: str | list[tuple[str, int]] = f"{ROOT}/#") -> None:
        self.heard: list[tuple[str, bytes, bool]] = []
        """(topic without the root, payload, retained)."""
        self._subscribed, self._acked = threading.Event(), threading.Condition()
        self._done: set[int] = set()
        version = mqtt.MQTTv5 if five else mqtt.MQTTv311
        self._paho = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=version)
        self._paho.on_connect = lambda client, *_: client.subscribe(topics, 1)
        self._paho.on_subscribe = lambda *_: self._subscribed.set()
        self._paho.on_message = lambda _c, _d, message: self._hear(message)
        self._paho.on_publish = lambda _c, _d, mid, *_: self._ack(mid)
        self._paho.connect("127.0.0.1", port)
        self._paho.loop_start()
        assert self._subscribed.wait(DEADLINE_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._paho.disconnect()
        self._paho.loop_stop()

    def _hear(self, message: mqtt.MQTTMessage) -> None:
        self.heard.append((message.topic.removeprefix(f"{ROOT}/"), bytes(message.payload), message.retain))

    def _ack(self, mid: int) -> None:
        with self._acked:
            self._done.add(mid)
            self._acked.notify_all()

    def say(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Publishes under the root; returns when the broker has it."""
        mid = self._paho.publish(f"{ROOT}/{topic}", payload, qos=1, retain=retain).mid
        with self._acked:
            assert self._acked.wait_for(lambda: mid in self._done, DEADLINE_S)

    def events(self) -> dict[str, dict[str, Any]]:
        """The events heard so far, alone or in batches, by id."""
        heard = [(topic.partition("/")[0], payload) for topic, payload, _ in list(self.heard)]
        found = [json.loads(payload) for topic, payload in heard if topic == "event"]
        found += [event for topic, payload in heard if topic == "batch" for event in json.loads(payload)]
        return {event["id"]: event for event in found}

    def state(self) -> dict[str, Any]:
        """The last state; {} before one."""
        states = [payload for topic, payload, _ in list(self.heard) if topic == "state"]
        return json.loads(states[-1]) if states else {}


@pytest.fixture
def box(tmp_path: Path) -> Iterator[RealBox]:
    """A box without power whose broker and central are well."""
    with RealBox(tmp_path) as box:
        box.broker.start()
        box.start_central()
        yield box
