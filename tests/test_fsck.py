"""`callbox fsck`: each rule broken once, named where it is broken, and mended where that follows from the events."""

# ruff: noqa: S608  the statements are this file's own

import json
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bench_box import CENTRAL
from real_box import RealBox, until
from test_storage import crashed, flip, thirty
from written import PEM, SIGNER, Written

from agent import fsck as fsck_module
from agent.cli import main
from agent.compliance import Compliance
from agent.errors import BoxError
from agent.fsck import SHOWN, Fsck
from agent.identity import KEY_FILE, Ed25519Signer, load_or_make_key
from agent.journal import FILE
from agent.mail import Write
from agent.main import take_lock
from agent.rules import MENDABLE, Rule
from agent.storage import LEFT, open_journal

ARCHITECTURE = (Path(__file__).parent.parent / "docs/architecture.md").read_text(encoding="utf-8")


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Written]:
    """28 events; two holes, and something in every table."""
    monkeypatch.setenv("CALLBOX_LANG", "en")
    made = Written(tmp_path)
    measure = Compliance("", 90.0, 0.0, 0.0).stored(60.0, 60.0)
    settings = {"last_end": "crash", "raised mains": "1", "merged door": "3", "compliance": measure}
    made.write(count=20, settings=settings, seen={"command-1": 9e11})
    made.press("case-1", 1)
    made.press("case-1", 2)
    made.press("case-2", 1)
    made.write("audit.closed", {"case": "case-2", "by": "reset", "note": ""}, cases={"case-2": None})
    made.write("alarm.panic", {"transition": "restored", "input": "alarm-1", "case": "case-2", "count": 1})
    made.write(delivered=((1, 6), (9, 12)))
    made.prune()
    made.write(delivered=((18, 19),), parked={14: "central: no"}, owe=((15, 16),))
    yield made
    made.journal.close()


def broken(box: Written) -> dict[Rule, tuple[str, ...]]:
    """The rules that are broken, and where."""
    return {fault.rule: fault.places for fault in Fsck(box.state_dir, SIGNER.public).faults}


# ---- a journal as it should be


def test_a_journal_as_the_box_writes_it_is_clean(box: Written, capsys: pytest.CaptureFixture[str]) -> None:
    before = box.tables()
    assert all(before.values()), "something stands in every table"
    clean = {"journal": box.journal.name, "events": 18, "holes": 2, "faults": []}
    assert box.told(capsys, "fsck") == (0, clean)
    assert box.run(capsys, "fsck") == (0, f"Clean: journal {box.journal.name}, 18 events, 2 holes.\n")
    assert box.told(capsys, "fsck", "--repair") == (0, clean)
    assert box.tables() == before


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


# ---- each rule broken

GONE = "a" * 43
CASE: dict[str, Any] = {
    "id": "case-1",
    "input": "alarm-1",
    "kind": "panic",
    "count": 2,
    "last_seq": 22,
    "acknowledged": False,
}


def case(**changes: Any) -> str:
    return f"UPDATE cases SET body='{json.dumps(CASE | changes, sort_keys=True)}'"


LASTING: list[tuple[Rule, str, str]] = [
    (Rule.KIND, "PRAGMA application_id=7", "application id 0x7, not 0x43424f58"),
    (Rule.KIND, "PRAGMA user_version=1", "version 1, not 2"),
    (Rule.KIND, "PRAGMA user_version=99", "version 99, not 2"),
    (Rule.KIND, "DROP TRIGGER more", "more"),
    (Rule.KIND, "CREATE TABLE further (a)", "further"),
    (Rule.MISSING, "DELETE FROM events WHERE seq=18", "18-18"),
    (Rule.ROWS, "UPDATE events SET class=3 WHERE seq=18", "18"),
    (Rule.ROWS, "UPDATE events SET body=CAST(body AS TEXT) WHERE seq=18", "18"),
    (Rule.ROWS, "UPDATE events SET body=x'78' WHERE seq=28", "28"),
    (Rule.SIGNATURES, "UPDATE events SET body=CAST(replace(body, 'desk', 'dask') AS BLOB) WHERE seq=28", "28"),
]
"""Rule, what breaks it, and where it is named. Nobody can tell what stood there."""

