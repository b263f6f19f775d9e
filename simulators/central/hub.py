"""Central's one thread that decides. Everything else puts messages into its mailbox: the broker's thread, the web's."""

import contextlib
import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from simulators.central import wire
from simulators.central.boxes import Box
from simulators.central.broker import Answer, Broker, Link, Message, News
from simulators.central.desk import RECENT_MAX, Change, Desk
from simulators.central.receipts import Receipts
from simulators.central.store import Command, Record, Store

log = logging.getLogger("central")
MAILBOX_MAX = 10_000  # beyond it the sender waits: the broker keeps what we have not acknowledged
GROUP_MAX = 500  # messages in one transaction
TICK_S = 1.0
EXPIRES_S = {"acknowledge": 3600.0, "close": 3600.0, "test": 60.0, "resend": 600.0}
LOADED_MAX = 20_000  # alarm and audit events that are read again at the start
NOTE_MAX = 500

T = TypeVar("T")


class RefusedError(Exception):
    """A wish of the page that cannot be fulfilled; the text is a key of the catalogue."""


@dataclass(frozen=True, slots=True)
class Bench:
    """The simulated box's pins and switches, in the demo."""

    state: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Ask:
    """Something to be done in the hub's thread."""

    work: Callable[[], None]


Mail = News | Bench | Ask | None  # None: stop
Listener = Callable[[str, dict[str, Any]], None]


