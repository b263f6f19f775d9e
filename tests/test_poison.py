"""A message at which the broker hangs up instead of answering, and the links that only look like that. Virtual time."""

import random

import outbox_bench
import pytest
from bench_box import Bench

from agent.central import DOUBTS_AT_ONCE
from agent.events import Event
from agent.kinds import CLASSES
from agent.lane import Parcel
from agent.outbox import BREAKS_MAX, INNOCENT_BYTES, Outbox
from agent.recorder import Recorder
from agent.window import BYTES_MAX

STATE_BYTES = 800
LARGE = INNOCENT_BYTES + 500


def outbox() -> Outbox:
    made = outbox_bench.outbox()
    made.taken(STATE_BYTES)
    made._window.bytes_max = BYTES_MAX  # what fits into it is tested elsewhere
    return made


def scan(seq: int, size: int) -> Event:
    return Event(seq, "scan", b"x" * size)


def take_all(box: Outbox) -> list[Parcel]:
    parcels, token = [], 0
    while parcel := box.take(token := token + 1, 0.0):
        parcels.append(parcel)
    return parcels


def hang_up(box: Outbox) -> None:
    box.suspect()
    box.session_down()
    box.session_up(receive_max=None, packet_bytes_max=None)
    box.taken(STATE_BYTES)
    box._window.bytes_max = BYTES_MAX


def seqs(parcels: list[Parcel]) -> list[list[int]]:
    return [[event.seq for event in parcel.events] for parcel in parcels]


def test_the_event_at_which_the_broker_hangs_up_again_and_again_is_taken_out_and_the_rest_goes_on() -> None:
    box = outbox()
    for event in (scan(1, LARGE), scan(2, 600)):
        box.recorded(event)
    for _ in range(BREAKS_MAX):
        assert box.unfit == []
        assert seqs(take_all(box)) == [[1], [2]]
        hang_up(box)
    assert [event.seq for event in box.unfit] == [1]
    assert seqs(take_all(box)) == [[2]]


def test_of_a_batch_the_events_go_alone_until_it_shows_which_it_is() -> None:
    box = outbox()
    box.receipt(0, [], 50)
    for event in (scan(1, 600), scan(2, LARGE), scan(3, 600)):
        box.recorded(event)
    assert seqs(take_all(box)) == [[1, 2, 3]]
    hang_up(box)
    assert seqs(take_all(box)) == [[1], [2], [3]]
    box.acked(1, 0, 0.0)
    box.receipt(1, [], 50)
    for _ in range(BREAKS_MAX - 1):
        hang_up(box)
        box.receipt(1, [], 50)
        assert seqs(take_all(box)) == [[2], [3]]
        assert box.unfit == []
    hang_up(box)
    assert [event.seq for event in box.unfit] == [2]


@pytest.mark.parametrize("size", [600, INNOCENT_BYTES])
def test_a_bad_link_never_costs_an_alarm(size: int) -> None:
    box = outbox()
    box.recorded(Event(1, "alarm", b"x" * size))
    for _ in range(50):
        assert seqs(take_all(box)) == [[1]]
        hang_up(box)
    assert box.unfit == []


def test_a_link_over_which_no_broker_ever_answered_costs_nothing() -> None:
    box = Outbox(0, dict.fromkeys(CLASSES, 0), random.Random(1))
    box.recorded(scan(1, LARGE))
    for _ in range(50):
        box.session_up(receive_max=None, packet_bytes_max=None)
        assert seqs(take_all(box)) == [[1]]
        box.suspect()
        box.session_down()
    assert box.unfit == []


def test_a_message_no_larger_than_one_that_this_broker_took_is_not_suspected() -> None:
    box = outbox()
    box.taken(LARGE)
    box.recorded(scan(1, LARGE))
    for _ in range(50):
        assert seqs(take_all(box)) == [[1]]
        hang_up(box)
    assert box.unfit == []


def test_only_breaks_in_a_row_count() -> None:
    box = outbox()
    box.recorded(scan(1, LARGE))
    for _ in range(BREAKS_MAX - 1):
        take_all(box)
        hang_up(box)
    take_all(box)
    box.acked(1, 0, 0.0)  # it was taken, only its receipt is missing
    hang_up(box)
    for _ in range(BREAKS_MAX - 1):
        take_all(box)
        hang_up(box)
    assert box.unfit == []


def test_what_is_doubted_is_looked_at_a_few_at_a_time_so_that_no_alarm_waits_for_all_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A central that is silent for long puts all that was sent in doubt at once: thousands of signatures."""
    bench, looked_at = Bench(), list[int]()

    def vouches_for(_: Recorder, event: Event) -> bool:
        looked_at.append(event.seq)
        return True

    monkeypatch.setattr(Recorder, "vouches_for", vouches_for)
    bench.connect()
    bench.act()
    events = [scan(number, 700) for number in range(1, 56)]
    bench.box._uplink.outbox.doubtful += events
    while bench.box._uplink.outbox.doubtful:
        before = len(looked_at)
        assert bench.box.due_s() <= bench.now_s, "the rest does not wait for something to happen"
        bench.box.drain()
        assert 0 < len(looked_at) - before <= DOUBTS_AT_ONCE
    assert looked_at == [event.seq for event in events]
