"""Central by itself: store, receipts, cases and commands, with events made by hand and no broker."""

import base64
import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from fakebox import FakeBox, b64, stamp

from simulators.central import wire
from simulators.central.boxes import Box
from simulators.central.broker import Broker, Link, Message
from simulators.central.hub import Hub, RefusedError
from simulators.central.receipts import Ledger, Receipts
from simulators.central.store import Store

DEADLINE_S = 20.0


def id_of(payload: bytes) -> str:
    return str(json.loads(payload)["id"])


class NoBroker(Broker):
    """Writes down what central hands to the broker."""

    def __init__(self) -> None:
        super().__init__("mqtt://127.0.0.1:1", "nobody")
        self.published: list[tuple[str, dict[str, Any]]] = []
        self.acknowledged: list[int] = []
        self.restarts = 0

    def publish(self, topic: str, payload: bytes, expires_s: float | None = None) -> int | None:  # noqa: ARG002
        self.published.append((topic, json.loads(payload)))
        return len(self.published)

    def acknowledge(self, mid: int, generation: int) -> None:  # noqa: ARG002
        self.acknowledged.append(mid)

    def restart(self) -> None:
        self.restarts += 1


class Bench:
    """A hub on a store, without a broker."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.broker = NoBroker()
        self.operator_key, self.central_key = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
        self.store = Store(path)
        self.hub = Hub(self.store, self.broker, "duty-desk", self.operator_key, self.central_key)
        self.said: list[tuple[str, dict[str, Any]]] = []
        self.mid = 0
        self.hub.start()
        self.hub.ask(lambda: self.hub.listen(lambda kind, data: self.said.append((kind, data)))).result(DEADLINE_S)
        self.hub.post(Link(up=True))

    def close(self) -> None:
        self.hub.stop()
        self.store.close()

    def send(self, box: FakeBox, part: str, *payloads: bytes, retain: bool = False) -> None:
        for payload in payloads:
            self.mid += 1
            self.hub.post(Message(f"{box.root}/{part}", payload, retain, self.mid, 0))
        self.settle()

    def settle(self) -> None:
        self.hub.ask(lambda: None).result(DEADLINE_S)
        self.hub.ask(lambda: None).result(DEADLINE_S)  # what the first round says is told before the second

    def shown(self) -> dict[str, Any]:
        return self.hub.ask(self.hub.snapshot).result(DEADLINE_S)

    def case(self, id_: str) -> dict[str, Any]:
        return next(case for case in self.shown()["cases"] if case["id"] == id_)

    def receipts(self, ready: Callable[[list[dict[str, Any]]], bool] = bool) -> list[dict[str, Any]]:
        """All receipts until now, as soon as they are `ready`."""
        until_s = time.monotonic() + DEADLINE_S
        while True:
            self.settle()
            receipts = [body for topic, body in list(self.broker.published) if topic.endswith("/receipt")]
            if ready(receipts):
                return receipts
            assert time.monotonic() < until_s, f"the receipts are {receipts}"

    def rows(self, query: str) -> list[Any]:
        with sqlite3.connect(self.path) as db:
            return db.execute(query).fetchall()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path / "central.db")
    yield bench
    bench.close()


@pytest.fixture
def box() -> FakeBox:
    return FakeBox()


def through(seq: int) -> Callable[[list[dict[str, Any]]], bool]:
    return lambda receipts: any(receipt["through"] == seq for receipt in receipts)


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


# the wire: pure


def test_a_batch_falls_apart_into_the_very_bytes() -> None:
    one, two = b'{"a":1}', '{"b":"],[ \\" 中"}'.encode()
    assert wire.split_batch(b"[" + one + b"," + two + b"]") == ([one, two], "")
    assert wire.split_batch(b" [ " + one + b" , " + two + b" ] ") == ([one, two], "")
    assert wire.split_batch(b"[]") == ([], "")
    events, wrong = wire.split_batch(b"[" + one + b"," + two[:5])
    assert events == [one] and wrong
    assert wire.split_batch(b"\xff")[0] == [] and wire.split_batch(b"{}")[1]


@pytest.mark.parametrize(
    ("topic", "expected"),
    [
        ("callbox/1/jiangyang/kiosk-017/event/alarm", wire.Topic("jiangyang/kiosk-017", "event", "alarm")),
        ("callbox/1/a/b/state", wire.Topic("a/b", "state", "")),
        ("callbox/1/a/b/event/gossip", None),
        ("callbox/1/A/b/state", None),
        ("callbox/1/a/b/event/alarm/more", None),
        ("callbox/2/a/b/state", None),
    ],
)
def test_only_the_contracts_topics_are_read(topic: str, expected: wire.Topic | None) -> None:
    assert wire.read_topic(topic) == expected


@pytest.mark.parametrize(
    "payload",
    [b"", b"null", b"[1]", b"{", b"\xff\xfe", b'{"a":NaN}', b"[" * 100_000, b'{"id":"\\ud800"}', b"{}", b"1" * 70_000],
)
def test_nonsense_is_unreadable_and_never_more_than_that(payload: bytes) -> None:
    with pytest.raises(wire.UnreadableError):
        wire.read_event(wire.Topic("a/b", "event", "alarm"), payload)


def test_a_made_id_is_a_uuid_of_version_7_with_the_time_in_it() -> None:
    made = wire.uuid7(1_700_000_000.123)
    assert made[14] == "7" and made[19] in "89ab"
    assert int(made.replace("-", "")[:12], 16) == 1_700_000_000_123


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


# what does not verify


def test_a_forged_event_is_stored_flagged_and_not_receipted(bench: Bench, box: FakeBox) -> None:
    bench.send(box, "state", box.state())
    good = box.press()
    bench.send(box, "event/alarm", good)
    bench.receipts(through(1))
    bench.broker.published.clear()
    forged = box.press(signer=Ed25519PrivateKey.generate())
    bench.send(box, "event/alarm", forged, good)
    assert bench.receipts(bool)[-1] | {"sig": ""} == {
        "journal": "9b1deb4d",
        "through": 1,
        "also": [],
        "batch": 50,
        "sig": "",
    }
    assert bench.rows("SELECT problems FROM events WHERE seq = 2") == [("signature",)]
    assert bench.case(id_of(forged))["problems"] == ["signature"]


def test_a_forgery_cannot_keep_the_real_event_out(bench: Bench, box: FakeBox) -> None:
    real = box.press()
    event = json.loads(real)
    event["data"]["input"] = "nowhere"
    bench.send(box, "state", box.state())
    bench.send(box, "event/alarm", rfc8785.dumps(event))
    bench.send(box, "event/alarm", real)
    assert bench.rows("SELECT payload, problems FROM events") == [(real, "")]
    assert bench.rows("SELECT count(*) FROM oddities") == [(1,)]
    assert bench.receipts(through(1))


def test_a_forged_restore_calms_nothing(bench: Bench, box: FakeBox) -> None:
    bench.send(box, "state", box.state())
    press = box.press()
    case = id_of(press)
    thief = Ed25519PrivateKey.generate()
    bench.send(box, "event/alarm", press)
    bench.send(box, "event/alarm", box.event("alarm.panic", signer=thief, transition="restored", case=case, by="reset"))
    bench.send(box, "event/audit", box.event("audit.acknowledged", signer=thief, case=case, by="/operators/x"))
    assert bench.case(case)["state"] == "open"


def test_a_changed_byte_in_the_chain_shows(bench: Bench, box: FakeBox) -> None:
    bench.send(box, "state", box.state())
    one = box.press()
    box.prevhash = b64(b"x" * 32)
    two = box.press()
    bench.send(box, "event/alarm", one, two)
    assert bench.rows("SELECT seq, problems FROM events ORDER BY seq") == [(1, ""), (2, "chain")]
    assert bench.receipts(through(2))


def test_the_chain_is_checked_towards_a_later_neighbour_too(bench: Bench, box: FakeBox) -> None:
    bench.send(box, "state", box.state())
    one, two = box.press(), box.press()
    bench.send(box, "event/alarm", two, one)
    assert bench.rows("SELECT seq, problems FROM events ORDER BY seq") == [(1, ""), (2, "")]
    three = box.press()
    box.prevhash = b64(b"x" * 32)
    four = box.press()
    bench.send(box, "event/alarm", four, three)
    assert bench.rows("SELECT seq, problems FROM events WHERE seq > 2 ORDER BY seq") == [(3, "chain"), (4, "")]


def test_an_event_before_the_key_is_checked_when_the_key_comes(bench: Bench, box: FakeBox) -> None:
    press = box.press()
    bench.send(box, "event/alarm", press)
    assert bench.case(id_of(press))["problems"] == ["unchecked"]
    assert not [topic for topic, body in bench.broker.published if body.get("through")]
    bench.send(box, "state", box.state())
    assert bench.case(id_of(press))["problems"] == []
    assert bench.receipts(through(1))


def test_a_new_key_is_a_warning_and_never_good_for_an_old_journal(bench: Bench, box: FakeBox) -> None:
    bench.send(box, "state", box.state("s1"))
    bench.send(box, "event/alarm", box.press())
    bench.receipts(through(1))
    box.key = Ed25519PrivateKey.generate()
    bench.send(box, "state", box.state("s2"))
    bench.send(box, "event/alarm", box.press())
    assert bench.shown()["boxes"][0]["key_changed"] is True
    assert bench.rows("SELECT problems FROM events WHERE seq = 2") == [("signature",)]
    anew = FakeBox(journal="new", key=box.key)
    bench.send(anew, "state", anew.state("s3"))
    bench.send(anew, "event/alarm", anew.press())
    assert bench.receipts(lambda r: ("new", 1) in [(x["journal"], x["through"]) for x in r])


def test_what_cannot_be_read_is_refused_by_its_number_and_kept_apart(bench: Bench, box: FakeBox) -> None:
    press = box.press()
    bench.send(box, "state", box.state())
    bench.send(box, "event/alarm", press[:-1])
    bench.send(box, "event/scan", b"\x00\xff garbage")
    refused = [
        receipt["refused"]
        for receipt in bench.receipts(lambda r: any("refused" in x for x in r))
        if "refused" in receipt
    ]
    assert list(refused[0]) == ["1"] and refused[0]["1"].startswith("not I-JSON")
    assert bench.rows("SELECT count(*) FROM oddities") == [(2,)]
    bench.send(box, "event/alarm", press)
    assert bench.receipts(through(1))


def test_an_event_of_65_kb_is_refused(bench: Bench, box: FakeBox) -> None:
    bench.send(box, "state", box.state())
    bench.send(box, "event/scan", box.event("scan.code", code="9" * 66_000))
    receipts = bench.receipts(lambda r: any("refused" in x for x in r))
    assert "65536 are allowed" in receipts[-1]["refused"]["1"]


def test_a_retained_event_is_no_event(bench: Bench, box: FakeBox) -> None:
    bench.send(box, "state", box.state(), retain=True)
    bench.send(box, "event/alarm", box.press(), retain=True)
    assert bench.rows("SELECT count(*) FROM events") == [(0,)]
    assert bench.shown()["boxes"][0]["link"] == "online"


def test_an_event_of_another_box_is_refused(bench: Bench, box: FakeBox) -> None:
    stranger = FakeBox(name="elsewhere/kiosk-1")
    bench.send(box, "state", box.state())
    bench.send(box, "event/alarm", stranger.press())
    assert bench.rows("SELECT count(*) FROM events") == [(0,)]


@pytest.mark.parametrize(
    "state", [b"", b"7", b"{", b'{"online":true}', b'{"session":"s","name":"\\ud800"}', b"x" * 70_000]
)
def test_a_state_that_is_none_stops_nothing(bench: Bench, box: FakeBox, state: bytes) -> None:
    bench.send(box, "state", state, box.state())
    bench.send(box, "event/alarm", box.press())
    assert bench.receipts(through(1))


# what is no more at the box


def pruned(box: FakeBox, *holes: tuple[int, int, str], signer: Ed25519PrivateKey | None = None, **data: Any) -> bytes:
    """The box's record that these are no more."""
    told = {"cause": "disk", "count": sum(last - first + 1 for first, last, _ in holes), **data}
    return box.event("audit.pruned", signer=signer, holes=[list(hole) for hole in holes], **told)


