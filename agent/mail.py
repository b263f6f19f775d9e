"""What comes into the deciding thread, and what goes out of it: values only.

Drivers' readings (`drivers.contract`) come in as they are. Every message from a journal or a session names which one
it is from, so that a late word of an old one is told apart. They are named tuples, which take a fifth of the time that
frozen dataclasses do to be made, at the start and on the way of an alarm; what is copied with changes is a dataclass.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from agent.events import Event
from agent.kinds import Cause, EventClass
from agent.lists_mail import ListAction, ListMessage
from agent.media_mail import FetchFiles, MediaAction, MediaMessage, OwedFile, SurveyFiles
from agent.path_mail import FindDue, JudgedReport, Offer, OwedReport, PathMessage
from agent.ranges import Hole, Range

NEIGHBOUR: Final = "neighbour/"
"""How the topic of a neighbour's alarm begins, as the box is told it."""

# ---- in


class Recorded(NamedTuple):
    """Every event of journal `journal` up to boxseq `through` is on the disk: fsync returned.

    pending: events of each class that are owed; media_bytes: of files of evidence.
    """

    journal: str
    through: int
    pending: Mapping[EventClass, int]
    media_bytes: int = 0


class Fetched(NamedTuple):
    """Owed events of one class after boxseq `after`, oldest first; `more` when the journal has further ones."""

    journal: str
    cls: EventClass
    after: int
    events: tuple[Event, ...]
    more: bool


class OwedAgain(NamedTuple):
    """Events from boxseq `first` on, that central asked for again, are owed from now on, and the files they name."""

    journal: str
    first: int
    pending: Mapping[EventClass, int]
    media_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Surveyed:
    """What may go from the journal.

    cause: why something has to, "" when nothing has. ranges: what may go now, joined with the holes beside it; hashes
    of their last events. count: events in them; undelivered: of these, what central has not. after: where to go on
    looking, 0 when the end was reached.
    """

    journal: str
    cause: Cause
    ranges: tuple[Hole, ...]
    count: int
    undelivered: int
    after: int


class StorageTight(NamedTuple):
    """The disk was full; the reserve was given up for what had to be written, and there is no second one."""

    journal: str
    reason: str


class StorageFailed(NamedTuple):
    """The journal cannot be written; nothing of what was asked since the last `Recorded` is promised."""

    journal: str
    reason: str


@dataclass(frozen=True, slots=True)
class SessionUp:
    """A session stands and its topics are subscribed. Limits as the broker's CONNACK says; None: no limit named."""

    session: str
    protocol: Literal["5", "3.1.1"]
    receive_max: int | None = None
    packet_bytes_max: int | None = None
    deaf: tuple[str, ...] = ()
    """Neighbours that the broker does not let this box hear."""


class SessionDown(NamedTuple):
    """A session ended, or never stood.

    wrong_protocol: the broker says that it does not speak this one. hung_up: it, or a relay, closed the connection
    without a word, as a broker may do that does not know the protocol.
    """

    session: str
    reason: str
    hint: str = ""
    wrong_protocol: bool = False
    hung_up: bool = False


class Acked(NamedTuple):
    """The broker's PUBACK for a publish, with its reason code (0 where the protocol has none)."""

    session: str
    token: int
    code: int


class Arrived(NamedTuple):
    """A message of central's, or of a neighbour. topic: `receipt`, `command`, or `neighbour/` and the neighbour's id.

    replayed: whoever sent it says that it comes out of a backlog.
    """

    session: str
    topic: str
    payload: bytes
    retained: bool
    replayed: bool = False


class Answered(NamedTuple):
    """A link that was asked: `reason` why nobody is there, "" when somebody is."""

    link: int
    reason: str


Message = (
    Recorded
    | Fetched
    | OwedAgain
    | Surveyed
    | StorageTight
    | StorageFailed
    | SessionUp
    | SessionDown
    | Acked
    | Arrived
    | Answered
    | MediaMessage
    | ListMessage
    | PathMessage
)


# ---- out


@dataclass(frozen=True, slots=True)
class Write:
    """To the journal, all in one transaction. Events are owed from then on.

    cases: open cases by id, None removes one. delivered: ranges that are owed no more; these alone may come later. owe:
    ranges that are to be owed again. parked: boxseq to reason. seen: ids of commands, with the wall second after which
    they may be forgotten. prune: ranges whose events go for good. files: named by its events; owed from then on.
    stored: how many bytes of a file central has. clips: under way, by name; None removes one. gone: files that are to
    be unlinked; unlinked: files that are. reports: owed on other paths from now on; judged: what became of some; paths:
    all that there are, where that is new: what is owed on others is owed no more.
    """

    events: tuple[Event, ...] = ()
    cases: Mapping[str, str | None] = field(default_factory=dict)
    delivered: tuple[Range, ...] = ()
    owe: tuple[Range, ...] = ()
    parked: Mapping[int, str] = field(default_factory=dict)
    seen: Mapping[str, float] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    prune: tuple[Hole, ...] = ()
    files: tuple[OwedFile, ...] = ()
    stored: Mapping[str, int] = field(default_factory=dict)
    clips: Mapping[str, str | None] = field(default_factory=dict)
    gone: tuple[str, ...] = ()
    unlinked: tuple[str, ...] = ()
    reports: tuple[OwedReport, ...] = ()
    judged: tuple[JudgedReport, ...] = ()
    paths: tuple[str, ...] | None = None

    @property
    def at_once(self) -> bool:
        """Somebody waits for it: who presses, or the operator who commands."""
        return bool(self.cases or self.seen) or any(event.cls in ("alarm", "audit") for event in self.events)

    @property
    def something(self) -> bool:
        """It is more than marks of what is delivered."""
        return self != Write(delivered=self.delivered)


