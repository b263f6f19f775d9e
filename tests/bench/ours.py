"""The box itself on the bench: the real daemon, a journal that owes what is wanted, hands, and a central (`sink`)."""

import json
import os
import random
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import cache
from math import inf
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from real_box import AMBER, NAME, RESET, ROOT, RealBox, until

from agent.events import Chain, Draft, Stamp, uuid7
from agent.journal import Journal
from agent.kinds import CLASSES, EventClass
from agent.mail import Write
from bench.load import CODE
from bench.peers import PAUSE_S
from bench.sink import Sink, of_box
from simulators.broker import Broker

BUTTONS = [*range(5, 17), *range(18, 23), 25, 26]
"""So many that no one is pressed more than ten times in 10 s: from then on presses are merged."""
ALARM_EVERY_S = (0.05, 0.08)
MAD = 17
"""A contact that nobody presses, and that chatters in one of the measurements."""
GROUP = 1000
BATCH = 500
"""What central asks for, of 500 at most (contract, section 3)."""


class _NoSigner:
    """Signatures of zeros, for backlogs: signing a million events takes longer than draining them."""

    alg, public = "Ed25519", bytes(32)

    def sign(self, _: bytes) -> bytes:
        return bytes(64)


def fill(file: Path, events: int) -> None:
    """A journal that owes so many scans, written by the journal's own code."""
    journal, rng, wall_us = Journal(file), random.Random(1), time.time_ns() // 1000
    chain = Chain(f"/callbox/{NAME}", journal.opened().name, "5f0c2a9e", _NoSigner())
    for first in range(0, events, GROUP):
        numbers = range(first, min(events, first + GROUP))
        drafts = [
            Draft(
                uuid7(wall_us + number, rng.getrandbits(74)),
                "scan.code",
                "desk",
                Stamp(1000 + number / 1000, wall_us + number, True),
                {"input": "desk", "code": CODE.format(number=number)},
            )
            for number in numbers
        ]
        journal.write([Write(events=tuple(map(chain.seal, drafts)))])
    journal.checkpoint()
    journal.close()


@cache
def _templates() -> TemporaryDirectory[str]:
    return TemporaryDirectory(prefix="callbox-bench-")


def give_backlog(state_dir: Path, events: int) -> None:
    """Puts a journal with `events` owed where a box without power finds it; it is made once a process."""
    state_dir.mkdir(exist_ok=True)
    if events:
        template = Path(_templates().name) / f"{events}.db"
        if not template.exists():
            fill(template, events)
        journal = state_dir / "journal.db"
        shutil.copy(template, journal)
        with journal.open("rb") as file:
            os.fsync(file.fileno())  # as a box left it: else the first checkpoint would write all of it


@contextmanager
def our_box(directory: Path, backlog: int = 0, broker: Broker | None = None, **changes: Any) -> Iterator[RealBox]:
    """A box without power that owes `backlog` scans, and its broker, which runs. Debounce is 0: nothing is subtracted.

    changes: of its config.
    """
    inputs = [_gpio(f"alarm-{pin}", pin, "panic") for pin in BUTTONS]
    inputs += [_gpio("reset", RESET, "reset"), _gpio("mad", MAD, "patrol") | {"debounce_ms": 20}]
    inputs += [{"id": "desk", "driver": "panel", "pressed": "^S:(?P<code>.+)$", "kind": "scan"}]
    broker = broker or Broker(directory=directory / "broker", persistence=True)
    own: dict[str, Any] = {"inputs": inputs, "receipt_timeout_s": 10, "central_key": None}
    with RealBox(directory, broker=broker, **own | changes) as box:
        give_backlog(box.state_dir, backlog)
        box.config["links"] = [{"url": f"mqtt://127.0.0.1:{broker.port}"}]
        del box.config["profile"]  # the times of dp4
        box.write_config()
        broker.start()
        yield box


