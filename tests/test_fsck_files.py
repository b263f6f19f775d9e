"""Evidence in `callbox fsck`: files, their rows and clips broken once each, and by hundreds of random bits."""

# ruff: noqa: S608  the statements are this file's own

import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bad_disk import flip
from fsck_box import CLIP, box, broken, filmed, named
from written import CASE, Written

from agent import fsck as fsck_module
from agent.fsck import Fsck
from agent.identity import KEY_FILE, load_or_make_key
from agent.mail import Write
from agent.rules import Rule
from agent.spool import FOLDER

__all__ = ["box", "filmed"]  # fixtures

WHERE = "WHERE seq=30 AND key_frame=1"
"""The row of a picture alone that event 30 names, with a clip beside it."""
OTHER = "0123456789abcdef" * 4
COLUMNS = ("sha256", "seq", "case_id", "class", "camera", "time", "bytes", "key_frame", "stored", "parked")
BELIEVED = ("class", "stored", "parked")


def folder(box: Written) -> Path:
    return box.state_dir / FOLDER


def file(box: Written) -> Path:
    """The picture's."""
    [path] = [path for path in folder(box).iterdir() if path.read_bytes() == b"a picture"]
    return path


def rows(box: Written) -> list[Any]:
    """In the order of their names; a mended row may stand elsewhere in the table."""
    return sorted(box.tables()["files"])


# ---- files


SPOILED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "gone": (lambda path: path.unlink(), "it is not there"),
    "a bit flipped": (lambda path: flip(path, 4), "its bytes were changed"),
    "cut": (lambda path: os.truncate(path, 3), "its bytes were changed"),
    "empty": (lambda path: os.truncate(path, 0), "its bytes were changed"),
    "longer": (lambda path: path.write_bytes(path.read_bytes() + b"!"), "its bytes were changed"),
}


