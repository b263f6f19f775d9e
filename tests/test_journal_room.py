"""What may go from a journal for age, size or a full disk, and what never goes."""

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bench_box import WALL_US
from written import Opened, opened, path

from agent.events import Draft, Stamp, rfc3339
from agent.journal import LOOK_ROWS, MEMORY_BYTES, PRUNE_TIGHT
from agent.kinds import CLASSES, EventClass
from agent.mail import Fetch, Survey, Surveyed, Write

__all__ = ["opened", "path"]  # fixtures


def survey(opened: Opened, **more: Any) -> Surveyed:
    wish = Survey(before="", used_max=10**12, free_min=0, after=0, undelivered=False)
    return opened.journal.survey(replace(wish, **more))


SCANS: tuple[EventClass, ...] = ("scan",) * 100
ALARMS: tuple[EventClass, ...] = ("alarm",) * 9
FULL: Any = {"free_min": 1_000_000}


def fill_disk(opened: Opened) -> None:
    opened.journal.room = lambda: (5_000_000, 0, 10**9)  # type: ignore[method-assign]


def test_while_there_is_room_nothing_has_to_go(opened: Opened) -> None:
    opened.record("scan", "scan", delivered=((1, 2),))
    assert survey(opened) == Surveyed(opened.journal.name, "", (), 0, 0, 0)


def test_what_central_has_may_go_with_the_hash_that_the_next_event_names_and_the_last_event_stays(
    opened: Opened,
) -> None:
    opened.record("scan", "alarm", "scan", "scan", "scan")
    opened.journal.write([Write(delivered=((1, 3), (5, 5)))])
    found = survey(opened, used_max=0)
    assert (found.cause, found.count, found.undelivered) == ("size", 3, 0)
    [(first, last, digest)] = found.ranges
    next_body = opened.journal.fetch(Fetch("scan", 0, 1))[0][0].body
    assert (first, last, digest) == (1, 3, json.loads(next_body)["prevhash"])


def test_what_is_old_is_told_by_its_own_time(opened: Opened) -> None:
    for day in range(1, 8):
        at = Stamp(1.0, WALL_US + day * 86_400_000_000)
        opened.journal.write([Write(events=(opened.chain.seal(Draft("id", "scan.code", "d", at, {"input": "d"})),))])
    opened.journal.write([Write(delivered=((1, 7),))])
    found = survey(opened, before=rfc3339(WALL_US + 3 * 86_400_000_000))
    assert (found.cause, [hole[:2] for hole in found.ranges]) == ("days", [(1, 2)])


def test_what_is_owed_or_parked_never_goes_for_age_or_size(opened: Opened) -> None:
    opened.record(*CLASSES * 3)
    opened.journal.write([Write(delivered=((1, 2),), parked={2: "too large"})])
    for wish in ({"used_max": 0}, {"before": "9999"}, FULL):
        if wish is FULL:
            fill_disk(opened)
        assert [hole[:2] for hole in survey(opened, **wish).ranges] == [(1, 1)]


def test_on_a_full_disk_scans_and_status_go_that_nobody_has_and_never_an_alarm(opened: Opened) -> None:
    opened.record(*CLASSES * 2, "scan", "scan", "audit")
    fill_disk(opened)
    found = survey(opened, **FULL, undelivered=True)
    assert [hole[:2] for hole in found.ranges] == [(3, 4), (8, 9), (11, 12)]
    assert (found.cause, found.count, found.undelivered) == ("disk", 6, 6)
    opened.journal.write([Write(delivered=((3, 3), (8, 8)))])
    assert survey(opened, **FULL, undelivered=True).undelivered == 4
    del opened.journal.room
    assert survey(opened, used_max=0, undelivered=True).count == 2, "only the disk's own need takes what nobody has"


def test_a_small_disk_is_full_when_a_sixteenth_of_it_is_left(opened: Opened) -> None:
    opened.record("scan", "scan", delivered=((1, 1),))
    opened.journal.write([Write(delivered=((1, 1),))])
    for free, cause in ((62_500, ""), (62_499, "disk")):
        opened.journal.room = lambda free=free: (1, free, 1_000_000)  # type: ignore[misc,method-assign]
        assert survey(opened, **FULL).cause == cause


