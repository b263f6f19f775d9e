"""One file of evidence of a case: what was signed about it, and whether the file that is there is that one."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from re import fullmatch
from typing import Any, Final, Literal, NamedTuple

import pyrage

from agent.errors import BoxError
from agent.export_events import Fault
from agent.export_streams import TICKS, Clip, read_clip

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

    clip: with its first picture alone, for a case may be long. marks: (ticks after the first one, SHA-256) of every
    picture. thumbnail: the first one, small, as base64 of a JPEG; "" for none.
    """

    entry: dict[str, Any]
    clip: Clip | None = None
    marks: list[tuple[int, bytes]] = field(default_factory=list)
    thumbnail: str = ""

    def look_into(self, plain: bytes) -> None:
        """Learns what is in the file. Raises ValueError where that cannot be read."""
        clip = read_clip(self.entry["media_type"], plain)
        self.clip = replace(clip, pictures=clip.pictures[:1])
        self.marks = [(picture.at, sha256(b"\0".join(picture.units)).digest()) for picture in clip.pictures]
        self.entry["pictures"] = len(clip.pictures)
        inside = max(at for at, _ in self.marks) / TICKS
        told = (ticks(self.entry["to"]) - ticks(self.entry["from"])) / TICKS
        if abs(inside - told) > DRIFT_S:
            self.wrong(Fault("times", values={"found": f"{inside:.3f}", "signed": f"{told:.3f}"}))

    def read(self, out: Path) -> Clip:
        """All of it, again, out of the export."""
        return read_clip(self.entry["media_type"], (out / self.entry["name"]).read_bytes())

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


def find(media: Path, digest: str) -> Path | None:
    """A file in a folder of media: all of it, or what of it has come to central (`{box}.{sha256}.part`)."""
    whole = media / digest
    return whole if whole.is_file() else next(iter(sorted(media.glob(f"*.{digest}.part"))), None)


def opened(entry: dict[str, Any], stored: Path | None, keys: list[pyrage.x25519.Identity]) -> Opened:
    """A stored file, held against what was signed, and decrypted. Raises OSError."""
    if stored is None:
        return Opened("missing", Fault("missing_file"))
    if stored.suffix == ".part":
        values = {"found": stored.stat().st_size, "signed": entry["bytes"]}
        return Opened("missing", Fault("partial", values=values))
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
    taken = moment(ticks(entry["from"])).replace("-", "").replace(":", "")
    name = f"{safe(entry['camera'])}-{taken}-{entry['plain_sha256'][:8]}"
    return f"files/{name}.{SUFFIXES.get(entry['media_type'], 'bin')}"


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
