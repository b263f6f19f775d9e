"""An alarm receiver over IP (ANSI/SIA DC-09-2013), TCP or UDP, plain or under AES.

A NULL message opens the way, and watches over it every `supervise_s`. Whatever is sent counts once the receiver has
acknowledged it by its sequence number. A receiver that hangs up between two messages is within its rights.
"""

import os
import random
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, get_args

from cryptography.hazmat.primitives import ciphers
from cryptography.hazmat.primitives.ciphers import algorithms, modes

from drivers.contract import DriverError, PathHost, Report
from drivers.dc09_frame import BLOCK, SEQUENCE_MAX, Answer, Codec, Frames, data_of, extended
from drivers.ip_line import IpLine

ANSWER_S: Final = 5.0
"""A receiver answers within this, or the message is sent again (5 to 60 s in the standard)."""
TRIES: Final = 3
WAIT_S: Final = 0.5
COMPARE: Final = "compare account and key_file with the receiver's"

Format = Literal["adm-cid", "sia-dcs"]
ADDRESS: Final = re.compile(r"(tcp|udp)://[^\s/@]+:\d{1,5}")
KEY_DIGITS: Final = (32, 48, 64)


@dataclass(frozen=True, slots=True)
class Dc09Options:
    """An alarm receiver (ANSI/SIA DC-09)."""

    address: str = field(metadata={"doc": "tcp://HOST:PORT or udp://HOST:PORT"})
    account: str = field(metadata={"doc": "the account at the receiver, 3 to 16 hexadecimal digits"})
    format: Format = field(default="adm-cid", metadata={"doc": "adm-cid (Contact ID) or sia-dcs (SIA DC-03)"})
    key_file: Path | None = field(
        default=None,
        metadata={"doc": "file that holds the AES key, 32, 48 or 64 hexadecimal digits; default: not encrypted"},
    )
    supervise_s: int = field(default=60, metadata={"doc": "the way is tried this often, 10 to 86400", "unit": "s"})

    def __post_init__(self) -> None:
        if not ADDRESS.fullmatch(self.address) or not 0 < int(self.address.rpartition(":")[2]) < 65536:
            raise ValueError(f"address: found {self.address!r}, allowed is tcp://HOST:PORT or udp://HOST:PORT")
        if not re.fullmatch("[0-9A-Fa-f]{3,16}", self.account):
            raise ValueError(f"account: found {self.account!r}, allowed are 3 to 16 hexadecimal digits")
        if self.format not in get_args(Format):
            raise ValueError(f"format: found {self.format!r}, allowed is one of {', '.join(get_args(Format))}")
        if type(self.supervise_s) is not int or not 10 <= self.supervise_s <= 86400:
            raise ValueError(f"supervise_s: found {self.supervise_s!r}, allowed are seconds from 10 to 86400")


class Aes:
    """AES-CBC under one key of 16, 24 or 32 bytes, from an IV of zeros (5.4.6); of whole blocks."""

    def __init__(self, key: bytes) -> None:
        self._cipher = ciphers.Cipher(algorithms.AES(key), modes.CBC(bytes(BLOCK)))

    def encrypt(self, data: bytes) -> bytes:
        encryptor = self._cipher.encryptor()
        return encryptor.update(data) + encryptor.finalize()

    def decrypt(self, data: bytes) -> bytes:
        decryptor = self._cipher.decryptor()
        return decryptor.update(data) + decryptor.finalize()


