"""Each path has a thread: it is given reports, watched, and opened again when it failed."""

import json
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue

import pytest
from bench_box import YAML, Bench, config
from driver_host import DEADLINE_S, until

from agent import path_threads
from agent.events import Event
from agent.path_mail import Offer, PathKeeps, PathSaid, PathStands
from agent.path_text import report_of
from agent.path_threads import PathThread, PathThreads
from drivers.contract import DriverError, PathHost, Report

Run = Callable[[PathHost], None]


class FakePath:
    """Does in its n-th `run` what the n-th of `runs` does, the last one from then on."""

    noise = 3

    def __init__(self, *runs: Run) -> None:
        self.runs = list(runs)
        self.count = 0

    def run(self, host: PathHost) -> None:
        self.count += 1
        self.runs[min(self.count, len(self.runs)) - 1](host)


def report(offer: Offer) -> Report | None:
    """Without an event's bytes: they are not what is tested here."""
    return offer.event and Report(offer.event.seq, "alarm", 120, 1, 1, 0.0, "")


def offer(seq: int | None, journal: str = "j") -> Offer:
    return Offer("p", journal, None if seq is None else Event(seq, "alarm", b""))


class Bed:
    """One path and what it says."""

    def __init__(self, *runs: Run) -> None:
        self.said: SimpleQueue[object] = SimpleQueue()
        self.path = FakePath(*runs)
        self.thread = PathThread("p", self.path, report, self.said.put, "kept")
        self.thread.start()

    def __enter__(self) -> "Bed":
        return self

    def __exit__(self, *_: object) -> None:
        self.thread.stop()
        self.thread.join(DEADLINE_S)
        assert not self.thread._thread.is_alive()

    def take(self) -> object:
        return self.said.get(timeout=DEADLINE_S)


def deliver(host: PathHost) -> None:
    """Whatever comes."""
    while host.alive():
        if (given := host.next(0.5)) is not None:
            host.delivered(given.seq)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(path_threads, "BACKOFF_FIRST_S", 0.01)
    monkeypatch.setattr(path_threads, "BACKOFF_MAX_S", 0.02)


def test_a_report_that_is_offered_is_given_and_its_judgement_told_with_its_journal() -> None:
    with Bed(deliver) as bed:
        bed.thread.offer(offer(7))
        assert bed.take() == PathSaid("p", "j", 7, "delivered")
        bed.thread.offer(offer(8))
        assert bed.take() == PathSaid("p", "j", 8, "delivered")


def test_a_report_is_given_again_after_a_failure_and_not_when_it_was_taken_back() -> None:
    given: SimpleQueue[int] = SimpleQueue()
    failed = threading.Event()

    def fail(host: PathHost) -> None:
        if (found := host.next(1.0)) is not None:
            given.put(found.seq)
            if given.qsize() >= 3:
                failed.set()
            raise DriverError("there", "nobody", "look")

    with Bed(fail) as bed:
        bed.thread.offer(offer(7))
        assert failed.wait(DEADLINE_S)
        bed.thread.offer(offer(None))
        assert {given.get() for _ in range(3)} == {7}
        assert bed.take() == PathStands("p", "there: nobody; look")


def test_what_was_sent_for_a_journal_that_was_left_is_told_with_that_ones_name() -> None:
    taken, go = threading.Event(), threading.Event()

    def slow(host: PathHost) -> None:
        while host.alive():
            if (given := host.next(0.5)) is not None:
                taken.set()
                go.wait(DEADLINE_S)
                host.delivered(given.seq)

    with Bed(slow) as bed:
        bed.thread.offer(offer(7))
        assert taken.wait(DEADLINE_S)
        bed.thread.offer(offer(7, "new"))
        go.set()
        assert [bed.take(), bed.take()] == [PathSaid("p", "j", 7, "delivered"), PathSaid("p", "new", 7, "delivered")]


def test_that_it_stands_is_told_once_and_that_it_failed_each_time() -> None:
    def fail(host: PathHost) -> None:
        for _ in range(5):
            host.good()
        raise DriverError("there", "nobody", "look")

    with Bed(fail) as bed:
        said = [bed.take() for _ in range(4)]
    assert said == [PathStands("p"), PathStands("p", "there: nobody; look")] * 2


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (lambda _: 1 / 0, "p: ZeroDivisionError: division by zero; a fault in the path: report it"),
        (lambda _: None, "p: the path ended by itself; a fault in the path: report it"),
        (
            lambda host: host.delivered(9),
            "p: ValueError: report 9 was judged, and is not in hand; a fault in the path: report it",
        ),
    ],
)
def test_a_fault_in_a_path_costs_that_way_alone_and_it_is_opened_again(fault: Run, says: str) -> None:
    with Bed(fault, deliver) as bed:
        assert bed.take() == PathStands("p", says)
        bed.thread.offer(offer(7))
        assert bed.take() == PathSaid("p", "j", 7, "delivered")


