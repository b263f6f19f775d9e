"""The code lists' file: what is on a list, versions, expiry, hashes, and a cut at any statement. Real SQLite."""

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.config import CodeList
from agent.list_file import FILE, SWEEP_ROWS, ListFile, damaged, move_aside
from agent.lists_mail import ChangeList, Entry, LookUp

KEY = b"0123456789abcdef"
LISTS = {
    "tickets": CodeList(name="tickets", kind="allow", hashed=False),
    "stolen": CodeList(name="stolen", kind="watch", hashed=True),
    "lost": CodeList(name="lost", kind="watch", hashed=True),
}


@pytest.fixture
def file(tmp_path: Path) -> ListFile:
    return ListFile(tmp_path / FILE, LISTS, KEY)


def change(file: ListFile, name: str = "tickets", *codes: str | Entry, **keys: Any) -> int:
    entries = tuple(code if isinstance(code, Entry) else Entry(code) for code in codes)
    changed = file.change(ChangeList(1, name, entries, **keys))
    assert changed.reason == ""
    return changed.codes


def on(file: ListFile, code: str, *lists: str, wall_s: float = 1000.0) -> tuple[str, ...]:
    return file.look_up(LookUp(7, lists or ("tickets",), code, wall_s)).found


def content(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.glob(f"{FILE}*"))


def test_a_code_is_on_a_list_from_when_it_is_put_in_until_it_is_taken_out(file: ListFile) -> None:
    assert change(file, "tickets", "A-1", "A-2", "票 3") == 3
    assert [on(file, code) for code in ("A-1", "a-1", "票 3", "")] == [("tickets",), (), ("tickets",), ()]
    assert change(file, "tickets", "A-1", remove=("A-2", "never there")) == 2
    assert on(file, "A-2") == ()
    assert change(file, "tickets", "A-3", remove=("A-3",)) == 3, "what is in both is put in"
    assert on(file, "A-3") == ("tickets",)


def test_a_question_names_the_lists_that_it_is_on_and_those_that_were_never_brought(file: ListFile) -> None:
    change(file, "tickets", "A-1")
    change(file, "stolen", "A-1")
    said = file.look_up(LookUp(7, ("tickets", "stolen", "lost"), "A-1", 0))
    assert (said.ref, said.found, said.reason) == (7, ("tickets", "stolen"), "not brought yet: lost")
    assert change(file, "lost") == 0, "an empty list is one too"
    assert file.look_up(LookUp(7, ("lost",), "A-1", 0)).reason == ""
    assert file.codes() == {"tickets": 1, "stolen": 1, "lost": 0}


def test_a_code_expires_by_itself_and_the_newest_word_of_when_counts(file: ListFile) -> None:
    assert change(file, "tickets", Entry("A-1", 1000.0), Entry("A-2", 1000.0), "A-3") == 3
    assert [on(file, "A-1", wall_s=at_s) for at_s in (999.9, 1000.0)] == [("tickets",), ()]
    assert change(file, "tickets", Entry("A-1", 2000.0), "A-2", Entry("A-3", 500.0)) == 3
    found = {code: on(file, code, wall_s=1500.0) for code in ("A-1", "A-2", "A-3")}
    assert found == {"A-1": ("tickets",), "A-2": ("tickets",), "A-3": ()}


def test_what_has_expired_goes_with_the_next_change_and_only_by_a_clock_that_is_vouched_for(file: ListFile) -> None:
    change(file, "tickets", Entry("A-1", 1000.0), "A-2")
    assert change(file, "tickets", "A-3", wall_s=None) == 3
    assert change(file, "tickets", "A-4", wall_s=1000.0) == 3
    assert on(file, "A-1", wall_s=0.0) == ()


# ---- hashed


def test_a_hashed_list_has_no_code_on_the_disk_and_is_asked_all_the_same(file: ListFile, tmp_path: Path) -> None:
    change(file, "stolen", "L898902C3")
    change(file, "stolen", "SECRET-77", version="2")
    change(file, "stolen", version="2", count=1)
    change(file, "tickets", "PLAIN-1")
    assert on(file, "SECRET-77", "stolen") == ("stolen",)
    file.close()
    bytes_there = content(tmp_path)
    assert b"PLAIN-1" in bytes_there
    assert b"L898902C3" not in bytes_there
    assert b"SECRET-77" not in bytes_there


