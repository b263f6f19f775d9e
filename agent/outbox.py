"""What is owed to central, and what of it is sent next. Pure, in virtual time.

The journal is the queue; here is only the part of it that is on its way: per class a few loaded events (`ready`),
and those that were sent and have no receipt yet (`sent`). Nothing here is a fact about delivery except a receipt;
after a restart, or a session's end, all that has no receipt is simply owed again.

    recorded / fetched -> ready -> take -> sent -> receipt -> gone
                            ^                |
                            +---- timeout, session down, refusal
"""

import heapq
import random
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from agent.events import Event
from agent.kinds import CLASSES, EventClass
from agent.mail import Fetch, Range

WINDOW: Final = 20
"""Messages on their way to the broker at once: a small window keeps a new alarm near the front."""
ALARM_SLOTS: Final = 2
"""Of these, so many are kept free for alarms."""
SENT_MAX: Final = 500
"""Events sent and without receipt, of alarms and of the rest each: it bounds memory when central is silent."""
READY_MAX: Final = 200
"""Events of one class held ready; further ones wait in the journal."""
BATCH_BYTES_MAX: Final = 32_768
RESEND_S_MAX: Final = 300.0
TRIES_MAX: Final = 16
"""Doublings of the timeout; the pause has its limit long before."""
TOPIC_BYTES: Final = 256
"""What a PUBLISH adds to its payload at the most: header, topic, properties."""
TOO_LARGE: Final = 0x95
"""MQTT 5 reason code: Packet too large."""
BREAKS_MAX: Final = 5
"""Sessions in a row that the other side ends with the same message first unanswered: it hangs up because of it."""
INNOCENT_BYTES: Final = 1_024
"""No message up to this size is ever suspected of that: every alarm is smaller, and a bad link ends sessions too."""


@dataclass(slots=True)
class _Sent:
    """An event without a receipt. tries: how often it was sent again in this session."""

    event: Event
    due_s: float
    tries: int
    token: int


@dataclass(slots=True)
class _Lane:
    """One class. tail: the last boxseq loaded; on_disk: the journal may owe more after it.

    asked: a fetch is out; stale: it was read before the journal owed events again, and its answer says nothing.
    """

    ready: list[Event] = field(default_factory=list)
    sent: dict[int, _Sent] = field(default_factory=dict)
    tail: int = 0
    on_disk: bool = False
    asked: bool = False
    stale: bool = False


@dataclass(frozen=True, slots=True)
class Parcel:
    """One message: events of one class, sent as they are, or as an array when there are several."""

    cls: EventClass
    events: tuple[Event, ...]

    @property
    def topic(self) -> str:
        return f"{'batch' if len(self.events) > 1 else 'event'}/{self.cls}"

    @property
    def payload(self) -> bytes:
        return self.events[0].body if len(self.events) == 1 else b"[" + b",".join(e.body for e in self.events) + b"]"


