"""Uploads when things go wrong: brokers that kick and refuse, centrals that forget and lie, disks that change bytes."""

import pytest
from uploads_bench import Files, Sender, owed_file

from agent.load import RECEIPT_TIMEOUT_S
from agent.media_mail import PieceRead
from agent.uploads import ACK_TIMEOUT_S, FILES_MAX, PIECE_BYTES, PIECE_BYTES_MAX, RETRY_S_MAX, ROUNDS_MAX, UNSTORED_MAX


def whole(sender: Sender) -> None:
    """Central says after each step what it has, until nothing is owed any more."""
    for _ in range(400):
        sender.receipt({name: len(data) for name, data in sender.received(sender.sent).items()})
        if not sender.uploads.bytes:
            break
        sender.wait(1.0)
    assert sender.uploads.bytes == 0
    assert sender.received(sender.sent) == sender.spool


# ---- brokers


@pytest.mark.parametrize("code", [0x80, 0x87, 0x97, 0x99])
def test_a_piece_that_the_broker_refuses_goes_again_after_a_pause(code: int) -> None:
    sender = Sender()
    sender.add(owed_file(1, 1_000))
    sender.stuck = True
    sender.up()
    sender.ack(code)
    sender.act()
    assert len(sender.sent) == 1
    sender.wait(RECEIPT_TIMEOUT_S)
    assert sender.offsets == [0, 0]


def test_a_file_that_the_broker_refuses_holds_up_no_other() -> None:
    sender = Sender()
    first, second = sender.add(owed_file(1, 1_000), owed_file(2, 1_000))
    sender.stuck = True
    sender.up()
    sender.ack(0x87)
    sender.act()
    assert sender.names == [first, second]


def test_a_broker_that_kicks_is_dialled_ever_less_often_and_a_piece_that_it_takes_begins_anew() -> None:
    sender = Sender()
    sender.add(owed_file(1, 100_000))
    sender.stuck = True
    dials = list[float]()
    for _ in range(40):
        sender.up()
        sender.down()
        began_s = sender.now_s
        while len(sender.connects) == len(dials) + 1:
            sender.wait(1.0)
        dials.append(sender.now_s - began_s)
    assert max(dials[:3]) <= 9
    assert max(dials) > RETRY_S_MAX / 2
    assert max(dials) <= RETRY_S_MAX + 1
    sender.up()
    sender.ack()
    sender.down()
    count = len(sender.connects)
    sender.wait(2.0)
    assert len(sender.connects) == count + 1


def test_a_broker_that_acknowledges_nothing_loses_the_session() -> None:
    sender = Sender()
    sender.add(owed_file(1, 1_000))
    sender.stuck = True
    sender.up()
    session = sender.connects[0].session
    sender.wait(ACK_TIMEOUT_S - 1)
    assert sender.dropped == []
    sender.wait(3)
    assert sender.dropped == [session]
    assert len(sender.connects) == 2


def test_when_the_boxs_own_session_ends_so_does_this_one_and_it_comes_back_with_it() -> None:
    sender = Sender()
    sender.add(owed_file(1, 1_000_000))
    sender.up()
    sender.link = None
    sender.act()
    assert sender.dropped == [sender.connects[0].session]
    sender.wait(600)
    assert len(sender.connects) == 1
    sender.link = 0
    sender.act()
    assert len(sender.connects) == 2


def test_when_the_link_is_switched_the_session_is_too() -> None:
    sender = Sender()
    sender.add(owed_file(1, 1_000_000))
    sender.up()
    sender.link = 1
    sender.wait(1)
    assert sender.dropped == [sender.connects[0].session]
    assert [connect.link for connect in sender.connects] == [0, 1]


def test_after_a_cut_it_goes_on_where_central_is_and_sends_no_more_than_a_window_again() -> None:
    sender = Sender()
    [name] = sender.add(owed_file(1, 3_000_000))
    sender.up()
    for _ in range(5):
        sender.receipt({name: len(sender.received(sender.sent)[name])})
    had = len(sender.received(sender.sent)[name])
    sender.down()
    sender.sent.clear()
    sender.wait(RETRY_S_MAX)
    sender.up(heard=False)
    sender.receipt({name: had})
    assert sender.offsets[0] == had, "central had it, so it does not go again"


