"""The way to central: one session over one of the links, and what of the outbox goes over it. Pure.

It brings link and outbox together: it opens and drops sessions, publishes the retained state, keeps the window, and
turns receipts into what the journal may strike off.
"""

import random
from collections.abc import Callable
from typing import Final

from agent.canonical import canonical
from agent.commands import Receipt
from agent.events import Event
from agent.link import Ask, GiveUp, Link, Open
from agent.mail import (
    Acked,
    Action,
    Answered,
    Connect,
    Drop,
    Exit,
    Fetched,
    OwedAgain,
    Probe,
    Publish,
    SessionDown,
    SessionUp,
)
from agent.messages import BoxState, StateMessage, WillMessage
from agent.outbox import TOPIC_BYTES, Outbox
from agent.ranges import Range

NEWS_S: Final = 1.0
"""A trouble or a broken wire does not wait for the heartbeat; the state is not sent more often than this."""
NO_WORD: Final = 0x10
"""MQTT 5 reason code: nobody is subscribed. A PUBACK of MQTT 3.1.1 says no more than that: a refusal looks like it."""
REFUSED: Final = 0x80
"""MQTT 5 reason codes from here on are refusals."""
PUMP_BYTES_MAX: Final = 32_768
"""Handed to the session at once; then the loop looks whether somebody has pressed."""
STALL_S: Final = 30.0
"""Something could go, and nothing has gone for so long: a fault of ours. A new client first, then a new process."""
STALLS_S: Final = 600.0
STATE_BYTES_MAX: Final = 65_536