def test_the_same_code_on_two_hashed_lists_looks_different(file: ListFile, tmp_path: Path) -> None:
    change(file, "stolen", "L898902C3")
    change(file, "lost", "L898902C3")
    file.close()
    with sqlite3.connect(tmp_path / FILE) as db:
        assert len(set(db.execute("SELECT code FROM entries").fetchall())) == 2


@pytest.mark.parametrize(
    ("lists", "key"),
    [
        (LISTS, b"another key of the site"),
        (LISTS | {"stolen": CodeList(name="stolen", kind="watch", hashed=False)}, KEY),
    ],
    ids=["another key", "no more hashed"],
)
def test_a_list_that_was_kept_otherwise_has_to_be_brought_again(
    file: ListFile, tmp_path: Path, lists: Any, key: bytes
) -> None:
    change(file, "stolen", "L898902C3")
    file.close()
    other = ListFile(tmp_path / FILE, lists, key)
    assert other.codes() == {}
    assert other.look_up(LookUp(1, ("stolen",), "L898902C3", 0)).reason == "not brought yet: stolen"
    assert change(other, "stolen", "X") == 1
    assert on(other, "X", "stolen") == ("stolen",)


# ---- versions


def test_a_new_version_takes_the_place_of_the_list_when_it_is_whole_and_not_before(file: ListFile) -> None:
    change(file, "tickets", "old", "both")
    change(file, "tickets", "both", "new-1", version="v2")
    assert [on(file, code) for code in ("old", "both", "new-1")] == [("tickets",), ("tickets",), ()]
    change(file, "tickets", "old-2")
    assert change(file, "tickets", "new-2", version="v2", count=3) == 3
    found = [code for code in ("old", "old-2", "both", "new-1", "new-2") if on(file, code)]
    assert found == ["both", "new-1", "new-2"]


def test_a_version_with_another_count_than_was_said_changes_nothing_until_the_rest_comes(file: ListFile) -> None:
    change(file, "tickets", "old")
    change(file, "tickets", "a", version="v2")
    refused = file.change(ChangeList(9, "tickets", (Entry("c"),), version="v2", count=3))
    assert (refused.ref, refused.reason) == (
        9,
        "data.count: this version has 2 codes, and not 3: bring what is missing",
    )
    assert [on(file, code) for code in ("old", "a", "c")] == [("tickets",), (), ()]
    change(file, "tickets", "b", version="v2")
    assert change(file, "tickets", "c", version="v2", count=3) == 3
    assert on(file, "old") == ()


def test_parts_may_come_twice_and_in_any_order_also_after_the_end(file: ListFile) -> None:
    parts = [("a", "b"), ("c", "d"), ("e",)]
    for n in (2, 0, 0, 1, 2):
        change(file, "tickets", *parts[n], version="v2")
    assert change(file, "tickets", version="v2", count=5) == 5
    assert change(file, "tickets", version="v2", count=5) == 5, "whose audit event was lost sends it again"
    assert change(file, "tickets", *parts[1], version="v2") == 5
    assert all(on(file, code) for code in "abcde")


def test_of_a_code_that_came_twice_in_a_version_the_last_word_counts(file: ListFile) -> None:
    change(file, "tickets", Entry("a", 10.0), version="v2")
    change(file, "tickets", Entry("a", 5000.0), version="v2", count=1)
    assert on(file, "a", wall_s=4000.0) == ("tickets",)


def test_another_version_ends_one_that_was_not_finished(file: ListFile) -> None:
    change(file, "tickets", "a", version="v2")
    change(file, "tickets", "b", version="v3")
    assert change(file, "tickets", version="v3", count=1) == 1
    assert on(file, "a") == ()
    assert file.change(ChangeList(1, "tickets", (), version="v2", count=1)).reason != ""


def test_what_is_no_list_any_more_goes_in_parts_and_leaves_nothing(file: ListFile, tmp_path: Path) -> None:
    many = [str(n) for n in range(2 * SWEEP_ROWS + 1)]
    change(file, "tickets", *many)
    change(file, "tickets", *many, version="given up")
    change(file, "tickets", "a", "b", version="v2", count=2)
    parts = 0
    while file.sweep():
        parts += 1
    assert parts >= 3
    with sqlite3.connect(tmp_path / FILE) as db:
        [rows] = db.execute(
            "SELECT (SELECT COUNT(*) FROM versions), (SELECT COUNT(*) FROM entries), (SELECT COUNT(*) FROM gathered)"
        ).fetchall()
    assert rows == (1, 2, 0)
    assert on(file, "a") == ("tickets",)


