"""A mosquitto beside the box that bridges to the far one: QoS 1, a kept session, no limit to its queue.

It persists every 1,800 s and when it ends: what a power cut finds in its memory is lost, and that is its default.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench import load
from bench.packets import RawClient
from bench.peers import Peer, far_broker
from bench.sink import Sink
from simulators.broker import Broker

AGAIN_S = 1
"""It tries to connect so often; by itself after 5 to 30 s."""


class _Bridge:
    def __init__(self, far: Broker, sink: Sink, near: Broker, client: RawClient) -> None:
        self.sink, self._far, self._near, self._client = sink, far, near, client

    def cut(self) -> None:
        self._far.stop()

    def restore(self) -> None:
        self._far.start()

    def fill(self, events: Sequence[bytes]) -> None:
        self._client.publish_all(load.SCANS, events)

    def hand(self, alarm: bytes) -> None:
        self._client.publish(load.ALARMS, alarm)

    def pids(self) -> list[int]:
        assert self._near.pid is not None
        return [self._near.pid]


@contextmanager
def bridge(directory: Path) -> Iterator[Peer]:
    """The two brokers and their bridge."""
    with far_broker(directory) as (far, sink):
        lines = [
            "connection far",
            f"address 127.0.0.1:{far.port}",
            "topic callbox/# out 1",
            "cleansession false",
            f"restart_timeout {AGAIN_S}",
        ]
        with (
            Broker(directory=directory / "near", persistence=True, config=lines) as near,
            RawClient(near.port) as client,
        ):
            yield _Bridge(far, sink, near, client)
