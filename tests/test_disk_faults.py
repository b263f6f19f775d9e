"""A real box on disks that fail in every way: the alarm goes out, the lamp tells no lie, and what happened is said."""

import errno
import json
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from bad_disk import NO_GCC, NO_MOUNT, BadDisk, flip, small_ext4, small_tmpfs
from real_box import AMBER, RED, RealBox, box, until

__all__ = ["box"]  # a fixture
pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]
needs_gcc = pytest.mark.skipif(bool(NO_GCC), reason=NO_GCC)
needs_mount = pytest.mark.skipif(bool(NO_MOUNT), reason=NO_MOUNT)

PAGE_BYTES = 4096
SYNC_MS = 2000
TURN_S = 4.5
"""A lamp that has several things to tell takes turns of four seconds."""


@pytest.fixture
def disk(tmp_path: Path, box: RealBox) -> Iterator[BadDisk]:
    """That box's disk, which is well until a test arms it."""
    with BadDisk(tmp_path, box.state_dir) as disk:
        box.more_environment = disk.environment
        yield disk


def arrived_s(box: RealBox, event: dict[str, Any]) -> float:
    """The monotonic second at which central had stored it."""
    [at] = [row["received_at"] for row in box.rows() if row["id"] == event["id"]]
    return datetime.fromisoformat(at).timestamp() - (time.time() - time.monotonic())


def storage_troubles(box: RealBox) -> list[str]:
    """Each `transition` at central, in the order of arrival."""
    rows = sorted(box.rows(), key=lambda row: row["received_at"])
    events = [json.loads(row["payload"]) for row in rows if row["type"] == "callbox.trouble.storage"]
    return [event["data"]["transition"] for event in events]


def told(box: RealBox) -> str:
    """The reason of the trouble of the disk, as central has it."""
    reason: str = box.at_central("trouble.storage", transition="raised")["data"]["reason"]
    return reason


# ---- disks that fail under the running box


@needs_gcc
@pytest.mark.parametrize(
    ("fault", "hint"),
    [
        pytest.param({"fsync": errno.EIO}, "replace the card", id="EIO on sync"),
        pytest.param({"fsync": errno.EIO, "times": 1}, "replace the card", id="EIO on one sync"),
        pytest.param({"write": errno.EIO}, "replace the card", id="EIO on write", marks=pytest.mark.soak),
        pytest.param({"write": errno.ENOSPC}, "free space", id="no space"),
        pytest.param({"write": errno.EROFS}, "card", id="EROFS on write", marks=pytest.mark.soak),
    ],
)
def test_when_the_disk_fails_the_alarm_goes_out_red_is_lit_and_amber_not_before_central_has_it(
    box: RealBox, disk: BadDisk, fault: dict[str, int], hint: str
) -> None:
    box.power_on()
    box.armed().owes_nothing()
    disk.arm(**fault)
    pressed_s = box.press()
    alarm = box.at_central("alarm.panic", transition="raised")
    assert disk.failed > 0
    assert hint in told(box)
    box.lit(RED, pressed_s)
    assert box.lit(AMBER, pressed_s) > arrived_s(box, alarm) - 0.005
    assert box.code is None


@needs_gcc
def test_amber_stays_dark_as_long_as_a_press_is_in_memory_alone(box: RealBox, disk: BadDisk) -> None:
    box.power_on()
    box.armed().owes_nothing()
    box.wan.cut()
    disk.arm(fsync=errno.EIO)
    pressed_s = box.press()
    red_s = box.lit(RED, pressed_s)
    until(lambda: time.monotonic() > red_s + TURN_S, "everything that is true has been shown once")
    assert not [change for change in box.lamps if change[0] == AMBER and change[1]]
    box.wan.restore()
    box.at_central("alarm.panic", transition="raised")
    box.lit(AMBER, pressed_s)


@needs_gcc
def test_on_a_disk_of_two_seconds_a_sync_amber_waits_for_the_sync_and_the_alarm_arrives(
    box: RealBox, disk: BadDisk
) -> None:
    box.power_on()
    box.armed().owes_nothing()
    disk.arm(fsync_ms=SYNC_MS)
    pressed_s = box.press()
    assert box.lit(AMBER, pressed_s) - pressed_s >= SYNC_MS / 1000
    box.at_central("alarm.panic", transition="raised")
    disk.mend()
    box.owes_nothing()
    assert storage_troubles(box) == []


