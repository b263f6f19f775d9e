"""A simulated world: the real box and journal, on a disk that loses power, behind a wire and a central that fail.

One process, one thread, one seed; virtual time. `World.storm` lets everything go wrong and checks after every step that
no promise is broken; `World.heal` mends everything and demands that all that was recorded is at central, once.
"""

import heapq
import itertools
import random
import sqlite3
from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import rfc8785
from fakebox import b64
from world_check import Checker
from world_config import BOX_KEY, CENTRAL_KEY, GUEST_KEY, OPERATOR_KEY
from world_disk import Disk, PowerCutError
from world_eyes import Archive, Eyes
from world_ledger import BUTTONS, SAFE_S, Ledger
from world_ways import Ways
from world_wire import Broker, Central, ViolationError
from world_words import short
from world_worker import Worker

from agent.box import Box
from agent.config import Config
from agent.events import Stamp, rfc3339, uuid7
from agent.identity import Ed25519Signer
from agent.journal import Journal
from agent.mail import Connect, Drop, Exit, Fetch, Message, NewJournal, Probe, Publish, Say, SetOutput, Survey, Write
from agent.media_mail import FetchFiles, ReadPiece, Record, SurveyFiles, TakePicture, Unlink
from agent.path_mail import FindDue, Offer
from drivers.contract import Code, Edge, Health, Reading

EPOCH_S: Final = 1_800_000_000.0
STEP_S: Final = 1e-6
STEPS_MAX: Final = 2_000


