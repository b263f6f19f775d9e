"""The clock that everybody reads on an event, and the test that proves each day that the whole way works. Pure.

A wrong clock never stops an alarm: it is marked on each event (`timequality`), a step of it is an event that lets
central correct what came before, and a clock that nobody has set for long is a trouble.
"""

from hashlib import sha256
from typing import Final

from agent.events import Stamp
from agent.mail import Action
from agent.models import TestData
from agent.receiver_clock import ReceiverClock
from agent.recorder import Recorder

CLOCK_STEP_S: Final = 1.0
CLOCK_TROUBLE_S: Final = 600.0
"""So long without a source of time, and it is a trouble: at a start the first answer takes a minute or two."""
DAY_S: Final = 86_400.0
TEST_GAP_S: Final = DAY_S / 2
"""A clock that is set back does not make a second test of the same day."""


class Timekeeping:
    """Called at every tick."""

    def __init__(self, box: str, recorder: Recorder, out: list[Action]) -> None:
        """box: `{site}/{box}`; each has a second of the day of its own for the test: a fleet does not come at once."""
        self._recorder = recorder
        self.receiver = ReceiverClock(out)
        """Is told each fix of a satellite receiver."""
        self._offset_s = _offset_s(recorder.now)
        self._source = recorder.now.source
        self._unsynced_s = recorder.now.mono_s
        self._second = int.from_bytes(sha256(box.encode()).digest()[:4], "big") % DAY_S
        self._test_s = recorder.now.mono_s + self._until_the_second()

    def tick(self) -> None:
        """A step of the clock, a clock that nobody sets, the daily test."""
        now = self._recorder.now
        offset_s = _offset_s(now)
        step_s, self._offset_s = offset_s - self._offset_s, offset_s
        if abs(step_s) >= CLOCK_STEP_S or now.source != self._source:
            self._source = now.source
            self._recorder.record("status.clock", "clock", {"step_s": round(step_s, 6), "source": now.source})
            self._test_s = max(self._test_s - DAY_S + TEST_GAP_S, now.mono_s + self._until_the_second())
        if now.synced:
            self._unsynced_s = now.mono_s
            self._recorder.trouble_over("clock")
        elif now.mono_s >= self._unsynced_s + CLOCK_TROUBLE_S:
            self._recorder.trouble("clock", "nobody has set the clock for 10 minutes: check NTP, and the way to it")
        if now.mono_s >= self._test_s:
            self._test_s = now.mono_s + self._until_the_second(after_s=TEST_GAP_S)
            self._test()

    def due_s(self) -> float:
        """When the next test is due."""
        return self._test_s

    def _test(self) -> None:
        """The same way as an alarm, end to end; what troubles stand is told with it (Contact ID 608 instead of 602)."""
        data: TestData = {"test": True, "what": "daily"}
        if self._recorder.troubles:
            data["trouble"] = sorted(self._recorder.troubles)
        self._recorder.record("status.test", "box", data)

    def _until_the_second(self, after_s: float = 0.0) -> float:
        """Seconds until this box's second of the day, at least after_s from now."""
        wall_s = self._recorder.now.wall_us / 1e6
        return after_s + (self._second - wall_s - after_s) % DAY_S


def _offset_s(now: Stamp) -> float:
    return now.wall_us / 1e6 - now.mono_s