def test_a_receipt_goes_past_what_was_dropped_undelivered(bench: Bench, box: FakeBox) -> None:
    one = box.press()
    for _ in range(3):
        box.event("scan.code")
    hole = (2, 4, box.prevhash)
    five = box.press()
    bench.send(box, "state", box.state(pending={"scan": 3}))
    bench.send(box, "event/alarm", one, five)
    assert bench.receipts(lambda r: [[5, 5]] in [x["also"] for x in r])[-1]["through"] == 1
    assert bench.shown()["boxes"][0]["pending"] == {"scan": 3}
    bench.send(box, "event/audit", pruned(box, hole, undelivered=3))
    assert bench.receipts(through(6))[-1]["also"] == []
    assert bench.rows("SELECT seq, problems FROM events ORDER BY seq") == [(1, ""), (5, ""), (6, "")]
    assert bench.shown()["boxes"][0]["pending"] == {}


def test_a_hole_is_remembered_over_a_restart_and_joined_with_the_next(tmp_path: Path, box: FakeBox) -> None:
    first = Bench(tmp_path / "c.db")
    first.send(box, "state", box.state())
    for last in (10, 20):
        while box.seq < last:
            box.event("scan.code")
        told = pruned(box, (1, last, box.prevhash))
        first.send(box, "event/audit", told)
    first.receipts(through(21))
    assert first.rows("SELECT first, last FROM holes") == [(1, 20)]
    first.close()
    second = Bench(tmp_path / "c.db")
    try:
        receipt = second.receipts(bool)[-1]
        assert (receipt["through"], receipt["also"]) == (21, [])
        assert second.shown()["boxes"][0]["pending"] == {}
    finally:
        second.close()