@contextmanager
def fast_central(box: RealBox, batch: int = 0) -> Iterator[Sink]:
    """A central that takes as fast as Python can and stores nothing. batch: what it asks for; 0: one a message."""
    with Sink(of_box(box.broker.port, ROOT, batch)) as sink:
        yield sink.subscribed()


def _gpio(name: str, pin: int, kind: str) -> dict[str, Any]:
    return {"id": name, "driver": "gpio0", "pin": pin, "kind": kind, "debounce_ms": 0}


def edges(box: RealBox, after: int = 0) -> dict[int, float]:
    """boxseq, beyond `after`, of each press in the journal: the monotonic second at which the box saw its edge."""
    with closing(sqlite3.connect(f"file:{box.state_dir / 'journal.db'}?mode=ro", uri=True)) as db:
        rows = db.execute(
            "SELECT seq, body FROM events WHERE seq > ? AND class = ? ORDER BY seq", [after, CLASSES.index("alarm")]
        )
        found = [(seq, json.loads(body)["data"]) for seq, body in rows]
    return {seq: float(data["monotonic_s"]) for seq, data in found if data["transition"] == "raised"}


def recorded(box: RealBox, cls: EventClass) -> int:
    """How many events of a class are in the journal, by their ids: one that moved there from memory is one."""
    with closing(sqlite3.connect(f"file:{box.state_dir / 'journal.db'}?mode=ro", uri=True)) as db:
        [count] = db.execute(
            "SELECT count(DISTINCT json_extract(CAST(body AS TEXT), '$.id')) FROM events WHERE class = ?",
            [CLASSES.index(cls)],
        ).fetchone()
    return int(count)


class Hands(threading.Thread):
    """Presses one button after the other without waiting for any, between `start` and `stop`."""

    def __init__(
        self, box: RealBox, most: int = len(BUTTONS) * 8, every_s: tuple[float, float] = ALARM_EVERY_S
    ) -> None:
        super().__init__(daemon=True)
        self._box, self._most, self._every_s, self._over = box, most, every_s, threading.Event()
        self.pressed_s: list[float] = []

    def run(self) -> None:
        rng = random.Random(2)
        while len(self.pressed_s) < self._most and not self._over.wait(rng.uniform(*self._every_s)):
            self.pressed_s.append(self._box.press(BUTTONS[len(self.pressed_s) % len(BUTTONS)]))

    def stop(self) -> None:
        """Returns when the last press was made."""
        self._over.set()
        self.join()


def waits(box: RealBox, sink: Sink, pressed_s: Sequence[float], after: int = 0, until_s: float = inf) -> list[float]:
    """Seconds of each press from the hand to central; only of presses before `until_s`.

    The k-th press is the k-th alarm of the journal beyond `after`: one hand presses, and nothing is put back.
    """
    report = sink.wait(alarms=len(pressed_s))
    return [report.alarms[seq] - at_s for seq, at_s in zip(edges(box, after), pressed_s, strict=True) if at_s < until_s]


def press_to_lamp(
    box: RealBox, presses: int, between: Callable[[], None] = lambda: None, enough: Callable[[], bool] = lambda: False
) -> list[tuple[float, float]]:
    """(pressed s, lit s) of one press after the other, each put back before the next, with pauses in between.

    between: called in the middle of each pause. enough: when true, the rest is left out.
    """
    rng, pause, taken = random.Random(1), threading.Event(), list[tuple[float, float]]()
    while len(taken) < presses and not enough():
        for begin in (between, lambda: None):
            pause.wait(rng.uniform(*PAUSE_S))
            begin()
        button = BUTTONS[len(taken) % len(BUTTONS)]
        pressed_s = box.push(button)
        taken.append((pressed_s, box.lit(AMBER, pressed_s)))
        box.board.drive(button, 1)  # no hand lets go within the milliseconds that this takes
        box.press(RESET)
        until(lambda: not box.board.levels()[AMBER], "the lamp is dark")
    return taken
