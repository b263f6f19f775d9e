"""Evidence in the whole box: its way to central beside the events, what a receipt does, and which files may go."""

import re

import pytest
from bench_box import START_S, config
from evidence_box import Eyes, case_of, eyes, name_of, picture

from agent.events import Stamp
from agent.mail import Acked, Arrived, Drop, Publish, SessionDown, StorageTight, Write
from agent.media import FREE_BYTES
from agent.media_mail import CameraSaid, OwedFile, PieceRead, ReadPiece, SurveyedFiles, SurveyFiles, Unlink
from agent.retention import LOOK_S, PAUSE_S

__all__ = ["eyes"]  # fixture


def holdup(eyes: Eyes, *sizes: int) -> list[str]:
    """A press, and files of it of so many bytes; central has all events. Their names."""
    eyes.press("hidden")
    data = [picture(number, size) for number, size in enumerate(sizes)]
    eyes.filed("front", *((one, START_S, START_S + 1) for one in data), through_s=START_S + 1)
    everything(eyes)
    return [name_of(one) for one in data]


def everything(eyes: Eyes) -> None:
    """Central has every event."""
    eyes.receipt(through=len(eyes.journal.events))


# ---- to central


def test_a_file_goes_over_a_session_of_its_own_and_is_delivered_by_a_receipt(eyes: Eyes) -> None:
    [name] = holdup(eyes, 9_000)
    [connect] = eyes.media
    assert connect.session not in [other.session for other in eyes.connects]
    session = eyes.connect_media()
    eyes.receipt(media={})
    eyes.wait(0.1)
    assert {message.session for message in eyes.sent if message.topic.startswith("media/")} == {session}
    assert all(re.fullmatch(r"media/[0-9a-f]{64}/\d+", f"media/{at}/{offset}") for at, offset, _ in eyes.pieces)
    assert b"".join(data for _, _, data in eyes.pieces) == eyes.spool[name]
    eyes.wait(25)
    assert eyes.state["pending"]["media_bytes"] == 9_000, "a PUBACK is no delivery"
    eyes.has(all=1)
    eyes.wait(25)
    assert eyes.state["pending"]["media_bytes"] == 0
    assert eyes.journal.media_bytes == 0


def test_the_session_for_media_comes_only_once_no_event_waits_for_it(eyes: Eyes) -> None:
    """A piece waits for the receipt of the alarm, which a press alone owes."""
    eyes.press("hidden")
    eyes.filed("front", (picture(1), START_S, START_S), through_s=START_S)
    eyes.connect_media()
    eyes.receipt(media={})
    eyes.wait(9)
    assert eyes.pieces == []
    everything(eyes)
    eyes.wait(0.1)
    assert len(eyes.pieces) == 1


def test_a_press_in_the_middle_of_a_file_stops_it_until_the_alarm_is_at_central(eyes: Eyes) -> None:
    holdup(eyes, 2_000_000)
    eyes.connect_media()
    eyes.broker_answers = False
    eyes.receipt(media={})
    eyes.press("hidden")
    eyes.broker_answers = True
    sent = len(eyes.pieces)
    eyes.wait(9)
    assert len(eyes.pieces) == sent
    everything(eyes)
    eyes.wait(1)
    assert len(eyes.pieces) > sent


def test_the_media_session_ends_with_the_boxs_own(eyes: Eyes) -> None:
    holdup(eyes, 2_000_000)
    session = eyes.connect_media()
    eyes.disconnect()
    assert Drop(session) in eyes.did
    eyes.wait(5)
    eyes.connect()
    eyes.wait(1)
    assert len(eyes.media) == 2


def test_a_media_session_that_breaks_harms_no_event(eyes: Eyes) -> None:
    holdup(eyes, 50_000)
    session = eyes.connect_media()
    eyes.say(SessionDown(session, "kicked"))
    eyes.scan("0815")
    assert [event["data"]["code"] for event in eyes.published("event/scan")] == ["0815"]
    assert eyes.of("trouble.link") == []
    eyes.wait(2)
    assert len(eyes.media) == 2


