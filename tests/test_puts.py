"""Files that go by HTTPS PUT to an address that central names: which, when, how often, and when in pieces after all."""

import json
from hashlib import sha256
from typing import Any

import pytest
from bench_box import YAML, Bench
from fake_journal import FakeJournal

from agent.load import RECEIPT_TIMEOUT_S
from agent.mail import Publish, Write
from agent.media_mail import HoldPut, OwedFile, PutDone, PutFile, ReadPiece
from agent.puts import ADDRESSES_MAX, RETRY_S

ALLOWED = "https://media.example/bucket/"
CONFIG = YAML + f"evidence: {{put: ['{ALLOWED}']}}\n"
OLD, NEW = (f"01a200e4-24bf-70ff-9531-985d5d9dc9f{n}" for n in (1, 2))
"""Cases; their ids tell which began later."""


def file(data: bytes, case: str = OLD, *, seq: int = 1, key_frame: bool = False) -> OwedFile:
    name = sha256(data).hexdigest()
    return OwedFile(name, seq, case, "alarm", "front", "2026-11-22T01:35:06Z", len(data), key_frame)


A, B = b"a" * 9_000, b"b" * 9_000
FILE_A, FILE_B = file(A, seq=1), file(B, seq=2)
NAME_A, NAME_B = FILE_A.sha256, FILE_B.sha256


def address(name: str) -> str:
    return f"{ALLOWED}{name}?X-Amz-Signature=secret"


def started(*files: OwedFile, text: str = CONFIG) -> Bench:
    """A box that owes these files, in the middle of its work: central has said what it has, and no alarm is owed."""
    bench = Bench(text, FakeJournal(files={file.sha256: file for file in files}))
    bench.spool |= {file.sha256: data for file in files for data in (A, B) if sha256(data).hexdigest() == file.sha256}
    bench.connect()
    bench.wait(0.1)
    return bench


def go(bench: Bench, *, answers: bool = True) -> Bench:
    """Its session for media stands, and central has spoken. answers: pieces are acknowledged at once; else `ack` does,
    so that one is seen to go and none follows by itself."""
    bench.connect_media()
    bench.broker_answers = answers
    bench.receipt()
    return bench


def owe(bench: Bench, file: OwedFile) -> None:
    """A camera has brought it."""
    bench.journal.files[file.sha256] = file
    bench.spool[file.sha256] = B
    bench.box._media.uploads.owed([file])
    bench.act()


def puts(bench: Bench) -> list[str]:
    """Names of the files that were begun by PUT."""
    return [action.sha256 for action in bench.did if isinstance(action, PutFile)]


def pieces(bench: Bench) -> list[tuple[str, int]]:
    topics = [action.topic.split("/") for action in bench.did if isinstance(action, Publish)]
    return [(topic[1], int(topic[2])) for topic in topics if topic[0] == "media"]


def holds(bench: Bench) -> list[bool]:
    return [action.held for action in bench.did if isinstance(action, HoldPut)]


def warned(bench: Bench, word: str) -> list[str]:
    return [text for text in bench.said if word in text]


def by_put(bench: Bench, *names: str, answers: bool = True) -> Bench:
    """Central has named addresses for these."""
    bench.receipt(put={name: address(name) for name in names})
    return go(bench, answers=answers)


# ---- which way


def test_a_file_with_an_address_goes_by_put_and_in_no_piece() -> None:
    bench = by_put(started(FILE_A), NAME_A)
    assert [action for action in bench.did if isinstance(action, PutFile)] == [PutFile(NAME_A, address(NAME_A))]
    bench.wait(600)
    assert puts(bench) == [NAME_A]
    assert pieces(bench) == []
    assert not any(isinstance(action, ReadPiece) for action in bench.did)


def test_a_file_is_delivered_when_central_says_so_and_not_when_its_put_went_well() -> None:
    bench = by_put(started(FILE_A), NAME_A)
    bench.say(PutDone(NAME_A))
    assert bench.journal.files[NAME_A].stored == 0
    assert bench.state["pending"]["media_bytes"] == len(A)
    bench.receipt(media={NAME_A: len(A)})
    assert bench.journal.files[NAME_A].stored == len(A)


