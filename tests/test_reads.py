"""Papers under a camera: what a press leaves, whatever the camera does, in virtual time."""

from typing import Any

import pytest
from bench_box import YAML, Bench
from fake_journal import FakeJournal

from agent.camera_words import codes_read
from agent.mail import StorageFailed
from agent.media_mail import CameraFile, CameraStarted, CodesRead, FoundCode, FoundDocument, ReadCodes, TakePicture
from agent.reads import ANSWER_S, BOX_ENDED, NO_ANSWER, STARTED_ANEW, TOO_MANY, WAITING_MAX

PAPERS = "  - {id: papers, driver: gpio0, pin: 25, kind: scan, cameras: [under, front], read: [codes, mrz]}\n"
CAMERAS = "cameras:\n  - {id: under, source: 'rtsp://h/'}\n  - {id: front, source: 'rtsp://i/'}\n"
TEXT = YAML.replace("outputs:\n", PAPERS + CAMERAS + "outputs:\n")
ZONE = FoundDocument("td3", "P", "UTO", "L898902C3", "2012-04-15", ())
ZONE_TOLD = {"layout": "td3", "type": "P", "issuer": "UTO", "number": "L898902C3", "expires": "2012-04-15", "wrong": []}
NAME = "ab" * 32
PRESSED = "2026-11-22T01:33:20.123456Z"


@pytest.fixture
def bench() -> Bench:
    made = Bench(TEXT)
    made.connect()
    return made


def read_of(bench: Bench) -> ReadCodes:
    """What the camera was asked last."""
    return [wish for wish in bench.wishes if isinstance(wish, ReadCodes)][-1]


def press(bench: Bench) -> ReadCodes:
    bench.press("papers")
    return read_of(bench)


def answer(bench: Bench, read: ReadCodes, *found: FoundCode | FoundDocument, **more: Any) -> None:
    file = CameraFile(NAME, NAME, 1000, "image/jpeg", bench.now_s, bench.now_s, bench.now_s, key_frame=True)
    bench.spool[NAME] = bytes(1000)
    bench.say(CodesRead(read.camera, read.ref, found, **{"at_s": bench.now_s, "file": file, **more}))


def scans(bench: Bench) -> list[dict[str, Any]]:
    return [event for event in bench.events if event["type"].startswith("callbox.scan.")]


def test_nothing_is_read_without_a_press(bench: Bench) -> None:
    bench.say(CameraStarted("under"))
    bench.health("papers", "good")
    bench.edge("papers", True, initial=True)  # it was down when the wire was opened: nobody was seen to press it
    bench.edge("papers", False)
    bench.press("alarm-1")
    bench.scan("4006381333931")
    bench.filed("under", (b"a second", bench.now_s, bench.now_s + 1), through_s=bench.now_s)
    bench.wait(3600)
    assert [wish for wish in bench.wishes if isinstance(wish, ReadCodes)] == []


def test_a_press_lets_the_first_camera_read_as_of_the_moment_of_the_press(bench: Bench) -> None:
    at_s = bench.now_s
    read = press(bench)
    assert (read.camera, read.at_s, read.what) == ("under", at_s, ("codes", "mrz"))
    assert [wish for wish in bench.wishes if isinstance(wish, TakePicture)] == [TakePicture("front", at_s)]
    assert scans(bench) == []


def test_each_thing_found_is_an_event_of_the_time_of_the_press_and_the_first_has_the_name_that_was_asked_for(
    bench: Bench,
) -> None:
    read = press(bench)
    bench.wait(2)
    answer(bench, read, FoundCode("票号 0042", "qr"), ZONE, FoundCode("京A12345", "plate", 0.93))
    code, document, plate = scans(bench)
    assert code["id"] == read.ref
    assert {event["time"] for event in (code, document, plate)} == {PRESSED}
    common = {"input": "papers", "camera": "under", "taken": "2026-11-22T01:33:22.323456Z"}
    own = [{k: v for k, v in event["data"].items() if k != "monotonic_s"} for event in (code, document, plate)]
    assert own == [
        {**common, "code": "票号 0042", "format": "qr"},
        {**common, **ZONE_TOLD},
        {**common, "code": "京A12345", "format": "plate", "candidate": True, "confidence": 0.93},
    ]


def test_the_picture_that_was_read_is_evidence_of_the_first_event_at_once(bench: Bench) -> None:
    read = press(bench)
    answer(bench, read, ZONE, FoundCode("0042", "qr"))
    [told] = bench.of("status.evidence")
    assert (told["case"], told["camera"], told["last"]) == (read.ref, "under", True)
    assert [(file["sha256"], file["key_frame"]) for file in told["files"]] == [(NAME, True)]
    assert bench.journal.files[NAME].cls == "scan"
    assert {name.split(" ")[1] for name in bench.journal.clips} == {"front"}


def test_where_the_config_wants_a_clip_the_reading_camera_records_one_too() -> None:
    bench = Bench(TEXT.replace("read: [codes", "capture: clip, read: [codes"))
    read = press(bench)
    assert {name.split(" ")[1] for name in bench.journal.clips} == {"under", "front"}
    answer(bench, read, ZONE)
    [told] = bench.of("status.evidence")
    assert (told["case"], "last" in told) == (read.ref, False)
    assert {name.split(" ")[1] for name in bench.journal.clips} == {"under", "front"}


def test_nothing_found_is_one_event_without_a_code_and_with_the_reason(bench: Bench) -> None:
    answer(bench, press(bench), reason="nothing was found in the picture")
    [event] = scans(bench)
    assert event["type"] == "callbox.scan.code"
    assert event["data"]["reason"] == "nothing was found in the picture"
    assert "code" not in event["data"]
    assert len(bench.of("status.evidence")) == 1


