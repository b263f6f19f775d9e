"""What was before and after: which camera records for which event, and what is told of it."""

import json
from typing import Any

import pytest
from bench_box import START_S
from evidence_box import Eyes, camera_file, case_of, eyes, name_of, near, picture

from agent.evidence import BUSY, FILES_MAX, GRACE_S, RECENT_MAX, WAITING_MAX
from agent.mail import Write
from agent.media_mail import CameraSaid, CameraStarted, Filed, Record, TakePicture

__all__ = ["eyes"]  # fixture


def of(eyes: Eyes, kind: type) -> list[Any]:
    return [wish for wish in eyes.wishes if isinstance(wish, kind)]


def clip(eyes: Eyes, camera: str, *pictures: tuple[int, float, float], through_s: float) -> None:
    """Files of a camera by seed, from, to."""
    eyes.filed(camera, *((picture(seed), from_s, to_s) for seed, from_s, to_s in pictures), through_s=through_s)


def alone(eyes: Eyes, camera: str, seed: int, at_s: float) -> str:
    """A picture alone; its name."""
    eyes.filed(camera, (picture(seed), at_s, at_s), through_s=at_s, key_frame=True)
    return name_of(picture(seed))


# ---- who records


def test_a_press_wants_a_picture_at_once_and_a_clip_of_each_of_its_cameras(eyes: Eyes) -> None:
    eyes.press("alarm-1")
    assert set(of(eyes, TakePicture)) == {TakePicture("front", START_S), TakePicture("back", START_S)}
    wanted = {Record("front", START_S - 10, START_S + 20), Record("back", START_S - 5, START_S + 60)}
    assert set(of(eyes, Record)) == wanted
    assert isinstance(eyes.wishes[0], TakePicture), "something to look at, before anything longer"


def test_an_input_without_cameras_wants_nothing(eyes: Eyes) -> None:
    eyes.press("mains")
    assert eyes.wishes == []
    assert eyes.journal.clips == {}


def test_a_second_press_makes_the_clip_longer_and_takes_no_second_picture(eyes: Eyes) -> None:
    eyes.press("hidden")
    eyes.wait(9.8)
    eyes.press("hidden")
    assert of(eyes, TakePicture) == [TakePicture("front", START_S)]
    assert of(eyes, Record)[-1] == Record("front", START_S - 10, START_S + 30)
    assert len(eyes.journal.clips) == 1
    alone(eyes, "front", 1, START_S)
    clip(eyes, "front", (2, START_S, START_S + 21), through_s=START_S + 29)
    assert "last" not in eyes.told()[-1]
    clip(eyes, "front", (3, START_S + 21, START_S + 31), through_s=START_S + 31)
    assert eyes.told()[-1]["last"] is True
    assert {data["case"] for data in eyes.told()} == {case_of(eyes, "alarm.holdup")}


def test_a_press_after_the_clip_has_ended_begins_another_one_of_the_same_case(eyes: Eyes) -> None:
    eyes.press("hidden")
    eyes.wait(20 + GRACE_S)
    assert eyes.told()[-1]["last"] is True
    eyes.press("hidden")
    assert len(of(eyes, TakePicture)) == 2
    assert case_of(eyes, "alarm.holdup") == eyes.told()[0]["case"]


def test_a_scan_wants_a_picture_alone_and_its_case_is_its_own_id(eyes: Eyes) -> None:
    eyes.scan("0815")
    assert eyes.wishes == [TakePicture("front", START_S)]
    name = alone(eyes, "front", 1, START_S - 0.5)
    [scan] = [event for event in eyes.events if event["type"] == "callbox.scan.code"]
    [told] = eyes.told()
    assert (told["case"], told["last"]) == (scan["id"], True)
    assert [(file["sha256"], file["key_frame"], file["role"]) for file in told["files"]] == [(name, True, "before")]


def test_each_scan_has_a_picture_of_its_own_moment(eyes: Eyes) -> None:
    for seed in range(1, 4):
        eyes.scan(f"code {seed}")
        assert len(eyes.told()) == seed - 1, "not the picture of the scan before it"
        alone(eyes, "front", seed, eyes.now_s)
        assert [file["sha256"] for file in eyes.told()[-1]["files"]] == [name_of(picture(seed))]
        eyes.wait(3600)


def test_two_scans_at_once_have_a_picture_each_in_their_order(eyes: Eyes) -> None:
    eyes.scan("one")
    eyes.scan("two")
    names = [alone(eyes, "front", seed, START_S) for seed in (1, 2)]
    ids = [event["id"] for event in eyes.events if event["type"] == "callbox.scan.code"]
    assert [(data["case"], data["files"][0]["sha256"]) for data in eyes.told()] == list(zip(ids, names, strict=True))


