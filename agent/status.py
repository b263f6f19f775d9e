"""What the running box says of itself to `callbox status`: one JSON object over a Unix socket.

The answer comes from the deciding thread, so that a hung box does not look healthy.
"""

import json
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from agent.errors import BoxError

SOCKET = "status.sock"
TIMEOUT_S: Final = 3.0


class StatusServer:
    """Answers one asker at a time. `pending` is read and answered by the loop."""

    def __init__(self, state_dir: Path, wake: Callable[[], None]) -> None:
        """wake: makes the loop look. Raises OSError when the socket cannot be made."""
        path = state_dir / SOCKET
        path.unlink(missing_ok=True)
        self._path, self._wake = path, wake
        self._asked = threading.Event()
        self._answered = threading.Event()
        self._answer = b""
        self._door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._door.bind(str(path))
        path.chmod(0o660)
        self._door.listen(4)
        threading.Thread(target=self._run, name="status", daemon=True).start()

    def serve(self, status: Callable[[], dict[str, Any]]) -> None:
        """In the loop: answers who is asking, if anybody is."""
        if self._asked.is_set():
            self._asked.clear()
            self._answer = json.dumps(status(), ensure_ascii=False).encode()
            self._answered.set()

    def close(self) -> None:
        self._path.unlink(missing_ok=True)
        self._door.close()

    def _run(self) -> None:
        while True:
            try:
                asker, _ = self._door.accept()
            except OSError:
                return  # closed
            with asker, suppress(OSError):  # an asker that hung up
                asker.settimeout(TIMEOUT_S)
                self._answered.clear()
                self._asked.set()
                self._wake()
                if self._answered.wait(TIMEOUT_S):
                    asker.sendall(self._answer)


def ask(state_dir: Path) -> dict[str, Any] | None:
    """The status of the running box; None when none runs there. Raises BoxError when it runs and does not answer."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
        door.settimeout(TIMEOUT_S + 1)
        try:
            door.connect(str(state_dir / SOCKET))
        except (FileNotFoundError, ConnectionRefusedError):
            return None
        except OSError as error:
            raise BoxError(
                f"{state_dir / SOCKET}: {error.strerror or error}", "run this as root or as the callbox user"
            ) from None
        answer = b""
        with suppress(OSError):
            while part := door.recv(65_536):
                answer += part
    if not answer:
        raise BoxError(
            f"the box runs but has not answered for {TIMEOUT_S:.0f} s", "see its log; systemd restarts a hung box"
        )
    status: dict[str, Any] = json.loads(answer)
    return status
