r"""A UPS that Network UPS Tools looks after: mains and battery as inputs (RFC 9271).

    box -> upsd   USERNAME u\n   PASSWORD p\n   LOGIN name\n     only where the config names a user; each is answered OK
    box -> upsd   GET VAR name ups.status\n                      every POLL_S
    upsd -> box   VAR name ups.status "OB DISCHRG LB"\n          or ERR DATA-STALE\n

    signal       active while ups.status has
    on-battery   OB                 the mains are out
    low          LB, or FSD         the battery is nearly empty
    replace      RB                 the battery has failed its test
    shutdown     FSD                who looks after the UPS has begun to switch it off

With a user the box is a client that upsd knows by LOGIN: the primary waits until it has ended before it cuts the power.
What upsd answers with ERR, and a status that says neither OL nor OB nor FSD, is an input that is offline.
"""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, get_args

from drivers.contract import DriverError, Edge, Health, Host, Reading
from drivers.ip_line import IpLine, address

POLL_S: Final = 2.0
"""As upsd's own drivers ask a UPS, by default."""
ANSWER_S: Final = 5.0
READ_WAIT_S: Final = 0.5
LINE_BYTES_MAX: Final = 1024
HINT: Final = "look whether upsd runs and listens there (LISTEN in upsd.conf): upsc NAME@HOST"

Signal = Literal["on-battery", "low", "replace", "shutdown"]
WORDS: Final[dict[Signal, frozenset[str]]] = {
    "on-battery": frozenset({"OB"}),
    "low": frozenset({"LB", "FSD"}),
    "replace": frozenset({"RB"}),
    "shutdown": frozenset({"FSD"}),
}
KNOWN: Final = frozenset({"OL", "OB", "FSD"})
HINTS: Final = {
    "DATA-STALE": "upsd hears nothing from the UPS: look at its cable",
    "DRIVER-NOT-CONNECTED": "upsd's driver for the UPS does not run: upsdrvctl start",
    "UNKNOWN-UPS": "upsd has no UPS of that name: upsc -l shows those that it has",
    "ACCESS-DENIED": "user or password are not those of upsd.users, or this host may not ask",
}

_VAR = re.compile(rb'VAR (\S+) ups\.status "([^"\\]*)"')
_NAME = re.compile(r"[A-Za-z0-9][\w.@-]{0,63}")


@dataclass(frozen=True, slots=True)
class NutOptions:
    """One UPS of one upsd."""

    ups: str = field(metadata={"doc": "its name there, as upsc -l shows it"})
    tcp: str = field(default="127.0.0.1:3493", metadata={"doc": "HOST:PORT of upsd"})
    user: str | None = field(default=None, metadata={"doc": "of upsd.users; then the UPS's primary waits for the box"})
    password_file: str | None = field(default=None, metadata={"doc": "file that holds the user's password"})

    def __post_init__(self) -> None:
        address(self.tcp)
        for key, name in (("ups", self.ups), ("user", self.user)):
            if name is not None and not _NAME.fullmatch(name):
                raise ValueError(f"{key}: found {name!r}, allowed are letters, digits and . _ @ -")
        if (self.user is None) != (self.password_file is None):
            raise ValueError("user: found without password_file, or that without it; allowed are both, or none")
        if self.password_file is not None and not Path(self.password_file).is_absolute():
            raise ValueError(f"password_file: found {self.password_file!r}, allowed is a whole path, from / on")


@dataclass(frozen=True, slots=True)
class NutInput:
    """One word of the UPS's."""

    codes: ClassVar[bool] = False
    signal: Signal = field(
        metadata={"doc": "what it tells: on-battery (kind ac); low, replace, shutdown (kind battery)"}
    )
    kind: str = ""

    def __post_init__(self) -> None:
        if self.signal not in WORDS:
            raise ValueError(f"signal: found {self.signal!r}, allowed is one of {', '.join(get_args(Signal))}")
        if self.kind != (wanted := "ac" if self.signal == "on-battery" else "battery"):
            raise ValueError(f"kind: found {self.kind!r}, allowed with signal {self.signal} is {wanted}")

    @property
    def battery(self) -> Literal["low", "replace", "shutdown"]:
        """What an active input of kind battery means."""
        return "low" if self.signal == "on-battery" else self.signal


