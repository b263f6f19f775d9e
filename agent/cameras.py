"""The cameras' processes: started, listened to, killed when they hang or grow, and started again.

Each camera is a process of its own (`python -m drivers.camera_worker`) that keeps pictures in memory and writes
evidence; the words between it and this are in docs/evidence.md. The daemon sees no picture. What a camera is told does
not wait for it: a process that does not read is one that hangs.
"""

import json
import logging
import os
import random
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlsplit

from agent import threads
from agent.mail import Message
from agent.media_mail import CameraFile, CameraSaid, CameraStarted, Filed, Record, TakePicture

if TYPE_CHECKING:
    from agent.config import Camera, Config

log = logging.getLogger("callbox")

COMMAND: Final = (sys.executable, "-m", "drivers.camera_worker")
RING_BYTES_MAX: Final = 33_554_432
"""Of the pictures before: 10 s at 25 Mbit/s."""
RSS_BYTES_MAX: Final = 268_435_456
"""Of a process: its ring, its codecs, and as much again."""
LOOK_S: Final = 60.0
SILENT_S: Final = 5.0
"""A process that says nothing for so long hangs; it beats once a second."""
START_S: Final = 20.0
"""The same until it has said something: to import a codec takes seconds on a slow card."""
STARVED_S: Final = 15.0
"""No picture for so long, of a camera that had brought some: its own reopening has not helped."""
HOPELESS_S: Final = 300.0
"""No picture for so long of one that says itself that it is not there: perhaps its process is what is wrong."""
LINE_BYTES_MAX: Final = 1_048_576
BACKOFF_FIRST_S, BACKOFF_MAX_S = 1.0, 60.0
STABLE_S: Final = 60.0
END_S: Final = 2.0


