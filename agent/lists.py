"""Code lists: is a scanned code on one, and what follows; and what a `list` command wants. Pure, in virtual time.

    a code --> LookUp --> the thread of the lists --> LookedUp --> the scan's event, with the lists on which it is
                                                                   on an `allow` list or on none: the lamp says so
                                                                   on a `watch` list: alarm.listed, a case

A scan waits for its answer at most 250 ms and is then recorded without it, and says so. An answer that comes later
still raises its alarm.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from agent.alarms import Alarms
from agent.commands import RefusedError, clean
from agent.events import Stamp
from agent.evidence import Evidence
from agent.feedback import Flash
from agent.lists_mail import ChangeList, Entry, ListChanged, ListMessage, ListsStand, LookedUp, LookUp
from agent.mail import Action
from agent.models import Listing
from agent.models_scans import OnLists
from agent.recorder import Recorder

if TYPE_CHECKING:
    from agent.config import CodeList, Input

ANSWER_S: Final = 0.25
ASKED_MAX: Final = 500
"""Questions without an answer; beyond it a scan is recorded without."""
CHANGES_MAX: Final = 50
"""Commands on their way to the disk, of 64 KB each."""
HUNG_S: Final = 5.0
"""A question without an answer for so long is a trouble."""
CODE_CHARS_MAX: Final = 8_000
"""Of a code; it keeps an event under 64 KB however its characters are written."""
VERSION_CHARS_MAX: Final = 40
NO_ANSWER: Final = f"the lists gave no answer within {ANSWER_S * 1000:.0f} ms"
TROUBLE: Final = "lists"

Record = Callable[[OnLists], str]
"""Records the event of a scan with what the lists say; its id."""
Changed = Callable[[ListChanged], None]


@dataclass(frozen=True, slots=True)
class Scan:
    """A code of an input. told: its event holds it, so that an alarm may. evidence: for the pictures of an alarm."""

    entry: "Input"
    code: str
    at: Stamp
    evidence: Evidence
    told: bool = True


@dataclass(frozen=True, slots=True)
class _Asked:
    """A scan whose code is being looked up. id: of its event, "" before it is recorded."""

    scan: Scan
    record: Record
    since_s: float
    id: str = ""


class Lists:
    """The lists of the box. What is on them only their own thread knows."""

    def __init__(self, entries: Sequence["CodeList"], alarms: Alarms, recorder: Recorder, out: list[Action]) -> None:
        self._lists = {entry.name: entry for entry in entries}
        self._alarms, self._recorder, self._out = alarms, recorder, out
        self._ref = 0
        self._waiting: dict[int, _Asked] = {}
        """Not yet recorded, oldest first."""
        self._late: dict[int, _Asked] = {}
        """Recorded without an answer, which may come yet."""
        self._changes: dict[int, Changed] = {}
        self._stand = ListsStand({}, "")
        self._heard = False
        self.flash: Flash | None = None
        """What the lamp is to say of the newest scan, and since when."""

    @property
    def waiting(self) -> int:
        """Scans that are not yet recorded."""
        return len(self._waiting)

    @property
    def status(self) -> dict[str, int | None]:
        """Codes on each list; None: it was never brought."""
        return {name: self._stand.codes.get(name) for name in self._lists}

    def handle(self, message: ListMessage) -> None:
        """A word of the lists' threads."""
        match message:
            case LookedUp():
                self._looked_up(message)
            case ListChanged(ref=ref):
                self._changes.pop(ref)(message)
            case ListsStand():
                self._stand, self._heard = message, True

    # ---- scans

    def scanned(self, scan: Scan, record: Record) -> None:
        """Looks it up in the lists that its input names; `record` is called once, at once where there are none."""
        now, lists = self._recorder.now, scan.entry.lists
        if not lists:
            record({})
        elif len(self._waiting) + len(self._late) >= ASKED_MAX:
            record({"lists": [], "unlisted": NO_ANSWER})
        else:
            self._ref += 1
            self._waiting[self._ref] = _Asked(scan, record, now.mono_s)
            self._out.append(LookUp(self._ref, lists, clean(scan.code), now.wall_us / 1e6))

    def _looked_up(self, message: LookedUp) -> None:
        """The answer; one that comes too late for the scan's event raises the alarm all the same."""
        late = self._late.pop(message.ref, None)
        asked = late or self._waiting.pop(message.ref, None)
        if asked is None:
            return
        said: OnLists = {"lists": list(message.found)}
        if message.reason:
            said["unlisted"] = message.reason
        id = asked.id or asked.record(said)
        kinds = {name: self._lists[name].kind for name in asked.scan.entry.lists}
        if watched := [name for name in message.found if kinds[name] == "watch"]:
            self._alarm(asked.scan, id, watched)
        elif "allow" in kinds.values() and late is None:
            if any(kinds[name] == "allow" for name in message.found):
                self.flash = "known", self._recorder.now.mono_s
            elif not message.reason:  # what could not be looked up is not called unknown
                self.flash = "unknown", self._recorder.now.mono_s

    def tick(self) -> None:
        """Scans that have waited long enough, and the trouble of the lists."""
        now_s = self._recorder.now.mono_s
        self._give_up(now_s - ANSWER_S)
        if reason := self._trouble(now_s):
            self._recorder.trouble(TROUBLE, reason)
        else:
            self._recorder.trouble_over(TROUBLE)

    def due_s(self) -> float | None:
        """When the oldest has waited long enough."""
        return next((asked.since_s + ANSWER_S for asked in self._waiting.values()), None)

    def stop(self) -> None:
        """The box ends: what was scanned is recorded."""
        self._give_up(float("inf"))

    def _give_up(self, before_s: float) -> None:
        for ref in [ref for ref, asked in self._waiting.items() if asked.since_s <= before_s]:
            asked = self._waiting.pop(ref)
            id = asked.record({"lists": [], "unlisted": NO_ANSWER})
            self._late[ref] = replace(asked, id=id)

    def _alarm(self, scan: Scan, id: str, watched: list[str]) -> None:
        entry, listing = scan.entry, Listing(lists=watched, scan=id)
        if scan.told and not any(self._lists[name].hashed for name in watched):
            listing["code"] = clean(scan.code)[:CODE_CHARS_MAX]
        case = self._alarms.listed(entry.id, scan.at, listing)
        scan.evidence.caused(case, "alarm", entry.cameras, scan.at, picture=entry.capture == "picture")

    # ---- the lists themselves

    def _trouble(self, now_s: float) -> str:
        oldest = next(iter((self._late or self._waiting).values()), None)
        if oldest is not None and now_s >= oldest.since_s + HUNG_S:
            return "the lists give no answer: see the disk"
        missing = [name for name in self._lists if name not in self._stand.codes]
        if not missing or not self._heard:
            return ""
        return f"{self._stand.reason or 'not brought yet'}: {', '.join(missing)}"

    def change(self, data: Mapping[str, Any], answer: Changed) -> None:
        """A `list` command; `answer` hears what came of it, when it is on the disk. Raises RefusedError."""
        if len(self._changes) >= CHANGES_MAX:
            raise RefusedError(f"{CHANGES_MAX} changes of lists wait for the disk: go on when they are done")
        change = read_change(data, self._lists, self._ref + 1, self._recorder.now)
        self._ref += 1
        self._changes[self._ref] = answer
        self._out.append(change)


