"""The contract's bytes as central reads and writes them; written from the contract alone, nothing of the box's code."""

import base64
import hashlib
import json
import os
import re
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import rfc8785
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

EVENT_BYTES_MAX = 64 * 1024
PIECE_BYTES_MAX = 64 * 1024
BATCH_EVENTS_MAX = 50
CLASSES = ("alarm", "trouble", "scan", "status", "audit")
ZERO_HASH = base64.urlsafe_b64encode(bytes(32)).rstrip(b"=").decode()

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
SEQ_IN_RUINS = re.compile(rb'"boxseq"\s*:\s*(\d{1,15})\b')
JOURNAL_IN_RUINS = re.compile(rb'"journal"\s*:\s*"([0-9a-zA-Z_-]{1,64})"')
JOURNAL = re.compile(r"[0-9a-zA-Z_-]{1,64}")
SHA256 = re.compile(r"[0-9a-f]{64}")
OFFSET = re.compile(r"0|[1-9][0-9]{0,11}")


class UnreadableError(ValueError):
    """These bytes are no event. journal and seq are given where they could be told, else None."""

    def __init__(self, reason: str, payload: bytes = b"") -> None:
        super().__init__(reason)
        self.reason = reason
        self.seq, self.journal = _number(payload)


def _number(payload: bytes) -> tuple[int | None, str | None]:
    """boxseq and journal of what is no good event, as far as they can be told."""
    try:
        event = read_json(payload)
    except ValueError:
        seq, journal = SEQ_IN_RUINS.search(payload), JOURNAL_IN_RUINS.search(payload)
        return int(seq[1]) if seq else None, journal[1].decode() if journal else None
    if not isinstance(event, dict):
        return None, None
    seq, journal = event.get("boxseq"), event.get("journal")
    named = isinstance(journal, str) and JOURNAL.fullmatch(journal)
    return seq if type(seq) is int and seq > 0 else None, journal if named else None


@dataclass(frozen=True, slots=True)
class Topic:
    """Where a message of a box came from. part: `event`, `batch` or `state`; cls: its class, empty for `state`."""

    box: str
    part: str
    cls: str


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a box, as it came. payload: the exact bytes; body: the same without `sig`, canonical."""

    box: str
    cls: str
    journal: str
    seq: int
    id: str
    type: str
    time: str
    prevhash: str
    sig: str
    data: dict[str, Any]
    timequality: str
    payload: bytes
    body: bytes
    canonical: bool

    @property
    def hash(self) -> str:
        """What the next event's `prevhash` must be."""
        return b64(hashlib.sha256(self.payload).digest())


class Hole(NamedTuple):
    """Events that are no more at the box, both boxseqs included. hash: of the last of them, as `Event.hash`."""

    first: int
    last: int
    hash: str


def holes(event: Event) -> list[Hole]:
    """What an `audit.pruned` says is no more; only of what was recorded before it, and nothing of a wrong shape."""
    named = event.data.get("holes") if event.type == "callbox.audit.pruned" else None
    found = []
    for entry in named if isinstance(named, list) else []:
        match entry:
            case [int(first), int(last), str(digest)] if 1 <= first <= last < event.seq:
                found.append(Hole(first, last, digest))
    return found


