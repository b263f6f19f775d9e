"""The messages of the contract as typed dicts: what mypy checks where they are built, and what the schemas come from.

`agent.schemas` makes the JSON Schemas and the AsyncAPI document out of these classes; the line under a field is its
description there. At run time each is a plain dict. What a class does not name, a consumer ignores.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, Literal, NotRequired

from typing_extensions import TypedDict  # typing's own is known to pydantic from 3.12 on

from drivers.contract import Quality


class Limits:
    """What a JSON Schema says of a value beside its type: `Annotated[str, Limits(pattern=...)]`."""

    def __init__(self, **keywords: Any) -> None:
        self.keywords = keywords

    def __get_pydantic_json_schema__(self, core: Any, handler: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        """Called by pydantic, which is known to `agent.schemas` alone."""
        return {**handler(core), **self.keywords}


Name = Annotated[str, Limits(pattern="^[A-Za-z0-9][A-Za-z0-9_.-]{0,39}$")]
Uuid = Annotated[str, Limits(pattern="^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")]
Short = Annotated[str, Limits(pattern="^[0-9a-f]{8}$")]
Hash = Annotated[str, Limits(pattern="^[A-Za-z0-9_-]{43}$")]
Key = Annotated[str, Limits(pattern="^[A-Za-z0-9_-]{43}$")]
Signature = Annotated[str, Limits(pattern="^[A-Za-z0-9_-]{86}$")]
Sha256 = Annotated[str, Limits(pattern="^[0-9a-f]{64}$")]
Seq = Annotated[int, Limits(minimum=1)]
Count = Annotated[int, Limits(minimum=0)]
Time = Annotated[str, Limits(format="date-time", pattern=r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?Z$")]
Moment = Annotated[str, Limits(format="date-time")]
Span = Annotated[list[Seq], Limits(minItems=2, maxItems=2)]
"""[first, last], both included."""

Transition = Literal["raised", "restored"]
LastEnd = Literal["first", "clean", "reload", "crash", "storage"]


# ---- what the box sends


class UnsignedEvent(TypedDict):
    """A CloudEvents 1.0 object before it is signed."""

    specversion: Literal["1.0"]
    """of CloudEvents"""
    id: Uuid
    """UUIDv7; never changes, however often the event is sent; central drops repeats by it"""
    source: Annotated[str, Limits(pattern="^/callbox/[a-z0-9][a-z0-9-]{0,39}/[a-z0-9][a-z0-9-]{0,39}$")]
    """/callbox/{site}/{box}"""
    type: Annotated[str, Limits(pattern=r"^callbox\.(alarm|trouble|scan|status|audit)\.[a-z]+$")]
    """callbox.{class}.{what}"""
    subject: str
    """the input that it is about, or the part of the box: box, link, storage, clock, journal"""
    time: Time
    """when it happened, by the box's clock, UTC with microseconds"""
    datacontenttype: Literal["application/json"]
    """of `data`"""
    journal: Short
    """the journal's random name; a journal that had to be started anew has a new one"""
    boxseq: Seq
    """1, 2, 3 ... in this journal, without a gap, in the order of recording"""
    boot: Short
    """names one run of the operating system"""
    timequality: Literal["synced", "unsynced"]
    """whether the kernel held the clock for disciplined"""
    prevhash: Hash
    """SHA-256 of the bytes of the event before it, base64url; 32 zero bytes for the first"""
    data: Mapping[str, Any]
    """by type: data/{type without callbox.}.json"""


class EventMessage(UnsignedEvent):
    """An event, in RFC 8785 form: the signed, the stored and the sent bytes are the same; at most 64 KB."""

    sig: Signature
    """Ed25519 over the event without `sig` in RFC 8785 form, base64url"""


class Sealed(TypedDict):
    """What every event's data has beside its own, and gets when it is sealed."""

    monotonic_s: float
    """seconds since the start of the operating system that `boot` names"""
    cid: NotRequired[int]
    """Contact ID event code, for types that have one; the qualifier is 1 for raised and 3 for restored"""
    test: NotRequired[Literal[True]]
    """caused by a test: no siren, no dispatch"""


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


class ParkedData(TypedDict):
    """An event that nobody can take is owed no more; it stays in the journal."""

    transition: Literal["raised"]
    """it has no end"""
    parked: Seq
    """the event's boxseq"""
    id: Uuid
    """the event's id"""
    reason: str
    """central's words, or the broker's limit"""


