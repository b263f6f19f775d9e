"""What is asked of the running box at the place itself: one JSON object each way over a Unix socket, a line there.

`{"ask": "status"}` is `callbox status`, `{"ask": "resend", "journal": ..., "ranges": ...}` is `callbox resend`,
`{"ask": "preview", "camera": ...}` is `callbox preview`. Who may write to the socket (mode 0660, in the state
directory) may ask. The answer comes from the deciding thread, so that a hung box does not look healthy.
"""

import json
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final

from agent import threads
from agent.errors import BoxError

SOCKET = "status.sock"
TIMEOUT_S: Final = 3.0
PREVIEW_S: Final = 15.0
"""The same for a picture, which a process decodes that may be killed after 10 s."""
ASKERS_MAX: Final = 4
"""At once; the next ones wait."""
REQUEST_BYTES_MAX: Final = 65_536

Answer = Callable[[Mapping[str, object]], None]
"""To be called once, at once or later; one that comes after its time reaches nobody."""


class StatusServer:
    """Each asker has a thread, so that who waits for a picture holds up nobody; the loop reads and answers."""

    def __init__(self, state_dir: Path, wake: Callable[[], None]) -> None:
        """wake: makes the loop look. Raises OSError when the socket cannot be made."""
        path = state_dir / SOCKET
        path.unlink(missing_ok=True)
        self._path, self._wake, self._places = path, wake, threading.Semaphore(ASKERS_MAX)
        self._asked: SimpleQueue[tuple[dict[str, Any], Answer]] = SimpleQueue()
        self._door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._door.bind(str(path))
        path.chmod(0o660)
        self._door.listen(4)
        threads.start(self._run, "status")

    def serve(self, handle: Callable[[dict[str, Any], Answer], None]) -> None:
        """In the loop: hands over what is asked, if anything is."""
        while not self._asked.empty():
            handle(*self._asked.get())

    def close(self) -> None:
        with suppress(OSError):  # a disk that failed keeps the name; nobody answers there
            self._path.unlink()
        with suppress(OSError):
            self._door.shutdown(socket.SHUT_RDWR)  # `close` alone does not wake who waits in `accept`
        self._door.close()

    def _run(self) -> None:
        while True:
            self._places.acquire()
            try:
                asker, _ = self._door.accept()
            except OSError:
                return  # closed
            threads.start(partial(self._serve_one, asker), "status asker")

    def _serve_one(self, asker: socket.socket) -> None:
        try:
            with asker, suppress(OSError, Empty):  # an asker that hung up or says nothing; a loop that hangs
                asker.sendall(self._answer(_read_line(asker)))
        finally:
            self._places.release()

    def _answer(self, line: bytes) -> bytes:
        if len(line) > REQUEST_BYTES_MAX:
            return _line({"error": f"the request is too long; at most {REQUEST_BYTES_MAX} bytes are read"})
        try:
            request = json.loads(line)
        except (ValueError, RecursionError):
            request = None
        if not isinstance(request, dict):
            return _line({"error": "the request is no JSON object in one line"})
        answers: SimpleQueue[bytes] = SimpleQueue()
        self._asked.put((request, lambda answer: answers.put(_line(answer))))
        self._wake()
        return answers.get(timeout=_wait_s(request.get("ask")))


def _wait_s(what: object) -> float:
    return PREVIEW_S if what == "preview" else TIMEOUT_S


def _line(message: Mapping[str, object]) -> bytes:
    return json.dumps(message, ensure_ascii=False).encode() + b"\n"


def _read_line(asker: socket.socket) -> bytes:
    """What comes until the end of a line or of what the asker sends. Raises OSError when it takes too long."""
    until_s, line = time.monotonic() + TIMEOUT_S, b""
    while b"\n" not in line and len(line) <= REQUEST_BYTES_MAX:
        asker.settimeout(max(0.001, until_s - time.monotonic()))
        if not (part := asker.recv(65_536)):
            break
        line += part
    asker.settimeout(TIMEOUT_S)
    return line


def ask(state_dir: Path, what: str = "status", /, **more: Any) -> dict[str, Any] | None:
    """The running box's answer; None when none runs there.

    Raises BoxError when it runs and does not answer, or not to this.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
        door.settimeout(_wait_s(what) + 1)
        try:
            door.connect(str(state_dir / SOCKET))
        except (FileNotFoundError, ConnectionRefusedError):
            return None
        except OSError as error:
            raise BoxError(
                f"{state_dir / SOCKET}: {error.strerror or error}", "run this as root or as the callbox user"
            ) from None
        received = b""
        with suppress(OSError):  # it may answer before it has read all
            door.sendall(_line({"ask": what, **more}))
        with suppress(OSError):
            while part := door.recv(65_536):
                received += part
    if not received:
        raise BoxError(
            f"the box runs but has not answered for {_wait_s(what):.0f} s", "see its log; systemd restarts a hung box"
        )
    answer: dict[str, Any] = json.loads(received)
    if "error" in answer:
        raise BoxError(f"the box answers: {answer['error']}", "the command and the running box must be of one version")
    return answer
