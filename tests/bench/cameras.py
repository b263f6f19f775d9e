"""What a camera costs: processor and memory a stream, beside `motion` and beside decode-and-encode, on the same streams
in one run; and what twelve of them cost an alarm.

Each looks at the simulated camera for SECONDS, after it has filled its ring. Processor time is that of the process and
of its children that have ended (proc(5): utime, stime, cutime, cstime).
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sim_camera import SimCamera

from agent.cameras import COMMAND
from bench.figures import Row, bounded, digits, rows_of
from bench.presses import Taken, at_rest

SIZE, FPS, NOISE = "1920x1080", 15, 8
"""With that noise a second is about as many bytes as of a real camera."""
BEFORE_S: Final = 10
SETTLE_S: Final = float(os.environ.get("CALLBOX_CAMERA_SETTLE_S", "15"))
SECONDS: Final = float(os.environ.get("CALLBOX_CAMERA_S", "30"))
MOTION_MIN: Final = 10.0
STREAMS: Final = 12
P99_MAX: Final = 1.2
CODECS: Final = {"mjpeg over HTTP": {"codec": "mjpeg"}, "H.264 over RTSP": {"codec": "h264"}}

DECODER: Final = f"""\
import collections, sys, cv2
capture, ring = cv2.VideoCapture(sys.argv[1], cv2.CAP_FFMPEG), collections.deque(maxlen={BEFORE_S * FPS})
while capture.isOpened():
    good, picture = capture.read()
    if good:
        ring.append(cv2.imencode(".jpg", picture)[1].tobytes())
"""
"""What most programs with a camera do: decode each picture, and keep it as a JPEG."""

MOTION: Final = f"""\
daemon off
setup_mode off
log_level 3
netcam_url {{url}}
netcam_rate {FPS}
width 1920
height 1080
framerate {FPS}
pre_capture {BEFORE_S // 2 * FPS}
movie_output on
picture_output off
webcontrol_port 0
stream_port 0
target_dir {{directory}}
threshold 1000000000
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one program at one stream: processor milliseconds a second, and resident memory in MB of 1,000,000 bytes."""

    cpu_ms: float
    memory_mb: float


def measure(process: "subprocess.Popen[bytes]") -> Cost:
    """After SETTLE_S, over SECONDS."""
    pause = threading.Event()
    pause.wait(SETTLE_S)
    before_s = _cpu_s(process.pid)
    pause.wait(SECONDS)
    assert process.poll() is None, f"{process.args!r} has ended with {process.returncode}"
    return Cost((_cpu_s(process.pid) - before_s) / SECONDS * 1000, _memory_mb(process.pid))


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def _memory_mb(pid: int) -> float:
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1]) * 1024 / 1e6


@contextmanager
def ours(url: str, directory: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """The camera process as the daemon starts it, told who it is; nobody reads what it says."""
    (directory / "media").mkdir(exist_ok=True)
    who = {
        "camera": "front",
        "source": url,
        "before_s": BEFORE_S,
        "ring_bytes_max": 2**27,
        "media_dir": str(directory / "media"),
        "recipients": [],
        "look_s": 60.0,
    }
    process = subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert process.stdin
    process.stdin.write(json.dumps(who).encode() + b"\n")
    process.stdin.flush()
    yield from _ended(process)


@contextmanager
def decoder(url: str, _: Path) -> Iterator["subprocess.Popen[bytes]"]:
    yield from _ended(subprocess.Popen([sys.executable, "-c", DECODER, url], stderr=subprocess.DEVNULL))


@contextmanager
def motion(url: str, directory: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Debian's motion, at rest, with five seconds of pictures kept from before."""
    file = directory / "motion.conf"
    file.write_text(MOTION.format(url=url, directory=directory))
    yield from _ended(
        subprocess.Popen(["motion", "-n", "-c", file], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    )


def _ended(process: "subprocess.Popen[bytes]") -> Iterator["subprocess.Popen[bytes]"]:
    try:
        yield process
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


PROGRAMS: Final = {"callbox": ours, "motion": motion, "decode and encode": decoder}


def costs() -> dict[str, dict[str, Cost]]:
    """By codec and by program, one after the other at the same camera."""
    found: dict[str, dict[str, Cost]] = {}
    for name, options in CODECS.items():
        with (
            SimCamera(size=SIZE, fps=FPS, gop=FPS, noise=NOISE, **options) as camera,
            tempfile.TemporaryDirectory() as directory,
        ):
            found[name] = {}
            for program, start in PROGRAMS.items():
                with start(camera.url, Path(directory)) as process:
                    found[name][program] = measure(process)
    return found


def beside_twelve(presses: int = 150) -> tuple[Taken, Taken]:
    """Presses of a box without cameras, and of one with STREAMS of them, all at the same simulated camera."""
    with ExitStack() as stack:
        camera = stack.enter_context(SimCamera(codec="h264", size="1280x720", fps=FPS, gop=FPS))
        cameras = [{"id": f"camera-{n}", "source": camera.url, "before_s": BEFORE_S} for n in range(STREAMS)]
        return at_rest(presses=presses), at_rest(presses=presses, settle_s=SETTLE_S, cameras=cameras)


def rows() -> list[Row]:
    told = []
    for codec, found in costs().items():
        mine = found["callbox"]
        for peer in ("motion", "decode and encode"):
            ratio = found[peer].cpu_ms / mine.cpu_ms
            limit = bounded(ratio, "at least", MOTION_MIN) if peer == "motion" else ("", None)
            told.append(
                Row(
                    f"processor a second, {codec}",
                    f"{digits(mine.cpu_ms)} ms",
                    f"{peer}: {digits(found[peer].cpu_ms)} ms",
                    ratio,
                    *limit,
                )
            )
        memory = ", ".join(f"{peer}: {digits(found[peer].memory_mb)} MB" for peer in found if peer != "callbox")
        told.append(Row(f"memory a camera, {codec}", f"{digits(mine.memory_mb)} MB", memory))
    none, twelve = beside_twelve()
    told += rows_of(f"alarm beside {STREAMS} cameras", twelve.lamp_s, "none", none.lamp_s, P99_MAX, P99_MAX)
    return told
