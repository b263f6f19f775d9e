"""Everything that reads bytes which a stranger may have written, as functions that take any bytes and never raise.

An error that a parser's docstring promises to its caller is caught here, and nothing else is.
tests/test_fuzz_targets.py runs each for a moment, `make fuzz` for as long as is asked.
"""

import json
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from operator import xor
from pathlib import Path
from random import Random
from typing import Literal

from agent import camera_words
from agent.canonical import canonical
from agent.commands import Commands, RefusedError, ranges, read_receipt
from agent.config import ConfigErrors, load
from agent.config_model import Neighbour
from agent.events import Stamp
from agent.export_streams import read_clip
from agent.identity import Ed25519Signer, b64
from agent.journal import Journal
from agent.lists import read_change
from agent.mail import Arrived
from agent.neighbours import Neighbours
from agent.recorder import Recorder
from agent.status import StatusServer
from drivers import jpeg, mrz, nal
from drivers.ad2 import Ad2Input, Ad2Parser
from drivers.at import REGISTERED, explain
from drivers.at import Lines as AtLines
from drivers.contract import Edge
from drivers.dc09 import Aes
from drivers.dc09_frame import Codec as Codec09
from drivers.dc09_frame import Frames, framed
from drivers.eol import Window, states
from drivers.gpsd import GpsdParser
from drivers.hid import HidOptions, Keys
from drivers.http_auth import authorization
from drivers.line import LineInput, LineParser
from drivers.modbus_frame import ON, WRITE_COIL, Request, RtuReader, TcpReader, crc
from drivers.multipart import Multipart
from drivers.nmea import NmeaParser
from drivers.nut import NutParser
from drivers.packets import CameraError, Codec, Stream
from drivers.scanner import ScannerOptions, ScannerParser
from drivers.scans import ScanInput
from drivers.storm import Storm
from drivers.supervised import Supervised, Wire
from drivers.surgard import SurgardInput, SurgardParser

ROOT = Path(__file__).parent.parent
FOLDER = tempfile.TemporaryDirectory(prefix="callbox-fuzz-")


def pieces(data: bytes) -> list[bytes]:
    """The first byte says where the rest is cut: a wire keeps no message together."""
    cut = data[0] if data else 0
    return [data[1:cut], data[cut:][bool(cut == 0) :], b""]


# ---- wires

LINE_INPUTS = {
    "alarm-2": LineInput(pressed="^B2:1$", released="^B2:0$"),
    "desk": LineInput(pressed="^S:(?P<code>.+)$"),
}
LINES = [LineParser(LINE_INPUTS, encoding) for encoding in ("utf-8", "gbk", "latin-1")]


def line(data: bytes) -> None:
    for parser in (*LINES, LineParser(LINE_INPUTS, "gbk")):
        for piece in pieces(data):
            parser.feed(piece, 1.0)
        parser.take_noise()


def scanner(data: bytes) -> None:
    """With a terminator and without; a silence at the end."""
    for end_ms in (0, 100):
        parser = ScannerParser({"desk": ScanInput()}, ScannerOptions("/dev/null", end_ms=end_ms))
        for now_s, piece in enumerate(pieces(data)):
            parser.feed(piece, now_s * 9.0)


def nmea(data: bytes) -> None:
    """As it comes, and each line with a checksum that is right, so that its fields are looked at."""
    parser = NmeaParser(["sat"])
    for now_s, piece in enumerate(pieces(data)):
        parser.feed(piece, now_s)
    for now_s, line in enumerate(data.splitlines()):
        parser.feed(b"$%s*%02X\r\n" % (line, reduce(xor, line, 0)), 9.0 + now_s)


def gpsd(data: bytes) -> None:
    """As it comes, and as the fields of a TPV."""
    parser = GpsdParser()
    parser.feed(data, 1.0)
    parser.feed(b'\n{"class":"TPV","mode":3,%s}\n' % data, 2.0)


def nut(data: bytes) -> None:
    """As it comes, and as a status."""
    parser = NutParser("desk", {"mains": "on-battery", "low": "low"})
    parser.feed(data, 1.0)
    parser.feed(b'\nVAR desk ups.status "%s"\n' % data, 2.0)


AD2_INPUTS = {
    "door": Ad2Input(zone=8),
    "fob": Ad2Input(rf="0123456", loop=1),
    "roof": Ad2Input(expander="7,1"),
    "panic": Ad2Input(cid=120),
    "mains": Ad2Input(bit="ac"),
}
AD2 = Ad2Parser(AD2_INPUTS, 0.0)


