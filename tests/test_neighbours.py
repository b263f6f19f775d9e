"""Alarms of other boxes: whose they are, what is shown of them, and for how long."""

import json
from typing import Any

import pytest
from bench_box import DESK, YAML, Bench, signed
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.events import Stamp, rfc3339
from agent.identity import b64
from agent.mail import Arrived, Publish, SessionUp, SetOutput, Write
from agent.status_table import status_table

NEAR = Ed25519PrivateKey.from_private_bytes(bytes(range(3, 35)))
KEY = b64(NEAR.public_key().public_bytes_raw())
TEXT = YAML.replace("outputs:\n", "outputs:\n  - {id: knock, driver: gpio0, pin: 9, role: neighbour}\n") + (
    f"neighbours:\n  - {{box: kiosk-018, key: {KEY}, name: Cuihu Road}}\n  - {{box: kiosk-019, key: {KEY}}}\n"
)


@pytest.fixture
def bench() -> Bench:
    made = Bench(TEXT)
    made.connect()
    return made


def event(bench: Bench, kind: str = "panic", n: int = 1, **changes: Any) -> dict[str, Any]:
    """An alarm of kiosk-018, unsigned. `data` of the changes is merged in."""
    data = {"transition": "raised", "input": "b", "count": 1, "cid": 120, "monotonic_s": 3.5, "case": f"case-{n}"}
    return {
        "specversion": "1.0",
        "id": f"event-{n}",
        "source": "/callbox/jiangyang/kiosk-018",
        "type": f"callbox.alarm.{kind}",
        "subject": "b",
        "time": rfc3339(bench.wall_us),
        "timequality": "synced",
        "journal": "9b1deb4d",
        "boxseq": n,
        **changes,
        "data": data | changes.get("data", {}),
    }


def hear(bench: Bench, message: Any, box: str = "kiosk-018", **arrived: Any) -> None:
    payload = message if isinstance(message, bytes) else signed(NEAR, message)
    bench.say(Arrived(bench.connects[-1].session, f"neighbour/{box}", payload, **{"retained": False, **arrived}))


def near(bench: Bench) -> dict[str, Any]:
    """What the status says of kiosk-018."""
    status: dict[str, Any] = bench.box.status()["neighbours"][0]
    return status


def test_a_neighbour_s_alarm_knocks_until_a_person_closes_it(bench: Bench) -> None:
    hear(bench, event(bench))
    assert "knock" in bench.lit
    assert near(bench)["alarms"] == ["alarm.panic"]
    bench.wait(300)
    hear(bench, event(bench, n=2, data={"transition": "restored", "case": "case-1", "by": "/operators/duty-desk"}))
    assert "knock" not in bench.lit
    assert near(bench)["alarms"] == []
    assert [line for line in bench.said if "neighbour" in line] == ["neighbour kiosk-018: alarm.panic"]


def test_it_knocks_twice_every_three_seconds(bench: Bench) -> None:
    hear(bench, event(bench))
    levels = []
    for _ in range(12):
        levels.append("knock" in bench.lit)
        bench.wait(0.25)
    assert levels == [True, True, False, True, True, *[False] * 7]


def test_it_ends_after_fifteen_minutes_by_itself(bench: Bench) -> None:
    hear(bench, event(bench))
    bench.wait(899)
    assert near(bench)["alarms"]
    bench.wait(2)
    assert (near(bench)["alarms"], "knock" in bench.lit) == ([], False)


def test_presses_while_it_is_shown_do_not_make_it_longer_and_one_after_it_begins_anew(bench: Bench) -> None:
    hear(bench, event(bench))
    bench.wait(600)
    hear(bench, event(bench, n=2, data={"case": "case-1", "count": 2}))
    bench.wait(301)
    assert not near(bench)["alarms"]
    hear(bench, event(bench, n=3, data={"case": "case-1", "count": 3}))
    assert near(bench)["alarms"]


def test_a_contact_that_is_idle_again_is_shown_for_a_minute_all_the_same(bench: Bench) -> None:
    hear(bench, event(bench, "intrusion"))
    bench.wait(3)
    hear(bench, event(bench, "intrusion", n=2, data={"transition": "restored", "case": "case-1"}))
    bench.wait(56)
    assert near(bench)["alarms"] == ["alarm.intrusion"]
    bench.wait(2)
    assert not near(bench)["alarms"]


def test_several_end_each_by_its_own_word(bench: Bench) -> None:
    hear(bench, event(bench))
    hear(bench, event(bench, "fire", n=2, data={"case": "case-2"}))
    hear(bench, event(bench, n=3, data={"transition": "restored", "case": "case-1", "by": "reset"}))
    assert near(bench)["alarms"] == ["alarm.fire"]


@pytest.mark.parametrize("kind", ["holdup", "duress", "confirmed", "listed", "cancelled"])
def test_silent_kinds_and_what_is_no_alarm_here_leave_no_trace(bench: Bench, kind: str) -> None:
    bench.did.clear()
    hear(bench, event(bench, kind))
    hear(bench, signed(DESK, event(bench, kind)))  # also a forged one: a line would tell of it
    bench.wait(3)
    assert (near(bench)["alarms"], near(bench)["refused"]) == ([], 0)
    assert not [action for action in bench.did if isinstance(action, SetOutput)]
    assert not [line for line in bench.said if "neighbour" in line]


def test_a_test_there_is_no_alarm_here(bench: Bench) -> None:
    hear(bench, event(bench, data={"test": True}))
    assert not near(bench)["alarms"]


def test_a_repeat_is_dropped_by_its_id(bench: Bench) -> None:
    hear(bench, event(bench))
    hear(bench, event(bench, n=2, data={"transition": "restored", "case": "case-1", "by": "reset"}))
    hear(bench, event(bench))
    assert (near(bench)["alarms"], near(bench)["refused"]) == ([], 0)


