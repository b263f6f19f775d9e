"""What the same bytes cost without a box: a paho client, a round trip with it, and a commit."""

import json
import os
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

DEADLINE_S = 40.0
AGAIN_S = 1
"""paho's least pause before it connects again; by itself it would double it."""


def at_once(_client: mqtt.Client, _data: Any, sock: Any) -> None:
    """As the box and central do: no message waits for the next one."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def connected(port: int, window: int = 20) -> mqtt.Client:
    """A client that is connected and comes back by itself; its loop runs. At most `window` messages are on their way.

    Raises TimeoutError.
    """
    up = threading.Event()
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    client.on_socket_open = at_once
    client.on_connect = lambda *_: up.set()
    client.max_inflight_messages_set(window)
    client.reconnect_delay_set(AGAIN_S, AGAIN_S)
    client.connect("127.0.0.1", port)
    client.loop_start()
    if not up.wait(DEADLINE_S):
        raise TimeoutError("the broker does not answer")
    return client


class Client:
    """A bare paho client; `heard(topic, payload, monotonic s)` in its thread."""

    def __init__(self, port: int, topic: str, heard: Callable[[str, bytes, float], None]) -> None:
        subscribed = threading.Event()
        self.paho = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self.paho.on_socket_open = at_once
        self.paho.on_connect = lambda client, *_: client.subscribe(topic, 1)
        self.paho.on_subscribe = lambda *_: subscribed.set()
        self.paho.on_message = lambda _c, _d, message: heard(message.topic, bytes(message.payload), time.monotonic())
        self.paho.connect("127.0.0.1", port)
        self.paho.loop_start()
        if not subscribed.wait(DEADLINE_S):
            raise TimeoutError("the broker does not answer")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.paho.disconnect()
        self.paho.loop_stop()


class RoundTrip:
    """A message there, an answer back, through the broker."""

    def __init__(self, port: int) -> None:
        self._back = threading.Event()
        self._back_s = 0.0
        self._far = Client(port, "bench/there", self._turn)
        self._near = Client(port, "bench/back", self._answer)

    def _turn(self, _topic: str, body: bytes, _now_s: float) -> None:
        self._far.paho.publish("bench/back", body, 1)

    def _answer(self, _topic: str, _body: bytes, now_s: float) -> None:
        self._back_s = now_s
        self._back.set()

    def take_s(self, body: bytes) -> float:
        self._back.clear()
        began_s = time.monotonic()
        self._near.paho.publish("bench/there", body, 1)
        if not self._back.wait(DEADLINE_S):
            raise TimeoutError("no answer through the broker")
        return self._back_s - began_s

    def close(self) -> None:
        self._far.close()
        self._near.close()


class Commit:
    """One row in a table with a plain sqlite3 connection, in a process of its own; used as a context.

    environment: added to that process's, for a disk that is slow.
    """

    def __init__(self, file: Path, environment: Mapping[str, str] | None = None) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.bare", file],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | dict(environment or {}),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def take_s(self, body: bytes) -> float:
        """Seconds of one commit of `body`, which is text."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(body.decode()) + "\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())


def _commits(file: str) -> None:
    db = sqlite3.connect(file, isolation_level=None)
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "wal_autocheckpoint=0"):
        db.execute(f"PRAGMA {pragma}")
    db.execute("CREATE TABLE events (seq INTEGER PRIMARY KEY, body BLOB)")
    for line in sys.stdin:
        body = json.loads(line).encode()
        began_s = time.monotonic()
        db.execute("INSERT INTO events (body) VALUES (?)", [body])
        sys.stdout.write(f"{time.monotonic() - began_s}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _commits(sys.argv[1])
