r"""What a scanner has read, as text, becomes readings: codes and documents. Pure; for scanners on whatever wire.

    bytes -> decoded -> ]C1, ]d2 ... taken off (AIM) -> the zone of a document, in one block or line by line -> Paper
                                                     -> anything else -> Code, as it came

Who shows or logs a code escapes it: a control character may be data, as GS is between the fields of a GS1 code. A line
that has the form of a zone is never told as a code: it would carry a name past the policy of what is kept.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Final, Literal, get_args

from drivers import mrz
from drivers.contract import Code, Paper

CODE_BYTES_MAX: Final = 8000
"""The largest QR code has 7,089 digits (ISO/IEC 18004)."""
ZONE_LINES_S: Final = 1.0
"""A scanner sends the lines of one zone within this: 44 characters take 50 ms at 9600 bit/s, pauses come on top."""
HALF_S: Final = 5.0
"""A code whose end has not come by then never had one: the next is not to be taken for its end."""
REPEAT_MS: Final = 500

Encoding = Literal["auto", "utf-8", "gbk", "latin-1"]

AIM: Final = re.compile(r"\]([A-Za-z][0-9A-Za-z])")
FORMATS: Final = {
    "A": "code39",
    "C": "code128",
    "C1": "gs1128",
    "E": "ean13",
    "E4": "ean8",
    "F": "codabar",
    "G": "code93",
    "H": "code11",
    "I": "itf",
    "L": "pdf417",
    "M": "msi",
    "Q": "qr",
    "Q3": "gs1qr",
    "d": "datamatrix",
    "d2": "gs1datamatrix",
    "e": "databar",
    "h": "hanxin",
    "o": "ocr",
    "z": "aztec",
}
"""Symbology identifiers (ISO/IEC 15424): a letter, and a letter with its modifier where that is another code. UPC codes
come as E0, with 13 digits."""

ZONE: Final = re.compile("[A-Z0-9<]+")
ZONE_LINE: Final = re.compile("(?=[^<]*<)(?:[A-Z0-9<]{30}|[A-Z0-9<]{36}|[A-Z0-9<]{44})")
LINE_ENDS: Final = re.compile(r"[\r\n]+")
BLOCKS: Final = {88: 44, 72: 36, 90: 30}
"""Characters of a whole zone, to those of one of its lines."""


@dataclass(frozen=True, slots=True)
class ScanInput:
    """The codes of a scanner, or those of them that belong to one input."""

    codes: ClassVar[bool] = True
    match: str = field(
        default="",
        metadata={
            "doc": "pattern, searched in the code: only such codes are this input's; default: all. The first wins"
        },
    )

    def __post_init__(self) -> None:
        try:
            re.compile(self.match)
        except re.error as error:
            raise ValueError(f"match: found {self.match!r}, which is no regular expression: {error}") from error


def check_common(encoding: str, repeat_ms: int) -> None:
    """What the options of every scanner have. Raises ValueError."""
    if encoding not in get_args(Encoding):
        raise ValueError(f"encoding: found {encoding!r}, allowed is one of {', '.join(get_args(Encoding))}")
    if type(repeat_ms) is not int or not 0 <= repeat_ms <= 10_000:
        raise ValueError(f"repeat_ms: found {repeat_ms!r}, allowed is 0 to 10000 ms")


class Scans:
    """One scanner. `noise` counts what made no sense."""

    def __init__(self, inputs: Mapping[str, ScanInput], encoding: Encoding, repeat_ms: int) -> None:
        self.noise = 0
        self._patterns = [(name, re.compile(keys.match)) for name, keys in inputs.items()]
        self._papers = next((name for name, keys in inputs.items() if not keys.match), None)
        self._encodings = ("utf-8", "gbk") if encoding == "auto" else (encoding,)
        self._repeat_s = repeat_ms / 1000
        self._lines: list[str] = []
        """Of a zone whose last line is not there yet."""
        self._line_s = 0.0
        self._last: object = None
        self._last_s = float("-inf")

    def read(self, payload: bytes, now_s: float) -> list[Code | Paper]:
        """One scan, without its end: at most one reading. Nothing is nothing."""
        if not payload:
            return []
        text = self._decoded(payload) if len(payload) <= CODE_BYTES_MAX else None
        if text is None:
            return self._refused()
        format = ""
        if (prefix := AIM.match(text)) and (known := FORMATS.get(prefix[1], FORMATS.get(prefix[1][0]))):
            text, format = text[3:], known
        if not text:
            return self._refused()
        lines = self._zone_lines(text)
        if self._lines and not lines:
            self._give_up()
            lines = self._zone_lines(text)
        return self._zone(lines, now_s) if lines else self._code(text, format, now_s)

    def tick(self, now_s: float) -> None:
        """Nothing came until now: a zone whose next line does not come is none."""
        if self._lines and now_s >= self._line_s + ZONE_LINES_S:
            self._give_up()

    def due_s(self) -> float | None:
        """When `tick` has something to do."""
        return self._line_s + ZONE_LINES_S if self._lines else None

    def _decoded(self, payload: bytes) -> str | None:
        for encoding in self._encodings:
            try:
                return payload.decode(encoding)
            except UnicodeDecodeError:
                continue
        return None

    def _code(self, text: str, format: str, now_s: float) -> list[Code | Paper]:
        name = next((name for name, pattern in self._patterns if pattern.search(text)), None)
        if name is None:
            return self._refused()
        return [Code(name, text, now_s, format)] if self._is_new((name, text), now_s) else []

    def _zone_lines(self, text: str) -> list[str]:
        """The lines of a zone that a scan brings: one, or all in one block; none where it is something else."""
        lines = LINE_ENDS.split(text)
        if len(lines) > 1:
            return lines if any(map(ZONE_LINE.fullmatch, lines)) else []
        if self._lines:
            goes_on = len(text) == len(self._lines[0]) and ZONE.fullmatch(text)
            return lines if goes_on else []
        if (length := BLOCKS.get(len(text))) and ZONE.fullmatch(text) and "<" in text:
            return [text[at : at + length] for at in range(0, len(text), length)]
        return lines if ZONE_LINE.fullmatch(text) else []

    def _zone(self, lines: list[str], now_s: float) -> list[Code | Paper]:
        """What is whole is told; of what is not, the next line is awaited."""
        self._lines, self._line_s = [*self._lines, *lines], now_s
        if len(self._lines) < (3 if len(self._lines[0]) == 30 else 2):
            return []
        lines, self._lines = self._lines, []
        zone = mrz.read(lines)
        if zone is None or self._papers is None:
            return self._refused()
        paper = Paper(self._papers, zone.layout, zone.fields, zone.wrong, now_s)
        return [paper] if self._is_new((zone.layout, zone.fields, zone.wrong), now_s) else []

    def _is_new(self, label: object, now_s: float) -> bool:
        """A label that is still there is read again and again: it is one scan, until it was away for `repeat_ms`."""
        again = label == self._last and now_s < self._last_s + self._repeat_s
        self._last, self._last_s = label, now_s
        return not again

    def _refused(self) -> list[Code | Paper]:
        self.noise += 1
        return []

    def _give_up(self) -> None:
        self._lines = []
        self.noise += 1
