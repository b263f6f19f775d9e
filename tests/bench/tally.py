"""What has come to the far end, counted out of raw bytes; and the receipts that a box wants for it (contract, 3).

An event is known by its `"boxseq":N` wherever that stands: alone, in a batch, or quoted in another's JSON. An alarm has
`event/alarm` (its topic, or a key) before it. Numbers count once, however often they come. Time is handed in.
"""

import json
import re
from dataclasses import dataclass, field

RECEIPT_S, RECEIPT_EVENTS = 0.25, 1000
RANGES_MAX = 10_000
SEQ = re.compile(rb"boxseq\D{1,4}(\d+)")
ALARM = re.compile(rb"event/alarm.{0,400}?boxseq\D{1,4}(\d+)", re.DOTALL)
ALARM_MARK = b"event/alarm"
"""Looking for this first is ten times faster than the pattern."""
JOURNAL = re.compile(rb'"journal":"([0-9a-f]+)"')
SESSION = re.compile(rb'"session":"([0-9a-f]+)"')


@dataclass
class Report:
    """Since the last reset. Times are monotonic s, 0.0 for never.

    events: distinct ones but for alarms. repeats: numbers that had come before. first_s, last_s: of `events`.
    alarms: when which came first, by its number.
    """

    events: int = 0
    repeats: int = 0
    first_s: float = 0.0
    last_s: float = 0.0
    alarms: dict[int, float] = field(default_factory=dict)


class Tally:
    """Takes whole packets as they came; `batch` goes into each receipt, 0 leaves it out."""

    def __init__(self, batch: int = 0) -> None:
        self.report = Report()
        self._batch = batch
        self._through = 0
        self._beyond: set[int] = set()
        self._journal, self._session = b"", b""
        self._unsaid = 0
        self._due_s: float | None = None

    def reset(self) -> None:
        """The report begins anew; which numbers have come stays known."""
        self.report = Report()

    def take(self, data: bytes, now_s: float) -> None:
        """Counts what is in there."""
        report, told = self.report, len(self.report.alarms)
        if ALARM_MARK in data:
            for seq in map(int, ALARM.findall(data)):
                if seq > self._through and seq not in self._beyond:
                    report.alarms.setdefault(seq, now_s)
        numbers = SEQ.findall(data)
        new = self._number(numbers)
        report.repeats += len(numbers) - new
        if events := new - (len(report.alarms) - told):
            report.events += events
            report.first_s, report.last_s = report.first_s or now_s, now_s
        if numbers:
            self._unsaid += len(numbers)
            alarmed = len(report.alarms) > told or self._unsaid >= RECEIPT_EVENTS
            due_s = now_s if alarmed else now_s + RECEIPT_S
            self._due_s = due_s if self._due_s is None else min(self._due_s, due_s)

    def _number(self, numbers: list[bytes]) -> int:
        """How many of them are new."""
        through, beyond, had = self._through, self._beyond, self._through + len(self._beyond)
        for seq in map(int, numbers):
            if seq == through + 1:
                through = seq
                while beyond and through + 1 in beyond:
                    through += 1
                    beyond.remove(through)
            elif seq > through:
                beyond.add(seq)
        self._through = through
        return through + len(beyond) - had

    def greet(self, data: bytes, now_s: float) -> None:
        """Reads which journal this is, and whether a session is new. A new journal counts from 1."""
        if (found := JOURNAL.search(data)) and found[1] != self._journal:
            self._journal, self._through = found[1], 0
            self._beyond.clear()
        if (sessions := SESSION.findall(data)) and sessions[-1] != self._session:
            self._session, self._due_s = sessions[-1], now_s

    def due_s(self) -> float | None:
        """When the next receipt is due; None while nothing wants one."""
        return self._due_s if self._journal else None

    def receipt(self) -> bytes:
        """Everything that has come of this journal."""
        self._unsaid, self._due_s = 0, None
        ranges: list[list[int]] = []
        for seq in sorted(self._beyond):
            if ranges and ranges[-1][1] == seq - 1:
                ranges[-1][1] = seq
            else:
                ranges.append([seq, seq])
        batch = {"batch": self._batch} if self._batch else {}
        body = {"journal": self._journal.decode(), "through": self._through, "also": ranges[:RANGES_MAX], **batch}
        return json.dumps(body, separators=(",", ":")).encode()
