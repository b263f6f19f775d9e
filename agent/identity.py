"""The box's identity: its key, its signatures, and the check of a chain of events.

The signer is an interface: an algorithm other than Ed25519 (SM2 for buyers in China) can be added without touching
the journal.
"""

import binascii
import hmac
import json
import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, Literal, Protocol

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from agent.canonical import canonical
from agent.ranges import Hole

KEY_FILE = "box.key"
SITE_KEY_BYTES_MIN: Final = 16
PRUNED: Final = "callbox.audit.pruned"

Wrong = Literal["bytes", "prevhash", "signature"]
"""What may be wrong with an event: they are not the bytes of one, it joins another, or its signature is no good."""


class Signer(Protocol):
    """Signs an event's canonical bytes."""

    alg: str
    public: bytes

    def sign(self, message: bytes) -> bytes: ...


class Ed25519Signer:
    """A private Ed25519 key."""

    alg = "Ed25519"

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public = key.public_key().public_bytes_raw()

    @classmethod
    def generate(cls) -> "Ed25519Signer":
        return cls(Ed25519PrivateKey.generate())

    def sign(self, message: bytes) -> bytes:
        """64 bytes (RFC 8032)."""
        return self._key.sign(message)


def b64(raw: bytes) -> str:
    """base64url without padding."""
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def unb64(text: str, size: int) -> bytes:
    """`size` bytes from base64url without padding; raises ValueError for anything else."""
    try:
        raw = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, UnicodeEncodeError) as error:
        raise ValueError(f"not base64url: {error}") from None
    if len(raw) != size or b64(raw) != text:
        raise ValueError(f"base64url of {len(raw)} bytes in {len(text)} characters; {size} bytes are wanted, unpadded")
    return raw


