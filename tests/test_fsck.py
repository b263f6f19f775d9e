"""`callbox fsck`: of a journal as it should be, of a file that is not whole, in words, and beside the daemon."""

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
from bad_disk import flip
from fsck_box import box, broken, filmed, named
from real_box import RealBox, until
from written import PEM, SIGNER, Written, crashed, thirty

from agent import fsck as fsck_module
from agent.cli import main
from agent.errors import BoxError
from agent.fsck import Fsck
from agent.identity import KEY_FILE
from agent.journal import FILE
from agent.mail import Write
from agent.main import take_lock
from agent.rules import Rule
from agent.storage import LEFT, open_journal

__all__ = ["box", "filmed"]  # fixtures


# ---- a journal as it should be


def test_a_journal_as_the_box_writes_it_is_clean(filmed: Written, capsys: pytest.CaptureFixture[str]) -> None:
    before = filmed.tables()
    assert all(before.values()), "something stands in every table"
    clean = {"journal": filmed.journal.name, "events": 23, "holes": 2, "faults": []}
    assert filmed.told(capsys, "fsck") == (0, clean)
    assert filmed.run(capsys, "fsck") == (0, f"Clean: journal {filmed.journal.name}, 23 events, 2 holes.\n")
    assert filmed.told(capsys, "fsck", "--repair") == (0, clean)
    assert filmed.tables() == before
    assert filmed.told(capsys, "verify")[1]["problem"] is None


def test_a_new_journal_is_clean(tmp_path: Path) -> None:
    made = Written(tmp_path)
    assert broken(made) == {}
    assert Fsck(tmp_path, SIGNER.public).name == made.journal.name
    made.journal.close()


def test_a_case_whose_presses_are_pruned_or_in_another_journal_is_none_to_mend(box: Written) -> None:
    box.press("case-3", 1)
    box.write(delivered=((13, 30),))
    box.prune()
    assert broken(box) == {}
    box.change("UPDATE cases SET body=replace(body, '\"last_seq\": 22', '\"last_seq\": 0')")
    assert broken(box) == {}


def test_a_record_that_came_over_from_another_journal_speaks_of_that_ones_numbers(box: Written) -> None:
    box.write("audit.pruned", {"cause": "disk", "count": 9, "holes": [[13, 21, "h" * 43]]})
    assert broken(box) == {}


# ---- in words


