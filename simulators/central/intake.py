"""What comes from the boxes: read, checked, stored, counted for receipts, shown. One message never stops the next."""

import logging
import sqlite3
import time

from simulators.central import evidence, wire
from simulators.central.boxes import Box
from simulators.central.broker import Message
from simulators.central.desk import COMMANDS_MAX, RECENT_MAX, Desk
from simulators.central.media import Media
from simulators.central.receipts import Receipts
from simulators.central.store import Record, Store

log = logging.getLogger("central")
LOADED_MAX = 20_000  # alarm and audit events that are read again at the start


class Intake:
    """The store and what is in memory of it. When a transaction fails, memory is ahead of the disk: make a new one."""

    def __init__(self, store: Store) -> None:
        """Reads the store: what is stored of each journal, the boxes, and what the pages show."""
        self._store = store
        self.media = Media(store)
        self.receipts = Receipts(store.ranges(), lambda box, sha256: self.media.have(box, sha256).bytes)
        self.desk = Desk(self.media.have)
        now_s = time.monotonic()
        for name, key, state, seen in store.boxes():
            box = self.desk.boxes[name] = Box.restored(name, key, state, seen, now_s)
            box.through = self.receipts.through(name, box.journal)
        for command in store.commands(COMMANDS_MAX):
            self.desk.command(command)
        for record in store.records(("alarm", "audit"), LOADED_MAX):
            self.desk.event(record)
        for record in store.evidence(LOADED_MAX):
            self.desk.event(record)
        for record in store.records(("trouble", "scan", "status", "audit"), RECENT_MAX):
            self.desk.event(record)
        self.desk.changes()

    def take(self, message: Message, began: list[Box]) -> None:
        """Inside a transaction of the store, `media.flush` before its end. Raises sqlite3.Error, OSError.

        began: gets the boxes that have a new session.
        """
        try:
            if wire.of_media(message.topic):
                self._piece(message)
            else:
                self._message(message, began)
        except (sqlite3.Error, OSError):
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

    def _piece(self, message: Message) -> None:
        piece = wire.read_piece(message.topic)
        wrong = "no file of a box, by its SHA-256 in hex, and no offset" if piece is None else ""
        if message.retain:
            wrong = "retained, which only a state may be"
        elif len(message.payload) > wire.PIECE_BYTES_MAX:
            wrong = f"{len(message.payload)} bytes, {wire.PIECE_BYTES_MAX} are allowed"
        if piece is None or wrong:
            self._odd(wire.rfc3339(time.time()), message, wrong)
            return
        self.media.piece(piece.box, piece.sha256, piece.offset, message.payload)
        self._tell_of(piece.box, piece.sha256, time.monotonic())

    def _tell_of(self, box: str, sha256: str, now_s: float) -> None:
        """With the next receipt; of a box whose state never came, no journal is known to say it about."""
        if journal := self.desk.box(box).journal:
            self.receipts.media(box, journal, sha256, now_s)
        self.desk.touch_file(box, sha256)

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
        box = self.desk.box(name)
        keyless = not box.announced_key
        if box.take(state, at, now_s):
            began.append(box)
        box.through = self.receipts.through(name, box.journal)
        if not message.retain:
            box.set_clock(at)
        self._store.save_box(name, box.key, box.state, box.seen)
        self.desk.touch_box(name)
        if keyless and box.announced_key:
            for record in self._store.unchecked(name):
                self._check_again(record, now_s)

    def _event(self, topic: wire.Topic, payload: bytes, at: str, now_s: float, message: Message) -> None:
        try:
            event = wire.read_event(topic, payload)
        except wire.UnreadableError as error:
            self._odd(at, message, error.reason)
            if error.seq is not None and error.journal is not None:
                self.receipts.refuse(topic.box, error.journal, error.seq, error.reason, now_s)
            return
        box = self.desk.box(topic.box)
        record = Record(event, at, self._problems(event), box.replayed(event), box.late_s(event, at))
        outcome = self._store.add(record)
        if outcome == "new":
            if record.problems:
                log.warning("%s event %d of journal %s: %s", event.box, event.seq, event.journal, record.problems)
            self.desk.event(record)
            if record.proven:
                self._heed(event, now_s)
        elif outcome == "repeat":
            kept = self._store.record(event.box, event.id)
            if record.proven and kept is not None and not kept.proven:
                self._check_again(kept, now_s)
        if outcome != "other" and record.proven:
            self._count(event, now_s)

    def _check_again(self, record: Record, now_s: float) -> None:
        event = record.event
        checked = Record(event, record.received_at, self._problems(event), record.replayed, record.late_s)
        self._store.mark(event, checked.problems)
        self.desk.event(checked)
        if checked.proven:
            self._heed(event, now_s)
            self._count(event, now_s)

    def _heed(self, event: wire.Event, now_s: float) -> None:
        """A proven event names files of evidence, or what is no more at the box: that is not waited for, but for a hole
        that does not fit what is stored here."""
        for file in evidence.files(event):
            self.media.named(event.box, file)
            self._tell_of(event.box, file.sha256, now_s)
        for sha256 in evidence.discarded(event):
            self.media.discarded(event.box, sha256)
            self._tell_of(event.box, sha256, now_s)
        for hole in wire.holes(event):
            if self._store.joins(event, hole):
                self._store.add_hole(event, hole)
                self.receipts.gone(event.box, event.journal, hole.first, hole.last)

    def _count(self, event: wire.Event, now_s: float) -> None:
        through = self.receipts.stored(event.box, event.journal, event.seq, event.cls == "alarm", now_s)
        if self.desk.box(event.box).stored(event.journal, through):
            self.desk.touch_box(event.box)

    def _problems(self, event: wire.Event) -> tuple[str, ...]:
        """Signature by the key that this journal is pinned to, or else by the announced one, which pins it."""
        problems = []
        pinned = self._store.key(event.box, event.journal)
        key = pinned or self.desk.box(event.box).announced_key
        if not key:
            problems.append("unchecked")
        elif not wire.verify(key, event.sig, event.body):
            problems.append("signature")
        elif not pinned:
            self._store.pin(event.box, event.journal, key)
        before, after, twin = self._store.neighbours(event)
        if event.seq == 1:
            before = wire.ZERO_HASH
        joined = all(self._store.joins(event, hole) for hole in wire.holes(event))
        if before not in (None, event.prevhash) or after not in (None, event.hash) or not joined:
            problems.append("chain")
        if twin:
            problems.append("twin")
        if not event.canonical:
            problems.append("canonical")
        return tuple(problems)
