"""The box as a whole: what follows from what, in virtual time, with a journal and a broker on the bench."""

import json
import re
from itertools import pairwise
from typing import Any

import pytest
from bench_box import BOX_KEY, YAML, Bench, FakeJournal

from agent.config_model import TIMINGS
from agent.identity import b64, verify_chain
from agent.link import STEADY_S
from agent.mail import (
    Answered,
    Connect,
    Drop,
    Exit,
    Fetch,
    NewJournal,
    Probe,
    Publish,
    Recorded,
    Say,
    SessionUp,
    SetOutput,
    StorageFailed,
    Write,
)
from agent.outbox import WINDOW
from agent.uplink import STALL_S
from drivers.contract import Edge

RETRY_S = TIMINGS["dp4"].retry_max_s + 1

PUBACK = YAML + "delivery: puback\n"


def seqs(bench: Bench) -> list[int]:
    """What was published as events or batches, in order."""
    found: list[int] = []
    for message in bench.sent:
        if message.topic != "state":
            body = json.loads(message.payload)
            found += [event["boxseq"] for event in (body if isinstance(body, list) else [body])]
    return found


# ---- start and stop


def test_the_first_event_of_a_run_says_how_the_last_one_ended() -> None:
    bench = Bench()
    assert bench.of("status.started")[0].items() >= {"last_end": "first"}.items()
    bench.restart()
    assert [data["last_end"] for data in bench.of("status.started")] == ["first", "crash"]
    assert bench.journal.settings["last_end"] == "crash", "until it ends in another way"
    bench.box.stop(bench.stamp, "clean")
    bench.act()
    assert bench.journal.settings["last_end"] == "clean"
    assert bench.events[-1]["type"] == "callbox.status.stopping"


def test_a_reload_is_no_end_that_central_needs_to_know() -> None:
    bench = Bench()
    before = len(bench.events)
    bench.box.stop(bench.stamp, "reload")
    bench.act()
    assert len(bench.events) == before
    assert bench.journal.settings["last_end"] == "reload"


def test_a_journal_that_had_to_be_started_anew_says_so_first() -> None:
    bench = Bench(start=False)
    bench.start(new_journal="the journal is damaged; it was moved aside")
    started, trouble = bench.events[:2]
    assert (started["type"], started["boxseq"]) == ("callbox.status.started", 1)
    assert started["data"]["new_journal"] == "the journal is damaged; it was moved aside"
    assert trouble["type"] == "callbox.trouble.storage"


def test_a_changed_config_is_an_event_with_its_hash() -> None:
    bench = Bench(start=False)
    bench.box.start(bench.stamp, last_end="clean", new_journal="", config_hash="ab" * 32, config_changed=True)
    bench.act()
    [data] = bench.of("audit.config")
    assert data.items() >= {"sha256": "ab" * 32, "cid": 306}.items()


def test_after_a_stop_the_lamps_are_dark_and_stay_dark() -> None:
    bench = Bench()
    bench.press("alarm-1")
    assert bench.lit == {"lamp"}
    bench.disk_works = False
    bench.box.stop(bench.stamp, "clean")
    bench.act()
    assert bench.lit == set()
    bench.commit()
    bench.wait(10)
    assert bench.lit == set()


def test_a_clean_end_is_told_to_central_in_the_words_of_the_will() -> None:
    bench = Bench()
    assert bench.box.say_goodbye(bench.stamp) is None, "there is no session"
    session = bench.connect()
    bench.box.say_goodbye(bench.stamp)
    bench.act()
    message = bench.sent[-1]
    assert (message.topic, message.retain) == ("state", True)
    assert message.payload == b'{"online":false,"session":"' + session.encode() + b'"}'


def test_everything_that_a_box_records_is_one_whole_signed_chain_over_restarts() -> None:
    bench = Bench()
    for _ in range(3):
        bench.connect()
        for name in ("alarm-1", "hidden", "door", "undo", "mains", "key"):
            bench.press(name)
        bench.scan("A")
        bench.receipt(through=len(bench.events))
        bench.restart()
    bodies = [(seq, event.body) for seq, event in sorted(bench.journal.events.items())]
    assert verify_chain(bodies, BOX_KEY.public_key().public_bytes_raw()) is None


