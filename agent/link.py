"""When to open a session, over which link, and when to give one up. Pure, in virtual time.

    down --retry or hurry--> connecting --SessionUp--> up --SessionDown, silence--> down

Backoff has full jitter (a fleet after an outage must not come back in step), and starts anew only after a session
that lasted; an alarm tries at once.
"""

import random
from dataclasses import dataclass
from typing import Final, Literal

Protocol = Literal["5", "3.1.1"]

BACKOFF_FIRST_S: Final = 1.0
STABLE_S: Final = 30.0
"""A session that stood this long was a good one: the backoff starts anew."""
HURRY_S: Final = 1.0
"""An alarm tries at once, but not more often than this."""
CONNECT_TIMEOUT_S: Final = 30.0
ACK_TIMEOUT_S: Final = 10.0
"""No PUBACK for the oldest message for so long: the link is half open."""
HANG_UPS: Final = 2
"""So many in a row without a word to our CONNECT: perhaps this broker does not know the protocol."""
RETURN_S: Final = 300.0
RETURN_S_MAX: Final = 3600.0
"""On another link than the first: after so long the first is tried again, and after twice as long each time that it
was still dead, for a session that works is given up for it."""


@dataclass(frozen=True, slots=True)
class Open:
    """Connect over link number `link` with this protocol."""

    link: int
    protocol: Protocol


class Link:
    """The links of a box as one session, in the order of the config."""

    def __init__(self, links: int, retry_max_s: float, rng: random.Random) -> None:
        self._protocols: list[Protocol] = ["5"] * links
        self._retry_max_s, self._rng = retry_max_s, rng
        self.state: Literal["down", "connecting", "up"] = "down"
        self.since_s = 0.0
        self.index = 0
        self.reason = ""
        self._failures = 0
        self._retry_s = 0.0
        self._tried_s = -HURRY_S
        self._returning, self._return_s = False, RETURN_S
        self._hang_ups = [0] * links
        self._guessed: set[int] = set()
        """Links whose protocol was changed without the broker's word."""

    @property
    def protocol(self) -> Protocol:
        return self._protocols[self.index]

    def start(self, now_s: float) -> None:
        self.since_s = self._retry_s = now_s

    def tick(self, now_s: float, oldest_ack_s: float | None) -> Open | str | None:
        """What to do now: open a session, drop the present one (a reason), or nothing.

        oldest_ack_s: since when the oldest message waits for its PUBACK.
        """
        if self.state == "down" and now_s >= self._retry_s:
            self.state, self._tried_s = "connecting", now_s
            return Open(self.index, self.protocol)
        if self.state == "connecting" and now_s >= self._tried_s + CONNECT_TIMEOUT_S:
            return f"no session within {CONNECT_TIMEOUT_S:.0f} s"
        if self.state == "up" and oldest_ack_s is not None and now_s >= oldest_ack_s + ACK_TIMEOUT_S:
            return f"the broker has not answered for {ACK_TIMEOUT_S:.0f} s"
        if self.state == "up" and self.index and now_s >= self.since_s + self._return_s:
            self._returning, self._return_s = True, min(2 * self._return_s, RETURN_S_MAX)
            return "back to the first link"
        return None

    def due_s(self, oldest_ack_s: float | None) -> float | None:
        """When `tick` has something to say next."""
        if self.state == "down":
            return self._retry_s
        if self.state == "connecting":
            return self._tried_s + CONNECT_TIMEOUT_S
        dues = [] if oldest_ack_s is None else [oldest_ack_s + ACK_TIMEOUT_S]
        return min([*dues, self.since_s + self._return_s] if self.index else dues, default=None)

    def up(self, now_s: float) -> None:
        """The session stands."""
        self.state, self.since_s, self.reason = "up", now_s, ""
        if self.index == 0:
            self._return_s = RETURN_S

    def down(self, now_s: float, reason: str, *, wrong_protocol: bool = False, hung_up: bool = False) -> None:
        """The session ended or never stood."""
        was, index = self.state, self.index
        if was == "up":
            if now_s >= self.since_s + STABLE_S:
                self._failures = 0
            if index in self._guessed:
                self._guessed.remove(index)
                self._protocols[index] = "5"
            self.since_s = now_s
        self.state, self.reason = "down", reason
        if self._returning:
            self._returning, self.index, self._retry_s = False, 0, now_s
            return
        self._hang_ups[index] = self._hang_ups[index] + 1 if hung_up else 0
        if wrong_protocol or self._hang_ups[index] >= HANG_UPS:
            self._hang_ups[index] = 0
            self._protocols[index] = "3.1.1" if self.protocol == "5" else "5"
            (self._guessed.discard if wrong_protocol else self._guessed.add)(index)
        elif was == "connecting" and self.index + 1 < len(self._protocols):
            self.index += 1
            self._retry_s = now_s
            return
        else:
            self.index = 0
        self._retry_s = now_s + self._rng.uniform(0, min(self._retry_max_s, BACKOFF_FIRST_S * 2**self._failures))
        self._failures = min(self._failures + 1, 16)

    def hurry(self, now_s: float) -> None:
        """An alarm wants out: try now, whatever the backoff says."""
        if self.state == "down":
            self._retry_s = min(self._retry_s, max(now_s, self._tried_s + HURRY_S))
