"""What the journal costs as it grows: an event more, what is owed next, and a receipt, at 1,000 to 10,000,000 events.

All events are owed, the worst that can stand in a journal. The first thousand are sealed and written as the box does
it; the rest are copies of their rows under other numbers (INSERT ... SELECT in the same schema, so that the triggers
write their debts and the counts): ten million by the ordinary way take a quarter of an hour, and nothing here reads
what stands in their bytes.

The sizes are measured in turn, a round at a time, so that what else the machine does falls on all of them. A round adds
one event and strikes one off, so that each journal keeps its size. Between the rounds, as in the daemon, the WAL is
moved into the database now and then; that is not counted.

CALLBOX_ROWS lowers the largest size, for a quick try; ten million take about 8 GB beside the temporary files.
"""

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Any, Final

from agent.events import Chain, Draft, Event, Stamp, uuid7
from agent.identity import Ed25519Signer
from agent.journal import FILE, Journal, connect
from agent.mail import Fetch, Write
from agent.outbox import FETCH_MAX
from bench import ours
from bench.figures import Row, bounded, digits, ms
from bench.load import BOX, CODE, MODELS

SIZES: Final = (1_000, 100_000, int(os.environ.get("CALLBOX_ROWS", "10_000_000")))
ROUNDS: Final = 600
WARM_UP: Final = 30
CARE_ROUNDS: Final = 50
"""Rounds between two checkpoints: about what `agent/writer.py` lets grow in a busy time."""
SEALED: Final = 1_000
COPIES: Final = 100_000
"""Rows copied in one transaction."""
RATIO_MAX: Final = 1.2
WALL_US: Final = 1_790_000_000_000_000


class Sealer:
    """Makes a journal's next events, as the box does."""

    def __init__(self, journal: Journal) -> None:
        opened = journal.opened()
        self._chain = Chain(
            f"/callbox/{BOX}", opened.name, "5f0c2a9e", Ed25519Signer.generate(), opened.seq, opened.prevhash
        )

    def next(self) -> Event:
        number = self._chain.seq + 1
        at = Stamp(number / 10, WALL_US + number * 100_000)
        data: Any = {"input": "desk", "code": CODE.format(number=number % MODELS)}
        return self._chain.seal(Draft(uuid7(at.wall_us, number), "scan.code", "desk", at, data))


def fill(path: Path, events: int) -> None:
    """A journal with so many events, all owed, in a file of its own; at least SEALED of them. All on the disk."""
    ours.fill(path, SEALED)
    with closing(connect(str(path))) as sql:
        sql.execute("PRAGMA synchronous=OFF")
        for done in range(SEALED, events, COPIES):
            sql.execute(
                "WITH RECURSIVE turns(n) AS (SELECT :done / :sealed UNION ALL SELECT n + 1 FROM turns LIMIT :turns)"
                " INSERT INTO events SELECT e.seq + n * :sealed, e.class, e.body FROM turns, events e"
                " WHERE e.seq <= :sealed ORDER BY n, e.seq",
                {"done": done, "sealed": SEALED, "turns": min(COPIES, events - done) // SEALED},
            )
            sql.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    os.sync()


class Measured:
    """One journal of a size, and the seconds that each kind of work took."""

    def __init__(self, directory: Path, events: int) -> None:
        directory.mkdir()
        fill(directory / FILE, events)
        self.journal = Journal(directory / FILE)
        self.taken: dict[str, list[float]] = {"append": [], "owed next": [], "confirm": []}
        self._sealer = Sealer(self.journal)
        self._through = 0

    def round(self, *, counted: bool) -> None:
        """An event more, the next that are owed, and the receipt for the oldest."""
        event = self._sealer.next()
        self._through += 1
        for name, work in (
            ("append", lambda: self.journal.write([Write(events=(event,))])),
            ("owed next", lambda: self.journal.fetch(Fetch("scan", self._through, FETCH_MAX))),
            ("confirm", lambda: self.journal.write([Write(delivered=((self._through, self._through),))])),
        ):
            seconds = _seconds(work)
            if counted:
                self.taken[name].append(seconds)


def _seconds(work: Callable[[], object]) -> float:
    began_s = time.perf_counter()
    work()
    return time.perf_counter() - began_s


def measure(directory: Path, sizes: Sequence[int] = SIZES) -> dict[int, dict[str, list[float]]]:
    """Seconds of each kind of work, by size."""
    journals = {size: Measured(directory / str(size), size) for size in sizes}
    order = list(journals.values())
    for number in range(WARM_UP + ROUNDS):
        order.append(order.pop(0))  # nobody always comes first
        for measured in order:
            measured.round(counted=number >= WARM_UP)
        if number % CARE_ROUNDS == 0:
            for measured in order:
                measured.journal.checkpoint()
    for measured in order:
        measured.journal.close()
    return {size: measured.taken for size, measured in journals.items()}


def rows() -> list[Row]:
    """A row for each kind of work and size; its ratio is to the smallest size."""
    with tempfile.TemporaryDirectory(prefix="callbox-bench-") as directory:
        taken = measure(Path(directory))
    return growth(taken)


def growth(taken: dict[int, dict[str, list[float]]]) -> list[Row]:
    """What was measured, by size and kind of work, as rows; within the limit: the dearest size by the cheapest."""
    sizes, found = sorted(taken), list[Row]()
    for name in taken[sizes[0]]:
        middles = [median(taken[size][name]) for size in sizes]
        for size, middle in zip(sizes, middles, strict=True):
            title, value = f"journal, {name}, {size:,} events", ms(taken[size][name])
            if size < sizes[-1]:
                found.append(Row(title, value, "", middle / middles[0]))
                continue
            ratio = max(middles) / min(middles)
            beside = f"{digits(min(middles) * 1000)} ms at {sizes[middles.index(min(middles))]:,}"
            found.append(Row(title, value, beside, ratio, *bounded(ratio, "at most", RATIO_MAX)))
    return found
