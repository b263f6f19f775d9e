"""What central says is bytes of a stranger until it is checked: receipts and commands."""

import json
from typing import Any

import pytest
import rfc8785
from bench_box import CENTRAL, DESK, YAML, Bench, bench, signed
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.commands import Receipt, RefusedError, read_receipt
from agent.identity import b64

__all__ = ["bench"]  # a fixture

STRANGER = Ed25519PrivateKey.from_private_bytes(bytes(32))
CENTRAL_PUBLIC = CENTRAL.public_key().public_bytes_raw()
DEEP = b'{"id":' + b"[" * 30_000 + b"]" * 30_000 + b"}"

BAD_JSON = {
    "empty": (b"", "not JSON"),
    "not JSON": (b"open the gate", "not JSON"),
    "not UTF-8": (b'{"a": "\xff\xfe"}', "not JSON"),
    "a list": (b"[1, 2]", "JSON list; an object is wanted"),
    "a number": (b"7", "JSON int; an object is wanted"),
    "huge": (b'{"a": "' + b"x" * 70_000 + b'"}', "too many bytes; at most 65536 are read"),
    "deep": (DEEP, "not JSON"),
    "a number of 5000 digits": (b'{"id": ' + b"9" * 5000 + b"}", "not JSON"),
}


def refusal(bench: Bench, payload: bytes, *, retained: bool = False) -> dict[str, Any]:
    """The one audit event that a refused command leaves."""
    before = len(bench.events)
    bench.arrive("command", payload, retained=retained)
    assert len(bench.events) == before + 1, "a command leaves exactly one event"
    data = bench.of("audit.command")[-1]
    assert data["result"] == "refused"
    return data


# ---- commands


@pytest.mark.parametrize(("payload", "reason"), BAD_JSON.values(), ids=BAD_JSON)
def test_what_is_no_command_is_refused_with_one_event(bench: Bench, payload: bytes, reason: str) -> None:
    assert refusal(bench, payload)["reason"].startswith(reason)


@pytest.mark.parametrize("depth", [300, 900, 950, 970, 980, 990, 1000])
@pytest.mark.parametrize("where", ["id", "subject", "data", "sig", "expires"])
def test_no_depth_of_nesting_anywhere_escapes_its_event(bench: Bench, where: str, depth: int) -> None:
    order = bench.order("test", {"what": "loop"})
    raw = rfc8785.dumps({**order, where: "HERE"}).replace(b'"HERE"', b"[" * depth + b"]" * depth)
    assert refusal(bench, raw)["command"] is not None


def test_a_retained_command_is_refused_however_well_signed(bench: Bench) -> None:
    order = signed(DESK, bench.order("test", {"what": "loop"}))
    assert refusal(bench, order, retained=True)["reason"].startswith("retained")
    assert bench.of("status.test") == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"source": "/operators/nobody"}, "unknown operator"),
        ({"source": "duty-desk"}, "unknown operator"),
        ({"source": None}, "unknown operator"),
        ({"subject": "jiangyang/kiosk-018"}, "for jiangyang/kiosk-018, not for this box"),
        ({"subject": None}, "for None, not for this box"),
        ({"id": ""}, "`id` and a `type`"),
        ({"type": "callbox.alarm.panic"}, "`id` and a `type`"),
        ({"type": "test"}, "`id` and a `type`"),
        ({"expires": "2026-11-22T01:33:19Z"}, "expired 1 s ago"),
        ({"expires": "tomorrow"}, "`expires` (RFC 3339) is missing"),
        ({"expires": 1795311300}, "`expires` (RFC 3339) is missing"),
        ({"expires": True}, "`expires` (RFC 3339) is missing"),
        ({"expires": "2027-01-01T00:00:00"}, "`expires` has no time zone"),
        ({"type": "callbox.command.list"}, "duty-desk may not list; it may acknowledge, close"),
        ({"type": "callbox.command.explode"}, "duty-desk may not explode"),
        ({"type": "callbox.command.bulletin"}, "this version does not do bulletin"),
        ({"data": None}, "`data` must be an object"),
        ({"data": ["loop"]}, "`data` must be an object"),
        ({"data": {"what": True}}, "data.what"),
    ],
)
def test_a_command_that_may_not_be_done_says_why(bench: Bench, changes: dict[str, Any], reason: str) -> None:
    data = refusal(bench, signed(DESK, bench.order("test", {"what": "loop"}, **changes)))
    assert data["reason"].startswith(reason)
    assert bench.of("status.test") == []


