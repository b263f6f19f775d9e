"""The threads of the ways out besides MQTT: each is opened, watched, and opened again when it failed."""

import random
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from agent import threads
from agent.path_mail import Offer, PathKeeps, PathSaid, PathStands, memory
from agent.path_text import report_of
from drivers.contract import DriverError, Path, Report

if TYPE_CHECKING:
    from agent.config import Config

BACKOFF_FIRST_S: Final = 1.0
BACKOFF_MAX_S: Final = 60.0
"""Between two tries of a way that fails, with jitter. A new alarm makes it try at once, after the first at least."""
STABLE_S: Final = 30.0

PathWord = PathSaid | PathStands | PathKeeps


class PathThread:
    """One path in its thread. It is the path's `PathHost`."""

    def __init__(
        self,
        name: str,
        path: Path,
        report: Callable[[Offer], Report | None],
        put: Callable[[PathWord], None],
        kept: str,
    ) -> None:
        """report: of what is offered. put: never waits. kept: what the path has remembered in earlier runs."""
        self.name, self.path = name, path
        self._report, self._put, self._kept = report, put, kept
        self._room = threading.Condition()
        self._journal = ""
        self._offered: Report | None = None
        self._given: tuple[str, int] | None = None
        self._stands = False
        self._stop = self._hurry = False
        self.progress_s = time.monotonic()
        self._thread: threading.Thread
        """Since `start`."""

    def start(self) -> None:
        self._thread = threads.start(self._run, f"path-{self.name}")

    def stop(self) -> None:
        """Asks the path to end; it does within about a second, unless the far end holds it up."""
        with self._room:
            self._stop = True
            self._room.notify_all()

    def join(self, timeout_s: float) -> None:
        self._thread.join(timeout_s)

    def offer(self, offer: Offer) -> None:
        """From the deciding thread: what is to be sent now."""
        report = self._report(offer)
        with self._room:
            self._journal, self._offered = offer.journal, report
            self._hurry |= report is not None and report.cls == "alarm"
            self._room.notify_all()

    # ---- drivers.contract.PathHost

    def next(self, wait_s: float) -> Report | None:
        until_s = time.monotonic() + wait_s
        with self._room:
            while self._alive() and self._offered is None and (left_s := until_s - time.monotonic()) > 0:
                self._room.wait(min(left_s, 1.0))
            report = None if self._stop else self._offered
            if report is not None:
                self._given = self._journal, report.seq
            return report

    def delivered(self, seq: int) -> None:
        self._judged(seq, "delivered", "")

    def refused(self, seq: int, reason: str) -> None:
        self._judged(seq, "refused", reason)

    def _judged(self, seq: int, state: str, reason: str) -> None:
        """Raises ValueError for a report that this path has not in hand: a fault in it."""
        with self._room:
            if self._given is None or self._given[1] != seq:
                raise ValueError(f"report {seq} was judged, and is not in hand")
            journal, self._given = self._given[0], None
            if self._offered is not None and (self._journal, self._offered.seq) == (journal, seq):
                self._offered = None
            self._stands = True
        self._put(PathSaid(self.name, journal, seq, "delivered" if state == "delivered" else "refused", reason))

    def good(self) -> None:
        if not self._stands:
            self._stands = True
            self._put(PathStands(self.name))

    def memory(self) -> str:
        return self._kept

    def remember(self, text: str) -> None:
        if text != self._kept:
            self._kept = text
            self._put(PathKeeps(self.name, text))

    def alive(self) -> bool:
        with self._room:
            return self._alive()

    def _alive(self) -> bool:
        self.progress_s = time.monotonic()
        return not self._stop

    # ---- the path's thread

    def _run(self) -> None:
        pause_s = BACKOFF_FIRST_S
        while self.alive():
            began_s = time.monotonic()
            reason = self._once()
            if not self.alive():
                return
            if time.monotonic() > began_s + STABLE_S:
                pause_s = BACKOFF_FIRST_S
            self._stands = False
            self._put(PathStands(self.name, reason))
            self._pause(random.uniform(pause_s / 2, pause_s))
            pause_s = min(2 * pause_s, BACKOFF_MAX_S)

    def _once(self) -> str:
        """Runs the path until it ends; why it did. A fault in it costs this way out, and never the box."""
        try:
            self.path.run(self)
        except DriverError as error:
            return str(error)
        except Exception as error:  # noqa: BLE001
            return f"{self.name}: {type(error).__name__}: {error}; a fault in the path: report it"
        return f"{self.name}: the path ended by itself; a fault in the path: report it"

    def _pause(self, seconds: float) -> None:
        """Waits, and goes on counting as alive; a new alarm ends it early."""
        began_s = time.monotonic()
        with self._room:
            self._hurry = False
            while self._alive():
                waited_s = time.monotonic() - began_s
                if waited_s >= seconds or (self._hurry and waited_s >= BACKOFF_FIRST_S):
                    return
                self._room.wait(min(1.0, seconds - waited_s))


class PathThreads:
    """Those of a config."""

    def __init__(self, config: "Config", put: Callable[[PathWord], None], settings: Mapping[str, str]) -> None:
        """settings: of the journal."""
        points = {entry.id: n for n, entry in enumerate(config.inputs, 1)}

        def report(offer: Offer) -> Report | None:
            return offer.event and report_of(offer.event, config.box.name, points, config.box.lang)

        self._threads = {
            entry.id: PathThread(entry.id, entry.make(), report, put, memory(settings, entry.id))
            for entry in config.paths
        }

    def start(self) -> None:
        for thread in self._threads.values():
            thread.start()

    def offer(self, offer: Offer) -> None:
        self._threads[offer.path].offer(offer)

    def stop(self, timeout_s: float) -> None:
        """All at once; who does not end in time is left alone."""
        for thread in self._threads.values():
            thread.stop()
        until_s = time.monotonic() + timeout_s
        for thread in self._threads.values():
            thread.join(max(0.0, until_s - time.monotonic()))

    def progress(self) -> dict[str, float]:
        """For the watchdog."""
        return {f"path {name}": thread.progress_s for name, thread in self._threads.items()}

    def noise(self) -> dict[str, int]:
        return {name: thread.path.noise for name, thread in self._threads.items()}
