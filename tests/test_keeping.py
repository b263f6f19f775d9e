"""What is kept and where: a disk that fails, fills up and comes back, in virtual time."""

import json
from typing import Any

from bench_box import Bench
from fake_journal import FakeJournal

from agent.keeping import COPIES_MAX
from agent.mail import NewJournal, Say, StorageTight, Survey, Surveyed
from agent.retention import LOOK_S, TIGHT_S, Retention


def on_disk(journal: FakeJournal, type: str) -> list[dict[str, Any]]:
    bodies = [json.loads(journal.events[seq].body) for seq in sorted(journal.events)]
    return [body for body in bodies if body["type"] == f"callbox.{type}"]


def test_when_the_disk_is_back_all_that_was_in_memory_is_on_it_under_the_same_ids() -> None:
    bench = Bench()
    bench.connect()
    bench.press("alarm-1")
    bench.receipt(through=len(bench.events))
    disk = bench.journal
    kept = dict(disk.events)
    bench.fail_disk()
    bench.press("alarm-1")
    bench.scan("ticket")
    memory = bench.journal
    assert memory.volatile and bench.state["trouble"] == ["storage"]
    ids = {json.loads(event.body)["id"] for event in memory.events.values()}
    bench.disk_returns(disk)
    bench.wait(1)
    assert {seq: disk.events[seq] for seq in kept} == kept
    assert ids <= {json.loads(event.body)["id"] for event in disk.events.values()}
    assert [event["data"]["count"] for event in on_disk(disk, "alarm.panic")] == [1, 2]
    assert on_disk(disk, "scan.code")[0]["data"]["code"] == "ticket"
    assert [event["data"]["transition"] for event in on_disk(disk, "trouble.storage")] == ["raised", "restored"]
    ends = [event["data"] for event in on_disk(disk, "status.started") if event["data"]["last_end"] == "storage"]
    assert [("new_journal" in data) for data in ends] == [False, True], "the second is the copy of memory's first event"
    assert bench.state["trouble"] == [] and bench.state["journal"] == disk.name


def test_a_case_of_the_time_without_a_disk_goes_on_and_outlives_the_next_cut() -> None:
    bench = Bench()
    bench.connect()
    disk = bench.journal
    bench.press("alarm-1")
    old = bench.of("alarm.panic")[0]["case"]
    bench.command("close", {"alarm": old})
    disk.cases[old] = json.dumps({"id": old, "last_seq": 2})  # as if the close had come after the disk failed
    bench.fail_disk()
    bench.press("alarm-1")
    case = bench.of("alarm.panic")[-1]["case"]
    bench.disk_returns(disk)
    bench.wait(1)
    assert list(disk.cases) == [case]
    [alarm] = [event for event in on_disk(disk, "alarm.panic") if event["data"]["case"] == case]
    assert json.loads(disk.cases[case])["last_seq"] in (0, alarm["boxseq"])
    bench.restart()
    bench.press("alarm-1")
    assert bench.of("alarm.panic")[-1].items() >= {"case": case, "count": 2}.items()


def test_the_lamp_says_received_again_only_when_central_has_the_press_of_the_new_journal_too() -> None:
    bench = Bench()
    bench.connect()
    bench.fail_disk()
    disk = FakeJournal("0d15c000")
    bench.press("alarm-1")
    bench.disk_returns(disk)
    bench.wait(1)
    [alarm] = on_disk(disk, "alarm.panic")
    assert bench.box._alarms.open[alarm["data"]["case"]].last_seq == alarm["boxseq"]
    bench.receipt(through=alarm["boxseq"])
    assert bench.box._alarms.open[alarm["data"]["case"]].delivered


def test_what_waits_for_memory_when_the_disk_is_back_is_written_once() -> None:
    bench = Bench()
    bench.connect()
    bench.fail_disk()
    bench.disk_works = False
    bench.press("alarm-1")
    assert bench.box.unrecorded
    disk = FakeJournal("0d15c000")
    bench.disk_works = True
    bench.disk_returns(disk)
    bench.wait(1)
    assert [event["data"]["count"] for event in on_disk(disk, "alarm.panic")] == [1]