# ---- a cut

CHANGES: dict[str, Callable[[ListFile], int]] = {
    "changed": lambda file: change(file, "tickets", "c", Entry("a", 5000.0), remove=("b",), wall_s=1000.0),
    "gathered": lambda file: change(file, "tickets", "c", version="v2"),
    "made valid": lambda file: change(file, "tickets", "c", version="v2", count=2),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_cut_at_any_statement_leaves_the_list_as_before_or_after(file: ListFile, tmp_path: Path, name: str) -> None:
    change(file, "tickets", "a", "b", Entry("d", 900.0))
    change(file, "tickets", "n", version="v2")
    found: list[list[str]] = []

    def listed(folder: Path) -> list[str]:
        after = ListFile(folder / FILE, LISTS, KEY)
        codes = [code for code in "abcdn" if on(after, code, wall_s=500.0)]
        after.close()
        return codes

    def cut(_: str) -> None:
        folder = tmp_path / f"cut-{len(found)}"
        folder.mkdir()
        for end in ("", "-wal"):
            shutil.copy(tmp_path / f"{FILE}{end}", folder)
        found.append(listed(folder))

    before = [code for code in "abcdn" if on(file, code, wall_s=500.0)]
    file._db.set_trace_callback(cut)
    CHANGES[name](file)
    file._db.set_trace_callback(None)
    after = [code for code in "abcdn" if on(file, code, wall_s=500.0)]
    assert len(found) >= 5
    assert [codes for codes in found if codes not in (before, after)] == []
    assert after == {"changed": ["a", "c"], "gathered": before, "made valid": ["c", "n"]}[name]


# ---- damage


def test_a_damaged_file_is_known_and_moved_aside_with_its_wal(file: ListFile, tmp_path: Path) -> None:
    path = tmp_path / FILE
    change(file, "tickets", *(str(n) for n in range(500)))
    file.close()
    assert damaged(path) == ""
    content = bytearray(path.read_bytes())
    content[len(content) // 3 : len(content) // 2] = bytes(len(content) // 2 - len(content) // 3)
    path.write_bytes(content)
    assert damaged(path) != ""
    path.write_bytes(b"no database at all" * 100)
    assert damaged(path) == "file is not a database"
    (tmp_path / f"{FILE}-wal").write_bytes(b"rest")
    aside = move_aside(path)
    assert sorted(each.name for each in tmp_path.iterdir()) == [aside, f"{aside}-wal"]


# ---- as a set would have it

CODES = st.text("ab", min_size=1, max_size=2)
EXPIRES = st.none() | st.integers(1, 20).map(float)
STEP = st.fixed_dictionaries(
    {
        "add": st.lists(st.builds(Entry, CODES, EXPIRES), max_size=4),
        "remove": st.lists(CODES, max_size=2),
        "version": st.sampled_from(["", "", "v", "w"]),
        "whole": st.booleans(),
    }
)


@settings(derandomize=True, max_examples=100, deadline=None)
@given(st.lists(STEP, max_size=8))
def test_any_row_of_changes_leaves_what_a_plain_dictionary_would_have(steps: list[Any]) -> None:
    file = ListFile(Path(":memory:"), LISTS, KEY)
    valid: dict[str, float | None] = {}
    label, gathering, gathered = "", "", dict[str, float | None]()
    for step in steps:
        version, add = step["version"], dict(step["add"])
        if version and version != label and gathering != version:
            gathering, gathered = version, {}
        whole = step["whole"] and version != "" and version == gathering
        if not version or version == label:
            for code in () if version else step["remove"]:
                valid.pop(code, None)
            valid |= add
        else:
            gathered |= add
        if whole:
            label, valid, gathering, gathered = gathering, gathered, "", {}
        change(
            file,
            "tickets",
            *step["add"],
            remove=() if version else tuple(step["remove"]),
            version=version,
            count=len(valid) if whole else None,
        )
        file.sweep()
        for code in ("a", "b", "ab"):
            until_s = valid.get(code, 0.0)
            assert bool(on(file, code, wall_s=10.0)) == (until_s is None or until_s > 10.0)
    assert file.codes().get("tickets", 0) == len(valid)
    file.close()