def test_a_refusal_names_the_command_as_far_as_it_could_be_read(bench: Bench) -> None:
    data = refusal(bench, signed(STRANGER, bench.order("close", {})))
    assert data["reason"] == "the signature is not this operator's"
    assert (data["command"], data["verb"], data["by"]) == ("command-1", "close", "/operators/duty-desk")


def test_a_changed_byte_breaks_the_signature(bench: Bench) -> None:
    order = signed(DESK, bench.order("test", {"what": "loop"}))
    assert "signature" in refusal(bench, order.replace(b"2027", b"2028"))["reason"]


@pytest.mark.parametrize("sig", [None, 5, [], {}, "", "x", "x" * 86, "é" * 86, "A" * 87, True])
def test_a_signature_of_any_other_shape_is_none(bench: Bench, sig: Any) -> None:
    order = {**bench.order("test", {"what": "loop"}), "sig": sig}
    assert "signature" in refusal(bench, rfc8785.dumps(order))["reason"]


def test_an_unsigned_command_is_refused(bench: Bench) -> None:
    assert "signature" in refusal(bench, rfc8785.dumps(bench.order("test", {"what": "loop"})))["reason"]


@pytest.mark.parametrize("value", [b"NaN", b"Infinity", b"-Infinity", b"1e999", b'"\\ud83d"', b"9007199254740993"])
def test_what_has_no_canonical_form_has_no_signature(bench: Bench, value: bytes) -> None:
    order = signed(DESK, bench.order("test", {"what": "loop"})).replace(b'"loop"', value)
    assert "signature" in refusal(bench, order)["reason"]


def test_a_lone_surrogate_in_any_field_becomes_a_question_mark_in_the_event(bench: Bench) -> None:
    raw = b'{"id":"\\ud83d","source":"/operators/\\ud83d","type":"callbox.command.\\ud83d","subject":"\\ud83d"}'
    data = refusal(bench, raw)
    assert (data["command"], data["by"], data["verb"]) == ("?", "/operators/?", "?")


def test_a_command_is_done_once_also_after_a_restart(bench: Bench) -> None:
    order = signed(DESK, bench.order("test", {"what": "loop"}))
    bench.arrive("command", order)
    assert bench.of("audit.command")[-1]["result"] == "done"
    assert refusal(bench, order)["reason"].startswith("already seen")
    bench.restart()
    bench.connect()
    assert refusal(bench, order)["reason"].startswith("already seen")
    assert len(bench.of("status.test")) == 1


def test_a_command_and_what_it_does_are_written_in_one_transaction(bench: Bench) -> None:
    bench.press("alarm-1")
    case = bench.of("alarm.panic")[0]["case"]
    writes = len(bench.journal.writes)
    data = bench.command("close", {"alarm": case})
    assert data.items() >= {"result": "done", "verb": "close", "by": "/operators/duty-desk", "case": case}.items()
    [write] = bench.journal.writes[writes:]
    assert [json.loads(event.body)["type"] for event in write.events] == [
        "callbox.audit.command",
        "callbox.audit.closed",
        "callbox.alarm.panic",
    ]
    assert list(write.seen) == ["command-1"]
    assert write.cases == {case: None}


def test_a_test_goes_the_whole_way_and_is_marked(bench: Bench) -> None:
    bench.command("test", {"what": "loop"})
    [data] = bench.of("status.test")
    assert data.items() >= {"test": True, "what": "loop", "cid": 602, "command": "command-1"}.items()


def test_an_alarm_that_is_not_open_cannot_be_acknowledged_or_closed(bench: Bench) -> None:
    for verb in ("acknowledge", "close"):
        for alarm in ("no-such", None, 7, {"a": 1}):
            data = bench.command(verb, {"alarm": alarm})
            assert (data["result"], data["reason"]) == ("refused", "no open alarm has this id")


