"""The one way into the deciding thread: a mailbox in three lanes.

Readings of the world wait when the box is behind: their lane is bounded for each wire, and a full one holds that
driver's thread, and through it the kernel's buffer and the device. The wires take turns, so that a storm on one holds
up no press on another. Answers (a commit, a PUBACK) never wait: the box bounds them by what it asked for, and its
sessions by their window. What central says (receipts, commands) is bounded by nobody but its lane, and takes turns with
the readings, so that whoever floods this box with messages holds up no press.
"""

import threading
from collections import deque
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Final

from agent.mail import Arrived, Message
from drivers.contract import Code, Paper, Reading

READINGS_MAX: Final = 1_000
"""Of one wire."""
ARRIVED_MAX: Final = 1_000
"""With so many waiting, further messages of central's are dropped and counted: only a broker that floods this box gets
there, and a receipt comes again. At 64 KB each (agent/mqtt.py) they are 64 MB at the most."""


class Mailbox:
    """Each lane in order; answers first, then in turn a reading and a message of central's; the wires in turn too.

    Whoever puts something in rings a bell, once until the taker has looked. Lanes and bell are C: nobody waits for a
    lock whose owner waits for the interpreter.
    """

    def __init__(self) -> None:
        self._readings: dict[str, deque[Reading]] = {}
        self._turns: deque[str] = deque()
        self._answers: deque[Message] = deque()
        self._arrived: deque[Arrived] = deque()
        self._heard_central = False
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._rung = False
        self._room = threading.Condition()
        self._held = 0
        """Drivers that wait for room."""
        self.dropped = 0

    def put(self, wire: str, reading: Reading) -> None:
        """From a driver; waits while a thousand others of its wire wait."""
        lane = self._readings.get(wire)
        if lane is None:
            with self._room:
                if (lane := self._readings.get(wire)) is None:
                    lane = self._readings[wire] = deque()
                    self._turns.append(wire)
        if len(lane) >= READINGS_MAX:
            with self._room:
                self._held += 1
                self._room.wait_for(lambda: len(lane) < READINGS_MAX)
                self._held -= 1
        lane.append(reading)
        self.wake()

    def answer(self, message: Message) -> None:
        """From a journal or a session; never waits."""
        if not isinstance(message, Arrived):
            self._answers.append(message)
        elif len(self._arrived) < ARRIVED_MAX:
            self._arrived.append(message)
        else:
            self.dropped += 1
            return
        self.wake()

    @property
    def readings(self) -> int:
        """How many wait."""
        return sum(map(len, list(self._readings.values())))

    def wake(self) -> None:
        """Lets `take` return. May be called in a signal handler."""
        if not self._rung:
            self._rung = True
            self._bell.put(None)

    def take(self, timeout_s: float, *, readings: bool = True, codes: bool = True) -> list[Message | Reading]:
        """All answers that wait, and behind them one more: a reading or a message of central's, in turn.

        Empty when there was none in time, or somebody only rang. readings: False leaves those where they are. codes:
        False leaves the wires whose next reading is a code.
        """
        rung, self._rung = self._rung, False  # before looking: whoever comes after this rings again
        if rung:
            with suppress(Empty):
                self._bell.get_nowait()  # left in it, it would let the next call return with nothing
        lane = self._next_lane(codes) if readings else None
        if not (rung or lane or self._answers or self._arrived):
            with suppress(Empty):
                self._bell.get(timeout=max(0.0, timeout_s))
            self._rung = False
            lane = self._next_lane(codes) if readings else None
        taken: list[Message | Reading] = [self._answers.popleft() for _ in range(len(self._answers))]
        if lane and (self._heard_central or not self._arrived):
            self._heard_central = False
            self._turns.rotate(-1)
            taken.append(lane.popleft())
            if self._held:
                with self._room:
                    self._room.notify_all()
        elif self._arrived:
            self._heard_central = True
            taken.append(self._arrived.popleft())
        return taken

    def _next_lane(self, codes: bool) -> deque[Reading] | None:
        """The lane whose turn it is; its wire comes to the front."""
        for _ in range(len(self._turns)):
            lane = self._readings[self._turns[0]]
            if lane and (codes or not isinstance(lane[0], Code | Paper)):
                return lane
            self._turns.rotate(-1)
        return None
