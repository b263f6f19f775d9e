"""When to open a session, over which link, and when to give one up: in virtual time."""

import heapq
import random
from collections import Counter
from itertools import pairwise

import pytest

from agent.config_model import TIMINGS
from agent.link import (
    ACK_TIMEOUT_S,
    ANSWERS,
    ASK_S,
    CONNECT_TIMEOUT_S,
    RETURN_S,
    RETURN_S_MAX,
    RETURNED_S,
    STABLE_S,
    STEADY_S,
    SWITCH_JITTER_S,
    SWITCH_S,
    Ask,
    GiveUp,
    Link,
    Open,
)

RETRY_MAX_S = 25.0
SPARE_S = 60.0


def link(links: int = 1, seed: int = 1) -> Link:
    made = Link(links, RETRY_MAX_S, SPARE_S, random.Random(seed))
    made.start(0.0)
    return made


def opened(made: Link, now_s: float) -> Open:
    decisions = made.tick(now_s, None, None)
    assert [type(decision) for decision in decisions] == [Open], decisions
    assert isinstance(decisions[0], Open)
    return decisions[0]


def retry_s(made: Link, now_s: float) -> float:
    due_s = made.due_s(None, None)
    assert due_s is not None
    return due_s - now_s


def stands(made: Link, now_s: float, over: int = 0) -> None:
    """A session stands over this link, after those before it refused."""
    for at in range(over + 1):
        assert opened(made, now_s).link == at
        if at < over:
            made.down(now_s, "refused")
    made.up(now_s)


def test_it_connects_at_once_with_mqtt_5_over_the_first_link() -> None:
    made = link(2)
    assert opened(made, 0.0) == Open(0, "5")
    assert made.tick(1.0, None, None) == []


def test_the_backoff_doubles_to_its_limit_with_full_jitter() -> None:
    waits: list[list[float]] = [[] for _ in range(8)]
    for seed in range(400):
        made, now_s = link(seed=seed), 0.0
        for wait in waits:
            opened(made, now_s)
            made.down(now_s, "refused")
            wait.append(retry_s(made, now_s))
            now_s += wait[-1]
    for wait, limit_s in zip(waits, [1, 2, 4, 8, 16, 25, 25, 25], strict=True):
        assert 0 <= min(wait) < 0.05 * limit_s, "full jitter begins at nothing"
        assert 0.95 * limit_s < max(wait) <= limit_s
        assert 0.4 * limit_s < sum(wait) / len(wait) < 0.6 * limit_s


def test_the_backoff_is_bounded_after_any_number_of_failures() -> None:
    made, now_s = link(), 0.0
    for _ in range(3000):
        opened(made, now_s)
        made.down(now_s, "refused")
        assert 0 <= retry_s(made, now_s) <= RETRY_MAX_S
        now_s += retry_s(made, now_s)


def test_only_a_session_that_lasted_starts_the_backoff_anew() -> None:
    def waits(session_s: float) -> list[float]:
        found = []
        for seed in range(100):
            made, now_s = link(seed=seed), 0.0
            for _ in range(6):
                opened(made, now_s)
                made.down(now_s, "refused")
                now_s += retry_s(made, now_s)
            opened(made, now_s)
            made.up(now_s)
            made.down(now_s + session_s, "cut")
            found.append(retry_s(made, now_s + session_s))
        return found

    assert max(waits(STABLE_S + 0.001)) <= 1
    assert max(waits(STABLE_S - 1)) > 10


def test_an_alarm_tries_at_once_whatever_the_backoff_says() -> None:
    made, now_s = link(seed=5), 0.0
    for _ in range(8):
        opened(made, now_s)
        made.down(now_s + 1.5, "refused")
        now_s = now_s + 1.5 + retry_s(made, now_s + 1.5)
    opened(made, now_s)
    made.down(now_s + 2, "refused")
    assert retry_s(made, now_s + 2) > 0
    made.hurry(now_s + 2)
    opened(made, now_s + 2)


def test_alarms_do_not_try_more_often_than_once_a_second() -> None:
    made, tries = link(), []
    for tenth in range(100):
        now_s = tenth / 10
        made.hurry(now_s)
        if made.tick(now_s, None, None):
            tries.append(now_s)
            made.down(now_s, "refused")
    assert 9 <= len(tries) <= 12, "one each second; the first backoff may be shorter than that"


