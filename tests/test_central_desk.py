"""What central shows the desk: boxes and their sessions, cases, and what became of commands."""

import base64
import time
from typing import Any

import pytest
import rfc8785
from central_bench import DEADLINE_S, Bench, bench, box, id_of
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from fakebox import FakeBox

from simulators.central import wire
from simulators.central.boxes import Box
from simulators.central.broker import Link
from simulators.central.hub import RefusedError

__all__ = ["bench", "box"]  # fixtures


# boxes and sessions: pure


def test_an_offline_message_counts_only_from_the_newest_session() -> None:
    box = Box("a/b")
    assert box.take({"online": True, "session": "one", "seq": 5}, "t", 0.0)
    assert box.take({"online": True, "session": "two", "seq": 9}, "t", 1.0)
    box.take({"online": False, "session": "one"}, "t", 2.0)
    box.take({"online": True, "session": "one", "seq": 6}, "t", 2.0)
    assert box.online and box.first_seq == 9
    box.take({"online": False, "session": "two"}, "t", 3.0)
    assert not box.online


def test_three_missed_heartbeats_are_silence() -> None:
    box = Box("a/b")
    box.take({"online": True, "session": "one"}, "t", 100.0)
    assert not box.tick(174.9) and box.tick(175.0) and not box.tick(176.0)
    assert box.shown()["link"] == "silent"
    box.take({"online": True, "session": "one"}, "t", 180.0)
    assert box.shown()["link"] == "online"


def test_a_box_that_beats_faster_is_missed_sooner() -> None:
    box = Box("a/b")
    for at_s in (0.0, 1.0, 6.0, 11.0):
        box.take({"online": True, "session": "one"}, "t", at_s)
    assert not box.tick(25.9) and box.tick(26.0)


def test_a_state_of_a_strange_shape_is_shown_as_far_as_it_can_be() -> None:
    box = Box("a/b")
    box.take(
        {"online": True, "session": "s", "pending": 7, "inputs": {"x": 3}, "trouble": [1, {"kind": "ac"}], "key": 5},
        "t",
        0.0,
    )
    shown = box.shown()
    assert (shown["pending"], shown["inputs"], shown["key_changed"]) == ({}, [], False)
    assert shown["trouble"] == [{"kind": "1", "where": ""}, {"kind": "ac", "where": ""}]


# cases


def test_a_repeat_press_in_an_acknowledged_case_needs_a_person_again(bench: Bench, box: FakeBox) -> None:
    bench.send(box, "state", box.state())
    press = box.press()
    case = id_of(press)
    bench.send(box, "event/alarm", press)
    assert bench.case(case)["state"] == "open"
    bench.send(
        box, "event/audit", box.event("audit.acknowledged", case=case, by="/operators/duty-desk", note="on my way")
    )
    shown = bench.case(case)
    assert shown["state"] == "acknowledged" and shown["done"]["acknowledged"]["note"] == "on my way"
    bench.send(box, "event/alarm", box.press(case=case, count=2))
    shown = bench.case(case)
    assert (shown["state"], shown["count"], shown["rings"]) == ("open", 2, 2)
    bench.send(box, "event/audit", box.event("audit.closed", case=case, by="/operators/duty-desk", note="done"))
    bench.send(box, "event/alarm", box.event("alarm.panic", transition="restored", cid=120, case=case, by="reset"))
    assert bench.case(case)["state"] == "closed" and len(bench.case(case)["history"]) == 5


def test_a_confirmation_is_shown_on_its_case_wants_a_person_and_is_no_further_press(bench: Bench, box: FakeBox) -> None:
    press = box.press()
    case = id_of(press)
    bench.send(box, "event/alarm", press)
    bench.send(box, "event/audit", box.event("audit.acknowledged", case=case, by="x"))
    confirmed = box.event("alarm.confirmed", transition="raised", cid=129, case=case, input="lid", because="tamper")
    bench.send(box, "event/alarm", confirmed)
    shown = bench.case(case)
    assert (shown["count"], shown["flags"], shown["state"], shown["kind"]) == (1, ["confirmed"], "open", "panic")


