"""Code lists in the box: what a scan waits for, the lamp, the alarm. Virtual time."""

import json
from itertools import pairwise

import pytest
from bench_box import Bench
from bench_lists import ALL, LISTED, answer, bench, question

from agent.feedback import FLASH_S, PATTERNS
from agent.lists import ANSWER_S, ASKED_MAX, HUNG_S
from agent.lists_mail import ListsStand, LookedUp, LookUp
from agent.media_mail import CodesRead, FoundCode, FoundDocument, ReadCodes
from drivers.contract import Paper

__all__ = ["bench"]  # a fixture


# ---- scans


def test_a_scan_is_recorded_with_the_lists_on_which_it_was_found(bench: Bench) -> None:
    bench.scan("票 0042")
    assert bench.of("scan.code") == []
    asked = question(bench)
    assert (asked.lists, asked.code, asked.wall_s) == (("tickets", "stolen", "lost"), "票 0042", bench.wall_us / 1e6)
    bench.wait(0.1)
    bench.say(LookedUp(asked.ref, ("tickets",)))
    [event] = [event for event in bench.events if event["type"] == "callbox.scan.code"]
    assert event["data"]["lists"] == ["tickets"]
    assert "unlisted" not in event["data"]
    assert event["data"]["monotonic_s"] == pytest.approx(bench.now_s - 0.1), "the time is that of the scan"


def test_a_scan_waits_a_quarter_of_a_second_and_is_then_recorded_without_and_says_so(bench: Bench) -> None:
    bench.scan("A-1")
    bench.wait(ANSWER_S - 0.01)
    assert bench.of("scan.code") == []
    bench.wait(0.02)
    [data] = bench.of("scan.code")
    assert (data["lists"], data["unlisted"]) == ([], "the lists gave no answer within 250 ms")


def test_an_answer_that_comes_too_late_raises_its_alarm_and_shows_no_lamp(bench: Bench) -> None:
    bench.scan("A-1")
    bench.scan("A-2")
    bench.wait(1)
    answer(bench, "tickets", "stolen")
    answer(bench, "tickets")
    assert [data["lists"] for data in bench.of("alarm.listed")] == [["stolen"]]
    assert bench.box._lists.flash is None
    assert len(bench.of("scan.code")) == 2


def test_an_input_that_names_no_list_waits_for_nothing() -> None:
    bench = Bench()
    bench.scan("A-1")
    [data] = bench.of("scan.code")
    assert "lists" not in data
    assert bench.asked == []


def test_what_could_not_be_asked_is_said_beside_what_was_found(bench: Bench) -> None:
    bench.scan("A-1")
    answer(bench, "stolen", reason="not brought yet: tickets")
    [data] = bench.of("scan.code")
    assert (data["lists"], data["unlisted"]) == (["stolen"], "not brought yet: tickets")
    assert len(bench.of("alarm.listed")) == 1


def test_scans_that_wait_count_as_on_their_way_so_that_a_storm_waits_in_the_driver(bench: Bench) -> None:
    for number in range(10):
        bench.scan(str(number))
    assert bench.box.unrecorded == 10
    bench.wait(1)
    assert bench.box.unrecorded == 0


def test_lists_that_never_answer_keep_no_more_than_a_bound_and_scans_go_on(bench: Bench) -> None:
    for number in range(ASKED_MAX + 20):
        bench.scan(str(number))
        bench.wait(0.01)
    bench.wait(1)
    assert len(bench.asked) == ASKED_MAX
    assert len(bench.of("scan.code")) == ASKED_MAX + 20
    assert bench.of("scan.code")[-1]["unlisted"] == "the lists gave no answer within 250 ms"


def test_the_end_of_the_box_records_what_waits(bench: Bench) -> None:
    bench.scan("A-1")
    bench.box.stop(bench.stamp, "clean")
    bench.act()
    assert [event["type"] for event in bench.events][-2:] == ["callbox.scan.code", "callbox.status.stopping"]


def test_an_answer_to_a_question_of_nobody_is_nothing(bench: Bench) -> None:
    bench.say(LookedUp(99, ("stolen",)))
    assert bench.of("alarm.listed") == []


# ---- the lamp


