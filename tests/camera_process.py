"""The process of one camera as the daemon has it: words in, words out.

with CameraProcess(source, media_dir) as camera:
    camera.say({"record": [from_s, until_s]})
    camera.files(until_s)          # all that came until its `through_s` said so
"""

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import pytest

DEADLINE_S = 30.0
Words = dict[str, Any]


class CameraProcess:
    """Started when it returns. `said`: every line so far."""

    def __init__(
        self,
        source: str,
        media_dir: Path,
        *,
        before_s: float = 10,
        ring_bytes_max: int = 33_554_432,
        recipients: Sequence[str] = (),
        look_s: float = 60,
        wrapper: Sequence[str] = (),
        **more: Any,
    ) -> None:
        """wrapper: a command that runs another, as `prlimit --fsize=1000`. more: of the first line, as masks."""
        self.said: list[Words] = []
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self.process = subprocess.Popen(
            [*wrapper, sys.executable, "-m", "drivers.camera_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        threading.Thread(target=self._hear, daemon=True).start()
        who = {"camera": "front", "source": source, "before_s": before_s, "ring_bytes_max": ring_bytes_max}
        self.say({**who, "media_dir": str(media_dir), "recipients": [*recipients], "look_s": look_s, **more})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe
            pipe.close()

    def say(self, words: Words) -> None:
        assert self.process.stdin
        self.process.stdin.write(json.dumps(words).encode() + b"\n")
        self.process.stdin.flush()

    def end(self) -> int:
        """Ends its input; the exit code."""
        assert self.process.stdin
        self.process.stdin.close()
        return self.process.wait(DEADLINE_S)

    def until(self, wanted: Callable[[Words], object]) -> Words:
        """The first line from now on of which that is true. AssertionError after DEADLINE_S, or when it has ended."""
        deadline_s = time.monotonic() + DEADLINE_S
        while (left_s := deadline_s - time.monotonic()) > 0:
            try:
                line = self._lines.get(timeout=left_s)
            except queue.Empty:
                break
            assert line, f"the process ended; it said {self.said[-5:]}"
            self.said.append(json.loads(line))
            if wanted(self.said[-1]):
                return self.said[-1]
        raise AssertionError(f"not said within {DEADLINE_S} s; the last: {self.said[-5:]}")

    def quality(self, quality: str) -> str:
        """Waits until it says so; the reason."""
        return str(self.until(lambda words: words.get("quality") == quality)["reason"])

    def beat(self, wanted: Callable[[Words], object]) -> Words:
        found: Words = self.until(lambda words: "beat" in words and wanted(words["beat"]))["beat"]
        return found

    def files(self, until_s: float) -> list[Words]:
        """The files said from now on, until everything up to `until_s` is stored."""
        start = len(self.said)
        self.until(lambda words: words.get("through_s", 0.0) >= until_s)
        return [file for words in self.said[start:] for file in words.get("files", ())]

    def _hear(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put(b"")


def good(camera: CameraProcess, ring_s: float) -> None:
    """Waits until it is, and holds so many seconds."""
    camera.quality("good")
    camera.beat(lambda beat: beat["ring_s"] >= ring_s)


def soaked(*names: str, here: tuple[str, ...]) -> list[Any]:
    """Those `here` in `make test`, the others in `make soak`: each is seconds of a real camera."""
    return [pytest.param(name, marks=[] if name in here else pytest.mark.soak) for name in names]
