"""The path by text messages: against a simulated modem on a pty, with every fault of its script."""

import time
from pathlib import Path

import pytest
from driver_host import descriptors, forget_others, until
from path_host import report, running

from drivers import modem as dialogue
from drivers import sms
from drivers.sms import SmsOptions, SmsPath
from simulators.modem import Modem, obey

ONE, TWO = "+8613800000000", "+8613900000000"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of the patience that real networks need."""
    monkeypatch.setattr(dialogue, "ANSWER_S", 0.5)
    monkeypatch.setattr(dialogue, "SEND_S", 0.5)
    monkeypatch.setattr(sms, "REGISTER_S", 0.1)


def path(modem: Modem, **more: object) -> SmsPath:
    return SmsPath("sms", SmsOptions(**{"port": modem.path, "to": (ONE,), **more}))  # type: ignore[arg-type]


def pin_file(folder: Path, pin: str) -> Path:
    (file := folder / "pin").write_text(pin + "\n")
    return file


def test_an_alarm_is_delivered_when_the_network_has_its_message() -> None:
    with Modem() as modem, running(path(modem), report(7)) as host:
        assert host.take("good") == ("good", 0, "")
        assert host.take() == ("delivered", 7, "")
        assert modem.sent == [(ONE, "Panic: alarm-1")]


def test_chinese_and_english_texts_take_turns() -> None:
    texts = ["紧急报警", "Panic", "入侵报警"]
    with Modem() as modem:
        with running(path(modem), *(report(n, text=text) for n, text in enumerate(texts, 1))) as host:
            assert [host.take()[1] for _ in texts] == [1, 2, 3]
        assert modem.sent == [(ONE, text) for text in texts]


def test_every_number_gets_it() -> None:
    with Modem() as modem, running(path(modem, to=(ONE, TWO)), report()) as host:
        assert host.take() == ("delivered", 1, "")
        assert [number for number, _ in modem.sent] == [ONE, TWO]


@pytest.mark.parametrize("fault", ["urc", "garbage"])
def test_what_comes_in_between_harms_nothing(fault: str) -> None:
    with Modem(faults=[fault]) as modem, running(path(modem), report(1), report(2, text="紧急")) as host:
        assert [host.take(), host.take()] == [("delivered", 1, ""), ("delivered", 2, "")]
        assert modem.sent == [(ONE, "Panic: alarm-1"), (ONE, "紧急")]


def test_a_slow_modem_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulators.modem.SLOW_S", 0.05)
    with Modem(faults=["slow"]) as modem, running(path(modem), report()) as host:
        assert host.take() == ("delivered", 1, "")


@pytest.mark.parametrize(
    ("fault", "found"),
    [
        ("nonetwork", "no network"),
        ("noprompt", "the modem gives no prompt for a text"),
        ("error38", "the network is out of order (+CMS ERROR: 38)"),
        ("dies", "the modem gives no prompt for a text"),
        ("nopin", "the SIM wants its PIN"),
    ],
)
def test_a_fault_is_told_in_words_and_the_report_is_still_owed(fault: str, found: str) -> None:
    with Modem(faults=[fault]) as modem:
        way = path(modem)
        with running(way, report()) as host:
            error = host.lost()
            assert (error.where, error.found) == (modem.path, found)
            assert [entry.seq for entry in host.reports] == [1]
        obey(modem, "!good")
        modem.unplug()
        modem.plug()
        with running(path(modem), report()) as host:
            assert host.take() == ("delivered", 1, "")


def test_a_modem_that_refuses_in_place_of_a_prompt_is_heard_at_once() -> None:
    with Modem() as modem, running(path(modem)) as host:
        assert host.take("good")
        modem.faults.add("nonetwork")
        host.give(report())
        assert host.lost().found == "no network (+CMS ERROR: 331)"


def test_a_modem_that_is_silent_or_gone_is_said() -> None:
    with Modem() as modem:
        modem.faults.add("dies")
        modem._dead = True
        with running(path(modem), report()) as host:
            assert host.lost().found == "the modem does not answer"
        modem.plug()
        port = modem.path
        modem.unplug()
        way = SmsPath("sms", SmsOptions(port, (ONE,)))
        with running(way, report()) as host:
            assert host.lost().where == port


@pytest.mark.parametrize("times", [3, pytest.param(100, marks=pytest.mark.soak)])
def test_a_modem_pulled_out_many_times_stands_each_time_it_is_back_and_leaves_nothing_open(times: int) -> None:
    forget_others()
    counts = set()
    with Modem() as modem:
        for _ in range(times):
            with running(path(modem)) as host:
                assert host.take("good")
                modem.unplug()
                host.lost()
            counts.add(descriptors())
            modem.plug()
    assert len(counts) == 1


def test_a_number_that_is_refused_for_good_is_refused_and_another_one_still_gets_it() -> None:
    with Modem(faults=["error30"]) as modem:
        with running(path(modem), report()) as host:
            what, seq, reason = host.take()
        assert (what, seq, reason) == ("refused", 1, f"{ONE}: the number is unknown (+CMS ERROR: 30)")
        way = path(modem, to=(ONE, TWO))
        with running(way) as host:
            assert host.take("good")
            way._seq, way._done = 2, {ONE: "unknown"}
            modem.faults.clear()
            host.give(report(2))
            assert host.take() == ("delivered", 2, "")
        assert [number for number, _ in modem.sent] == [TWO]


def test_a_number_that_has_it_gets_it_once_and_the_other_three_times_its_chance() -> None:
    with Modem() as modem:
        way = path(modem, to=(ONE, TWO))
        way._seq, way._done = 1, {ONE: ""}
        modem.faults.add("error42")
        for _ in range(2):
            with running(way, report()) as host:
                assert "congested" in host.lost().found
        with running(way, report()) as host:
            assert host.take() == ("delivered", 1, "")
        assert modem.sent == []


def test_the_pin_is_read_from_its_file_and_tried_once(tmp_path: Path) -> None:
    with Modem(faults=["nopin"]) as modem:
        with running(path(modem, pin_file=pin_file(tmp_path, "1234")), report()) as host:
            assert host.take() == ("delivered", 1, "")
            assert host.stored == ""
        assert modem.pins == ["1234"]


def test_a_wrong_pin_is_never_tried_twice_also_not_after_a_restart(tmp_path: Path) -> None:
    with Modem(faults=["wrongpin"]) as modem:
        file = pin_file(tmp_path, "4321")
        with running(path(modem, pin_file=file)) as host:
            assert "refused its PIN: the PIN is wrong" in host.lost().found
            stored = host.stored
        for _ in range(3):
            with running(path(modem, pin_file=file), stored=stored) as host:
                error = host.lost()
                assert "not tried again" in error.found
                assert str(file) in error.hint
        assert modem.pins == ["4321"]
        pin_file(tmp_path, "1111")
        with running(path(modem, pin_file=file), stored=stored) as host:
            host.lost()
        assert modem.pins == ["4321", "1111"]
        assert "1111" not in host.stored


@pytest.mark.parametrize("content", ["", "12", "12345678901", '1234"\rAT+CMGD=1'])
def test_a_file_without_a_pin_is_named_and_nothing_of_it_reaches_the_modem(content: str, tmp_path: Path) -> None:
    with Modem(faults=["nopin"]) as modem:
        with running(path(modem, pin_file=pin_file(tmp_path, content))) as host:
            assert host.lost().found == "no PIN in it"
        assert modem.pins == []


def test_an_hour_has_no_more_messages_than_the_config_allows() -> None:
    with Modem() as modem:
        way = path(modem, per_hour=2)
        with running(way, *(report(n) for n in range(1, 5))) as host:
            assert [host.take()[1] for _ in range(2)] == [1, 2]
            until(lambda: way._restraint_s() > 3500)
            assert host.said.empty()
            way._sent_s[0] -= 3600  # an hour later for the first of them
            assert host.take() == ("delivered", 3, "")
            assert [entry.seq for entry in host.reports] == [4]
    assert len(modem.sent) == 3


def test_numbers_of_one_report_are_within_the_hour_together() -> None:
    way = SmsPath("sms", SmsOptions("/dev/modem", (ONE, TWO), per_hour=3))
    assert way._restraint_s() == 0
    way._sent_s.extend([time.monotonic() - 10.0, time.monotonic()])
    assert 3580 < way._restraint_s() < 3591


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("port", ""),
        ("to", ()),
        ("to", ("13800000000",)),
        ("to", ("+86138-0000",)),
        ("to", (ONE,) * 11),
        ("baud", 1),
        ("per_hour", 0),
        ("per_hour", 1001),
    ],
)
def test_a_wrong_key_of_the_config_is_named_with_what_is_allowed(key: str, value: object) -> None:
    keys = {"port": "/dev/modem", "to": (ONE,), key: value}
    with pytest.raises(ValueError, match=f"{key}: found .*allowed"):
        SmsOptions(**keys)  # type: ignore[arg-type]


def test_the_simulated_modem_says_what_it_is_told() -> None:
    with Modem() as modem:
        assert obey(modem, "!fault error38") == obey(modem, "RING")
        assert "error38" in obey(modem, "RING")
        assert "error38" not in obey(modem, "!good")
        assert "!fault" in obey(modem, "!fault nonsense")
