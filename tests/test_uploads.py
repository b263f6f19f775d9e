"""Files of evidence on their way: which one next, which piece, and what a receipt says of it. In virtual time."""

import pytest
from uploads_bench import Sender, owed_file

from agent.mail import Connect
from agent.uploads import (
    FIRST_WORD_S,
    IDLE_S,
    PIECE_BYTES,
    PIECE_BYTES_MAX,
    UNSTORED_MAX,
)

# ---- which file


def test_pictures_alone_go_first_then_the_newest_case_then_its_oldest_file() -> None:
    sender = Sender()
    old, new = 1, 2
    old_clip, old_picture = owed_file(1, case=old), owed_file(2, case=old, key_frame=True)
    new_clip, new_later, new_picture = (
        owed_file(3, case=new),
        owed_file(4, case=new),
        owed_file(5, case=new, key_frame=True),
    )
    sender.add(old_clip, old_picture, new_later, new_clip, new_picture)
    sender.up()
    wanted = (new_picture, old_picture, new_clip, new_later, old_clip)
    assert sender.order == [file.sha256 for file, _ in wanted]


def test_the_first_picture_of_a_new_alarm_overtakes_at_the_next_piece() -> None:
    sender = Sender()
    [clip] = sender.add(owed_file(1, 50_000))
    sender.stuck = True
    sender.up()
    [picture] = sender.add(owed_file(2, 500, case=2, key_frame=True))
    sender.act()
    assert sender.names == [clip]
    sender.ack()
    sender.act()
    assert sender.names[1] == picture


def test_the_bytes_of_each_file_come_whole_in_their_order() -> None:
    sender = Sender()
    names = sender.add(owed_file(1, 100_001), owed_file(2, 1), owed_file(3, PIECE_BYTES))
    sender.up()
    for _ in range(20):
        got = sender.received(sender.sent)
        sender.receipt({name: len(data) for name, data in got.items()})
    assert sender.received(sender.sent) == {name: sender.spool[name] for name in names}
    assert sum(sender.sizes) == sum(map(len, sender.spool.values())), "nothing twice"


# ---- which session


def test_a_session_is_opened_only_while_there_is_something_to_send() -> None:
    sender = Sender()
    sender.act()
    assert sender.connects == []
    sender.add(owed_file(1))
    sender.act()
    [connect] = sender.connects
    assert connect == Connect(connect.session, 0, "5", media=True)
    assert connect.session.endswith("-media")


def test_a_session_is_opened_only_while_the_boxs_own_stands_and_over_its_link() -> None:
    sender = Sender()
    sender.link = None
    sender.add(owed_file(1))
    sender.wait(600)
    assert sender.connects == []
    assert sender.uploads.due_s(sender.now_s) is None, "what waits for a session of the box is not due"
    sender.link, sender.protocol = 1, "3.1.1"
    sender.act()
    assert [(connect.link, connect.protocol) for connect in sender.connects] == [(1, "3.1.1")]


def test_with_nothing_to_send_for_a_while_the_session_ends_and_a_new_file_opens_another() -> None:
    sender = Sender()
    names = sender.add(owed_file(1))
    sender.up()
    sender.has(*names)
    sender.wait(IDLE_S - 1)
    assert sender.dropped == []
    sender.wait(1)
    assert sender.dropped == [sender.connects[0].session]
    sender.wait(600)
    assert len(sender.connects) == 1
    sender.add(owed_file(2))
    sender.act()
    assert len(sender.connects) == 2


def test_a_session_that_has_something_to_send_does_not_end_for_idleness() -> None:
    sender = Sender()
    sender.add(owed_file(1, 100_000))
    sender.stuck = True
    sender.up()
    sender.wait(IDLE_S * 2)
    assert sender.dropped == []


def test_no_piece_goes_before_central_has_said_what_it_has() -> None:
    sender = Sender()
    [name] = sender.add(owed_file(1, 10_000))
    sender.up(heard=False)
    sender.wait(FIRST_WORD_S - 0.1)
    assert sender.sent == []
    sender.receipt({name: 8_000})
    assert sender.offsets == [8_000]


def test_a_central_that_says_nothing_is_waited_for_five_seconds() -> None:
    sender = Sender()
    sender.add(owed_file(1))
    sender.up(heard=False)
    sender.wait(FIRST_WORD_S)
    assert sender.offsets == [0]
    assert FIRST_WORD_S == 5.0


# ---- which piece


def test_pieces_grow_to_32_kb_on_a_quick_line_and_no_further() -> None:
    sender = Sender()
    sender.add(owed_file(1, 400_000))
    sender.up()
    for _ in range(20):
        sender.receipt({name: len(data) for name, data in sender.received(sender.sent).items()})
    assert list(dict.fromkeys(sender.sizes[:-1])) == [4_096, 8_192, 16_384, 32_768]
    assert sender.sizes[:-1] == sorted(sender.sizes[:-1])


def test_pieces_stay_small_and_one_at_a_time_on_a_slow_line() -> None:
    """8 KB/s: a piece takes half a second, and an alarm waits for no more than one."""
    sender = Sender()
    [name] = sender.add(owed_file(1, 40_960))
    sender.took_s = 0.5
    sender.up()
    for _ in range(12):
        assert len(sender.flight) <= 1
        sender.wait(0.5)
        if got := sender.received(sender.sent[: len(sender.sent) - len(sender.flight)]):
            sender.receipt({name: len(got[name])})
    assert set(sender.sizes) == {PIECE_BYTES}


