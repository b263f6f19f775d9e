"""One MQTT session: a real socket, and a broker that is not there or says nothing."""

import inspect
import queue
import socket
import threading
from typing import Any

import paho.mqtt.client as paho
import pytest
from bench_box import YAML, config
from driver_host import until
from paho.mqtt.enums import CallbackAPIVersion

from agent.mail import Connect, SessionDown
from agent.mqtt import Session
from agent.paho_client import Client

pytestmark = pytest.mark.real
DEADLINE_S = 20.0


def begun(port: int) -> tuple[Session, "queue.Queue[Any]"]:
    """A session to this port of this machine, and what it says."""
    answers: queue.Queue[Any] = queue.Queue()
    text = YAML.replace("mqtt://central.example", f"mqtt://127.0.0.1:{port}")
    return Session(config(text), Connect("c0ffee01", 0, "5"), answers.put), answers


def ended(port: int) -> tuple[SessionDown, "queue.Queue[Any]"]:
    """What such a session said when it was over, and what it says afterwards."""
    session, answers = begun(port)
    down = answers.get(timeout=DEADLINE_S)
    assert isinstance(down, SessionDown)
    session.join(DEADLINE_S)
    return down, answers


@pytest.fixture
def listener() -> Any:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def test_a_port_where_nothing_listens_ends_the_session_once_and_says_what_to_do(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    listener.close()
    down, answers = ended(port)
    assert down.session == "c0ffee01"
    assert down.reason == f"127.0.0.1:{port}: Connection refused"
    assert "nothing listens there" in down.hint
    assert not down.hung_up
    assert answers.empty()


def test_a_peer_that_hangs_up_without_a_word_may_not_know_the_protocol(listener: socket.socket) -> None:
    def hang_up() -> None:
        peer, _ = listener.accept()
        peer.recv(1)
        peer.close()

    threading.Thread(target=hang_up, daemon=True).start()
    down, _ = ended(listener.getsockname()[1])
    assert down.hung_up
    assert not down.wrong_protocol


def test_a_session_that_ended_is_nobodys_to_watch(listener: socket.socket) -> None:
    """The next one may be a minute away, and the watchdog must not take the silence between them for a hang."""
    session, answers = begun(listener.getsockname()[1])
    peer, _ = listener.accept()
    until(lambda: session.progress_s != float("inf"))  # it is watched while it goes on
    peer.close()
    assert isinstance(answers.get(timeout=DEADLINE_S), SessionDown)
    assert session.progress_s == float("inf")


def test_a_session_that_was_given_up_while_it_dialled_says_not_a_byte(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A CONNECT of this box's id would end the session that came after it."""
    dialled, given_up = threading.Event(), threading.Event()
    connect = paho.Client.connect

    def slow(*args: Any, **keys: Any) -> Any:
        done = connect(*args, **keys)
        dialled.set()
        given_up.wait(DEADLINE_S)
        return done

    monkeypatch.setattr(paho.Client, "connect", slow)
    session, answers = begun(listener.getsockname()[1])
    assert dialled.wait(DEADLINE_S)
    session.close()
    given_up.set()
    broker, _ = listener.accept()
    broker.settimeout(DEADLINE_S)
    with broker:
        assert broker.recv(1) == b""
    assert isinstance(answers.get(timeout=DEADLINE_S), SessionDown)


def test_paho_still_goes_the_way_that_our_client_shortens() -> None:
    """Where a version of paho does not, everything works as before, and slower: then this module is to be looked at."""
    for name in ("_sock_recv", "_sock_send", "_sock_close", "_handle_pubackcomp", "_out_messages", "_in_packet"):
        assert f"self.{name}" in inspect.getsource(paho.Client), f"paho no longer has {name}"


def test_a_puback_without_a_reason_is_told_once_and_forgotten_by_paho() -> None:
    acked: list[int] = []
    client = Client(CallbackAPIVersion.VERSION2, acked=acked.append)
    client._out_messages[7] = paho.MQTTMessage(7)
    client._inflight_messages = 1
    for _ in range(2):
        client._in_packet["packet"] = bytearray(b"\x00\x07")
        client._handle_pubackcomp("PUBACK")
    assert (acked, len(client._out_messages), client._inflight_messages) == ([7], 0, 0)
