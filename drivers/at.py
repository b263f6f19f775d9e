r"""What a modem says and is told when it sends a text message (3GPP TS 27.005, 27.007). Pure.

    box -> modem   AT+CMGS="+8613800000000"\r     then, after the prompt "> ", the text and 0x1A
    modem -> box   \r\n+CMGS: 7\r\n\r\nOK\r\n     the network has it, message 7; or +CMS ERROR: n

Lines that nobody asked for (RING, +CMTI, +CREG) come in between, at any time.
"""

import re
from typing import Final

LINE_BYTES_MAX: Final = 512
PROMPT: Final = ">"
GSM_MAX: Final = 160
UCS2_MAX: Final = 70
"""Characters in one message."""
PLAIN: Final = re.compile(r"[A-Za-z0-9 !\"#%&'()*+,\-./:;<=>?]*")
"""What has the same code in the alphabet of GSM 03.38 as in ASCII."""
FINAL: Final = re.compile(r"OK|ERROR|NO CARRIER|\+CM[ES] ERROR: .*")
REGISTERED: Final = re.compile(r"\+C(?:E|G)?REG: *(?:\d, *)?(\d)(?:,.*)?")
AT_HOME: Final = ("1", "5", "6", "7")
"""Registered at home or roaming, and the same for text messages alone."""
DENIED: Final = "3"
RECEIPT: Final = re.compile(r"\+CMGS: *\d+.*")

CMS: Final = {
    1: "the number is not assigned",
    8: "the operator has barred this",
    10: "the SIM may not send text messages",
    21: "the message was rejected",
    27: "the other phone is out of service",
    28: "the network does not know this SIM",
    29: "the network does not allow this",
    30: "the number is unknown",
    38: "the network is out of order",
    41: "the network has failed for a moment",
    42: "the network is congested",
    47: "the network has no room",
    50: "the SIM has no text messages in its contract",
    69: "the network cannot do this",
    96: "the network misses something in the message",
    300: "the modem has failed",
    302: "the modem does not allow this now",
    304: "the modem does not understand the message",
    305: "the modem does not understand the number or text",
    310: "no SIM is in the modem",
    311: "the SIM wants its PIN",
    313: "the SIM has failed",
    314: "the SIM is busy",
    315: "the SIM is a wrong one",
    320: "the modem's memory has failed",
    330: "the number of the message centre is not known",
    331: "no network",
    332: "the network does not answer",
    500: "an error that the modem does not name",
}
"""27.005, 3.2.5, and 24.011 below 128."""
CME: Final = {
    3: "the modem does not allow this now",
    10: "no SIM is in the modem",
    11: "the SIM wants its PIN",
    12: "the SIM is locked and wants its PUK",
    13: "the SIM has failed",
    14: "the SIM is busy",
    15: "the SIM is a wrong one",
    16: "the PIN is wrong",
    30: "no network",
    31: "the network does not answer",
    32: "the network allows emergency calls alone",
    100: "an error that the modem does not name",
}
"""27.007, 9.2."""
NEVER: Final = frozenset({1, 8, 10, 21, 28, 30, 50})
"""+CMS errors that stay as they are for this number."""


class Lines:
    """Bytes from the modem in, its lines and prompts out. Bounded; an overlong line is noise."""

    def __init__(self) -> None:
        self._unread = b""
        self._noise = 0

    def feed(self, data: bytes) -> list[str]:
        """Lines without their ends, and PROMPT for each prompt, which has none; no empty ones."""
        *lines, rest = re.split(rb"[\r\n]", self._unread + data)
        out = [text for line in lines for text in self._text(line)]
        if rest.lstrip(b" ").startswith(b">"):
            out, rest = [*out, PROMPT], b""
        self._unread = rest[: LINE_BYTES_MAX + 1]
        return out

    def take_noise(self) -> int:
        """Lines that made no sense since the last call."""
        noise, self._noise = self._noise, 0
        return noise

    def _text(self, line: bytes) -> list[str]:
        if len(line) > LINE_BYTES_MAX or not line.isascii():
            self._noise += 1
            return []
        text = line.decode("ascii").strip()
        return [text] if text else []


def explain(final: str) -> str:
    """A final result in words: +CMS ERROR: 38 is `the network is out of order (+CMS ERROR: 38)`."""
    kind, number = _error(final)
    words = (CMS if kind == "S" else CME).get(number)
    return f"{words} ({final})" if words else final


def is_final(final: str) -> bool:
    """Whether an error stays as it is for this number, however often it is tried."""
    kind, number = _error(final)
    return kind == "S" and number in NEVER


def _error(final: str) -> tuple[str, int]:
    match = re.fullmatch(r"\+CM([ES]) ERROR: *(\d{1,4})", final, re.ASCII)
    return (match[1], int(match[2])) if match else ("", -1)


def message(text: str) -> tuple[bool, str]:
    """Whether it needs UCS2, and the text as it is typed to the modem: cut to one message, in UCS2 as digits."""
    line = " ".join(text.split())
    if PLAIN.fullmatch(line):
        return False, line[:GSM_MAX]
    units = line.encode("utf-16-be")[: 2 * UCS2_MAX]  # a character beyond 16 bits counts twice
    return True, ucs2(units.decode("utf-16-be", "ignore"))


def ucs2(text: str) -> str:
    """As digits, for a modem that was told AT+CSCS="UCS2"."""
    return text.encode("utf-16-be").hex().upper()
