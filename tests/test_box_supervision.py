"""The box watches itself and its ways to central: what becomes a trouble, which link is used, what is begun anew."""

import json

from bench_box import YAML, Bench

from agent.mail import Answered, Drop, Exit, Probe, Publish, Say, SetOutput
from agent.uplink import STALL_S


def test_a_central_that_says_nothing_is_a_trouble_after_30_s_and_no_lamp_tells_of_it() -> None:
    """The event that shows it may be a silent alarm."""
    bench = Bench()
    bench.connect()
    bench.receipt(through=1)
    bench.wait(100)
    assert bench.of("trouble.link") == []
    bench.edge("hidden", True)
    bench.wait(0.1)
    bench.edge("hidden", False)
    bench.did.clear()
    bench.wait(29.5)
    assert bench.of("trouble.link") == []
    bench.wait(1)
    [data] = bench.of("trouble.link")
    assert "central does not say that it stored any" in data["reason"]
    bench.wait(60)
    bench.receipt(through=len(bench.events))
    bench.wait(2)
    assert [data["transition"] for data in bench.of("trouble.link")] == ["raised", "restored"]
    assert [action for action in bench.did if isinstance(action, SetOutput | Say)] == []


def test_that_nobody_listens_at_the_broker_is_said_in_so_many_words() -> None:
    bench = Bench()
    bench.broker_answers = False
    bench.connect()
    for _ in range(40):
        bench.ack(0x10)
        bench.wait(1)
    [data] = bench.of("trouble.link")
    assert "nobody at central listens" in data["reason"]


def test_a_broker_that_throws_the_box_out_again_and_again_is_a_trouble() -> None:
    bench = Bench()
    for _ in range(100):
        if bench.of("trouble.link"):
            break
        bench.connect()
        tries = len(bench.connects)
        bench.disconnect("central:1883: the broker ended the session: taken over; is this box's id used twice?")
        while len(bench.connects) == tries:
            bench.wait(0.5)
    [data] = bench.of("trouble.link")
    assert "no session lasts: central:1883" in data["reason"] and "used twice" in data["reason"]


TWO_LINKS = YAML.replace("  - url: mqtt://central.example\n", "  - url: mqtt://first\n  - url: mqtt://second\n")


def asked(bench: Bench) -> list[int]:
    return [action.link for action in bench.did if isinstance(action, Probe)]


def test_the_failure_of_each_link_is_reported_over_the_other_and_so_is_its_return() -> None:
    bench = Bench(TWO_LINKS)
    bench.connect()
    bench.receipt(through=1)
    bench.wait(0.1)
    assert asked(bench) == [1]
    bench.say(Answered(1, "second:1883: refused; start it"))
    bench.wait(11)
    [spare] = bench.of("trouble.link")
    assert spare.items() >= {"transition": "raised", "link": "mqtt://second"}.items()
    assert bench.state["trouble"] == ["link mqtt://second"]
    assert not bench.shows(), "the box delivers: that is no matter of who presses"
    for _ in range(2):
        bench.receipt(through=len(bench.events))
        bench.wait(21)
        bench.say(Answered(1, ""))
    bench.wait(1)
    assert [data["transition"] for data in bench.of("trouble.link")] == ["raised", "restored"]

    bench.receipt(through=len(bench.events))
    bench.disconnect("first:1883: cut")
    bench.wait(1)
    assert bench.connects[-1].link == 1
    bench.connect()
    bench.wait(11)
    bench.receipt(through=len(bench.events))
    assert bench.of("trouble.link")[-1].items() >= {"transition": "raised", "link": "mqtt://first"}.items()
    assert {link["url"]: link["in_use"] for link in bench.box.status()["links"]} == {
        "mqtt://first": False,
        "mqtt://second": True,
    }


def test_the_way_back_to_a_better_link_is_made_before_the_other_is_left_and_nothing_is_sent_twice_to_it() -> None:
    bench = Bench(TWO_LINKS)
    bench.disconnect("first:1883: refused")
    bench.wait(0.1)
    bench.connect()
    bench.receipt(through=1)
    second = bench.connects[-1]
    while bench.connects[-1] is second:
        bench.wait(5)
        if asked(bench):
            bench.did.clear()
            bench.say(Answered(0, ""))
    assert (second.link, bench.connects[-1].link) == (1, 0)
    bench.press("alarm-1")
    [alarm] = [message for message in bench.sent if message.topic == "event/alarm"]
    assert alarm.session == second.session, "the old session serves until the new one stands"
    bench.receipt(through=len(bench.events))
    bench.did.clear()
    bench.connect()
    left = [action for action in bench.did if isinstance(action, Publish | Drop)]
    assert isinstance(left[0], Publish) and (left[0].session, left[0].topic) == (second.session, "state")
    assert json.loads(left[0].payload) == {"online": False, "session": second.session}
    assert left[1] == Drop(second.session)
    assert bench.state["session"] == bench.connects[-1].session
    assert [message.topic for message in bench.sent].count("event/alarm") == 1


def test_a_drain_that_stands_still_gets_a_new_client_first_and_then_a_new_process() -> None:
    """As if our own code had lost the thread: the outbox holds something, has room, and gives nothing."""
    bench = Bench()
    bench.connect()
    bench.receipt(through=1)
    outbox = bench.box._uplink.outbox
    outbox.take = lambda *_, **__: None  # type: ignore[method-assign]
    bench.scan("ticket")
    bench.did.clear()
    bench.wait(STALL_S - 1)
    assert not [action for action in bench.did if isinstance(action, Drop | Exit)]
    bench.wait(2)
    assert [type(action) for action in bench.did if isinstance(action, Drop | Exit)] == [Drop]
    bench.wait(3)
    bench.connect()
    bench.wait(STALL_S + 2)
    assert [type(action) for action in bench.did if isinstance(action, Drop | Exit)] == [Drop, Exit, Drop]


def test_a_drain_that_waits_for_central_is_left_alone() -> None:
    bench = Bench()
    bench.connect()
    for number in range(30):
        bench.scan(f"ticket-{number}")
    bench.did.clear()
    bench.wait(1_000)
    assert not [action for action in bench.did if isinstance(action, Drop | Exit)]


def test_the_measure_of_the_last_day_outlives_a_restart() -> None:
    bench = Bench()
    bench.connect()
    bench.press("alarm-1")
    bench.wait(2)
    bench.receipt(through=len(bench.events))
    for _ in range(40):
        bench.wait(25)
        bench.ack()
    before = bench.box.status()["compliance"]
    assert before["alarms"] == 1 and 2 <= before["alarm_max_s"] < 3
    assert before["within"] and before["silence_max_s"] <= 26 and before["available"] == 1.0
    bench.wall_us += 3_600_000_000  # an hour without power
    bench.restart()
    after = bench.box.status()["compliance"]
    assert after["alarms"] == 1
    assert 3_600 <= after["silence_max_s"] < 4_600 and not after["within"] and after["available"] < 0.6