# ---- the disk


def test_one_step_is_one_write() -> None:
    """A reset that closes two cases: four events and two cases, whole or not at all."""
    bench = Bench()
    bench.press("alarm-1")
    bench.press("door")
    before = len(bench.journal.writes)
    bench.press("key")
    [write] = bench.journal.writes[before:]
    assert len(write.events) == 3
    assert list(write.cases.values()) == [None, None]


def test_a_failed_disk_does_not_keep_an_alarm_from_going_out() -> None:
    bench = Bench()
    bench.connect()
    bench.receipt(through=1)
    bench.disk_works = False
    bench.edge("alarm-1", True)
    bench.wait(0.1)
    bench.sent.clear()
    bench.fail_disk()
    assert bench.journal.volatile
    types = [event["type"] for event in bench.published()]
    assert types[0] == "callbox.alarm.panic", "before everything else"
    assert sorted(types[1:]) == ["callbox.status.started", "callbox.trouble.storage"]
    started = bench.of("status.started")[0]
    assert (started["last_end"], started["new_journal"]) == ("storage", "disk I/O error; replace the card")
    bench.wait(1)
    assert bench.state["journal"] == bench.journal.name
    assert bench.state["trouble"] == ["storage"]


def test_an_alarm_that_was_recorded_before_the_disk_failed_goes_out_from_memory() -> None:
    bench = Bench()
    bench.press("alarm-1")
    [before] = [event for event in bench.events if event["type"] == "callbox.alarm.panic"]
    bench.fail_disk()
    bench.connect()
    [sent] = [event for event in bench.published() if event["type"] == "callbox.alarm.panic"]
    same = ("id", "time", "subject", "boot", "data", "timequality")
    assert [sent[name] for name in same] == [before[name] for name in same]
    assert (sent["journal"], before["journal"]) == (bench.journal.name, "9b1deb4d")
    bench.receipt(through=bench.box.seq)
    bench.wait(5)
    assert [case.delivered for case in bench.box._alarms.shown] == [True]


def test_the_id_of_an_alarm_survives_the_move_so_that_central_can_drop_a_repeat() -> None:
    bench = Bench()
    bench.disk_works = False
    bench.edge("alarm-1", True)
    bench.wait(0.1)
    [asked] = [event for write in bench.held if isinstance(write, Write) for event in write.events]
    bench.fail_disk()
    [moved] = [event for event in bench.events if event["type"] == "callbox.alarm.panic"]
    assert moved["id"] == asked.id
    assert moved["data"]["case"] == asked.id


def test_on_a_failed_disk_the_lamp_shows_the_fault_and_never_recorded() -> None:
    bench = Bench()
    bench.connect()
    bench.disk_works = False
    bench.edge("alarm-1", True)
    bench.wait(0.1)
    bench.fail_disk()
    changes = [bench.shows(0.0625) for _ in range(64)]
    assert changes.count(True) in range(28, 37), "fast, half of the time"
    assert sum(one != other for one, other in pairwise(changes)) >= 24


def test_on_a_failed_disk_received_is_still_centrals_word() -> None:
    bench = Bench()
    bench.connect()
    bench.disk_works = False
    bench.edge("alarm-1", True)
    bench.wait(0.1)
    bench.fail_disk()
    before = {(action.output, action.on) for action in bench.did if isinstance(action, SetOutput)}
    assert before
    bench.receipt(through=len(bench.events))
    bench.wait(4)
    lit = [bench.shows(0.1) for _ in range(80)]
    assert lit.count(True) < 40, "fault and received in turn"


def test_a_disk_that_does_not_answer_for_5_s_has_failed() -> None:
    bench = Bench()
    bench.connect()
    bench.disk_works = False
    bench.edge("alarm-1", True)
    bench.wait(4.9)
    assert not bench.journal.volatile
    bench.wait(0.2)
    assert bench.journal.volatile
    assert "the disk has not answered for 5 s; replace the card" in bench.of("status.started")[0]["new_journal"]
    assert [data["count"] for data in bench.of("alarm.panic")] == [1]


