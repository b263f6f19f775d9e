"""The whole box and its link: sessions and their loss, the state, what is sent and what counts as delivered."""

import json
import re

import pytest
from bench_box import BOX_KEY, YAML, Bench

from agent.config_links import TIMINGS
from agent.identity import b64
from agent.link import STEADY_S
from agent.mail import Connect, Drop, Say, SessionUp
from agent.outbox import WINDOW

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
        "outputs": {"lamp": {"role": "feedback", "value": "off"}},
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
