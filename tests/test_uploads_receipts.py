"""What central says that it has of the files of evidence, and what becomes of many. Pure."""

from itertools import pairwise

from uploads_bench import Files, Sender, owed_file

from agent.load import RECEIPT_TIMEOUT_S
from agent.mail import Write
from agent.uploads import (
    FILES_MAX,
    MARK_S,
    PIECE_BYTES,
)


def test_a_file_is_delivered_when_central_has_all_of_it_and_the_journal_hears_at_once() -> None:
    sender = Sender()
    [name] = sender.add(owed_file(1, 5_000))
    sender.up()
    assert sender.uploads.bytes == 5_000
    sender.receipt({name: 4_999})
    assert (sender.uploads.bytes, len(sender.files.owed)) == (1, 1)
    sender.receipt({name: 5_000})
    assert (sender.uploads.bytes, sender.files.owed) == (0, [])


def test_a_puback_delivers_nothing() -> None:
    sender = Sender()
    sender.add(owed_file(1, 5_000))
    sender.up()
    assert not sender.flight
    assert sender.uploads.bytes == 5_000


def test_the_journal_is_told_how_far_a_file_has_come_now_and_then_and_not_at_each_receipt() -> None:
    sender = Sender()
    [name] = sender.add(owed_file(1, 1_000_000))
    sender.up()
    for number in range(1, 21):
        sender.now_s += 1.0
        sender.receipt({name: number * 1_000})
    assert sender.files.rows[name].stored >= (20 - MARK_S) * 1_000
    assert sender.uploads.bytes == 1_000_000 - 20_000


def test_a_receipt_about_files_that_are_not_known_changes_nothing() -> None:
    sender = Sender()
    [name] = sender.add(owed_file(1, 10_000))
    sender.up()
    sender.receipt({"0" * 64: 5, name: 4_096})
    assert sender.uploads.bytes == 10_000 - 4_096


def test_a_receipt_that_names_more_than_a_file_has_is_wrong() -> None:
    sender = Sender()
    [name] = sender.add(owed_file(1, 1_000))
    sender.up()
    assert sender.uploads.wrong({name: 1_001}) == f"media: 1001 bytes of {name[:16]}, which has 1000"
    assert sender.uploads.wrong({name: 1_000}) == ""


def test_where_a_puback_delivers_it_does_so_piece_by_piece_on_mqtt_5() -> None:
    sender = Sender(puback=True)
    sender.add(owed_file(1, 100_000))
    sender.up()
    assert (sender.uploads.bytes, sender.files.owed) == (0, [])


def test_where_a_puback_delivers_nobody_listening_does_not() -> None:
    sender = Sender(puback=True)
    sender.add(owed_file(1, 1_000))
    sender.stuck = True
    sender.up()
    sender.ack(0x10)
    assert sender.uploads.bytes == 1_000


def test_where_a_puback_delivers_an_old_broker_does_not() -> None:
    sender = Sender(puback=True)
    sender.protocol = "3.1.1"
    sender.add(owed_file(1, 1_000))
    sender.up()
    assert sender.uploads.bytes == 1_000


def test_where_a_puback_delivers_a_piece_behind_a_refused_one_does_not() -> None:
    sender = Sender(puback=True)
    sender.add(owed_file(1, 60_000))
    sender.stuck = True
    sender.up()
    sender.ack()  # and so the next ones are two
    sender.act()
    sender.ack(0x97)
    stored = 60_000 - sender.uploads.bytes
    sender.ack()
    assert 60_000 - sender.uploads.bytes == stored == PIECE_BYTES


# ---- many files


def test_files_beyond_fifty_wait_in_the_journal_and_all_are_sent() -> None:
    files = Files()
    sender = Sender(files)
    made = [owed_file(number, 100) for number in range(120)]
    sender.add(*made)
    assert len(sender.uploads.known) == FILES_MAX
    assert sender.uploads.bytes == 12_000
    sender.up()
    for _ in range(200):
        got = sender.received(sender.sent)
        sender.receipt({name: len(data) for name, data in got.items()})
        assert len(sender.uploads.known) <= FILES_MAX
    assert sender.order == [file.sha256 for file, _ in made]
    assert (sender.uploads.bytes, files.owed) == (0, [])


def test_a_start_goes_on_with_what_the_journal_owes() -> None:
    files = Files()
    first = Sender(files)
    [name] = first.add(owed_file(1, 100_000))
    files.write({name: 60_000})
    second = Sender(files)
    second.spool = first.spool
    assert second.uploads.bytes == 40_000
    second.up()
    assert second.offsets[0] == 60_000


def test_a_resend_that_was_not_answered_waits_ever_longer() -> None:
    sender = Sender()
    sender.add(owed_file(1, 1_000))
    sender.up()
    times: list[float] = []
    for _ in range(1_300):
        before = len(sender.sent)
        sender.wait(1.0)
        times += [sender.now_s] * (len(sender.sent) - before)
    gaps = [later - sooner for sooner, later in pairwise(times)]
    assert gaps[0] >= RECEIPT_TIMEOUT_S
    assert gaps == sorted(gaps)
    assert 4 <= len(times) <= 10


def test_write_of_marks_names_no_event() -> None:
    """Marks may be lost, and cost a piece: they are worth no fsync of their own."""
    sender = Sender()
    [name] = sender.add(owed_file(1, 1_000))
    sender.up()
    sender.uploads.receipt({name: 1_000}, sender.now_s)
    mark = Write(stored={name: 1_000})
    assert sender.out == [mark]
    assert not mark.at_once