def test_files_go_one_at_a_time_in_the_order_of_the_pieces() -> None:
    picture, newer = file(b"p" * 100, OLD, seq=3, key_frame=True), file(b"n" * 100, NEW, seq=4)
    bench = by_put(started(FILE_A, FILE_B, picture, newer), NAME_A, NAME_B, picture.sha256, newer.sha256)
    order = [picture.sha256, newer.sha256, NAME_A, NAME_B]
    for n, name in enumerate(order):
        assert puts(bench) == order[: n + 1]
        bench.say(PutDone(name))
    assert puts(bench) == order, "the next one waits for no receipt"
    assert pieces(bench) == []


def test_what_went_by_put_fills_no_window_of_pieces() -> None:
    large = file(b"x" * 1_000_000)
    bench = by_put(started(large, FILE_B), large.sha256)
    bench.say(PutDone(large.sha256))
    assert pieces(bench)[0] == (NAME_B, 0)


def test_the_file_under_way_is_known_to_its_end_however_many_come_before_it() -> None:
    bench = by_put(started(FILE_A), NAME_A, answers=False)
    for n in range(60):
        owe(bench, file(b"%d" % n, NEW, seq=9 + n))
    bench.say(PutDone(NAME_A, "its bytes were changed on the disk", gone=True))
    assert bench.of("trouble.parked")[0]["file"] == NAME_A


def test_nothing_goes_in_pieces_while_a_put_runs_and_then_what_has_no_address_does() -> None:
    bench = by_put(started(FILE_A, FILE_B), NAME_A)
    bench.wait(5)
    assert pieces(bench) == []
    bench.say(PutDone(NAME_A))
    assert pieces(bench)[0] == (NAME_B, 0)


def test_an_address_that_comes_while_pieces_go_is_used_from_then_on() -> None:
    bench = go(started(FILE_A), answers=False)
    assert pieces(bench) == [(NAME_A, 0)]
    bench.receipt(put={NAME_A: address(NAME_A)})
    bench.ack()
    assert puts(bench) == [NAME_A]
    bench.receipt(media={NAME_A: 4096})
    bench.wait(5)
    assert pieces(bench) == [(NAME_A, 0)], "central had a piece; still none follows"


def test_a_put_is_not_begun_before_central_has_said_what_it_has() -> None:
    bench = started(FILE_A)
    bench.receipt(put={NAME_A: address(NAME_A)})
    bench.connect_media()
    assert puts(bench) == []
    bench.receipt(media={NAME_A: len(A)})
    bench.wait(60)
    assert puts(bench) == []


# ---- alarms, and what comes first


def test_no_put_is_begun_while_an_alarm_is_owed() -> None:
    bench = started(FILE_A)
    bench.press("alarm-1")
    by_put(bench, NAME_A)
    bench.wait(5)
    assert puts(bench) == []
    bench.receipt(through=bench.box.seq)
    assert puts(bench) == [NAME_A]


def test_a_put_pauses_while_an_alarm_is_owed_and_goes_on_with_its_receipt() -> None:
    bench = by_put(started(FILE_A), NAME_A)
    bench.press("alarm-1")
    bench.wait(5)
    assert holds(bench) == [True]
    bench.receipt(through=bench.box.seq)
    assert holds(bench) == [True, False]
    assert puts(bench) == [NAME_A]


def test_a_put_pauses_for_an_alarm_also_when_the_link_is_cut() -> None:
    bench = by_put(started(FILE_A), NAME_A)
    bench.disconnect()
    bench.press("alarm-1")
    assert holds(bench) == [True]


def test_the_first_picture_of_a_new_case_overtakes_a_put_in_pieces() -> None:
    """At 8 kbit/s a clip takes ten minutes; nobody is to wait so long for a picture."""
    bench = by_put(started(FILE_A), NAME_A, answers=False)
    owe(bench, file(B, NEW, seq=9, key_frame=True))
    assert holds(bench) == [True]
    bench.broker_answers = True
    bench.act()
    assert [name for name, _ in pieces(bench)] == [NAME_B, NAME_B]
    assert holds(bench) == [True, False], "all of it is on its way"
    assert puts(bench) == [NAME_A]


def test_what_comes_later_in_the_order_waits_for_the_put() -> None:
    bench = by_put(started(FILE_A), NAME_A)
    owe(bench, FILE_B)
    bench.wait(5)
    assert (holds(bench), pieces(bench)) == ([], [])


# ---- what fails


def failed(bench: Bench, name: str, **more: Any) -> None:
    bench.say(PutDone(name, "media.example answers with HTTP status 500", **more))


