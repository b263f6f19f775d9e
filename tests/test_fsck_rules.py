"""Each rule of a journal broken once: named where it is broken, and mended where that follows from the events."""

# ruff: noqa: S608  the statements are this file's own

import json
import re
from pathlib import Path
from typing import Any

import pytest
from bench_box import CENTRAL
from fsck_box import GONE, box, broken, named
from written import Written

from agent.fsck import SHOWN
from agent.identity import KEY_FILE, Ed25519Signer, load_or_make_key
from agent.mail import Write
from agent.rules import MENDABLE, Rule

__all__ = ["box"]  # a fixture

ARCHITECTURE = (Path(__file__).parent.parent / "docs/architecture.md").read_text(encoding="utf-8")
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
    (Rule.KIND, "PRAGMA user_version=1", "version 1, not 4"),
    (Rule.KIND, "PRAGMA user_version=99", "version 99, not 4"),
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
    (Rule.REPORTS, "INSERT INTO reports (seq, path, class, spare) VALUES (999, 'sms', 0, 0)", "sms 999"),
    (Rule.REPORTS, "INSERT INTO reports (seq, path, class, spare) VALUES (28, 'sms', 4, 0)", "sms 28"),
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


def test_every_rule_is_broken_here_and_told_in_the_architecture_by_its_number() -> None:
    told = ARCHITECTURE.split("## What must hold in a journal")[1].split("\n## ")[0]
    items = dict(re.findall(r"^(\d+)\. ((?:.|\n(?! *\d+\. |\n))*)", told, re.MULTILINE))
    assert list(map(int, items)) == list(Rule)
    assert {Rule(int(number)) for number, text in items.items() if "*Mended.*" in text} == MENDABLE
    here = {rule for rule, _, _ in LASTING + MENDED} | {Rule.FILE, Rule.CHAIN, Rule.SETTINGS}
    in_test_fsck_files = {Rule.FILES, Rule.EVIDENCE, Rule.CLIPS}
    assert here | in_test_fsck_files == set(Rule)