def test_a_new_alarm_ends_the_pause_of_a_way_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(path_threads, "BACKOFF_MAX_S", 1000.0)
    monkeypatch.setattr(path_threads.random, "uniform", lambda *_: 1000.0)  # type: ignore[attr-defined]

    def fail(host: PathHost) -> None:
        raise DriverError("there", "nobody", "look")

    with Bed(fail, deliver) as bed:
        assert isinstance(bed.take(), PathStands)
        bed.thread.offer(offer(7))
        assert bed.take() == PathSaid("p", "j", 7, "delivered")


def test_what_it_remembers_is_told_and_read_back() -> None:
    read: SimpleQueue[str] = SimpleQueue()

    def remember(host: PathHost) -> None:
        read.put(host.memory())
        host.remember("new")
        host.remember("new")
        read.put(host.memory())
        deliver(host)

    with Bed(remember) as bed:
        assert (read.get(timeout=DEADLINE_S), read.get(timeout=DEADLINE_S)) == ("kept", "new")
        assert bed.take() == PathKeeps("p", "new")
        assert bed.said.empty()


def test_it_stamps_its_progress_while_it_waits() -> None:
    with Bed(deliver) as bed:
        before_s = bed.thread.progress_s
        until(lambda: bed.thread.progress_s > before_s)


def test_those_of_a_config_are_made_and_ended_together() -> None:
    paths = (
        'paths: [{id: receiver, type: dc09, address: "tcp://127.0.0.1:9", account: "1234"},'
        ' {id: sms, type: sms, port: /dev/none, to: ["+8613800000000"]}]\n'
    )
    said: SimpleQueue[object] = SimpleQueue()
    threads = PathThreads(config(YAML + paths), said.put, {"path sms": "c0ffee"})
    threads.start()
    heard = {said.get(timeout=DEADLINE_S), said.get(timeout=DEADLINE_S)}
    assert {item.path for item in heard if isinstance(item, PathStands) and item.reason} == {"receiver", "sms"}
    assert set(threads.progress()) == {"path receiver", "path sms"}
    assert threads.noise() == {"receiver": 0, "sms": 0}
    assert threads._threads["sms"].memory() == "c0ffee"
    threads.stop(DEADLINE_S)
    assert not any(thread._thread.is_alive() for thread in threads._threads.values())


# ---- what a report says


def made(box: Bench, lang: str, kind: str = "alarm.") -> Report:
    events = [e for e in box.journal.events.values() if f'"type":"callbox.{kind}'.encode() in e.body]
    return report_of(events[-1], box.config.box.name, {"alarm-1": 1, "door": 3}, lang)


def test_an_alarm_is_told_in_both_languages_by_the_clock_of_the_site(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "CST-8")
    time.tzset()
    box = Bench()
    box.press("alarm-1")
    english, chinese = made(box, "en"), made(box, "zh")
    assert english.text == "Baita Road kiosk: panic alarm-1 2026-11-22 09:33 +0800"
    assert chinese.text == "Baita Road kiosk：紧急报警 alarm-1 2026-11-22 09:33 +0800"
    monkeypatch.undo()
    time.tzset()
    assert (english.cls, english.cid, english.qualifier, english.zone) == ("alarm", 120, 1, 1)
    assert english.wall_s == pytest.approx(1_795_311_200.123456)


def test_what_is_over_and_what_is_a_test_say_so() -> None:
    box = Bench()
    box.edge("door", True)
    box.wait(1)
    box.edge("door", False)
    box.wait(1)
    over = made(box, "en")
    assert (over.qualifier, over.zone, over.cid) == (3, 3, 130)
    assert over.text.startswith("Baita Road kiosk: over: intrusion door")
    body = json.loads(box.journal.events[2].body)
    body["data"] |= {"test": True, "position": {"lat": 29.8, "lon": 106.5, "age_s": 1}}
    test = report_of(Event(2, "alarm", json.dumps(body).encode()), "kiosk", {}, "en")
    assert test.test
    assert "TEST, intrusion" in test.text
    assert (test.latitude, test.longitude) == (29.8, 106.5)
