"""The camera's times on the box's clock, in virtual time."""

import random
from collections.abc import Iterable
from itertools import pairwise

import pytest

from drivers.frame_clock import RISE, STEP_S, FrameClock, clip_times
from drivers.packets import Packet, Taken

BASE_S = 50_000.0
"""The camera counts from anywhere."""


def packet(pts_s: float, seen_s: float, dts_s: float | None = None) -> Packet:
    return Packet(b"", True, pts_s, pts_s if dts_s is None else dts_s, seen_s)


def run(clock: FrameClock, times: Iterable[tuple[float, float]]) -> list[float]:
    """times: (true second, delay of its arrival), by a camera whose clock is BASE_S ahead."""
    return [clock.take(packet(BASE_S + at_s, at_s + delay_s)).taken_s for at_s, delay_s in times]


def steady(first: int, end: int, delay_s: float = 0.1, fps: int = 10) -> list[tuple[float, float]]:
    return [(number / fps, delay_s) for number in range(first, end)]


def test_the_first_picture_is_taken_when_it_is_seen() -> None:
    clock = FrameClock()
    assert clock.offset_s is None
    assert run(clock, [(7.0, 0.1)]) == pytest.approx([7.1])
    assert clock.offset_s == pytest.approx(0.1 - BASE_S, abs=1e-6, rel=0)


def test_what_the_network_held_up_is_not_younger_for_it() -> None:
    clock = FrameClock()
    run(clock, steady(0, 50))
    held_up = [(5.0 + number / 10, 4.1 - number / 10) for number in range(40)]  # all arrive at 9.1, in one burst
    taken_s = run(clock, held_up)
    assert taken_s == pytest.approx([at_s + 0.1 for at_s, _ in held_up], abs=0.011)
    assert clock.gaps == 0


def test_a_picture_that_came_faster_than_all_before_moves_the_offset_at_once() -> None:
    clock = FrameClock()
    taken_s = run(clock, [(0.0, 0.5), (0.1, 0.5), (0.2, 0.45), (1.0, 0.1), (1.1, 0.3)])
    assert taken_s == pytest.approx([0.5, 0.6, 0.65, 1.1, 1.2], abs=0.001)


def test_the_offset_rises_slowly_and_only_to_the_smallest_delay_of_the_window() -> None:
    clock = FrameClock()
    run(clock, steady(0, 50, 0.1))
    run(clock, steady(50, 140, 0.4))
    assert clock.offset_s == pytest.approx(0.1 - BASE_S, abs=1e-6, rel=0)  # 0.1 s is still in the window
    run(clock, steady(140, 250, 0.4))
    assert clock.offset_s == pytest.approx(0.1 + 10 * RISE - BASE_S, abs=0.002, rel=0)
    run(clock, steady(250, 5000, 0.4))
    assert clock.offset_s == pytest.approx(0.4 - BASE_S, abs=1e-6, rel=0)
    assert clock.gaps == 0


@pytest.mark.parametrize("ppm", [-1100, -100, 0, 100, 1100])
def test_a_drifting_clock_is_followed_and_its_drift_told(ppm: int) -> None:
    """1100 ppm are 16 s in 4 h."""
    rng = random.Random(ppm)
    clock = FrameClock()
    for number in range(6000):
        at_s = number / 10
        seen_s = at_s + 0.05 + rng.expovariate(20)
        taken_s = clock.take(packet(BASE_S + at_s * (1 + ppm / 1e6), seen_s)).taken_s
        assert taken_s <= seen_s
        if number > 10:
            assert taken_s - at_s == pytest.approx(0.05, abs=0.05)
    assert clock.drift_ppm == pytest.approx(ppm, abs=40)
    assert clock.gaps == 0


def test_a_drift_is_not_told_before_two_minutes() -> None:
    clock = FrameClock()
    run(clock, steady(0, 1190))
    assert clock.drift_ppm is None
    run(clock, steady(1190, 1201))
    assert clock.drift_ppm == pytest.approx(0.0)


def test_pictures_shown_before_one_that_came_first_are_taken_before_it() -> None:
    """A reference comes before the B-frames that are shown before it."""
    clock = FrameClock()
    order = [(0.0, 0.0, 0.1), (0.3, 0.1, 0.4), (0.1, 0.2, 0.4), (0.2, 0.3, 0.4), (0.6, 0.4, 0.65)]
    taken = [clock.take(packet(pts_s, seen_s, dts_s - 0.1)).taken_s for pts_s, dts_s, seen_s in order]
    assert taken == pytest.approx([0.1, 0.4, 0.2, 0.3, 0.65], abs=0.001)
    assert clock.gaps == 0


def test_an_offset_that_rises_between_them_leaves_pictures_in_order() -> None:
    clock = FrameClock()
    run(clock, [*steady(0, 50, 0.1), *steady(50, 170, 0.4)])
    reference = clock.take(packet(BASE_S + 17.001, 17.401, BASE_S + 16.95))
    before = clock.take(packet(BASE_S + 17.0, 19.4, BASE_S + 17.0))
    assert before.taken_s <= reference.taken_s


BREAKS = [
    (-3600.0, "the camera's times went back by 3599.9 s"),
    (-0.2, "the camera's times went back by 0.1 s"),
    (7200.0, "the camera's times went forward by 7200.1 s at once"),
]


