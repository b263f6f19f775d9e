"""Both brokers do what the tests and the demo rely on: retained wills, sessions that wait, user properties."""

import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from queue import Queue
from typing import Any

import paho.mqtt.client as mqtt
import pytest
import trustme
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from simulators.broker import Broker, BrokerError, Tls, mosquitto

DEADLINE_S = 10.0
needs_mosquitto = pytest.mark.skipif(mosquitto() is None, reason="mosquitto is not installed: apt install mosquitto")
BOTH = [pytest.param(False, id="mosquitto", marks=needs_mosquitto), pytest.param(True, id="embedded")]


@pytest.fixture(params=BOTH)
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker]:
    with Broker(directory=tmp_path, embedded=request.param) as running:
        yield running


class Client:
    """paho on MQTT 5; each answer of the broker can be waited for."""

    def __init__(self, broker: Broker, name: str, setup: Callable[[mqtt.Client], Any] | None = None) -> None:
        self.paho = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=name, protocol=mqtt.MQTTv5)
        self.messages: Queue[mqtt.MQTTMessage] = Queue()
        self.connected: Queue[Any] = Queue()
        self.answers: Queue[Any] = Queue()
        self.gone: Queue[Any] = Queue()
        self.paho.on_message = lambda _client, _data, message: self.messages.put(message)
        self.paho.on_connect = lambda _client, _data, flags, reason, _properties: self.connected.put((flags, reason))
        self.paho.on_publish = lambda _client, _data, _mid, reason, _properties: self.answers.put(reason)
        self.paho.on_subscribe = lambda _client, _data, _mid, reasons, _properties: self.answers.put(reasons)
        self.paho.on_disconnect = lambda _client, _data, _flags, reason, _properties: self.gone.put(reason)
        if setup:
            setup(self.paho)
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = 300
        self.paho.connect("localhost", broker.port, clean_start=False, properties=properties)
        self.paho.loop_start()
        self.flags, reason = self.connected.get(timeout=DEADLINE_S)
        assert reason == 0, reason

    def subscribe(self, topic: str) -> None:
        self.paho.subscribe(topic, 1)
        self.answers.get(timeout=DEADLINE_S)

    def publish(self, topic: str, payload: bytes, properties: Properties | None = None, retain: bool = False) -> Any:
        self.paho.publish(topic, payload, 1, retain, properties)
        return self.answers.get(timeout=DEADLINE_S)

    def close(self) -> None:
        self.paho.disconnect()
        self.gone.get(timeout=DEADLINE_S)
        self.paho.loop_stop()

    def die(self) -> None:
        """The socket is gone without a DISCONNECT."""
        link = self.paho.socket()
        assert link
        self.paho.reconnect_delay_set(60, 60)
        link.shutdown(socket.SHUT_RDWR)  # type: ignore[attr-defined]
        self.gone.get(timeout=DEADLINE_S)
        self.paho.loop_stop()


def test_a_will_is_retained_for_those_who_come_later(broker: Broker) -> None:
    Client(broker, "box", lambda paho: paho.will_set("box/state", b'{"online":false}', 1, retain=True)).die()
    watcher = Client(broker, "watcher")
    watcher.subscribe("box/state")
    message = watcher.messages.get(timeout=DEADLINE_S)
    assert (message.payload, message.retain) == (b'{"online":false}', True)
    watcher.close()


def test_a_session_waits_with_its_messages_while_its_client_is_away(broker: Broker) -> None:
    away = Client(broker, "central")
    assert not away.flags.session_present
    away.subscribe("event/#")
    away.close()
    box = Client(broker, "box")
    for number in range(200):
        assert box.publish("event/alarm", b"%d" % number) == 0
    box.close()
    back = Client(broker, "central")
    assert back.flags.session_present
    received = [back.messages.get(timeout=DEADLINE_S).payload for _ in range(200)]
    assert received == [b"%d" % number for number in range(200)]
    back.close()


def test_user_properties_and_content_type_go_through(broker: Broker) -> None:
    reader = Client(broker, "reader")
    reader.subscribe("event/alarm")
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.UserProperty = ("journal", "9b1deb4d")
    properties.ContentType = "application/cloudevents+json"
    reader.publish("event/alarm", b"{}", properties)
    received = reader.messages.get(timeout=DEADLINE_S).properties
    assert received
    assert received.UserProperty == [("journal", "9b1deb4d")]  # type: ignore[attr-defined]
    assert received.ContentType == "application/cloudevents+json"  # type: ignore[attr-defined]
    reader.close()


def test_a_killed_broker_forgets_and_comes_back_on_its_port(broker: Broker) -> None:
    box = Client(broker, "box")
    box.publish("box/state", b"alive", retain=True)
    broker.kill()
    box.gone.get(timeout=DEADLINE_S)
    box.paho.loop_stop()
    assert broker.pid is None
    broker.start()
    reader = Client(broker, "reader")
    reader.subscribe("#")
    reader.publish("last", b"the only one")
    assert reader.messages.get(timeout=DEADLINE_S).topic == "last"
    reader.close()


