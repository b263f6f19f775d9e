"""What waits in the journal for central: read in parts, sent once, and sent again when central asks."""

import random

import pytest
from outbox_bench import Disk, Sender, drained, event, outbox, recorded

from agent.events import Event
from agent.kinds import CLASSES
from agent.outbox import READY_MAX, WINDOW, Outbox


def test_a_backlog_of_10_000_goes_out_whole_once_and_by_class_in_bounded_memory() -> None:
    rng = random.Random(3)
    events = [event(seq, rng.choice(CLASSES)) for seq in range(1, 10_001)]
    pending = {cls: sum(one.cls == cls for one in events) for cls in CLASSES}
    order = drained(outbox(10_000, pending), Disk(events))
    assert sorted(order) == list(range(1, 10_001))
    for cls in CLASSES:
        mine = [seq for seq in order if events[seq - 1].cls == cls]
        assert mine == sorted(mine)
    alarms = pending["alarm"]
    assert {events[seq - 1].cls for seq in order[:alarms]} == {"alarm"}


def test_what_is_recorded_without_a_session_waits_in_the_journal_past_a_limit() -> None:
    made = Outbox(0, {}, random.Random(1))
    events = [event(seq) for seq in range(1, 1001)]
    recorded(made, *events)
    assert len(made._lanes["scan"].ready) == READY_MAX
    made.session_up(receive_max=None, packet_bytes_max=None)
    assert drained(made, Disk(events)) == list(range(1, 1001))


@pytest.mark.parametrize("told_first", ["recorded", "fetched"])
def test_an_event_recorded_while_a_fetch_is_out_goes_out_once(told_first: str) -> None:
    """The journal answers in the order in which it did things, so there are two cases and no third."""
    made = outbox(3, {"scan": 3})
    disk = Disk(event(seq) for seq in range(1, 4))
    [fetch] = made.wants()
    if told_first == "recorded":
        disk.owed[4] = event(4)
        made.recorded(event(4))
        disk.answer(made, fetch)
    else:
        disk.answer(made, fetch)
        disk.owed[4] = event(4)
        made.recorded(event(4))
    assert drained(made, disk) == [1, 2, 3, 4]


def test_a_fetch_is_asked_once_at_a_time() -> None:
    made = outbox(3, {"scan": 3})
    assert len(made.wants()) == 1
    assert made.wants() == []


def test_what_was_receipted_while_a_fetch_was_out_is_not_sent() -> None:
    made = outbox(3, {"scan": 3})
    disk = Disk(event(seq) for seq in range(1, 4))
    [fetch] = made.wants()
    made.receipt(2, [], None)
    disk.answer(made, fetch)
    assert Sender(made).all() == [3]


def test_what_central_asks_for_again_is_sent_again_and_nothing_else() -> None:
    events = [event(seq, CLASSES[seq % 5]) for seq in range(1, 51)]
    made = outbox()
    recorded(made, *events)
    assert sorted(Sender(made).all()) == list(range(1, 51))
    made.receipt(50, [], None)
    assert made.recorded_of([(10, 14), (40, 1000)]) == [(10, 14), (40, 50)]
    made.owed_again(10)
    disk = Disk(one for one in events if 10 <= one.seq <= 14 or one.seq >= 40)
    assert sorted(drained(made, disk)) == [10, 11, 12, 13, 14, *range(40, 51)]


def test_asking_again_for_what_does_not_exist_asks_for_nothing() -> None:
    made = outbox()
    recorded(made, event(1))
    assert made.recorded_of([(5, 9)]) == []
    assert Sender(made).all() == [1]


def test_what_waits_below_what_central_asks_for_again_is_not_forgotten() -> None:
    events = [event(seq) for seq in range(1, 9)]
    made = outbox()
    recorded(made, *events)
    made.owed_again(6)
    assert sorted(drained(made, Disk(events))) == [1, 2, 3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize("lowest", [1, 2, 151])
def test_a_fetch_that_was_out_when_central_asked_again_loses_nothing(lowest: int) -> None:
    """Its answer was read before the journal owed the events again, and comes after the outbox was told."""
    scans = [event(seq) for seq in range(1, 301)]
    made = outbox(300, {"scan": 150})
    disk = Disk(scans[150:])
    [fetch] = made.wants()
    stale = disk.read(fetch)
    made.owed_again(lowest)
    disk.owed |= {one.seq: one for one in scans if lowest <= one.seq <= 160}
    again = made.wants()
    made.fetched(fetch.cls, *stale)
    for late in again:
        disk.answer(made, late)
    assert sorted(drained(made, disk)) == list(range(min(lowest, 151), 301))


def asked_for_again() -> tuple[list[Event], Sender]:
    """Five events are on their way, and central asks for them again."""
    events = [event(seq) for seq in range(1, 6)]
    made = outbox()
    recorded(made, *events)
    sender = Sender(made)
    sender.all()
    made.owed_again(1)
    return events, sender


def test_what_is_on_its_way_when_central_asks_again_is_not_sent_at_once() -> None:
    events, sender = asked_for_again()
    made = sender.outbox
    for fetch in made.wants():
        Disk(events).answer(made, fetch)
    assert sender.all() == []
    sender.now_s = 10.0
    assert sender.all() == [1, 2, 3, 4, 5]


def test_what_waits_below_a_range_that_central_asks_for_again_goes_out_too() -> None:
    events = [event(seq) for seq in range(1, 31)]
    made = outbox()
    recorded(made, *events)
    made.owed_again(20)
    assert sorted(drained(made, Disk(events))) == list(range(1, 31))
    unread = outbox(30, {"scan": 30})
    unread.owed_again(20)
    assert sorted(drained(unread, Disk(events))) == list(range(1, 31))


@pytest.mark.parametrize("happens", ["session down", "timeout"])
def test_what_comes_back_while_it_is_fetched_again_is_sent_once(happens: str) -> None:
    events, sender = asked_for_again()
    made = sender.outbox
    fetches = made.wants()
    if happens == "session down":
        made.session_down()
        made.session_up(receive_max=None, packet_bytes_max=None)
    else:
        sender.now_s = 11.0
        made.take(0, sender.now_s, reserved=WINDOW)
    for fetch in fetches:
        Disk(events).answer(made, fetch)
    assert sender.all() == [1, 2, 3, 4, 5]