def test_a_forged_record_of_what_is_no_more_changes_nothing(tmp_path: Path, box: FakeBox) -> None:
    first = Bench(tmp_path / "c.db")
    scan, hole = box.event("scan.code"), (1, 1, box.prevhash)
    first.send(box, "state", box.state())
    first.send(box, "event/audit", pruned(box, hole, signer=Ed25519PrivateKey.generate()))
    first.send(box, "event/alarm", box.press())
    assert first.receipts(lambda r: [[3, 3]] in [x["also"] for x in r])[-1]["through"] == 0
    assert first.rows("SELECT problems FROM events WHERE seq = 2") == [("signature",)]
    assert first.rows("SELECT * FROM holes") == []
    first.close()
    second = Bench(tmp_path / "c.db")
    try:
        assert second.receipts(bool)[-1]["through"] == 0
        second.send(box, "event/scan", scan)
        assert second.receipts(through(1))
    finally:
        second.close()


def test_a_record_of_before_the_key_counts_when_the_key_comes(bench: Bench, box: FakeBox) -> None:
    box.event("scan.code")
    bench.send(box, "event/audit", pruned(box, (1, 1, box.prevhash)))
    assert bench.rows("SELECT * FROM holes") == []
    bench.send(box, "state", box.state())
    assert bench.receipts(through(2))


