"""The mixed soak: one real box under faults of every kind, mixed by one seed, and no promise of it broken.

CALLBOX_SOAK_S is how long (60; `make soak`: 3600), CALLBOX_SOAK_SEED the seed of the schedule, printed as it comes. The
schedule can be repeated; the daemon's own timing between its steps is real and cannot. At the end one line has the
figures.

What may be lost, exactly: a press or scan whose process was ended before it was on the disk (no lamp said so), or while
it was in memory alone (the disk failed; the lamp showed red) and central had not got it; and what was given to a box
that was dead or to a panel that was unplugged. What was given before a time in which all was well, and the same process
lived through that, is owed, lamp or no lamp.
"""

import json
import os
import threading
import time
from bisect import bisect_left
from collections import defaultdict
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from bad_disk import NO_GCC, BadDisk
from hands import INPUTS, Hands
from real_box import RealBox, until
from soak_faults import NO_FAKETIME, Mischief, Spans
from soak_schedule import CYCLE, ENDS_A_LIFE, HARSH, KINDS, Round, rounds
from vitals import Sample, Vitals, quarters_kb

from simulators.broker import Broker

SOAK_S = float(os.environ.get("CALLBOX_SOAK_S", "60"))
SEED = int(os.environ.get("CALLBOX_SOAK_SEED", str(time.time_ns() % 1_000_000)))
WELL_S = 180.0
"""So soon after all is mended the box has a link, its disk, and no backlog."""
BACKLOG = 30
"""What is still owed then; hands go on all the while."""
EVERY_TROUBLE = 6
"""In one round of so many, it is waited for that no trouble is left; a link that failed is believed only by and by."""
ALARM_S = 2.0
"""A press is at central within this while no fault is on: after it the lamp would turn to "waiting"."""
GROWTH_KB_MAX = 4_096
"""From the second quarter of the longest life to the last. SQLite's cache may be empty then and full now (2 MB); the
caches of a journal that was copied back, kept in one more arena (`storage.promised_by_wal`), are more than 4 MB."""
LIFE_S_MIN = 300
"""A life is long enough for that to be asked of it."""
GROWTH_MAX = 4
"""Threads and open files at the end of that life, beyond the most of its second quarter."""
OUR_FAULT = ("Traceback", "report it", "the journal cannot be used")
"""No log of the daemon has these words: no fault from outside explains them."""
SURELY = 8
"""One of so many kills left a start with `crash` on the disk."""


def test_the_schedule_is_a_function_of_its_seed_alone_and_every_fault_comes() -> None:
    first = list(islice(rounds(7), CYCLE))
    assert first == list(islice(rounds(7), CYCLE))
    assert first != list(islice(rounds(8), CYCLE))
    assert {fault.kind for each in first for fault in each.faults} == set(KINDS)
    assert not [fault for each in first[HARSH:] for fault in each.faults if fault.kind.name in ENDS_A_LIFE]
    for each in first:
        assert len({fault.kind.place for fault in each.faults}) == len(each.faults)


