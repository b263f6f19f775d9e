"""What a reading of an input becomes beside a press: a contact's two edges, a scan, a trouble, a stuck button."""

import pytest
from bench_box import YAML, Bench

from drivers.contract import Edge


def test_a_contact_records_both_edges_with_its_case() -> None:
    bench = Bench()
    bench.press("door", held_s=5)
    raised, restored = bench.of("alarm.intrusion")
    assert (raised["transition"], restored["transition"]) == ("raised", "restored")
    assert raised["case"] == restored["case"]
    bench.press("mains", held_s=5)
    assert [data["transition"] for data in bench.of("trouble.ac")] == ["raised", "restored"]
    assert [data["cid"] for data in bench.of("trouble.ac")] == [301, 301]


def test_mains_that_is_back_on_one_input_does_not_hide_the_other() -> None:
    bench = Bench()
    bench.connect()
    bench.edge("mains", True)
    bench.edge("mains-2", True)
    bench.wait(1)
    bench.edge("mains", False)
    bench.wait(30)
    assert [name for name in bench.state["trouble"] if name.startswith("ac")] == ["ac mains-2"]


@pytest.mark.parametrize(("name", "type"), [("mains", "trouble.ac"), ("door", "alarm.intrusion")])
def test_a_contact_that_returned_while_the_box_was_down_is_restored_at_the_start_once(name: str, type: str) -> None:
    bench = Bench()
    bench.edge(name, False, initial=True)
    bench.edge(name, True)
    bench.wait(1)
    for _ in range(2):
        bench.restart()
        bench.edge(name, False, initial=True)
        bench.wait(1)
    assert [data["transition"] for data in bench.of(type)] == ["raised", "restored"]
    assert not bench.box.status()["trouble"].get("ac mains")


def test_mains_that_are_still_out_after_a_restart_are_a_trouble_before_anybody_asks_the_pin() -> None:
    bench = Bench()
    bench.edge("mains", True)
    bench.wait(1)
    bench.restart()
    assert "ac mains" in bench.box.status()["trouble"]
    bench.edge("mains", True, initial=True)
    bench.wait(1)
    assert bench.of("trouble.ac")[-1]["at_boot"]


def test_a_press_counts_though_the_line_of_the_release_before_it_was_lost_with_the_wire() -> None:
    bench = Bench(
        YAML.replace(
            "  - {id: desk,", "  - {id: far, driver: panel, pressed: P, released: R, kind: panic}\n  - {id: desk,"
        )
    )
    bench.health("far", "good")
    bench.edge("far", True, settled=True)
    bench.health("far", "offline", "the cable")
    bench.health("far", "good")
    bench.edge("far", True, settled=True)
    bench.edge("far", True, settled=True)
    bench.edge("far", False, settled=True)
    assert [data["count"] for data in bench.of("alarm.panic")] == [1, 2], "the wire was whole: one press said twice"


def test_a_panels_press_counts_also_when_the_line_of_the_last_release_was_lost() -> None:
    bench = Bench()
    for pause_s in (1, 1, 5, 1):  # the first three are a button held down, at a panel that repeats
        bench.say(Edge("alarm-1", True, bench.now_s, settled=True))
        bench.wait(pause_s)
    assert [data["count"] for data in bench.of("alarm.panic")] == [1, 2]
    for _ in range(2):
        bench.say(Edge("door", True, bench.now_s, settled=True))
        bench.wait(5)
    assert len(bench.of("alarm.intrusion")) == 1, "a door that is said to be open twice was opened once"


def test_a_patrol_contact_is_one_scan_a_press_and_no_trouble() -> None:
    bench = Bench()
    bench.connect()
    for _ in range(12):
        bench.press("point")
    bench.receipt(through=len(bench.events))
    bench.wait(30)
    assert len(bench.of("scan.patrol")) == 12, "scans are never merged"
    assert bench.state["trouble"] == []


def test_scans_are_one_event_each_however_many() -> None:
    bench = Bench()
    for number in range(30):
        bench.scan(f"ticket {number}")
    assert [data["code"] for data in bench.of("scan.code")] == [f"ticket {number}" for number in range(30)]


def test_the_longest_code_of_the_worst_characters_fits_an_event() -> None:
    bench = Bench()
    bench.scan("\x01" * 100_000)
    bench.scan("\ud800 half a character")
    long, half = bench.of("scan.code")
    assert long["cut_chars"] == 92_000
    assert half["code"] == "? half a character"


