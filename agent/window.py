"""How many bytes may be on their way to the broker at once. Pure, in virtual time.

A new alarm waits behind what is in flight already, so in flight is only what keeps the line busy: about what it carries
in one round trip, and a little more. Nobody tells how much that is. It is found from the PUBACKs: as long as they come
back as soon as they ever did, the window grows; when they come later by more than `delay_s`, something queues on the
way, and it shrinks (the idea is that of TCP Vegas and LEDBAT, RFC 6817).
"""

from typing import Final

FIRST_BYTES: Final = 4_096
"""Half a second of the slowest link that we promise (64 kbit/s)."""
BYTES_MAX: Final = 1_048_576
DELAY_S_MIN: Final = 0.002
"""What an alarm may wait on a fast line behind what is in flight; on others half of their round trip."""
BASE_S: Final = 60.0
"""For so long a round trip counts as the shortest: then the way may have become another one."""
SHRINK_MIN: Final = 0.5


class Window:
    """The window of one session."""

    def __init__(self) -> None:
        self.bytes_max = float(FIRST_BYTES)
        self.bytes = 0
        """In flight now."""
        self._base_s = self._next_base_s = float("inf")
        self._base_until_s = float("-inf")
        self._grows_fast = True
        self._was_full = False
        self._hold_until_s = float("-inf")

    def room(self) -> int:
        """Bytes that may be sent now; whoever finds none would have sent more."""
        room = int(self.bytes_max) - self.bytes
        self._was_full |= room <= 0
        return room

    def sent(self, size: int) -> None:
        """So many bytes are on their way."""
        self.bytes += size

    def acked(self, size: int, round_trip_s: float, now_s: float) -> None:
        """The broker has them, so long after they were handed over."""
        self.bytes -= size
        self._measure(round_trip_s, now_s)
        late_s = round_trip_s - self._base_s
        delay_s = max(DELAY_S_MIN, self._base_s / 2)
        if late_s > delay_s:
            self._grows_fast = False
            if now_s >= self._hold_until_s:  # once a round trip: what is in flight was sent with the old window
                self.bytes_max = max(FIRST_BYTES / 4, self.bytes_max * max(SHRINK_MIN, 1 - late_s / round_trip_s / 2))
                self._hold_until_s = now_s + round_trip_s
        elif self._was_full:
            self.bytes_max = min(BYTES_MAX, self.bytes_max + (size if self._grows_fast else self._step(size)))
        self._was_full = self._was_full and self.bytes >= self.bytes_max / 2

    def _step(self, size: int) -> float:
        """An eighth of the window more in a round trip."""
        return size / 8

    def _measure(self, round_trip_s: float, now_s: float) -> None:
        if now_s >= self._base_until_s:
            self._base_s, self._next_base_s = self._next_base_s, float("inf")
            self._base_until_s = now_s + BASE_S
        self._base_s = min(self._base_s, round_trip_s)
        self._next_base_s = min(self._next_base_s, round_trip_s)
