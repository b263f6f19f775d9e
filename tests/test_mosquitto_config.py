"""config/mosquitto on a real mosquitto: a box has its own topics and no others."""

import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import Queue
from time import monotonic

import paho.mqtt.client as mqtt
import pytest
import trustme
from paho.mqtt.enums import CallbackAPIVersion

from simulators.broker import free_port, mosquitto

FOLDER = Path(__file__).parent.parent / "config" / "mosquitto"
DEADLINE_S = 10.0
BOX, OTHER = "jiangyang/kiosk-017", "jiangyang/kiosk-018"
NOT_AUTHORIZED, NOBODY_LISTENS = 0x87, 0x10

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(mosquitto() is None, reason="mosquitto is not installed: apt install mosquitto"),
]


class Member:
    """Somebody with a certificate of the CA; knows the topics that came."""

    def __init__(self, port: int, ca: trustme.CA, name: str) -> None:
        context = ssl.create_default_context()
        ca.configure_trust(context)
        ca.issue_cert(common_name=name).configure_cert(context)
        self.came: Queue[str] = Queue()
        self._answers: Queue[int] = Queue()
        self.paho = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self.paho.tls_set_context(context)
        self.paho.on_message = lambda _client, _data, message: self.came.put(message.topic)
        self.paho.on_connect = lambda _client, _data, _flags, reason, _properties: self._answers.put(reason.value)
        self.paho.on_publish = lambda _client, _data, _mid, reason, _properties: self._answers.put(reason.value)
        self.paho.on_subscribe = lambda _client, _data, _mid, reasons, _properties: self._answers.put(reasons[0].value)
        self.paho.connect("localhost", port)
        self.paho.loop_start()
        assert self._answers.get(timeout=DEADLINE_S) == 0

    def publish(self, topic: str) -> int:
        """The reason code of the PUBACK."""
        self.paho.publish(topic, b"{}", qos=1)
        return self._answers.get(timeout=DEADLINE_S)

    def subscribe(self, topic: str) -> None:
        self.paho.subscribe(topic, 1)
        self._answers.get(timeout=DEADLINE_S)

    def close(self) -> None:
        self.paho.disconnect()
        self.paho.loop_stop()


@pytest.fixture
def members(tmp_path: Path) -> Iterator[dict[str, Member]]:
    ca, port = trustme.CA(), free_port()
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    broker = ca.issue_cert("localhost")
    broker.private_key_pem.write_to_path(str(tmp_path / "broker.key"))
    broker.cert_chain_pems[0].write_to_path(str(tmp_path / "broker.pem"))
    config = (FOLDER / "callbox.conf").read_text(encoding="utf-8")
    for shipped, here in {
        "listener 8883": f"user root\nlistener {port} 127.0.0.1",
        "/etc/mosquitto/certs": str(tmp_path),
        "/etc/mosquitto/callbox.acl": str(tmp_path / "callbox.acl"),
        "/var/lib/mosquitto": str(tmp_path),
    }.items():
        assert shipped in config
        config = config.replace(shipped, here)
    (tmp_path / "mosquitto.conf").write_text(config, encoding="utf-8")
    acl = (FOLDER / "callbox.acl").read_text(encoding="utf-8")
    neighbours = f"#user {BOX}\n#topic read callbox/1/{OTHER}/event/alarm\n"
    assert neighbours in acl
    (tmp_path / "callbox.acl").write_text(acl.replace(neighbours, neighbours.replace("#", "")), encoding="utf-8")
    argv = [str(mosquitto()), "-c", str(tmp_path / "mosquitto.conf")]
    with (tmp_path / "log").open("wb") as log, subprocess.Popen(argv, stderr=log) as process:
        try:
            wait_for(port, process, tmp_path / "log")
            all_of_them = {name: Member(port, ca, name) for name in (BOX, OTHER, "central", "+/+")}
            yield all_of_them
            for member in all_of_them.values():
                member.close()
        finally:
            process.terminate()


def wait_for(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline_s, pause = monotonic() + DEADLINE_S, threading.Event()
    while monotonic() < deadline_s and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            pause.wait(0.02)
        else:
            return
    pytest.fail(f"mosquitto did not come up: {log.read_text()}")


def test_a_box_has_its_own_topics_and_no_others(members: dict[str, Member]) -> None:
    central, box, other, joker = members["central"], members[BOX], members[OTHER], members["+/+"]
    central.subscribe("callbox/1/#")
    said = [
        "event/alarm",
        "batch/scan",
        "state",
        "media/00ff/0",
    ]
    for topic in said:
        assert box.publish(f"callbox/1/{BOX}/{topic}") in (0, NOBODY_LISTENS)
        assert central.came.get(timeout=DEADLINE_S) == f"callbox/1/{BOX}/{topic}"
        assert other.publish(f"callbox/1/{BOX}/{topic}") == NOT_AUTHORIZED
        assert joker.publish(f"callbox/1/{BOX}/{topic}") == NOT_AUTHORIZED

    for member in (box, other, joker):
        member.subscribe(f"callbox/1/{BOX}/#")
    for topic in ("receipt", "command"):
        assert box.publish(f"callbox/1/{BOX}/{topic}") == NOT_AUTHORIZED
        assert central.publish(f"callbox/1/{BOX}/{topic}") in (0, NOBODY_LISTENS)
        assert box.came.get(timeout=DEADLINE_S) == f"callbox/1/{BOX}/{topic}"
        # what was not for it would have come before its own
        other.subscribe(f"callbox/1/{OTHER}/#")
        central.publish(f"callbox/1/{OTHER}/{topic}")
        assert other.came.get(timeout=DEADLINE_S) == f"callbox/1/{OTHER}/{topic}"
    assert joker.came.empty()
    assert central.publish(f"callbox/1/{BOX}/event/alarm") == NOT_AUTHORIZED


def test_a_box_hears_the_alarms_of_the_neighbours_that_are_named_and_nothing_else_of_them(
    members: dict[str, Member],
) -> None:
    box, other, joker = members[BOX], members[OTHER], members["+/+"]
    for member in (box, joker):
        member.subscribe(f"callbox/1/{OTHER}/#")
    other.subscribe(f"callbox/1/{BOX}/event/alarm")
    for topic in ("event/status", "state", "event/alarm"):
        assert other.publish(f"callbox/1/{OTHER}/{topic}") in (0, NOBODY_LISTENS)
    assert box.came.get(timeout=DEADLINE_S) == f"callbox/1/{OTHER}/event/alarm"
    box.publish(f"callbox/1/{BOX}/event/alarm")
    # what is not for them would have come before their own
    for member, own in ((box, BOX), (other, OTHER)):
        member.subscribe(f"callbox/1/{own}/#")
        members["central"].publish(f"callbox/1/{own}/command")
        assert member.came.get(timeout=DEADLINE_S) == f"callbox/1/{own}/command"
    assert box.publish(f"callbox/1/{OTHER}/event/alarm") == NOT_AUTHORIZED
    assert joker.came.empty()
