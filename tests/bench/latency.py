"""How long a press takes, on loopback, with the real process: `make bench`, on a machine that is quiet.

Beside it, in the same run and with the same pauses between, what the same bytes cost without a box: a bare SQLite
commit with synchronous=FULL on the same disk, and a bare paho round trip through the same broker (a message there, an
answer back, QoS 1, TCP_NODELAY). A press needs one such commit before its lamp, and the round trip and two commits (the
box's and central's) before central's receipt is back; so the ratios say what the box itself adds.

The inputs have debounce_ms 0 here: nothing is subtracted. In a real box the lamp waits for its debounce (20 ms) too.
"""

import json
import logging
import os
import random
import sys
import tempfile
import threading
from math import ceil
from pathlib import Path
from typing import Any

from real_box import AMBER, DEADLINE_S, RESET, ROOT, RealBox, until

from bench.bare import Client, Commit, RoundTrip

PRESSES = int(os.environ.get("CALLBOX_PRESSES", "200"))
WARM_UP = 10
PAUSE_S = (0.05, 0.10)
BUTTONS = [*range(5, 17), *range(18, 23), 25, 26]
"""So many that no one is pressed more than ten times in 10 s: from then on presses are merged."""


class Witness:
    """When which event came past, and when central said that it has stored it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._events: list[dict[str, Any]] = []
        self._stored: dict[int, float] = {}
        self.body = b""

    def heard(self, topic: str, payload: bytes, now_s: float) -> None:
        message = json.loads(payload)
        with self._changed:
            if topic.endswith("/event/alarm"):
                self._events.append(message)
                self.body = payload
            elif topic.endswith("/receipt"):
                for first, last in [[1, message["through"]], *message["also"]]:
                    for event in self._events:
                        if first <= event["boxseq"] <= last:
                            self._stored.setdefault(event["boxseq"], now_s)
            self._changed.notify_all()

    def alarm(self, transition: str, after: int) -> int:
        """Waits for an alarm event with a boxseq above `after`; its boxseq."""

        def found() -> list[int]:
            here = [event for event in self._events if event["boxseq"] > after]
            return [event["boxseq"] for event in here if event["data"]["transition"] == transition]

        with self._changed:
            if not self._changed.wait_for(found, DEADLINE_S):
                raise TimeoutError(f"no alarm {transition} after {after}")
            return found()[0]

    def stored(self, seq: int) -> float:
        """Waits for the receipt that names it; when that came."""
        with self._changed:
            if not self._changed.wait_for(lambda: seq in self._stored, DEADLINE_S):
                raise TimeoutError(f"no receipt for {seq}")
            return self._stored[seq]


def measure(directory: Path) -> dict[str, list[float]]:
    """Seconds of each of the four, PRESSES times."""
    inputs = [
        {"id": f"alarm-{pin}", "driver": "gpio0", "pin": pin, "kind": "panic", "debounce_ms": 0} for pin in BUTTONS
    ]
    inputs.append({"id": "reset", "driver": "gpio0", "pin": RESET, "kind": "reset", "debounce_ms": 0})
    taken: dict[str, list[float]] = {name: [] for name in ("lamp", "store", "commit", "trip")}
    rng, pause, witness, seq = random.Random(1), threading.Event(), Witness(), 0
    with RealBox(directory, inputs=inputs, receipt_timeout_s=10) as box:
        box.broker.start()
        box.config["links"] = [{"url": f"mqtt://127.0.0.1:{box.broker.port}"}]
        box.write_config()
        box.start_central()
        with Client(box.broker.port, f"{ROOT}/#", witness.heard):
            box.power_on()
            box.armed().owes_nothing()
            trip, commit = RoundTrip(box.broker.port), Commit(directory / "bare.db")
            for number in range(WARM_UP + PRESSES):
                pause.wait(rng.uniform(*PAUSE_S))
                pressed_s = box.press(BUTTONS[number % len(BUTTONS)])
                lit_s = box.lit(AMBER, pressed_s)
                seq = witness.alarm("raised", seq)
                stored_s = witness.stored(seq)
                box.press(RESET)
                seq = witness.alarm("restored", seq)
                until(lambda: not box.board.levels()[AMBER], "the lamp is dark")
                pause.wait(rng.uniform(*PAUSE_S))
                committed = commit.take_s(witness.body)
                pause.wait(rng.uniform(*PAUSE_S))
                tripped = trip.take_s(witness.body)
                if number >= WARM_UP:
                    taken["lamp"].append(lit_s - pressed_s)
                    taken["store"].append(stored_s - pressed_s)
                    taken["commit"].append(committed)
                    taken["trip"].append(tripped)
            trip.close()
        say(f"{PRESSES} presses, {len(witness.body)} bytes an event, debounce_ms 0, no relay on the link")
    return taken


def table(taken: dict[str, list[float]]) -> list[str]:
    """Median, 99th percentile (nearest rank) and ratios."""

    def ms(name: str, share: float) -> float:
        values = sorted(taken[name])
        return values[ceil(len(values) * share) - 1] * 1000

    names = {
        "lamp": "press to lamp",
        "store": "press to central's receipt, after its commit",
        "commit": "bare SQLite commit, synchronous=FULL",
        "trip": "bare paho round trip",
    }
    needs = {"lamp": ["commit"], "store": ["commit", "commit", "trip"]}
    lines = [f"{'':46} {'median':>9} {'p99':>9}   {'over its bare parts':>20}"]
    for name, title in names.items():
        middle, late = ms(name, 0.5), ms(name, 0.99)
        ratio = ""
        if name in needs:
            bare = [sum(ms(part, share) for part in needs[name]) for share in (0.5, 0.99)]
            ratio = f"{middle / bare[0]:8.1f}x {late / bare[1]:8.1f}x"
        lines.append(f"{title:46} {middle:6.2f} ms {late:6.2f} ms   {ratio:>20}")
    return lines


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    logging.disable()  # central says that it took leave
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="callbox-bench-") as directory:
        lines = table(measure(Path(directory)))
    say(f"{os.cpu_count()} cores, load {load:.1f} before, {os.getloadavg()[0]:.1f} after")
    for line in lines:
        say(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
