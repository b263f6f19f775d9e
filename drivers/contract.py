"""What a driver and the agent owe each other. Standard library only.

A driver is one wire: a GPIO chip, a serial line. It turns what happens there into
readings, raw and with the time they were seen, and knows nothing of alarms, debounce,
journals or links. The agent finds it by its entry point in the group `callbox.drivers`.

The driver promises
- each change of an input is emitted, in order, with the time it was seen; nothing is merged or held back;
- the level of each contact that it can read is emitted first after `run` starts, as an `initial` edge;
- an input whose wire is good says so with its first reading: an edge, a code, or Health `good`;
- garbage on the wire is counted in `noise` and skipped; a wire that is gone raises DriverError.

The agent promises
- `run` has a thread of its own; when it raises DriverError, the inputs go to quality `offline`, and `run`
  is called again after a pause (backoff with jitter) until the agent stops;
- `emit` never raises, and blocks only while the agent's mailbox is full;
- `set` is called from another thread than `run`, at any time, also before the wire is open.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

Quality = Literal["good", "open", "short", "offline"]


@dataclass(frozen=True, slots=True)
class Edge:
    """A contact is (when the wire was opened) or became active or idle: raw, undebounced.

    active: True in the position that means alarm (pressed, or cut where normally closed).
    seen_s: monotonic seconds.
    initial: the level that was found when the wire was opened, not a change that was seen.
    settled: the device has debounced it already, so that a press and a release in one moment are a press.
    """

    input: str
    active: bool
    seen_s: float
    initial: bool = False
    settled: bool = False


@dataclass(frozen=True, slots=True)
class Code:
    """A code was read: one scan, with its text as it came, decoded."""

    input: str
    code: str
    seen_s: float


@dataclass(frozen=True, slots=True)
class Health:
    """The wire of one input is as good as `quality` says: a fault is not a press and not silence."""

    input: str
    quality: Quality
    reason: str
    seen_s: float


Reading = Edge | Code | Health


class DriverError(Exception):
    """The wire is gone or cannot be opened.

    where: port or chip as in the config. found: what the system said. hint: what to do next, for the person on site.
    """

    def __init__(self, where: str, found: str, hint: str) -> None:
        super().__init__(f"{where}: {found}; {hint}")
        self.where, self.found, self.hint = where, found, hint


class Host(Protocol):
    """The agent, as a driver sees it."""

    def emit(self, reading: Reading) -> None:
        """Hands a reading to the agent."""

    def alive(self) -> bool:
        """Stamps that the driver made progress; False: return from `run`. To be called at least once a second."""


class Driver(Protocol):
    """One open or closed wire."""

    noise: int
    """Readings that made no sense since the start; shown in the status, never an alarm."""

    def run(self, host: Host) -> None:
        """Opens the wire and emits readings until `host.alive()` is False; closes it. Raises DriverError."""

    def set(self, output: str, on: bool) -> None:
        """Drives an output. Returns at once; while the wire is gone it keeps the wish for when it is back."""


class DriverType(Protocol):
    """What an entry point names: a class that makes drivers.

    Options, Input, Output: frozen dataclasses of the keys that a driver's entry, one of its inputs and one of its
    outputs have in the config beside the common ones (driver: id, type; input: id, driver, kind, cameras, debounce_ms;
    output: id, driver, role, color). Defaults stand in the dataclass; `field(metadata={"doc": ..., "unit": ...})` says
    what the key is; `__post_init__` raises ValueError with what was found and what is allowed.
    Input has `codes: bool`: True where that input gives codes, and not edges.
    Output is None where the wire has no outputs.
    """

    Options: type[Any]
    Input: type[Any]
    Output: type[Any] | None

    def __call__(self, name: str, options: Any, inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> Driver:
        """name: the driver's id in the config. inputs, outputs: by id. Opens nothing yet."""
