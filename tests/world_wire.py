"""The way to central and central itself, as bad as they may be: lossy, late, repeating, half open, forgetful.

Written from the contract alone. Central stores what it is sent by journal and boxseq, and says so in receipts; whatever
the box may not send raises `ViolationError` here.
"""

import json
import random
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fakebox import b64

from agent.mail import Acked, Answered, Arrived, Connect, Drop, Message, Probe, Publish, SessionDown, SessionUp

if TYPE_CHECKING:
    from world_eyes import Archive

BATCH_BYTES_MAX = 32_768


class ViolationError(AssertionError):
    """A promise was broken."""


class Around(Protocol):
    """What the wire needs of the world."""

    rng: random.Random
    t: float
    seen: Counter[str]
    stormy: bool

    def later(self, delay_s: float, call: Callable[..., None], *args: Any) -> None: ...
    def tell(self, message: Message) -> None: ...
    def note(self, text: str) -> None: ...


@dataclass
class Session:
    """One TCP connection. `out` and `into`: whether bytes still pass from and to the box. flight: for media."""

    name: str
    media: bool = False
    flight: int = 0
    up: bool = False
    out: bool = True
    into: bool = True
    ended: bool = False
    last_out_s: float = 0.0
    last_in_s: float = 0.0


@dataclass
class Broker:
    """A broker with a persistent session for the box."""

    world: Around
    central: "Central" = field(init=False)
    sessions: dict[str, Session] = field(default_factory=dict)
    """Of the box: one, or a second one beside it over the other link."""
    line: bool = True
    half_open: bool = False
    refusing: bool = False
    only_311: bool = False
    limits: tuple[int | None, int | None] = (None, None)
    waiting: list[tuple[str, bytes, bool]] = field(default_factory=list)
    crashes: int = 0

    # ---- the box's side

    @property
    def session(self) -> Session | None:
        """The newest, but for one for media."""
        return next((session for session in reversed(self.sessions.values()) if not session.media), None)

    def probe(self, action: Probe) -> None:
        """Somebody is there, or not."""
        reason = "" if self.line and not self.half_open and self.world.rng.random() < 0.9 else "nobody there"
        self.world.later(self.world.rng.uniform(0.01, 2), self.world.tell, Answered(action.link, reason))

    def connect(self, action: Connect) -> None:
        world = self.world
        before = self.session
        session = self.sessions[action.session] = Session(action.session, action.media)
        if before is not None and before.up and not action.media:
            world.seen["sessions beside another"] += 1
            if world.rng.random() < 0.5:  # both links lead to one broker, which ends the first for the second
                world.later(world.rng.uniform(0, 0.5), self._end, before, "taken over")
        if not (self.line and not self.half_open):
            if self.half_open or world.rng.random() < 0.2:
                return  # nobody answers: the box's own patience ends it
            world.later(world.rng.uniform(0.05, 3), self._end, session, "refused")
            return
        wrong = self.only_311 and action.protocol == "5"
        world.later(world.rng.uniform(0.02, 0.5), self._end if wrong else self._stand, session, action.protocol)

    def _stand(self, session: Session, protocol: Any) -> None:
        if session.ended or session.name not in self.sessions:
            return
        if not self.line or self.half_open:
            self._end(session, "cut")
            return
        session.up = True
        self.world.seen["sessions for media" if session.media else "sessions"] += 1
        self.world.note(f"session {session.name} up, MQTT {protocol}")
        self.world.tell(SessionUp(session.name, protocol, *self.limits))
        for message in [] if session.media else list(self.waiting):
            self._send(session, message)

    def _end(self, session: Session, reason: str) -> None:
        if not session.ended:
            session.ended, session.up, session.into = True, False, False
            self.sessions.pop(session.name, None)
            self.world.tell(SessionDown(session.name, reason, wrong_protocol=reason == "5"))

    def drop(self, action: Drop) -> None:
        """The box closes; what is in the kernel's buffers may still come through, both ways."""
        session = self.sessions.pop(action.session, None)
        if session is not None:
            session.up = False
            session.out = session.out and self.world.rng.random() < 0.5
            self.world.later(self.world.rng.uniform(0, 1), self._end, session, "closed")

    def publish(self, message: Publish) -> None:
        """In order within the session; what is in flight when the session breaks may be lost."""
        session, rng = self.sessions.get(message.session), self.world.rng
        if session is None or not session.up:
            return
        if session.media != message.topic.startswith("media/"):
            raise ViolationError(f"{message.topic} over session {message.session}")
        session.flight += session.media
        if session.flight > min(2, self.limits[0] or 2):
            raise ViolationError(f"{session.flight} pieces are in flight; the broker takes {self.limits[0]}")
        delay_s = rng.uniform(0.005, 0.3) if self.world.stormy else 0.02
        session.last_out_s = self._in_order(session.last_out_s, delay_s)
        self.world.later(session.last_out_s - self._now(), self._take, session, message)

    def _now(self) -> float:
        return self.world.t

    def _in_order(self, last_s: float, delay_s: float) -> float:
        return max(last_s + 1e-5, self._now() + delay_s)

    def _take(self, session: Session, message: Publish) -> None:
        rng, seen = self.world.rng, self.world.seen
        if not session.out:
            seen["messages lost on the way out"] += 1
            return
        code = rng.choice((0x10, 0x87, 0x97)) if self.refusing and message.topic != "state" else 0
        if self.world.stormy and rng.random() < 0.03:
            seen["PUBACKs lost"] += 1
            self.world.later(rng.uniform(0, 2), self.cut_line, "a PUBACK was lost with the line")
        else:
            session.last_in_s = self._in_order(session.last_in_s, rng.uniform(0.005, 0.2))
            self.world.later(session.last_in_s - self._now(), self._puback, session, message.token, code)
        if code:
            seen["publishes refused"] += 1
            return
        # Another connection brings it to central: not in the order of the sessions, and sometimes twice.
        for _ in range(2 if self.world.stormy and rng.random() < 0.05 else 1):
            delay_s = rng.choice((0.01, 0.05, rng.uniform(0, 15))) if self.world.stormy else 0.01
            self.world.later(delay_s, self._forward, message.topic, message.payload, self.crashes)

    def _puback(self, session: Session, token: int, code: int) -> None:
        if session.into:
            session.flight -= session.media
            self.world.tell(Acked(session.name, token, code))

    def _forward(self, topic: str, payload: bytes, crashes: int) -> None:
        if crashes != self.crashes:
            self.world.seen["messages forgotten after their PUBACK"] += 1
        elif self.central.down:
            self.world.later(5.0, self._forward, topic, payload, crashes)
        else:
            self.central.take(topic, payload)

    # ---- central's side

    def to_box(self, topic: str, payload: bytes, *, retained: bool = False) -> None:
        message = (topic, payload, retained)
        if not retained:
            self.waiting.append(message)
            del self.waiting[:-50]
        for session in self.sessions.values():
            if session.up and not session.media:
                self._send(session, message)
                return

    def _send(self, session: Session, message: tuple[str, bytes, bool]) -> None:
        session.last_in_s = self._in_order(session.last_in_s, self.world.rng.uniform(0.005, 0.2))
        self.world.later(session.last_in_s - self._now(), self._arrive, session, message)

    def _arrive(self, session: Session, message: tuple[str, bytes, bool]) -> None:
        if not session.into:
            return
        if message in self.waiting and not (self.world.stormy and self.world.rng.random() < 0.05):
            self.waiting.remove(message)  # else its PUBACK is lost, and it comes again with the next session
        self.world.tell(Arrived(session.name, *message))

    # ---- what goes wrong

    def cut_line(self, reason: str) -> None:
        """The box's connection breaks; messages in flight are lost, or arrive after those of the next session."""
        for session in list(self.sessions.values()):
            if session.media or session is self.session:
                self.world.seen["links cut"] += not session.media
                self.world.note(f"link cut: {reason}")
                session.up, session.into = False, False
                session.out = session.out and self.world.rng.random() < 0.3
                self.world.later(self.world.rng.uniform(0, 4), self._end, session, reason)

    def cut_media(self) -> None:
        """The session for media alone."""
        for session in [session for session in self.sessions.values() if session.media and session.up]:
            self.world.seen["sessions for media cut"] += 1
            session.up, session.into = False, False
            self._end(session, "kicked")

    def open_half(self) -> None:
        """One direction, or both, carries nothing any more, and nobody is told."""
        self.half_open = True
        session = self.session
        if session is not None and session.up:
            self.world.seen["half-open sessions"] += 1
            which = self.world.rng.randrange(3)
            session.out, session.into = session.out and which == 1, session.into and which == 2
            self.world.note(f"half open: out {session.out}, in {session.into}")
            if not session.out and self.world.rng.random() < 0.5:
                self.world.later(4.4, self._end, session, "TCP_USER_TIMEOUT")

    def crash(self) -> None:
        """It comes back without what it had acknowledged."""
        self.world.seen["broker crashes"] += 1
        self.crashes += 1
        self.waiting.clear()
        self.cut_line("the broker crashed")

    def box_died(self) -> None:
        for session in self.sessions.values():
            session.ended, session.up, session.into = True, False, False
        self.sessions.clear()