@pytest.mark.parametrize(("step_s", "told"), BREAKS)
def test_a_step_begins_a_new_offset_and_is_a_gap(step_s: float, told: str) -> None:
    clock = FrameClock()
    run(clock, steady(0, 100))
    after = [clock.take(packet(BASE_S + step_s + at_s, at_s + 0.1)).taken_s for at_s in (10.0, 10.1, 10.2)]
    assert after == pytest.approx([10.1, 10.2, 10.3])
    assert (clock.gaps, clock.take_gap(), clock.take_gap()) == (1, told, "")


def test_a_clock_that_was_set_back_by_less_than_a_pause_is_believed_after_the_window() -> None:
    """Times that lag look like a network that holds up, until nothing comes sooner for a whole window."""
    clock = FrameClock()
    run(clock, steady(0, 100))
    late = [clock.take(packet(BASE_S + at_s - 30.0, at_s + 0.1)).taken_s for at_s, _ in steady(401, 600)]
    assert late[0] == pytest.approx(10.2, abs=0.1)
    assert late[-1] == pytest.approx(60.0, abs=0.1)
    assert clock.gaps == 1
    assert clock.take_gap() == "the camera's times are behind by 29.9 s for good"


def test_times_that_stand_still_are_a_gap_and_pictures_are_taken_when_they_are_seen() -> None:
    clock = FrameClock()
    run(clock, steady(0, 100))
    for number in range(100, 200):
        seen_s = number / 10 + 0.1
        taken_s = clock.take(packet(BASE_S + 9.9, seen_s)).taken_s
        assert seen_s - STEP_S - 0.2 <= taken_s <= seen_s
    assert clock.gaps > 1
    assert clock.take_gap() == "the camera's times stand still since 1.1 s"


def test_two_pictures_of_one_time_are_no_gap() -> None:
    clock = FrameClock()
    times = [(number // 2 / 10, 0.1) for number in range(200)]
    assert run(clock, times) == pytest.approx([at_s + 0.1 for at_s, _ in times])
    assert clock.gaps == 0


def test_a_pause_much_longer_than_usual_is_a_gap_and_a_slow_camera_is_none() -> None:
    clock = FrameClock()
    run(clock, steady(0, 100))
    assert clock.gaps == 0
    run(clock, [(11.8, 0.1), (14.0, 0.1)])
    assert (clock.gaps, clock.take_gap()) == (1, "no picture for 2.2 s")
    slow = FrameClock()
    run(slow, [(3.0 * number, 0.1) for number in range(100)])
    assert slow.gaps == 0


def test_a_camera_that_becomes_slow_is_no_gap() -> None:
    clock = FrameClock()
    run(clock, [*steady(0, 100), *((10.0 + number, 0.1) for number in range(60))])
    assert clock.gaps == 0
    run(clock, [(10.0 + 60 + 3.0 * number, 0.1) for number in range(60)])
    assert clock.gaps == 0


@pytest.mark.parametrize("seed", range(40))
def test_taken_s_never_goes_back_as_shown_and_is_never_later_than_seen_s(seed: int) -> None:
    rng = random.Random(seed)
    clock = FrameClock()
    b_frames = rng.choice((0, 2))
    at_s, base_s, seen_s = 0.0, 1000.0, 0.0
    stretch: list[tuple[float, float]] = []
    floor_s = 0.0
    for _ in range(300):
        if rng.random() < 0.02:
            base_s += rng.choice((-1, 1)) * rng.expovariate(0.01)
        at_s += rng.choice((0.1, 0.1, 0.1, 0.0, 5.0 if rng.random() < 0.02 else 0.2))
        group = [at_s + 0.05 * number for number in (b_frames, *range(b_frames))]
        for place, shown_s in enumerate(group):
            seen_s = max(seen_s, shown_s + rng.expovariate(rng.choice((50, 2))))
            gaps = clock.gaps
            one = packet(base_s + shown_s, seen_s, base_s + at_s - 0.1 + 0.05 * place)
            taken_s = clock.take(one).taken_s
            if clock.gaps > gaps:
                floor_s, stretch = max([floor_s, *(taken for _, taken in stretch)]), []
            assert floor_s <= taken_s <= seen_s
            stretch.append((one.pts_s, taken_s))
            shown = sorted(stretch)
            assert all(before[1] <= after[1] for before, after in pairwise(shown[-40:]))
        at_s += 0.05 * b_frames


def taken(pts_s: float, dts_s: float, taken_s: float) -> Taken:
    return Taken(packet(pts_s, taken_s, dts_s), taken_s)


def test_the_times_in_a_clip_count_from_its_first_picture_by_the_cameras_clock() -> None:
    pictures = [taken(70.2, 70.0, 5.0), taken(70.4, 70.1, 5.3), taken(70.3, 70.2, 5.1)]
    assert [time for pair in clip_times(pictures) for time in pair] == pytest.approx([0.2, 0.0, 0.4, 0.1, 0.3, 0.2])
    assert clip_times([]) == []


def test_where_the_cameras_times_step_within_a_clip_they_go_on_as_taken() -> None:
    pictures = [taken(70.0, 70.0, 5.0), taken(70.1, 70.1, 5.1), taken(3.0, 3.0, 5.3), taken(3.1, 3.1, 5.4)]
    pictures += [taken(9003.1, 9003.1, 5.5), taken(9003.1, 9003.1, 5.5)]
    assert [pts_s for pts_s, _ in clip_times(pictures)] == pytest.approx([0.0, 0.1, 0.3, 0.4, 0.5, 0.501])
    dts = [dts_s for _, dts_s in clip_times(pictures)]
    assert dts == sorted(set(dts))
