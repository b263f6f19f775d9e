"""A whole box on the bench, in virtual time: the real deciding code, a journal in memory, a broker that answers."""

import json
import random
import tempfile
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fake_journal import FakeJournal

from agent.box import Box
from agent.config import Config, load
from agent.events import Event, Stamp
from agent.identity import Ed25519Signer, b64
from agent.lists_mail import ChangeList, LookUp
from agent.mail import (
    Acked,
    Action,
    Arrived,
    Connect,
    Drop,
    Exit,
    Fetch,
    Message,
    NewJournal,
    OwedAgain,
    Probe,
    Publish,
    Say,
    SessionDown,
    SessionUp,
    SetOutput,
    StorageFailed,
    Survey,
    Surveyed,
    Write,
)
from agent.media_mail import (
    CameraFile,
    FetchFiles,
    Filed,
    PieceRead,
    ReadCodes,
    ReadPiece,
    Record,
    SurveyedFiles,
    SurveyFiles,
    TakePicture,
    Unlink,
    Unlinked,
)
from agent.path_mail import FindDue, Offer
from drivers.contract import Code, Edge, Health, Reading

BOX_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
DESK = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
CENTRAL = Ed25519PrivateKey.from_private_bytes(bytes(range(2, 34)))
WALL_US = 1_795_311_200_123_456
START_S = 1000.0
VERBS = "acknowledge, close, test, resend, capture, output, bulletin"
DESK_PUBLIC = b64(DESK.public_key().public_bytes_raw())

YAML = f"""\
box: {{site: jiangyang, id: kiosk-017, name: "Baita Road kiosk"}}
links:
  - url: mqtt://central.example
drivers:
  - {{id: gpio0, type: gpio}}
  - {{id: panel, type: line, port: /dev/panel}}
inputs:
  - {{id: alarm-1, driver: gpio0, pin: 17, kind: panic}}
  - {{id: hidden, driver: gpio0, pin: 18, kind: holdup}}
  - {{id: door, driver: gpio0, pin: 22, kind: intrusion}}
  - {{id: mains, driver: gpio0, pin: 23, kind: ac}}
  - {{id: mains-2, driver: gpio0, pin: 24, kind: ac}}
  - {{id: undo, driver: gpio0, pin: 5, kind: cancel}}
  - {{id: key, driver: gpio0, pin: 6, kind: reset}}
  - {{id: point, driver: gpio0, pin: 12, kind: patrol}}
  - {{id: desk, driver: panel, pressed: '^S:(?P<code>.+)$', kind: scan}}
outputs:
  - {{id: lamp, driver: gpio0, pin: 27, role: feedback}}
operators:
  - {{name: duty-desk, key: {DESK_PUBLIC}, may: [{VERBS}]}}
"""


def config(text: str = YAML) -> Config:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "box.yaml"
        file.write_text(text, encoding="utf-8")
        return load(file)


def signed(key: Ed25519PrivateKey, message: Mapping[str, Any]) -> bytes:
    """The message with `sig`, as the contract makes it; here without any code of the agent's."""
    sig = b64(key.sign(rfc8785.dumps(dict(message))))
    return rfc8785.dumps({**message, "sig": sig})