class Dc09Path:
    """Raises DriverError when the receiver does not answer, or not as it should; `run` opens the way anew."""

    Options: ClassVar[type[Any]] = Dc09Options
    classes: ClassVar[frozenset[Literal["alarm", "trouble"]]] = frozenset({"alarm", "trouble"})

    def __init__(self, name: str, options: Dc09Options) -> None:  # noqa: ARG002  an address says more to its reader
        self.noise = 0
        self._options = options
        # Not from 1 after each start: a receiver takes the number of the last message for a repeat of it.
        self._sequence = random.randrange(SEQUENCE_MAX)
        self._offset_s = 0.0
        """The receiver's clock beside ours, as its last NAK told."""
        self._line: IpLine | None = None
        self._frames = Frames()
        self._due_s = 0.0

    def run(self, host: PathHost) -> None:
        """Asks the receiver whether it is there, then sends what there is. Raises DriverError."""
        codec = Codec(self._options.account, self._cipher(), os.urandom)
        try:
            self._null(host, codec)
            while host.alive():
                if (report := host.next(WAIT_S)) is not None:
                    self._report(report, host, codec)
                elif time.monotonic() >= self._due_s:
                    self._null(host, codec)
                else:
                    self._look()
        finally:
            self._hang_up()

    def _cipher(self) -> Aes | None:
        if (file := self._options.key_file) is None:
            return None
        try:
            digits = file.read_text(encoding="ascii").strip()
            if len(digits) not in KEY_DIGITS:
                raise ValueError(f"{len(digits)} characters")
            return Aes(bytes.fromhex(digits))
        except (OSError, ValueError) as error:
            found = error.strerror or str(error) if isinstance(error, OSError) else f"no key in it ({error})"
            raise DriverError(
                str(file), found, "a key is 32, 48 or 64 hexadecimal digits, as at the receiver"
            ) from None

    def _null(self, host: PathHost, codec: Codec) -> None:
        """Raises DriverError where the receiver does not take it: then it would refuse every report, and park it."""
        answer = self._exchange(host, codec, None)
        if answer is not None and answer.kind == "DUH":
            raise self._error("the receiver cannot use what this box sends (DUH)", COMPARE)
        if answer is not None:
            host.good()

    def _report(self, report: Report, host: PathHost, codec: Codec) -> None:
        answer = self._exchange(host, codec, report)
        if answer is None:
            return
        host.good()
        if answer.kind == "DUH":
            host.refused(report.seq, "the receiver has understood it and cannot use it (DUH)")
        else:
            host.delivered(report.seq)

    def _exchange(self, host: PathHost, codec: Codec, report: Report | None) -> Answer | None:
        """Sends one message until it is answered, under one number; None when the box ends."""
        self._sequence = self._sequence % SEQUENCE_MAX + 1
        form = self._options.format
        token, data = (form.upper(), data_of(report, form)) if report else ("NULL", "")
        nak, noise = False, self.noise
        problem = self._error(f"no answer within {ANSWER_S:.0f} s", "check the way there, and that the receiver runs")
        for _ in range(TRIES):
            sent_s = time.time() + self._offset_s
            more = extended(report, sent_s) if report else ""
            line = self._line = self._line or IpLine(self._options.address, host.alive)
            try:
                line.write(codec.frame(token, self._sequence, data, more, sent_s))
                answer = self._await(line, host, codec)
            except DriverError as error:  # it may have hung up a moment ago, as it may
                self._hang_up()
                problem, answer = error, None
            if not host.alive():
                return None
            if answer is None:
                if line.stream:  # which may be dead without a word; a datagram's answer may only be late
                    self._hang_up()
            elif answer.kind != "NAK":
                self._due_s = time.monotonic() + self._options.supervise_s
                return answer
            elif nak or answer.time_s is None:
                found = "the receiver refuses what this box sends (NAK), also by its own time"
                raise self._error(found, COMPARE)
            else:
                nak, self._offset_s = True, answer.time_s - time.time()
        if self.noise > noise:
            raise self._error("the receiver's answers make no sense", COMPARE)
        raise problem

    def _await(self, line: IpLine, host: PathHost, codec: Codec) -> Answer | None:
        """The answer to the message of this number; None in time, or when the box ends."""
        until_s = time.monotonic() + ANSWER_S
        while host.alive() and (left_s := until_s - time.monotonic()) > 0:
            bodies = self._frames.feed(line.read(min(left_s, WAIT_S)))
            self.noise += self._frames.take_noise()
            for body in bodies:
                answer = codec.answer(body)
                if answer is not None and (answer.kind == "NAK" or answer.sequence == self._sequence):
                    return answer
                self.noise += 1
        return None

    def _look(self) -> None:
        """Between two messages: what comes then answers nothing, and who hung up is called again when there is need."""
        if self._line is None:
            return
        try:
            self.noise += bool(self._line.read(0))
        except DriverError:
            self._hang_up()

    def _hang_up(self) -> None:
        if self._line is not None:
            self._line.close()
        self._line, self._frames = None, Frames()

    def _error(self, found: str, hint: str) -> DriverError:
        return DriverError(self._options.address, found, hint)
