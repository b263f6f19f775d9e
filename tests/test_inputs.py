"""Debounce, boot, stuck and chatter: raw edges in, facts out, in virtual time."""

import random

import pytest

from agent.inputs import Chatter, Contact, Fact, Pressed, Released, Stuck

DEBOUNCE_S = 0.020


def played(*edges: tuple[float, bool], until_s: float, contact: Contact | None = None) -> list[Fact]:
    """The facts of these raw edges when `tick` comes exactly when it is asked for."""
    contact = contact or Contact(DEBOUNCE_S)
    facts: list[Fact] = []
    for at_s, active in [*edges, (until_s, None)]:
        while (due_s := contact.due_s()) is not None and due_s <= at_s:
            facts += contact.tick(due_s)
        facts += contact.tick(at_s) if active is None else contact.edge(active, at_s)
    return facts


def presses(facts: list[Fact]) -> list[float]:
    return [fact.seen_s for fact in facts if isinstance(fact, Pressed)]


def test_a_press_of_50_ms_with_bounce_is_one_press_at_its_first_edge() -> None:
    bounce = [(1.000, True), (1.002, False), (1.003, True), (1.006, False), (1.0065, True)]
    facts = played(*bounce, (1.050, False), (1.051, True), (1.0515, False), until_s=2)
    assert facts == [Pressed(1.000), Released(1.050)]


def test_a_press_that_bounces_all_its_time_is_counted_by_the_time_it_was_down() -> None:
    """4 ms down, 1 ms up, over and over for 50 ms: a debounce that starts anew at each edge would miss it."""
    edges = [(1 + n * 0.005 + part, active) for n in range(10) for part, active in ((0.0, True), (0.004, False))]
    assert presses(played(*edges, until_s=2)) == [1.0]


@pytest.mark.parametrize("width_s", [0.005, 0.019])
def test_a_spike_shorter_than_the_debounce_is_none(width_s: float) -> None:
    assert played((1.0, True), (1.0 + width_s, False), until_s=2) == []


def test_spikes_far_apart_never_add_up_to_a_press() -> None:
    edges = [(n + part, active) for n in range(1, 50) for part, active in ((0.0, True), (0.005, False))]
    assert played(*edges, until_s=60) == []


def test_a_release_that_bounces_is_one_release() -> None:
    facts = played((1.0, True), (1.5, False), (1.503, True), (1.505, False), (1.51, True), (1.511, False), until_s=3)
    assert facts == [Pressed(1.0), Released(1.5)]


def test_a_dropout_shorter_than_the_debounce_is_no_second_press() -> None:
    assert played((1.0, True), (1.2, False), (1.21, True), (1.5, False), until_s=3) == [Pressed(1.0), Released(1.5)]


def test_two_presses_told_late_are_still_two() -> None:
    """The loop was busy for 200 ms: the edges wait with the times at which they were seen."""
    contact = Contact(DEBOUNCE_S)
    facts: list[Fact] = []
    for at_s, active in ((1.00, True), (1.05, False), (1.10, True), (1.15, False)):
        facts += contact.edge(active, at_s)
        facts += contact.tick(1.2)
    facts += contact.tick(1.3)
    assert facts == [Pressed(1.00), Released(1.05), Pressed(1.10), Released(1.15)]


def test_edges_out_of_order_do_no_harm() -> None:
    contact = Contact(DEBOUNCE_S)
    facts = contact.edge(True, 5.0) + contact.edge(False, 4.0) + contact.edge(True, 4.5) + contact.tick(6.0)
    assert presses(facts) == [5.0]
    facts = contact.edge(False, 1.0) + contact.tick(7.0)
    assert [type(fact) for fact in facts] == [Released]


def test_the_same_level_twice_is_one_change() -> None:
    facts = played((1.0, True), (1.005, True), (1.1, True), (1.5, False), (1.6, False), until_s=3)
    assert facts == [Pressed(1.0), Released(1.5)]


def test_a_debounce_of_0_takes_every_edge() -> None:
    contact = Contact(0.0)
    assert contact.edge(True, 1.0) + contact.edge(False, 1.0) == [Pressed(1.0), Released(1.0)]


def test_a_button_that_is_down_at_boot_is_a_press_at_boot_and_stuck_at_once() -> None:
    contact = Contact(DEBOUNCE_S)
    assert contact.edge(True, 1.0, initial=True) == [Pressed(1.0, at_boot=True), Stuck(over=False)]
    assert played((2.0, False), (3.0, True), until_s=4, contact=contact) == [
        Released(2.0),
        Stuck(over=True),
        Pressed(3.0),
    ]