def b64(data: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    """The reverse; raises ValueError."""
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def rfc3339(at_s: float) -> str:
    """Seconds since 1970 as UTC with microseconds."""
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def seconds(text: str) -> float | None:
    """RFC 3339 as seconds since 1970; None for what is no time."""
    try:
        moment = datetime.fromisoformat(text)
        return moment.timestamp() if moment.tzinfo else None
    except (ValueError, OverflowError):
        return None


def uuid7(now_s: float) -> str:
    """RFC 9562: 48 bits of milliseconds, then chance."""
    value = int.from_bytes(int(now_s * 1000).to_bytes(6, "big") + os.urandom(10), "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(uuid.UUID(int=value))


def read_topic(topic: str) -> Topic | None:
    """None for topics that are not a box's."""
    match topic.split("/"):
        case ["callbox", "1", site, box, "state"] if NAME.fullmatch(site) and NAME.fullmatch(box):
            return Topic(f"{site}/{box}", "state", "")
        case ["callbox", "1", site, box, "event" | "batch" as part, cls] if (
            NAME.fullmatch(site) and NAME.fullmatch(box) and cls in CLASSES
        ):
            return Topic(f"{site}/{box}", part, cls)
    return None


@dataclass(frozen=True, slots=True)
class Piece:
    """Where bytes of a file of evidence belong."""

    box: str
    sha256: str
    offset: int


def of_media(topic: str) -> bool:
    """Does it say that it is a piece of a file?"""
    return topic.split("/")[4:5] == ["media"]


def read_piece(topic: str) -> Piece | None:
    """None for a topic that names no box, no SHA-256 in hex or no offset."""
    match topic.split("/"):
        case ["callbox", "1", site, box, "media", sha256, offset] if (
            NAME.fullmatch(site) and NAME.fullmatch(box) and SHA256.fullmatch(sha256) and OFFSET.fullmatch(offset)
        ):
            return Piece(f"{site}/{box}", sha256, int(offset))
    return None


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


_decoder = json.JSONDecoder(parse_constant=_no_constant)


def read_json(payload: bytes) -> Any:
    """Strict JSON in UTF-8; raises ValueError."""
    try:
        return _decoder.decode(payload.decode("utf-8"))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def read_state(payload: bytes) -> dict[str, Any]:
    """The object of a `state` message; raises ValueError with what is wrong with it."""
    if len(payload) > EVENT_BYTES_MAX:
        raise ValueError(f"{len(payload)} bytes, {EVENT_BYTES_MAX} are allowed")
    state = read_json(payload)
    if not isinstance(state, dict) or not isinstance(state.get("session"), str):
        raise ValueError("a state is an object with a session")
    if not JOURNAL.fullmatch(str(state.get("journal", "none"))):
        raise ValueError("the journal's name is none")
    try:
        rfc8785.dumps(state)
    except (ValueError, RecursionError, rfc8785.CanonicalizationError) as error:
        raise ValueError(f"not I-JSON: {error}") from error
    return state


def split_batch(payload: bytes) -> tuple[list[bytes], str]:
    """The events of a batch, each byte for byte, and what is wrong with the rest (empty when nothing is)."""
    events: list[bytes] = []
    try:
        text = payload.decode("utf-8")
    except UnicodeDecodeError as error:
        return [], f"not UTF-8: {error}"
    at = len(text) - len(text.lstrip())
    if text[at : at + 1] != "[":
        return [], "a batch is a JSON array"
    while True:
        start = at + 1 + len(text[at + 1 :]) - len(text[at + 1 :].lstrip())
        try:
            _, at = _decoder.raw_decode(text, start)
        except (ValueError, RecursionError) as error:
            return events, "" if text[start:].strip() == "]" and not events else f"broken after {len(events)}: {error}"
        events.append(text[start:at].encode())
        at += len(text[at:]) - len(text[at:].lstrip())
        if text[at : at + 1] != ",":
            return events, "" if text[at:].strip() == "]" else f"broken after {len(events)} events"


def read_event(topic: Topic, payload: bytes) -> Event:
    """Raises UnreadableError with the reason that goes into `refused`."""
    if len(payload) > EVENT_BYTES_MAX:
        raise UnreadableError(f"{len(payload)} bytes, {EVENT_BYTES_MAX} are allowed", payload)
    try:
        event = read_json(payload)
        if not isinstance(event, dict):
            raise ValueError("not an object")
        canonical = rfc8785.dumps(event)
        body = rfc8785.dumps({key: value for key, value in event.items() if key != "sig"})
    except (ValueError, RecursionError, rfc8785.CanonicalizationError) as error:
        raise UnreadableError(f"not I-JSON: {error}"[:200], payload) from error
    wrong = [key for key in ("id", "type", "time", "journal", "prevhash", "sig") if not isinstance(event.get(key), str)]
    if "journal" not in wrong and not JOURNAL.fullmatch(event["journal"]):
        wrong.append("journal")
    if type(event.get("boxseq")) is not int or event["boxseq"] < 1:
        wrong.append("boxseq")
    if not isinstance(event.get("data"), dict):
        wrong.append("data")
    if event.get("source") != f"/callbox/{topic.box}":
        wrong.append("source")
    if wrong:
        raise UnreadableError(f"missing or wrong: {', '.join(wrong)}", payload)
    return Event(
        box=topic.box,
        cls=topic.cls,
        journal=event["journal"],
        seq=event["boxseq"],
        id=event["id"],
        type=event["type"],
        time=event["time"],
        prevhash=event["prevhash"],
        sig=event["sig"],
        data=event["data"],
        timequality=str(event.get("timequality", "")),
        payload=payload,
        body=body,
        canonical=canonical == payload,
    )


def verify(key: str, sig: str, body: bytes) -> bool:
    """Is `sig` the Ed25519 signature of `body` by the public `key`? Both base64url; nonsense is no signature."""
    try:
        Ed25519PublicKey.from_public_bytes(unb64(key)).verify(unb64(sig), body)
    except (ValueError, InvalidSignature):
        return False
    return True


def signed(message: dict[str, Any], key: Ed25519PrivateKey) -> bytes:
    """The message with `sig` over its canonical form, canonical."""
    return rfc8785.dumps({**message, "sig": b64(key.sign(rfc8785.dumps(message)))})


def command(
    verb: str, box: str, data: dict[str, Any], operator: str, expires_s: float, key: Ed25519PrivateKey
) -> tuple[str, bytes]:
    """The id and the bytes of a command to `box`, good for `expires_s` seconds from now."""
    now_s = time.time()
    message = {
        "specversion": "1.0",
        "id": uuid7(now_s),
        "source": f"/operators/{operator}",
        "type": f"callbox.command.{verb}",
        "subject": box,
        "time": rfc3339(now_s),
        "expires": rfc3339(now_s + expires_s),
        "datacontenttype": "application/json",
        "data": data,
    }
    return str(message["id"]), signed(message, key)


def public(key: Ed25519PrivateKey) -> str:
    """The public half, base64url, as it stands in a box's config."""
    return b64(key.public_key().public_bytes_raw())


def load_key(path: Path) -> Ed25519PrivateKey:
    """The Ed25519 key in the PEM file; a new one is made where there is no file. Raises ValueError for another kind."""
    if not path.exists():
        key = Ed25519PrivateKey.generate()
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(pem)
        return key
    loaded = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(loaded, Ed25519PrivateKey):
        raise ValueError(f"{path}: a {type(loaded).__name__}, an Ed25519 private key (PEM) is wanted")
    return loaded
