"""The events of an export: out of each kind of file, with what proves their places, and those that are no good."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from clips import needs_ffmpeg
from evidence_case import CASE, KEY, Scene, exported, faults, verified, whole

from agent.journal import FILE, Journal
from agent.mail import Write

pytestmark = needs_ffmpeg


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return whole(tmp_path / "box")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


# ---- the kinds of file


def test_a_boxs_journal_is_read_as_it_lies_there(scene: Scene, out: Path) -> None:
    journal = Journal(scene.folder / FILE)
    journal.write([Write(events=tuple(scene.events))])
    assert exported(scene, out, events=scene.folder / FILE)[0] == 0
    journal.close()
    assert verified(out) == (0, [])


def central_store(scene: Scene, path: Path, *, pinned: bool = True) -> Path:
    """Central's store with the scene's events, and those of another box that has the same numbers."""
    with sqlite3.connect(path) as sql:
        columns = "box TEXT, seq INTEGER, id TEXT, class TEXT, type TEXT, time TEXT, received_at TEXT, payload BLOB"
        sql.execute(f"CREATE TABLE events ({columns})")
        sql.execute("CREATE TABLE journals (box TEXT, journal TEXT, key TEXT)")
        for event in scene.events:
            body = json.loads(event.body)
            at = body["time"].replace("2026-11-22T01", "2026-11-22T03")
            row = (event.seq, body["id"], event.cls, body["type"], body["time"], at)
            sql.execute("INSERT INTO events VALUES ('jiangyang/kiosk-017', ?, ?, ?, ?, ?, ?, ?)", [*row, event.body])
            sql.execute("INSERT INTO events VALUES ('jiangyang/other', ?, ?, ?, ?, ?, ?, ?)", [*row, b"ruins"])
        if pinned:
            sql.execute("INSERT INTO journals VALUES ('jiangyang/kiosk-017', '9b1deb4d', ?)", [KEY])
    return path


def test_centrals_store_knows_when_each_event_came_and_which_key_is_the_boxs(scene: Scene, out: Path) -> None:
    code, manifest = exported(scene, out, events=central_store(scene, scene.folder / "central.db"), key="")
    assert (code, manifest["key"], manifest["key_from"]) == (0, KEY, "central")
    assert "2026-11-22 03:34:41.323 UTC" in (out / "index.html").read_text()


def test_without_a_key_no_signature_counts_as_checked(scene: Scene, out: Path) -> None:
    code, manifest = exported(scene, out, key="")
    assert (code, faults(manifest), manifest["key"], manifest["key_from"]) == (1, ["no_key"], None, "nobody")
    code, lines = verified(out)
    assert code == 1 and "--key" in lines[0]


def test_a_case_that_went_over_into_another_journal_is_told_once_and_proven_in_both(tmp_path: Path, out: Path) -> None:
    scene = Scene(tmp_path / "box")
    scene.record("scan.code", -9, {"input": "desk"})
    scene.press()
    other = Scene(tmp_path / "again")
    other.chain.journal = "0a1b2c3d"
    other.record("status.started", 1, {"agent": "1.0.0", "last_end": "storage"})
    other.press()
    other.about("closed", 20)
    scene.events += other.events
    scene.write()
    code, manifest = exported(scene, out)
    assert (code, faults(manifest), manifest["events"]["count"]) == (0, [], 5)
    assert (out / "index.html").read_text().count("Panic button: Pressed") == 2, "in the title and in one row"
    assert verified(out) == (0, [])


def test_what_was_removed_with_a_signed_record_is_no_fault_and_the_record_comes_along(
    tmp_path: Path, out: Path
) -> None:
    scene = Scene(tmp_path / "box")
    scene.press()
    gone = [scene.record("scan.code", at, {"input": "desk"}) for at in (1, 2, 3)]
    after = scene.record("scan.code", 4, {"input": "desk"})
    scene.about("closed", 5)
    scene.record("scan.code", 6, {"input": "desk"})
    scene.record("scan.code", 7, {"input": "desk"})
    hole = [2, 4, json.loads(after.body)["prevhash"]]
    record = scene.record("audit.pruned", 8, {"cause": "days", "count": 3, "holes": [hole]})
    scene.events = [event for event in scene.events if event not in gone]
    scene.write()
    code, manifest = exported(scene, out)
    assert (code, faults(manifest)) == (0, [])
    assert (out / "events.jsonl").read_bytes().splitlines()[-1] == record.body
    assert verified(out) == (0, [])
    lines = (out / "events.jsonl").read_bytes().splitlines()[:-1]
    (out / "events.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))
    assert any("boxseq 2 to 4" in line for line in verified(out)[1])


def test_a_record_with_another_hash_proves_no_hole(tmp_path: Path, out: Path) -> None:
    scene = Scene(tmp_path / "box")
    scene.press()
    gone = scene.record("scan.code", 1, {"input": "desk"})
    scene.about("closed", 5)
    scene.record("audit.pruned", 8, {"cause": "days", "count": 1, "holes": [[2, 2, "A" * 43]]})
    scene.events.remove(gone)
    scene.write()
    assert faults(exported(scene, out)[1]) == ["missing"]
    assert any("boxseq 2 to 2" in line for line in verified(out)[1])


# ---- events that somebody forged, changed or tore


def with_lines(scene: Scene, *bodies: bytes) -> Path:
    """The scene's file of events, and lines behind it."""
    path = scene.folder / "events.jsonl"
    path.write_bytes(path.read_bytes() + b"".join(body + b"\n" for body in bodies))
    return path


def forged(scene: Scene, number: int, **changes: Any) -> bytes:
    return json.dumps({**json.loads(scene.events[number].body), **changes}).encode()


def test_of_two_events_with_one_number_the_signed_one_counts_wherever_it_stands(scene: Scene, out: Path) -> None:
    path = scene.folder / "events.jsonl"
    path.write_bytes(forged(scene, 4, data={"case": CASE}) + b"\n" + path.read_bytes())
    code, manifest = exported(scene, out)
    assert (code, faults(manifest), manifest["faults"][0]["where"]) == (1, ["twin"], "events.jsonl, line 1")
    assert len(manifest["files"]) == 11


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (b"torn", "unreadable"),
        (b'{"id": 5}', "unreadable"),
        (b"[" * 5000, "unreadable"),
        ({"data": {"case": CASE, "note": "\ud800"}}, "unreadable"),
        ({"source": "/callbox/another/box"}, "source"),
    ],
)
def test_a_line_that_may_belong_to_the_case_is_named(scene: Scene, out: Path, body: Any, fault: str) -> None:
    with_lines(scene, body if isinstance(body, bytes) else forged(scene, 4, **body))
    code, manifest = exported(scene, out)
    assert (code, faults(manifest), manifest["faults"][0]["where"]) == (1, [fault], "events.jsonl, line 15")


def test_events_that_are_not_in_the_file_are_named_by_their_numbers(scene: Scene, out: Path) -> None:
    scene.events = [event for event in scene.events if event.seq not in (2, 7, 8)]
    scene.write()
    _, manifest = exported(scene, out)
    assert [fault["where"] for fault in manifest["faults"]] == ["9b1deb4d 7-8", "9b1deb4d 2-2"]
    assert [line for line in verified(out)[1] if "boxseq 7 to 8" in line]