def test_a_disk_that_answers_after_it_was_given_up_changes_nothing() -> None:
    bench = Bench()
    old = bench.journal.name
    bench.fail_disk()
    before = len(bench.did)
    bench.say(Recorded(old, 99, dict.fromkeys(("alarm", "trouble", "scan", "status", "audit"), 7)))
    assert not [action for action in bench.did[before:] if isinstance(action, Publish)]
    bench.connect()
    assert bench.state["pending"]["alarm"] == 0


def test_a_disk_fails_once_however_often_it_is_said() -> None:
    bench = Bench()
    bench.disk_works = False
    bench.edge("alarm-1", True)
    bench.wait(0.1)
    bench.now_s += 6.0
    bench.box.handle(StorageFailed(bench.journal.name, "disk I/O error"), bench.stamp)
    bench.box.tick(bench.stamp)
    actions = bench.box.drain()
    assert sum(isinstance(action, NewJournal) for action in actions) == 1


def test_what_is_recorded_in_the_step_in_which_the_disk_fails_goes_once_into_the_new_journal() -> None:
    """The loop hears of the failure and ticks in one step, and the tick records a press."""
    bench = Bench()
    bench.disk_works = False
    bench.say(Edge("alarm-1", True, bench.now_s))
    bench.now_s += 0.05
    bench.box.handle(StorageFailed(bench.journal.name, "disk I/O error"), bench.stamp)
    bench.box.tick(bench.stamp)
    bench.act()
    assert [event["type"] for event in bench.events] == [
        "callbox.status.started",
        "callbox.alarm.panic",
        "callbox.trouble.storage",
    ]
    assert {event["journal"] for event in bench.events} == {bench.journal.name}


def test_the_start_without_a_disk_is_an_armed_box_with_a_fault() -> None:
    bench = Bench(journal=FakeJournal(volatile=True), start=False)
    bench.start(new_journal="/var/lib/callbox: Read-only file system")
    bench.connect()
    bench.press("alarm-1")
    assert "callbox.alarm.panic" in [event["type"] for event in bench.published()]
    assert len({bench.shows(0.0625) for _ in range(10)}) == 2, "blinks fast"


# ---- supervision


def test_a_central_that_says_nothing_is_a_trouble_after_30_s_and_no_lamp_tells_of_it() -> None:
    """The event that shows it may be a silent alarm."""
    bench = Bench()
    bench.connect()
    bench.receipt(through=1)
    bench.wait(100)
    assert bench.of("trouble.link") == []
    bench.edge("hidden", True)
    bench.wait(0.1)
    bench.edge("hidden", False)
    bench.did.clear()
    bench.wait(29.5)
    assert bench.of("trouble.link") == []
    bench.wait(1)
    [data] = bench.of("trouble.link")
    assert "central does not say that it stored any" in data["reason"]
    bench.wait(60)
    bench.receipt(through=len(bench.events))
    bench.wait(2)
    assert [data["transition"] for data in bench.of("trouble.link")] == ["raised", "restored"]
    assert [action for action in bench.did if isinstance(action, SetOutput | Say)] == []


def test_that_nobody_listens_at_the_broker_is_said_in_so_many_words() -> None:
    bench = Bench()
    bench.broker_answers = False
    bench.connect()
    for _ in range(40):
        bench.ack(0x10)
        bench.wait(1)
    [data] = bench.of("trouble.link")
    assert "nobody at central listens" in data["reason"]


def test_a_broker_that_throws_the_box_out_again_and_again_is_a_trouble() -> None:
    bench = Bench()
    for _ in range(100):
        if bench.of("trouble.link"):
            break
        bench.connect()
        tries = len(bench.connects)
        bench.disconnect("central:1883: the broker ended the session: taken over; is this box's id used twice?")
        while len(bench.connects) == tries:
            bench.wait(0.5)
    [data] = bench.of("trouble.link")
    assert "no session lasts: central:1883" in data["reason"] and "used twice" in data["reason"]