class Fetch(NamedTuple):
    """To the journal: owed events of a class after boxseq `after`, at most `limit`."""

    cls: EventClass
    after: int
    limit: int


@dataclass(frozen=True, slots=True)
class Survey:
    """To the journal: what may go? Events before a time, beyond a size, or for want of room; after boxseq `after`.

    before: RFC 3339, "" for no limit of age. used_max: bytes of the journal. free_min: bytes of room for it.
    undelivered: for want of room also scans and status that central has not.
    """

    before: str
    used_max: int
    free_min: int
    after: int
    undelivered: bool


class NewJournal(NamedTuple):
    """The disk has failed: go on in memory, at once, under a new name."""

    reason: str


class Connect(NamedTuple):
    """Open a session over link number `link` (from 0) with the will that the contract names; or one for media alone."""

    session: str
    link: int
    protocol: Literal["5", "3.1.1"]
    media: bool = False


class Drop(NamedTuple):
    """Close the session."""

    session: str


class Probe(NamedTuple):
    """Ask link number `link` whether somebody is there, without a session; the answer is `Answered`."""

    link: int


class Exit(NamedTuple):
    """End the process: whatever is wrong with it, a new one may not have it."""

    reason: str


class PowerOff(NamedTuple):
    """The power is about to end: stop in order, then ask the machine to power off."""


class FollowClock(NamedTuple):
    """While nobody sets the system's clock the box's is `offset_us` more than the monotonic one.

    until_s: the monotonic second up to which it is to be trusted.
    """

    offset_us: int
    until_s: float


class Publish(NamedTuple):
    """QoS 1 to `{root}/{topic}`; the answer is `Acked` with the token."""

    session: str
    token: int
    topic: str
    payload: bytes
    retain: bool = False
    replayed: bool = False


class SetOutput(NamedTuple):
    """Drive an output of a driver."""

    output: str
    on: bool


class Say(NamedTuple):
    """A line in the log: once when something is lost, once when it is back. Nothing about silent kinds."""

    level: Literal["info", "warning", "error"]
    text: str


Action = (
    Write
    | Fetch
    | Survey
    | MediaAction
    | ListAction
    | FindDue
    | Offer
    | NewJournal
    | Connect
    | Drop
    | Probe
    | Exit
    | PowerOff
    | FollowClock
    | Publish
    | SetOutput
    | Say
)

OF_A_JOURNAL: Final = (NewJournal, Write, Fetch, FetchFiles, FindDue, Survey, SurveyFiles)


def for_its_journal(actions: list[Action]) -> list[Action]:
    """The same without what follows a `NewJournal` and is for the old one: it is sealed anew for the new one."""
    for at, action in enumerate(actions):
        if isinstance(action, NewJournal):
            return [*actions[: at + 1], *(later for later in actions[at:] if not isinstance(later, OF_A_JOURNAL))]
    return actions


def one_transaction(actions: list[Action]) -> list[Action]:
    """The writes of one step as one write, in the place of the first."""
    writes = [action for action in actions if isinstance(action, Write)]
    if len(writes) < 2:
        return actions
    whole = Write(
        events=tuple(event for write in writes for event in write.events),
        cases={name: body for write in writes for name, body in write.cases.items()},
        delivered=tuple(pair for write in writes for pair in write.delivered),
        owe=tuple(pair for write in writes for pair in write.owe),
        parked={seq: reason for write in writes for seq, reason in write.parked.items()},
        seen={name: after for write in writes for name, after in write.seen.items()},
        settings={name: value for write in writes for name, value in write.settings.items()},
        prune=tuple(hole for write in writes for hole in write.prune),
        files=tuple(file for write in writes for file in write.files),
        stored={name: size for write in writes for name, size in write.stored.items()},
        clips={name: body for write in writes for name, body in write.clips.items()},
        gone=tuple(name for write in writes for name in write.gone),
        unlinked=tuple(name for write in writes for name in write.unlinked),
        reports=tuple(row for write in writes for row in write.reports),
        judged=tuple(row for write in writes for row in write.judged),
        paths=next((write.paths for write in writes if write.paths is not None), None),
    )
    first = actions.index(writes[0])
    rest = [action for action in actions if not isinstance(action, Write)]
    return [*rest[:first], whole, *rest[first:]]
