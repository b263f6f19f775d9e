"""Uploads alone on the bench, in virtual time: journal and spool answer at once, the broker may hold back."""

import random
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any, Literal

from agent.events import uuid7
from agent.kinds import EventClass
from agent.mail import Acked, Action, Connect, Drop, Publish, Say, SessionDown, SessionUp, Write
from agent.media_mail import FetchedFiles, FetchFiles, OwedFile, PieceRead, ReadPiece
from agent.uploads import Uploads

WALL_US = 1_795_311_200_000_000


def owed_file(
    number: int,
    size: int = 1_000,
    *,
    case: int = 1,
    key_frame: bool = False,
    cls: EventClass = "alarm",
    seq: int | None = None,
) -> tuple[OwedFile, bytes]:
    """A file and its bytes; a larger case is a newer one."""
    data = random.Random(number).randbytes(size)
    id, name = uuid7(WALL_US + case * 1_000_000, case), sha256(data).hexdigest()
    time = f"2026-11-22T01:{number // 60 % 60:02}:{number % 60:02}Z"
    file = OwedFile(name, number if seq is None else seq, id, cls, "front", time, size, key_frame)
    return file, data


@dataclass
class Files:
    """What a journal keeps of files: every row, and which of them are parked."""

    rows: dict[str, OwedFile] = field(default_factory=dict)
    parked: set[str] = field(default_factory=set)

    @property
    def owed(self) -> list[OwedFile]:
        """In the order of sending."""
        found = [row for row in self.rows.values() if row.stored < row.bytes and row.sha256 not in self.parked]
        return sorted(found, key=lambda row: (not row.key_frame, -int(row.case.replace("-", ""), 16), row.seq))

    @property
    def owed_bytes(self) -> int:
        return sum(row.bytes - row.stored for row in self.owed)

    def write(self, stored: dict[str, int]) -> None:
        for name, size in stored.items():
            if name in self.rows:
                self.rows[name] = replace(self.rows[name], stored=max(size, 0))
                (self.parked.add if size < 0 else self.parked.discard)(name)


