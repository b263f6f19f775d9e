"""When to open a session, over which link, when to give one up, and when to go back to a better link. Pure.

    down --retry or hurry--> connecting --SessionUp--> up --SessionDown, silence--> down
                                                        | a better link answers again, or this one delivers nothing
                                                        +--> a second session beside it; when it stands, this one ends

Backoff has full jitter (a fleet after an outage must not come back in step), and starts anew only after a session that
lasted; an alarm tries at once. Links that are not in use are asked now and then whether there is somebody (a TCP and
TLS handshake, no more: a second MQTT session of the same name would end the first), so that a spare that is dead is
known before it is needed. Nothing goes back to a link that has just failed, and ever later to one that fails again.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

Protocol = Literal["5", "3.1.1"]

BACKOFF_FIRST_S: Final = 1.0
STABLE_S: Final = 30.0
"""A session that stood this long was a good one: the backoff starts anew."""
STEADY_S: Final = 5.0
"""After so long in a session nothing is held against its link any more."""
HURRY_S: Final = 1.0
"""An alarm tries at once, but not more often than this."""
CONNECT_TIMEOUT_S: Final = 30.0
ACK_TIMEOUT_S: Final = 10.0
"""No PUBACK for the oldest message for so long: the link is half open."""
SWITCH_S: Final = 10.0
"""With several links: the next one, when this one has not connected, or delivered nothing, for so long."""
SWITCH_JITTER_S: Final = 0.5
"""A fleet whose first broker died does not come to the second in one instant."""
HANG_UPS: Final = 2
"""So many in a row without a word to our CONNECT: perhaps this broker does not know the protocol."""
RETURN_S: Final = 60.0
RETURN_S_MAX: Final = 3600.0
"""A better link is gone back to so long after it failed, and after twice as long each time that it failed again within
RETURNED_S."""
RETURNED_S: Final = 600.0
ANSWERS: Final = 2
"""In a row, before a link that failed is believed."""
ASK_S: Final = 20.0
"""How often a link is asked that failed, or that is better than the one in use."""


@dataclass(frozen=True, slots=True)
class Open:
    """Connect over link number `link` with this protocol. beside: a session stands, and goes on."""

    link: int
    protocol: Protocol
    beside: bool = False


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Drop the session, or the one that is being opened beside it."""

    reason: str
    beside: bool = False


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask link number `link` whether somebody is there."""

    link: int


Decision = Open | GiveUp | Ask


@dataclass(slots=True)
class Way:
    """What is known of one link. reason: what is wrong with it, "" for nothing, and since when.

    guessed: its protocol was changed without the broker's word; spoke_311: and a session stood. hold_s: how long after
    a failure it is left alone.
    asked: an answer is out; ask_s: when it is asked next; answers: good ones in a row.
    """

    protocol: Protocol = "5"
    guessed: bool = False
    spoke_311: bool = False
    hang_ups: int = 0
    reason: str = ""
    since_s: float = 0.0
    hold_s: float = RETURN_S
    held_until_s: float = 0.0
    asked: bool = False
    ask_s: float = 0.0
    answers: int = 0

    def well(self, now_s: float) -> None:
        if self.reason:
            self.reason, self.since_s = "", now_s

    def failed(self, now_s: float, reason: str) -> None:
        if not self.reason:
            self.since_s = now_s
        self.reason, self.answers, self.ask_s = reason, 0, now_s + ASK_S
        self.held_until_s = now_s + self.hold_s

    def served(self, now_s: float, for_s: float) -> None:
        """It failed after a session of so long: the sooner, the longer it is left alone."""
        self.hold_s = min(2 * self.hold_s, RETURN_S_MAX) if for_s < RETURNED_S else RETURN_S
        self.held_until_s = now_s + self.hold_s

    def free(self, now_s: float) -> bool:
        return not self.reason and now_s >= self.held_until_s

    def other_protocol(self, *, wrong: bool, hung_up: bool) -> bool:
        """Whether the broker is to be spoken to in the other one from now on. wrong: it said so itself."""
        self.hang_ups = self.hang_ups + 1 if hung_up else 0
        if not wrong and self.hang_ups < (1 if self.spoke_311 and self.protocol == "5" else HANG_UPS):
            return False
        self.hang_ups, self.guessed = 0, not wrong
        self.protocol = "3.1.1" if self.protocol == "5" else "5"
        return True


class Link:
    """The links of a box as one session, in the order of the config."""

    def __init__(self, links: int, retry_max_s: float, ask_s: float, rng: random.Random) -> None:
        """ask_s: how often a spare is asked."""
        self.ways = [Way() for _ in range(links)]
        self._retry_max_s, self._ask_s, self._rng = retry_max_s, ask_s, rng
        self.state: Literal["down", "connecting", "up"] = "down"
        self.since_s = 0.0
        self.index = 0
        self.beside: int | None = None
        """The link over which a second session is being opened."""
        self.reason = ""
        self._round = list(range(links))
        self._failures = 0
        self._retry_s = 0.0
        self._tried_s = -HURRY_S
        self._beside_s = 0.0

    @property
    def protocol(self) -> Protocol:
        return self.ways[self.index].protocol

    def start(self, now_s: float) -> None:
        self.since_s = self._retry_s = now_s

    # ---- what to do now

    def tick(self, now_s: float, oldest_ack_s: float | None, unanswered_s: float | None) -> list[Decision]:
        """What to do now.

        oldest_ack_s: since when the oldest message waits for its PUBACK. unanswered_s: since when what was sent has
        brought no receipt at all.
        """
        if self.state == "down" and now_s >= self._retry_s:
            self.state, self._tried_s = "connecting", now_s
            self.index = self._round.pop(0)
            return [Open(self.index, self.protocol)]
        if self.state == "connecting" and now_s >= self._tried_s + self._connect_timeout_s:
            return [GiveUp(f"no session within {self._connect_timeout_s:.0f} s")]
        if self.state != "up":
            return []
        if oldest_ack_s is not None and now_s >= oldest_ack_s + ACK_TIMEOUT_S:
            return [GiveUp(f"the broker has not answered for {ACK_TIMEOUT_S:.0f} s")]
        if now_s >= self.since_s + STEADY_S and unanswered_s is None:
            self.ways[self.index].well(now_s)
        if self.beside is not None:
            late = now_s >= self._beside_s + SWITCH_S
            return [GiveUp(f"no session within {SWITCH_S:.0f} s", beside=True)] if late else []
        other = self._free(now_s, self.ways[: self.index])
        if other is None and unanswered_s is not None and now_s >= unanswered_s + SWITCH_S:
            other = self._free(now_s, self.ways)
            if other is not None:
                way = self.ways[self.index]
                way.failed(now_s, f"central has not said for {SWITCH_S:.0f} s that it stored what went over this link")
                way.served(now_s, now_s - self.since_s)
        if other is not None:
            self.beside, self._beside_s = other, now_s
            return [Open(other, self.ways[other].protocol, beside=True)]
        return self._questions(now_s)

    def due_s(self, oldest_ack_s: float | None, unanswered_s: float | None) -> float | None:
        """When `tick` has something to say next."""
        if self.state == "down":
            return self._retry_s
        if self.state == "connecting":
            return self._tried_s + self._connect_timeout_s
        dues = [] if oldest_ack_s is None else [oldest_ack_s + ACK_TIMEOUT_S]
        if self.ways[self.index].reason and unanswered_s is None:
            dues.append(self.since_s + STEADY_S)
        if self.beside is not None:
            return min([*dues, self._beside_s + SWITCH_S])
        for at, way in enumerate(self.ways):
            if at == self.index:
                continue
            if not way.asked:
                dues.append(way.ask_s)
            if at < self.index and not way.reason:
                dues.append(way.held_until_s)
            elif unanswered_s is not None and not way.reason:
                dues.append(max(way.held_until_s, unanswered_s + SWITCH_S))
        return min(dues, default=None)

    @property
    def _connect_timeout_s(self) -> float:
        return CONNECT_TIMEOUT_S if len(self.ways) == 1 else SWITCH_S

    def _free(self, now_s: float, ways: Sequence[Way]) -> int | None:
        """The first of these links, but for the one in use, that nothing is held against."""
        return next((at for at, way in enumerate(ways) if at != self.index and way.free(now_s)), None)

    def _questions(self, now_s: float) -> list[Decision]:
        asked: list[Decision] = []
        for at, way in enumerate(self.ways):
            if at != self.index and not way.asked and now_s >= way.ask_s:
                way.asked = True
                asked.append(Ask(at))
        return asked

    # ---- what happened

    def up(self, now_s: float) -> None:
        """The session stands; the one that was opened beside another takes its place."""
        if self.beside is not None:
            self.index, self.beside = self.beside, None
        self.state, self.since_s, self.reason = "up", now_s, ""

    def answered(self, link: int, now_s: float, reason: str) -> None:
        """What a link that was asked said; reason: why not, "" when somebody was there."""
        way = self.ways[link]
        way.asked = False
        way.ask_s = now_s + (ASK_S if link < self.index or way.reason else self._ask_s)
        if self.state == "up" and link == self.index:
            return
        way.answers = 0 if reason else way.answers + 1
        if way.answers >= ANSWERS:
            way.well(now_s)
        elif reason and not way.reason:
            way.failed(now_s, reason)

    def down_beside(self, now_s: float, reason: str, *, wrong_protocol: bool = False, hung_up: bool = False) -> None:
        """The second session did not come to stand; the first goes on."""
        if self.beside is not None:
            way, self.beside = self.ways[self.beside], None
            way.other_protocol(wrong=wrong_protocol, hung_up=hung_up)
            way.failed(now_s, reason)
            way.served(now_s, 0.0)

    def down(self, now_s: float, reason: str, *, wrong_protocol: bool = False, hung_up: bool = False) -> None:
        """The session ended or never stood."""
        was, index, way = self.state, self.index, self.ways[self.index]
        self.reason = reason
        if was == "up" and self.beside is not None:  # a broker ends the first when it hears of the second
            self.state, self.index, self._tried_s, self.beside = "connecting", self.beside, self._beside_s, None
            self._round = self._others()
            return
        self.state = "down"
        way.failed(now_s, reason)
        at_once = bool(self._round)
        if was == "up":
            lasted_s, self.since_s = now_s - self.since_s, now_s
            way.served(now_s, lasted_s)
            if way.guessed:
                way.spoke_311 = way.protocol == "3.1.1"
                way.guessed, way.protocol = False, "5"
            if lasted_s >= STABLE_S:
                self._failures = 0
            self._round = [*self._others(), index]
            at_once = lasted_s >= STABLE_S and len(self.ways) > 1
        if way.other_protocol(wrong=wrong_protocol, hung_up=hung_up):
            self._round, at_once = [index, *(at for at in self._round if at != index)], False
        if at_once:
            self._retry_s = now_s + (self._rng.uniform(0, SWITCH_JITTER_S) if was == "up" else 0.0)
            return
        self._round = self._round or list(range(len(self.ways)))
        self._retry_s = now_s + self._rng.uniform(0, min(self._retry_max_s, BACKOFF_FIRST_S * 2**self._failures))
        self._failures = min(self._failures + 1, 16)

    def _others(self) -> list[int]:
        return [at for at in range(len(self.ways)) if at != self.index]

    def hurry(self, now_s: float) -> None:
        """An alarm wants out: try now, whatever the backoff says."""
        if self.state == "down":
            self._retry_s = min(self._retry_s, max(now_s, self._tried_s + HURRY_S))