def test_a_put_that_failed_is_tried_again_after_a_pause_with_jitter() -> None:
    bench = by_put(started(FILE_A), NAME_A)
    failed(bench, NAME_A)
    bench.wait(RETRY_S / 2 - 0.1)
    assert puts(bench) == [NAME_A]
    bench.wait(RETRY_S / 2 + 0.2)
    assert puts(bench) == [NAME_A] * 2
    failed(bench, NAME_A)
    bench.wait(RETRY_S - 0.1)
    assert puts(bench) == [NAME_A] * 2, "the second pause is twice as long"
    bench.wait(RETRY_S + 0.2)
    assert puts(bench) == [NAME_A] * 3
    assert pieces(bench) == []


def test_while_it_pauses_files_without_an_address_go_in_pieces() -> None:
    bench = by_put(started(FILE_A, FILE_B), NAME_A)
    failed(bench, NAME_A)
    assert pieces(bench)[0] == (NAME_B, 0)


def test_after_three_failures_a_file_goes_in_pieces_and_one_line_says_why() -> None:
    bench = by_put(started(FILE_A), NAME_A)
    for _ in range(3):
        failed(bench, NAME_A)
        bench.wait(2 * RETRY_S + 0.1)
    assert puts(bench) == [NAME_A] * 3
    assert pieces(bench)[0] == (NAME_A, 0)
    (line,) = warned(bench, "PUT")
    assert "media.example answers with HTTP status 500" in line and "in pieces" in line


def test_three_failures_in_a_row_take_the_addresses_of_all() -> None:
    """A store that is away costs three tries, not three of each file."""
    bench = by_put(started(FILE_A, FILE_B), NAME_A, NAME_B)
    for _ in range(3):
        failed(bench, NAME_A)
        bench.wait(2 * RETRY_S + 0.1)
    assert puts(bench) == [NAME_A] * 3
    assert {name for name, _ in pieces(bench)} == {NAME_A, NAME_B}


def test_an_address_that_has_expired_is_forgotten_and_central_may_name_another() -> None:
    bench = by_put(started(FILE_A, FILE_B), NAME_A, NAME_B, answers=False)
    bench.say(PutDone(NAME_A, "media.example answers with HTTP status 403", expired=True))
    assert pieces(bench) == [(NAME_A, 0)], "in pieces, at once"
    bench.receipt(put={NAME_A: address(NAME_A) + "2"})
    bench.ack()
    assert [action.url for action in bench.did if isinstance(action, PutFile)][-1] == address(NAME_A) + "2"


def test_a_file_whose_put_went_well_and_that_central_never_gets_goes_in_pieces_after_three() -> None:
    bench = by_put(started(FILE_A), NAME_A)
    for n in range(3):
        assert puts(bench) == [NAME_A] * (n + 1)
        bench.say(PutDone(NAME_A))
        bench.wait(RECEIPT_TIMEOUT_S * 2 ** (n + 1) + 1)
    assert pieces(bench)[0] == (NAME_A, 0)
    assert "central does not say that it has it" in warned(bench, "PUT")[0]


def test_a_file_that_is_gone_or_changed_is_parked_and_the_next_one_goes() -> None:
    bench = by_put(started(FILE_A, FILE_B), NAME_A, NAME_B)
    bench.say(PutDone(NAME_A, "its bytes were changed on the disk", gone=True))
    assert puts(bench) == [NAME_A, NAME_B]
    assert bench.of("trouble.parked")[0]["file"] == NAME_A
    assert bench.journal.files[NAME_A].stored == -1


def test_central_that_finds_a_wrong_hash_in_its_store_gets_the_file_again() -> None:
    bench = by_put(started(FILE_A), NAME_A)
    for n in (1, 2, 3):
        assert puts(bench) == [NAME_A] * n
        bench.say(PutDone(NAME_A))
        bench.receipt(media={NAME_A: 0})
        bench.wait(RECEIPT_TIMEOUT_S * 2**n)
    assert puts(bench) == [NAME_A] * 3
    assert pieces(bench)[0] == (NAME_A, 0), "after the third time in pieces"
    assert bench.of("trouble.parked") == [], "the store did it: the box hashes what it puts"


def test_a_late_word_of_a_put_whose_file_is_delivered_does_no_harm() -> None:
    bench = by_put(started(FILE_A, FILE_B), NAME_A, NAME_B)
    bench.receipt(media={NAME_A: len(A)})
    bench.say(PutDone(NAME_A, "the connection broke"))
    bench.wait(RETRY_S + 0.1)
    assert puts(bench) == [NAME_A, NAME_B]
    assert bench.journal.files[NAME_A].stored == len(A)


