"""A real box whose disk fails and is mended, is full and goes on, or holds damage that no error of SQLite tells of."""

import errno
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from bad_disk import BadDisk, flip, small_tmpfs
from real_box import AMBER, RED, RealBox, box, until
from test_disk_faults import backlog, disk, fill, leaf_of, needs_gcc, needs_mount, storage_troubles
from test_link_faults import DIALLED_S

__all__ = ["box", "disk"]  # fixtures
pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

MENDED_S = 60.0
"""So soon after the disk is well the box is on it again."""
DISK_KB = 4096
RESERVE = {"reserve_mb": 1}
MANY = 6000
"""More scans than that disk has room for."""


def counts(box: RealBox) -> list[int]:
    """The presses that `callbox events` shows, each once."""
    shown = box.callbox("events", "--json", "--class", "alarm", "--state-dir", str(box.state_dir)).stdout
    presses = {event["id"]: event["data"]["count"] for event in map(json.loads, shown.splitlines())}
    return sorted(presses.values())


# ---- mended


@needs_gcc
@pytest.mark.soak
@pytest.mark.parametrize(
    "fault",
    [
        pytest.param({"fsync": errno.EIO}, id="EIO on sync"),
        pytest.param({"fsync": errno.EIO, "times": 1}, id="EIO on one sync"),
        pytest.param({"write": errno.EIO}, id="EIO on write"),
        pytest.param({"write": errno.ENOSPC}, id="no space"),
        pytest.param({"fsync_ms": 6000}, id="6 s a sync"),
    ],
)
def test_when_the_disk_is_mended_what_was_pressed_in_between_is_in_the_journal_and_the_trouble_is_over(
    box: RealBox, disk: BadDisk, fault: dict[str, int]
) -> None:
    box.power_on()
    box.armed().owes_nothing()
    disk.arm(**fault)
    box.press()
    until(lambda: len(box.stored("alarm")) == 1, "the first press at central")
    box.press()
    until(lambda: len(box.stored("alarm")) == 2, "the second press at central")
    disk.mend()
    box.at_central("trouble.storage", MENDED_S, transition="restored")
    assert storage_troubles(box) == ["raised", "restored"]
    assert box.status()["trouble"] == {}
    until(lambda: counts(box) == [1, 2], "both presses in the journal")
    pressed_s = box.press()
    until(lambda: counts(box) == [1, 2, 3], "the third press is recorded")
    box.lit(AMBER, pressed_s)
    assert not [change for change in box.lamps if change[0] == RED and change[1] and change[2] > pressed_s]
    box.owes_nothing()
    box.kill()
    box.power_on()
    box.armed().owes_nothing()
    assert counts(box) == [1, 2, 3]
    assert box.callbox("verify", "--state-dir", str(box.state_dir)).returncode == 0


@pytest.mark.soak
def test_a_box_that_started_without_a_disk_takes_it_when_it_comes(box: RealBox) -> None:
    box.state_dir.write_text("in the way")
    box.power_on()
    box.armed().press()
    box.at_central("alarm.panic", transition="raised")
    box.at_central("trouble.storage", transition="raised")
    box.state_dir.unlink()
    box.at_central("trouble.storage", MENDED_S, transition="restored")
    until(lambda: counts(box) == [1], "the press in the journal")
    until(lambda: box.status().get("trouble") == {}, "`callbox status` finds the box, and no trouble")


# ---- full


