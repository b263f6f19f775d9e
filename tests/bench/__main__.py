"""What Callbox promises of its speed, beside its limits and its peers, in one run: `make bench`, on a quiet machine.

Writes the figures into docs/performance.md and the picture beside it. Names of sections after it (`presses`, `drains`,
`alarms`, `journal`, `lists`, `cameras`, `wires`, `start`) run these alone, and write nothing.
"""

import logging
import os
import platform
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from bench import cameras, contest, drains, figures, journal_cost, lists, plot, presses, start_cost, wires
from bench.contest import say

PAGE = Path(__file__).parents[2] / "docs" / "performance.md"
BEGIN, END = "<!-- make bench writes from here -->", "<!-- to here -->"


def contests() -> list[str]:
    """Point 4: the table, the peers beside it, and the picture."""
    ceilings = [contest.ceiling() for _ in range(contest.ROUNDS)]
    results = contest.measure(drains.OURS | contest.PEERS, contest.EVENTS, contest.ROUNDS)
    plot.draw(
        PAGE.with_suffix(".svg"),
        {name: [run.per_s for run in runs] for name, runs in results.drains.items()},
        {name: results.alarms_s(name) for name in results.drains},
        list(drains.OURS),
        (5, 20),
    )
    told = [
        *figures.table(drains.drain_rows(results)),
        "",
        f"All that took part, medians of {contest.ROUNDS} rounds in turn (and their range), alarms median / p99:",
        "",
        *contest.lines(results),
        "",
        f"What broker and far end can take: {figures.spread(ceilings, 'events/s')}.",
        f"A bare SQLite commit, synchronous=FULL: {figures.ms(contest.commits())}.",
        "",
        "![drains and alarms](performance.svg)",
    ]
    return told if contest.GATEWAY in results.absent else [*told, "", *contest.losses()]


SECTIONS: dict[str, tuple[str, Callable[[], list[str]]]] = {
    "presses": ("Presses and storms (points 1 to 3)", lambda: figures.table(presses.rows())),
    "drains": ("Drains (point 4)", contests),
    "alarms": ("Alarms amid a million (point 5)", lambda: figures.table(drains.alarm_rows())),
    "journal": ("The journal as it grows (point 6)", lambda: figures.table(journal_cost.rows())),
    "lists": ("Code lists", lambda: figures.table(lists.rows())),
    "cameras": ("Cameras", lambda: figures.table(cameras.rows())),
    "wires": ("Wires (garbage on all others)", lambda: figures.table(wires.rows())),
    "start": ("Start, memory, rest (points 6 and 7)", lambda: figures.table(start_cost.rows())),
}


def main() -> int:
    logging.disable()
    began_s, before = time.monotonic(), os.getloadavg()[0]
    told = []
    for name in sys.argv[1:] or SECTIONS:
        title, measure = SECTIONS[name]
        say(f"== {title}")
        lines = measure()
        say("\n".join(lines))
        told += [f"### {title}", "", *lines, ""]
    kernel = ".".join(platform.release().split(".")[:2])
    machine = f"{os.cpu_count()} cores, Linux {kernel}, Python {platform.python_version()}"
    when = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    head = f"{when}; {machine}; load {before:.1f} before; {time.monotonic() - began_s:.0f} s."
    say(head)
    if not sys.argv[1:]:
        page = PAGE.read_text(encoding="utf-8")
        (above, rest), mark = page.split(BEGIN), BEGIN
        below = rest.split(END)[1]
        PAGE.write_text("\n".join([f"{above}{mark}", "", head, "", *told, END]) + below, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