def ad2(data: bytes) -> None:
    for parser in (AD2, Ad2Parser(AD2_INPUTS, 0.0)):
        for now_s, piece in enumerate(pieces(data)):
            parser.feed(piece, now_s)
        parser.take_noise()


SURGARD_INPUTS = {
    "door": SurgardInput(account="1234", event="130", zone=3),
    "pad": SurgardInput(account="1234", event="120", restores=False),
}
SURGARD = SurgardParser(SURGARD_INPUTS, 30, 0.0)


def surgard(data: bytes) -> None:
    for parser in (SURGARD, SurgardParser(SURGARD_INPUTS, 0, 0.0)):
        for piece in pieces(data):
            parser.feed(piece, 1.0)
        parser.take_noise()


def hid(data: bytes) -> None:
    keys = Keys({"desk": ScanInput()}, HidOptions("/dev/null"))
    for now_s, piece in enumerate(pieces(data)):
        keys.feed(piece, now_s * 9.0)


def modbus_rtu(data: bytes) -> None:
    """As it comes, and with a checksum that is right; the answer to a look, and to a write."""
    for whole in (data, data + crc(data).to_bytes(2, "little")):
        for request in (Request(1, 2, 0, 8), Request(1, WRITE_COIL, 2, ON)):
            reader = RtuReader(request)
            for at in range(0, len(whole), 7):
                reader.feed(whole[at : at + 7])
            reader.end()


def modbus_tcp(data: bytes) -> None:
    """As it comes, and as the body of an answer to this request."""
    for whole in (data, b"\x00\x01\x00\x00" + min(len(data), 254).to_bytes(2, "big") + data):
        for request in (Request(1, 4, 0, 2), Request(1, WRITE_COIL, 2, ON)):
            reader = TcpReader()
            with suppress(ValueError):  # the driver opens a new connection
                for at in range(0, len(whole), 7):
                    reader.feed(whole[at : at + 7], request, 1)


def contacts(data: bytes) -> None:
    """Each byte is a step of time, and what a form C contact reads then; edges alternate, in a storm too."""
    contact, storm, told, now_s = Supervised("b"), Storm("b"), list[bool](), 0.0
    wires: tuple[Wire, ...] = ("idle", "active", "open", "short")
    for byte in data:
        now_s += (byte >> 2) ** 2 / 20_000  # 0 to 200 ms
        told += [edge.active for edge in storm.tick(now_s)]
        for reading in contact.read(wires[byte & 3], now_s):
            if isinstance(reading, Edge):
                told += [edge.active for edge in storm.edge(reading)]
            else:
                told.clear()  # after a fault the same level may come anew
    assert all(one != other for one, other in pairwise(told))


def eol(data: bytes) -> None:
    """Resistors of three bytes each, and levels."""
    pullup, at_end, beside = (int.from_bytes(data[n : n + 3], "big") + 1 for n in (0, 3, 6))
    kinds: tuple[Literal["open", "closed"], ...] = ("open", "closed")
    for normally in kinds:
        for contact_ohm in (None, beside):
            with suppress(ValueError):
                window = Window(states(normally, pullup, at_end, contact_ohm))
                for byte in data[9:]:
                    window.read(byte / 255)


AES = Aes(bytes(16))
DC09 = [Codec09("1234", None, bytes), Codec09("1234", AES, bytes)]


def dc09(data: bytes) -> None:
    """As it comes, in a frame with its length and checksum, and encrypted."""
    frames = Frames()
    for piece in (*pieces(data), framed(data), b"\r"):
        for body in frames.feed(piece):
            for codec in DC09:
                codec.answer(body)
    frames.take_noise()
    secret = AES.encrypt(b"A" * (-len(data) % 16) + data).hex().upper().encode()
    DC09[1].answer(b'"*ACK"0001R0L0#1234[' + secret)


def modem(data: bytes) -> None:
    lines = AtLines()
    for piece in (*pieces(data), b"\r"):
        for said in lines.feed(piece):
            explain(said)
            REGISTERED.fullmatch(said)
    lines.take_noise()


# ---- cameras


def find_mrz(data: bytes) -> None:
    mrz.find(data.decode("utf-8", "replace").splitlines())


def check_jpeg(data: bytes) -> None:
    jpeg.check(data)


def check_nal(data: bytes) -> None:
    codecs: tuple[Codec, ...] = ("h264", "hevc")
    for codec in codecs:
        nal.check(data, Stream(codec, parameter_sets=nal.parameter_sets(codec, data)))
        nal.size(codec, data)
        nal.is_key(codec, data)


def multipart(data: bytes) -> None:
    with suppress(CameraError):
        parser = Multipart(b"frame")
        for piece in pieces(data):
            parser.feed(piece)


