"""What is owed to central and what of it is sent next: in virtual time."""

import random
import time
from itertools import pairwise

import pytest
from outbox_bench import Disk, Sender, drained, event, outbox, recorded

from agent.kinds import CLASSES
from agent.outbox import SENT_BYTES_MAX, SENT_MAX, WINDOW, Outbox

# ---- order and window


def test_alarms_go_first_then_each_class_and_within_a_class_by_boxseq() -> None:
    made = outbox()
    recorded(made, *[event(seq, cls) for seq, cls in enumerate(reversed(CLASSES * 2), start=1)])
    assert Sender(made).all() == [5, 10, 4, 9, 3, 8, 2, 7, 1, 6]


def test_a_message_is_the_event_as_it_is_on_the_topic_of_its_class() -> None:
    made = outbox()
    recorded(made, event(1, "trouble"))
    parcel = Sender(made).take()
    assert parcel is not None
    assert (parcel.topic, parcel.payload) == ("event/trouble", b"00000000000000000001")


def test_nothing_is_sent_without_a_session() -> None:
    made = Outbox(0, {}, random.Random(1))
    recorded(made, event(1, "alarm"))
    assert made.take(1, 0.0) is None
    assert made.wants() == []
    assert made.due_s() is None


def test_a_backlog_leaves_two_places_of_the_window_to_alarms() -> None:
    made = outbox()
    recorded(made, *[event(seq) for seq in range(1, 101)])
    sender = Sender(made)
    taken = 0
    while sender.take() is not None:
        taken += 1
    assert taken == WINDOW - 2
    recorded(made, *[event(seq, "alarm") for seq in range(101, 105)])
    assert [parcel.events[0].seq for parcel in (sender.take(), sender.take()) if parcel] == [101, 102]
    assert sender.take() is None


def test_the_brokers_receive_maximum_is_kept_also_when_it_is_1() -> None:
    made = Outbox(0, {}, random.Random(1))
    made.session_up(receive_max=1, packet_bytes_max=None)
    recorded(made, event(1), event(2, "alarm"))
    sender = Sender(made)
    first = sender.take()
    assert first is not None
    assert first.events[0].seq == 2
    assert sender.take() is None
    sender.ack()
    assert sender.take() is not None
    assert made.take(9, 0.0) is None


def test_other_messages_in_flight_count_in_the_window() -> None:
    made = Outbox(0, {}, random.Random(1))
    made.session_up(receive_max=3, packet_bytes_max=None)
    recorded(made, event(1, "alarm"))
    assert made.take(1, 0.0, reserved=3) is None
    assert made.take(1, 0.0, reserved=2) is not None


def test_a_silent_central_bounds_what_is_sent_and_alarms_have_room_of_their_own() -> None:
    made = outbox(20_000, {"scan": 20_000})
    disk = Disk(event(seq) for seq in range(1, 20_001))
    assert len(drained(made, disk, receipts=False)) == SENT_MAX
    recorded(made, event(20_001, "alarm"))
    assert Sender(made, token=90_000).all() == [20_001]


# ---- receipts


def test_through_cancels_all_up_to_it_and_also_what_lies_beyond() -> None:
    made = outbox()
    recorded(made, *[event(seq) for seq in range(1, 8)])
    sender = Sender(made)
    sender.all()
    assert made.receipt(2, [(6, 6), (3, 3), (5, 6)], None) == [(1, 2), (6, 6), (3, 3), (5, 6)]
    made.session_down()
    made.session_up(receive_max=None, packet_bytes_max=None)
    assert sender.all() == [4, 7]


def test_a_receipt_that_comes_twice_or_late_does_no_harm() -> None:
    made = outbox()
    recorded(made, *[event(seq) for seq in range(1, 6)])
    sender = Sender(made)
    sender.all()
    made.receipt(5, [], None)
    assert made.receipt(5, [], None) == []
    assert made.receipt(2, [], None) == []
    recorded(made, event(6))
    assert sender.all() == [6]


