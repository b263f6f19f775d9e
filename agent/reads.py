"""Papers under a camera: somebody presses, the camera reads, and what it found is told. Pure, in virtual time.

press -> ReadCodes -> camera process -> CodesRead -> scan.code, scan.document, and the picture as evidence of the first

Nothing is read but for a press. Each press ends in an event, whatever becomes of the camera: it is remembered on the
disk from the press on.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, cast

from agent.commands import clean
from agent.events import Stamp, rfc3339
from agent.evidence import Evidence
from agent.kinds import class_of
from agent.lists import CODE_CHARS_MAX, Lists, Scan
from agent.mail import Action
from agent.media_mail import CodesRead, FoundCode, FoundDocument, ReadCodes
from agent.models_scans import DocumentData, OnLists, ScanData
from agent.papers import Papers
from agent.recorder import Recorder

if TYPE_CHECKING:
    from agent.config import Input

ANSWER_S: Final = 75.0
"""A camera answers within 61 s, also when others are read before (docs/evidence.md): after this nobody will."""
WAITING_MAX: Final = 20
"""Presses without an answer: more are a button that rattles."""
STARTED_ANEW: Final = "the camera's process was started anew meanwhile; press again"
BOX_ENDED: Final = "the box ended before the camera had read; press again"
NO_ANSWER: Final = f"the camera gave no answer within {ANSWER_S:.0f} s; see its trouble"
TOO_MANY: Final = f"{WAITING_MAX} presses wait for their cameras already; look at the button"


@dataclass(frozen=True, slots=True)
class Waiting:
    """A press without an answer. id: of the first event that it will leave."""

    id: str
    entry: "Input"
    camera: str
    at: Stamp

    @property
    def input(self) -> str:
        return self.entry.id


class Reads:
    """The presses that wait for a camera."""

    def __init__(
        self,
        settings: Mapping[str, str],
        lists: Lists,
        evidence: Evidence,
        papers: Papers,
        recorder: Recorder,
        out: list[Action],
    ) -> None:
        """settings: the journal's; with the presses that an earlier run did not end."""
        self._lists, self._evidence, self._papers, self._recorder, self._out = lists, evidence, papers, recorder, out
        self._waiting: dict[str, Waiting] = {}
        self._answered: dict[str, Waiting] = {}
        """Those whose first event waits for the lists."""
        self._left = {
            name.removeprefix(_reading("")): times.split()
            for name, times in settings.items()
            if name.startswith(_reading("")) and times
        }
        """When an input was pressed in an earlier run, which ended before the answer."""

    # ---- in

    def pressed(self, entry: "Input", at: Stamp) -> str:
        """Somebody wants to know what lies before the first camera of an input; the id of the event to come."""
        wait = Waiting(self._recorder.new_id(), entry, entry.cameras[0], at)
        if len(self._waiting) >= WAITING_MAX:
            self._tell(wait, CodesRead(wait.camera, wait.id, reason=TOO_MANY))
            return wait.id
        self._waiting[wait.id] = wait
        self._keep(wait.input)
        self._out.append(ReadCodes(wait.camera, at.mono_s, entry.read, wait.id))
        return wait.id

    def answered(self, message: CodesRead) -> None:
        """What the camera found. An answer that comes too late is none."""
        if wait := self._waiting.pop(message.ref, None):
            self._answered[wait.id] = wait
            self._tell(wait, message)

    def camera_started(self, camera: str) -> None:
        """Its process is a new one, and knows nothing of what was asked before."""
        self._end([wait for wait in self._waiting.values() if wait.camera == camera], STARTED_ANEW)

    def tick(self) -> None:
        """What has waited long enough, and what an earlier run has left."""
        left, self._left = self._left, {}
        for input_id, times in left.items():
            for time in times:
                data: ScanData = {"input": input_id, "reason": f"pressed at {time}; {BOX_ENDED}"}
                self._recorder.record("scan.code", input_id, data)
            self._keep(input_id)
        now_s = self._recorder.now.mono_s
        self._end([wait for wait in self._waiting.values() if now_s >= wait.at.mono_s + ANSWER_S], NO_ANSWER)

    def due_s(self) -> float | None:
        """When `tick` has something to say next."""
        return min((wait.at.mono_s + ANSWER_S for wait in self._waiting.values()), default=None)

    def stop(self) -> None:
        """The box ends."""
        self._end([*self._waiting.values()], BOX_ENDED)

    # ---- out

    def _end(self, waits: list[Waiting], reason: str) -> None:
        for wait in waits:
            self.answered(CodesRead(wait.camera, wait.id, reason=reason))

    def _keep(self, input_id: str) -> None:
        """What the next run has to end, should this one be cut off."""
        waits = [*self._answered.values(), *self._waiting.values()]
        times = [rfc3339(wait.at.wall_us) for wait in waits if wait.input == input_id]
        self._recorder.keep({_reading(input_id): " ".join(times)})

    def _tell(self, wait: Waiting, read: CodesRead) -> None:
        """An event for each thing found, or one that says why there is none; the picture is evidence of the first."""
        id = wait.id
        for found in read.found or (None,):
            if found is None:
                self._record(wait, id, read, None, {})
            else:
                if isinstance(found, FoundDocument):
                    code, told = found.number, "number" in self._papers.found(found)
                else:
                    code, told = found.code, True
                scan = Scan(wait.entry, code, wait.at, self._evidence, told=told)
                self._lists.scanned(scan, partial(self._record, wait, id, read, found))
            id = self._recorder.new_id()

    def _record(
        self, wait: Waiting, id: str, read: CodesRead, found: FoundCode | FoundDocument | None, said: OnLists
    ) -> str:
        if isinstance(found, FoundDocument):
            document: DocumentData = {**self._document(wait, read, found), **said}
            self._recorder.record("scan.document", wait.input, document, id=id, at=wait.at)
        else:
            code: ScanData = {**self._code(wait, read, found), **said}
            self._recorder.record("scan.code", wait.input, code, id=id, at=wait.at)
        if self._answered.pop(id, None):  # the press has its event
            self._keep(wait.input)
        if id == wait.id and read.file is not None:
            self._evidence.read(id, class_of("scan.code"), wait.camera, wait.at, read.file)
        return id

    def _code(self, wait: Waiting, read: CodesRead, found: FoundCode | None) -> ScanData:
        data: ScanData = {"input": wait.input, "camera": wait.camera}
        if read.at_s is not None:
            data["taken"] = rfc3339(self._recorder.at(read.at_s).wall_us)
        if read.reason:
            data["reason"] = read.reason
        if found is None:
            return data
        put_code(data, found.code)
        data["format"] = found.format
        if found.confidence is not None:
            data["candidate"], data["confidence"] = True, found.confidence
        return data

    def _document(self, wait: Waiting, read: CodesRead, found: FoundDocument) -> DocumentData:
        data = {"input": wait.input, "camera": wait.camera, **self._papers.found(found)}
        if read.at_s is not None:
            data["taken"] = rfc3339(self._recorder.at(read.at_s).wall_us)
        if reasons := [text for text in (read.reason, data.get("reason")) if text]:
            data["reason"] = "; ".join(reasons)
        return cast(DocumentData, data)


def put_code(data: ScanData, code: str) -> None:
    """A code into the event of its scan; what is beyond CODE_CHARS_MAX is cut off and counted."""
    text = clean(code)
    data["code"] = text[:CODE_CHARS_MAX]
    if len(text) > CODE_CHARS_MAX:
        data["cut_chars"] = len(text) - CODE_CHARS_MAX


def _reading(input_id: str) -> str:
    """The journal's setting that holds when an input was pressed, of presses without an answer."""
    return f"reading {input_id}"
