"""What does not verify, cannot be read or is no event: stored or kept apart, and shown."""

import json

import pytest
import rfc8785
from central_bench import Bench, bench, box, id_of, through
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fakebox import FakeBox, b64

__all__ = ["bench", "box"]  # fixtures


def test_a_forged_event_is_stored_flagged_and_not_receipted(bench: Bench, box: FakeBox) -> None:
    bench.send(box, "state", box.state())
    good = box.press()
    bench.send(box, "event/alarm", good)
    bench.receipts(through(1))
    bench.broker.published.clear()
    forged = box.press(signer=Ed25519PrivateKey.generate())
    bench.send(box, "event/alarm", forged, good)
    assert bench.receipts(bool)[-1] | {"sig": ""} == {
        "journal": "9b1deb4d",
        "through": 1,
        "also": [],
        "batch": 50,
        "sig": "",
    }
    assert bench.rows("SELECT problems FROM events WHERE seq = 2") == [("signature",)]
    assert bench.case(id_of(forged))["problems"] == ["signature"]


def test_a_forgery_cannot_keep_the_real_event_out(bench: Bench, box: FakeBox) -> None:
    real = box.press()
    event = json.loads(real)
    event["data"]["input"] = "nowhere"
    bench.send(box, "state", box.state())
    bench.send(box, "event/alarm", rfc8785.dumps(event))
    bench.send(box, "event/alarm", real)
    assert bench.rows("SELECT payload, problems FROM events") == [(real, "")]
    assert bench.rows("SELECT count(*) FROM oddities") == [(1,)]
    assert bench.receipts(through(1))


def test_a_forged_restore_calms_nothing(bench: Bench, box: FakeBox) -> None:
    bench.send(box, "state", box.state())
    press = box.press()
    case = id_of(press)
    thief = Ed25519PrivateKey.generate()
    bench.send(box, "event/alarm", press)
    bench.send(box, "event/alarm", box.event("alarm.panic", signer=thief, transition="restored", case=case, by="reset"))
    bench.send(box, "event/audit", box.event("audit.acknowledged", signer=thief, case=case, by="/operators/x"))
    assert bench.case(case)["state"] == "open"


def test_a_changed_byte_in_the_chain_shows(bench: Bench, box: FakeBox) -> None:
    bench.send(box, "state", box.state())
    one = box.press()
    box.prevhash = b64(b"x" * 32)
    two = box.press()
    bench.send(box, "event/alarm", one, two)
    assert bench.rows("SELECT seq, problems FROM events ORDER BY seq") == [(1, ""), (2, "chain")]
    assert bench.receipts(through(2))


def test_the_chain_is_checked_towards_a_later_neighbour_too(bench: Bench, box: FakeBox) -> None:
    bench.send(box, "state", box.state())
    one, two = box.press(), box.press()
    bench.send(box, "event/alarm", two, one)
    assert bench.rows("SELECT seq, problems FROM events ORDER BY seq") == [(1, ""), (2, "")]
    three = box.press()
    box.prevhash = b64(b"x" * 32)
    four = box.press()
    bench.send(box, "event/alarm", four, three)
    assert bench.rows("SELECT seq, problems FROM events WHERE seq > 2 ORDER BY seq") == [(3, "chain"), (4, "")]


def test_an_event_before_the_key_is_checked_when_the_key_comes(bench: Bench, box: FakeBox) -> None:
    press = box.press()
    bench.send(box, "event/alarm", press)
    assert bench.case(id_of(press))["problems"] == ["unchecked"]
    assert not [topic for topic, body in bench.broker.published if body.get("through")]
    bench.send(box, "state", box.state())
    assert bench.case(id_of(press))["problems"] == []
    assert bench.receipts(through(1))


def test_a_new_key_is_a_warning_and_never_good_for_an_old_journal(bench: Bench, box: FakeBox) -> None:
    bench.send(box, "state", box.state("s1"))
    bench.send(box, "event/alarm", box.press())
    bench.receipts(through(1))
    box.key = Ed25519PrivateKey.generate()
    bench.send(box, "state", box.state("s2"))
    bench.send(box, "event/alarm", box.press())
    assert bench.shown()["boxes"][0]["key_changed"] is True
    assert bench.rows("SELECT problems FROM events WHERE seq = 2") == [("signature",)]
    anew = FakeBox(journal="new", key=box.key)
    bench.send(anew, "state", anew.state("s3"))
    bench.send(anew, "event/alarm", anew.press())
    assert bench.receipts(lambda r: ("new", 1) in [(x["journal"], x["through"]) for x in r])


def test_what_cannot_be_read_is_refused_by_its_number_and_kept_apart(bench: Bench, box: FakeBox) -> None:
    press = box.press()
    bench.send(box, "state", box.state())
    bench.send(box, "event/alarm", press[:-1])
    bench.send(box, "event/scan", b"\x00\xff garbage")
    refused = [
        receipt["refused"]
        for receipt in bench.receipts(lambda r: any("refused" in x for x in r))
        if "refused" in receipt
    ]
    assert list(refused[0]) == ["1"] and refused[0]["1"].startswith("not I-JSON")
    assert bench.rows("SELECT count(*) FROM oddities") == [(2,)]
    bench.send(box, "event/alarm", press)
    assert bench.receipts(through(1))


def test_an_event_of_65_kb_is_refused(bench: Bench, box: FakeBox) -> None:
    bench.send(box, "state", box.state())
    bench.send(box, "event/scan", box.event("scan.code", code="9" * 66_000))
    receipts = bench.receipts(lambda r: any("refused" in x for x in r))
    assert "65536 are allowed" in receipts[-1]["refused"]["1"]


def test_a_retained_event_is_no_event(bench: Bench, box: FakeBox) -> None:
    bench.send(box, "state", box.state(), retain=True)
    bench.send(box, "event/alarm", box.press(), retain=True)
    assert bench.rows("SELECT count(*) FROM events") == [(0,)]
    assert bench.shown()["boxes"][0]["link"] == "online"


def test_an_event_of_another_box_is_refused(bench: Bench, box: FakeBox) -> None:
    stranger = FakeBox(name="elsewhere/kiosk-1")
    bench.send(box, "state", box.state())
    bench.send(box, "event/alarm", stranger.press())
    assert bench.rows("SELECT count(*) FROM events") == [(0,)]


@pytest.mark.parametrize(
    "state", [b"", b"7", b"{", b'{"online":true}', b'{"session":"s","name":"\\ud800"}', b"x" * 70_000]
)
def test_a_state_that_is_none_stops_nothing(bench: Bench, box: FakeBox, state: bytes) -> None:
    bench.send(box, "state", state, box.state())
    bench.send(box, "event/alarm", box.press())
    assert bench.receipts(through(1))