def test_an_input_that_wants_a_picture_or_a_clip_says_so(eyes: Eyes) -> None:
    """The patrol point of this config wants a clip, the door a picture."""
    eyes.press("point")
    assert of(eyes, Record) == [Record("front", START_S - 10, START_S + 20)]
    eyes.press("door")
    assert len(of(eyes, Record)) == 1
    assert of(eyes, TakePicture)[-1].camera == "back"


def test_a_cancel_is_evidence_of_the_case_that_it_means(eyes: Eyes) -> None:
    eyes.press("alarm-1")
    eyes.wait(30)
    eyes.press("undo")
    assert of(eyes, Record)[-1] == Record("front", START_S - 10, near(START_S + 50.2))
    assert {json.loads(body)["case"] for body in eyes.journal.clips.values()} == {case_of(eyes)}


def test_a_cancel_that_means_no_case_is_one_by_itself(eyes: Eyes) -> None:
    eyes.press("undo")
    [cancelled] = [event for event in eyes.events if event["type"] == "callbox.alarm.cancelled"]
    assert [json.loads(body)["case"] for body in eyes.journal.clips.values()] == [cancelled["id"]]


# ---- the command


@pytest.mark.parametrize(("data", "after_s"), [({}, 0), ({"after_s": 5}, 5), ({"after_s": 0.5}, 0.5)])
def test_a_capture_command_is_a_clip_whose_case_is_its_audit_event(
    eyes: Eyes, data: dict[str, float], after_s: float
) -> None:
    done = eyes.command("capture", {"camera": "back", **data})
    [audit] = [event for event in eyes.events if event["type"] == "callbox.audit.command"]
    assert (done["result"], done["case"]) == ("done", audit["id"])
    assert of(eyes, Record) == [Record("back", START_S - 5, START_S + after_s)]
    alone(eyes, "back", 1, START_S)
    clip(eyes, "back", (2, START_S - 5, START_S + after_s), through_s=START_S + after_s)
    assert eyes.told()[-1]["last"] is True
    assert {(data["case"], data["camera"]) for data in eyes.told()} == {(audit["id"], "back")}
    assert {file.cls for file in eyes.journal.files.values()} == {"audit"}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ({}, "data.camera: this box has front, back"),
        ({"camera": "roof"}, "data.camera: this box has front, back"),
        ({"camera": ["front"]}, "data.camera: this box has front, back"),
        ({"camera": "front", "after_s": -1}, "data.after_s: seconds, 0 to 300"),
        ({"camera": "front", "after_s": 301}, "data.after_s: seconds, 0 to 300"),
        ({"camera": "front", "after_s": True}, "data.after_s: seconds, 0 to 300"),
        ({"camera": "front", "after_s": "5"}, "data.after_s: seconds, 0 to 300"),
    ],
)
def test_a_capture_that_cannot_be_done_is_refused_and_nothing_records(
    eyes: Eyes, data: dict[str, Any], reason: str
) -> None:
    refused = eyes.command("capture", data)
    assert (refused["result"], refused["reason"]) == ("refused", reason)
    assert eyes.wishes == []
    assert eyes.journal.clips == {}


# ---- what is told


def test_roles_are_by_the_moment_of_the_press(eyes: Eyes) -> None:
    eyes.press("hidden")
    clip(
        eyes,
        "front",
        (1, START_S - 2, START_S - 1),
        (2, START_S - 1, START_S),
        (3, START_S - 0.5, START_S + 0.5),
        (4, START_S, START_S + 1),
        (5, START_S + 0.1, START_S + 1),
        through_s=START_S + 1,
    )
    [told] = eyes.told()
    assert [file["role"] for file in told["files"]] == ["before", "during", "during", "during", "after"]


def test_a_file_is_told_with_its_times_by_the_wall_clock_and_its_hashes(eyes: Eyes) -> None:
    eyes.press("hidden")
    clip(eyes, "front", (1, START_S - 2, START_S - 1), through_s=START_S)
    [file] = eyes.told()[0]["files"]
    name = name_of(picture(1))
    assert file == {
        "sha256": name,
        "plain_sha256": name,
        "bytes": 1000,
        "media_type": "video/mp2t",
        "from": "2026-11-22T01:33:18.123456Z",  # two seconds before the bench's own start
        "to": "2026-11-22T01:33:19.123456Z",
        "role": "before",
    }


