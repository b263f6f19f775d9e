"""Where the box is, on alarms and by itself. Virtual time, on a whole box."""

from typing import Any

import pytest
from bench_box import START_S, YAML, Bench
from config_file import SMALL, english, file, mistakes

from agent.position import STALE_S, Known, metres
from agent.status_table import status_table
from drivers.contract import Fix, Health

__all__ = ["english", "file"]  # fixtures

MOBILE = YAML.replace("inputs:\n", "  - {id: sky, type: gpsd}\ninputs:\n  - {id: sat, driver: sky, kind: position}\n")
LAT, LON = 31.2304, 121.4737
METRE = 1 / 111_195
"""In degrees of latitude."""


def fix(bench: Bench, north_m: float = 0.0, **more: Any) -> None:
    bench.say(Fix("sat", LAT + north_m * METRE, LON, bench.now_s, **more))


def alarm(bench: Bench) -> Any:
    bench.press("alarm-1")
    return bench.of("alarm.panic")[-1].get("position")


def test_an_alarm_says_where_the_box_is_and_how_old_that_is() -> None:
    bench = Bench(MOBILE)
    fix(bench, speed_mps=5.0, course_deg=84.4, satellites=9, hdop=0.9)
    bench.wait(10)
    place = alarm(bench)
    assert place.pop("age_s") == pytest.approx(10, abs=0.2)
    assert place == {"lat": LAT, "lon": LON, "speed_mps": 5.0, "course_deg": 84.4, "satellites": 9, "hdop": 0.9}


def test_a_place_that_is_old_is_marked_and_still_told() -> None:
    bench = Bench(MOBILE)
    fix(bench)
    bench.wait(STALE_S - 1)
    assert "stale" not in alarm(bench)
    bench.say(Fix("sat", None, None, bench.now_s))  # it sees no satellite
    bench.wait(1)
    place = alarm(bench)
    assert (place["lat"], place["stale"]) == (LAT, True)
    fix(bench)
    assert "stale" not in alarm(bench)


def test_a_place_that_was_never_known_is_not_left_out_silently() -> None:
    assert alarm(Bench(MOBILE)) == {"stale": True}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -91.0])
def test_a_place_that_there_is_not_costs_no_alarm(value: float) -> None:
    """Whatever a driver, of whose hands too, makes of a receiver."""
    bench = Bench(MOBILE)
    fix(bench)
    bench.say(Fix("sat", value, LON, bench.now_s))
    bench.say(Fix("sat", LAT, LON, bench.now_s, speed_mps=float("nan"), hdop=float("inf"), satellites=7))
    place = alarm(bench)
    assert (place["lat"], place["lon"], place["satellites"]) == (LAT, LON, 7)
    assert "speed_mps" not in place and "hdop" not in place


def test_a_box_on_a_wall_says_nothing_of_it() -> None:
    bench = Bench()
    assert alarm(bench) is None
    assert bench.box.status()["position"] is None


def test_a_receiver_that_hangs_tells_nothing_new() -> None:
    bench = Bench(MOBILE)
    for _ in range(40):
        fix(bench, utc_s=1_795_311_200.0)
        bench.wait(1)
    assert alarm(bench)["stale"] is True


def test_every_event_of_class_alarm_has_it_and_no_other() -> None:
    bench = Bench(MOBILE)
    fix(bench)
    for name in ("alarm-1", "hidden", "door", "mains", "undo", "point"):
        bench.press(name)
    having = {event["type"] for event in bench.events if "position" in event["data"]}
    assert having == {f"callbox.alarm.{kind}" for kind in ("panic", "holdup", "intrusion", "cancelled")}


# ---- by itself


def told_at(bench: Bench) -> list[float]:
    return [data["monotonic_s"] - START_S for data in bench.of("status.position")]


def test_a_box_that_stands_tells_it_by_time() -> None:
    bench = Bench(MOBILE + "position: {every_s: 60, every_m: 50}\n")
    for second in range(121):
        fix(bench, north_m=second % 3 * 10, utc_s=second)  # a receiver's own trembling
        bench.wait(1)
    assert told_at(bench) == [pytest.approx(second, abs=0.5) for second in (0, 60, 120)]


def test_a_box_that_moves_tells_it_by_distance() -> None:
    bench = Bench(MOBILE + "position: {every_s: 600, every_m: 50}\n")
    for second in range(31):
        fix(bench, north_m=second * 5.0, utc_s=second)
        bench.wait(1)
    assert told_at(bench) == [pytest.approx(second, abs=0.5) for second in (0, 10, 20, 30)]
    data = bench.of("status.position")[1]
    assert (data["input"], data["lat"], data["age_s"]) == ("sat", pytest.approx(LAT + 50 * METRE, abs=1e-6), 0)


def test_it_is_told_of_the_moment_in_which_it_was_seen() -> None:
    bench = Bench(MOBILE)
    bench.wait(3)
    bench.say(Fix("sat", LAT, LON, bench.now_s - 2))
    [data] = bench.of("status.position")
    assert data["monotonic_s"] == pytest.approx(bench.now_s - 2, abs=0.01)


def test_without_a_fix_nothing_is_told() -> None:
    bench = Bench(MOBILE)
    for _ in range(700):
        bench.say(Fix("sat", None, None, bench.now_s))
        bench.wait(1)
    assert told_at(bench) == []


@pytest.mark.parametrize(
    ("a", "b", "away_m"),
    [
        ((0.0, 179.9999), (0.0, -179.9999), 22.2),  # over the date line
        ((90.0, 0.0), (90.0, 180.0), 0.0),
        ((0.0, 0.0), (0.0, 180.0), 20_015_115),
        ((52.205, 0.119), (48.857, 2.351), 404_279),  # Cambridge to Paris
    ],
)
def test_distances_are_those_of_a_globe(a: tuple[float, float], b: tuple[float, float], away_m: float) -> None:
    assert metres(Known(*a, 0.0, None, {}), Known(*b, 0.0, None, {})) == pytest.approx(away_m, rel=1e-3, abs=0.1)


# ---- the receiver as an input


def test_a_receiver_that_is_gone_is_the_trouble_of_an_input_like_any() -> None:
    bench = Bench(MOBILE)
    fix(bench)
    bench.say(Health("sat", "offline", "the receiver says nothing", bench.now_s))
    fix(bench, utc_s=1.0)
    [raised, restored] = [data for data in bench.of("trouble.input") if data["input"] == "sat"]
    assert (raised["quality"], raised["transition"], restored["transition"]) == ("offline", "raised", "restored")


def test_the_status_shows_it() -> None:
    bench = Bench(MOBILE)
    status = {**bench.box.status(), "armed": True}
    assert "not known  STALE" in status_table(status)
    fix(bench)
    assert f"{LAT:.6f} {LON:.6f}, 0 s old" in status_table({**bench.box.status(), "armed": True})


def test_a_receiver_is_of_kind_position_and_nothing_else_is(file: Any) -> None:
    receiver = SMALL.replace("type: gpio", "type: gpsd").replace("pin: 17, ", "")
    [said] = mistakes(file, receiver)
    assert said == (
        "box.yaml:7: inputs[0].kind: found 'panic'; allowed: position for a satellite receiver, and only for one"
    )
    [said] = mistakes(file, SMALL.replace("panic", "position"))
    assert said.startswith("box.yaml:7: inputs[0].kind: found 'position'; allowed: position for a satellite receiver")
