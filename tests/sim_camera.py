"""`callbox-sim camera` as a real process, for every test that looks at a camera.

    with SimCamera(codec="hevc", gop=15) as camera:
        source = open_source(camera.url)
        camera.say("freeze")
        number, time_ms = read_frame(picture)    # of a decoded picture: simulators.picture

Its words are those of simulators/camera.py; a number that is missing is a picture that did not come.
"""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import cv2
from cv2.typing import MatLike

DEADLINE_S = 20.0
QUIET_S = 0.4  # how long "nothing comes" is watched; six pictures


class SimCamera:
    """Started when it returns; `url` is for whoever looks. Arguments are the command's options: `sdp_only=True`,
    `fps=10`, `size="1280x720"`, `user="eye:secret"`. Raises AssertionError that tells what the process said."""

    def __init__(self, **options: str | int) -> None:
        words = [
            word
            for key, value in options.items()
            for word in (f"--{key.replace('_', '-')}", *([] if value is True else [str(value)]))
        ]
        self.process = subprocess.Popen(
            [sys.executable, "-c", "import sys; from simulators.cli import main; sys.exit(main())", "camera", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.url = self._hear()
        user = f"{options['user']}@" if "user" in options else ""
        self.login_url = self.url.replace("://", f"://{user}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def say(self, line: str) -> dict[str, Any]:
        """One word (or `reboot 1 size=320x240`), done when this returns; the camera's state after it."""
        assert self.process.stdin
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        state: dict[str, Any] = json.loads(self._hear())
        assert "error" not in state, state["error"]
        return state

    def stop(self) -> int:
        """Ends it; the exit code. A second call does nothing."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(DEADLINE_S)
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe
            pipe.close()
        return code

    def _hear(self) -> str:
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line, f"callbox-sim camera has ended with {self.process.wait(DEADLINE_S)}"
        return line.rstrip("\n")


def opened(url: str, *more: int, read_timeout_ms: int = 10_000) -> cv2.VideoCapture:
    """A capture by FFmpeg; more: properties and their values, one after the other."""
    # FFmpeg would look at an RTSP stream for two seconds first; cv2 reads this once in a process
    os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", "rtsp_transport;tcp|analyzeduration;200000")
    timeouts = cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, 10_000, cv2.CAP_PROP_READ_TIMEOUT_MSEC, read_timeout_ms
    capture = cv2.VideoCapture(url, cv2.CAP_FFMPEG, [*timeouts, *more])
    assert capture.isOpened(), url
    return capture


def pictures(source: str | Path) -> Iterator[MatLike]:
    """Decoded pictures of an address or file, BGR, as cv2 has them, until nothing comes any more."""
    capture = opened(str(source))
    try:
        while True:
            good, picture = capture.read()
            if not good:
                return
            yield picture
    finally:
        capture.release()


def drain(connection: socket.socket, quiet_s: float) -> None:
    """Reads until nothing has come for a while. Raises AssertionError when the connection ends."""
    connection.settimeout(quiet_s)
    try:
        while connection.recv(65536):
            pass
    except TimeoutError:
        return
    finally:
        connection.settimeout(DEADLINE_S)
    raise AssertionError("the connection has ended")
