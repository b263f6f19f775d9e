"""Hands at a real box that dies again and again, and what must be true of it afterwards."""

import json
import threading
from bisect import bisect_left
from collections.abc import Callable
from typing import Any, Self

from real_box import AMBER, DEADLINE_S, LOOK_S, NAME, RESET, RealBox, until

from simulators.demo_script import faults

TRAP_S = 5.0
BUTTONS = list(range(5, 17))  # many, so that none is pressed so often that its presses are merged
INPUTS: list[dict[str, Any]] = [
    *({"id": f"alarm-{pin}", "driver": "gpio0", "pin": pin, "kind": "panic", "debounce_ms": 0} for pin in BUTTONS),
    {"id": "reset", "driver": "gpio0", "pin": RESET, "kind": "reset", "debounce_ms": 0},
    {"id": "desk", "driver": "panel", "pressed": "^S:(?P<code>.+)$", "kind": "scan"},
]
"""The box's config: `RealBox(..., inputs=INPUTS)`."""


class Hands:
    """Presses and scans while `alive` is set, each press with the lamp dark and no alarm open before.

    pressed: monotonic s of each press; promised: those whose lamp went on; scanned: codes, each given once.
    """

    def __init__(self, box: RealBox) -> None:
        self.box = box
        self.pressed: list[float] = []
        self.promised: list[float] = []
        self.scanned: list[str] = []
        self.alive = threading.Event()
        self._scanning = threading.Lock()
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
        with self._scanning:
            self.scanned.append(f"{len(self.scanned):06d}")
            self.box.panel.send(f"S:{self.scanned[-1]}\r\n".encode())

    def _work(self) -> None:
        try:
            while not self._done.is_set():
                if self.alive.wait(LOOK_S):
                    self._one()
                    self._done.wait(LOOK_S)
        except BaseException as error:  # noqa: BLE001  it is told to the test
            self._error = error

    def _one(self) -> None:
        self.scan()
        status = self.box.status()
        if not status.get("armed"):
            return
        if status["open_alarms"]:
            self.box.press(RESET)
            return
        at_s = self.box.press(BUTTONS[len(self.pressed) % len(BUTTONS)])
        self.pressed.append(at_s)
        while True:
            alive = self.alive.is_set() and not self._done.is_set()
            if any(pin == AMBER and level and lit_s >= at_s for pin, level, lit_s in self.box.lamps[-20:]):
                self.promised.append(at_s)
                return
            if not alive:
                return
            self._done.wait(0.001)

    # ---- at the end

    def last_word(self) -> None:
        """A press after it all, so that no test passes on a deaf box; then nothing is owed, and the box is stopped."""
        box = self.box
        self._end()
        assert self._error is None and not self._thread.is_alive()
        until(lambda: not (box.status()["open_alarms"] and box.press(RESET)), "no alarm is open")
        self.pressed.append(box.press(BUTTONS[0]))
        box.lit(AMBER, self.pressed[-1])
        self.promised.append(self.pressed[-1])
        box.owes_nothing()
        assert box.stop() == 0

    def check(self, *, crashed: bool = True) -> str:
        """0 lost, 0 repeated, nothing invented, nothing hidden; the figures of it. The box is stopped.

        crashed: so many of its runs were cut short that one must have had its start on the disk.
        """
        box = self.box
        journal = box.journal()
        until(lambda: len(box.rows()) >= len(journal), "everything is at central")
        rows, events = box.rows(), [json.loads(body) for body in journal]
        # each promise is in the journal, once
        raised = sorted(
            event["data"]["monotonic_s"]
            for event in events
            if event["data"].get("transition") == "raised" and event["type"] == "callbox.alarm.panic"
        )
        promised = set(self.promised)
        for at_s, end_s in zip(self.pressed, [*self.pressed[1:], float("inf")], strict=True):
            found = bisect_left(raised, end_s) - bisect_left(raised, at_s)
            assert found or at_s not in promised, f"the lamp promised the press at {at_s}, and the journal has it not"
            assert found <= 1, f"the press at {at_s} was recorded {found} times"
        assert len(raised) <= len(self.pressed)
        codes = [event["data"]["code"] for event in events if event["type"] == "callbox.scan.code"]
        assert len(set(codes)) == len(codes) and set(codes) <= set(self.scanned)
        # the journal and central have the same, byte for byte
        at_central = [row["payload"] for row in rows]
        odd = next((pair for pair in zip(journal, at_central, strict=False) if pair[0] != pair[1]), None)
        assert odd is None, "the journal and central have two bodies of one event"
        assert len(at_central) == len(journal)
        assert len({row["id"] for row in rows}) == len(rows)
        # boxseq without a gap, chain whole, every signature right: by central's own reading and by the box's
        assert [event["boxseq"] for event in events] == list(range(1, len(events) + 1))
        assert len({event["journal"] for event in events}) == 1
        done = box.callbox("keygen", "--state-dir", str(box.state_dir))
        assert done.returncode == 0
        assert faults([(NAME, row["class"], row["payload"]) for row in rows], done.stdout.decode().strip()) == []
        assert [row["problems"] for row in rows if row["problems"]] == []
        assert box.oddities() == []
        verified = box.callbox("verify", "--state-dir", str(box.state_dir))
        assert verified.returncode == 0, verified.stdout
        assert list(box.state_dir.glob("*.aside-*")) == [], "a journal was taken for damaged"
        starts = [event["data"]["last_end"] for event in events if event["type"] == "callbox.status.started"]
        assert "crash" in starts or not crashed, starts
        return (
            f"{len(starts)} starts; {len(self.pressed)} presses, {len(self.promised)} promised by the lamp;"
            f" {len(self.scanned)} scan lines, {len(codes)} recorded; {len(events)} events: 0 lost, 0 repeated"
        )


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
