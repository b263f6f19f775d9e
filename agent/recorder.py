"""Records: seals an event, hands it to the journal, and does what waits for the disk when the disk has it. Pure.

Every other pure room records through here, so that there is one place where an event gets its boxseq.
"""

import json
import random
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, cast

from agent import __version__
from agent.commands import NOTE_CHARS_MAX, clean
from agent.events import Chain, Draft, Event, Stamp, redraft, uuid7
from agent.identity import Signer, signed_by
from agent.kinds import CID, EventClass
from agent.mail import Action, Recorded, Say, Write
from agent.media_mail import OwedFile
from agent.models import EventData, LastEnd, ParkedData, StartedData, TroubleData
from agent.models_position import Place
from agent.path_mail import OwedReport
from drivers.contract import Quality

if TYPE_CHECKING:
    from agent.journal import Opened


TESTED: Final = ("alarm.", "scan.", "trouble.ac", "trouble.battery")
"""Types of event that a walk test marks: what inputs say. A fault of a wire is a fault, whoever works at it."""

Then = Callable[[float], None]
"""Done when an event is on the disk, with the monotonic second."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    """Sealed and not yet on the disk, since `since_s`."""

    event: Event
    draft: Draft
    then: Then | None
    since_s: float
    files: tuple[OwedFile, ...]


class Recorder:
    """The chain of this box, what is on its way to the disk, and the troubles that stand."""

    def __init__(
        self,
        source: str,
        opened: "Opened",
        signer: Signer,
        boot: str,
        now: Stamp,
        rng: random.Random,
        out: list[Action],
    ) -> None:
        """out: actions are appended to it. `now` is set by the box at every step."""
        self.now, self.boot, self.public = now, boot, signer.public
        self._source, self._signer, self._rng, self._out = source, signer, rng, out
        self.testing = False
        """A walk test is under way: what inputs cause is marked `test`."""
        self.place: Callable[[float], Place | None] = lambda _: None
        """Where the box was at a monotonic second; told on every alarm."""
        self.troubles: dict[str, str] = {}
        """Reason by name: `link`, also with a url; `storage`; `input`, `stuck`, `ac`, `battery` with an input's id;
        `camera` with a camera's; `patrol` with a patrol's name."""
        self.paths: Sequence[tuple[str, Collection[str], bool]] = ()
        """Ways out besides MQTT: id, classes of events, and whether it is for what central does not have in time."""
        self._take_over(opened)

    def _take_over(self, opened: "Opened") -> None:
        self._chain = Chain(self._source, opened.name, self.boot, self._signer, opened.seq, opened.prevhash)
        self._waiting: deque[_Waiting] = deque()
        self._alarms_s: deque[float] = deque()
        self.volatile = opened.volatile
        self.pending: Mapping[EventClass, int] = opened.pending

    # ---- where it stands

    @property
    def journal(self) -> str:
        """The journal's name."""
        return self._chain.journal

    @property
    def next_seq(self) -> int:
        """The boxseq of the next event."""
        return self._chain.seq + 1

    @property
    def seq(self) -> int:
        """The last boxseq that is on the disk."""
        return self._chain.seq - len(self._waiting)

    @property
    def unrecorded(self) -> int:
        """Events on their way to the disk."""
        return len(self._waiting)

    @property
    def oldest_s(self) -> float | None:
        """Since when the oldest of them waits."""
        return self._waiting[0].since_s if self._waiting else None

    @property
    def alarm_s(self) -> float | None:
        """Since when the oldest alarm of them waits."""
        return self._alarms_s[0] if self._alarms_s else None

    # ---- events

    def at(self, mono_s: float) -> Stamp:
        """A moment, mostly of a little while ago, by both clocks."""
        now = self.now
        return Stamp(mono_s, now.wall_us - round((now.mono_s - mono_s) * 1e6), now.synced, now.source)

    def new_id(self) -> str:
        return uuid7(self.now.wall_us, self._rng.getrandbits(74))

    def record(
        self,
        type: str,
        subject: str,
        data: EventData,
        *,
        then: Then | None = None,
        id: str = "",
        at: Stamp | None = None,
        **write: Any,
    ) -> Event:
        """Seals an event (`type` without `callbox.`) and sends it to the journal.

        then: done when it is on the disk. at: when it happened, if not now. write: what changes in the same
        transaction, as in `mail.Write`.
        """
        if self.testing and type.startswith(TESTED):
            data = cast(EventData, {**data, "test": True})
        if type.startswith("alarm.") and (place := self.place((at or self.now).mono_s)) is not None:
            data = cast(EventData, {**data, "position": place})
        draft = Draft(id or self.new_id(), type, subject, at or self.now, data)
        return self._seal(draft, then, **write)

    def _seal(self, draft: Draft, then: Then | None = None, **write: Any) -> Event:
        event = self._chain.seal(draft)
        self._waiting.append(_Waiting(event, draft, then, self.now.mono_s, write.get("files", ())))
        if event.cls == "alarm":
            self._alarms_s.append(self.now.mono_s)
        reports = tuple(
            OwedReport(id, event.seq, event.cls, spare) for id, classes, spare in self.paths if event.cls in classes
        )
        self._out.append(Write(events=(event,), reports=reports if draft.type in CID else (), **write))
        return event

    def recorded(self, message: Recorded) -> list[Event]:
        """The journal's answer: the events that are on the disk now. What waited for them is done."""
        self.pending = message.pending
        events = []
        while self._waiting and self._waiting[0].event.seq <= message.through:
            waiting = self._waiting.popleft()
            events.append(waiting.event)
            if waiting.event.cls == "alarm":
                self._alarms_s.popleft()
            if waiting.then is not None:
                waiting.then(self.now.mono_s)
        return events

    def keep(self, settings: Mapping[str, str]) -> None:
        """Remembers something on the disk that is no event; with the events of the same step, if there are any."""
        self._out.append(Write(settings=settings))

    def started(self, last_end: LastEnd, new_journal: str, settings: Mapping[str, str]) -> None:
        """The first event of a run, or of a journal that had to be started anew."""
        data: StartedData = {"agent": __version__, "last_end": last_end}
        if new_journal:
            data["new_journal"] = new_journal
        self.record("status.started", "box", data, settings=settings)

    def move(
        self, opened: "Opened", reason: str, owed: Iterable[Event], signer: Signer | None = None
    ) -> dict[int, int]:
        """Goes on in another journal, because the disk has failed or is back: boxseq there by boxseq in the old one.

        owed: recorded events that are to go out from the new one too: nobody knows whether the disk comes back. Ids
        stay, so that central drops what it may still get from the old journal as a repeat. signer: from now on.
        """
        waiting = self._waiting
        if signer is not None:
            self._signer, self.public = signer, signer.public
        self._take_over(opened)
        self.started("storage", reason, {})
        seqs = {event.seq: self._seal(redraft(event)).seq for event in owed}
        return seqs | {old.event.seq: self._seal_anew(old).seq for old in waiting}

    def _seal_anew(self, old: _Waiting) -> Event:
        """With the files that it names: the journal that is left has never had them."""
        files = tuple(replace(file, seq=self.next_seq) for file in old.files)
        return self._seal(old.draft, old.then, files=files)

    def copy(self, event: Event) -> None:
        """An event of another journal in this one too, under its id."""
        self._seal(redraft(event))

    def vouches_for(self, event: Event) -> bool:
        """Whether it carries this box's signature."""
        try:
            return signed_by(self.public, json.loads(event.body))
        except ValueError:
            return False

    def park(self, event: Event, reason: str) -> None:
        """Nobody can take it: it is owed no more, and that is an event, unless it is about such an event itself."""
        if b'"type":"callbox.trouble.parked"' in event.body:
            self._out.append(Write(parked={event.seq: reason}))
            return
        data: ParkedData = {"transition": "raised", "parked": event.seq, "id": event.id, "reason": reason}
        self.record("trouble.parked", "journal", data, parked={event.seq: reason})

    def unwanted(self, event: Event, path: str, reason: str) -> None:
        """A path will never take it; what is owed to central stays so. Nothing is told of what tells of such itself."""
        if b'"type":"callbox.trouble.parked"' not in event.body:
            data: ParkedData = {"transition": "raised", "parked": event.seq, "id": event.id, "reason": reason}
            data["path"] = path
            self.record("trouble.parked", "journal", data)

    def park_file(self, file: OwedFile, reason: str) -> None:
        """Nobody can take this file of evidence."""
        data: ParkedData = {"transition": "raised", "parked": file.seq, "id": file.case, "reason": reason}
        data["file"] = file.sha256
        self.record("trouble.parked", "media", data, stored={file.sha256: -1})

    # ---- troubles

    def trouble(
        self, name: str, reason: str, *, quality: Quality | None = None, silent: bool = False, changes: int = 0
    ) -> None:
        """Raises a trouble, once; a new reason is a line in the log.

        quality: of an input's wire. silent: no line. changes: so many were merged, and are told in any case.
        """
        reason = clean(reason[:NOTE_CHARS_MAX])  # it may be the words of a device
        stands = self.troubles.get(name)
        if stands == reason and not changes:
            return
        self.troubles[name] = reason
        if not silent:
            self._out.append(Say("warning", f"trouble: {name}: {reason}"))
        if stands is not None and not changes:
            return
        data: TroubleData = {"transition": "raised", "reason": reason}
        if quality is not None:
            data["quality"] = quality
        self._record_trouble(name, data, changes)

    def trouble_over(self, name: str, *, silent: bool = False, changes: int = 0) -> None:
        """It is over, if it stood. changes: as above."""
        stood = self.troubles.pop(name, None) is not None
        if stood or changes:
            if not silent:
                self._out.append(Say("info", f"trouble over: {name}"))
            self._record_trouble(name, {"transition": "restored"}, changes)

    def _record_trouble(self, name: str, data: TroubleData, changes: int) -> None:
        if changes:
            data["merged"], data["changes"] = True, changes
        kind, _, of = name.partition(" ")
        if of and kind == "link":
            data["link"] = of
        elif of and kind == "camera":
            data["camera"] = of
        elif of and kind == "patrol":
            data["patrol"] = of
        elif of:
            data["input"] = of
        self.record(f"trouble.{kind}", of if of and kind != "link" else kind, data)
