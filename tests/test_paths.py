"""Which event goes by which way besides MQTT, and what the journal says of it; in virtual time."""

import json
import random
from typing import Any

import pytest
from bench_box import YAML, Bench

from agent.mail import Say
from agent.path_mail import JudgedReport, Offer, OwedReport, PathKeeps, PathSaid, PathStands
from agent.paths import FAILING_S, UNDELIVERED_S

RECEIVER = '{id: receiver, type: dc09, address: "tcp://10.0.0.5:12000", account: "1234", when: always}'
SPARE = RECEIVER.replace("always", "undelivered")
SMS = '{id: sms, type: sms, port: /dev/modem, to: ["+8613800000000"], when: undelivered}'


def bench(*paths: str) -> Bench:
    return Bench(f"{YAML}paths: [{', '.join(paths)}]\n")


def hand(box: Bench, path: str = "receiver") -> str:
    """What the path is to send now: its type and boxseq."""
    event = box.offered.get(path)
    return f"{json.loads(event.body)['type'].removeprefix('callbox.')} {event.seq}" if event else ""


def judge(box: Bench, state: Any = "delivered", path: str = "receiver", reason: str = "") -> int:
    event = box.offered[path]
    assert event is not None
    box.offered[path] = None  # as the thread forgets what it has judged
    box.say(PathSaid(path, box.journal.name, event.seq, state, reason))
    return event.seq


def states(box: Bench, path: str = "receiver") -> dict[int, str]:
    """Of each report: its state."""
    return {
        seq: "unneeded" if row is None else row.state if isinstance(row, JudgedReport) else "owed"
        for (name, seq), row in box.journal.reports.items()
        if name == path
    }


def types(box: Bench) -> list[str]:
    return [json.loads(event.body)["type"].removeprefix("callbox.") for event in box.journal.events.values()]


def test_an_alarm_is_owed_on_a_path_in_the_transaction_that_records_it() -> None:
    box = bench(RECEIVER)
    box.press("alarm-1")
    [write] = [write for write in box.journal.writes if write.reports]
    assert [event.cls for event in write.events] == ["alarm"]
    assert write.reports == (OwedReport("receiver", write.events[0].seq, "alarm", spare=False),)


def test_a_path_that_is_always_asked_gets_an_alarm_at_once_and_the_journal_says_that_it_has_it() -> None:
    box = bench(RECEIVER)
    box.press("alarm-1")
    assert hand(box) == "alarm.panic 2"
    judge(box)
    assert states(box) == {2: "delivered"}
    row = box.journal.reports["receiver", 2]
    assert isinstance(row, JudgedReport)
    assert row.time.startswith("2026-11-22T")
    assert hand(box) == ""
    assert box.journal.owed[2] == "alarm", "central is owed it all the same"


def test_scans_and_status_go_by_no_path() -> None:
    box = bench(RECEIVER, SMS)
    box.scan("4006381333931")
    box.command("test", {"what": "loop"}) if box.connects and box.connect() else None
    assert box.journal.reports == {}


def test_sms_are_sent_of_alarms_alone() -> None:
    box = bench(RECEIVER, SMS)
    box.edge("mains", True)
    box.wait(1)
    assert [path for path, _ in box.journal.reports] == ["receiver"]


def test_what_central_has_within_ten_seconds_is_not_asked_of_a_spare_path() -> None:
    box = bench(SPARE)
    box.connect()
    box.press("alarm-1")
    box.wait(UNDELIVERED_S - 2)
    assert hand(box) == ""
    box.receipt(through=box.box.seq)
    box.wait(60)
    assert hand(box) == ""
    assert states(box) == {2: "unneeded"}


def test_what_central_has_not_within_ten_seconds_goes_by_the_spare_path() -> None:
    box = bench(SPARE)
    box.connect()
    box.press("alarm-1")
    box.wait(UNDELIVERED_S - 0.5)
    assert hand(box) == ""
    box.wait(0.6)
    assert hand(box) == "alarm.panic 2"


def test_what_central_has_at_last_is_taken_back_from_a_path_that_could_not_send_it() -> None:
    box = bench(SPARE)
    box.connect()
    box.press("alarm-1")
    box.wait(UNDELIVERED_S)
    assert hand(box) == "alarm.panic 2"
    box.receipt(through=box.box.seq)
    assert hand(box) == ""
    assert states(box) == {2: "unneeded"}


def test_what_the_path_has_sent_before_central_had_it_is_delivered_by_both() -> None:
    box = bench(SPARE)
    box.connect()
    box.press("alarm-1")
    box.wait(UNDELIVERED_S)
    box.receipt(through=box.box.seq)
    box.say(PathSaid("receiver", box.journal.name, 2, "delivered"))
    assert states(box) == {2: "delivered"}


def test_alarms_go_before_troubles_and_the_oldest_first() -> None:
    box = bench(RECEIVER)
    box.say(PathStands("receiver"))
    box.edge("mains", True)
    box.wait(1)
    assert hand(box) == "trouble.ac 2"
    box.edge("mains-2", True)
    box.wait(1)
    assert hand(box) == "trouble.ac 2"
    box.press("alarm-1")
    assert hand(box) == "alarm.panic 4", "a trouble that is not sent yet waits"
    box.press("hidden")
    assert hand(box) == "alarm.panic 4"
    assert [judge(box) for _ in range(4)] == [4, 5, 2, 3]


