"""Points 1 to 3: from the edge to the lamp and to central's store, at rest, on a slow disk, and amid much else.

The inputs have debounce_ms 0: nothing is subtracted. In a real box the lamp waits for its debounce (20 ms) too. The
edge is when the box saw it, as the event says; the lamp is when the board saw its pin change.
"""

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bad_disk import BadDisk
from real_box import RealBox, until

from bench import load
from bench.bare import Commit, RoundTrip
from bench.figures import Row, rows_of
from bench.ours import BATCH, MAD, edges, fast_central, our_box, press_to_lamp, recorded
from bench.sink import Sink
from simulators.central.wire import load_key, public

PRESSES, STORM_PRESSES = 150, 300
WARM_UP = 10
SLOW_MS = 2
BACKLOG = 500_000
STORM_PER_S, STORM_S, BURST_S = 2000, 60, 0.01
CHATTER_PER_S = 10_000


@dataclass
class Taken:
    """Seconds of single presses from the edge, and what a bare commit took in the pauses between them."""

    lamp_s: list[float] = field(default_factory=list)
    central_s: list[float] = field(default_factory=list)
    commit_s: list[float] = field(default_factory=list)


@dataclass
class Storm:
    """scans: how many the panel sent; recorded: of these in the journal; seconds: until the last was at central."""

    scans: int = 0
    recorded: int = 0
    seconds: float = 0.0


def at_rest(slow_ms: int = 0, presses: int = PRESSES, *, settle_s: float = 0.0, **changes: Any) -> Taken:
    """Nothing else happens. slow_ms: what each sync of the disk takes longer, for the box and for the bare commit.

    settle_s: so long the box runs before the first press. changes: of its config.
    """
    with tempfile.TemporaryDirectory(prefix="callbox-bench-") as name, ExitStack() as stack:
        directory = Path(name)
        disk = stack.enter_context(BadDisk(directory, directory))
        disk.arm(fsync_ms=slow_ms)
        box = stack.enter_context(our_box(directory, **changes))
        sink = stack.enter_context(fast_central(box))
        box.more_environment = environment = disk.environment if slow_ms else {}
        commit = stack.enter_context(Commit(directory / "bare.db", environment))
        box.power_on()
        box.armed().owes_nothing()
        threading.Event().wait(settle_s)
        return _press(box, sink, presses, commit=commit)


def in_a_drain(presses: int = PRESSES) -> Taken:
    """A backlog goes out, one a message, all the time."""
    with _powered(BACKLOG) as (box, sink):
        sink.wait(1)
        taken = _press(box, sink, presses, BACKLOG)
        assert sum(box.status()["pending"].values()) > 0, "the drain was over before the presses were: more BACKLOG"
        return taken


def in_a_storm(seconds: float = STORM_S) -> tuple[Taken, Storm]:
    """A scanner reads STORM_PER_S codes a second."""
    with _powered(batch=BATCH) as (box, sink):
        box.owes_nothing()
        sink.reset()
        storm, over = Storm(), threading.Event()
        began_s = time.monotonic()
        scanner = threading.Thread(target=_scan, args=(box, storm, began_s + seconds, over), daemon=True)
        scanner.start()
        taken = _press(box, sink, STORM_PRESSES, enough=lambda: time.monotonic() > began_s + seconds)
        scanner.join()
        box.owes_nothing()
        storm.recorded, storm.seconds = recorded(box, "scan"), sink.wait().last_s - began_s
        return taken, storm


def while_a_lamp_flashes(presses: int = PRESSES) -> Taken:
    """The red lamp says, eight changes a second, that a line is not there."""
    drivers = [{"id": "gpio0", "type": "gpio"}, {"id": "panel", "type": "line", "port": "/dev/callbox-none"}]
    with _powered(drivers=drivers) as (box, sink):
        until(lambda: box.status().get("trouble"), "the line's trouble")
        return _press(box, sink, presses)


def while_a_contact_chatters(presses: int = PRESSES) -> Taken:
    """A pin of the same chip changes CHATTER_PER_S times a second."""
    with _powered() as (box, sink):
        box.board.chatter(MAD, CHATTER_PER_S)
        taken = _press(box, sink, presses)
        assert box.status()["noise"]["gpio0"] > CHATTER_PER_S, "the box has not counted the chatter"
        return taken


@contextmanager
def _powered(backlog: int = 0, batch: int = 0, **changes: Any) -> Iterator[tuple[RealBox, Sink]]:
    with tempfile.TemporaryDirectory(prefix="callbox-bench-") as name:  # noqa: SIM117
        with our_box(Path(name), backlog, **changes) as box, fast_central(box, batch) as sink:
            box.power_on()
            box.armed()
            yield box, sink


