"""Events: the bytes are typed here by hand, as the contract and RFC 8785 want them."""

import json
import random
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

import pytest
import rfc8785
from bench_box import BOX_KEY
from written import SIGNER

from agent.canonical import canonical
from agent.events import Chain, Draft, Stamp, rfc3339, uuid7
from agent.identity import b64, verify_chain
from agent.kinds import CID, CLASSES, KINDS, class_of

AT = Stamp(12.3456789, 1_795_311_200_123_456)
ID = "01941f29-7c00-7aaa-8000-3f1f2d1c0b0a"
PRESSED: Any = {"transition": "raised", "count": 1}
DRAFT = Draft(ID, "alarm.panic", "alarm-1", AT, PRESSED)


def chain(**more: object) -> Chain:
    return Chain("/callbox/jiangyang/kiosk-017", "9b1deb4d", "5f0c2a9e", SIGNER, **more)  # type: ignore[arg-type]


# ---- RFC 8785


def test_the_values_of_rfc_8785_come_out_as_the_rfc_says() -> None:
    """Section 3.2.2's input and section 3.2.4's bytes, typed from there."""
    value: Any = {
        "numbers": [333333333.33333329, 1e30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": "\u20ac$\u000f\u000aA'\u0042\u0022\u005c\\\"/",
        "literals": [None, True, False],
    }
    expected = bytes.fromhex(
        "7b226c69746572616c73223a5b6e756c6c2c747275652c66616c73655d2c226e756d62657273223a"
        "5b3333333333333333332e333333333333332c31652b33302c342e352c302e3030322c31652d32375d"
        "2c22737472696e67223a22e282ac245c75303030665c6e412742"
        "5c225c5c5c5c5c222f227d"
    )
    assert canonical(value) == expected


def test_names_are_sorted_by_utf_16_as_the_rfc_says() -> None:
    """Section 3.2.3: the smiley, which is a surrogate pair, comes before the Hebrew letter."""
    names = {"\u20ac": 1, "\r": 2, "\ufb33": 3, "1": 4, "\U0001f600": 5, "\u0080": 6, "\u00f6": 7}
    assert canonical(names) == '{"\\r":2,"1":4,"\u0080":6,"\u00f6":7,"\u20ac":1,"\U0001f600":5,"\ufb33":3}'.encode()


LEAVES: Final = (
    *(None, True, False, 0, -1, 7, 2**53 - 1, 1 - 2**53, 0.0, -0.0, 3.0, 1e15, 1e16, 1e21, 1e-4, 9e-5, 1e-7, 5e-324),
    *(12.345679, -0.5, 1795.000001, "", "a", '"\\/', "\x00\x1f\x7f\u2028", "票 42", "\U0001f600", "\ufb33"),
)


def anything(rng: random.Random, depth: int) -> Any:
    if depth == 0 or rng.random() < 0.4:
        return rng.choice(
            (*LEAVES, rng.uniform(-1, 1) * 10 ** rng.randint(-9, 22), rng.randint(-(2**53) + 1, 2**53 - 1))
        )
    parts = [anything(rng, depth - 1) for _ in range(rng.randrange(4))]
    if rng.random() < 0.3:
        return parts
    return {
        rng.choice(("a", "B", "sig", "é", "\ufb33", "\U0001f600", '"', "")) + str(rng.randrange(12)): p for p in parts
    }


def test_our_bytes_are_those_of_the_reference_whatever_the_message_holds() -> None:
    rng = random.Random(8785)
    for _ in range(5_000):
        message = anything(rng, 4)
        assert canonical(message) == rfc8785.dumps(message)


@pytest.mark.parametrize("value", [2**53, -(2**53), float("nan"), float("inf"), "\ud800", {1: 2}, {"a": b"bytes"}])
def test_what_has_no_canonical_form_is_an_error(value: Any) -> None:
    for message in (value, [value], {"inside": {"it": value}}):
        with pytest.raises(ValueError, match=r"."):
            canonical(message)


# ---- an event's bytes


def test_an_event_is_these_bytes() -> None:
    event = chain(seq=1041).seal(DRAFT)
    body, sig = event.body.rsplit(b',"sig":"', 1)[0], json.loads(event.body)["sig"]
    assert event.body == (
        b'{"boot":"5f0c2a9e","boxseq":1042,'
        b'"data":{"cid":120,"count":1,"monotonic_s":12.345679,"transition":"raised"},'
        b'"datacontenttype":"application/json","id":"01941f29-7c00-7aaa-8000-3f1f2d1c0b0a","journal":"9b1deb4d",'
        b'"prevhash":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",'
        b'"sig":"' + sig.encode() + b'",'
        b'"source":"/callbox/jiangyang/kiosk-017","specversion":"1.0","subject":"alarm-1",'
        b'"time":"2026-11-22T01:33:20.123456Z","timequality":"synced","type":"callbox.alarm.panic"}'
    )
    assert body
    assert (event.seq, event.cls, event.id) == (1042, "alarm", DRAFT.id)


def test_the_signature_is_over_the_event_without_sig() -> None:
    event = chain().seal(DRAFT)
    sig = json.loads(event.body)["sig"]
    unsigned = event.body.replace(f'"sig":"{sig}",'.encode(), b"")
    assert len(sig) == 86
    assert b64(BOX_KEY.sign(unsigned)) == sig


def test_an_event_joins_the_one_before_by_the_hash_of_its_bytes() -> None:
    made = chain()
    first, second = made.seal(DRAFT), made.seal(DRAFT)
    assert json.loads(first.body)["prevhash"] == "A" * 43
    assert json.loads(second.body)["prevhash"] == b64(sha256(first.body).digest())
    assert json.loads(second.body)["boxseq"] == 2


def test_a_chain_goes_on_where_the_journal_ends() -> None:
    made = chain()
    events = [made.seal(DRAFT) for _ in range(3)]
    later = chain(seq=3, prevhash=sha256(events[-1].body).digest())
    events.append(later.seal(DRAFT))
    assert verify_chain([(event.seq, event.body) for event in events], SIGNER.public) is None


def test_a_clock_that_is_not_to_be_trusted_is_marked() -> None:
    at = AT._replace(synced=False)
    assert b'"timequality":"unsynced"' in chain().seal(Draft("x", "status.test", "box", at, {})).body


def test_nothing_in_data_can_replace_what_the_box_itself_says() -> None:
    lies: Any = {"cid": 999, "monotonic_s": -1}
    data = json.loads(chain().seal(Draft("x", "alarm.panic", "a", AT, lies)).body)["data"]
    assert data == {"cid": 120, "monotonic_s": 12.345679}


def test_an_event_past_64_kb_is_refused_and_takes_no_place() -> None:
    made = chain()
    long: Any = {"code": "x" * 65_536}
    with pytest.raises(ValueError, match=r"scan\.code of desk: \d+ bytes; an event is at most 65536"):
        made.seal(Draft("x", "scan.code", "desk", AT, long))
    assert made.seal(DRAFT).seq == 1


# ---- ids and times


def test_an_id_is_a_uuid_of_version_7_with_the_time_in_front() -> None:
    """The example of RFC 9562, A.6, with its time and its random bits."""
    bits = 0xCC3 << 62 | 0x18C4DC0C0C07398F
    assert uuid7(0x017F22E279B0 * 1000, bits) == "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"


def test_ids_of_any_time_and_chance_have_version_and_variant() -> None:
    rng = random.Random(4)
    for _ in range(1000):
        wall_us = rng.randrange(4_000_000_000_000_000)
        id = UUID(uuid7(wall_us, rng.getrandbits(74)))
        assert (id.version, id.variant) == (7, "specified in RFC 4122")
        assert id.int >> 80 == wall_us // 1000


def test_ids_sort_by_time() -> None:
    assert uuid7(1_000_000_000_000, 2**74 - 1) < uuid7(1_000_000_001_000, 0)


@pytest.mark.parametrize(
    ("wall_us", "text"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (1_795_311_200_123_456, "2026-11-22T01:33:20.123456Z"),
        (951_782_399_999_999, "2000-02-28T23:59:59.999999Z"),
        (951_782_400_000_000, "2000-02-29T00:00:00.000000Z"),
    ],
)
def test_times_are_rfc_3339_in_utc_with_microseconds(wall_us: int, text: str) -> None:
    assert rfc3339(wall_us) == text


# ---- the tables


def test_each_type_has_the_contact_id_of_the_contract() -> None:
    """Typed from the contract's table."""
    alarms = {"panic": 120, "duress": 121, "holdup": 122, "confirmed": 129, "medical": 100, "fire": 110}
    alarms |= {"intrusion": 130, "tamper": 137, "listed": 140, "cancelled": 406}
    troubles = {"ac": 301, "battery": 302, "input": 380, "stuck": 375, "storage": 307, "link": 350}
    troubles |= {"camera": 330, "clock": 626, "parked": 354}
    others = {"status.stopping": 308, "status.test": 602, "status.walktest": 607, "status.clock": 625}
    others |= {"audit.config": 306}
    others |= {f"alarm.{name}": cid for name, cid in alarms.items()}
    others |= {f"trouble.{name}": cid for name, cid in troubles.items()}
    assert others == CID


def test_every_kind_of_the_contract_is_known_and_just_two_are_silent() -> None:
    wanted = (
        "panic, duress, holdup, medical, fire, intrusion, tamper, ac, battery, scan, patrol, position, cancel, reset"
    )
    assert ", ".join(KINDS) == wanted
    assert {name for name, kind in KINDS.items() if kind.silent} == {"holdup", "duress"}
    assert {name for name, kind in KINDS.items() if kind.latches} == {"panic", "duress", "holdup", "medical", "fire"}


def test_classes_are_sent_in_the_order_of_the_contract() -> None:
    assert CLASSES == ("alarm", "trouble", "scan", "status", "audit")
    assert class_of("trouble.ac") == "trouble"
    with pytest.raises(ValueError, match="not in tuple"):
        class_of("media.file")
