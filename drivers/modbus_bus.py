"""One Modbus bus: what is asked next, and what the answers say of the inputs. Pure: requests out; outcomes and time in.

Every ROUND_S begins a round. In it each unit that answers is asked once for all of its inputs. Of those that do not,
one is asked in a round at most, ever more rarely: so a bus with dead modules goes on at the pace of the living ones
and one timeout. Writes go between any two reads, as soon as they are wished.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from drivers.contract import Edge, Health, Reading
from drivers.modbus_frame import ON, READ, WRITE_COIL, Missed, Outcome, Refused, Request, Table, Values

ROUND_S: Final = 0.1
MISSES: Final = 3
"""So many in a row, and the inputs are offline: one bad frame is no trouble."""
RETRY_S: Final = 0.4
RETRY_MAX_S: Final = 2.0
"""A module that is back is noticed within this, and one round."""
COILS_S: Final = 1.0
"""How often it is looked whether the coils are as wished: a module that was started anew has forgotten."""
GATEWAY: Final = (10, 11)
"""Exceptions by which a gateway says that the unit does not answer."""
PULSES_PER_S: Final = 100
PULSES_MAX: Final = 1000
"""A count that grew by more is no count of presses: the module was reset or replaced."""
SPAN: Final[dict[Table, int]] = {"discrete": 64, "coil": 64, "input": 16, "holding": 16}
"""Channels that one request reads at most: to ask again costs more than to be told some more."""


def pulses(before: int, now: int, passed_s: float) -> int | None:
    """Presses between two looks at a 16 bit counter, which wraps around; after a reset it counts from 0.

    None: neither explains it. passed_s: between the two looks.
    """
    most = min(PULSES_MAX, PULSES_PER_S * (passed_s + ROUND_S))
    grown = (now - before) % 0x10000
    if grown <= most:
        return grown
    return now if now < before and now <= most else None


class Sensor:
    """One input, as it was last told. reason: why it is offline; "" while it is good, None while nothing is known."""

    def __init__(self, name: str, *, closed: bool, counter: bool) -> None:
        self._name, self._closed, self._counter = name, closed, counter
        self._active = False
        self._count: int | None = None
        self._counted_s = 0.0
        self.reason: str | None = None
        self.noise = 0

    def value(self, value: int, now_s: float) -> list[Reading]:
        """What a new bit or count tells."""
        known, self.reason = self.reason == "", ""
        if not self._counter:
            active = bool(value) != self._closed
            changed, self._active = active != self._active, active
            return [Edge(self._name, active, now_s, initial=not known)] if changed or not known else []
        readings: list[Reading] = [] if known else [Health(self._name, "good", "", now_s)]
        if self._count is not None:
            presses = pulses(self._count, value, now_s - self._counted_s)
            self.noise += presses is None
            for _ in range(presses or 0):
                readings += [
                    Edge(self._name, True, now_s, settled=True),
                    Edge(self._name, False, now_s, settled=True),
                ]
        self._count, self._counted_s = value, now_s
        return readings

    def offline(self, reason: str, now_s: float) -> list[Reading]:
        """Told once for each reason. What was counted stays known: presses of the meantime are told when it is back."""
        if reason == self.reason:
            return []
        self.reason = reason
        return [Health(self._name, "offline", reason, now_s)]


@dataclass(slots=True)
class Read:
    """A request that is made again and again. sensors: by their place in the answer."""

    request: Request
    sensors: dict[int, Sensor] = field(default_factory=dict)
    coils: dict[int, str] = field(default_factory=dict)
    """Outputs by their place in the answer."""
    due_s: float = float("-inf")
    """When it is asked next, where it is for coils alone; inputs are read in each round."""
    refusals: int = 0


@dataclass(slots=True)
class Unit:
    """One module."""

    number: int
    reads: list[Read] = field(default_factory=list)
    heard: bool = False
    misses: int = 0
    due_s: float = float("-inf")


@dataclass(frozen=True, slots=True)
class Point:
    """Where an input or output is. address: from 0 on."""

    unit: int
    table: Table
    address: int


class Bus:
    """All units of one wire."""

    def __init__(self, inputs: Mapping[str, tuple[Point, Sensor]], outputs: Mapping[str, Point]) -> None:
        numbers = dict.fromkeys(
            [point.unit for point, _ in inputs.values()] + [point.unit for point in outputs.values()]
        )
        self._units = {number: Unit(number) for number in numbers}
        self._outputs = dict(outputs)
        self._sensors = [sensor for _, sensor in inputs.values()]
        for read in _reads((point, sensor) for point, sensor in inputs.values()):
            self._units[read.request.unit].reads.append(read)
        for read in _reads((point, name) for name, point in outputs.items()):
            self._units[read.request.unit].reads.append(read)
        self._wishes: dict[str, bool | None] = dict.fromkeys(outputs)
        self._written: dict[str, bool | None] = dict.fromkeys(outputs)
        self._refused: set[str] = set()
        self._noise = 0
        self.restart()

    def restart(self) -> None:
        """The wire was opened anew: nothing is known but what was counted and what is wished."""
        for unit in self._units.values():
            unit.heard, unit.misses, unit.due_s = False, 0, float("-inf")
            self._forget_written(unit)
        for sensor in self._sensors:
            sensor.reason = None
        self._queue: deque[tuple[Unit, Read]] = deque()
        self._unit: Unit
        self._read: Read | None = None
        """The last request was for this; None: it was a write, and `_write` is what."""
        self._write = ("", False)
        self._round_s = float("-inf")

    @property
    def longest_round(self) -> list[Request]:
        """All that is asked in one round where each unit answers: all inputs, and the coils of one unit."""
        reads = [read for unit in self._units.values() for read in unit.reads]
        coils = sorted((read.request for read in reads if read.coils), key=lambda request: request.answer_bytes)
        return [read.request for read in reads if not read.coils] + coils[-1:]

    @property
    def dead(self) -> bool:
        """No unit answers, and none has for MISSES requests."""
        return bool(self._units) and all(unit.misses >= MISSES for unit in self._units.values())

    @property
    def unwritten(self) -> list[str]:
        """Outputs that are not as wished, as far as is known."""
        wished = {output: on for output, on in self._wishes.items() if on is not None}
        return [output for output, on in wished.items() if on != self._written[output] or output in self._refused]

    def take_noise(self) -> int:
        """Answers that made no sense since the last call."""
        noise, self._noise = self._noise, 0
        for sensor in self._sensors:
            noise, sensor.noise = noise + sensor.noise, 0
        return noise

    def wish(self, output: str, on: bool) -> None:
        """How an output is to be from now on. Safe from any thread. Raises KeyError for an unknown output."""
        if output not in self._wishes:
            raise KeyError(output)
        self._wishes[output] = on

    def next(self, now_s: float) -> Request | None:
        """What to ask now; its outcome must be told before the next one. None: nothing before `wait_s`, or a wish."""
        if not self._queue and now_s >= self._round_s:
            self._round_s = now_s + ROUND_S
            self._queue.extend(self._round(now_s))
        if (self._read or not self._queue) and (request := self.next_write()):
            return request
        if not self._queue:
            return None
        self._unit, self._read = self._queue.popleft()
        return self._read.request

    def next_write(self, *, blindly: bool = False) -> Request | None:
        """A wish to write, to a unit that answers. blindly: also to one of which nothing is known, and MISSES times."""
        for output, point in self._outputs.items():
            unit, on = self._units[point.unit], self._wishes[output]
            ready = unit.misses < MISSES if blindly else unit.heard and not unit.misses
            if on is not None and on != self._written[output] and ready:
                self._unit, self._read, self._write = unit, None, (output, on)
                self._outputs[output] = self._outputs.pop(output)  # the last in turn: one that flickers stops no other
                return Request(point.unit, WRITE_COIL, point.address, ON if on else 0)
        return None

    def wait_s(self, now_s: float) -> float:
        """Until the next round."""
        return max(0.0, self._round_s - now_s)

    def told(self, outcome: Outcome, now_s: float) -> list[Reading]:
        """What became of the request that `next` gave."""
        unit, read = self._unit, self._read
        if isinstance(outcome, Refused) and outcome.code in GATEWAY:
            outcome = Missed(outcome.reason, noise=False)
        if isinstance(outcome, Missed):
            return self._missed(unit, outcome, now_s)
        unit.heard, unit.misses = True, 0
        if read is None:
            output, on = self._write
            self._written[output] = on  # also one that was refused: tried again when the coils are looked at
            if isinstance(outcome, Refused):
                self._noise += 1
                self._refused.add(output)
            else:
                self._refused.discard(output)
            return []
        read.due_s = now_s + COILS_S
        if isinstance(outcome, Refused):
            read.refusals += 1
            return _offline(read, outcome.reason, now_s) if read.refusals >= MISSES else []
        read.refusals = 0
        return self._values(read, outcome, now_s)

    def _values(self, read: Read, outcome: Values, now_s: float) -> list[Reading]:
        for place, output in read.coils.items():
            if outcome.values[place] != self._written[output]:
                self._written[output] = None
        return [
            reading for place, sensor in read.sensors.items() for reading in sensor.value(outcome.values[place], now_s)
        ]

    def _missed(self, unit: Unit, outcome: Missed, now_s: float) -> list[Reading]:
        """One miss is the unit's: its other requests would only wait too."""
        self._noise += outcome.noise
        unit.misses += 1
        # A late answer must not come into the next request, which may want the same number of other channels. Noise is
        # not late.
        first_s = 0.0 if outcome.noise else ROUND_S
        unit.due_s = now_s + (first_s if unit.misses == 1 else min(RETRY_MAX_S, RETRY_S * 2 ** min(unit.misses - 2, 8)))
        self._queue = deque(entry for entry in self._queue if entry[0] is not unit)
        self._forget_written(unit)
        if unit.misses < MISSES:
            return []
        return [reading for read in unit.reads for reading in _offline(read, outcome.reason, now_s)]

    def _forget_written(self, unit: Unit) -> None:
        for output, point in self._outputs.items():
            if point.unit == unit.number:
                self._written[output] = None

    def _round(self, now_s: float) -> Iterable[tuple[Unit, Read]]:
        coils = None
        for unit in self._units.values():
            if unit.misses:
                continue
            for read in unit.reads:
                if not read.coils:
                    yield unit, read
                elif read.due_s <= now_s and (coils is None or read.due_s < coils[1].due_s):
                    coils = unit, read
        if coils:
            yield coils
        dead = [unit for unit in self._units.values() if unit.misses and unit.due_s <= now_s]
        if dead:
            unit = min(dead, key=lambda each: each.due_s)
            yield unit, unit.reads[0]


def _offline(read: Read, reason: str, now_s: float) -> list[Reading]:
    where = f"unit {read.request.unit}: {reason}"
    return [reading for sensor in read.sensors.values() for reading in sensor.offline(where, now_s)]


def _reads(points: Iterable[tuple[Point, Sensor | str]]) -> list[Read]:
    """As few requests as cover all points: neighbours in one table of one unit together, within SPAN."""
    reads: list[Read] = []
    for point, what in sorted(points, key=lambda each: (each[0].unit, each[0].table, each[0].address)):
        last = reads[-1].request if reads else None
        same = last and (last.unit, last.function) == (point.unit, READ[point.table])
        if not last or not same or point.address >= last.address + SPAN[point.table]:
            reads.append(Read(Request(point.unit, READ[point.table], point.address, 1)))
        read = reads[-1]
        place = point.address - read.request.address
        read.request = Request(point.unit, READ[point.table], read.request.address, place + 1)
        if isinstance(what, Sensor):
            read.sensors[place] = what
        else:
            read.coils[place] = what
    return reads