class Bench:
    """A box, started; every action it wants is done here and kept in `did`."""

    def __init__(self, text: str = YAML, journal: FakeJournal | None = None, *, start: bool = True) -> None:
        self.config = config(text)
        self.journal = journal or FakeJournal()
        self.now_s, self.wall_us = START_S, WALL_US
        self.disk_works = True
        self.broker_answers = True
        self._unacked: list[Publish] = []
        self.held: list[Write | Fetch | FetchFiles | FindDue] = []
        self.offered: dict[str, Event | None] = {}
        """What each path is to send now."""
        self.may_go: list[SurveyedFiles] = []
        """What the journal answers when it is asked which files may go; then: none."""
        self.did: list[Action] = []
        self.lit: set[str] = set()
        self.spool: dict[str, bytes] = {}
        """Files of evidence by name."""
        self.wishes: list[Record | TakePicture | ReadCodes] = []
        """What cameras were told."""
        self.asked: list[LookUp | ChangeList] = []
        """What the code lists were asked, and were not yet answered: a test says what they answer."""
        self.media: list[Connect] = []
        """Sessions for media."""
        self.connects: list[Connect] = []
        self.sent: list[Publish] = []
        self._commands = 0
        self.box = self._box()
        if start:
            self.start()

    def _box(self) -> Box:
        return Box(self.config, self.journal.opened(), Ed25519Signer(BOX_KEY), "5f0c2a9e", self.stamp, random.Random(7))

    def start(self, last_end: str = "first", new_journal: str = "") -> None:
        self.box.start(
            self.stamp, last_end=last_end, new_journal=new_journal, config_hash="c0ffee", config_changed=False
        )
        self.act()

    def restart(self) -> None:
        """The power was cut, and is back."""
        self.held.clear()
        self.lit.clear()
        self.disk_works = True
        self.box = self._box()
        self.start("crash")

    @property
    def stamp(self) -> Stamp:
        return Stamp(self.now_s, self.wall_us)

    # ---- what the loop does

    def act(self) -> list[Action]:
        """Does what the box wants, until it wants nothing more."""
        done = []
        while (actions := self.box.drain()) or (self._unacked and self.broker_answers):
            for action in actions:
                done.append(action)
                self.did.append(action)
                self._do(action)
            if not actions:
                self._ack(self._unacked.pop(0), 0)
        return done

    def _do(self, action: Action) -> None:
        match action:
            case SurveyFiles():
                none = SurveyedFiles(self.journal.name, "", (), more=False)
                self.box.handle(self.may_go.pop(0) if self.may_go else none, self.stamp)
            case ReadPiece(sha256, offset, size):
                if sha256 in self.spool:
                    piece = PieceRead(sha256, offset, self.spool[sha256][offset : offset + size])
                else:
                    piece = PieceRead(sha256, offset, b"", "the file is not there", gone=True)
                self.box.handle(piece, self.stamp)
            case Unlink(files):
                for name in files:
                    self.spool.pop(name, None)
                self.box.handle(Unlinked(files), self.stamp)
            case Record() | TakePicture() | ReadCodes():
                self.wishes.append(action)
            case LookUp() | ChangeList():
                self.asked.append(action)
            case Survey():
                self.box.handle(Surveyed(self.journal.name, "", (), 0, 0, 0), self.stamp)
            case Write() | Fetch() | FetchFiles() | FindDue():
                self.held.append(action)
                if self.disk_works:
                    self.commit()
            case Offer(path, _, event):
                self.offered[path] = event
            case SetOutput(output, on):
                (self.lit.add if on else self.lit.discard)(output)
            case Connect(media=True):
                self.media.append(action)
            case Connect():
                self.connects.append(action)
            case Publish():
                self.sent.append(action)
                self._unacked.append(action)
            case NewJournal(reason):
                self.held.clear()
                self.disk_works = True
                self.journal = FakeJournal(f"{int(self.journal.name, 16) + 1:08x}", volatile=True)
                self.box.new_journal(self.journal.opened(), reason, self.stamp)
            case Drop() | Say() | Probe() | Exit():
                pass

    def disk_returns(self, disk: "FakeJournal") -> None:
        """As the loop does it: what memory has is written and handed over."""
        memory = self.journal
        for request in self.held:
            if isinstance(request, Write):
                memory.commit(request)
        self.held.clear()
        self.journal = disk
        events = [memory.events[seq] for seq in sorted(memory.events)]
        self.box.disk_is_back(disk.opened(), "", Ed25519Signer(BOX_KEY), memory.opened(), events, self.stamp)
        self.act()

    def commit(self) -> None:
        """The disk answers all that waits for it."""
        held, self.held = self.held, []
        for request in held:
            match request:
                case Write():
                    self.box.handle(self.journal.commit(request), self.stamp)
                    for first, _ in request.owe:
                        again = OwedAgain(self.journal.name, first, self.journal.pending, self.journal.media_bytes)
                        self.box.handle(again, self.stamp)
                case Fetch():
                    self.box.handle(self.journal.fetch(request), self.stamp)
                case FetchFiles():
                    self.box.handle(self.journal.fetch_files(request), self.stamp)
                case FindDue():
                    self.box.handle(self.journal.find_due(request), self.stamp)
        self.act()

    def say(self, message: Message | Reading) -> list[Action]:
        self.box.handle(message, self.stamp)
        return self.act()

    def wait(self, seconds: float) -> None:
        """Virtual time goes by; the box is ticked when it wants to be."""
        until_s = self.now_s + seconds
        for _ in range(100_000):
            next_s = min(max(self.box.due_s(), self.now_s + 1e-6), until_s)
            self.wall_us += round((next_s - self.now_s) * 1e6)
            self.now_s = next_s
            self.box.tick(self.stamp)
            self.act()
            if self.now_s >= until_s:
                return
        raise AssertionError("the box asks for ticks without end")

    # ---- the world

    def edge(self, name: str, active: bool, *, initial: bool = False, settled: bool = False) -> None:
        self.say(Edge(name, active, self.now_s, initial, settled))

    def press(self, name: str, held_s: float = 0.1) -> None:
        self.edge(name, True)
        self.wait(held_s)
        self.edge(name, False)
        self.wait(0.1)

    def scan(self, code: str) -> None:
        self.say(Code("desk", code, self.now_s))

    def health(self, name: str, quality: Any, reason: str = "") -> None:
        self.say(Health(name, quality, reason, self.now_s))

    def fail_disk(self) -> None:
        self.say(StorageFailed(self.journal.name, "disk I/O error; replace the card"))

    def filed(self, camera: str, *files: tuple[bytes, float, float], through_s: float, key_frame: bool = False) -> None:
        """A camera has these files on the disk: bytes, and the seconds of their first and last picture."""
        told = []
        for data, from_s, to_s in files:
            name = sha256(data).hexdigest()
            self.spool[name] = data
            told.append(CameraFile(name, name, len(data), "video/mp2t", from_s, to_s, to_s, key_frame=key_frame))
        self.say(Filed(camera, tuple(told), through_s))

    # ---- central

    def connect_media(self, **limits: Any) -> str:
        """The session for media that the box asked for stands."""
        session = self.media[-1].session
        self.say(SessionUp(session, **{"protocol": "5", **limits}))
        return session

    def connect(self, **limits: Any) -> str:
        """The session that the box asked for stands."""
        session = self.connects[-1].session
        self.say(SessionUp(session, **{"protocol": "5", **limits}))
        return session

    def disconnect(self, reason: str = "cut", **more: Any) -> None:
        self.say(SessionDown(self.connects[-1].session, reason, **more))

    def ack(self, code: int = 0) -> None:
        """PUBACKs everything that was not."""
        unacked, self._unacked = self._unacked, []
        for message in unacked:
            self._ack(message, code)
        self.act()

    def _ack(self, message: Publish, code: int) -> None:
        self.box.handle(Acked(message.session, message.token, code), self.stamp)

    def receipt(self, through: int = 0, **more: Any) -> list[Action]:
        message = {"journal": self.journal.name, "through": through, **more}
        return self.arrive("receipt", rfc8785.dumps(message))

    def arrive(self, topic: str, payload: bytes, *, retained: bool = False) -> list[Action]:
        return self.say(Arrived(self.connects[-1].session, topic, payload, retained))

    def order(self, verb: str, data: Any, /, **changes: Any) -> dict[str, Any]:
        """A command as duty-desk would send it, unsigned."""
        self._commands += 1
        return {
            "specversion": "1.0",
            "id": f"command-{self._commands}",
            "source": "/operators/duty-desk",
            "type": f"callbox.command.{verb}",
            "subject": "jiangyang/kiosk-017",
            "expires": "2027-01-01T00:00:00Z",
            "data": data,
            **changes,
        }

    def arrive_command(self, verb: str, data: Mapping[str, Any], **changes: Any) -> None:
        """A signed command arrives."""
        self.arrive("command", signed(DESK, self.order(verb, data, **changes)))

    def command(self, verb: str, data: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
        """A signed command arrives; the audit event that it left."""
        self.arrive_command(verb, data, **changes)
        return self.of("audit.command")[-1]

    # ---- what came of it

    @property
    def events(self) -> list[dict[str, Any]]:
        """Every event that is on the disk, oldest first."""
        return [json.loads(self.journal.events[seq].body) for seq in sorted(self.journal.events)]

    def of(self, type: str) -> list[dict[str, Any]]:
        """`data` of the recorded events of a type, `callbox.` left out."""
        return [event["data"] for event in self.events if event["type"] == f"callbox.{type}"]

    @property
    def said(self) -> list[str]:
        return [action.text for action in self.did if isinstance(action, Say)]

    @property
    def state(self) -> dict[str, Any]:
        """The newest payload of `{root}/state`."""
        payloads = [action.payload for action in self.did if isinstance(action, Publish) and action.topic == "state"]
        decoded: dict[str, Any] = json.loads(payloads[-1])
        return decoded

    def published(self, topic: str = "event/") -> list[dict[str, Any]]:
        """What was published to topics that begin so; `sent.clear()` forgets it."""
        return [json.loads(message.payload) for message in self.sent if message.topic.startswith(topic)]

    def shows(self, seconds: float = 0.0) -> bool:
        """Whether the lamp is lit after so many seconds."""
        self.wait(seconds)
        return "lamp" in self.lit


@pytest.fixture
def bench() -> Bench:
    """Its session stands."""
    made = Bench()
    made.connect()
    return made
