"""What is no more at the box: central hears of it by a signed record, and receipts go past it."""

import json
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from central_bench import Bench, bench, box, through
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fakebox import FakeBox, b64

__all__ = ["bench", "box"]  # fixtures


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