@pytest.mark.parametrize("how", SPOILED)
def test_a_file_that_is_gone_or_changed_is_named_with_its_camera_and_case_and_its_row_stays(
    filmed: Written, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    name, (spoil, said) = file(filmed).name, SPOILED[how]
    spoil(file(filmed))
    before = filmed.tables()
    for args in ((), ("--repair",)):
        code, found = filmed.told(capsys, "fsck", *args)
        assert (code, [fault["rule"] for fault in found["faults"]]) == (1, [Rule.FILES])
        [place] = named(found, Rule.FILES)["places"]
        assert place.startswith(f"{name} (camera front, case {CASE}): {said}")
        assert named(found, Rule.FILES)["next"].startswith("Next: ")
        assert "--repair" not in named(found, Rule.FILES)["next"]
    assert filmed.tables() == before


@pytest.mark.parametrize("name", [OTHER, ".front.tmp"])
def test_what_nothing_names_is_a_fault_only_where_the_last_start_ought_to_have_removed_it(
    filmed: Written, name: str
) -> None:
    (folder(filmed) / name).write_bytes(b"half")
    faults = broken(filmed)
    assert faults == {}, "a cut after the last start may have left it"
    os.utime(folder(filmed) / name, (0, 0))
    assert broken(filmed) == {Rule.FILES: (f"{name}: no row and no event names it",)}
    filmed.change("INSERT INTO garbage VALUES (?)", name)
    assert broken(filmed) == {}, "it is on its way out"


def test_a_journal_in_memory_that_came_and_went_is_no_start(box: Written) -> None:
    folder(box).mkdir()
    (folder(box) / OTHER).write_bytes(b"half")
    os.utime(folder(box) / OTHER, (0, 0))
    for last_end, faults in (("storage", set()), ("crash", {Rule.FILES})):
        box.write("status.started", {"agent": "1.0.0", "last_end": last_end})
        assert set(broken(box)) == faults


def test_what_is_no_file_of_the_box_is_left_alone(filmed: Written) -> None:
    (folder(filmed) / "lost+found").mkdir()
    (folder(filmed) / "note.txt").write_text("mine")
    os.utime(folder(filmed) / "note.txt", (0, 0))
    assert broken(filmed) == {}


def test_a_box_without_a_camera_has_no_folder_and_no_fault(box: Written) -> None:
    assert not folder(box).exists()
    assert broken(box) == {}


# ---- rows


def row(column: str, value: str) -> str:
    return f"UPDATE files SET {column}={value} {WHERE}"


MENDED = [
    f"DELETE FROM files {WHERE}",
    "DELETE FROM files",
    row("seq", "29"),
    row("seq", "31"),
    row("seq", "900"),
    row("seq", "-1"),
    row("seq", "'thirty'"),
    row("case_id", f"'{CASE.replace('9', '8')}'"),
    row("case_id", "'case'"),
    row("case_id", "x'ff'"),
    row("class", "7"),
    row("class", "'alarm'"),
    row("camera", "'side'"),
    row("camera", "CAST(x'66726f6ef4' AS TEXT)"),
    row("time", "'2026-11-22T01:34:49.000000Z'"),
    row("time", "'yesterday'"),
    row("bytes", "8"),
    row("bytes", "-8"),
    row("bytes", "1e999"),
    row("bytes", "'many'"),
    row("key_frame", "0"),
    row("key_frame", "2"),
    row("stored", "10"),
    row("stored", "-1"),
    row("stored", "'all'"),
    row("parked", "'no'"),
    row("sha256", f"'{OTHER}'"),
    row("sha256", "'../../box.key'"),
    row("sha256", "x'00'"),
    f"INSERT INTO files VALUES ('{OTHER}', 30, '{CASE}', 0, 'front', '2026-11-22T01:34:40.000000Z', 9, 1, 0, 0)",
    f"INSERT INTO files VALUES ('{OTHER}', 5000, '', 0, '', '', 9, 0, 0, 0)",
    "INSERT INTO files VALUES (NULL, 30, '', 0, '', '', 9, 0, 0, 0)",
]


@pytest.mark.parametrize("statement", MENDED)
def test_a_row_that_is_missing_or_not_as_its_event_says_is_written_anew(
    filmed: Written, capsys: pytest.CaptureFixture[str], statement: str
) -> None:
    whole = rows(filmed)
    filmed.change(statement)
    before = filmed.tables()
    code, found = filmed.told(capsys, "fsck")
    assert (code, [fault["rule"] for fault in found["faults"]]) == (1, [Rule.EVIDENCE])
    assert "--repair" in named(found, Rule.EVIDENCE)["next"]
    assert filmed.tables() == before, "without --repair it only reads"
    assert filmed.told(capsys, "fsck", "--repair")[0] == 0
    assert rows(filmed) == whole
    assert broken(filmed) == {}


def test_how_much_of_a_file_central_has_and_that_nobody_can_take_it_outlives_the_mending(
    filmed: Written, capsys: pytest.CaptureFixture[str]
) -> None:
    filmed.change(f"UPDATE files SET stored=7, class=2 {WHERE}")
    filmed.change("UPDATE files SET parked=1 WHERE seq=31")
    whole = rows(filmed)
    assert broken(filmed) == {}
    filmed.change("UPDATE files SET camera='side'")
    assert filmed.told(capsys, "fsck", "--repair")[0] == 0
    assert rows(filmed) == whole


def test_a_file_that_lost_its_row_and_itself_gets_its_row_back_so_that_the_box_says_what_became_of_it(
    filmed: Written, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = rows(filmed)
    filmed.change(f"DELETE FROM files {WHERE}")
    file(filmed).unlink()
    assert set(broken(filmed)) == {Rule.FILES, Rule.EVIDENCE}
    code, found = filmed.told(capsys, "fsck", "--repair")
    assert (code, named(found, Rule.EVIDENCE)["mended"], named(found, Rule.FILES)["mended"]) == (1, 1, 0)
    assert rows(filmed) == whole
    assert set(broken(filmed)) == {Rule.FILES}


def test_a_file_whose_end_was_recorded_before_it_was_named_is_not_missed(box: Written) -> None:
    """What was in memory while the disk failed is recorded again after what the disk had to do first."""
    went = {"sha256": OTHER, "case": CASE, "camera": "front", "bytes": 9, "stored": 9}
    named = {"sha256": OTHER, "bytes": 9, "to": "2026-11-22T01:34:40.000000Z"}
    box.write("audit.discarded", {"cause": "disk", "files": [went]})
    box.write("status.evidence", {"case": CASE, "camera": "front", "files": [named]})
    assert broken(box) == {}


def test_where_the_record_of_its_end_may_be_pruned_only_a_file_that_is_there_is_missed(filmed: Written) -> None:
    filmed.write(delivered=((32, 34),))
    filmed.prune()
    filmed.change(f"DELETE FROM files {WHERE}")
    assert set(broken(filmed)) == {Rule.EVIDENCE}
    file(filmed).unlink()
    assert broken(filmed) == {}


def test_a_row_whose_event_is_pruned_is_believed_but_for_the_size_of_its_file(
    filmed: Written, capsys: pytest.CaptureFixture[str]
) -> None:
    filmed.write(delivered=((29, 34),))
    filmed.prune()
    filmed.change(row("camera", "'side'"))
    whole = rows(filmed)
    assert broken(filmed) == {}
    filmed.change(row("bytes", "800"))
    [place] = broken(filmed)[Rule.EVIDENCE]
    assert place == f"{file(filmed).name}: its row says 800 bytes, it has 9"
    assert filmed.told(capsys, "fsck", "--repair")[0] == 0
    assert rows(filmed) == whole


def test_a_row_of_a_file_that_only_another_journal_names_is_believed(filmed: Written) -> None:
    filmed.change(row("seq", "0"))
    assert broken(filmed) == {}


def test_a_file_that_no_event_names_stays_as_one_of_another_journal(
    filmed: Written, capsys: pytest.CaptureFixture[str]
) -> None:
    other = folder(filmed) / OTHER
    other.write_bytes(b"unknown")
    os.utime(other, (1, 1))
    filmed.change(f"INSERT INTO files VALUES ('{OTHER}', 30, '{CASE}', 2, 'front', 'never', 9, 1, 5, 0)")
    assert set(broken(filmed)) == {Rule.FILES, Rule.EVIDENCE}
    assert filmed.told(capsys, "fsck", "--repair")[0] == 1
    adopted = (OTHER, 0, "", 2, "", "1970-01-01T00:00:01.000000Z", 7, 0, 5, 0)
    assert adopted in rows(filmed)
    assert set(broken(filmed)) == {Rule.FILES}, "its bytes are not those of its name"


def test_a_box_whose_key_was_made_anew_keeps_the_rows_of_its_files(
    filmed: Written, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = rows(filmed)
    (filmed.state_dir / KEY_FILE).unlink()
    load_or_make_key(filmed.state_dir)
    assert not {Rule.FILES, Rule.EVIDENCE, Rule.CLIPS} & set(broken(filmed))
    assert filmed.told(capsys, "fsck", "--repair")[0] == 1
    assert rows(filmed) == whole


def test_the_rows_of_an_event_that_somebody_changed_stay_as_they_are(filmed: Written) -> None:
    filmed.change("UPDATE events SET body=CAST(replace(body, 'front', 'right') AS BLOB) WHERE seq=30")
    assert set(broken(filmed)) == {Rule.SIGNATURES, Rule.CHAIN}


def test_a_record_of_what_went_that_somebody_wrote_explains_nothing(filmed: Written) -> None:
    filmed.change("UPDATE events SET body=CAST(replace(body, 'size', 'days') AS BLOB) WHERE seq=33")
    filmed.change("DELETE FROM garbage")
    assert set(broken(filmed)) == {Rule.SIGNATURES, Rule.FILES, Rule.EVIDENCE}


# ---- clips


KEPT = json.loads(CLIP.stored("5f0c2a9e", 1))
CHANGES: list[dict[str, Any]] = [
    {"cls": "fire"},
    {"cls": 0},
    {"camera": "back"},
    {"case": None},
    {"picture": 1},
    {"at_s": "1000"},
    {"at_s": True},
    {"at_s": 980.0},
    {"until_s": 999.0},
    {"until_s": float("nan")},
    {"until_s": float("inf")},
    {"from_s": float("-inf")},
    {"until_s": 10**400},
    {"wall_us": 10**400},
    {"wall_us": 1.5},
    {"boot": 5},
    {"told": []},
]
UNREADABLE = [
    b"\xff",
    b"",
    b"[]",
    b"7",
    b"{}",
    b"[" * 100_000,
    *(json.dumps(KEPT | change).encode() for change in CHANGES),
    *(json.dumps({key: value for key, value in KEPT.items() if key != left_out}).encode() for left_out in KEPT),
]


@pytest.mark.parametrize("body", UNREADABLE, ids=lambda body: repr(body[-40:]))
@pytest.mark.parametrize("as_text", [True, False])
def test_a_clip_that_the_box_cannot_go_on_with_is_named_and_goes(
    filmed: Written, capsys: pytest.CaptureFixture[str], body: bytes, *, as_text: bool
) -> None:
    filmed.change(f"UPDATE clips SET body={'CAST(? AS TEXT)' if as_text else '?'}", body)
    assert set(broken(filmed)) == {Rule.CLIPS}
    assert filmed.told(capsys, "fsck", "--repair")[0] == 0
    assert filmed.tables()["clips"] == []
    assert broken(filmed) == {}


def test_a_clip_whose_name_is_no_text_goes_too(filmed: Written, capsys: pytest.CaptureFixture[str]) -> None:
    filmed.change("UPDATE clips SET name=CAST(x'ff' AS TEXT)")
    assert set(broken(filmed)) == {Rule.CLIPS}
    assert filmed.told(capsys, "fsck", "--repair")[0] == 0
    assert filmed.tables()["clips"] == []


# ---- beside the daemon


def test_what_a_box_that_films_does_meanwhile_is_no_fault(filmed: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between any two statements files come with their events, and others go."""
    monkeypatch.setattr(fsck_module, "PAGE_ROWS", 3)
    alive = [filmed.evidence(b"clip 0")]
    turns: list[str] = []
    connect = Fsck._connect

    def live(statement: str) -> None:
        turns.append(statement)
        if len(turns) < 60:
            alive.append(filmed.evidence(f"clip {len(turns)}".encode()))
            filmed.discard(alive.pop(0))
            gone = next(iter(filmed.tables()["garbage"]))
            filmed.journal.write([Write(unlinked=gone)])
            (folder(filmed) / ".front.tmp").write_bytes(statement.encode())

    def traced(self: Fsck, mode: str) -> Any:
        sql = connect(self, mode)
        sql.set_trace_callback(live)
        return sql

    monkeypatch.setattr(Fsck, "_connect", traced)
    assert broken(filmed) == {}
    assert len(turns) > 15


# ---- by hundreds of bits


def test_any_bit_that_flips_in_a_file_is_found_and_the_file_named(filmed: Written) -> None:
    rng = random.Random(4)
    for path in sorted(folder(filmed).iterdir()):
        whole = path.read_bytes()
        for _ in range(40):
            changed = bytearray(whole)
            changed[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
            path.write_bytes(changed)
            [place] = broken(filmed)[Rule.FILES]
            assert place.startswith(path.name)
        path.write_bytes(whole)
    assert broken(filmed) == {}


@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(2, 6))])
def test_any_bit_that_flips_in_a_row_is_mended_or_believed(
    filmed: Written, capsys: pytest.CaptureFixture[str], seed: int
) -> None:
    rng, whole = random.Random(seed), rows(filmed)
    for _ in range(50):
        column, key = rng.choice(COLUMNS), rng.choice(whole)[0]
        [value] = _read(filmed, f"SELECT {column} FROM files WHERE sha256='{key}'")
        changed, bound = _flipped(value, rng)
        filmed.change(f"UPDATE files SET {column}={bound} WHERE sha256='{key}'", changed)
        if set(broken(filmed)) == {Rule.EVIDENCE}:
            assert filmed.told(capsys, "fsck", "--repair")[0] == 0
        else:
            assert (broken(filmed), column in BELIEVED) == ({}, True), f"{column}: {value!r}, now {changed!r}"
            filmed.change(f"UPDATE files SET {column}=? WHERE sha256='{key}'", value)
        assert rows(filmed) == whole, f"{column}: {value!r}, now {changed!r}"


def _read(box: Written, query: str) -> Any:
    return box.journal._sql.execute(query).fetchone()


def _flipped(value: Any, rng: random.Random) -> tuple[Any, str]:
    """The value with one bit of it another one, and how it is to be bound."""
    if isinstance(value, int):
        return value ^ (1 << rng.randrange(40)), "?"
    raw = bytearray(value.encode())
    raw[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
    return bytes(raw), "CAST(? AS TEXT)"