def test_a_case_is_the_same_in_whatever_order_its_events_come(bench: Bench, box: FakeBox) -> None:
    press = box.press()
    case = id_of(press)
    events = [
        ("event/alarm", press),
        ("event/audit", box.event("audit.acknowledged", case=case, by="x")),
        ("event/alarm", box.press(case=case, count=2)),
        ("event/audit", box.event("audit.acknowledged", case=case, by="y")),
    ]
    bench.send(box, "state", box.state())
    for part, payload in reversed(events):
        bench.send(box, part, payload)
    shown = bench.case(case)
    assert (shown["state"], shown["count"], shown["done"]["acknowledged"]["by"]) == ("acknowledged", 2, "y")


def test_history_after_an_outage_is_marked_and_a_late_alarm_says_how_late(bench: Bench, box: FakeBox) -> None:
    bench.send(box, "state", box.state("s1"))
    scan, press = box.event("scan.code", ago_s=90.0), box.press(ago_s=80.0)
    bench.send(box, "state", box.state("s2"))
    bench.send(box, "event/alarm", press)
    bench.send(box, "event/scan", scan)
    live = box.press()
    bench.send(box, "event/alarm", live)
    late = bench.case(id_of(press))
    assert late["replayed"] and 79 < late["late_s"] < 100 and late["rings"] == 1
    assert bench.shown()["events"][-1]["replayed"] is True
    assert (bench.case(id_of(live))["replayed"], bench.case(id_of(live))["late_s"]) == (False, None)


def test_a_clock_that_was_never_set_is_corrected_by_what_it_says_now(bench: Bench) -> None:
    box = FakeBox(timequality="unsynced", slow_s=86_400.0)
    late, prompt = box.press(ago_s=80.0), box.press()
    bench.send(box, "state", box.state())
    bench.send(box, "event/alarm", late, prompt)
    assert 79 < bench.case(id_of(late))["late_s"] < 100
    assert bench.case(id_of(prompt))["late_s"] is None


def test_what_has_come_is_not_shown_as_pending(bench: Bench, box: FakeBox) -> None:
    press = box.press()
    bench.send(box, "state", box.state(pending={"alarm": 1}))
    assert bench.shown()["boxes"][0]["pending"] == {"alarm": 1}
    bench.send(box, "event/alarm", press)
    assert bench.shown()["boxes"][0]["pending"] == {}


def test_a_test_alarm_rings_nobody(bench: Bench, box: FakeBox) -> None:
    bench.send(box, "state", box.state())
    press = box.press(test=True)
    bench.send(box, "event/alarm", press)
    assert (bench.case(id_of(press))["test"], bench.case(id_of(press))["rings"]) == (True, 0)


def test_a_contact_that_closes_again_leaves_its_case_open(bench: Bench, box: FakeBox) -> None:
    bench.send(box, "state", box.state())
    opened = box.event("alarm.intrusion", transition="raised", cid=130, input="door")
    bench.send(box, "event/alarm", opened)
    bench.send(box, "event/alarm", box.event("alarm.intrusion", transition="restored", cid=130, case=id_of(opened)))
    shown = bench.case(id_of(opened))
    assert shown["state"] == "open" and "restored" in shown["done"]


# commands


def sent_command(bench: Bench) -> dict[str, Any]:
    return next(body for topic, body in bench.broker.published if topic.endswith("/command"))


