"""A real box behind links and brokers that fail in every way: delivery or a clear trouble, and never a spin.

Marked soak is what takes the half minute after which a missing session is a trouble. CALLBOX_OUTAGE_S is how long the
long outage is (300).
"""

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from bad_broker import (
    BadBroker,
    Manner,
    garbage_in_the_session,
    kicks_after,
    kicks_at_once,
    refuses_topics,
    refuses_who_speaks_5,
    says_garbage,
    silent,
    takes_one_at_a_time,
)
from netlab import WHY_NOT, NetLab
from real_box import Peer, RealBox, box, until
from vitals import Vitals, quarters_kb

from simulators.broker import Broker, free_port

__all__ = ["box"]  # a fixture
pytestmark = [pytest.mark.real, pytest.mark.timeout(400)]
needs_netlab = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)

OUTAGE_S = float(os.environ.get("CALLBOX_OUTAGE_S", "300"))
PRESS_EVERY_S = 2.0
GROWTH_KB_MAX = 2048
"""From the second quarter of an outage to the last: what is owed waits on the disk. (An event held in memory by mistake
costs more than 1 KB, and an hour has 3,600 of them.)"""
LOOK_S = 20.0
DIALS_MAX = 16
"""In LOOK_S. The longest pause of `sp6`, 5 s with full jitter, makes eight of them, and never sixteen."""
CPU_MAX = 0.2
DIALLED_S = 90.0
"""So soon after a line is well the box is there: in sp6 the pause between two dials grows to 60 s."""
DETECTED_S = {"sp6": 20.0, "dp4": 90.0, "relaxed": 200.0}
"""The contract, section 4: within this a dead line is known."""


def led_to(box: RealBox, port: int) -> None:
    """From now on the box's link ends there; a connection that stands is cut."""
    box.wan.target = "127.0.0.1", port
    box.wan.cut()
    box.wan.restore()


def link_troubles(box: RealBox) -> list[str]:
    return [event["data"]["transition"] for event in box.stored() if event["type"] == "callbox.trouble.link"]


def in_trouble(box: RealBox) -> str:
    """Waits for the reason of the trouble of the link."""
    reason: str = until(lambda: box.status().get("trouble", {}).get("link"), "a trouble of the link", 60)
    return reason


class Toil:
    """What the box does while nothing gets better."""

    def __init__(self, box: RealBox) -> None:
        self._box, self._began_s, self._cpu_s = box, time.monotonic(), box.cpu_s

    def look(self, seconds: float = LOOK_S) -> None:
        """Waits until so long has passed since the start; no more than CPU_MAX of a processor went into it."""
        end_s = self._began_s + seconds
        until(lambda: time.monotonic() >= end_s, "time passes", seconds + 10)
        assert self._box.cpu_s - self._cpu_s < CPU_MAX * (time.monotonic() - self._began_s)


# ---- brokers that misbehave


@pytest.mark.soak
@pytest.mark.parametrize(
    "manner",
    [
        pytest.param(silent, id="never answers CONNECT"),
        pytest.param(kicks_at_once, id="kicks at once"),
        pytest.param(kicks_after(1), id="kicks after CONNACK"),
        pytest.param(says_garbage, id="answers in garbage"),
        pytest.param(refuses_topics, id="refuses the topics"),
    ],
)
def test_a_broker_that_misbehaves_is_a_trouble_and_no_spin_and_over_when_it_is_mended(
    box: RealBox, manner: Manner
) -> None:
    with BadBroker(manner) as bad:
        led_to(box, bad.port)
        box.power_on()
        box.armed().press_until_lit()
        toil, dials = Toil(box), len(bad.dials)
        toil.look()
        assert 0 < len(bad.dials) - dials < DIALS_MAX
        assert in_trouble(box)
        assert box.callbox("status", "--state-dir", str(box.state_dir)).returncode == 1
        led_to(box, box.broker.port)
        box.at_central("alarm.panic", DIALLED_S, transition="raised")
        box.at_central("trouble.link", transition="restored")
        box.owes_nothing()
    assert link_troubles(box) == ["raised", "restored"]


def test_a_broker_that_hangs_up_at_every_second_packet_does_not_keep_the_box_from_the_good_one(box: RealBox) -> None:
    with BadBroker(kicks_after(2)) as bad:
        led_to(box, bad.port)
        box.power_on()
        box.armed().press_until_lit()
        until(lambda: len(bad.dials) >= 2, "it has dialled twice")
        led_to(box, box.broker.port)
        box.at_central("alarm.panic", DIALLED_S, transition="raised")
        box.owes_nothing()


@pytest.mark.soak
def test_the_pauses_between_the_dials_grow_while_a_broker_kicks(tmp_path: Path) -> None:
    with BadBroker(kicks_after(2)) as bad, RealBox(tmp_path, profile="relaxed") as box:
        led_to(box, bad.port)
        box.power_on()
        box.armed()
        Toil(box).look(60)
        first, last = (sum(begin <= at_s - bad.dials[0] < begin + 20 for at_s in bad.dials) for begin in (0, 40))
        assert last < first < DIALS_MAX


