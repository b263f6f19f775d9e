"""A journal, written as the box writes it; in a state directory also changed as somebody else might."""

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from bench_box import BOX_KEY
from cryptography.hazmat.primitives import serialization

from agent.alarms import Case
from agent.cli import main
from agent.events import ZERO_HASH, Chain, Draft, Event, Stamp
from agent.identity import KEY_FILE, Ed25519Signer
from agent.journal import FILE, Journal
from agent.kinds import CLASSES, EventClass
from agent.mail import Fetch, Survey, Write
from agent.media_mail import OwedFile
from agent.ranges import Hole
from agent.spool import FOLDER

SIGNER = Ed25519Signer(BOX_KEY)
TYPES = {
    "alarm": "alarm.panic",
    "trouble": "trouble.ac",
    "scan": "scan.code",
    "status": "status.test",
    "audit": "audit.config",
}
TABLES = (
    "events",
    "owed",
    "pending",
    "owing",
    "pruned",
    "parked",
    "cases",
    "commands",
    "settings",
    "files",
    "clips",
    "garbage",
)
PEM = BOX_KEY.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def chain(name: str, seq: int = 0, prevhash: bytes = ZERO_HASH, key: Ed25519Signer = SIGNER) -> Chain:
    """The chain of a journal of this name, that goes on behind `seq`."""
    return Chain("/callbox/s/b", name, "5f0c2a9e", key, seq, prevhash)


def sealed(made: Chain, cls: EventClass = "scan") -> Event:
    data: Any = {"input": "desk"}
    return made.seal(Draft(f"id-{made.seq + 1}", TYPES[cls], "desk", Stamp(1.0, 1), data))


CASE = "01a200e4-24bf-70ff-9531-985d5d9dc9f8"


class Opened:
    """An open journal with the chain that goes on in it."""

    def __init__(self, path: Path | None) -> None:
        self.journal = Journal(path)
        self.chain = chain(self.journal.opened().name)

    def record(self, *classes: EventClass, **more: Any) -> None:
        events = tuple(sealed(self.chain, cls) for cls in classes)
        self.journal.write([Write(events=events, **more)])

    def owe(self, *ranges: tuple[int, int]) -> None:
        """Central asks for them again; the journal does all of it."""
        self.journal.write([Write(owe=ranges)])
        while self.journal.owe_some():
            pass

    def owed(self) -> list[int]:
        return sorted(
            event.seq for cls in CLASSES for event in self.journal.fetch(Fetch(cls, 0, 1000))[0] if event.cls == cls
        )

    def counted(self) -> int:
        assert sum(self.journal.pending.values()) == len(self.owed())
        return len(self.owed())


def crashed(tmp_path: Path, fill: Callable[[Opened], None]) -> Path:
    """A journal as a process that was killed leaves it, with its WAL."""
    (tmp_path / "made").mkdir()
    made = Opened(tmp_path / "made" / FILE)
    made.journal.checkpoint()
    fill(made)
    for name in (FILE, f"{FILE}-wal"):
        shutil.copy(tmp_path / "made" / name, tmp_path / name)
    made.journal.close()
    return tmp_path / f"{FILE}-wal"


def thirty(made: Opened) -> None:
    for _ in range(30):
        made.record("alarm", "scan")
    made.journal.write([Write(delivered=((2, 2),))])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / FILE


@pytest.fixture
def opened(path: Path) -> Iterator[Opened]:
    made = Opened(path)
    yield made
    made.journal.close()


class Written:
    """Empty at first, with the box's key beside it."""

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        (state_dir / KEY_FILE).write_bytes(PEM)
        self.journal = Journal(state_dir / FILE)
        self.chain = chain(self.journal.name)

    def seal(self, type: str = "scan.code", data: Any = None, chain: Chain | None = None) -> Event:
        """chain: another place for it than the end."""
        made = chain or self.chain
        said: Any = data or {"input": "desk"}
        return made.seal(Draft(f"id-{made.seq}", type, "desk", Stamp(1.0, 1), said))

    def write(self, type: str = "scan.code", data: Any = None, count: int = 1, **more: Any) -> None:
        events = tuple(self.seal(type, data) for _ in range(count))
        self.journal.write([Write(events=events, **more)])

    def press(self, id: str, count: int) -> None:
        """An alarm, and its case."""
        case = Case(id, "alarm-1", "panic", count, self.chain.seq + 1)
        data = {"transition": "raised", "input": "alarm-1", "case": id, "count": count}
        self.write("alarm.panic", data, cases={id: case.stored(acknowledged=False)})

    def evidence(self, *contents: bytes, case: str = CASE, camera: str = "front") -> tuple[OwedFile, ...]:
        """Files on the disk, the first one a picture alone; the event that names them, and their rows."""
        folder = self.state_dir / FOLDER
        folder.mkdir(exist_ok=True)
        files, rows = [], []
        for n, content in enumerate(contents):
            name = sha256(content).hexdigest()
            (folder / name).write_bytes(content)
            time = f"2026-11-22T01:34:4{n}.000000Z"
            file = {"sha256": name, "plain_sha256": name, "bytes": len(content), "media_type": "video/mp2t"}
            files.append({**file, "from": time, "to": time, "role": "during", **({} if n else {"key_frame": True})})
            rows.append(OwedFile(name, self.chain.seq + 1, case, "alarm", camera, time, len(content), not n))
        self.write("status.evidence", {"case": case, "camera": camera, "files": files}, files=tuple(rows))
        return tuple(rows)

    def discard(self, files: Sequence[OwedFile]) -> None:
        """They go, with the record of it; their rows become garbage."""
        told = [{**{k: getattr(f, k) for k in ("sha256", "camera", "bytes", "stored")}, "case": f.case} for f in files]
        names = tuple(file.sha256 for file in files)
        self.write("audit.discarded", {"cause": "size", "files": told}, gone=names)
        for name in names:
            (self.state_dir / FOLDER / name).unlink()

    def prune(self, *holes: Hole) -> None:
        """What central has goes, with its record; or these holes."""
        found = holes or self.journal.survey(Survey("", 0, 0, 0, undelivered=False)).ranges
        data = {"cause": "size", "count": 1, "holes": [list(hole) for hole in found]}
        self.write("audit.pruned", data, prune=found)

    def before(self, seq: int, *, key: Ed25519Signer = SIGNER, name: str = "") -> Chain:
        """The chain as it was when this event was sealed."""
        return chain(name or self.journal.name, seq - 1, sha256(self.body(seq - 1)).digest(), key)

    def body(self, seq: int) -> bytes:
        [body] = self.journal._sql.execute("SELECT body FROM events WHERE seq=?", [seq]).fetchone()
        return bytes(body)

    def change(self, statement: str, *values: Any) -> None:
        """Somebody, or the card, changes the file."""
        with closing(sqlite3.connect(self.state_dir / FILE, isolation_level=None)) as sql:
            sql.execute(statement, values)

    def tables(self) -> dict[str, list[Any]]:
        """All that stands in it; what is no text as its bytes."""
        with closing(sqlite3.connect(self.state_dir / FILE)) as sql:
            sql.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
            return {table: sql.execute(f"SELECT * FROM {table}").fetchall() for table in TABLES}  # noqa: S608

    def run(self, capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str]:
        """A `callbox` command about it: its exit code, and what it printed."""
        code = main([args[0], "--state-dir", str(self.state_dir), *args[1:]])
        return code, capsys.readouterr().out

    def told(self, capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, dict[str, Any]]:
        """The same with --json."""
        code, out = self.run(capsys, *args, "--json")
        return code, json.loads(out)