def test_the_table_says_what_is_wrong_and_what_to_do(
    box: Written, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    box.change("INSERT INTO owed VALUES (2, 999)")
    box.change("DELETE FROM events WHERE seq=18")
    code, out = box.run(capsys, "fsck")
    assert code == 1
    assert [line[:4] for line in out.splitlines()] == [" 3  ", "    ", " 9  ", "    ", "Rule"]
    assert "18-18" in out and "999" in out
    monkeypatch.setenv("CALLBOX_LANG", "zh")
    assert "下一步" in box.run(capsys, "fsck")[1]
    assert "已修复" in box.run(capsys, "fsck", "--repair")[1]


def test_the_last_line_says_that_all_is_mended_and_the_next_look_that_all_is_clean(
    box: Written, capsys: pytest.CaptureFixture[str]
) -> None:
    box.change("INSERT INTO owed VALUES (2, 999)")
    code, out = box.run(capsys, "fsck", "--repair")
    assert code == 0
    assert out.splitlines()[-1].startswith("All mended: ")
    assert box.run(capsys, "fsck")[1].startswith("Clean: ")


# ---- a file that is not whole


@pytest.mark.parametrize("where", [0.3, 0.6, 0.9])
def test_a_damaged_page_is_named_and_nothing_of_the_file_is_touched(
    box: Written, capsys: pytest.CaptureFixture[str], where: float
) -> None:
    box.change("INSERT INTO owed VALUES (2, 999)")
    box.journal.close()
    file = box.state_dir / FILE
    content = bytearray(file.read_bytes())
    page = int(where * len(content) / 4096) * 4096
    content[page : page + 4096] = b"\xa5" * 4096
    file.write_bytes(content)
    for args in ((), ("--repair",)):
        code, found = box.told(capsys, "fsck", *args)
        assert code == 1
        assert named(found, Rule.FILE)["next"].startswith("Next: ")
        assert not any(fault["mended"] for fault in found["faults"])
        assert "--repair" not in json.dumps(found)
    assert file.read_bytes() == bytes(content)


def test_a_file_that_is_no_database_is_named(box: Written) -> None:
    box.journal.close()
    (box.state_dir / FILE).write_bytes(b"not a journal" * 1_000)
    assert list(broken(box)) == [Rule.FILE]


def test_a_wal_that_ends_too_soon_is_named_and_left_to_the_box(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """SQLite takes a flipped bit for its end; whoever wrote to the file would lose what stands behind."""
    wal = crashed(tmp_path, thirty)
    (tmp_path / KEY_FILE).write_bytes(PEM)
    flip(wal, wal.stat().st_size // 2)
    damaged = wal.read_bytes()
    for args in ([], ["--repair"]):
        assert main(["fsck", "--state-dir", str(tmp_path), "--json", *args]) == 1
        found = json.loads(capsys.readouterr().out)
        assert "its WAL held" in named(found, Rule.FILE)["places"][0]
    assert wal.read_bytes() == damaged
    opened = open_journal(tmp_path)
    assert "moved aside" in opened.reason
    opened.journal.close()


def test_a_renewal_that_a_cut_left_half_done_is_the_boxs_to_finish(
    box: Written, capsys: pytest.CaptureFixture[str]
) -> None:
    box.change("INSERT INTO owed VALUES (2, 999)")
    shutil.copy(box.state_dir / FILE, box.state_dir / LEFT)
    code, found = box.told(capsys, "fsck", "--repair")
    assert (code, [fault["mended"] for fault in found["faults"]]) == (1, [0, 0])
    assert LEFT in named(found, Rule.FILE)["places"][0]
    assert named(found, Rule.OWED)["next"].startswith("Next: see to the first")


def test_where_there_is_no_journal_or_no_key_that_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fsck", "--state-dir", str(tmp_path / "nowhere"), "--repair"]) == 1
    assert KEY_FILE in capsys.readouterr().err
    assert not (tmp_path / "nowhere").exists()
    with pytest.raises(BoxError, match="no journal there"):
        Fsck(tmp_path, SIGNER.public)


# ---- beside the daemon


def test_it_mends_nothing_while_a_box_runs_on_the_journal(box: Written, capsys: pytest.CaptureFixture[str]) -> None:
    box.change("INSERT INTO owed VALUES (2, 999)")
    before = box.tables()
    lock = take_lock(box.state_dir)
    assert lock is not None
    assert main(["fsck", "--state-dir", str(box.state_dir), "--repair"]) == 1
    assert "another callbox runs" in capsys.readouterr().err
    assert box.tables() == before
    assert box.told(capsys, "fsck")[0] == 1, "it may look"
    lock.close()
    assert box.told(capsys, "fsck", "--repair")[0] == 0


def test_what_the_box_does_meanwhile_is_no_fault(box: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between any two statements of it the box records, is told what central has, prunes and parks."""
    monkeypatch.setattr(fsck_module, "PAGE_ROWS", 3)
    box.write(count=20, delivered=((17, 48),))
    turns: list[str] = []
    connect = Fsck._connect

    def live(statement: str) -> None:
        turns.append(statement)
        if statement == "BEGIN":
            box.press("case-3", 1)
        if len(turns) < 40 and "seq IN" not in statement:
            first = 13 + len(turns)
            box.press("case-1", 2 + len(turns))
            if box.journal._sql.execute("SELECT 1 FROM events WHERE seq=?", [first]).fetchone():
                box.journal.write([Write(delivered=((first, first),))])
                box.prune(box.journal._with_neighbours((first, first)))
            box.journal.owe_some()

    def traced(self: Fsck, mode: str) -> Any:
        sql = connect(self, mode)
        sql.set_trace_callback(live)
        return sql

    monkeypatch.setattr(Fsck, "_connect", traced)
    assert broken(box) == {}
    assert len(turns) > 15


@pytest.mark.real
def test_a_real_box_that_runs_that_was_killed_and_that_starts_again_has_a_clean_journal(tmp_path: Path) -> None:
    with RealBox(tmp_path) as real:
        real.broker.start()
        real.start_central()
        real.power_on()
        real.armed()
        for number in range(50):
            real.scan(f"ticket {number}")
        real.press_until_lit()
        where = ("--state-dir", str(real.state_dir))
        until(lambda: real.status()["seq"] > 50, "all of it is recorded")
        assert real.callbox("fsck", *where).returncode == 0
        refused = real.callbox("fsck", "--repair", *where)
        assert refused.returncode == 1
        assert b"another callbox runs" in refused.stderr
        real.signal(signal.SIGSTOP)
        assert real.callbox("fsck", *where).returncode == 0
        real.kill()
        assert real.callbox("fsck", *where).returncode == 0
        assert real.callbox("fsck", "--repair", *where).returncode == 0
        real.power_on()
        real.armed().owes_nothing()
        assert real.callbox("fsck", *where).returncode == 0
        assert len(real.stored("scan")) == 50
