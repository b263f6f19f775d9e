"""A contact in a storm of changes: few edges, no press lost, nothing uncounted, in virtual time."""

import random

import pytest

from agent.inputs import Contact, Fact, Pressed, Released
from drivers.contract import Edge
from drivers.storm import SPAN_S, STORM_CHANGES, Storm

DEBOUNCE_S = 0.020

Change = tuple[float, bool]


def told(changes: list[Change], until_s: float, storm: Storm | None = None) -> list[Edge]:
    """The edges of these changes, when `tick` comes exactly when it is asked for."""
    storm = storm or Storm("button")
    edges: list[Edge] = []
    for at_s, active in [*changes, (until_s, None)]:
        while (due_s := storm.due_s()) is not None and due_s <= at_s:
            edges += storm.tick(due_s)
        if active is not None:
            edges += storm.edge(Edge("button", active, at_s))
    return edges


def facts(edges: list[Edge] | list[Change], until_s: float) -> list[Fact]:
    """What the agent makes of them."""
    contact = Contact(DEBOUNCE_S)
    found: list[Fact] = []
    changes = [(each.seen_s, each.active) if isinstance(each, Edge) else each for each in edges]
    for at_s, active in changes:
        while (due_s := contact.due_s()) is not None and due_s <= at_s:
            found += contact.tick(due_s)
        found += contact.edge(active, at_s)
    while (due_s := contact.due_s()) is not None and due_s <= until_s:
        found += contact.tick(due_s)
    return found


def chatter(from_s: float, to_s: float, per_s: float, duty: float) -> list[Change]:
    """Down for `duty` of each period, up for the rest, and up at the end."""
    periods = int((to_s - from_s) * per_s / 2)
    length_s = (to_s - from_s) / periods
    return [
        (from_s + n * length_s + part * length_s, active)
        for n in range(periods)
        for part, active in ((0.0, True), (duty, False))
    ]


def test_what_a_hand_and_a_bounce_make_passes_as_it_is() -> None:
    bounce = [(1 + n * 0.001, n % 2 == 0) for n in range(STORM_CHANGES)]
    later = [(at_s + 0.2, active) for at_s, active in bounce]
    assert [(edge.seen_s, edge.active) for edge in told(bounce + later, 3)] == bounce + later


def test_10000_changes_a_second_are_at_most_one_edge_each_5_ms() -> None:
    edges = told(chatter(1.0, 11.0, 10_000, 0.5), 12.0)
    assert len(edges) <= STORM_CHANGES + 10 / SPAN_S
    assert not edges[-1].active


def test_edges_alternate_and_their_times_rise_and_every_change_is_told_or_counted() -> None:
    for seed in range(100):
        rng = random.Random(seed)
        changes, at_s, active = [], 1.0, False
        for _ in range(500):
            at_s += rng.expovariate(1 / rng.choice((0.0001, 0.001, 0.01)))
            active = not active
            changes.append((at_s, active))
        storm = Storm("button")
        middle = len(changes) // 2
        edges = told(changes[:middle], changes[middle][0], storm)
        counted = storm.take_folded()
        assert 0 <= counted <= middle - len(edges), f"seed {seed}"
        edges += told(changes[middle:], at_s + 1, storm)
        assert [edge.active for edge in edges] == [n % 2 == 0 for n in range(len(edges))], f"seed {seed}"
        assert [edge.seen_s for edge in edges] == sorted(edge.seen_s for edge in edges), f"seed {seed}"
        assert edges[-1].active == active, f"seed {seed}"
        assert len(edges) + counted + storm.take_folded() == len(changes), f"seed {seed}"
        assert storm.due_s() is None, f"seed {seed}"


@pytest.mark.parametrize("per_s", [500, 1_000, 10_000])
def test_a_press_of_50_ms_between_two_storms_of_spikes_is_one_press_on_time(per_s: int) -> None:
    before, after = chatter(1.0, 2.0, per_s, 0.1), chatter(2.05, 3.0, per_s, 0.1)
    pressed, released = facts(told([*before, (2.0, True), (2.05, False), *after[2:]], 4), 4)
    assert isinstance(pressed, Pressed)
    assert isinstance(released, Released)
    assert 2.0 - SPAN_S <= pressed.seen_s <= 2.0 + SPAN_S
    assert 2.05 - SPAN_S <= released.seen_s <= 2.05 + SPAN_S


@pytest.mark.parametrize("per_s", [400, 1_000, 10_000])
@pytest.mark.parametrize("duty", [0.1, 0.3, 0.7, 0.9])
def test_a_storm_is_a_press_if_it_is_down_for_most_of_the_time_and_else_none(per_s: int, duty: float) -> None:
    """As when each change is told; a storm that beats in time with the spans changes nothing of that."""
    changes = chatter(1.0, 1.5, per_s, duty)
    by_all = [type(fact) for fact in facts(changes, 3)]
    assert [type(fact) for fact in facts(told(changes, 3), 3)] == by_all
    assert by_all == ([Pressed, Released] if duty > 0.5 else [])


def test_a_change_that_is_told_behind_a_look_does_no_harm() -> None:
    storm = Storm("button")
    told(chatter(1.0, 1.1, 10_000, 0.5), 1.1, storm)
    edges = storm.tick(1.2) + storm.edge(Edge("button", True, 1.15)) + storm.tick(1.3)
    assert [edge.active for edge in edges][-1:] == [True]


def test_a_look_after_a_long_time_ends_the_storm_in_few_steps() -> None:
    storm = Storm("button")
    told(chatter(1.0, 1.1, 10_000, 0.5), 1.1, storm)
    storm.tick(1e9)
    assert storm.due_s() is None