def test_what_was_taken_before_or_after_all_that_is_wanted_is_no_evidence(eyes: Eyes) -> None:
    eyes.press("hidden")
    clip(eyes, "front", (1, START_S - 20, START_S - 10.5), (2, START_S + 20.5, START_S + 22), through_s=START_S)
    assert eyes.told() == []
    clip(eyes, "front", (3, START_S - 20, START_S - 10), (4, START_S + 20, START_S + 22), through_s=START_S)
    assert eyes.names(case_of(eyes, "alarm.holdup"), "front") == [name_of(picture(3)), name_of(picture(4))]


def test_a_file_is_told_once_of_a_case_however_often_the_camera_tells_it(eyes: Eyes) -> None:
    eyes.press("hidden")
    for _ in range(3):
        clip(eyes, "front", (1, START_S, START_S + 1), through_s=START_S)
    assert len(eyes.names("", "front")) == 1


def test_files_of_one_camera_are_no_evidence_of_another(eyes: Eyes) -> None:
    eyes.press("alarm-1")
    clip(eyes, "front", (1, START_S, START_S + 1), through_s=START_S)
    assert {data["camera"] for data in eyes.told()} == {"front"}


def test_the_clip_has_no_last_word_before_its_picture_came(eyes: Eyes) -> None:
    eyes.press("hidden")
    clip(eyes, "front", (1, START_S, START_S + 20), through_s=START_S + 20)
    assert "last" not in eyes.told()[-1]
    alone(eyes, "front", 2, START_S)
    assert "last" not in eyes.told()[-1], "what a picture says of the seconds may be old"
    eyes.filed("front", through_s=START_S + 20)
    assert (eyes.told()[-1]["last"], eyes.told()[-1]["files"]) == (True, [])


def test_a_camera_that_brings_nothing_is_told_as_such_after_the_grace(eyes: Eyes) -> None:
    eyes.press("hidden")
    eyes.wait(20 + GRACE_S - 1)
    assert eyes.told() == []
    eyes.wait(1)
    assert eyes.told() == [
        {
            "case": case_of(eyes, "alarm.holdup"),
            "camera": "front",
            "files": [],
            "last": True,
            "monotonic_s": START_S + 20 + GRACE_S,
        }
    ]
    assert eyes.journal.clips == {}
    eyes.wait(600)
    assert len(eyes.told()) == 1


def test_an_event_with_very_many_files_is_several(eyes: Eyes) -> None:
    """An event is at most 64 KB; a camera may make every picture a key picture."""
    many = [(seed, START_S - 9 + seed * 0.02, START_S - 9 + seed * 0.02) for seed in range(RECENT_MAX)]
    eyes.press("hidden")
    clip(eyes, "front", *many, through_s=START_S)
    eyes.press("alarm-1")  # shares them all
    for kind in ("alarm.holdup", "alarm.panic"):
        told = eyes.told(case_of(eyes, kind), "front")
        assert sum(len(data["files"]) for data in told) == RECENT_MAX
        assert max(len(data["files"]) for data in told) == FILES_MAX
    assert len(eyes.journal.files) == RECENT_MAX


# ---- two cases, one camera


def test_a_clip_begins_with_the_file_whose_last_picture_was_to_be_seen_then(eyes: Eyes) -> None:
    """Ten seconds before the press the newest picture was 0.2 s old; the next one is in the next file."""
    eyes.press("hidden")
    first = camera_file(picture(1), START_S - 11, START_S - 10.15, START_S - 9.95)
    second = camera_file(picture(2), START_S - 9.95, START_S - 9, START_S - 8.8)
    too_old = camera_file(picture(3), START_S - 12, START_S - 11.2, START_S - 11)
    eyes.say(Filed("front", (too_old, first, second), START_S))
    assert eyes.names(case_of(eyes, "alarm.holdup"), "front") == [name_of(picture(1)), name_of(picture(2))]


def test_what_is_on_the_disk_already_is_told_when_the_alarm_is_and_not_with_it(eyes: Eyes) -> None:
    """The lamp waits for the alarm's own transaction, and that has nothing in it that can come later."""
    eyes.press("hidden")
    clip(eyes, "front", (1, START_S - 1, START_S), through_s=START_S)
    eyes.wait(2)
    eyes.disk_works = False
    eyes.edge("alarm-1", True)
    eyes.wait(0.03)  # its debounce
    [events] = [request.events for request in eyes.held if isinstance(request, Write) and request.events]
    assert [event.cls for event in events] == ["alarm"]
    eyes.disk_works = True
    eyes.commit()
    eyes.wait(0.1)
    assert eyes.names(case_of(eyes, "alarm.panic"), "front") == [name_of(picture(1))]


