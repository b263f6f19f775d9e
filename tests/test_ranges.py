"""Ranges of boxseq, against sets of numbers."""

import random
from itertools import pairwise

from agent.ranges import joined, overlapping, within


def numbers(ranges: list[tuple[int, int]]) -> set[int]:
    return {seq for first, last in ranges for seq in range(first, last + 1)}


def test_joined_ranges_are_the_same_numbers_in_order_with_a_gap_between_each_two() -> None:
    rng = random.Random(1)
    for _ in range(2_000):
        ranges = [
            (first, first + rng.randrange(6)) for first in (rng.randrange(1, 40) for _ in range(rng.randrange(8)))
        ]
        whole = joined(ranges)
        assert numbers(whole) == numbers(ranges)
        assert all(last + 1 < first for (_, last), (first, _) in pairwise(whole))
        contains = within(ranges)
        assert {seq for seq in range(60) if contains(seq)} == numbers(ranges)
        first = rng.randrange(1, 45)
        last = first + rng.randrange(10)
        span = set(range(first, last + 1))
        assert overlapping(whole, first, last) == [pair for pair in whole if numbers([pair]) & span]
