"""The one way into the deciding thread: answers first, readings bounded, central's flood in turn."""

import threading
from collections.abc import Callable

import pytest

from agent.mail import Arrived, Recorded
from agent.mailbox import ARRIVED_MAX, READINGS_MAX, Mailbox
from drivers.contract import Code, Edge

DEADLINE_S = 10.0


def edge(number: int) -> Edge:
    return Edge("alarm-1", True, float(number))


def recorded(through: int) -> Recorded:
    return Recorded("9b1deb4d", through, {})


def arrived() -> Arrived:
    return Arrived("s", "receipt", b"{}", retained=False)


def test_answers_come_before_readings_and_each_in_order_and_a_reading_waits_for_no_later_ones() -> None:
    mailbox = Mailbox()
    mailbox.put("panel", edge(1))
    mailbox.answer(recorded(1))
    mailbox.put("panel", edge(2))
    mailbox.answer(recorded(2))
    assert [mailbox.take(0) for _ in range(3)] == [[recorded(1), recorded(2), edge(1)], [edge(2)], []]


def test_readings_can_be_left_where_they_are() -> None:
    mailbox = Mailbox()
    mailbox.put("panel", edge(1))
    assert mailbox.take(0, readings=False) == []
    assert mailbox.readings == 1
    assert mailbox.take(0) == [edge(1)]


def test_a_wire_whose_next_reading_is_a_code_can_be_left_alone_and_a_contact_beside_it_is_taken() -> None:
    mailbox = Mailbox()
    code = Code("desk", "ticket", 1.0)
    mailbox.put("scanner", code)
    mailbox.put("panel", edge(1))
    mailbox.put("panel", code)
    assert [mailbox.take(0, codes=False) for _ in range(2)] == [[edge(1)], []]
    assert [mailbox.take(0) for _ in range(3)] == [[code], [code], []]


def test_a_full_lane_of_readings_holds_the_driver_until_one_is_taken_and_loses_none() -> None:
    mailbox = Mailbox()
    for number in range(READINGS_MAX):
        mailbox.put("panel", edge(number))
    done = threading.Event()

    def driver() -> None:
        mailbox.put("panel", edge(READINGS_MAX))
        done.set()

    thread = threading.Thread(target=driver, daemon=True)
    thread.start()
    mailbox.answer(recorded(1))
    assert not done.is_set()
    assert mailbox.take(0) == [recorded(1), edge(0)], "an answer passes a full lane"
    assert done.wait(DEADLINE_S)
    thread.join(DEADLINE_S)
    assert [mailbox.take(0) for _ in range(READINGS_MAX)] == [[edge(number)] for number in range(1, READINGS_MAX + 1)]


def test_a_flood_of_messages_is_dropped_and_counted_and_never_an_answer_of_the_journal() -> None:
    mailbox = Mailbox()
    for _ in range(ARRIVED_MAX + 5):
        mailbox.answer(arrived())
    mailbox.answer(recorded(7))
    assert mailbox.dropped == 5
    taken = [mailbox.take(0) for _ in range(ARRIVED_MAX + 1)]
    assert taken == [[recorded(7), arrived()], *[[arrived()]] * (ARRIVED_MAX - 1), []]


def test_a_flood_of_messages_holds_up_no_press_and_a_storm_of_presses_no_receipt() -> None:
    mailbox = Mailbox()
    for number in range(3):
        mailbox.answer(arrived())
        mailbox.answer(arrived())
        mailbox.put("panel", edge(number))
    mailbox.answer(recorded(1))
    taken = [message for _ in range(10) for message in mailbox.take(0)]
    in_turn = [message for number in range(3) for message in (arrived(), edge(number))]
    assert taken == [recorded(1), *in_turn, *[arrived()] * 3]


def test_who_waits_is_woken_by_a_message_and_by_wake() -> None:
    wakes: tuple[Callable[[Mailbox], None], ...] = (
        lambda mailbox: mailbox.put("panel", edge(1)),
        lambda mailbox: mailbox.answer(recorded(1)),
        Mailbox.wake,
    )
    for wake in wakes:
        mailbox = Mailbox()
        taken: list[object] = []

        def wait(mailbox: Mailbox = mailbox, taken: list[object] = taken) -> None:
            taken.append(mailbox.take(DEADLINE_S))

        thread = threading.Thread(target=wait, daemon=True)
        thread.start()
        while not taken and thread.is_alive():
            wake(mailbox)
            thread.join(0.01)
        assert len(taken) == 1


def test_a_storm_on_one_wire_holds_up_no_press_on_another() -> None:
    mailbox = Mailbox()
    for number in range(READINGS_MAX):
        mailbox.put("scanner", edge(number))
    mailbox.put("panel", edge(7_000))  # waits for no room on the other wire
    assert mailbox.readings == READINGS_MAX + 1
    assert [mailbox.take(0) for _ in range(3)] == [[edge(0)], [edge(7_000)], [edge(1)]]


def test_who_has_taken_all_waits_for_more_and_a_ring_that_came_before_is_heard_once() -> None:
    mailbox, for_ever = Mailbox(), float("inf")  # longer than a wait can be: it would raise OverflowError
    mailbox.put("panel", edge(1))
    assert mailbox.take(for_ever) == [edge(1)]
    with pytest.raises(OverflowError):
        mailbox.take(for_ever)
    mailbox.wake()
    assert mailbox.take(for_ever) == []
    with pytest.raises(OverflowError):
        mailbox.take(for_ever)
