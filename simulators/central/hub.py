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
from pathlib import Path
from typing import Any, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from simulators.central import wire
from simulators.central.boxes import Box
from simulators.central.broker import Answer, Broker, Link, Message, News
from simulators.central.bucket import Bucket
from simulators.central.desk import Change
from simulators.central.evidence import File
from simulators.central.intake import Intake
from simulators.central.store import Command, Store

log = logging.getLogger("central")
MAILBOX_MAX = 10_000  # beyond it the sender waits: the broker keeps what we have not acknowledged
GROUP_MAX = 500  # messages in one transaction
TICK_S = 1.0
# `aside` is no verb of the contract: it stays at the desk, for a case that its box does not know (any more).
EXPIRES_S = {"acknowledge": 3600.0, "close": 3600.0, "test": 60.0, "resend": 600.0, "aside": 60.0}
ABOUT_CASES = ("acknowledge", "close", "aside")
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

    work: Callable[[], object]


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
        decrypts: bool = False,
        bucket: Bucket | None = None,
    ) -> None:
        """decrypts: there is an identity for encrypted evidence, and pages say so. bucket: where boxes put files."""
        self._decrypts, self._bucket = decrypts, bucket
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
        self._intake = Intake(store)
        self._thread = threading.Thread(target=self._run, name="central-hub", daemon=True)

    def start(self) -> None:
        """Begins to work."""
        self._thread.start()
        if self._bucket:
            self._bucket.start(self.post, lambda: self.ask(self._store.unfinished_files))

    def stop(self) -> None:
        """Returns when everything that came before is done."""
        if self._bucket:
            self._bucket.stop()
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
            if not future.set_running_or_notify_cancel():
                return  # who asked has gone
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
            **self._intake.desk.snapshot(),
            "central": self._central(),
            "bench": self._bench,
            "now": wire.rfc3339(time.time()),
        }

    def file(self, box: str, case: str, sha256: str) -> tuple[Path, File]:
        """A whole file of evidence of a case that is on the desk. Raises RefusedError."""
        file = self._intake.desk.file(box, case, sha256)
        if file is None:
            raise RefusedError("page.error.unknown_file")
        return self._intake.media.path(sha256), file

    def send(
        self, verb: str, box: str, case: str = "", note: str = "", data: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Signs a command, stores it and sends it to the box; returns it as the page shows it. Raises RefusedError."""
        desk = self._intake.desk
        if verb not in EXPIRES_S or box not in desk.boxes:
            raise RefusedError("page.error.unknown_box")
        if verb in ABOUT_CASES:
            if not desk.knows(box, case):
                raise RefusedError("page.error.unknown_case")
            data = {"alarm": case, "note": note[:NOTE_MAX]}
        if not self._link_up and verb != "aside":
            raise RefusedError("page.error.no_broker")
        id_, payload = wire.command(verb, box, data or {}, self._operator, EXPIRES_S[verb], self._operator_key)
        body = wire.read_json(payload)
        command = Command(id_, box, verb, case, note[:NOTE_MAX], body["time"], body["expires"], payload)
        try:
            with self._store.transaction():
                self._store.save_command(command)
        except sqlite3.Error as error:
            self._store_works(f"{type(error).__name__}: {error}")
            raise RefusedError("page.error.no_store") from error
        shown = desk.command(command)
        if verb == "aside":
            return shown
        mid = self._broker.publish(f"callbox/1/{box}/command", payload, expires_s=EXPIRES_S[verb])
        if mid is None:
            desk.unreachable(id_, "no link to the broker")
        else:
            self._asked[mid] = id_
        return shown

    # the thread

    def _run(self) -> None:
        ticked_s = 0.0
        while True:
            due_s = self._intake.receipts.next_s() if self._link_up else None
            now_s = time.monotonic()
            wait_s = min(TICK_S, max(0.0, due_s - now_s)) if due_s is not None else TICK_S
            group: list[Mail] = []
            with contextlib.suppress(queue.Empty):
                group.append(self._mailbox.get(timeout=wait_s))
                while len(group) < GROUP_MAX:
                    group.append(self._mailbox.get_nowait())
            try:
                kept = self._take(group)
                now_s = time.monotonic()
                self._say_receipts(now_s)
                kept = self._take_pieces(group) and kept  # an alarm's receipt does not wait for the files' disk
                if kept:
                    self._acknowledge(group)
                if now_s - ticked_s >= TICK_S:
                    ticked_s = now_s
                    self._intake.desk.tick(now_s, time.time())
                    self._intake.media.tick(now_s)
                self._tell()
            except Exception:  # our own fault: start anew from the disk, and have sent again what was not acknowledged
                log.exception("central stumbled")
                self._stale = True
                self._broker.restart()
            if None in group:
                return

    def _take(self, group: list[Mail]) -> bool:
        """All that has come in but pieces of files; whether it is on the disk."""
        began: list[Box] = []
        kept = self._keep([m for m in group if isinstance(m, Message) and not wire.of_media(m.topic)], began)
        for box in began:
            told = self._intake.media.told(box.name)
            self._send_receipts(self._intake.receipts.take_all(box.name, box.journal, told))
        for mail in group:
            match mail:
                case Link(up):
                    self._link(up)
                case Answer(mid, reason):
                    id_ = self._asked.pop(mid, None)
                    if id_ is not None and reason:
                        self._intake.desk.unreachable(id_, reason)
                case Bench(state):
                    self._bench = state
                    self._said.append(("bench", state))
                case Ask(work):
                    work()
        return kept

    def _take_pieces(self, group: list[Mail]) -> bool:
        return self._keep([m for m in group if isinstance(m, Message) and wire.of_media(m.topic)], [])

    def _acknowledge(self, group: list[Mail]) -> None:
        """In the order in which they came, as MQTT demands (5.0, 4.6): rumqttd hangs up on who does otherwise."""
        for mail in group:
            if isinstance(mail, Message):
                self._broker.acknowledge(mail.mid, mail.generation)

    def _keep(self, messages: list[Message], began: list[Box]) -> bool:
        """In one transaction; whether they are on the disk. began: gets the boxes that have a new session."""
        try:
            if self._stale:
                self._load()
            if not messages:
                return True
            with self._store.transaction():
                for message in messages:
                    self._intake.take(message, began)
                self._intake.media.flush()
            self._store_works("")
        except (sqlite3.Error, OSError) as error:
            # nothing was acknowledged: the broker sends it again over the next connection
            self._store_works(f"{type(error).__name__}: {error}")
            self._stale = True
            began.clear()
            self._broker.restart()
            return False
        return True

    def _link(self, up: bool) -> None:
        self._link_up = up
        if up:
            for box, journal in self._intake.receipts.journals():
                now = journal == self._intake.desk.box(box).journal
                told = self._intake.media.told(box) if now else None
                self._send_receipts(self._intake.receipts.take_all(box, journal, told))
        self._said.append(("central", self._central()))

    def _say_receipts(self, now_s: float) -> None:
        if self._link_up:
            self._send_receipts(self._intake.receipts.take_due(now_s))

    def _send_receipts(self, receipts: list[tuple[str, dict[str, Any]]]) -> None:
        if self._stale:  # memory is ahead of the disk: what it says is stored may not be
            return
        for box, body in receipts:
            if self._bucket and (put := self._bucket.addresses(body.get("media", {}))):
                body["put"] = put
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
        said = {"broker": self._link_up, "store": self._store_fails}
        return {**said, "operator": self._operator, "decrypts": self._decrypts}

    def _tell(self) -> None:
        said, self._said = self._said + self._intake.desk.changes(), []
        for kind, data in said:
            for listener in self._listeners:
                listener(kind, data)

    def _load(self) -> None:
        """Memory anew from the disk, and every page with it."""
        self._intake.media.close()
        self._intake, self._stale = Intake(self._store), False
        for listener in self._listeners:
            listener("snapshot", self.snapshot())
