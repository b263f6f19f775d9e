"""Files of evidence at central: piece by piece on the disk, proven by their hash, told of in receipts."""

import json
from pathlib import Path
from typing import Any

import pytest
from central_bench import Bench, bench, box, id_of
from clips import stored
from evidence_bench import CASE, file_of, here, named, part, says, sends, shown, tells
from fakebox import FakeBox

from simulators.central import wire
from simulators.central.receipts import Receipts

__all__ = ["bench", "box"]  # fixtures


# receipts: pure


def test_a_receipt_names_at_most_500_files_and_the_rest_in_further_ones() -> None:
    receipts = Receipts([("a/b", "j", 1, 3)], lambda _box, sha256: int(sha256, 16))
    bodies = [body for _, body in receipts.take_all("a/b", "j", [f"{number:064x}" for number in range(1100)])]
    assert [len(body["media"]) for body in bodies] == [500, 500, 100]
    assert all(body["journal"] == "j" and body["through"] == 3 for body in bodies)
    assert {key: size for body in bodies for key, size in body["media"].items()} == {
        f"{number:064x}": number for number in range(1100)
    }


def test_a_piece_is_receipted_within_250_ms_and_once() -> None:
    receipts = Receipts([], lambda *_: 4096)
    receipts.media("a/b", "j", "f" * 64, 10.0)
    assert receipts.take_due(10.2) == [] and receipts.next_s() == 10.25
    assert [body["media"] for _, body in receipts.take_due(10.25)] == [{"f" * 64: 4096}]
    assert receipts.next_s() is None and "media" not in receipts.take_all("a/b", "j")[0][1]


# pieces


def test_a_file_that_comes_in_order_is_whole_and_has_the_name_of_its_hash(bench: Bench, box: FakeBox) -> None:
    file = file_of(10_000)
    named(bench, box, file)
    sends(bench, box, file)
    assert here(bench, file) == file.data and not part(bench, box, file).exists()
    assert bench.receipts(says(file, 10_000))[-1]["journal"] == box.journal
    assert (shown(bench)["whole"], shown(bench)["have"]) == (True, 10_000)
    assert len(bench.broker.acknowledged) == 5


def test_a_gap_is_not_filled_and_the_receipt_says_from_where_to_go_on(bench: Bench, box: FakeBox) -> None:
    file = file_of(12_288)
    named(bench, box, file)
    sends(bench, box, file, 0, 2)
    assert bench.receipts(says(file, 4096))
    assert part(bench, box, file).read_bytes() == file.data[:4096]
    assert shown(bench)["have"] == 4096
    sends(bench, box, file, 1, 2)
    assert bench.receipts(says(file, 12_288)) and here(bench, file) == file.data


def test_overlaps_and_repeats_change_nothing_that_is_there(bench: Bench, box: FakeBox) -> None:
    file = file_of(10_000)
    named(bench, box, file)
    for at, end in ((0, 5000), (0, 5000), (2000, 4000), (3000, 8000), (0, 1), (7999, 10_000)):
        bench.send(box, f"media/{file.sha256}/{at}", file.data[at:end])
    assert here(bench, file) == file.data
    sends(bench, box, file)
    assert bench.receipts(says(file, 10_000)) and here(bench, file) == file.data


def test_pieces_may_come_before_the_event_that_names_the_file(bench: Bench, box: FakeBox) -> None:
    file = file_of(10_000)
    bench.send(box, "state", box.state())
    sends(bench, box, file)
    assert bench.receipts(says(file, 10_000)) and here(bench, file) is None
    named(bench, box, file)
    assert here(bench, file) == file.data and shown(bench)["whole"]


def test_what_goes_beyond_the_named_size_is_cut(bench: Bench, box: FakeBox) -> None:
    early, late = file_of(5000, 1), file_of(5000, 2)
    bench.send(box, "state", box.state())
    bench.send(box, f"media/{early.sha256}/0", early.data + b"more")
    named(bench, box, early, late)
    bench.send(box, f"media/{late.sha256}/0", late.data + b"more")
    bench.send(box, f"media/{late.sha256}/5000", b"and more")
    assert here(bench, early) == early.data and here(bench, late) == late.data
    assert bench.receipts(says(early, 5000)) and bench.receipts(says(late, 5000))