class ScanData(TypedDict):
    """A code was read, or a patrol point touched."""

    input: Name
    """the scanner's id in the config"""
    code: NotRequired[str]
    """as it came, decoded; a patrol point that is a contact has none"""
    cut_chars: NotRequired[Count]
    """characters left out at the end of a code that is longer than 8000"""


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


class LoopData(TypedDict):
    """A test by command went the whole way."""

    test: Literal[True]
    """no siren, no dispatch"""
    what: Literal["loop"]
    """what was tested"""
    command: str
    """id of the command"""


class ClockData(TypedDict):
    """The wall clock was set."""

    step_s: float
    """seconds by which it went forward, or back"""


_FromTo = TypedDict(
    "_FromTo",
    {
        "from": Annotated[Moment, Limits(description="when its first picture was taken")],
        "to": Annotated[Moment, Limits(description="when its last picture was taken")],
    },
)


class EvidenceFile(_FromTo):
    """One file of evidence, complete on the box's disk."""

    sha256: Sha256
    """of the bytes as stored and uploaded"""
    plain_sha256: Sha256
    """of the bytes before encryption"""
    bytes: Count
    """its size as stored"""
    media_type: str
    """as video/mp2t, video/x-msvideo, image/jpeg"""
    role: Literal["before", "during", "after"]
    """of the alarm"""
    encrypted: NotRequired[Literal["age"]]
    """age, where the config names recipients"""


class EvidenceData(TypedDict):
    """Files of a camera about a case. Not yet sent by this version."""

    case: Uuid
    """the case"""
    camera: Name
    """the camera's id in the config"""
    files: list[EvidenceFile]
    """files that are complete on disk"""
    last: NotRequired[Literal[True]]
    """no further files of this clip"""


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
    | CancelledData
    | ContactData
    | TroubleData
    | ParkedData
    | ScanData
    | StartedData
    | StoppingData
    | LoopData
    | ClockData
    | CommandData
    | CaseData
    | ConfigData
)
"""What the box records; `Sealed` comes to it."""

DATA: Final[Mapping[str, type]] = {
    "alarm.panic": AlarmData,
    "alarm.duress": AlarmData,
    "alarm.holdup": AlarmData,
    "alarm.confirmed": ReservedData,
    "alarm.medical": AlarmData,
    "alarm.fire": AlarmData,
    "alarm.intrusion": AlarmData,
    "alarm.tamper": AlarmData,
    "alarm.listed": ReservedData,
    "alarm.cancelled": CancelledData,
    "trouble.ac": ContactData,
    "trouble.battery": ContactData,
    "trouble.input": TroubleData,
    "trouble.stuck": TroubleData,
    "trouble.storage": TroubleData,
    "trouble.link": TroubleData,
    "trouble.camera": ReservedData,
    "trouble.clock": ReservedData,
    "trouble.parked": ParkedData,
    "scan.code": ScanData,
    "scan.document": ReservedData,
    "scan.patrol": ScanData,
    "status.started": StartedData,
    "status.stopping": StoppingData,
    "status.test": LoopData,
    "status.walktest": ReservedData,
    "status.clock": ClockData,
    "status.evidence": EvidenceData,
    "status.position": ReservedData,
    "audit.command": CommandData,
    "audit.acknowledged": CaseData,
    "audit.closed": CaseData,
    "audit.config": ConfigData,
}
"""Every type of the contract, `callbox.` left out, to its data."""


class InputState(TypedDict):
    """An input: value and quality are two things."""

    value: Literal["idle", "active"]
    """what it says, debounced"""
    quality: Quality
    """whether its wire can be believed"""


class Pending(TypedDict):
    """Events that central has not said that it stored, by class."""

    alarm: Count
    """sent first, and always alone"""
    trouble: Count
    """sent after alarms"""
    scan: Count
    """sent after troubles"""
    status: Count
    """sent after scans"""
    audit: Count
    """sent last"""
    media_bytes: Count
    """of evidence; 0 in this version"""


class BoxState(TypedDict):
    """The box, as it is now."""

    online: Literal[True]
    """the will says false"""
    boot: Short
    """names one run of the operating system"""
    agent: str
    """version of the agent"""
    name: str
    """the box's name for people"""
    journal: Short
    """the journal's name"""
    seq: Count
    """the last boxseq that is on the disk; in the first state of a session: events up to it are replayed"""
    pending: Pending
    """what is owed"""
    inputs: dict[str, InputState]
    """by id"""
    trouble: list[str]
    """names of the troubles that stand: link, storage; input, stuck, ac and battery with an input's id"""
    key: Key
    """the box's public Ed25519 key, base64url"""
    time: Time
    """by the box's clock"""