@dataclass
class Central:
    """Stores events and says so. The bodies by journal and boxseq, and by id."""

    world: Around
    broker: Broker
    key: Ed25519PrivateKey
    check: Callable[[str, int, bytes], None]
    archive: "Archive"
    journal: str = ""
    stored: dict[str, dict[int, bytes]] = field(default_factory=lambda: defaultdict(dict))
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    through: Counter[str] = field(default_factory=Counter)
    refused: dict[str, dict[int, str]] = field(default_factory=lambda: defaultdict(dict))
    sent: Counter[tuple[str, int]] = field(default_factory=Counter)
    old_receipts: list[bytes] = field(default_factory=list)
    batch: int | None = None
    down: bool = False
    mute: bool = False
    due: set[str] = field(default_factory=set)

    def take(self, topic: str, payload: bytes) -> None:
        kind, _, cls = topic.partition("/")
        if topic == "state":
            state = json.loads(payload)
            if state["online"]:
                self.journal = state["journal"]
                self._soon(state["journal"], 0.0)
            return
        if kind == "media":
            self.archive.take(topic, payload)
            self._soon(self.journal, 0.25)
            return
        bodies = [payload]
        if kind == "batch":
            bodies = [rfc8785.dumps(event) for event in json.loads(payload)]
            seqs = [json.loads(body)["boxseq"] for body in bodies]
            self.world.seen["batch messages"] += 1
            good = cls != "alarm" and self.batch is not None and len(bodies) <= self.batch and seqs == sorted(seqs)
            if not good or payload != b"[" + b",".join(bodies) + b"]" or len(payload) > BATCH_BYTES_MAX:
                raise ViolationError(f"{topic}: a batch of {len(bodies)} events, {len(payload)} bytes, boxseqs {seqs}")
        for body in bodies:
            self._store(cls, body)

    def _store(self, cls: str, body: bytes) -> None:
        event = json.loads(body)
        journal, seq, name = event["journal"], event["boxseq"], event["id"]
        if event["type"].split(".")[1] != cls:
            raise ViolationError(f"{event['type']} on topic {cls}")
        self.check(journal, seq, body)
        self.sent[journal, seq] += 1
        self.world.seen["repeats at central"] += self.sent[journal, seq] > 1
        if event["data"].get("code", "").startswith("poison") or (cls == "alarm" and int(name[-2:], 16) < 6):
            self.world.seen["events refused for good"] += 1
            self.refused[journal][seq] = "poison"
        elif self.stored[journal].setdefault(seq, body) != body:
            raise ViolationError(f"journal {journal}: boxseq {seq} has two bodies at central")
        self.archive.named(event)
        row = self.rows.setdefault(name, event)
        if row != event and row["journal"] == journal:
            raise ViolationError(f"event {name} has two bodies at central")
        self.world.seen["events known from another journal"] += row != event
        while self.through[journal] + 1 in self.stored[journal]:
            self.through[journal] += 1
        self._soon(journal, 0.0 if cls == "alarm" else 0.25)

    def has(self, journal: str, seq: int) -> bool:
        return seq in self.stored[journal]

    # ---- receipts

    def _soon(self, journal: str, delay_s: float) -> None:
        if journal not in self.due:
            self.due.add(journal)
            self.world.later(delay_s, self._receipt, journal)

    def _receipt(self, journal: str) -> None:
        self.due.discard(journal)
        rng, stormy = self.world.rng, self.world.stormy
        if self.mute or self.down:
            self.world.seen["receipts not sent"] += 1
            return
        through = self.through[journal]
        receipt: dict[str, Any] = {"journal": journal, "through": through, "media": self.archive.told()}
        if not stormy or rng.random() < 0.8:
            receipt["also"] = self._ranges(sorted(seq for seq in self.stored[journal] if seq > through))
        if self.refused[journal]:
            receipt["refused"] = {str(seq): reason for seq, reason in self.refused[journal].items()}
        if self.batch is not None:
            receipt["batch"] = self.batch
        signed = self._signed(receipt)
        self.old_receipts.append(signed)
        if not stormy:
            self.broker.to_box("receipt", signed)
            return
        match rng.randrange(20):
            case 0 | 1 | 2:
                self.world.seen["receipts lost"] += 1
            case 3:
                for _ in range(3):
                    self.broker.to_box("receipt", signed)
            case 4:
                self.broker.to_box("receipt", signed)
                self.broker.to_box("receipt", rng.choice(self.old_receipts))
            case 5:
                self.world.later(rng.uniform(0, 30), self.broker.to_box, "receipt", signed)
            case 6:
                self._lie(journal, receipt)
            case _:
                self.broker.to_box("receipt", signed)

    def _lie(self, journal: str, receipt: dict[str, Any]) -> None:
        """Receipts that may change nothing: forged, for another journal, past the end, retained."""
        self.world.seen["receipts that lie"] += 1
        more = {**receipt, "through": self.through[journal] + 3}
        lies = (
            rfc8785.dumps({**more, "sig": b64(bytes(64))}),
            rfc8785.dumps(more),
            self._signed({**more, "journal": "00000000", "through": 10_000}),
            self._signed({**more, "through": 10_000}),
            self._signed({**receipt, "media": {name: size + 100_000 for name, size in receipt["media"].items()}}),
        )
        self.broker.to_box("receipt", self.world.rng.choice(lies))
        self.broker.to_box("receipt", self._signed(more), retained=True)

    def _signed(self, message: dict[str, Any]) -> bytes:
        return rfc8785.dumps({**message, "sig": b64(self.key.sign(rfc8785.dumps(message)))})

    def _ranges(self, seqs: list[int]) -> list[list[int]]:
        ranges: list[list[int]] = []
        for seq in seqs:
            if ranges and ranges[-1][1] == seq - 1:
                ranges[-1][1] = seq
            else:
                ranges.append([seq, seq])
        return ranges