def test_a_wrong_hash_sends_the_file_back_to_its_beginning_and_is_shown(bench: Bench, box: FakeBox) -> None:
    file = file_of(5000)
    named(bench, box, file)
    bench.send(box, f"media/{file.sha256}/0", bytes(5000))
    assert bench.receipts(says(file, 0))
    assert here(bench, file) is None and not part(bench, box, file).exists()
    assert (shown(bench)["whole"], shown(bench)["wrong"], shown(bench)["have"]) == (False, 1, 0)
    sends(bench, box, file)
    assert bench.receipts(says(file, 5000)) and here(bench, file) == file.data and shown(bench)["whole"]


def test_what_the_box_has_discarded_is_not_waited_for_and_shown_as_gone(bench: Bench, box: FakeBox) -> None:
    file, whole = file_of(12_288), file_of(4_096, seed=2)
    named(bench, box, file, whole)
    sends(bench, box, file, 0)
    sends(bench, box, whole)
    entries = [{"sha256": each.sha256} for each in (file, whole)]
    bench.send(box, "event/audit", box.event("audit.discarded", files=[*entries, {"sha256": "no hash"}, 7]))
    assert [(each["gone"], each["whole"]) for each in (shown(bench), shown(bench, file=1))] == [
        (True, False),
        (False, True),
    ]
    bench.receipts(says(whole, 4_096))
    bench.send(box, "state", box.state(session="c0ffee02"))
    assert bench.receipts(lambda receipts: receipts[-1].get("media") == {whole.sha256: 4_096})


def test_the_same_file_from_two_boxes_is_whole_for_both(bench: Bench, box: FakeBox) -> None:
    other, file = FakeBox(name="jiangyang/kiosk-018", journal="2"), file_of(5000)
    for one in (box, other):
        named(bench, one, file)
    sends(bench, box, file)
    sends(bench, other, file, 0)
    assert here(bench, file) == file.data and not part(bench, other, file).exists()
    assert [group["cameras"][0]["files"][0]["whole"] for group in bench.shown()["evidence"]] == [True, True]
    for journal in (box.journal, other.journal):
        bench.receipts(tells(journal, file))


def test_a_lying_box_harms_no_other_boxs_file(bench: Bench, box: FakeBox) -> None:
    liar, file = FakeBox(name="jiangyang/liar", journal="2"), file_of(8192)
    named(bench, liar, file)
    named(bench, box, file)
    sends(bench, box, file, 0)
    bench.send(liar, f"media/{file.sha256}/0", bytes(4096))
    bench.send(liar, f"media/{file.sha256}/4096", bytes(4096))
    sends(bench, box, file, 1)
    assert here(bench, file) == file.data
    assert bench.rows("SELECT box, wrong FROM media ORDER BY box") == [(box.name, 0), (liar.name, 1)]


def test_an_event_without_a_right_signature_names_nothing(bench: Bench, box: FakeBox) -> None:
    file = file_of(5000)
    bench.send(box, "state", box.state())
    forged = box.event("status.evidence", signer=FakeBox().key, case=CASE, camera="front", files=[file.entry])
    bench.send(box, "event/status", forged)
    sends(bench, box, file)
    assert here(bench, file) is None and bench.shown()["evidence"] == []
    assert [event["problems"] for event in bench.shown()["events"]] == [["signature"]]