TWO_LINKS = YAML.replace("  - url: mqtt://central.example\n", "  - url: mqtt://first\n  - url: mqtt://second\n")


def asked(bench: Bench) -> list[int]:
    return [action.link for action in bench.did if isinstance(action, Probe)]


def test_the_failure_of_each_link_is_reported_over_the_other_and_so_is_its_return() -> None:
    bench = Bench(TWO_LINKS)
    bench.connect()
    bench.receipt(through=1)
    bench.wait(0.1)
    assert asked(bench) == [1]
    bench.say(Answered(1, "second:1883: refused; start it"))
    bench.wait(11)
    [spare] = bench.of("trouble.link")
    assert spare.items() >= {"transition": "raised", "link": "mqtt://second"}.items()
    assert bench.state["trouble"] == ["link mqtt://second"]
    assert not bench.shows(), "the box delivers: that is no matter of who presses"
    for _ in range(2):
        bench.receipt(through=len(bench.events))
        bench.wait(21)
        bench.say(Answered(1, ""))
    bench.wait(1)
    assert [data["transition"] for data in bench.of("trouble.link")] == ["raised", "restored"]

    bench.receipt(through=len(bench.events))
    bench.disconnect("first:1883: cut")
    bench.wait(1)
    assert bench.connects[-1].link == 1
    bench.connect()
    bench.wait(11)
    bench.receipt(through=len(bench.events))
    assert bench.of("trouble.link")[-1].items() >= {"transition": "raised", "link": "mqtt://first"}.items()
    assert {link["url"]: link["in_use"] for link in bench.box.status()["links"]} == {
        "mqtt://first": False,
        "mqtt://second": True,
    }


def test_the_way_back_to_a_better_link_is_made_before_the_other_is_left_and_nothing_is_sent_twice_to_it() -> None:
    bench = Bench(TWO_LINKS)
    bench.disconnect("first:1883: refused")
    bench.wait(0.1)
    bench.connect()
    bench.receipt(through=1)
    second = bench.connects[-1]
    while bench.connects[-1] is second:
        bench.wait(5)
        if asked(bench):
            bench.did.clear()
            bench.say(Answered(0, ""))
    assert (second.link, bench.connects[-1].link) == (1, 0)
    bench.press("alarm-1")
    [alarm] = [message for message in bench.sent if message.topic == "event/alarm"]
    assert alarm.session == second.session, "the old session serves until the new one stands"
    bench.receipt(through=len(bench.events))
    bench.did.clear()
    bench.connect()
    left = [action for action in bench.did if isinstance(action, Publish | Drop)]
    assert isinstance(left[0], Publish) and (left[0].session, left[0].topic) == (second.session, "state")
    assert json.loads(left[0].payload) == {"online": False, "session": second.session}
    assert left[1] == Drop(second.session)
    assert bench.state["session"] == bench.connects[-1].session
    assert [message.topic for message in bench.sent].count("event/alarm") == 1


def test_a_drain_that_stands_still_gets_a_new_client_first_and_then_a_new_process() -> None:
    """As if our own code had lost the thread: the outbox holds something, has room, and gives nothing."""
    bench = Bench()
    bench.connect()
    bench.receipt(through=1)
    outbox = bench.box._uplink.outbox
    outbox.take = lambda *_, **__: None  # type: ignore[method-assign]
    bench.scan("ticket")
    bench.did.clear()
    bench.wait(STALL_S - 1)
    assert not [action for action in bench.did if isinstance(action, Drop | Exit)]
    bench.wait(2)
    assert [type(action) for action in bench.did if isinstance(action, Drop | Exit)] == [Drop]
    bench.wait(3)
    bench.connect()
    bench.wait(STALL_S + 2)
    assert [type(action) for action in bench.did if isinstance(action, Drop | Exit)] == [Drop, Exit, Drop]


def test_a_drain_that_waits_for_central_is_left_alone() -> None:
    bench = Bench()
    bench.connect()
    for number in range(30):
        bench.scan(f"ticket-{number}")
    bench.did.clear()
    bench.wait(1_000)
    assert not [action for action in bench.did if isinstance(action, Drop | Exit)]