MENDED: list[tuple[Rule, str, str]] = [
    (Rule.KIND, "UPDATE settings SET value='00000000' WHERE name='journal'", "journal '00000000', in its events NAME"),
    (Rule.KIND, "UPDATE settings SET value=x'ff' WHERE name='journal'", "journal \"b'\\\\xff'\", in its events NAME"),
    (Rule.KIND, "DELETE FROM settings WHERE name='journal'", "journal '', in its events NAME"),
    (Rule.PRUNED, "DELETE FROM pruned WHERE first=1", "1-6"),
    (Rule.PRUNED, f"UPDATE pruned SET hash='{GONE}' WHERE first=9", "9-12"),
    (Rule.PRUNED, "UPDATE pruned SET first=2 WHERE first=1", "2-6 1-6"),
    (Rule.PRUNED, "UPDATE pruned SET last=11 WHERE first=9", "9-11 9-12"),
    (Rule.PRUNED, f"INSERT INTO pruned VALUES (2, 3, '{GONE}')", "2-3"),
    (Rule.PRUNED, f"INSERT INTO pruned VALUES (40, 50, '{GONE}')", "40-50"),
    (Rule.HOLES, "UPDATE pruned SET last=7 WHERE first=1", "1-7"),
    (Rule.HOLES, f"INSERT INTO pruned VALUES (17, 18, '{GONE}')", "17-18"),
    (Rule.OWED, "INSERT INTO owed VALUES (2, 999)", "999"),
    (Rule.OWED, "INSERT INTO owed VALUES (0, 17)", "17"),
    (Rule.OWED, "INSERT INTO owed VALUES (7, 3)", "3"),
    (Rule.ONE_OF_TWO, "INSERT INTO parked VALUES (17, 'central: no')", "17"),
    (Rule.PENDING, "UPDATE pending SET events=events+1 WHERE class=2", "scan"),
    (Rule.PENDING, "DELETE FROM pending WHERE class=3", "status"),
    (Rule.PENDING, "INSERT INTO pending VALUES (9, 0)", "9"),
    (Rule.PARKED, "INSERT INTO parked VALUES (999, 'central: no')", "999"),
    (Rule.PARKED, "INSERT INTO parked VALUES (3, 'central: no')", "3"),
    (Rule.OWING, "INSERT INTO owing VALUES (900, 1000)", "900-1000"),
    (Rule.OWING, "INSERT INTO owing VALUES (9, 8)", "9-8"),
    (Rule.OWING, "INSERT INTO owing VALUES (-3, -1)", "-3--1"),
    *(
        (Rule.CASES, statement, "case-1")
        for statement in (
            "UPDATE cases SET body=x'ff00'",
            "UPDATE cases SET body='[]'",
            "UPDATE cases SET body='{\"last_seq\": 22}'",
            case(id="case-9"),
            case(input=7),
            case(kind="door"),
            case(kind="duress"),
            case(kind="cancel"),
            case(count=1),
            case(count=True),
            case(last_seq=21),
            case(last_seq=17),
            case(last_seq=999),
            case(last_seq=10**30),
            case(acknowledged="no"),
            case(shown_s=1.0),
        )
    ),
    (
        Rule.CASES,
        f"INSERT INTO cases VALUES ('case-2', '{json.dumps(CASE | {'id': 'case-2', 'count': 1, 'last_seq': 23})}')",
        "case-2",
    ),
    (Rule.CASES, "INSERT INTO cases VALUES ('case-7', 'x')", "case-7"),
]
"""As LASTING; and mended, all is as before."""

