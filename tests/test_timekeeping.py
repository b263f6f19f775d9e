"""Clocks that are missing, wrong, stepping, or beyond their time; and the daily test. Virtual time."""

import json
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from bench_box import BOX_KEY, YAML, Bench

from agent.clock import WALL_US_MAX
from agent.events import Stamp, rfc3339
from agent.identity import Ed25519Signer, verify_chain
from agent.timekeeping import CLOCK_TROUBLE_S, DAY_S, TEST_GAP_S


class Clocked(Bench):
    """A bench whose kernel says whether the clock is disciplined."""

    synced = True

    @property
    def stamp(self) -> Stamp:
        return Stamp(self.now_s, self.wall_us, self.synced)

    def step(self, seconds: float) -> None:
        self.wall_us += round(seconds * 1e6)
        self.wait(1.1)


def whole(bench: Bench) -> bool:
    events = [(seq, bench.journal.events[seq].body) for seq in sorted(bench.journal.events)]
    return verify_chain(events, Ed25519Signer(BOX_KEY).public) is None


@pytest.mark.parametrize("step_s", [7_200.0, -7_200.0, 1.5, -86_400.0 * 400], ids=str)
def test_a_step_of_the_clock_is_an_event_by_which_central_can_correct_what_came_before(step_s: float) -> None:
    bench = Clocked()
    bench.press("alarm-1")
    bench.step(step_s)
    bench.press("alarm-1")
    [clock] = [event for event in bench.events if event["type"] == "callbox.status.clock"]
    assert clock["data"]["step_s"] == pytest.approx(step_s)
    before, after = [event for event in bench.events if event["type"] == "callbox.alarm.panic"]
    assert [event["boxseq"] for event in bench.events] == list(range(1, len(bench.events) + 1))

    def corrected_s(event: Any) -> float:
        """What central makes of it: the clock's word after the step, counted back by the box's own seconds."""
        later_s: float = clock["data"]["monotonic_s"] - event["data"]["monotonic_s"]
        return datetime.fromisoformat(clock["time"]).timestamp() - later_s

    true_s = datetime.fromisoformat(after["time"]).timestamp() - corrected_s(before)
    assert true_s == pytest.approx(after["data"]["monotonic_s"] - before["data"]["monotonic_s"], abs=0.001)
    assert whole(bench)


def test_a_box_without_a_clock_records_from_1970_marks_it_and_says_when_it_was_set() -> None:
    bench = Clocked(start=False)
    bench.wall_us, bench.synced = 5_000_000, False
    bench.box = bench._box()
    bench.start()
    bench.press("alarm-1")
    assert [event["timequality"] for event in bench.events] == ["unsynced"] * len(bench.events)
    assert bench.events[-1]["time"].startswith("1970-01-01T00:00:05")
    bench.synced = True
    bench.step(1_795_311_200.0)
    assert bench.of("status.clock")[0]["step_s"] == pytest.approx(1_795_311_200.0)
    bench.press("alarm-1")
    assert (bench.events[-1]["timequality"], bench.events[-1]["time"][:4]) == ("synced", "2026")
    assert whole(bench)


@pytest.mark.parametrize(
    "at",
    [
        "2028-02-29T23:59:59.900000Z",
        "2038-01-19T03:14:07.900000Z",
        "2100-02-28T23:59:59.900000Z",
        "2106-02-07T06:28:15Z",
    ],
)
def test_dates_that_others_stumble_over_are_days_like_any(at: str) -> None:
    bench = Clocked(start=False)
    bench.wall_us = round(datetime.fromisoformat(at).timestamp() * 1e6)
    bench.box = bench._box()
    bench.start()
    for _ in range(3):
        bench.press("alarm-1")
    times = [datetime.fromisoformat(event["time"]) for event in bench.events]
    assert all(0 <= (later - earlier).total_seconds() < 1 for earlier, later in pairwise(times))
    assert times[0].astimezone(UTC).isoformat().startswith(at[:19])
    ids = [int(event["id"].replace("-", "")[:12], 16) for event in bench.events]
    assert [abs(made - when.timestamp() * 1000) < 500 for made, when in zip(ids, times, strict=True)] == [True] * len(
        ids
    )
    assert whole(bench)


