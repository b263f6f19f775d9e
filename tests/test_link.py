"""When to open a session, over which link, and when to give one up: in virtual time."""

import random

import pytest

from agent.link import ACK_TIMEOUT_S, CONNECT_TIMEOUT_S, RETURN_S, Link, Open

RETRY_MAX_S = 25.0


def link(links: int = 1, seed: int = 1) -> Link:
    made = Link(links, RETRY_MAX_S, random.Random(seed))
    made.start(0.0)
    return made


def opened(made: Link, now_s: float) -> Open:
    decision = made.tick(now_s, None)
    assert isinstance(decision, Open), decision
    return decision


def retry_s(made: Link, now_s: float) -> float:
    due_s = made.due_s(None)
    assert due_s is not None
    return due_s - now_s


def test_it_connects_at_once_with_mqtt_5_over_the_first_link() -> None:
    made = link(2)
    assert opened(made, 0.0) == Open(0, "5")
    assert made.tick(1.0, None) is None


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

    assert max(waits(30.0)) <= 1
    assert max(waits(29.0)) > 10


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
        if made.tick(now_s, None) is not None:
            tries.append(now_s)
            made.down(now_s, "refused")
    assert 9 <= len(tries) <= 12, "one each second; the first backoff may be shorter than that"


def test_an_alarm_changes_nothing_while_a_session_stands_or_opens() -> None:
    made = link()
    opened(made, 0.0)
    made.hurry(5.0)
    assert made.tick(5.0, None) is None
    made.up(6.0)
    made.hurry(7.0)
    assert made.tick(7.0, None) is None


def test_a_broker_that_refuses_mqtt_5_gets_3_1_1_from_then_on() -> None:
    made = link(2)
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


def test_after_a_cut_the_first_link_is_tried_first() -> None:
    made = link(2)
    opened(made, 0.0)
    made.down(0.0, "refused")
    assert opened(made, 0.0).link == 1
    made.up(1.0)
    made.down(100.0, "cut")
    assert opened(made, 100.0 + retry_s(made, 100.0)).link == 0


def test_from_another_link_it_returns_to_the_first_after_a_while() -> None:
    made = link(2)
    opened(made, 0.0)
    made.down(0.0, "refused")
    opened(made, 0.0)
    made.up(0.0)
    assert made.tick(RETURN_S - 1, None) is None
    assert made.due_s(None) == RETURN_S
    assert made.tick(RETURN_S, None) == "back to the first link"
    made.down(RETURN_S, "back to the first link")
    assert opened(made, RETURN_S).link == 0
    made.down(RETURN_S + 1, "refused")
    assert opened(made, RETURN_S + 1).link == 1, "the first is still dead: the second serves again at once"
    made.up(RETURN_S + 2)
    assert made.due_s(None) == RETURN_S + 2 + 2 * RETURN_S, "a working session is not given up for it so soon again"


def test_the_first_link_is_never_left_for_being_the_first() -> None:
    made = link(2)
    opened(made, 0.0)
    made.up(0.0)
    assert made.tick(100 * RETURN_S, None) is None
    assert made.due_s(None) is None


def test_no_puback_for_10_s_gives_the_session_up() -> None:
    made = link()
    opened(made, 0.0)
    made.up(0.0)
    assert made.due_s(50.0) == 60.0
    assert made.tick(59.9, 50.0) is None
    assert made.tick(60.0, 50.0) == f"the broker has not answered for {ACK_TIMEOUT_S:.0f} s"


def test_a_connection_that_does_not_come_to_a_session_is_given_up_for_the_next_link() -> None:
    made = link(2)
    opened(made, 0.0)
    assert made.due_s(None) == CONNECT_TIMEOUT_S
    assert made.tick(CONNECT_TIMEOUT_S, None) == "no session within 30 s"
    made.down(CONNECT_TIMEOUT_S, "no session within 30 s")
    assert opened(made, CONNECT_TIMEOUT_S).link == 1


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