def test_a_look_through_all_of_it_comes_to_its_end_also_while_events_come(opened: Opened) -> None:
    opened.record(*SCANS * (LOOK_ROWS // len(SCANS)), "scan")
    fill_disk(opened)
    first = survey(opened, **FULL)
    opened.record("scan")
    assert (first.after, survey(opened, **FULL, after=first.after).after) == (LOOK_ROWS, 0)


def test_to_prune_on_a_full_disk_writes_little(opened: Opened) -> None:
    for _ in range(10):
        opened.record(*SCANS)
    opened.journal.write([Write(delivered=((1, 1_000),))])
    opened.journal.checkpoint()
    found = survey(opened, used_max=0)
    opened.journal.write([Write(prune=found.ranges)])
    spare, [_, written, _] = (
        opened.journal._sql.execute(f"PRAGMA {name}").fetchone() for name in ("freelist_count", "wal_checkpoint")
    )
    assert written < spare[0] * 0.75


def test_without_a_reserve_what_goes_goes_in_small_parts(opened: Opened) -> None:
    opened.record(*SCANS * (PRUNE_TIGHT // len(SCANS) + 1))
    fill_disk(opened)
    wish = Survey("", 10**12, 1_000_000, 0, undelivered=True)
    assert opened.journal.survey(wish, lent=1).count == PRUNE_TIGHT
    assert opened.journal.survey(wish).count == PRUNE_TIGHT + len(SCANS) - 1


def test_what_goes_is_gone_with_its_debts_and_holes_side_by_side_become_one(opened: Opened, path: Path) -> None:
    opened.record(*SCANS[:12], "alarm")
    opened.journal.write([Write(delivered=((4, 6),), parked={8: "x"})])
    first = survey(opened, used_max=0)
    opened.journal.write([Write(prune=first.ranges)])
    assert opened.journal.pending["scan"] == 8
    opened.journal.write([Write(delivered=((1, 3), (7, 8)))])
    second = survey(opened, used_max=0)
    assert [hole[:2] for hole in second.ranges] == [(1, 8)]
    assert second.count == 5
    opened.journal.write([Write(prune=second.ranges)])
    with closing(sqlite3.connect(path)) as db:
        assert [seq for [seq] in db.execute("SELECT seq FROM events")] == [9, 10, 11, 12, 13]
        assert db.execute("SELECT seq FROM owed ORDER BY seq").fetchall() == [(9,), (10,), (11,), (12,), (13,)]
        assert db.execute("SELECT * FROM parked").fetchall() == []
        assert db.execute("SELECT first, last FROM pruned").fetchall() == [(1, 8)]
    assert opened.counted() == 5


def test_a_record_of_what_went_never_goes_itself(opened: Opened) -> None:
    no_holes: Any = {"holes": []}
    record = opened.chain.seal(Draft("id", "audit.pruned", "journal", Stamp(1.0, 1), no_holes))
    opened.journal.write([Write(events=(record,))])
    opened.record("scan", "scan", delivered=((1, 3),))
    opened.journal.write([Write(delivered=((1, 3),))])
    assert [hole[:2] for hole in survey(opened, used_max=0).ranges] == [(2, 2)]


def test_a_survey_looks_at_a_part_and_says_where_to_go_on(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.journal.LOOK_ROWS", 4)
    opened.record(*ALARMS, "scan", "scan", "scan")
    opened.journal.write([Write(delivered=((10, 11),))])
    found, after = survey(opened, used_max=0), []
    while found.after:
        after.append(found.after)
        found = survey(opened, used_max=0, after=found.after)
    assert (after, [hole[:2] for hole in found.ranges]) == ([4, 8], [(10, 11)])


def test_the_room_of_a_journal_in_memory_is_bounded_and_what_was_pruned_is_room_again() -> None:
    made = Opened(None)
    used, free, size = made.journal.room()
    assert used + free == size == MEMORY_BYTES
    for _ in range(20):
        made.record(*SCANS)
    grown, left, _ = made.journal.room()
    assert grown > used + 500_000 and grown + left == MEMORY_BYTES
    made.journal.write([Write(prune=((1, 1_999, "h"),))])
    assert made.journal.room()[0] < used + 50_000
    assert [event.seq for event in made.journal.everything()] == [2_000]