FORGOTTEN: list[tuple[str, str, Any]] = [
    ("UPDATE settings SET value='often' WHERE name='last_end'", "last_end", "crash"),
    ("UPDATE settings SET value='yes' WHERE name='raised mains'", "raised mains", None),
    ("UPDATE settings SET value='many' WHERE name='merged door'", "merged door", None),
    ("UPDATE settings SET value='-1' WHERE name='merged door'", "merged door", None),
    ("UPDATE settings SET value=x'ff' WHERE name='merged door'", "merged door", None),
    ("UPDATE settings SET value='x' WHERE name='compliance'", "compliance", None),
    ("UPDATE settings SET value='{}' WHERE name='compliance'", "compliance", None),
    ("UPDATE settings SET value='[]' WHERE name='compliance'", "compliance", None),
    ("UPDATE settings SET value=replace(value, '60.0', '\"60\"') WHERE name='compliance'", "compliance", None),
]
"""Settings that the box cannot read, and what stands there when that is mended."""


def named(found: Any, rule: Rule) -> dict[str, Any]:
    """What is told of one rule."""
    [fault] = [fault for fault in found["faults"] if fault["rule"] == rule]
    assert isinstance(fault, dict)
    return fault


@pytest.mark.parametrize(("rule", "statement", "places"), LASTING, ids=str)
def test_what_cannot_be_mended_is_named_with_what_to_do_and_left_as_it_is(
    box: Written, capsys: pytest.CaptureFixture[str], rule: Rule, statement: str, places: str
) -> None:
    box.change(statement)
    before = box.tables()
    code, found = box.told(capsys, "fsck")
    assert (code, [fault["rule"] for fault in found["faults"]]) == (1, [rule])
    assert named(found, rule)["places"] == [places]
    assert named(found, rule)["next"].startswith("Next: ")
    assert "--repair" not in named(found, rule)["next"]
    code, again = box.told(capsys, "fsck", "--repair")
    assert (code, again["faults"]) == (1, found["faults"])
    assert box.tables() == before


@pytest.mark.parametrize(("rule", "statement", "places"), MENDED, ids=str)
def test_what_follows_from_the_events_is_named_and_mended(
    box: Written, capsys: pytest.CaptureFixture[str], rule: Rule, statement: str, places: str
) -> None:
    whole = box.tables()
    box.change(statement)
    before = box.tables()
    code, found = box.told(capsys, "fsck")
    assert (code, [fault["rule"] for fault in found["faults"]]) == (1, [rule])
    assert " ".join(named(found, rule)["places"]) == places.replace("NAME", box.journal.name)
    assert "--repair" in named(found, rule)["next"]
    assert box.tables() == before, "without --repair it only reads"
    code, mended = box.told(capsys, "fsck", "--repair")
    assert code == 0
    assert named(mended, rule) == {
        **named(found, rule),
        "mended": named(found, rule)["count"],
        "next": "Mended.",
    }
    assert box.tables() == whole, "what was owed is owed"
    assert box.told(capsys, "fsck")[0] == 0
    assert box.told(capsys, "verify")[1]["problem"] is None


@pytest.mark.parametrize(("statement", "name", "value"), FORGOTTEN, ids=str)
def test_a_setting_that_the_box_cannot_read_is_forgotten(
    box: Written, capsys: pytest.CaptureFixture[str], statement: str, name: str, value: Any
) -> None:
    settings = dict(box.tables()["settings"])
    box.change(statement)
    assert broken(box) == {Rule.SETTINGS: (name,)}
    assert box.told(capsys, "fsck", "--repair")[0] == 0
    del settings[name]
    assert dict(box.tables()["settings"]) == settings | ({name: value} if value else {})


def test_a_command_whose_time_cannot_be_read_is_not_forgotten_so_that_nobody_sends_it_again(
    box: Written, capsys: pytest.CaptureFixture[str]
) -> None:
    box.change("UPDATE commands SET forget_after='soon'")
    assert broken(box) == {Rule.SETTINGS: ("command-1",)}
    assert box.told(capsys, "fsck", "--repair")[0] == 0
    assert box.tables()["commands"] == [("command-1", 9e12)]


def test_what_central_asked_for_is_cut_to_what_is_recorded(box: Written, capsys: pytest.CaptureFixture[str]) -> None:
    box.change("INSERT INTO owing VALUES (20, 1000)")
    assert broken(box) == {Rule.OWING: ("20-1000",)}
    assert box.told(capsys, "fsck", "--repair")[0] == 0
    assert box.tables()["owing"] == [(15, 16), (20, 28)]