def test_a_long_note_of_any_characters_is_kept_as_far_as_it_fits(bench: Bench) -> None:
    bench.press("alarm-1")
    case = bench.of("alarm.panic")[0]["case"]
    bench.command("acknowledge", {"alarm": case, "note": "\u6765" * 5000})
    assert bench.of("audit.acknowledged")[0]["note"] == "\u6765" * 1000


# ---- refusals


def test_a_flood_of_refused_commands_is_merged_and_counted(bench: Bench) -> None:
    for _ in range(200):
        bench.arrive("command", b"x")
    assert len(bench.of("audit.command")) == 10
    bench.wait(30)
    refused = bench.of("audit.command")
    assert len(refused) == 11
    assert refused[-1].items() >= {"count": 190, "merged": True, "result": "refused"}.items()


def test_a_good_command_in_a_flood_of_bad_ones_is_done(bench: Bench) -> None:
    for _ in range(50):
        bench.arrive("command", b"x")
    assert bench.command("test", {"what": "loop"})["result"] == "done"


def test_an_operator_without_a_key_in_the_config_has_no_power() -> None:
    bench = Bench(
        "box: {site: s, id: b}\nlinks:\n  - url: mqtt://x\n"
        "drivers:\n  - {id: g, type: gpio}\ninputs:\n  - {id: a, driver: g, pin: 1, kind: panic}\n"
    )
    bench.connect()
    assert "unknown operator" in refusal(bench, signed(DESK, bench.order("test", {"what": "loop"})))["reason"]


# ---- receipts


def test_a_receipt_is_read_whole() -> None:
    payload = (
        b'{"journal":"9b1deb4d","through":1040,"also":[[1042,1042],[1050,1060]],'
        b'"batch":50,"refused":{"1041":"too large"},"media":{"%s":65536},"new":"word"}' % (b"c0" * 32)
    )
    assert read_receipt(payload, retained=False, central_key=None) == Receipt(
        "9b1deb4d", 1040, ((1042, 1042), (1050, 1060)), {1041: "too large"}, 50, {"c0" * 32: 65536}
    )


def test_a_small_receipt_cancels_nothing() -> None:
    assert read_receipt(b'{"journal":"9b1deb4d"}', retained=False, central_key=None) == Receipt(
        "9b1deb4d", 0, (), {}, None, {}
    )


BAD_RECEIPTS = {
    **{name: payload for name, (payload, _) in BAD_JSON.items()},
    "no journal": b'{"through":5}',
    "journal is a number": b'{"journal":5,"through":5}',
    "media is a list": b'{"journal":"9b1deb4d","media":[]}',
    "a file without its whole name": b'{"journal":"9b1deb4d","media":{"c0ffee":65536}}',
    "bytes below nothing": b'{"journal":"9b1deb4d","media":{"%s":-1}}' % (b"c0" * 32),
    "through is true": b'{"journal":"9b1deb4d","through":true}',
    "through is negative": b'{"journal":"9b1deb4d","through":-1}',
    "through is a fraction": b'{"journal":"9b1deb4d","through":1.5}',
    "through is NaN": b'{"journal":"9b1deb4d","through":NaN}',
    "through is text": b'{"journal":"9b1deb4d","through":"5"}',
    "through is past 2**53": b'{"journal":"9b1deb4d","through":9007199254740992}',
    "also is an object": b'{"journal":"9b1deb4d","also":{"1":1}}',
    "also is upside down": b'{"journal":"9b1deb4d","also":[[5,4]]}',
    "also has a triple": b'{"journal":"9b1deb4d","also":[[1,2,3]]}',
    "also has true": b'{"journal":"9b1deb4d","also":[[true,true]]}',
    "also has 0": b'{"journal":"9b1deb4d","also":[[0,1]]}',
    "also is too long": b'{"journal":"9b1deb4d","also":[' + b"[1,1]," * 10_000 + b"[1,1]]}",
    "refused is a list": b'{"journal":"9b1deb4d","refused":[1]}',
    "refused names no number": b'{"journal":"9b1deb4d","refused":{"x":"y"}}',
    "refused gives no reason": b'{"journal":"9b1deb4d","refused":{"1":null}}',
    "refused names 5000 digits": b'{"journal":"9b1deb4d","refused":{"' + b"9" * 5000 + b'":"y"}}',
}


