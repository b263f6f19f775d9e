"""Clips and files over a cut of the power, a wrong clock, and a disk that fails and comes back."""

import json
import random

import pytest
from bench_box import BOX_KEY, START_S
from evidence_box import Eyes, case_of, eyes, name_of, near, picture

from agent.box import Box
from agent.evidence import GRACE_S
from agent.identity import Ed25519Signer
from agent.mail import StorageFailed
from agent.media_mail import CameraStarted, FilesFound, OwedFile, Record, TakePicture

__all__ = ["eyes"]  # fixture

FRONT = Record("front", START_S - 10, START_S + 20)


def clip(eyes: Eyes, *seeds: int, through_s: float = START_S) -> list[str]:
    """Files of the front camera, of now; their names."""
    eyes.filed("front", *((picture(seed), eyes.now_s, eyes.now_s) for seed in seeds), through_s=through_s)
    return [name_of(picture(seed)) for seed in seeds]


def reboot(eyes: Eyes, *, mono_s: float, wall_s: float) -> None:
    """The machine starts anew: its monotonic clock is this, its wall clock so many seconds on."""
    eyes.held.clear()
    eyes.disk_works = True
    eyes.now_s = mono_s
    eyes.wall_us += round(wall_s * 1e6)
    opened = eyes.journal.opened()
    eyes.box = Box(eyes.config, opened, Ed25519Signer(BOX_KEY), "another0", eyes.stamp, random.Random(8))
    eyes.start("crash")


# ---- a cut in the middle of a clip


def test_a_run_of_the_same_boot_goes_on_with_the_clip_and_tells_its_new_camera_process(eyes: Eyes) -> None:
    eyes.press("hidden")
    [told] = clip(eyes, 1)
    eyes.restart()
    eyes.wishes.clear()
    eyes.say(CameraStarted("front"))
    assert eyes.wishes == [TakePicture("front", START_S), FRONT]
    case = case_of(eyes, "alarm.holdup")
    [more] = clip(eyes, 2, through_s=START_S + 20)
    eyes.filed("front", (picture(3), START_S + 1, START_S + 1), through_s=START_S + 20, key_frame=True)
    eyes.filed("front", through_s=START_S + 20)
    assert eyes.names(case, "front") == [told, more, name_of(picture(3))]
    assert [data.get("last") for data in eyes.told(case)][-1] is True
    assert eyes.journal.clips == {}


@pytest.mark.parametrize("off_s", [3.0, 19.0])
def test_after_a_reboot_the_clip_goes_on_at_the_same_moment_by_the_wall_clock(eyes: Eyes, off_s: float) -> None:
    eyes.press("hidden")
    pressed_ago_s = eyes.now_s - START_S + off_s
    reboot(eyes, mono_s=40.0, wall_s=off_s)
    eyes.wishes.clear()
    eyes.say(CameraStarted("front"))
    at_s = 40.0 - pressed_ago_s
    picture_wish, record = eyes.wishes
    assert picture_wish == TakePicture("front", near(at_s))
    assert record == Record("front", near(at_s - 10), near(at_s + 20))
    eyes.filed("front", (picture(1), 40.1, 40.2), through_s=40.2)
    assert [file["role"] for file in eyes.told()[-1]["files"]] == ["after"]


def test_a_clip_whose_time_is_over_after_a_reboot_has_its_last_word_at_once(eyes: Eyes) -> None:
    eyes.press("hidden")
    reboot(eyes, mono_s=40.0, wall_s=20 + GRACE_S)
    assert [(data["files"], data["last"]) for data in eyes.told()] == [([], True)]
    assert eyes.journal.clips == {}


@pytest.mark.parametrize("wall_s", [-1e9, -3600.0])
def test_a_wall_clock_that_went_back_over_a_reboot_makes_the_clip_no_longer_than_it_was(
    eyes: Eyes, wall_s: float
) -> None:
    """As a Raspberry Pi without a battery does, until it has the time from the network."""
    eyes.press("hidden")
    reboot(eyes, mono_s=40.0, wall_s=wall_s)
    eyes.wishes.clear()
    eyes.say(CameraStarted("front"))
    assert eyes.wishes[1] == Record("front", 30.0, 60.0)
    eyes.wait(20 + GRACE_S)
    assert eyes.told()[-1]["last"] is True


def test_a_wall_clock_that_is_far_ahead_after_a_reboot_ends_the_clip_and_nothing_else(eyes: Eyes) -> None:
    eyes.press("hidden")
    reboot(eyes, mono_s=40.0, wall_s=1e9)
    assert eyes.told()[-1]["last"] is True
    eyes.press("hidden")
    assert eyes.wishes[-1] == Record("front", near(30.0), near(60.0))


def test_a_clip_of_a_camera_that_the_config_has_no_more_ends_with_its_last_word(eyes: Eyes) -> None:
    eyes.press("hidden")
    made = Eyes(journal=eyes.journal, start=False)
    made.journal.clips = {
        name.replace("front", "gone"): body.replace("front", "gone") for name, body in eyes.journal.clips.items()
    }
    made.box = made._box()
    made.start("crash")
    made.wait(20 + GRACE_S)
    assert [(data["camera"], data["last"]) for data in made.told()] == [("gone", True)]


def test_what_was_told_before_the_cut_is_not_lost_and_what_was_not_has_no_row(eyes: Eyes) -> None:
    """Crash procedure 1: the row and the event are of one transaction."""
    eyes.press("hidden")
    [told] = clip(eyes, 1)
    eyes.disk_works = False
    clip(eyes, 2)
    eyes.restart()
    assert eyes.names("", "front") == [told]
    assert list(eyes.journal.files) == [told]
    for write in eyes.journal.writes:
        named = {file["sha256"] for event in write.events for file in _files(event.body)}
        assert {file.sha256 for file in write.files} <= named