@needs_mount
@pytest.mark.soak
def test_on_a_small_disk_what_central_has_makes_room_without_a_trouble(tmp_path: Path) -> None:
    with small_tmpfs(tmp_path / "state", DISK_KB), RealBox(tmp_path, retention=RESERVE) as box:
        box.broker.start()
        box.start_central()
        box.power_on()
        box.armed().owes_nothing()
        for hundreds in range(1, MANY // 100 + 1):
            fill(box, 100)
            until(lambda most=hundreds * 100: len(box.stored("scan")) == most, "all are at central")  # type: ignore[misc]
        box.press_until_lit()
        assert counts(box) == [1]
        box.at_central("alarm.panic", transition="raised")
        box.owes_nothing()
        assert storage_troubles(box) == []
        assert not [change for change in box.lamps if change[0] == RED and change[1]]


@needs_mount
@pytest.mark.soak
def test_on_a_full_disk_scans_that_nobody_has_give_way_and_are_counted_and_alarms_are_recorded_to_the_last(
    tmp_path: Path,
) -> None:
    with small_tmpfs(tmp_path / "state", DISK_KB), RealBox(tmp_path, retention=RESERVE) as box:
        box.power_on()
        box.armed()
        fill(box, MANY)
        for number in range(1, 9):  # more in ten seconds would be merged
            box.press()
            until(lambda last=number: counts(box)[-1:] == [last], "the press is recorded")  # type: ignore[misc]
        assert counts(box) == list(range(1, 9))
        box.logged("trouble over: storage")  # what goes while it is on the wire counts as dropped, and may still arrive
        box.broker.start()
        box.start_central()
        until(lambda: len(box.stored("alarm")) == 8, "eight presses at central", DIALLED_S)
        box.owes_nothing()
        dropped = sum(event["data"].get("undelivered", 0) for event in box.stored())
        start_dropped = not [event for event in box.stored("status") if event["type"] == "callbox.status.started"]
        assert len(box.stored("scan")) + dropped == MANY + start_dropped
        assert dropped > 0


@needs_mount
@pytest.mark.soak
def test_on_a_disk_that_another_program_has_filled_the_reserve_takes_the_alarms(tmp_path: Path) -> None:
    with small_tmpfs(tmp_path / "state", DISK_KB), RealBox(tmp_path, retention=RESERVE) as box:
        box.broker.start()
        box.start_central()
        box.power_on()
        box.armed().owes_nothing()
        with suppress(OSError), (foreign := box.state_dir / "foreign").open("wb", buffering=0) as file:
            while file.write(bytes(1024)):
                pass
        for number in range(1, 9):
            box.press()
            until(lambda last=number: counts(box)[-1:] == [last], "the press is recorded")  # type: ignore[misc]
        assert "free space" in box.at_central("trouble.storage", transition="raised")["data"]["reason"]
        foreign.unlink()
        box.at_central("trouble.storage", MENDED_S, transition="restored")


# ---- damage


def in_the_middle(wal: Path) -> None:
    flip(wal, wal.stat().st_size // 2)


def in_the_head(wal: Path) -> None:
    flip(wal, 2)


@pytest.mark.parametrize("where", [in_the_middle, pytest.param(in_the_head, marks=pytest.mark.soak)])
def test_a_flipped_bit_in_the_wal_is_told_and_no_boxseq_is_given_out_twice(
    box: RealBox, where: Callable[[Path], None]
) -> None:
    """SQLite takes such a WAL for one that was torn by a power cut, and forgets what stands behind the bit."""
    box.power_on()
    box.armed().press()
    for number in range(40):
        box.scan(f"ticket-{number:04d}")
    until(lambda: len(box.stored("scan")) == 40, "all is at central")
    box.owes_nothing()
    box.kill()
    where(box.state_dir / "journal.db-wal")
    box.power_on()
    box.armed().press()
    until(lambda: len(box.stored("alarm")) == 2, "the new press at central")
    box.at_central("trouble.storage", transition="raised")
    box.owes_nothing()
    rows = box.rows()
    assert len({(row["journal"], row["seq"]) for row in rows}) == len(rows)


def test_an_event_with_a_flipped_bit_is_told_and_does_not_stay_owed_for_ever(box: RealBox) -> None:
    """SQLite has no checksum: it gives the wrong bytes without a word."""
    journal = backlog(box)
    flip(journal, journal.read_bytes().index(b"ticket-0020") + 8)
    box.power_on()
    box.armed()

    def said() -> list[dict[str, Any]]:
        return [event for event in box.stored("trouble") if event["type"].endswith((".storage", ".parked"))]

    until(said, "it is told that an event is damaged")
    box.owes_nothing()
    scans = [row for row in box.rows() if row["class"] == "scan"]
    assert sum("signature" not in row["problems"] for row in scans) == 39


@pytest.mark.soak
def test_a_journal_whose_damage_shows_while_the_backlog_goes_out_gives_way_to_a_new_one_on_the_disk(
    box: RealBox,
) -> None:
    journal = backlog(box)
    damaged = leaf_of(journal, b"ticket-0020")
    flip(journal, damaged)
    box.power_on()
    box.armed()
    reason = box.at_central("trouble.storage", transition="raised")["data"]["reason"]
    aside = [file for file in box.state_dir.iterdir() if file.name.startswith("journal.db.aside-")]
    assert ("moved aside" in reason) == bool(aside)
    box.press()
    until(lambda: len(box.stored("alarm")) == 2, "the press of before and the new one at central")
    until(lambda: 2 in counts(box), "the new press is in a journal on the disk")
