"""The one way into the deciding thread: a mailbox in three lanes.

Readings of the world wait when the box is behind: their lane is bounded for each wire, and a full one holds that
driver's thread, and through it the kernel's buffer and the device. The wires take turns, so that a storm on one holds
up no press on another. Answers (a commit, a PUBACK) never wait: the box bounds them by what it asked for, and its
sessions by their window. What central says (receipts, commands) is bounded by nobody but its lane, and takes turns with
the readings, so that whoever floods this box with messages holds up no press.
"""

import threading
from collections import deque
from typing import Final

from agent.mail import Arrived, Message
from drivers.contract import Reading

READINGS_MAX: Final = 1_000
"""Of one wire."""
ARRIVED_MAX: Final = 1_000
"""With so many waiting, further messages of central's are dropped and counted: only a broker that floods this box gets
there, and a receipt comes again. At 64 KB each (agent/mqtt.py) they are 64 MB at the most."""


class Mailbox:
    """Each lane in order; answers first, then in turn a reading and a message of central's; the wires in turn too."""

    def __init__(self) -> None:
        self._readings: dict[str, deque[Reading]] = {}  # by wire, in the order of their turns
        self._answers: deque[Message] = deque()
        self._arrived: deque[Arrived] = deque()
        self._heard_central = False
        self._changed = threading.Condition()
        self.dropped = 0

    def put(self, wire: str, reading: Reading) -> None:
        """From a driver; waits while a thousand others of its wire wait."""
        with self._changed:
            lane = self._readings.setdefault(wire, deque())
            self._changed.wait_for(lambda: len(lane) < READINGS_MAX)
            lane.append(reading)
            self._changed.notify_all()

    def answer(self, message: Message) -> None:
        """From a journal or a session; never waits."""
        with self._changed:
            if not isinstance(message, Arrived):
                self._answers.append(message)
            elif len(self._arrived) < ARRIVED_MAX:
                self._arrived.append(message)
            else:
                self.dropped += 1
                return
            self._changed.notify_all()

    @property
    def readings(self) -> int:
        """How many wait."""
        return sum(map(len, self._readings.values()))

    def wake(self) -> None:
        """Lets `take` return."""
        with self._changed:
            self._changed.notify_all()

    def take(self, timeout_s: float, *, readings: bool = True) -> Message | Reading | None:
        """The next message; None when there was none in time. `readings` False leaves those where they are."""
        with self._changed:
            if not (self._answers or self._arrived or (readings and self.readings)) and timeout_s > 0:
                self._changed.wait(timeout_s)
            if self._answers:
                return self._answers.popleft()
            if readings and self.readings and (self._heard_central or not self._arrived):
                self._heard_central = False
                self._changed.notify_all()
                wire, lane = next((wire, lane) for wire, lane in self._readings.items() if lane)
                self._readings[wire] = self._readings.pop(wire)
                return lane.popleft()
            if self._arrived:
                self._heard_central = True
                return self._arrived.popleft()
            return None