def _files(body: bytes) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(body)["data"].get("files", [])
    return found


# ---- a disk that fails


def test_a_file_that_was_on_its_way_to_the_disk_that_failed_is_in_the_journal_in_memory(eyes: Eyes) -> None:
    eyes.press("hidden")
    eyes.disk_works = False
    names = clip(eyes, 1, 2)
    eyes.fail_disk()
    assert eyes.journal.volatile
    assert eyes.names("", "front") == names
    assert list(eyes.journal.files) == names
    assert eyes.journal.clips.keys() == {f"{case_of(eyes, 'alarm.holdup')} front"}
    eyes.wait(30)
    assert eyes.state["pending"]["media_bytes"] == 2000


def test_files_owed_when_the_disk_fails_are_counted_and_sent_from_memory(eyes: Eyes) -> None:
    eyes.press("hidden")
    clip(eyes, 1, 2)
    eyes.fail_disk()
    assert eyes.journal.media_bytes == 2000
    eyes.wait(30)
    assert eyes.state["pending"]["media_bytes"] == 2000
    eyes.receipt(through=len(eyes.journal.events))
    eyes.connect_media()
    eyes.receipt(media={})
    eyes.wait(1)
    assert {name for name, _, _ in eyes.pieces} == set(eyes.spool)
    eyes.has(all=1)
    eyes.wait(30)
    assert eyes.state["pending"]["media_bytes"] == 0


@pytest.mark.parametrize("delivered", [False, True])
def test_a_disk_that_is_back_has_every_file_and_counts_right(eyes: Eyes, delivered: bool) -> None:
    eyes.press("hidden")
    clip(eyes, 1)
    disk = eyes.journal
    eyes.fail_disk()
    clip(eyes, 2)
    if delivered:
        eyes.has(all=1)
    eyes.disk_returns(disk)
    assert not eyes.journal.volatile
    owed = eyes.journal.media_bytes
    assert owed == (0 if delivered else 2000)
    eyes.wait(30)
    assert eyes.state["pending"]["media_bytes"] == owed
    eyes.has(all=1)
    eyes.wait(30)
    assert (eyes.state["pending"]["media_bytes"], eyes.journal.media_bytes) == (0, 0)


def test_more_files_than_memory_has_places_for_survive_the_way_to_memory_and_back(eyes: Eyes) -> None:
    eyes.press("hidden")
    clip(eyes, *range(60))
    disk = eyes.journal
    eyes.fail_disk()
    clip(eyes, *range(60, 130))
    eyes.disk_returns(disk)
    assert set(eyes.journal.files) == set(eyes.spool)
    assert eyes.journal.media_bytes == 130_000


def test_a_clip_that_ended_while_the_disk_was_away_does_not_end_again(eyes: Eyes) -> None:
    eyes.press("hidden")
    disk = eyes.journal
    eyes.fail_disk()
    eyes.wait(20 + GRACE_S)
    memory = eyes.journal
    assert [data["last"] for data in eyes.told()] == [True]
    eyes.disk_returns(disk)
    assert memory.clips == {}
    assert eyes.journal.clips == {}
    eyes.wait(60)
    eyes.restart()
    eyes.wait(60)
    assert len(eyes.told()) == 1


def test_a_clip_goes_on_through_a_disk_that_fails_and_is_back(eyes: Eyes) -> None:
    eyes.press("hidden")
    disk = eyes.journal
    eyes.fail_disk()
    eyes.disk_returns(disk)
    eyes.restart()
    eyes.say(CameraStarted("front"))
    assert FRONT in eyes.wishes
    assert disk is eyes.journal


def test_the_disk_may_fail_at_any_moment_of_a_clip_and_nothing_is_told_twice(eyes: Eyes) -> None:
    case = ""
    for at in range(4):
        made = Eyes()
        made.connect()
        made.press("hidden")
        case = case_of(made, "alarm.holdup")
        for step in range(4):
            made.disk_works = step != at
            clip(made, step)
            if step == at:
                made.say(StorageFailed(made.journal.name, "disk I/O error"))
        assert made.journal.volatile
        told = made.names(case, "front")
        assert len(told) == len(set(told)) == 4 - at, "those from the failure on, in the journal in memory"
        assert set(made.journal.files) == set(made.spool)


# ---- files that a new journal finds


def test_files_that_a_new_journal_finds_are_owed_and_sent(eyes: Eyes) -> None:
    data = picture(1)
    eyes.spool[name_of(data)] = data
    eyes.say(FilesFound((OwedFile(name_of(data), 0, "", "status", "", "2026-11-22T01:00:00Z", len(data)),)))
    assert eyes.journal.media_bytes == 1000
    eyes.connect_media()
    eyes.receipt(media={})
    eyes.wait(1)
    assert eyes.pieces == [(name_of(data), 0, data)]


def test_a_file_that_a_new_journal_finds_and_knows_by_now_keeps_its_row(eyes: Eyes) -> None:
    eyes.press("hidden")
    [name] = clip(eyes, 1)
    known = eyes.journal.files[name]
    eyes.say(FilesFound((OwedFile(name, 0, "", "status", "", "2026-11-22T01:00:00Z", 1000),)))
    assert eyes.journal.files == {name: known}
    eyes.wait(30)
    assert eyes.state["pending"]["media_bytes"] == 1000