def test_while_no_session_stands_evidence_asks_for_no_tick(eyes: Eyes) -> None:
    holdup(eyes, 50_000)
    eyes.disconnect()
    eyes.connects.clear()
    eyes.wait(300)  # raises when the box is due again and again
    assert eyes.box.due_s() > eyes.now_s


# ---- receipts


@pytest.mark.parametrize("through", [0, None])
def test_a_receipt_that_names_more_than_a_file_has_is_refused_whole(eyes: Eyes, through: int | None) -> None:
    [name] = holdup(eyes, 1_000)
    eyes.scan("0815")
    owed = dict(eyes.journal.owed)
    eyes.receipt(through=len(eyes.journal.events) if through is None else through, media={name: 1_001})
    assert f"receipt refused: media: 1001 bytes of {name[:16]}, which has 1000" in eyes.said
    assert eyes.journal.owed == owed
    everything(eyes)
    assert eyes.journal.owed == {}, "and nothing was forgotten for it"
    assert eyes.journal.media_bytes == 1_000


def test_a_receipt_that_names_an_event_which_is_not_recorded_says_nothing_of_files_either(eyes: Eyes) -> None:
    [name] = holdup(eyes, 1_000)
    eyes.receipt(through=10_000, media={name: 1_000})
    assert eyes.journal.media_bytes == 1_000


@pytest.mark.parametrize(
    "media", [[], "x", {"abc": 1}, {"A" * 64: 1}, {"0" * 64: -1}, {"0" * 64: True}, {"0" * 64: 1.5}, {"0" * 64: "1"}]
)
def test_a_receipt_whose_media_cannot_be_read_is_refused(eyes: Eyes, media: object) -> None:
    holdup(eyes, 1_000)
    eyes.scan("0815")
    owed = dict(eyes.journal.owed)
    eyes.receipt(through=len(eyes.journal.events), media=media)
    assert [text for text in eyes.said if "`media` must map the SHA-256" in text]
    assert eyes.journal.owed == owed


def test_a_receipt_for_another_journal_says_nothing_of_files(eyes: Eyes) -> None:
    [name] = holdup(eyes, 1_000)
    eyes.receipt(journal="00000000", media={name: 1_000})
    assert eyes.journal.media_bytes == 1_000


def test_where_a_puback_delivers_it_delivers_files_too() -> None:
    eyes = Eyes("delivery: puback\n")
    eyes.connect()
    eyes.press("hidden")
    eyes.filed("front", (picture(1, 9_000), START_S, START_S), through_s=START_S)
    eyes.connect_media()
    eyes.wait(30)
    assert len(eyes.pieces) >= 2
    assert eyes.journal.media_bytes == 0


# ---- parked, and sent again


def test_a_file_that_nobody_can_take_is_parked_with_its_event_in_one_transaction(eyes: Eyes) -> None:
    [name] = holdup(eyes, 1_000)
    eyes.connect_media()
    for sent in (1, 2, 3):
        eyes.receipt(media={})
        while len(eyes.pieces) < sent:
            eyes.wait(1.0)
        eyes.receipt(media={name: 0})
    [parked] = eyes.of("trouble.parked")
    named = [event for event in eyes.events if event["type"] == "callbox.status.evidence"]
    assert (parked["file"], parked["parked"], parked["id"]) == (
        name,
        named[0]["boxseq"],
        case_of(eyes, "alarm.holdup"),
    )
    [write] = [write for write in eyes.journal.writes if write.stored.get(name) == -1]
    assert b"trouble.parked" in write.events[-1].body
    eyes.wait(25)
    assert eyes.state["pending"]["media_bytes"] == 0
    eyes.restart()
    assert eyes.of("status.evidence") and eyes.journal.media_bytes == 0


