"""The checker of the simulated world: what must be true after every step, seen through a connection of its own."""

import json
import sqlite3
from base64 import urlsafe_b64decode
from collections import Counter
from collections.abc import Iterable, Mapping
from hashlib import sha256
from itertools import count, takewhile
from pathlib import Path
from typing import Any

import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from world_ways import Ways
from world_wire import Central, ViolationError

from agent.identity import verify_chain
from agent.kinds import CLASSES
from agent.path_mail import Offer

PLACE = ("journal", "boxseq", "prevhash", "sig")
CAMERAS_OF = {"alarm-1": ("gate", "hall")}
SILENT = ("callbox.alarm.holdup", "callbox.alarm.duress")


class CaseBook:
    """The open cases as the events tell them, up to `seq`."""

    def __init__(self) -> None:
        self.seq = 0
        self.open: dict[str, dict[str, Any]] = {}

    def read(self, seq: int, event: dict[str, Any]) -> None:
        self.seq, data = seq, event["data"]
        case = data.get("case")
        if event["type"].startswith("callbox.alarm.") and data.get("transition") == "raised" and "count" in data:
            known = self.open.setdefault(case, {"silent": event["type"] in SILENT})
            known.update(count=data["count"], last_seq=seq, acknowledged=False)
        elif event["type"] == "callbox.audit.acknowledged":
            self.open[case]["acknowledged"] = True
        elif event["type"] == "callbox.audit.closed":
            del self.open[case]

    @property
    def shown(self) -> set[str]:
        return {name for name, case in self.open.items() if not case["silent"]}


