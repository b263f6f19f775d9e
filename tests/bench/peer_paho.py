"""Two peers made of paho as its users write it, each in a process of its own.

`bare`: nothing is stored. A window of unacknowledged messages, alarms first. It holds its backlog in memory from before
the drain, and no link is cut.

`naive`: insert into SQLite (synchronous=FULL), publish, wait, delete, one event at a time.
"""

import multiprocessing
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path

import paho.mqtt.client as mqtt

from bench import load
from bench.bare import DEADLINE_S, connected
from bench.peers import Peer, far_broker
from bench.sink import Sink
from simulators.broker import Broker


class _Child:
    """A peer that lives in `run(control, ...)`. outage: the far broker that goes away; None for one that stays."""

    def __init__(self, sink: Sink, outage: Broker | None, run: Callable[..., None], *args: object) -> None:
        self.sink, self._outage = sink, outage
        context = multiprocessing.get_context("spawn")
        self._control, theirs = context.Pipe()
        self._process = context.Process(target=_until_left, args=(run, theirs, *args), daemon=True)
        self._process.start()
        theirs.close()
        self._ask("connected")

    def cut(self) -> None:
        if self._outage:
            self._outage.stop()

    def restore(self) -> None:
        if self._outage:
            self._outage.start()
        else:
            self._ask("go")

    def fill(self, events: Sequence[bytes]) -> None:
        self._ask("fill", list(events))

    def hand(self, alarm: bytes) -> None:
        self._control.send(("alarm", alarm))

    def pids(self) -> list[int]:
        assert self._process.pid is not None
        return [self._process.pid]

    def close(self) -> None:
        self._control.close()
        self._process.join(DEADLINE_S)

    def _ask(self, verb: str, what: object = None) -> None:
        self._control.send((verb, what))
        if not self._control.poll(DEADLINE_S):
            raise TimeoutError(f"the peer does not answer to {verb}")
        self._control.recv()


def _until_left(run: Callable[..., None], control: Connection, *args: object) -> None:
    with suppress(EOFError, KeyboardInterrupt):  # the parent is gone
        run(control, *args)


@contextmanager
def bare(directory: Path, window: int) -> Iterator[Peer]:
    """Bare paho with so many messages on their way at once."""
    with far_broker(directory) as (broker, sink):
        child = _Child(sink, None, _run_bare, broker.port, window)
        yield child
        child.close()


@contextmanager
def naive(directory: Path) -> Iterator[Peer]:
    """The loop that everybody writes first."""
    with far_broker(directory) as (broker, sink):
        child = _Child(sink, broker, _run_naive, broker.port, directory / "naive.db")
        yield child
        child.close()


def _run_bare(control: Connection, port: int, window: int) -> None:
    client = connected(port, window)
    slots, work = threading.Semaphore(window), threading.Semaphore(0)
    alarms, backlog = deque[bytes](), deque[bytes]()
    client.on_publish = lambda *_: slots.release()

    def publish() -> None:
        while work.acquire() and slots.acquire():
            if alarms:
                client.publish(load.ALARMS, alarms.popleft(), 1)
            else:
                client.publish(load.SCANS, backlog.popleft(), 1)

    threading.Thread(target=publish, daemon=True).start()
    while True:
        verb, what = control.recv()
        if verb == "alarm":
            alarms.append(what)
            work.release()
            continue
        if verb == "fill":
            backlog.extend(what)
        elif verb == "go":
            work.release(len(backlog))
        control.send(None)


def _run_naive(control: Connection, port: int, file: Path) -> None:
    db = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    for pragma in ("journal_mode=WAL", "synchronous=FULL"):
        db.execute(f"PRAGMA {pragma}")
    db.execute("CREATE TABLE outbox (seq INTEGER PRIMARY KEY, topic TEXT, body BLOB)")
    lock, more, up = threading.Lock(), threading.Event(), threading.Event()
    client = connected(port)
    client.on_connect = lambda *_: up.set()
    client.on_disconnect = lambda *_: up.clear()
    up.set()

    def insert(topic: str, body: bytes) -> None:
        with lock:
            db.execute("INSERT INTO outbox (topic, body) VALUES (?, ?)", [topic, body])
        more.set()

    def publish() -> None:
        while True:
            up.wait()
            more.clear()
            with lock:
                row = db.execute("SELECT seq, topic, body FROM outbox ORDER BY seq LIMIT 1").fetchone()
            if row is None:
                more.wait()
                continue
            sent = client.publish(row[1], row[2], 1)
            if sent.rc == mqtt.MQTT_ERR_SUCCESS:
                sent.wait_for_publish()
                with lock:
                    db.execute("DELETE FROM outbox WHERE seq = ?", [row[0]])

    threading.Thread(target=publish, daemon=True).start()
    while True:
        verb, what = control.recv()
        if verb == "alarm":
            insert(load.ALARMS, what)
            continue
        if verb == "fill":
            for body in what:
                insert(load.SCANS, body)
        control.send(None)