def test_a_storm_of_scans_wants_no_more_than_a_camera_can_take_and_tells_the_rest(eyes: Eyes) -> None:
    for number in range(40):
        eyes.scan(f"ticket-{number}")
    assert len(of(eyes, TakePicture)) == WAITING_MAX
    assert [(data["files"], data["last"], data["reason"]) for data in eyes.told()] == [([], True, BUSY)] * 28
    eyes.press("alarm-1")
    assert len(of(eyes, TakePicture)) == WAITING_MAX + 2, "an alarm is never left out"


def test_a_second_case_shares_what_is_on_the_disk_already(eyes: Eyes) -> None:
    eyes.press("hidden")
    clip(eyes, "front", (1, START_S - 11, START_S - 9), (2, START_S - 1, START_S), through_s=START_S)
    eyes.wait(2)
    eyes.press("alarm-1")
    shared = eyes.told(case_of(eyes), "front")
    assert [file["sha256"] for data in shared for file in data["files"]] == [name_of(picture(2))]
    assert shared[0]["files"][0]["role"] == "before"


def test_two_cases_under_way_share_each_new_file_and_it_is_owed_once(eyes: Eyes) -> None:
    eyes.press("hidden")
    eyes.press("alarm-1")
    clip(eyes, "front", (1, START_S, START_S + 1), through_s=START_S + 1)
    holdup, panic = case_of(eyes, "alarm.holdup"), case_of(eyes)
    assert eyes.names(holdup, "front") == eyes.names(panic, "front") == [name_of(picture(1))]
    assert [file.case for file in eyes.journal.files.values()] == [holdup]
    assert eyes.journal.media_bytes == 1000


def test_a_file_that_is_shared_after_central_has_it_is_not_owed_again(eyes: Eyes) -> None:
    eyes.press("hidden")
    clip(eyes, "front", (1, START_S, START_S + 1), through_s=START_S + 1)
    eyes.has(all=1)
    assert eyes.journal.media_bytes == 0
    writes = len(eyes.journal.writes)
    eyes.press("alarm-1")
    assert eyes.names(case_of(eyes), "front") == [name_of(picture(1))]
    assert [file for write in eyes.journal.writes[writes:] for file in write.files] == []
    eyes.wait(25)
    assert eyes.state["pending"]["media_bytes"] == 0


def test_each_of_two_cases_has_a_picture_of_its_own(eyes: Eyes) -> None:
    eyes.press("hidden")
    eyes.wait(1)
    eyes.press("alarm-1")
    first, second = alone(eyes, "front", 1, START_S), alone(eyes, "front", 2, START_S + 1)
    assert eyes.names(case_of(eyes, "alarm.holdup"), "front") == [first]
    assert eyes.names(case_of(eyes), "front") == [second]


# ---- the camera itself


def test_a_camera_process_that_is_new_is_told_what_it_is_to_do(eyes: Eyes) -> None:
    eyes.press("alarm-1")
    eyes.wishes.clear()
    eyes.say(CameraStarted("front"))
    assert eyes.wishes == [TakePicture("front", START_S), Record("front", START_S - 10, START_S + 20)]
    alone(eyes, "front", 1, START_S)
    eyes.wishes.clear()
    eyes.say(CameraStarted("front"))
    assert eyes.wishes == [Record("front", START_S - 10, START_S + 20)], "the picture is there"


def test_a_camera_process_that_is_new_and_has_nothing_to_do_is_told_nothing(eyes: Eyes) -> None:
    eyes.say(CameraStarted("front"))
    assert eyes.wishes == []


def test_a_camera_that_is_not_well_is_a_trouble_until_it_is(eyes: Eyes) -> None:
    eyes.say(CameraSaid("front", "covered", "one colour all over"))
    eyes.say(CameraSaid("front", "offline", "no route to host"))
    [raised] = eyes.of("trouble.camera")
    assert (raised["transition"], raised["camera"]) == ("raised", "front")
    assert raised["reason"] == "covered: one colour all over"
    eyes.wait(2)
    assert eyes.state["trouble"] == ["camera front"]
    eyes.say(CameraSaid("front", "good", ""))
    assert eyes.of("trouble.camera")[-1]["transition"] == "restored"
    assert "input" not in eyes.of("trouble.camera")[-1]