def test_the_last_moment_that_can_be_written_is_no_error() -> None:
    assert rfc3339(WALL_US_MAX).startswith("9999-12-31T23:59:59")


def test_a_clock_that_nobody_sets_is_a_trouble_after_ten_minutes_until_somebody_does() -> None:
    bench = Clocked()
    bench.connect()
    bench.synced = False
    bench.wait(CLOCK_TROUBLE_S - 1)
    assert bench.of("trouble.clock") == []
    bench.wait(3)
    [data] = bench.of("trouble.clock")
    assert data.items() >= {"transition": "raised", "cid": 626}.items()
    assert not [
        data for data in bench.of("trouble.link") if data["transition"] == "raised" and "clock" in data["reason"]
    ]
    bench.synced = True
    bench.wait(2)
    assert [data["transition"] for data in bench.of("trouble.clock")] == ["raised", "restored"]


# ---- the daily test


def daily_tests(bench: Bench) -> list[dict[str, Any]]:
    return [event for event in bench.events if event["type"] == "callbox.status.test"]


def days(bench: Bench, count: float) -> None:
    """Goes by in steps, with central answering: a day of seconds would be slow."""
    for _ in range(round(count * 144)):
        bench.now_s += 600
        bench.wall_us += 600_000_000
        bench.box.tick(bench.stamp)
        bench.act()


def test_once_a_day_an_event_goes_the_whole_way_by_itself_at_the_boxs_own_second() -> None:
    bench = Clocked()
    days(bench, 5)
    found = daily_tests(bench)
    assert len(found) == 5
    assert all(event["data"].items() >= {"test": True, "what": "daily"}.items() for event in found)
    times = [datetime.fromisoformat(event["time"]) for event in found]
    assert {(later - earlier).total_seconds() for earlier, later in pairwise(times)} == {DAY_S}


def test_it_tells_the_troubles_that_stand_and_is_a_608_then() -> None:
    bench = Clocked()
    bench.edge("mains-2", True)
    days(bench, 1)
    [event] = daily_tests(bench)
    assert event["data"]["cid"] == 608 and "ac mains-2" in event["data"]["trouble"]
    well = Clocked()
    well.connect()
    while not daily_tests(well):
        well.receipt(through=len(well.events))
        days(well, 1 / 144)
    assert well.of("status.test")[0]["cid"] == 602


def test_boxes_of_a_fleet_do_not_test_at_the_same_time() -> None:
    seconds = set()
    for number in range(12):
        bench = Clocked(YAML.replace("id: kiosk-017", f"id: kiosk-{number:03d}"))
        days(bench, 1)
        seconds.add(daily_tests(bench)[0]["time"][11:16])
    assert len(seconds) > 9


@pytest.mark.parametrize("step_s", [-7_200.0, 7_200.0, 40 * DAY_S, -40 * DAY_S], ids=str)
def test_a_clock_that_is_set_makes_neither_a_second_test_nor_a_day_without_one(step_s: float) -> None:
    bench = Clocked()
    days(bench, 1)
    assert len(daily_tests(bench)) == 1
    bench.step(step_s)
    days(bench, 3)
    told_s = [event["data"]["monotonic_s"] for event in daily_tests(bench)]
    gaps = [later - earlier for earlier, later in pairwise(told_s)]
    assert len(gaps) >= 2
    assert min(gaps) >= TEST_GAP_S - 600 and max(gaps) <= DAY_S + TEST_GAP_S + 600


def test_a_copy_of_a_test_with_trouble_in_another_journal_is_still_a_608() -> None:
    bench = Clocked()
    bench.edge("mains-2", True)
    bench.fail_disk()
    days(bench, 1)
    disk = type(bench.journal)("0d15c000")
    bench.disk_returns(disk)
    bench.wait(1)
    bodies = [json.loads(event.body) for event in disk.events.values()]
    assert [body["data"]["cid"] for body in bodies if body["type"] == "callbox.status.test"] == [608]
