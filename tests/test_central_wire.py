"""What central reads and makes by hand: topics, batches, events, times, ids and keys."""

from pathlib import Path

import pytest
from fakebox import stamp

from simulators.central import wire


def test_a_batch_falls_apart_into_the_very_bytes() -> None:
    one, two = b'{"a":1}', '{"b":"],[ \\" 中"}'.encode()
    assert wire.split_batch(b"[" + one + b"," + two + b"]") == ([one, two], "")
    assert wire.split_batch(b" [ " + one + b" , " + two + b" ] ") == ([one, two], "")
    assert wire.split_batch(b"[]") == ([], "")
    events, wrong = wire.split_batch(b"[" + one + b"," + two[:5])
    assert events == [one] and wrong
    assert wire.split_batch(b"\xff")[0] == [] and wire.split_batch(b"{}")[1]


@pytest.mark.parametrize(
    ("topic", "expected"),
    [
        ("callbox/1/jiangyang/kiosk-017/event/alarm", wire.Topic("jiangyang/kiosk-017", "event", "alarm")),
        ("callbox/1/a/b/state", wire.Topic("a/b", "state", "")),
        ("callbox/1/a/b/event/gossip", None),
        ("callbox/1/A/b/state", None),
        ("callbox/1/a/b/event/alarm/more", None),
        ("callbox/2/a/b/state", None),
    ],
)
def test_only_the_contracts_topics_are_read(topic: str, expected: wire.Topic | None) -> None:
    assert wire.read_topic(topic) == expected


@pytest.mark.parametrize(
    "payload",
    [b"", b"null", b"[1]", b"{", b"\xff\xfe", b'{"a":NaN}', b"[" * 100_000, b'{"id":"\\ud800"}', b"{}", b"1" * 70_000],
)
def test_nonsense_is_unreadable_and_never_more_than_that(payload: bytes) -> None:
    with pytest.raises(wire.UnreadableError):
        wire.read_event(wire.Topic("a/b", "event", "alarm"), payload)


def test_a_made_id_is_a_uuid_of_version_7_with_the_time_in_it() -> None:
    made = wire.uuid7(1_700_000_000.123)
    assert made[14] == "7" and made[19] in "89ab"
    assert int(made.replace("-", "")[:12], 16) == 1_700_000_000_123


def test_a_key_file_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "operator.pem"
    assert wire.public(wire.load_key(path)) == wire.public(wire.load_key(path))
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_bytes(b"no key")
    with pytest.raises(ValueError, match="PEM"):
        wire.load_key(path)


def test_times_are_read_as_rfc_3339_says() -> None:
    assert wire.seconds("2026-11-22T01:33:20.5Z") == wire.seconds("2026-11-22T09:33:20.5+08:00")
    assert wire.seconds("2026-11-22T01:33:20") is None and wire.seconds("soon") is None
    assert wire.seconds(stamp()) is not None
