"""A real box and real brokers that die, hang, refuse and are too old."""

import json
import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from real_box import AMBER, NAME, ROOT, Peer, RealBox, until

from simulators.broker import Broker, free_port
from simulators.process import spawn, stop

pytestmark = pytest.mark.real

PANICS = list(range(5, 15))
SLIM = [
    {"id": "alarm-1", "driver": "gpio0", "pin": 17, "kind": "panic"},
    {"id": "desk", "driver": "panel", "pressed": "^S:(?P<code>.+)$", "kind": "scan"},
]
"""So few inputs that the retained state is smaller than the smallest broker below takes."""
LONG = "x" * 1000
RUMQTTD_V4 = """\
id = 0
[router]
id = 0
max_connections = 100
max_outgoing_packet_count = 200
max_segment_size = 1048576
max_segment_count = 10
[v4.1]
name = "v4"
listen = "127.0.0.1:{port}"
next_connection_delay_ms = 1
[v4.1.connections]
connection_timeout_ms = 60000
max_payload_size = 65536
max_inflight_count = 100
"""


def test_500_events_acknowledged_by_a_broker_that_is_killed_reach_central(tmp_path: Path) -> None:
    """Central has a session there and is away: the broker takes all 500 for it, says so, and dies with them."""
    inputs = [
        {"id": f"alarm-{pin}", "driver": "gpio0", "pin": pin, "kind": "panic", "debounce_ms": 0} for pin in PANICS
    ] + [{"id": "desk", "driver": "panel", "pressed": "^S:(?P<code>.+)$", "kind": "scan"}]
    broker = Broker(directory=tmp_path / "broker", config=["log_type all", "log_dest stderr"])
    with ExitStack() as stack, RealBox(tmp_path, broker=broker, inputs=inputs, receipt_timeout_s=10) as box:
        broker.start()
        box.start_central()
        box.power_on()
        box.armed().at_central("status.started")
        box.stop_central()
        before = len(box.rows())
        peer = stack.enter_context(Peer(broker.port))
        for _ in range(5):
            for pin in PANICS:
                box.press(pin)
        for number in range(450):
            box.scan(f"ticket-{number:03d}")
        until(lambda: box.status().get("seq", 0) >= before + 500, "500 events are on the disk")
        until(lambda: len(peer.events()) >= 500, "the broker passed on 500 events")
        sent = re.compile(r"Received PUBLISH from callbox-test-box-1 \(d., q1, r0, m(\d+), '\S+/(?:event|batch)/")
        acked = re.compile(r"Sending PUBACK to callbox-test-box-1 \(m(\d+), rc0\)")  # not 0x10: queued for central
        log = broker.log
        until(lambda: set(sent.findall(log.read_text())) <= set(acked.findall(log.read_text())), "all acknowledged")
        assert sum(box.status()["pending"].values()) >= 500  # owed in spite of that
        broker.kill()
        broker.start()
        box.start_central()
        box.owes_nothing()
        events = box.stored()
        assert sorted(e["data"]["code"] for e in events if "code" in e["data"]) == [
            f"ticket-{number:03d}" for number in range(450)
        ]
        assert sum(e["type"] == "callbox.alarm.panic" for e in events) == 50
        assert [e["boxseq"] for e in events] == list(range(1, len(events) + 1))
        assert box.oddities() == []


def test_a_half_open_link_is_noticed_at_both_ends_and_what_was_pressed_comes_after_it(tmp_path: Path) -> None:
    with RealBox(tmp_path) as box:
        box.broker.start()
        box.start_central()
        box.power_on()
        box.armed()
        with Peer(box.broker.port, topics=f"{ROOT}/state") as peer:
            until(lambda: peer.state().get("online") is True, "central's side sees the box online")
            box.wan.half_open()
            assert box.press_until_lit() < 40
            until(lambda: peer.state().get("online") is False, "the last will says that the box is gone")
            box.logged("WARNING link")
            until(lambda: box.status()["link"]["state"] != "up", "the box has noticed")
            assert box.status()["pending"]["alarm"] == 1
            box.wan.restore()
            box.at_central("alarm.panic", transition="raised")
            box.owes_nothing()
            until(lambda: peer.state().get("online") is True, "the box is back")


def test_a_box_that_starts_without_a_broker_records_and_delivers_when_it_comes(tmp_path: Path) -> None:
    with RealBox(tmp_path) as box:
        box.power_on()
        box.armed()
        box.press_until_lit()
        assert "nothing listens there" in box.logged("link lost") or "lost" in box.said()
        box.broker.start()
        box.start_central()
        assert box.at_central("alarm.panic")["data"]["count"] == 1
        box.owes_nothing()


