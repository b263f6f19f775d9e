"""Central's disk under files of evidence: what nobody names, new sessions, restarts, crashes, a full disk."""

import os
import sqlite3
import threading
from pathlib import Path

import pytest
from central_bench import DEADLINE_S, Bench, bench, box, id_of, through
from evidence_bench import file_of, here, named, part, says, sends, shown
from fakebox import FakeBox

from simulators.central import media
from simulators.central.broker import Link, Message
from simulators.central.hub import Ask

__all__ = ["bench", "box"]  # fixtures


# files that nobody names


def test_nameless_files_have_so_much_room_and_no_more(
    bench: Bench, box: FakeBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(media, "NAMELESS_BYTES_MAX", 20_000)
    first, second, third = (file_of(10_000, seed) for seed in (1, 2, 3))
    for file in (first, second):
        sends(bench, box, file)
    assert part(bench, box, first).stat().st_size == 10_000
    assert part(bench, box, second).stat().st_size == 10_000
    sends(bench, box, third)
    assert not part(bench, box, third).exists()
    named(bench, box, first)  # it has left the nameless
    sends(bench, box, third)
    assert part(bench, box, third).stat().st_size == 10_000


def test_many_tiny_nameless_files_have_no_more_room_than_few_large_ones(
    bench: Bench, box: FakeBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(media, "NAMELESS_BYTES_MAX", 20_000)
    for seed in range(10):
        bench.send(box, f"media/{seed:064x}/0", b"x")
    assert len(list(Path(f"{bench.path}.media").iterdir())) == 4


def test_nameless_files_go_after_a_day(bench: Bench, box: FakeBox) -> None:
    old, new, known = (file_of(5000, seed) for seed in (1, 2, 3))
    named(bench, box, known)
    for file in (old, new, known):
        sends(bench, box, file, 0)
    for file in (old, known):
        os.utime(part(bench, box, file), (0, 0))
    bench.close()
    again = Bench(bench.path)
    assert [part(bench, box, file).exists() for file in (old, new, known)] == [False, True, True]
    again.close()


# sessions, restarts, disks


def test_a_box_that_comes_back_is_told_what_is_here_of_each_file_at_once(bench: Bench, box: FakeBox) -> None:
    whole, begun, unseen, nameless = (file_of(9000, seed) for seed in range(1, 5))
    named(bench, box, whole, begun, unseen)
    sends(bench, box, whole)
    for file in (begun, nameless):
        sends(bench, box, file, 0)
    bench.receipts(says(nameless, 4096))
    bench.broker.published.clear()
    bench.send(box, "state", box.state("another"))
    [told] = bench.receipts()
    assert told["media"] == {
        whole.sha256: 9000,
        begun.sha256: 4096,
        unseen.sha256: 0,
        nameless.sha256: 4096,
    }


def test_a_box_without_evidence_is_told_so_at_a_new_session(bench: Bench, box: FakeBox) -> None:
    bench.send(box, "state", box.state())
    assert bench.receipts()[-1]["media"] == {}


def test_what_is_whole_for_more_than_a_day_is_not_told_again(bench: Bench, box: FakeBox) -> None:
    file = file_of(5000)
    named(bench, box, file)
    sends(bench, box, file)
    bench.receipts(says(file, 5000))
    with sqlite3.connect(bench.path) as db:
        db.execute("UPDATE media SET whole_at = '2020-01-01T00:00:00Z'")
    bench.broker.published.clear()
    bench.send(box, "state", box.state("another"))
    assert bench.receipts()[-1]["media"] == {}
    sends(bench, box, file, 0)  # who sends it all the same is told
    assert bench.receipts(says(file, 5000))


def test_when_the_broker_is_back_every_box_is_told_of_its_files(bench: Bench, box: FakeBox) -> None:
    file = file_of(9000)
    named(bench, box, file)
    sends(bench, box, file, 0)
    bench.receipts(says(file, 4096))
    bench.broker.published.clear()
    bench.hub.post(Link(up=True))
    assert bench.receipts(says(file, 4096))


def test_a_new_central_goes_on_where_the_old_one_was(bench: Bench, box: FakeBox) -> None:
    file = file_of(9000)
    named(bench, box, file)
    sends(bench, box, file, 0)
    bench.close()
    again = Bench(bench.path)
    assert shown(again)["have"] == 4096
    sends(again, box, file, 1, 2)
    assert here(again, file) == file.data and shown(again)["whole"]
    again.close()


@pytest.mark.parametrize("renamed", [False, True])
def test_a_crash_between_the_last_piece_and_the_store_loses_nothing(bench: Bench, box: FakeBox, renamed: bool) -> None:
    file = file_of(9000)
    named(bench, box, file)
    sends(bench, box, file, 0)
    bench.close()
    part(bench, box, file).write_bytes(file.data)
    if renamed:
        part(bench, box, file).rename(part(bench, box, file).with_name(file.sha256))
    again = Bench(bench.path)
    assert shown(again)["whole"] and here(again, file) == file.data
    assert not part(bench, box, file).exists()
    again.close()


def test_nothing_is_acknowledged_that_the_files_disk_did_not_take(
    bench: Bench, box: FakeBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = file_of(9000)
    named(bench, box, file)
    before = len(bench.broker.acknowledged)

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        sends(bench, box, file, 0)
        assert len(bench.broker.acknowledged) == before and bench.broker.restarts == 1
        assert "No space left" in bench.shown()["central"]["store"]
    press = box.press()
    bench.send(box, "event/alarm", press)
    assert bench.case(id_of(press))["state"] == "open"
    sends(bench, box, file)
    assert here(bench, file) == file.data and bench.shown()["central"]["store"] == ""


def test_pieces_and_events_are_acknowledged_in_the_order_in_which_they_came(bench: Bench, box: FakeBox) -> None:
    """As MQTT demands, although an alarm of the same moment is stored and receipted before the piece."""
    file = file_of(4096)
    named(bench, box, file)
    busy = threading.Event()
    bench.hub.post(Ask(lambda: busy.wait(DEADLINE_S)))  # what comes meanwhile is taken in one group
    piece = f"{box.root}/media/{file.sha256}/0"
    for mid, (topic, payload) in enumerate([(piece, file.data), (f"{box.root}/event/alarm", box.press())], 101):
        bench.hub.post(Message(topic, payload, False, mid, 0))
    busy.set()
    bench.settle()
    assert bench.broker.acknowledged[-2:] == [101, 102]


def test_an_old_store_is_opened_and_takes_evidence(bench: Bench, box: FakeBox) -> None:
    press, file = box.press(), file_of(5000)
    bench.send(box, "state", box.state())
    bench.send(box, "event/alarm", press)
    bench.close()
    with sqlite3.connect(bench.path) as db:
        db.execute("DROP TABLE media")
    again = Bench(bench.path)
    named(again, box, file)
    sends(again, box, file)
    assert here(again, file) == file.data and again.case(id_of(press))["state"] == "open"
    again.close()


def test_nothing_is_receipted_that_a_failed_transaction_took_back(
    bench: Bench, box: FakeBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.send(box, "state", box.state())

    def fails(_: media.Media) -> None:
        raise OSError(5, "Input/output error")

    press = box.press()
    with monkeypatch.context() as patch:
        patch.setattr(media.Media, "flush", fails)
        bench.send(box, "event/alarm", press)
    assert not any(receipt["through"] for receipt in bench.receipts())
    assert bench.rows("SELECT * FROM events") == []
    bench.send(box, "event/alarm", press)
    assert bench.receipts(through(1))
