"""A confirmed hold-up (Contact ID 129): a second press after two minutes, or tamper within two."""

import pytest
from bench_box import DESK, YAML, Bench, signed

MORE = """inputs:
  - {id: lid, driver: gpio0, pin: 4, kind: tamper}
  - {id: knee, driver: gpio0, pin: 7, kind: duress}
"""
TAMPERED = YAML.replace("inputs:\n", MORE)


@pytest.fixture
def bench() -> Bench:
    return Bench(TAMPERED)


def test_a_press_more_than_two_minutes_after_the_first_confirms_its_case_once(bench: Bench) -> None:
    bench.press("hidden")
    [first] = bench.of("alarm.holdup")
    bench.wait(119.7)  # with the press of 0.2 s
    bench.press("hidden")
    assert bench.of("alarm.confirmed") == []
    bench.press("hidden")
    [confirmed] = bench.of("alarm.confirmed")
    told = {"cid": 129, "transition": "raised", "case": first["case"], "because": "press", "input": "hidden"}
    assert confirmed.items() >= told.items()
    bench.press("hidden")
    assert len(bench.of("alarm.confirmed")) == 1


def test_another_hold_up_device_confirms_too_and_opens_a_case_of_its_own(bench: Bench) -> None:
    bench.press("hidden")
    bench.wait(121)
    bench.press("knee")
    [confirmed] = bench.of("alarm.confirmed")
    assert (confirmed["case"], confirmed["input"]) == (bench.of("alarm.holdup")[0]["case"], "knee")
    assert bench.of("alarm.duress")[0]["case"] != confirmed["case"]


@pytest.mark.parametrize("order", [("hidden", "lid"), ("lid", "hidden")])
def test_tamper_within_two_minutes_of_a_press_confirms(bench: Bench, order: tuple[str, str]) -> None:
    bench.press(order[0])
    bench.wait(100)
    bench.press(order[1])
    [confirmed] = bench.of("alarm.confirmed")
    assert (confirmed["because"], confirmed["input"]) == ("tamper", order[1])


@pytest.mark.parametrize("order", [("hidden", "lid"), ("lid", "hidden")])
def test_tamper_of_another_hour_confirms_nothing(bench: Bench, order: tuple[str, str]) -> None:
    bench.press(order[0])
    bench.wait(121)
    bench.press(order[1])
    assert bench.of("alarm.confirmed") == []


def test_what_is_no_hold_up_confirms_nothing_and_is_not_confirmed(bench: Bench) -> None:
    bench.press("door")
    bench.press("hidden")
    bench.wait(130)
    bench.press("door")
    bench.press("undo")
    assert bench.of("alarm.confirmed") == []


def test_a_button_that_is_down_at_the_start_is_no_second_press(bench: Bench) -> None:
    bench.press("hidden")
    bench.restart()
    bench.wait(130)
    bench.edge("hidden", True, initial=True)
    bench.wait(1)
    assert len(bench.of("alarm.holdup")) == 2 and bench.of("alarm.confirmed") == []


def test_after_a_power_cut_two_minutes_count_from_the_start_and_confirmed_stays_so(bench: Bench) -> None:
    bench.press("hidden")
    bench.wait(60)
    bench.restart()
    bench.wait(119)
    bench.press("hidden")
    assert bench.of("alarm.confirmed") == []
    bench.wait(2)
    bench.press("hidden")
    assert len(bench.of("alarm.confirmed")) == 1
    bench.restart()
    bench.wait(130)
    bench.press("hidden")
    assert len(bench.of("alarm.confirmed")) == 1


def test_a_press_that_confirms_wants_a_person_again_also_after_a_power_cut(bench: Bench) -> None:
    bench.connect()
    bench.press("alarm-1")
    case = bench.of("alarm.panic")[0]["case"]
    bench.arrive("command", signed(DESK, bench.order("acknowledge", {"alarm": case, "note": ""})))
    bench.wait(121)
    bench.press("alarm-1")
    assert len(bench.of("alarm.confirmed")) == 1
    bench.restart()
    stored = [body for body, _ in bench.journal.opened().cases]
    assert '"acknowledged": false' in stored[0] and '"confirmed": true' in stored[0]


def test_a_new_case_is_confirmed_anew(bench: Bench) -> None:
    bench.connect()
    bench.press("alarm-1")
    bench.wait(121)
    bench.press("alarm-1")
    bench.press("key")  # reset at the place
    bench.press("alarm-1")
    assert len(bench.of("alarm.confirmed")) == 1
    bench.wait(121)
    bench.press("alarm-1")
    assert len(bench.of("alarm.confirmed")) == 2