def test_a_code_on_an_allow_list_lights_two_short_and_one_on_none_one_long(bench: Bench) -> None:
    for found, show in ((("tickets",), "known"), ((), "unknown")):
        bench.scan("A-1")
        answer(bench, *found)
        flash = bench.box._lists.flash
        assert flash is not None
        assert flash[0] == show
        lit = ["lamp" in bench.lit, *(bench.shows(0.05) for _ in range(29))]
        changes = sum(one != other for one, other in pairwise(lit))
        assert (lit[0], changes) == (True, {"known": 3, "unknown": 1}[show])
        assert not bench.shows(0.5)
    known, unknown = PATTERNS["known"], PATTERNS["unknown"]
    assert known.color != unknown.color
    assert known.steps_s != unknown.steps_s, "never colour alone"
    assert sum(known.steps_s) == sum(unknown.steps_s) == FLASH_S


def test_the_next_scan_shows_anew_also_the_same(bench: Bench) -> None:
    bench.scan("A-1")
    answer(bench, "tickets")
    bench.wait(1.0)
    assert "lamp" not in bench.lit
    bench.scan("A-2")
    answer(bench, "tickets")
    assert "lamp" in bench.lit


def test_a_scan_is_shown_before_an_alarm_that_stands_and_that_is_shown_again_after(bench: Bench) -> None:
    bench.press("alarm-1")
    assert "lamp" in bench.lit  # steady: recorded
    bench.scan("A-1")
    answer(bench, "tickets")
    bench.wait(1.0)
    assert "lamp" not in bench.lit
    bench.wait(1.0)
    assert bench.box._lists.flash is not None
    lit = {bench.shows(0.1) for _ in range(20)}
    assert True in lit


def test_what_could_not_be_asked_is_not_called_unknown(bench: Bench) -> None:
    bench.scan("A-1")
    answer(bench, reason="not brought yet: tickets")
    assert bench.lit == set()


def test_a_code_on_a_watch_list_is_not_shown_as_known(bench: Bench) -> None:
    bench.scan("A-1")
    answer(bench, "tickets", "stolen")
    assert bench.box._lists.flash is None


# ---- the alarm


def test_a_code_on_a_watch_list_is_a_case_that_latches_until_somebody_closes_it(bench: Bench) -> None:
    bench.scan("A-1")
    answer(bench, "stolen")
    [scan] = [event for event in bench.events if event["type"] == "callbox.scan.code"]
    [alarm] = [event for event in bench.events if event["type"] == "callbox.alarm.listed"]
    assert alarm["boxseq"] == scan["boxseq"] + 1
    assert alarm["subject"] == "desk"
    assert alarm["data"] == {
        "transition": "raised", "input": "desk", "case": alarm["id"], "count": 1, "cid": 140,
        "lists": ["stolen"], "scan": scan["id"], "code": "A-1", "monotonic_s": alarm["data"]["monotonic_s"],
    }  # fmt: skip
    assert "lamp" in bench.lit
    bench.command("acknowledge", {"alarm": alarm["id"], "note": ""})
    bench.scan("B-2")
    answer(bench, "stolen")
    assert [(data["case"], data["count"]) for data in bench.of("alarm.listed")] == [(alarm["id"], 1), (alarm["id"], 2)]
    assert bench.command("close", {"alarm": alarm["id"], "note": "given back"})["result"] == "done"
    restored = bench.of("alarm.listed")[-1]
    assert (restored["transition"], restored["count"]) == ("restored", 2)
    assert not bench.shows(5)


def test_an_alarm_of_a_hashed_list_names_the_list_and_not_the_code(bench: Bench) -> None:
    bench.scan("L898902C3")
    answer(bench, "stolen", "lost")
    [data] = bench.of("alarm.listed")
    assert data["lists"] == ["stolen", "lost"]
    assert "L898902C3" not in json.dumps(data)


def test_a_case_of_a_listed_code_outlives_a_cut(bench: Bench) -> None:
    bench.scan("A-1")
    answer(bench, "stolen")
    case = bench.of("alarm.listed")[0]["case"]
    bench.restart()
    bench.connect()
    assert bench.command("close", {"alarm": case, "note": ""})["result"] == "done"


def test_an_allow_list_raises_no_alarm(bench: Bench) -> None:
    bench.scan("A-1")
    answer(bench)
    assert bench.of("alarm.listed") == []


# ---- documents, and what a camera read

