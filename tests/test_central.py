"""Central by itself: what it stores and receipts, with events made by hand and no broker."""

import base64
import json
import sqlite3
from pathlib import Path

import pytest
import rfc8785
from central_bench import Bench, bench, box, id_of, through
from fakebox import FakeBox

from simulators.central.broker import Link
from simulators.central.receipts import Ledger, Receipts
from simulators.central.store import Store

__all__ = ["bench", "box"]  # fixtures


# ledgers: pure


def test_through_grows_only_without_a_gap() -> None:
    ledger = Ledger()
    for seq in (1, 2, 4, 6, 5):
        ledger.add(seq, seq)
    assert (ledger.through, ledger.ranges) == (2, [(4, 6)])
    ledger.add(3, 3)
    assert (ledger.through, ledger.ranges) == (6, [])
    assert ledger.holds(6) and not ledger.holds(7)


def test_ranges_join_in_whatever_order_they_come() -> None:
    ledger = Ledger()
    for seq in (12, 10, 20, 11, 30, 21, 10, 29):
        ledger.add(seq, seq)
    assert ledger.ranges == [(10, 12), (20, 21), (29, 30)]
    assert [ledger.holds(seq) for seq in (9, 10, 12, 13, 21, 22)] == [False, True, True, False, True, False]


def test_a_receipt_names_the_whole_run_that_something_new_touched_and_no_other() -> None:
    ledger = Ledger()
    for first, last in ((3, 5), (10, 12), (20, 22)):
        ledger.add(first, last)
    ledger.fresh = {11}
    assert ledger.said(everything=False) == [{"through": 0, "also": [[10, 12]]}]
    assert ledger.said(everything=False) == [{"through": 0, "also": []}]
    assert ledger.said(everything=True) == [{"through": 0, "also": [[3, 5], [10, 12], [20, 22]]}]


def test_alternating_classes_make_several_receipts_of_at_most_200_ranges() -> None:
    receipts = Receipts()
    for seq in range(2, 1002, 2):
        receipts.stored("a/b", "j", seq, urgent=False, now_s=0.0)
    bodies = [body for _, body in receipts.take_due(1.0)]
    assert [len(body["also"]) for body in bodies] == [200, 200, 100]
    assert [pair for body in bodies for pair in body["also"]] == [[seq, seq] for seq in range(2, 1002, 2)]
    assert all(body["batch"] == 50 and body["through"] == 0 for body in bodies)


def test_an_alarm_is_receipted_at_once_and_the_rest_within_250_ms() -> None:
    receipts = Receipts()
    receipts.stored("a/b", "j", 1, urgent=False, now_s=10.0)
    assert receipts.take_due(10.2) == []
    assert receipts.next_s() == 10.25
    receipts.stored("a/b", "j", 2, urgent=True, now_s=10.2)
    [(name, body)] = receipts.take_due(10.2)
    assert (name, body["journal"], body["through"]) == ("a/b", "j", 2)
    assert receipts.next_s() is None


def test_what_is_stored_cannot_be_refused() -> None:
    receipts = Receipts([("a/b", "j", 1, 3)])
    receipts.refuse("a/b", "j", 2, "forged", now_s=0.0)
    receipts.refuse("a/b", "j", 4, "too large", now_s=0.0)
    [(_, body)] = receipts.take_due(1.0)
    assert body["refused"] == {"4": "too large"}


def test_a_hole_is_dealt_with_and_the_receipt_after_it_says_so() -> None:
    receipts = Receipts([("a/b", "j", 7, 7)])
    receipts.stored("a/b", "j", 9, urgent=False, now_s=10.0)
    receipts.gone("a/b", "j", 1, 6)
    assert receipts.take_due(10.2) == []
    [(_, body)] = receipts.take_due(10.25)
    assert (body["through"], body["also"]) == (7, [[9, 9]])
    receipts.gone("a/b", "j", 8, 8)
    assert receipts.through("a/b", "j") == 9


def test_a_hole_beyond_a_gap_is_named_beside_the_event_that_told_of_it() -> None:
    receipts = Receipts()
    receipts.gone("a/b", "j", 3, 5)
    assert receipts.next_s() is None  # the event itself is what a receipt is due for
    receipts.stored("a/b", "j", 9, urgent=False, now_s=0.0)
    [(_, body)] = receipts.take_due(0.25)
    assert (body["through"], body["also"]) == (0, [[3, 5], [9, 9]])


# storing


