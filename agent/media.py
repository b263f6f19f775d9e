"""Evidence and its way to central as one room of the box: clips, reads, uploads, and which files may go. Pure."""

import random
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from agent.events import rfc3339
from agent.evidence import Evidence
from agent.lists import Lists
from agent.mail import Action, Write
from agent.media_mail import (
    CameraSaid,
    CameraStarted,
    CodesRead,
    FetchedFiles,
    Filed,
    FilesFound,
    MediaMessage,
    OwedFile,
    PieceRead,
    PutDone,
    SurveyedFiles,
    SurveyFiles,
    Unlink,
    Unlinked,
)
from agent.models_evidence import DiscardedData
from agent.papers import Papers
from agent.reads import Reads
from agent.recorder import Recorder
from agent.retention import DAY_US, LOOK_S, PAUSE_S, TIGHT_BYTES
from agent.uplink import Uplink
from agent.uploads import Uploads

if TYPE_CHECKING:
    from agent.config import Config
    from agent.journal import Opened

FREE_BYTES: Final = 4 * TIGHT_BYTES
"""With less room on the disk files of evidence go: before any event has to."""


class Media:
    """Called by the box with what comes from cameras, spool and journal, and at every tick."""

    def __init__(
        self,
        config: "Config",
        opened: "Opened",
        lists: Lists,
        recorder: Recorder,
        rng: random.Random,
        out: list[Action],
    ) -> None:
        self._recorder, self._out = recorder, out
        puback = config.delivery == "puback"
        wish = config.evidence
        self.uploads = Uploads(opened.media_bytes, wish.media_kbps, rng, out, puback_delivers=puback, put=wish.put)
        self.evidence = Evidence(config.cameras, opened.clips, recorder, self.uploads.owed, out)
        self.papers = Papers(config.documents.policy, config.site_key)
        self.reads = Reads(opened.settings, lists, self.evidence, self.papers, recorder, out)
        self._days, self._bytes = config.retention.days, config.retention.media_mb * 1_000_000
        self._keeps = bool(config.cameras) or opened.media_bytes > 0
        self._look_s = recorder.now.mono_s
        self._asked = False

    def handle(self, message: MediaMessage) -> None:
        now_s = self._recorder.now.mono_s
        match message:
            case Filed():
                self._keeps = True
                self.evidence.filed(message)
            case CameraStarted():
                self.evidence.started(message)
                self.reads.camera_started(message.camera)
            case CodesRead():
                self._keeps = True
                self.reads.answered(message)
            case CameraSaid():
                self.evidence.said(message)
                if message.quality == "storage":
                    self.look_now()
            case FetchedFiles():
                self.uploads.fetched(message)
            case PieceRead():
                self.uploads.read(message, now_s)
            case PutDone():
                self.uploads.put(message, now_s)
            case SurveyedFiles():
                self._surveyed(message)
            case FilesFound(files):
                self._keeps = True
                self._out.append(Write(files=files))
                self.uploads.owed(files)
            case Unlinked(files):
                self._out.append(Write(unlinked=files))

    def pump(self, uplink: Uplink, *, alarm_under_way: bool) -> None:
        """What is to be done for the uploads now, over the link that the box's own session has."""
        link = uplink.link.index if uplink.link.state == "up" else None
        alarm_owed = alarm_under_way or uplink.outbox.owes_alarms
        self.uploads.pump(
            self._recorder.now.mono_s,
            link=link,
            protocol=uplink.link.protocol,
            alarm_owed=alarm_owed,
            events=uplink.outbox.in_flight > 0,
        )
        for file, reason in self.uploads.parked:
            self._recorder.park_file(file, reason)
        self.uploads.parked.clear()

    # ---- what may go

    def look_now(self) -> None:
        """The disk was full a moment ago."""
        self._look_s = min(self._look_s, self._recorder.now.mono_s)

    def tick(self) -> None:
        """Everything that is due."""
        self.evidence.tick()
        self.reads.tick()
        now = self._recorder.now
        if self._keeps and not self._asked and now.mono_s >= self._look_s and not self._recorder.volatile:
            self._asked = True
            before = rfc3339(now.wall_us - self._days * DAY_US) if now.synced else ""
            self._out.append(SurveyFiles(before, self._bytes, FREE_BYTES))

    def due_s(self) -> float | None:
        """When `tick`, or the uploads, have something to do next."""
        dues = [self.evidence.due_s(), self.reads.due_s(), self.uploads.due_s(self._recorder.now.mono_s)]
        if self._keeps and not self._asked and not self._recorder.volatile:
            dues.append(self._look_s)
        return min((due for due in dues if due is not None), default=None)

    def _surveyed(self, found: SurveyedFiles) -> None:
        """What may go goes: the record of it and its rows in one transaction, and then from the disk."""
        self._asked = False
        self._look_s = self._recorder.now.mono_s + (PAUSE_S if found.more else LOOK_S)
        if found.cause == "":
            return
        files = found.files
        data: DiscardedData = {
            "cause": found.cause,
            "files": [
                {"sha256": f.sha256, "case": f.case, "camera": f.camera, "bytes": f.bytes, "stored": f.stored}
                for f in files
            ],
        }
        if undelivered := sum(file.stored < file.bytes for file in files):
            data["undelivered"] = undelivered
        self.uploads.forget(files)
        names = tuple(file.sha256 for file in files)
        self._recorder.record(
            "audit.discarded", "media", data, then=lambda _: self._out.append(Unlink(names)), gone=names
        )

    # ---- another journal

    def moved(self, opened: "Opened", files: tuple[OwedFile, ...] = ()) -> None:
        """The box goes on in another journal. files: of the one that is left, which this one has to have too."""
        self._asked, self._look_s = False, self._recorder.now.mono_s + PAUSE_S
        if files := (*self.uploads.known, *files):
            # boxseq 0: in that journal another event stands where the one stands that named it here
            moved = tuple(replace(file, seq=0) for file in files)
            self._out.append(Write(files=moved, stored={file.sha256: file.stored for file in files if file.stored}))
        self.evidence.moved(opened.clips)
        self.uploads.reload(opened.media_bytes)
