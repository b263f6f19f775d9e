"""A NATS leaf node with JetStream beside the box, and a hub whose stream mirrors the leaf's.

Events are published over NATS's own protocol, its fastest way, and the far end is a push consumer without acks on the
hub's stream. Files are written through the page cache and synced every 2 minutes (`sync_interval`, the default); no
message is fsynced by itself, so a power cut takes what is younger. The leaf connects again after AGAIN_S, its default.
"""

import json
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from shutil import which
from subprocess import Popen
from typing import Any, Self

from real_box import until

from bench import load
from bench.bare import DEADLINE_S
from bench.peers import Peer
from bench.sink import Plan, Sink
from simulators.broker import free_port
from simulators.process import spawn, stop

STREAM, DELIVER, INBOX = "EVENTS", "far.end", "_INBOX.bench"
AGAIN_S = 1
WINDOW = 1000
HUB = """\
listen: "127.0.0.1:{port}"
jetstream {{ domain: "hub", store_dir: "{directory}" }}
leafnodes {{ listen: "127.0.0.1:{leaf_port}" }}
"""
LEAF = """\
listen: "127.0.0.1:{port}"
jetstream {{ domain: "leaf", store_dir: "{directory}" }}
leafnodes {{ reconnect: {again_s}, remotes: [ {{ url: "nats://127.0.0.1:{leaf_port}" }} ] }}
"""


class NatsClient:
    """A few lines of the NATS protocol. Raises OSError, and ValueError for what JetStream refuses."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._read = b""
        self._socket.sendall(b'CONNECT {"verbose":false,"pedantic":false}\r\nSUB %b 1\r\n' % INBOX.encode())
        self._line()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(self, subject: str, **what: Any) -> dict[str, Any]:
        """A request to JetStream's API, and its answer."""
        body = json.dumps(what).encode()
        self._socket.sendall(_published(subject, body, INBOX))
        while not (line := self._line()).startswith(b"MSG"):
            self._pong(line)
        answer: dict[str, Any] = json.loads(self._line())
        if "error" in answer:
            raise ValueError(f"{subject}: {answer['error']}")
        return answer

    def publish(self, subject: str, payload: bytes) -> None:
        """Sent when it returns, and not asked whether it is stored."""
        self._socket.sendall(_published(subject, payload, ""))

    def store(self, subject: str, payloads: Sequence[bytes]) -> None:
        """Returns when JetStream says that it has all of them; at most WINDOW are on their way."""
        for start in range(0, len(payloads), WINDOW):
            part = payloads[start : start + WINDOW]
            self._socket.sendall(b"".join(_published(subject, payload, INBOX) for payload in part))
            stored = 0
            while stored < len(part):
                line = self._line()
                self._pong(line)
                stored += b'"seq"' in line

    def _line(self) -> bytes:
        while b"\r\n" not in self._read:
            self._read += self._socket.recv(1 << 16)
        line, _, self._read = self._read.partition(b"\r\n")
        return line

    def _pong(self, line: bytes) -> None:
        if line == b"PING":
            self._socket.sendall(b"PONG\r\n")


def _published(subject: str, payload: bytes, reply: str) -> bytes:
    return f"PUB {subject} {reply} {len(payload)}\r\n".encode() + payload + b"\r\n"


class _Server:
    """One nats-server; it may be started again on the same port and store."""

    def __init__(self, directory: Path, config: str, **values: int) -> None:
        program = which("nats-server") or which("nats-server", path="/usr/sbin:/usr/local/sbin")
        if program is None:
            raise FileNotFoundError("nats-server is not installed (Debian: nats-server)")
        directory.mkdir()
        self.port, self._log, file = free_port(), directory / "log", directory / "nats.conf"
        file.write_text(config.format(port=self.port, directory=directory, again_s=AGAIN_S, **values))
        self._argv = [program, "-c", str(file)]
        self.process: Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when its JetStream answers."""
        self.process = spawn(self._argv, self._log)
        until(self._answers, f"nats-server answers; its log is {self._log}")

    def _answers(self) -> bool:
        try:
            with NatsClient(self.port) as client:
                return "limits" in client.ask("$JS.API.INFO")
        except (OSError, ValueError):
            return False

    def stop(self) -> None:
        """Clean. Does nothing when it does not run."""
        if self.process:
            stop(self.process)
            self.process = None


class _Leaf:
    def __init__(self, hub: _Server, leaf: _Server, sink: Sink, client: NatsClient) -> None:
        self.sink, self._hub, self._leaf, self._client = sink, hub, leaf, client

    def cut(self) -> None:
        self._hub.stop()

    def restore(self) -> None:
        self._hub.start()

    def fill(self, events: Sequence[bytes]) -> None:
        self._client.store(load.SCANS, events)

    def hand(self, alarm: bytes) -> None:
        self._client.publish(load.ALARMS, alarm)

    def pids(self) -> list[int]:
        assert self._leaf.process is not None
        return [self._leaf.process.pid]


@contextmanager
def leaf(directory: Path) -> Iterator[Peer]:
    """Hub and leaf, the stream and its mirror."""
    leaf_port = free_port()
    hub = _Server(directory / "hub", HUB, leaf_port=leaf_port)
    near = _Server(directory / "leaf", LEAF, leaf_port=leaf_port)
    try:
        hub.start()
        near.start()
        with NatsClient(near.port) as client, NatsClient(hub.port) as far:
            subjects = [load.SCANS, load.ALARMS]
            client.ask(f"$JS.API.STREAM.CREATE.{STREAM}", name=STREAM, subjects=subjects, storage="file")
            mirror = {"name": STREAM, "external": {"api": "$JS.leaf.API"}}
            far.ask(f"$JS.API.STREAM.CREATE.{STREAM}", name=STREAM, mirror=mirror, storage="file")
            consumer = {"durable_name": "sink", "deliver_subject": DELIVER, "ack_policy": "none"}
            far.ask(f"$JS.API.CONSUMER.DURABLE.CREATE.{STREAM}.sink", stream_name=STREAM, config=consumer)
            with Sink(Plan(hub.port, [DELIVER], wire="nats")) as sink:
                yield _Leaf(hub, near, sink.subscribed(), client)
    finally:
        near.stop()
        hub.stop()
