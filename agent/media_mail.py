"""What the deciding thread hears of evidence, and what it wants done about it: values only, a part of `agent.mail`."""

from dataclasses import dataclass, field
from typing import NamedTuple

from agent.kinds import Cause, EventClass


@dataclass(frozen=True, slots=True)
class OwedFile:
    """A file of evidence as the journal keeps it, and of its bytes those that central has, from the start.

    seq: boxseq of the event that first named it; case: as there; cls: of what caused it. time: RFC 3339, of its last
    picture. key_frame: a picture alone.
    """

    sha256: str
    seq: int
    case: str
    cls: EventClass
    camera: str
    time: str
    bytes: int
    key_frame: bool = False
    stored: int = 0


class CameraFile(NamedTuple):
    """A file that is complete on the disk. from_s, to_s: when its first and last picture were taken, monotonic.

    ends_s: when the next one was, where one has come, else to_s: until then its last picture is what was to be seen.
    """

    sha256: str
    plain_sha256: str
    bytes: int
    media_type: str
    from_s: float
    to_s: float
    ends_s: float
    encrypted: bool = False
    key_frame: bool = False


class FoundCode(NamedTuple):
    """A code in a picture. confidence: of what is a candidate and no more (a plate), 0 to 1."""

    code: str
    format: str
    confidence: float | None = None


class FoundDocument(NamedTuple):
    """The zone of a document in a picture. expires: YYYY-MM-DD or "". wrong: names of the check digits that are."""

    layout: str
    type: str
    issuer: str
    number: str
    expires: str
    wrong: tuple[str, ...]


# ---- in


class FetchedFiles(NamedTuple):
    """Files that are owed, in the order of sending; `more` when the journal has further ones."""

    journal: str
    files: tuple[OwedFile, ...]
    more: bool


class SurveyedFiles(NamedTuple):
    """Files that may go now, and why something has to; `more`: there are further ones. "" and none: nothing has."""

    journal: str
    cause: Cause
    files: tuple[OwedFile, ...]
    more: bool


class Filed(NamedTuple):
    """Files of a camera; of what it is to record everything up to monotonic second `through_s` is on the disk."""

    camera: str
    files: tuple[CameraFile, ...]
    through_s: float


class CameraStarted(NamedTuple):
    """A camera's process has begun, and knows of no wish."""

    camera: str


class CameraSaid(NamedTuple):
    """How a camera is: `quality` is `good`, or what is wrong with it; reason: in words."""

    camera: str
    quality: str
    reason: str


class CodesRead(NamedTuple):
    """What a camera's picture has to read, for the `ReadCodes` of that name. reason: why there is nothing, or not all.

    at_s: when the picture was taken; file: it, on the disk. None: there was none.
    """

    camera: str
    ref: str
    found: tuple[FoundCode | FoundDocument, ...] = ()
    reason: str = ""
    at_s: float | None = None
    file: CameraFile | None = None


class PieceRead(NamedTuple):
    """Bytes of a file from `offset` on; or `reason` why there are none, and `gone`: never will be."""

    sha256: str
    offset: int
    data: bytes
    reason: str = ""
    gone: bool = False


class PutDone(NamedTuple):
    """A PUT has ended; its receiver took the file, or `reason` why not.

    expired: the address is refused (403), and another one may not be. gone: the file itself can never go.
    """

    sha256: str
    reason: str = ""
    expired: bool = False
    gone: bool = False


class Unlinked(NamedTuple):
    """These files are no more, and the directory is synced."""

    files: tuple[str, ...]


class FilesFound(NamedTuple):
    """Files on the disk that a new journal does not know: events of the one before named them."""

    files: tuple[OwedFile, ...]


MediaMessage = (
    CameraSaid
    | CameraStarted
    | CodesRead
    | FetchedFiles
    | Filed
    | FilesFound
    | PieceRead
    | PutDone
    | SurveyedFiles
    | Unlinked
)


# ---- out


class FetchFiles(NamedTuple):
    """To the journal: files that are owed, at most `limit`."""

    limit: int


@dataclass(frozen=True, slots=True)
class SurveyFiles:
    """To the journal: which files may go? Those before a time, beyond a size, or for want of room on the disk.

    before: RFC 3339, "" for no limit of age. used_max: bytes of them all. free_min: bytes of room.
    """

    before: str
    used_max: int
    free_min: int


class Record(NamedTuple):
    """To a camera: what it takes from second `from_s` until `until_s`, monotonic, is stored."""

    camera: str
    from_s: float
    until_s: float


class TakePicture(NamedTuple):
    """To a camera: the key picture at or before second `at_s` is stored alone, at once."""

    camera: str
    at_s: float


class ReadCodes(NamedTuple):
    """To a camera: what lay before it at second `at_s` is read; the answer is `CodesRead` with this `ref`.

    what: `codes`, `mrz`, `plate`.
    """

    camera: str
    at_s: float
    what: tuple[str, ...]
    ref: str


class ReadPiece(NamedTuple):
    """To the spool: bytes of a file. check: only where its SHA-256 is still its name."""

    sha256: str
    offset: int
    bytes: int
    check: bool = False


@dataclass(frozen=True, slots=True)
class PutFile:
    """A file by HTTPS PUT to an address, whose query is a credential; `PutDone` answers it. One at a time."""

    sha256: str
    url: str = field(repr=False)


class HoldPut(NamedTuple):
    """The PUT under way pauses, or goes on."""

    held: bool


class Unlink(NamedTuple):
    """To the spool: these files go from the disk."""

    files: tuple[str, ...]


MediaAction = FetchFiles | SurveyFiles | Record | TakePicture | ReadCodes | ReadPiece | PutFile | HoldPut | Unlink
