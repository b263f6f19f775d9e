"""What is owed to central and what of it is sent next: in virtual time."""

import random
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest

from agent.events import Event
from agent.kinds import CLASSES, EventClass
from agent.lane import Parcel
from agent.mail import Fetch
from agent.outbox import BATCH_SHARE, READY_MAX, SENT_BYTES_MAX, SENT_MAX, WINDOW, Outbox
from agent.window import BYTES_MAX, FIRST_BYTES


def event(seq: int, cls: EventClass = "scan", size: int = 20) -> Event:
    return Event(seq, cls, f"{seq:0{size}}".encode())


def outbox(seq: int = 0, pending: Mapping[EventClass, int] | None = None, **options: Any) -> Outbox:
    """An outbox whose session stands."""
    made = Outbox(seq, pending or {}, random.Random(1), **options)
    made.session_up(receive_max=None, packet_bytes_max=None)
    return made


def recorded(made: Outbox, *events: Event) -> None:
    for one in events:
        made.recorded(one)


@dataclass
class Sender:
    """Takes what may be sent, with a token each."""

    outbox: Outbox
    now_s: float = 0.0
    token: int = 0
    flight: list[int] = field(default_factory=list)

    def take(self) -> Parcel | None:
        parcel = self.outbox.take(self.token + 1, self.now_s)
        if parcel is not None:
            self.token += 1
            self.flight.append(self.token)
        return parcel

    def all(self, messages: int = 1_000_000) -> list[int]:
        """The boxseqs of everything that may go now, in order; the broker acknowledges each message at once."""
        seqs: list[int] = []
        while messages and (parcel := self.take()) is not None:
            messages -= 1
            seqs += [one.seq for one in parcel.events]
            self.ack()
        return seqs

    def ack(self, code: int = 0) -> list[tuple[int, int]]:
        tokens, self.flight = self.flight, []
        return [pair for token in tokens for pair in self.outbox.acked(token, code, self.now_s)]


class Disk:
    """A journal that answers fetches."""

    def __init__(self, events: Iterable[Event]) -> None:
        self.owed = {one.seq: one for one in events}

    def answer(self, made: Outbox, fetch: Fetch) -> None:
        events, more = self.read(fetch)
        made.fetched(fetch.cls, events, more)

    def read(self, fetch: Fetch) -> tuple[list[Event], bool]:
        seqs = sorted(seq for seq, one in self.owed.items() if one.cls == fetch.cls and seq > fetch.after)
        return [self.owed[seq] for seq in seqs[: fetch.limit]], len(seqs) > fetch.limit


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
    for _ in range(20):
        assert made.receipt(0, [(1, 9_999_999), *((n, n) for n in range(1, 10_000))], None)
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


# ---- the journal's backlog


def drained(made: Outbox, disk: Disk, *, receipts: bool = True) -> list[int]:
    """Everything that goes out until nothing more does; memory is looked at in every step."""
    sender = Sender(made)
    order: list[int] = []
    while True:
        for fetch in made.wants():
            assert fetch.limit <= READY_MAX
            disk.answer(made, fetch)
        seqs = sender.all(10)
        held = sum(len(lane.ready) + len(lane.sent) for lane in made._lanes.values())
        assert held <= 2 * READY_MAX * len(CLASSES) + 2 * SENT_MAX, "memory is bounded"
        if not seqs:
            return order
        order += seqs
        if receipts:
            made.receipt(0, [(seq, seq) for seq in seqs], None)
            for seq in seqs:
                disk.owed.pop(seq, None)


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


def test_what_is_on_its_way_when_central_asks_again_is_not_sent_at_once() -> None:
    events = [event(seq) for seq in range(1, 6)]
    made = outbox()
    recorded(made, *events)
    sender = Sender(made)
    sender.all()
    made.owed_again(1)
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
    events = [event(seq) for seq in range(1, 6)]
    made = outbox()
    recorded(made, *events)
    sender = Sender(made)
    sender.all()
    made.owed_again(1)
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


# ---- batches


def test_without_central_saying_so_there_are_no_batches() -> None:
    made = outbox()
    recorded(made, *[event(seq) for seq in range(1, 11)])
    parcel = Sender(made).take()
    assert parcel is not None
    assert len(parcel.events) == 1


