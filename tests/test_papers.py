"""What is kept of a document: the policy itself, and in the events of a whole box."""

from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Any

import pytest
from bench_box import YAML, Bench
from config_file import SMALL, english, file, loaded, mistakes
from test_reads import TEXT, ZONE, answer, press
from test_scanner import ERIKSSON

from agent.config import Documents, missing_files
from agent.media_mail import TakePicture
from agent.papers import NO_KEY, Papers
from drivers.contract import Code, Paper

__all__ = ["english", "file"]  # fixtures

KEY = b"0123456789abcdef"
PASSPORT = Paper("desk", "td3", ERIKSSON, (), 1000.0)
HOLDER = ("ERIKSSON", "ANNA", "740812", "ZE184226B")


def papers(key: bytes = KEY, **policy: Any) -> Papers:
    return Papers(Documents(**policy).policy, key)


def test_by_default_nothing_of_the_holder_is_kept() -> None:
    assert papers().scanned(PASSPORT) == {
        "layout": "td3",
        "wrong": [],
        "type": "P",
        "issuer": "UTO",
        "number": "L898902C3",
        "expires": "2012-04-15",
    }


@pytest.mark.parametrize("name", ERIKSSON)
def test_each_field_is_kept_hashed_or_dropped_as_the_config_says(name: str) -> None:
    text = {**ERIKSSON, "expires": "2012-04-15"}[name]
    assert papers(KEY, **{name: "keep"}).scanned(PASSPORT).get(name, "") == text
    hashed = papers(KEY, **{name: "hash"}).scanned(PASSPORT)
    assert name not in hashed
    assert list(hashed.get("hashes", {})) == ([name] if text else [])
    dropped = papers(KEY, **{name: "drop"}).scanned(PASSPORT)
    assert name not in {*dropped, *dropped.get("hashes", {})}


def test_a_hash_is_what_another_implementation_makes_of_it() -> None:
    """printf 'number\\0L898902C3' | openssl dgst -sha256 -hmac 0123456789abcdef"""
    digest = bytes.fromhex("ecb335d11fb6fd5cfc182b5d932d544678f7ee584faf7c04188f9233bbc84127")
    told = papers(number="hash").scanned(PASSPORT)
    assert told["hashes"] == {"number": urlsafe_b64encode(digest).decode().rstrip("=")}
    assert papers(b"x" * 16, number="hash").scanned(PASSPORT)["hashes"] != told["hashes"]


def test_without_the_sites_key_what_was_to_be_hashed_is_left_out_and_never_kept_plain() -> None:
    told = papers(b"", number="hash", surname="hash").scanned(PASSPORT)
    assert told["reason"] == NO_KEY
    assert not {"number", "surname", "hashes"} & told.keys()


def test_a_field_that_no_policy_knows_is_dropped_and_a_long_one_cut() -> None:
    """Drivers come from elsewhere too."""
    odd = Paper("desk", "td3", {"eyes": "blue", "number": "7" * 100, "issuer": "\ud800", "expires": "120231"}, (), 1.0)
    assert papers().scanned(odd) == {"layout": "td3", "wrong": [], "number": "7" * 44, "issuer": "?"}


# ---- in a box


def scans(bench: Bench) -> list[dict[str, Any]]:
    own = [event for event in bench.events if event["type"].startswith("callbox.scan.")]
    return [{"type": e["type"][8:], **{k: v for k, v in e["data"].items() if k != "monotonic_s"}} for e in own]


def keyed(tmp_path: Path, text: str, documents: str) -> Bench:
    (tmp_path / "site").write_bytes(KEY + b"\n")
    return Bench(f"{text}key_file: {tmp_path / 'site'}\ndocuments: {{{documents}}}\n")


def test_a_document_from_a_scanner_is_an_event_of_the_moment_it_was_read() -> None:
    bench = Bench()
    bench.wait(2)
    bench.say(Paper("desk", "td3", ERIKSSON, ("composite",), bench.now_s - 1))
    [event] = [event for event in bench.events if event["type"] == "callbox.scan.document"]
    assert event["subject"] == "desk"
    assert event["time"] == "2026-11-22T01:33:21.123456Z"
    assert scans(bench) == [
        {
            "type": "P",
            "input": "desk",
            "layout": "td3",
            "issuer": "UTO",
            "number": "L898902C3",
            "expires": "2012-04-15",
            "wrong": ["composite"],
        }
    ]


def test_no_byte_of_the_journal_has_the_holder() -> None:
    bench = Bench()
    bench.say(PASSPORT)
    kept = b"".join(event.body for event in bench.journal.events.values()).decode()
    assert "L898902C3" in kept
    assert [secret for secret in HOLDER if secret in kept] == []


def test_scanner_and_camera_have_one_policy(tmp_path: Path) -> None:
    bench = keyed(tmp_path, TEXT, "number: hash, expires: drop")
    bench.connect()
    bench.say(PASSPORT)
    answer(bench, press(bench), ZONE)
    scanned, seen = scans(bench)
    assert scanned["hashes"] == seen["hashes"]
    assert not {"number", "expires"} & {*scanned, *seen}


def test_the_cameras_that_look_at_a_scanner_take_a_picture_of_a_document_too() -> None:
    text = YAML.replace("kind: scan}", "kind: scan, cameras: [front]}")
    bench = Bench(text + "cameras: [{id: front, source: 'rtsp://h/'}]\n")
    bench.say(Paper("desk", "td3", ERIKSSON, (), bench.now_s))
    assert [wish for wish in bench.wishes if isinstance(wish, TakePicture)] == [TakePicture("front", bench.now_s)]


def test_the_format_that_a_scanner_says_is_in_the_event() -> None:
    bench = Bench()
    bench.say(Code("desk", "10AB\x1d217", bench.now_s, "gs1128"))
    assert scans(bench) == [{"type": "scan.code", "input": "desk", "code": "10AB\x1d217", "format": "gs1128"}]


# ---- in the config


def test_hash_needs_the_sites_key(file: Path) -> None:
    assert mistakes(file, SMALL + "documents: {number: hash, surname: keep}\n") == [
        "box.yaml:8: documents.number: found hash; allowed: hash only with key_file, which names the file of the site's"
        " key"
    ]


def test_a_key_that_is_too_short_is_a_mistake_and_a_missing_one_may_be_on_its_way(file: Path) -> None:
    text = SMALL + "key_file: site\ndocuments: {number: hash}\n"
    config = loaded(file, text)
    assert config.site_key == b""
    assert str(missing_files(config)[0]).startswith(f"{file}:8: key_file: found {file.parent}/site, which is not there")
    (file.parent / "site").write_bytes(b"short\n")
    [said] = mistakes(file, text)
    assert "found 5 bytes, at least 16 are wanted" in said
    (file.parent / "site").write_bytes(KEY + b"\n")
    assert loaded(file, text).site_key == KEY
