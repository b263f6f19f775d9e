"""The cameras' processes: started, listened to, killed when they hang or grow, and started again.

Each camera is a process of its own (`python -m drivers.camera_worker`) that keeps pictures in memory and writes
evidence; the words between it and this are in docs/evidence.md. The daemon sees no picture. What a camera is told does
not wait for it: a process that does not read is one that hangs.
"""

import json
import logging
import math
import os
import random
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlsplit

from agent import camera_words, threads
from agent.commands import clean
from agent.mail import Message
from agent.media_mail import CameraSaid, CameraStarted, Filed

if TYPE_CHECKING:
    from agent.config import Camera, Config

log = logging.getLogger("callbox")

COMMAND: Final = (sys.executable, "-P", "-m", "drivers.camera_worker")
RING_BYTES_MAX: Final = 33_554_432
"""Of the pictures before: 10 s at 25 Mbit/s."""
RSS_BYTES_MAX: Final = 268_435_456
"""Of a process: its ring, its codecs, and as much again."""
OOM_SCORE_ADJ: Final = "500"
"""Of a process (proc(5), /proc/pid/oom_score_adj, -1000 to 1000): when memory runs out a camera goes first."""
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
END_S: Final = 1.0
"""A process whose input has ended ends within this, or is killed."""
TURN_S: Final = 0.5
LINES_MAX, LINES_S = 1_000, 10.0
"""Lines in so many seconds; more come of no camera."""
REASON_CHARS_MAX: Final = 300
QUALITIES: Final = ("good", "offline", "frozen", "dark", "covered", "drift", "gap", "storage")

