"""The box as a whole: what follows from what, in virtual time, with a journal and a broker on the bench."""

from typing import Any

import pytest
from bench_box import BOX_KEY, YAML, Bench
from fake_journal import FakeJournal

from agent.identity import verify_chain
from agent.mail import Fetch
from drivers.contract import Edge

# ---- start and stop


def test_the_first_event_of_a_run_says_how_the_last_one_ended() -> None:
    bench = Bench()
    assert bench.of("status.started")[0].items() >= {"last_end": "first"}.items()
    bench.restart()
    assert [data["last_end"] for data in bench.of("status.started")] == ["first", "crash"]
    assert bench.journal.settings["last_end"] == "crash", "until it ends in another way"
    bench.box.stop(bench.stamp, "clean")
    bench.act()
    assert bench.journal.settings["last_end"] == "clean"
    assert bench.events[-1]["type"] == "callbox.status.stopping"


def test_a_reload_is_no_end_that_central_needs_to_know() -> None:
    bench = Bench()
    before = len(bench.events)
    bench.box.stop(bench.stamp, "reload")
    bench.act()
    assert len(bench.events) == before
    assert bench.journal.settings["last_end"] == "reload"


def test_a_journal_that_had_to_be_started_anew_says_so_first() -> None:
    bench = Bench(start=False)
    bench.start(new_journal="the journal is damaged; it was moved aside")
    started, trouble = bench.events[:2]
    assert (started["type"], started["boxseq"]) == ("callbox.status.started", 1)
    assert started["data"]["new_journal"] == "the journal is damaged; it was moved aside"
    assert trouble["type"] == "callbox.trouble.storage"


def test_a_changed_config_is_an_event_with_its_hash() -> None:
    bench = Bench(start=False)
    bench.box.start(bench.stamp, last_end="clean", new_journal="", config_hash="ab" * 32, config_changed=True)
    bench.act()
    [data] = bench.of("audit.config")
    assert data.items() >= {"sha256": "ab" * 32, "cid": 306}.items()


def test_after_a_stop_the_lamps_are_dark_and_stay_dark() -> None:
    bench = Bench()
    bench.press("alarm-1")
    assert bench.lit == {"lamp"}
    bench.disk_works = False
    bench.box.quiet(bench.stamp)
    bench.box.stop(bench.stamp, "clean")
    bench.act()
    assert bench.lit == set()
    bench.commit()
    bench.wait(10)
    assert bench.lit == set()


def test_a_clean_end_is_told_to_central_in_the_words_of_the_will() -> None:
    bench = Bench()
    assert bench.box.say_goodbye(bench.stamp) is None, "there is no session"
    session = bench.connect()
    bench.box.say_goodbye(bench.stamp)
    bench.act()
    message = bench.sent[-1]
    assert (message.topic, message.retain) == ("state", True)
    assert message.payload == b'{"online":false,"session":"' + session.encode() + b'"}'


def test_everything_that_a_box_records_is_one_whole_signed_chain_over_restarts() -> None:
    bench = Bench()
    for _ in range(3):
        bench.connect()
        for name in ("alarm-1", "hidden", "door", "undo", "mains", "key"):
            bench.press(name)
        bench.scan("A")
        bench.receipt(through=len(bench.events))
        bench.restart()
    bodies = [(seq, event.body) for seq, event in sorted(bench.journal.events.items())]
    assert verify_chain(bodies, BOX_KEY.public_key().public_bytes_raw()) is None


# ---- the clock


@pytest.mark.parametrize("step_s", [3600.0, -1.5])
def test_a_step_of_the_clock_is_an_event_with_its_size(step_s: float) -> None:
    bench = Bench()
    bench.wall_us += round(step_s * 1e6)
    bench.wait(2)
    [data] = bench.of("status.clock")
    assert data["step_s"] == pytest.approx(step_s)
    assert data["cid"] == 625


def test_a_clock_that_is_pulled_slowly_is_no_step() -> None:
    bench = Bench()
    for _ in range(100):
        bench.wall_us += 50_000
        bench.wait(1)
    assert bench.of("status.clock") == []


def test_a_press_keeps_the_time_at_which_it_was_seen() -> None:
    bench = Bench()
    seen_s = bench.now_s
    bench.now_s += 0.75
    bench.wall_us += 750_000
    bench.say(Edge("alarm-1", True, seen_s))
    bench.wait(0.1)
    [event] = [event for event in bench.events if event["type"] == "callbox.alarm.panic"]
    assert event["time"] == "2026-11-22T01:33:20.123456Z"
    assert event["data"]["monotonic_s"] == seen_s


# ---- the rest


def test_a_lamp_of_a_colour_shows_only_its_own() -> None:
    lamps = "  - {id: amber, driver: gpio0, pin: 2, role: feedback, color: amber}\n"
    lamps += "  - {id: red, driver: gpio0, pin: 3, role: feedback, color: red}\n"
    bench = Bench(YAML.replace("operators:", lamps + "operators:"))
    bench.connect()
    bench.press("alarm-1")
    assert bench.lit == {"lamp", "amber"}


def test_the_status_has_the_link_and_the_reasons_of_troubles() -> None:
    bench = Bench()
    bench.health("alarm-1", "open", "line 3")
    status: Any = bench.box.status()
    assert status["box"] == "jiangyang/kiosk-017"
    assert status["link"].items() >= {"state": "connecting", "url": "mqtt://central.example", "protocol": ""}.items()
    assert status["trouble"] == {"input alarm-1": "open: line 3"}
    bench.press("alarm-1")
    bench.press("hidden")
    assert bench.box.status()["open_alarms"] == 1, "silent ones are not told at the place"


def test_nothing_is_asked_of_the_journal_without_a_session() -> None:
    journal = FakeJournal()
    Bench(journal=journal)
    bench = Bench(journal=journal)
    bench.wait(60)
    assert not [action for action in bench.did if isinstance(action, Fetch)]


def test_a_trouble_with_a_new_reason_is_one_event_and_a_new_line_in_the_log() -> None:
    """A technician who reads "no such file" while the file is there looks for the wrong fault."""
    bench = Bench()
    for reason in ("no such file", "no such file", "permission denied"):
        bench.health("desk", "offline", reason)
    assert len(bench.of("trouble.input")) == 1
    assert [line for line in bench.said if "input desk" in line] == [
        "trouble: input desk: offline: no such file",
        "trouble: input desk: offline: permission denied",
    ]
    assert bench.box.status()["trouble"]["input desk"] == "offline: permission denied"
