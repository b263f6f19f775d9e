"""The RTSP server of `callbox-sim camera`: a script of its own for the system's Python, which has GStreamer.

On stdin: a line of JSON {"codec", "width", "height", "fps", "gop", "bframes", "sdp_only", "credentials", "auth"}; then
frame after frame, each a line of JSON {"bytes", "pts_s", "step_s", "width", "height", "spoil"} and as many bytes: I420,
or a JPEG for mjpeg. On stdout: the port, on 127.0.0.1, once it listens. It ends when the input does.

All clients share one encoder, which begins with a key picture when the first one comes, and ends with the last one; so
a second client begins in the middle of a GOP. Only RTP within the RTSP connection (TCP) is offered, so that whoever
holds up the connection holds up the pictures.
"""

import json
import os
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any, BinaryIO

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402 - after the versions

AHEAD_FRAMES = 90  # that a stuck client may be behind; then it loses the oldest
PIXELS_PER_BIT = 6  # static houses and a small figure need no more
KBPS_MIN = 300
BASE_NS = 10 * 86400 * 10**9  # GStreamer counts from 0: room for a clock that jumps back
NEVER = 2**64 - 1  # GST_CLOCK_TIME_NONE

SOURCE = "appsrc name={name} is-live=true format=time block=false max-bytes=0 max-buffers={ahead} leaky-type=downstream"
ENCODERS = {
    "h264": "x264enc speed-preset=ultrafast threads=1 rc-lookahead=0 sync-lookahead=0 mb-tree=false b-adapt=false "
    "bitrate={kbps} key-int-max={gop} bframes={bframes} option-string=scenecut=0 "
    "! video/x-h264,profile=main,stream-format=avc,alignment=au",
    "hevc": "x265enc speed-preset=ultrafast bitrate={kbps} key-int-max={gop} log-level=none "
    "option-string=bframes={bframes}:b-adapt=0:rc-lookahead={lookahead}:scenecut=0:open-gop=0:frame-threads=1 "
    "! h265parse ! video/x-h265,stream-format=hvc1,alignment=au",
}
PAYLOADERS = {
    "h264": "rtph264pay name=pay0 pt=96 config-interval={sets}",
    "hevc": "rtph265pay name=pay0 pt=96 config-interval={sets}",
    "mjpeg": "rtpjpegpay name=pay0 pt=26",
}

IS_PARAMETER_SET: dict[str, Callable[[int], bool]] = {
    "h264": lambda head: head & 0x1F in (7, 8),  # SPS, PPS: ITU-T H.264 table 7-1
    "hevc": lambda head: head >> 1 & 0x3F in (32, 33, 34),  # VPS, SPS, PPS: ITU-T H.265 table 7-1
}


