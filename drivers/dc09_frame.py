r"""Frames of ANSI/SIA DC-09-2013, the protocol of alarm receivers over IP. Pure.

    \n CRC 0LLL "ID" SEQ R L #ACCT [DATA] [EXTENDED]... _HH:MM:SS,MM-DD-YYYY \r

CRC (reflected, polynomial 0xA001, from 0) and LEN (bytes, hexadecimal) are over all from the first quote to before the
CR. Times are UTC. Encrypted, the id begins with `*`, and what follows the first `[` (a pad, `|`, data and time) is
AES-CBC from an IV of zeros, as hexadecimal digits.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal, Protocol

from drivers.contract import Report

SEQUENCE_MAX: Final = 9999
FRAME_BYTES_MAX: Final = 1024
"""Of an answer; those of the standard have less than 100, one with extended data a few hundred."""
BLOCK: Final = 16
YEAR_END: Final = 2200
"""No receiver's clock is there; a time that nobody can count on from is none."""
OLD_S: Final = 20.0
"""An event older than this is told with its own time beside that of the message."""
CID_POINT_TESTED: Final = 611
"""What a test says of a point, whatever it would have been: nobody is sent for a test."""

Kind = Literal["ACK", "NAK", "DUH", "RSP"]

SIA: Final[dict[int, tuple[str, str]]] = {
    100: ("MA", "MH"),
    110: ("FA", "FH"),
    120: ("PA", "PH"),
    121: ("HA", "HH"),
    122: ("HA", "HH"),
    129: ("HV", "HH"),
    130: ("BA", "BH"),
    137: ("TA", "TR"),
    140: ("UA", "UH"),
    301: ("AT", "AR"),
    302: ("YT", "YR"),
    307: ("YX", "YZ"),
    330: ("YX", "YZ"),
    350: ("YC", "YK"),
    354: ("YC", "YK"),
    375: ("PT", "PJ"),
    380: ("UT", "UJ"),
    406: ("OC", "OC"),
    611: ("TE", "TE"),
    626: ("JT", "JT"),
}
"""Contact ID to SIA DC-03: new and restored."""
SIA_OTHER: Final = ("UT", "UJ")
"""Untyped zone trouble: of a code that is not in the table."""

FRAME: Final = re.compile(rb'([0-9A-Fa-f]{4})([0-9A-Fa-f]{4})(".*)', re.DOTALL)
BODY: Final = re.compile(
    r'"(\*?)(ACK|NAK|DUH|RSP)"(\d{4})(?:[RL][0-9A-Fa-f]{0,6}){0,2}(?:#[0-9A-Fa-f]{3,16}|A[0-9A-Fa-f])?\[(.*)', re.DOTALL
)
TIME: Final = re.compile(r"_(\d\d):(\d\d):(\d\d),(\d\d)-(\d\d)-(\d{4})$")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a receiver said of message `sequence`. time_s: its own time, seconds since 1970; None where it names none.

    encrypted: it knows the key.
    """

    kind: Kind
    sequence: int
    time_s: float | None
    encrypted: bool


def crc16(data: bytes) -> int:
    """CRC-16, reflected, polynomial 0xA001, from 0."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return crc


def framed(body: bytes) -> bytes:
    """A frame around what begins with the first quote."""
    return b"\n%04X%04X%b\r" % (crc16(body), len(body), body)


def stamp(wall_s: float) -> str:
    """`HH:MM:SS,MM-DD-YYYY`, UTC."""
    return f"{datetime.fromtimestamp(wall_s, UTC):%H:%M:%S,%m-%d-%Y}"


def data_of(report: Report, form: Literal["adm-cid", "sia-dcs"]) -> str:
    """A report without its account: `1120 00 001`, or `Nri0/PA001`."""
    cid = CID_POINT_TESTED if report.test else report.cid
    zone = min(report.zone, 999)
    if form == "adm-cid":
        return f"{report.qualifier}{cid:03} 00 {zone:03}"
    return f"Nri0/{SIA.get(cid, SIA_OTHER)[report.qualifier == 3]}{zone:03}"


def extended(report: Report, sent_s: float) -> str:
    """Extended data: the time of an event that is not of now, and the position where one is known."""
    late = f"[H{stamp(report.wall_s)}]" if abs(sent_s - report.wall_s) > OLD_S else ""
    if report.latitude is None or report.longitude is None:
        return late
    return f"{late}[X{_degrees(report.longitude, 3, 'EW')}][Y{_degrees(report.latitude, 2, 'NS')}]"