def test_a_camera_that_has_no_picture_leaves_an_event_and_no_evidence(bench: Bench) -> None:
    answer(bench, press(bench), reason="the camera brings no picture", at_s=None, file=None)
    [event] = scans(bench)
    assert "taken" not in event["data"]
    assert bench.of("status.evidence") == []


def test_presses_in_a_row_have_an_event_each_whatever_the_order_of_the_answers(bench: Bench) -> None:
    first, second = press(bench), press(bench)
    answer(bench, second, FoundCode("two", "qr"))
    answer(bench, first, FoundCode("one", "qr"))
    answer(bench, first, FoundCode("once more", "qr"))
    assert [(event["id"], event["data"]["code"]) for event in scans(bench)] == [(second.ref, "two"), (first.ref, "one")]


def test_a_camera_that_never_answers_ends_in_an_event_and_its_late_answer_in_none(bench: Bench) -> None:
    read = press(bench)
    bench.wait(ANSWER_S - 1)
    assert scans(bench) == []
    bench.wait(2)
    [event] = scans(bench)
    assert (event["id"], event["data"]["reason"], event["time"]) == (read.ref, NO_ANSWER, PRESSED)
    answer(bench, read, FoundCode("late", "qr"))
    assert len(scans(bench)) == 1


def test_a_camera_process_that_died_meanwhile_ends_the_reads_of_that_camera_alone(bench: Bench) -> None:
    press(bench)
    bench.say(CameraStarted("front"))
    assert scans(bench) == []
    bench.say(CameraStarted("under"))
    assert [event["data"]["reason"] for event in scans(bench)] == [STARTED_ANEW]


def test_a_button_that_rattles_is_told_and_asks_no_more_of_the_camera(bench: Bench) -> None:
    for _ in range(WAITING_MAX + 2):
        press(bench)
    assert len([wish for wish in bench.wishes if isinstance(wish, ReadCodes)]) == WAITING_MAX
    assert [event["data"]["reason"] for event in scans(bench)] == [TOO_MANY] * 2


def test_the_end_of_the_box_ends_what_waits(bench: Bench) -> None:
    press(bench)
    bench.box.stop(bench.stamp, "clean")
    bench.act()
    assert [event["data"]["reason"] for event in scans(bench)] == [BOX_ENDED]
    again = Bench(TEXT, bench.journal)
    again.wait(1)
    assert len(scans(again)) == 1


def test_a_press_that_a_power_cut_left_without_an_answer_is_told_by_the_next_run(bench: Bench) -> None:
    press(bench)
    bench.restart()
    [left] = [event["data"] for event in scans(bench)]
    assert (left["input"], left["reason"]) == ("papers", f"pressed at {PRESSED}; {BOX_ENDED}")
    bench.restart()
    assert len(scans(bench)) == 1


def test_a_press_that_had_its_answer_is_told_no_more_by_the_next_run(bench: Bench) -> None:
    answer(bench, press(bench), FoundCode("0042", "qr"))
    bench.restart()
    assert len(scans(bench)) == 1


def test_a_disk_that_fails_loses_no_press(bench: Bench) -> None:
    read = press(bench)
    bench.say(StorageFailed(bench.journal.name, "disk I/O error"))
    answer(bench, read, FoundCode("0042", "qr"))
    assert [event["id"] for event in scans(bench)] == [read.ref]


def test_a_code_that_is_longer_than_an_event_may_be_is_cut(bench: Bench) -> None:
    answer(bench, press(bench), FoundCode("\x01" * 9_000, "qr"))
    [event] = scans(bench)
    assert event["data"]["cut_chars"] == 1000
    assert max(len(each.body) for each in bench.journal.events.values()) < 65_536


def test_what_a_camera_says_is_read_as_it_stands_in_the_documents() -> None:
    codes = [{"code": "0042", "format": "qr"}, {"format": "td3", "document": ZONE_TOLD}]
    said = {"ref": "7", "codes": codes, "at_s": 5, "reason": ""}
    assert codes_read("under", said, "") == CodesRead("under", "7", (FoundCode("0042", "qr"), ZONE), "", 5.0)
    assert codes_read("under", {"ref": "7", "at_s": None}, "away") == CodesRead("under", "7", reason="away")


@pytest.mark.parametrize(
    "wrong",
    [
        {"codes": [{"format": "qr"}]},
        {"codes": [{"code": 42, "format": "qr"}]},
        {"codes": [{"code": "42", "format": "../x"}]},
        {"codes": [{"code": "42", "format": "plate", "confidence": 2}]},
        {"codes": [{"code": "42", "format": "plate", "confidence": float("nan")}]},
        {"codes": [{"code": "42", "format": "qr"}] * 51},
        {"codes": [{"format": "td3", "document": ZONE_TOLD | {"number": "<script>"}}]},
        {"codes": [{"format": "td3", "document": ZONE_TOLD | {"wrong": ["name"]}}]},
        {"codes": [{"format": "td3", "document": {"layout": "td3"}}]},
        {"codes": 7},
        {"at_s": float("inf")},
        {"at_s": "now"},
        {"file": {"sha256": "../x"}},
        {"ref": None, "file": None},
    ],
)
def test_what_no_camera_says_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        codes_read("under", {"ref": "7", "codes": [], "at_s": 5.0, **wrong}, "")


def test_a_journal_without_presses_has_nothing_to_end() -> None:
    bench = Bench(TEXT, FakeJournal(settings={"reading papers": ""}))
    bench.wait(1)
    assert scans(bench) == []
