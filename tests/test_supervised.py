"""A supervised contact: what its wire reads as, to readings, in virtual time."""

import random
from itertools import pairwise

from drivers.contract import Edge, Health
from drivers.supervised import FAULT_S, Supervised, Wire


def played(*wires: tuple[float, Wire], until_s: float, contact: Supervised | None = None) -> list[Edge | Health]:
    """The readings when the wire reads so from these times on, and is looked at whenever that is asked for."""
    contact = contact or Supervised("button")
    told: list[Edge | Health] = []
    wire: Wire = "idle"
    for at_s, next_wire in [*wires, (until_s, None)]:
        while (due_s := contact.due_s()) is not None and due_s <= at_s:
            told += contact.read(wire, due_s)
        if next_wire is not None:
            wire = next_wire
            told += contact.read(wire, at_s)
    return told


def short(told: list[Edge | Health]) -> list[tuple[float, bool | str]]:
    return [(round(each.seen_s, 3), each.active if isinstance(each, Edge) else each.quality) for each in told]


def test_a_press_is_told_in_the_moment_in_which_the_wire_reads_it() -> None:
    told = played((1.0, "idle"), (2.0, "open"), (2.004, "active"), (2.5, "open"), (2.503, "idle"), until_s=9)
    assert told == [Edge("button", False, 1.0, initial=True), Edge("button", True, 2.004), Edge("button", False, 2.503)]


def test_a_change_over_of_99_ms_is_no_fault_and_one_of_100_ms_is() -> None:
    assert short(played((1.0, "idle"), (2.0, "open"), (2.099, "active"), until_s=9)) == [(1.0, False), (2.099, True)]
    told = played((1.0, "idle"), (2.0, "open"), (2.1, "active"), until_s=9)
    assert short(told) == [(1.0, False), (2.1, "open"), (2.1, "good"), (2.1, True)]


def test_a_pole_that_bounces_is_one_press_for_the_contact_is_where_it_has_touched_last() -> None:
    bounce: list[tuple[float, Wire]] = [(2 + n * 0.002, ("active", "open")[n % 2]) for n in range(9)]
    assert short(played((1.0, "idle"), *bounce, until_s=9)) == [(1.0, False), (2.0, True)]


def test_each_fault_is_told_once_and_one_may_follow_the_other() -> None:
    told = played((1.0, "idle"), (2.0, "open"), (5.0, "short"), (7.0, "open"), until_s=9)
    assert short(told) == [(1.0, False), (2.1, "open"), (5.1, "short"), (7.1, "open")]
    assert all(each.reason for each in told if isinstance(each, Health))


def test_two_faults_in_turn_for_100_ms_each_less_than_that_are_none() -> None:
    """An open wire that flickers to a short is told when it has made up its mind."""
    told = played((1.0, "idle"), (2.0, "open"), (2.06, "short"), (2.12, "open"), until_s=2.2)
    assert short(told) == [(1.0, False)]


def test_after_a_fault_the_first_position_is_told_anew_even_if_it_is_the_one_from_before() -> None:
    told = played((1.0, "active"), (2.0, "short"), (3.0, "active"), until_s=9)
    assert short(told) == [(1.0, True), (2.1, "short"), (3.0, "good"), (3.0, True)]
    assert [each.initial for each in told if isinstance(each, Edge)] == [True, False]


def test_a_wire_that_is_broken_when_it_is_opened_is_a_fault_and_no_level() -> None:
    assert short(played((1.0, "short"), until_s=9)) == [(1.1, "short")]
    assert short(played((1.0, "open"), (1.05, "active"), until_s=9)) == [(1.05, True)]


def test_over_random_wires_no_press_is_told_during_a_fault_and_each_position_that_is_new_is_told_at_once() -> None:
    names: tuple[Wire, ...] = ("idle", "active", "open", "short")
    for seed in range(200):
        rng = random.Random(seed)
        wires: list[tuple[float, Wire]] = []
        at_s = 1.0
        for _ in range(40):
            wires.append((at_s, rng.choice(names)))
            at_s += rng.choice((0.0013, 0.0217, 0.093, 0.2))
        told = played(*wires, until_s=at_s)
        assert all(later.seen_s >= earlier.seen_s for earlier, later in pairwise(told)), seed
        position: Wire | None = None
        for number, (since_s, wire) in enumerate(wires):
            if wire in ("idle", "active"):
                new = wire != position
                position = wire
                assert any(isinstance(each, Edge) and each.seen_s == since_s for each in told) == new, seed
            else:
                end_s = wires[number + 1][0] if number + 1 < len(wires) else at_s
                assert not any(isinstance(each, Edge) and since_s <= each.seen_s < end_s for each in told), seed
                first = next(n for n in range(number, -1, -1) if n == 0 or wires[n - 1][1] != wire)
                if end_s - wires[first][0] > FAULT_S + 1e-9:
                    position = None  # told as a fault: what comes after it is new
