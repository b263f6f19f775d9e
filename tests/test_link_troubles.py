"""What a real box says of a link that stands and delivers nothing, or falls again and again: a clear trouble."""

import re
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from bad_broker import (
    BadBroker,
    Manner,
    answers_once_in,
    garbage_in_the_session,
    kicks_after,
    kicks_at_once,
    nobody_listens,
    refuses_who_speaks_5,
    says_garbage,
    silent,
    stops_in_a_packet,
    withholds_pubacks,
)
from netlab import NetLab
from real_box import RealBox, box, until
from test_link_faults import (
    DETECTED_S,
    DIALLED_S,
    DIALS_MAX,
    Toil,
    far,
    in_trouble,
    led_to,
    link_troubles,
    needs_netlab,
)

from simulators.broker import Broker

__all__ = ["box", "far"]  # fixtures
pytestmark = [pytest.mark.real, pytest.mark.timeout(400)]

WHAT_TO_DO = re.compile(r"\b(check|ask|see|set|give|stop|renew|replace|raise)\b")
OVERTAKES_S = 3.0
"""At 64 kbit/s: 24 KB may stand before an alarm."""


@pytest.mark.soak
@pytest.mark.parametrize(
    "manner",
    [
        pytest.param(kicks_after(4), id="kicks after four packets"),
        pytest.param(kicks_after(6), id="kicks after six packets"),
        pytest.param(garbage_in_the_session, id="garbage in the session"),
        pytest.param(withholds_pubacks, id="withholds PUBACKs"),
        pytest.param(answers_once_in(60), id="answers once a minute"),
        pytest.param(stops_in_a_packet, id="stops in the middle of a packet"),
        pytest.param(nobody_listens, id="takes everything for nobody"),
        pytest.param(refuses_who_speaks_5, id="takes everything for nobody in 3.1.1"),
    ],
)
def test_a_session_that_stands_and_delivers_nothing_is_a_trouble_and_over_when_central_has_it(
    box: RealBox, manner: Manner
) -> None:
    with BadBroker(manner) as bad:
        led_to(box, bad.port)
        box.power_on()
        box.armed().press_until_lit()
        toil, dials = Toil(box), len(bad.dials)
        toil.look()
        assert len(bad.dials) - dials < DIALS_MAX
        assert WHAT_TO_DO.search(in_trouble(box))
        led_to(box, box.broker.port)
        box.at_central("alarm.panic", DIALLED_S, transition="raised")
        box.at_central("trouble.link", transition="restored")
        box.owes_nothing()
    assert link_troubles(box) == ["raised", "restored"]


@pytest.mark.soak
@pytest.mark.parametrize("manner", [silent, kicks_at_once, says_garbage])
def test_the_trouble_of_a_broker_that_never_lets_a_session_stand_says_what_to_do(box: RealBox, manner: Manner) -> None:
    with BadBroker(manner) as bad:
        led_to(box, bad.port)
        box.power_on()
        box.armed()
        assert WHAT_TO_DO.search(in_trouble(box))


@pytest.mark.soak
def test_that_nobody_at_central_listens_is_a_trouble_until_somebody_does(tmp_path: Path) -> None:
    with RealBox(tmp_path) as box:
        box.broker.start()
        box.power_on()
        box.armed().press_until_lit()
        assert "central" in in_trouble(box)
        box.start_central()
        box.at_central("alarm.panic", transition="raised")
        box.at_central("trouble.link", transition="restored")
        box.owes_nothing()


@pytest.mark.soak
def test_that_central_is_away_and_the_broker_keeps_all_for_it_is_a_trouble_until_it_is_back(box: RealBox) -> None:
    box.power_on()
    box.armed().owes_nothing()
    box.stop_central()
    box.press_until_lit()
    assert "central" in in_trouble(box)
    box.start_central()
    box.at_central("trouble.link", transition="restored")
    box.owes_nothing()


@pytest.fixture
def twins(tmp_path: Path) -> Iterator[tuple[RealBox, RealBox]]:
    """Two boxes of one id on one broker, as of a card that was copied; central is there."""
    broker = Broker(directory=tmp_path / "broker", config=["log_dest stderr"])
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    with ExitStack() as stack:
        first = stack.enter_context(RealBox(tmp_path / "first", broker=broker))
        for key in ("operator.pem", "central.pem"):
            (tmp_path / "second" / key).write_bytes((tmp_path / "first" / key).read_bytes())
        second = stack.enter_context(RealBox(tmp_path / "second", broker=broker))
        broker.start()
        first.start_central()
        yield first, second


@pytest.mark.soak
def test_two_boxes_with_one_id_both_ask_whether_it_is_used_twice_and_do_not_kick_each_other_in_a_loop(
    twins: tuple[RealBox, RealBox],
) -> None:
    for twin in twins:
        twin.power_on()
    for twin in twins:
        twin.armed().press_until_lit()
    until(lambda: len(twins[0].stored("alarm")) == 2, "the press of each is at central")
    for twin in twins:
        assert "twice" in in_trouble(twin)
    toils = [Toil(twin) for twin in twins]
    came = logins(twins[0])
    for toil in toils:
        toil.look()
    assert logins(twins[0]) - came < DIALS_MAX


def logins(box: RealBox) -> int:
    return len(re.findall(r"New client connected from \S+ as callbox-test-box-1 ", box.broker.log.read_text()))


def test_a_state_too_large_for_the_broker_keeps_no_alarm_back(tmp_path: Path) -> None:
    """Twenty inputs make a state of more than 1 KB; an alarm is smaller."""
    broker = Broker(directory=tmp_path / "broker", max_packet_bytes=1024)
    with RealBox(tmp_path, broker=broker) as box:
        box.config["inputs"] += [window(number) for number in range(16)]
        box.write_config()
        broker.start()
        box.start_central()
        box.power_on()
        box.armed().press_until_lit()
        box.at_central("alarm.panic", transition="raised")
        box.owes_nothing()


def window(number: int) -> dict[str, Any]:
    return {"id": f"ticket-window-{number}", "driver": "panel", "pressed": f"^W{number}:1$", "kind": "panic"}


@needs_netlab
@pytest.mark.soak
def test_a_dead_line_is_a_trouble_within_the_time_of_the_profile(far: tuple[NetLab, RealBox]) -> None:
    lab, box = far
    box.power_on()
    box.armed().owes_nothing()
    lab.lose(100)
    began_s = time.monotonic()
    in_trouble(box)
    assert time.monotonic() - began_s < DETECTED_S["sp6"]


@needs_netlab
@pytest.mark.soak
def test_at_64_kbit_s_an_alarm_overtakes_a_long_backlog_in_seconds_and_no_session_is_given_up(
    far: tuple[NetLab, RealBox],
) -> None:
    """A megabyte of scans is owed: what is on its way at once must be little at this rate."""
    lab, box = far
    lab.lose(100)
    box.power_on()
    box.armed()
    for number in range(2000):
        box.scan(f"ticket-{number}")
    until(lambda: box.status()["pending"]["scan"] == 2000, "2000 scans are owed")
    lab.rate(64)
    lab.lose(0)
    until(lambda: len(box.stored("scan")) >= 100, "the backlog goes out")
    box.press()
    box.at_central("alarm.panic", OVERTAKES_S, transition="raised")
    Toil(box).look(30)
    assert box.said().count("INFO link up") == 1