def test_the_mark_of_a_parked_file_waits_for_its_event_also_where_the_loop_writes_first(eyes: Eyes) -> None:
    """The loop writes what is decided before what follows from it: a cut between must leave both, or none."""
    [name] = holdup(eyes, 1_000)
    eyes.connect_media()
    del eyes.spool[name]
    eyes.box.handle(
        Arrived(eyes.connects[-1].session, "receipt", b'{"journal": "9b1deb4d", "media": {}}', False), eyes.stamp
    )
    [read] = [action for action in eyes.box.drain() if isinstance(action, ReadPiece)]
    eyes.box.handle(PieceRead(name, read.offset, b"", "the file is not there", gone=True), eyes.stamp)
    assert eyes.box.decided() == []
    [write] = [action for action in eyes.box.drain() if isinstance(action, Write)]
    assert (dict(write.stored), len(write.events)) == ({name: -1}, 1)


def test_resend_of_the_event_owes_its_files_again_and_a_parked_one_too(eyes: Eyes) -> None:
    first, second = holdup(eyes, 1_000, 2_000)
    kept = eyes.spool.pop(second)
    eyes.connect_media()
    eyes.receipt(media={first: 1_000})
    eyes.wait(1)
    assert (eyes.journal.media_bytes, len(eyes.of("trouble.parked"))) == (0, 1)
    eyes.spool[second] = kept
    [named] = [event["boxseq"] for event in eyes.events if event["type"] == "callbox.status.evidence"]
    eyes.sent.clear()
    eyes.command("resend", {"journal": eyes.journal.name, "ranges": [[named, named]]})
    assert eyes.journal.media_bytes == 3_000
    everything(eyes)
    eyes.wait(10)
    assert {name for name, _, _ in eyes.pieces} == {first, second}
    eyes.has(all=1)
    eyes.wait(25)
    assert eyes.state["pending"]["media_bytes"] == 0


# ---- which files go


def rows(eyes: Eyes, *names: str) -> tuple[OwedFile, ...]:
    return tuple(eyes.journal.files[name] for name in names)


def surveys(eyes: Eyes) -> list[SurveyFiles]:
    return [action for action in eyes.did if isinstance(action, SurveyFiles)]


def test_the_files_are_looked_at_once_a_minute_by_the_configs_limits() -> None:
    eyes = Eyes("retention: {days: 7, media_mb: 50}\n")
    eyes.wait(3 * LOOK_S)
    assert len(surveys(eyes)) == 4
    assert surveys(eyes)[0] == SurveyFiles("2026-11-15T01:33:20.123456Z", 50_000_000, FREE_BYTES)


def test_by_a_clock_that_nobody_has_set_nothing_is_old(eyes: Eyes) -> None:
    eyes.did.clear()
    eyes.now_s += LOOK_S
    eyes.box.tick(Stamp(eyes.now_s, eyes.wall_us, synced=False))
    eyes.act()
    assert [survey.before for survey in surveys(eyes)] == [""]


def test_a_box_without_cameras_and_files_looks_at_none(bench_without: Eyes) -> None:
    bench_without.wait(300)
    assert surveys(bench_without) == []


@pytest.fixture
def bench_without() -> Eyes:
    made = Eyes()
    made.config = config()
    made.did.clear()
    made.box = made._box()
    made.start()
    return made


def test_what_goes_is_recorded_with_its_rows_and_unlinked_only_then(eyes: Eyes) -> None:
    first, second = holdup(eyes, 1_000, 2_000)
    eyes.has(all=1)
    eyes.may_go = [SurveyedFiles(eyes.journal.name, "days", rows(eyes, first), more=False)]
    eyes.wait(LOOK_S - 1)
    eyes.disk_works = False
    eyes.wait(1)
    assert [action for action in eyes.did if isinstance(action, Unlink)] == []
    eyes.disk_works = True
    eyes.commit()
    assert [action for action in eyes.did if isinstance(action, Unlink)] == [Unlink((first,))]
    [discarded] = eyes.of("audit.discarded")
    assert discarded["cause"] == "days"
    assert "undelivered" not in discarded
    assert discarded["files"] == [
        {"sha256": first, "case": case_of(eyes, "alarm.holdup"), "camera": "front", "bytes": 1_000, "stored": 1_000}
    ]
    [write] = [write for write in eyes.journal.writes if write.gone]
    assert (write.gone, len(write.events)) == ((first,), 1)
    assert (list(eyes.journal.files), eyes.journal.garbage) == ([second], set())