def test_the_chain_goes_on_over_a_hole_by_its_hash(bench: Bench, box: FakeBox) -> None:
    bench.send(box, "state", box.state())
    one = box.press()
    box.event("scan.code")
    hole = (2, 2, box.prevhash)
    three, _four = box.press(), box.press()
    told = pruned(box, hole)
    bench.send(box, "event/audit", told)
    bench.send(box, "event/alarm", one, three)
    assert bench.rows("SELECT seq, problems FROM events ORDER BY seq") == [(1, ""), (3, ""), (5, "")]


def test_an_event_that_does_not_join_the_hole_before_it_shows(bench: Bench, box: FakeBox) -> None:
    bench.send(box, "state", box.state())
    box.event("scan.code")
    hole = (1, 1, box.prevhash)
    box.prevhash = b64(b"x" * 32)
    two, _three = box.press(), box.press()
    bench.send(box, "event/audit", pruned(box, hole))
    bench.send(box, "event/alarm", two)
    assert bench.rows("SELECT seq, problems FROM events ORDER BY seq") == [(2, "chain"), (4, "")]


@pytest.mark.parametrize(("here", "also"), [(2, [[2, 2], [4, 4]]), (3, [[3, 4]])])
def test_a_hole_that_ends_otherwise_than_what_is_here_is_no_hole(
    bench: Bench, box: FakeBox, here: int, also: list[list[int]]
) -> None:
    """Such is one of another journal, whose numbers mean something else."""
    bench.send(box, "state", box.state())
    scans = [box.event("scan.code") for _ in range(3)]
    bench.send(box, "event/scan", scans[here - 1])
    bench.send(box, "event/audit", pruned(box, (1, 2, b64(b"x" * 32))))
    assert bench.rows("SELECT problems FROM events WHERE seq = 4") == [("chain",)]
    bench.send(box, "state", box.state("s2"))
    assert bench.receipts(lambda r: also in [x["also"] for x in r])[-1]["through"] == 0
    assert bench.rows("SELECT * FROM holes") == []


