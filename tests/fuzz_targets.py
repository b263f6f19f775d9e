"""Everything that reads bytes which a stranger may have written, as functions that take any bytes and never raise.

An error that a parser's docstring promises to its caller is caught here, and nothing else is.
tests/test_fuzz_targets.py runs each for a moment, `make fuzz` for as long as is asked.
"""

import base64
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
from drivers.modbus_frame import Request, RtuReader, TcpReader
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
    reader = RtuReader(Request(1, 2, 0, 8))
    for at in range(0, len(data), 7):
        reader.feed(data[at : at + 7])
    reader.end()


def modbus_tcp(data: bytes) -> None:
    reader = TcpReader()
    with suppress(ValueError):  # the driver opens a new connection
        for at in range(0, len(data), 7):
            reader.feed(data[at : at + 7], Request(1, 4, 0, 2), 1)


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


DC09 = [Codec09("1234", None, bytes), Codec09("1234", Aes(bytes(16)), bytes)]


def dc09(data: bytes) -> None:
    frames = Frames()
    for piece in (*pieces(data), framed(data), b"\r"):
        for body in frames.feed(piece):
            for codec in DC09:
                codec.answer(body)
    frames.take_noise()


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
            read_change({**told, "name": "tickets"}, {"tickets": None}, 1, Stamp(1.0, 1))


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

SEEDS: dict[str, tuple[bytes, ...]] = {
    "ad2": (
        b'\x60[00010001001000000A--],008,[f70000008008000008000000000000],"ALARM 08 BACK DOOR"\r\n!boot\r\n!Ready\r\n',
        b"\x09!RFX:0123456,80\r\n!EXP:07,01,01\r\n!REL:12,01,00\r\n!LRR:008,1,CID_1120,ff\r\n!LRR:008,1,ALARM_PANIC\r\n",
    ),
    "camera_words": (
        b'{"files": [{"sha256": "%s", "plain_sha256": "%s", "media_type": "video/mp2t", "bytes": 9, "from_s": 1,'
        b' "to_s": 2, "ends_s": 2, "encrypted": "age"}], "through_s": 3}' % (b"a" * 64, b"b" * 64),
        b'{"read": {"at_s": 1, "ref": "x", "reason": "", "codes": [{"code": "1", "format": "qrcode", "confidence": 1},'
        b' {"document": {"layout": "td3", "type": "P", "issuer": "UTO", "number": "L898902C3", "expires": "2012-04-15",'
        b' "wrong": ["birth"]}}]}}',
    ),
    "clip": (
        b"RIFF\x40\x00\x00\x00AVI LIST\x10\x00\x00\x00movi00dc\x04\x00\x00\x00\xff\xd8\xff\xd9",
        (b"\x47\x40\x00\x10" + b"\xff" * 184) * 2,
    ),
    "command": (
        b'{"id": "1", "type": "callbox.command.close", "expires": "2100-01-01T00:00:00Z", "data": {"alarm": "1"}}',
    ),
    "config": ((ROOT / "config/button.yaml").read_bytes(),),
    "neighbour": (
        b'{"id": "1", "time": "2026-11-22T01:33:20Z", "timequality": "synced",'
        b' "data": {"transition": "raised", "case": "1", "by": "reset", "test": false}}',
    ),
    "http_auth": (
        b'Digest realm="cam", nonce="1f", qop="auth,auth-int", algorithm=SHA-256-sess, opaque="a"\nBasic realm="x"',
    ),
    "jpeg": (
        base64.b64decode(
            "/9j/4AAQSkZJRgABAQAAAQABAAD/wAALCAAIAAgBAREA/8QAFAABAAAAAAAAAAAAAAAAAAAACf/aAAgBAQAAPwBU/9k="
        ),
    ),
    "line": (b"\x09B2:1\r\nB2:0\r\nS:4006381333931\r", "\x03S:票-7\r".encode("gbk")),
    "mrz": (
        b"P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<\nL898902C36UTO7408122F1204159ZE184226B<<<<<10",
        b"I<UTOD231458907<<<<<<<<<<<<<<<\n7408122F1204159UTO<<<<<<<<<<<6\nERIKSSON<<ANNA<MARIA<<<<<<<<<<",
    ),
    "multipart": (
        b"\x20--frame\r\nContent-Length: 4\r\n\r\n\xff\xd8\xff\xd9\r\n--frame\r\n\r\n\xff\xd8\xff\xd9\n--frame",
    ),
    "nal": (
        bytes.fromhex("00000001 6742c00ad90a0f0116a04000 00000001 68cb83cb20 00000001 6588843a".replace(" ", "")),
        bytes.fromhex(
            "000000014001 0c01ffff 000001 4201 0101600000030090 000001 4401c1 000001 2601af".replace(" ", "")
        ),
    ),
    "ranges": (b"[[1, 5], [7, 9]]",),
    "receipt": (
        b'{"journal": "9b1deb4d", "through": 10, "also": [[12, 13]], "batch": 50, "refused": {"14": "no"},'
        b' "media": {"%s": 5}, "put": {"%s": "https://a/b"}}' % (b"a" * 64, b"a" * 64),
    ),
    "gpsd": (b'"lat":46.5,"lon":7.5,"time":"2005-06-08T10:34:48.283Z"', b'{"class":"SKY","hdop":1.24,"uSat":7}\r\n'),
    "nmea": (
        b"\x09$GPRMC,123519,A,4807.038,N,01131.000,E,022.4,084.4,230394,003.1,W*6A\r\n",
        b"GNGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,\nGNZDA,201530.00,04,07,2002,00,00",
    ),
    "nut": (b"OB DISCHRG LB", b'OK\nERR DATA-STALE\nVAR desk ups.status "OL"\n'),
    "scanner": (
        b"\x09]C110AB\x1d217\r\n\x024006381333931\x03",
        b"\x20P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<\rL898902C36UTO7408122F1204159ZE184226B<<<<<10\r",
    ),
    "status": (b'{"ask": "status"}\n', b'{"ask": "preview", "camera": "front"}\n'),
    "surgard": (
        b"\x055011 181234E13001003\x145011 181234P12001003\x14",
        b"\x001011           @    \x143011    1234BA0001\x14",
    ),
}
"""What to begin with, where there is something: a fuzzer finds more from a good message than from nothing."""
