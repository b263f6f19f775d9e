"""Evidence on its disk: pieces are read, files go, and a start puts in order what a cut left. A thread of its own.

The camera processes write the files, each under the SHA-256 of its bytes (drivers/vault.py); nothing here changes one.
"""

import logging
import os
import re
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import file_digest
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Final

from agent import threads
from agent.mail import Message
from agent.media_mail import FilesFound, OwedFile, PieceRead, ReadPiece, Unlink, Unlinked

log = logging.getLogger("callbox")

FOLDER: Final = "media"
NAME: Final = re.compile("[0-9a-f]{64}")
TEMPORARY: Final = ".tmp"
"""How the name of a file ends that is being written."""

FOUND_MAX: Final = 100
FOUND_EVERY_S: Final = 0.1
"""Files without a row are told in parts: a hundred thousand rows in one transaction would hold up an alarm."""

Known = Callable[[], tuple[set[str], tuple[str, ...], set[str]]]
"""Names of the files that the journal knows, those to be unlinked, and those whose row it cannot read.

May raise sqlite3.Error.
"""


class Spool:
    """The files in `state_dir/media`."""

    def __init__(self, state_dir: Path, answer: Callable[[Message], None]) -> None:
        """answer: called in this thread; never blocks."""
        self.folder = state_dir / FOLDER
        self._answer = answer
        self._work: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._found: deque[Path] = deque()
        threads.start(self._run, "spool")

    def ask(self, request: ReadPiece | Unlink) -> None:
        """Queues a request; `PieceRead` or `Unlinked` answers it."""
        if isinstance(request, ReadPiece):
            self._work.put(lambda: self._answer(self._read(request)))
        else:
            self._work.put(lambda: self._unlink(request.files))

    def begin(self, known: Known, then: Callable[[], None]) -> None:
        """Makes the folder and puts it in order (docs/evidence.md, crash procedure 5); then goes on in this thread."""

        def run() -> None:
            try:
                self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._sweep(*known())
            except OSError as error:
                log.error("%s: %s; evidence that lies there is left as it is", self.folder, error.strerror)
            finally:  # whatever was in the way, the journal too
                then()

        self._work.put(run)

    def _run(self) -> None:
        while True:
            try:
                work = self._work.get(timeout=FOUND_EVERY_S if self._found else None)
            except Empty:
                work = self._tell_found
            try:
                work()
            except Exception:
                log.exception("the spool of evidence stumbled, and goes on")

    def _read(self, request: ReadPiece) -> PieceRead:
        def failed(reason: str, *, gone: bool) -> PieceRead:
            return PieceRead(request.sha256, request.offset, b"", reason, gone)

        try:
            with (self.folder / request.sha256).open("rb") as file:
                if request.check and file_digest(file, "sha256").hexdigest() != request.sha256:
                    return failed("its bytes were changed on the disk", gone=True)
                file.seek(request.offset)
                data = file.read(request.bytes)
        except FileNotFoundError:
            return failed("the file is not there", gone=self.folder.is_dir())  # else its disk is away
        except OSError as error:
            return failed(f"it cannot be read: {error.strerror}", gone=False)
        if len(data) != request.bytes:
            return failed(f"it ends after {request.offset + len(data)} bytes", gone=True)
        return PieceRead(request.sha256, request.offset, data)

    def _unlink(self, names: tuple[str, ...]) -> None:
        for name in names:
            with suppress(FileNotFoundError):
                (self.folder / name).unlink()
        self._sync()
        self._answer(Unlinked(names))

    def _sweep(self, known: set[str], garbage: tuple[str, ...], unreadable: set[str]) -> None:
        """A file without a row is kept and sent: an event of a journal that is lost, or was in memory, may name it."""
        for name in unreadable:
            log.error("evidence %s: its row in the journal cannot be read and is written anew; see callbox fsck", name)
        for path in self.folder.iterdir():
            if path.name in garbage or path.name.endswith(TEMPORARY):
                path.unlink()
            elif path.name not in known and NAME.fullmatch(path.name):
                self._found.append(path)
        self._sync()
        if garbage:
            self._answer(Unlinked(garbage))

    def _tell_found(self) -> None:
        files: list[OwedFile] = []
        for _ in range(min(FOUND_MAX, len(self._found))):
            path = self._found.popleft()
            with suppress(FileNotFoundError):
                status = path.stat()
                time = datetime.fromtimestamp(status.st_mtime, UTC).isoformat().replace("+00:00", "Z")
                files.append(OwedFile(path.name, 0, "", "status", "", time, status.st_size))
        self._answer(FilesFound(tuple(files)))

    def _sync(self) -> None:
        folder = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
