"""Boxes that do one thing wrong each, as patches: the simulated world must catch every one of them."""

import sqlite3
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final
from unittest import mock

from world_disk import Disk

from agent import central
from agent.commands import read_receipt
from agent.journal import Journal
from agent.mail import Publish, Write
from agent.media import Media
from agent.media_mail import Unlink
from agent.outbox import Outbox
from agent.path_mail import DueReport
from agent.paths import Paths
from agent.recorder import Recorder
from agent.uplink import Uplink
from agent.uploads import Uploads


def lamp_before_commit() -> Any:
    sealed = Recorder._seal

    def seal(self: Recorder, draft: Any, then: Any = None, **write: Any) -> Any:
        event = sealed(self, draft, None, **write)
        if then is not None:
            then(self.now.mono_s)
        return event

    return mock.patch.object(Recorder, "_seal", seal)


def delivered_on_send() -> Any:
    pumped = Uplink.pump

    def pump(self: Uplink, now_s: float, *, alarms_only: bool) -> None:
        start = len(self._out)
        pumped(self, now_s, alarms_only=alarms_only)
        for token in [action.token for action in self._out[start:] if isinstance(action, Publish)]:
            if (parcel := self.outbox._flight.get(token)) is not None:
                self._out.append(Write(delivered=tuple((event.seq, event.seq) for event in parcel.events)))

    return mock.patch.object(Uplink, "pump", pump)


def delivered_on_puback() -> Any:
    made = Outbox.__init__

    def make(self: Outbox, *args: Any, **options: Any) -> None:
        made(self, *args, **{**options, "puback_delivers": True})

    return mock.patch.object(Outbox, "__init__", make)


def never_resend() -> Any:
    ended = Outbox.session_down

    def session_down(self: Outbox) -> None:
        for lane in self._lanes.values():
            lane.sent.clear()
        ended(self)

    return mock.patch.multiple(Outbox, session_down=session_down, _expire=lambda *_: None, due_s=lambda _: None)


def two_transactions() -> Any:
    written = Journal.write

    def write(self: Journal, writes: Iterable[Write]) -> None:
        writes = list(writes)
        written(self, [Write(events=one.events) for one in writes])
        written(self, [_without_events(one) for one in writes])

    return mock.patch.object(Journal, "write", write)


def _without_events(write: Write) -> Write:
    return replace(write, events=())


def synchronous_normal() -> Any:
    connected = Disk.connect

    def connect(self: Disk, path: str) -> sqlite3.Connection:
        self.rewrite = lambda sql: sql.replace("synchronous=FULL", "synchronous=NORMAL")
        return connected(self, path)

    return mock.patch.object(Disk, "connect", connect)


def cases_forgotten_at_a_start() -> Any:
    opened = Journal.opened
    return mock.patch.object(Journal, "opened", lambda self: replace(opened(self), cases=()))


def commands_forgotten_at_a_start() -> Any:
    opened = Journal.opened
    return mock.patch.object(Journal, "opened", lambda self: replace(opened(self), seen={}))


def receipts_not_verified() -> Any:
    return mock.patch.object(
        central, "read_receipt", lambda payload, retained, _: read_receipt(payload, retained, None)
    )


def files_delivered_on_puback() -> Any:
    made = Uploads.__init__

    def make(self: Uploads, *args: Any, **options: Any) -> None:
        made(self, *args, **{**options, "puback_delivers": True})

    return mock.patch.object(Uploads, "__init__", make)


def clips_forgotten_at_a_start() -> Any:
    opened = Journal.opened
    return mock.patch.object(Journal, "opened", lambda self: replace(opened(self), clips={}))


def files_unlinked_before_their_record() -> Any:
    surveyed = Media._surveyed

    def unlink_first(self: Media, found: Any) -> None:
        if found.files:
            self._out.append(Unlink(tuple(file.sha256 for file in found.files)))
        surveyed(self, found)

    return mock.patch.object(Media, "_surveyed", unlink_first)


def pieces_beside_an_alarm() -> Any:
    pumped = Uploads.pump

    def pump(self: Uploads, now_s: float, *, alarm_owed: bool, **more: Any) -> None:
        pumped(self, now_s, alarm_owed=False, **more)

    return mock.patch.object(Uploads, "pump", pump)


def reports_delivered_when_offered() -> Any:
    given = Paths._due

    def give(self: Paths, way: Any, found: Any) -> None:
        given(self, way, found)
        if way.hand is not None:
            self._judge(way, way.hand.seq, "delivered", "")

    return mock.patch.object(Paths, "_due", give)


def reports_without_a_row() -> Any:
    written = Journal.write
    return mock.patch.object(
        Journal, "write", lambda self, writes: written(self, [replace(one, reports=()) for one in writes])
    )


def a_spare_way_at_once() -> Any:
    return mock.patch("agent.paths.UNDELIVERED_S", 0.0)


def a_stale_answer_believed() -> Any:
    handled = Paths.handle

    def handle(self: Paths, message: Any) -> None:
        if isinstance(message, DueReport):
            message = message._replace(token=next(way.token for way in self._ways if way.id == message.path))
        handled(self, message)

    return mock.patch.object(Paths, "handle", handle)


WRONG: Final = (
    lamp_before_commit,
    delivered_on_send,
    delivered_on_puback,
    never_resend,
    two_transactions,
    synchronous_normal,
    cases_forgotten_at_a_start,
    commands_forgotten_at_a_start,
    receipts_not_verified,
    files_delivered_on_puback,
    clips_forgotten_at_a_start,
    files_unlinked_before_their_record,
    pieces_beside_an_alarm,
    reports_delivered_when_offered,
    reports_without_a_row,
    a_spare_way_at_once,
    a_stale_answer_believed,
)