def test_a_trouble_that_was_under_way_when_an_alarm_came_is_judged_and_not_sent_again() -> None:
    box = bench(RECEIVER)
    box.edge("mains", True)
    box.wait(1)
    box.press("alarm-1")
    assert hand(box) == "alarm.panic 3"
    box.say(PathSaid("receiver", box.journal.name, 2, "delivered"))
    assert hand(box) == "alarm.panic 3"
    judge(box)
    assert hand(box) == ""
    assert states(box) == {2: "delivered", 3: "delivered"}


def test_what_was_judged_while_the_journal_looked_is_not_offered_again() -> None:
    box = bench(SPARE)
    box.connect()
    box.edge("mains", True)
    box.wait(UNDELIVERED_S + 1)
    assert hand(box) == "trouble.ac 2"
    box.press("alarm-1")
    box.receipt(also=[[3, 3]])
    box.disk_works = False
    box.wait(UNDELIVERED_S)  # the alarm would be due, and the journal is asked
    done = len(box.did)
    box.say(PathSaid("receiver", box.journal.name, 2, "delivered"))
    box.disk_works = True
    box.commit()
    assert not any(isinstance(action, Offer) and action.event for action in box.did[done:])
    assert states(box) == {2: "delivered", 3: "unneeded"}


def test_what_central_says_that_it_has_while_the_journal_looked_is_not_offered() -> None:
    box = bench(SPARE)
    box.connect()
    box.press("alarm-1")
    box.disk_works = False
    box.wait(UNDELIVERED_S)
    box.receipt(through=2)
    box.disk_works = True
    box.commit()
    assert hand(box) == ""
    assert states(box) == {2: "unneeded"}


def test_what_was_owed_before_a_crash_is_owed_after_it() -> None:
    for path, wait_s in ((RECEIVER, 0.0), (SPARE, UNDELIVERED_S)):
        box = bench(path)
        box.press("alarm-1")
        box.offered.clear()
        box.restart()
        assert hand(box) == ("" if wait_s else "alarm.panic 2"), "central has its ten seconds again"
        box.wait(wait_s + 0.1)
        assert hand(box) == "alarm.panic 2"
        judge(box)
        box.restart()
        box.wait(wait_s + 0.1)
        assert hand(box) == ""


def test_a_refusal_in_words_that_no_event_can_hold_is_told_as_far_as_they_can_be() -> None:
    box = bench(RECEIVER)
    box.press("alarm-1")
    judge(box, "refused", reason="\ud800" + "x" * 100_000)
    assert hand(box) == "trouble.parked 3"
    [parked] = box.of("trouble.parked")
    assert parked["reason"] == "?" + "x" * 999


def test_a_report_that_was_refused_is_parked_and_never_offered_again() -> None:
    box = bench(RECEIVER)
    box.press("alarm-1")
    judge(box, "refused", reason="DUH")
    assert states(box)[2] == "refused"
    parked = json.loads(box.journal.events[3].body)
    assert parked["type"] == "callbox.trouble.parked"
    assert parked["data"] | {"parked": 2, "path": "receiver", "reason": "DUH"} == parked["data"]
    assert box.journal.owed[2] == "alarm", "central is owed it"
    assert hand(box) == "trouble.parked 3"
    judge(box, "refused", reason="DUH")
    assert len(box.journal.events) == 3, "what tells of a refusal is refused without a further word"
    box.restart()
    assert hand(box) == ""


def test_a_path_that_fails_for_ten_seconds_is_a_trouble_until_the_far_end_answers() -> None:
    box = bench(SMS)
    box.say(PathStands("sms", "/dev/modem: no network; check the antenna"))
    box.wait(FAILING_S - 1)
    box.say(PathStands("sms", "/dev/modem: no network; check the antenna"))
    assert "trouble.link" not in types(box)
    box.wait(2)
    event = json.loads(box.journal.events[2].body)
    assert (event["type"], event["data"]["link"], event["data"]["cid"]) == ("callbox.trouble.link", "sms", 350)
    assert box.box.status()["paths"] == [
        {"id": "sms", "state": "fails", "reason": "/dev/modem: no network; check the antenna", "owed": 0}
    ]
    assert list(box.box.status()["trouble"]) == ["link sms"]
    box.say(PathStands("sms"))
    assert types(box)[-1] == "trouble.link"
    assert json.loads(box.journal.events[3].body)["data"]["transition"] == "restored"
    assert box.box.status()["paths"][0]["state"] == "stands"


def test_a_path_that_is_away_for_a_moment_is_no_trouble() -> None:
    box = bench(SMS)
    box.connect()
    for _ in range(10):
        box.say(PathStands("sms", "hung up"))
        box.wait(FAILING_S - 1)
        assert box.box.status()["trouble"].keys() <= {"link"}
        box.say(PathStands("sms"))
    box.wait(60)
    assert not any(b'"link":"sms"' in event.body for event in box.journal.events.values())