Previewed = Callable[[Mapping[str, object]], None]
"""Hears what became of a preview: `{"jpeg": base64, "reason": ""}`, or a reason alone."""


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
        self._pipe = threading.Lock()
        """Held while the input is written or closed: its number may be another file's a moment later."""
        self._secrets: tuple[str, ...] = ()
        self._said = ""
        self._began_s = self._lines_s = 0.0
        self._lines = 0
        self.beat: dict[str, Any] = {}
        """Its last one."""
        self.restarts = 0
        self.progress_s = time.monotonic()
        self._previews: dict[str, Previewed] = {}
        """Those that wait, by the name that the process knows."""
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threads.start(self._run, f"camera-{self.id}")

    def tell(self, wish: camera_words.Wish) -> None:
        """From the loop. What does not get through is told again when the process is a new one."""
        self._send(camera_words.wish(wish))

    def preview(self, ref: str, pixelate: bool, answer: Previewed) -> None:
        """From the loop: how the camera stands; the answer may come from the thread."""
        self._previews[ref] = answer
        if not self._send({"preview": {"ref": ref, "pixelate": pixelate}}):
            self._previewed({"ref": ref, "reason": "its process does not run; see the trouble of this camera"})

    def _send(self, words: dict[str, Any]) -> bool:
        with self._pipe:
            process = self._process
            if process is None or process.stdin is None:
                return False
            try:
                os.write(process.stdin.fileno(), camera_words.line(words))
            except (OSError, ValueError):  # it has ended, or its pipe is full because it hangs
                return False
        return True

    def _previewed(self, words: dict[str, Any]) -> None:
        if answer := self._previews.pop(str(words["ref"]), None):
            answer({"jpeg": str(words.get("jpeg", "")), "reason": self._plain(str(words.get("reason", "")))})

    def end(self) -> None:
        """Asks the process to end: it does within a second, or is killed."""
        self._ending.set()
        process = self._process
        if process is not None:
            self._close_input(process)

    def _close_input(self, process: "subprocess.Popen[bytes]") -> None:
        with self._pipe, suppress(OSError):
            if process.stdin is not None:
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
            self._pause(random.uniform(0, min(BACKOFF_FIRST_S * 2 ** min(failures, 16), BACKOFF_MAX_S)))

    def _pause(self, seconds: float) -> None:
        until_s = time.monotonic() + seconds
        while (left_s := until_s - time.monotonic()) > 0 and not self._ending.wait(min(left_s, 1.0)):
            self.progress_s = time.monotonic()

    def _once(self) -> str:
        """One life of the process; why it ended."""
        try:
            first = camera_words.line(self._who())
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
            with suppress(OSError):  # it would have the daemon's own, which goes last
                Path(f"/proc/{process.pid}/oom_score_adj").write_text(OOM_SCORE_ADJ)
            os.write(process.stdin.fileno(), first)
            os.set_blocking(process.stdin.fileno(), False)
            self._lines, self._process = 0, process
            self._answer(CameraStarted(self.id))
            return self._listen(process)
        except OSError as error:
            return f"its process has gone: {error.strerror}"
        finally:
            self._process = None
            self.beat = {}
            self._bury(process)
            for ref in [*self._previews]:
                self._previewed({"ref": ref, "reason": "its process ended; it is started again"})

    def _bury(self, process: "subprocess.Popen[bytes]") -> None:
        """Ends it: at the end of its input by itself, or by SIGKILL, for a read that blocks hears no other signal."""
        self._close_input(process)
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
        end_s = math.inf
        while True:
            self.progress_s = time.monotonic()
            if select.select([fd], [], [], TURN_S)[0]:
                data = os.read(fd, 65_536)
                if not data:
                    return f"its process ended ({_how(process)})"
                heard_s, timeout_s = time.monotonic(), SILENT_S
                *lines, rest = (rest + data).split(b"\n")
                if len(rest) > LINE_BYTES_MAX:
                    return "its process says too much"
                if self._floods(len(lines)):
                    return "its process says too much"
                for line in lines:
                    if wrong := self._heard(line):
                        return wrong
            if time.monotonic() > heard_s + timeout_s:
                return f"its process said nothing for {timeout_s:.0f} s"
            if self._ending.is_set():
                end_s = min(end_s, time.monotonic() + END_S)
            if time.monotonic() > end_s or (self._ending.is_set() and process.poll() is not None):
                return "the box ends"

    def _floods(self, lines: int) -> bool:
        now_s = time.monotonic()
        if now_s > self._lines_s + LINES_S:
            self._lines, self._lines_s = 0, now_s
        self._lines += lines
        return self._lines > LINES_MAX

    def _heard(self, line: bytes) -> str:
        """One line of the process; why it has to go, "" when it has not."""
        try:
            words: dict[str, Any] = json.loads(line)
            match words:
                case {"beat": {"rss_bytes": int(), "seen_s": int() | float() | None}}:
                    self.beat = words["beat"]
                    return self._overgrown() or self._starved()
                case {"quality": str(quality), **more} if quality in QUALITIES:
                    self._say(quality, str(more.get("reason", "")))
                case {"files": list(files), "through_s": int() | float() as through_s} if math.isfinite(through_s):
                    self._answer(Filed(self.id, tuple(map(camera_words.file, files)), through_s))
                case {"read": dict(read)}:
                    self._answer(camera_words.codes_read(self.id, read, self._plain(str(read["reason"]))))
                case {"preview": dict(preview)}:
                    self._previewed(preview)
                case _:
                    return f"its process said what nobody understands, in {len(line)} bytes"
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
            return f"its process said what nobody understands, in {len(line)} bytes ({type(error).__name__})"
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
        self._answer(CameraSaid(self.id, quality, self._plain(reason)))

    def _plain(self, reason: str) -> str:
        """As others may read it."""
        for secret in self._secrets:
            reason = reason.replace(secret, "***")
        return clean(reason[:REASON_CHARS_MAX])

    def _who(self) -> dict[str, Any]:
        """The first line. Raises OSError, ValueError where the credentials cannot be read."""
        source, file = self._camera.source, self._camera.credentials_file
        if file is not None:
            user, colon, password = file.read_text(encoding="utf-8").strip().partition(":")
            if not colon:
                raise ValueError(f"{file}: USER:PASSWORD is wanted")
            parts, both = urlsplit(source), f"{quote(user, '')}:{quote(password, '')}"
            self._secrets = tuple(filter(None, (f"{user}:{password}", both, password, quote(password, ""))))
            source = parts._replace(netloc=f"{both}@{parts.netloc}").geturl()
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
        self._pixelate, self._previews = config.previews.pixelate, count()
        self._all = {
            camera.id: CameraProcess(camera, folder, config.evidence.recipients, answer) for camera in config.cameras
        }

    def start(self) -> None:
        """Called once the folder of the files is in order."""
        for camera in self._all.values():
            camera.start()

    def tell(self, wish: camera_words.Wish) -> None:
        self._all[wish.camera].tell(wish)

    def preview(self, camera: str, answer: Previewed) -> None:
        """For `callbox preview`: nothing is stored, and nothing is told to central."""
        if camera in self._all:
            self._all[camera].preview(str(next(self._previews)), self._pixelate, answer)
        else:
            answer({"cameras": [*self._all]})

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
        """For `callbox status`: the last beat of each; seen_ago_s: when the last good picture came."""
        now_s, told = time.monotonic(), []
        for camera in self._all.values():
            beat = camera.beat
            seen_s = beat.get("seen_s")
            ago_s = None if seen_s is None else round(max(0.0, now_s - seen_s), 1)
            shown = {"id": camera.id, "quality": camera.quality, "restarts": camera.restarts, "seen_ago_s": ago_s}
            told.append({**shown, **beat})
        return told


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