class Uplink:
    """What the deciding thread knows of central. Actions are appended to `out`."""

    def __init__(
        self,
        outbox: Outbox,
        link: Link,
        *,
        heartbeat_s: float,
        state: Callable[[], BoxState],
        rng: random.Random,
        out: list[Action],
    ) -> None:
        """state: makes the payload of `{root}/state`, without `session`."""
        self.outbox, self.link = outbox, link
        self.session = ""
        self._beside = ""
        """A second session, over another link, that is to take this one's place."""
        self.protocol = ""
        self.refusal = 0
        """The last reason code with which a broker refused an event; 0 since one was taken. It outlives sessions: a
        broker may hang up on who it refuses (mosquitto 2.0.11 does)."""
        self.nobody_listens = False
        """So the broker said when it last took an event."""
        self.taken_s = float("-inf")
        """When it last did."""
        self.silent_s: float | None = None
        """Since when what was sent has brought no receipt at all, over all sessions; None: nothing waits for one."""
        self._unanswered_s: float | None = None
        """The same of this session alone."""
        self.proven_s = self.proven_by_central_s = float("-inf")
        """When somebody there last answered: the broker or central, and central alone."""
        self.pumps = False
        """More could have gone at once, but for what came meanwhile."""
        self._sent_bytes = 0
        self.sessions = 0
        """How many have stood."""
        self._state, self._heartbeat_s, self._rng, self._out = state, heartbeat_s, rng, out
        self._limits: dict[str, int | None] = {}
        self._flight: dict[int, tuple[float, int]] = {}  # since when, and how many bytes
        self._token = 0
        self._up_seq = 0
        self._beat_s = 0.0
        self._told: object = None
        self._moved_s = 0.0
        self._stalled_s = float("-inf")
        self._said_goodbye = False

    def start(self, now_s: float) -> None:
        self.link.start(now_s)

    def replace(self, outbox: Outbox) -> None:
        """Goes on with another journal's outbox in the same session."""
        self.outbox = outbox
        if self.link.state == "up":
            outbox.session_up(**self._limits)
            self._up_seq = 0
            self._beat_s = -self._heartbeat_s

    # ---- sessions

    def up(self, message: SessionUp, now_s: float, seq: int) -> bool:
        """A session stands; False when it is an old one. seq: the last boxseq; events up to it are history."""
        if message.session == self._beside and self._beside:
            self._publish("state", will(self.session), now_s, retain=True)
            self._out.append(Drop(self.session))
            self._forget_session()
        elif message.session != self.session or self.link.state != "connecting":
            return False
        self.session, self._beside, self.sessions = message.session, "", self.sessions + 1
        self.link.up(now_s)
        self.protocol, self._up_seq = message.protocol, seq
        self._limits = {"receive_max": message.receive_max, "packet_bytes_max": message.packet_bytes_max}
        self._unanswered_s, self._moved_s = None, now_s
        self.outbox.session_up(**self._limits)
        self._publish_state(now_s)
        return True

    def down(self, message: SessionDown, now_s: float) -> bool:
        """The session ended; False when it is an old one, or one that was only being opened beside it."""
        why = {"wrong_protocol": message.wrong_protocol, "hung_up": message.hung_up}
        reason = f"{message.reason}; {message.hint}" if message.hint else message.reason
        if message.session == self._beside and self._beside:
            self._beside = ""
            self.link.down_beside(now_s, reason, **why)
            return False
        if message.session != self.session or self.link.state == "down":
            return False
        self.outbox.suspect()
        self._forget_session()
        self.link.down(now_s, reason, **why)
        if self.link.state == "connecting":
            self.session, self._beside = self._beside, ""
        return True

    def answered(self, message: Answered, now_s: float) -> None:
        """A link that was asked."""
        self.link.answered(message.link, now_s, message.reason)

    def tick(self, now_s: float) -> str | None:
        """Everything that is due. A reason when the session was given up."""
        dropped = None
        if (reason := self._stalled(now_s)) is not None:
            dropped = self._give_up(reason, now_s)
        for decision in self.link.tick(now_s, self._oldest_ack_s(), self._unanswered_s):
            match decision:
                case Open(link, protocol, beside):
                    name = f"{self._rng.getrandbits(32):08x}"
                    self._out.append(Connect(name, link, protocol))
                    if beside:
                        self._beside = name
                    else:
                        self.session = name
                case GiveUp(reason, beside=True):
                    self._out.append(Drop(self._beside))
                    self._beside = ""
                    self.link.down_beside(now_s, reason)
                case GiveUp(reason):
                    dropped = self._give_up(reason, now_s)
                case Ask(link):
                    self._out.append(Probe(link))
        if self._may_beat and (
            now_s >= self._beat_s + self._heartbeat_s
            or (now_s >= self._beat_s + NEWS_S and _health(self._state()) != self._told)
        ):
            self._publish_state(now_s)
        return dropped

    def _give_up(self, reason: str, now_s: float) -> str:
        self._out.append(Drop(self.session))
        self._forget_session()
        self.link.down(now_s, reason)
        if self.link.state == "connecting":
            self.session, self._beside = self._beside, ""
        return reason

    def _stalled(self, now_s: float) -> str | None:
        """The watch over our own drain: it has a session, room and something to send, and sends nothing."""
        if self.link.state != "up" or not self.outbox.idle_with_work:
            self._moved_s = now_s
        if now_s < self._moved_s + STALL_S:
            return None
        reason = f"nothing was sent for {STALL_S:.0f} s, though something is owed and could go"
        if now_s < self._stalled_s + STALLS_S:
            self._out.append(Exit(reason))
        self._stalled_s = self._moved_s = now_s
        return reason

    def _forget_session(self) -> None:
        self._flight.clear()
        self.session = ""
        self._unanswered_s = None
        self.outbox.session_down()

    # ---- events out, receipts in

    def acked(self, message: Acked, now_s: float) -> list[Range]:
        """A PUBACK: the ranges that it delivers, where the config says that a PUBACK does."""
        if message.session != self.session or (flight := self._flight.pop(message.token, None)) is None:
            return []
        self.proven_s = now_s
        if message.code < REFUSED:
            self.outbox.taken(flight[1])
        if self.outbox.carries(message.token):  # the state may pass where events do not
            self.refusal = message.code if message.code >= REFUSED else 0
            self.nobody_listens, self.taken_s = message.code == NO_WORD, now_s
        stored = self.outbox.acked(message.token, message.code if self.protocol == "5" else NO_WORD, now_s)
        if stored:
            self._heard(now_s)
        return stored

    def receipt(self, receipt: Receipt, now_s: float) -> list[Range] | str:
        """Central's word: the ranges that are owed no more, or why it cannot be right."""
        stored = self.outbox.receipt(receipt.through, receipt.also, receipt.batch)
        if receipt.refused or (not isinstance(stored, str) and (stored or receipt.also)):
            self._heard(now_s)
        return stored

    def _heard(self, now_s: float) -> None:
        """Central has said something about what it was sent."""
        self.proven_s = self.proven_by_central_s = now_s
        self.silent_s = self._unanswered_s = now_s if self.outbox.unanswered else None

    def fetched(self, message: Fetched) -> None:
        """The journal's answer."""
        self.outbox.fetched(message.cls, message.events, message.more)

    def owed_again(self, message: OwedAgain) -> None:
        """The journal owes again what central asked for."""
        self.outbox.owed_again(message.first)

    def recorded(self, event: Event, now_s: float) -> None:
        """A new event is on the disk; an alarm does not wait for the backoff."""
        self.outbox.recorded(event)
        if event.cls == "alarm":
            self.link.hurry(now_s)

    def pump(self, now_s: float, *, alarms_only: bool) -> None:
        """Sends what may go now, a little at a time, and asks the journal for more."""
        size_max = self._sent_bytes + PUMP_BYTES_MAX
        self.pumps = False
        while self.link.state == "up" and not self._said_goodbye:
            if self._sent_bytes >= size_max:
                self.pumps = True
                break
            reserved = len(self._flight) - self.outbox.in_flight
            parcel = self.outbox.take(self._token + 1, now_s, reserved=reserved, alarms_only=alarms_only)
            if parcel is None:
                break
            replayed = parcel.events[-1].seq <= self._up_seq
            self._publish(parcel.topic, parcel.payload, now_s, replayed=replayed)
            self._sent_bytes += len(parcel.payload)
            self._moved_s = now_s
            self._unanswered_s = now_s if self._unanswered_s is None else self._unanswered_s
            self.silent_s = now_s if self.silent_s is None else self.silent_s
        if not alarms_only:
            self._out.extend(self.outbox.wants())

    def due_s(self) -> float:
        """When `tick` or `pump` has something to do next."""
        if self.pumps:
            return float("-inf")
        dues = [self.link.due_s(self._oldest_ack_s(), self._unanswered_s), self.outbox.due_s()]
        if self._may_beat:
            dues.append(self._beat_s + self._heartbeat_s)
        return min((due for due in dues if due is not None), default=float("inf"))

    def say_goodbye(self, now_s: float) -> int | None:
        """Tells central that this session ends on purpose; the token of that message."""
        if self.link.state != "up":
            return None
        self._publish("state", will(self.session), now_s, retain=True)
        self._said_goodbye = True
        return self._token

    @property
    def _may_beat(self) -> bool:
        """A session stands, and the broker takes one more message at once: its window counts the state too."""
        window = self._limits.get("receive_max")
        return self.link.state == "up" and (window is None or len(self._flight) < window)

    def _oldest_ack_s(self) -> float | None:
        return next((since_s for since_s, _ in self._flight.values()), None)

    def _publish_state(self, now_s: float) -> None:
        self._beat_s = now_s
        state: StateMessage = {**self._state(), "session": self.session}
        self._told = _health(state)
        limit = (self._limits.get("packet_bytes_max") or STATE_BYTES_MAX) - TOPIC_BYTES
        if len(canonical(state)) > limit:  # a broker that takes no larger packet would end the session for it
            state["inputs"], state["outputs"] = {}, {}
        if len(canonical(state)) > limit:
            state["trouble"] = state["trouble"][:1]
        self._publish("state", canonical(state), now_s, retain=True)

    def _publish(
        self, topic: str, payload: bytes, now_s: float, *, retain: bool = False, replayed: bool = False
    ) -> None:
        self._token += 1
        self._flight[self._token] = now_s, len(payload)
        self._out.append(Publish(self.session, self._token, topic, payload, retain, replayed))


def _health(state: BoxState) -> object:
    """What of it is told at once. A lamp and a buzzer follow each press, which is told by itself."""
    outputs = [entry["value"] for entry in state["outputs"].values() if entry["role"] not in ("feedback", "buzzer")]
    return state["trouble"], [entry["quality"] for entry in state["inputs"].values()], outputs


def will(session: str) -> bytes:
    """What the broker publishes on `{root}/state` when the session dies."""
    message: WillMessage = {"online": False, "session": session}
    return canonical(message)