def test_a_row_for_each_id_however_often_it_comes(bench: Bench, box: FakeBox) -> None:
    press = box.press()
    bench.send(box, "state", box.state())
    bench.send(box, "event/alarm", press, press)
    bench.send(box, "event/alarm", press)
    rows = bench.rows("SELECT box, seq, class, type, payload, problems FROM events")
    assert rows == [("jiangyang/kiosk-017", 1, "alarm", "callbox.alarm.panic", press, "")]
    assert len(bench.broker.acknowledged) == 4
    assert bench.case(id_of(press))["rings"] == 1


def test_a_batch_is_stored_like_its_events_alone(bench: Bench, box: FakeBox) -> None:
    scans = [box.event("scan.code", code=f"T{n}") for n in range(50)]
    bench.send(box, "state", box.state())
    bench.send(box, "batch/scan", b"[" + b",".join(scans) + b"]")
    assert [row[0] for row in bench.rows("SELECT payload FROM events ORDER BY seq")] == scans
    assert bench.receipts(through(50))[-1]["also"] == []


def test_a_receipt_is_signed_and_names_journal_and_batch(bench: Bench, box: FakeBox) -> None:
    bench.send(box, "state", box.state())
    bench.send(box, "event/alarm", box.press())
    receipt = bench.receipts(through(1))[-1]
    sig = receipt.pop("sig")
    bench.central_key.public_key().verify(base64.urlsafe_b64decode(sig + "=="), rfc8785.dumps(receipt))
    assert receipt == {"journal": "9b1deb4d", "through": 1, "also": [], "batch": 50}


def test_a_gap_is_shown_to_the_box_and_heals(bench: Bench, box: FakeBox) -> None:
    one, two, three = box.press(), box.event("scan.code"), box.press()
    bench.send(box, "state", box.state())
    bench.send(box, "event/alarm", one, three)
    assert bench.receipts(lambda r: [[3, 3]] in [x["also"] for x in r])[-1]["through"] == 1
    bench.send(box, "event/scan", two)
    assert bench.receipts(through(3))[-1]["also"] == []


def test_a_lost_receipt_heals_when_the_event_is_sent_again(bench: Bench, box: FakeBox) -> None:
    one, two = box.press(), box.press()
    bench.send(box, "state", box.state())
    bench.send(box, "event/alarm", two)
    bench.receipts(lambda r: [[2, 2]] in [x["also"] for x in r])
    bench.broker.published.clear()
    bench.send(box, "event/alarm", two)
    assert bench.receipts(bool)[-1]["also"] == [[2, 2]]
    assert one not in [row[0] for row in bench.rows("SELECT payload FROM events")]


def test_every_session_of_the_box_begins_with_a_receipt(bench: Bench, box: FakeBox) -> None:
    bench.send(box, "state", box.state("s1"))
    assert bench.receipts(bool)[-1]["through"] == 0  # nothing is stored, but the word about batches is said
    bench.send(box, "event/alarm", box.press(), box.press())
    bench.receipts(through(2))
    bench.broker.published.clear()
    bench.send(box, "state", box.state("s1"))
    assert bench.broker.published == []
    bench.send(box, "state", box.state("s2"))
    assert [receipt["through"] for receipt in bench.receipts(bool)] == [2]


def test_without_a_link_receipts_wait_for_it(bench: Bench, box: FakeBox) -> None:
    bench.send(box, "state", box.state())
    bench.receipts(bool)
    bench.hub.post(Link(up=False))
    bench.broker.published.clear()
    bench.send(box, "event/alarm", box.press())
    assert bench.broker.published == []
    bench.hub.post(Link(up=True))
    assert bench.receipts(through(1))


def test_journals_are_counted_apart(bench: Bench) -> None:
    old, new = FakeBox(journal="aaaa"), FakeBox(journal="bbbb")
    new.key = old.key
    bench.send(old, "state", old.state("s1"))
    bench.send(old, "event/alarm", *(old.press() for _ in range(3)))
    bench.send(new, "state", new.state("s2"))
    bench.send(new, "event/alarm", new.press())
    receipts = bench.receipts(lambda r: ("bbbb", 1) in [(x["journal"], x["through"]) for x in r])
    assert ("aaaa", 3) in [(receipt["journal"], receipt["through"]) for receipt in receipts]
    assert [row[0] for row in bench.rows("SELECT seq FROM events ORDER BY rowid")] == [1, 2, 3, 1]


