"""A press while every other wire of the box brings garbage as fast as it can, or says nothing at all."""

import random
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from real_box import RealBox

from bench.figures import Row, rows_of
from bench.ours import edges, fast_central, our_box, press_to_lamp
from bench.sink import Sink
from simulators.line import LinePanel

PRESSES, WARM_UP = 150, 10
GARBAGE_BYTES, GARBAGE_S = 120, 0.01
"""What 115200 baud carries: 11.5 KB a second on each wire."""
WIRES: Final[dict[str, tuple[dict[str, Any], dict[str, Any]]]] = {
    "line": ({}, {"kind": "panic", "pressed": "^B1:1$"}),
    "scanner": ({}, {"kind": "scan"}),
    "gps": ({}, {"kind": "position"}),
    "surgard": ({}, {"kind": "panic", "account": "1234", "event": "120"}),
    "ad2": ({}, {"kind": "intrusion", "zone": 8}),
    "modbus": ({"baud": 115200}, {"kind": "panic", "channel": 1}),
}
"""The keys of a driver of each type, and of an input that hangs on it."""


class Noise(threading.Thread):
    """Random bytes into every panel, between `start` and `stop`."""

    def __init__(self, panels: list[LinePanel]) -> None:
        super().__init__(daemon=True)
        self._panels, self._over, self._rng = panels, threading.Event(), random.Random(3)

    def run(self) -> None:
        while not self._over.wait(GARBAGE_S):
            for panel in self._panels:
                panel.send(self._rng.randbytes(GARBAGE_BYTES))

    def stop(self) -> None:
        self._over.set()
        self.join()


@contextmanager
def _wired() -> Iterator[tuple[RealBox, Sink, list[LinePanel]]]:
    """A box with one wire of each type beside its board."""
    with tempfile.TemporaryDirectory(prefix="callbox-bench-") as name, ExitStack() as stack:
        panels = {type: stack.enter_context(LinePanel(Path(name) / f"{type}-tty")) for type in WIRES}
        box = stack.enter_context(our_box(Path(name)))
        sink = stack.enter_context(fast_central(box))
        for type, (options, keys) in WIRES.items():
            box.config["drivers"].append({"id": f"w-{type}", "type": type, "port": panels[type].path, **options})
            box.config["inputs"].append({"id": f"i-{type}", "driver": f"w-{type}", **keys})
        box.write_config()
        box.power_on()
        box.armed()
        yield box, sink, list(panels.values())


def _lamp_s(noisy: bool) -> list[float]:
    """Seconds from the edge to the lamp."""
    with _wired() as (box, sink, panels):
        noise = Noise(panels)
        if noisy:
            noise.start()
        sink.wait(1)
        before = len(edges(box))
        lit_s = [lit_s for _, lit_s in press_to_lamp(box, WARM_UP + PRESSES)]
        seen = [at_s for seq, at_s in edges(box).items()][before:]
        if noisy:
            noise.stop()
        return [lit - at_s for lit, at_s in zip(lit_s, seen, strict=True)][WARM_UP:]


def rows() -> list[Row]:
    """Quiet is measured before and after."""
    quiet_s = _lamp_s(noisy=False)
    noisy_s = _lamp_s(noisy=True)
    quiet_s += _lamp_s(noisy=False)
    return rows_of(f"edge to lamp, garbage on {len(WIRES)} wires", noisy_s, "quiet", quiet_s, 1.5, 1.5)