@pytest.mark.soak
def test_bytes_that_are_no_mqtt_end_a_session_and_nothing_else(box: RealBox) -> None:
    with BadBroker(garbage_in_the_session) as bad:
        led_to(box, bad.port)
        box.power_on()
        box.armed().press_until_lit()
        box.logged("link lost")
        until(lambda: len(bad.dials) >= 2, "it dials again")
        led_to(box, box.broker.port)
        box.at_central("alarm.panic", DIALLED_S, transition="raised")
        box.owes_nothing()


def test_a_box_whose_topics_are_refused_says_at_once_that_the_acl_is_to_be_checked(box: RealBox) -> None:
    with BadBroker(refuses_topics) as bad:
        led_to(box, bad.port)
        box.power_on()
        box.armed().press_until_lit()
        assert "ACL" in box.logged("refused the topics")
        until(lambda: "refused the topics" in box.status()["link"]["reason"], "the status says so too")


def test_a_broker_that_knows_3_1_1_alone_and_says_so_is_spoken_to_in_3_1_1(box: RealBox) -> None:
    with BadBroker(refuses_who_speaks_5) as bad:
        led_to(box, bad.port)
        box.power_on()
        box.armed()
        until(lambda: box.status().get("link", {}).get("protocol") == "3.1.1", "a session in 3.1.1")
        assert len(bad.dials) == 2


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"config": ["max_inflight_messages 1"]}, id="a window of one"),
        pytest.param({"max_packet_bytes": 1024}, id="packets of 1 KB"),
    ],
)
def test_a_broker_that_takes_little_at_once_delivers_an_alarm_and_a_backlog(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    broker = Broker(directory=tmp_path / "broker", **options)
    # Straight to it: who is hung up on before the broker runs would speak 3.1.1 at first, which tells no limits.
    with RealBox(tmp_path, broker=broker, links=[{"url": f"mqtt://127.0.0.1:{broker.port}"}]) as box:
        box.power_on()
        box.armed()
        for number in range(300):
            box.scan(f"ticket-{number}")
        until(lambda: box.status().get("pending", {}).get("scan") == 300, "300 scans are owed")
        broker.start()
        box.start_central()
        box.press_until_lit()
        box.at_central("alarm.panic", transition="raised")
        box.owes_nothing()
        assert len(box.stored("scan")) == 300
        assert box.said().count("link up") == 1


def test_a_broker_that_takes_one_message_at_a_time_is_given_one_at_a_time(box: RealBox) -> None:
    taken: list[bytes] = []
    with BadBroker(takes_one_at_a_time(taken)) as bad:
        led_to(box, bad.port)
        box.power_on()
        box.armed()
        for number in range(30):
            box.scan(f"ticket-{number}")
        until(lambda: sum(b"event/scan" in message for message in taken) >= 30, "it took thirty scans")
        assert len(bad.dials) == 1


# ---- lines that fail


def test_a_line_that_flaps_each_second_delivers_every_press(box: RealBox) -> None:
    box.power_on()
    box.armed().owes_nothing()
    for _ in range(3):
        for turn in (box.wan.cut, box.wan.restore):
            turn()
            box.press()
            Toil(box).look(1)
    until(lambda: len(box.stored("alarm")) == 6, "six presses at central")
    box.owes_nothing()


def test_a_line_that_stalls_in_the_middle_of_a_message_delivers_it_when_it_moves_again(box: RealBox) -> None:
    box.power_on()
    box.armed().owes_nothing()
    box.wan.set_rate(4)  # kbit/s: the event is a second on its way
    before = box.wan.state()["up_bytes"]
    box.press_until_lit()
    until(lambda: before + 100 < box.wan.state()["up_bytes"], "the message is half through")
    box.wan.stall()
    assert not box.stored("alarm")
    box.press()
    box.wan.set_rate(None)
    box.wan.restore()
    until(lambda: len(box.stored("alarm")) == 2, "both presses at central")
    box.owes_nothing()


@pytest.mark.soak
def test_a_line_that_stalls_in_the_middle_of_a_message_for_long_is_given_up_and_dialled_anew(box: RealBox) -> None:
    box.power_on()
    box.armed().owes_nothing()
    box.wan.set_rate(4)
    before = box.wan.state()["up_bytes"]
    box.press_until_lit()
    until(lambda: before + 100 < box.wan.state()["up_bytes"], "the message is half through")
    box.wan.stall()
    until(lambda: box.status()["link"]["state"] != "up", "the session is given up", DETECTED_S["sp6"])
    Toil(box).look()
    in_trouble(box)
    box.wan.set_rate(None)
    box.wan.restore()
    box.at_central("alarm.panic", transition="raised")
    box.at_central("trouble.link", transition="restored")
    box.owes_nothing()


@pytest.mark.soak
def test_a_tls_handshake_that_nobody_answers_is_a_trouble_and_no_spin(tmp_path: Path) -> None:
    with BadBroker(silent) as bad, RealBox(tmp_path, links=[{"url": f"mqtts://localhost:{bad.port}"}]) as box:
        box.power_on()
        box.armed().press_until_lit()
        Toil(box).look()
        assert "no answer" in in_trouble(box)
        assert len(bad.dials) < DIALS_MAX


@pytest.fixture
def far(tmp_path: Path) -> Iterator[tuple[NetLab, RealBox]]:
    """A box in a network of its own, at the other end of which broker and central are well. Without power."""
    port = free_port()
    with NetLab() as lab:
        broker = Broker(directory=tmp_path / "broker", config=[f"listener {port} {lab.here}"])
        with RealBox(tmp_path, broker=broker, links=[{"url": f"mqtt://{lab.here}:{port}"}]) as box:
            box.under = lab.under
            broker.start()
            box.start_central()
            yield lab, box


@pytest.fixture
def peers() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@needs_netlab
@pytest.mark.soak
@pytest.mark.parametrize("profile", DETECTED_S)
@pytest.mark.parametrize("idle", [True, False], ids=["idle", "pressed"])
def test_a_half_open_line_is_noticed_at_both_ends_within_the_time_of_the_profile(
    far: tuple[NetLab, RealBox], peers: ExitStack, profile: str, idle: bool
) -> None:
    lab, box = far
    box.config["profile"] = profile
    if profile == "dp4":  # its times are those of a box without the word, which wants a second way
        del box.config["profile"]
    box.write_config()
    peer = peers.enter_context(Peer(box.broker.port))
    box.power_on()
    box.armed().owes_nothing()
    until(lambda: peer.state().get("online") is True, "central's side sees the box online")
    lab.lose(100)
    toil, began_s = Toil(box), time.monotonic()
    if not idle:
        box.press_until_lit()
    until(lambda: box.status()["link"]["state"] != "up", "the box knows", DETECTED_S[profile])

    def left_s() -> float:
        return DETECTED_S[profile] - (time.monotonic() - began_s)

    until(lambda: peer.state().get("online") is False, "central knows, by the last will", left_s())
    toil.look(time.monotonic() - began_s + 5)
    lab.lose(0)
    box.owes_nothing()
    assert len(box.stored("alarm")) == (not idle)


@needs_netlab
@pytest.mark.soak
def test_at_64_kbit_s_with_a_fifth_of_the_packets_lost_all_arrives_and_the_alarm_before_the_backlog(
    far: tuple[NetLab, RealBox],
) -> None:
    lab, box = far
    lab.lose(100)
    box.power_on()
    box.armed()
    for number in range(1000):
        box.scan(f"ticket-{number}")
    until(lambda: box.status()["pending"]["scan"] == 1000, "1000 scans are owed")
    lab.rate(64)
    lab.lose(20)
    until(lambda: len(box.stored("scan")) >= 20, "the backlog goes out")
    box.press()
    box.at_central("alarm.panic", transition="raised", deadline_s=60)
    assert len(box.stored("scan")) < 200
    until(lambda: len(box.stored("scan")) == 1000, "the backlog is through", 300)
    box.owes_nothing(60)


@needs_netlab
@pytest.mark.soak
def test_a_name_server_that_never_answers_is_a_trouble_and_no_spin_and_the_box_stops_in_time(
    far: tuple[NetLab, RealBox],
) -> None:
    _, box = far
    box.config["links"] = [{"url": "mqtt://central.example:1883"}]
    box.write_config()
    box.power_on()
    box.armed().press_until_lit()
    Toil(box).look()
    assert "name" in in_trouble(box)
    assert box.press_until_lit() < 40
    assert box.stop() == 0


@needs_netlab
@pytest.mark.soak
@pytest.mark.timeout(OUTAGE_S + 900)
def test_after_a_long_outage_all_that_was_recorded_is_at_central_once(far: tuple[NetLab, RealBox]) -> None:
    lab, box = far
    box.power_on()
    box.armed().owes_nothing()
    lab.lose(100)
    toil, dials, presses = Toil(box), lab.dials, 0
    with Vitals(box) as vitals:
        while presses * PRESS_EVERY_S < OUTAGE_S:
            box.press()
            box.scan(f"ticket-{presses}")
            presses += 1
            toil.look(presses * PRESS_EVERY_S)
    memory_kb = quarters_kb(vitals.longest_life)
    print(f"{OUTAGE_S:.0f} s without a link: {presses} presses and scans; RSS by quarters {memory_kb} KB")  # noqa: T201
    assert memory_kb[-1] - memory_kb[1] < GROWTH_KB_MAX
    # each dial sends a SYN and repeats it after 1, 3 and 7 s
    assert lab.dials - dials < OUTAGE_S / LOOK_S * DIALS_MAX
    lab.lose(0)
    until(lambda: len(box.stored("scan")) == presses, "the scans are at central", 300)
    box.owes_nothing(300)
    assert [event["data"]["count"] for event in box.stored("alarm")] == list(range(1, presses + 1))
    assert link_troubles(box) == ["raised", "restored"]