def test_much_that_was_in_memory_is_copied_in_parts_and_a_press_goes_between_them() -> None:
    bench = Bench()
    bench.fail_disk()
    for number in range(3 * COPIES_MAX):
        bench.scan(f"{number}")
    disk = FakeJournal("0d15c000")
    bench.disk_returns(disk)
    bench.disk_works = False
    bench.wait(0.01)
    assert 0 < bench.box.unrecorded <= COPIES_MAX + 5
    bench.edge("alarm-1", True)
    bench.wait(0.03)
    bench.disk_works = True
    bench.commit()
    bench.wait(1)
    codes = [event["data"]["code"] for event in on_disk(disk, "scan.code")]
    assert codes == [str(number) for number in range(3 * COPIES_MAX)]
    [alarm] = on_disk(disk, "alarm.panic")
    assert alarm["boxseq"] < 2 * COPIES_MAX


def test_settings_and_commands_of_the_time_without_a_disk_are_kept() -> None:
    bench = Bench()
    bench.connect()
    disk = bench.journal
    bench.fail_disk()
    bench.edge("mains", True)
    bench.wait(1)
    done = bench.command("test", {"what": "loop"})
    bench.disk_returns(disk)
    bench.wait(1)
    assert disk.settings["raised mains"] == "1"
    assert done["command"] in disk.seen


# ---- what goes


def found(bench: Bench, cause: Any = "size", holes: Any = ((1, 1, "h" * 43),), undelivered: int = 0) -> Surveyed:
    return Surveyed(bench.journal.name, cause, holes, 1, undelivered, 0)


def test_what_goes_leaves_a_record_in_the_same_transaction() -> None:
    bench = Bench()
    bench.connect()
    bench.receipt(through=1)
    bench.journal.writes.clear()
    bench.say(found(bench))
    [write] = [write for write in bench.journal.writes if write.prune]
    [event] = write.events
    assert json.loads(event.body)["type"] == "callbox.audit.pruned"
    assert write.prune == ((1, 1, "h" * 43),)
    assert bench.of("audit.pruned")[0].items() >= {"cause": "size", "count": 1, "holes": [[1, 1, "h" * 43]]}.items()
    assert "undelivered" not in bench.of("audit.pruned")[0]


def test_what_went_and_nobody_has_is_counted_and_not_sent_any_more() -> None:
    bench = Bench()
    bench.scan("ticket")
    seq = len(bench.events)
    bench.say(found(bench, "disk", ((seq, seq, "h" * 43),), undelivered=1))
    assert bench.of("audit.pruned")[0]["undelivered"] == 1
    bench.connect()
    assert "ticket" not in [event["data"].get("code") for event in bench.published()]


def test_a_disk_that_is_nearly_full_is_a_trouble_until_there_is_room() -> None:
    bench = Bench()
    bench.connect()
    bench.receipt(through=1)
    bench.say(StorageTight(bench.journal.name, "database or disk is full"))
    assert any("the reserve was given up" in action.text for action in bench.did if isinstance(action, Say))
    bench.say(found(bench, "disk"))
    bench.wait(0.1)
    assert bench.of("trouble.storage") == [], "what central has makes room, and nobody need do anything"
    retention = bench.box._keeping._retention
    for _ in range(2):
        retention.answer(Surveyed(bench.journal.name, "disk", (), 0, 0, 0), bench.now_s)
    bench.wait(0.1)
    assert "nearly full" in bench.of("trouble.storage")[0]["reason"]
    bench.wait(LOOK_S)
    assert [data["transition"] for data in bench.of("trouble.storage")] == ["raised", "restored"]
    assert not [action for action in bench.did if isinstance(action, NewJournal)]


# ---- when to look


def asked(retention: Retention, now_s: float, **more: Any) -> Survey | None:
    options: dict[str, Any] = {"wall_us": 1_800_000_000_000_000, "synced": True, "volatile": False, **more}
    return retention.ask(now_s, options["wall_us"], options["synced"], volatile=options["volatile"])