def test_a_kill_sends_nothing_again_beyond_the_window_and_the_time_of_a_mark() -> None:
    files = Files()
    first = Sender(files)
    [name] = first.add(owed_file(1, 3_000_000))
    first.up()
    for _ in range(5):
        first.receipt({name: len(first.received(first.sent)[name])})
    had = len(first.received(first.sent)[name])
    second = Sender(files)  # the process was killed; the mark is as old as it may be
    second.spool = first.spool
    second.up(heard=False)
    second.receipt({name: had})
    assert second.offsets[0] == had
    window = UNSTORED_MAX * PIECE_BYTES_MAX
    assert len(first.received(first.sent)[name]) - first.files.rows[name].stored <= 3_000_000
    assert sum(first.sizes) - had <= window


def test_a_piece_that_was_being_read_for_the_session_before_waits_for_centrals_word_of_this_one() -> None:
    sender = Sender()
    sender.add(owed_file(1, 10_000))
    sender.held_reads = []
    sender.up()
    sender.down()
    sender.wait(RETRY_S_MAX)
    sender.up(heard=False)
    sender.read(sender.held_reads.pop())
    sender.act()
    assert sender.sent == []


# ---- centrals


def test_a_central_that_has_lost_some_of_it_is_sent_that_again() -> None:
    sender = Sender()
    [name] = sender.add(owed_file(1, 100_000))
    sender.up()
    sender.receipt({name: 60_000})
    sender.sent.clear()
    sender.receipt({name: 20_000})
    assert sender.offsets[0] == 20_000
    assert sender.uploads.bytes == 80_000


def test_old_receipts_do_no_harm_but_pieces_sent_again() -> None:
    sender = Sender()
    [name] = sender.add(owed_file(1, 200_000))
    sender.up()
    for _ in range(ROUNDS_MAX - 1):
        for old in (4_096, 0, 60_000):
            sender.receipt({name: old})
    assert sender.uploads.parked == []
    whole(sender)


def test_a_receipt_that_was_on_its_way_when_a_small_file_was_sent_says_nothing_of_its_hash() -> None:
    """Central names each new file with 0 bytes: it may say so when the only piece is in flight."""
    sender = Sender()
    [name] = sender.add(owed_file(1, 500))
    sender.stuck = True
    sender.up()
    for _ in range(ROUNDS_MAX + 1):
        sender.receipt({name: 0})
    assert sender.uploads.parked == []
    assert sender.offsets == [0], "nor does it go again"
    assert [load.rounds for load in sender.uploads._loads.values()] == [0]
    sender.receipt({name: 500})
    assert sender.uploads.bytes == 0


def sent_wrong(sender: Sender, name: str) -> None:
    """Sent whole, after a pause; and central says that its hash is wrong."""
    while not sender.sent:
        sender.wait(1.0)
    size = len(sender.spool[name])
    for _ in range(50):
        if sum(len(piece.payload) for piece in sender.sent) >= size:
            break
        sender.receipt({name: len(sender.received(sender.sent).get(name, b""))})
    sender.sent.clear()
    sender.receipt({name: 0})


@pytest.mark.parametrize("size", [500, 300_000])
def test_a_file_whose_hash_is_wrong_at_central_is_looked_at_and_sent_again_and_then_parked(size: int) -> None:
    sender = Sender()
    [name] = sender.add(owed_file(1, size))
    sender.up()
    for number in range(1, ROUNDS_MAX):
        sent_wrong(sender, name)
        assert sender.uploads.parked == []
        sender.receipt({name: 0})
        assert sender.offsets == [], "a 0 that was on its way says no more"
        before_s = sender.now_s
        while not sender.sent:
            sender.wait(1.0)
        assert sender.offsets[0] == 0
        assert sender.now_s >= before_s + number * RECEIPT_TIMEOUT_S / 2, "the broker may still have had it"
        assert [piece.check for piece in sender.reads if piece.offset == 0][-1], "its hash is looked at first"
    sent_wrong(sender, name)
    [(file, reason)] = sender.uploads.parked
    assert (file.sha256, reason) == (name, "central says 3 times that its bytes are not what its name says")
    assert sender.uploads.bytes == 0
    sender.sent.clear()
    sender.wait(600)
    assert sender.sent == []


def test_a_file_that_was_changed_on_the_disk_is_parked_when_central_finds_it_out() -> None:
    sender = Sender()
    [name] = sender.add(owed_file(1, 500))
    sender.spool[name] = b"x" + sender.spool[name][1:]
    sender.up()
    sender.receipt({name: 0})
    sender.wait(RECEIPT_TIMEOUT_S)
    assert [reason for _, reason in sender.uploads.parked] == ["its bytes were changed on the disk"]