def read_change(data: Mapping[str, Any], names: Mapping[str, Any], ref: int, now: Stamp) -> ChangeList:
    """What a `list` command says, checked. names: of the lists that there are. Raises RefusedError."""
    name, version, count = data.get("name"), data.get("version"), data.get("count")
    if not isinstance(name, str) or name not in names:
        raise RefusedError(f"data.name: this box has {', '.join(names) or 'no list'}")
    if version is not None and not (isinstance(version, str) and 1 <= len(version) <= VERSION_CHARS_MAX):
        raise RefusedError(f"data.version: text of 1 to {VERSION_CHARS_MAX} characters is wanted")
    if count is not None and (version is None or isinstance(count, bool) or not isinstance(count, int) or count < 0):
        raise RefusedError("data.count: with a version, the number of its codes")
    add, remove = data.get("add", []), data.get("remove", [])
    for key, value in (("add", add), ("remove", remove)):
        if not isinstance(value, list):
            raise RefusedError(f"data.{key}: a list is wanted")
    if version is not None and remove:
        raise RefusedError("data.remove: a new version holds what is added to it, and nothing is taken out")
    return ChangeList(
        ref,
        name,
        tuple(_entry(entry, f"data.add[{n}]") for n, entry in enumerate(add)),
        tuple(_code(code, f"data.remove[{n}]") for n, code in enumerate(remove)),
        clean(version or ""),
        count,
        now.wall_us / 1e6 if now.synced else None,
    )


def _entry(entry: object, at: str) -> Entry:
    if not isinstance(entry, dict):
        return Entry(_code(entry, at))
    code, expires = _code(entry.get("code"), f"{at}.code"), entry.get("expires")
    try:
        until = None if expires is None else datetime.fromisoformat(expires)
        if until is not None and until.tzinfo is None:
            raise ValueError("no time zone")
        return Entry(code, None if until is None else until.timestamp())
    except (TypeError, ValueError, OverflowError):
        raise RefusedError(f"{at}.expires: RFC 3339 with a time zone is wanted") from None


def _code(code: object, at: str) -> str:
    if not isinstance(code, str) or not 1 <= len(code) <= CODE_CHARS_MAX:
        raise RefusedError(f"{at}: a code, text of 1 to {CODE_CHARS_MAX} characters, is wanted")
    return clean(code)
