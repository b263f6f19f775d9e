"""A Modbus bus on a bench: its modules and the time, at the pace of a line of 9600 bit/s."""

from collections.abc import Callable
from itertools import pairwise

from drivers.contract import Edge, Health, Reading
from drivers.modbus_bus import Bus, Point, Sensor
from drivers.modbus_frame import ON, WRITE_COIL, Missed, Outcome, Request, Values

ANSWER_S = 0.032
"""A request and its answer at 9600 bit/s."""
TIMEOUT_S = 0.1


class World:
    """Modules with eight contacts, counters and coils each, and the time. faults: what a unit says instead."""

    def __init__(self, inputs: dict[str, tuple[Point, Sensor]], outputs: dict[str, Point] | None = None) -> None:
        self.bus = Bus(inputs, outputs or {})
        self.now_s = 0.0
        self.bits: dict[tuple[int, int], int] = {}
        self.coils: dict[tuple[int, int], int] = {}
        self.counts: dict[tuple[int, int], int] = {}
        self.faults: dict[int, Outcome] = {}
        self.asked: list[tuple[float, Request]] = []
        self.readings: list[Reading] = []

    def run(self, seconds: float, until: Callable[[], bool] = lambda: False) -> list[Reading]:
        """What is told in this time."""
        end_s, self.readings = self.now_s + seconds, []
        while self.now_s < end_s and not until():
            if (request := self.bus.next(self.now_s)) is None:
                self.now_s += max(self.bus.wait_s(self.now_s), 0.001)
                continue
            self.asked.append((self.now_s, request))
            outcome = self.faults.get(request.unit) or self.answer(request)
            self.now_s += TIMEOUT_S if isinstance(outcome, Missed) else ANSWER_S
            self.readings += self.bus.told(outcome, self.now_s)
        return self.readings

    def answer(self, request: Request) -> Outcome:
        if request.function == WRITE_COIL:
            self.coils[request.unit, request.address] = int(request.value == ON)
            return Values(())
        table = {1: self.coils, 2: self.bits, 4: self.counts, 3: self.counts}[request.function]
        places = range(request.address, request.address + request.value)
        return Values(tuple(table.get((request.unit, place), 0) for place in places))

    def times(self, unit: int, function: int = 2) -> list[float]:
        return [at for at, request in self.asked if (request.unit, request.function) == (unit, function)]

    def gaps(self, unit: int) -> list[float]:
        times = self.times(unit)
        return [b - a for a, b in pairwise(times)]


def contact(unit: int, channel: int, name: str = "", *, closed: bool = False) -> tuple[Point, Sensor]:
    sensor = Sensor(name or f"{unit}/{channel}", closed=closed, counter=False)
    return Point(unit, "discrete", channel - 1), sensor


def counter(unit: int, channel: int, name: str) -> tuple[Point, Sensor]:
    return Point(unit, "input", channel - 1), Sensor(name, closed=False, counter=True)


def modules(*units: int) -> World:
    return World({f"{unit}/3": contact(unit, 3) for unit in units})


def edges(readings: list[Reading]) -> list[tuple[str, bool, bool]]:
    return [(each.input, each.active, each.initial) for each in readings if isinstance(each, Edge)]


def healths(readings: list[Reading]) -> list[tuple[str, str, str]]:
    return [(each.input, each.quality, each.reason) for each in readings if isinstance(each, Health)]
