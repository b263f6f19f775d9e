"""`callbox demo --once`: an outage and a crash in the middle of presses, and the proof that nothing was lost.

Every time is one that somebody saw: the board (press, lamp), the box (its event), a witness at the broker, central.
"""

import json
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from agent.text import t
from simulators.board import Board
from simulators.central.wire import ZERO_HASH, Topic, UnreadableError, read_event, verify
from simulators.demo_box import CALLBOX, DemoBox

BUTTON = "alarm-1"
HOLD_S = 0.1
STEP_S = 15.0
"""What has not happened after so long will not happen."""
LOOK_S = 0.01
DISK_LOOK_S = 0.001
STATIONS = ("stamped", "recorded", "sent", "received", "acknowledged")

Operator = Callable[[str, str], None]
"""operator(verb, alarm): `acknowledge` or `close` of the alarm with this id."""


class DemoError(Exception):
    """Something that should have happened did not; the text says what."""


@dataclass
class Press:
    """One press, in monotonic s; None: not seen.

    stamped: the event's own time; recorded: when another process saw it on the box's disk, so a millisecond late.
    """

    pressed_s: float
    stamped_s: float | None = None
    recorded_s: float | None = None
    sent_s: float | None = None
    received_s: float | None = None
    acknowledged_s: float | None = None

    def after_ms(self) -> dict[str, float | None]:
        """Milliseconds from the press to each station."""
        times = {name: getattr(self, f"{name}_s") for name in STATIONS}
        return {name: None if at is None else round((at - self.pressed_s) * 1000, 1) for name, at in times.items()}


@dataclass
class Report:
    """What happened when (milliseconds since the start, text), each press, and what is missing (empty: nothing)."""

    timeline: list[tuple[float, str]] = field(default_factory=list)
    presses: list[Press] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    events: int = 0
    repeats: int = 0
    files: int = 0
    bytes: int = 0
    """Of evidence, whole at central."""

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "ok": not self.problems,
            "problems": self.problems,
            "events": self.events,
            "repeats": self.repeats,
            "files": self.files,
            "media_bytes": self.bytes,
            "presses": [press.after_ms() for press in self.presses],
            "timeline": [{"ms": round(ms, 1), "text": text} for ms, text in self.timeline],
        }

    def lines(self) -> Iterator[str]:
        """For people: the table of the presses and the verdict. The timeline is printed while it happens."""
        yield ""
        if self.presses:
            yield from self._table()
        if self.problems:
            yield t("demo.lost")
            yield from (f"  {problem}" for problem in self.problems)
        else:
            yield t("demo.whole", presses=len(self.presses), events=self.events, repeats=self.repeats)

    def _table(self) -> Iterator[str]:
        titles = [t(f"demo.{name}") for name in ("press", *STATIONS)]
        yield t("demo.table")
        yield "".join(_cell(title) for title in titles)
        for number, press in enumerate(self.presses, start=1):
            cells = ["-" if ms is None else f"{ms:.0f} ms" for ms in press.after_ms().values()]
            yield "".join(_cell(cell) for cell in [str(number), *cells])
        yield ""


class Witness:
    """A subscriber beside central, at the broker itself: when each event first came past, and how often."""

    def __init__(self, port: int) -> None:
        self.seen_s: dict[str, float] = {}
        self.messages = 0
        self.state: dict[str, Any] = {}
        self.subscribed = threading.Event()
        self._paho = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="demo-witness", protocol=mqtt.MQTTv5)
        self._paho.on_connect = lambda client, *_: client.subscribe("callbox/1/#", 1)
        self._paho.on_subscribe = lambda *_: self.subscribed.set()
        self._paho.on_message = lambda _client, _data, message: self._note(message.topic, bytes(message.payload))
        self._paho.connect("127.0.0.1", port)
        self._paho.loop_start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._paho.disconnect()
        self._paho.loop_stop()

    def _note(self, topic: str, payload: bytes) -> None:
        now_s = time.monotonic()
        match topic.split("/")[4:]:
            case ["event", _]:
                events = [json.loads(payload)]
            case ["batch", _]:
                events = json.loads(payload)
            case ["state"]:
                self.state = json.loads(payload)
                return
            case _:
                return
        for event in events:
            self.seen_s.setdefault(event["id"], now_s)
            self.messages += 1