class StateMessage(BoxState):
    """Birth and heartbeat, retained."""

    session: Short
    """names this session; an offline message of another one than the newest is ignored"""


class WillMessage(TypedDict):
    """The last will, and the last word of a clean stop."""

    online: Literal[False]
    """the session has ended"""
    session: Short
    """names the session that it is about"""


# ---- what central sends


class ReceiptMessage(TypedDict):
    """What central has stored of one journal. Cumulative and idempotent."""

    journal: str
    """the journal that it is about; of another one than the box's it changes nothing"""
    through: NotRequired[Count]
    """every boxseq up to this one is stored"""
    also: NotRequired[Annotated[list[Span], Limits(maxItems=10_000)]]
    """ranges of boxseq stored beyond it"""
    media: NotRequired[Mapping[str, Count]]
    """bytes stored of each file by its SHA-256, from its start without a gap; this version does not read it"""
    refused: NotRequired[Mapping[Annotated[str, Limits(pattern="^[0-9]+$")], str]]
    """boxseq to reason: what central can never take; the box parks it"""
    batch: NotRequired[Count]
    """central takes arrays of at most so many events"""
    sig: NotRequired[Signature]
    """Ed25519 over the receipt without `sig` in RFC 8785 form; demanded where the config has `central_key`"""


class CaseWish(TypedDict):
    """`acknowledge`: a named person has seen this alarm. `close`: it is over."""

    alarm: Uuid
    """the case"""
    note: NotRequired[Annotated[str, Limits(maxLength=1000)]]
    """in the operator's words; longer ones are cut"""


class ResendWish(TypedDict):
    """These events are sent again."""

    journal: str
    """the box's journal"""
    ranges: Annotated[list[Span], Limits(maxItems=1_000)]
    """ranges of boxseq"""


class LoopWish(TypedDict):
    """An event marked `test` goes the whole way."""

    what: Literal["loop"]
    """what is tested"""


class CaptureWish(TypedDict):
    """Frames now, as evidence of this command. Refused by this version."""

    camera: Name
    """the camera's id"""
    after_s: NotRequired[float]
    """seconds recorded from now on"""


class OutputWish(TypedDict):
    """Drives an output; never without an end. Refused by this version."""

    output: Name
    """the output's id"""
    state: Literal["on", "off"]
    """on or off"""
    for_s: float
    """seconds until its end"""


class BulletinWish(TypedDict):
    """A text to be shown at the box. Refused by this version."""

    text: str
    """the text"""
    lang: NotRequired[str]
    """its language, as zh"""


class ListWish(TypedDict):
    """Changes a code list. Refused by this version."""

    name: Name
    """the list"""
    add: NotRequired[list[str]]
    """codes to add"""
    remove: NotRequired[list[str]]
    """codes to take out"""


WISHES: Final[Mapping[str, type]] = {
    "acknowledge": CaseWish,
    "close": CaseWish,
    "resend": ResendWish,
    "capture": CaptureWish,
    "output": OutputWish,
    "bulletin": BulletinWish,
    "test": LoopWish,
    "list": ListWish,
}
"""The data of a command by its verb."""


class CommandMessage(TypedDict):
    """A signed command of an operator."""

    specversion: Literal["1.0"]
    """of CloudEvents"""
    id: Annotated[str, Limits(minLength=1, maxLength=200)]
    """a command is done once: an id already seen is refused"""
    source: Annotated[str, Limits(pattern="^/operators/")]
    """/operators/{name}, as in the box's config"""
    type: Annotated[str, Limits(pattern=r"^callbox\.command\.[a-z]+$")]
    """callbox.command.{verb}"""
    subject: str
    """the box: {site}/{box}"""
    time: NotRequired[Moment]
    """when it was given"""
    datacontenttype: NotRequired[Literal["application/json"]]
    """of `data`"""
    expires: Moment
    """a command that comes later is refused; with a time zone"""
    data: Mapping[str, Any]
    """by verb"""
    sig: Signature
    """by that operator's Ed25519 key, over the command without `sig` in RFC 8785 form"""