class CameraProcess:
    """One camera and the thread that listens to its process."""

    def __init__(
        self, camera: "Camera", folder: Path, recipients: tuple[str, ...], answer: Callable[[Message], None]
    ) -> None:
        """folder: of the files. answer: called in the thread; never blocks."""
        self.id = camera.id
        self._camera, self._folder, self._recipients, self._answer = camera, folder, recipients, answer
        self._ending = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._said = ""
        self._began_s = 0.0
        self.beat: dict[str, Any] = {}
        """Its last one."""
        self.restarts = 0
        self.progress_s = time.monotonic()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threads.start(self._run, f"camera-{self.id}")

    def tell(self, wish: Record | TakePicture) -> None:
        """From the loop. What does not get through is told again when the process is a new one."""
        word = {"picture": wish.at_s} if isinstance(wish, TakePicture) else {"record": [wish.from_s, wish.until_s]}
        process = self._process
        if process is not None and process.stdin is not None:
            with suppress(OSError, ValueError):  # it has ended, or its pipe is full because it hangs
                os.write(process.stdin.fileno(), _line(word))

    def end(self) -> None:
        """Asks the process to end; it does within a second."""
        self._ending.set()
        process = self._process
        if process is not None and process.stdin is not None:
            with suppress(OSError):
                process.stdin.close()

    def join(self, timeout_s: float) -> None:
        if self._thread is not None:
            self._thread.join(timeout_s)

    @property
    def quality(self) -> str:
        """As it was last told."""
        return self._said or "offline"

    # ---- the thread

    def _run(self) -> None:
        failures = 0
        while not self._ending.is_set():
            self._began_s = time.monotonic()
            reason = self._once()
            if self._ending.is_set():
                return
            self.restarts += 1
            self._say("offline", f"{reason}; its process is started again")
            failures = 0 if time.monotonic() > self._began_s + STABLE_S else failures + 1
            self._pause(random.uniform(0, min(BACKOFF_FIRST_S * 2**failures, BACKOFF_MAX_S)))

    def _pause(self, seconds: float) -> None:
        until_s = time.monotonic() + seconds
        while (left_s := until_s - time.monotonic()) > 0 and not self._ending.wait(min(left_s, 1.0)):
            self.progress_s = time.monotonic()

    def _once(self) -> str:
        """One life of the process; why it ended."""
        try:
            first = _line(self._who())
            process = subprocess.Popen(
                COMMAND,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # codecs write addresses there, with the credentials in them
                env=_environment(),
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            return f"it cannot be started: {error}"
        try:
            assert process.stdin is not None  # noqa: S101  both are pipes
            os.write(process.stdin.fileno(), first)
            os.set_blocking(process.stdin.fileno(), False)
            self._process = process
            self._answer(CameraStarted(self.id))
            return self._listen(process)
        except OSError as error:
            return f"its process has gone: {error.strerror}"
        finally:
            self._process = None
            self.beat = {}
            self._bury(process)

    def _bury(self, process: "subprocess.Popen[bytes]") -> None:
        """Ends it: at the end of its input by itself, or by SIGKILL, for a read that blocks hears no other signal."""
        if process.stdin is not None:
            with suppress(OSError):
                process.stdin.close()
        if self._ending.is_set():
            with suppress(subprocess.TimeoutExpired):
                process.wait(END_S)
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()

    def _listen(self, process: "subprocess.Popen[bytes]") -> str:
        assert process.stdout is not None  # noqa: S101  it is a pipe
        fd, rest, heard_s, timeout_s = process.stdout.fileno(), b"", time.monotonic(), START_S
        while True:
            self.progress_s = time.monotonic()
            if select.select([fd], [], [], 1.0)[0]:
                data = os.read(fd, 65_536)
                if not data:
                    return f"its process ended ({_how(process)})"
                heard_s, timeout_s = time.monotonic(), SILENT_S
                *lines, rest = (rest + data).split(b"\n")
                if len(rest) > LINE_BYTES_MAX:
                    return "its process says too much"
                for line in lines:
                    if wrong := self._heard(line):
                        return wrong
            if time.monotonic() > heard_s + timeout_s:
                return f"its process said nothing for {timeout_s:.0f} s"
            if self._ending.is_set() and process.poll() is not None:
                return "the box ends"

    def _heard(self, line: bytes) -> str:
        """One line of the process; why it has to go, "" when it has not."""
        try:
            words: dict[str, Any] = json.loads(line)
            match words:
                case {"beat": {"rss_bytes": int(), "seen_s": int() | float() | None}}:
                    self.beat = words["beat"]
                    return self._overgrown() or self._starved()
                case {"quality": str(quality), **more}:
                    self._say(quality, str(more.get("reason", "")))
                case {"files": list(files), "through_s": int() | float() as through_s}:
                    self._answer(Filed(self.id, tuple(map(_file, files)), through_s))
                case _:
                    return f"its process said what nobody understands: {line[:80]!r}"
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            return f"its process said what nobody understands: {line[:80]!r} ({error})"
        return ""

    def _overgrown(self) -> str:
        rss = self.beat["rss_bytes"]
        allowed = f"{RSS_BYTES_MAX // 1_000_000} MB are allowed"
        return f"its process has grown to {rss // 1_000_000} MB; {allowed}" if rss > RSS_BYTES_MAX else ""

    def _starved(self) -> str:
        since_s = self._began_s if self.beat["seen_s"] is None else max(self.beat["seen_s"], self._began_s)
        limit_s = STARVED_S if self._said == "good" else HOPELESS_S
        return f"no picture came for {limit_s:.0f} s" if time.monotonic() > since_s + limit_s else ""

    def _say(self, quality: str, reason: str) -> None:
        self._said = quality
        self._answer(CameraSaid(self.id, quality, reason))

    def _who(self) -> dict[str, Any]:
        """The first line. Raises OSError, ValueError where the credentials cannot be read."""
        source, file = self._camera.source, self._camera.credentials_file
        if file is not None:
            user, colon, password = file.read_text(encoding="utf-8").strip().partition(":")
            if not colon:
                raise ValueError(f"{file}: USER:PASSWORD is wanted")
            parts = urlsplit(source)
            source = parts._replace(netloc=f"{quote(user, '')}:{quote(password, '')}@{parts.netloc}").geturl()
        masks = {"masks": self._camera.masks} if self._camera.masks else {}
        return masks | {
            "camera": self.id,
            "source": source,
            "before_s": self._camera.before_s,
            "ring_bytes_max": RING_BYTES_MAX,
            "media_dir": str(self._folder),
            "recipients": list(self._recipients),
            "look_s": LOOK_S,
        }


class Cameras:
    """All of them."""

    def __init__(self, config: "Config", folder: Path, answer: Callable[[Message], None]) -> None:
        self._all = {
            camera.id: CameraProcess(camera, folder, config.evidence.recipients, answer) for camera in config.cameras
        }

    def start(self) -> None:
        """Called once the folder of the files is in order."""
        for camera in self._all.values():
            camera.start()

    def tell(self, wish: Record | TakePicture) -> None:
        self._all[wish.camera].tell(wish)

    def stop(self, timeout_s: float) -> None:
        for camera in self._all.values():
            camera.end()
        until_s = time.monotonic() + timeout_s
        for camera in self._all.values():
            camera.join(max(0.0, until_s - time.monotonic()))

    def progress(self) -> dict[str, float]:
        """When each thread last moved, for the watchdog."""
        return {f"camera {camera.id}": camera.progress_s for camera in self._all.values() if camera._thread}

    def status(self) -> list[dict[str, Any]]:
        """For `callbox status`."""
        return [
            {"id": camera.id, "quality": camera.quality, "restarts": camera.restarts, **camera.beat}
            for camera in self._all.values()
        ]


def _line(words: object) -> bytes:
    return json.dumps(words).encode() + b"\n"


def _file(told: dict[str, Any]) -> CameraFile:
    """Raises KeyError, TypeError."""
    return CameraFile(
        sha256=told["sha256"],
        plain_sha256=told["plain_sha256"],
        bytes=told["bytes"],
        media_type=told["media_type"],
        from_s=told["from_s"],
        to_s=told["to_s"],
        encrypted=told.get("encrypted") == "age",
        key_frame=bool(told.get("key_frame", False)),
    )


def _how(process: "subprocess.Popen[bytes]") -> str:
    try:
        code = process.wait(END_S)
    except subprocess.TimeoutExpired:
        return "it closed its output"
    return f"signal {-code}" if code < 0 else f"exit {code}"


def _environment() -> dict[str, str]:
    """None of the daemon's own: systemd's sockets and the like are not for a codec."""
    kept = ("PATH", "PYTHONPATH", "LANG", "LC_ALL", "TZ", "PYTHONFAULTHANDLER")
    return {name: os.environ[name] for name in kept if name in os.environ}