def http_auth(data: bytes) -> None:
    authorization(data.decode("latin-1").split("\n"), "user", "secret", "GET", "/video", "c0ffee")


def camera_said(data: bytes) -> None:
    """As `agent/cameras.py` takes what a camera's process says."""
    with suppress(ValueError, TypeError, KeyError, OverflowError, RecursionError):
        match json.loads(data):
            case {"files": list(files)}:
                [*map(camera_words.file, files)]
            case {"read": dict(read)}:
                camera_words.codes_read("front", read, "")


def clip(data: bytes) -> None:
    for media_type in ("video/mp2t", "video/x-msvideo", "image/jpeg"):
        with suppress(ValueError):
            read_clip(media_type, data)


# ---- central, the operator, whoever asks at the socket


@dataclass(frozen=True)
class Desk:
    name: str
    key: bytes
    may: tuple[str, ...] = ("acknowledge", "close", "resend", "test", "capture")


KEY = Ed25519Signer.generate()
COMMANDS = Commands("site/box", (Desk("desk", KEY.public),), {})


def receipt(data: bytes) -> None:
    with suppress(RefusedError):
        read_receipt(data, False, None)
    with suppress(RefusedError):
        read_receipt(data, False, KEY.public)


def command(data: bytes) -> None:
    """What is a JSON object is signed, so that more is looked at than the signature."""
    with suppress(RefusedError):
        COMMANDS.read(data, False, 1.8e9)
    with suppress(ValueError, RecursionError):
        if isinstance(order := json.loads(data), dict):
            order = {"source": "/operators/desk", "subject": "site/box", **order}
            order.pop("sig", None)
            signed = {**order, "sig": b64(KEY.sign(canonical(order)))}
            with suppress(RefusedError):
                COMMANDS.read(json.dumps(signed).encode(), False, 1.8e9)


NEAR = Neighbour.model_validate({"box": "box", "key": b64(KEY.public)})
RECORDER = Recorder("/callbox/site/other", Journal(None).opened(), KEY, "5f0c2a9e", Stamp(1.0, 1), Random(7), [])
NEIGHBOURS = Neighbours("site", [NEAR], RECORDER, [])


def neighbour(data: bytes) -> None:
    """What is a JSON object is signed and given what an alarm has."""
    NEIGHBOURS.arrived("box", Arrived("s", "neighbour/box", data, retained=False))
    with suppress(ValueError, RecursionError):
        if isinstance(alarm := json.loads(data), dict):
            alarm = {"source": "/callbox/site/box", "type": "callbox.alarm.panic", "data": {}, **alarm}
            alarm.pop("sig", None)
            signed = json.dumps({**alarm, "sig": b64(KEY.sign(canonical(alarm)))}).encode()
            NEIGHBOURS.arrived("box", Arrived("s", "neighbour/box", signed, retained=False))


def seqs(data: bytes) -> None:
    with suppress(ValueError, RecursionError):
        ranges(json.loads(data), 1000)


def _answer() -> None:
    STATUS.serve(lambda request, answer: answer({"asked": repr(request)}))


STATUS = StatusServer(Path(FOLDER.name), _answer)


def status(data: bytes) -> None:
    json.loads(STATUS._answer(data))


def config(data: bytes) -> None:
    path = Path(FOLDER.name) / "box.yaml"
    path.write_bytes(data)
    with suppress(ConfigErrors):
        load(path)


def list_command(data: bytes) -> None:
    """The data of a `list` command, of an operator whose key somebody else has."""
    with suppress(ValueError, RecursionError, RefusedError):
        told = json.loads(data)
        if isinstance(told, dict):
            read_change({"name": "tickets", **told}, {"tickets": None}, 1, Stamp(1.0, 1, synced=True))


TARGETS: dict[str, Callable[[bytes], None]] = {
    "ad2": ad2,
    "camera_words": camera_said,
    "clip": clip,
    "command": command,
    "config": config,
    "hid": hid,
    "contacts": contacts,
    "eol": eol,
    "http_auth": http_auth,
    "jpeg": check_jpeg,
    "line": line,
    "modbus-rtu": modbus_rtu,
    "modbus-tcp": modbus_tcp,
    "dc09": dc09,
    "modem": modem,
    "mrz": find_mrz,
    "multipart": multipart,
    "nal": check_nal,
    "neighbour": neighbour,
    "ranges": seqs,
    "receipt": receipt,
    "gpsd": gpsd,
    "nmea": nmea,
    "nut": nut,
    "list_command": list_command,
    "scanner": scanner,
    "status": status,
    "surgard": surgard,
}