def test_a_late_event_of_a_hole_is_stored_and_must_fit_it(bench: Bench, box: FakeBox) -> None:
    bench.send(box, "state", box.state())
    _one, two = box.event("scan.code"), box.event("scan.code")
    hole = (1, 2, box.prevhash)
    _three = box.press()
    bench.send(box, "event/audit", pruned(box, hole))
    bench.send(box, "event/scan", two)
    changed = json.loads(two) | {"id": "another"}
    bench.send(box, "event/scan", rfc8785.dumps(changed))
    rows = bench.rows("SELECT problems FROM events WHERE seq = 2 ORDER BY rowid")
    assert rows == [("",), ("signature,chain,twin",)]


@pytest.mark.parametrize(
    "holes",
    [
        None,
        7,
        [7],
        [[1, 2]],
        [[2, 1, "h"]],
        [[0, 1, "h"]],
        [["1", "1", "h"]],
        [[1, 1, 7]],
        [[1, 1e300, "h"]],
        [[1, 9, "h"]],
    ],
)
def test_holes_of_a_strange_shape_or_of_what_came_after_are_none(bench: Bench, box: FakeBox, holes: Any) -> None:
    for _ in range(4):
        box.event("scan.code")
    bench.send(box, "state", box.state())
    bench.send(box, "event/audit", box.event("audit.pruned", cause="disk", count=1, holes=holes))
    assert bench.receipts(lambda r: [[5, 5]] in [x["also"] for x in r])[-1]["through"] == 0
    assert bench.rows("SELECT count(*) FROM oddities") == [(0,)]


def test_a_record_in_two_journals_tells_of_the_first_alone(bench: Bench) -> None:
    memory, disk = FakeBox(journal="aaaa"), FakeBox(journal="bbbb")
    disk.key = memory.key
    bench.send(memory, "state", memory.state("s1"))
    memory.event("scan.code")
    hole = (1, 1, memory.prevhash)
    bench.send(memory, "event/audit", pruned(memory, hole, id="01941f29-7c00-7aaa-8000-3f1f2d1c0b0a"))
    bench.send(disk, "state", disk.state("s2"))
    disk.event("scan.code")
    bench.send(disk, "event/audit", pruned(disk, hole, id="01941f29-7c00-7aaa-8000-3f1f2d1c0b0a"))
    bench.receipts(lambda r: ("bbbb", [[2, 2]]) in [(x["journal"], x["also"]) for x in r])
    assert bench.rows("SELECT journal, first, last FROM holes") == [("aaaa", 1, 1)]


