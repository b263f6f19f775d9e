"""One picture in a process of its own, which lives as long: what is asked of it, its limits, and the decoding there.

    {"codec", "cpu_s", "memory_bytes", ...} as a line, parameter sets, one key picture -> python -m drivers.NAME
        -> a line of JSON

A picture that crashes a library, keeps it busy for ever or fills the memory costs the answer about that picture alone.
"""

import io
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from drivers.packets import CameraError, Stream

if TYPE_CHECKING:
    from cv2.typing import MatLike as MatLike  # for those who are handed one


@dataclass(frozen=True, slots=True)
class Limits:
    """wait_s: of the clock. cpu_s: of a processor. memory_bytes: of address space, of which libraries ask for much."""

    wait_s: float
    cpu_s: int
    memory_bytes: int


def ask(name: str, limits: Limits, stream: Stream, picture: bytes, **more: Any) -> Any:
    """What `drivers.NAME` answers about a key picture; `more` is asked beside it. Blocks for `limits.wait_s` at most.

    Raises CameraError when there is no answer: it took too long (then it was killed), crashed, or was cut off by one of
    its limits.
    """
    own = {"codec": stream.codec, "cpu_s": limits.cpu_s, "memory_bytes": limits.memory_bytes}
    asked = json.dumps({**own, **more}).encode()
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", f"drivers.{name}"],
            input=asked + b"\n" + stream.parameter_sets + picture,
            capture_output=True,
            check=False,
            timeout=limits.wait_s,
        )
    except subprocess.TimeoutExpired:
        raise CameraError(f"it took longer than {limits.wait_s:g} s") from None
    except OSError as error:
        raise CameraError(f"no process could be started for it: {error.strerror}") from None
    if done.returncode < 0:
        raise CameraError(f"its process crashed, or was ended by its limits (signal {-done.returncode})")
    try:
        return json.loads(done.stdout)
    except ValueError:
        raise CameraError(f"its process failed, perhaps for want of memory (exit {done.returncode})") from None


def serve(answer: Callable[[dict[str, Any], bytes], Any]) -> None:
    """The whole life of such a process. It limits itself before it looks at the picture: so no thread of a parent has
    to fork with the interpreter's locks held."""
    asked = json.loads(sys.stdin.buffer.readline())
    for kind, most in (
        (resource.RLIMIT_CPU, asked["cpu_s"]),
        (resource.RLIMIT_AS, asked["memory_bytes"]),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (most, most))
    os.environ |= {"OPENCV_LOG_LEVEL": "SILENT", "OPENCV_FFMPEG_LOGLEVEL": "-8", "OPENBLAS_NUM_THREADS": "1"}
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no answer
    out.write(json.dumps(answer(asked, sys.stdin.buffer.read())).encode() + b"\n")
    out.close()


def decode(codec: str, data: bytes, *, small: bool = False) -> "MatLike | None":
    """The picture, decoded in this process, in BGR; None where it cannot be.

    small: in grey, and of a JPEG a quarter of it each way, which is enough to tell light and shade.
    """
    import cv2
    import numpy as np

    cv2.setNumThreads(1)
    try:
        if codec == "mjpeg":
            how = cv2.IMREAD_REDUCED_GRAYSCALE_4 if small else cv2.IMREAD_COLOR
            return cv2.imdecode(np.frombuffer(data, np.uint8), how)
        file: Any = io.BytesIO(data)  # OpenCV's types know no file of Python's, OpenCV does
        capture = cv2.VideoCapture(file, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
        got, picture = capture.read()
        return None if not got else cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY) if small else picture
    except cv2.error:
        return None
