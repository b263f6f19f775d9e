"""What a driver and the agent owe each other. Standard library only.

A driver is one wire: a GPIO chip, a serial line. It turns what happens there into
readings, raw and with the time they were seen, and knows nothing of alarms, debounce,
journals or links. A path is one way out besides MQTT: an alarm receiver, a modem. The
agent finds both by their entry points in the group `callbox.drivers`.

The driver promises
- each change of an input is emitted, in order, with the time it was seen; nothing is merged or held back, but for a
  contact that changes faster than any hand: it may be told in fewer edges, and the others are counted in `noise`;
- the level of each contact that it can read is emitted first after `run` starts, as an `initial` edge;
- an input whose wire is good says so with its first reading: an edge, a code, or Health `good`;
- garbage on the wire is counted in `noise` and skipped; a wire that is gone raises DriverError;
- when `run` returns, each output stands as `set` wished it before `alive` said False, also when that was at once.

The agent promises
- `run` has a thread of its own; when it raises DriverError, the inputs go to quality `offline`, and `run`
  is called again after a pause (backoff with jitter) until the agent stops;
- `emit` never raises, and blocks only while the agent's mailbox is full;
- `set` is called from another thread than `run`, at any time, also before the wire is open.

A path promises
- `run` takes one report after the other from `host.next`, and says what became of each, once: `delivered` only when
  the far end itself has said that it has it, `refused` when it never will take it; without a word it is given again;
- a way that is gone raises DriverError, as a wire does, and loses no report.
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
    """A code was read: one scan, with its text as it came, decoded.

    format: of the code, where the device says it: qr, ean13, code128 ... in small letters and digits.
    """

    input: str
    code: str
    seen_s: float
    format: str = ""


@dataclass(frozen=True, slots=True)
class Health:
    """The wire of one input is as good as `quality` says: a fault is not a press and not silence."""

    input: str
    quality: Quality
    reason: str
    seen_s: float


@dataclass(frozen=True, slots=True)
class Paper:
    """A document's machine-readable zone was read (ICAO 9303), whole, whatever of it is to be kept.

    fields: as they stand on it, without fillers, by name: type, issuer, number, nationality, surname, given_names,
    birth, sex, expires, optional, optional2; dates as YYMMDD. wrong: names of the check digits that are not right, of
    number, birth, expires, optional, composite.
    """

    input: str
    layout: Literal["td1", "td2", "td3", "mrva", "mrvb"]
    fields: Mapping[str, str]
    wrong: tuple[str, ...]
    seen_s: float


@dataclass(frozen=True, slots=True)
class Fix:
    """Where the box is, as a receiver says it: degrees, north and east positive; None while it does not know.

    speed_mps: metres a second. course_deg: over ground, from true north. utc_s: seconds since 1970 that the receiver
    told at `seen_s`, None where it told none that is valid.
    """

    input: str
    latitude: float | None
    longitude: float | None
    seen_s: float
    speed_mps: float | None = None
    course_deg: float | None = None
    satellites: int | None = None
    hdop: float | None = None
    utc_s: float | None = None


Reading = Edge | Code | Health | Paper | Fix


@dataclass(frozen=True, slots=True)
class Report:
    """An event as a path sends it.

    seq: its boxseq, by which the path speaks of it. cid: Contact ID event code; qualifier: 1 new, 3 restored.
    zone: of the input, its place in the config from 1 on; 0: the box itself. wall_s: seconds since 1970, of the event.
    text: for people, in the language of the site. test: caused by a test.
    """

    seq: int
    cls: Literal["alarm", "trouble"]
    cid: int
    qualifier: Literal[1, 3]
    zone: int
    wall_s: float
    text: str
    test: bool = False
    latitude: float | None = None
    longitude: float | None = None


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
    """Readings that made no sense, or were too many to be told, since the start; in the status, never an alarm."""

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
        """name: the driver's id in the config. inputs, outputs: by id. Opens nothing yet.

        Raises ValueError where inputs and outputs, each good by itself, do not go together: an error of the config.
        """


class PathHost(Protocol):
    """The agent, as a path sees it. Called in the path's own thread alone."""

    def next(self, wait_s: float) -> Report | None:
        """The report to be sent now, as soon as there is one; None after `wait_s`. The same again until it is judged.

        It counts as progress, as `alive` does; a path waits nowhere else for more than a few seconds.
        """

    def delivered(self, seq: int) -> None:
        """The far end has said that it has this one."""

    def refused(self, seq: int, reason: str) -> None:
        """The far end has understood this one, and will never take it: it is not sent there again."""

    def good(self) -> None:
        """The far end has answered: the path stands. While it has not, it is in trouble."""

    def memory(self) -> str:
        """What this path has last asked to remember, also in an earlier run; "" at first."""

    def remember(self, text: str) -> None:
        """Keeps a short text over a restart, in place of the last one. Returns at once."""

    def alive(self) -> bool:
        """Stamps that the path made progress; False: return from `run`. To be called at least once a second."""


class Path(Protocol):
    """One way out."""

    noise: int
    """Answers that made no sense since the start."""

    def run(self, host: PathHost) -> None:
        """Opens the way and sends reports until `host.alive()` is False; closes it. Raises DriverError."""


class PathType(Protocol):
    """What an entry point of a path names: a class that makes paths.

    Options: a frozen dataclass of the keys that its entry has in the config beside the common ones (id, type, when), as
    a driver's. classes: of the events that it takes.
    """

    Options: type[Any]
    classes: frozenset[Literal["alarm", "trouble"]]

    def __call__(self, name: str, options: Any) -> Path:
        """name: the path's id in the config. Opens nothing yet."""