class Outbox:
    """The part of the journal that is on its way."""

    def __init__(
        self,
        seq: int,
        pending: Mapping[EventClass, int],
        rng: random.Random,
        *,
        receipt_timeout_s: float = 10.0,
        puback_delivers: bool = False,
    ) -> None:
        """seq: the last boxseq of the journal; pending: events that it owes, by class."""
        self._lanes = {cls: _Lane(on_disk=pending.get(cls, 0) > 0) for cls in CLASSES}
        self._recorded, self._through = seq, 0
        self._due: list[tuple[float, int, EventClass]] = []
        self._flight: dict[int, Parcel] = {}
        self._tries: dict[int, int] = {}
        self._rng, self._timeout_s, self._puback_delivers = rng, receipt_timeout_s, puback_delivers
        self._up = False
        self._window, self._batch = WINDOW, 1
        self._bytes_max: int | None = None
        self._taken_bytes = 0
        self._breaks: dict[int, int] = {}
        self.unfit: list[Event] = []
        """Taken out because this broker can never carry them; to be parked by who reads it."""

    # ---- from the journal

    def recorded(self, event: Event) -> None:
        """A new event is on the disk."""
        self._recorded = event.seq
        lane = self._lanes[event.cls]
        if not lane.on_disk and len(lane.ready) < READY_MAX:
            heapq.heappush(lane.ready, event)
            lane.tail = event.seq
        else:
            lane.on_disk = True

    def fetched(self, cls: EventClass, events: Iterable[Event], more: bool) -> None:
        """The answer to a `Fetch`. The journal answers in order: what it records later is told later."""
        lane = self._lanes[cls]
        lane.asked = False
        if lane.stale:
            lane.stale = False
            return
        lane.on_disk = more
        here = {event.seq for event in lane.ready}.union(lane.sent)
        for event in events:
            lane.tail = event.seq
            if event.seq > self._through and event.seq not in here:
                heapq.heappush(lane.ready, event)

    def wants(self) -> list[Fetch]:
        """What to ask of the journal now: the classes that run dry while it has more."""
        if not self._up:
            return []
        fetches = []
        for cls, lane in self._lanes.items():
            if lane.on_disk and not lane.asked and len(lane.ready) < READY_MAX // 2:
                lane.asked = True
                fetches.append(Fetch(cls, lane.tail, READY_MAX))
        return fetches

    # ---- the session

    def session_up(self, *, receive_max: int | None, packet_bytes_max: int | None) -> None:
        """A session stands: its window and largest packet are the broker's (paho keeps neither)."""
        self._up = True
        self._window = min(WINDOW, receive_max or WINDOW)
        self._bytes_max = packet_bytes_max
        self._batch = 1

    def session_down(self) -> None:
        """Everything without a receipt is owed again; of a message in flight nothing is known."""
        self._up = False
        self._flight.clear()
        self._due.clear()
        self._tries.clear()
        for lane in self._lanes.values():
            for sent in lane.sent.values():
                heapq.heappush(lane.ready, sent.event)
            lane.sent.clear()

    def taken(self, size: int) -> None:
        """This broker has acknowledged a message of so many bytes."""
        self._taken_bytes = max(self._taken_bytes, size)

    def suspect(self) -> None:
        """The other side has ended the session. Was the first unanswered message too large for it?

        A broker may hang up instead of saying so (mosquitto's `message_size_limit`), and would again, for ever. The
        message is suspected when it is larger than all that this broker took; its events then go alone, and the one
        that breaks BREAKS_MAX sessions in a row is taken out.
        """
        parcel = next(iter(self._flight.values()), None)
        if parcel is None or not self._taken_bytes or len(parcel.payload) <= max(self._taken_bytes, INNOCENT_BYTES):
            return
        alone = len(parcel.events) == 1
        self._breaks = {event.seq: self._breaks.get(event.seq, 0) + alone for event in parcel.events}
        first = parcel.events[0]
        if self._breaks[first.seq] >= BREAKS_MAX:
            self._forget([(first.seq, first.seq)])
            self.unfit.append(first)

    def take(self, token: int, now_s: float, *, reserved: int = 0) -> Parcel | None:
        """The next message, if one may go now: alarms first, then by class, within a class by boxseq.

        token: names its PUBACK. reserved: other messages in flight, which count in the same window.
        """
        if not self._up:
            return None
        self._expire(now_s)
        free = self._window - len(self._flight) - reserved
        bulk_room = SENT_MAX - sum(len(lane.sent) for cls, lane in self._lanes.items() if cls != "alarm")
        for cls, lane in self._lanes.items():
            alarm = cls == "alarm"
            while lane.ready and self._bytes_max and len(lane.ready[0].body) + TOPIC_BYTES > self._bytes_max:
                self.unfit.append(heapq.heappop(lane.ready))
            room = SENT_MAX - len(lane.sent) if alarm else bulk_room
            if not lane.ready or room <= 0 or free <= (0 if alarm else min(ALARM_SLOTS, self._window - 1)):
                continue
            parcel = Parcel(cls, self._pick(lane, 1 if alarm else min(self._batch, room)))
            self._flight[token] = parcel
            for event in parcel.events:
                tries = min(self._tries.get(event.seq, 0), TRIES_MAX)
                wait_s = min(self._timeout_s * 2**tries, RESEND_S_MAX)
                due_s = now_s + (self._rng.uniform(wait_s / 2, wait_s) if tries else wait_s)
                lane.sent[event.seq] = _Sent(event, due_s, tries, token)
                heapq.heappush(self._due, (due_s, event.seq, cls))
            return parcel
        return None

    def _pick(self, lane: _Lane, count: int) -> tuple[Event, ...]:
        picked = [heapq.heappop(lane.ready)]
        if picked[0].seq in self._breaks:
            return tuple(picked)
        size_max = min(BATCH_BYTES_MAX, (self._bytes_max or BATCH_BYTES_MAX + TOPIC_BYTES) - TOPIC_BYTES)
        size = len(picked[0].body) + 2
        while lane.ready and len(picked) < count and (size := size + len(lane.ready[0].body) + 1) <= size_max:
            if lane.ready[0].seq in self._breaks:
                break
            picked.append(heapq.heappop(lane.ready))
        return tuple(picked)

    def acked(self, token: int, code: int) -> list[Range]:
        """The broker's PUBACK: the ranges that it delivers, in puback mode alone.

        A code of 0x80 or more is a refusal, 0x10 says that nobody is subscribed: neither is delivery. The event is
        sent again later, backing off.
        """
        parcel = self._flight.pop(token, None)
        if parcel is None:
            return []
        for event in parcel.events:
            self._breaks.pop(event.seq, None)
        if code == TOO_LARGE:
            self._forget((event.seq, event.seq) for event in parcel.events)
            if len(parcel.events) == 1:
                self.unfit.extend(parcel.events)
            else:
                self._batch = 1  # one of them is too large; alone it shows which
                for event in parcel.events:
                    heapq.heappush(self._lanes[parcel.cls].ready, event)
        elif self._puback_delivers and code < 0x80 and code != 0x10:
            ranges = [(event.seq, event.seq) for event in parcel.events]
            self._forget(ranges)
            return ranges
        return []

    # ---- central's word

    def receipt(self, through: int, also: Iterable[Range], batch: int | None) -> list[Range] | str:
        """What central has stored: the ranges that are owed no more, or why the receipt cannot be right."""
        ranges = [(first, last) for first, last in [(1, through), *also] if first <= last]
        highest = max((last for _, last in ranges), default=0)
        if highest > self._recorded:
            return f"names boxseq {highest}; the journal has {self._recorded}"
        self._batch = max(1, batch or 1)
        if ranges and ranges[0][0] == 1 and ranges[0][1] <= self._through:
            ranges.pop(0)  # nothing new up to there
        self._through = max(self._through, through)
        self._forget(ranges)
        return ranges

    def refused(self, seqs: Iterable[int]) -> list[Event]:
        """What central refuses for good, taken out; those alone that were on their way, to be parked."""
        here = {event.seq: event for lane in self._lanes.values() for event in lane.ready}
        here |= {seq: sent.event for lane in self._lanes.values() for seq, sent in lane.sent.items()}
        found = [here[seq] for seq in sorted(set(seqs).intersection(here))]
        self._forget((event.seq, event.seq) for event in found)
        return found

    def alarms(self) -> list[Event]:
        """The alarms that are here, oldest first: in memory, whatever becomes of the disk."""
        lane = self._lanes["alarm"]
        return sorted([*lane.ready, *(sent.event for sent in lane.sent.values())])

    def owe_again(self, ranges: Iterable[Range]) -> list[Range]:
        """Central asks for events again: ranges as the journal is to owe them, joined, and cut to what is recorded."""
        cut = [(max(1, first), min(last, self._recorded)) for first, last in ranges]
        cut = _joined((first, last) for first, last in cut if first <= last)
        if cut:
            lowest = cut[0][0]
            self._through = min(self._through, lowest - 1)
            for lane in self._lanes.values():
                lane.ready = [event for event in lane.ready if event.seq < lowest]
                heapq.heapify(lane.ready)
                lane.tail, lane.on_disk, lane.stale = min(lane.tail, lowest - 1), True, lane.asked
        return cut

    # ---- time

    def due_s(self) -> float | None:
        """When something is to be sent again; None when nothing waits for that."""
        while self._due and self._stale(*self._due[0]):
            heapq.heappop(self._due)
        return self._due[0][0] if self._up and self._due else None

    @property
    def in_flight(self) -> int:
        return len(self._flight)

    def carries(self, token: int) -> bool:
        """Is this message in flight one with events?"""
        return token in self._flight

    def _stale(self, due_s: float, seq: int, cls: EventClass) -> bool:
        sent = self._lanes[cls].sent.get(seq)
        return sent is None or sent.due_s != due_s

    def _expire(self, now_s: float) -> None:
        while self._due and (self._due[0][0] <= now_s or self._stale(*self._due[0])):
            due_s, seq, cls = heapq.heappop(self._due)
            if self._stale(due_s, seq, cls):
                continue
            lane = self._lanes[cls]
            sent = lane.sent[seq]
            if sent.token in self._flight:  # the broker's turn; the link watches how long that takes
                sent.due_s = now_s + 1.0
                heapq.heappush(self._due, (sent.due_s, seq, cls))
            else:
                del lane.sent[seq]
                self._tries[seq] = sent.tries + 1
                heapq.heappush(lane.ready, sent.event)

    def _forget(self, ranges: Iterable[Range]) -> None:
        gone = _within(ranges)
        for seq in [seq for seq in self._tries if gone(seq)]:
            del self._tries[seq]
        for lane in self._lanes.values():
            for seq in [seq for seq in lane.sent if gone(seq)]:
                del lane.sent[seq]
            if any(gone(event.seq) for event in lane.ready):
                lane.ready = [event for event in lane.ready if not gone(event.seq)]
                heapq.heapify(lane.ready)


def _joined(ranges: Iterable[Range]) -> list[Range]:
    """The same boxseqs in as few ranges as there can be, lowest first."""
    joined: list[Range] = []
    for first, last in sorted(ranges):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = joined[-1][0], max(joined[-1][1], last)
        else:
            joined.append((first, last))
    return joined


def _within(ranges: Iterable[Range]) -> Callable[[int], bool]:
    """Whether a boxseq is in any of the ranges. Joined first: a receipt may name thousands, and alarms wait for it."""
    joined = _joined(ranges)
    firsts = [first for first, _ in joined]

    def within(seq: int) -> bool:
        at = bisect_right(firsts, seq)
        return at > 0 and seq <= joined[at - 1][1]

    return within
