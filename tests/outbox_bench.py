"""An outbox, whoever takes from it what may be sent, and the disk that it reads its backlog from."""

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from agent.events import Event
from agent.kinds import CLASSES, EventClass
from agent.lane import Parcel
from agent.mail import Fetch
from agent.outbox import READY_MAX, SENT_MAX, Outbox


def event(seq: int, cls: EventClass = "scan", size: int = 20) -> Event:
    return Event(seq, cls, f"{seq:0{size}}".encode())


def outbox(seq: int = 0, pending: Mapping[EventClass, int] | None = None, **options: Any) -> Outbox:
    """An outbox whose session stands."""
    made = Outbox(seq, pending or {}, random.Random(1), **options)
    made.session_up(receive_max=None, packet_bytes_max=None)
    return made


def recorded(made: Outbox, *events: Event) -> None:
    for one in events:
        made.recorded(one)


@dataclass
class Sender:
    """Takes what may be sent, with a token each."""

    outbox: Outbox
    now_s: float = 0.0
    token: int = 0
    flight: list[int] = field(default_factory=list)

    def take(self) -> Parcel | None:
        parcel = self.outbox.take(self.token + 1, self.now_s)
        if parcel is not None:
            self.token += 1
            self.flight.append(self.token)
        return parcel

    def all(self, messages: int = 1_000_000) -> list[int]:
        """The boxseqs of everything that may go now, in order; the broker acknowledges each message at once."""
        seqs: list[int] = []
        while messages and (parcel := self.take()) is not None:
            messages -= 1
            seqs += [one.seq for one in parcel.events]
            self.ack()
        return seqs

    def ack(self, code: int = 0) -> list[tuple[int, int]]:
        tokens, self.flight = self.flight, []
        return [pair for token in tokens for pair in self.outbox.acked(token, code, self.now_s)]


class Disk:
    """A journal that answers fetches."""

    def __init__(self, events: Iterable[Event]) -> None:
        self.owed = {one.seq: one for one in events}

    def answer(self, made: Outbox, fetch: Fetch) -> None:
        events, more = self.read(fetch)
        made.fetched(fetch.cls, events, more)

    def read(self, fetch: Fetch) -> tuple[list[Event], bool]:
        seqs = sorted(seq for seq, one in self.owed.items() if one.cls == fetch.cls and seq > fetch.after)
        return [self.owed[seq] for seq in seqs[: fetch.limit]], len(seqs) > fetch.limit


def drained(made: Outbox, disk: Disk, *, receipts: bool = True) -> list[int]:
    """Everything that goes out until nothing more does; memory is looked at in every step."""
    sender = Sender(made)
    order: list[int] = []
    while True:
        for fetch in made.wants():
            assert fetch.limit <= READY_MAX
            disk.answer(made, fetch)
        seqs = sender.all(10)
        held = sum(len(lane.ready) + len(lane.sent) for lane in made._lanes.values())
        assert held <= 2 * READY_MAX * len(CLASSES) + 2 * SENT_MAX, "memory is bounded"
        if not seqs:
            return order
        order += seqs
        if receipts:
            made.receipt(0, [(seq, seq) for seq in seqs], None)
            for seq in seqs:
                disk.owed.pop(seq, None)