def test_a_debt_stays_where_it_is_when_nothing_says_its_class(box: Written) -> None:
    box.change("UPDATE events SET class=9, body=x'78' WHERE seq=28")
    assert broken(box) == {Rule.ROWS: ("28",)}


def test_what_central_asked_for_begins_with_the_first_event(box: Written, capsys: pytest.CaptureFixture[str]) -> None:
    box.change("INSERT INTO owing VALUES (-3, 14)")
    assert broken(box) == {Rule.OWING: ("-3-14",)}
    assert box.told(capsys, "fsck", "--repair")[0] == 0
    assert box.tables()["owing"] == [(1, 14), (15, 16)]


@pytest.mark.parametrize("number", [2, 9])
def test_a_debt_stays_where_it_is_when_only_the_row_of_its_event_says_another_class(
    box: Written, capsys: pytest.CaptureFixture[str], number: int
) -> None:
    box.change("UPDATE events SET class=? WHERE seq=21", number)
    assert broken(box) == {Rule.ROWS: ("21",)}
    box.change("INSERT INTO owed VALUES (2, 999)")
    owed = box.tables()["owed"]
    assert (0, 21) in owed
    assert box.told(capsys, "fsck", "--repair")[0] == 1
    assert box.tables()["owed"] == [debt for debt in owed if debt != (2, 999)]


@pytest.mark.parametrize(
    ("statement", "rules"),
    [
        ("UPDATE events SET body=CAST(replace(body, '\"', 'x') AS BLOB) WHERE seq=22", {Rule.ROWS, Rule.CHAIN}),
        (
            "UPDATE events SET body=CAST(replace(body, 'desk', 'dask') AS BLOB) WHERE seq=21",
            {Rule.SIGNATURES, Rule.CHAIN},
        ),
        ("DELETE FROM events WHERE seq=22", {Rule.MISSING, Rule.OWED}),
    ],
)
def test_an_alarm_whose_press_is_damaged_or_missing_stays_open(
    box: Written, capsys: pytest.CaptureFixture[str], statement: str, rules: set[Rule]
) -> None:
    open_cases = box.tables()["cases"]
    box.change(statement)
    box.change("INSERT INTO parked VALUES (999, 'to be mended')")
    assert set(broken(box)) == rules | {Rule.PARKED}
    assert box.told(capsys, "fsck", "--repair")[0] == 1
    assert box.tables()["cases"] == open_cases


def test_a_box_whose_key_was_made_anew_keeps_its_open_alarms(box: Written, capsys: pytest.CaptureFixture[str]) -> None:
    before = box.tables()
    (box.state_dir / KEY_FILE).unlink()
    load_or_make_key(box.state_dir)
    code, found = box.told(capsys, "fsck", "--repair")
    faults = {fault["rule"]: fault for fault in found["faults"]}
    assert (code, set(faults)) == (1, {Rule.MISSING, Rule.SIGNATURES, Rule.PRUNED})
    assert "verify --key" in faults[Rule.SIGNATURES]["next"]
    after = box.tables()
    assert [after[table] for table in ("cases", "owed", "owing", "parked")] == [
        before[table] for table in ("cases", "owed", "owing", "parked")
    ]