def test_an_alarm_changes_nothing_while_a_session_stands_or_opens() -> None:
    made = link()
    opened(made, 0.0)
    made.hurry(5.0)
    assert made.tick(5.0, None, None) == []
    made.up(6.0)
    made.hurry(7.0)
    assert made.tick(7.0, None, None) == []


def test_a_broker_that_refuses_mqtt_5_gets_3_1_1_from_then_on() -> None:
    made = link()
    opened(made, 0.0)
    made.down(0.0, "unsupported protocol version", wrong_protocol=True)
    now_s = retry_s(made, 0.0)
    assert opened(made, now_s) == Open(0, "3.1.1")
    made.up(now_s)
    made.down(now_s + 100, "cut")
    now_s = now_s + 100 + retry_s(made, now_s + 100)
    assert opened(made, now_s) == Open(0, "3.1.1")


def test_a_broker_that_hangs_up_twice_is_tried_with_the_other_protocol_and_later_with_5_again() -> None:
    """A link that is cut in the handshake looks the same: neither protocol may be the end of it."""
    made, now_s, tried = link(), 0.0, []
    for _ in range(6):
        now_s += retry_s(made, now_s)
        tried.append(opened(made, now_s).protocol)
        made.down(now_s, "hung up", hung_up=True)
    assert tried == ["5", "5", "3.1.1", "3.1.1", "5", "5"]
    now_s += retry_s(made, now_s)
    assert opened(made, now_s).protocol == "3.1.1"
    made.up(now_s)
    made.down(now_s + 100, "cut")
    now_s += 100 + retry_s(made, now_s + 100)
    assert opened(made, now_s).protocol == "5"
    made.down(now_s, "hung up", hung_up=True)
    now_s += retry_s(made, now_s)
    assert opened(made, now_s).protocol == "3.1.1", "a session stood with it, so one hang-up is enough"


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


def test_no_puback_for_10_s_gives_the_session_up() -> None:
    made = link()
    stands(made, 0.0)
    assert made.due_s(50.0, None) == 60.0
    assert made.tick(59.9, 50.0, None) == []
    assert made.tick(60.0, 50.0, None) == [GiveUp(f"the broker has not answered for {ACK_TIMEOUT_S:.0f} s")]


@pytest.mark.parametrize(("links", "timeout_s"), [(1, CONNECT_TIMEOUT_S), (2, SWITCH_S)])
def test_a_connection_that_does_not_come_to_a_session_is_given_up(links: int, timeout_s: float) -> None:
    made = link(links)
    opened(made, 0.0)
    assert made.due_s(None, None) == timeout_s
    [decision] = made.tick(timeout_s, None, None)
    assert decision == GiveUp(f"no session within {timeout_s:.0f} s")
    made.down(timeout_s, "no session")
    assert opened(made, timeout_s + retry_s(made, timeout_s)).link == links - 1


def test_ten_thousand_boxes_after_an_outage_come_back_at_less_than_200_a_second() -> None:
    """The broker was away for ten minutes. All boxes try while it is, and stay when it is back."""
    rng, back_s, due = random.Random(10_000), 600.0, list[tuple[float, int, Link]]()
    for _ in range(10_000):
        made = Link(1, TIMINGS["dp4"].retry_max_s, TIMINGS["dp4"].ask_s, rng)
        made.start(0.0)
        stands(made, 0.0)
        made.down(100.0, "the broker is gone")
        heapq.heappush(due, (100.0 + retry_s(made, 100.0), id(made), made))
    tries = Counter[int]()
    while due:
        now_s, _, made = heapq.heappop(due)
        opened(made, now_s)
        tries[int(now_s)] += 1
        if now_s < back_s:
            made.down(now_s, "refused")
            heapq.heappush(due, (now_s + retry_s(made, now_s), id(made), made))
    came = [tries[second] for second in range(int(back_s), int(max(tries)) + 1)]
    assert sum(came) == 10_000
    assert max(came) < 200, f"{max(came)} in one second"
    assert max(tries[second] for second in range(500, 600)) < 260, "nor is a broker that is down knocked at for nothing"


@pytest.mark.parametrize("reason", ["refused", "no answer"])
def test_why_it_is_down_is_kept_until_it_is_up(reason: str) -> None:
    made = link()
    opened(made, 0.0)
    made.down(1.0, reason)
    assert (made.state, made.reason) == ("down", reason)
    opened(made, 30.0)
    assert made.reason == reason
    made.up(31.0)
    assert (made.state, made.reason) == ("up", "")