def test_no_line_tells_of_a_path_that_failed_with_a_silent_alarm() -> None:
    box = bench(SMS)
    box.press("hidden")
    box.wait(UNDELIVERED_S + 1)
    assert hand(box, "sms") == "alarm.holdup 2"
    box.say(PathStands("sms", "the network is out of order"))
    box.wait(FAILING_S + 1)
    judge(box, path="sms")
    assert types(box).count("trouble.link") == 2
    said = [action.text for action in box.did if isinstance(action, Say)]
    assert not any("link sms" in text for text in said)


def test_an_event_whose_bytes_were_changed_on_the_disk_is_sent_nowhere_and_holds_up_nothing() -> None:
    box = bench(RECEIVER)
    box.press("alarm-1")
    box.press("door")
    box.offered.clear()
    event = box.journal.events[2]
    box.journal.events[2] = type(event)(2, "alarm", event.body.replace(b"alarm-1", b"alarm-7"))
    box.restart()
    assert hand(box) == "alarm.intrusion 3"
    assert states(box)[2] == "refused"


def test_what_is_owed_on_a_path_that_left_the_config_is_owed_no_more() -> None:
    box = bench(RECEIVER)
    box.press("alarm-1")
    again = Bench(YAML, box.journal)
    assert states(again) == {2: "unneeded"}


def test_in_a_new_journal_reports_go_on_under_its_own_numbers() -> None:
    box = bench(RECEIVER)
    box.connect()
    box.press("alarm-1")
    assert hand(box) == "alarm.panic 2"
    old = box.journal.name
    box.fail_disk()
    assert box.journal.name != old
    box.say(PathSaid("receiver", old, 2, "delivered"))  # of the journal that was left: nothing here is struck off
    again = [action for action in box.did if isinstance(action, Offer) and action.event][-1]
    assert again.event is not None
    assert (again.journal, again.event.cls) == (box.journal.name, "alarm")
    assert "delivered" not in states(box).values()
    box.say(PathSaid("receiver", again.journal, again.event.seq, "delivered"))
    assert states(box)[again.event.seq] == "delivered"


def test_what_a_path_remembers_is_a_setting_of_the_journal() -> None:
    box = bench(SMS)
    box.say(PathKeeps("sms", "c0ffee"))
    assert box.journal.settings["path sms"] == "c0ffee"


def test_a_storm_is_sent_whole_and_takes_no_memory() -> None:
    box = bench(RECEIVER, SPARE.replace("receiver", "second"))
    rng = random.Random(5)
    for _ in range(300):
        box.press(rng.choice(["alarm-1", "door", "mains"]), held_s=0.03)
    assert all(len(way.fresh) <= (UNDELIVERED_S / 0.25) + 2 for way in box.box._paths._ways)
    box.wait(UNDELIVERED_S)
    owed = sorted(seq for seq, state in states(box).items() if state == "owed")
    sent = [judge(box) for _ in owed]
    alarms = [seq for seq in sent if box.journal.events[seq].cls == "alarm"]
    assert sorted(sent) == owed
    assert sent[: len(alarms)] == sorted(alarms), "alarms first, oldest first"
    assert hand(box) == ""


@pytest.mark.parametrize("seed", range(20))
def test_every_alarm_is_delivered_by_every_path_whatever_happens_between(seed: int) -> None:
    """Crashes, receipts, failures and answers in any order: at the end nothing is owed, and nothing was lost."""
    rng = random.Random(seed)
    box = bench(RECEIVER, SMS)
    box.connect()
    taken: dict[str, set[str]] = {"receiver": set(), "sms": set()}
    for _ in range(60):
        match rng.randrange(6):
            case 0 | 1:
                box.press(rng.choice(["alarm-1", "hidden", "door", "mains"]))
            case 2:
                box.wait(rng.choice([0.1, 3.0, 12.0]))
            case 3:
                path = rng.choice(["receiver", "sms"])
                if (event := box.offered.get(path)) is not None:
                    taken[path].add(event.id)
                    judge(box, path=path)
            case 4:
                box.say(PathStands(rng.choice(["receiver", "sms"]), rng.choice(["", "gone"])))
            case 5:
                if rng.random() < 0.3:
                    box.offered.clear()
                    box.restart()
                    box.connect()
                elif rng.random() < 0.5:
                    box.receipt(through=rng.randrange(1, box.box.seq + 1))
    for _ in range(500):
        box.wait(UNDELIVERED_S)
        for path in taken:
            while (event := box.offered.get(path)) is not None:
                taken[path].add(event.id)
                judge(box, path=path)
        if "owed" not in (*states(box).values(), *states(box, "sms").values()):
            break
    for (path, seq), row in box.journal.reports.items():
        if row is not None:
            assert box.journal.events[seq].id in taken[path]
    wanted = {event.id for event in box.journal.events.values() if event.cls in ("alarm", "trouble")}
    assert taken["receiver"] == wanted
