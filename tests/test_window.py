"""The window in bytes, on simulated lines: a new alarm waits little, and the line stays busy. Virtual time."""

import heapq
import itertools
import random
from dataclasses import dataclass

import pytest

from agent.window import BYTES_MAX, BYTES_MIN, FIRST_BYTES, Departure, Window


@dataclass(frozen=True)
class Line:
    """bytes_s: what it carries; round_trip_s: of a message without length; spread_s: what each PUBACK may be late."""

    bytes_s: float
    round_trip_s: float
    spread_s: float = 0.0


LINES = {
    "64 kbit/s, 80 ms": Line(8_000, 0.08),
    "1 Mbit/s, 50 ms": Line(125_000, 0.05),
    "1 Mbit/s, 50 ms, uneven": Line(125_000, 0.05, 0.01),
    "20 Mbit/s, 30 ms": Line(2_500_000, 0.03),
    "100 Mbit/s, 1 ms": Line(12_500_000, 0.001),
    "1 Gbit/s, 0.2 ms": Line(125_000_000, 0.0002),
}
EVENT_BYTES = 650


def run(line: Line, seconds: float, *, batches: bool, piece: int = 0) -> tuple[float, list[float]]:
    """Sends a backlog; how busy the line was in the second half, and how long a new alarm would have waited then.

    piece: bytes that somebody else on the same line always has on the way.
    """
    window, rng, now_s, free_s, sent = Window(), random.Random(1), 0.0, 0.0, 0
    acks: list[tuple[float, int, Departure | None]] = [(0.0, -1, None)] if piece else []
    waits: list[float] = []
    for number in itertools.count():
        while (room := window.room(now_s)) > 0 or not window.bytes:
            size = max(EVENT_BYTES, min(room, window.bytes_max // 4, 32_768)) if batches else EVENT_BYTES
            free_s = max(free_s, now_s) + size / line.bytes_s
            back_s = free_s + line.round_trip_s + rng.expovariate(1) * line.spread_s
            heapq.heappush(acks, (back_s, number, window.sent(size, now_s)))
            sent += size if now_s >= seconds / 2 else 0
        if now_s >= seconds / 2:
            waits.append(max(0.0, free_s - now_s))
        if now_s >= seconds:
            return sent / (line.bytes_s * seconds / 2), waits
        now_s, _, departure = heapq.heappop(acks)
        if departure:
            window.acked(departure, now_s)
        else:
            free_s = max(free_s, now_s) + piece / line.bytes_s
            heapq.heappush(acks, (free_s + line.round_trip_s, -1, None))
    raise AssertionError


@pytest.mark.parametrize("name", LINES)
@pytest.mark.parametrize("batches", [False, True], ids=["one a message", "batches"])
def test_the_line_stays_busy_and_an_alarm_waits_about_one_round_trip_and_three_messages_behind_the_backlog(
    name: str, batches: bool
) -> None:
    line = LINES[name]
    busy, waits = run(line, max(20.0, 400 * line.round_trip_s) if line.round_trip_s > 0.01 else 2.0, batches=batches)
    waits.sort()
    three_messages_s = 3 * EVENT_BYTES / line.bytes_s
    assert busy > 0.8, f"only {busy:.0%} busy"
    median_s, late_s = waits[len(waits) // 2], waits[len(waits) * 99 // 100]
    assert median_s <= max(0.004, line.round_trip_s + three_messages_s), f"{median_s * 1000:.1f} ms"
    assert late_s <= max(0.008, 2 * (line.round_trip_s + three_messages_s)), f"{late_s * 1000:.1f} ms"


@pytest.mark.parametrize("batches", [False, True], ids=["one a message", "batches"])
def test_beside_frames_on_a_slow_line_an_alarm_waits_behind_one_piece_of_them_and_little_else(batches: bool) -> None:
    """A piece is half a second of this line; as long as it seemed a long way, an alarm waited for 1.5 s."""
    line = LINES["64 kbit/s, 80 ms"]
    _, waits = run(line, 120.0, batches=batches, piece=4_096)
    waits.sort()
    assert waits[len(waits) * 99 // 100] <= 4_096 / line.bytes_s + 0.35


def fill(window: Window, now_s: float, size: int = 1_000) -> list[Departure]:
    left = []
    while window.room(now_s) > 0:
        left.append(window.sent(size, now_s))
    return left


def test_a_line_that_becomes_slow_has_a_small_window_within_seconds() -> None:
    window, now_s = Window(), 0.0

    def go_on(seconds: float, bytes_s: float) -> None:
        nonlocal now_s
        until_s = now_s + seconds
        while now_s < until_s:
            for departure in fill(window, now_s):
                now_s += departure.size / bytes_s
                window.acked(departure, now_s)

    go_on(3.0, 10_000_000)
    assert window.bytes_max > 10_000
    go_on(5.0, 8_000)
    assert window.bytes_max < 3_000
    go_on(3.0, 10_000_000)
    assert window.bytes_max > 10_000, "and a large one again"


def test_a_late_answer_now_and_then_does_not_make_the_window_small() -> None:
    """A machine that does other things answers late without any queue on the line."""
    window, now_s, rng = Window(), 0.0, random.Random(5)
    for _ in range(3_000):
        now_s += 0.02 if rng.random() < 0.03 else 0.0005
        for departure in fill(window, now_s, 8_000):
            window.acked(departure, now_s + 0.0004)
        now_s += 0.0004
    assert window.bytes_max > 200_000


def test_a_window_that_is_not_used_up_does_not_change() -> None:
    window = Window()
    for number in range(1_000):
        assert window.room(number) > 0
        window.acked(window.sent(600, number), number + 0.5)
    assert BYTES_MIN <= window.bytes_max <= FIRST_BYTES


def test_the_window_has_an_end_on_the_best_of_lines() -> None:
    window, now_s = Window(), 0.0
    for _ in range(100):
        for departure in fill(window, now_s, 30_000):
            window.acked(departure, now_s + 0.00002)
        now_s += 0.001
    assert window.bytes_max == BYTES_MAX
