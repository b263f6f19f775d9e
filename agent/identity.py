"""The box's identity: its key, its signatures, and the check of a chain of events.

The signer is an interface: an algorithm other than Ed25519 (SM2 for buyers in China) can be added without touching
the journal.
"""

import binascii
import json
import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from agent.canonical import canonical

KEY_FILE = "box.key"


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


def verify_chain(
    events: Iterable[tuple[int, bytes]], public: bytes, seq: int = 0, prevhash: bytes = bytes(32)
) -> str | None:
    """None when the events (boxseq, bytes) join without a gap after `seq`, unchanged and signed by `public`.

    Otherwise what is wrong first, in words that name the boxseq.
    """
    for found, body in events:
        seq += 1
        if found != seq:
            return f"seq {seq}: missing (the next one is {found})"
        try:
            event = json.loads(body)
            same = canonical(event) == body
        except (ValueError, RecursionError):
            return f"seq {seq}: not JSON"
        if not same or not isinstance(event, dict) or event.get("boxseq") != seq:
            return f"seq {seq}: changed (not the bytes of event {seq})"
        if event.get("prevhash") != b64(prevhash):
            return f"seq {seq}: does not join the event before it (prevhash)"
        if not signed_by(public, event):
            return f"seq {seq}: the signature is not this key's"
        prevhash = sha256(body).digest()
    return None
