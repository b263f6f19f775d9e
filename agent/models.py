"""The `data` of each type of event as a typed dict, and what all of the contract's messages are made of.

mypy checks them where they are built. `agent.schemas` makes the JSON Schemas and the AsyncAPI document out of these
classes and those of `agent.messages`; the line under a field is its description there. At run time each is a plain
dict. What a class does not name, a consumer ignores.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, NotRequired

from typing_extensions import TypedDict  # typing's own is known to pydantic from 3.12 on

from agent.model_types import Count, Limits, Name, Seq, Sha256, Span, Uuid
from agent.models_evidence import DiscardedData, EvidenceData
from agent.models_position import Place, PositionData
from agent.models_scans import DocumentData, ScanData
from drivers.contract import Quality

Transition = Literal["raised", "restored"]
LastEnd = Literal["first", "clean", "battery", "reload", "stalled", "crash", "storage"]
FINAL: Final = ("clean", "battery")
"""Ends with a last event of their own; after the others the box goes on at once."""
ClockSource = Literal["system", "gps"]


class Sealed(TypedDict):
    """What every event's data has beside its own, and gets when it is sealed."""

    monotonic_s: float
    """seconds since the start of the operating system that `boot` names"""
    cid: NotRequired[int]
    """Contact ID event code, for types that have one; the qualifier is 1 for raised and 3 for restored"""
    test: NotRequired[Literal[True]]
    """caused by a test: no siren, no dispatch"""
    position: NotRequired[Place]
    """of alarms, where the box has a satellite receiver: where it was"""


class Change(TypedDict):
    """A change of an input."""

    transition: Transition
    """`raised`: pressed, or the contact is in alarm; `restored`: it is over"""
    input: Name
    """the input's id in the config"""
    at_boot: NotRequired[Literal[True]]
    """the input was already so when its wire was opened"""
    merged: NotRequired[Literal[True]]
    """this event stands for several changes (chatter)"""
    changes: NotRequired[Count]
    """how many"""


class ChangeData(Change, closed=True):
    """A change of an input with nothing beside it, to be unpacked into one of the following."""


class AlarmData(Change):
    """An alarm. The first press opens a case, which has the id of that event."""

    case: NotRequired[Uuid]
    """the case; without one, a contact was restored whose case is already closed"""
    count: NotRequired[Count]
    """presses of this case until now; on the `restored` of a contact only when merged: how many changes"""
    by: NotRequired[str]
    """who closed the case: /operators/{name}, or `reset`; on the `restored` of a button"""


class ConfirmedData(Change):
    """A hold-up is confirmed, once in its case: it was pressed again after two minutes, or somebody tampers."""

    case: Uuid
    """the case that is confirmed"""
    because: Literal["press", "tamper"]
    """a press of a hold-up device more than 2 minutes after the first; tamper within 2 minutes of a press"""


class Listing(TypedDict, closed=True):
    """What the alarm of a listed code says beside, to be unpacked into the following."""

    lists: NotRequired[list[Name]]
    scan: NotRequired[Uuid]
    code: NotRequired[str]


class ListedData(AlarmData):
    """A scanned code is on a list of kind `watch`. A case as that of a button."""

    lists: NotRequired[list[Name]]
    """on `raised`: the lists of kind `watch` on which it was found"""
    scan: NotRequired[Uuid]
    """on `raised`: the id of the event of its scan"""
    code: NotRequired[str]
    """on `raised`, where none of the lists is hashed: the code"""


class CancelledData(Change):
    """Somebody at the place says that the newest alarm was none: a second message, never a suppression."""

    alarm: NotRequired[Uuid]
    """the alarm that is meant; without it none is open"""
    case: NotRequired[Uuid]
    """the same"""
    count: NotRequired[Count]
    """presses, when merged"""


class ContactData(Change):
    """Mains or battery, as a contact says it."""

    count: Count
    """changes: 1, or more when merged"""