@pytest.mark.parametrize(
    ("age_s", "theirs", "ours", "replayed", "shown"),
    [
        (0, "synced", True, False, True),
        (599, "synced", True, True, True),
        (601, "synced", True, False, False),
        (90_000, "unsynced", True, False, True),  # a wrong clock never stops an alarm
        (90_000, "synced", False, False, True),
        (90_000, "unsynced", True, True, False),
        (0, "synced", False, True, False),
        (-90_000, "synced", True, False, True),
    ],
)
def test_history_is_not_sounded(age_s: int, theirs: str, ours: bool, replayed: bool, shown: bool) -> None:
    bench = Bench(TEXT)
    bench.connect()
    message = event(bench, time=rfc3339(bench.wall_us - age_s * 1_000_000), timequality=theirs)
    heard = Arrived(bench.connects[-1].session, "neighbour/kiosk-018", signed(NEAR, message), False, replayed)
    bench.box.handle(heard, Stamp(bench.now_s, bench.wall_us, ours))
    bench.act()
    assert bool(near(bench)["alarms"]) is shown


def test_what_is_no_neighbour_s_is_counted_and_said_once(bench: Bench) -> None:
    forged = [
        signed(DESK, event(bench)),  # another key
        json.dumps(event(bench)).encode(),  # no signature
        signed(NEAR, event(bench, source="/callbox/jiangyang/kiosk-019")),  # another box
        signed(NEAR, event(bench, source="/callbox/elsewhere/kiosk-018")),
        signed(NEAR, event(bench, time="tomorrow")),
        signed(NEAR, event(bench, n=7) | {"data": []}),
        signed(NEAR, event(bench, n=8) | {"id": 8}),
        b"\xff",
        b"[]",
        b"{" * 70_000,
    ]
    for payload in forged:
        hear(bench, payload)
    hear(bench, event(bench, n=9), retained=True)
    hear(bench, event(bench, n=9), box="kiosk-020")
    assert near(bench) == {
        "box": "kiosk-018",
        "name": "Cuihu Road",
        "alarms": [],
        "refused": len(forged) + 1,
        "deaf": False,
    }
    [said] = [line for line in bench.said if "neighbour" in line]
    assert said.startswith("neighbour kiosk-018: a message is refused: the signature is not by the key")
    hear(bench, event(bench, n=10))
    assert near(bench)["alarms"] == ["alarm.panic"]


def test_an_event_of_one_neighbour_does_not_speak_for_another(bench: Bench) -> None:
    hear(bench, event(bench), box="kiosk-019")
    assert bench.box.status()["neighbours"][1]["refused"] == 1


KEYS = st.sampled_from(["id", "type", "source", "data", "time", "timequality", "transition", "case", "test", "by"])
WORDS = st.sampled_from(["callbox.alarm.panic", "/callbox/jiangyang/kiosk-018", "raised", "restored", "2026-11-22"])
SIMPLE = st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=5) | WORDS


@given(st.binary(max_size=300) | st.recursive(SIMPLE, lambda below: st.dictionaries(KEYS, below, max_size=8)))
@settings(derandomize=True, max_examples=200, deadline=None)
def test_nothing_that_comes_breaks_anything(message: Any) -> None:
    hear(FUZZED, message if isinstance(message, bytes | dict) else json.dumps(message).encode())
    assert len(near(FUZZED)["alarms"]) <= 1


FUZZED = Bench(TEXT)
FUZZED.connect()


def test_it_is_told_to_nobody_and_kept_nowhere(bench: Bench) -> None:
    bench.receipt(through=len(bench.events))
    bench.wait(1)
    before, state = len(bench.events), bench.state
    bench.did.clear()
    hear(bench, event(bench))
    bench.wait(3)
    assert len(bench.events) == before
    assert not [action for action in bench.did if isinstance(action, Write) and (action.events or action.cases)]
    assert not [action for action in bench.did if isinstance(action, Publish)]
    assert "knock" not in state["outputs"]
    bench.restart()
    assert not near(bench)["alarms"]


def test_a_neighbour_that_floods_keeps_memory_and_log_bounded(bench: Bench) -> None:
    for n in range(450):
        hear(bench, event(bench, n=n, data={"case": f"case-{n}"}))
    assert len([line for line in bench.said if "neighbour" in line]) == 10
    known = bench.box._neighbours._known["kiosk-018"]
    assert (len(known.ids), len(known.cases)) == (200, 200)


def test_a_broker_that_does_not_let_it_hear_is_said_once_and_costs_no_session() -> None:
    bench = Bench(TEXT)
    told = set()
    for _ in range(2):
        told.add(bench.connects[-1].session)
        bench.say(SessionUp(bench.connects[-1].session, "5", deaf=("kiosk-018",)))
        bench.press("alarm-1")
        bench.disconnect()
        while bench.connects[-1].session in told:
            bench.wait(0.5)
    assert bench.published("event/alarm"), "the box reports as ever"
    assert len([line for line in bench.said if "check the broker's ACL" in line]) == 1
    assert near(bench)["deaf"]
    bench.connect()
    assert not near(bench)["deaf"]


def test_the_status_shows_each_neighbour_in_a_line(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLBOX_LANG", "en")
    hear(bench, event(bench))
    hear(bench, b"{}", box="kiosk-019")
    lines = status_table({**bench.box.status(), "cameras": []}).splitlines()
    assert [" ".join(line.split()) for line in lines if line.startswith("neighbour")] == [
        "neighbour kiosk-018 Cuihu Road alarm.panic",
        "neighbour kiosk-019 quiet",
    ]
