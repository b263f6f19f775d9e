"""The events of one class on their way to central: loaded and ready, or sent and without a receipt. Pure."""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from agent.events import Event
from agent.kinds import EventClass
from agent.ranges import Range, overlapping, within
from agent.window import Departure


class Parcel(NamedTuple):
    """One message: events of one class, sent as they are, or as an array when there are several.

    due_s: when it is sent again if no receipt comes. tries: how often its events were sent before in this session.
    """

    cls: EventClass
    events: tuple[Event, ...]
    payload: bytes
    departure: Departure
    due_s: float
    tries: int

    @property
    def topic(self) -> str:
        return f"{'batch' if len(self.events) > 1 else 'event'}/{self.cls}"

    @property
    def ranges(self) -> list[Range]:
        return [(event.seq, event.seq) for event in self.events]


def array(bodies: Sequence[bytes]) -> bytes:
    """The payload of one message: an event byte for byte, or a JSON array of such events."""
    return bodies[0] if len(bodies) == 1 else b"[" + b",".join(bodies) + b"]"


@dataclass(slots=True)
class Lane:
    """One class. `ready`, and `seqs` (the keys of `sent`), are in the order of boxseq; `bytes`: of what is sent.

    tail: the last boxseq loaded; on_disk: the journal may owe more after it. asked: a fetch is out; stale: it was read
    before the journal owed events again, and its answer says nothing.
    """

    ready: list[Event] = field(default_factory=list)
    sent: dict[int, tuple[Event, Parcel]] = field(default_factory=dict)
    seqs: list[int] = field(default_factory=list)
    bytes: int = 0
    tail: int = 0
    on_disk: bool = False
    asked: bool = False
    stale: bool = False

    def put(self, event: Event) -> None:
        """It is ready to be sent, in its place."""
        if not self.ready or event > self.ready[-1]:
            self.ready.append(event)
        else:
            insort(self.ready, event)

    def loaded(self, events: Sequence[Event], more: bool, through: int) -> None:
        """The journal's answer to a fetch. through: events up to this boxseq have their receipt already."""
        self.asked = False
        if self.stale:
            self.stale = False
            return
        self.on_disk = more
        ready = {event.seq for event in self.ready}
        for event in events:
            self.tail = event.seq
            if event.seq > through and event.seq not in ready and event.seq not in self.sent:
                self.put(event)

    def reload(self, first: int) -> None:
        """The journal owes events again, from this boxseq on: what was loaded of them is loaded anew."""
        del self.ready[bisect_left(self.ready, first, key=lambda event: event.seq) :]
        self.tail, self.on_disk, self.stale = min(self.tail, first - 1), True, self.asked

    def send(self, parcel: Parcel) -> None:
        """Its events are sent; they were taken out of `ready`."""
        for event in parcel.events:
            self.sent[event.seq] = event, parcel
            self.bytes += len(event.body)
        if self.seqs and parcel.events[0].seq < self.seqs[-1]:
            self.seqs = sorted(self.sent)
        else:
            self.seqs += [event.seq for event in parcel.events]

    def unanswered(self, parcel: Parcel) -> list[Event]:
        """Its events that have no receipt and were not sent again since."""
        return [event for event in parcel.events if event.seq in self.sent and self.sent[event.seq][1] is parcel]

    def recall(self, events: Sequence[Event]) -> None:
        """These, which were sent and have no receipt, are to be sent again in their place."""
        for event in events:
            del self.sent[event.seq]
            del self.seqs[bisect_left(self.seqs, event.seq)]
            self.bytes -= len(event.body)
            self.put(event)

    def forget(self, whole: list[Range]) -> list[int]:
        """Takes out what is in these ranges, which are joined and in order; the boxseqs of that."""
        gone: list[int] = []
        if self.seqs:
            for first, last in overlapping(whole, self.seqs[0], self.seqs[-1]):
                at, end = bisect_left(self.seqs, first), bisect_right(self.seqs, last)
                for seq in self.seqs[at:end]:
                    event, _ = self.sent.pop(seq)
                    self.bytes -= len(event.body)
                gone += self.seqs[at:end]
                del self.seqs[at:end]
        if self.ready and overlapping(whole, self.ready[0].seq, self.ready[-1].seq):
            inside = within(whole)
            gone += [event.seq for event in self.ready if inside(event.seq)]
            self.ready = [event for event in self.ready if not inside(event.seq)]
        return gone

    def take_back(self) -> None:
        """All that was sent is ready again."""
        self.ready = sorted([*self.ready, *(event for event, _ in self.sent.values())])
        self.sent.clear()
        self.seqs.clear()
        self.bytes = 0