class TroubleData(TypedDict):
    """A trouble, once when it begins and once when it is over."""

    transition: Transition
    """`raised`: it begins; `restored`: it is over"""
    reason: NotRequired[str]
    """what was found, in words; on `raised`"""
    input: NotRequired[Name]
    """of an input's trouble: its id"""
    quality: NotRequired[Quality]
    """of an input's trouble: what its wire is"""
    camera: NotRequired[Name]
    """of a camera's trouble: its id"""
    patrol: NotRequired[Name]
    """of a missed round: the patrol's name; restored at its next check-in"""
    link: NotRequired[str]
    """of one of several links: its url; of another way out: its id; without it the trouble is that no link serves"""
    merged: NotRequired[Literal[True]]
    """of an input's trouble: this event stands for several changes (a loose wire), and says how it is after them"""
    changes: NotRequired[Count]
    """how many"""


class ParkedData(TypedDict):
    """An event that nobody can take is owed no more; it stays in the journal."""

    transition: Literal["raised"]
    """it has no end"""
    parked: Seq
    """the event's boxseq"""
    id: Uuid
    """the event's id; of a file, that of its case"""
    reason: str
    """central's words, or the broker's limit"""
    file: NotRequired[Sha256]
    """not the event cannot be taken but this file, which it names"""
    path: NotRequired[Name]
    """not central but this way out cannot take it: its id; the event stays owed to central"""


class PrunedData(TypedDict):
    """Events went from the box's journal for good. Central need not wait for any of them."""

    cause: Literal["days", "size", "disk"]
    """they were old; the journal was larger than the config grants; the disk was full"""
    count: Count
    """how many went now"""
    undelivered: NotRequired[Count]
    """how many of these central had not said that it stored: scans and status, and only when the disk was full"""
    holes: Annotated[list[Annotated[list[Any], Limits(minItems=3, maxItems=3)]], Limits(maxItems=200)]
    """[first, last, hash] of each hole, with those beside it: boxseqs, both included, and the SHA-256 of the last
    event's bytes, base64url, which is the `prevhash` of the event after it"""


class StartedData(TypedDict):
    """The first event of a run, and of a journal."""

    agent: str
    """version of the agent"""
    last_end: LastEnd
    """how the run before ended; `storage`: it goes on, in a new journal, because the disk failed"""
    new_journal: NotRequired[str]
    """why the journal had to be started anew"""


class StoppingData(TypedDict):
    """The last event of a run that ends on purpose."""

    reason: NotRequired[Literal["battery"]]
    """`battery`: the mains are out and the battery is about to be empty; without it somebody stopped the box"""


class TestData(TypedDict):
    """A test goes the whole way of an event."""

    test: Literal[True]
    """no siren, no dispatch"""
    what: Literal["loop", "daily"]
    """`loop`: by command; `daily`: by itself, once a day, at a second of the day that is the box's own"""
    command: NotRequired[str]
    """of `loop`: the command's id"""
    trouble: NotRequired[list[str]]
    """of `daily`: the troubles that stand; Contact ID 608 then, not 602"""


class TestedPoint(TypedDict):
    """One input in a walk test."""

    input: Name
    """the input's id"""
    cid: Literal[611, 612]
    """Contact ID: 611 it was pressed or read something meanwhile, 612 it did not"""


class WalktestData(TypedDict):
    """A walk test begins, or is over. Between the two, what inputs cause is marked `test`."""

    transition: Transition
    """`raised`: it begins, or goes on for longer; `restored`: it is over"""
    test: Literal[True]
    """no siren, no dispatch"""
    by: NotRequired[str]
    """who began or ended it: /operators/{name}, or `walktest`: its time was over; without it the box was restarted"""
    for_s: NotRequired[Annotated[float, Limits(minimum=1, maximum=600)]]
    """on `raised`: it ends by itself after so many seconds"""
    points: NotRequired[list[TestedPoint]]
    """on `restored`: each input of the box"""