@pytest.mark.parametrize(
    "entry",
    [
        {"bytes": 0},
        {"bytes": -1},
        {"bytes": True},
        {"bytes": 10**12},
        {"bytes": "5000"},
        {"sha256": "../../etc/passwd"},
        {"sha256": "F" * 64},
        {"from": "soon"},
        {"media_type": None},
    ],
)
def test_an_entry_of_a_wrong_shape_is_left_out_and_stops_no_other(
    bench: Bench, box: FakeBox, entry: dict[str, Any]
) -> None:
    bad, good = file_of(5000, 1), file_of(5000, 2)
    bench.send(box, "state", box.state())
    files = [{**bad.entry, **entry}, "no file", good.entry]
    bench.send(box, "event/status", box.event("status.evidence", case=CASE, camera="front", files=files))
    sends(bench, box, good)
    assert here(bench, good) == good.data
    assert [file["sha256"] for file in bench.shown()["evidence"][0]["cameras"][0]["files"]] == [good.sha256]


@pytest.mark.parametrize(
    ("name", "payload"),
    [
        ("F" * 64 + "/0", b"x"),
        ("ab/0", b"x"),
        ("f" * 64 + "/-1", b"x"),
        ("f" * 64 + "/007", b"x"),
        ("f" * 64 + "/" + "9" * 30, b"x"),
        ("f" * 64, b"x"),
        ("..%2f/0", b"x"),
        ("f" * 64 + "/0/0", b"x"),
        ("f" * 64 + "/0", bytes(64 * 1024 + 1)),
    ],
)
def test_what_is_no_piece_is_kept_as_an_oddity(bench: Bench, box: FakeBox, name: str, payload: bytes) -> None:
    bench.send(box, f"media/{name}", payload)
    assert [row[0] for row in bench.rows("SELECT topic FROM oddities")] == [f"{box.root}/media/{name}"]
    assert list(Path(f"{bench.path}.media").iterdir()) == []
    assert len(bench.broker.acknowledged) == 1


def test_a_retained_piece_is_an_oddity(bench: Bench, box: FakeBox) -> None:
    bench.send(box, f"media/{'f' * 64}/0", b"x", retain=True)
    assert len(bench.rows("SELECT * FROM oddities")) == 1


def test_a_site_called_media_is_a_site() -> None:
    assert not wire.of_media("callbox/1/media/media/event/alarm")
    assert wire.read_piece(f"callbox/1/media/media/media/{'f' * 64}/12") == wire.Piece("media/media", "f" * 64, 12)


# what the desk is shown


def test_evidence_is_shown_camera_by_camera_in_the_order_of_the_pictures(bench: Bench, box: FakeBox) -> None:
    bench.send(box, "state", box.state())
    press = box.press()
    case = id_of(press)
    files = [
        stored(bytes([number]) * 100, "video/mp2t", 1_790_000_000.0 + number, key_frame=number == 2)
        for number in range(4)
    ]
    events = [
        box.evidence(case, "front", files[2].entry),
        box.evidence(case, "front", files[1].entry, files[0].entry),
        box.evidence(case, "side", last=True, reason="offline"),
        box.evidence(case, "front", files[3].entry, last=True),
    ]
    for event in reversed(events):
        bench.send(box, "event/status", event)
    bench.send(box, "event/alarm", press)
    [group] = bench.shown()["evidence"]
    assert (group["box"], group["case"]) == (box.name, case)
    front, side = group["cameras"]
    assert [file["sha256"] for file in front["files"]] == [file.sha256 for file in files]
    assert [file["key_frame"] for file in front["files"]] == [False, False, True, False]
    assert (front["camera"], front["last"], side["last"], side["files"], side["reason"]) == (
        "front",
        True,
        True,
        [],
        "offline",
    )
    assert len(bench.case(case)["history"]) == 1  # the press; the files are not its history
    assert bench.shown()["events"] == []


def test_each_piece_is_told_to_the_pages(bench: Bench, box: FakeBox) -> None:
    file = file_of(9000)
    named(bench, box, file)
    bench.said.clear()
    sends(bench, box, file)
    told = [data["cameras"][0]["files"][0] for kind, data in bench.said if kind == "evidence"]
    assert [(file["have"], file["whole"]) for file in told] == [(4096, False), (8192, False), (9000, True)]
    assert json.dumps(told)  # nothing in it that JSON has not