def _press(
    box: RealBox,
    sink: Sink,
    presses: int,
    backlog: int = 0,
    commit: Commit | None = None,
    enough: Callable[[], bool] = lambda: False,
) -> Taken:
    taken, body = Taken(), load.backlog(1)[0]
    before = len(edges(box, backlog))

    def between() -> None:
        if commit:
            taken.commit_s.append(commit.take_s(body))

    lit_s = [lit_s for _, lit_s in press_to_lamp(box, WARM_UP + presses, between, enough)]
    seen = list(edges(box, backlog).items())[before:]
    at_central = sink.wait(alarms=len(seen), deadline_s=60).alarms
    taken.lamp_s = [at_s - edge_s for at_s, (_, edge_s) in zip(lit_s, seen, strict=True)][WARM_UP:]
    taken.central_s = [at_central[seq] - edge_s for seq, edge_s in seen][WARM_UP:]
    taken.commit_s = taken.commit_s[WARM_UP:]
    return taken


def _scan(box: RealBox, storm: Storm, until_s: float, over: threading.Event) -> None:
    """Bursts of what is due, each code once."""
    began_s = time.monotonic()
    while (now_s := time.monotonic()) < until_s:
        due = int((now_s - began_s) * STORM_PER_S)
        lines = b"".join(b"S:ticket-%07d\r\n" % number for number in range(storm.scans, due))
        if box.panel.send(lines) != len(lines):
            raise TimeoutError("the box does not read its panel")
        storm.scans = due
        over.wait(BURST_S)


# ---- to a central that stores


@dataclass
class Stored:
    """Seconds: of presses from the hand to central's commit, and of the bare parts in the pauses between."""

    store_s: list[float] = field(default_factory=list)
    commit_s: list[float] = field(default_factory=list)
    one_way_s: list[float] = field(default_factory=list)


def to_the_store(presses: int = PRESSES) -> Stored:
    """One press after the other, to the simulated central in a process of its own."""
    taken, body = Stored(), load.backlog(1)[0]
    with tempfile.TemporaryDirectory(prefix="callbox-bench-") as name, ExitStack() as stack:
        directory = Path(name)
        url_of = "mqtt://127.0.0.1:{}".format
        key = public(load_key(directory / "central.central.pem"))
        box = stack.enter_context(our_box(directory, central_key=key))
        central = subprocess.Popen(
            [sys.executable, "-m", "bench.stored", url_of(box.broker.port), directory / "central.db"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        stack.callback(central.communicate)
        assert central.stdout
        assert central.stdout.readline() == "listening\n"
        commit = stack.enter_context(Commit(directory / "bare.db"))
        trip = RoundTrip(box.broker.port)
        stack.callback(trip.close)
        box.power_on()
        box.armed().owes_nothing()

        def bare() -> None:
            taken.commit_s.append(commit.take_s(body))
            taken.one_way_s.append(trip.take_s(body) / 2)

        pressed = press_to_lamp(box, WARM_UP + presses, bare)
        box.owes_nothing()
        at_central: dict[int, float] = {}
        while not set(edges(box)) <= set(at_central):
            seq, at_s = central.stdout.readline().split()
            at_central.setdefault(int(seq), float(at_s))
        taken.store_s = [at_central[seq] - at_s for seq, (at_s, _) in zip(edges(box), pressed, strict=True)]
    for each in (taken.store_s, taken.commit_s, taken.one_way_s):
        del each[:WARM_UP]
    return taken


# ---- the rows


def rows() -> list[Row]:
    """Points 1, 2 and 3. At rest is measured before and after the rest."""
    rest = at_rest()
    slow = at_rest(SLOW_MS)
    drain = in_a_drain()
    busy, storm = in_a_storm()
    flash = while_a_lamp_flashes()
    chatter = while_a_contact_chatters()
    again = at_rest()
    stored = to_the_store()
    quiet = Taken(rest.lamp_s + again.lamp_s, rest.central_s + again.central_s, rest.commit_s + again.commit_s)
    bare_s = [a + b + c for a, b, c in zip(stored.one_way_s, stored.commit_s, reversed(stored.commit_s), strict=True)]
    told = [
        *rows_of("edge to lamp, this disk", quiet.lamp_s, "bare commit", quiet.commit_s, 4, 4),
        *rows_of(f"edge to lamp, {SLOW_MS} ms a sync", slow.lamp_s, "bare commit", slow.commit_s, 1.3, 1.5),
        *rows_of("press to central's store", stored.store_s, "one way + two commits", bare_s, 3, 3),
    ]
    beside = (("in a drain", drain), ("in a storm", busy), ("a lamp flashes", flash), ("a contact chatters", chatter))
    for name, taken in beside:
        told += rows_of(f"edge to lamp, {name}", taken.lamp_s, "at rest", quiet.lamp_s, 1.5, 1.5)
    told += rows_of("edge to central, in a storm", busy.central_s, "at rest", quiet.central_s, 1.5, 1.5)
    per_s = storm.recorded / storm.seconds
    told.append(
        Row(
            f"scans recorded of {storm.scans:,} in {STORM_S} s",
            f"{storm.recorded:,}, {per_s:,.0f} a second",
            f"{STORM_PER_S:,} a second sent",
            per_s / STORM_PER_S,
            "all of them",
            storm.recorded == storm.scans,
        )
    )
    return told
