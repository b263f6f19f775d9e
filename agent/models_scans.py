"""The `data` of scans: a part of `agent/models.py`, which tells how schemas come of these classes."""

from typing import Annotated, Literal, NotRequired

from typing_extensions import TypedDict  # typing's own is known to pydantic from 3.12 on

from agent.model_types import Count, Limits, Moment, Name


class _Scan(TypedDict):
    """What every scan has."""

    input: Name
    """the id of the scanner, or of the button that let a camera read"""
    camera: NotRequired[Name]
    """of what a camera read: the camera's id"""
    taken: NotRequired[Moment]
    """of what a camera read: when its picture was taken; without it there was none"""
    reason: NotRequired[str]
    """why a camera read nothing, or not all that it was to"""


class ScanData(_Scan):
    """A code was read, or a patrol point touched."""

    code: NotRequired[str]
    """as it came, decoded; a patrol point that is a contact has none, nor has a picture in which nothing was found"""
    cut_chars: NotRequired[Count]
    """characters left out at the end of a code that is longer than 8000"""
    format: NotRequired[str]
    """of what a camera read: qr, ean13, pdf417, datamatrix, aztec, code128 ..., or plate"""
    candidate: NotRequired[Literal[True]]
    """read as text, with nothing in it that proves it: a plate"""
    confidence: NotRequired[Annotated[float, Limits(minimum=0, maximum=1)]]
    """of a candidate: how sure the reading is, from 0 to 1"""
    patrols: NotRequired[list[Name]]
    """of `scan.patrol`, at an input of patrols: those whose round it is; none, where the tag is of none"""


class DocumentData(_Scan):
    """A document's machine-readable zone (ICAO 9303) was read. Nothing of its holder is kept, as name or birth date."""

    layout: Literal["td1", "td2", "td3", "mrva", "mrvb"]
    """the form of the zone: cards of three and two lines, a passport, visas of two sizes"""
    type: Annotated[str, Limits(pattern="^[A-Z0-9]{1,2}$")]
    """P of a passport, I, A or C of a card, V of a visa, and a letter that its issuer adds"""
    issuer: Annotated[str, Limits(maxLength=3)]
    """code of the state or organisation, as UTO"""
    number: Annotated[str, Limits(maxLength=23)]
    """the document's number"""
    expires: NotRequired[Annotated[str, Limits(format="date")]]
    """the day on which it expires; without it the zone has none, or none that is a date"""
    wrong: list[Literal["number", "birth", "expires", "optional", "composite"]]
    """the check digits that are wrong: none, where it was read right"""
