"""Central on a bench: its hub on a real store, a broker that only writes down, and a box made by hand."""

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fakebox import FakeBox

from simulators.central.broker import Broker, Link, Message
from simulators.central.hub import Hub
from simulators.central.store import Store

DEADLINE_S = 20.0


def id_of(payload: bytes) -> str:
    return str(json.loads(payload)["id"])


class NoBroker(Broker):
    """Writes down what central hands to the broker."""

    def __init__(self) -> None:
        super().__init__("mqtt://127.0.0.1:1", "nobody")
        self.published: list[tuple[str, dict[str, Any]]] = []
        self.acknowledged: list[int] = []
        self.restarts = 0

    def publish(self, topic: str, payload: bytes, expires_s: float | None = None) -> int | None:  # noqa: ARG002
        self.published.append((topic, json.loads(payload)))
        return len(self.published)

    def acknowledge(self, mid: int, generation: int) -> None:  # noqa: ARG002
        self.acknowledged.append(mid)

    def restart(self) -> None:
        self.restarts += 1


class Bench:
    """A hub on a store, without a broker."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.broker = NoBroker()
        self.operator_key, self.central_key = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
        self.store = Store(path)
        self.hub = Hub(self.store, self.broker, "duty-desk", self.operator_key, self.central_key)
        self.said: list[tuple[str, dict[str, Any]]] = []
        self.mid = 0
        self.hub.start()
        self.hub.ask(lambda: self.hub.listen(lambda kind, data: self.said.append((kind, data)))).result(DEADLINE_S)
        self.hub.post(Link(up=True))

    def close(self) -> None:
        self.hub.stop()
        self.store.close()

    def send(self, box: FakeBox, part: str, *payloads: bytes, retain: bool = False) -> None:
        for payload in payloads:
            self.mid += 1
            self.hub.post(Message(f"{box.root}/{part}", payload, retain, self.mid, 0))
        self.settle()

    def settle(self) -> None:
        self.hub.ask(lambda: None).result(DEADLINE_S)
        self.hub.ask(lambda: None).result(DEADLINE_S)  # what the first round says is told before the second

    def shown(self) -> dict[str, Any]:
        return self.hub.ask(self.hub.snapshot).result(DEADLINE_S)

    def case(self, id_: str) -> dict[str, Any]:
        return next(case for case in self.shown()["cases"] if case["id"] == id_)

    def receipts(self, ready: Callable[[list[dict[str, Any]]], bool] = bool) -> list[dict[str, Any]]:
        """All receipts until now, as soon as they are `ready`."""
        until_s = time.monotonic() + DEADLINE_S
        while True:
            self.settle()
            receipts = [body for topic, body in list(self.broker.published) if topic.endswith("/receipt")]
            if ready(receipts):
                return receipts
            assert time.monotonic() < until_s, f"the receipts are {receipts}"

    def rows(self, query: str) -> list[Any]:
        with sqlite3.connect(self.path) as db:
            return db.execute(query).fetchall()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path / "central.db")
    yield bench
    bench.close()


@pytest.fixture
def box() -> FakeBox:
    return FakeBox()


def through(seq: int) -> Callable[[list[dict[str, Any]]], bool]:
    return lambda receipts: any(receipt["through"] == seq for receipt in receipts)