def test_the_measure_of_the_last_day_outlives_a_restart() -> None:
    bench = Bench()
    bench.connect()
    bench.press("alarm-1")
    bench.wait(2)
    bench.receipt(through=len(bench.events))
    for _ in range(40):
        bench.wait(25)
        bench.ack()
    before = bench.box.status()["compliance"]
    assert before["alarms"] == 1 and 2 <= before["alarm_max_s"] < 3
    assert before["within"] and before["silence_max_s"] <= 26 and before["available"] == 1.0
    bench.wall_us += 3_600_000_000  # an hour without power
    bench.restart()
    after = bench.box.status()["compliance"]
    assert after["alarms"] == 1
    assert 3_600 <= after["silence_max_s"] < 4_600 and not after["within"] and after["available"] < 0.6


# ---- the link


def test_30_s_without_a_session_are_a_trouble_and_a_fault_on_the_lamp_until_it_is_back() -> None:
    bench = Bench()
    bench.wait(29.9)
    assert bench.of("trouble.link") == []
    bench.wait(0.2)
    [data] = bench.of("trouble.link")
    assert data.items() >= {"transition": "raised", "cid": 350}.items()
    assert len({bench.shows(0.0625) for _ in range(10)}) == 2
    bench.wait(1)
    bench.connect()
    bench.wait(STEADY_S - 0.1)
    assert [data["transition"] for data in bench.of("trouble.link")] == ["raised"], "a session that lasts is wanted"
    bench.wait(0.2)
    assert [data["transition"] for data in bench.of("trouble.link")] == ["raised", "restored"]
    bench.wait(0.2)
    assert not any(bench.shows(0.1) for _ in range(20))


def test_a_short_loss_of_the_link_is_no_trouble() -> None:
    bench = Bench()
    bench.connect()
    bench.disconnect()
    bench.wait(20)
    bench.connect()
    bench.wait(5)
    assert bench.of("trouble.link") == []


def test_a_lost_link_is_said_once_for_each_reason_however_often_it_is_tried() -> None:
    bench = Bench()

    def said() -> list[str]:
        return [action.text for action in bench.did if isinstance(action, Say) and "link lost" in action.text]

    for _ in range(20):
        bench.disconnect("central:8883: Connection refused", hint="start it")
        bench.wait(26)
        bench.disconnect("spare:8883: no answer in time")
        bench.wait(26)
    assert said() == [
        "link lost: central:8883: Connection refused; start it",
        "link lost: spare:8883: no answer in time; it is tried again",
    ]
    tries = len(bench.connects)
    while len(bench.connects) == tries:
        bench.wait(1)
    bench.connect()
    bench.disconnect("central:8883: Connection refused", hint="start it")
    assert len(said()) == 3, "it was back, and is lost again"


def test_a_press_tries_the_link_at_once() -> None:
    bench = Bench()
    for _ in range(60):
        bench.disconnect("refused")
        tries = len(bench.connects)
        bench.wait(3)
        if len(bench.connects) == tries:
            break  # the backoff is longer than that
        bench.wait(RETRY_S)
    assert len(bench.connects) == tries
    bench.edge("alarm-1", True)
    bench.wait(0.021)
    assert len(bench.connects) == tries + 1


def test_what_was_sent_and_not_received_is_sent_again_in_the_next_session() -> None:
    bench = Bench()
    bench.connect()
    bench.press("alarm-1")
    bench.receipt(through=1)
    bench.disconnect()
    bench.wait(30)
    bench.sent.clear()
    bench.connect()
    assert 2 in seqs(bench)
    assert 1 not in seqs(bench)


def test_an_event_of_before_the_session_is_marked_as_replayed_and_a_new_one_is_not() -> None:
    bench = Bench()
    bench.press("alarm-1")
    bench.connect()
    bench.press("alarm-1")
    marks = {json.loads(message.payload)["boxseq"]: message.replayed for message in bench.sent if not message.retain}
    assert marks == {1: True, 2: True, 3: False}