class Hub:
    """Stores, checks, receipts, commands, and tells the pages. `post` and `ask` may be called from any thread."""

    def __init__(
        self,
        store: Store,
        broker: Broker,
        operator: str,
        operator_key: Ed25519PrivateKey,
        central_key: Ed25519PrivateKey,
    ) -> None:
        self._store, self._broker = store, broker
        self._operator, self._operator_key, self._central_key = operator, operator_key, central_key
        self._mailbox: queue.Queue[Mail] = queue.Queue(MAILBOX_MAX)
        self._listeners: set[Listener] = set()
        self._said: list[Change] = []
        self._asked: dict[int, str] = {}  # mid of a command under way: its id
        self._link_up = False
        self._store_fails = ""
        self._bench: dict[str, Any] | None = None
        self._stale = False
        self._receipts, self._desk = Receipts(), Desk()
        self._thread = threading.Thread(target=self._run, name="central-hub", daemon=True)
        self._load()

    def start(self) -> None:
        """Begins to work."""
        self._thread.start()

    def stop(self) -> None:
        """Returns when everything that came before is done."""
        self.post(None)
        self._thread.join()

    def post(self, mail: Mail) -> None:
        """Waits while the mailbox is full, but for an Answer: paho calls back with its lock held, and losing one only
        costs the page a word."""
        if isinstance(mail, Answer):
            with contextlib.suppress(queue.Full):
                self._mailbox.put_nowait(mail)
        else:
            self._mailbox.put(mail)

    def ask(self, work: Callable[[], T]) -> "Future[T]":
        """Runs `work` in the hub's thread; its result or exception is the future's."""
        future: Future[T] = Future()

        def run() -> None:
            try:
                future.set_result(work())
            except Exception as error:  # noqa: BLE001 - it belongs to who asked
                future.set_exception(error)

        self.post(Ask(run))
        return future

    # for the pages; all of these run in the hub's thread, through `ask`

    def listen(self, listener: Listener) -> None:
        """The listener gets a snapshot first and then every change, called in the hub's thread: it must not wait."""
        self._listeners.add(listener)
        listener("snapshot", self.snapshot())

    def leave(self, listener: Listener) -> None:
        """No more changes for this one."""
        self._listeners.discard(listener)

    def snapshot(self) -> dict[str, Any]:
        """All that a page shows."""
        return {
            **self._desk.snapshot(),
            "central": self._central(),
            "bench": self._bench,
            "now": wire.rfc3339(time.time()),
        }

    def send(
        self, verb: str, box: str, case: str = "", note: str = "", data: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Signs a command, stores it and sends it to the box; returns it as the page shows it. Raises RefusedError."""
        if verb not in EXPIRES_S or box not in self._desk.boxes:
            raise RefusedError("page.error.unknown_box")
        if verb in ("acknowledge", "close"):
            if not self._desk.knows(box, case):
                raise RefusedError("page.error.unknown_case")
            data = {"alarm": case, "note": note[:NOTE_MAX]}
        if not self._link_up:
            raise RefusedError("page.error.no_broker")
        id_, payload = wire.command(verb, box, data or {}, self._operator, EXPIRES_S[verb], self._operator_key)
        body = wire.read_json(payload)
        command = Command(id_, box, verb, case, note[:NOTE_MAX], body["time"], body["expires"], payload)
        with self._store.transaction():
            self._store.save_command(command)
        shown = self._desk.command(command)
        mid = self._broker.publish(f"callbox/1/{box}/command", payload, expires_s=EXPIRES_S[verb])
        if mid is None:
            self._desk.unreachable(id_, "no link to the broker")
        else:
            self._asked[mid] = id_
        return shown

    # the thread

    def _run(self) -> None:
        ticked_s = 0.0
        while True:
            due_s = self._receipts.next_s()
            now_s = time.monotonic()
            wait_s = min(TICK_S, max(0.0, due_s - now_s)) if due_s is not None else TICK_S
            group: list[Mail] = []
            with contextlib.suppress(queue.Empty):
                group.append(self._mailbox.get(timeout=wait_s))
                while len(group) < GROUP_MAX:
                    group.append(self._mailbox.get_nowait())
            self._take(group)
            now_s = time.monotonic()
            self._say_receipts(now_s)
            if now_s - ticked_s >= TICK_S:
                ticked_s = now_s
                self._desk.tick(now_s, time.time())
            self._tell()
            if None in group:
                return

    def _take(self, group: list[Mail]) -> None:
        """All that has come in, in one transaction; acknowledged to the broker when it is on the disk."""
        messages = [mail for mail in group if isinstance(mail, Message)]
        try:
            if self._stale:
                self._load()
            if messages:
                began: list[Box] = []
                with self._store.transaction():
                    for message in messages:
                        self._receive(message, began)
                for box in began:
                    self._send_receipts(self._receipts.take_all(box.name, box.journal))
                self._store_works("")
        except sqlite3.Error as error:
            # nothing was acknowledged: the broker sends it again over the next connection
            self._store_works(f"{type(error).__name__}: {error}")
            self._stale = True
            self._broker.restart()
            messages = []
        for message in messages:
            self._broker.acknowledge(message.mid, message.generation)
        for mail in group:
            match mail:
                case Link(up):
                    self._link(up)
                case Answer(mid, reason):
                    id_ = self._asked.pop(mid, None)
                    if id_ is not None and reason:
                        self._desk.unreachable(id_, reason)
                case Bench(state):
                    self._bench = state
                    self._said.append(("bench", state))
                case Ask(work):
                    work()

    def _receive(self, message: Message, began: list[Box]) -> None:
        try:
            self._message(message, began)
        except sqlite3.Error:
            raise
        except Exception as error:  # one message, whatever is in it, never stops the rest
            log.exception("%s: cannot be handled", message.topic)
            self._store.odd(wire.rfc3339(time.time()), message.topic, f"our fault: {error!r}", message.payload)

    def _message(self, message: Message, began: list[Box]) -> None:
        now_s, at = time.monotonic(), wire.rfc3339(time.time())
        topic = wire.read_topic(message.topic)
        if topic is None or (message.retain and topic.part != "state"):
            self._odd(at, message, "retained, which only a state may be" if topic else "not a box's topic")
        elif topic.part == "state":
            self._state(topic.box, message, at, now_s, began)
        elif topic.part == "event":
            self._event(topic, message.payload, at, now_s, message)
        else:
            payloads, wrong = wire.split_batch(message.payload)
            for payload in payloads:
                self._event(topic, payload, at, now_s, message)
            if wrong:
                self._odd(at, message, wrong)

    def _odd(self, at: str, message: Message, reason: str) -> None:
        log.warning("%s: %s; kept in table oddities", message.topic, reason)
        self._store.odd(at, message.topic, reason, message.payload)

    def _state(self, name: str, message: Message, at: str, now_s: float, began: list[Box]) -> None:
        if not message.payload:  # an empty one only clears what was retained
            return
        try:
            state = wire.read_state(message.payload)
        except ValueError as error:
            self._odd(at, message, f"no state: {error}"[:200])
            return
        box = self._desk.box(name)
        keyless = not box.announced_key
        if box.take(state, at, now_s):
            began.append(box)
        self._store.save_box(name, box.key, box.state, box.seen)
        self._desk.touch_box(name)
        if keyless and box.announced_key:
            for record in self._store.unchecked(name):
                self._check_again(record, now_s)

    def _event(self, topic: wire.Topic, payload: bytes, at: str, now_s: float, message: Message) -> None:
        try:
            event = wire.read_event(topic, payload)
        except wire.UnreadableError as error:
            self._odd(at, message, error.reason)
            if error.seq is not None and error.journal is not None:
                self._receipts.refuse(topic.box, error.journal, error.seq, error.reason, now_s)
            return
        record = Record(event, at, self._problems(event), self._desk.box(topic.box).replayed(event))
        outcome = self._store.add(record)
        if outcome == "new":
            if record.problems:
                log.warning("%s event %d of journal %s: %s", event.box, event.seq, event.journal, record.problems)
            self._desk.event(record)
        elif outcome == "repeat":
            kept = self._store.record(event.box, event.id)
            if record.proven and kept is not None and not kept.proven:
                self._check_again(kept, now_s)
        if outcome != "other" and record.proven:
            self._receipts.stored(event.box, event.journal, event.seq, event.cls == "alarm", now_s)

    def _check_again(self, record: Record, now_s: float) -> None:
        event = record.event
        checked = Record(event, record.received_at, self._problems(event), record.replayed)
        self._store.mark(event, checked.problems)
        self._desk.event(checked)
        if checked.proven:
            self._receipts.stored(event.box, event.journal, event.seq, event.cls == "alarm", now_s)

    def _problems(self, event: wire.Event) -> tuple[str, ...]:
        """Signature by the key that this journal is pinned to, or else by the announced one, which pins it."""
        problems = []
        pinned = self._store.key(event.box, event.journal)
        key = pinned or self._desk.box(event.box).announced_key
        if not key:
            problems.append("unchecked")
        elif not wire.verify(key, event.sig, event.body):
            problems.append("signature")
        elif not pinned:
            self._store.pin(event.box, event.journal, key)
        before, after, twin = self._store.neighbours(event)
        if event.seq == 1:
            before = wire.ZERO_HASH
        if before not in (None, event.prevhash) or after not in (None, event.hash):
            problems.append("chain")
        if twin:
            problems.append("twin")
        if not event.canonical:
            problems.append("canonical")
        return tuple(problems)

    def _link(self, up: bool) -> None:
        self._link_up = up
        if up:
            for box, journal in self._receipts.journals():
                self._send_receipts(self._receipts.take_all(box, journal))
        self._said.append(("central", self._central()))

    def _say_receipts(self, now_s: float) -> None:
        if self._link_up:
            self._send_receipts(self._receipts.take_due(now_s))

    def _send_receipts(self, receipts: list[tuple[str, dict[str, Any]]]) -> None:
        for box, body in receipts:
            self._broker.publish(f"callbox/1/{box}/receipt", wire.signed(body, self._central_key))

    def _store_works(self, failure: str) -> None:
        if failure != self._store_fails:
            self._store_fails = failure
            self._said.append(("central", self._central()))
            if failure:
                log.error("the store fails: %s; what comes stays with the broker and the boxes", failure)
            else:
                log.info("the store works again")

    def _central(self) -> dict[str, Any]:
        return {"broker": self._link_up, "store": self._store_fails, "operator": self._operator}

    def _tell(self) -> None:
        said, self._said = self._said + self._desk.changes(), []
        for kind, data in said:
            for listener in self._listeners:
                listener(kind, data)

    def _load(self) -> None:
        """From the store: what is stored of each journal, the boxes, and what the pages show."""
        self._stale = False
        self._receipts = Receipts(self._store.ranges())
        self._desk = Desk()
        now_s = time.monotonic()
        for name, key, state, seen in self._store.boxes():
            self._desk.boxes[name] = Box.restored(name, key, state, seen, now_s)
        for command in self._store.commands(200):
            self._desk.command(command)
        for record in self._store.records(("alarm", "audit"), LOADED_MAX):
            self._desk.event(record)
        for record in self._store.records(("trouble", "scan", "status", "audit"), RECENT_MAX):
            self._desk.event(record)
        self._desk.changes()
        for listener in self._listeners:
            listener("snapshot", self.snapshot())
