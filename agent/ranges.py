"""Ranges of boxseq, (first, last) with both included. Pure."""

from bisect import bisect_right
from collections.abc import Callable, Iterable

Range = tuple[int, int]
"""First and last boxseq, both included."""

Hole = tuple[int, int, str]
"""A range of events that are no more, and the hash of the last of them, base64url: the next one's `prevhash`."""


def joined(ranges: Iterable[Range]) -> list[Range]:
    """The same boxseqs in as few ranges as there can be, lowest first."""
    whole: list[Range] = []
    for first, last in sorted(ranges):
        if whole and first <= whole[-1][1] + 1:
            whole[-1] = whole[-1][0], max(whole[-1][1], last)
        else:
            whole.append((first, last))
    return whole


def within(ranges: Iterable[Range]) -> Callable[[int], bool]:
    """Whether a boxseq is in any of the ranges. Joined first: a receipt may name thousands, and alarms wait for it."""
    whole = joined(ranges)
    firsts = [first for first, _ in whole]

    def contains(seq: int) -> bool:
        at = bisect_right(firsts, seq)
        return at > 0 and seq <= whole[at - 1][1]

    return contains


def overlapping(whole: list[Range], first: int, last: int) -> list[Range]:
    """Those of joined ranges that have something of first to last in them."""
    lowest = bisect_right(whole, (first, first - 1))
    if lowest and whole[lowest - 1][1] >= first:
        lowest -= 1
    return whole[lowest : bisect_right(whole, (last, float("inf")))]
