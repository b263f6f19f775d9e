"""Alarms are cases: what a press opens, what counts in it, what ends it, and what the lamp may show of it."""

from bench_box import DESK, Bench, signed

from agent.mail import Say, SetOutput


def signed_order(bench: Bench, verb: str, case: str) -> bytes:
    return signed(DESK, bench.order(verb, {"alarm": case, "note": "on my way"}))


def test_the_first_press_opens_a_case_named_by_its_event() -> None:
    bench = Bench()
    bench.press("alarm-1")
    [event] = [event for event in bench.events if event["type"] == "callbox.alarm.panic"]
    assert event["data"]["case"] == event["id"]
    assert event["data"].items() >= {"transition": "raised", "cid": 120, "count": 1, "input": "alarm-1"}.items()
    assert event["subject"] == "alarm-1"


def test_further_presses_count_in_the_open_case_and_release_records_nothing() -> None:
    bench = Bench()
    for _ in range(3):
        bench.press("alarm-1")
    presses = bench.of("alarm.panic")
    assert [data["count"] for data in presses] == [1, 2, 3]
    assert {data["transition"] for data in presses} == {"raised"}
    assert len({data["case"] for data in presses}) == 1


def test_the_lamp_says_recorded_only_after_the_disk_has_it() -> None:
    bench = Bench()
    bench.disk_works = False
    bench.press("alarm-1")
    assert not bench.shows()
    bench.commit()
    assert bench.shows()


def test_a_case_that_is_not_at_central_after_2_s_blinks_slowly() -> None:
    bench = Bench()
    bench.connect()
    bench.edge("alarm-1", True)
    bench.wait(0.02)
    assert [bench.shows(0.5) for _ in range(8)] == [True, True, True, True, True, False, False, True]


def test_a_receipt_shows_as_a_short_pulse() -> None:
    bench = Bench()
    bench.connect()
    bench.press("alarm-1")
    bench.receipt(through=len(bench.events))
    lit = [bench.shows(0.1) for _ in range(40)]
    assert lit.count(True) in (3, 4, 5)


def test_an_acknowledgement_shows_only_after_it_is_recorded() -> None:
    bench = Bench()
    bench.connect()
    bench.press("alarm-1")
    bench.receipt(through=len(bench.events))
    bench.disk_works = False
    case = bench.of("alarm.panic")[0]["case"]
    bench.arrive("command", signed_order(bench, "acknowledge", case))
    assert [bench.shows(0.1) for _ in range(20)].count(True) < 5, "still received"
    bench.commit()
    assert [bench.shows(0.1) for _ in range(20)].count(True) > 15, "acknowledged is on most of the time"
    [data] = bench.of("audit.acknowledged")
    assert data.items() >= {"case": case, "by": "/operators/duty-desk", "note": "on my way"}.items()


def test_a_press_in_an_acknowledged_case_asks_again() -> None:
    bench = Bench()
    bench.connect()
    bench.press("alarm-1")
    case = bench.of("alarm.panic")[0]["case"]
    bench.receipt(through=len(bench.events))
    bench.command("acknowledge", {"alarm": case})
    bench.receipt(through=len(bench.events))
    bench.press("alarm-1")
    assert bench.of("alarm.panic")[1]["case"] == case
    assert all(bench.shows(0.1) for _ in range(15)), "recorded: steady"
    bench.receipt(through=len(bench.events))
    assert [bench.shows(0.1) for _ in range(20)].count(True) < 5, "received: a pulse"


def test_a_restart_keeps_the_open_case_its_count_and_its_acknowledgement() -> None:
    bench = Bench()
    bench.connect()
    bench.press("alarm-1")
    bench.receipt(through=len(bench.events))
    case = bench.of("alarm.panic")[0]["case"]
    bench.command("acknowledge", {"alarm": case})
    bench.restart()
    assert [bench.shows(0.1) for _ in range(20)].count(True) > 15, "acknowledged"
    bench.press("alarm-1")
    assert bench.of("alarm.panic")[-1].items() >= {"case": case, "count": 2}.items()


def test_after_a_restart_an_owed_case_is_not_shown_as_received_and_a_delivered_one_is() -> None:
    bench = Bench()
    bench.connect()
    bench.press("alarm-1")
    bench.restart()
    assert all(bench.shows(0.1) for _ in range(15)), "recorded"
    bench.connect()
    bench.receipt(through=len(bench.events))
    bench.restart()
    assert [bench.shows(0.1) for _ in range(20)].count(True) < 5, "received"


def test_close_restores_once_and_the_lamp_goes_dark_when_that_is_on_the_disk() -> None:
    bench = Bench()
    bench.connect()
    bench.press("alarm-1")
    bench.press("alarm-1")
    case = bench.of("alarm.panic")[0]["case"]
    bench.receipt(through=len(bench.events))
    bench.disk_works = False
    bench.arrive("command", signed_order(bench, "close", case))
    assert any(bench.shows(0.1) for _ in range(30)), "its end is not on the disk"
    bench.commit()
    assert not any(bench.shows(0.1) for _ in range(30))
    restored = [data for data in bench.of("alarm.panic") if data["transition"] == "restored"]
    assert len(restored) == 1
    assert restored[0].items() >= {"case": case, "count": 2, "cid": 120}.items()
    assert len(bench.of("audit.closed")) == 1
    assert bench.journal.cases == {}


