"""Pictures out of files of evidence, by a process of their own (`eye`): asked for, waited for, killed."""

import asyncio
import contextlib
import json
import logging
import os
import sys
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyrage

from simulators.central import eye
from simulators.central.evidence import File

log = logging.getLogger("central")
DEADLINE_S = 20.0  # for one file
KEPT_BYTES_MAX = 256 * 1024 * 1024  # of pictures, in memory alone
WANTED = "AGE-SECRET-KEY-1... is wanted, as age-keygen writes it"


@dataclass(frozen=True, slots=True)
class Look:
    """What is in a file: its pictures as JPEG, each with its seconds after the first, and a small one of the first."""

    at_s: list[float]
    jpegs: list[bytes]
    thumb: bytes

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(map(len, self.jpegs)) + len(self.thumb)


def read_identities(path: Path) -> list[str]:
    """The identities in an age identity file, as `age-keygen` writes it. Raises OSError, ValueError."""
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        try:
            pyrage.x25519.Identity.from_str(text)
        except pyrage.IdentityError as error:
            # its text may be a secret: it is not repeated
            raise ValueError(f"{path}:{number}: no age identity; {WANTED}") from error
        found.append(text)
    if not found:
        raise ValueError(f"{path}: no age identity in it; {WANTED}")
    return found


class Looker:
    """Looks into one file after another. All in one asyncio loop."""

    def __init__(self, identities: Sequence[str] = ()) -> None:
        """identities: age secret keys; without one, encrypted files stay locked."""
        self._identities = list(identities)
        self._process: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()
        self._kept: OrderedDict[str, Look] = OrderedDict()

    async def look(self, path: Path, file: File) -> Look:
        """Raises eye.LookError: what the process says, or that it died or took too long (`broken`)."""
        async with self._turn:
            if kept := self._kept.get(file.sha256):
                self._kept.move_to_end(file.sha256)
                return kept
            try:
                found = await asyncio.wait_for(self._ask(path, file), DEADLINE_S)
            except eye.LookError:
                raise
            except (TimeoutError, EOFError, OSError, ValueError) as error:
                await self._kill()
                log.warning("%s: the process that looked into it ended or took too long: %r", file.sha256, error)
                raise eye.LookError("broken") from error
            except BaseException:  # half an answer is under way
                await self._kill()
                raise
            self._kept[file.sha256] = found
            while sum(look.size for look in self._kept.values()) > KEPT_BYTES_MAX:
                self._kept.popitem(last=False)
            return found

    async def close(self) -> None:
        """Ends the process."""
        async with self._turn:
            await self._kill()

    async def _ask(self, path: Path, file: File) -> Look:
        if self._process is None:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", eye.__file__),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env={**os.environ, **eye.ENVIRONMENT},
                limit=1024 * 1024,
            )
            self._write({"identities": self._identities})
        names = {"media_type": file.media_type, "encrypted": file.encrypted, "plain_sha256": file.plain_sha256}
        self._write({"path": str(path), **names})
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        line = await self._process.stdout.readline()
        if not line:
            raise EOFError("it has ended")
        answer = json.loads(line)
        if "error" in answer:
            raise eye.LookError(answer["error"])
        parts = [await self._process.stdout.readexactly(size) for size in [*answer["sizes"], answer["thumb"]]]
        return Look(answer["at_s"], parts[:-1], parts[-1])

    def _write(self, wish: dict[str, object]) -> None:
        assert self._process is not None and self._process.stdin is not None  # noqa: S101 - it is a pipe
        self._process.stdin.write(json.dumps(wish).encode() + b"\n")

    async def _kill(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