def _degrees(value: float, digits: int, signs: str) -> str:
    """Degrees, the hemisphere, minutes: 008E33.917."""
    thousandths = round(abs(value) * 60_000)
    return f"{thousandths // 60_000:0{digits}}{signs[value < 0]}{thousandths % 60_000 / 1000:06.3f}"


class Cipher(Protocol):
    """AES-CBC under one key, each message from an IV of zeros; of whole blocks."""

    def encrypt(self, data: bytes) -> bytes: ...

    def decrypt(self, data: bytes) -> bytes: ...


class Codec:
    """Frames of one account, plain or under its key."""

    def __init__(self, account: str, cipher: Cipher | None, pad: Callable[[int], bytes]) -> None:
        """pad: so many random bytes."""
        self._account, self._cipher, self._pad = account.upper(), cipher, pad

    def frame(self, token: str, sequence: int, data: str, more: str, sent_s: float) -> bytes:
        """A message. token: ADM-CID, SIA-DCS or NULL. data: as `data_of`, "" of a NULL. more: as `extended`.

        sent_s: the time that it carries, seconds since 1970, as the receiver's clock has it.
        """
        inner = f"#{self._account}|{data}" if data else ""
        rest = f"{inner}]{more}_{stamp(sent_s)}"
        star = ""
        if self._cipher is not None:
            star, rest = "*", _encrypted(self._cipher, rest, self._pad)
        return framed(f'"{star}{token}"{sequence:04}R0L0#{self._account}[{rest}'.encode("ascii"))

    def answer(self, body: bytes) -> Answer | None:
        """An answer, from its first quote on; None where it is none, or not under our key.

        NAK and DUH are never encrypted; an ACK that is not, where there is a key, is nobody's whom we asked.
        """
        match = BODY.fullmatch(body.decode("latin-1"))
        if match is None:
            return None
        star, kind, sequence, rest = match.groups()
        if star:
            if self._cipher is None or (opened := _decrypted(self._cipher, rest)) is None:
                return None
            rest = opened
        elif self._cipher is not None and kind in ("ACK", "RSP"):
            return None
        return Answer(kind, int(sequence), _time(rest), bool(star))  # type: ignore[arg-type]


def _encrypted(cipher: Cipher, rest: str, pad: Callable[[int], bytes]) -> str:
    """As hexadecimal digits. The pad fills the last block, and is a whole one where it is full (5.4.4.3)."""
    plain = b"|" + rest.encode("ascii")
    # The standard lets a pad be any bytes but | [ ]; letters alone are read by those who take the text for ASCII.
    letters = bytes(65 + byte % 26 for byte in pad(BLOCK - len(plain) % BLOCK))
    return cipher.encrypt(letters + plain).hex().upper()


def _decrypted(cipher: Cipher, rest: str) -> str | None:
    """What was encrypted; None where the key is another: then it does not end in a time."""
    try:
        data = bytes.fromhex(rest)
    except ValueError:
        return None
    if not data or len(data) % BLOCK:
        return None
    text = cipher.decrypt(data).decode("latin-1")
    return text if "]" in text and _time(text) is not None else None


def _time(rest: str) -> float | None:
    """Seconds since 1970 of the time at the end of a message; None where there is none, or none that can be."""
    if (match := TIME.search(rest)) is None:
        return None
    hour, minute, second, month, day, year = map(int, match.groups())
    try:
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp() if year < YEAR_END else None
    except ValueError:
        return None


class Frames:
    """Bytes from a receiver in, the bodies of whole frames out. Bounded; what is no frame is counted."""

    def __init__(self) -> None:
        self._unread = b""
        self._noise = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Bodies (from the first quote on) of the frames that end in `data`, their CRC and length right."""
        *frames, rest = (self._unread + data).split(b"\r")
        self._unread = rest[-FRAME_BYTES_MAX:]
        return [body for frame in frames if (body := self._body(frame)) is not None]

    def take_noise(self) -> int:
        """Frames that made no sense since the last call."""
        noise, self._noise = self._noise, 0
        return noise

    def _body(self, frame: bytes) -> bytes | None:
        """Of what stands before a CR. A frame begins with the last LF in it: what is before that is not whole."""
        match = FRAME.fullmatch(frame[frame.rfind(b"\n") + 1 :])
        if match and len(match[3]) == int(match[2], 16) and crc16(match[3]) == int(match[1], 16):
            return match[3]
        self._noise += 1
        return None