def test_what_lies_beyond_is_named_to_the_journal_once_and_again_when_there_is_more_or_it_is_owed_again() -> None:
    made = outbox()
    recorded(made, *[event(seq) for seq in range(1, 10)])
    assert made.receipt(1, [(5, 6)], None) == [(1, 1), (5, 6)]
    assert made.receipt(2, [(5, 6)], None) == [(2, 2)]
    assert made.receipt(2, [(5, 7)], None) == [(5, 7)]
    made.owed_again(5)
    assert made.receipt(2, [(5, 7)], None) == [(5, 7)]


def test_an_event_that_came_back_from_the_journal_behind_its_receipt_is_forgotten_at_the_next() -> None:
    made = outbox(3, {"scan": 1})
    assert made.receipt(0, [(3, 3)], None) == [(3, 3)]
    made.fetched("scan", [event(3)], False)
    assert made.receipt(0, [(3, 3)], None) == []
    assert Sender(made).all() == []


def test_a_receipt_for_what_does_not_exist_is_refused_and_changes_nothing() -> None:
    made = outbox()
    recorded(made, event(1), event(2))
    assert made.receipt(3, [], None) == "names boxseq 3; the journal has 2"
    assert isinstance(made.receipt(1, [(2, 2**50)], None), str)
    assert Sender(made).all() == [1, 2]


def test_an_event_that_is_not_yet_sent_is_cancelled_too() -> None:
    made = outbox()
    recorded(made, event(1), event(2))
    made.receipt(0, [(2, 2)], None)
    assert Sender(made).all() == [1]


def test_large_events_without_a_receipt_are_bounded_by_their_bytes() -> None:
    made = outbox(1_000, {"scan": 1_000})
    disk = Disk(event(seq, size=20_000) for seq in range(1, 1_001))
    assert len(drained(made, disk, receipts=False)) == SENT_BYTES_MAX // 20_000 + 1


def test_ranges_that_central_asks_for_again_reach_the_journal_once_each() -> None:
    """Each costs it a walk through the events: a hundred times all of them would hold up a press for a minute."""
    made = outbox(200_000)
    asked = [*[(1, 100_000)] * 50, (50, 60), (100_001, 100_001), (150_000, 2**50)]
    assert made.recorded_of(asked) == [(1, 100_001), (150_000, 200_000)]


def test_huge_and_many_ranges_are_cheap() -> None:
    """Ten thousand ranges against a full outbox; without sorting them first this takes seconds."""
    made = outbox(10_000_000)
    recorded(made, *[event(10_000_000 + n, CLASSES[n % 5]) for n in range(1, 1001)])
    sender = Sender(made)
    sender.all()
    began_s = time.process_time()
    for more in range(20):
        assert made.receipt(0, [(1, 9_999_980 + more), *((n, n) for n in range(1, 10_000))], None)
    assert time.process_time() - began_s < 10
    assert made.receipt(10_000_000, [(10_000_001, 10_001_000)], None)
    made.session_down()
    made.session_up(receive_max=None, packet_bytes_max=None)
    assert sender.all() == []


# ---- sending again


def test_without_a_receipt_an_event_is_sent_again_with_growing_pauses_up_to_5_minutes() -> None:
    """Central is silent for three days in one session."""
    made = outbox(receipt_timeout_s=10.0)
    recorded(made, event(1))
    sender, sent_s = Sender(made), [0.0]
    assert sender.all() == [1]
    while sender.now_s < 3 * 86_400:
        due_s = made.due_s()
        assert due_s is not None
        sender.now_s = due_s
        assert sender.all() == [1]
        sent_s.append(due_s)
    pauses = [later - earlier for earlier, later in pairwise(sent_s)]
    assert pauses[0] == 10
    for pause, limit_s in zip(pauses[1:], [20, 40, 80, 160] + [300] * len(pauses), strict=False):
        assert limit_s / 2 <= pause <= limit_s