def test_nothing_but_state_is_ever_retained() -> None:
    bench = Bench()
    bench.connect()
    bench.press("alarm-1")
    bench.scan("x")
    bench.command("test", {"what": "loop"})
    assert {message.topic for message in bench.sent if message.retain} == {"state"}
    assert {message.topic for message in bench.sent if not message.retain} == {
        "event/alarm",
        "event/scan",
        "event/status",
        "event/audit",
    }


def test_the_state_is_as_in_the_contract() -> None:
    bench = Bench()
    session = bench.connect()
    bench.edge("alarm-1", False, initial=True)
    bench.wait(25)
    state = bench.state
    inputs = state.pop("inputs")
    assert state == {
        "online": True,
        "session": session,
        "boot": "5f0c2a9e",
        "agent": state["agent"],
        "name": "Baita Road kiosk",
        "journal": "9b1deb4d",
        "seq": 1,
        "pending": {"alarm": 0, "trouble": 0, "scan": 0, "status": 1, "audit": 0, "media_bytes": 0},
        "trouble": [],
        "key": b64(BOX_KEY.public_key().public_bytes_raw()),
        "time": state["time"],
    }
    assert inputs["alarm-1"] == {"value": "idle", "quality": "good"}
    assert re.fullmatch(r"2026-11-22T01:33:\d\d(\.\d+)?Z", state["time"])
    assert re.fullmatch(r"[0-9a-f]{8}", session)


def test_the_state_is_sent_at_connect_and_with_every_heartbeat() -> None:
    bench = Bench()
    bench.connect()
    bench.receipt(through=1)
    beats = [bench.now_s]
    while len(beats) < 4:
        bench.sent.clear()
        bench.wait(1)
        if any(message.topic == "state" for message in bench.sent):
            beats.append(bench.now_s)
    assert [round(beat - beats[0]) for beat in beats] == [0, 25, 50, 75]


def test_each_session_has_a_name_of_its_own_and_words_of_an_old_one_change_nothing() -> None:
    bench = Bench()
    old = bench.connect()
    bench.disconnect()
    bench.wait(30)
    assert bench.connects[-1].session != old
    bench.say(SessionUp(old, "5"))
    assert bench.box.status()["link"]["state"] != "up"


def test_a_broker_that_answers_nothing_for_10_s_is_dropped() -> None:
    bench = Bench()
    bench.broker_answers = False
    session = bench.connect()
    bench.wait(9.9)
    assert not [action for action in bench.did if isinstance(action, Drop)]
    bench.wait(2)
    assert Drop(session) in bench.did
    assert any(isinstance(action, Connect) for action in bench.did[bench.did.index(Drop(session)) :])


def test_a_backlog_waits_behind_an_alarm_whatever_its_length() -> None:
    bench = Bench()
    for number in range(600):
        bench.scan(str(number))
    bench.restart()
    bench.broker_answers = False
    bench.connect()
    bench.press("alarm-1")
    alarm = len(bench.events)
    order = seqs(bench)
    assert order.index(alarm) < WINDOW


def test_the_receive_maximum_of_the_broker_is_kept_with_the_state_in_flight_too() -> None:
    bench = Bench()
    for name in ("alarm-1", "door", "hidden"):
        bench.press(name)
    bench.broker_answers = False
    bench.connect(receive_max=1)
    assert len(bench.sent) == 1
    for _ in range(6):
        bench.sent.clear()
        bench.ack()
        assert len(bench.sent) <= 1
        bench.wait(9)
        assert len(bench.sent) <= 1


# ---- delivery: puback


def test_where_a_puback_counts_it_delivers() -> None:
    bench = Bench(PUBACK)
    bench.connect()
    bench.press("alarm-1")
    bench.wait(1)
    assert bench.journal.owed == {}


def test_in_mqtt_3_1_1_a_puback_says_nothing_and_nothing_counts_as_delivered() -> None:
    """An ACL refusal looks like success there."""
    bench = Bench(PUBACK)
    bench.connect(protocol="3.1.1")
    bench.press("alarm-1")
    bench.wait(1)
    assert set(bench.journal.owed) == set(bench.journal.events)
    assert "demands MQTT 5" in bench.of("trouble.link")[0]["reason"]


