"""Several links: which one is used, when another is asked, and the way back to a better one. Virtual time."""

from itertools import pairwise

from link_bench import SPARE_S, link, opened, retry_s, stands

from agent.link import (
    ANSWERS,
    ASK_S,
    RETURN_S,
    RETURN_S_MAX,
    RETURNED_S,
    STABLE_S,
    STEADY_S,
    SWITCH_JITTER_S,
    SWITCH_S,
    Ask,
    GiveUp,
    Open,
)


def test_a_link_that_fails_gives_way_to_the_next_at_once_and_the_last_to_the_first_with_backoff() -> None:
    made = link(3)
    assert opened(made, 0.0).link == 0
    made.down(0.1, "refused")
    assert opened(made, 0.1).link == 1
    made.down(0.2, "refused")
    assert opened(made, 0.2).link == 2
    made.down(0.3, "refused")
    wait_s = retry_s(made, 0.3)
    assert 0 < wait_s <= 1
    assert opened(made, 0.3 + wait_s).link == 0


def test_a_good_session_that_breaks_is_followed_by_the_next_link_within_half_a_second() -> None:
    waits = []
    for seed in range(50):
        made = link(2, seed)
        stands(made, 0.0)
        made.down(STABLE_S, "cut")
        waits.append(retry_s(made, STABLE_S))
        assert opened(made, STABLE_S + waits[-1]).link == 1
    assert 0 <= min(waits) < 0.1
    assert 0.4 < max(waits) <= SWITCH_JITTER_S, "a fleet does not come to the second broker in one instant"


def test_links_whose_brokers_throw_the_box_out_at_once_are_not_tried_without_a_pause() -> None:
    made, now_s, tries = link(2), 0.0, 0
    while now_s < 120:
        now_s += retry_s(made, now_s)
        opened(made, now_s)
        tries += 1
        made.up(now_s)
        made.down(now_s + 0.01, "kicked")
        now_s += 0.01
    assert tries < 30


def test_a_spare_is_asked_at_once_and_then_now_and_then_and_its_failure_is_known() -> None:
    made = link(2)
    stands(made, 0.0)
    assert made.tick(0.0, None, None) == [Ask(1)]
    assert made.tick(100.0, None, None) == [], "one question at a time"
    made.answered(1, 1.0, "")
    assert made.due_s(None, None) == 1.0 + SPARE_S
    assert made.tick(1.0 + SPARE_S, None, None) == [Ask(1)]
    made.answered(1, 70.0, "refused; start the broker")
    assert (made.ways[1].reason, made.ways[1].since_s) == ("refused; start the broker", 70.0)
    for answer in range(ANSWERS):
        assert made.ways[1].reason
        now_s = 70.0 + (answer + 1) * ASK_S
        assert made.tick(now_s, None, None) == [Ask(1)]
        made.answered(1, now_s, "")
    assert not made.ways[1].reason
    assert made.state == "up" and made.index == 0


def test_it_returns_to_a_better_link_beside_the_session_that_stands_when_that_has_answered_twice() -> None:
    made = link(2)
    stands(made, 0.0, over=1)
    now_s = ASK_S
    while made.ways[0].reason:
        assert made.tick(now_s, None, None) == [Ask(0)]
        made.answered(0, now_s, "")
        now_s += ASK_S
    assert made.tick(RETURN_S - 1, None, None) == []
    assert made.due_s(None, None) == RETURN_S
    assert made.tick(RETURN_S, None, None) == [Open(0, "5", beside=True)]
    assert (made.state, made.index) == ("up", 1), "the session goes on meanwhile"
    made.up(RETURN_S + 1)
    assert (made.state, made.index, made.beside) == ("up", 0, None)


def test_a_second_session_that_does_not_come_to_stand_costs_nothing_and_is_tried_ever_later() -> None:
    made, now_s, tried = link(2), 0.0, []
    stands(made, 0.0, over=1)
    while now_s < 4 * RETURN_S_MAX:
        due_s = made.due_s(None, None)
        assert due_s is not None and due_s >= now_s
        now_s = due_s
        for decision in made.tick(now_s, None, None):
            if isinstance(decision, Ask):
                made.answered(decision.link, now_s, "")
            elif isinstance(decision, Open):
                tried.append(now_s)
            else:
                assert decision == GiveUp(f"no session within {SWITCH_S:.0f} s", beside=True)
                made.down_beside(now_s, decision.reason)
        assert (made.state, made.index) == ("up", 1)
    pauses = [later - earlier for earlier, later in pairwise(tried)]
    assert pauses[0] < 3 * RETURN_S
    assert RETURN_S_MAX <= pauses[-1] < 1.1 * RETURN_S_MAX
    assert sorted(pauses) == pauses


