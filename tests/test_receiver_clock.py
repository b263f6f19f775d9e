"""A satellite receiver as a clock, on a whole box in virtual time: what is followed, what is not, and who lies."""

from collections.abc import Iterator
from itertools import pairwise

import pytest
from bench_box import START_S, WALL_US, YAML, Bench

from agent.clock import Clock
from agent.events import Stamp
from agent.mail import Action, FollowClock
from agent.receiver_clock import BELIEVE_S, EARLIEST_S, HOLDOVER_S, LATEST_S, ReceiverClock, stamp
from drivers.contract import Fix

MOBILE = YAML.replace("inputs:\n", "  - {id: sky, type: gpsd}\ninputs:\n  - {id: sat, driver: sky, kind: position}\n")
TRUE_S = WALL_US / 1e6 - START_S
"""What is to be added to the bench's monotonic seconds."""


class Mobile(Bench):
    """A box in a car: its own clock is at 1970, nobody sets it, and a receiver speaks each second."""

    def __init__(self) -> None:
        self.system_us, self.system_synced = 5_000_000, False
        super().__init__(MOBILE, start=False)
        self.box = self._box()
        self.start()

    @property
    def stamp(self) -> Stamp:
        followed = [action for action in self.did if isinstance(action, FollowClock)] if hasattr(self, "did") else []
        system_us = self.system_us + round((self.now_s - START_S) * 1e6)
        return stamp(self.now_s, system_us, self.system_synced, followed[-1] if followed else None)

    def seconds(self, count: int, *, wrong_s: float = 0.0, late_s: float = 0.1) -> None:
        """So many seconds go by, each with a fix."""
        for _ in range(count):
            utc_s = round(self.now_s + TRUE_S + wrong_s)
            self.say(Fix("sat", 31.2304, 121.4737, utc_s - TRUE_S - wrong_s + late_s, utc_s=utc_s))
            self.wait(1)

    @property
    def error_s(self) -> float:
        """How wrong the box's wall clock is."""
        return self.stamp.wall_us / 1e6 - self.now_s - TRUE_S


def clocks(bench: Bench) -> list[tuple[str, str]]:
    return [
        (event["data"]["source"], event["timequality"])
        for event in bench.events
        if event["type"] == "callbox.status.clock"
    ]


def test_a_box_that_nobody_sets_follows_its_receiver_and_says_whose_time_it_is() -> None:
    bench = Mobile()
    bench.press("alarm-1")
    assert bench.events[-1]["timequality"] == "unsynced"
    bench.seconds(4)
    assert clocks(bench) == []
    bench.seconds(4)
    assert clocks(bench) == [("gps", "synced")]
    assert bench.error_s == pytest.approx(-0.1, abs=0.01)  # as late as its sentences come
    assert bench.of("status.clock")[0]["step_s"] == pytest.approx(WALL_US / 1e6 - 5.0, abs=1)
    bench.press("alarm-1")
    assert (bench.events[-1]["time"][:10], bench.events[-1]["timequality"]) == ("2026-11-22", "synced")
    bench.seconds(700)
    assert bench.of("trouble.clock") == []
    assert len(clocks(bench)) == 1


def test_ntp_wins_when_it_is_there_and_the_receiver_when_it_is_not() -> None:
    bench = Mobile()
    bench.seconds(8)
    bench.system_us, bench.system_synced = WALL_US + 20_000, True
    bench.seconds(5)
    assert bench.error_s == pytest.approx(0.02)
    bench.system_synced = False
    bench.seconds(5)
    assert clocks(bench) == [("gps", "synced"), ("system", "synced"), ("gps", "synced")]


def test_a_kernel_that_is_synced_is_followed_from_the_start() -> None:
    bench = Mobile()
    bench.system_us, bench.system_synced = WALL_US, True
    bench.seconds(3)
    before = len(clocks(bench))
    bench.seconds(20, wrong_s=7200)
    assert len(clocks(bench)) == before
    assert bench.error_s == 0


def test_a_receiver_that_falls_silent_is_trusted_for_an_hour_and_its_time_goes_on() -> None:
    bench = Mobile()
    bench.seconds(8)
    bench.now_s += HOLDOVER_S - 10
    assert bench.stamp.synced
    bench.now_s += 10
    assert (bench.stamp.synced, bench.stamp.source) == (False, "gps")
    assert bench.error_s == pytest.approx(-0.1, abs=0.01)


