"""Hands at a real box that dies again and again, and what must be true of it afterwards."""

import json
import os
import threading
import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable
from itertools import pairwise
from typing import Any, Self

from real_box import AMBER, DEADLINE_S, LOOK_S, NAME, RESET, RealBox, until

from agent.kinds import class_of
from simulators.demo_script import faults

SEED = int(os.environ.get("CALLBOX_SEED", str(time.time_ns() % 1_000_000)))
"""CALLBOX_SEED, or the clock: of what is random in a test that kills the box."""
ALIVE_S_MAX = 0.6
"""So long a box that is to be killed lives on at most."""
TRAP_S = 5.0
PATIENCE_S = 4.0
"""Without a disk and without a link no lamp goes on: hands wait for one so long, and go on."""
BUTTONS = list(range(5, 17))  # many, so that none is pressed so often that its presses are merged
INPUTS: list[dict[str, Any]] = [
    *({"id": f"alarm-{pin}", "driver": "gpio0", "pin": pin, "kind": "panic", "debounce_ms": 0} for pin in BUTTONS),
    {"id": "reset", "driver": "gpio0", "pin": RESET, "kind": "reset", "debounce_ms": 0},
    {"id": "desk", "driver": "panel", "pressed": "^S:(?P<code>.+)$", "kind": "scan"},
]
"""The box's config: `RealBox(..., inputs=INPUTS)`."""


def nothing_else(_at_s: float) -> bool:
    """Only what the lamp promised is owed."""
    return False


