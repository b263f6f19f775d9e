"""The contract's messages as typed dicts: the event around its data, state and will, receipts and commands.

`agent.models` has the data of each type of event, and tells how schemas come of these classes.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, NotRequired

from typing_extensions import TypedDict  # typing's own is known to pydantic from 3.12 on

from agent.model_types import Count, Hash, Key, Limits, Moment, Name, Seq, Short, Signature, Span, Time, Uuid
from drivers.contract import Quality


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


# ---- the box's state


class InputState(TypedDict):
    """An input: value and quality are two things."""

    value: Literal["idle", "active"]
    """what it says, debounced"""
    quality: Quality
    """whether its wire can be believed"""


class OutputState(TypedDict):
    """An output, as it is driven."""

    role: Literal["feedback", "buzzer", "siren", "strobe", "relay", "neighbour"]
    """what it is for"""
    value: Literal["on", "off"]
    """`on` also while a pattern has it off for a moment"""


class NeighbourStatus(TypedDict):
    """A neighbour, as `callbox status` shows it; it is in no message."""

    box: Name
    """its id"""
    name: str
    """its name for people"""
    alarms: list[str]
    """types of what is shown for it, `callbox.` left out"""
    refused: Count
    """messages that were not its own, or made no sense"""
    deaf: bool
    """the broker does not let this box hear it"""


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
    outputs: dict[str, OutputState]
    """by id"""
    trouble: list[str]
    """names of the troubles that stand: link, storage; input, stuck, ac and battery with an input's id; camera and
    patrol with its name"""
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
    """bytes stored of each file by its SHA-256, from its start without a gap"""
    put: NotRequired[Mapping[str, Annotated[str, Limits(maxLength=2000)]]]
    """an address for a file, by its SHA-256, to which it may go by one HTTPS PUT: it is a credential"""
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


class TestWish(TypedDict):
    """`loop`: an event marked `test` goes the whole way. `walk`: what inputs cause is marked `test` for a while."""

    what: Literal["loop", "walk"]
    """what is tested"""
    for_s: NotRequired[Annotated[float, Limits(minimum=0, maximum=600)]]
    """of `walk`: it ends by itself after so many seconds, without it 600; less than 1 ends it now"""


class CaptureWish(TypedDict):
    """Frames now, as evidence of this command. Refused by this version."""

    camera: Name
    """the camera's id"""
    after_s: NotRequired[float]
    """seconds recorded from now on"""


class OutputWish(TypedDict):
    """Holds an output; never without an end. Lamps of role `feedback` are nobody's to drive."""

    output: Name
    """the output's id"""
    state: Literal["on", "off"]
    """on or off"""
    for_s: float
    """seconds until its end, more than 0 and at most 900; of a siren at most its `longest_s`"""


class BulletinWish(TypedDict):
    """A text to be shown at the box. Refused by this version."""

    text: str
    """the text"""
    lang: NotRequired[str]
    """its language, as zh"""


class ListedCode(TypedDict):
    """A code that expires."""

    code: Annotated[str, Limits(minLength=1, maxLength=8000)]
    """the code, as a scan brings it"""
    expires: NotRequired[Moment]
    """from then on it is on the list no more; with a time zone"""


class ListWish(TypedDict):
    """Changes a code list, wholly or not at all. With `version` a new list grows beside the one that is valid."""

    name: Name
    """the list, as in the box's config"""
    add: NotRequired[list[Annotated[str, Limits(minLength=1, maxLength=8000)] | ListedCode]]
    """codes to put in"""
    remove: NotRequired[list[Annotated[str, Limits(minLength=1, maxLength=8000)]]]
    """codes to take out; not with `version`; what is in both is put in"""
    version: NotRequired[Annotated[str, Limits(minLength=1, maxLength=40)]]
    """names the new list, in each command that brings a part of it"""
    count: NotRequired[Count]
    """with `version`: it is whole, and has so many codes; from now on it is the list"""


WISHES: Final[Mapping[str, type]] = {
    "acknowledge": CaseWish,
    "close": CaseWish,
    "resend": ResendWish,
    "capture": CaptureWish,
    "output": OutputWish,
    "bulletin": BulletinWish,
    "test": TestWish,
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
