"""The threads of the code lists: answers, and what a damaged file, a lost disk and a missing key cost. Real SQLite."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import pytest
from config_file import SMALL, loaded

from agent import list_store
from agent.list_file import FILE
from agent.list_store import ListStore
from agent.lists_mail import ChangeList, Entry, ListChanged, ListMessage, ListsStand, LookedUp, LookUp

DEADLINE_S = 10.0
LISTS = "lists: [{name: tickets, kind: allow}, {name: stolen, kind: watch}]\n"


class Listening:
    """What the threads answer, in order."""

    def __init__(self, folder: Path, text: str = LISTS) -> None:
        config = loaded(folder / "box.yaml", f"{SMALL}state_dir: {folder}/state\n{text}")
        self.file = folder / "state" / FILE
        self._heard: SimpleQueue[ListMessage] = SimpleQueue()
        self.store = ListStore(config, self._heard.put)

    def next(self) -> ListMessage:
        try:
            return self._heard.get(timeout=DEADLINE_S)
        except Empty:
            raise AssertionError("no answer") from None

    def until(self, wanted: Callable[[Any], bool]) -> ListMessage:
        while not wanted(message := self.next()):
            pass
        return message

    def change(self, *codes: str, **keys: Any) -> ListChanged:
        self.store.ask(ChangeList(1, "tickets", tuple(map(Entry, codes)), **keys))
        changed = self.until(lambda message: isinstance(message, ListChanged))
        assert isinstance(changed, ListChanged)
        return changed

    def look_up(self, code: str) -> LookedUp:
        self.store.ask(LookUp(5, ("tickets",), code, 0.0))
        found = self.until(lambda message: isinstance(message, LookedUp))
        assert isinstance(found, LookedUp)
        return found

    def stand(self) -> ListsStand:
        stand = self.until(lambda message: isinstance(message, ListsStand))
        assert isinstance(stand, ListsStand)
        return stand


@contextmanager
def listening(folder: Path, text: str = LISTS) -> Iterator[Listening]:
    heard = Listening(folder, text)
    try:
        yield heard
    finally:
        heard.store.close(DEADLINE_S)


def test_a_box_without_lists_has_no_thread_and_no_file_for_them(tmp_path: Path) -> None:
    before = threading.active_count()
    with listening(tmp_path, "") as lists:
        assert threading.active_count() == before
        assert not lists.file.exists()


def test_what_was_brought_is_there_at_the_next_start(tmp_path: Path) -> None:
    with listening(tmp_path) as lists:
        assert lists.stand() == ListsStand({}, "")
        assert lists.look_up("A-1") == LookedUp(5, (), "not brought yet: tickets")
        lists.store.ask(ChangeList(8, "tickets", (Entry("A-1"),)))
        assert lists.next() == ListsStand({"tickets": 1}, "")
        assert lists.next() == ListChanged(8, 1)
        assert lists.look_up("A-1") == LookedUp(5, ("tickets",))
    with listening(tmp_path) as lists:
        assert lists.stand() == ListsStand({"tickets": 1}, "")
        assert lists.look_up("A-1") == LookedUp(5, ("tickets",))


def test_a_scan_waits_for_no_change_that_is_being_written(tmp_path: Path) -> None:
    with listening(tmp_path) as lists:
        lists.change("A-1")
        with sqlite3.connect(lists.file, isolation_level=None) as other:  # as a long change holds it
            other.execute("BEGIN IMMEDIATE")
            lists.store.ask(ChangeList(2, "tickets", (Entry("A-2"),)))
            assert lists.look_up("A-1").found == ("tickets",)
            other.execute("COMMIT")
        assert lists.until(lambda message: isinstance(message, ListChanged)) == ListChanged(2, 2)


def test_a_list_that_is_no_more_goes_beside_all_else(tmp_path: Path) -> None:
    with listening(tmp_path) as lists:
        lists.change(*(str(n) for n in range(5000)))
        lists.change("a", version="v2", count=1)
        gone = threading.Event()

        def rows() -> int:
            with sqlite3.connect(lists.file) as db:
                return int(db.execute("SELECT COUNT(*) FROM entries").fetchone()[0])

        for _ in range(200):
            if rows() == 1:
                break
            gone.wait(0.05)
        assert rows() == 1
        assert lists.look_up("a").found == ("tickets",)


def test_a_damaged_file_at_the_start_goes_aside_and_that_is_said_until_the_lists_are_brought(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / FILE).write_bytes(b"no database at all" * 100)
    with listening(tmp_path) as lists:
        stand = lists.stand()
        assert stand.codes == {}
        assert stand.reason.startswith("lists.db was damaged (file is not a database) and is now lists.db.aside-")
        [aside] = (tmp_path / "state").glob(f"{FILE}.aside-*")
        assert aside.read_bytes().startswith(b"no database")
        assert lists.change("A-1").reason == ""
        assert lists.look_up("A-1").found == ("tickets",)


def test_damage_that_a_scan_meets_costs_that_answer_and_the_file_is_a_new_one(tmp_path: Path) -> None:
    with listening(tmp_path) as lists:
        lists.change(*(str(n) for n in range(3000)))
    with listening(tmp_path) as lists:
        assert lists.look_up("7").found == ("tickets",)  # by a connection that stays open
        with lists.file.open("r+b") as file:
            file.seek(4096 * 8)
            file.write(b"\xa5" * (lists.file.stat().st_size - 4096 * 8))
        answers = (lists.look_up(str(n)) for n in range(0, 3000, 50))
        damaged = next(answer for answer in answers if answer.reason)
        assert (damaged.found, damaged.reason) == ((), "lists.db: database disk image is malformed")
        assert lists.until(lambda message: isinstance(message, ListsStand) and "is now" in message.reason)
        assert lists.look_up("7") == LookedUp(5, (), "not brought yet: tickets")
        assert lists.change("7").reason == ""
        assert lists.look_up("7").found == ("tickets",)


def test_a_folder_that_cannot_be_written_is_said_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(list_store, "RETURN_S", 0.05)
    (tmp_path / "state").write_text("a file in the place of the folder")
    with listening(tmp_path) as lists:
        assert lists.stand().reason.startswith("lists.db: [Errno 17] File exists")
        assert lists.look_up("A-1").reason.startswith("lists.db: [Errno 17] File exists")
        assert lists.change("A-1").reason.startswith("lists.db: [Errno 17] File exists")
        (tmp_path / "state").unlink()
        assert lists.until(lambda message: message == ListsStand({}, ""))
        assert lists.change("A-1") == ListChanged(1, 1)
        assert lists.look_up("A-1").found == ("tickets",)


def test_a_hashed_list_without_a_key_is_not_asked_and_says_why(tmp_path: Path) -> None:
    hashed = f"key_file: {tmp_path}/site\nlists: [{{name: tickets, kind: watch, hashed: true}}]\n"
    with listening(tmp_path, hashed) as lists:
        reason = "lists.db: the site's key could not be read: see key_file in the config, and reload"
        assert lists.stand() == ListsStand({}, reason)
        assert lists.look_up("A-1").reason == reason
    (tmp_path / "site").write_text("0123456789abcdef")
    with listening(tmp_path, hashed) as lists:
        assert lists.change("A-1") == ListChanged(1, 1)
        assert lists.look_up("A-1").found == ("tickets",)
