"""What Callbox is measured beside: who takes part in the drains, how often in turn, and the table that tells it.

Rounds are interleaved, so that whatever else the machine does falls on all of them. CALLBOX_EVENTS and CALLBOX_ROUNDS
say how many events (default 100,000; the slow ones get fewer, since it is the rate that counts) and rounds (3).
"""

import os
import random
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median

from bench import load
from bench.bare import Commit
from bench.figures import grid, ms, spread
from bench.packets import RawClient
from bench.peer_bridge import bridge
from bench.peer_nats import leaf
from bench.peer_paho import bare, naive
from bench.peer_thingsboard import gateway, loss
from bench.peers import PAUSE_S, Drain, Start, drain, far_broker, idle

EVENTS = int(os.environ.get("CALLBOX_EVENTS", "100000"))
ROUNDS = int(os.environ.get("CALLBOX_ROUNDS", "3"))
SINGLES, LOSS_EVENTS = 100, 2000
PAHO_20, PAHO_100 = "bare paho, window 20", "bare paho, window 100"
NAIVE = "insert, publish, wait, delete"
BRIDGE, LEAF, GATEWAY = "mosquitto bridge", "NATS leaf, JetStream", "ThingsBoard gateway"


@dataclass(frozen=True)
class Runner:
    """How one of them is measured: a drain of so many events, and single alarms; share: of the events that it gets."""

    drain: Callable[[int], Drain]
    alone: Callable[[int], list[float]]
    share: float = 1.0


def _peer(start: Start, share: float = 1.0) -> Runner:
    return Runner(partial(drain, start), partial(idle, start), share)


PEERS: dict[str, Runner] = {
    PAHO_20: _peer(partial(bare, window=20)),
    PAHO_100: _peer(partial(bare, window=100)),
    BRIDGE: _peer(bridge),
    LEAF: _peer(leaf),
    NAIVE: _peer(naive, 0.05),
    GATEWAY: _peer(gateway, 0.2),
}
"""All but Callbox."""


@dataclass
class Results:
    """Of each by its name. absent: why it could not be measured."""

    drains: dict[str, list[Drain]] = field(default_factory=dict)
    idle_s: dict[str, list[float]] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)

    def per_s(self, name: str) -> float:
        """Events a second, the median of its drains."""
        return median(run.per_s for run in self.drains[name])

    def alarms_s(self, name: str) -> list[float]:
        """Of all its drains."""
        return [late_s for run in self.drains[name] for late_s in run.alarms_s]


def measure(runners: Mapping[str, Runner], events: int, rounds: int) -> Results:
    """Drains in turn, `rounds` times each, then single alarms of each with nothing else to do."""
    results = Results()
    for number in range(rounds):
        for name, runner in runners.items():
            if name not in results.absent:
                say(f"round {number + 1} of {rounds}: {name}")
                try:
                    results.drains.setdefault(name, []).append(runner.drain(int(events * runner.share)))
                except FileNotFoundError as error:
                    results.absent[name] = str(error)
    for name, runner in runners.items():
        if name not in results.absent:
            say(f"single alarms: {name}")
            results.idle_s[name] = runner.alone(SINGLES)
    return results


def ceiling(events: int = EVENTS) -> float:
    """Events a second through the far broker to the sink, when packets that were made before are poured in."""
    with tempfile.TemporaryDirectory(prefix="callbox-peer-") as directory, ExitStack() as stack:
        broker, sink = stack.enter_context(far_broker(Path(directory)))
        client = stack.enter_context(RawClient(broker.port))
        sink.reset()
        client.publish_all(load.SCANS, load.backlog(events))
        report = sink.wait(events)
        return report.events / (report.last_s - report.first_s)


def commits(count: int = SINGLES) -> list[float]:
    """Seconds of a bare SQLite commit of one event, synchronous=FULL, with the pauses that single alarms have."""
    rng, pause, [body], taken_s = random.Random(1), threading.Event(), load.backlog(1), list[float]()
    with tempfile.TemporaryDirectory(prefix="callbox-peer-") as name, Commit(Path(name) / "bare.db") as commit:
        for _ in range(count):
            pause.wait(rng.uniform(*PAUSE_S))
            taken_s.append(commit.take_s(body))
    return taken_s


def lines(results: Results) -> list[str]:
    """One row a peer."""
    rows = []
    for name, drains in results.drains.items():
        if name in results.absent:
            continue
        rows.append(
            [
                name,
                f"{drains[0].events:,}",
                spread([run.per_s for run in drains]),
                spread([run.reconnect_s * 1000 for run in drains], "ms"),
                ms(results.alarms_s(name)),
                ms(results.idle_s.get(name, [])),
                f"{max(run.rss_mib for run in drains):.0f} MiB",
                f"{sum(run.lost for run in drains):,}",
                f"{sum(run.repeats for run in drains):,}",
            ]
        )
    head = ["", "events", "a second", "first after", "alarm in the middle", "alarm alone", "memory", "lost", "repeats"]
    return [*grid(head, rows), *(f"{name}: not measured: {why}" for name, why in results.absent.items())]


def losses() -> list[str]:
    """What the ThingsBoard gateway loses."""
    rows = []
    for booted_offline in (False, True):
        for killed in (False, True):
            lost = loss(LOSS_EVENTS, booted_offline=booted_offline, killed=killed)
            how = "booted offline" if booted_offline else "link lost after it was up"
            rows.append([how, "SIGKILL" if killed else "no", f"{lost:,} of {LOSS_EVENTS:,}"])
    return grid([GATEWAY, "killed before the link was back", "lost"], rows)


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