def test_a_press_after_close_opens_a_new_case() -> None:
    bench = Bench()
    bench.connect()
    bench.press("alarm-1")
    first = bench.of("alarm.panic")[0]["case"]
    bench.command("close", {"alarm": first})
    bench.press("alarm-1")
    last = bench.of("alarm.panic")[-1]
    assert last["case"] != first
    assert last["count"] == 1


def test_a_merged_sum_of_a_contact_says_how_many() -> None:
    bench = Bench()
    for _ in range(9):
        bench.press("door", held_s=0.1)
    bench.wait(20)
    told = bench.of("alarm.intrusion")
    merged = [data for data in told if data.get("merged")]
    assert len(told) == 11
    assert len(merged) == 1
    assert merged[0].items() >= {"count": 8, "merged": True, "transition": "restored"}.items()


def test_merged_presses_count_in_the_case_and_none_is_dropped() -> None:
    bench = Bench()
    for _ in range(25):
        bench.press("alarm-1", held_s=0.05)
    bench.wait(20)
    presses = bench.of("alarm.panic")
    assert [data["count"] for data in presses] == [*range(1, 11), 25]
    assert presses[-1]["merged"]


def test_merged_presses_survive_a_power_cut_before_their_sum() -> None:
    bench = Bench()
    for _ in range(13):
        bench.press("alarm-1")
    assert len(bench.of("alarm.panic")) == 10
    bench.restart()
    told = bench.of("alarm.panic")
    assert told[-1].items() >= {"merged": True, "changes": 3, "count": 13}.items()
    bench.restart()
    assert len(bench.of("alarm.panic")) == 11, "a sum is told once"


def test_merged_presses_are_told_before_the_box_stops() -> None:
    bench = Bench()
    for _ in range(12):
        bench.press("alarm-1", held_s=0.05)
    bench.box.stop(bench.stamp, "clean")
    bench.act()
    assert bench.of("alarm.panic")[-1]["count"] == 12
    assert bench.events[-1]["type"] == "callbox.status.stopping"


def test_a_silent_alarm_is_recorded_and_nothing_at_the_place_shows_it() -> None:
    bench = Bench()
    session = bench.connect()
    assert session
    bench.did.clear()
    bench.edge("hidden", True)
    bench.wait(60)  # long enough to be stuck
    bench.edge("hidden", False)
    bench.wait(60)
    [event] = bench.of("alarm.holdup")
    assert event["cid"] == 122
    assert len(bench.of("trouble.stuck")) == 2
    outputs = [action for action in bench.did if isinstance(action, SetOutput)]
    bench.receipt(through=len(bench.events))
    bench.command("acknowledge", {"alarm": event["case"]})
    bench.command("close", {"alarm": event["case"]})
    bench.wait(10)
    said = [action.text for action in bench.did if isinstance(action, Say) and "link" not in action.text]
    assert outputs == []
    assert said == []


def test_a_silent_alarm_does_not_change_what_the_lamp_shows_of_another() -> None:
    plain, mixed = Bench(), Bench()
    for bench in (plain, mixed):
        bench.connect()
        bench.press("alarm-1")
    mixed.edge("hidden", True)
    plain.wait(0.02)
    mixed.wait(0.02)
    assert [plain.shows(0.1) for _ in range(100)] == [mixed.shows(0.1) for _ in range(100)]


def test_a_cancel_is_a_second_message_about_the_newest_alarm_and_suppresses_nothing() -> None:
    bench = Bench()
    bench.press("alarm-1")
    bench.press("door")
    newest = bench.of("alarm.intrusion")[0]["case"]
    bench.press("hidden")
    bench.press("undo")
    [data] = bench.of("alarm.cancelled")
    assert data.items() >= {"cid": 406, "alarm": newest}.items()
    assert len(bench.journal.cases) == 3


def test_a_cancel_without_an_alarm_is_recorded_all_the_same() -> None:
    bench = Bench()
    bench.press("undo")
    [data] = bench.of("alarm.cancelled")
    assert "alarm" not in data


def test_of_many_cancels_none_is_dropped() -> None:
    bench = Bench()
    for _ in range(13):
        bench.press("undo", held_s=0.05)
    bench.wait(20)
    told = bench.of("alarm.cancelled")
    assert len(told) == 11
    assert told[-1].items() >= {"merged": True, "count": 3}.items()


def test_a_reset_that_nobody_was_seen_to_press_closes_nothing() -> None:
    """A stuck key, or a cut wire of a contact that is closed at rest, is found at the start."""
    bench = Bench()
    bench.press("alarm-1")
    bench.restart()
    bench.edge("key", True, initial=True)
    bench.wait(1)
    assert not bench.of("audit.closed")


def test_the_reset_input_closes_what_is_not_silent_and_nothing_else() -> None:
    bench = Bench()
    bench.press("alarm-1")
    bench.press("hidden")
    bench.press("key")
    restored = [event["type"] for event in bench.events if event["data"].get("transition") == "restored"]
    assert restored == ["callbox.alarm.panic"]
    assert list(bench.journal.cases) == [bench.of("alarm.holdup")[0]["case"]]
    [closed] = bench.of("audit.closed")
    assert closed["by"] == "reset"


def test_the_status_at_the_place_tells_nothing_of_a_silent_button() -> None:
    bench = Bench()
    bench.edge("hidden", True)
    bench.wait(60)
    status = bench.box.status()
    assert bench.of("trouble.stuck")[-1]["input"] == "hidden", "central is told"
    assert status["inputs"]["hidden"] == {"value": "hidden", "quality": "good"}
    assert not [name for name in status["trouble"] if "hidden" in name]
    assert status["open_alarms"] == 0
