"""A disk that fails or does not answer, seen from the whole box: the alarm goes out, and the lamp tells no lie."""

from itertools import pairwise

from bench_box import Bench
from fake_journal import FakeJournal

from agent.mail import NewJournal, Publish, Recorded, SetOutput, StorageFailed, Write
from drivers.contract import Edge


def test_one_step_is_one_write() -> None:
    """A reset that closes two cases: four events and two cases, whole or not at all."""
    bench = Bench()
    bench.press("alarm-1")
    bench.press("door")
    before = len(bench.journal.writes)
    bench.press("key")
    [write] = bench.journal.writes[before:]
    assert len(write.events) == 3
    assert list(write.cases.values()) == [None, None]


def test_a_failed_disk_does_not_keep_an_alarm_from_going_out() -> None:
    bench = Bench()
    bench.connect()
    bench.receipt(through=1)
    bench.disk_works = False
    bench.edge("alarm-1", True)
    bench.wait(0.1)
    bench.sent.clear()
    bench.fail_disk()
    assert bench.journal.volatile
    types = [event["type"] for event in bench.published()]
    assert types[0] == "callbox.alarm.panic", "before everything else"
    assert sorted(types[1:]) == ["callbox.status.started", "callbox.trouble.storage"]
    started = bench.of("status.started")[0]
    assert (started["last_end"], started["new_journal"]) == ("storage", "disk I/O error; replace the card")
    bench.wait(1)
    assert bench.state["journal"] == bench.journal.name
    assert bench.state["trouble"] == ["storage"]


def test_an_alarm_that_was_recorded_before_the_disk_failed_goes_out_from_memory() -> None:
    bench = Bench()
    bench.press("alarm-1")
    [before] = [event for event in bench.events if event["type"] == "callbox.alarm.panic"]
    bench.fail_disk()
    bench.connect()
    [sent] = [event for event in bench.published() if event["type"] == "callbox.alarm.panic"]
    same = ("id", "time", "subject", "boot", "data", "timequality")
    assert [sent[name] for name in same] == [before[name] for name in same]
    assert (sent["journal"], before["journal"]) == (bench.journal.name, "9b1deb4d")
    bench.receipt(through=bench.box.seq)
    bench.wait(5)
    assert [case.delivered for case in bench.box._alarms.shown] == [True]


def test_the_id_of_an_alarm_survives_the_move_so_that_central_can_drop_a_repeat() -> None:
    bench = Bench()
    bench.disk_works = False
    bench.edge("alarm-1", True)
    bench.wait(0.1)
    [asked] = [event for write in bench.held if isinstance(write, Write) for event in write.events]
    bench.fail_disk()
    [moved] = [event for event in bench.events if event["type"] == "callbox.alarm.panic"]
    assert moved["id"] == asked.id
    assert moved["data"]["case"] == asked.id


def pressed_as_the_disk_fails() -> Bench:
    bench = Bench()
    bench.connect()
    bench.disk_works = False
    bench.edge("alarm-1", True)
    bench.wait(0.1)
    bench.fail_disk()
    return bench


def test_on_a_failed_disk_the_lamp_shows_the_fault_and_never_recorded() -> None:
    bench = pressed_as_the_disk_fails()
    changes = [bench.shows(0.0625) for _ in range(64)]
    assert changes.count(True) in range(28, 37), "fast, half of the time"
    assert sum(one != other for one, other in pairwise(changes)) >= 24


def test_on_a_failed_disk_received_is_still_centrals_word() -> None:
    bench = pressed_as_the_disk_fails()
    before = {(action.output, action.on) for action in bench.did if isinstance(action, SetOutput)}
    assert before
    bench.receipt(through=len(bench.events))
    bench.wait(4)
    lit = [bench.shows(0.1) for _ in range(80)]
    assert lit.count(True) < 40, "fault and received in turn"


def test_a_disk_that_does_not_answer_for_5_s_has_failed() -> None:
    bench = Bench()
    bench.connect()
    bench.disk_works = False
    bench.edge("alarm-1", True)
    bench.wait(4.9)
    assert not bench.journal.volatile
    bench.wait(0.2)
    assert bench.journal.volatile
    assert "the disk has not answered for 5 s; replace the card" in bench.of("status.started")[0]["new_journal"]
    assert [data["count"] for data in bench.of("alarm.panic")] == [1]


def test_a_disk_that_answers_after_it_was_given_up_changes_nothing() -> None:
    bench = Bench()
    old = bench.journal.name
    bench.fail_disk()
    before = len(bench.did)
    bench.say(Recorded(old, 99, dict.fromkeys(("alarm", "trouble", "scan", "status", "audit"), 7)))
    assert not [action for action in bench.did[before:] if isinstance(action, Publish)]
    bench.connect()
    assert bench.state["pending"]["alarm"] == 0


def test_a_disk_fails_once_however_often_it_is_said() -> None:
    bench = Bench()
    bench.disk_works = False
    bench.edge("alarm-1", True)
    bench.wait(0.1)
    bench.now_s += 6.0
    bench.box.handle(StorageFailed(bench.journal.name, "disk I/O error"), bench.stamp)
    bench.box.tick(bench.stamp)
    actions = bench.box.drain()
    assert sum(isinstance(action, NewJournal) for action in actions) == 1


def test_what_is_recorded_in_the_step_in_which_the_disk_fails_goes_once_into_the_new_journal() -> None:
    """The loop hears of the failure and ticks in one step, and the tick records a press."""
    bench = Bench()
    bench.disk_works = False
    bench.say(Edge("alarm-1", True, bench.now_s))
    bench.now_s += 0.05
    bench.box.handle(StorageFailed(bench.journal.name, "disk I/O error"), bench.stamp)
    bench.box.tick(bench.stamp)
    bench.act()
    assert [event["type"] for event in bench.events] == [
        "callbox.status.started",
        "callbox.alarm.panic",
        "callbox.trouble.storage",
    ]
    assert {event["journal"] for event in bench.events} == {bench.journal.name}


def test_the_start_without_a_disk_is_an_armed_box_with_a_fault() -> None:
    bench = Bench(journal=FakeJournal(volatile=True), start=False)
    bench.start(new_journal="/var/lib/callbox: Read-only file system")
    bench.connect()
    bench.press("alarm-1")
    assert "callbox.alarm.panic" in [event["type"] for event in bench.published()]
    assert len({bench.shows(0.0625) for _ in range(10)}) == 2, "blinks fast"
