"""A camera whose pictures say which they are, over HTTP (MJPEG) or RTSP, with every fault that cameras have.

A sensor thread takes a picture at each tick of `fps`. Its number is that of the tick, counted from the start, so that a
number that is missing is a picture that did not come; its time is that of the tick too, however late the machine is.

    sensor -> picture -> JPEG -> web server ------------\
                      -> frame -> RTSP server (child) ---> link (simulators.wan) -> whoever looks

One word a line (COMMANDS). One fault at a time, and the next one ends it:

    freeze        the same picture goes on, with the times of new ones
    dark          nobody can see anything; covered: the same, in the grey of a hand
    stall         nothing comes any more, and nobody is told
    drip          a byte a second comes
    garbage       random bytes where a picture should be; truncated: the first half of each picture
    html          connections are cut, and a web page answers whoever comes
    vanish        connections are cut by RST, and new ones refused
    back          all is well again, the link too

and what stays until it is changed again:

    size WxH      pictures of another size from the next one on, on the connections that stand
    step S        the camera's clock jumps by S seconds, forward or back
    reboot S [KEY=VALUE ...]   connections are cut and refused for S seconds; then its times begin anew at 0, with what
                  is told otherwise: size=WxH fps=N gop=N bframes=N, and over RTSP codec=h264|hevc|mjpeg
    bframes N     the same as: reboot 0 bframes=N
    link WORDS    what `callbox-sim wan` takes: link stall, link half-open, link rate 500, link jitter 300

`wait S` does nothing for S seconds, so that a file of words is a script; `state` does nothing at all.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import IO, Any, Literal, Self, cast, get_args

import cv2

from agent.text import t
from simulators.mjpeg_server import Auth, MjpegServer
from simulators.picture import draw
from simulators.process import until_stopped
from simulators.wan import Wan

COMMANDS = (
    "freeze, dark, covered, stall, drip, garbage, truncated, html, vanish, back, size WxH, step S, bframes N, "
    "reboot S [KEY=VALUE ...], link WORDS, wait S, state"
)
SYSTEM_PYTHON = "/usr/bin/python3"  # it has Debian's GStreamer, which a virtual environment has not
DRIP_KBPS = 0.008  # a byte a second
JPEG_QUALITY = 80
RTP_JPEG_PIXELS_MAX = 2040  # RFC 2435: a byte for the eighth of it

Codec = Literal["h264", "hevc", "mjpeg"]
Fault = Literal[
    "freeze", "dark", "covered", "stall", "drip", "garbage", "truncated", "html", "vanish", "reboot", "dead"
]


@dataclass(frozen=True)
class Settings:
    """What the camera sends. Raises ValueError that says what is allowed.

    rtsp: over RTSP, as H.264 and HEVC always are; else MJPEG over HTTP. gop: pictures from key picture to key picture.
    bframes: B-pictures in a row. sdp_only: parameter sets stand in the SDP and never in the stream.
    noise: of the sensor, as in simulators/picture.py.
    """

    codec: Codec = "mjpeg"
    rtsp: bool = False
    width: int = 640
    height: int = 360
    fps: int = 15
    gop: int = 30
    bframes: int = 0
    sdp_only: bool = False
    noise: int = 0

    def __post_init__(self) -> None:
        pixels_max = RTP_JPEG_PIXELS_MAX if self.rtsp and self.codec == "mjpeg" else 3840
        for value in (self.width, self.height):
            if value % 8 or not 64 <= value <= pixels_max:
                raise _bad("size", f"{self.width}x{self.height}", f"WxH, 8 * n, 64-{pixels_max}")
        if self.codec not in get_args(Codec) or (self.codec != "mjpeg" and not self.rtsp):
            raise _bad("codec", self.codec, ", ".join(get_args(Codec)) if self.rtsp else "mjpeg")
        for key, least, most in (("fps", 1, 60), ("gop", 1, 600), ("bframes", 0, 3), ("noise", 0, 32)):
            if not least <= getattr(self, key) <= most:
                raise _bad(key, str(getattr(self, key)), f"{least}-{most}")

    def changed(self, words: list[str]) -> "Settings":
        """With the KEY=VALUE of each word instead. Raises ValueError."""
        changes: dict[str, Any] = {}
        for word in words:
            key, _, value = word.partition("=")
            if key == "size":
                changes["width"], changes["height"] = size(value)
            elif key == "codec":
                changes[key] = value
            elif key in ("fps", "gop", "bframes") and value.isascii() and value.isdigit():
                changes[key] = int(value)
            else:
                raise _bad("reboot", word, "size=WxH fps=N gop=N bframes=N codec=NAME")
        return replace(self, **changes)


def size(text: str) -> tuple[int, int]:
    """Width and height of "640x360". Raises ValueError."""
    width, _, height = text.partition("x")
    if not all(part.isascii() and part.isdigit() for part in (width, height)):
        raise _bad("size", text, "WxH")
    return int(width), int(height)


def _bad(key: str, found: str, allowed: str) -> ValueError:
    return ValueError(t("sim.camera.value", key=key, found=found, allowed=allowed))


class _Rtsp:
    """The RTSP server, a process of the system's Python that ends with ours. Raises OSError when it does not start."""

    def __init__(self, settings: Settings, credentials: tuple[str, str] | None, auth: Auth) -> None:
        script = Path(__file__).with_name("rtsp_server.py")
        self._process = subprocess.Popen(
            [SYSTEM_PYTHON, "-I", str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        self._frames, self._said = cast(IO[bytes], self._process.stdin), cast(IO[bytes], self._process.stdout)
        told = {
            key: getattr(settings, key) for key in ("codec", "width", "height", "fps", "gop", "bframes", "sdp_only")
        }
        with suppress(BrokenPipeError):  # what went wrong it has said itself
            self._frames.write(json.dumps({**told, "credentials": credentials, "auth": auth}).encode() + b"\n")
            self._frames.flush()
        port = self._said.readline()
        if not port:
            self.close()
            raise OSError(t("sim.camera.gstreamer"))
        self.port = int(port)

    def send(self, frame: bytes, **head: object) -> None:
        """One frame, I420 or JPEG. Raises OSError when the process is gone."""
        self._frames.write(json.dumps({"bytes": len(frame), **head}).encode() + b"\n")
        self._frames.write(frame)
        self._frames.flush()

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._said.close()
        with suppress(BrokenPipeError):
            self._frames.close()


class Camera:
    """The camera, running; `command` may be called from any thread, by one at a time.

    port: on 127.0.0.1, 0 for a free one (`url` tells). credentials: (name, password) for whoever looks.
    Raises OSError when the port is taken or there is no RTSP server.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        port: int = 0,
        credentials: tuple[str, str] | None = None,
        auth: Auth = "digest",
    ) -> None:
        self.settings = settings or Settings()
        self.fault: Fault | None = None
        self.number, self.taken_s, self.step_s = 0, monotonic(), 0.0
        self._credentials, self._auth = credentials, auth
        self._lock = threading.Lock()  # around what the sensor reads
        self._stopped = threading.Event()
        self._last = b""
        self._rtsp: _Rtsp | None = None
        self._web = MjpegServer(credentials, auth)
        self._wan = Wan(port, ("127.0.0.1", self._web.port))
        self._sensor = threading.Thread(target=self._watch, name="sensor", daemon=True)
        self._boot()
        self._wan.start()
        self._sensor.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        """Without credentials."""
        if self.settings.rtsp:
            return f"rtsp://127.0.0.1:{self._wan.port}/stream"
        return f"http://127.0.0.1:{self._wan.port}/stream.mjpg"

    def close(self) -> None:
        self._stopped.set()
        self._sensor.join()
        self._wan.stop()
        self._web.close()
        if self._rtsp:
            self._rtsp.close()

    def state(self) -> dict[str, Any]:
        """{"url", "fault", "codec", "size", "fps", "gop", "bframes", "number", "time_ms", "step_s"}; the last picture's
        number and its time, in monotonic milliseconds."""
        now = self.settings
        return {
            "url": self.url,
            "fault": self.fault,
            "codec": now.codec,
            "size": f"{now.width}x{now.height}",
            "fps": now.fps,
            "gop": now.gop,
            "bframes": now.bframes,
            "number": self.number,
            "time_ms": int(self.taken_s * 1000),
            "step_s": self.step_s,
        }

    def command(self, line: str) -> dict[str, Any]:
        """Does one line (COMMANDS), and returns when it is done; the state after it, or {"error": ...}."""
        try:
            match line.split():
                case ["freeze" | "dark" | "covered" | "garbage" | "truncated" as fault]:
                    self._turn(fault)
                case ["stall" | "drip" | "html" | "vanish" as fault]:
                    self._turn(fault)
                case ["back"]:
                    self._turn(None)
                    self._wan.delay_ms = self._wan.jitter_ms = 0.0
                    self._wan.set_rate(None)
                    self._wan.restore()
                case ["size", text]:
                    width, height = size(text)
                    self._change(replace(self.settings, width=width, height=height))
                case ["step", seconds]:
                    self.step_s += float(seconds)
                case ["bframes", number]:
                    self._reboot(0, self.settings.changed([f"bframes={number}"]))
                case ["reboot", seconds, *words]:
                    self._reboot(float(seconds), self.settings.changed(words))
                case ["link", *words]:
                    answer = self._wan.command(" ".join(words))
                    return answer if "error" in answer else self.state()
                case ["wait", seconds]:
                    self._stopped.wait(float(seconds))
                case ["state"]:
                    pass
                case _:
                    return {"error": t("sim.camera.unknown", found=line.strip(), allowed=COMMANDS)}
        except (ValueError, OSError) as error:
            return {"error": str(error)}
        return self.state()

    def _turn(self, fault: Fault | None) -> None:
        """From this fault, or from none, to that one, or to none."""
        was, self.fault = self.fault, fault
        self._web.html = self.settings.rtsp or fault == "html"
        rtsp = self._rtsp if fault != "html" else None
        self._wan.target = ("127.0.0.1", rtsp.port if rtsp else self._web.port)
        if "drip" in (was, fault):
            self._wan.down.rate_kbps = DRIP_KBPS if fault == "drip" else None
        if {"html", "vanish", "reboot"} & {was, fault}:
            self._wan.cut()
            if fault not in ("vanish", "reboot"):
                self._wan.restore()

    def _change(self, settings: Settings) -> None:
        with self._lock:
            self.settings, self._last = settings, b""

    def _reboot(self, pause_s: float, settings: Settings) -> None:
        self._turn("reboot")
        self._stopped.wait(pause_s)
        self._change(settings)
        self._boot()

    def _boot(self) -> None:
        """Its times begin at 0 with the next picture. Raises OSError when there is no RTSP server."""
        with self._lock:
            if self._rtsp:
                self._rtsp.close()
            self._rtsp = _Rtsp(self.settings, self._credentials, self._auth) if self.settings.rtsp else None
            self.booted_s, self.step_s = monotonic(), 0.0
        self._turn(None)

    def _watch(self) -> None:
        """The sensor: never skips a tick; a late one is made up for at once."""
        while not self._stopped.wait(max(0.0, self.taken_s + 1 / self.settings.fps - monotonic())):
            with self._lock:
                self.number += 1
                self.taken_s += 1 / self.settings.fps
                if self.fault not in ("stall", "reboot", "vanish", "dead") and self.taken_s >= self.booted_s:
                    self._take()

    def _take(self) -> None:
        now, fault, pts_s = self.settings, self.fault, self.taken_s - self.booted_s
        if fault != "freeze" or not self._last:
            scene = fault if fault in ("dark", "covered") else "street"
            picture = draw(self.number, int(self.taken_s * 1000), now.width, now.height, scene, now.noise)
            if now.codec == "mjpeg":
                self._last = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()
            else:
                self._last = cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_I420).tobytes()
        if self._rtsp:
            head = {"pts_s": pts_s, "step_s": self.step_s, "width": now.width, "height": now.height, "spoil": fault}
            try:
                self._rtsp.send(self._last, **head)
            except OSError:
                self.fault = "dead"
                print(t("sim.camera.dead"), file=sys.stderr, flush=True)
            return
        spoilt = {"garbage": os.urandom(len(self._last)), "truncated": self._last[: len(self._last) // 2]}
        self._web.publish(spoilt.get(fault or "", self._last), pts_s + self.step_s)


def add_command(commands: Any) -> None:
    """Registers `callbox-sim camera`."""
    about = t("sim.camera.about", commands=COMMANDS)
    parser = commands.add_parser("camera", help=t("sim.help.camera"), description=about)
    parser.add_argument("--port", type=int, default=0, metavar="PORT", help=t("sim.camera.port"))
    parser.add_argument("--codec", default="mjpeg", choices=get_args(Codec), help=t("sim.camera.codec"))
    parser.add_argument("--rtsp", action="store_true", help=t("sim.camera.rtsp"))
    parser.add_argument("--size", default="640x360", metavar="WxH", help=t("sim.camera.size"))
    parser.add_argument("--fps", type=int, default=15, metavar="N", help=t("sim.camera.fps"))
    parser.add_argument("--gop", type=int, default=30, metavar="N", help=t("sim.camera.gop"))
    parser.add_argument("--bframes", type=int, default=0, metavar="N", help=t("sim.camera.bframes"))
    parser.add_argument("--sdp-only", action="store_true", help=t("sim.camera.sdp_only"))
    parser.add_argument("--noise", type=int, default=0, metavar="LEVELS", help=t("sim.camera.noise"))
    parser.add_argument("--user", metavar="NAME:PASSWORD", help=t("sim.camera.user"))
    parser.add_argument("--auth", default="digest", choices=get_args(Auth), help=t("sim.camera.auth"))
    parser.set_defaults(func=_run)


def _run(args: argparse.Namespace) -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        width, height = size(args.size)
        rtsp = args.rtsp or args.codec != "mjpeg"
        rates = (args.fps, args.gop, args.bframes, args.sdp_only, args.noise)
        settings = Settings(args.codec, rtsp, width, height, *rates)
        name, colon, password = (args.user or "").partition(":")
        if args.user and not colon:
            raise _bad("--user", args.user, "NAME:PASSWORD")
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    try:
        camera = Camera(settings, port=args.port, credentials=(name, password) if args.user else None, auth=args.auth)
    except OSError as error:
        print(t("sim.camera.failed", found=error), file=sys.stderr)
        return 1
    with camera:
        print(camera.url, flush=True)
        for line in sys.stdin:
            print(json.dumps(camera.command(line), ensure_ascii=False), flush=True)
        until_stopped()  # the input has ended, the camera has not
    return 0