# boxes and sessions: pure


def test_an_offline_message_counts_only_from_the_newest_session() -> None:
    box = Box("a/b")
    assert box.take({"online": True, "session": "one", "seq": 5}, "t", 0.0)
    assert box.take({"online": True, "session": "two", "seq": 9}, "t", 1.0)
    box.take({"online": False, "session": "one"}, "t", 2.0)
    box.take({"online": True, "session": "one", "seq": 6}, "t", 2.0)
    assert box.online and box.first_seq == 9
    box.take({"online": False, "session": "two"}, "t", 3.0)
    assert not box.online


def test_three_missed_heartbeats_are_silence() -> None:
    box = Box("a/b")
    box.take({"online": True, "session": "one"}, "t", 100.0)
    assert not box.tick(174.9) and box.tick(175.0) and not box.tick(176.0)
    assert box.shown()["link"] == "silent"
    box.take({"online": True, "session": "one"}, "t", 180.0)
    assert box.shown()["link"] == "online"


def test_a_box_that_beats_faster_is_missed_sooner() -> None:
    box = Box("a/b")
    for at_s in (0.0, 1.0, 6.0, 11.0):
        box.take({"online": True, "session": "one"}, "t", at_s)
    assert not box.tick(25.9) and box.tick(26.0)


def test_a_state_of_a_strange_shape_is_shown_as_far_as_it_can_be() -> None:
    box = Box("a/b")
    box.take(
        {"online": True, "session": "s", "pending": 7, "inputs": {"x": 3}, "trouble": [1, {"kind": "ac"}], "key": 5},
        "t",
        0.0,
    )
    shown = box.shown()
    assert (shown["pending"], shown["inputs"], shown["key_changed"]) == ({}, [], False)
    assert shown["trouble"] == [{"kind": "1", "where": ""}, {"kind": "ac", "where": ""}]


# cases


def test_a_repeat_press_in_an_acknowledged_case_needs_a_person_again(bench: Bench, box: FakeBox) -> None:
    bench.send(box, "state", box.state())
    press = box.press()
    case = id_of(press)
    bench.send(box, "event/alarm", press)
    assert bench.case(case)["state"] == "open"
    bench.send(
        box, "event/audit", box.event("audit.acknowledged", case=case, by="/operators/duty-desk", note="on my way")
    )
    shown = bench.case(case)
    assert shown["state"] == "acknowledged" and shown["done"]["acknowledged"]["note"] == "on my way"
    bench.send(box, "event/alarm", box.press(case=case, count=2))
    shown = bench.case(case)
    assert (shown["state"], shown["count"], shown["rings"]) == ("open", 2, 2)
    bench.send(box, "event/audit", box.event("audit.closed", case=case, by="/operators/duty-desk", note="done"))
    bench.send(box, "event/alarm", box.event("alarm.panic", transition="restored", cid=120, case=case, by="reset"))
    assert bench.case(case)["state"] == "closed" and len(bench.case(case)["history"]) == 5


def test_a_case_is_the_same_in_whatever_order_its_events_come(bench: Bench, box: FakeBox) -> None:
    press = box.press()
    case = id_of(press)
    events = [
        ("event/alarm", press),
        ("event/audit", box.event("audit.acknowledged", case=case, by="x")),
        ("event/alarm", box.press(case=case, count=2)),
        ("event/audit", box.event("audit.acknowledged", case=case, by="y")),
    ]
    bench.send(box, "state", box.state())
    for part, payload in reversed(events):
        bench.send(box, part, payload)
    shown = bench.case(case)
    assert (shown["state"], shown["count"], shown["done"]["acknowledged"]["by"]) == ("acknowledged", 2, "y")


