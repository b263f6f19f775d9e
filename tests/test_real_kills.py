"""SIGKILL of the real process at random instants, while hands press and scan and the broker goes down and up.

Some of the instants are those in which the lamp goes on: what it promised then must be on the disk already.

CALLBOX_KILLS is how often (6; `make soak`: 50), CALLBOX_SEED the seed of the instants.
"""

import json
import os
import random
import signal
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from real_box import AMBER, DEADLINE_S, LOOK_S, NAME, RESET, RealBox, until

from simulators.demo_script import faults

KILLS = int(os.environ.get("CALLBOX_KILLS", "6"))
SEED = int(os.environ.get("CALLBOX_SEED", str(time.time_ns() % 1_000_000)))
ALIVE_S_MAX = 0.6
TRAP_S = 5.0
BUTTONS = list(range(5, 17))  # many, so that none is pressed so often that its presses are merged


@dataclass
class Hands:
    """Presses and scans without an end, each press with the lamp dark and no alarm open before.

    pressed: monotonic s of each press; promised: those whose lamp went on; scanned: codes, each given once.
    """

    box: RealBox
    pressed: list[float] = field(default_factory=list)
    promised: list[float] = field(default_factory=list)
    scanned: list[str] = field(default_factory=list)
    done: threading.Event = field(default_factory=threading.Event)
    alive: threading.Event = field(default_factory=threading.Event)
    error: BaseException | None = None

    def work(self) -> None:
        try:
            while not self.done.is_set():
                if self.alive.wait(LOOK_S):
                    self.one()
                    self.done.wait(LOOK_S)
        except BaseException as error:  # noqa: BLE001  it is told to the test
            self.error = error

    def one(self) -> None:
        self.scanned.append(f"{len(self.scanned):06d}")
        self.box.panel.send(f"S:{self.scanned[-1]}\r\n".encode())
        status = self.box.status()
        if not status.get("armed"):
            return
        if status["open_alarms"]:
            self.box.press(RESET)
            return
        at_s = self.box.press(BUTTONS[len(self.pressed) % len(BUTTONS)])
        self.pressed.append(at_s)
        while True:
            alive = self.alive.is_set() and not self.done.is_set()
            if any(pin == AMBER and level and lit_s >= at_s for pin, level, lit_s in list(self.box.lamps)[-20:]):
                self.promised.append(at_s)
                return
            if not alive:
                return
            self.done.wait(0.001)


class Trap:
    """While it is set, the box is killed by the board's own thread in the moment in which the lamp goes on."""

    def __init__(self, box: RealBox) -> None:
        self._box, self._set, self._sprung = box, threading.Event(), threading.Event()
        box.board.watch(self._changed)

    def wait(self) -> bool:
        """Until it has sprung; False when no lamp went on in time."""
        self._sprung.clear()
        self._set.set()
        return self._sprung.wait(TRAP_S)

    def _changed(self, pin: int, level: int, _at_s: float) -> None:
        if pin == AMBER and level and self._set.is_set():
            self._set.clear()
            self._box.signal(signal.SIGKILL)
            self._sprung.set()