@pytest.mark.parametrize(
    "options",
    [
        {"max_packet_bytes": 1400},
        pytest.param({"config": ["message_size_limit 1400"]}, marks=pytest.mark.soak),
    ],
    ids=["max_packet_size", "message_size_limit"],
)
def test_an_event_too_large_for_the_broker_is_parked_and_the_rest_goes_on(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    broker = Broker(directory=tmp_path / "broker", **options)
    with RealBox(tmp_path, broker=broker, inputs=SLIM) as box:
        broker.start()
        box.start_central()
        box.power_on()
        box.armed()
        for code in ("before", LONG, "after"):
            box.scan(code)
        box.at_central("scan.code", code="before")
        box.at_central("scan.code", code="after")
        parked = box.at_central("trouble.parked", transition="raised")["data"]
        [large] = [json.loads(body) for body in box.journal() if LONG.encode() in body]
        assert parked["parked"] == large["boxseq"] and parked["id"] == large["id"]
        assert "too many for this broker" in parked["reason"]
        box.owes_nothing()  # what is parked is not owed
        assert large["id"] not in {event["id"] for event in box.stored()}


@contextmanager
def old_broker(directory: Path) -> Iterator[int]:
    """rumqttd that speaks 3.1.1 alone; its port."""
    port, config, log = free_port(), directory / "v4.toml", directory / "v4.log"
    config.write_text(RUMQTTD_V4.format(port=port))
    process = spawn([sys.executable, "-m", "iotcore", "--log-level", "INFO", "--config", str(config)], log)

    def listens() -> bool:
        try:
            with Peer(port, five=False, topics="ready"):
                return True
        except OSError:
            return False

    until(listens, f"the old broker listens, see {log}")
    try:
        yield port
    finally:
        stop(process)


def test_a_broker_without_mqtt_5_is_spoken_to_in_3_1_1(tmp_path: Path) -> None:
    """Central here is a few lines of 3.1.1: it hears an event and says that it has stored it."""
    with old_broker(tmp_path) as port, Peer(port, five=False) as peer:
        links = [{"url": f"mqtt://127.0.0.1:{port}"}]
        with RealBox(tmp_path, links=links, central_key=None) as box:
            box.power_on()
            box.armed()
            assert "MQTT 3.1.1" in box.logged("link up")
            at_s = box.press()
            box.lit(AMBER, at_s)

            def heard() -> dict[str, Any]:
                events = [json.loads(body) for topic, body, _ in list(peer.heard) if topic == "event/alarm"]
                return events[-1] if events else {}

            event = until(heard, "the alarm at the old broker")
            assert event["data"]["count"] == 1
            assert peer.state()["online"] is True and peer.state()["journal"] == event["journal"]
            receipt = {"journal": event["journal"], "through": event["boxseq"]}
            peer.say("receipt", json.dumps(receipt).encode())
            until(lambda: box.status()["pending"]["alarm"] == 0, "the receipt is heard")
            assert box.stop() == 0
            until(lambda: peer.state() == {"online": False, "session": peer.state()["session"]}, "its goodbye")


def test_an_acl_that_refuses_the_events_is_one_trouble_until_it_is_mended(tmp_path: Path) -> None:
    """The state passes all the while, and mosquitto hangs up after each refusal: neither is the end of the trouble."""
    acl = tmp_path / "acl"
    acl.write_text(f"topic write {ROOT}/state\ntopic read callbox/#\n")
    broker = Broker(directory=tmp_path / "broker", config=[f"acl_file {acl}"])
    with RealBox(tmp_path, broker=broker) as box:
        broker.start()
        box.start_central()
        box.power_on()
        box.armed()
        reason = until(lambda: box.status().get("trouble", {}).get("link"), "a trouble of the link")
        assert "0x87" in reason and "ACL" in reason
        box.press_until_lit()
        until(lambda: box.said().count("INFO link up") >= 3, "it has come back twice")
        assert [event["data"]["transition"] for event in link_troubles(box)] == ["raised"]
        assert box.callbox("status", "--state-dir", str(box.state_dir)).returncode == 1
        acl.write_text("topic readwrite callbox/#\n")
        assert broker.pid is not None
        os.kill(broker.pid, signal.SIGHUP)
        box.at_central("alarm.panic", transition="raised")
        box.at_central("trouble.link", transition="restored")
        assert [event["data"]["transition"] for event in link_troubles(box)] == ["raised", "restored"]


def link_troubles(box: RealBox) -> list[dict[str, Any]]:
    return [event for event in map(json.loads, box.journal()) if event["type"] == "callbox.trouble.link"]


def test_the_second_link_is_used_while_the_first_is_dead(tmp_path: Path) -> None:
    broker = Broker(directory=tmp_path / "broker")
    links = [{"url": f"mqtt://127.0.0.1:{free_port()}"}, {"url": f"mqtt://127.0.0.1:{broker.port}"}]
    with RealBox(tmp_path, broker=broker, links=links) as box:
        broker.start()
        box.start_central()
        box.power_on()
        box.armed()
        box.press_until_lit()
        assert box.at_central("alarm.panic")["source"] == f"/callbox/{NAME}"
        assert box.status()["link"]["url"] == links[1]["url"]
        box.owes_nothing()
