"""Evidence of a case: the files that its box named, camera by camera, and how much of them is here. Pure."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from simulators.central.wire import SHA256, Event, seconds

TYPE = "callbox.status.evidence"
FILE_BYTES_MAX = 64 * 1024 * 1024  # a second of pictures is far smaller
TEXT_MAX = 200  # characters of a reason that the page is given


@dataclass(frozen=True, slots=True)
class File:
    """A file as an event names it. begins, ends: RFC 3339, when its first and last picture were taken.

    sha256, bytes: as stored and uploaded; plain_sha256: of what is in it, empty where nobody says.
    key_frame: a picture alone, sent before the clip.
    """

    sha256: str
    plain_sha256: str
    bytes: int
    media_type: str
    begins: str
    ends: str
    key_frame: bool
    encrypted: bool


class Have(NamedTuple):
    """Of a file: bytes here, whether it is whole and proven by its hash, and how often it came with a wrong one.

    gone: its box has it no more, and what is not here will never come.
    """

    bytes: int
    whole: bool
    wrong: int
    gone: bool = False


def files(event: Event) -> list[File]:
    """The files in a `status.evidence`; entries of a wrong shape are left out."""
    named = event.data.get("files") if event.type == TYPE else None
    found = []
    for entry in named if isinstance(named, list) else []:
        match entry:
            case {"sha256": str(sha256), "bytes": int(size), "media_type": str(kind), "from": str(a), "to": str(b)} if (
                SHA256.fullmatch(sha256)
                and 0 < size <= FILE_BYTES_MAX
                and type(size) is int
                and seconds(a) is not None
                and seconds(b) is not None
            ):
                plain = str(entry.get("plain_sha256", ""))
                key_frame, encrypted = entry.get("key_frame") is True, "encrypted" in entry
                found.append(File(sha256, plain, size, kind, a, b, key_frame, encrypted))
    return found


def discarded(event: Event) -> list[str]:
    """SHA-256 of the files that an `audit.discarded` says are no more on the box; of a wrong shape none."""
    named = event.data.get("files") if event.type == "callbox.audit.discarded" else None
    entries = (entry.get("sha256") for entry in named if isinstance(entry, dict)) if isinstance(named, list) else ()
    return [sha256 for sha256 in entries if isinstance(sha256, str) and SHA256.fullmatch(sha256)]


@dataclass
class Evidence:
    """All evidence of one case; `case`: the id of the case, or of the scan or command that caused it."""

    box: str
    case: str
    files: dict[str, File] = field(default_factory=dict)  # by SHA-256, as each was first named
    _events: dict[str, tuple[Event, list[File]]] = field(default_factory=dict)

    def add(self, event: Event) -> None:
        """A proven `status.evidence` of this case; the order of coming does not matter."""
        named = files(event)
        self._events[event.id] = event, named
        for file in named:
            self.files.setdefault(file.sha256, file)

    def shown(self, have: Callable[[str, str], Have]) -> dict[str, Any]:
        """For the page: each camera with its files in the order of their pictures; last: no further file will come."""
        cameras: dict[str, dict[str, Any]] = {}
        for event, named in sorted(self._events.values(), key=lambda pair: (pair[0].journal, pair[0].seq)):
            name = str(event.data.get("camera", ""))[:TEXT_MAX]
            camera = cameras.setdefault(name, {"camera": name, "last": False, "reason": "", "files": {}})
            camera["last"] = camera["last"] or event.data.get("last") is True
            camera["reason"] = str(event.data.get("reason") or camera["reason"])[:TEXT_MAX]
            for file in named:
                camera["files"].setdefault(file.sha256, _shown(file, have(self.box, file.sha256)))
        for camera in cameras.values():
            camera["files"] = sorted(camera["files"].values(), key=lambda file: seconds(file["from"]) or 0.0)
        return {"box": self.box, "case": self.case, "cameras": [cameras[name] for name in sorted(cameras)]}


def _shown(file: File, have: Have) -> dict[str, Any]:
    return {
        "sha256": file.sha256,
        "bytes": file.bytes,
        "have": min(have.bytes, file.bytes),
        "whole": have.whole,
        "wrong": have.wrong,
        "gone": have.gone,
        "from": file.begins,
        "to": file.ends,
        "key_frame": file.key_frame,
        "encrypted": file.encrypted,
    }