class Sender:
    """Uploads, and everything around them. `act` does all that they want now."""

    def __init__(self, files: Files | None = None, *, kbps: int | None = None, puback: bool = False) -> None:
        self.files, self.spool = files or Files(), dict[str, bytes]()
        self.out: list[Action] = []
        owed = self.files.owed_bytes
        self.uploads = Uploads(owed, kbps, random.Random(3), self.out, puback_delivers=puback)
        self.now_s = 100.0
        self.link: int | None = 0
        self.protocol: Literal["5", "3.1.1"] = "5"
        self.alarm_owed = self.events = False
        self.sent: list[Publish] = []
        self.reads: list[ReadPiece] = []
        self.flight: list[Publish] = []
        self.connects: list[Connect] = []
        self.dropped: list[str] = []
        self.said: list[str] = []
        self.fetches = 0
        self.held_fetch: list[FetchedFiles] | None = None
        """A list, and the journal's answers wait in it."""
        self.held_reads: list[ReadPiece] | None = None
        self.stuck = False
        """The broker acknowledges nothing."""
        self.took_s = 0.0
        """So long it takes for a PUBACK."""

    # ---- what is to be sent

    def add(self, *made: tuple[OwedFile, bytes]) -> list[str]:
        """New files, on the disk with their event; their names."""
        for file, data in made:
            self.spool[file.sha256] = data
            self.files.rows.setdefault(file.sha256, file)
        self.uploads.owed_bytes = self.files.owed_bytes
        self.uploads.owed([file for file, _ in made])
        return [file.sha256 for file, _ in made]

    # ---- the loop

    def act(self) -> None:
        for _ in range(100_000):
            self._pump()
            if self.out:
                actions = self.out[:]
                self.out.clear()
                for action in actions:
                    self._do(action)
            elif self.flight and not self.stuck:
                if self.took_s:
                    return
                self.ack()
            else:
                return
        raise AssertionError("it never rests")

    def _pump(self) -> None:
        self.uploads.pump(
            self.now_s, link=self.link, protocol=self.protocol, alarm_owed=self.alarm_owed, events=self.events
        )
        for file, _ in self.uploads.parked:
            self.files.write({file.sha256: -1})
            self.uploads.owed_bytes = self.files.owed_bytes

    def _do(self, action: Action) -> None:
        match action:
            case Write():
                self.files.write(dict(action.stored))
                self.uploads.owed_bytes = self.files.owed_bytes
            case FetchFiles(limit):
                self.fetches += 1
                owed = self.files.owed
                answer = FetchedFiles("j", tuple(owed[:limit]), len(owed) > limit)
                if self.held_fetch is None:
                    self.uploads.fetched(answer)
                else:
                    self.held_fetch.append(answer)
            case ReadPiece():
                self.reads.append(action)
                if self.held_reads is None:
                    self.read(action)
                else:
                    self.held_reads.append(action)
            case Connect():
                self.connects.append(action)
            case Drop(session):
                self.dropped.append(session)
                self.flight.clear()
            case Publish():
                assert action.session == self.uploads.session
                self.sent.append(action)
                self.flight.append(action)
            case Say(_, text):
                self.said.append(text)
            case _:
                raise AssertionError(f"{action} is none of its actions")

    def read(self, piece: ReadPiece) -> None:
        """As the spool does it."""
        data = self.spool.get(piece.sha256)
        if data is None:
            answer = PieceRead(piece.sha256, piece.offset, b"", "the file is not there", gone=True)
        elif piece.check and sha256(data).hexdigest() != piece.sha256:
            answer = PieceRead(piece.sha256, piece.offset, b"", "its bytes were changed on the disk", gone=True)
        else:
            answer = PieceRead(piece.sha256, piece.offset, data[piece.offset : piece.offset + piece.bytes])
        self.uploads.read(answer, self.now_s)

    def ack(self, code: int = 0, pieces: int = 1) -> None:
        """PUBACKs the oldest ones."""
        for message in self.flight[:pieces]:
            self.uploads.acked(Acked(message.session, message.token, code), self.now_s)
        del self.flight[:pieces]

    def wait(self, seconds: float) -> None:
        """Virtual time goes by, from one due moment to the next."""
        until_s = self.now_s + seconds
        for _ in range(10_000):
            self.act()
            dues = [due for due in (self.uploads.due_s(self.now_s), self._ack_s()) if due is not None]
            self.now_s = min([max(due, self.now_s) for due in dues] + [until_s])
            if self.flight and not self.stuck and self.took_s and self.now_s >= (self._ack_s() or 0.0):
                self._acked_s = self.now_s
                self.ack()
            if self.now_s >= until_s:
                self.act()
                return
        raise AssertionError("due again and again, and nothing comes of it")

    _acked_s = 0.0

    def _ack_s(self) -> float | None:
        """The wire carries one after the other."""
        if not self.flight or self.stuck or not self.took_s:
            return None
        first = next(flight.since_s for flight in self.uploads._flight.values())
        return max(first, self._acked_s) + self.took_s

    # ---- the session

    def up(self, *, heard: bool = True, **limits: Any) -> None:
        """The session that it asked for stands, and central has said what it has: nothing new."""
        self.act()
        self.uploads.up(SessionUp(self.connects[-1].session, self.protocol, **limits), self.now_s)
        if heard:
            self.uploads.receipt({}, self.now_s)
        self.act()

    def down(self) -> None:
        self.flight.clear()
        assert SessionDown(self.connects[-1].session, "cut").session == self.uploads.session
        self.uploads.down(self.now_s)
        self.act()

    # ---- central

    def receipt(self, sizes: dict[str, int]) -> None:
        assert self.uploads.wrong(sizes) == ""
        self.uploads.receipt(sizes, self.now_s)
        self.act()

    def has(self, *names: str) -> None:
        """Central has all of these."""
        self.receipt({name: len(self.spool[name]) for name in names})

    # ---- what came of it

    @property
    def order(self) -> list[str]:
        """Files in the order in which their first piece went."""
        return list(dict.fromkeys(self.names))

    @property
    def names(self) -> list[str]:
        return [message.topic.split("/")[1] for message in self.sent]

    @property
    def offsets(self) -> list[int]:
        return [int(message.topic.split("/")[2]) for message in self.sent]

    @property
    def sizes(self) -> list[int]:
        return [len(message.payload) for message in self.sent]

    def received(self, pieces: Iterable[Publish]) -> dict[str, bytes]:
        """What a central that keeps the contract has of each file: bytes from the start without a gap."""
        got = dict[str, bytes]()
        for piece in pieces:
            _, name, offset = piece.topic.split("/")
            have = got.get(name, b"")
            if int(offset) <= len(have):
                got[name] = have + piece.payload[len(have) - int(offset) :]
        return got