def load_or_make_key(state_dir: Path) -> Ed25519Signer:
    """The box's key `box.key` in its state directory; made, and synced to the disk, if there is none.

    The file is PKCS 8 in PEM, mode 0600. Raises OSError, or ValueError for a file that holds no Ed25519 key.
    """
    path = state_dir / KEY_FILE
    if not path.exists():
        state_dir.mkdir(parents=True, exist_ok=True)
        pem = Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        fresh = path.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            if os.geteuid() == 0:  # made by root for the daemon, whose state directory this is
                os.fchown(file.fileno(), (owner := state_dir.stat()).st_uid, owner.st_gid)
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        fresh.rename(path)
        directory = os.open(state_dir, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    return _load(path)


def public_key(state_dir: Path) -> bytes:
    """The public key of the box that has its state there. Raises OSError, ValueError."""
    return _load(state_dir / KEY_FILE).public


def site_key(path: Path) -> bytes:
    """The site's key, under which codes and numbers are hashed: the file's bytes without white space around them.

    Raises OSError, or ValueError for one that is too short.
    """
    key = path.read_bytes().strip()
    if len(key) < SITE_KEY_BYTES_MIN:
        raise ValueError(
            f"{path}: found {len(key)} bytes, at least {SITE_KEY_BYTES_MIN} are wanted, as of head -c 32 /dev/urandom"
        )
    return key


def site_hash(key: bytes, purpose: str, text: str) -> bytes:
    """HMAC-SHA256 under the site's key, 32 bytes: what is hashed for one purpose says nothing of another."""
    return hmac.digest(key, f"{purpose}\0{text}".encode("utf-8", "replace"), "sha256")


def _load(path: Path) -> Ed25519Signer:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:  # TypeError: it is locked with a password
        raise ValueError(f"{path}: found no key that can be read ({error}); an Ed25519 key is wanted") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError(f"{path}: found a key of another kind; an Ed25519 key is wanted")
    return Ed25519Signer(key)


def signed_by(public: bytes, message: dict[str, Any]) -> bool:
    """True when `message["sig"]` is this key's signature over the RFC 8785 form of the message without `sig`."""
    unsigned = {name: value for name, value in message.items() if name != "sig"}
    try:
        sig = unb64(message["sig"], 64)
        Ed25519PublicKey.from_public_bytes(public).verify(sig, canonical(unsigned))
    except (InvalidSignature, KeyError, TypeError, ValueError, RecursionError):
        return False
    return True


class ChainCheck:
    """Events in the order of boxseq, each held against the one before it.

    What is missing is no fault where a record of the same chain (an `audit.pruned` without a fault of its own) names a
    hole that covers it, and the hole's hash is the `prevhash` of the event after it. Records stand after the holes that
    they name; so it is known only at the end whether something is missing.
    """

    def __init__(self, public: bytes, seq: int = 0, prevhash: bytes = bytes(32)) -> None:
        """seq, prevhash: where the first event is to join."""
        self.seq, self.events = seq, 0
        """The last boxseq, and how many events were seen."""
        self.event: dict[str, Any] = {}
        """What the last one says; empty where its bytes are not those of an event with its boxseq."""
        self.holes: list[Hole] = []
        """Proven, as they were found."""
        self.missing: dict[int, Hole] = {}
        """Not proven until now, by the last boxseq of each; the hash is what the event after it names, "" for none."""
        self.misnamed: set[int] = set()
        """The last boxseqs of those that a record names with another hash."""
        self._public, self._prevhash = public, b64(prevhash)
        self._first: tuple[int, str] | None = None

    def see(self, seq: int, body: bytes) -> list[Wrong]:
        """Takes the next event; what is wrong with it itself, not with what is missing before it."""
        self.events += 1
        event, changed = _read(seq, body)
        self.event = {} if changed else event
        wrong: dict[Wrong, str] = {}
        if changed:
            wrong["bytes"] = changed
        elif seq == self.seq + 1 and event.get("prevhash") != self._prevhash:
            wrong["prevhash"] = "does not join the event before it (prevhash)"
        if not changed and not signed_by(self._public, event):
            wrong["signature"] = "the signature is not this key's"
        if seq != self.seq + 1:
            self.missing[seq - 1] = self.seq + 1, seq - 1, str(self.event.get("prevhash", ""))
        for words in wrong.values():
            self._first = min(self._first or (seq, words), (seq, words), key=lambda found: found[0])
        if not wrong and event.get("type") == PRUNED:
            self._settle(event)
        self.seq, self._prevhash = seq, b64(sha256(body).digest())
        return list(wrong)

    def _settle(self, record: dict[str, Any]) -> None:
        for first, last, digest in named_holes(record):
            gap = self.missing.get(last)
            if gap is None or first > gap[0]:
                continue
            if gap[2] in ("", digest):
                del self.missing[last]
                self.holes.append((gap[0], last, digest))
            else:
                self.misnamed.add(last)

    @property
    def problem(self) -> str | None:
        """What is wrong first, in words that name the boxseq; None when nothing is, of all that was seen."""
        found = [self._first] if self._first else []
        for first, last, _ in self.missing.values():
            if last in self.misnamed:
                found.append((last + 1, "does not join the hole before it (prevhash)"))
            else:
                found.append((first, f"missing (the next one is {last + 1})"))
        if not found:
            return None
        seq, words = min(found, key=lambda problem: problem[0])
        return f"seq {seq}: {words}"


def _read(seq: int, body: bytes) -> tuple[dict[str, Any], str]:
    """What an event says, and why its bytes are not those that were signed, "" when they may be."""
    try:
        event = json.loads(body)
        same = canonical(event) == body
    except (ValueError, RecursionError):
        return {}, "not JSON"
    if not same or not isinstance(event, dict) or event.get("boxseq") != seq:
        return {}, f"changed (not the bytes of event {seq})"
    return event, ""


def named_holes(record: dict[str, Any]) -> list[Hole]:
    """The holes that a record (`audit.pruned`) names; what has not the shape of one is left out."""
    data = record.get("data")
    holes = data.get("holes") if isinstance(data, dict) else None
    return [
        (hole[0], hole[1], hole[2])
        for hole in (holes if isinstance(holes, list) else [])
        if isinstance(hole, list) and list(map(type, hole)) == [int, int, str]
    ]


def verify_chain(
    events: Iterable[tuple[int, bytes]], public: bytes, seq: int = 0, prevhash: bytes = bytes(32)
) -> str | None:
    """None when the events (boxseq, bytes) join after `seq`, unchanged, signed by `public`, every hole in them proven.

    Otherwise what is wrong first, in words that name the boxseq.
    """
    check = ChainCheck(public, seq, prevhash)
    for found, body in events:
        check.see(found, body)
    return check.problem