class NutDriver:
    """Raises DriverError when upsd is gone, or refuses the user; `run` connects anew."""

    Options: ClassVar[type[Any]] = NutOptions
    Input: ClassVar[type[Any]] = NutInput
    Output: ClassVar[type[Any] | None] = None

    def __init__(
        self,
        name: str,  # noqa: ARG002  an address says more to its reader than our name for it
        options: NutOptions,
        inputs: Mapping[str, NutInput],
        outputs: Mapping[str, Any],  # noqa: ARG002  there are none
    ) -> None:
        self.noise = 0
        self._options = options
        self._signals = {name: keys.signal for name, keys in inputs.items()}

    def run(self, host: Host) -> None:
        """Connects, asks every POLL_S, emits what has changed. Raises DriverError."""
        options = self._options
        parser = NutParser(options.ups, self._signals)
        with IpLine(options.tcp, host.alive, HINT) as port:
            if options.user is not None:
                for request in (f"USERNAME {options.user}", f'PASSWORD "{self._password()}"', f"LOGIN {options.ups}"):
                    self._ask(port, parser, request, host)
                    if parser.refusal:
                        raise DriverError(
                            options.tcp, f"{request.split()[0]}: ERR {parser.refusal}", hint(parser.refusal)
                        )
            while host.alive():
                self._ask(port, parser, f"GET VAR {options.ups} ups.status", host)
                until_s = time.monotonic() + POLL_S
                while host.alive() and (left_s := until_s - time.monotonic()) > 0:
                    self._hear(port, parser, min(left_s, READ_WAIT_S), host)
            port.write(b"LOGOUT\n")

    def set(self, output: str, on: bool) -> None:  # noqa: ARG002
        """Raises KeyError: this wire has no outputs."""
        raise KeyError(output)

    def _password(self) -> str:
        """The file's first line, as it stands between quotation marks."""
        path = Path(self._options.password_file or "")
        try:
            return re.sub(r'(["\\])', r"\\\1", path.read_text(encoding="utf-8").partition("\n")[0].strip())
        except (OSError, UnicodeDecodeError) as error:
            found = getattr(error, "strerror", None) or str(error)
            raise DriverError(str(path), found, "password_file must be readable by the user that runs this") from error

    def _ask(self, port: IpLine, parser: "NutParser", request: str, host: Host) -> None:
        answers, until_s = parser.answers, time.monotonic() + ANSWER_S
        port.write(request.encode() + b"\n")
        while host.alive() and parser.answers == answers:
            if time.monotonic() >= until_s:
                raise port.gone(f"no answer within {ANSWER_S:.0f} s")
            self._hear(port, parser, READ_WAIT_S, host)

    def _hear(self, port: IpLine, parser: "NutParser", wait_s: float, host: Host) -> None:
        for reading in parser.feed(port.read(wait_s), time.monotonic()):
            host.emit(reading)
        self.noise += parser.take_noise()


class NutParser:
    """Bytes and the time in, readings out. Knows no socket and no clock."""

    def __init__(self, ups: str, signals: Mapping[str, Signal]) -> None:
        """signals: by the input's id."""
        self._ups, self._signals = ups, signals
        self._unread = b""
        self._told: dict[str, bool] = {}
        self._begun = False
        self._offline_for = ""
        self._noise = 0
        self.answers = 0
        """Until now, refusals too."""
        self.refusal = ""
        """The word behind ERR where the last answer was one, else ""."""

    def feed(self, data: bytes, now_s: float) -> list[Reading]:
        """The readings of the lines that end in `data`, in order; half a line waits for its end."""
        *lines, rest = (self._unread + data).split(b"\n")
        self._unread = rest[: LINE_BYTES_MAX + 1]  # one more than allowed is enough to know a line for noise at its end
        return [reading for line in lines if line for reading in self._line(line, now_s)]

    def take_noise(self) -> int:
        """Lines that made no sense since the last call."""
        noise, self._noise = self._noise, 0
        return noise

    def _line(self, line: bytes, now_s: float) -> list[Reading]:
        if len(line) > LINE_BYTES_MAX:
            self._noise += 1
            return []
        if line == b"OK" or line.startswith(b"OK "):
            self.answers, self.refusal = self.answers + 1, ""
            return []
        if found := re.fullmatch(rb"ERR ([A-Z-]{1,64})( [ -~]*)?", line):
            self.answers, self.refusal = self.answers + 1, found[1].decode()
            return self._offline(f"upsd says {self.refusal}: {hint(self.refusal)}", now_s)
        found = _VAR.fullmatch(line)
        if found is None or found[1] != self._ups.encode():
            self._noise += 1
            return []
        self.answers, self.refusal = self.answers + 1, ""
        status = found[2].decode(errors="replace")
        words = set(status.split())
        if not words & KNOWN:
            return self._offline(f"its status is {status[:80]!r}, which is neither on line nor on battery", now_s)
        readings: list[Reading] = []
        self._offline_for = ""
        for name, signal in self._signals.items():
            if (active := bool(words & WORDS[signal])) is not self._told.get(name):
                readings.append(Edge(name, active, now_s, initial=not self._begun, settled=True))
                self._told[name] = active
        self._begun = True
        return readings

    def _offline(self, reason: str, now_s: float) -> list[Reading]:
        self._told.clear()
        if reason == self._offline_for:
            return []
        self._offline_for = reason
        return [Health(name, "offline", reason, now_s) for name in self._signals]


def hint(refusal: str) -> str:
    """What to do next about a word of upsd's."""
    return HINTS.get(refusal, "look what it means in the manual of upsd")