@pytest.mark.real
@pytest.mark.timeout(120 + 15 * KILLS)
def test_sigkill_at_random_instants_loses_and_repeats_nothing(tmp_path: Path) -> None:
    rng, pause = random.Random(SEED), threading.Event()
    inputs = [
        {"id": f"alarm-{pin}", "driver": "gpio0", "pin": pin, "kind": "panic", "debounce_ms": 0} for pin in BUTTONS
    ] + [
        {"id": "reset", "driver": "gpio0", "pin": RESET, "kind": "reset", "debounce_ms": 0},
        {"id": "desk", "driver": "panel", "pressed": "^S:(?P<code>.+)$", "kind": "scan"},
    ]
    with RealBox(tmp_path, inputs=inputs) as box:
        box.broker.start()
        box.start_central()
        hands = Hands(box)
        worker = threading.Thread(target=hands.work, name="hands", daemon=True)
        worker.start()
        trap, trapped, broker_kills = Trap(box), 0, 0
        for _ in range(KILLS):
            box.power_on()
            if rng.random() < 0.8:  # else it is killed somewhere in its start
                box.armed()
            hands.alive.set()
            pause.wait(rng.uniform(0, ALIVE_S_MAX))
            if rng.random() < 0.4:
                trapped += "INFO armed:" in box.said() and trap.wait()
            elif rng.random() < 0.6:
                broker_kills += box.broker.pid is not None
                box.broker.kill()
                pause.wait(rng.uniform(0, ALIVE_S_MAX))
            hands.alive.clear()
            box.kill()
            if rng.random() < 0.6:
                box.broker.start()
        hands.done.set()
        worker.join(DEADLINE_S)
        assert hands.error is None
        box.broker.start()
        box.power_on()
        box.armed()
        # the last word: a press and a scan after it all, so that the test cannot pass on a deaf box
        until(lambda: not (box.status()["open_alarms"] and box.press(RESET)), "no alarm is open")
        hands.pressed.append(box.press(BUTTONS[0]))
        box.lit(AMBER, hands.pressed[-1])
        hands.promised.append(hands.pressed[-1])
        box.owes_nothing()
        assert box.stop() == 0
        journal = box.journal()
        until(lambda: len(box.rows()) >= len(journal), "everything is at central")
        rows, events = box.rows(), [json.loads(body) for body in journal]

        # 0 lost: each byte of the journal is at central, and each promise is in the journal, once
        assert [row["payload"] for row in rows] == journal
        raised = [
            event["data"]["monotonic_s"]
            for event in events
            if event["data"].get("transition") == "raised" and event["type"] == "callbox.alarm.panic"
        ]
        ends = [*hands.pressed[1:], float("inf")]
        for at_s, end_s in zip(hands.pressed, ends, strict=True):
            found = sum(at_s <= when_s < end_s for when_s in raised)
            assert found <= 1, f"a press at {at_s} was recorded {found} times (seed {SEED})"
            assert found or at_s not in hands.promised, f"the lamp promised the press at {at_s} (seed {SEED})"
        # 0 repeated, nothing invented
        codes = [event["data"]["code"] for event in events if event["type"] == "callbox.scan.code"]
        assert len(set(codes)) == len(codes) and set(codes) <= set(hands.scanned)
        assert len({row["id"] for row in rows}) == len(rows)
        assert len(raised) <= len(hands.pressed)
        # boxseq without a gap, chain whole, every signature right: by central's own reading and by the box's
        assert [event["boxseq"] for event in events] == list(range(1, len(events) + 1))
        assert len({event["journal"] for event in events}) == 1
        assert faults([(NAME, row["class"], row["payload"]) for row in rows], events_key(box)) == []
        assert [row["problems"] for row in rows if row["problems"]] == []
        assert box.oddities() == []
        verified = box.callbox("verify", "--state-dir", str(box.state_dir))
        assert verified.returncode == 0, verified.stdout
        starts = [event["data"]["last_end"] for event in events if event["type"] == "callbox.status.started"]
        assert starts.count("crash") >= 1
        told = (
            f"{KILLS} kills, {trapped} of them as the lamp went on; {broker_kills} of the broker; {len(starts)} starts;"
            f" {len(hands.pressed)} presses,"
            f" {len(hands.promised)} promised by the lamp; {len(hands.scanned)} scan lines, {len(codes)} recorded;"
            f" {len(events)} events: 0 lost, 0 repeated (seed {SEED})"
        )
        print(told)  # noqa: T201  `make soak` shows it


def events_key(box: RealBox) -> str:
    """The box's public key, as `callbox keygen` prints it."""
    done = box.callbox("keygen", "--state-dir", str(box.state_dir))
    assert done.returncode == 0
    return done.stdout.decode().strip()