def test_a_session_that_ends_in_the_middle_of_a_put_sends_nothing_twice() -> None:
    bench = by_put(started(FILE_A), NAME_A)
    bench.disconnect()
    bench.wait(1)
    bench.connect()
    bench.wait(1)
    go(bench)
    bench.wait(5)
    assert (puts(bench), pieces(bench)) == ([NAME_A], [])
    bench.say(PutDone(NAME_A))
    bench.receipt(media={NAME_A: len(A)})
    assert (puts(bench), pieces(bench)) == ([NAME_A], [])


# ---- which addresses


BAD = {
    "of another host": "https://evil.example/bucket/x",
    "of a host that begins alike": "https://media.example.evil.example/bucket/x",
    "of another folder": "https://media.example/other/x",
    "that climbs out of the folder": f"{ALLOWED}../other/x",
    "that climbs out in disguise": f"{ALLOWED}%2e%2E/other/x",
    "without TLS": "http://media.example/bucket/x",
    "with a user": "https://user:pw@media.example/bucket/x",
    "with a fragment": f"{ALLOWED}x#y",
    "with a line break": f"{ALLOWED}x\r\nX-Evil: 1",
    "with a space": f"{ALLOWED}x y",
    "with a null byte": f"{ALLOWED}x\0",
    "that is no ASCII": f"{ALLOWED}文件",
    "too long": ALLOWED + "x" * 2_000,
    "that is no text": 5,
    "that is nothing": None,
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_an_address_is_left_out_said_once_and_the_rest_of_the_receipt_counts(bad: object) -> None:
    bench = started(FILE_A, FILE_B)
    for _ in range(3):
        bench.receipt(through=bench.box.seq, put={NAME_A: bad, NAME_B: address(NAME_B)})
    go(bench, answers=False)
    assert not bench.journal.owed, "what it delivers is delivered"
    assert puts(bench) == [], "the first one in order has none"
    assert pieces(bench) == [(NAME_A, 0)]
    (line,) = warned(bench, "receipt: addresses for PUT are left out")
    assert "secret" not in line and "pw" not in line and "evil" not in line
    bench.receipt(media={NAME_A: len(A)})
    bench.ack()
    assert puts(bench) == [NAME_B], "the good one beside it is used"


@pytest.mark.parametrize("put", [[], 5, None, "https://x/", {"c0ffee": address(NAME_A)}, {"": address(NAME_A)}])
def test_a_put_that_is_no_map_of_files_spoils_nothing(put: object) -> None:
    bench = started(FILE_A)
    bench.receipt(through=bench.box.seq, media={NAME_A: 100}, put=put)
    assert not bench.journal.owed
    assert bench.state["pending"]["media_bytes"] == len(A)
    assert len(warned(bench, "receipt: addresses for PUT are left out")) == 1


def test_a_box_whose_config_allows_none_leaves_addresses_out_and_says_so_once() -> None:
    bench = started(FILE_A, text=YAML)
    for _ in range(3):
        bench.receipt(put={NAME_A: address(NAME_A)})
    go(bench)
    assert (puts(bench), pieces(bench)[0]) == ([], (NAME_A, 0))
    assert len(warned(bench, "evidence.put would name how they begin")) == 1


def test_the_newest_addresses_are_kept_and_of_one_file_the_last() -> None:
    bench = started(FILE_A, FILE_B)
    bench.receipt(put={NAME_B: address(NAME_B)})
    bench.receipt(put={NAME_A: address(NAME_A)})
    bench.receipt(put={NAME_B: address(NAME_B) + "2"})
    many = {f"{n:064x}": address("x") for n in range(ADDRESSES_MAX - 1)}
    for at in range(0, len(many), 100):
        bench.receipt(put=dict(list(many.items())[at : at + 100]))
    go(bench, answers=False)
    assert pieces(bench) == [(NAME_A, 0)], "its address was the oldest"
    bench.receipt(media={NAME_A: len(A)})
    bench.ack()
    assert [action.url for action in bench.did if isinstance(action, PutFile)] == [address(NAME_B) + "2"]


def test_no_address_is_in_a_text_or_in_the_journal() -> None:
    bench = by_put(started(FILE_A), NAME_A)
    failed(bench, NAME_A)
    writes = json.dumps([repr(action) for action in bench.did if isinstance(action, Write)])
    assert "secret" not in writes + "".join(bench.said)
    assert "secret" not in repr([action for action in bench.did if isinstance(action, PutFile)])
