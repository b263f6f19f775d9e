"""The agent's side of a path, for tests: gives reports one after the other, and writes down what became of them."""

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from driver_host import DEADLINE_S, threaded

from drivers.contract import DriverError, Path, Report


def report(seq: int = 1, cid: int = 120, zone: int = 1, text: str = "Panic: alarm-1", **more: object) -> Report:
    """An alarm of 2026-11-22 01:52:28 UTC."""
    said = {"cls": "alarm", "qualifier": 1, "wall_s": 1_795_312_348.0, **more}
    return Report(seq=seq, cid=cid, zone=zone, text=text, **said)  # type: ignore[arg-type]


@dataclass
class RecordingPathHost:
    """`said`: what the path says, in order: ("good", 0, ""), ("delivered", 7, ""), ("refused", 7, reason)."""

    said: queue.SimpleQueue[tuple[str, int, str]] = field(default_factory=queue.SimpleQueue)
    error: DriverError | None = None
    stored: str = ""
    stopping: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)
    reports: list[Report] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def give(self, *reports: Report) -> None:
        with self._changed:
            self.reports += reports
            self._changed.notify_all()

    def take(self, what: str = "") -> tuple[str, int, str]:
        """The next that it says, but `good` unless asked for; raises queue.Empty after the deadline."""
        while True:
            said = self.said.get(timeout=DEADLINE_S)
            if said[0] != "good" or what == "good":
                return said

    def lost(self) -> DriverError:
        """Waits until `run` has raised."""
        assert self.ended.wait(DEADLINE_S), "run did not end"
        assert self.error is not None, "run returned"
        return self.error

    # ---- drivers.contract.PathHost

    def next(self, wait_s: float) -> Report | None:
        with self._changed:
            self._changed.wait_for(lambda: self.reports or self.stopping.is_set(), min(wait_s, 0.05))
            return self.reports[0] if self.reports else None

    def delivered(self, seq: int) -> None:
        self._judged(seq)
        self.said.put(("delivered", seq, ""))

    def refused(self, seq: int, reason: str) -> None:
        self._judged(seq)
        self.said.put(("refused", seq, reason))

    def _judged(self, seq: int) -> None:
        with self._changed:
            self.reports = [report for report in self.reports if report.seq != seq]

    def good(self) -> None:
        self.said.put(("good", 0, ""))

    def memory(self) -> str:
        return self.stored

    def remember(self, text: str) -> None:
        self.stored = text

    def alive(self) -> bool:
        return not self.stopping.is_set()


@contextmanager
def running(path: Path, *reports: Report, stored: str = "") -> Iterator[RecordingPathHost]:
    """`path.run` in a thread of its own until the block ends."""
    host = RecordingPathHost(stored=stored)
    host.give(*reports)
    with threaded(path.run, host):
        yield host
