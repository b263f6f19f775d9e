"""Central killed between two pieces of a file: what a receipt has named is there, and the rest comes."""

import json
import queue
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from clips import stored
from duty_desk import DEADLINE_S
from fakebox import FakeBox
from paho.mqtt.enums import CallbackAPIVersion

from simulators.broker import Broker

pytestmark = pytest.mark.real
KILLS = 5


class Uploader(FakeBox):
    """A box at the broker that sends one piece after another, from where the receipt says."""

    def connect(self, port: int) -> None:
        self.receipts: queue.Queue[dict[str, Any]] = queue.Queue()
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self.client.on_message = lambda _client, _data, message: self.receipts.put(json.loads(message.payload))
        self.client.on_connect = lambda client, *_: client.subscribe(f"{self.root}/receipt", 1)
        subscribed: queue.Queue[bool] = queue.Queue()
        self.client.on_subscribe = lambda *_: subscribed.put(True)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        subscribed.get(timeout=DEADLINE_S)

    def say(self, part: str, payload: bytes, retain: bool = False) -> None:
        self.client.publish(f"{self.root}/{part}", payload, 1, retain)

    def told(self, sha256: str) -> int:
        """Bytes of the file in the next receipt that names it."""
        while True:
            media = self.receipts.get(timeout=DEADLINE_S).get("media", {})
            if sha256 in media:
                return int(media[sha256])

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@contextmanager
def central(port: int, store: Path) -> Iterator[subprocess.Popen[str]]:
    """Killed at the end."""
    call = ["central", "--broker", f"mqtt://127.0.0.1:{port}", "--store", str(store), "--http", "0"]
    code = "import sys; from simulators.cli import main; sys.exit(main())"
    process = subprocess.Popen(
        [sys.executable, "-c", code, *call], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stdout is not None and process.stdout.readline()
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()  # type: ignore[union-attr]


def test_a_kill_between_two_pieces_costs_none_that_a_receipt_has_named(tmp_path: Path) -> None:
    store, box = tmp_path / "central.db", Uploader()
    file = stored(bytes(number * number % 251 for number in range(60_000)), "video/mp2t", 1_790_000_000.0)
    with Broker() as broker:
        box.connect(broker.port)
        event = box.evidence("01a200e4-24bf-70ff-9531-985d5d9dc9f8", "front", file.entry, last=True)
        promised = 0
        for kill in range(KILLS):
            with central(broker.port, store):
                box.say("state", box.state(f"{kill + 1}"), retain=True)
                box.receipts.get(timeout=DEADLINE_S)  # it is there
                box.say("event/status", event)
                box.say(f"media/{file.sha256}/{promised}", file.data[promised : promised + 1])
                at = box.told(file.sha256)
                assert at >= promised
                while at < 10_000 * (kill + 1):
                    box.say(f"media/{file.sha256}/{at}", file.data[at : at + 4096])
                    box.say(f"media/{file.sha256}/{at + 4096}", file.data[at + 4096 : at + 8192])  # the kill finds it
                    at = box.told(file.sha256)
                promised = at
            parts = [path for path in Path(f"{store}.media").iterdir() if path.name.endswith(".part")]
            assert [path.read_bytes()[:promised] for path in parts] == [file.data[:promised]]
        with central(broker.port, store):
            box.say("state", box.state("last"), retain=True)
            while (at := box.told(file.sha256)) < len(file.data):
                box.say(f"media/{file.sha256}/{at}", file.data[at : at + 4096])
            assert (Path(f"{store}.media") / file.sha256).read_bytes() == file.data
        box.close()
