"""The window in bytes, on simulated lines: a new alarm waits little, and the line stays busy. Virtual time."""

import heapq
import random
from dataclasses import dataclass

import pytest

from agent.window import BYTES_MAX, FIRST_BYTES, Window


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


def run(line: Line, seconds: float, *, batches: bool) -> tuple[float, list[float]]:
    """Sends a backlog; how busy the line was in the second half, and how long a new alarm would have waited then."""
    window, rng, now_s, free_s, sent = Window(), random.Random(1), 0.0, 0.0, 0
    acks: list[tuple[float, int, float]] = []
    waits: list[float] = []
    while now_s < seconds:
        while (room := window.room()) > 0 or not acks:
            size = max(EVENT_BYTES, min(room, int(window.bytes_max) // 4, 32_768)) if batches else EVENT_BYTES
            free_s = max(free_s, now_s) + size / line.bytes_s
            heapq.heappush(acks, (free_s + line.round_trip_s + rng.uniform(0, line.spread_s), size, now_s))
            window.sent(size)
            sent += size if now_s >= seconds / 2 else 0
        if now_s >= seconds / 2:
            waits.append(max(0.0, free_s - now_s))
        now_s, size, sent_s = heapq.heappop(acks)
        window.acked(size, now_s - sent_s, now_s)
    return sent / (line.bytes_s * seconds / 2), waits


@pytest.mark.parametrize("name", LINES)
@pytest.mark.parametrize("batches", [False, True], ids=["one a message", "batches"])
def test_the_line_stays_busy_and_an_alarm_waits_about_one_round_trip_and_two_messages_behind_the_backlog(
    name: str, batches: bool
) -> None:
    line = LINES[name]
    busy, waits = run(line, max(20.0, 400 * line.round_trip_s) if line.round_trip_s > 0.01 else 2.0, batches=batches)
    waits.sort()
    two_messages_s = 2 * EVENT_BYTES / line.bytes_s
    assert busy > 0.8, f"only {busy:.0%} busy"
    median_s, late_s = waits[len(waits) // 2], waits[len(waits) * 99 // 100]
    assert median_s <= max(0.004, line.round_trip_s + two_messages_s), f"{median_s * 1000:.1f} ms"
    assert late_s <= max(0.008, 2 * (line.round_trip_s + two_messages_s)), f"{late_s * 1000:.1f} ms"


def test_a_line_that_becomes_slow_has_a_small_window_within_a_few_round_trips() -> None:
    window, now_s = Window(), 0.0

    def round_trip(seconds: float) -> None:
        nonlocal now_s
        while (room := window.room()) > 0:
            window.sent(min(room, 1_000))
        now_s += seconds
        for _ in range(window.bytes // 1_000):
            window.acked(1_000, seconds, now_s)
        window.acked(window.bytes, seconds, now_s)

    while window.bytes_max < 200_000:
        round_trip(0.001)
    for _ in range(6):
        round_trip(0.5)
    assert window.bytes_max < 10_000


def test_a_window_that_is_not_used_up_does_not_grow() -> None:
    window = Window()
    for number in range(1_000):
        assert window.room() > 0
        window.sent(600)
        window.acked(600, 0.01, number * 0.1)
    assert window.bytes_max == FIRST_BYTES


def test_the_window_has_an_end_on_the_best_of_lines() -> None:
    window = Window()
    for number in range(2_000):
        while window.room() > 0:
            window.sent(30_000)
        window.acked(30_000, 0.0001, number * 0.001)
    assert window.bytes_max == BYTES_MAX