def test_a_button_that_is_down_at_boot_is_an_alarm_at_boot_and_stuck() -> None:
    bench = Bench()
    bench.edge("alarm-1", True, initial=True)
    [data] = bench.of("alarm.panic")
    assert data["at_boot"]
    assert bench.of("trouble.stuck")[0]["cid"] == 375


def test_a_stuck_button_keeps_its_one_alarm_and_is_watched_on() -> None:
    bench = Bench()
    bench.press("alarm-1", held_s=100)
    bench.press("alarm-1")
    assert [data["count"] for data in bench.of("alarm.panic")] == [1, 2]
    assert [data["transition"] for data in bench.of("trouble.stuck")] == ["raised", "restored"]


def test_a_wire_that_is_dead_from_the_start_is_a_trouble() -> None:
    bench = Bench()
    bench.connect()
    bench.health("alarm-1", "offline", "gpio0: no such chip")
    bench.health("alarm-1", "offline", "gpio0: no such chip")
    [data] = bench.of("trouble.input")
    assert data.items() >= {"input": "alarm-1", "cid": 380, "quality": "offline"}.items()
    bench.wait(30)
    assert bench.state["trouble"] == ["input alarm-1"]


def test_a_broken_cable_is_a_trouble_and_neither_a_press_nor_silence() -> None:
    bench = Bench()
    bench.edge("alarm-1", False, initial=True)
    bench.health("alarm-1", "open", "line 3")
    bench.health("alarm-1", "short", "line 3")
    bench.edge("alarm-1", True)
    bench.wait(1)
    told = [(data["transition"], data.get("quality")) for data in bench.of("trouble.input")]
    assert told == [("raised", "open"), ("restored", None), ("raised", "short"), ("restored", None)]
    assert len(bench.of("alarm.panic")) == 1


def test_readings_of_an_input_that_the_config_does_not_know_are_ignored() -> None:
    bench = Bench()
    before = len(bench.events)
    bench.press("no-such")
    assert len(bench.events) == before


def test_a_door_that_stays_open_is_no_stuck_button() -> None:
    bench = Bench()
    bench.edge("door", True)
    bench.edge("mains", True)
    bench.wait(120)
    assert not bench.of("trouble.stuck")


def test_a_loose_wire_that_goes_and_comes_is_merged_with_a_count_and_none_is_dropped() -> None:
    bench = Bench()
    bench.edge("alarm-1", False, initial=True)
    for _ in range(200):
        for _ in range(2):  # said again, it is no change
            bench.health("alarm-1", "open", "line 3")
        bench.wait(0.1)
        bench.health("alarm-1", "good")
        bench.wait(0.1)
    bench.wait(30)
    told = bench.of("trouble.input")
    assert len(told) < 20
    assert sum(data.get("changes", 1) for data in told) == 400
    assert told[-1]["transition"] == "restored"
    assert "input alarm-1" not in bench.box.status()["trouble"]


def test_a_loose_wire_that_is_broken_at_last_is_a_trouble_that_stands() -> None:
    bench = Bench()
    bench.edge("alarm-1", False, initial=True)
    for quality in ["open", "good"] * 20 + ["short"]:
        bench.health("alarm-1", quality, "line 3")
    assert bench.box.status()["inputs"]["alarm-1"]["quality"] == "short"
    assert bench.box._zones.due_s() == bench.now_s + 10
    bench.wait(11)
    last = bench.of("trouble.input")[-1]
    assert (last["transition"], last["quality"], last["merged"]) == ("raised", "short", True)
    assert bench.box.status()["trouble"]["input alarm-1"] == "short: line 3"
    bench.wait(30)
    bench.health("alarm-1", "good")
    assert bench.of("trouble.input")[-1]["transition"] == "restored"


def test_a_press_between_two_faults_of_a_loose_wire_is_an_alarm_at_once() -> None:
    bench = Bench()
    bench.edge("alarm-1", False, initial=True)
    for _ in range(20):
        bench.health("alarm-1", "open", "line 3")
        bench.health("alarm-1", "good")
    bench.edge("alarm-1", True)
    bench.wait(0.05)
    assert len(bench.of("alarm.panic")) == 1


def test_a_device_whose_words_no_event_can_hold_has_its_trouble_told_and_the_next_press_is_an_alarm() -> None:
    bench = Bench()
    bench.health("door", "offline", "\udcff" + "x" * 100_000)
    [trouble] = bench.of("trouble.input")
    assert trouble["reason"].startswith("offline: ?xxx") and len(trouble["reason"]) == 1_000
    bench.press("alarm-1")
    assert len(bench.of("alarm.panic")) == 1
