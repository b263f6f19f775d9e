"""What a journal keeps on the disk, kept in memory: for a box on the bench."""

import json
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any

from agent.events import ZERO_HASH, Event
from agent.journal import Opened
from agent.kinds import CLASSES, EventClass
from agent.mail import Fetch, Fetched, Recorded, Write
from agent.media_mail import FetchedFiles, FetchFiles, OwedFile
from agent.path_mail import DueReport, FindDue, JudgedReport, OwedReport


@dataclass
class FakeJournal:
    """Keeps in memory what a journal keeps on the disk."""

    name: str = "9b1deb4d"
    volatile: bool = False
    events: dict[int, Event] = field(default_factory=dict)
    owed: dict[int, EventClass] = field(default_factory=dict)
    cases: dict[str, str] = field(default_factory=dict)
    parked: dict[int, str] = field(default_factory=dict)
    seen: dict[str, float] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    files: dict[str, OwedFile] = field(default_factory=dict)
    clips: dict[str, str] = field(default_factory=dict)
    garbage: set[str] = field(default_factory=set)
    reports: dict[tuple[str, int], OwedReport | JudgedReport | None] = field(default_factory=dict)
    """By path and boxseq: owed, judged, or not needed."""
    writes: list[Write] = field(default_factory=list)

    def commit(self, write: Write) -> Recorded:
        self.writes.append(write)
        for event in write.events:
            assert event.seq == len(self.events) + 1, "a boxseq is missing, or comes twice"
            self.events[event.seq] = event
            self.owed[event.seq] = event.cls
        for first, last in write.delivered:
            self._strike(seq for seq in list(self.owed) if first <= seq <= last)
        for first, last in write.owe:
            self.owed |= {seq: event.cls for seq, event in self.events.items() if first <= seq <= last}
            for file in [file for file in self.files.values() if first <= file.seq <= last]:
                self.files[file.sha256] = replace(file, stored=0)
        self.parked |= write.parked
        self._strike(write.parked)
        for name, body in write.cases.items():
            if body is None:
                self.cases.pop(name, None)
            else:
                self.cases[name] = body
        self.seen |= write.seen
        self.settings |= write.settings
        self._keep_files(write)
        self._keep_reports(write)
        return Recorded(self.name, max(self.events, default=0), self.pending, self.media_bytes)

    def _keep_files(self, write: Write) -> None:
        self.files |= {file.sha256: file for file in write.files if file.sha256 not in self.files}
        for name, size in write.stored.items():
            self.files[name] = replace(self.files[name], stored=size)
        for name, body in write.clips.items():
            if body is None:
                self.clips.pop(name, None)
            else:
                self.clips[name] = body
        for name in write.gone:
            self.files.pop(name)
        self.garbage = (self.garbage | set(write.gone)) - set(write.unlinked)

    def _keep_reports(self, write: Write) -> None:
        self.reports |= {(row.path, row.seq): row for row in write.reports}
        self.reports |= {(row.path, row.seq): row for row in write.judged}
        for key, row in self.reports.items():
            if isinstance(row, OwedReport):
                stored = any(first <= row.seq <= last for first, last in write.delivered)
                gone = write.paths is not None and row.path not in write.paths
                self.reports[key] = None if (stored and row.spare) or gone else row

    def find_due(self, wish: FindDue) -> DueReport:
        owed = [row for row in self.reports.values() if isinstance(row, OwedReport) and row.path == wish.path]
        due = sorted((row.cls, row.seq) for row in owed if row.seq <= wish.through)
        event = self.events[due[0][1]] if due else None
        return DueReport(self.name, wish.path, wish.token, event, len(owed))

    @property
    def owed_files(self) -> list[OwedFile]:
        """Stored: -1 of what is parked."""
        return [file for file in self.files.values() if 0 <= file.stored < file.bytes]

    def fetch_files(self, fetch: FetchFiles) -> FetchedFiles:
        owed = self.owed_files
        owed.sort(key=lambda file: (not file.key_frame, [-ord(letter) for letter in file.case], file.seq))
        return FetchedFiles(self.name, tuple(owed[: fetch.limit]), len(owed) > fetch.limit)

    @property
    def media_bytes(self) -> int:
        return sum(file.bytes - file.stored for file in self.owed_files)

    def _strike(self, seqs: Any) -> None:
        for seq in seqs:
            self.owed.pop(seq, None)

    def fetch(self, fetch: Fetch) -> Fetched:
        seqs = sorted(seq for seq, cls in self.owed.items() if cls == fetch.cls and seq > fetch.after)
        events = tuple(self.events[seq] for seq in seqs[: fetch.limit])
        return Fetched(self.name, fetch.cls, fetch.after, events, len(seqs) > fetch.limit)

    @property
    def pending(self) -> dict[EventClass, int]:
        return {cls: sum(owed == cls for owed in self.owed.values()) for cls in CLASSES}

    def opened(self) -> Opened:
        last = max(self.events, default=0)
        return Opened(
            name=self.name,
            seq=last,
            prevhash=sha256(self.events[last].body).digest() if last else ZERO_HASH,
            pending=self.pending,
            cases=tuple((body, json.loads(body)["last_seq"] in self.owed) for body in self.cases.values()),
            seen=dict(self.seen),
            settings=dict(self.settings),
            volatile=self.volatile,
            clips=dict(self.clips),
            media_bytes=self.media_bytes,
            files=tuple(self.files.values()) if self.volatile else (),
        )