class Hands:
    """Presses and scans while `alive` is set, each press with the lamp dark and no alarm open before.

    pressed: (monotonic s, pin) of each press; promised: those whose lamp went on; scanned: (monotonic s, code), each
    code given once. pace_s: between two movements; codes: scanned beside each. at_the_panel: held while one is scanned.
    """

    def __init__(self, box: RealBox) -> None:
        self.box = box
        self.pressed: list[tuple[float, int]] = []
        self.promised: set[float] = set()
        self.scanned: list[tuple[float, str]] = []
        self.pace_s, self.codes = LOOK_S, 1
        self.alive = threading.Event()
        self.at_the_panel = threading.Lock()
        self._done = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="hands", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def _end(self) -> None:
        self._done.set()
        self._thread.join(DEADLINE_S)

    def scan(self) -> None:
        """One more code."""
        with self.at_the_panel:
            at_s, code = time.monotonic(), f"{len(self.scanned):06d}"
            line = f"S:{code}\r\n".encode()
            sent = self.box.panel.send(line)
            assert sent in (0, len(line)), "half a line: the port's buffer is full"
            if sent:
                self.scanned.append((at_s, code))

    def _press(self, pin: int) -> float:
        at_s = self.box.press(pin)
        self.pressed.append((at_s, pin))
        return at_s

    def _work(self) -> None:
        try:
            while not self._done.is_set():
                if self.alive.wait(LOOK_S):
                    self._one()
                    self._done.wait(self.pace_s)
        except BaseException as error:  # noqa: BLE001  it is told to the test
            self._error = error

    def _one(self) -> None:
        for _ in range(self.codes):
            self.scan()
        status = self.box.status()
        if not status.get("armed"):
            return
        if status["open_alarms"]:
            self.box.press(RESET)
            return
        at_s = self._press(BUTTONS[len(self.pressed) % len(BUTTONS)])
        while time.monotonic() < at_s + PATIENCE_S:
            alive = self.alive.is_set() and not self._done.is_set()
            if any(pin == AMBER and level and lit_s >= at_s for pin, level, lit_s in self.box.lamps[-20:]):
                self.promised.add(at_s)
                return
            if not alive:
                return
            self._done.wait(0.001)

    # ---- at the end

    def working(self) -> bool:
        """They are at it. Raises what ended them."""
        if self._error is not None:
            raise self._error
        return self._thread.is_alive()

    def last_word(self) -> None:
        """A press after it all, so that no test passes on a deaf box; then nothing is owed, and the box is stopped."""
        box = self.box
        assert self.working()
        self._end()
        assert not self._thread.is_alive()
        until(lambda: not (box.status()["open_alarms"] and box.press(RESET)), "no alarm is open")
        at_s = self._press(BUTTONS[0])
        box.lit(AMBER, at_s)
        self.promised.add(at_s)
        box.owes_nothing()
        assert box.stop() == 0

    def check(self, owed: Callable[[float], bool] = nothing_else, *, moved: bool = False, crashed: bool = True) -> str:
        """0 lost, 0 repeated, nothing invented, nothing hidden; the figures of it. The box is stopped.

        owed: whether a press of that monotonic second must have been recorded though no lamp promised it. moved: the
        box was in memory for a while. What it recorded then comes under that journal's name, and under the disk's with
        the same id once the disk is back: at the latest where it is `owed`; and twice, if the disk had it already.
        crashed: so many of its runs were cut short that one must have had its start on the disk.
        """
        box = self.box
        journal = box.journal()
        events = [json.loads(body) for body in journal]
        ids = {event["id"] for event in events}
        until(lambda: ids <= {row["id"] for row in box.rows()}, "everything is at central")
        rows = box.rows()
        at_central = [json.loads(row["payload"]) for row in rows]
        # each promise is kept, once
        self._check_presses(at_central if moved else events, owed)
        codes = [event["data"]["code"] for event in at_central if event["type"] == "callbox.scan.code"]
        assert len(set(codes)) == len(codes) and set(codes) <= {code for _, code in self.scanned}
        # the journal and central have the same, byte for byte
        [name] = {event["journal"] for event in events}
        bodies = defaultdict(list)
        for event, body in zip(events, journal, strict=True):
            bodies[event["id"]].append(body)
        assert len({row["id"] for row in rows}) == len(rows)
        assert moved or len(ids) == len(events)
        for event, row in zip(at_central, rows, strict=True):
            if row["journal"] == name:
                assert row["payload"] in bodies[row["id"]], "the journal and central have two bodies of one event"
            else:
                assert moved, f"central knows a journal {row['journal']} that nobody here has made"
                late = row["id"] not in bodies and owed(event["data"]["monotonic_s"])
                assert not late, f"{event['type']} of {row['journal']} is not in the journal: {event}"
        # boxseq without a gap, chain whole, every signature right: by central's own reading and by the box's
        assert [event["boxseq"] for event in events] == list(range(1, len(events) + 1))
        done = box.callbox("keygen", "--state-dir", str(box.state_dir))
        assert done.returncode == 0
        classes: list[str] = [class_of(event["type"].removeprefix("callbox.")) for event in events]
        read = [(NAME, cls, body) for cls, body in zip(classes, journal, strict=True)]
        assert faults(read, done.stdout.decode().strip()) == []
        assert [row["problems"] for row in rows if row["problems"]] == []
        assert box.oddities() == []
        verified = box.callbox("verify", "--state-dir", str(box.state_dir))
        assert verified.returncode == 0, verified.stdout
        assert list(box.state_dir.glob("*.aside-*")) == [], "a journal was taken for damaged"
        starts = [event["data"]["last_end"] for event in events if event["type"] == "callbox.status.started"]
        assert "crash" in starts or not crashed, starts
        return (
            f"{len(starts)} starts; {len(self.pressed)} presses, {len(self.promised)} promised by the lamp;"
            f" {len(self.scanned)} scan lines, {len(codes)} recorded; {len(rows)} events: 0 lost, 0 repeated"
        )

    def _check_presses(self, events: list[dict[str, Any]], owed: Callable[[float], bool]) -> None:
        raised: dict[str, list[float]] = defaultdict(list)
        for event in events:
            if event["type"] == "callbox.alarm.panic" and event["data"]["transition"] == "raised":
                raised[event["data"]["input"]].append(event["data"]["monotonic_s"])
        for pin in BUTTONS:
            seen_s = sorted(raised.pop(f"alarm-{pin}", []))
            times = [at_s for at_s, pressed in self.pressed if pressed == pin]
            for at_s, end_s in pairwise([*times, float("inf")]):
                found = bisect_left(seen_s, end_s) - bisect_left(seen_s, at_s)
                assert found or at_s not in self.promised, (
                    f"the lamp promised the press of {pin} at {at_s}, and it is lost"
                )
                assert found or not owed(at_s), f"the press of {pin} at {at_s} is lost"
                assert found <= 1, f"the press of {pin} at {at_s} was recorded {found} times"
            assert len(seen_s) <= len(times)
        assert not raised


class Trap:
    """While somebody waits, `strike` is called in the board's own thread in the moment in which the lamp goes on."""

    def __init__(self, box: RealBox, strike: Callable[[], None]) -> None:
        self._strike, self._sprung = strike, threading.Event()
        self._lock, self._set = threading.Lock(), False
        box.board.watch(self._changed)

    def wait(self) -> bool:
        """Until it has sprung; False when no lamp went on in time, and then it does not spring later either."""
        self._sprung.clear()
        with self._lock:
            self._set = True
        self._sprung.wait(TRAP_S)
        with self._lock:
            self._set = False
            return self._sprung.is_set()

    def _changed(self, pin: int, level: int, _at_s: float) -> None:
        with self._lock:
            if pin == AMBER and level and self._set:
                self._set = False
                self._strike()
                self._sprung.set()