def test_it_is_not_sent_before_its_time() -> None:
    made = outbox()
    recorded(made, event(1))
    sender = Sender(made)
    sender.all()
    sender.now_s = 9.99
    assert sender.all() == []
    sender.now_s = 10.0
    assert sender.all() == [1]


def test_an_event_whose_puback_is_out_is_not_sent_twice_at_once() -> None:
    made = outbox()
    recorded(made, event(1))
    sender = Sender(made)
    assert sender.take() is not None
    sender.now_s = 60.0
    assert sender.take() is None
    sender.ack()
    sender.now_s = 62.0
    assert sender.all() == [1]


def test_after_the_session_everything_without_a_receipt_is_owed_again_once_and_in_order() -> None:
    made = outbox()
    recorded(made, *[event(seq) for seq in range(1, 31)])
    sender = Sender(made)
    for _ in range(5):
        sender.take()
    made.receipt(2, [], None)
    made.session_down()
    assert made.take(99, 0.0) is None
    made.session_up(receive_max=None, packet_bytes_max=None)
    assert Sender(made).all() == list(range(3, 31))


def test_a_puback_of_an_older_session_changes_nothing() -> None:
    made = outbox(puback_delivers=True)
    recorded(made, event(1))
    sender = Sender(made)
    sender.take()
    made.session_down()
    made.session_up(receive_max=None, packet_bytes_max=None)
    assert made.acked(1, 0, 0.0) == []
    assert Sender(made).all() == [1]


# ---- what cannot be carried


def test_an_event_too_large_for_the_brokers_packets_is_taken_out_and_blocks_nothing() -> None:
    made = Outbox(0, {}, random.Random(1))
    made.session_up(receive_max=None, packet_bytes_max=1000)
    recorded(made, event(1, size=2000), event(2, size=500), event(3, size=1000 - 256))
    assert Sender(made).all() == [2, 3]
    assert [one.seq for one in made.unfit] == [1]


def test_an_event_that_the_broker_calls_too_large_is_taken_out() -> None:
    made = outbox()
    recorded(made, event(1))
    sender = Sender(made)
    sender.take()
    assert sender.ack(0x95) == []
    assert [one.seq for one in made.unfit] == [1]
    sender.now_s = 1000.0
    assert sender.all() == []


def test_of_a_batch_that_is_too_large_each_event_is_tried_alone() -> None:
    made = outbox()
    recorded(made, event(1), event(2), event(3))
    made.receipt(0, [], 50)
    sender = Sender(made)
    sender.take()
    sender.ack(0x95)
    assert made.unfit == []
    topics = []
    while parcel := sender.take():
        topics.append(parcel.topic)
        sender.ack()
    assert topics == ["event/scan"] * 3


@pytest.mark.parametrize("code", [0x10, 0x80, 0x87, 0x97])
def test_a_broker_that_refuses_or_has_no_listener_delivers_nothing(code: int) -> None:
    made = outbox(puback_delivers=True)
    recorded(made, event(1))
    sender = Sender(made)
    sender.take()
    assert sender.ack(code) == []
    sender.now_s = 10.0
    assert sender.all() == [1], "it is tried again later"


def test_a_puback_delivers_only_where_the_config_says_so() -> None:
    for delivers, expected in ((True, [(1, 1)]), (False, [])):
        made = outbox(puback_delivers=delivers)
        recorded(made, event(1))
        sender = Sender(made)
        sender.take()
        assert sender.ack() == expected
        sender.now_s = 100.0
        assert sender.all() == ([] if delivers else [1])


def test_what_central_refuses_for_good_is_given_back_once_to_be_parked() -> None:
    made = outbox()
    recorded(made, event(1), event(2), event(3))
    Sender(made).take()
    assert [one.seq for one in made.refused([1, 2, 99])] == [1, 2]
    assert made.refused([1, 2, 99]) == []
    assert Sender(made, token=50).all() == [3]