class ClockData(TypedDict):
    """The wall clock was set, or has another source."""

    step_s: float
    """seconds by which it went forward, or back"""
    source: ClockSource
    """whose time it is from now on: the operating system's, or a satellite receiver's while nobody sets that"""


class ReservedData(TypedDict):
    """Not yet sent by this version: the contract names the type and leaves its data open."""


class CommandData(TypedDict):
    """What became of a command, or of a number of refused ones."""

    result: Literal["done", "refused"]
    """whether it was done"""
    command: NotRequired[str]
    """its id, as far as it could be read"""
    verb: NotRequired[str]
    """its verb, as far as it could be read"""
    by: NotRequired[str]
    """its source, as far as it could be read"""
    reason: NotRequired[str]
    """why it was refused; of the last one when merged"""
    case: NotRequired[Uuid]
    """the case that it was about"""
    ranges: NotRequired[list[Span]]
    """of `resend`: the ranges of boxseq that are owed again"""
    output: NotRequired[str]
    """of `output`: which one"""
    state: NotRequired[Literal["on", "off"]]
    """of `output`: how it is held"""
    for_s: NotRequired[float]
    """of `output`: for so many seconds from now"""
    list: NotRequired[Name]
    """of `list`: the list that was changed"""
    codes: NotRequired[Count]
    """of `list`: how many codes it has now, or its version that is not yet whole"""
    count: NotRequired[Count]
    """how many were refused, when merged"""
    merged: NotRequired[Literal[True]]
    """this event stands for several refusals"""


class CaseData(TypedDict):
    """A person has seen an alarm, or it is over."""

    case: Uuid
    """the case"""
    by: str
    """/operators/{name}, or `reset`"""
    note: str
    """in the operator's words; may be empty"""


class ConfigData(TypedDict):
    """The box runs with another config than before."""

    sha256: Sha256
    """of the config file"""


EventData = (
    AlarmData
    | ListedData
    | ConfirmedData
    | CancelledData
    | ContactData
    | TroubleData
    | ParkedData
    | ScanData
    | DocumentData
    | StartedData
    | StoppingData
    | TestData
    | WalktestData
    | ClockData
    | CommandData
    | CaseData
    | ConfigData
    | PrunedData
    | EvidenceData
    | DiscardedData
    | PositionData
)
"""What the box records; `Sealed` comes to it."""

DATA: Final[Mapping[str, type]] = {
    "alarm.panic": AlarmData,
    "alarm.duress": AlarmData,
    "alarm.holdup": AlarmData,
    "alarm.confirmed": ConfirmedData,
    "alarm.medical": AlarmData,
    "alarm.fire": AlarmData,
    "alarm.intrusion": AlarmData,
    "alarm.tamper": AlarmData,
    "alarm.listed": ListedData,
    "alarm.cancelled": CancelledData,
    "trouble.ac": ContactData,
    "trouble.battery": ContactData,
    "trouble.input": TroubleData,
    "trouble.stuck": TroubleData,
    "trouble.storage": TroubleData,
    "trouble.link": TroubleData,
    "trouble.camera": TroubleData,
    "trouble.clock": TroubleData,
    "trouble.patrol": TroubleData,
    "trouble.lists": TroubleData,
    "trouble.parked": ParkedData,
    "scan.code": ScanData,
    "scan.document": DocumentData,
    "scan.patrol": ScanData,
    "status.started": StartedData,
    "status.stopping": StoppingData,
    "status.test": TestData,
    "status.walktest": WalktestData,
    "status.clock": ClockData,
    "status.evidence": EvidenceData,
    "status.position": PositionData,
    "audit.command": CommandData,
    "audit.acknowledged": CaseData,
    "audit.closed": CaseData,
    "audit.config": ConfigData,
    "audit.pruned": PrunedData,
    "audit.discarded": DiscardedData,
}
"""Every type of the contract, `callbox.` left out, to its data."""
