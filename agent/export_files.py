"""One file of evidence of a case: what was signed about it, and whether the file that is there is that one."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from re import fullmatch
from typing import Any, Final, Literal, NamedTuple

import pyrage

from agent.errors import BoxError
from agent.export_events import Fault
from agent.export_streams import TICKS, Clip

SUFFIXES: Final = {"video/mp2t": "ts", "video/x-msvideo": "avi", "image/jpeg": "jpg"}
HEX: Final = r"[0-9a-f]{64}"
SIGNED: Final[dict[str, type]] = {
    **dict.fromkeys(("sha256", "plain_sha256", "media_type", "from", "to", "role"), str),
    "bytes": int,
}
"""What `status.evidence` says of each file, always; `encrypted` and `key_frame` may come with it."""
DRIFT_S: Final = 1.0
"""How far a file's own times may be from those that were signed."""
NAME_CHARS_MAX: Final = 40
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass
class File:
    """A file, its place in the manifest, and what is in it, where that could be read.

    thumbnail: its first picture, small, as base64 of a JPEG; "" for none.
    """

    entry: dict[str, Any]
    clip: Clip | None = None
    thumbnail: str = ""

    @property
    def first(self) -> int:
        """Ticks since 1970 of its first picture."""
        return ticks(self.entry["from"])

    def wrong(self, fault: Fault) -> None:
        """What is wrong with it; the first one is told."""
        self.entry.setdefault("problem", fault.told())


class Opened(NamedTuple):
    """state: `ok`, `missing`, `damaged` (not the bytes that were signed) or `sealed` (nobody could decrypt it)."""

    state: Literal["ok", "missing", "damaged", "sealed"]
    fault: Fault | None
    plain: bytes | None = None


def identities(path: Path) -> list[pyrage.x25519.Identity]:
    """The age identities of a file, as `age-keygen` writes it. Raises BoxError."""
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
        found = [pyrage.x25519.Identity.from_str(line) for line in lines if line and not line.startswith("#")]
    except OSError as error:
        raise BoxError(f"{path}: {error.strerror}", "--identity: the file that age-keygen made") from error
    except (ValueError, pyrage.IdentityError):
        raise BoxError(f"{path}: not a file of age identities", "--identity: the file that age-keygen made") from None
    if not found:
        raise BoxError(f"{path}: no age identity in it", "--identity: the file that age-keygen made")
    return found


def well_formed(file: dict[str, Any]) -> bool:
    """Whether an entry of `status.evidence` has the shape of one."""
    return (
        all(type(file.get(name)) is kind for name, kind in SIGNED.items())
        and all(fullmatch(HEX, file[name]) for name in ("sha256", "plain_sha256"))
        and file.get("encrypted", "age") == "age"
        and all(ticks(file[name]) for name in ("from", "to"))
    )


def opened(entry: dict[str, Any], stored: Path, keys: list[pyrage.x25519.Identity]) -> Opened:
    """A stored file, held against what was signed, and decrypted. Raises OSError."""
    if not stored.is_file():
        return Opened("missing", Fault("missing_file"))
    if (size := stored.stat().st_size) != entry["bytes"]:
        return Opened("damaged", Fault("size", values={"found": size, "signed": entry["bytes"]}))
    data = stored.read_bytes()
    if sha256(data).hexdigest() != entry["sha256"]:
        return Opened("damaged", Fault("sha256"))
    if "encrypted" in entry:
        if not keys:
            return Opened("sealed", Fault("no_identity"))
        try:
            data = pyrage.decrypt(data, keys)
        except pyrage.DecryptError as error:
            return Opened("sealed", Fault("decrypt", values={"found": str(error)}))
    if sha256(data).hexdigest() != entry["plain_sha256"]:
        return Opened("damaged", Fault("plain_sha256"))
    return Opened("ok", None, data)


def plain_name(entry: dict[str, Any]) -> str:
    """Where the plain file stands in the export."""
    name = f"{safe(entry['camera'])}-{safe(entry['from'])}-{entry['plain_sha256'][:8]}"
    return f"files/{name}.{SUFFIXES.get(entry['media_type'], 'bin')}"


def other_times(entry: dict[str, Any], clip: Clip) -> Fault | None:
    """The file's own times, where they are not those that were signed."""
    inside = max(picture.at for picture in clip.pictures) / TICKS
    told = (ticks(entry["to"]) - ticks(entry["from"])) / TICKS
    if abs(inside - told) <= DRIFT_S:
        return None
    return Fault("times", values={"found": f"{inside:.3f}", "signed": f"{told:.3f}"})


def ticks(time: str) -> int:
    """RFC 3339 as ticks since 1970; 0 for what is no time after that."""
    try:
        return max((datetime.fromisoformat(time) - _EPOCH) // timedelta(microseconds=1) * TICKS // 1_000_000, 0)
    except (ValueError, TypeError, OverflowError):  # TypeError: it names no time zone
        return 0


def moment(at: int) -> str:
    """Ticks since 1970 as RFC 3339 with milliseconds."""
    told = _EPOCH + timedelta(microseconds=at * 1_000_000 // TICKS)
    return told.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def safe(text: str) -> str:
    """As a part of a file's name, which may come from an event that nobody has signed."""
    kept = "".join(char for char in text if char.isascii() and (char.isalnum() or char in "-._"))
    return kept.lstrip(".")[:NAME_CHARS_MAX] or "x"
