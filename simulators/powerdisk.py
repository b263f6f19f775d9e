"""A disk whose power can be cut: a mounted `simulators.powerfs`, and the switch for it."""

import json
import select
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, Final, Literal, Self

WAIT_S: Final = 20.0
LOOK_S: Final = 0.005

Fate = Literal["kept", "lost", "torn"]
"""What became of the bytes of a file that was not synced."""


class PowerError(Exception):
    """The file system did not do what it was told; with its last words."""


def unmount(mountpoint: Path | str, *, lazily: bool = False) -> None:
    """lazily: whoever still has files open there is not asked. Raises PowerError."""
    options = ["-u", "-z"] if lazily else ["-u"]
    done = subprocess.run(
        ["fusermount3", *options, str(mountpoint)], capture_output=True, text=True, check=False, timeout=WAIT_S
    )
    if done.returncode:
        raise PowerError(done.stderr.strip())


class PowerDisk:
    """A disk in `image`, and nowhere until `mount`; both are folders that are made where they are missing.

    Methods raise PowerError. lies: answers fsync and keeps nothing of what was written since the mount.
    """

    def __init__(self, image: Path, mountpoint: Path, *, lies: bool = False) -> None:
        self.image, self.mountpoint, self._lies = image, mountpoint.absolute(), lies
        self._process: subprocess.Popen[str] | None = None
        self._freezing = threading.Lock()
        self._frozen = False
        for folder in (image, mountpoint):
            folder.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Whoever still has files open there is not asked."""
        if self._process is not None:
            self._process.kill()
            self._gone()

    def mount(self) -> None:
        """The power is on: what `image` has is there when it returns."""
        argv = [sys.executable, "-P", "-m", "simulators.powerfs", str(self.image), str(self.mountpoint)]
        self._process = subprocess.Popen(
            [*argv, "--lies"] if self._lies else argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C in the terminal is for us, who then end it in order
        )
        self._frozen = False
        self._expect("mounted")

    def freeze(self) -> None:
        """Nothing more reaches the disk from when it returns, and who asks for that is not answered. From any thread.

        Does nothing while it is frozen.
        """
        with self._freezing:
            if not self._frozen:
                self._say("freeze")
                self._expect("frozen")
                self._frozen = True

    def freeze_at(self, changes: int) -> None:
        """Freezes before the n-th change from now: a write, another name, an fsync."""
        self._say(f"freeze-at {changes}")

    def frozen(self, timeout_s: float = 0.0) -> bool:
        """Whether it has frozen by itself; waits for it."""
        _, _, stdout = self._pipes()
        return bool(select.select([stdout], [], [], timeout_s)[0])

    def cut(self, seed: int) -> dict[str, Fate]:
        """The power fails; what became of each file that was not synced. It is unmounted when it returns.

        Who still runs on it should be killed after `freeze`, else it sees an error before it dies.
        """
        self.freeze()
        self._say(f"cut {seed}")
        if not (heard := self._heard()):
            raise PowerError(f"{self.mountpoint}: the file system is gone")
        fates: dict[str, Fate] = json.loads(heard)
        self._gone()
        return fates

    def unmount(self) -> None:
        """Clean: everything is kept. Raises PowerError while somebody uses it."""
        unmount(self.mountpoint)
        code = self._end()
        if code:
            raise PowerError(f"the file system ended with {code}")

    def _pipes(self) -> tuple[subprocess.Popen[str], IO[str], IO[str]]:
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise PowerError(f"{self.mountpoint} is not mounted")
        return process, process.stdin, process.stdout

    def _say(self, line: str) -> None:
        _, stdin, _ = self._pipes()
        stdin.write(f"{line}\n")
        stdin.flush()

    def _heard(self) -> str:
        _, _, stdout = self._pipes()
        return stdout.readline().strip()

    def _expect(self, line: str) -> None:
        if (heard := self._heard()) != line:
            raise PowerError(f"{self.mountpoint}: {heard or 'the file system is gone'}, not {line}")

    def _gone(self) -> None:
        """Its process has ended, or will at once; the dead mount goes as well."""
        self._end()
        unmount(self.mountpoint, lazily=True)

    def _end(self) -> int:
        process, stdin, stdout = self._pipes()
        code = process.wait(WAIT_S)
        stdin.close()
        stdout.close()
        self._process = None
        return code