class World:
    """Everything around one box, and the box in it."""

    def __init__(self, seed: int, folder: Path, config: Config) -> None:
        self.rng, self.seen, self.seed = random.Random(seed), Counter[str](), seed
        self.t = self.wall_step_s = self.healed_s = 0.0
        self.stormy = self.cuts = True
        """The wire and central fail; the box is cut off its power."""
        self._steps, self._spin_s = 0, 0.0
        self._due: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._numbers = itertools.count()
        self.trace: deque[str] = deque(maxlen=60)
        self._config = config
        self._signer = Ed25519Signer(BOX_KEY)
        self.disk = Disk(folder, self.rng, self.seen)
        self.ways = Ways(self)
        self.checker = Checker(self._signer.public, self.ways)
        self.broker = Broker(self)
        self.eyes = Eyes(self)
        archive = Archive(self.eyes.made, self.seen)
        self.central = self.broker.central = Central(self, self.broker, CENTRAL_KEY, self.checker.known, archive)
        self.box: Box | None = None
        self.life = 0
        self.slow_disk = False
        self.first_cut: int | None = None
        self.levels = dict.fromkeys((*BUTTONS, "key"), False)
        self.lamps: dict[str, bool] = {}
        self._rest_s: dict[str, float] = {}
        self._stopping, self._clean = False, False
        self._boot, self._boot_s = "", 0.0
        self._worker: Worker
        self.ledger = Ledger()

    # ---- time

    def later(self, delay_s: float, call: Callable[..., None], *args: Any) -> None:
        heapq.heappush(self._due, (self.t + delay_s, next(self._numbers), call, args))

    def soon(self, delay_s: float, call: Callable[..., None], *args: Any) -> None:
        """In this life of the box, or never."""
        life = self.life
        self.later(delay_s, lambda: call(*args) if life == self.life else None)

    def now(self) -> Stamp:
        return Stamp(self.t - self._boot_s, round(self.wall_s() * 1e6), synced=True)

    def mono_s(self) -> float:
        return self.t - self._boot_s

    def wall_s(self) -> float:
        return EPOCH_S + self.t + self.wall_step_s

    def note(self, text: str) -> None:
        self.trace.append(f"{self.t:10.4f} {text}")

    def run(self, seconds: float, until: Callable[[], bool] = lambda: False) -> bool:
        """Lets time pass; True as soon as `until` is."""
        end_s = self.t + seconds
        while not until():
            tick_s = self._boot_s + self.box.due_s() if self.box is not None else end_s
            call_s = self._due[0][0] if self._due else end_s
            if min(tick_s, call_s) >= end_s:
                self.t = end_s
                return until()
            # A clock goes on between two steps.
            self.t = max(self.t, min(tick_s, call_s)) + STEP_S
            self._spin()
            try:
                if call_s <= tick_s:
                    _, _, call, args = heapq.heappop(self._due)
                    call(*args)
                else:
                    self._step(None)
            except PowerCutError as cut:
                self._died(f"power cut at {cut}")
        return True

    def _spin(self) -> None:
        """A box that is always due again burns its processor and its battery."""
        self._steps += 1
        if self.t > self._spin_s + 0.01:
            self._steps, self._spin_s = 0, self.t
        if self._steps > STEPS_MAX:
            raise ViolationError(f"{STEPS_MAX} steps in 10 ms: the box is due at once, again and again")

    # ---- the box, as `agent.loop` drives it

    def tell(self, message: Message | Reading) -> None:
        if self.box is not None:
            self._step(message)

    def _step(self, message: Message | Reading | None) -> None:
        assert self.box is not None
        if message is not None:
            self.note(short(message))
            self.box.handle(message, self.now())
        now = self.now()
        if message is None or now.mono_s >= self.box.due_s():
            self.box.tick(now)
        if not self._worker.volatile:
            self.checker.tell(self.box.seq)
        self._execute()
        self._check()

    def _execute(self) -> None:
        assert self.box is not None
        while actions := self.box.drain():
            for action in actions:
                if not isinstance(action, SetOutput):
                    self.note(f"    {short(action)}")
                match action:
                    case Write() | Fetch() | Survey() | FetchFiles() | SurveyFiles() | FindDue():
                        self._worker.ask(action)
                    case Record() | TakePicture():
                        self.eyes.wish(action)
                    case ReadPiece():
                        self.eyes.ask(action)
                    case Unlink(files):
                        if not self._worker.volatile:
                            self.checker.unlinked(files)
                        self.eyes.ask(action)
                    case Offer():
                        if not self._worker.volatile:
                            self.checker.offered(action)
                        self.ways.offer(action)
                    case SetOutput(output, on):
                        self._lamp(output, on)
                    case Publish():
                        if action.topic.startswith("media/") and not self._worker.volatile:
                            self.checker.piece(self.central)
                        self.broker.publish(action)
                    case Connect():
                        self.broker.connect(action)
                    case Drop():
                        self.broker.drop(action)
                    case Probe():
                        self.broker.probe(action)
                    case Exit(reason):
                        raise ViolationError(f"the drain stood still: {reason}")
                    case NewJournal(reason):
                        self.seen["journals moved"] += 1
                        self._worker = Worker(self, journal := Journal(None))
                        self.box.new_journal(journal.opened(), reason, self.now())
                    case Say():
                        pass

    def start(self) -> None:
        """Power on, or the process again."""
        if self.box is not None:
            return
        self.disk.power_on()
        self._arm_cut()
        try:
            journal = Journal(self.disk.path, self.disk.connect)
            opened = journal.opened()
        except (sqlite3.Error, KeyError) as error:
            raise ViolationError(f"the journal does not open after a cut: {error!r}") from error
        self.checker.attach(self.disk.path, self.central)
        self._worker, self._stopping = Worker(self, journal), False
        self.lamps.clear()
        self.note(f"start, journal {opened.name} at {opened.seq}, boot {self._boot}")
        rng = random.Random(self.rng.getrandbits(64))
        self.box = Box(self._config, opened, self._signer, self._boot, self.now(), rng)
        last_end = opened.settings.get("last_end", "first")
        if self._clean and last_end != "clean":
            raise ViolationError(f"a clean stop is called {last_end}")
        self._clean = False
        self.box.start(self.now(), last_end=last_end, new_journal="", config_hash="0", config_changed=False)
        self._execute()
        self.eyes.start(*self.checker.files())
        for name, active in self.levels.items():
            self._edge(name, active, initial=True)
        self.tell(Health("desk", "good", "", self.now().mono_s))

    def boot(self) -> None:
        """The machine starts: a new boot, a new monotonic clock."""
        if self.box is None:
            self._boot, self._boot_s = f"{self.rng.getrandbits(32):08x}", self.t - self.rng.uniform(3, 30)
            self._try_start()

    def _try_start(self) -> None:
        try:
            self.start()
        except PowerCutError as cut:
            self._died(f"power cut at {cut} while starting")

    def _arm_cut(self) -> None:
        rng, disk = self.rng, self.disk
        disk.cut_at, self.first_cut = self.first_cut, None
        if not self.cuts:
            return
        disk.where = rng.choice(("before", "inside", "after"))
        match rng.randrange(6):
            case 0:
                disk.cut_at = disk.statements + rng.randint(1, 60)
            case 1:
                disk.cut_at = disk.statements + rng.randint(60, 500)
            case 2 | 3:
                disk.cut_on = ("COMMIT", rng.randint(1, 20))
            case 4:
                disk.cut_on = ("checkpoint", rng.randint(1, 3))

    def _died(self, why: str, *, power: bool = True) -> None:
        self.note(why)
        self.seen["power cuts" if power else "ends of the process"] += 1
        if not self.disk.off:
            self.disk.power_off(torn=power)
        self._over()
        if power:
            self.later(self.rng.choice((0.5, self.rng.uniform(1, 15))), self.boot)
        else:
            self.later(self.rng.uniform(0.5, 3), self._try_start)

    def _over(self) -> None:
        self.checker.detach()
        self.broker.box_died()
        self.ways.box_died()
        self.ledger.lives[self.life] = (self.t, self.box is None or self._worker.volatile)
        self.box = None
        self.life += 1

    def kill(self) -> None:
        if self.box is not None:
            self._died("killed", power=False)

    def cut_power(self) -> None:
        if self.box is not None:
            self._died("power cut")

    def stop(self) -> None:
        """A clean stop, as `Loop._stop`: no reading is taken any more; at most 2 s for the disk and for central."""
        if self.box is None or self._stopping:
            return
        self._stopping = True
        self.box.quiet(self.now())
        self.box.stop(self.now(), "clean")
        self._execute()
        self.later(2.0, self._stopped, self.life)

    def _stopped(self, life: int) -> None:
        if self.box is None or life != self.life:
            return
        self.box.say_goodbye(self.now())
        self._execute()
        clean = not self._worker.volatile and not self.box.unrecorded
        self.checker.detach()
        if self.cuts and self.rng.random() < 0.3:
            self.disk.cut_on = ("CLOSE", 1)
        self._worker.finish()
        self.seen["clean stops"] += 1
        self._died("stopped", power=False)
        self._clean = clean

    def disk_delay_s(self) -> float:
        if self.slow_disk:
            return self.rng.uniform(0.5, 8)
        return self.rng.choice((0.0, self.rng.uniform(0.001, 0.03), self.rng.uniform(0.01, 0.3)))

    @property
    def volatile(self) -> bool:
        return self.box is not None and self._worker.volatile

    @property
    def quiet(self) -> bool:
        """Nothing is owed, and nothing is on its way to the disk."""
        return (
            self.box is not None
            and not self.box.unrecorded
            and self._worker.at_rest
            and sum(self.owes().values()) == 0
            and self.checker.evidence_rests()
            and self.checker.reports_rest()
        )

    def phases(self) -> dict[str, str | None]:
        """How far each open case has come, as the box sees it."""
        if self.box is None:
            return {}
        return {case.id: case.phase(self.now().mono_s) for case in self.box._alarms.open.values()}

    def owes(self) -> dict[str, int]:
        """Events by class that the journal owes."""
        return {} if self.box is None else self.checker.owed()

    # ---- the place

    def _edge(self, name: str, active: bool, *, initial: bool = False) -> None:
        seen_s = self.now().mono_s
        if active and name in BUTTONS:
            self.ledger.presses.append((self.life, self._boot, name, round(seen_s, 6), self.t + SAFE_S))
        self.tell(Edge(name, active, seen_s, initial))

    def press(self, name: str, hold_s: float) -> None:
        """Somebody presses, and lets go."""
        if self.levels[name] or self.t < self._rest_s.get(name, 0.0):
            return
        self._rest_s[name] = self.t + hold_s + 0.15  # time enough to be seen as let go
        self._level(name, True)
        self.later(hold_s, self._level, name, False)

    def _level(self, name: str, active: bool) -> None:
        self.levels[name] = active
        if self.box is not None and not self._stopping:
            self._edge(name, active)

    def scan(self, code: str) -> None:
        if self.box is not None and not self._stopping:
            self.ledger.codes.append((self.life, code, self.t + SAFE_S))
            self.tell(Code("desk", code, self.now().mono_s))

    def command(self, verb: str, data: dict[str, Any], trick: str = "") -> None:
        """An operator's command; with a trick it must be refused."""
        name = uuid7(round(self.wall_s() * 1e6), self.rng.getrandbits(74))
        message: dict[str, Any] = {
            "specversion": "1.0",
            "id": name,
            "source": "/operators/nobody" if trick == "unknown" else "/operators/duty",
            "type": f"callbox.command.{verb}",
            "subject": "test/box-2" if trick == "elsewhere" else "test/box-1",
            "expires": rfc3339(round((EPOCH_S + self.t + (-4_000_000 if trick == "expired" else 600)) * 1e6)),
            "data": data,
        }
        key = GUEST_KEY if trick == "forged" else OPERATOR_KEY
        if trick == "not allowed":
            message["source"], key = "/operators/guest", GUEST_KEY
        message["sig"] = b64(key.sign(rfc8785.dumps(message)))
        self.ledger.commands[name] = not trick
        payload = rfc8785.dumps(message)
        self.broker.to_box("command", payload, retained=trick == "retained")
        if trick != "retained" and self.rng.random() < 0.4:
            self.seen["commands repeated"] += 1
            self.later(self.rng.uniform(0, 90), self.broker.to_box, "command", payload)

    # ---- what must be true

    def _lamp(self, output: str, on: bool) -> None:
        self.lamps[output] = on
        if on and output != "red" and not self._worker.volatile and not self.checker.told.shown:
            raise ViolationError(f"{output} is lit, and no alarm is on the disk")

    def _check(self) -> None:
        """Safety. The box's own view is compared with the disk's and with central's."""
        assert self.box is not None
        if self._worker.volatile:
            return
        alarms = self.box._alarms
        if forgotten := self.checker.told.open.keys() - alarms.open.keys() - alarms._closing.keys():
            raise ViolationError(f"the box has forgotten the open cases {forgotten}")
        for case in alarms.shown:
            phase = case.phase(self.now().mono_s)
            told = self.checker.told.open.get(case.id)
            if phase is not None and told is None:
                raise ViolationError(f"the lamp says {phase} of case {case.id}, which is not on the disk")
            seq = 0 if told is None else told["last_seq"]
            if phase == "received" and not self.central.has(self.checker.journal, seq):
                raise ViolationError(f"the lamp says received of boxseq {seq}; central has it not")
