"""A finished file of evidence on the disk: hashed, encrypted where there are recipients, and whole or not there at all.

    plain -> SHA-256 -> age -> SHA-256 -> .{camera}.tmp -> fsync -> rename to the hash -> fsync of the directory

What is on the disk is whole in any instant but for the one temporary file of each camera, which the next file takes
over. The age format (age-encryption.org/v1) is read by every `age`; it is made in memory, so that with recipients no
picture ever touches the disk in the clear.
"""

import errno
import hashlib
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pyrage
from pyrage.x25519 import Recipient


@dataclass(frozen=True, slots=True)
class Stored:
    """A file that is on the disk. sha256, bytes: of what is stored, and its name; plain_sha256: before encryption."""

    sha256: str
    plain_sha256: str
    bytes: int
    encrypted: bool


class VaultError(Exception):
    """A file cannot be written, or not be encrypted: where, what was found, what to do next."""


def read_recipients(keys: Sequence[str]) -> list[Recipient]:
    """Public keys ("age1...") of those who will read the files. Raises VaultError that names the wrong one."""
    recipients = []
    for key in keys:
        try:
            recipients.append(Recipient.from_str(key))
        except pyrage.RecipientError:
            raise VaultError(f"recipients: found {key!r}, allowed is a public key of `age-keygen` (age1...)") from None
    return recipients


def store(plain: bytes, directory: Path, camera: str, recipients: Sequence[Recipient]) -> Stored:
    """Writes a file whose name is its SHA-256. On the disk when this returns. Raises VaultError; then nothing is left.

    camera: its name, for the temporary file; of one camera one file at a time is written.
    """
    data = pyrage.encrypt(plain, recipients) if recipients else plain
    sha256 = hashlib.sha256(data).hexdigest()
    temp = directory / f".{camera}.tmp"
    try:
        try:
            with temp.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temp.rename(directory / sha256)
        except OSError:
            with suppress(OSError):
                temp.unlink()
            raise
        handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)  # without it the name may be gone after a cut of the power
        finally:
            os.close(handle)
    except OSError as error:
        raise VaultError(f"{directory}: {error.strerror}; {_hint(error.errno)}") from None
    return Stored(sha256, hashlib.sha256(plain).hexdigest(), len(data), bool(recipients))


def _hint(number: int | None) -> str:
    if number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return "make room on the disk, or keep less (retention.media_mb)"
    if number in (errno.ENOENT, errno.ENOTDIR):
        return "make the directory again, or start the box anew"
    if number in (errno.EACCES, errno.EPERM):
        return "let the box's user write there"
    return "check the disk"