ZONE = {"type": "P", "issuer": "UTO", "number": "L898902C3", "expires": "270415", "surname": "ERIKSSON"}


@pytest.mark.parametrize("kept", ["keep", "hash", "drop"])
def test_the_code_of_a_document_is_its_number_which_no_alarm_tells_that_its_event_does_not(kept: str) -> None:
    bench = Bench(f"{LISTED}documents: {{number: {kept}}}\n")
    bench.say(Paper("desk", "td3", ZONE, (), bench.now_s))
    assert question(bench).code == "L898902C3"
    bench.say(LookedUp(1, ("stolen",)))
    [document] = bench.of("scan.document")
    assert document["lists"] == ["stolen"]
    [alarm] = bench.of("alarm.listed")
    assert alarm.get("code") == ("L898902C3" if kept == "keep" else None)
    assert "L898902C3" not in json.dumps([data for data in (document, alarm) if kept != "keep"])


def reading() -> tuple[Bench, ReadCodes]:
    papers = (
        "  - {id: papers, driver: gpio0, pin: 40, kind: scan, cameras: [front], read: [codes, mrz], lists: [stolen]}\n"
    )
    cameras = "cameras:\n  - {id: front, source: 'rtsp://10.0.0.20/'}\n"
    bench = Bench(LISTED.replace("outputs:\n", f"{papers}{cameras}outputs:\n"))
    bench.press("papers")
    [wish] = [wish for wish in bench.wishes if isinstance(wish, ReadCodes)]
    return bench, wish


def test_what_a_camera_read_is_looked_up_thing_by_thing() -> None:
    bench, wish = reading()
    document = FoundDocument("td3", "P", "UTO", "L898902C3", "2027-04-15", ())
    bench.say(CodesRead("front", wish.ref, (FoundCode("A-1", "qr"), document), "", bench.now_s, None))
    assert [asked.code for asked in bench.asked if isinstance(asked, LookUp)] == ["A-1", "L898902C3"]
    answer(bench)
    answer(bench, "stolen")
    [code], [paper] = bench.of("scan.code"), bench.of("scan.document")
    assert (code["lists"], paper["lists"]) == ([], ["stolen"])
    [scan] = [event for event in bench.events if event["type"] == "callbox.scan.document"]
    assert bench.of("alarm.listed")[0]["scan"] == scan["id"]


def test_a_press_whose_reading_waits_for_the_lists_is_remembered_until_it_has_its_event() -> None:
    bench, wish = reading()
    bench.say(CodesRead("front", wish.ref, (FoundCode("A-1", "qr"),), "", bench.now_s, None))
    assert bench.journal.settings["reading papers"] != ""
    answer(bench)
    assert bench.journal.settings["reading papers"] == ""


# ---- the trouble of the lists


def test_a_list_that_was_never_brought_is_a_trouble_until_it_is(bench: Bench) -> None:
    bench.say(ListsStand({"tickets": 3}, ""))
    bench.wait(1)
    assert bench.box.status()["trouble"]["lists"] == "not brought yet: stolen, lost"
    assert bench.box.status()["lists"] == {"tickets": 3, "stolen": None, "lost": None}
    bench.say(ListsStand(ALL, ""))
    bench.wait(1)
    assert "lists" not in bench.box.status()["trouble"]
    assert [data["transition"] for data in bench.of("trouble.lists")] == ["raised", "restored"]


def test_a_start_before_the_first_word_of_the_lists_is_no_trouble() -> None:
    bench = Bench(LISTED)
    bench.wait(1)
    assert "lists" not in bench.box.status()["trouble"]


def test_why_the_lists_cannot_be_used_is_the_trouble(bench: Bench) -> None:
    bench.say(ListsStand({}, "lists.db: disk I/O error"))
    bench.wait(1)
    assert bench.box.status()["trouble"]["lists"] == "lists.db: disk I/O error: tickets, stolen, lost"


def test_lists_that_do_not_answer_for_long_are_a_trouble_until_they_do(bench: Bench) -> None:
    bench.scan("A-1")
    bench.wait(HUNG_S - 1)
    assert "lists" not in bench.box.status()["trouble"]
    bench.wait(2)
    assert bench.box.status()["trouble"]["lists"] == "the lists give no answer: see the disk"
    answer(bench)
    bench.wait(1)
    assert "lists" not in bench.box.status()["trouble"]
