"""The one way into the deciding thread: a mailbox in two lanes.

Readings of the world wait when the box is behind: that lane is bounded, and a full one holds the driver's thread, and
through it the kernel's buffer and the device. Answers (a commit, a PUBACK, a receipt) never wait: the box bounds them
by what it asked for, and its sessions by their window.
"""

import threading
from collections import deque
from typing import Final

from agent.mail import Arrived, Message
from drivers.contract import Reading

READINGS_MAX: Final = 1_000
ARRIVED_MAX: Final = 10_000
"""With so many answers waiting, further messages of central's are dropped and counted: only a broker that floods this
box gets there, and a receipt comes again."""


class Mailbox:
    """Readings in order, answers in order, answers first."""

    def __init__(self) -> None:
        self._readings: deque[Reading] = deque()
        self._answers: deque[Message] = deque()
        self._changed = threading.Condition()
        self.dropped = 0

    def put(self, reading: Reading) -> None:
        """From a driver; waits while a thousand others wait."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._readings) < READINGS_MAX)
            self._readings.append(reading)
            self._changed.notify_all()

    def answer(self, message: Message) -> None:
        """From a journal or a session; never waits."""
        with self._changed:
            if len(self._answers) >= ARRIVED_MAX and isinstance(message, Arrived):
                self.dropped += 1
                return
            self._answers.append(message)
            self._changed.notify_all()

    @property
    def readings(self) -> int:
        """How many wait."""
        return len(self._readings)

    def wake(self) -> None:
        """Lets `take` return."""
        with self._changed:
            self._changed.notify_all()

    def take(self, timeout_s: float, *, readings: bool = True) -> Message | Reading | None:
        """The next message; None when there was none in time. `readings` False leaves those where they are."""
        with self._changed:
            if not self._answers and not (readings and self._readings) and timeout_s > 0:
                self._changed.wait(timeout_s)
            if self._answers:
                return self._answers.popleft()
            if readings and self._readings:
                reading = self._readings.popleft()
                self._changed.notify_all()
                return reading
            return None