def test_a_link_that_fails_soon_after_the_return_is_left_alone_for_longer_and_then_as_before() -> None:
    made = link(2)
    stands(made, 0.0)
    made.down(STABLE_S, "cut")
    assert made.ways[0].held_until_s == STABLE_S + 2 * RETURN_S
    opened(made, STABLE_S + 1)
    made.up(STABLE_S + 1)
    for _ in range(ANSWERS):
        made.answered(0, 200.0, "")
    assert made.tick(200.0, None, None)[0] == Open(0, "5", beside=True)
    made.up(200.0)
    made.down(250.0, "cut")
    assert made.ways[0].held_until_s == 250.0 + 4 * RETURN_S
    made.up(251.0)
    for _ in range(ANSWERS):
        made.answered(0, 600.0, "")
    made.tick(600.0, None, None)
    made.up(600.0)
    made.down(600.0 + RETURNED_S, "cut")
    assert made.ways[0].held_until_s == 600.0 + RETURNED_S + RETURN_S


def test_a_broker_that_ends_the_first_session_when_it_hears_of_the_second_ends_nothing() -> None:
    made = link(2)
    stands(made, 0.0, over=1)
    for _ in range(ANSWERS):
        made.answered(0, 30.0, "")
    assert made.tick(RETURN_S, None, None)[0] == Open(0, "5", beside=True)
    made.down(RETURN_S + 0.1, "taken over")
    assert (made.state, made.index, made.beside) == ("connecting", 0, None)
    made.up(RETURN_S + 0.2)
    assert (made.state, made.index) == ("up", 0)


def test_what_brings_no_receipt_for_10_s_goes_over_the_next_link_beside_the_first() -> None:
    made = link(2)
    stands(made, 0.0)
    made.tick(0.0, None, None)
    made.answered(1, 0.1, "")
    assert made.due_s(None, 20.0) == 20.0 + SWITCH_S
    assert made.tick(29.9, None, 20.0) == []
    assert made.tick(30.0, None, 20.0) == [Open(1, "5", beside=True)]
    assert "central has not said" in made.ways[0].reason
    made.up(30.5)
    assert (made.state, made.index) == ("up", 1)


def test_a_central_that_says_nothing_over_any_link_does_not_send_the_box_to_and_fro() -> None:
    made, now_s, switches, ticks = link(2), 0.0, 0, 0
    stands(made, 0.0)
    silent_s = 0.0
    while now_s < 4 * 3600:
        due_s = made.due_s(None, silent_s)
        assert due_s is not None
        now_s, ticks = max(now_s, due_s), ticks + 1
        assert ticks < 5_000, "it spins"
        for decision in made.tick(now_s, None, silent_s):
            if isinstance(decision, Ask):
                made.answered(decision.link, now_s, "")
            elif isinstance(decision, Open):
                made.up(now_s)
                switches, silent_s = switches + 1, now_s
    assert 2 <= switches <= 20


def test_nothing_is_held_against_a_link_whose_session_has_lasted() -> None:
    made = link()
    opened(made, 0.0)
    made.down(0.0, "refused")
    assert made.ways[0].reason == "refused"
    now_s = retry_s(made, 0.0)
    opened(made, now_s)
    made.up(now_s)
    made.tick(now_s + STEADY_S - 0.1, None, None)
    assert made.ways[0].reason == "refused"
    assert made.due_s(None, None) == now_s + STEADY_S
    made.tick(now_s + STEADY_S, None, None)
    assert not made.ways[0].reason


def test_the_first_link_is_never_left_for_being_the_first() -> None:
    made = link()
    stands(made, 0.0)
    assert made.tick(100 * RETURN_S, None, None) == []
    assert made.due_s(None, None) is None
