"""The `data` of scans: a part of `agent/models.py`, which tells how schemas come of these classes."""

from typing import Annotated, Literal, NotRequired

from typing_extensions import TypedDict  # typing's own is known to pydantic from 3.12 on

from agent.model_types import Count, Hash, Limits, Moment, Name


class OnLists(TypedDict, closed=True):
    """What the lists say of a code, to be unpacked into the following."""

    lists: NotRequired[list[Name]]
    unlisted: NotRequired[str]


class _Scan(TypedDict):
    """What every scan has."""

    lists: NotRequired[list[Name]]
    """at an input that names lists: those on which the code was found"""
    unlisted: NotRequired[str]
    """why the code was not looked up in all of them"""
    input: Name
    """the id of the scanner, or of the button that let a camera read"""
    camera: NotRequired[Name]
    """of what a camera read: the camera's id"""
    taken: NotRequired[Moment]
    """of what a camera read: when its picture was taken; without it there was none"""
    reason: NotRequired[str]
    """why a camera read nothing, or not all that it was to; why a field that was to be hashed is left out"""


class ScanData(_Scan):
    """A code was read, or a patrol point touched."""

    code: NotRequired[str]
    """as it came, decoded; a patrol point that is a contact has none, nor has a picture in which nothing was found"""
    cut_chars: NotRequired[Count]
    """characters left out at the end of a code that is longer than 8000"""
    format: NotRequired[str]
    """qr, ean13, pdf417, datamatrix, aztec, code128, gs1128 ..., or plate, where the camera or the scanner says it"""
    candidate: NotRequired[Literal[True]]
    """read as text, with nothing in it that proves it: a plate"""
    confidence: NotRequired[Annotated[float, Limits(minimum=0, maximum=1)]]
    """of a candidate: how sure the reading is, from 0 to 1"""
    patrols: NotRequired[list[Name]]
    """of `scan.patrol`, at an input of patrols: those whose round it is; none, where the tag is of none"""


class DocumentData(_Scan):
    """A document's machine-readable zone (ICAO 9303) was read. The config says which fields are kept, and how.

    By default `type`, `issuer`, `number` and `expires` are, and nothing of its holder, as name or birth date.
    """

    layout: Literal["td1", "td2", "td3", "mrva", "mrvb"]
    """the form of the zone: cards of three and two lines, a passport, visas of two sizes"""
    type: NotRequired[Annotated[str, Limits(pattern="^[A-Z0-9]{1,2}$")]]
    """P of a passport, I, A or C of a card, V of a visa, and a letter that its issuer adds"""
    issuer: NotRequired[Annotated[str, Limits(maxLength=3)]]
    """code of the state or organisation, as UTO"""
    number: NotRequired[Annotated[str, Limits(maxLength=23)]]
    """the document's number"""
    expires: NotRequired[Annotated[str, Limits(format="date")]]
    """the day on which it expires; without it the zone has none, or none that is a date"""
    nationality: NotRequired[Annotated[str, Limits(maxLength=3)]]
    """code of the holder's state"""
    surname: NotRequired[Annotated[str, Limits(maxLength=44)]]
    """of the holder"""
    given_names: NotRequired[Annotated[str, Limits(maxLength=44)]]
    """of the holder"""
    birth: NotRequired[Annotated[str, Limits(maxLength=6)]]
    """of the holder, YYMMDD as it stands there: it tells no century"""
    sex: NotRequired[Annotated[str, Limits(maxLength=1)]]
    """of the holder: F, M, X"""
    optional: NotRequired[Annotated[str, Limits(maxLength=44)]]
    """what the issuer adds"""
    optional2: NotRequired[Annotated[str, Limits(maxLength=44)]]
    """the same, on the second line of a card of three"""
    hashes: NotRequired[dict[str, Hash]]
    """of fields kept as a hash, by name: HMAC-SHA256 under the site's key of the name, a NUL and the text, base64url"""
    wrong: list[Literal["number", "birth", "expires", "optional", "composite"]]
    """the check digits that are wrong: none, where it was read right"""