def launch(told: dict[str, Any]) -> str:
    """The pipeline: raw -> encoder -> coded, and apart from it send -> payloader; what lies between is `Stream`."""
    send = f"{SOURCE.format(name='send', ahead=AHEAD_FRAMES)} ! {PAYLOADERS[told['codec']]}"
    kbps = max(KBPS_MIN, told["width"] * told["height"] * told["fps"] // PIXELS_PER_BIT // 1000)
    words = {"kbps": kbps, "sets": 0 if told["sdp_only"] else -1, "lookahead": told["bframes"] + 1, **told}
    if told["codec"] == "mjpeg":
        return f"( {send} )"
    raw = f"{SOURCE.format(name='raw', ahead=AHEAD_FRAMES)} ! {ENCODERS[told['codec']]}"
    coded = "appsink name=coded sync=false async=false emit-signals=true"
    return f"( {raw} ! {coded} {send} )".format(**words)


class Stream:
    """What is between the input, the encoder and the clients. Frames that nobody looks at are dropped."""

    def __init__(self, told: dict[str, Any]) -> None:
        self.told = told
        self.lock = threading.Lock()
        self.media: Any = None
        self.source: Any = None  # where frames go
        self.send: Any = None  # where coded pictures go
        self.base_ns: int | None = None  # the pipeline's time less the camera's
        self.head: dict[str, Any] = {}

    def configure(self, _factory: Any, media: Any) -> None:
        """The first client has come."""
        element = media.get_element()
        coded = element.get_by_name("coded")
        with self.lock:
            self.media, self.base_ns = media, None
            self.send = element.get_by_name("send")
            self.source = element.get_by_name("raw") or self.send
        if coded:
            coded.connect("new-sample", self.coded)
        element.get_parent().connect("deep-element-added", _send_at_once)
        media.connect("unprepared", self.gone)

    def gone(self, media: Any) -> None:
        """The last client has left; perhaps the next one is there already."""
        with self.lock:
            if self.media is media:
                self.media = self.source = self.send = None

    def frame(self, head: dict[str, Any], data: bytes) -> None:
        """The next frame from the input."""
        with self.lock:
            source, self.head = self.source, head
            if source is None:
                return
            running_ns = source.get_current_running_time()
            if running_ns == NEVER:
                return
            pts_ns = int(head["pts_s"] * Gst.SECOND)
            if self.base_ns is None:
                self.base_ns = running_ns + BASE_NS - pts_ns
            pts_ns += self.base_ns
        size = f"width={head['width']},height={head['height']},framerate={self.told['fps']}/1"
        if source is self.send:
            self.push(f"image/jpeg,{size}", data, pts_ns)
            return
        _set_caps(
            source,
            f"video/x-raw,format=I420,{size},colorimetry=bt601,pixel-aspect-ratio=1/1,interlace-mode=progressive",
        )
        _push(source, data, pts_ns)

    def coded(self, sink: Any) -> Any:
        """The next picture from the encoder, in the order in which it is decoded."""
        sample = sink.emit("pull-sample")
        buffer = sample.get_buffer()
        pts_ns = sample.get_segment().to_running_time(Gst.Format.TIME, buffer.pts)
        self.push(sample.get_caps().to_string(), buffer.extract_dup(0, buffer.get_size()), pts_ns)
        return Gst.FlowReturn.OK

    def push(self, caps: str, data: bytes, pts_ns: int) -> None:
        """On the way to the clients, spoilt and with its clock wrong as the input says."""
        with self.lock:
            send, head = self.send, self.head
        if send is not None:
            _set_caps(send, caps)
            is_set = IS_PARAMETER_SET.get(self.told["codec"])
            spoilt = spoil_units(data, head["spoil"], is_set) if is_set else spoil_jpeg(data, head["spoil"])
            _push(send, spoilt, pts_ns + int(head["step_s"] * Gst.SECOND))


def spoil_units(data: bytes, how: str | None, is_set: Callable[[int], bool]) -> bytes:
    """Units of H.264 or HEVC, each after its length in four bytes, without parameter sets: the payloader has them of
    the caps and puts them into the stream where it should. The last unit cut in half, or all of them random."""
    units, at = [], 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        unit = data[at + 4 : at + 4 + size]
        if not is_set(unit[0]):
            units.append(os.urandom(size) if how == "garbage" else unit)
        at += 4 + size
    if how == "truncated":
        units[-1] = units[-1][: len(units[-1]) // 2]
    return b"".join(len(unit).to_bytes(4, "big") + unit for unit in units)


def spoil_jpeg(data: bytes, how: str | None) -> bytes:
    """RTP carries no head of a JPEG, so that only what stands after it can be wrong."""
    scan = data.index(b"\xff\xda") + 14  # SOS of three components
    if how == "garbage":
        return data[:scan] + os.urandom(len(data) - scan)
    return data[: scan + (len(data) - scan) // 2] if how == "truncated" else data


def _send_at_once(_pipeline: Any, _bin: Any, element: Any) -> None:
    """A camera's clock may jump ahead; a sink that keeps time would hold its pictures back until then."""
    if element.get_factory().get_name() == "appsink":  # the library turns `sync` on after it has added it
        element.connect("notify::sync", lambda sink, _: sink.get_property("sync") and sink.set_property("sync", False))


def _set_caps(source: Any, caps: str) -> None:
    """A caps event only where something has changed."""
    wanted = Gst.Caps.from_string(caps)
    now = source.get_property("caps")
    if now is None or not now.is_equal(wanted):
        source.set_property("caps", wanted)


def _push(source: Any, data: bytes, pts_ns: int) -> None:
    buffer = Gst.Buffer.new_wrapped(data)
    buffer.pts = pts_ns
    source.emit("push-buffer", buffer)


def serve(told: dict[str, Any], stream: Stream) -> int:
    """Listens at /stream; the port. The server lives as long as the process. Raises GLib.Error where an element of the
    pipeline is not installed."""
    Gst.parse_launch(launch(told))
    server, factory = GstRtspServer.RTSPServer.new(), GstRtspServer.RTSPMediaFactory.new()
    server.set_address("127.0.0.1")
    server.set_service("0")
    factory.set_launch(launch(told))
    factory.set_shared(True)
    factory.set_protocols(GstRtsp.RTSPLowerTrans.TCP)
    factory.connect("media-configure", stream.configure)
    if told["credentials"]:
        protect(server, factory, told["auth"], *told["credentials"])
    server.get_mount_points().add_factory("/stream", factory)
    server.connect("client-connected", _without_delay)
    server.attach(None)
    return int(server.get_bound_port())


def _without_delay(_server: Any, client: Any) -> None:
    """Else the last bytes of each picture would wait for the client's acknowledgement of those before: 35 ms."""
    client.get_connection().get_read_socket().set_option(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def protect(server: Any, factory: Any, method: str, name: str, password: str) -> None:
    """Only who shows these credentials may look."""
    auth, token = GstRtspServer.RTSPAuth.new(), GstRtspServer.RTSPToken.new()
    token.set_string(GstRtspServer.RTSP_TOKEN_MEDIA_FACTORY_ROLE, "viewer")
    if method == "basic":
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic(name, password), token)
    else:
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
        auth.add_digest(name, password, token)
    server.set_auth(auth)
    may = "viewer,media.factory.access=true,media.factory.construct=true"
    factory.add_role_from_structure(Gst.Structure.new_from_string(may))


def feed(stream: Stream, frames: BinaryIO) -> None:
    """Until the input ends; then the process does, whatever else it is at."""
    for line in frames:
        head = json.loads(line)
        stream.frame(head, frames.read(head["bytes"]))
    os._exit(0)


def main() -> None:
    Gst.init(None)
    told = json.loads(sys.stdin.buffer.readline())
    stream = Stream(told)
    print(serve(told, stream), flush=True)
    threading.Thread(target=feed, args=(stream, sys.stdin.buffer), daemon=True).start()
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()
