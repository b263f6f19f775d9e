"""What goes in one message: batches, their size and what ends them, and alarms alone."""

import pytest
from outbox_bench import Sender, event, outbox, recorded

from agent.lane import Parcel
from agent.outbox import BATCH_SHARE
from agent.window import BYTES_MAX, FIRST_BYTES


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
