"""The far end of the bench counts what there is: out of raw bytes, once each, and tells a box what it has."""

import json

from bench import load
from bench.packets import Mqtt, Nats
from bench.tally import RECEIPT_EVENTS, RECEIPT_S, Report, Tally

STATE = b'{"journal":"9b1deb4d","online":true,"session":"6513270e"}'


def fed(*data: bytes, batch: int = 0) -> Tally:
    tally = Tally(batch)
    for at_s, part in enumerate(data, 1):
        tally.greet(part, at_s)
        tally.take(part, at_s)
    return tally


def test_events_are_counted_alone_in_batches_and_quoted_in_others_json() -> None:
    one, two, three = load.backlog(3)
    quoted = json.dumps({"values": {"event/scan": three.decode()}}).encode()
    assert fed(b"event/scan" + one, b"batch/scan[" + two + b"]", quoted).report == Report(3, 0, 1, 3)


def test_an_event_that_comes_again_is_a_repeat() -> None:
    one, two = load.backlog(2)
    assert fed(one, one + two).report == Report(2, 1, 1, 2)


def test_an_alarm_is_known_by_its_topic_and_is_no_event_of_the_backlog() -> None:
    [scan] = load.backlog(1)
    alarm = load.ALARMS.encode() + load.alarm(7)
    found = fed(b"event/scan" + scan + alarm, alarm).report
    assert found == Report(1, 1, 1, 1, {load.FIRST_ALARM + 7: 1})


def test_a_reset_forgets_the_counts_and_not_the_numbers() -> None:
    one, two = load.backlog(2)
    alarm = load.ALARMS.encode() + load.alarm(0)
    tally = fed(one, alarm)
    tally.reset()
    tally.take(one + two + alarm, 9)
    assert tally.report == Report(1, 2, 9, 9)


def test_a_receipt_names_what_is_stored_and_the_gaps_between() -> None:
    events = load.backlog(6)
    tally = fed(STATE, b"".join([events[0], events[1], events[3], events[5], events[4]]), batch=50)
    assert json.loads(tally.receipt()) == {"journal": "9b1deb4d", "through": 2, "also": [[4, 6]], "batch": 50}
    tally.take(events[2], 3)
    assert json.loads(tally.receipt()) == {"journal": "9b1deb4d", "through": 6, "also": [], "batch": 50}
    assert "batch" not in json.loads(fed(STATE).receipt())


def test_a_receipt_is_due_at_once_for_a_session_an_alarm_or_many_events_and_soon_for_any() -> None:
    events = load.backlog(RECEIPT_EVENTS)
    tally = fed(events[0])
    assert tally.due_s() == 1 + RECEIPT_S
    tally.greet(STATE, 1.1)
    assert tally.due_s() == 1.1
    tally.receipt()
    assert tally.due_s() is None
    tally.take(events[1], 2)
    tally.take(events[2], 2.1)
    assert tally.due_s() == 2 + RECEIPT_S
    tally.take(load.ALARMS.encode() + load.alarm(0), 2.2)
    assert tally.due_s() == 2.2
    tally.receipt()
    tally.take(b"".join(events), 3)
    assert tally.due_s() == 3


def test_nothing_is_due_before_the_journal_is_known() -> None:
    assert fed(b'"boxseq":1').due_s() is None


def test_a_new_journal_counts_from_one() -> None:
    [event] = load.backlog(1)
    other = event.replace(b'"journal":"9b1deb4d"', b'"journal":"0badcafe"')
    assert fed(event, other).report.events == 2


def test_mqtt_is_cut_at_the_last_whole_packet_and_each_publish_answered() -> None:
    for five in (True, False):
        wire = Mqtt(["a/#"], five)
        small, large = wire.publish("a/b", b"x", 258), wire.publish("a/b", b"x" * 20_000, 3)
        suback, pingresp = b"\x90\x03\x00\x01\x01", b"\xd0\x00"
        data = small + suback + large + pingresp
        assert wire.split(data) == (len(data), b"\x40\x02\x01\x02\x40\x02\x00\x03")
        assert wire.ready
        for cut in range(1, len(large)):
            assert wire.split(small + large[:cut]) == (len(small), b"\x40\x02\x01\x02")


def test_nats_is_cut_at_the_last_whole_message_and_a_ping_answered() -> None:
    wire = Nats(["far.end"])
    message = b'MSG a/event/alarm 1 13\r\n{"boxseq":12}\r\n'
    assert wire.split(b"INFO {}\r\nPONG\r\n") == (15, b"")
    assert wire.ready
    assert wire.split(message + b"PING\r\n") == (len(message) + 6, b"PONG\r\n")
    for cut in range(len(message)):
        assert wire.split(message + message[:cut]) == (len(message), b"")
