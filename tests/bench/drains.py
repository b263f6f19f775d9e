"""Points 4 and 5: 100,000 owed events to central, a new alarm in the middle of it, and beside 1,000,000 of them."""

import tempfile
import time
from pathlib import Path

from bench.ours import Hands, fast_central, our_box, waits
from bench.peers import Drain, peak_mib

BATCH = 500
"""What central asks for, of 500 at most (contract, section 3)."""
LATE_S = 300.0


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