class Soak:
    """calm: the times in which nothing was wrong; recoveries_s: how long each round took to be well again."""

    def __init__(self, box: RealBox, mischief: Mischief, hands: Hands, vitals: Vitals) -> None:
        self.box, self.mischief, self.hands, self.vitals = box, mischief, hands, vitals
        self.calm = Spans()
        self.recoveries_s: list[float] = []
        self.began_s, self.end_s = time.monotonic(), float("inf")
        self._pause = threading.Event()

    def play(self, each: Round) -> None:
        """One round of the schedule, until the box is well again and was left alone for a while."""
        print(f"{time.monotonic() - self.began_s:6.0f} s  {each}", flush=True)  # noqa: T201
        hands = self.hands
        hands.pace_s, hands.codes = each.pace_s, each.codes
        for _ in range(each.burst):
            hands.scan()
        began_s = time.monotonic()
        for step in each.steps():
            self._pause.wait(max(0.0, began_s + step.at_s - time.monotonic()))
            self.mischief.do(step)
        self.recover(without_trouble=each.number % EVERY_TROUBLE == 0)
        with self.calm.within():
            self._pause.wait(each.calm_s)
        assert hands.working()

    def recover(self, *, without_trouble: bool) -> None:
        """Everything is mended: the box gets well by itself, in time."""
        mended_s = time.monotonic()
        try:
            until(lambda: self._well(without_trouble), "the box is well again", WELL_S)
        except AssertionError:
            print(json.dumps(self.box.status(), indent=1))  # noqa: T201
            raise
        self.recoveries_s.append(time.monotonic() - mended_s)
        self.mischief.deaf.end()

    def _well(self, without_trouble: bool) -> bool:
        central, status = self.box.central, self.box.status()
        if central is None or not central.connected:  # it dials again by and by, after the broker was gone
            return False
        if not status or status["link"]["state"] != "up" or sum(status["pending"].values()) > BACKLOG:
            return False
        kinds = {name.partition(" ")[0] for name in status["trouble"]} - {"clock"}  # that nobody sets is this machine's
        if without_trouble:
            return not kinds and not any(link["reason"] for link in status["links"])
        return kinds <= {"link"}

    # ---- afterwards

    def owed(self, at_s: float) -> bool:
        """The same process lived through a calm after it: what was pressed is recorded."""
        at = bisect_left(self.calm.spans, (at_s, at_s))
        return at < len(self.calm.spans) and not self.mischief.dead.meet(at_s, self.calm.spans[at][1])

    def check_scans_and_cases(self) -> None:
        """Each scan that is owed is at central, and each alarm that was opened is closed, but for the last."""
        events = self.box.stored()
        codes = {event["data"]["code"] for event in events if event["type"] == "callbox.scan.code"}
        for at_s, code in self.hands.scanned:
            at = bisect_left(self.calm.spans, (at_s, at_s))
            if self.owed(at_s) and not self.mischief.deaf.meet(at_s, self.calm.spans[at][1]):
                assert code in codes, f"the scan of {code} at {at_s} is lost"
        alarms = [event["data"] for event in events if event["type"] == "callbox.alarm.panic"]
        closed = {data["case"] for data in alarms if data["transition"] == "restored"}
        last_s = max(data["monotonic_s"] for data in alarms if data["transition"] == "raised")
        for data in alarms:
            if data["transition"] == "raised" and self.owed(data["monotonic_s"]) and data["monotonic_s"] != last_s:
                assert data["case"] in closed, f"the alarm of {data['monotonic_s']} can never be closed"

    def slowest_alarm_s(self) -> float:
        """Of those that were pressed while no fault was on: from the press to central."""
        arrived: dict[str, list[tuple[float, float]]] = defaultdict(list)
        wall_s = time.time() - time.monotonic()
        for row in self.box.rows():
            event: dict[str, Any] = json.loads(row["payload"])
            if event["type"] == "callbox.alarm.panic" and event["data"]["transition"] == "raised":
                at_s = datetime.fromisoformat(row["received_at"]).timestamp() - wall_s
                arrived[event["data"]["input"]].append((event["data"]["monotonic_s"], at_s))
        slowest_s = 0.0
        for seen in arrived.values():
            seen.sort()
        for pressed_s, pin in self.hands.pressed:
            if any(begin <= pressed_s and pressed_s + ALARM_S <= end for begin, end in self.calm.spans):
                seen = arrived[f"alarm-{pin}"]
                slowest_s = max(slowest_s, seen[bisect_left(seen, (pressed_s, 0.0))][1] - pressed_s)
        return slowest_s

    @property
    def longest_life(self) -> list[Sample]:
        """From when it was armed until the end came."""
        return [sample for sample in self.vitals.longest_life if sample.answered and sample.end_s < self.end_s]

    def check_logs(self) -> None:
        """Nothing went wrong inside the box."""
        lines = [line for log in self.box.directory.glob("box-*.log") for line in log.read_text().splitlines()]
        assert [line for line in lines if any(words in line for words in OUR_FAULT)] == []

    def check_vitals(self) -> None:
        """It answered whenever it could, and did not grow."""
        mischief, life = self.mischief, self.longest_life
        for sample in [sample for sample in self.vitals.samples if sample.end_s < self.end_s]:
            excused = any(spans.meet(sample.at_s, sample.end_s) for spans in (mischief.dead, mischief.frozen))
            assert sample.answered or excused, f"no answer to `callbox status` at {sample.at_s}"
        settled = life[len(life) // 4 : len(life) // 2]  # with a session, and what else a start has not yet
        assert life[-1].threads <= max(sample.threads for sample in settled) + GROWTH_MAX
        assert life[-1].files <= max(sample.files for sample in settled) + GROWTH_MAX
        if life[-1].end_s - life[0].at_s >= LIFE_S_MIN:
            memory_kb = quarters_kb(life)
            assert memory_kb[-1] - memory_kb[1] < GROWTH_KB_MAX, memory_kb


@pytest.mark.real
@pytest.mark.soak
@pytest.mark.skipif(bool(NO_GCC or NO_FAKETIME), reason=f"{NO_GCC}; {NO_FAKETIME}".strip("; "))
@pytest.mark.timeout(SOAK_S + 1200)
def test_under_all_faults_mixed_nothing_is_lost_or_repeated_and_the_box_stays_as_it_is(tmp_path: Path) -> None:
    print(f"seed {SEED}, {SOAK_S:.0f} s")  # noqa: T201
    broker = Broker(directory=tmp_path / "broker", config=Mischief.acl(tmp_path))
    with (
        RealBox(tmp_path, broker=broker, inputs=INPUTS) as box,
        BadDisk(tmp_path, box.state_dir) as disk,
        Vitals(box) as vitals,
        Hands(box) as hands,
        Mischief(box, disk, hands, vitals) as mischief,
    ):
        broker.start()
        box.start_central()
        mischief.start()
        soak, schedule = Soak(box, mischief, hands, vitals), rounds(SEED)
        while time.monotonic() < soak.began_s + SOAK_S:
            soak.play(next(schedule))
        soak.recover(without_trouble=True)
        soak.end_s = time.monotonic()
        hands.last_word()
        told = hands.check(soak.owed, moved=True, crashed=mischief.kills >= SURELY)
        soak.check_scans_and_cases()
        slowest_s, life = soak.slowest_alarm_s(), soak.longest_life
        kinds = ", ".join(f"{kind} {times}" for kind, times in sorted(mischief.done.items()))
        print(  # noqa: T201  the figures that `make soak` is for
            f"seed {SEED}: {soak.end_s - soak.began_s:.0f} s, {mischief.done.total()} faults ({kinds}),"
            f" {vitals.life} lives, {mischief.kills} kills; {told};"
            f" slowest alarm {slowest_s:.2f} s, slowest recovery {max(soak.recoveries_s):.0f} s; longest life"
            f" {life[-1].end_s - life[0].at_s:.0f} s: RSS first {life[0].rss_kb}, last {life[-1].rss_kb},"
            f" max {max(s.rss_kb for s in life)} KB, by quarters {quarters_kb(life)} KB,"
            f" threads {life[0].threads} to {life[-1].threads}, files {life[0].files} to {life[-1].files}"
        )
        soak.check_logs()
        soak.check_vitals()
        assert slowest_s < ALARM_S