@pytest.mark.parametrize("payload", BAD_RECEIPTS.values(), ids=BAD_RECEIPTS)
def test_a_receipt_that_cannot_be_right_is_refused_and_changes_nothing(bench: Bench, payload: bytes) -> None:
    with pytest.raises(RefusedError):
        read_receipt(payload, retained=False, central_key=None)
    before = len(bench.journal.writes)
    bench.arrive("receipt", payload)
    assert len(bench.journal.writes) == before
    assert any(text.startswith("receipt refused: ") for text in bench.said)


def test_a_retained_receipt_is_refused(bench: Bench) -> None:
    payload = rfc8785.dumps({"journal": bench.journal.name, "through": 1})
    bench.arrive("receipt", payload, retained=True)
    assert bench.journal.owed
    assert any("retained" in text for text in bench.said)


def test_a_receipt_of_another_journal_changes_nothing(bench: Bench) -> None:
    bench.arrive("receipt", rfc8785.dumps({"journal": "00000000", "through": 1}))
    assert bench.journal.owed


def test_where_the_config_has_centrals_key_only_its_receipts_count() -> None:
    bench = Bench(YAML + f"central_key: {b64(CENTRAL_PUBLIC)}\n")
    bench.connect()
    receipt: dict[str, Any] = {"journal": bench.journal.name, "through": 1}
    for payload in (rfc8785.dumps(receipt), signed(STRANGER, receipt)):
        bench.arrive("receipt", payload)
        assert bench.journal.owed
    forged = signed(CENTRAL, receipt).replace(b'"through":1', b'"through":2')
    bench.arrive("receipt", forged)
    assert bench.journal.owed
    bench.arrive("receipt", signed(CENTRAL, receipt))
    assert bench.journal.owed == {}


def test_a_flood_of_bad_receipts_does_not_flood_the_log(bench: Bench) -> None:
    for _ in range(500):
        bench.arrive("receipt", b"x")
    assert len([text for text in bench.said if text.startswith("receipt refused")]) == 10


def test_lone_surrogates_in_centrals_reasons_do_not_stop_the_box(bench: Bench) -> None:
    bench.arrive("receipt", b'{"journal":"9b1deb4d","refused":{"1":"\\ud83d"}}')
    [data] = bench.of("trouble.parked")
    assert data["reason"] == "central: ?"


def test_what_central_refuses_is_parked_once_and_says_so(bench: Bench) -> None:
    bench.press("alarm-1")
    seq = len(bench.events)
    for _ in range(3):
        bench.receipt(refused={str(seq): "too large here"})
    [data] = bench.of("trouble.parked")
    assert data.items() >= {"cid": 354, "parked": seq, "reason": "central: too large here"}.items()
    assert seq not in bench.journal.owed
    assert bench.journal.parked == {seq: "central: too large here"}


def test_parking_an_event_about_parking_makes_no_further_one(bench: Bench) -> None:
    bench.press("alarm-1")
    bench.receipt(refused={str(len(bench.events)): "no"})
    before = len(bench.events)
    bench.receipt(refused={str(before): "not this either"})
    assert len(bench.events) == before
    assert before in bench.journal.parked


def test_a_command_that_was_refused_for_its_content_is_not_read_again() -> None:
    bench = Bench()
    bench.connect()
    order = bench.order("acknowledge", {"alarm": "no such case"})
    for reason in ("no open alarm has this id", "already seen: a command is done once"):
        bench.arrive("command", signed(DESK, order))
        assert bench.of("audit.command")[-1]["reason"] == reason
    bench.restart()
    bench.connect()
    bench.arrive("command", signed(DESK, order))
    assert "already seen" in bench.of("audit.command")[-1]["reason"]