def test_a_debt_in_the_wrong_class_becomes_one_in_the_right_class(
    box: Written, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = box.tables()
    box.change("UPDATE owed SET class=0 WHERE seq=17")
    assert broken(box) == {Rule.OWED: ("17",), Rule.PENDING: ("alarm", "scan")}
    assert box.told(capsys, "fsck", "--repair")[0] == 0
    assert box.tables() == whole


def test_an_event_in_the_place_of_another_breaks_the_chain_behind_it(box: Written) -> None:
    forged = box.seal("scan.code", {"input": "other"}, box.before(18))
    box.change("UPDATE events SET body=? WHERE seq=18", forged.body)
    assert broken(box) == {Rule.CHAIN: ("19",)}


def test_a_hole_whose_record_names_another_hash_breaks_the_chain_behind_it(box: Written) -> None:
    box.change("DELETE FROM events WHERE seq=18")
    box.write("audit.pruned", {"cause": "days", "count": 1, "holes": [[18, 18, GONE]]})
    assert broken(box) == {Rule.CHAIN: ("19",)}


def test_an_event_that_another_key_signed_is_named(box: Written) -> None:
    forged = box.seal("scan.code", None, box.before(28, key=Ed25519Signer(CENTRAL)))
    box.change("UPDATE events SET body=? WHERE seq=28", forged.body)
    assert broken(box) == {Rule.SIGNATURES: ("28",)}


def test_an_event_of_another_journal_of_this_box_is_named(box: Written) -> None:
    other = box.seal("scan.code", None, box.before(28, name="00000000"))
    box.change("UPDATE events SET body=? WHERE seq=28", other.body)
    assert broken(box) == {Rule.ROWS: ("28",)}


def test_where_events_are_back_that_a_record_says_went_the_row_is_mended_and_the_record_stands(
    box: Written, capsys: pytest.CaptureFixture[str]
) -> None:
    bodies = {seq: box.body(seq) for seq in (17, 18)}
    box.write(delivered=((17, 17),))
    box.prune(box.journal._with_neighbours((17, 18)))
    for seq, body in bodies.items():
        box.change("INSERT INTO events VALUES (?, 2, ?)", seq, body)
    box.change("DELETE FROM owed WHERE seq IN (17, 18)")
    assert broken(box) == {Rule.HOLES: ("17-18", "17-18")}
    code, found = box.told(capsys, "fsck", "--repair")
    fault = named(found, Rule.HOLES)
    assert (code, fault["count"], fault["mended"]) == (1, 2, 1)
    assert "callbox resend" in fault["next"]
    assert broken(box) == {Rule.HOLES: ("17-18",)}


def test_a_row_of_what_is_missing_without_a_record_goes_so_that_the_box_never_vouches_for_it(
    box: Written, capsys: pytest.CaptureFixture[str]
) -> None:
    hole = box.journal._with_neighbours((18, 19))
    box.journal.write([Write(prune=(hole,))])
    assert broken(box) == {Rule.MISSING: ("18-19",), Rule.PRUNED: ("18-19",)}
    assert box.told(capsys, "fsck", "--repair")[0] == 1
    assert broken(box) == {Rule.MISSING: ("18-19",)}
    assert [row[:2] for row in box.tables()["pruned"]] == [(1, 6), (9, 12)]


def test_every_fault_at_once_is_named_in_the_order_of_the_rules_and_mended_in_one_go(
    box: Written, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = box.tables()
    for rule, statement, _ in MENDED:
        if rule in (Rule.PARKED, Rule.OWING, Rule.PENDING, Rule.ONE_OF_TWO):
            box.change(statement)
    box.change("DELETE FROM pruned")
    for seq in range(100, 100 + 2 * SHOWN):
        box.change("INSERT INTO owed VALUES (2, ?)", seq)
    code, found = box.told(capsys, "fsck")
    rules = [fault["rule"] for fault in found["faults"]]
    assert (code, rules) == (1, sorted(rules))
    assert set(rules) >= {Rule.PRUNED, Rule.OWED, Rule.PENDING, Rule.PARKED, Rule.OWING}
    owed = named(found, Rule.OWED)
    assert (owed["count"], len(owed["places"])) == (2 * SHOWN, SHOWN)
    assert f"and {SHOWN} more" in owed["what"]
    assert box.told(capsys, "fsck", "--repair")[0] == 0
    assert box.tables() == whole


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


def test_every_rule_is_broken_here_and_told_in_the_architecture_by_its_number() -> None:
    told = ARCHITECTURE.split("## What must hold in a journal")[1].split("\n## ")[0]
    items = dict(re.findall(r"^(\d+)\. ((?:.|\n(?! *\d+\. |\n))*)", told, re.MULTILINE))
    assert list(map(int, items)) == list(Rule)
    assert {Rule(int(number)) for number, text in items.items() if "*Mended.*" in text} == MENDABLE
    here = {rule for rule, _, _ in LASTING + MENDED} | {Rule.FILE, Rule.CHAIN, Rule.SETTINGS}
    assert here == set(Rule)


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