@pytest.mark.parametrize("code", [0x87, 0x90])
def test_a_broker_that_refuses_the_boxs_events_is_a_trouble(code: int) -> None:
    bench = Bench()
    bench.connect()
    bench.broker_answers = False
    bench.press("alarm-1")
    bench.ack(code)
    bench.wait(2)
    assert f"reason code 0x{code:02x}" in bench.of("trouble.link")[0]["reason"]


def test_an_event_too_large_for_the_broker_is_parked_and_said() -> None:
    bench = Bench()
    bench.scan("x" * 5000)
    bench.connect(packet_bytes_max=3000)
    [data] = bench.of("trouble.parked")
    assert data["parked"] == 2
    assert data["reason"].endswith("bytes are too many for this broker")
    assert 2 not in seqs(bench)
    assert 3 in seqs(bench)


# ---- the clock


@pytest.mark.parametrize("step_s", [3600.0, -1.5])
def test_a_step_of_the_clock_is_an_event_with_its_size(step_s: float) -> None:
    bench = Bench()
    bench.wall_us += round(step_s * 1e6)
    bench.wait(2)
    [data] = bench.of("status.clock")
    assert data["step_s"] == pytest.approx(step_s)
    assert data["cid"] == 625


def test_a_clock_that_is_pulled_slowly_is_no_step() -> None:
    bench = Bench()
    for _ in range(100):
        bench.wall_us += 50_000
        bench.wait(1)
    assert bench.of("status.clock") == []


def test_a_press_keeps_the_time_at_which_it_was_seen() -> None:
    bench = Bench()
    seen_s = bench.now_s
    bench.now_s += 0.75
    bench.wall_us += 750_000
    bench.say(Edge("alarm-1", True, seen_s))
    bench.wait(0.1)
    [event] = [event for event in bench.events if event["type"] == "callbox.alarm.panic"]
    assert event["time"] == "2026-11-22T01:33:20.123456Z"
    assert event["data"]["monotonic_s"] == seen_s


# ---- the rest


def test_a_lamp_of_a_colour_shows_only_its_own() -> None:
    lamps = "  - {id: amber, driver: gpio0, pin: 2, role: feedback, color: amber}\n"
    lamps += "  - {id: red, driver: gpio0, pin: 3, role: feedback, color: red}\n"
    bench = Bench(YAML.replace("operators:", lamps + "operators:"))
    bench.connect()
    bench.press("alarm-1")
    assert bench.lit == {"lamp", "amber"}


def test_the_status_has_the_link_and_the_reasons_of_troubles() -> None:
    bench = Bench()
    bench.health("alarm-1", "open", "line 3")
    status: Any = bench.box.status()
    assert status["box"] == "jiangyang/kiosk-017"
    assert status["link"].items() >= {"state": "connecting", "url": "mqtt://central.example", "protocol": ""}.items()
    assert status["trouble"] == {"input alarm-1": "open: line 3"}
    bench.press("alarm-1")
    bench.press("hidden")
    assert bench.box.status()["open_alarms"] == 1, "silent ones are not told at the place"


def test_nothing_is_asked_of_the_journal_without_a_session() -> None:
    journal = FakeJournal()
    Bench(journal=journal)
    bench = Bench(journal=journal)
    bench.wait(60)
    assert not [action for action in bench.did if isinstance(action, Fetch)]


def test_a_trouble_with_a_new_reason_is_one_event_and_a_new_line_in_the_log() -> None:
    """A technician who reads "no such file" while the file is there looks for the wrong fault."""
    bench = Bench()
    for reason in ("no such file", "no such file", "permission denied"):
        bench.health("desk", "offline", reason)
    assert len(bench.of("trouble.input")) == 1
    assert [line for line in bench.said if "input desk" in line] == [
        "trouble: input desk: offline: no such file",
        "trouble: input desk: offline: permission denied",
    ]
    assert bench.box.status()["trouble"]["input desk"] == "offline: permission denied"
