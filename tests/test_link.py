"""When to open a session, over which link, and when to give one up: in virtual time."""

import heapq
import random
from collections import Counter

import pytest
from link_bench import RETRY_MAX_S, link, opened, retry_s, stands

from agent.config_links import TIMINGS
from agent.link import ACK_TIMEOUT_S, CONNECT_TIMEOUT_S, STABLE_S, SWITCH_S, GiveUp, Link, Open


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