class Checker:
    """Reads the journal's file as it grows. `promised`: the last boxseq that the box held to be on the disk."""

    def __init__(self, public: bytes, ways: Ways) -> None:
        self._key, self._ways = public, ways
        self._public = Ed25519PublicKey.from_public_bytes(public)
        self._verified: set[bytes] = set()
        self._sql: sqlite3.Connection | None = None
        self.journal = ""
        self.bodies: list[bytes] = []
        self.events: list[dict[str, Any]] = []
        self.promised = 0
        self.on_disk, self.told = CaseBook(), CaseBook()
        self._by_id: dict[tuple[str, str], dict[str, Any]] = {}

    # ---- lives

    def detach(self) -> None:
        if self._sql is not None:
            self._sql.close()
            self._sql = None

    def attach(self, path: Path, central: Central) -> None:
        """A journal opened after a cut: all that was promised is still there, and all that central has."""
        self.detach()
        self._sql = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, isolation_level=None)
        name = self._sql.execute("SELECT value FROM settings WHERE name='journal'").fetchone()[0]
        if self.promised and name != self.journal:
            raise ViolationError(f"journal {self.journal} is gone, with {self.promised} events; now it is {name}")
        before, promised = self.bodies[: self.promised], self.promised
        self.journal, self.bodies, self.events = name, [], []
        self.on_disk, self.told = CaseBook(), CaseBook()
        self._ways.attached()
        self.written(central)
        if self.bodies[:promised] != before:
            raise ViolationError(f"{promised} events were promised; after the cut the disk has {len(self.bodies)}")
        for seq, body in central.stored[name].items():
            self.known(name, seq, body)
        self.tell(len(self.bodies))

    # ---- after every step

    def tell(self, seq: int) -> None:
        """The box holds events up to boxseq `seq` to be on the disk."""
        if seq > len(self.bodies):
            raise ViolationError(f"the box holds boxseq {seq} to be on the disk; it has {len(self.bodies)}")
        self.promised = seq
        for told in range(self.told.seq + 1, seq + 1):
            self.told.read(told, self.events[told - 1])

    def known(self, journal: str, seq: int, body: bytes) -> None:
        """Central has this: then the disk has it."""
        self.one_body(json.loads(body))
        if journal == self.journal and (seq > len(self.bodies) or self.bodies[seq - 1] != body):
            raise ViolationError(f"central has another boxseq {seq} than the disk, which has {len(self.bodies)}")

    def written(self, central: Central) -> None:
        """The journal was written, or opened: the chain is whole, nothing is struck off that central has not."""
        assert self._sql is not None
        start = len(self.bodies)
        rows = self._sql.execute("SELECT seq, body FROM events WHERE seq>? ORDER BY seq", [start]).fetchall()
        fresh = [(seq, body) for seq, body in rows if body not in self._verified]
        prevhash = sha256(self.bodies[-1]).digest() if self.bodies else bytes(32)
        if len(fresh) == len(rows) and (wrong := verify_chain(fresh, self._key, start, prevhash)):
            raise ViolationError(wrong)
        for seq, body in rows:
            self._event(seq, body)
        self._debts(central)
        self._cases()
        self._files(central)
        self._ways.check(self._sql, self.journal, self.events, central)

    def _event(self, seq: int, body: bytes) -> None:
        event = json.loads(body)
        prevhash = sha256(self.bodies[-1]).digest() if self.bodies else bytes(32)
        place = (seq, event["boxseq"], event["journal"])
        if place != (len(self.bodies) + 1, seq, self.journal):
            raise ViolationError(f"{place} follows boxseq {len(self.bodies)} of {self.journal}")
        if _raw(event["prevhash"]) != prevhash:
            raise ViolationError(f"boxseq {seq} does not join the event before it")
        if body not in self._verified:
            unsigned = {key: value for key, value in event.items() if key != "sig"}
            self._public.verify(_raw(event["sig"]), rfc8785.dumps(unsigned))
            self._verified.add(body)
        self.one_body(event)
        self.bodies.append(body)
        self.events.append(event)
        self.on_disk.read(seq, event)

    def one_body(self, event: dict[str, Any]) -> None:
        """An id means one event: the same bytes in its journal, and the same but for its place in another one."""
        for journal in (event["journal"], ""):
            seen = event if journal else {key: value for key, value in event.items() if key not in PLACE}
            if self._by_id.setdefault((journal, event["id"]), seen) != seen:
                raise ViolationError(f"event {event['id']} has two bodies")

    def _debts(self, central: Central) -> None:
        assert self._sql is not None
        free = self._sql.execute(
            "SELECT seq, class FROM events e WHERE NOT EXISTS"
            " (SELECT 1 FROM owed o WHERE o.class=e.class AND o.seq=e.seq)"
            " AND NOT EXISTS (SELECT 1 FROM parked p WHERE p.seq=e.seq)"
        )
        for seq, _ in free:
            if not central.has(self.journal, seq):
                raise ViolationError(f"boxseq {seq} is owed no more; central never had it")
        counted = {CLASSES[cls]: events for cls, events in self._sql.execute("SELECT * FROM pending") if events}
        if counted != self.owed():
            raise ViolationError(f"the journal counts {counted} and owes {self.owed()}")
        for seq, reason in self.parked().items():
            if not reason:
                raise ViolationError(f"boxseq {seq} is parked without a reason")

    def _cases(self) -> None:
        assert self._sql is not None
        stored = {name: json.loads(body) for name, body in self._sql.execute("SELECT id, body FROM cases")}
        wanted = {
            name: [case["count"], case["last_seq"], case["acknowledged"]] for name, case in self.on_disk.open.items()
        }
        found = {name: [case["count"], case["last_seq"], case["acknowledged"]] for name, case in stored.items()}
        if found != wanted:
            raise ViolationError(f"the journal's cases {found} are not those of its events {wanted}")

    # ---- other ways

    def offered(self, offer: Offer) -> None:
        """A path is given this."""
        assert self._sql is not None
        if offer.event is not None:
            self._ways.check_offer(self._sql, offer)

    def reports_rest(self) -> bool:
        """Nothing is owed on any way besides MQTT."""
        assert self._sql is not None
        [owed] = self._sql.execute("SELECT count(*) FROM reports WHERE state=0").fetchone()
        return bool(owed == 0)

    # ---- evidence

    def files(self) -> tuple[set[str], tuple[str, ...]]:
        """Files that the journal knows, and those that are to be unlinked."""
        assert self._sql is not None
        known = {name for [name] in self._sql.execute("SELECT sha256 FROM files")}
        return known, tuple(name for [name] in self._sql.execute("SELECT sha256 FROM garbage"))

    def _files(self, central: Central) -> None:
        """Central has what the journal says that it has; of each file an event was written with its row."""
        assert self._sql is not None
        for name, stored, parked in self._sql.execute("SELECT sha256, stored, parked FROM files"):
            if stored > central.archive.has.get(name, 0):
                raise ViolationError(f"{stored} bytes of {name} are at central, it is said; it has less")
            if parked:
                raise ViolationError(f"{name} is parked, and nothing was wrong with it")

    def unlinked(self, files: Iterable[str]) -> None:
        """These go from the disk: that is recorded, and is on the disk."""
        known, garbage = self.files()
        if wrong := set(files) & known | set(files) - set(garbage):
            raise ViolationError(f"{wrong} go from the disk before the journal says so")

    def piece(self, central: Central) -> None:
        """A piece goes: no alarm of this journal is without a receipt."""
        for seq in range(self.promised, 0, -1):
            if self.events[seq - 1]["type"].startswith("callbox.alarm.") and not self._dealt_with(seq, central):
                raise ViolationError(f"a piece goes, and alarm {seq} is owed")

    def _dealt_with(self, seq: int, central: Central) -> bool:
        return central.has(self.journal, seq) or seq in central.refused[self.journal]

    def evidence_rests(self) -> bool:
        """No clip is under way, and central has every file."""
        assert self._sql is not None
        [clips], [owed] = (
            self._sql.execute(query).fetchone()
            for query in (
                "SELECT count(*) FROM clips",
                "SELECT count(*) FROM files WHERE stored < bytes AND NOT parked",
            )
        )
        return bool(clips == owed == 0)

    def evidence_whole(self, central: Central, seen: Counter[str]) -> None:
        """At the end: every file that an event names is at central, and every clip has its last word."""
        named, last = set[str](), set[tuple[str, str]]()
        wanted = set[tuple[str, str]]()
        for event in self.events:
            data = event["data"]
            if event["type"] == "callbox.status.evidence":
                named |= {file["sha256"] for file in data["files"]}
                last |= {(data["case"], data["camera"])} if data.get("last") else set()
            elif event["type"].startswith("callbox.alarm.") and event["subject"] in CAMERAS_OF:
                wanted |= {(data["case"], camera) for camera in CAMERAS_OF[event["subject"]]}
            elif event["type"] == "callbox.scan.code":
                wanted.add((event["id"], "gate"))
        if missing := [name for name in named if not central.archive.whole(name)]:
            raise ViolationError(f"files are not at central: {missing}")
        if open := wanted - last:
            raise ViolationError(f"clips without their last word: {open}")
        seen["files at central"] += len(named)
        seen["clips"] += len(last)

    # ---- at the end of a life, and of the world

    def owed(self) -> dict[str, int]:
        assert self._sql is not None
        owed = self._sql.execute("SELECT class, count(*) FROM owed GROUP BY class")
        return {CLASSES[cls]: count for cls, count in owed}

    def whole(self, journal: str, stored: Mapping[int, bytes]) -> None:
        """The agent's own check of a whole chain: of this journal, or of what central has of one that was in memory."""
        bodies = self.bodies
        if journal != self.journal:
            bodies = list(takewhile(bool, (stored.get(seq, b"") for seq in count(1))))
        if wrong := verify_chain(enumerate(bodies, 1), self._key):
            raise ViolationError(f"journal {journal}: {wrong}")

    def parked(self) -> dict[int, str]:
        assert self._sql is not None
        return dict(self._sql.execute("SELECT seq, reason FROM parked"))

    def commands_done(self) -> Counter[str]:
        """How often each command was done, in this journal."""
        return Counter(event["data"]["command"] for event in self.events if _done(event))


def _done(event: dict[str, Any]) -> bool:
    return bool(event["type"] == "callbox.audit.command" and event["data"].get("result") == "done")


def _raw(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