@pytest.mark.parametrize("embedded", BOTH)
def test_a_packet_over_the_limit_ends_the_connection(tmp_path: Path, embedded: bool) -> None:
    with Broker(directory=tmp_path, embedded=embedded, max_packet_bytes=2000) as broker:
        box = Client(broker, "box")
        assert box.publish("event/alarm", bytes(1000)) in (0, 16)
        box.paho.publish("event/alarm", bytes(5000), 1)
        box.gone.get(timeout=DEADLINE_S)
        box.paho.loop_stop()


@pytest.mark.parametrize("embedded", BOTH)
def test_tls_shows_the_certificate_it_was_given(tmp_path: Path, embedded: bool) -> None:
    tls, ca = certificates(tmp_path, require_certificate=False)
    with Broker(directory=tmp_path, embedded=embedded, tls=tls) as broker:
        context = ssl.create_default_context()
        ca.configure_trust(context)
        box = Client(broker, "box", lambda paho: paho.tls_set_context(context))
        assert box.publish("event/alarm", b"{}") in (0, 16)
        box.close()


@needs_mosquitto
def test_mosquitto_lets_only_known_certificates_in(tmp_path: Path) -> None:
    tls, ca = certificates(tmp_path, require_certificate=True)
    with Broker(directory=tmp_path, embedded=False, tls=tls) as broker:
        context = ssl.create_default_context()
        ca.configure_trust(context)
        with (
            socket.create_connection(("localhost", broker.port), timeout=DEADLINE_S) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as stranger,
            pytest.raises(ssl.SSLError, match="certificate required"),
        ):
            stranger.recv(1)
        ca.issue_cert("box").configure_cert(context)
        Client(broker, "box", lambda paho: paho.tls_set_context(context)).close()


@needs_mosquitto
def test_persistence_keeps_retained_messages_over_a_clean_stop(tmp_path: Path) -> None:
    broker = Broker(directory=tmp_path, embedded=False, persistence=True)
    for payloads in ([], [b"kept"]):
        with broker:
            box = Client(broker, "box")
            box.subscribe("box/state")
            assert [box.messages.get(timeout=DEADLINE_S).payload for _ in payloads] == payloads
            box.publish("box/state", b"kept", retain=True)
            box.close()


def test_a_port_that_is_taken_is_an_error_that_names_it(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(BrokerError, match=str(port)):
            Broker(port, tmp_path).start()


def test_the_embedded_broker_does_not_promise_what_it_cannot(tmp_path: Path) -> None:
    with pytest.raises(BrokerError, match="mosquitto"):
        Broker(directory=tmp_path, embedded=True, persistence=True)


@pytest.mark.parametrize("embedded", BOTH)
def test_the_broker_dies_with_the_process_that_started_it(tmp_path: Path, embedded: bool) -> None:
    code = (
        "import sys; from pathlib import Path; from simulators.broker import Broker; "
        f"broker = Broker(directory=Path({str(tmp_path)!r}), embedded={embedded}); broker.start(); "
        "print(broker.port, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        port = int(parent.stdout.readline())
        with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S) as witness:
            parent.kill()
            with suppress(ConnectionResetError):  # as good an end as a clean one; a living broker would time out
                assert witness.recv(1) == b""


def test_a_broker_started_on_a_thread_lives_longer_than_the_thread(tmp_path: Path) -> None:
    broker = Broker(directory=tmp_path)
    thread = threading.Thread(target=broker.start)
    thread.start()
    thread.join(DEADLINE_S)
    Client(broker, "box").close()
    assert broker.pid
    broker.stop()


@pytest.mark.parametrize("options", [[], ["--embedded"]], ids=["default", "embedded"])
def test_the_command_line_runs_a_broker_until_it_is_told_to_stop(options: list[str]) -> None:
    argv = [sys.executable, "-c", "import sys; from simulators.cli import main; sys.exit(main())", "broker"]
    with subprocess.Popen([*argv, "--port", "0", *options], stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout
        line = program.stdout.readline()
        assert "mqtt://127.0.0.1:" in line
        program.terminate()
        assert program.wait(DEADLINE_S) == 0


def certificates(directory: Path, *, require_certificate: bool) -> tuple[Tls, trustme.CA]:
    ca = trustme.CA()
    server = ca.issue_cert("localhost")
    tls = Tls(directory / "ca.pem", directory / "server.pem", directory / "server.key", require_certificate)
    ca.cert_pem.write_to_path(tls.cafile)
    server.private_key_pem.write_to_path(tls.keyfile)
    for blob in server.cert_chain_pems:
        blob.write_to_path(tls.certfile, append=True)
    return tls, ca
