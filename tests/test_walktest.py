"""The walk test: what is pressed is marked, it ends by itself, and each point is told."""

import pytest
from bench_box import Bench

OPERATOR = "/operators/duty-desk"


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.connect()
    return bench


def walk(bench: Bench, for_s: float = 600) -> None:
    assert bench.command("test", {"what": "walk", "for_s": for_s})["result"] == "done"


def points(bench: Bench) -> dict[str, int]:
    return {point["input"]: point["cid"] for point in bench.of("status.walktest")[-1]["points"]}


def test_what_inputs_cause_meanwhile_is_marked_and_nothing_after(bench: Bench) -> None:
    walk(bench)
    bench.press("alarm-1")
    bench.press("door")
    bench.press("mains")
    bench.scan("4006381333931")
    bench.press("point")
    bench.wait(601)
    marked = [event for event in bench.events if event["data"].get("test")]
    types = {event["type"].removeprefix("callbox.") for event in marked}
    assert types == {"alarm.panic", "alarm.intrusion", "trouble.ac", "scan.code", "scan.patrol", "status.walktest"}
    bench.press("alarm-1")
    assert "test" not in bench.of("alarm.panic")[-1] and bench.of("alarm.panic")[-1]["count"] == 1


def test_it_ends_by_itself_and_tells_each_point_as_tested_or_not(bench: Bench) -> None:
    walk(bench, 60)
    bench.press("alarm-1")
    bench.scan("4006381333931")
    bench.wait(61)
    begun, over = bench.of("status.walktest")
    assert begun.items() >= {"transition": "raised", "for_s": 60, "by": OPERATOR, "cid": 607, "test": True}.items()
    assert over.items() >= {"transition": "restored", "by": "walktest", "test": True}.items()
    told = points(bench)
    assert set(told) == {entry.id for entry in bench.config.inputs}
    assert {name for name, cid in told.items() if cid == 611} == {"alarm-1", "desk"}
    assert set(told.values()) == {611, 612}


def test_the_cases_that_it_opened_are_closed_with_it_and_no_others(bench: Bench) -> None:
    bench.press("hidden")
    walk(bench, 60)
    bench.press("alarm-1")
    bench.press("door")
    assert bench.shows()
    bench.wait(61)
    closed = bench.of("audit.closed")
    assert [(data["by"], data["case"]) for data in closed] == [
        ("walktest", bench.of("alarm.panic")[0]["case"]),
        ("walktest", bench.of("alarm.intrusion")[0]["case"]),
    ]
    assert bench.of("alarm.panic")[-1].items() >= {"transition": "restored", "test": True}.items()
    assert not bench.shows()


def test_an_operator_ends_it_or_lets_it_go_on(bench: Bench) -> None:
    walk(bench, 60)
    bench.wait(50)
    bench.press("alarm-1")
    walk(bench, 60)
    bench.wait(50)
    assert len(bench.of("status.walktest")) == 2
    assert bench.command("test", {"what": "walk", "for_s": 0})["result"] == "done"
    assert bench.of("status.walktest")[-1]["by"] == OPERATOR
    assert points(bench)["alarm-1"] == 611
    assert bench.command("test", {"what": "walk", "for_s": 0})["result"] == "done"
    assert len(bench.of("status.walktest")) == 3, "there was none to end"


@pytest.mark.parametrize("for_s", [601, -1, True, "60", None])
def test_a_time_that_is_none_is_refused(bench: Bench, for_s: object) -> None:
    told = bench.command("test", {"what": "walk", "for_s": for_s})
    assert told["result"] == "refused" and bench.of("status.walktest") == []


def test_a_crash_ends_it_and_what_it_had_opened_is_closed(bench: Bench) -> None:
    walk(bench)
    bench.press("alarm-1")
    bench.restart()
    bench.wait(1)
    over = bench.of("status.walktest")[-1]
    assert over.items() >= {"transition": "restored", "test": True}.items() and "points" not in over
    assert bench.of("alarm.panic")[-1].items() >= {"transition": "restored", "test": True}.items()
    bench.press("alarm-1")
    assert "test" not in bench.of("alarm.panic")[-1]
    bench.restart()
    assert len(bench.of("status.walktest")) == 2, "told once"


def test_a_fault_that_it_finds_stays_a_fault(bench: Bench) -> None:
    walk(bench, 60)
    bench.health("door", "short", "pinched")
    bench.wait(61)
    [fault] = bench.of("trouble.input")
    assert "test" not in fault
    assert "input door" in bench.box.status()["trouble"]