def test_the_rest_of_a_file_that_is_soon_there_makes_no_piece_larger() -> None:
    """64 kbit/s: 800 bytes take a tenth of a second, and say nothing of how long 8 KB would."""
    sender = Sender()
    sender.took_s = 0.1
    sender.add(*(owed_file(number, 800) for number in range(12)))
    sender.up()
    for _ in range(24):
        sender.wait(0.1)
        sender.receipt({name: len(data) for name, data in sender.received(sender.sent).items()})
    sender.add(owed_file(99, 40_000))
    sender.wait(0.05)
    assert sender.sizes[-1] == PIECE_BYTES


def test_on_a_slow_line_no_piece_goes_while_events_are_on_their_way() -> None:
    sender = Sender()
    sender.add(owed_file(1, 100_000))
    sender.events = True
    sender.up()
    sender.wait(30)
    assert sender.sent == []
    sender.events = False
    sender.wait(0.1)
    assert sender.sent


def test_on_a_quick_line_pieces_go_beside_events() -> None:
    sender = Sender()
    [name] = sender.add(owed_file(1, 4_000_000))
    sender.up()
    sender.receipt({name: len(sender.received(sender.sent)[name])})
    sender.events, sent = True, len(sender.sent)
    sender.receipt({name: len(sender.received(sender.sent)[name])})
    assert len(sender.sent) > sent


def test_pieces_get_smaller_again_when_the_line_does() -> None:
    sender = Sender()
    [name] = sender.add(owed_file(1, 9_000_000))
    sender.up()
    for _ in range(8):
        sender.receipt({name: len(sender.received(sender.sent)[name])})
    assert sender.sizes[-1] == PIECE_BYTES_MAX
    sender.took_s = 1.5
    for _ in range(12):
        sender.wait(1.5)
        sender.receipt({name: len(sender.received(sender.sent)[name])})
    assert sender.sizes[-1] == PIECE_BYTES


@pytest.mark.parametrize(("window", "most"), [(None, 2), (20, 2), (1, 1)])
def test_two_pieces_at_the_most_are_in_flight_and_one_where_the_broker_takes_no_more(
    window: int | None, most: int
) -> None:
    sender = Sender()
    sender.add(owed_file(1, 500_000))
    sender.up(receive_max=window)
    sender.stuck = True
    sender.receipt({name: len(data) for name, data in sender.received(sender.sent).items()})
    assert len(sender.flight) == most


@pytest.mark.parametrize("size", [1_000_000, 4_095, 30_000])
def test_at_most_eight_pieces_bytes_are_without_a_receipt(size: int) -> None:
    sender = Sender()
    sender.add(*(owed_file(number, size) for number in range(45)))
    sender.up()
    assert sum(sender.sizes) <= UNSTORED_MAX * PIECE_BYTES_MAX
    if size == 1_000_000:
        assert sum(sender.sizes) > (UNSTORED_MAX - 1) * PIECE_BYTES_MAX


@pytest.mark.parametrize(("limit", "most"), [(4_000, 3_744), (20_000, 19_744), (300, 44), (200, 1), (None, 32_768)])
def test_a_piece_fits_in_the_packet_that_this_broker_takes(limit: int | None, most: int) -> None:
    sender = Sender()
    sender.add(owed_file(1, 300_000))
    sender.up(packet_bytes_max=limit)
    for _ in range(10):
        sender.receipt({name: len(data) for name, data in sender.received(sender.sent).items()})
    assert max(sender.sizes) == most


def test_nothing_new_goes_while_an_alarm_is_owed_and_then_it_goes_on() -> None:
    sender = Sender()
    sender.add(owed_file(1, 100_000))
    sender.stuck = True
    sender.up()
    sender.alarm_owed = True
    sent = len(sender.sent)
    sender.stuck = False
    sender.wait(60)
    assert len(sender.sent) == sent
    sender.alarm_owed = False
    sender.wait(0.1)
    assert len(sender.sent) > sent


def test_a_piece_that_is_being_read_when_an_alarm_comes_waits_for_it() -> None:
    sender = Sender()
    sender.add(owed_file(1, 10_000))
    sender.held_reads = []
    sender.up()
    sender.alarm_owed = True
    sender.act()
    sender.read(sender.held_reads.pop())
    sender.act()
    assert sender.sent == []
    sender.alarm_owed, sender.held_reads = False, None
    sender.act()
    assert sender.offsets[0] == 0


@pytest.mark.parametrize("kbps", [8, 64, 1_000])
def test_media_kbps_is_kept(kbps: int) -> None:
    sender = Sender(kbps=kbps)
    [name] = sender.add(owed_file(1, 1_000_000))
    sender.up()
    for _ in range(100):
        sender.wait(1.0)
        sender.receipt({name: len(sender.received(sender.sent)[name])})
    assert sum(sender.sizes) <= kbps * 125 * 100 + PIECE_BYTES_MAX
    assert sum(sender.sizes) >= min(kbps * 125 * 100 * 0.9, 1_000_000 if kbps == 1_000 else 1e9)