def test_a_file_that_is_gone_from_the_disk_is_parked_and_the_others_go() -> None:
    sender = Sender()
    gone, there = sender.add(owed_file(1, 500), owed_file(2, 500))
    del sender.spool[gone]
    sender.up()
    assert [(file.sha256, reason) for file, reason in sender.uploads.parked] == [(gone, "the file is not there")]
    assert sender.order == [there]
    assert sender.uploads.bytes == 500


def test_a_disk_that_cannot_be_read_for_a_while_is_asked_again_and_nothing_is_parked() -> None:
    sender = Sender()
    [name] = sender.add(owed_file(1, 500))
    sender.held_reads = []
    sender.up()
    for _ in range(5):
        piece = sender.held_reads.pop()
        sender.uploads.read(PieceRead(name, piece.offset, b"", "it cannot be read: Input/output error"), sender.now_s)
        sender.wait(RECEIPT_TIMEOUT_S * 16)
    assert sender.said[0] == f"evidence {name[:16]}: it cannot be read: Input/output error"
    assert len(sender.said) == 5
    sender.read(sender.held_reads.pop())
    sender.act()
    assert sender.offsets == [0]


# ---- answers of the journal that are older than what is known


def test_a_file_that_comes_while_the_journal_is_asked_is_not_forgotten() -> None:
    files = Files()
    old, _ = owed_file(0, 100)
    files.rows = {old.sha256: old}
    sender = Sender(files)
    sender.held_fetch = []
    sender.act()
    del files.rows[old.sha256]
    sender.uploads.forget([old])  # so that the answer brings nothing
    sender.add(*(owed_file(number, 100) for number in range(1, FILES_MAX + 20)))
    sender.uploads.fetched(sender.held_fetch.pop())
    sender.held_fetch = None
    sender.up()
    whole(sender)
    assert files.owed == []


def test_a_file_that_was_delivered_while_the_journal_was_asked_does_not_come_back() -> None:
    sender = Sender()
    names = sender.add(*(owed_file(number, 100) for number in range(FILES_MAX + 5)))
    sender.up()
    sender.held_fetch = []
    sender.has(*names[: FILES_MAX - 5])
    answer = sender.held_fetch.pop()
    late = answer.files[0].sha256
    sender.has(late)
    sender.uploads.fetched(answer)
    assert late not in {file.sha256 for file in sender.uploads.known}


def test_a_file_that_went_or_was_parked_while_the_journal_was_asked_does_not_come_back() -> None:
    files = Files()
    made = [owed_file(number, 100) for number in range(4)]
    files.rows = {file.sha256: file for file, _ in made}
    sender = Sender(files)
    sender.held_fetch = []
    sender.act()
    [answer] = sender.held_fetch
    gone = made[0][0]
    sender.uploads.forget([gone])
    del files.rows[gone.sha256]
    sender.uploads.owed_bytes = files.owed_bytes
    sender.uploads.fetched(answer)
    assert gone.sha256 not in {file.sha256 for file in sender.uploads.known}
    assert sender.uploads.bytes == 300


def test_what_central_asks_for_again_is_owed_again_and_a_parked_file_too() -> None:
    sender = Sender()
    delivered, parked = sender.add(owed_file(1, 500), owed_file(2, 600))
    kept = sender.spool.pop(parked)
    sender.up()
    sender.has(delivered)
    assert len(sender.uploads.parked) == 1
    sender.uploads.parked.clear()
    assert sender.uploads.bytes == 0
    sender.spool[parked] = kept
    sender.files.write({delivered: 0, parked: 0})  # as the journal does it with the event
    sender.uploads.reload(sender.files.owed_bytes)
    assert sender.uploads.bytes == 1_100
    sender.sent.clear()
    sender.act()
    assert sender.order == [delivered, parked]


def test_a_window_that_is_full_of_what_central_never_stored_opens_again() -> None:
    sender = Sender()
    sender.add(owed_file(1, 100 * PIECE_BYTES_MAX))
    sender.up()
    sent = sum(sender.sizes)
    assert sent <= UNSTORED_MAX * PIECE_BYTES_MAX
    sender.wait(RECEIPT_TIMEOUT_S * 2)
    assert sum(sender.sizes) > sent
    assert PIECE_BYTES in sender.sizes
    whole(sender)