def test_an_event_that_comes_in_two_journals_is_stored_once_and_counted_in_both(tmp_path: Path) -> None:
    """A box whose disk failed sends from memory under a new name; after its restart the disk's journal sends again."""
    memory, disk = FakeBox(journal="aaaa"), FakeBox(journal="bbbb")
    disk.key = memory.key
    first = Bench(tmp_path / "c.db")
    for place, session in ((memory, "s1"), (disk, "s2")):
        first.send(place, "state", place.state(session))
        first.send(place, "event/alarm", place.press(id="01941f29-7c00-7aaa-8000-3f1f2d1c0b0a"))
    first.receipts(lambda r: ("bbbb", 1) in [(x["journal"], x["through"]) for x in r])
    assert first.rows("SELECT journal, seq FROM events") == [("aaaa", 1)]
    first.close()
    second = Bench(tmp_path / "c.db")
    try:
        assert ("bbbb", 1) in [(x["journal"], x["through"]) for x in second.receipts(bool)]
    finally:
        second.close()


def test_an_event_that_comes_twice_in_one_journal_is_stored_once_and_counted_twice(bench: Bench, box: FakeBox) -> None:
    """An alarm that was owed when the disk failed, and came back to it out of memory."""
    bench.send(box, "state", box.state())
    bench.send(
        box, "event/alarm", *(box.press(id="01941f29-7c00-7aaa-8000-3f1f2d1c0b0a") for _ in range(2)), box.press()
    )
    bench.receipts(through(3))
    assert bench.rows("SELECT seq FROM events") == [(1,), (3,)]
    assert bench.rows("SELECT DISTINCT problems FROM events") == [("",)]
    assert bench.rows("SELECT * FROM oddities") == []


def test_a_journal_whose_start_was_pruned_is_receipted_by_ranges(bench: Bench, box: FakeBox) -> None:
    for _ in range(500):
        box.event("status.started")
    bench.send(box, "state", box.state())
    bench.send(box, "event/alarm", *(box.press() for _ in range(3)))
    receipt = bench.receipts(lambda r: [[501, 503]] in [x["also"] for x in r])[-1]
    assert receipt["through"] == 0
    assert bench.rows("SELECT DISTINCT problems FROM events") == [("",)]


def test_a_restart_forgets_nothing(tmp_path: Path, box: FakeBox) -> None:
    first = Bench(tmp_path / "c.db")
    first.send(box, "state", box.state())
    presses = [box.press(), box.press(), box.press(), box.press()]
    first.send(box, "event/alarm", presses[0], presses[1], presses[3])
    before = first.shown()
    first.close()
    second = Bench(tmp_path / "c.db")
    try:
        receipt = second.receipts(bool)[-1]
        assert (receipt["through"], receipt["also"]) == (2, [[4, 4]])
        after = second.shown()
        assert after["cases"] == before["cases"]
        assert after["boxes"] == before["boxes"]
        second.send(box, "event/alarm", presses[3], presses[2])
        assert second.receipts(through(4))
        assert second.rows("SELECT count(*), count(DISTINCT id) FROM events") == [(4, 4)]
    finally:
        second.close()


def test_two_events_of_one_number_are_both_kept_and_flagged(tmp_path: Path, box: FakeBox) -> None:
    first = Bench(tmp_path / "c.db")
    one, two = box.press(), box.press()
    box.seq, box.prevhash = 1, json.loads(two)["prevhash"]
    first.send(box, "state", box.state())
    first.send(box, "event/alarm", one, two, box.press(), box.press())
    assert first.rows("SELECT seq, problems FROM events ORDER BY rowid")[:3] == [(1, ""), (2, ""), (2, "twin")]
    first.close()
    second = Bench(tmp_path / "c.db")
    try:
        receipt = second.receipts(bool)[-1]
        assert (receipt["through"], receipt["also"]) == (3, [])
    finally:
        second.close()


def test_nothing_is_acknowledged_that_the_disk_did_not_take(bench: Bench, box: FakeBox) -> None:
    press = box.press()
    bench.send(box, "state", box.state())
    with sqlite3.connect(bench.path) as db:
        db.execute("CREATE TRIGGER full BEFORE INSERT ON events BEGIN SELECT RAISE(FAIL, 'disk full'); END")
    bench.send(box, "event/alarm", press)
    assert bench.broker.acknowledged == [1] and bench.broker.restarts == 1
    assert "disk full" in bench.shown()["central"]["store"]
    with sqlite3.connect(bench.path) as db:
        db.execute("DROP TRIGGER full")
    bench.broker.published.clear()
    bench.send(box, "event/alarm", press)
    assert bench.receipts(through(1)) and bench.shown()["central"]["store"] == ""


def test_a_file_that_is_no_store_is_named(tmp_path: Path) -> None:
    path = tmp_path / "central.db"
    path.write_bytes(b"no database, however long one looks at it")
    with pytest.raises(sqlite3.DatabaseError, match=r"central\.db: .*move it aside"):
        Store(path)
    assert path.read_bytes().startswith(b"no database")