def test_history_after_an_outage_is_marked_and_a_late_alarm_says_how_late(bench: Bench, box: FakeBox) -> None:
    bench.send(box, "state", box.state("s1"))
    scan, press = box.event("scan.code", ago_s=90.0), box.press(ago_s=80.0)
    bench.send(box, "state", box.state("s2"))
    bench.send(box, "event/alarm", press)
    bench.send(box, "event/scan", scan)
    live = box.press()
    bench.send(box, "event/alarm", live)
    late = bench.case(id_of(press))
    assert late["replayed"] and 79 < late["late_s"] < 100 and late["rings"] == 1
    assert bench.shown()["events"][-1]["replayed"] is True
    assert (bench.case(id_of(live))["replayed"], bench.case(id_of(live))["late_s"]) == (False, None)


def test_a_clock_that_was_never_set_is_corrected_by_what_it_says_now(bench: Bench) -> None:
    box = FakeBox(timequality="unsynced", slow_s=86_400.0)
    late, prompt = box.press(ago_s=80.0), box.press()
    bench.send(box, "state", box.state())
    bench.send(box, "event/alarm", late, prompt)
    assert 79 < bench.case(id_of(late))["late_s"] < 100
    assert bench.case(id_of(prompt))["late_s"] is None


def test_what_has_come_is_not_shown_as_pending(bench: Bench, box: FakeBox) -> None:
    press = box.press()
    bench.send(box, "state", box.state(pending={"alarm": 1}))
    assert bench.shown()["boxes"][0]["pending"] == {"alarm": 1}
    bench.send(box, "event/alarm", press)
    assert bench.shown()["boxes"][0]["pending"] == {}


def test_a_test_alarm_rings_nobody(bench: Bench, box: FakeBox) -> None:
    bench.send(box, "state", box.state())
    press = box.press(test=True)
    bench.send(box, "event/alarm", press)
    assert (bench.case(id_of(press))["test"], bench.case(id_of(press))["rings"]) == (True, 0)


def test_a_contact_that_closes_again_leaves_its_case_open(bench: Bench, box: FakeBox) -> None:
    bench.send(box, "state", box.state())
    opened = box.event("alarm.intrusion", transition="raised", cid=130, input="door")
    bench.send(box, "event/alarm", opened)
    bench.send(box, "event/alarm", box.event("alarm.intrusion", transition="restored", cid=130, case=id_of(opened)))
    shown = bench.case(id_of(opened))
    assert shown["state"] == "open" and "restored" in shown["done"]


# commands


def sent_command(bench: Bench) -> dict[str, Any]:
    return next(body for topic, body in bench.broker.published if topic.endswith("/command"))


def test_a_command_is_signed_as_the_contract_says(bench: Bench, box: FakeBox) -> None:
    press = box.press()
    bench.send(box, "state", box.state())
    bench.send(box, "event/alarm", press)
    shown = bench.hub.ask(lambda: bench.hub.send("acknowledge", box.name, id_of(press), "来了")).result(DEADLINE_S)
    assert (shown["status"], shown["verb"]) == ("sent", "acknowledge")
    [raw] = [row[0] for row in bench.rows("SELECT payload FROM commands")]
    command = sent_command(bench)
    assert raw == rfc8785.dumps(command)
    body = {key: value for key, value in command.items() if key != "sig"}
    public = Ed25519PublicKey.from_public_bytes(bench.operator_key.public_key().public_bytes_raw())
    public.verify(base64.urlsafe_b64decode(command["sig"] + "=="), rfc8785.dumps(body))
    with pytest.raises(InvalidSignature):
        public.verify(base64.urlsafe_b64decode(command["sig"] + "=="), rfc8785.dumps({**body, "subject": "a/b"}))
    assert body["specversion"] == "1.0" and body["id"][14] == "7"
    assert (body["source"], body["type"]) == ("/operators/duty-desk", "callbox.command.acknowledge")
    assert (body["subject"], body["data"]) == ("jiangyang/kiosk-017", {"alarm": id_of(press), "note": "来了"})
    assert body["time"] < body["expires"] and body["expires"].endswith("Z")


