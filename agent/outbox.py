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
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from agent.events import Event
from agent.kinds import CLASSES, EventClass
from agent.lane import Lane, Parcel, array
from agent.mail import Fetch
from agent.ranges import Range, joined
from agent.window import Window

WINDOW: Final = 20
"""Messages on their way to the broker at once: a small window keeps a new alarm near the front."""
ALARM_SLOTS: Final = 2
"""Of these, so many are kept free for alarms."""
SENT_MAX: Final = 5_000
SENT_BYTES_MAX: Final = 4_194_304
"""Sent and without receipt, of alarms and of the rest each: it bounds memory when central is silent."""
READY_MAX: Final = 800
"""Events of one class held ready; further ones wait in the journal."""
FETCH_MAX: Final = 400
"""Events asked of the journal at once: a new alarm may have to wait for the answer."""
BATCH_BYTES_MAX: Final = 32_768
BATCH_SHARE: Final = 4
"""A batch is at most this part of the window: one message must not be all that is in flight."""
RESEND_S_MAX: Final = 300.0
TRIES_MAX: Final = 16
"""Doublings of the timeout; the pause has its limit long before."""
TOPIC_BYTES: Final = 256
"""What a PUBLISH adds to its payload at the most: header, topic, properties."""
TOO_LARGE: Final = 0x95
"""MQTT 5 reason code: Packet too large."""
BREAKS_MAX: Final = 5
"""Sessions in a row that the other side ends with the same message first unanswered: it hangs up because of it."""
DOUBT_TRIES: Final = 2
"""An event that was sent so often and never receipted may have been changed on the disk."""
INNOCENT_BYTES: Final = 1_024
"""No message up to this size is ever suspected of that: every alarm is smaller, and a bad link ends sessions too."""


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
        self._lanes = {cls: Lane(on_disk=pending.get(cls, 0) > 0) for cls in CLASSES}
        self._bulk = [lane for cls, lane in self._lanes.items() if cls != "alarm"]
        self._recorded, self._through = seq, 0
        self._told: set[Range] = set()
        self._due: list[tuple[float, int, int, Parcel]] = []
        self._flight: dict[int, Parcel] = {}
        self._tries: dict[int, int] = {}
        self._rng, self._timeout_s, self._puback_delivers = rng, receipt_timeout_s, puback_delivers
        self._up = False
        self._messages_max, self._batch = WINDOW, 1
        self._window = Window()
        self._bytes_max: int | None = None
        self._taken_bytes = 0
        self._breaks: dict[int, int] = {}
        self.unfit: list[Event] = []
        """Taken out because this broker can never carry them; to be parked by who reads it."""
        self.doubtful: list[Event] = []
        """Sent again and again in vain; to be looked at by who reads it."""

    # ---- from the journal

    def recorded(self, event: Event) -> None:
        """A new event is on the disk."""
        self._recorded = event.seq
        lane = self._lanes[event.cls]
        if not lane.on_disk and len(lane.ready) < READY_MAX:
            lane.ready.append(event)
            lane.tail = event.seq
        else:
            lane.on_disk = True

    def fetched(self, cls: EventClass, events: Sequence[Event], more: bool) -> None:
        """The answer to a `Fetch`. The journal answers in order: what it records later is told later."""
        self._lanes[cls].loaded(events, more, self._through)

    def wants(self) -> list[Fetch]:
        """What to ask of the journal now: the classes that run dry while it has more."""
        if not self._up:
            return []
        fetches = []
        for cls, lane in self._lanes.items():
            if lane.on_disk and not lane.asked and len(lane.ready) <= READY_MAX - FETCH_MAX:
                lane.asked = True
                fetches.append(Fetch(cls, lane.tail, FETCH_MAX))
        return fetches

    # ---- the session

    def session_up(self, *, receive_max: int | None, packet_bytes_max: int | None) -> None:
        """A session stands: its window and largest packet are the broker's (paho keeps neither)."""
        self._up = True
        self._messages_max = min(WINDOW, receive_max or WINDOW)
        self._window = Window()
        self._bytes_max = packet_bytes_max
        self._batch = 1

    def session_down(self) -> None:
        """Everything without a receipt is owed again; of a message in flight nothing is known."""
        self._up = False
        self._flight.clear()
        self._due.clear()
        self._tries.clear()
        for lane in self._lanes.values():
            lane.take_back()

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

    def take(self, token: int, now_s: float, *, reserved: int = 0, alarms_only: bool = False) -> Parcel | None:
        """The next message, if one may go now: alarms first, then by class, within a class by boxseq.

        token: names its PUBACK. reserved: other messages in flight, which count in the same window.
        """
        if not self._up:
            return None
        self._expire(now_s)
        free = self._messages_max - len(self._flight) - reserved
        for cls, lane in self._lanes.items():
            self._take_out_what_is_too_large(lane)
            if not lane.ready:
                continue
            if cls == "alarm":
                if free > 0 and len(lane.sent) < SENT_MAX:
                    return self._send(cls, lane, (lane.ready.pop(0),), token, now_s)
                continue
            if alarms_only or free <= min(ALARM_SLOTS, self._messages_max - 1):
                return None
            bytes_max = self._room(now_s)
            return None if bytes_max is None else self._send(cls, lane, self._pick(lane, bytes_max), token, now_s)
        return None

    def _take_out_what_is_too_large(self, lane: Lane) -> None:
        while lane.ready and self._bytes_max and len(lane.ready[0].body) + TOPIC_BYTES > self._bytes_max:
            self.unfit.append(lane.ready.pop(0))

    def _room(self, now_s: float) -> int | None:
        """How large the next message that is no alarm may be; None: it has to wait. One may always be in flight."""
        if self._bulk_is_full:
            return None
        room = self._window.room(now_s)
        if room <= 0 and self._flight:
            return None
        return min(room, self._window.bytes_max // BATCH_SHARE, BATCH_BYTES_MAX)

    @property
    def _bulk_is_full(self) -> bool:
        """As much as may be without a receipt has been sent."""
        events = size = 0
        for lane in self._bulk:
            events += len(lane.seqs)
            size += lane.bytes
        return events >= SENT_MAX or size >= SENT_BYTES_MAX

    def _pick(self, lane: Lane, bytes_max: int) -> tuple[Event, ...]:
        """One event at the least, however large it is; several where central takes batches and none is suspected."""
        first, end = lane.ready[0], 1
        if self._batch > 1 and first.seq not in self._breaks:
            bytes_max = min(bytes_max, (self._bytes_max or BATCH_BYTES_MAX + TOPIC_BYTES) - TOPIC_BYTES)
            size, tries = len(first.body) + 2, self._tries.get(first.seq)
            for event in lane.ready[1 : self._batch]:
                size += len(event.body) + 1
                if size > bytes_max or event.seq in self._breaks or self._tries.get(event.seq) != tries:
                    break
                end += 1
        picked = tuple(lane.ready[:end])
        del lane.ready[:end]
        return picked

    def _send(self, cls: EventClass, lane: Lane, events: tuple[Event, ...], token: int, now_s: float) -> Parcel:
        tries = min(self._tries.get(events[0].seq, 0), TRIES_MAX)
        wait_s = min(self._timeout_s * 2**tries, RESEND_S_MAX)
        due_s = now_s + (self._rng.uniform(wait_s / 2, wait_s) if tries else wait_s)
        payload = array([event.body for event in events])
        departure = self._window.sent(len(payload), now_s)
        parcel = self._flight[token] = Parcel(cls, events, payload, departure, due_s, tries)
        heapq.heappush(self._due, (due_s, events[0].seq, token, parcel))
        lane.send(parcel)
        return parcel

    def acked(self, token: int, code: int, now_s: float) -> list[Range]:
        """The broker's PUBACK: the ranges that it delivers, in puback mode alone.

        A code of 0x80 or more is a refusal, 0x10 says that nobody is subscribed: neither is delivery. The event is
        sent again later, backing off.
        """
        parcel = self._flight.pop(token, None)
        if parcel is None:
            return []
        self._window.acked(parcel.departure, now_s)
        if self._breaks:
            for event in parcel.events:
                self._breaks.pop(event.seq, None)
        if code == TOO_LARGE:
            events = self._lanes[parcel.cls].unanswered(parcel)
            self._forget(parcel.ranges)
            if len(parcel.events) == 1:
                self.unfit.extend(events)
            else:
                self._batch = 1  # one of them is too large; alone it shows which
                for event in events:
                    self._lanes[parcel.cls].put(event)
        elif self._puback_delivers and code < 0x80 and code != 0x10:
            self._forget(parcel.ranges)
            return parcel.ranges
        return []

    # ---- central's word

    def receipt(self, through: int, also: Iterable[Range], batch: int | None) -> list[Range] | str:
        """What central has stored: the ranges that are owed no more since, or why the receipt cannot be right."""
        ranges = [(first, last) for first, last in [(1, through), *also] if first <= last]
        highest = max((last for _, last in ranges), default=0)
        if highest > self._recorded:
            return f"names boxseq {highest}; the journal has {self._recorded}"
        self._batch = max(1, batch or 1)
        if ranges and ranges[0][0] == 1:
            new = ranges[0][1] > self._through
            ranges[:1] = [(self._through + 1, ranges[0][1])] if new else []
        self._through = max(self._through, through)
        self._forget(ranges)
        # Central names what is beyond `through` in every receipt; the journal is told once.
        told, self._told = self._told, set(ranges)
        return [each for each in ranges if each not in told]

    def refused(self, seqs: Iterable[int]) -> list[Event]:
        """What central refuses for good, taken out; those alone that were on their way, to be parked."""
        here = {event.seq: event for lane in self._lanes.values() for event in lane.ready}
        here |= {seq: event for lane in self._lanes.values() for seq, (event, _) in lane.sent.items()}
        found = [here[seq] for seq in sorted(set(seqs).intersection(here))]
        self._forget([(event.seq, event.seq) for event in found])
        return found

    def drop(self, ranges: Iterable[Range]) -> None:
        """These events are no more."""
        self._forget(list(ranges))

    def alarms(self) -> list[Event]:
        """The alarms that are here, oldest first: in memory, whatever becomes of the disk."""
        lane = self._lanes["alarm"]
        return sorted([*lane.ready, *(event for event, _ in lane.sent.values())])

    def recorded_of(self, ranges: Iterable[Range]) -> list[Range]:
        """Ranges that central asks for again, joined, and cut to what is recorded."""
        cut = [(max(1, first), min(last, self._recorded)) for first, last in ranges]
        return joined((first, last) for first, last in cut if first <= last)

    def owed_again(self, first: int) -> None:
        """The journal owes events again, from this boxseq on."""
        self._through = min(self._through, first - 1)
        self._told.clear()
        for lane in self._lanes.values():
            lane.reload(first)

    # ---- time

    def due_s(self) -> float | None:
        """When something is to be sent again; None when nothing waits for that."""
        while self._due and not self._lanes[(parcel := self._due[0][-1]).cls].unanswered(parcel):
            heapq.heappop(self._due)
        return self._due[0][0] if self._up and self._due else None

    @property
    def in_flight(self) -> int:
        return len(self._flight)

    @property
    def owes_alarms(self) -> bool:
        """An alarm has no receipt yet."""
        lane = self._lanes["alarm"]
        return bool(lane.ready or lane.sent or lane.on_disk)

    @property
    def unanswered(self) -> bool:
        """Something was sent and has no receipt yet."""
        return any(lane.sent for lane in self._lanes.values())

    @property
    def idle_with_work(self) -> bool:
        """Nothing is on its way, and something could be."""
        work = (lane.ready or lane.on_disk for lane in self._lanes.values())
        return self._up and not self._flight and any(work) and not self._bulk_is_full

    def carries(self, token: int) -> bool:
        """Is this message in flight one with events?"""
        return token in self._flight

    def _expire(self, now_s: float) -> None:
        while self._due and self._due[0][0] <= now_s:
            _, seq, token, parcel = heapq.heappop(self._due)
            lane = self._lanes[parcel.cls]
            events = lane.unanswered(parcel)
            if not events:
                continue
            if token in self._flight:  # the broker's turn; the link watches how long that takes
                heapq.heappush(self._due, (now_s + 1.0, seq, token, parcel))
                continue
            lane.recall(events)
            if parcel.tries + 1 == DOUBT_TRIES:
                self.doubtful += events
            for event in events:
                self._tries[event.seq] = parcel.tries + 1

    def _forget(self, ranges: Sequence[Range]) -> None:
        whole = joined(ranges)
        for lane in self._lanes.values():
            for seq in lane.forget(whole):
                self._tries.pop(seq, None)
