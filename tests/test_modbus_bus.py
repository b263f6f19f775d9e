"""What a Modbus bus is asked when, and what its answers tell: in virtual time, at the pace of a line of 9600 bit/s."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modbus_world import ANSWER_S, TIMEOUT_S, World, contact, counter, edges, healths, modules

from drivers.contract import Edge, Health
from drivers.modbus_bus import RETRY_MAX_S, ROUND_S, Bus, Point, pulses
from drivers.modbus_frame import BAD_CRC, SILENT, Outcome, Refused, Request

# ---- levels


def test_each_level_comes_first_as_found_and_then_as_changed() -> None:
    world = modules(1)
    world.bits[1, 2] = 1
    assert edges(world.run(1)) == [("1/3", True, True)]
    world.bits[1, 2] = 0
    assert edges(world.run(1)) == [("1/3", False, False)]
    assert world.run(5) == []


def test_a_contact_that_is_closed_at_rest_is_active_when_it_opens() -> None:
    world = World({"door": contact(1, 3, "door", closed=True)})
    assert edges(world.run(1)) == [("door", True, True)]
    world.bits[1, 2] = 1
    assert edges(world.run(1)) == [("door", False, False)]


def test_contacts_side_by_side_are_one_request_and_others_are_not() -> None:
    points = [contact(1, 8), contact(1, 1), contact(2, 1), contact(1, 65), counter(1, 1, "n")]
    world = World({sensor._name: (point, sensor) for point, sensor in points})
    world.run(ROUND_S)
    assert [request for _, request in world.asked] == [
        Request(1, 2, 0, 8),
        Request(1, 2, 64, 1),
        Request(1, 4, 0, 1),
        Request(2, 2, 0, 1),
    ]


def test_six_modules_are_all_asked_within_200_ms() -> None:
    world = modules(1, 2, 3, 4, 5, 6)
    world.run(10)
    assert max(gap for unit in range(1, 7) for gap in world.gaps(unit)) <= 0.2


@pytest.mark.parametrize("starts_ms", range(0, 200, 20))
def test_a_press_of_400_ms_is_seen_at_whatever_instant_it_begins(starts_ms: int) -> None:
    world = modules(1, 2, 3, 4, 5, 6)
    world.run(1 + starts_ms / 1000)
    world.bits[6, 2] = 1
    pressed = world.run(0.4)
    world.bits[6, 2] = 0
    assert edges(pressed + world.run(0.4)) == [("6/3", True, False), ("6/3", False, False)]


# ---- modules that do not answer


def test_a_module_that_is_silent_slows_the_others_by_its_timeout_and_no_more() -> None:
    world = modules(1, 2, 3, 4, 5, 6)
    world.run(1)
    world.faults[4] = SILENT
    world.run(60)
    assert max(world.gaps(1)) <= 5 * ANSWER_S + TIMEOUT_S + 1e-9
    slowed = [gap for gap in world.gaps(1) if gap > 0.2]
    assert len(slowed) <= 60 / RETRY_MAX_S + 5


def test_a_bus_whose_modules_all_died_but_one_goes_on_at_its_pace_and_one_timeout() -> None:
    world = modules(1, 2, 3, 4, 5, 6)
    world.run(1)
    world.faults |= dict.fromkeys(range(2, 7), SILENT)
    world.run(2)  # each has been missed once
    before = len(world.times(1))
    for unit in world.bus._units.values():
        unit.due_s = world.now_s  # were they ever due in one moment: still one in a round
    world.run(60)
    assert max(world.gaps(1)[before:]) <= ROUND_S + TIMEOUT_S + ANSWER_S


def test_one_bad_frame_is_no_trouble_and_the_next_round_asks_again() -> None:
    world = modules(1)
    world.run(1)
    world.faults[1] = BAD_CRC
    world.run(2, lambda: world.bus._units[1].misses == 1)
    del world.faults[1]
    assert world.run(1) == []
    assert max(world.gaps(1)) <= ROUND_S + TIMEOUT_S + ANSWER_S
    assert world.bus.take_noise() == 1


def test_a_module_that_is_gone_is_offline_within_a_second_with_the_reason_once_and_back_with_its_level() -> None:
    world = modules(1, 2)
    world.run(1)
    world.faults[2] = SILENT
    assert healths(world.run(1)) == [("2/3", "offline", f"unit 2: {SILENT.reason}")]
    assert world.run(30) == []
    world.bits[2, 2] = 1
    del world.faults[2]
    back = world.run(RETRY_MAX_S + ROUND_S + ANSWER_S)
    assert edges(back) == [("2/3", True, True)]


def test_a_module_that_nobody_heard_since_the_start_is_offline_too() -> None:
    world = modules(1, 2)
    world.faults[2] = SILENT
    assert [health[:2] for health in healths(world.run(2))] == [("2/3", "offline")]


def test_another_fault_is_told_as_another_reason() -> None:
    world = modules(1)
    world.faults[1] = SILENT
    world.run(3)
    world.faults[1] = BAD_CRC
    assert healths(world.run(5)) == [("1/3", "offline", f"unit 1: {BAD_CRC.reason}")]


def test_an_exception_costs_only_the_inputs_that_it_is_about_and_slows_nobody() -> None:
    world = World({"ok": contact(1, 1, "ok"), "far": contact(1, 200, "far")})
    refusing = world.answer
    world.answer = lambda request: Refused(2) if request.address == 199 else refusing(request)  # type: ignore[method-assign]
    readings = world.run(2)
    assert edges(readings) == [("ok", False, True)]
    assert healths(readings) == [
        ("far", "offline", "unit 1: exception 2, illegal address: this module has no such channel")
    ]
    assert max(world.gaps(1)) <= 0.2


def test_a_gateway_that_says_that_nothing_answers_behind_it_counts_as_silence() -> None:
    world = modules(1, 2)
    world.run(1)
    world.faults[2] = Refused(11)
    world.run(20)
    assert len(world.times(2)) < 30
    assert world.bus.take_noise() == 0


def test_a_late_answer_has_a_round_to_come_before_its_unit_is_asked_again() -> None:
    world = modules(1)
    world.faults[1] = SILENT
    world.run(1)
    assert world.gaps(1)[0] >= TIMEOUT_S + ROUND_S


def test_a_silent_unit_is_not_waited_for_once_more_in_the_same_round() -> None:
    world = World({"a": contact(1, 1, "a"), "b": contact(1, 100, "b"), "c": contact(2, 1, "c")})
    world.faults[1] = SILENT
    world.run(ROUND_S + ANSWER_S)
    assert [request.unit for _, request in world.asked] == [1, 2]


def test_the_bus_is_dead_when_no_unit_answers() -> None:
    world = modules(1, 2)
    world.faults[1] = SILENT
    world.run(5)
    assert not world.bus.dead
    world.faults[2] = SILENT
    world.run(5)
    assert world.bus.dead
    assert not Bus({}, {}).dead


# ---- counters


@pytest.mark.parametrize(
    ("before", "now", "passed_s", "presses"),
    [
        (7, 7, 0.1, 0),
        (7, 8, 0.1, 1),
        (7, 12, 0.1, 5),
        (65534, 3, 0.1, 5),
        (41234, 0, 2.0, 0),
        (41234, 2, 2.0, 2),
        (5, 0, 2.0, 0),
        (5, 3, 2.0, 3),
        (0, 40000, 0.1, None),
        (40000, 20000, 2.0, None),
        (7, 507, 0.1, None),
        (7, 507, 10.0, 500),
        (7, 2007, 86400.0, None),
    ],
)
def test_a_count_is_presses_over_its_wrap_and_after_a_reset_and_never_65_thousand(
    before: int, now: int, passed_s: float, presses: int | None
) -> None:
    assert pulses(before, now, passed_s) == presses


@settings(derandomize=True, max_examples=200, deadline=None)
@given(st.integers(0, 0xFFFF), st.integers(0, 0xFFFF), st.floats(0, 1e6))
def test_no_two_counts_are_more_presses_than_a_hand_can_do(before: int, now: int, passed_s: float) -> None:
    presses = pulses(before, now, passed_s)
    assert presses is None or 0 <= presses <= min(1000, 100 * (passed_s + 0.1))


@settings(derandomize=True, max_examples=200, deadline=None)
@given(st.integers(0, 0xFFFF), st.integers(0, 10))
def test_presses_between_two_looks_are_counted_wherever_the_counter_stands(before: int, presses: int) -> None:
    assert pulses(before, (before + presses) & 0xFFFF, 0.1) == presses


def test_what_a_module_counted_between_two_looks_are_presses() -> None:
    world = World({"n": counter(1, 1, "n")})
    world.counts[1, 0] = 500
    assert world.run(1) == [Health("n", "good", "", world.readings[0].seen_s)]
    world.counts[1, 0] = 502
    told = world.run(1)
    assert edges(told) == [("n", True, False), ("n", False, False)] * 2
    assert all(edge.settled for edge in told if isinstance(edge, Edge))


def test_what_was_counted_while_the_module_was_unreachable_are_presses_when_it_is_back() -> None:
    world = World({"n": counter(1, 1, "n")})
    world.run(1)
    world.faults[1] = SILENT
    world.run(10)
    world.counts[1, 0] = 2
    del world.faults[1]
    world.bus.restart()  # the port was away, too
    told = world.run(3)
    assert healths(told) == [("n", "good", "")]
    assert len(edges(told)) == 4


def test_a_count_that_nothing_explains_is_noise_and_no_press() -> None:
    world = World({"n": counter(1, 1, "n")})
    world.run(1)
    world.counts[1, 0] = 30000
    assert world.run(1) == []
    assert world.bus.take_noise() == 1
    world.counts[1, 0] = 30001
    assert len(edges(world.run(1))) == 2


# ---- whatever a bus answers


outcomes = st.sampled_from([None, None, None, SILENT, BAD_CRC, Refused(2), Refused(6), Refused(11)])


@settings(derandomize=True, max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 3), outcomes, st.integers(0, 1), st.booleans()), max_size=30))
def test_whatever_happened_a_quiet_bus_ends_with_all_levels_told_and_all_wishes_done(
    story: list[tuple[int, Outcome | None, int, bool]],
) -> None:
    world = modules(1, 2, 3)
    world.bus = Bus({f"{u}/3": contact(u, 3) for u in (1, 2, 3)}, {f"r{u}": Point(u, "coil", 0) for u in (1, 2, 3)})
    last: dict[str, bool] = {}
    for unit, outcome, bit, on in story:
        world.bits[unit, 2] = bit
        world.bus.wish(f"r{unit}", on)
        if outcome is None:
            world.faults.pop(unit, None)
        else:
            world.faults[unit] = outcome
        last |= {name: active for name, active, _ in edges(world.run(0.7))}
    world.faults.clear()
    last |= {name: active for name, active, _ in edges(world.run(2 * RETRY_MAX_S))}
    assert last == {f"{unit}/3": bool(world.bits.get((unit, 2), 0)) for unit in (1, 2, 3)}
    wished = {unit: on for unit, _, _, on in story}
    assert {unit: bool(world.coils.get((unit, 0), 0)) for unit in wished} == wished
    assert [sensor.reason for sensor in world.bus._sensors] == [""] * 3
