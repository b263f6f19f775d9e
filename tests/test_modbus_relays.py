"""When a Modbus bus switches its relays, and how often it looks at them: in virtual time, at 9600 bit/s."""

import pytest
from modbus_world import ANSWER_S, World, contact, modules

from drivers.modbus_bus import COILS_S, ROUND_S, Bus, Point
from drivers.modbus_frame import ON, SILENT, WRITE_COIL, Outcome, Refused, Request, Values


def relays(*channels: int, unit: int = 1) -> World:
    return World({"1/3": contact(1, 3)}, {f"r{channel}": Point(unit, "coil", channel - 1) for channel in channels})


def test_a_relay_switches_before_the_next_module_is_asked() -> None:
    world = modules(1, 2, 3)
    world.bus = Bus({f"{u}/3": contact(u, 3) for u in (1, 2, 3)}, {"r1": Point(2, "coil", 0)})
    world.run(1, lambda: len(world.asked) == 4)
    world.bus.wish("r1", True)
    world.run(1, lambda: len(world.asked) == 5)
    assert world.asked[-1][1] == Request(2, WRITE_COIL, 0, ON)


def test_relays_that_flicker_leave_every_other_turn_to_the_inputs() -> None:
    world = relays(1, 2, 3, 4)
    world.run(0.5)
    for n in range(40):
        for channel in range(1, 5):
            world.bus.wish(f"r{channel}", n % 2 == 0)
        world.run(0.05)
    world.run(0.5)
    assert max(world.gaps(1)) <= ROUND_S + 2 * ANSWER_S


def test_a_relay_that_flickers_keeps_no_other_from_its_turn() -> None:
    bus = Bus({}, {"lamp": Point(1, "coil", 0), "siren": Point(1, "coil", 1)})
    bus.wish("siren", True)
    asked = []
    for n in range(4):
        bus.wish("lamp", n % 2 == 0)
        if request := bus.next_write(blindly=True):
            asked.append(request.address)
            bus.told(Values(()), 0.0)
    assert asked == [0, 1, 0]


def test_no_relay_is_touched_that_nobody_wished_for() -> None:
    world = relays(1)
    world.coils[1, 0] = 1
    world.run(5)
    assert world.times(1, WRITE_COIL) == []


def test_the_last_wish_is_written_when_the_module_is_back() -> None:
    world = relays(1)
    world.faults[1] = SILENT
    world.run(3)
    world.bus.wish("r1", True)
    world.bus.wish("r1", False)
    world.bus.wish("r1", True)
    world.run(3)
    assert world.times(1, WRITE_COIL) == []
    del world.faults[1]
    world.run(3)
    assert world.coils == {(1, 0): 1}


def test_nothing_is_written_to_a_module_that_does_not_answer_and_it_costs_no_time() -> None:
    world = relays(1)
    world.bus.wish("r1", True)
    world.faults[1] = SILENT
    world.run(3)
    assert world.times(1, WRITE_COIL) == []
    del world.faults[1]
    world.run(3)
    world.faults[1] = SILENT
    world.run(1)
    written = len(world.times(1, WRITE_COIL))
    world.bus.wish("r1", False)
    world.run(10)
    assert len(world.times(1, WRITE_COIL)) == written


def test_nothing_is_written_to_a_module_before_it_was_heard() -> None:
    """An adapter that hears itself would answer for it."""
    world = relays(1, unit=2)
    world.faults[2] = SILENT
    world.bus.wish("r1", True)
    world.run(3)
    assert world.times(2, WRITE_COIL) == []


def test_a_module_that_does_not_tell_its_relays_is_told_again_when_it_is_back() -> None:
    world = relays(1)
    answer = world.answer
    world.answer = lambda request: Refused(1) if request.function == 1 else answer(request)  # type: ignore[method-assign]
    world.bus.wish("r1", True)
    world.run(2)
    world.faults[1] = SILENT
    world.run(2)
    world.coils.clear()
    del world.faults[1]
    world.run(3)
    assert world.coils == {(1, 0): 1}


def test_at_the_end_each_relay_is_tried_three_times_and_what_is_not_as_wished_is_known() -> None:
    bus = Bus({}, {"gone": Point(1, "coil", 0), "refused": Point(2, "coil", 0), "done": Point(3, "coil", 0)})
    for output in ("gone", "refused", "done"):
        bus.wish(output, True)
    asked = []
    while request := bus.next_write(blindly=True):
        asked.append(request.unit)
        told: dict[int, Outcome] = {1: SILENT, 2: Refused(4)}
        bus.told(told.get(request.unit, Values(())), 0.0)
    assert sorted(asked) == [1, 1, 1, 2, 3]
    assert bus.unwritten == ["gone", "refused"]


def test_a_module_that_forgot_its_relays_in_between_two_looks_is_told_again() -> None:
    world = relays(1, 2)
    world.bus.wish("r1", True)
    world.run(1)
    world.coils.clear()
    world.run(COILS_S + 2 * ROUND_S)
    assert world.coils[1, 0] == 1


def test_a_relay_on_a_module_without_inputs_is_switched_too_and_is_looked_at_once_a_second() -> None:
    world = World({}, {"r1": Point(5, "coil", 0)})
    world.bus.wish("r1", True)
    world.run(10)
    assert world.coils == {(5, 0): 1}
    assert 8 <= len(world.times(5, 1)) <= 11


def test_a_relay_that_a_module_refuses_is_tried_once_a_second_and_stops_nothing() -> None:
    world = relays(1)
    answer = world.answer
    world.answer = lambda request: Refused(2) if request.function == WRITE_COIL else answer(request)  # type: ignore[method-assign]
    world.bus.wish("r1", True)
    world.run(10)
    assert 8 <= len(world.times(1, WRITE_COIL)) <= 11
    assert world.bus.take_noise() == len(world.times(1, WRITE_COIL))
    assert max(world.gaps(1)) <= 0.2


def test_an_unknown_output_is_an_error() -> None:
    with pytest.raises(KeyError):
        relays(1).bus.wish("siren", True)