@pytest.mark.parametrize("wrong_s", [3600.0, -18.0, 2.0])
def test_a_receiver_that_jumps_is_not_followed_and_no_time_is_trusted_until_it_has_stood_for_long(
    wrong_s: float,
) -> None:
    bench = Mobile()
    bench.seconds(8)
    bench.seconds(1, wrong_s=wrong_s)
    bench.seconds(15)
    assert bench.stamp.synced  # one that is wrong is nothing
    bench.seconds(20, wrong_s=wrong_s)
    assert not bench.stamp.synced
    assert bench.error_s == pytest.approx(-0.1, abs=0.02)
    bench.press("alarm-1")
    assert bench.events[-1]["type"] == "callbox.alarm.panic"
    bench.seconds(int(BELIEVE_S) + 5, wrong_s=wrong_s)
    assert bench.stamp.synced
    assert bench.error_s == pytest.approx(wrong_s - 0.1, abs=0.02)
    assert len(clocks(bench)) == 2


def test_a_receiver_that_comes_back_to_its_time_is_trusted_again() -> None:
    bench = Mobile()
    bench.seconds(8)
    bench.seconds(30, wrong_s=60)
    assert not bench.stamp.synced
    bench.seconds(15)
    assert bench.stamp.synced
    assert len(clocks(bench)) == 1


def feed(clock: ReceiverClock, times: Iterator[tuple[float, float | None]] | list[tuple[float, float | None]]) -> None:
    for seen_s, utc_s in times:
        clock.fix(Fix("sat", None, None, seen_s, utc_s=utc_s))


@pytest.mark.parametrize("base_s", [EARLIEST_S - 100, EARLIEST_S - 1024 * 7 * 86_400, LATEST_S, 0.0])
def test_a_week_that_rolled_over_is_no_time(base_s: float) -> None:
    out: list[Action] = []
    feed(ReceiverClock(out), [(float(second), base_s + second) for second in range(30)])
    assert out == []


@pytest.mark.parametrize(
    ("times", "why"),
    [
        ([(float(second), 1.8e9) for second in range(30)], "it hangs"),
        ([(second * 0.1, 1.8e9 + second * 0.1) for second in range(39)], "too short"),
        ([(float(second), 1.8e9 + second + second % 2 * 0.6) for second in range(30)], "it trembles"),
        ([(second * 6.0, 1.8e9 + second * 6) for second in range(30)], "too few"),
        ([(float(second), None) for second in range(30)], "it does not know"),
    ],
    ids=str,
)
def test_a_time_that_is_not_stable_is_not_followed(times: list[tuple[float, float | None]], why: str) -> None:
    out: list[Action] = []
    feed(ReceiverClock(out), times)
    assert out == [], why


def test_a_quartz_that_drifts_is_made_good_without_a_step_back() -> None:
    out: list[Action] = []
    clock, walls = ReceiverClock(out), []
    for second in range(4000):
        seen_s = second * (1 + 100e-6)  # 100 ppm fast
        feed(clock, [(seen_s + 0.05 * (second % 3), 1.8e9 + second)])
        if out:
            followed = out[-1]
            assert isinstance(followed, FollowClock)
            walls.append(stamp(seen_s + 0.15, 0, False, followed).wall_us)
    assert all(later > earlier for earlier, later in pairwise(walls))
    assert walls[-1] / 1e6 == pytest.approx(1.8e9 + 3999 + 0.15, abs=0.05)


def test_a_flood_of_fixes_takes_no_memory() -> None:
    clock = ReceiverClock([])
    feed(clock, [(number / 1000, 1.8e9 + number / 1000) for number in range(5000)])
    assert len(clock._recent) <= 256


def test_the_real_clock_follows_and_the_kernels_own_is_not_touched() -> None:
    clock = Clock()
    before = clock.now()
    clock.followed = FollowClock(round(1.9e15), before.mono_s + 60)
    now = clock.now()
    if before.synced:
        assert now.source == "system"
    else:
        assert (now.wall_us - 1.9e15) / 1e6 == pytest.approx(now.mono_s, abs=0.001)
        assert (now.synced, now.source) == (True, "gps")
    clock.followed = None
    assert abs(clock.now().wall_us - before.wall_us) < 60e6