@needs_gcc
@pytest.mark.soak
def test_on_a_slow_disk_a_storm_of_scans_holds_back_no_alarm(box: RealBox, disk: BadDisk) -> None:
    """A press a second, some of them while the box moves its WAL into the database: that is several syncs."""
    box.power_on()
    box.armed().owes_nothing()
    disk.arm(fsync_ms=SYNC_MS)
    for number in range(30):
        for scan in range(10):
            box.scan(f"ticket-{number}-{scan}")
        box.press()
        next_s = time.monotonic() + 1
        until(lambda next_s=next_s: time.monotonic() >= next_s, "a second has passed")  # type: ignore[misc]
        assert box.status(), "the box does not answer"
    until(lambda: len(alarms(box)) == 30, "thirty presses at central", 30)
    until(lambda: len(box.stored("scan")) == 300, "300 scans at central", 30)
    assert [event["data"]["count"] for event in alarms(box)] == list(range(1, 31))


def alarms(box: RealBox) -> list[dict[str, Any]]:
    """The presses at central, in the order of time."""
    found = [event for event in box.stored("alarm") if event["data"]["transition"] == "raised"]
    return sorted(found, key=lambda event: event["data"]["count"])


def fill(box: RealBox, scans: int = 3000) -> None:
    """More scans than the disk has room for."""
    for number in range(scans):
        box.scan(f"ticket-{number:05d}")


@needs_mount
def test_on_a_disk_that_is_really_full_the_alarm_goes_out_and_the_trouble_says_to_free_space(tmp_path: Path) -> None:
    with small_tmpfs(tmp_path / "state", 1024), RealBox(tmp_path) as box:
        box.broker.start()
        box.power_on()
        box.armed()
        fill(box)
        box.press()
        until(lambda: box.status().get("trouble", {}).get("storage"), "a trouble of the disk")
        box.start_central()
        box.at_central("alarm.panic", transition="raised")
        assert "free space" in told(box)
        assert box.code is None


@needs_mount
def test_on_a_file_system_that_turns_read_only_the_alarm_goes_out_and_the_lamp_shows_the_fault(tmp_path: Path) -> None:
    with small_ext4(tmp_path / "state", 4096) as trigger, RealBox(tmp_path) as box:
        box.broker.start()
        box.start_central()
        box.power_on()
        box.armed().owes_nothing()
        trigger.write_text("a test")
        pressed_s = box.press()
        box.at_central("alarm.panic", transition="raised")
        assert "card" in told(box)
        box.lit(RED, pressed_s)
        assert box.code is None


# ---- journals that are damaged


def backlog(box: RealBox) -> Path:
    """A run without a link leaves a press and forty scans that nobody has; the journal's file."""
    box.stop_central()
    box.broker.stop()
    box.power_on()
    box.armed().press()
    for number in range(40):
        box.scan(f"ticket-{number:04d}")
    until(lambda: box.status()["pending"]["scan"] == 40, "all is on the disk")
    assert box.stop() == 0
    box.broker.start()
    box.start_central()
    return box.state_dir / "journal.db"


def cut_off(journal: Path) -> None:
    with journal.open("r+b") as opened:
        opened.truncate(journal.stat().st_size // 2 + 1000)


def bit_in_the_magic(journal: Path) -> None:
    flip(journal, 3)


def bit_in_the_first_page(journal: Path) -> None:
    flip(journal, 100)  # the kind of its b-tree page


def leaf_of(journal: Path, code: bytes) -> int:
    """Where the page starts in which this scan stands."""
    return journal.read_bytes().index(code) // PAGE_BYTES * PAGE_BYTES


@pytest.mark.parametrize(
    "damage",
    [cut_off, *(pytest.param(bit, marks=pytest.mark.soak) for bit in (bit_in_the_magic, bit_in_the_first_page))],
)
def test_a_damaged_journal_is_moved_aside_as_it_is_and_the_box_is_armed_records_and_delivers(
    box: RealBox, damage: Callable[[Path], None]
) -> None:
    damage(journal := backlog(box))
    damaged = journal.read_bytes()
    box.power_on()
    box.armed()
    [aside] = [file for file in box.state_dir.iterdir() if file.name.startswith("journal.db.aside-")]
    assert aside.read_bytes() == damaged
    assert "moved aside" in told(box)
    assert box.at_central("status.started")["data"]["new_journal"]
    box.press_until_lit()
    box.at_central("alarm.panic", transition="raised")
    box.owes_nothing()
    assert box.callbox("verify", "--state-dir", str(box.state_dir)).returncode == 0


def test_damage_that_is_found_only_while_the_backlog_goes_out_stops_no_alarm(box: RealBox) -> None:
    journal = backlog(box)
    flip(journal, leaf_of(journal, b"ticket-0020"))
    box.power_on()
    box.armed()
    assert "malformed" in told(box)
    box.press()
    until(lambda: len(box.stored("alarm")) == 2, "the alarm of before and the new one at central")
    box.owes_nothing()
    assert box.code is None
