"""Points 4 and 5: 100,000 owed events to central, a new alarm in the middle of it, and beside 1,000,000 of them."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from netlab import NetLab
from real_box import RealBox

from bench.contest import BRIDGE, EVENTS, LEAF, NAIVE, PAHO_20, Results, Runner
from bench.figures import Row, bounded, digits, quantile, rows_of
from bench.ours import BATCH, Hands, fast_central, our_box, waits
from bench.peers import Drain, peak_mib
from bench.sink import Sink
from simulators.broker import Broker, free_port

LATE_S = 300.0
OWED = 1_000_000
ALARMS, SLOW_ALARMS = 100, 20
ALARM_EVERY_S, SLOW_ALARM_EVERY_S = (0.05, 0.08), (1.5, 2.5)
"""Over a slow line each is alone: 15 a second would be more than 64 kbit/s carry."""
DELAY_MS = 25
"""Each way: 50 ms there and back."""
PIECE_BYTES = 4096
"""The smallest of the contract, for the slowest link."""


def our_drain(events: int, batch: int = 0) -> Drain:
    """One outage of a box that was started in it."""
    with tempfile.TemporaryDirectory(prefix="callbox-bench-") as directory:  # noqa: SIM117
        with our_box(Path(directory), events) as box, fast_central(box, batch) as sink:
            box.broker.stop()
            box.power_on()
            box.armed()
            hands = Hands(box)
            restored_s = time.monotonic()
            box.broker.start()
            sink.wait(1, deadline_s=LATE_S)
            hands.start()
            drained = sink.wait(events, deadline_s=LATE_S)
            hands.stop()
            alarms_s = waits(box, sink, hands.pressed_s, events, drained.last_s)
            box.owes_nothing()
            report = sink.wait()
            return Drain(
                events=events,
                seconds=drained.last_s - drained.first_s,
                reconnect_s=drained.first_s - restored_s,
                alarms_s=alarms_s,
                rss_mib=peak_mib(box.pid),
                lost=max(0, events - report.events),
                repeats=report.repeats,
            )


# ---- point 5: a new alarm while 1,000,000 events are owed


def amid(owed: int, batch: int = BATCH, presses: int = ALARMS) -> list[float]:
    """Seconds of presses from the hand to central, on loopback, from a box that owes so much and is at it."""
    with tempfile.TemporaryDirectory(prefix="callbox-bench-") as directory:  # noqa: SIM117
        with our_box(Path(directory), owed) as box, fast_central(box, batch) as sink:
            box.power_on()
            box.armed()
            return _pressed_amid(box, sink, owed, presses, ALARM_EVERY_S)


def over_1_mbit(owed: int) -> list[float]:
    """The same over 1 Mbit/s and DELAY_MS each way, in user space: this kernel has no netem."""
    with tempfile.TemporaryDirectory(prefix="callbox-bench-") as directory:  # noqa: SIM117
        with our_box(Path(directory), owed) as box, fast_central(box, BATCH) as sink:
            box.wan.set_rate(1000)
            box.wan.delay_ms = DELAY_MS
            box.config["links"] = [{"url": f"mqtt://127.0.0.1:{box.wan.port}"}]
            box.write_config()
            box.power_on()
            box.armed()
            return _pressed_amid(box, sink, owed, SLOW_ALARMS, SLOW_ALARM_EVERY_S)


def over_64_kbit(owed: int) -> list[float]:
    """The same over 64 kbit/s through a router of the kernel, with pieces of frames on a second connection.

    Cameras come with a later version: a bare client stands in for them, that sends one piece of PIECE_BYTES after
    the other for as long as it lasts.
    """
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="callbox-bench-")))
        lab = stack.enter_context(NetLab())
        lab.rate(64)
        port = free_port()
        broker = Broker(directory=directory / "broker", persistence=True, config=[f"listener {port} {lab.here}"])
        box = stack.enter_context(our_box(directory, owed, broker=broker))
        box.under = lab.under
        box.config["links"] = [{"url": f"mqtt://{lab.here}:{port}"}]
        box.write_config()
        sink = stack.enter_context(fast_central(box, BATCH))
        stack.enter_context(_frames(lab, port))
        box.power_on()
        box.armed()
        return _pressed_amid(box, sink, owed, SLOW_ALARMS, SLOW_ALARM_EVERY_S)


def _pressed_amid(box: RealBox, sink: Sink, owed: int, presses: int, every_s: tuple[float, float]) -> list[float]:
    if owed:
        sink.wait(1, deadline_s=LATE_S)
    else:
        box.owes_nothing()
    hands = Hands(box, presses, every_s)
    hands.start()
    hands.join()
    taken = waits(box, sink, hands.pressed_s, owed)
    assert not owed or sum(box.status()["pending"].values()), "the drain was over before the presses were"
    return taken


@contextmanager
def _frames(lab: NetLab, port: int) -> Iterator[None]:
    command = [*lab.under, sys.executable, "-m", "bench.frames", lab.here, str(port), str(PIECE_BYTES)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as uploads:
        try:
            assert uploads.stdout
            assert uploads.stdout.readline() == "uploading\n"
            yield
        finally:
            uploads.kill()


# ---- the rows

ONE, MANY = "Callbox, one a message", "Callbox, in batches"
OURS = {
    ONE: Runner(partial(our_drain, batch=0), lambda alarms: amid(0, 0, alarms)),
    MANY: Runner(partial(our_drain, batch=BATCH), lambda alarms: amid(0, BATCH, alarms)),
}


def drain_rows(results: Results) -> list[Row]:
    """Point 4, beside those that could be measured."""
    rows = []
    for ours, theirs, least in (
        (ONE, PAHO_20, 0.9),
        (MANY, PAHO_20, 5),
        (MANY, BRIDGE, 1),
        (MANY, LEAF, 1),
        (MANY, NAIVE, 30),
    ):
        if theirs not in results.absent:
            here, there = results.per_s(ours), results.per_s(theirs)
            told = f"{digits(here)} a second", f"{theirs}: {digits(there)}"
            rows.append(
                Row(f"drain of {EVENTS:,}: {ours}", *told, here / there, *bounded(here / there, "at least", least))
            )
    for ours in OURS:
        for word, share, most_ms in (("median", 0.5, 5), ("p99", 0.99, 20)):
            late_ms = quantile(results.alarms_s(ours), share) * 1000
            limit, met = bounded(late_ms, "at most", most_ms)
            rows.append(
                Row(f"alarm in that drain, {word}: {ours}", f"{digits(late_ms)} ms", "", None, f"{limit} ms", met)
            )
    return rows


def alarm_rows(owed: int = OWED) -> list[Row]:
    """Point 5."""
    rows = rows_of(f"alarm with {owed:,} owed", amid(owed), "with none", amid(0), 3, 3)
    for name, limit_ms, taken in (
        (f"over 1 Mbit/s, {2 * DELAY_MS} ms there and back", 2 * DELAY_MS + 50, over_1_mbit(owed)),
        ("over 64 kbit/s beside frames", 1000, over_64_kbit(owed)),
    ):
        for word, share in (("median", 0.5), ("p99", 0.99)):
            late_ms = quantile(taken, share) * 1000
            limit, met = bounded(late_ms, "at most", limit_ms)
            rows.append(Row(f"the same {name}, {word}", f"{digits(late_ms)} ms", "", None, f"{limit} ms", met))
    return rows
