"""How many bytes may be on their way to the broker at once. Pure, in virtual time.

A new alarm waits behind what is in flight already, so in flight is only what keeps the line busy: what it carries in
one round trip, and a little more. Nobody tells how much that is. It is found from the PUBACKs: how many bytes they
confirm in a second (the most of late), and how soon one came at best. A window that is too small makes the line look
slow, but with the little more it grows until the line is busy. What else is on the line (frames, on a connection of
their own) looks like a long way: so now and then a few messages go alone, one after the other, and the soonest answer
counts. The idea is that of BBR (Cardwell et al., ACM Queue 14:5, 2016).
"""

from typing import Final, NamedTuple

FIRST_BYTES: Final = 4_096
"""Half a second of the slowest link that we promise (64 kbit/s)."""
BYTES_MIN: Final = 1_024
BYTES_MAX: Final = 1_048_576
DELAY_S_MIN: Final = 0.002
DELAY_S_MAX: Final = 0.1
"""What an alarm may wait behind what is in flight, beyond the round trip: half of that, within these."""
RATE_S: Final = 1.0
RATE_ROUND_TRIPS: Final = 8
"""So long, whichever is more, a rate counts as the most of late, and twice as long at the most."""
BASE_S: Final = 30.0
"""So long a round trip counts as the shortest, and twice as long at the most: the way may have become another one."""
ALONE: Final = 4
"""Messages at the beginning of such a time that go alone."""


class Departure(NamedTuple):
    """A message on its way: how much had been confirmed when it left, and when the last of that was."""

    size: int
    sent_s: float
    confirmed: int
    confirmed_s: float


class Window:
    """The window of one session."""

    def __init__(self) -> None:
        self.bytes_max = FIRST_BYTES
        self.bytes = 0
        """In flight now."""
        self._alone = 0
        self._confirmed, self._confirmed_s = 0, 0.0
        self._full_s = float("-inf")
        # The best of this stretch of time, and of it and the one before.
        self._rate = self._rate_max = 0.0
        self._base_s = self._base_min_s = float("inf")
        self._rate_until_s = self._base_until_s = float("-inf")

    def room(self, now_s: float) -> int:
        """Bytes that may be sent now; whoever finds none would have sent more."""
        room = (0 if self._alone and self.bytes else self.bytes_max) - self.bytes
        if room <= 0:
            self._full_s = now_s
        return room

    def sent(self, size: int, now_s: float) -> Departure:
        """So many bytes leave."""
        if not self.bytes:
            self._confirmed_s = now_s  # a pause is no slowness of the line
        self.bytes += size
        return Departure(size, now_s, self._confirmed, self._confirmed_s)

    def acked(self, departure: Departure, now_s: float) -> None:
        """The broker has it."""
        size, sent_s, confirmed, confirmed_s = departure
        self.bytes -= size
        self._confirmed += size
        self._confirmed_s = now_s
        round_trip_s = now_s - sent_s
        if self._alone and not self.bytes:
            self._alone -= 1
        if now_s >= self._base_until_s:
            self._base_min_s, self._base_s = self._base_s, float("inf")
            self._base_until_s, self._alone = now_s + BASE_S, ALONE
        if round_trip_s < self._base_s:
            self._base_s = round_trip_s
            self._base_min_s = min(self._base_min_s, round_trip_s)
        rate = (self._confirmed - confirmed) / max(1e-6, now_s - confirmed_s)
        # What was slow because there was no more to send says nothing about the line.
        if rate > self._rate_max or self._full_s >= sent_s:
            self._measure(rate, now_s)

    def _measure(self, rate: float, now_s: float) -> None:
        if now_s >= self._rate_until_s:
            self._rate_max, self._rate = self._rate, 0.0
            self._rate_until_s = now_s + max(RATE_S, RATE_ROUND_TRIPS * self._base_min_s)
        self._rate = max(self._rate, rate)
        self._rate_max = max(self._rate_max, rate)
        wanted = self._rate_max * (self._base_min_s + min(DELAY_S_MAX, max(DELAY_S_MIN, self._base_min_s / 2)))
        self.bytes_max = int(min(BYTES_MAX, max(BYTES_MIN, wanted)))
