"""One shape for all that Callbox is measured beside, and the two measurements: a drain after an outage, and singles.

A peer is started with the link up, then the link goes, the peer is given its backlog, the link comes back, and while it
drains a new alarm is handed to the peer every ALARM_EVERY_S. What comes when is told by the far end alone (`sink`); a
monotonic second is the same in all processes of a machine.
"""

import random
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Protocol

from bench import load
from bench.sink import Plan, Sink
from simulators.broker import Broker

ALARM_EVERY_S = (0.02, 0.05)
PAUSE_S = (0.05, 0.10)
WARM_UP = 5
QUIET_S = 30.0
"""Longer than any of them waits before it tries again."""
LATE_S = 120.0

_numbers = count()
"""No alarm of this process has the number of another."""


class Peer(Protocol):
    """Something that holds events while the far end is away. One thread calls all of it, but for `hand`."""

    sink: Sink

    def cut(self) -> None:
        """The link is gone when it returns."""

    def restore(self) -> None:
        """The link is there."""

    def fill(self, events: Sequence[bytes]) -> None:
        """Takes the backlog; returns when the peer has all of it, as far as it says so."""

    def hand(self, alarm: bytes) -> None:
        """Takes one new alarm, at once."""

    def pids(self) -> list[int]:
        """The processes that are the peer."""


Start = Callable[[Path], AbstractContextManager[Peer]]
"""Starts a peer in a directory; in the context its link is up and its sink subscribed."""


@dataclass(frozen=True)
class Drain:
    """events: handed over before. seconds: from the first of them at the far end to the last.

    reconnect_s: from the link's return to the first. alarms_s: of alarms handed over in between, until the far end had
    them. lost, repeats: of all that. rss_mib: the most that the peer's processes ever had.
    """

    events: int
    seconds: float
    reconnect_s: float
    alarms_s: list[float]
    rss_mib: float
    lost: int
    repeats: int

    @property
    def per_s(self) -> float:
        """Events a second."""
        return (self.events - self.lost) / self.seconds


def drain(start: Start, events: int) -> Drain:
    """One outage, in a directory of its own."""
    backlog, over, handed = load.backlog(events), threading.Event(), dict[int, float]()
    with tempfile.TemporaryDirectory(prefix="callbox-peer-") as directory, start(Path(directory)) as peer:
        singles(peer, WARM_UP)
        peer.cut()
        peer.fill(backlog)
        peer.sink.reset()
        restored_s = time.monotonic()
        peer.restore()
        peer.sink.wait(1, deadline_s=LATE_S)
        hands = threading.Thread(target=_hand, args=(peer, handed, over))
        hands.start()
        try:
            peer.sink.settled(events, QUIET_S)
        finally:
            over.set()
            hands.join()
        report = peer.sink.wait(alarms=len(handed), deadline_s=LATE_S)
        rss_mib = sum(map(peak_mib, peer.pids()))
    during = [seq for seq, at_s in handed.items() if report.first_s <= at_s <= report.last_s]
    return Drain(
        events=events,
        seconds=report.last_s - report.first_s,
        reconnect_s=report.first_s - restored_s,
        alarms_s=[report.alarms[seq] - handed[seq] for seq in during],
        rss_mib=rss_mib,
        lost=events - report.events,
        repeats=report.repeats,
    )


def _hand(peer: Peer, handed: dict[int, float], over: threading.Event) -> None:
    """Alarms without waiting for any, until it is over."""
    rng = random.Random(1)
    while not over.wait(rng.uniform(*ALARM_EVERY_S)):
        number = next(_numbers)
        handed[load.FIRST_ALARM + number] = time.monotonic()
        peer.hand(load.alarm(number))


def singles(peer: Peer, alarms: int) -> list[float]:
    """One alarm after the other, with pauses: seconds of each from hand-over until the far end had it."""
    rng, pause, taken_s = random.Random(1), threading.Event(), list[float]()
    for _ in range(alarms):
        pause.wait(rng.uniform(*PAUSE_S))
        number = next(_numbers)
        peer.sink.reset()
        handed_s = time.monotonic()
        peer.hand(load.alarm(number))
        taken_s.append(peer.sink.wait(alarms=1).alarms[load.FIRST_ALARM + number] - handed_s)
    return taken_s


def idle(start: Start, alarms: int) -> list[float]:
    """`singles` of a peer with nothing else to do."""
    with tempfile.TemporaryDirectory(prefix="callbox-peer-") as directory, start(Path(directory)) as peer:
        singles(peer, WARM_UP)
        return singles(peer, alarms)


def peak_mib(pid: int) -> float:
    """The most memory (RSS) that a process has had. Raises OSError when it is gone."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


@contextmanager
def far_broker(
    directory: Path, topics: Sequence[str] = (f"{load.ROOT}/event/#",), config: Sequence[str] = ()
) -> Iterator[tuple[Broker, Sink]]:
    """The far mosquitto, and the sink behind it. It persists, so that the sink's subscription outlives an outage."""
    broker = Broker(directory=directory / "far", persistence=True, config=config)
    with broker, Sink(Plan(broker.port, topics)) as sink:
        yield broker, sink.subscribed()