def test_a_batch_is_an_array_of_the_same_bytes_with_at_most_as_many_events_as_central_takes() -> None:
    made = outbox()
    recorded(made, *[event(seq) for seq in range(1, 8)])
    made.receipt(0, [], 3)
    sender = Sender(made)
    first = sender.take()
    assert first is not None
    assert first.topic == "batch/scan"
    assert first.payload == b"[00000000000000000001,00000000000000000002,00000000000000000003]"
    assert [len(parcel.events) for parcel in (sender.take(), sender.take()) if parcel] == [3, 1]


@pytest.mark.parametrize(
    ("sizes", "fit"),
    [([10_921, 10_921, 10_922], 3), ([10_921, 10_921, 10_923], 2), ([40_000, 20], 1), ([20, 40_000], 1)],
)
def test_a_batch_is_at_most_32_kb(sizes: list[int], fit: int) -> None:
    """Two commas and the brackets are 4 bytes: the first three make 32,768."""
    made = outbox()
    made._window.bytes_max = BYTES_MAX
    recorded(made, *[event(seq, size=size) for seq, size in enumerate(sizes, start=1)])
    made.receipt(0, [], 50)
    parcel = Sender(made).take()
    assert parcel is not None
    assert len(parcel.events) == fit
    assert fit == 1 or len(parcel.payload) <= 32_768


def test_a_batch_is_a_part_of_the_window_so_that_no_one_message_fills_a_slow_line() -> None:
    made = outbox()
    recorded(made, *[event(seq, size=200) for seq in range(1, 60)])
    made.receipt(0, [], 50)
    sender, parcels = Sender(made), list[Parcel]()
    while parcel := sender.take():
        parcels.append(parcel)
    assert all(len(parcel.payload) <= FIRST_BYTES / BATCH_SHARE for parcel in parcels)
    assert FIRST_BYTES / 2 < sum(len(parcel.payload) for parcel in parcels) < FIRST_BYTES + 200


def test_a_new_alarm_goes_out_also_when_the_window_in_bytes_is_full() -> None:
    made = outbox()
    recorded(made, *[event(seq, size=2_000) for seq in range(1, 10)])
    sender = Sender(made)
    while sender.take():
        pass
    recorded(made, event(10, "alarm"))
    parcel = sender.take()
    assert parcel is not None and parcel.cls == "alarm"


def test_one_event_is_always_in_flight_however_large_it_is() -> None:
    made = outbox()
    recorded(made, event(1, size=60_000), event(2, size=60_000))
    sender = Sender(made)
    assert sender.take() is not None
    assert sender.take() is None
    sender.ack()
    assert sender.take() is not None


def test_while_an_alarm_is_on_its_way_to_the_disk_nothing_else_is_begun() -> None:
    made = outbox()
    recorded(made, event(1), event(2, "alarm"))
    parcels = [made.take(token, 0.0, alarms_only=True) for token in (1, 2)]
    assert [parcel and parcel.cls for parcel in parcels] == ["alarm", None]


def test_a_batch_holds_only_events_that_were_sent_equally_often() -> None:
    """What central never says that it stored is sent ever less often, and must not slow down what is new."""
    made = outbox()
    recorded(made, event(1))
    sender = Sender(made)
    sender.all()
    sender.now_s = 10.0
    recorded(made, event(2), event(3))
    made.receipt(0, [], 50)
    parcels = []
    while parcel := sender.take():
        parcels.append([one.seq for one in parcel.events])
        sender.ack()
    assert parcels == [[1], [2, 3]]


def test_alarms_are_always_sent_alone() -> None:
    made = outbox()
    recorded(made, *[event(seq, "alarm") for seq in range(1, 5)])
    made.receipt(0, [], 50)
    sender = Sender(made)
    assert [parcel.topic for parcel in (sender.take(), sender.take()) if parcel] == ["event/alarm"] * 2


def test_a_new_session_waits_for_central_to_say_again_that_it_takes_batches() -> None:
    made = outbox()
    made.receipt(0, [], 50)
    made.session_down()
    made.session_up(receive_max=None, packet_bytes_max=None)
    recorded(made, event(1), event(2))
    parcel = Sender(made).take()
    assert parcel is not None
    assert parcel.topic == "event/scan"


def test_a_receipt_without_the_word_ends_batches() -> None:
    """Central may be replaced under a session: to one that knows no batches, each would be a message of no sense."""
    made = outbox()
    made.receipt(0, [], 50)
    made.receipt(0, [], None)
    recorded(made, event(1), event(2))
    parcel = Sender(made).take()
    assert parcel is not None
    assert parcel.topic == "event/scan"


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