def test_it_looks_every_minute_and_again_at_once_while_something_goes() -> None:
    retention = Retention(180, 10**9, 0.0)
    assert asked(retention, LOOK_S - 1) is None
    assert asked(retention, LOOK_S) is not None
    assert asked(retention, LOOK_S + 100) is None, "one question at a time"
    retention.answer(Surveyed("j", "days", ((1, 9, "h"),), 9, 0, 0), 200.0)
    assert asked(retention, 201.0) is not None
    retention.answer(Surveyed("j", "days", (), 0, 0, 0), 201.0)
    assert retention.due_s() == 201.0 + LOOK_S


def test_it_goes_on_looking_where_it_stopped() -> None:
    retention = Retention(180, 10**9, 0.0)
    asked(retention, LOOK_S)
    retention.answer(Surveyed("j", "size", (), 0, 0, 2_000), LOOK_S)
    survey = asked(retention, LOOK_S + 1)
    assert survey is not None and survey.after == 2_000


def test_what_nobody_has_goes_only_when_nothing_else_does_and_the_disk_is_full() -> None:
    retention = Retention(180, 10**9, 0.0)
    now_s, wishes = LOOK_S, []
    answers = [((1, 5, "h"),), (), ((9, 9, "h"),), ()]
    for holes in answers:
        survey = asked(retention, now_s)
        assert survey is not None
        wishes.append(survey.undelivered)
        retention.answer(Surveyed("j", "disk", holes, len(holes), 0, 0), now_s)
        due_s = retention.due_s()
        assert due_s is not None
        now_s = due_s
    assert wishes == [False, False, True, True]
    assert retention.tight
    assert now_s == due_s and asked(retention, now_s) is not None
    retention.answer(Surveyed("j", "", (), 0, 0, 0), now_s)
    assert not retention.tight
    again = asked(retention, now_s + LOOK_S)
    assert again is not None and not again.undelivered


def test_a_full_disk_with_nothing_to_take_is_looked_at_every_few_seconds() -> None:
    retention = Retention(180, 10**9, 0.0)
    now_s = LOOK_S
    for _ in range(3):
        asked(retention, now_s)
        retention.answer(Surveyed("j", "disk", (), 0, 0, 0), now_s)
        due_s = retention.due_s()
        assert due_s is not None
        pause_s, now_s = due_s - now_s, due_s
    assert pause_s == TIGHT_S


def test_a_disk_that_was_full_once_is_looked_at_every_few_seconds_also_when_there_is_room_again() -> None:
    retention = Retention(180, 10**9, 0.0)
    retention.look_now(1.0)
    asked(retention, 1.0)
    retention.answer(Surveyed("j", "", (), 0, 0, 0), 1.0)
    assert retention.due_s() == 1.0 + TIGHT_S


def test_on_a_disk_that_was_full_what_goes_overtakes_a_flood() -> None:
    """3,500 scans a second, and 300 events in one pruning."""
    retention = Retention(180, 10**9, 0.0)
    retention.look_now(1.0)
    asked(retention, 1.0)
    retention.answer(Surveyed("j", "disk", ((1, 300, "h"),), 300, 0, 0), 1.0)
    due_s = retention.due_s()
    assert due_s is not None and 300 / (due_s - 1.0) > 3_500


def test_a_clock_that_nobody_vouches_for_makes_nothing_old() -> None:
    retention = Retention(180, 10**9, 0.0)
    survey = asked(retention, LOOK_S, synced=False)
    assert survey is not None and survey.before == ""
    trusted = Retention(180, 10**9, 0.0)
    survey = asked(trusted, LOOK_S)
    assert survey is not None and survey.before == "2026-07-19T08:00:00.000000Z"


def test_memory_is_kept_in_its_room_like_a_disk() -> None:
    retention = Retention(180, 10**9, 0.0)
    survey = asked(retention, LOOK_S, volatile=True)
    assert survey is not None and (survey.before, survey.free_min) == ("", 0)
