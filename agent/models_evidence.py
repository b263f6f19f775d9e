"""The `data` of events about evidence: a part of `agent/models.py`, which tells how schemas come of these classes."""

from typing import Annotated, Literal, NotRequired

from typing_extensions import TypedDict  # typing's own is known to pydantic from 3.12 on

from agent.model_types import Count, Limits, Moment, Name, Sha256, Uuid

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
    key_frame: NotRequired[Literal[True]]
    """one picture alone; those of a case are sent before its other files"""


class EvidenceData(TypedDict):
    """Files of a camera about a case."""

    case: Uuid
    """the case; of what a scan, a cancel or a command caused, the id of that event"""
    camera: Name
    """the camera's id in the config"""
    files: list[EvidenceFile]
    """files that are complete on disk"""
    last: NotRequired[Literal[True]]
    """no further files of this clip"""
    reason: NotRequired[str]
    """why there are none"""


class DiscardedFile(TypedDict):
    """A file of evidence that is no more on the box."""

    sha256: Sha256
    """its name"""
    case: Uuid
    """of the event that first named it"""
    camera: Name
    """the camera's id"""
    bytes: Count
    """its size"""
    stored: Count
    """how many of its bytes central had said that it has: all, where it was delivered"""


class DiscardedData(TypedDict):
    """Files of evidence went from the box for good."""

    cause: Literal["days", "size", "disk"]
    """they were old; they were larger than the config grants; the disk was full"""
    undelivered: NotRequired[Count]
    """how many of them central had not whole: only when the disk was full"""
    files: Annotated[list[DiscardedFile], Limits(minItems=1, maxItems=100)]
    """which"""