def test_a_contact_that_is_idle_at_boot_says_nothing() -> None:
    contact = Contact(DEBOUNCE_S)
    assert contact.edge(False, 1.0, initial=True) + contact.tick(100) == []


def test_a_press_while_the_wire_was_gone_is_a_press_when_it_is_back_and_not_stuck() -> None:
    contact = Contact(DEBOUNCE_S)
    contact.edge(False, 1.0, initial=True)
    assert contact.edge(True, 50.0, initial=True) == [Pressed(50.0, at_boot=True)]


def test_a_press_that_stands_when_a_fault_is_over_is_a_press_anew_and_by_the_time_it_was_down() -> None:
    contact = Contact(DEBOUNCE_S)
    contact.edge(False, 1.0, initial=True)
    assert played((2.0, True), until_s=3, contact=contact) == [Pressed(2.0)]
    contact.forget()
    assert played((5.0, True), (5.01, False), until_s=6, contact=contact) == []  # a spike while a plug is put in
    contact.forget()
    assert played((7.0, True), until_s=8, contact=contact) == [Pressed(7.0)]


def test_a_button_held_for_30_s_is_stuck_until_it_lets_go() -> None:
    assert played((1.0, True), until_s=30.9) == [Pressed(1.0)]
    assert played((1.0, True), until_s=31.0) == [Pressed(1.0), Stuck(over=False)]
    facts = played((1.0, True), (90.0, False), (91.0, True), (92.0, False), until_s=200)
    assert facts == [Pressed(1.0), Stuck(False), Released(90.0), Stuck(True), Pressed(91.0), Released(92.0)]


def test_over_random_edges_every_long_press_is_told_and_presses_and_releases_alternate() -> None:
    for seed in range(300):
        rng = random.Random(seed)
        edges, at_s, wanted = [], 1.0, 0
        for _ in range(rng.randrange(1, 8)):
            bounce_s = 0.0
            for _ in range(rng.randrange(4)):
                edges += [(at_s + bounce_s, True), (at_s + bounce_s + 0.001, False)]
                bounce_s += rng.uniform(0.0015, 0.004)
            edges += [(at_s + bounce_s, True), (at_s + bounce_s + rng.uniform(0.05, 0.5), False)]
            at_s, wanted = edges[-1][0] + rng.uniform(0.05, 3.0), wanted + 1
        facts = played(*edges, until_s=at_s + 1)
        assert [type(fact) for fact in facts] == [Pressed, Released] * wanted, f"seed {seed}"


# ---- chatter


def test_ten_changes_within_10_s_are_told_and_the_eleventh_is_merged() -> None:
    chatter = Chatter()
    assert [chatter.admit(1.0 + n * 0.5) for n in range(12)] == [True] * 10 + [False] * 2
    assert chatter.due_s() == 16.0
    assert (chatter.sum(15.9), chatter.sum(16.0)) == (0, 2)


def test_a_sum_comes_every_10_s_until_10_s_were_quiet() -> None:
    chatter = Chatter()
    for n in range(10):
        chatter.admit(n * 0.1)
    assert not chatter.admit(1.0)
    assert chatter.sum(11.0) == 1
    assert not chatter.admit(15.0)
    assert chatter.sum(21.0) == 1
    assert chatter.sum(31.0) == 0
    assert chatter.due_s() is None
    assert chatter.admit(31.1)


def test_eleven_changes_over_more_than_10_s_are_told_one_by_one() -> None:
    chatter = Chatter()
    assert all(chatter.admit(n * 1.01) for n in range(100))


def test_over_random_changes_nothing_is_dropped_and_never_more_than_ten_are_told_in_10_s() -> None:
    for seed in range(200):
        rng = random.Random(seed)
        chatter, now_s, made, told, merged = Chatter(), 0.0, 0, [], 0
        for _ in range(400):
            step_s = rng.choice((0.01, 0.1, 1.0, 3.0, 12.0)) * rng.random()
            while (due_s := chatter.due_s()) is not None and due_s <= now_s + step_s:
                merged += chatter.sum(due_s)
            now_s += step_s
            made += 1
            if chatter.admit(now_s):
                told.append(now_s)
        while (due_s := chatter.due_s()) is not None:
            merged += chatter.sum(due_s)
        assert len(told) + merged == made, f"seed {seed}"
        assert all(later - earlier >= 10 for earlier, later in zip(told, told[10:], strict=False)), f"seed {seed}"