def test_the_boxs_answer_ends_a_command(bench: Bench, box: FakeBox) -> None:
    press = box.press()
    bench.send(box, "state", box.state())
    bench.send(box, "event/alarm", press)
    for _ in range(2):
        bench.hub.ask(lambda: bench.hub.send("acknowledge", box.name, id_of(press), "")).result(DEADLINE_S)
    one, two = [body["id"] for topic, body in bench.broker.published if topic.endswith("/command")]
    bench.send(box, "event/audit", box.event("audit.command", command=one, verb="acknowledge", result="done"))
    bench.send(
        box,
        "event/audit",
        box.event("audit.command", command=two, verb="acknowledge", result="refused", reason="expired"),
    )
    statuses = {command["id"]: (command["status"], command["reason"]) for command in bench.shown()["commands"]}
    assert statuses == {one: ("done", ""), two: ("refused", "expired")}


def test_a_command_that_cannot_be_sent_is_said_at_once(bench: Bench, box: FakeBox) -> None:
    with pytest.raises(RefusedError, match="unknown_box"):
        bench.hub.ask(lambda: bench.hub.send("test", box.name)).result(DEADLINE_S)
    bench.send(box, "state", box.state())
    with pytest.raises(RefusedError, match="unknown_case"):
        bench.hub.ask(lambda: bench.hub.send("close", box.name, "none")).result(DEADLINE_S)
    bench.hub.post(Link(up=False))
    with pytest.raises(RefusedError, match="no_broker"):
        bench.hub.ask(lambda: bench.hub.send("test", box.name)).result(DEADLINE_S)


def test_a_case_that_its_box_does_not_know_is_set_aside_until_it_is_pressed_again(bench: Bench, box: FakeBox) -> None:
    press = box.press()
    case = id_of(press)
    bench.send(box, "state", box.state())
    bench.send(box, "event/alarm", press)
    bench.broker.published.clear()
    bench.hub.ask(lambda: bench.hub.send("aside", box.name, case, "old disk")).result(DEADLINE_S)
    shown = bench.case(case)
    assert (shown["state"], shown["flags"], shown["done"]["closed"]["note"]) == ("closed", ["aside"], "old disk")
    assert bench.broker.published == []  # it is the desk's own business
    bench.send(box, "event/alarm", box.press(case=case, count=2))
    assert bench.case(case)["state"] == "open"


def test_who_asked_and_went_away_stops_nothing(bench: Bench, box: FakeBox) -> None:
    futures = [bench.hub.ask(bench.hub.snapshot) for _ in range(100)]
    for future in futures:
        future.cancel()
    bench.send(box, "state", box.state())
    assert bench.shown()["boxes"]


def test_a_command_without_an_answer_is_shown_so() -> None:
    from simulators.central.desk import ANSWER_S, Desk
    from simulators.central.store import Command

    desk = Desk()
    now_s = time.time()
    at = wire.rfc3339(now_s)
    desk.command(Command("c1", "a/b", "test", "", "", at, wire.rfc3339(now_s + 60), b""))
    desk.tick(0.0, now_s + ANSWER_S + 1)
    assert desk.snapshot()["commands"][0]["status"] == "unanswered"
    desk.tick(0.0, now_s + 61)
    assert desk.snapshot()["commands"][0]["status"] == "expired"


def test_a_file_that_is_no_store_is_named(tmp_path: Path) -> None:
    path = tmp_path / "central.db"
    path.write_bytes(b"no database, however long one looks at it")
    with pytest.raises(sqlite3.DatabaseError, match=r"central\.db: .*move it aside"):
        Store(path)
    assert path.read_bytes().startswith(b"no database")


def test_a_key_file_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "operator.pem"
    assert wire.public(wire.load_key(path)) == wire.public(wire.load_key(path))
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_bytes(b"no key")
    with pytest.raises(ValueError, match="PEM"):
        wire.load_key(path)


def test_times_are_read_as_rfc_3339_says() -> None:
    assert wire.seconds("2026-11-22T01:33:20.5Z") == wire.seconds("2026-11-22T09:33:20.5+08:00")
    assert wire.seconds("2026-11-22T01:33:20") is None and wire.seconds("soon") is None
    assert wire.seconds(stamp()) is not None
