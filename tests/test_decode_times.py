"""Decoding times out of times of showing, in pictures of 0.1 s."""

import pytest

from drivers.decode_times import DEPTH_MAX, DecodeTimes, depth

NONE = [0, 1, 2, 3, 4]
ONE = [0, 3, 1, 2, 6, 4, 5, 9, 7, 8]
TWO = [0, 4, 2, 1, 3, 8, 6, 5, 7]
"""A pyramid: the picture in the middle comes before those on either side."""


def decoded(shown: list[int], depth: int) -> list[int]:
    times = DecodeTimes(depth, 0.1)
    return [round(times.decoded_s(pts / 10) * 10) for pts in shown]


@pytest.mark.parametrize(("shown", "deep"), [(NONE, 0), (ONE, 1), (TWO, 2), ([], 0), ([*range(99, 0, -1)], DEPTH_MAX)])
def test_the_depth_is_how_many_come_before_one_that_is_shown_earlier(shown: list[int], deep: int) -> None:
    assert depth(shown) == deep


@pytest.mark.parametrize(
    ("shown", "deep", "times"),
    [
        (NONE, 0, [0, 1, 2, 3, 4]),
        (ONE, 1, [-1, 0, 1, 2, 3, 4, 5, 6, 7, 8]),
        (TWO, 2, [-2, -1, 0, 1, 2, 3, 4, 5, 6]),
    ],
)
def test_pictures_are_decoded_in_the_order_of_showing_and_so_many_pictures_earlier(
    shown: list[int], deep: int, times: list[int]
) -> None:
    assert decoded(shown, deep) == times
    assert all(dts <= pts for dts, pts in zip(times, shown, strict=True))


def test_a_depth_that_was_not_known_is_learned_and_times_never_go_back() -> None:
    times = decoded(TWO + [pts + 8 for pts in TWO[1:]], 0)
    assert times == sorted(times)
    assert times[-4:] == [10, 11, 12, 13]  # two pictures before 12, 13, 14, 15


@pytest.mark.parametrize("step", [-1000, -20, 1000])
def test_a_step_of_the_cameras_clock_begins_anew_and_deepens_nothing(step: int) -> None:
    times = decoded([pts + 1000 for pts in ONE] + [pts + 1000 + step for pts in ONE], 1)
    assert times[10:] == [pts + 1000 + step for pts in (-1, 0, 1, 2, 3, 4, 5, 6, 7, 8)]
