"""The measure of the last day, in virtual time."""

import pytest

from agent.compliance import HOUR_S, HOURS, WAITING_MAX, Compliance

DAY_S = 86_400.0


def compliance(stored: str = "", *, now_s: float = 0.0, wall_s: float = 1e9) -> Compliance:
    return Compliance(stored, 90.0, now_s, wall_s)


def beat(made: Compliance, from_s: float, until_s: float, every_s: float = 25.0) -> float:
    now_s = from_s
    while now_s < until_s:
        now_s += every_s
        made.heard(now_s)
    return now_s


def test_a_day_of_heartbeats_is_within_and_wholly_available() -> None:
    made = compliance()
    report = made.report(beat(made, 0.0, DAY_S))
    assert (report["within"], report["available"], report["silence_max_s"]) == (True, 1.0, 25.0)
    assert HOURS - 1 <= report["hours"] <= HOURS


def test_a_silence_longer_than_allowed_breaks_it_for_a_day_and_no_longer() -> None:
    made = compliance()
    now_s = beat(made, 0.0, 7_200)
    now_s = beat(made, now_s + 900, now_s + 3_600)
    report = made.report(now_s)
    assert not report["within"] and 900 <= report["silence_max_s"] <= 925
    assert report["available"] == pytest.approx(1 - (925 - 90) / (report["hours"] * HOUR_S), abs=0.01)
    assert made.report(beat(made, now_s, now_s + DAY_S + 2 * HOUR_S))["within"]


def test_a_silence_that_goes_on_is_counted_while_it_does() -> None:
    made = compliance()
    for second in range(0, 200, 10):
        made.tick(second)
    assert made.report(200.0)["silence_max_s"] == 200.0


def test_alarms_are_measured_from_the_disk_to_the_receipt_and_one_that_waits_counts_already() -> None:
    made = compliance()
    for seq, recorded_s in ((3, 10.0), (4, 11.0), (9, 12.0)):
        made.recorded(seq, recorded_s)
    made.delivered([(1, 3)], 10.5)
    made.delivered([(4, 4)], 14.0)
    report = made.report(20.0)
    assert (report["alarms"], report["alarm_mean_s"], report["alarm_max_s"]) == (2, 1.75, 8.0)


def test_alarms_that_take_longer_than_10_s_on_average_are_not_within() -> None:
    made = compliance()
    made.recorded(1, 1.0)
    made.delivered([(1, 1)], 12.0)
    assert not made.report(12.0)["within"]


def test_what_waits_for_its_receipt_is_bounded() -> None:
    made = compliance()
    for seq in range(2 * WAITING_MAX):
        made.recorded(seq, 0.0)
    assert len(made._waiting) == WAITING_MAX


@pytest.mark.parametrize(
    ("off_s", "silence_s", "hours"),
    [(600, 610.0, 1.17), (-5_000, 25.0, 1.0), (3 * DAY_S, DAY_S + 10, 25.0)],
    ids=["ten minutes", "the clock was set back", "three days"],
)
def test_the_time_without_power_is_silence_unless_nobody_knows_how_long_it_was(
    off_s: float, silence_s: float, hours: float
) -> None:
    made = compliance()
    stored = made.stored(beat(made, 0.0, 3_600) + 10, 1e9)
    again = compliance(stored, now_s=5.0, wall_s=1e9 + off_s)
    report = again.report(5.0)
    assert (report["silence_max_s"], report["hours"]) == (silence_s, pytest.approx(hours, abs=0.01))