def test_a_cut_before_the_unlink_leaves_it_to_the_next_start(eyes: Eyes) -> None:
    [name] = holdup(eyes, 1_000)
    eyes.may_go = [SurveyedFiles(eyes.journal.name, "size", rows(eyes, name), more=False)]
    eyes.wait(LOOK_S - 1)
    eyes.disk_works = False
    eyes.wait(1)
    [write] = [write for write in eyes.held if getattr(write, "gone", ())]
    eyes.journal.commit(write)  # type: ignore[arg-type]
    eyes.restart()
    assert eyes.journal.garbage == {name}
    assert name in eyes.spool


def test_what_goes_undelivered_is_counted_so_and_owed_no_more(eyes: Eyes) -> None:
    first, second, third = holdup(eyes, 1_000, 2_000, 90_000)
    eyes.has(**{f"_{first[:12]}": 1_000})
    eyes.may_go = [SurveyedFiles(eyes.journal.name, "disk", rows(eyes, first, second), more=False)]
    eyes.wait(LOOK_S)
    [discarded] = eyes.of("audit.discarded")
    assert discarded["undelivered"] == 1
    assert [file["stored"] for file in discarded["files"]] == [1_000, 0]
    eyes.wait(25)
    assert eyes.state["pending"]["media_bytes"] == 90_000 == eyes.journal.media_bytes
    everything(eyes)
    eyes.connect_media()
    eyes.receipt(media={})
    eyes.wait(2)
    assert {name for name, _, _ in eyes.pieces} == {third}
    assert eyes.of("trouble.parked") == []


def test_where_more_has_to_go_the_next_look_is_at_once(eyes: Eyes) -> None:
    first, second = holdup(eyes, 1_000, 2_000)
    eyes.wait(LOOK_S)
    eyes.may_go = [
        SurveyedFiles(eyes.journal.name, "size", rows(eyes, first), more=True),
        SurveyedFiles(eyes.journal.name, "size", rows(eyes, second), more=False),
    ]
    eyes.wait(LOOK_S + PAUSE_S)
    assert len(eyes.of("audit.discarded")) == 2
    assert eyes.spool == {}


@pytest.mark.parametrize("full", ["journal", "camera"])
def test_a_disk_that_is_full_is_looked_at_at_once(eyes: Eyes, full: str) -> None:
    eyes.wait(5)
    count = len(surveys(eyes))
    if full == "journal":
        eyes.say(StorageTight(eyes.journal.name, "database or disk is full"))
    else:
        eyes.say(CameraSaid("front", "storage", "no space left on device"))
    eyes.wait(0.1)
    assert len(surveys(eyes)) == count + 1


def test_a_file_goes_while_a_piece_of_it_is_in_flight_and_nothing_breaks(eyes: Eyes) -> None:
    [name] = holdup(eyes, 100_000)
    eyes.connect_media()
    eyes.broker_answers = False
    eyes.receipt(media={})
    eyes.wait(0.1)
    [piece] = [message for message in eyes.sent if message.topic.startswith("media/")]
    eyes.may_go = [SurveyedFiles(eyes.journal.name, "disk", rows(eyes, name), more=False)]
    eyes.say(StorageTight(eyes.journal.name, "database or disk is full"))
    eyes.wait(0.1)
    assert isinstance(piece, Publish)
    eyes.say(Acked(piece.session, piece.token, 0))
    eyes.receipt(media={name: 4_096})
    eyes.wait(5)
    assert eyes.journal.media_bytes == 0
    assert eyes.of("trouble.parked") == []