def test_a_command_is_signed_as_the_contract_says(bench: Bench, box: FakeBox) -> None:
    press = box.press()
    bench.send(box, "state", box.state())
    bench.send(box, "event/alarm", press)
    shown = bench.hub.ask(lambda: bench.hub.send("acknowledge", box.name, id_of(press), "来了")).result(DEADLINE_S)
    assert (shown["status"], shown["verb"]) == ("sent", "acknowledge")
    [raw] = [row[0] for row in bench.rows("SELECT payload FROM commands")]
    command = sent_command(bench)
    assert raw == rfc8785.dumps(command)
    body = {key: value for key, value in command.items() if key != "sig"}
    public = Ed25519PublicKey.from_public_bytes(bench.operator_key.public_key().public_bytes_raw())
    public.verify(base64.urlsafe_b64decode(command["sig"] + "=="), rfc8785.dumps(body))
    with pytest.raises(InvalidSignature):
        public.verify(base64.urlsafe_b64decode(command["sig"] + "=="), rfc8785.dumps({**body, "subject": "a/b"}))
    assert body["specversion"] == "1.0" and body["id"][14] == "7"
    assert (body["source"], body["type"]) == ("/operators/duty-desk", "callbox.command.acknowledge")
    assert (body["subject"], body["data"]) == ("jiangyang/kiosk-017", {"alarm": id_of(press), "note": "来了"})
    assert body["time"] < body["expires"] and body["expires"].endswith("Z")


def test_the_boxs_answer_ends_a_command(bench: Bench, box: FakeBox) -> None:
    press = box.press()
    bench.send(box, "state", box.state())
    bench.send(box, "event/alarm", press)
    for _ in range(2):
        bench.hub.ask(lambda: bench.hub.send("acknowledge", box.name, id_of(press), "")).result(DEADLINE_S)
    one, two = [body["id"] for topic, body in bench.broker.published if topic.endswith("/command")]
    bench.send(box, "event/audit", box.event("audit.command", command=one, verb="acknowledge", result="done"))
    bench.send(
        box,
        "event/audit",
        box.event("audit.command", command=two, verb="acknowledge", result="refused", reason="expired"),
    )
    statuses = {command["id"]: (command["status"], command["reason"]) for command in bench.shown()["commands"]}
    assert statuses == {one: ("done", ""), two: ("refused", "expired")}


def test_a_command_that_cannot_be_sent_is_said_at_once(bench: Bench, box: FakeBox) -> None:
    with pytest.raises(RefusedError, match="unknown_box"):
        bench.hub.ask(lambda: bench.hub.send("test", box.name)).result(DEADLINE_S)
    bench.send(box, "state", box.state())
    with pytest.raises(RefusedError, match="unknown_case"):
        bench.hub.ask(lambda: bench.hub.send("close", box.name, "none")).result(DEADLINE_S)
    bench.hub.post(Link(up=False))
    with pytest.raises(RefusedError, match="no_broker"):
        bench.hub.ask(lambda: bench.hub.send("test", box.name)).result(DEADLINE_S)


def test_a_case_that_its_box_does_not_know_is_set_aside_until_it_is_pressed_again(bench: Bench, box: FakeBox) -> None:
    press = box.press()
    case = id_of(press)
    bench.send(box, "state", box.state())
    bench.send(box, "event/alarm", press)
    bench.broker.published.clear()
    bench.hub.ask(lambda: bench.hub.send("aside", box.name, case, "old disk")).result(DEADLINE_S)
    shown = bench.case(case)
    assert (shown["state"], shown["flags"], shown["done"]["closed"]["note"]) == ("closed", ["aside"], "old disk")
    assert bench.broker.published == []  # it is the desk's own business
    bench.send(box, "event/alarm", box.press(case=case, count=2))
    assert bench.case(case)["state"] == "open"


def test_who_asked_and_went_away_stops_nothing(bench: Bench, box: FakeBox) -> None:
    futures = [bench.hub.ask(bench.hub.snapshot) for _ in range(100)]
    for future in futures:
        future.cancel()
    bench.send(box, "state", box.state())
    assert bench.shown()["boxes"]


def test_a_command_without_an_answer_is_shown_so() -> None:
    from simulators.central.desk import ANSWER_S, Desk
    from simulators.central.store import Command

    desk = Desk()
    now_s = time.time()
    at = wire.rfc3339(now_s)
    desk.command(Command("c1", "a/b", "test", "", "", at, wire.rfc3339(now_s + 60), b""))
    desk.tick(0.0, now_s + ANSWER_S + 1)
    assert desk.snapshot()["commands"][0]["status"] == "unanswered"
    desk.tick(0.0, now_s + 61)
    assert desk.snapshot()["commands"][0]["status"] == "expired"