class Script:
    """The play. Raises DemoError where it cannot go on; `report` then holds what had happened until then."""

    def __init__(
        self,
        box: DemoBox,
        board: Board,
        witness: Witness,
        store: Path,
        state_dir: Path,
        operator: Operator,
        say: Callable[[str], None],
    ) -> None:
        self.report = Report()
        self._box, self._witness, self._store, self._state_dir = box, witness, store, state_dir
        self._operator, self._say = operator, say
        self._start_s = time.monotonic()
        self._wall_s = time.time() - self._start_s  # 1970 to the zero of the monotonic clock
        self._lamps: list[tuple[int, int, float]] = []
        board.watch(lambda pin, level, at_s: self._lamps.append((pin, level, at_s)))
        self._pins = {color: pin for pin, color in box.lamps.items()}

    def play(self) -> None:
        """press; link cut; three presses; power cut; start; link back; all at central; acknowledged; closed."""
        self._wait(self._box.armed.is_set, "demo.not.armed", log=self._box.log)
        self._wait(lambda: self._witness.state.get("online"), "demo.not.online")
        self._note("demo.did.armed")
        first = self._press()
        self._lit("amber", first.pressed_s)
        self._wait(lambda: len(self._raised()) >= 1, "demo.not.received", count=1)
        self._note("demo.did.received", count=1)
        self._box.set_link(up=False)
        self._note("demo.did.cut")
        for _ in range(3):
            self._press()
        self._wait(lambda: self._journal("alarm", "raised") >= 4, "demo.not.recorded")
        self._note("demo.did.recorded")
        self._box.set_power(on=False)
        self._note("demo.did.power_off")
        self._box.set_power(on=True)
        self._note("demo.did.power_on")
        self._wait(self._box.armed.is_set, "demo.not.armed", log=self._box.log)
        self._note("demo.did.armed")
        self._box.set_link(up=True)
        self._note("demo.did.restored")
        self._wait(lambda: len(self._raised()) >= 4, "demo.not.received", count=4)
        self._note("demo.did.received", count=4)
        case = self._raised()[0]["id"]
        asked_s = time.monotonic()
        self._operator("acknowledge", case)
        green_s = self._lit("green", asked_s)
        self._note("demo.did.acknowledged")
        for press in self.report.presses:
            press.acknowledged_s = green_s
        self._operator("close", case)
        self._wait(lambda: any(event["transition"] == "restored" for event in self._alarms()), "demo.not.closed")
        self._wait(lambda: not any(self._box.state()["outputs"].values()), "demo.not.dark")
        self._note("demo.did.closed")
        self._wait(self._pictured, "demo.not.pictured")
        self._note("demo.did.pictured", files=self.report.files, kb=round(self.report.bytes / 1000))
        self._wait(lambda: len(self._stored()) >= self._journal(), "demo.not.drained")
        self._check()

    def _press(self) -> Press:
        press = Press(time.monotonic())
        self.report.presses.append(press)
        self._box.press(BUTTON, down=True)
        self._note("demo.did.pressed", number=len(self.report.presses))
        press.recorded_s = self._on_disk(len(self.report.presses))
        pause = threading.Event()  # as long as a hand takes
        pause.wait(HOLD_S)
        self._box.press(BUTTON, down=False)
        pause.wait(HOLD_S)
        return press

    def _note(self, key: str, **values: object) -> None:
        ms = (time.monotonic() - self._start_s) * 1000
        self.report.timeline.append((ms, t(key, **values)))
        self._say(f"{ms:8.0f} ms  {self.report.timeline[-1][1]}")

    def _wait(self, happened: Callable[[], Any], key: str, look_s: float = LOOK_S, **values: object) -> None:
        deadline_s = time.monotonic() + STEP_S
        pause = threading.Event()
        while not happened():
            if not self._box.state()["power"]:
                raise DemoError(t("demo.not.alive", log=self._box.log))
            if time.monotonic() > deadline_s:
                raise DemoError(t(key, seconds=STEP_S, **values))
            pause.wait(look_s)

    def _lit(self, color: str, since_s: float) -> float:
        """When the lamp went on, by the board's clock."""

        def times() -> list[float]:
            pin = self._pins[color]
            return [at_s for lamp, level, at_s in self._lamps if lamp == pin and level and at_s >= since_s]

        self._wait(times, "demo.not.lit", color=t(f"demo.{color}"))
        return times()[0]

    def _on_disk(self, presses: int) -> float:
        """When the box's journal held so many alarms. A reader sees what was committed: fsync had returned."""
        journal = self._state_dir / "journal.db"
        with closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True)) as db:
            query = "SELECT count(*) >= ? FROM events WHERE class = 0"
            self._wait(lambda: db.execute(query, [presses]).fetchone()[0], "demo.not.recorded", look_s=DISK_LOOK_S)
        return time.monotonic()

    def _journal(self, cls: str = "", transition: str = "") -> int:
        """How many such events are on the box's disk, as `callbox events` tells it."""
        argv = [*CALLBOX, "events", "--json", "--state-dir", str(self._state_dir)]
        argv += ["--class", cls] if cls else []
        try:
            done = subprocess.run(argv, capture_output=True, check=True, timeout=STEP_S)
        except subprocess.SubprocessError as error:
            found = (getattr(error, "stderr", b"") or b"").decode(errors="replace").strip() or str(error)
            raise DemoError(t("demo.not.read", found=found)) from error
        return sum(transition in ("", json.loads(line)["data"].get("transition")) for line in done.stdout.splitlines())

    @contextmanager
    def _db(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(f"file:{self._store}?mode=ro", uri=True)) as db:
            yield db

    def _stored(self) -> list[tuple[str, str, bytes, str]]:
        """(box, class, payload, received_at) of each event at central, in the order of its boxseq."""
        with self._db() as db:
            return db.execute("SELECT box, class, payload, received_at FROM events ORDER BY seq").fetchall()

    def _alarms(self) -> list[dict[str, Any]]:
        """{"id", "transition", "time", "received_at"} of the button's events at central."""
        rows = [(json.loads(payload), at) for _, cls, payload, at in self._stored() if cls == "alarm"]
        return [
            {"id": event["id"], "time": event["time"], "received_at": at, "transition": event["data"].get("transition")}
            for event, at in rows
            if event.get("subject") == BUTTON
        ]

    def _raised(self) -> list[dict[str, Any]]:
        return [event for event in self._alarms() if event["transition"] == "raised"]

    def _pictured(self) -> bool:
        """Whether the clip of the alarm has ended and each of its files is whole at central; counts them."""
        with self._db() as db:
            whole = {sha256 for [sha256] in db.execute("SELECT sha256 FROM media WHERE whole_at != ''")}
        told = [json.loads(payload) for _, cls, payload, _ in self._stored() if cls == "status"]
        clips = [event["data"] for event in told if event["type"] == "callbox.status.evidence"]
        named = {file["sha256"]: file["bytes"] for data in clips for file in data["files"]}
        self.report.files, self.report.bytes = len(named), sum(named.values())
        return bool(named) and named.keys() <= whole and any(data.get("last") for data in clips)

    def _monotonic(self, rfc3339: str) -> float:
        return datetime.fromisoformat(rfc3339).timestamp() - self._wall_s

    def _check(self) -> None:
        """Is each press at central once, the numbering without a gap, the chain whole and signed by the box?"""
        report = self.report
        raised = self._raised()
        if len(raised) != len(report.presses):
            report.problems.append(t("demo.bad.presses", found=len(raised), wanted=len(report.presses)))
        for press, alarm in zip(report.presses, raised, strict=False):
            press.stamped_s = self._monotonic(alarm["time"])
            press.received_s = self._monotonic(alarm["received_at"])
            # central may be told a moment before the witness
            press.sent_s = min(self._witness.seen_s.get(alarm["id"], press.received_s), press.received_s)
        stored = self._stored()
        report.events = len(stored)
        report.repeats = max(0, self._witness.messages - len(stored))
        rows = [(box, cls, payload) for box, cls, payload, _ in stored]
        report.problems += faults(rows, self._witness.state.get("key", ""))


def faults(stored: list[tuple[str, str, bytes]], key: str) -> list[str]:
    """What is wrong with a box's events (box, class, payload), in the order of boxseq; `key` is the box's public key.

    They are to be numbered from 1 without a gap, chained, canonical and signed.
    """
    found: list[str] = []
    previous = ZERO_HASH
    for number, (box, cls, payload) in enumerate(stored, start=1):
        try:
            event = read_event(Topic(box, "event", cls), payload)
        except UnreadableError as error:
            return [*found, t("demo.bad.event", number=number, found=error.reason)]
        if event.seq != number:
            return [*found, t("demo.bad.gap", number=number, found=event.seq)]
        if event.prevhash != previous or not event.canonical:
            found.append(t("demo.bad.chain", number=number))
        if not verify(key, event.sig, event.body):
            found.append(t("demo.bad.signature", number=number))
        previous = event.hash
    return found


def _cell(text: str) -> str:
    """Padded to a column; Chinese characters are two columns wide."""
    return text + " " * (14 - sum(2 if ord(char) > 0x2E7F else 1 for char in text))
